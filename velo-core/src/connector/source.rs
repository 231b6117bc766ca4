//! The stream source: partitions that are cut into chunks in order, and a decoder that turns chunks into batches in parallel.
//!
//! A reader of a partition cuts chunks of about half a mebibyte at record ends, numbers them and counts positions; workers of the
//! runtime decode a chunk; the runtime's source task takes the decoded chunks by number. So one file or one Kafka partition
//! uses all cores, and the order, the lateness and the places stay what they would be on one.

use std::ops::{Range, RangeTo};
use std::sync::Arc;

use arrow_schema::{FieldRef, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;

use crate::batch::Batch;
use crate::clock::Clock;
use crate::dead_letter::RecordAttributes;
use crate::error::Result;
use crate::offset::{Position, SourceOffset};
use crate::place::Place;
use crate::progress::Progress;

/// One column that a decoder must make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeColumn {
    /// The name, type and nullability of the column that is made.
    pub field: FieldRef,
    /// Where its value is in a record: one name for a top-level field, more for a nested one (`payload.ts`).
    pub path: Vec<String>,
    /// Whether `path` must match exactly; else an exact match wins over one that differs only in case.
    pub exact: bool,
    /// The value's own text is wanted, whatever it is (a number's digits, a string's content): the column is text, and its
    /// meaning is decided later. Used for event times. A source whose values are typed already gives a TIMESTAMP or a number
    /// as it is.
    pub raw: bool,
}

impl DecodeColumn {
    /// The field of a record that has the column's name.
    pub fn of(field: &FieldRef) -> Self {
        Self { field: FieldRef::clone(field), path: vec![field.name().clone()], exact: false, raw: false }
    }
}

/// What a source needs to know to open.
#[derive(Debug, Clone)]
pub struct SourceRequest {
    /// The name in the script.
    pub name: String,
    /// The source's number in the script, for [`crate::Origin::source`].
    pub ordinal: u32,
    /// The declared (or inferred) columns, in order, also those that are not decoded: a CSV file without a header goes by it.
    pub declared: SchemaRef,
    /// The columns to decode: what the plan uses. System columns (`_timestamp`, `_path`, `_line`, …) are asked for by name.
    pub columns: Vec<DecodeColumn>,
    /// The largest number of rows of a batch.
    pub batch_rows: usize,
    /// Whether a bad record's exact bytes are wanted, and what it has beside them (`dead_letter`).
    pub keep_bytes: bool,
    /// The clock.
    pub clock: Clock,
    /// Counters to keep.
    pub progress: Arc<Progress>,
}

/// A partition that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its number within the source.
    pub number: u32,
    /// Its name, which stays the same over restarts: the path or glob, `topic/3`.
    pub name: String,
    /// Where its reader begins without a saved position, where that was found out when the source was opened: a checkpoint keeps it
    /// before there is a record, so that a restart begins there too.
    pub start: Option<Position>,
}

/// A run of whole records of one partition.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The partition's number.
    pub partition: u32,
    /// Counts the partition's chunks from 0 without gaps.
    pub number: u64,
    /// The records.
    pub bytes: Bytes,
    /// Where the first record is; positions of further records follow from the bytes.
    pub origin: crate::place::Origin,
    /// The position behind the last record.
    pub end: Position,
    /// What the connector needs beside the bytes (the ends of the records of a Kafka fetch, their times and headers).
    pub frames: Option<Arc<dyn std::any::Any + Send + Sync>>,
}

/// What a partition has to give.
#[derive(Debug)]
pub enum Fetch {
    /// The next records.
    Chunk(Chunk),
    /// Everything that was there when the reader was opened has been given; more may come. Once at most: what is made of a
    /// source that does not end, such as a table, is complete so far. A source that ends need not say so.
    CaughtUp,
    /// Nothing more will come.
    End,
}

/// A record that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// Where it is.
    pub place: Place,
    /// The field that was wrong, if one was.
    pub field: Option<String>,
    /// What was wrong, with the value and what was expected.
    pub message: String,
    /// The record's bytes in the chunk, where asked for.
    pub bytes: Option<Bytes>,
    /// How many good rows of the chunk come before it.
    pub after_rows: usize,
}

/// A decoded chunk.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The good rows in order; each batch has its origin and the columns asked for, in that order.
    pub batches: Vec<Batch>,
    /// The bad records in order.
    pub errors: Vec<RecordError>,
    /// Each good row's bytes in the chunk, over all batches; empty unless asked for by `keep_bytes`.
    pub row_bytes: Vec<Range<usize>>,
    /// Fields met that the schema lacks.
    pub unknown_fields: u64,
    /// Records that are no rows, and not bad: those without a value.
    pub no_rows: u64,
    /// The time in microseconds that the system itself gives each row, over all batches: the event time of a row that deletes and has
    /// nothing but its key. Empty where there is none of these.
    pub record_times: Vec<i64>,
}

/// A source of records without end or with one.
#[async_trait]
pub trait StreamSource: Send {
    /// Told once, before anything is asked, how far the source was read before; nothing where it begins.
    async fn resume(&mut self, _from: &SourceOffset) -> Result<()> {
        Ok(())
    }

    /// Which partitions, by their numbers, are read to their ends before any other is, and leave the watermark there; none where all
    /// are read beside each other.
    fn leading(&self) -> Option<RangeTo<u32>> {
        None
    }

    /// The partitions that are there now.
    async fn partitions(&mut self) -> Result<Vec<PartitionInfo>>;

    /// Waits until there are partitions that [`StreamSource::partitions`] has not given yet; never returns where there
    /// cannot be any.
    async fn changed(&mut self) -> Result<()> {
        std::future::pending().await
    }

    /// A reader of one partition, from `from` on or from the start.
    async fn reader(&mut self, partition: u32, from: Option<&Position>) -> Result<Box<dyn PartitionReader>>;

    /// What turns chunks into batches.
    fn decoder(&self) -> Arc<dyn ChunkDecoder>;

    /// The newest complete checkpoint covers everything up to `offset`: a source whose system shows how far it was read says so there.
    /// Nothing goes by that, so a failure is no error.
    fn checkpointed(&mut self, _offset: &SourceOffset) {}

    /// Everything up to `offset` is covered by the oldest kept checkpoint: a source that forgets may do so.
    async fn acknowledge(&mut self, _offset: &SourceOffset) -> Result<()> {
        Ok(())
    }
}

/// Cuts one partition into chunks.
#[async_trait]
pub trait PartitionReader: Send {
    /// The next chunk. While the future is pending the partition has nothing to give, which is what idleness goes by.
    /// Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Fetch>;
}

/// Turns chunks into batches; called by several workers at once.
pub trait ChunkDecoder: Send + Sync {
    /// Decodes one chunk. Bad records are part of the result; `Err` means that the whole chunk cannot be read.
    fn decode(&self, chunk: &Chunk) -> Result<Decoded>;

    /// The fields that the record at a position of the chunk has, for the message about one that it lacks; empty where that
    /// cannot be said.
    fn fields_at(&self, _chunk: &Chunk, _position: u64) -> Vec<String> {
        Vec::new()
    }

    /// What the record at a position of the chunk has beside its bytes, for its dead letter; `None` where there is nothing of the like,
    /// or [`SourceRequest::keep_bytes`] did not ask for it.
    fn attributes_at(&self, _chunk: &Chunk, _position: u64) -> Option<RecordAttributes> {
        None
    }

    /// When the system that keeps the records took in those that these rows of the chunk are of; `None` where it does not say.
    fn taken_in(&self, _chunk: &Chunk, _rows: &Batch) -> Option<TakenIn> {
        None
    }
}

/// When the system that keeps records took in those that some rows are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenIn {
    /// The time for each row, by that system's own clock, in microseconds since 1970.
    pub times: Vec<i64>,
    /// What messages call such a time.
    pub name: &'static str,
}
