//! The state of an operator as plain columns, which any tool can read and another parallelism can share out anew.
//!
//! An operator saves *tables*: batches of rows under a name. A row that belongs to a key carries the key's group in a hidden
//! last column, so that whoever reads it later takes the rows of its own share alone. What is no table (a counter, a time) is a
//! *value* under a name.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt8Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt8Array};
use arrow_schema::{DataType, Field, Schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use velo_core::Watermark;
use velo_core::batch::columns_of;

use super::in_file::InFile;
use crate::error::{ExecError, Result};
use crate::spill::{SpillFile, SpillReader, SpillTables, Tables};
use crate::state::{KEY_GROUPS, KeyGrouper};

/// The hidden column with the key group of a row.
pub const KEY_GROUP: &str = "_key_group";

/// The state of one task of an operator, or of one of its shards.
#[derive(Debug, Clone, Default)]
pub struct OperatorState {
    /// Rows by the name of their table; all batches of a table have one schema.
    pub tables: BTreeMap<String, Vec<Chunk>>,
    /// What is no row.
    pub values: BTreeMap<String, serde_json::Value>,
    /// How far its input had come.
    pub reached: Reached,
    /// It is only a part of what its task kept.
    pub shard: bool,
}

impl OperatorState {
    /// Bytes that its tables take in memory, or would take there.
    pub fn bytes(&self) -> u64 {
        self.tables.values().flatten().map(Chunk::bytes).sum()
    }
}

/// Rows of a table of a state.
#[derive(Debug, Clone)]
pub enum Chunk {
    /// In memory.
    Here(RecordBatch),
    /// In memory, with keys whose groups are still to be found: whoever writes the rows down does that, while the task goes on.
    Keyed(Keyed),
    /// In the bytes of a file that was read.
    InFile(InFile),
    /// In a file of this process.
    Spilled(Arc<SpillFile>),
}

/// Rows that belong to keys.
#[derive(Debug, Clone)]
pub struct Keyed {
    rows: RecordBatch,
    keys: Vec<ArrayRef>,
}

impl Keyed {
    /// The rows with their key groups behind.
    fn with_groups(&self, grouper: &mut KeyGrouper) -> Result<RecordBatch> {
        let mut groups = Vec::new();
        grouper.key_groups(&self.keys, self.rows.num_rows(), &mut groups)?;
        let mut fields = self.rows.schema_ref().fields().to_vec();
        fields.push(Arc::new(Field::new(KEY_GROUP, DataType::UInt8, false)));
        let mut columns = self.rows.columns().to_vec();
        columns.push(Arc::new(UInt8Array::from(groups)));
        Ok(columns_of(&Arc::new(Schema::new(fields)), columns, self.rows.num_rows())?)
    }
}

impl From<RecordBatch> for Chunk {
    fn from(rows: RecordBatch) -> Self {
        Self::Here(rows)
    }
}

impl Chunk {
    /// The rows, where they are in memory.
    pub fn here(&self) -> Result<Option<RecordBatch>> {
        match self {
            Self::Here(rows) => Ok(Some(rows.clone())),
            Self::Keyed(keyed) => keyed.with_groups(&mut KeyGrouper::new()).map(Some),
            Self::InFile(rows) => Ok(Some(rows.read()?)),
            Self::Spilled(_) => Ok(None),
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Here(rows) | Self::Keyed(Keyed { rows, .. }) => rows.num_rows() as u64,
            Self::InFile(rows) => rows.rows(),
            Self::Spilled(file) => file.rows(),
        }
    }

    /// Bytes that they take in memory, or would take there.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Here(rows) | Self::Keyed(Keyed { rows, .. }) => bytes_of(rows),
            Self::InFile(rows) => rows.bytes(),
            Self::Spilled(file) => file.bytes(),
        }
    }
}

/// Bytes of rows, and of nothing else that lies in the buffers of their columns: those of a batch that was read are one.
pub(crate) fn bytes_of(rows: &RecordBatch) -> u64 {
    let bytes = |column: &ArrayRef| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size()) as u64
    };
    rows.columns().iter().map(bytes).sum()
}

/// The batches of chunks, one after the other.
#[derive(Debug)]
pub(crate) struct Batches {
    chunks: std::vec::IntoIter<Chunk>,
    open: Option<SpillReader>,
    grouper: KeyGrouper,
    in_place: bool,
}

impl Batches {
    pub(crate) fn of(chunks: Vec<Chunk>) -> Self {
        Self { chunks: chunks.into_iter(), open: None, grouper: KeyGrouper::new(), in_place: false }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(rows) = self.open.as_mut().and_then(Iterator::next) {
                return Some(rows);
            }
            match self.chunks.next()? {
                Chunk::Here(rows) => return Some(Ok(rows)),
                Chunk::Keyed(keyed) => return Some(keyed.with_groups(&mut self.grouper)),
                Chunk::InFile(rows) => {
                    let rows = if self.in_place { rows.in_place() } else { rows.read() };
                    return Some(rows.map_err(Into::into));
                }
                // The open file stays readable, whoever drops it.
                Chunk::Spilled(file) => match file.read() {
                    Ok(reader) => self.open = Some(reader),
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }
}

/// How far the input of an operator has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// The watermark that the operator was told last.
    pub told: Watermark,
    /// The watermark that came out of it last.
    pub sent: Watermark,
    /// Its inputs have ended, and it has said all that there was to say.
    pub ended: bool,
}

impl Default for Reached {
    fn default() -> Self {
        Self { told: Watermark::NONE, sent: Watermark::NONE, ended: false }
    }
}

/// Which of the tasks that share the keys reads a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The task, from 0.
    pub task: usize,
    /// How many tasks there are.
    pub tasks: usize,
}

impl Share {
    /// The one task that has all keys.
    pub const WHOLE: Self = Self { task: 0, tasks: 1 };

    /// Whether it has the keys of this group.
    pub fn has(self, group: u8) -> bool {
        task_of(group, self.tasks) == self.task
    }
}

/// The task that has a key group: neighbouring groups go to one task, so that another parallelism moves ranges.
pub fn task_of(group: u8, tasks: usize) -> usize {
    usize::from(group) * tasks / KEY_GROUPS
}

/// Takes the state of one operator. What is handed in is kept by reference and written later, or goes to disk at once.
#[derive(Debug, Default)]
pub struct StateWriter {
    tables: BTreeMap<String, Vec<Chunk>>,
    spilled: Option<SpillTables>,
    values: BTreeMap<String, serde_json::Value>,
    shards: Vec<OperatorState>,
    grouper: KeyGrouper,
}

impl StateWriter {
    /// Nothing saved yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing saved yet; rows go to disk as they come, so that they are not twice in memory.
    pub(crate) fn spilling(tables: SpillTables) -> Self {
        Self { spilled: Some(tables), ..Self::default() }
    }

    /// Has the rows that are saved from now on go to disk.
    pub(crate) fn spill(&mut self, tables: SpillTables) {
        self.spilled = Some(tables);
    }

    /// What a shard of the operator keeps, which has the form that the operator would save.
    pub(crate) fn shard(&mut self, state: OperatorState) {
        self.shards.push(OperatorState { shard: true, ..state });
    }

    /// Rows that belong to keys: `keys` are the values, one per row, of the columns by which the operator's input is exchanged
    /// (the same columns in the same order). Empty batches are dropped.
    pub fn keyed(&mut self, table: &str, keys: &[ArrayRef], rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let keyed = Keyed { rows: rows.clone(), keys: keys.to_vec() };
        match &mut self.spilled {
            Some(spilled) => spilled.take(table, &keyed.with_groups(&mut self.grouper)?),
            None => self.tables.entry(table.to_owned()).or_default().push(Chunk::Keyed(keyed)),
        }
        Ok(())
    }

    /// Rows of an operator that always runs as one task.
    pub fn rows(&mut self, table: &str, rows: RecordBatch) {
        if rows.num_rows() == 0 {
            return;
        }
        match &mut self.spilled {
            Some(spilled) => spilled.take(table, &rows),
            None => self.tables.entry(table.to_owned()).or_default().push(Chunk::Here(rows)),
        }
    }

    /// What is no row.
    pub fn value(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        let value = serde_json::to_value(value)
            .map_err(|error| ExecError::Internal(format!("the state '{name}' cannot be saved: {error}")))?;
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    /// All that was saved: what the task keeps, and behind it what its shards do, where it has some.
    ///
    /// # Errors
    ///
    /// [`ExecError::Spill`] where it could not be put on disk.
    pub fn finish(self, reached: Reached) -> Result<Vec<OperatorState>> {
        let spilled = self.spilled.map(SpillTables::finish).transpose()?.and_then(|mut of| of.remove(&0));
        let mut tables = self.tables;
        for (table, rows) in spilled.unwrap_or_default() {
            tables.entry(table).or_default().extend(rows);
        }
        let own = OperatorState { tables, values: self.values, reached, shard: !self.shards.is_empty() };
        let shards = self.shards.into_iter().map(|shard| OperatorState { reached, ..shard });
        Ok(std::iter::once(own).chain(shards).collect())
    }

    /// What was saved for each shard of those that [`StateWriter::spilling`] was told of, and the values, which are each one's.
    pub(crate) fn finish_shards(self) -> Result<(BTreeMap<usize, Tables>, BTreeMap<String, serde_json::Value>)> {
        let spilled = self.spilled.map(SpillTables::finish).transpose()?;
        Ok((spilled.unwrap_or_default(), self.values))
    }
}

/// Gives the state of one operator back to one of its tasks.
#[derive(Debug, Default)]
pub struct StateReader {
    /// What each of the tasks saved that there were, and the share of it that is read.
    saved: Vec<(OperatorState, Share)>,
}

impl StateReader {
    /// The state that the tasks of an operator saved, in their order, for one of those that run now.
    pub fn new(saved: Vec<OperatorState>, share: Share) -> Self {
        Self { saved: saved.into_iter().map(|saved| (saved, share)).collect() }
    }

    /// Also gives what another operator saved, whose part this one does too, and goes by how far its own input had come.
    pub fn absorb(&mut self, other: Self) {
        let reached = self.reached();
        self.saved.extend(other.saved.into_iter().map(|(saved, share)| (OperatorState { reached, ..saved }, share)));
    }

    /// Takes the rows of a table that belong to this task, without the key group; empty where none was saved.
    pub fn rows(&mut self, table: &str) -> Result<Vec<RecordBatch>> {
        self.take(table).collect()
    }

    /// As [`StateReader::rows`], but hands them to `take` batch by batch, as they come from disk.
    pub fn each(&mut self, table: &str, mut take: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        self.take(table).try_for_each(|rows| rows.and_then(&mut take))
    }

    /// As [`StateReader::rows`], but one batch after the other, and nothing of the rest yet.
    pub(crate) fn take(&mut self, table: &str) -> SavedRows {
        let tables = self.saved.iter_mut().filter_map(|(saved, share)| Some((saved.tables.remove(table)?, *share)));
        let parts = tables.collect::<Vec<_>>();
        let rows = |(chunks, share): &(Vec<Chunk>, Share)| {
            chunks.iter().map(Chunk::rows).sum::<u64>().div_ceil(share.tasks as u64)
        };
        SavedRows {
            table: table.to_owned(),
            about: parts.iter().map(rows).sum(),
            parts: parts.into_iter(),
            in_place: false,
            open: None,
        }
    }

    /// Bytes that all tables take in memory, or would take there.
    pub(crate) fn bytes(&self) -> u64 {
        self.saved.iter().map(|(saved, _)| saved.bytes()).sum()
    }

    /// Hands the rows of all tables that belong to this task to `take`, with the key group where they have one, and gives the values of
    /// each that saved some.
    pub(crate) fn into_rows(
        self,
        mut take: impl FnMut(&str, &RecordBatch),
    ) -> Result<Vec<BTreeMap<String, serde_json::Value>>> {
        let mut values = Vec::new();
        for (saved, share) in self.saved {
            for (table, chunks) in saved.tables {
                for batch in Batches::of(chunks) {
                    of_share(&table, batch?, share)?.into_iter().for_each(|rows| take(&table, &rows));
                }
            }
            values.push(saved.values);
        }
        Ok(values)
    }

    /// The value of that name; of several tasks the first that saved one. `None` where none did.
    pub fn value<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        Ok(self.values(name)?.into_iter().next())
    }

    /// The values of that name of all tasks that saved one.
    pub fn values<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>> {
        let values = self.saved.iter().filter_map(|(saved, _)| saved.values.get(name));
        let read = |value: &serde_json::Value| T::deserialize(value).map_err(|error| damaged(name, &error.to_string()));
        values.map(read).collect()
    }

    /// How far the input of the operator had come when it was saved, in all of its tasks.
    pub fn reached(&self) -> Reached {
        let all = self.saved.iter().map(|(saved, _)| saved.reached);
        let both = |one: Reached, other: Reached| Reached {
            told: one.told.min(other.told),
            sent: one.sent.min(other.sent),
            ended: one.ended && other.ended,
        };
        all.reduce(both).unwrap_or_default()
    }

    /// The watermark that the operator was told last before it was saved.
    pub fn watermark(&self) -> Watermark {
        self.reached().told
    }
}

/// The rows of a table that belong to one task.
#[derive(Debug)]
pub(crate) struct SavedRows {
    table: String,
    /// How many there were, if keys are shared out evenly.
    about: u64,
    parts: std::vec::IntoIter<(Vec<Chunk>, Share)>,
    in_place: bool,
    open: Option<(Batches, Share)>,
}

impl SavedRows {
    /// The same for who keeps no column as it is: columns lie in the file that was read, and keep it in memory.
    pub(crate) fn in_place(self) -> Self {
        Self { in_place: true, ..self }
    }

    /// How many rows there are, about.
    pub(crate) fn about(&self) -> usize {
        usize::try_from(self.about).unwrap_or(usize::MAX)
    }

    /// Those of a batch that belong to the task, without the key group.
    fn own(&self, batch: RecordBatch, share: Share) -> Result<Option<RecordBatch>> {
        let Some(rows) = of_share(&self.table, batch, share)? else { return Ok(None) };
        let width = rows.num_columns() - usize::from(key_groups(&self.table, &rows)?.is_some());
        Ok(Some(rows.project(&(0..width).collect::<Vec<_>>())?))
    }
}

impl Iterator for SavedRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let next = self.open.as_mut().and_then(|(batches, share)| Some((batches.next()?, *share)));
            let Some((batch, share)) = next else {
                let (chunks, share) = self.parts.next()?;
                self.open = Some((Batches { in_place: self.in_place, ..Batches::of(chunks) }, share));
                continue;
            };
            if let Some(rows) = batch.and_then(|batch| self.own(batch, share)).transpose() {
                return Some(rows);
            }
        }
    }
}

/// The key groups of rows that belong to keys; none of others.
pub(crate) fn key_groups<'a>(table: &str, rows: &'a RecordBatch) -> Result<Option<&'a UInt8Array>> {
    if rows.schema_ref().fields().last().is_none_or(|last| last.name() != KEY_GROUP) {
        return Ok(None);
    }
    let groups = rows.columns().last().and_then(|groups| groups.as_primitive_opt::<UInt8Type>());
    groups.map(Some).ok_or_else(|| damaged(table, "its key groups are no numbers"))
}

/// Those rows of a batch that belong to a share; none where there are none.
fn of_share(table: &str, rows: RecordBatch, share: Share) -> Result<Option<RecordBatch>> {
    let Some(groups) = key_groups(table, &rows)? else { return Ok(Some(rows).filter(|_| share.task == 0)) };
    if share == Share::WHOLE {
        return Ok(Some(rows));
    }
    let mine: BooleanArray = groups.values().iter().map(|group| Some(share.has(*group))).collect();
    let rows = arrow_select::filter::filter_record_batch(&rows, &mine)?;
    Ok(Some(rows).filter(|rows| rows.num_rows() > 0))
}

/// A state that does not have the form in which it was saved.
pub fn damaged(what: &str, why: &str) -> ExecError {
    ExecError::State { what: what.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;

    use crate::spill::MemoryPool;

    use super::*;

    fn keys(values: &[i64]) -> (ArrayRef, RecordBatch) {
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false)]));
        (Arc::clone(&column), RecordBatch::try_new(schema, vec![column]).unwrap())
    }

    #[test]
    fn each_row_goes_to_the_task_that_has_its_key() {
        let mut saved = Vec::new();
        for part in [0..300_i64, 300..1_000] {
            let (key, rows) = keys(&part.collect::<Vec<_>>());
            let mut writer = StateWriter::new();
            writer.keyed("t", &[key], &rows).unwrap();
            saved.push(writer.finish(Reached::default()).unwrap().remove(0));
        }
        for tasks in [1, 2, 5, 256] {
            let mut all = Vec::new();
            for task in 0..tasks {
                let mut reader = StateReader::new(saved.clone(), Share { task, tasks });
                let mut groups = Vec::new();
                for batch in reader.rows("t").unwrap() {
                    assert_eq!(batch.num_columns(), 1);
                    KeyGrouper::new().key_groups(batch.columns(), batch.num_rows(), &mut groups).unwrap();
                    assert!(groups.iter().all(|group| task_of(*group, tasks) == task));
                    all.extend_from_slice(batch.column(0).as_primitive::<arrow_array::types::Int64Type>().values());
                }
                assert!(reader.rows("t").unwrap().is_empty(), "what was taken is gone");
            }
            all.sort_unstable();
            assert_eq!(all, (0..1_000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_was_saved_before_the_rest_goes_to_disk_is_kept() {
        let (_, rows) = keys(&[1, 2]);
        let mut writer = StateWriter::new();
        writer.rows("first", rows.clone());
        writer.spill(SpillTables::whole(&MemoryPool::forced()));
        writer.rows("first", rows.clone());
        writer.rows("second", rows);
        let saved = writer.finish(Reached::default()).unwrap();
        let mut reader = StateReader::new(saved, Share::WHOLE);
        let read = |reader: &mut StateReader, table| {
            reader.rows(table).unwrap().iter().map(RecordBatch::num_rows).sum::<usize>()
        };
        assert_eq!((read(&mut reader, "first"), read(&mut reader, "second")), (4, 2));
    }

    #[test]
    fn rows_without_keys_and_values_are_the_first_tasks() {
        let (_, rows) = keys(&[1, 2]);
        let mut writer = StateWriter::new();
        writer.rows("t", rows);
        writer.value("count", &3_u64).unwrap();
        let saved = writer.finish(Reached { told: Watermark(7), ended: true, ..Reached::default() }).unwrap();
        let mut first = StateReader::new(saved.clone(), Share { task: 0, tasks: 2 });
        assert_eq!((first.rows("t").unwrap().len(), first.value::<u64>("count").unwrap()), (1, Some(3)));
        assert_eq!((first.watermark(), first.reached().ended), (Watermark(7), true));
        let mut second = StateReader::new(saved, Share { task: 1, tasks: 2 });
        assert!(second.rows("t").unwrap().is_empty());
        assert!(second.value::<String>("count").unwrap_err().to_string().contains("count"));
    }
}
