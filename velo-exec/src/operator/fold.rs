//! The rows that are there at the end of a changing input.

use arrow_schema::SchemaRef;
use velo_core::{Batch, Watermark, schema};

use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::error::Result;
use crate::state::KeyTable;

/// Rows and how often each is there; at the end each comes as often as it is.
///
/// A row is known by its columns; the event time is no part of it.
pub struct Fold {
    schema: SchemaRef,
    rows: KeyTable,
    counts: Vec<i64>,
    times: Vec<i64>,
    /// What is left to write: rows by their number.
    left: Vec<u32>,
    written: usize,
    ids: Vec<u32>,
}

impl Fold {
    /// The operator over rows of `schema`.
    pub fn new(schema: SchemaRef) -> Result<Self> {
        let types: Vec<_> = schema::visible(&schema).fields().iter().map(|field| field.data_type().clone()).collect();
        let rows = KeyTable::new(&types)?;
        let (counts, times, left, ids) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Ok(Self { schema, rows, counts, times, left, written: 0, ids })
    }
}

impl Operator for Fold {
    fn on_batch(&mut self, _input: InputId, batch: Batch, _out: &mut Outbox) -> Result<Flow> {
        let columns = batch.columns.columns();
        let visible = schema::event_time_index(batch.columns.schema_ref()).unwrap_or(columns.len());
        self.rows.intern(&columns[..visible], batch.rows(), &mut self.ids)?;
        self.counts.resize(self.rows.len(), 0);
        let kinds = batch.kinds.as_ref().map(|kinds| kinds.as_slice());
        for (row, id) in self.ids.iter().enumerate() {
            let taken = kinds.is_some_and(|kinds| kinds[row].retracts());
            self.counts[*id as usize] += if taken { -1 } else { 1 };
        }
        if let Some(times) = batch.event_times() {
            self.times.resize(self.rows.len(), i64::MIN);
            for (id, time) in self.ids.iter().zip(times.values()) {
                self.times[*id as usize] = *time;
            }
        }
        Ok(Flow::Done)
    }

    /// Nothing is forwarded before the rows: their times lie behind.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        for (id, count) in self.counts.iter().enumerate() {
            self.left.extend(std::iter::repeat_n(id as u32, usize::try_from(*count).unwrap_or(0)));
        }
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        while self.written < self.left.len() {
            if out.is_full() {
                return Ok(Flow::More);
            }
            let to = self.left.len().min(self.written + OUTPUT_ROWS);
            let ids = &self.left[self.written..to];
            let mut columns = self.rows.keys(ids)?;
            if schema::event_time_index(&self.schema).is_some() {
                let times = ids.iter().map(|id| self.times[*id as usize]);
                columns.push(std::sync::Arc::new(arrow_array::TimestampMicrosecondArray::from_iter_values(times)));
            }
            let batch = velo_core::batch::columns_of(&self.schema, columns, ids.len())?;
            self.written = to;
            out.batch(Batch::new(batch));
        }
        out.watermark(Watermark::END);
        Ok(Flow::Done)
    }
}
