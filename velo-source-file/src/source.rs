//! Files as a stream: one partition, read by [`crate::reader`] and decoded by the runtime's workers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, SchemaRef, TimeUnit};
use async_trait::async_trait;
use velo_core::connector::{
    Chunk, ChunkDecoder, DecodeColumn, Decoded, PartitionInfo, PartitionReader, SourceBinding, SourceRequest,
    StreamSource, TableDataSource,
};
use velo_core::error::ErrorKind;
use velo_core::offset::{FilePosition, Position};
use velo_core::place::Resource;
use velo_core::progress::Progress;
use velo_core::{Batch, Clock, ConnectorError, Result};
use velo_format::system::{SystemColumn, SystemColumns};

use crate::content::Compression;
use crate::error;
use crate::framing::{FileFrames, Framing};
use crate::glob::{FileSet, Kind};
use crate::properties::{FileSourceProperties, OffsetLost};
use crate::reader::{Reader, Watching};
use crate::row_groups::RowGroups;
use crate::schema;
use crate::table::FileTable;
use crate::tail::{Tail, TailSpec, Walk};

/// Files as a source or table.
#[derive(Debug, Clone)]
pub(crate) struct FileSource {
    pub(crate) files: FileSet,
    pub(crate) properties: FileSourceProperties,
    pub(crate) framing: Framing,
}

impl FileSource {
    /// Reads the files from their start, or behind a saved position. `watch` has files that were read looked at again.
    pub(crate) fn walk(
        &self,
        source: u32,
        decoder: &FileDecoder,
        from: Option<&FilePosition>,
        watch: bool,
        progress: &Arc<Progress>,
    ) -> Box<dyn Walk> {
        if self.framing.has_row_groups() {
            let (files, columns) = (self.files.clone(), decoder.record_columns());
            return Box::new(match from {
                Some(from) => RowGroups::resume(files, source, columns, from),
                None => RowGroups::new(files, source, columns),
            });
        }
        let (files, framing, progress) = (self.files.clone(), self.framing.clone(), Arc::clone(progress));
        let spec = TailSpec { files, watch, framing, source, progress };
        Box::new(match from {
            Some(from) => Tail::resume(spec, from),
            None => Tail::new(spec),
        })
    }

    /// The partition's name, which stays the same over restarts.
    pub(crate) fn partition(&self) -> &str {
        &self.files.path
    }

    /// Waits until there are files, as long as `file.wait.timeout` says, and sees to it that they can be read.
    pub(crate) async fn wait(&self, clock: &Clock) -> Result<()> {
        let until = self.properties.wait_timeout.map(|timeout| clock.now().saturating_add(timeout.0));
        let mut told = false;
        while !self.is_there()? {
            match until {
                Some(until) if clock.now() < until => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::info!(path = self.files.path, "waiting for files");
                    }
                    clock
                        .sleep_until(clock.now().saturating_add(self.properties.retry_interval.0.max(1)).min(until))
                        .await;
                }
                Some(_) => {
                    let waited = self.properties.wait_timeout.unwrap_or_default().to_string();
                    return Err(error::waited(&self.files, &waited));
                }
                None => return Err(error::missing(&self.files)),
            }
        }
        Ok(())
    }

    pub(crate) fn is_there(&self) -> Result<bool> {
        let listed = self.files.list().map_err(|failed| error::listing(&self.files, failed))?;
        if let Some(first) = listed.first() {
            std::fs::File::open(&first.path).map_err(|failed| error::reading(&first.path, failed))?;
            return Ok(true);
        }
        // A watched folder may be empty, as a topic may.
        Ok(self.properties.watch
            && match self.files.kind() {
                Kind::Folder => true,
                Kind::Pattern => self.files.base().is_dir(),
                Kind::File | Kind::Missing => false,
            })
    }

    /// Bytes to read, where they say how much there is to do.
    pub(crate) fn total_bytes(&self) -> Option<u64> {
        // Only the wanted columns of row groups are read.
        let listed = self.files.list().ok().filter(|_| !self.framing.has_row_groups())?;
        let packed = listed.iter().any(|found| Compression::of(&found.path) != Compression::None);
        (!packed).then(|| listed.iter().map(|found| found.length).sum())
    }
}

#[async_trait]
impl SourceBinding for FileSource {
    fn describe(&self) -> String {
        let watched = if self.properties.watch { ", watched" } else { "" };
        format!("file {} ({}{watched})", self.files.path, self.framing.name())
    }

    fn system_columns(&self) -> Vec<Field> {
        vec![
            Field::new("_path", DataType::Utf8, false),
            Field::new("_line", DataType::Int64, false),
            Field::new("_timestamp", velo_core::types::TIMESTAMP, false),
        ]
    }

    fn bounded(&self) -> bool {
        !self.properties.watch
    }

    fn gives_kinds(&self) -> bool {
        self.framing.has_changes()
    }

    async fn infer_schema(&self) -> Result<SchemaRef> {
        self.wait(&Clock::system()).await?;
        let source = self.clone();
        let inferred = tokio::task::spawn_blocking(move || schema::infer(&source));
        inferred.await.unwrap_or_else(|failed| Err(stopped(&failed.to_string())))
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn StreamSource>> {
        self.wait(&request.clock).await?;
        let decoder = Arc::new(FileDecoder::new(&self.framing, &request)?);
        if let Some(bytes) = self.total_bytes().filter(|_| !self.properties.watch) {
            request.progress.total_bytes.store(bytes, Ordering::Relaxed);
        }
        Ok(Box::new(FileStream { source: self.clone(), request, decoder }))
    }

    async fn open_table(&self, request: SourceRequest) -> Result<Arc<dyn TableDataSource>> {
        self.wait(&request.clock).await?;
        let decoder = Arc::new(FileDecoder::new(&self.framing, &request)?);
        Ok(Arc::new(FileTable::new(self.clone(), request, decoder)))
    }
}

/// A task that should have given something was stopped.
pub(crate) fn stopped(why: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Io, "reading", format!("the reading task was stopped: {why}"))
}

struct FileStream {
    source: FileSource,
    request: SourceRequest,
    decoder: Arc<FileDecoder>,
}

#[async_trait]
impl StreamSource for FileStream {
    async fn partitions(&mut self) -> Result<Vec<PartitionInfo>> {
        Ok(vec![PartitionInfo { number: 0, name: self.source.partition().to_owned(), start: None }])
    }

    async fn reader(&mut self, partition: u32, from: Option<&Position>) -> Result<Box<dyn PartitionReader>> {
        if partition != 0 {
            let message = format!("files are one partition; there is no partition {partition}");
            return Err(ConnectorError::new(ErrorKind::Configuration, "opening a partition", message));
        }
        let position = match from {
            None => None,
            Some(Position::File(position)) => Some(position),
            Some(Position::Finished) => return Ok(Box::new(Reader::finished())),
            Some(other) => return Err(error::foreign_position(other)),
        };
        let properties = &self.source.properties;
        let request = &self.request;
        let tail = self.source.walk(request.ordinal, &self.decoder, position, properties.watch, &request.progress);
        let watching = properties.watch.then(|| Watching {
            events: properties.watch_events,
            interval: properties.watch_interval.to_std(),
            clock: self.request.clock.clone(),
        });
        let lost = if from.is_some() { properties.offset_lost } else { OffsetLost::Fail };
        Ok(Box::new(Reader::start(tail, &self.source.files, watching, lost)?))
    }

    fn decoder(&self) -> Arc<dyn ChunkDecoder> {
        Arc::clone(&self.decoder) as Arc<dyn ChunkDecoder>
    }
}

/// A system column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Path,
    Line,
    Timestamp,
}

impl System {
    /// The rows' values.
    fn column(self, batch: &Batch, modified: i64) -> ArrayRef {
        let rows = batch.rows();
        let origin = batch.origin.as_ref();
        match self {
            Self::Path => {
                let path = match origin.map(|origin| &origin.resource) {
                    Some(Resource::File(path)) => path,
                    _ => "",
                };
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(path, rows)))
            }
            Self::Line => {
                let line = |row| origin.map_or(0, |origin| origin.position(row) as i64);
                Arc::new(Int64Array::from_iter_values((0..rows).map(line)))
            }
            Self::Timestamp => {
                Arc::new(TimestampMicrosecondArray::from_iter_values(std::iter::repeat_n(modified, rows)))
            }
        }
    }
}

impl SystemColumn for System {
    const ALL: &'static [(&'static str, Self)] =
        &[("_path", Self::Path), ("_line", Self::Line), ("_timestamp", Self::Timestamp)];

    fn data_type(self) -> DataType {
        match self {
            Self::Path => DataType::Utf8,
            Self::Line => DataType::Int64,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }
}

/// The format's decoder, and the system columns beside what it makes.
pub(crate) struct FileDecoder {
    records: Box<dyn ChunkDecoder>,
    system: SystemColumns<System>,
    /// The columns of the records.
    wanted: Arc<[DecodeColumn]>,
}

impl FileDecoder {
    pub(crate) fn new(framing: &Framing, request: &SourceRequest) -> Result<Self> {
        let (system, columns) = SystemColumns::split(&request.columns, &request.declared)?;
        let wanted = Arc::from(columns.as_slice());
        let records = framing.decoder(request, columns)?;
        Ok(Self { records, system, wanted })
    }

    /// The columns that are made of the records.
    pub(crate) fn record_columns(&self) -> Arc<[DecodeColumn]> {
        Arc::clone(&self.wanted)
    }

    fn with_system(&self, batch: Batch, modified: i64) -> Result<Batch> {
        let of_file = batch.clone();
        self.system.add(&batch, |kind| kind.column(&of_file, modified))
    }
}

impl ChunkDecoder for FileDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let frames = chunk.frames.as_ref().and_then(|frames| frames.downcast_ref::<FileFrames>());
        let format = frames.and_then(|frames| frames.format.clone());
        let mut decoded = self.records.decode(&Chunk { frames: format, ..chunk.clone() })?;
        if !self.system.is_empty() {
            let modified = frames.map_or(0, |frames| frames.modified);
            let batches = std::mem::take(&mut decoded.batches);
            decoded.batches =
                batches.into_iter().map(|batch| self.with_system(batch, modified)).collect::<Result<_>>()?;
        }
        Ok(decoded)
    }

    fn fields_at(&self, chunk: &Chunk, position: u64) -> Vec<String> {
        self.records.fields_at(chunk, position)
    }
}
