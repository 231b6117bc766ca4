//! The rows of a changing input that are there when the watermark passes them: from then on they come once, and never change.
//!
//! A change carries the event time of its row, and behind the watermark there is none: an operator emits none there, and one of
//! a source comes late.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::Int64Array;
use arrow_array::types::Int64Type;
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::{Batch, RowKinds, Watermark};
use velo_eventtime::LateStrategy;
use velo_eventtime::late::for_row;

use super::grouping::times_of;
use super::late_rows::LateRows;
use super::row_table::Repeats;
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::beside::{PIECE, apart, values, with_beside};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::state::{KeyTable, is_sparse, keep};
use crate::window::LateCounters;

/// The table of the rows that wait, with how often each is there.
const WAITING: &str = "waiting";

/// Holds rows until the watermark has passed them, and lets changes cancel out meanwhile.
pub struct FoldByTime {
    schema: SchemaRef,
    /// The columns by which the tasks share the rows; none: there is one task.
    shared_by: Option<Vec<usize>>,
    late: LateRows,
    /// By all columns, the event time among them.
    rows: KeyTable,
    /// By row: how often it is there. A row may be taken before it comes.
    counts: Vec<i64>,
    /// By row: whether it waits.
    waits: Vec<bool>,
    waiting: BTreeMap<i64, Vec<u32>>,
    waiting_rows: usize,
    /// Rows that the watermark has passed, in the order of their times.
    passed: Vec<u32>,
    given: Repeats,
    watermark: Watermark,
    ids: Vec<u32>,
}

impl FoldByTime {
    /// The operator over rows of `schema`, which has an event time; `statement` names the query.
    pub fn new(schema: SchemaRef, late: LateStrategy, statement: &str) -> Result<Self> {
        let types = schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        Ok(Self {
            schema,
            shared_by: None,
            late: LateRows::new(late, statement),
            rows: KeyTable::new(&types)?,
            counts: Vec::new(),
            waits: Vec::new(),
            waiting: BTreeMap::new(),
            waiting_rows: 0,
            passed: Vec::new(),
            given: Repeats::default(),
            watermark: Watermark::NONE,
            ids: Vec::new(),
        })
    }

    /// One of several tasks, which share the rows by the values of these columns.
    pub fn shared_by(self, columns: Option<Vec<usize>>) -> Self {
        Self { shared_by: columns, ..self }
    }

    /// Each row of a batch is there so many times more, and waits.
    fn count(&mut self, batch: &Batch, more: impl Iterator<Item = i64>) -> Result<()> {
        let times = times_of(batch)?;
        self.rows.intern(batch.columns.columns(), batch.rows(), &mut self.ids)?;
        self.counts.resize(self.rows.len(), 0);
        self.waits.resize(self.rows.len(), false);
        for ((id, time), more) in self.ids.iter().zip(times).zip(more) {
            self.counts[*id as usize] += more;
            if !std::mem::replace(&mut self.waits[*id as usize], true) {
                self.waiting.entry(*time).or_default().push(*id);
                self.waiting_rows += 1;
            }
        }
        Ok(())
    }

    /// Forgets rows that have passed, once they are many.
    fn compact(&mut self) {
        if !is_sparse(self.waiting_rows, self.counts.len()) {
            return;
        }
        let new = self.rows.retain(&self.waits);
        self.waiting.values_mut().flatten().for_each(|row| *row = new[*row as usize]);
        keep(&mut self.counts, &self.waits);
        self.waits = vec![true; self.counts.len()];
    }
}

impl Operator for FoldByTime {
    fn memory(&self) -> usize {
        self.rows.memory() + self.counts.capacity() * (size_of::<i64>() + 1) + self.waiting_rows * size_of::<u32>()
    }

    fn held(&self) -> u64 {
        let waits = self.counts.iter().zip(&self.waits).filter(|(_, waits)| **waits);
        waits.map(|(count, _)| u64::try_from(*count).unwrap_or(0)).sum()
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        Some(Arc::clone(&self.late.counters))
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        if batch.is_empty() {
            return Ok(Flow::Done);
        }
        let batch = self.late.leave_out(batch, self.watermark, "a row window", for_row, out)?;
        let kinds = batch.kinds.as_ref().map(RowKinds::as_slice);
        let taken = |row: usize| kinds.is_some_and(|kinds| kinds[row].retracts());
        self.count(&batch, (0..batch.rows()).map(|row| if taken(row) { -1 } else { 1 }))?;
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.watermark = self.watermark.max(watermark);
        let waiting = match self.watermark {
            Watermark::END => BTreeMap::new(),
            Watermark(micros) => self.waiting.split_off(&micros),
        };
        let passed = std::mem::replace(&mut self.waiting, waiting);
        self.passed = passed.into_values().flatten().collect();
        self.given = Repeats::default();
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        while !out.is_full() {
            let times = |place: usize| u64::try_from(self.counts[self.passed[place] as usize]).unwrap_or(0);
            self.given.next(self.passed.len(), times, &mut self.ids);
            if self.ids.is_empty() {
                for row in self.passed.drain(..) {
                    self.counts[row as usize] = 0;
                    self.waits[row as usize] = false;
                    self.waiting_rows -= 1;
                }
                self.compact();
                out.watermark(self.watermark);
                return Ok(Flow::Done);
            }
            self.ids.iter_mut().for_each(|place| *place = self.passed[*place as usize]);
            out.batch(Batch::new(columns_of(&self.schema, self.rows.keys(&self.ids)?, self.ids.len())?));
        }
        Ok(Flow::More)
    }

    /// Rows that have passed are not there any more; those that wait are, also where they are gone or have not come.
    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        let waiting = self.waiting.values().flatten().copied().collect::<Vec<_>>();
        for rows in waiting.chunks(PIECE) {
            let counts = Int64Array::from_iter_values(rows.iter().map(|row| self.counts[*row as usize]));
            let columns = columns_of(&self.schema, self.rows.keys(rows)?, rows.len())?;
            let saved = with_beside(&columns, [("_count", Arc::new(counts) as _)])?;
            match &self.shared_by {
                Some(keys) => {
                    let keys = keys.iter().map(|at| Arc::clone(columns.column(*at))).collect::<Vec<_>>();
                    state.keyed(WAITING, &keys, &saved)?;
                }
                None => state.rows(WAITING, saved),
            }
        }
        self.late.counters.save(state)
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.watermark = state.watermark();
        for saved in state.rows(WAITING)? {
            let (rows, [counts]) = apart(WAITING, &saved, &self.schema)?;
            let rows = Batch::new(rows);
            self.count(&rows, values::<Int64Type>(WAITING, counts)?.iter().copied())?;
        }
        self.late.counters.load(state)
    }
}
