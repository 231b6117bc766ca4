//! Files as a table: everything there is now, or what came after an offset.
//!
//! A load is of one version of the files, or it is an error that is worth another try: files that are not followed must be the
//! same at its end as at its start. What such files have changed to since is no increment, so that all is to be loaded again;
//! files that are followed only grow, and what was appended is an increment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use velo_core::connector::{
    Chunk, ChunkDecoder, Decoded, Fetch, PartitionReader, SizeHint, SourceRequest, TableDataSource, TableItem,
    TableStream,
};
use velo_core::error::Retry;
use velo_core::offset::{FilePosition, Position, SourceOffset};
use velo_core::progress::Progress;
use velo_core::{ConnectorError, Result};

use crate::error;
use crate::glob::Found;
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
    /// The last whole load.
    loaded: Arc<Mutex<Option<WholeLoad>>>,
}

/// The files of a whole load, and the offset that it reached.
type WholeLoad = (Vec<Found>, SourceOffset);

/// What a pass reads.
#[derive(Debug, Clone)]
enum Pass {
    /// Everything; these are the files before it.
    Whole(Vec<Found>),
    /// What came after a position.
    After,
}

impl FileTable {
    pub(crate) fn new(source: FileSource, request: SourceRequest, decoder: Arc<FileDecoder>) -> Self {
        Self { source, request, decoder, loaded: Arc::default() }
    }

    /// A look may find a watched file that has grown.
    fn walk(&self, from: Option<&FilePosition>, watch: bool) -> Box<dyn Walk> {
        let watch = watch || self.source.properties.watch;
        self.source.walk(self.request.ordinal, &self.decoder, from, watch, &self.request.progress)
    }

    fn offset(&self, position: Position) -> SourceOffset {
        SourceOffset { partitions: BTreeMap::from([(self.source.partition().to_owned(), position)]) }
    }

    /// What a tail gives in one pass, decoded in order, and then the offset.
    fn load(&self, tail: Box<dyn Walk>, pass: Pass) -> Result<TableStream> {
        let reached = Arc::new(Mutex::new(None));
        let (source, checked) = (self.source.clone(), pass.clone());
        let check = move |walk: &dyn Walk| checked.check(&source, walk);
        let reader = Reader::pass(tail, &self.source.files, Arc::clone(&reached), check)?;
        let chunks = stream::try_unfold(reader, |mut reader| async move {
            Ok::<_, ConnectorError>(match reader.next().await? {
                Fetch::Chunk(chunk) => Some((chunk, reader)),
                Fetch::CaughtUp | Fetch::End => None,
            })
        });
        let (decoder, progress) = (Arc::clone(&self.decoder), Arc::clone(&self.request.progress));
        let (source, decoding) = (self.source.clone(), pass.clone());
        let rows = chunks
            .map_ok(move |chunk| decode(Arc::clone(&decoder), chunk))
            .try_buffered(DECODING)
            .map(move |decoded| {
                let (bytes, decoded) = decoding.explain(&source, decoded)?;
                Progress::add(&progress.bytes, bytes);
                Ok(stream::iter(items(decoded, &progress)))
            })
            .try_flatten();
        let partition = self.source.partition().to_owned();
        let loaded = Arc::clone(&self.loaded);
        let end = stream::once(async move {
            let position = reached.lock().unwrap_or_else(PoisonError::into_inner).take();
            let position = position.ok_or_else(|| stopped("it reached no end"))?;
            let offset = SourceOffset { partitions: BTreeMap::from([(partition, position)]) };
            let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
            match (pass, &mut *loaded) {
                (Pass::Whole(files), loaded) => *loaded = Some((files, offset.clone())),
                // The files are the same still, else the pass had failed.
                (Pass::After, Some((_, reached))) => *reached = offset.clone(),
                (Pass::After, None) => {}
            }
            Ok(TableItem::Offset(offset))
        });
        // The end must not be asked for where the rows failed.
        Ok(until_error(rows.chain(end)).boxed())
    }

    /// Whether the files are not those of the whole load that reached `since`. Of a load that another one made, before a restart, nobody
    /// knows what the files were.
    fn has_changed(&self, since: &SourceOffset) -> Result<bool> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((files, _)) = loaded.as_ref().filter(|(_, reached)| reached == since) else { return Ok(true) };
        Ok(list(&self.source)? != *files)
    }
}

fn list(source: &FileSource) -> Result<Vec<Found>> {
    source.files.list().map_err(|failed| error::listing(&source.files, failed))
}

/// The items up to the first error, which is the last one.
fn until_error(items: impl Stream<Item = Result<TableItem>>) -> impl Stream<Item = Result<TableItem>> {
    items.scan(false, |failed, item| {
        let over = std::mem::replace(failed, item.is_err());
        future::ready((!over).then_some(item))
    })
}

impl Pass {
    /// Whether what was read is of one version.
    fn check(&self, source: &FileSource, walk: &dyn Walk) -> Result<()> {
        let followed = source.properties.watch;
        match self {
            Self::Whole(before) => match walk.torn() {
                Some(path) => Err(error::torn(path)),
                // One file is read through one handle, whatever has its name meanwhile.
                None if before.len() == 1 && !source.files.is_many() => Ok(()),
                None => self.same(source),
            },
            Self::After if followed || walk.torn().is_none() => Ok(()),
            Self::After => Err(error::changed(&source.files)),
        }
    }

    /// Errors where the files are no longer those of before; files that are followed may have grown, and others may have come.
    fn same(&self, source: &FileSource) -> Result<()> {
        let Self::Whole(before) = self else { return Ok(()) };
        let now = list(source)?;
        let followed = source.properties.watch;
        let stays = |was: &Found| match now.iter().find(|found| found.path == was.path) {
            Some(found) if followed => found.inode == was.inode && found.length >= was.length,
            Some(found) => found == was,
            None => false,
        };
        if let Some(torn) = before.iter().find(|was| !stays(was)) {
            return Err(error::torn(&torn.path));
        }
        let new = now.iter().find(|found| !followed && before.iter().all(|was| was.path != found.path));
        new.map_or(Ok(()), |new| Err(error::torn(&new.path)))
    }

    /// What looks like bad records, or like a broken file, may be two versions in one.
    fn explain(&self, source: &FileSource, decoded: Result<(u64, Decoded)>) -> Result<(u64, Decoded)> {
        match &decoded {
            Ok((_, decoded)) if decoded.errors.is_empty() => {}
            Ok(_) => self.same(source)?,
            Err(error) if error.retry == Retry::Temporary => {}
            Err(_) => self.same(source)?,
        }
        decoded
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
        let files = list(&self.source)?;
        if files.is_empty() && !self.source.is_there()? {
            // They were there when the table was opened. Nothing to read is not a table without rows.
            return Err(error::missing(&self.source.files));
        }
        self.load(self.walk(None, false), Pass::Whole(files))
    }

    async fn incremental_load(&self, since: SourceOffset) -> Result<TableStream> {
        if !self.source.properties.watch && self.has_changed(&since)? {
            return Err(error::changed(&self.source.files));
        }
        // A file that has grown or was rewritten is noticed as a watched one is.
        match since.partitions.get(self.source.partition()) {
            Some(Position::File(position)) => self.load(self.walk(Some(position), true), Pass::After),
            Some(other) => Err(error::foreign_position(other)),
            None => self.load(self.walk(None, true), Pass::After),
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
