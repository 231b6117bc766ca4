//! The rows that are there at the end of a changing input.

use std::sync::Arc;

use arrow_array::Int64Array;
use arrow_array::types::Int64Type;
use arrow_schema::SchemaRef;
use velo_core::{Batch, Watermark};

use super::row_table::{Repeats, RowTable};
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::beside::{apart, pieces, values, with_beside};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;

/// The table of rows, with how often each is there.
const ROWS: &str = "rows";

/// Rows and how often each is there; at the end each comes as often as it is.
pub struct Fold {
    rows: RowTable,
    counts: Vec<i64>,
    given: Repeats,
    ids: Vec<u32>,
}

impl Fold {
    /// The operator over rows of `schema`.
    pub fn new(schema: SchemaRef) -> Result<Self> {
        Ok(Self { rows: RowTable::new(schema)?, counts: Vec::new(), given: Repeats::default(), ids: Vec::new() })
    }
}

impl Operator for Fold {
    fn memory(&self) -> usize {
        self.rows.memory() + self.counts.capacity() * size_of::<i64>()
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, _out: &mut Outbox) -> Result<Flow> {
        self.rows.intern(&batch, &mut self.ids)?;
        self.counts.resize(self.rows.len(), 0);
        let kinds = batch.kinds.as_ref().map(|kinds| kinds.as_slice());
        for (row, id) in self.ids.iter().enumerate() {
            let taken = kinds.is_some_and(|kinds| kinds[row].retracts());
            self.counts[*id as usize] += if taken { -1 } else { 1 };
        }
        Ok(Flow::Done)
    }

    /// Nothing is forwarded before the rows: their times lie behind.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        while !out.is_full() {
            // A row that was taken back without having come is not there.
            self.given.next(self.counts.len(), |row| u64::try_from(self.counts[row]).unwrap_or(0), &mut self.ids);
            if self.ids.is_empty() {
                self.rows.clear();
                self.counts.clear();
                out.watermark(Watermark::END);
                return Ok(Flow::Done);
            }
            out.batch(Batch::new(self.rows.rows(&self.ids)?));
        }
        Ok(Flow::More)
    }

    /// Rows that are not there now are saved too: one that comes again comes out in its first place.
    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        for rows in pieces(self.rows.len()) {
            let counts = Int64Array::from_iter_values(rows.iter().map(|row| self.counts[*row as usize]));
            state.rows(ROWS, with_beside(&self.rows.rows(&rows)?, [("_count", Arc::new(counts) as _)])?);
        }
        Ok(())
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        for saved in state.rows(ROWS)? {
            let (rows, [counts]) = apart(ROWS, &saved, self.rows.schema())?;
            let counts = values::<Int64Type>(ROWS, counts)?;
            self.rows.intern(&Batch::new(rows), &mut self.ids)?;
            self.counts.resize(self.rows.len(), 0);
            for (row, count) in self.ids.iter().zip(counts) {
                self.counts[*row as usize] += count;
            }
        }
        Ok(())
    }
}
