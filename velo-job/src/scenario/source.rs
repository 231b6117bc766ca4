//! The source behind an `input` block: it gives the block's rows, in the block's order, whatever connector the script names.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use serde_json::Value;
use velo_core::connector::{
    Chunk, ChunkDecoder, DecodeColumn, Decoded, Fetch, PartitionInfo, PartitionReader, SourceBinding, SourceRequest,
    StreamSource, TableDataSource, TableItem, TableStream,
};
use velo_core::error::ErrorKind;
use velo_core::offset::{Position, SourceOffset};
use velo_core::place::{Origin, Positions, Resource};
use velo_core::progress::Progress;
use velo_core::table_text::{TableTextError, TextRow, TextTable};
use velo_core::{Batch, ConnectorError, Result, RowKind};

use super::inputs::{Event, Feed};

/// The partitions of one source.
pub(super) struct ScenarioBinding {
    feeds: Arc<Vec<Feed>>,
    bounded: bool,
    declared: SchemaRef,
}

impl ScenarioBinding {
    /// A source that gives `feeds`, one per partition.
    pub(super) fn new(feeds: Vec<Feed>, bounded: bool, declared: SchemaRef) -> Self {
        Self { feeds: Arc::new(feeds), bounded, declared }
    }
}

impl fmt::Debug for ScenarioBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an input of {} partitions", self.feeds.len())
    }
}

#[async_trait]
impl SourceBinding for ScenarioBinding {
    fn describe(&self) -> String {
        "the scenario's input".to_owned()
    }

    fn bounded(&self) -> bool {
        self.bounded
    }

    async fn infer_schema(&self) -> Result<SchemaRef> {
        Ok(Arc::clone(&self.declared))
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn StreamSource>> {
        let calm = self.feeds.iter().map(|_| AtomicBool::new(false)).collect();
        let shared = Arc::new(Shared { given: AtomicU64::new(0), calm });
        Ok(Box::new(ScenarioSource { feeds: Arc::clone(&self.feeds), request, shared }))
    }

    async fn open_table(&self, request: SourceRequest) -> Result<Arc<dyn TableDataSource>> {
        Ok(Arc::new(ScenarioTable { feeds: Arc::clone(&self.feeds), request }))
    }
}

/// What the readers of one source know of each other.
struct Shared {
    /// Rows given so far, over all partitions.
    given: AtomicU64,
    /// Per partition, whether it has nothing to give now and the runtime knows it.
    calm: Vec<AtomicBool>,
}

struct ScenarioSource {
    feeds: Arc<Vec<Feed>>,
    request: SourceRequest,
    shared: Arc<Shared>,
}

#[async_trait]
impl StreamSource for ScenarioSource {
    async fn partitions(&mut self) -> Result<Vec<PartitionInfo>> {
        Ok((0..self.feeds.len() as u32)
            .map(|number| PartitionInfo { number, name: number.to_string(), start: None })
            .collect())
    }

    async fn reader(&mut self, partition: u32, from: Option<&Position>) -> Result<Box<dyn PartitionReader>> {
        let skip = match from {
            Some(Position::Row(row)) => *row,
            Some(_) => u64::MAX,
            None => 0,
        };
        let (feeds, request, shared) = (Arc::clone(&self.feeds), self.request.clone(), Arc::clone(&self.shared));
        Ok(Box::new(ScenarioReader { feeds, request, shared, partition, event: 0, row: 0, skip, chunks: 0 }))
    }

    fn decoder(&self) -> Arc<dyn ChunkDecoder> {
        Arc::new(ScenarioDecoder { feeds: Arc::clone(&self.feeds), request: self.request.clone() })
    }
}

struct ScenarioReader {
    feeds: Arc<Vec<Feed>>,
    request: SourceRequest,
    shared: Arc<Shared>,
    partition: u32,
    event: usize,
    row: u64,
    skip: u64,
    chunks: u64,
}

#[async_trait]
impl PartitionReader for ScenarioReader {
    async fn next(&mut self) -> Result<Fetch> {
        loop {
            // The event is passed only behind the last await, so a dropped future loses nothing.
            let Some(event) = self.feeds[self.partition as usize].events.get(self.event) else {
                self.set_calm(true);
                return Ok(Fetch::End);
            };
            match event {
                Event::Rows(rows) => {
                    let (frames, count) = (Arc::new(rows.clone()), rows.len() as u64);
                    self.event += 1;
                    self.set_calm(false);
                    self.row += count;
                    if self.row <= self.skip {
                        continue;
                    }
                    self.shared.given.fetch_add(count, Ordering::Relaxed);
                    return Ok(Fetch::Chunk(self.chunk(frames, count)));
                }
                Event::Clock(by) => {
                    let by = Duration::from_micros(by.unsigned_abs());
                    self.all_calm().await;
                    self.event += 1;
                    self.request.clock.advance(by);
                }
                Event::CaughtUp => {
                    self.event += 1;
                    return Ok(Fetch::CaughtUp);
                }
                Event::Watermark(until) => {
                    let until = *until;
                    self.become_calm().await;
                    while self.request.progress.watermark.load(Ordering::Relaxed) < until {
                        tokio::task::yield_now().await;
                    }
                    self.event += 1;
                }
            }
        }
    }
}

impl ScenarioReader {
    fn set_calm(&self, calm: bool) {
        self.shared.calm[self.partition as usize].store(calm, Ordering::Release);
    }

    /// Waits until the runtime has taken all that was given and knows that this partition has nothing now. It asks once more
    /// before it says so and then drops that question; only the question after it is asked twice.
    async fn become_calm(&self) {
        let mut asked = 0;
        while asked < 2 {
            let given = self.shared.given.load(Ordering::Relaxed);
            asked = if Progress::get(&self.request.progress.records) >= given { asked + 1 } else { 0 };
            tokio::task::yield_now().await;
        }
        self.set_calm(true);
    }

    async fn all_calm(&self) {
        self.become_calm().await;
        while !self.shared.calm.iter().all(|calm| calm.load(Ordering::Acquire)) {
            tokio::task::yield_now().await;
        }
    }

    fn chunk(&mut self, frames: Arc<Vec<usize>>, rows: u64) -> Chunk {
        let number = self.chunks;
        self.chunks += 1;
        let origin = Origin {
            source: self.request.ordinal,
            partition: self.partition,
            base: 0,
            resource: Resource::Rows(Arc::from(self.request.name.as_str())),
            positions: Positions::Consecutive { first: self.row - rows + 1 },
        };
        let (partition, end) = (self.partition, Position::Row(self.row));
        Chunk { partition, number, bytes: Bytes::new(), origin, end, frames: Some(frames) }
    }
}

/// The field with the kind of a row.
const KIND: &str = "_op";

struct ScenarioDecoder {
    feeds: Arc<Vec<Feed>>,
    request: SourceRequest,
}

impl ChunkDecoder for ScenarioDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let rows = chunk.frames.as_ref().and_then(|frames| frames.downcast_ref::<Vec<usize>>());
        let Some(rows) = rows else { return Ok(Decoded::default()) };
        let feed = &self.feeds[chunk.partition as usize];
        let column = |column: &DecodeColumn| decode(feed, rows, column).map_err(|error| failed(error.message));
        let columns = self.request.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let fields: Vec<_> = self.request.columns.iter().map(|column| Arc::clone(&column.field)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let columns = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
            .map_err(|error| failed(error.to_string()))?;
        let changes = |row: &usize| feed.table.rows[*row].kind.is_some_and(|kind| kind != RowKind::Insert);
        let asked = self.request.columns.iter().any(|column| column.path == [KIND]);
        if !asked && rows.iter().any(changes) {
            return Err(failed("rows that change are read by a source with 'changelog.mode' = 'full'".to_owned()));
        }
        let whole = Batch { columns, kinds: None, origin: Some(chunk.origin.clone()), late_by: None };
        let size = self.request.batch_rows.max(1);
        let batches = (0..whole.rows()).step_by(size).map(|at| whole.slice(at, size.min(whole.rows() - at))).collect();
        let row_bytes = if self.request.keep_bytes { vec![0..0; whole.rows()] } else { Vec::new() };
        Ok(Decoded { batches, row_bytes, ..Decoded::default() })
    }
}

fn failed(message: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Decode, "reading the scenario's rows", message)
}

/// One column of some rows of a feed; a mistake has its line in the block.
pub(super) fn decode(feed: &Feed, rows: &[usize], column: &DecodeColumn) -> Result<ArrayRef, TableTextError> {
    let place = column.path.first().and_then(|name| feed.column(name));
    if column.path == [KIND] && place.is_none() {
        // The kinds stand before the rows.
        let kind = |row: &usize| feed.table.rows[*row].kind.unwrap_or(RowKind::Insert).symbol();
        return Ok(Arc::new(StringArray::from_iter_values(rows.iter().map(kind))));
    }
    let cell = |row: &usize| {
        let cell = feed.table.rows[*row].cells[place?].clone()?;
        inner(cell, &column.path[1..])
    };
    if column.raw {
        return Ok(Arc::new(rows.iter().map(cell).collect::<StringArray>()));
    }
    let one_column =
        |row: &usize| TextRow { line: feed.table.rows[*row].line, kind: None, cells: vec![cell(row)], batch: 0 };
    let table = TextTable { header: None, rows: rows.iter().map(one_column).collect() };
    let schema = Arc::new(Schema::new(vec![column.field.as_ref().clone().with_nullable(true)]));
    let batches = table.typed(&schema)?;
    match batches.as_slice() {
        [batch] => Ok(Arc::clone(batch.columns.column(0))),
        _ => Ok(arrow_array::new_empty_array(column.field.data_type())),
    }
}

/// The text of a field inside a cell that is JSON.
fn inner(cell: String, path: &[String]) -> Option<String> {
    if path.is_empty() {
        return Some(cell);
    }
    let whole: Value = serde_json::from_str(&cell).ok()?;
    let value = path.iter().try_fold(&whole, |value, name| value.get(name))?;
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The rows of all partitions as a table.
struct ScenarioTable {
    feeds: Arc<Vec<Feed>>,
    request: SourceRequest,
}

impl ScenarioTable {
    fn end(&self) -> SourceOffset {
        let position = |feed: &Feed| Position::Row(feed.order().len() as u64);
        let partitions = self.feeds.iter().enumerate();
        SourceOffset { partitions: partitions.map(|(at, feed)| (at.to_string(), position(feed))).collect() }
    }
}

#[async_trait]
impl TableDataSource for ScenarioTable {
    async fn bulk_load(&self) -> Result<TableStream> {
        let decoder = ScenarioDecoder { feeds: Arc::clone(&self.feeds), request: self.request.clone() };
        let mut items = Vec::new();
        for (partition, feed) in self.feeds.iter().enumerate() {
            let rows = Arc::new(feed.order());
            let origin = Origin {
                source: self.request.ordinal,
                partition: partition as u32,
                base: 0,
                resource: Resource::Rows(Arc::from(self.request.name.as_str())),
                positions: Positions::Consecutive { first: 1 },
            };
            let end = Position::Row(rows.len() as u64);
            let chunk =
                Chunk { partition: partition as u32, number: 0, bytes: Bytes::new(), origin, end, frames: Some(rows) };
            let batches = decoder.decode(&chunk)?.batches;
            let rows: usize = batches.iter().map(Batch::rows).sum();
            Progress::add(&self.request.progress.records, rows as u64);
            items.extend(batches.into_iter().map(|batch| Ok(TableItem::Batch(batch))));
        }
        items.push(Ok(TableItem::Offset(self.end())));
        Ok(Box::pin(stream::iter(items)))
    }

    async fn incremental_load(&self, _since: SourceOffset) -> Result<TableStream> {
        Ok(Box::pin(stream::iter([Ok(TableItem::Offset(self.end()))])))
    }

    async fn get_current_offset(&self) -> Result<SourceOffset> {
        Ok(self.end())
    }

    fn supports_incremental(&self) -> bool {
        true
    }
}
