//! ORDER BY over a finished input: everything is held, ordered at the end, and given in batches.

use arrow_array::UInt32Array;
use arrow_ord::sort::{SortColumn, SortOptions, lexsort_to_indices};
use arrow_schema::SchemaRef;
use velo_core::{Batch, Watermark};
use velo_plan::plan::SortKey;

use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::rows::{pack, unpack};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::expr::Evaluator;

/// Rows of a batch that comes out.
const BATCH_ROWS: usize = 8_192;

/// The table of the rows that came, in that order.
const ROWS: &str = "rows";

/// Orders rows.
#[derive(Debug)]
pub struct Sort {
    keys: Vec<(Evaluator, SortOptions)>,
    schema: SchemaRef,
    held: Vec<Batch>,
    /// All rows and their order, once the input has ended.
    ordered: Option<(Batch, UInt32Array)>,
    next: usize,
}

impl Sort {
    /// Orders rows of `schema` by `keys`; equal ones keep the order in which they came.
    pub fn new(keys: &[SortKey], schema: SchemaRef, owner: &str) -> Result<Self> {
        let keys = keys
            .iter()
            .map(|key| {
                let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
                Ok((Evaluator::new(&key.expr, &schema, owner)?, options))
            })
            .collect::<Result<_>>()?;
        Ok(Self { keys, schema, held: Vec::new(), ordered: None, next: 0 })
    }
}

impl Operator for Sort {
    fn on_batch(&mut self, _input: InputId, batch: Batch, _out: &mut Outbox) -> Result<Flow> {
        self.held.push(batch);
        Ok(Flow::Done)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.keys.iter().try_for_each(|(key, _)| key.evaluate(batch).map(drop))
    }

    /// Nothing has come out yet, so no watermark but the last can be told.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        if self.held.is_empty() {
            return Ok(Flow::Done);
        }
        let all = Batch::concat(&self.schema, &std::mem::take(&mut self.held))?;
        let mut columns = Vec::with_capacity(self.keys.len() + 1);
        for (key, options) in &self.keys {
            columns.push(SortColumn { values: key.evaluate(&all)?, options: Some(*options) });
        }
        // The place of a row is the last key, so that equal rows keep their order.
        let places = UInt32Array::from_iter_values(0..all.rows() as u32);
        columns.push(SortColumn { values: std::sync::Arc::new(places), options: None });
        let order = lexsort_to_indices(&columns, None)?;
        self.ordered = Some((all, order));
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        let Some((all, order)) = &self.ordered else { return Ok(Flow::Done) };
        while self.next < order.len() {
            if out.is_full() {
                return Ok(Flow::More);
            }
            let rows = BATCH_ROWS.min(order.len() - self.next);
            out.batch(all.take(&order.slice(self.next, rows))?);
            self.next += rows;
        }
        self.ordered = None;
        Ok(Flow::Done)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        if !self.held.is_empty() {
            // As at the end: where there are several batches, the places of rows have no part in it.
            let all = Batch::concat(&self.schema, &std::mem::take(&mut self.held))?;
            state.rows(ROWS, pack(&all)?);
            self.held.push(all);
        }
        Ok(())
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        for saved in state.rows(ROWS)? {
            self.held.extend(unpack(&saved, &self.schema)?);
        }
        Ok(())
    }
}
