//! EXCEPT and INTERSECT [ALL] over inputs that end: how often each row comes from either side, and at the end the rows that stay.

use arrow_array::cast::AsArray;
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::{Batch, Watermark};
use velo_plan::plan::SetKind;

use super::row_table::Repeats;
use super::{Flow, InputId, Operator, Outbox};
use crate::error::{ExecError, Result};
use crate::state::KeyTable;

/// Combines two sides. The last column of its input says whether a row is of the right one.
#[derive(Debug)]
pub struct SetOperation {
    kind: SetKind,
    all: bool,
    output: SchemaRef,
    rows: KeyTable,
    /// By row: how often each side has it.
    counts: Vec<(u64, u64)>,
    ids: Vec<u32>,
    given: Repeats,
}

impl SetOperation {
    /// The operator of a set operation whose rows have the columns of `output`.
    pub fn new(kind: SetKind, all: bool, output: SchemaRef) -> Result<Self> {
        let types = output.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        Ok(Self {
            kind,
            all,
            output,
            rows: KeyTable::new(&types)?,
            counts: Vec::new(),
            ids: Vec::new(),
            given: Repeats::default(),
        })
    }

    /// Bytes of memory of its state.
    pub fn memory(&self) -> usize {
        self.rows.memory() + self.counts.capacity() * size_of::<(u64, u64)>()
    }
}

/// How often a row stays that each side has so often.
fn stays(kind: SetKind, all: bool, (left, right): (u64, u64)) -> u64 {
    match (kind, all) {
        (SetKind::Except, true) => left.saturating_sub(right),
        (SetKind::Except, false) => u64::from(left > 0 && right == 0),
        (SetKind::Intersect, true) => left.min(right),
        (SetKind::Intersect, false) => u64::from(left > 0 && right > 0),
    }
}

impl Operator for SetOperation {
    fn on_batch(&mut self, _input: InputId, batch: Batch, _out: &mut Outbox) -> Result<Flow> {
        let wrong = || ExecError::Internal("a set operation without its sides".to_owned());
        let (side, columns) = batch.columns.columns().split_last().ok_or_else(wrong)?;
        let side = side.as_boolean_opt().ok_or_else(wrong)?;
        self.rows.intern(columns, batch.rows(), &mut self.ids)?;
        self.counts.resize(self.rows.len(), (0, 0));
        for (id, right) in self.ids.iter().zip(side.values()) {
            let count = &mut self.counts[*id as usize];
            if right { count.1 += 1 } else { count.0 += 1 }
        }
        Ok(Flow::Done)
    }

    /// Nothing has come out yet, and what does has no event time.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        while !out.is_full() {
            let stays = |row: usize| stays(self.kind, self.all, self.counts[row]);
            self.given.next(self.counts.len(), stays, &mut self.ids);
            if self.ids.is_empty() {
                out.watermark(Watermark::END);
                return Ok(Flow::Done);
            }
            out.batch(Batch::new(columns_of(&self.output, self.rows.keys(&self.ids)?, self.ids.len())?));
        }
        Ok(Flow::More)
    }
}
