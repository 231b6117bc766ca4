//! Files as a table: everything there is now, or what came after an offset.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use velo_core::connector::{
    Chunk, ChunkDecoder, Decoded, Fetch, PartitionReader, SizeHint, SourceRequest, TableDataSource, TableItem,
    TableStream,
};
use velo_core::offset::{FilePosition, Position, SourceOffset};
use velo_core::progress::Progress;
use velo_core::{ConnectorError, Result};

use crate::error;
use crate::reader::Reader;
use crate::source::{FileDecoder, FileSource, stopped};
use crate::tail::Walk;

/// Chunks that are decoded at once.
const DECODING: usize = 4;

/// Files as a table.
pub(crate) struct FileTable {
    source: FileSource,
    request: SourceRequest,
    decoder: Arc<FileDecoder>,
}

impl FileTable {
    pub(crate) fn new(source: FileSource, request: SourceRequest, decoder: Arc<FileDecoder>) -> Self {
        Self { source, request, decoder }
    }

    /// A look may find a watched file that has grown.
    fn walk(&self, from: Option<&FilePosition>, watch: bool) -> Box<dyn Walk> {
        let watch = watch || self.source.properties.watch;
        self.source.walk(self.request.ordinal, &self.decoder, from, watch)
    }

    fn offset(&self, position: Position) -> SourceOffset {
        SourceOffset { partitions: BTreeMap::from([(self.source.partition().to_owned(), position)]) }
    }

    /// What a tail gives in one pass, decoded in order, and then the offset.
    fn load(&self, tail: Box<dyn Walk>) -> Result<TableStream> {
        let reached = Arc::new(Mutex::new(None));
        let reader = Reader::pass(tail, &self.source.files, Arc::clone(&reached))?;
        let chunks = stream::try_unfold(reader, |mut reader| async move {
            Ok::<_, ConnectorError>(match reader.next().await? {
                Fetch::Chunk(chunk) => Some((chunk, reader)),
                Fetch::CaughtUp | Fetch::End => None,
            })
        });
        let (decoder, progress) = (Arc::clone(&self.decoder), Arc::clone(&self.request.progress));
        let rows = chunks
            .map_ok(move |chunk| decode(Arc::clone(&decoder), chunk))
            .try_buffered(DECODING)
            .map_ok(move |(bytes, decoded)| {
                Progress::add(&progress.bytes, bytes);
                stream::iter(items(decoded, &progress))
            })
            .try_flatten();
        let partition = self.source.partition().to_owned();
        let end = stream::once(async move {
            let position = reached.lock().unwrap_or_else(PoisonError::into_inner).take();
            let position = position.ok_or_else(|| stopped("it reached no end"))?;
            Ok(TableItem::Offset(SourceOffset { partitions: BTreeMap::from([(partition, position)]) }))
        });
        Ok(rows.chain(end).boxed())
    }
}

async fn decode(decoder: Arc<FileDecoder>, chunk: Chunk) -> Result<(u64, Decoded)> {
    let bytes = chunk.bytes.len() as u64;
    let decoded = tokio::task::spawn_blocking(move || decoder.decode(&chunk));
    let decoded = decoded.await.unwrap_or_else(|failed| Err(stopped(&failed.to_string())))?;
    Ok((bytes, decoded))
}

fn items(decoded: Decoded, progress: &Progress) -> Vec<Result<TableItem>> {
    let rows: usize = decoded.batches.iter().map(velo_core::Batch::rows).sum();
    Progress::add(&progress.records, (rows + decoded.errors.len()) as u64);
    Progress::add(&progress.delivered, rows as u64);
    Progress::add(&progress.unknown_fields, decoded.unknown_fields);
    let mut errors = decoded.errors.into_iter().peekable();
    let mut items = Vec::new();
    let mut rows_before = 0;
    for batch in decoded.batches {
        let rows = batch.rows();
        let mut from = 0;
        // A record that is bad stands between the rows that it stood between.
        while let Some(bad) = errors.next_if(|bad| bad.after_rows < rows_before + rows) {
            let until = bad.after_rows.saturating_sub(rows_before);
            if until > from {
                items.push(Ok(TableItem::Batch(batch.slice(from, until - from))));
                from = until;
            }
            items.push(Ok(TableItem::Bad(bad)));
        }
        items.push(Ok(TableItem::Batch(if from == 0 { batch } else { batch.slice(from, rows - from) })));
        rows_before += rows;
    }
    items.extend(errors.map(|bad| Ok(TableItem::Bad(bad))));
    items
}

#[async_trait]
impl TableDataSource for FileTable {
    async fn bulk_load(&self) -> Result<TableStream> {
        self.load(self.walk(None, false))
    }

    async fn incremental_load(&self, since: SourceOffset) -> Result<TableStream> {
        // A file that has grown or was rewritten is noticed as a watched one is.
        match since.partitions.get(self.source.partition()) {
            Some(Position::File(position)) => self.load(self.walk(Some(position), true)),
            Some(other) => Err(error::foreign_position(other)),
            None => self.load(self.walk(None, true)),
        }
    }

    async fn get_current_offset(&self) -> Result<SourceOffset> {
        let mut tail = self.walk(None, false);
        let walked = tokio::task::spawn_blocking(move || {
            tail.look(false)?;
            while tail.next()?.is_some() {}
            Ok(tail.position())
        });
        let position = walked.await.unwrap_or_else(|failed| Err(stopped(&failed.to_string())))?;
        Ok(self.offset(position))
    }

    fn supports_incremental(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint { rows: None, bytes: self.source.total_bytes() }
    }
}
