//! Rows as dense numbers, with the event time that each came with last.

use std::sync::Arc;

use arrow_array::{RecordBatch, TimestampMicrosecondArray};
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::{Batch, schema};

use super::window_aggregate::OUTPUT_ROWS;
use crate::error::Result;
use crate::state::{KeyTable, keep};

/// Gives each distinct row a number, and gives rows back.
///
/// A row is known by its columns; the event time is no part of it.
pub(crate) struct RowTable {
    schema: SchemaRef,
    rows: KeyTable,
    times: Vec<i64>,
}

impl RowTable {
    /// An empty table for rows of `schema`.
    pub(crate) fn new(schema: SchemaRef) -> Result<Self> {
        let types: Vec<_> = schema::visible(&schema).fields().iter().map(|field| field.data_type().clone()).collect();
        Ok(Self { schema, rows: KeyTable::new(&types)?, times: Vec::new() })
    }

    /// The columns of its rows.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The number of each row of a batch, into `ids`.
    pub(crate) fn intern(&mut self, batch: &Batch, ids: &mut Vec<u32>) -> Result<()> {
        let columns = batch.columns.columns();
        let visible = schema::event_time_index(batch.columns.schema_ref()).unwrap_or(columns.len());
        self.rows.intern(&columns[..visible], batch.rows(), ids)?;
        if let Some(times) = batch.event_times() {
            self.times.resize(self.rows.len(), i64::MIN);
            for (id, time) in ids.iter().zip(times.values()) {
                self.times[*id as usize] = *time;
            }
        }
        Ok(())
    }

    /// The rows with these numbers.
    pub(crate) fn rows(&self, ids: &[u32]) -> Result<RecordBatch> {
        let mut columns = self.rows.keys(ids)?;
        if schema::event_time_index(&self.schema).is_some() {
            let times = ids.iter().map(|id| self.times[*id as usize]);
            columns.push(Arc::new(TimestampMicrosecondArray::from_iter_values(times)));
        }
        Ok(columns_of(&self.schema, columns, ids.len())?)
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.times.clear();
    }

    /// Keeps some rows and numbers them anew; see [`KeyTable::retain`].
    pub(crate) fn retain(&mut self, stays: &[bool]) -> Vec<u32> {
        keep(&mut self.times, stays);
        self.rows.retain(stays)
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.rows.memory() + self.times.capacity() * size_of::<i64>()
    }
}

/// Rows that come as often as they are there, in pieces of a batch.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    row: usize,
    given: u64,
}

impl Repeats {
    /// The numbers of the rows that come next, into `ids`: of `rows` rows, each comes `times` times. None: all have come.
    pub(crate) fn next(&mut self, rows: usize, times: impl Fn(usize) -> u64, ids: &mut Vec<u32>) {
        ids.clear();
        while self.row < rows && ids.len() < OUTPUT_ROWS {
            let left = times(self.row) - self.given;
            let room = (OUTPUT_ROWS - ids.len()) as u64;
            ids.extend(std::iter::repeat_n(self.row as u32, left.min(room) as usize));
            (self.row, self.given) = if left > room { (self.row, self.given + room) } else { (self.row + 1, 0) };
        }
    }
}
