//! A version of a table: what stands between two publications, searched by whole batches of keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_array::{ArrayRef, RecordBatch};
use velo_core::error::{ConnectorError, ErrorKind, Result};
use velo_core::lookup::{IndexId, Matches, TableRow, TableVersion};
use velo_core::time::Watermark;

use crate::store::index::{Index, failed};
use crate::store::state::State;

/// One version of a table.
#[derive(Debug)]
pub(crate) struct Version {
    number: u64,
    last: bool,
    /// Shared with no other version: one that was replaced lacks the rows that a later watermark speaks of.
    watermark: Arc<AtomicI64>,
    state: State,
    memory: usize,
}

impl Version {
    /// The version of a number, with a copy of `state`.
    pub(crate) fn new(number: u64, last: bool, watermark: Watermark, state: State) -> Self {
        let memory = state.bytes();
        Self { number, last, watermark: Arc::new(AtomicI64::new(watermark.0)), state, memory }
    }

    /// The same version, whose content lies elsewhere.
    pub(crate) fn moved(&self, state: State) -> Self {
        let memory = state.bytes();
        Self { number: self.number, last: self.last, watermark: Arc::clone(&self.watermark), state, memory }
    }

    /// Moves the watermark forward.
    pub(crate) fn advance(&self, watermark: Watermark) {
        self.watermark.fetch_max(watermark.0, Ordering::AcqRel);
    }

    /// What it holds.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    fn index(&self, index: IndexId) -> Result<&Index> {
        self.state.indexes.get(index.0).ok_or_else(|| {
            let (name, count) = (&self.state.shape.name, self.state.indexes.len());
            let message = format!("table `{name}` has no index {}: there are {count}", index.0);
            ConnectorError::new(ErrorKind::Configuration, "looking up a table", message)
        })
    }
}

impl TableVersion for Version {
    fn number(&self) -> u64 {
        self.number
    }

    fn is_last(&self) -> bool {
        self.last
    }

    fn watermark(&self) -> Watermark {
        Watermark(self.watermark.load(Ordering::Acquire))
    }

    fn rows(&self) -> u64 {
        self.state.rows
    }

    fn null_keys(&self, index: IndexId) -> u64 {
        self.state.indexes.get(index.0).map_or(0, |index| index.nulls)
    }

    fn is_unique(&self, index: IndexId) -> bool {
        self.state.indexes.get(index.0).is_none_or(Index::is_unique)
    }

    fn find_one(&self, index: IndexId, keys: &[ArrayRef], found: &mut Vec<TableRow>) -> Result<()> {
        let index = self.index(index)?;
        index.find_last(&self.state.segments, &index.keys.sought(keys)?, found)
    }

    fn find(&self, index: IndexId, keys: &[ArrayRef], found: &mut Matches) -> Result<()> {
        let index = self.index(index)?;
        index.find(&self.state.segments, &index.keys.sought(keys)?, found)
    }

    fn find_as_of(&self, keys: &[ArrayRef], times: &[i64], found: &mut Vec<TableRow>) -> Result<()> {
        let Some(histories) = &self.state.histories else {
            let message = format!("table `{}` does not keep its versions", self.state.shape.name);
            return Err(ConnectorError::new(ErrorKind::Unsupported, "looking up a table as of a time", message)
                .advise("declare a PRIMARY KEY and an event time on it"));
        };
        let keys = self.index(IndexId(0))?.keys.sought(keys)?;
        if keys.hashes.len() != times.len() {
            let message = format!("{} keys with {} times", keys.hashes.len(), times.len());
            return Err(ConnectorError::new(ErrorKind::Configuration, "looking up a table as of a time", message));
        }
        histories.find(&self.state.segments, &keys, times, found)
    }

    fn scan(&self) -> Box<dyn Iterator<Item = RecordBatch> + Send + '_> {
        // Slices and a filter over columns of one schema: there is nothing that can fail.
        Box::new(self.state.scan().map_while(|batch| {
            debug_assert!(batch.is_ok(), "rows of a segment fit its schema: {batch:?}");
            batch.ok()
        }))
    }

    fn all(&self, rows: &mut Vec<TableRow>) {
        rows.clear();
        rows.extend(self.state.positions().map(TableRow));
    }

    fn take(&self, rows: &[TableRow], columns: &[usize]) -> Result<Vec<ArrayRef>> {
        let segments = &self.state.segments;
        let addresses: Vec<_> = rows.iter().map(|row| row.is_some().then(|| segments.address(row.0))).collect();
        columns.iter().map(|column| segments.gather(*column, &addresses).map_err(failed)).collect()
    }

    fn memory(&self) -> usize {
        self.memory
    }
}
