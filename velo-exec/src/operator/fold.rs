//! The rows that are there at the end of a changing input.

use arrow_schema::SchemaRef;
use velo_core::{Batch, Watermark};

use super::row_table::{Repeats, RowTable};
use super::{Flow, InputId, Operator, Outbox};
use crate::error::Result;

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
                out.watermark(Watermark::END);
                return Ok(Flow::Done);
            }
            out.batch(Batch::new(self.rows.rows(&self.ids)?));
        }
        Ok(Flow::More)
    }
}
