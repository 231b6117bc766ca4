//! Reference tables as the rest of the engine sees them: read, followed and written, without a word of how they are kept.
//!
//! A table is a row of immutable *versions*. A reader takes the version that stands ([`TableReader::version`]) and looks a whole
//! batch of keys up in it; it never waits for a writer, and everything that it finds is of one version. A writer
//! ([`TableWriter`]) applies changes and publishes them together as the next version. Who wants the content and then every
//! change follows the table ([`TableReader::follow`]).
//!
//! A table that goes on changing is an edge of the dataflow for barriers: the barrier of a checkpoint reaches whoever writes it, what the
//! table keeps is saved there ([`SavedTable`]), and those who follow it are told between the changes before and the changes behind.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::connector::CheckpointId;
use crate::error::Result;
use crate::offset::SourceOffset;
use crate::time::Watermark;

/// A bound on memory that several share, for one of them.
pub trait MemoryBudget: Send + Sync + fmt::Debug {
    /// It keeps so many bytes now, or would.
    ///
    /// # Errors
    ///
    /// Where all together keep more than they may, and this one is to give way.
    fn keeps(&self, bytes: usize) -> Result<()>;
}

/// A row of one version of a table: valid in that version alone. Which bits are what belongs to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableRow(pub u64);

impl TableRow {
    /// No row: what [`TableVersion::take`] gives NULL for.
    pub const NONE: Self = Self(u64::MAX);

    /// Whether this is a row.
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// The number of an index of a table: its place among the key columns that the table was made with. The primary key, where
/// there is one, is index 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexId(pub usize);

/// The rows found for a batch of keys: side by side, ascending by key; the rows of one key in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matches {
    /// Whose match it is: the key's place in the batch.
    pub keys: Vec<u32>,
    /// The row.
    pub rows: Vec<TableRow>,
}

impl Matches {
    /// Empties both, and keeps their memory.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.rows.clear();
    }
}

/// A table, for whoever reads it.
#[async_trait]
pub trait TableReader: Send + Sync + fmt::Debug {
    /// Its name in the script.
    fn name(&self) -> &str;

    /// Its columns; hidden and last the event time of the rows ([`crate::schema::EVENT_TIME`]), where it has one.
    fn schema(&self) -> &SchemaRef;

    /// Waits until the table is ready: each of its inputs has passed what was its end when the job started.
    ///
    /// # Errors
    ///
    /// Where it never will be: its load failed for good, or a table that it depends on did.
    async fn ready(&self) -> Result<()>;

    /// The version that stands. Before the table is ready this is what has been published so far.
    fn version(&self) -> Arc<dyn TableVersion>;

    /// Waits until the version that stands is another one than `number`, or its watermark has moved past `watermark`; never
    /// returns where `number` is the last version and the watermark is there for ever.
    async fn changed(&self, number: u64, watermark: Watermark);

    /// The content that stands, and then every change of it. Nothing between the two is missed.
    fn follow(&self) -> Box<dyn TableChanges>;

    /// Every change of the content that stands, for who was given that before a restart.
    fn follow_on(&self) -> Box<dyn TableChanges>;

    /// One more who will ask for rows as of event times. What the slowest of them can still ask for is kept; ask for all of them
    /// before the table gets rows that one may need.
    fn as_of_reader(&self) -> Arc<AsOfReader>;
}

/// Where someone stands who asks for rows as of event times ([`TableVersion::find_as_of`]). Gone when it is dropped.
#[derive(Debug)]
pub struct AsOfReader {
    now: AtomicI64,
    /// Where it stood at the last barrier, where it may be sent back to that.
    saved: Option<AtomicI64>,
}

impl Default for AsOfReader {
    /// Of one who may ask for any time.
    fn default() -> Self {
        Self { now: AtomicI64::new(Watermark::NONE.0), saved: None }
    }
}

impl AsOfReader {
    /// Of one who may ask for any time, and after a restart once more for what it asked for behind the last barrier.
    pub fn in_checkpoints() -> Self {
        Self { saved: Some(AtomicI64::new(Watermark::NONE.0)), ..Self::default() }
    }

    /// Will ask for no time below this any more. Only moves forward.
    pub fn advance(&self, watermark: Watermark) {
        self.now.fetch_max(watermark.0, Ordering::AcqRel);
    }

    /// A checkpoint keeps where it stands: it is sent back no further than to here.
    pub fn saved(&self) {
        if let Some(saved) = &self.saved {
            saved.fetch_max(self.now.load(Ordering::Acquire), Ordering::AcqRel);
        }
    }

    /// The first time that it may ask for.
    pub fn asks_from(&self) -> Watermark {
        Watermark(self.saved.as_ref().unwrap_or(&self.now).load(Ordering::Acquire))
    }
}

/// One version of a table. Nothing about it changes, but for the watermark.
pub trait TableVersion: Send + Sync + fmt::Debug {
    /// Counts up with every version that is published.
    fn number(&self) -> u64;

    /// Whether no other version can come: all inputs have ended, and nothing refreshes the table.
    fn is_last(&self) -> bool;

    /// How far the table is known by event time: a row of time t can be joined as of t once this is past t. Only moves forward;
    /// [`Watermark::END`] once the table cannot change any more.
    fn watermark(&self) -> Watermark;

    /// How many rows it has.
    fn rows(&self) -> u64;

    /// How many of its rows have a NULL in a column of this index.
    fn null_keys(&self, index: IndexId) -> u64;

    /// Whether each key of this index has one row at most.
    fn is_unique(&self, index: IndexId) -> bool;

    /// The one row of each key, or [`TableRow::NONE`]; `found` is emptied first and then has one entry per key. Of several rows
    /// of a key it is the last. `keys` holds the columns of the index, of the same types; a NULL in one of them finds nothing.
    fn find_one(&self, index: IndexId, keys: &[ArrayRef], found: &mut Vec<TableRow>) -> Result<()>;

    /// All rows of each key; `found` is emptied first.
    fn find(&self, index: IndexId, keys: &[ArrayRef], found: &mut Matches) -> Result<()>;

    /// The row of each primary key that was the newest at its time (microseconds of event time; the version whose event time is
    /// the latest not after it), or [`TableRow::NONE`]: there was none yet, or it was deleted. Only of a table that keeps its
    /// versions.
    fn find_as_of(&self, keys: &[ArrayRef], times: &[i64], found: &mut Vec<TableRow>) -> Result<()>;

    /// Every row, in the order in which they came, in batches of a few thousand.
    fn scan(&self) -> Box<dyn Iterator<Item = RecordBatch> + Send + '_>;

    /// All rows as [`TableRow`]s, in the order of [`TableVersion::scan`]: for joins without a key.
    fn all(&self, rows: &mut Vec<TableRow>);

    /// The values of these columns (by their places) in these rows; NULL for [`TableRow::NONE`].
    fn take(&self, rows: &[TableRow], columns: &[usize]) -> Result<Vec<ArrayRef>>;

    /// Bytes that it holds: columns, indexes, and what is kept for updates.
    fn memory(&self) -> usize;
}

/// A table's content, followed by its changes.
#[async_trait]
pub trait TableChanges: Send {
    /// The next of it. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<TableChange>;

    /// The checkpoint whose barrier had gone through the table last when this began: what it gives first has what came before that
    /// barrier, and may have what came behind it.
    fn begun_behind(&self) -> CheckpointId;
}

/// What happens in a table.
#[derive(Debug, Clone)]
pub enum TableChange {
    /// Rows that came, changed or went; of an update both halves.
    Rows(Batch),
    /// No more changes with an event time below this.
    Watermark(Watermark),
    /// The barrier of a checkpoint: the table was saved with the changes before it, and without those behind it.
    Barrier(CheckpointId),
    /// Everything that was there when the table was ready has been given.
    CaughtUp,
    /// The table cannot change any more.
    End,
}

/// A table, for the one who writes it. Readers see nothing of what was applied before it is published.
#[async_trait]
pub trait TableWriter: Send {
    /// Takes changes. With a primary key a row replaces the one that is there (which is counted where the row is a plain
    /// insert), `-D` deletes the row of its key, and a `-U` waits for its `+U`; without one rows are added, and a retraction
    /// takes one equal row back.
    fn apply(&mut self, batch: &Batch) -> Result<()>;

    /// Makes what was applied the next version, where there is something. Waits while those who follow the table are too far
    /// behind.
    async fn publish(&mut self) -> Result<()>;

    /// No more changes with an event time below this. What was applied is to be published first.
    fn advance(&mut self, watermark: Watermark);

    /// The barrier of a checkpoint has come: what was applied is published, and those who follow the table are told. Gives what the
    /// table keeps at this moment.
    async fn barrier(&mut self, checkpoint: CheckpointId) -> Result<Box<dyn TableSnapshot>>;

    /// The table is ready; what was applied is published.
    async fn ready(&mut self) -> Result<()>;

    /// The table is ready and cannot change any more; what was applied is published.
    async fn finish(&mut self) -> Result<()>;

    /// The table will never be ready, or get no more changes: who waits for it is told.
    fn fail(&mut self, message: String);
}

/// A table that is loaded and kept from outside of the dataflow, as checkpoints see it.
#[async_trait]
pub trait LoadedTable: Send + Sync {
    /// The barrier of a checkpoint has come: those who follow the table are told. Gives what the table keeps at this moment; nothing
    /// where it was never loaded.
    async fn barrier(&self, checkpoint: CheckpointId) -> Result<Option<Box<dyn TableSnapshot>>>;
}

/// What a table keeps at one moment, held by reference: the table goes on while it is saved.
pub trait TableSnapshot: Send + fmt::Debug {
    /// How many rows there are.
    fn rows(&self) -> u64;

    /// All of it as columns. Work for each of the rows.
    fn save(self: Box<Self>) -> Result<SavedTable>;
}

/// What a checkpoint keeps of a table.
#[derive(Debug, Clone)]
pub struct SavedTable {
    /// Its rows; of a table that keeps its versions these, with what each of them is in a column behind those of the table.
    pub rows: Vec<RecordBatch>,
    /// What is no row.
    pub head: SavedHead,
}

/// What a checkpoint keeps of a table beside its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedHead {
    /// How far the table was known by event time.
    pub watermark: Watermark,
    /// Plain inserts that had replaced a row under the same key.
    pub replaced: u64,
    /// Deletes of what was not there.
    pub absent: u64,
    /// How far its source had been read, where it was loaded from one.
    pub offset: Option<SourceOffset>,
}
