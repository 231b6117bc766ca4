//! A source whose partitions give what a script says.
//!
//! Each partition is a list of steps. A batch is a chunk of its own; a gate holds the partition until the test opens it, and
//! [`Step::UntilWatermark`] until the source's watermark has come that far. Without [`Script::endless`] a partition ends behind
//! its last step.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use velo_core::connector::{
    Capabilities, Chunk, ChunkDecoder, Connector, DecodeColumn, Decoded, Fetch, PartitionInfo, PartitionReader,
    RecordError, SinkBinding, SourceBinding, SourceRequest, StreamSource, TableDataSource, TableItem, TableStream,
};
use velo_core::error::ErrorKind;
use velo_core::offset::{Position, SourceOffset};
use velo_core::place::{Origin, Positions, Resource};
use velo_core::progress::Progress;
use velo_core::properties::{Options, Properties, PropertyError, PropertySpec};
use velo_core::table_text::value_text;
use velo_core::{Batch, ConnectorError, Result};

use crate::gate::Gate;

/// What a partition does next.
#[allow(clippy::large_enum_variant, reason = "a script has few steps")]
#[derive(Debug, Clone)]
pub enum Step {
    /// Gives these rows as one chunk.
    Rows(Batch),
    /// Gives a chunk with a record that cannot be decoded.
    Bad(String),
    /// Gives nothing until the gate is open.
    Hold(Gate),
    /// Gives nothing until the source's watermark is this or later (microseconds).
    UntilWatermark(i64),
    /// Fails for good with this message.
    Fail(String),
}

/// What a source gives.
#[derive(Debug, Clone)]
pub struct Script {
    schema: SchemaRef,
    partitions: Vec<Vec<Step>>,
    /// How many of the partitions are found once the source runs.
    later: usize,
    endless: bool,
    acknowledged: Acknowledged,
}

/// The positions that a source was told it may forget, in order. All copies are the same.
pub type Acknowledged = Arc<Mutex<Vec<SourceOffset>>>;

impl Script {
    /// A source of `schema` without partitions.
    pub fn new(schema: &SchemaRef) -> Self {
        Self {
            schema: Arc::clone(schema),
            partitions: Vec::new(),
            later: 0,
            endless: false,
            acknowledged: Acknowledged::default(),
        }
    }

    /// One partition with these batches.
    pub fn of(schema: &SchemaRef, batches: &[Batch]) -> Self {
        Self::new(schema).partition(batches.iter().cloned().map(Step::Rows))
    }

    /// Adds a partition.
    #[must_use]
    pub fn partition(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.partitions.push(steps.into_iter().collect());
        self
    }

    /// Adds a partition that is found once the source runs; behind all others.
    #[must_use]
    pub fn partition_later(self, steps: impl IntoIterator<Item = Step>) -> Self {
        let script = self.partition(steps);
        Self { later: script.later + 1, ..script }
    }

    /// Partitions stay open behind their last steps.
    #[must_use]
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// Notes what may be forgotten there.
    #[must_use]
    pub fn acknowledging(mut self, acknowledged: &Acknowledged) -> Self {
        self.acknowledged = Arc::clone(acknowledged);
        self
    }

    /// A binding of it.
    pub fn binding(self) -> Arc<dyn SourceBinding> {
        Arc::new(Binding { script: Arc::new(self) })
    }
}

velo_core::properties! {
    /// The properties of a scripted source.
    pub struct ScriptedProperties {
        /// The script's name.
        "script" => script: Option<String>,
    }
}

/// The connector `scripted`: sources are found by the name of their script.
#[derive(Debug, Default)]
pub struct ScriptedConnector {
    scripts: BTreeMap<String, Script>,
}

impl ScriptedConnector {
    /// No scripts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a script.
    #[must_use]
    pub fn with(mut self, name: &str, script: Script) -> Self {
        self.scripts.insert(name.to_owned(), script);
        self
    }
}

impl Connector for ScriptedConnector {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn summary(&self) -> &'static str {
        "What a test's script says"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source: true,
            incremental: true,
            deletes: true,
            replay: true,
            ordered: true,
            ..Capabilities::default()
        }
    }

    fn source_properties(&self) -> Vec<&'static PropertySpec> {
        ScriptedProperties::SPECS.iter().collect()
    }

    fn sink_properties(&self) -> Vec<&'static PropertySpec> {
        Vec::new()
    }

    fn bind_source(&self, options: &mut Options) -> Option<Arc<dyn SourceBinding>> {
        let Some(name) = ScriptedProperties::read(options).script else {
            options.missing("script", "which script is played");
            return None;
        };
        let Some(script) = self.scripts.get(&name) else {
            let message = format!("there is no script '{name}'");
            options.error(PropertyError { key: "script".to_owned(), origin: None, message, help: None });
            return None;
        };
        Some(script.clone().binding())
    }

    fn bind_sink(&self, options: &mut Options) -> Option<Arc<dyn SinkBinding>> {
        options.missing("connector", "a scripted source cannot be written; collect rows instead");
        None
    }
}

struct Binding {
    script: Arc<Script>,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a script of {} partitions", self.script.partitions.len())
    }
}

#[async_trait]
impl SourceBinding for Binding {
    fn describe(&self) -> String {
        "scripted".to_owned()
    }

    fn bounded(&self) -> bool {
        !self.script.endless
    }

    async fn infer_schema(&self) -> Result<SchemaRef> {
        Ok(Arc::clone(&self.script.schema))
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn StreamSource>> {
        Ok(Box::new(ScriptedSource { script: Arc::clone(&self.script), request, hidden: self.script.later }))
    }

    async fn open_table(&self, request: SourceRequest) -> Result<Arc<dyn TableDataSource>> {
        Ok(Arc::new(ScriptedTable { script: Arc::clone(&self.script), request }))
    }
}

struct ScriptedSource {
    script: Arc<Script>,
    request: SourceRequest,
    /// How many of the last partitions are not found yet.
    hidden: usize,
}

#[async_trait]
impl StreamSource for ScriptedSource {
    async fn partitions(&mut self) -> Result<Vec<PartitionInfo>> {
        let info = |number: usize| PartitionInfo { number: number as u32, name: format!("{number}"), start: None };
        Ok((0..self.script.partitions.len() - self.hidden).map(info).collect())
    }

    async fn changed(&mut self) -> Result<()> {
        if self.hidden == 0 {
            return std::future::pending().await;
        }
        self.hidden -= 1;
        Ok(())
    }

    async fn reader(&mut self, partition: u32, from: Option<&Position>) -> Result<Box<dyn PartitionReader>> {
        let skip = match from {
            None => 0,
            Some(Position::Row(row)) => *row,
            Some(Position::Finished) => u64::MAX,
            Some(other) => {
                let message = format!("{other:?} is no row of a script");
                return Err(ConnectorError::new(ErrorKind::Configuration, "going on at a saved position", message));
            }
        };
        Ok(Box::new(ScriptedReader {
            script: Arc::clone(&self.script),
            request: self.request.clone(),
            partition,
            step: 0,
            row: 0,
            skip,
            chunks: 0,
        }))
    }

    fn decoder(&self) -> Arc<dyn ChunkDecoder> {
        Arc::new(ScriptedDecoder { request: self.request.clone() })
    }

    async fn acknowledge(&mut self, offset: &SourceOffset) -> Result<()> {
        self.script.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(offset.clone());
        Ok(())
    }
}

struct ScriptedReader {
    script: Arc<Script>,
    request: SourceRequest,
    partition: u32,
    step: usize,
    row: u64,
    skip: u64,
    chunks: u64,
}

#[async_trait]
impl PartitionReader for ScriptedReader {
    async fn next(&mut self) -> Result<Fetch> {
        loop {
            // The step is taken only when nothing can be awaited any more, so a dropped future loses nothing.
            let Some(step) = self.script.partitions[self.partition as usize].get(self.step) else {
                if self.script.endless {
                    futures::future::pending::<()>().await;
                }
                return Ok(Fetch::End);
            };
            match step {
                Step::Hold(gate) => {
                    gate.pass().await;
                    self.step += 1;
                }
                Step::UntilWatermark(until) => {
                    while self.request.progress.watermark.load(Ordering::Relaxed) < *until {
                        tokio::task::yield_now().await;
                    }
                    self.step += 1;
                }
                Step::Fail(message) => {
                    return Err(ConnectorError::new(ErrorKind::Io, "reading", message.clone()));
                }
                Step::Rows(_) | Step::Bad(_) => {
                    let frames = Arc::new(step.clone());
                    self.step += 1;
                    let rows = match &*frames {
                        Step::Rows(batch) => batch.rows() as u64,
                        _ => 1,
                    };
                    self.row += rows;
                    if self.row <= self.skip {
                        continue;
                    }
                    return Ok(Fetch::Chunk(self.chunk(frames, rows)));
                }
            }
        }
    }
}

impl ScriptedReader {
    fn chunk(&mut self, frames: Arc<Step>, rows: u64) -> Chunk {
        let number = self.chunks;
        self.chunks += 1;
        Chunk {
            partition: self.partition,
            number,
            bytes: Bytes::new(),
            origin: Origin {
                source: self.request.ordinal,
                partition: self.partition,
                base: 0,
                resource: Resource::Rows(Arc::from(self.request.name.as_str())),
                positions: Positions::Consecutive { first: self.row - rows + 1 },
            },
            end: Position::Row(self.row),
            frames: Some(frames),
        }
    }
}

struct ScriptedDecoder {
    request: SourceRequest,
}

impl ChunkDecoder for ScriptedDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let step = chunk.frames.as_ref().and_then(|frames| frames.downcast_ref::<Step>());
        let batch = match step {
            Some(Step::Rows(batch)) => batch,
            Some(Step::Bad(message)) => {
                let error = RecordError {
                    place: chunk.origin.place(0),
                    field: None,
                    message: message.clone(),
                    bytes: self.request.keep_bytes.then(Bytes::new),
                    after_rows: 0,
                };
                return Ok(Decoded { errors: vec![error], ..Decoded::default() });
            }
            _ => return Ok(Decoded::default()),
        };
        let columns = self.request.columns.iter().map(|column| pick(batch, column)).collect::<Result<Vec<_>>>()?;
        let fields: Vec<_> = self.request.columns.iter().map(|column| Arc::clone(&column.field)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
        let columns = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
            .map_err(|error| ConnectorError::new(ErrorKind::Decode, "decoding", error.to_string()))?;
        let whole = Batch { columns, kinds: batch.kinds.clone(), origin: Some(chunk.origin.clone()), late_by: None };
        let size = self.request.batch_rows.max(1);
        let batches = (0..whole.rows()).step_by(size).map(|at| whole.slice(at, size.min(whole.rows() - at))).collect();
        let row_bytes = if self.request.keep_bytes { vec![0..0; whole.rows()] } else { Vec::new() };
        Ok(Decoded { batches, row_bytes, ..Decoded::default() })
    }
}

/// The column that is asked for.
fn pick(batch: &Batch, column: &DecodeColumn) -> Result<ArrayRef> {
    let find = |fields: &mut dyn Iterator<Item = &Field>, name: &str| -> Option<usize> {
        let names: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
        let alike = |other: &&str| other.eq_ignore_ascii_case(name) && !column.exact;
        names.iter().position(|other| *other == name).or_else(|| names.iter().position(alike))
    };
    let mut found: Option<ArrayRef> = None;
    for (depth, name) in column.path.iter().enumerate() {
        found = match &found {
            None if depth == 0 => find(&mut batch.schema().fields().iter().map(AsRef::as_ref), name)
                .map(|at| Arc::clone(batch.columns.column(at))),
            None => None,
            Some(parent) => parent.as_struct_opt().and_then(|parent| {
                find(&mut parent.fields().iter().map(AsRef::as_ref), name).map(|at| Arc::clone(parent.column(at)))
            }),
        };
    }
    let Some(found) = found else { return Ok(new_null_array(column.field.data_type(), batch.rows())) };
    if column.raw {
        let text: StringArray = (0..found.len()).map(|row| value_text(&found, row)).collect();
        return Ok(Arc::new(text));
    }
    arrow_cast::cast(&found, column.field.data_type())
        .map_err(|error| ConnectorError::new(ErrorKind::Decode, "decoding", error.to_string()))
}

struct ScriptedTable {
    script: Arc<Script>,
    request: SourceRequest,
}

impl ScriptedTable {
    /// The steps of one partition after the other, behind what `since` says of each, and then the offset.
    fn load(&self, since: &SourceOffset) -> TableStream {
        let partitions = self.script.partitions.iter().enumerate().map(|(partition, _)| {
            let skip = match since.partitions.get(&partition.to_string()) {
                Some(Position::Row(row)) => *row,
                Some(_) => u64::MAX,
                None => 0,
            };
            // A table is what there is now: an endless script ends behind its last step too, and there is no watermark to wait for.
            let mut script = Script { endless: false, ..Script::clone(&self.script) };
            for steps in &mut script.partitions {
                steps.retain(|step| !matches!(step, Step::UntilWatermark(_)));
            }
            let script = Arc::new(script);
            let (request, partition) = (self.request.clone(), partition as u32);
            ScriptedReader { script, request, partition, step: 0, row: 0, skip, chunks: 0 }
        });
        let decoder = Arc::new(ScriptedDecoder { request: self.request.clone() });
        let progress = Arc::clone(&self.request.progress);
        let rows = stream::iter(partitions.collect::<Vec<_>>()).flat_map(move |reader| {
            let (decoder, progress) = (Arc::clone(&decoder), Arc::clone(&progress));
            let chunks = stream::try_unfold(reader, |mut reader| async move {
                Ok(match reader.next().await? {
                    Fetch::Chunk(chunk) => Some((chunk, reader)),
                    Fetch::CaughtUp | Fetch::End => None,
                })
            });
            let items = chunks.map(move |chunk| {
                let decoded = decoder.decode(&chunk?)?;
                let rows: usize = decoded.batches.iter().map(Batch::rows).sum();
                Progress::add(&progress.records, (rows + decoded.errors.len()) as u64);
                // A chunk of a script is either good or bad.
                let good = decoded.batches.into_iter().map(TableItem::Batch);
                let items: Vec<Result<TableItem>> =
                    good.chain(decoded.errors.into_iter().map(TableItem::Bad)).map(Ok).collect();
                Ok(stream::iter(items))
            });
            items.try_flatten()
        });
        let end = Ok(TableItem::Offset(self.end()));
        rows.chain(stream::iter([end])).boxed()
    }

    fn end(&self) -> SourceOffset {
        let rows = |step: &Step| match step {
            Step::Rows(batch) => batch.rows() as u64,
            Step::Bad(_) => 1,
            Step::Hold(_) | Step::UntilWatermark(_) | Step::Fail(_) => 0,
        };
        let partitions = self.script.partitions.iter().enumerate();
        let position = |steps: &Vec<Step>| Position::Row(steps.iter().map(rows).sum());
        SourceOffset { partitions: partitions.map(|(at, steps)| (at.to_string(), position(steps))).collect() }
    }
}

#[async_trait]
impl TableDataSource for ScriptedTable {
    async fn bulk_load(&self) -> Result<TableStream> {
        Ok(self.load(&SourceOffset::default()))
    }

    async fn incremental_load(&self, since: SourceOffset) -> Result<TableStream> {
        Ok(self.load(&since))
    }

    async fn get_current_offset(&self) -> Result<SourceOffset> {
        Ok(self.end())
    }

    fn supports_incremental(&self) -> bool {
        true
    }
}
