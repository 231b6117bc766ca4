//! One load of one table: what its source gives goes through the table's preparation into its writer, whole or not at all.

use std::sync::Arc;

use futures::StreamExt;
use velo_core::connector::{RecordError, TableDataSource, TableItem, TableStream};
use velo_core::dead_letter::{DeadLetter, Stage};
use velo_core::error::ErrorKind;
use velo_core::offset::SourceOffset;
use velo_core::progress::Progress;
use velo_core::{Batch, ConnectorError, Result};

use crate::loading::spec::{OnBad, SourceFeed};

/// Why a load was given up.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The source failed; the table is as it was.
    Source(ConnectorError),
    /// The table cannot take a new content.
    Table(ConnectorError),
}

/// A load whose rows are all there, and which the table does not have yet.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// How far the source was read.
    pub(crate) offset: SourceOffset,
    /// What came after the load before; none where the writer has a whole new content.
    changes: Option<Vec<Batch>>,
}

impl Loaded {
    /// Nothing came; the source was read up to `offset`.
    pub(crate) fn nothing(offset: SourceOffset) -> Self {
        Self { offset, changes: Some(Vec::new()) }
    }
}

/// The rows of one load, as they are counted when it has succeeded.
#[derive(Debug, Default)]
struct Tally {
    delivered: u64,
    skipped: u64,
    letters: Vec<DeadLetter>,
}

impl SourceFeed {
    /// Loads everything there is now, for a new content in place of what the table holds.
    pub(crate) async fn load_whole(&mut self, name: &str, source: &dyn TableDataSource) -> Result<Loaded, Broken> {
        let stream = source.bulk_load().await.map_err(Broken::Source)?;
        self.writer.begin_reload().map_err(Broken::Table)?;
        let mut tally = Tally::default();
        let read = read(self, name, stream, &mut tally, |feed, batch| feed.writer.apply(&batch)).await;
        let loaded = match read {
            Ok(offset) => self.settle(tally).await.map(|()| Loaded { offset, changes: None }),
            Err(error) => Err(error),
        };
        loaded.map_err(|error| {
            self.writer.abort_reload();
            Broken::Source(error)
        })
    }

    /// Loads what came after `since`. It is kept apart until all of it is there: a failure half-way changes nothing.
    async fn load_after(
        &mut self,
        name: &str,
        source: &dyn TableDataSource,
        since: SourceOffset,
    ) -> Result<Loaded, Broken> {
        let stream = source.incremental_load(since).await.map_err(Broken::Source)?;
        let (mut tally, mut batches) = (Tally::default(), Vec::new());
        let read = read(self, name, stream, &mut tally, |_, batch| {
            batches.push(batch);
            Ok(())
        });
        let offset = read.await.map_err(Broken::Source)?;
        self.settle(tally).await.map_err(Broken::Source)?;
        Ok(Loaded { offset, changes: Some(batches) })
    }

    /// Loads what came after `since`, or everything where the source no longer knows that position.
    pub(crate) async fn load_after_or_whole(
        &mut self,
        name: &str,
        source: &dyn TableDataSource,
        since: SourceOffset,
    ) -> Result<Loaded, Broken> {
        match self.load_after(name, source, since).await {
            Err(Broken::Source(error)) if error.kind == ErrorKind::OffsetLost => {
                tracing::info!(table = name, %error, "what came since cannot be told any more; everything is loaded again");
                self.load_whole(name, source).await
            }
            loaded => loaded,
        }
    }

    /// Gives the table what was loaded, and publishes it.
    pub(crate) async fn commit(&mut self, loaded: Loaded) -> Result<SourceOffset> {
        match loaded.changes {
            None => self.writer.commit_reload().await?,
            Some(batches) => {
                for batch in &batches {
                    self.writer.apply(batch)?;
                }
                self.writer.publish().await?;
            }
        }
        Ok(loaded.offset)
    }

    /// All of a load has been read.
    async fn settle(&mut self, tally: Tally) -> Result<()> {
        let letters = tally.letters.len() as u64;
        if letters > 0 {
            self.dead_letters.take(tally.letters).await?;
        }
        Progress::add(&self.progress.delivered, tally.delivered);
        Progress::add(&self.progress.skipped, tally.skipped);
        Progress::add(&self.progress.dead_letters, letters);
        Ok(())
    }
}

/// Reads a stream to its end.
async fn read(
    feed: &mut SourceFeed,
    name: &str,
    mut stream: TableStream,
    tally: &mut Tally,
    mut take: impl FnMut(&mut SourceFeed, Batch) -> Result<()>,
) -> Result<SourceOffset> {
    let prepare = Arc::clone(&feed.prepare);
    let mut reached = None;
    while let Some(item) = stream.next().await {
        match item? {
            TableItem::Batch(batch) => {
                let prepared = prepare(batch)?;
                for letter in prepared.refused {
                    refuse(feed.on_refused, letter, tally)?;
                }
                tally.delivered += prepared.rows.rows() as u64;
                if !prepared.rows.is_empty() {
                    take(feed, prepared.rows)?;
                }
                // A source that has its rows at hand would never let others go on.
                tokio::task::yield_now().await;
            }
            TableItem::Bad(bad) => refuse(feed.on_bad, undecoded(name, bad), tally)?,
            TableItem::Offset(offset) => reached = Some(offset),
        }
    }
    reached.ok_or_else(|| {
        ConnectorError::new(ErrorKind::Io, "loading", "the source ended without saying how far it was read").temporary()
    })
}

fn undecoded(table: &str, bad: RecordError) -> DeadLetter {
    DeadLetter {
        stage: Stage::Decode,
        source: table.to_owned(),
        bytes: bad.bytes.unwrap_or_default(),
        error: bad.message,
        code: ErrorKind::Decode.code(),
        place: Some(bad.place),
        attributes: None,
    }
}

fn refuse(policy: OnBad, letter: DeadLetter, tally: &mut Tally) -> Result<()> {
    match policy {
        OnBad::Skip => tally.skipped += 1,
        OnBad::DeadLetter => tally.letters.push(letter),
        OnBad::Fail => {
            let (operation, property) = match letter.stage {
                Stage::Decode => ("decoding a record", "on.error"),
                _ => ("taking a row", "event.time.on.error"),
            };
            let mut error = ConnectorError::new(ErrorKind::Decode, operation, letter.error).advise(format!(
                "correct the record, or set '{property}' = 'skip' (such records are left out and counted) or 'dead_letter' (they are kept)"
            ));
            error.place = letter.place;
            return Err(error);
        }
    }
    Ok(())
}
