//! EXCEPT and INTERSECT [ALL]: how often each row is there on either side, and the rows that stay, at the end or as they come and go.

use std::sync::Arc;

use arrow_array::Int64Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::{Batch, RowKind, RowKinds, Watermark};
use velo_plan::plan::{Emission, SetKind, StateTtl};

use super::row_table::Repeats;
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::beside::{apart, numbers, pieces, values, with_beside};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::state::{KeyTable, Ttl, is_sparse, keep};

/// The table of rows: how often each is there on either side, and when it was touched last.
const ROWS: &str = "rows";

/// Combines two sides. The last column of its input says whether a row is of the right one.
#[derive(Debug)]
pub struct SetOperation {
    kind: SetKind,
    all: bool,
    emission: Emission,
    output: SchemaRef,
    rows: KeyTable,
    /// By row: how often it is there on each side. A row may be taken before it comes.
    counts: Vec<(i64, i64)>,
    /// Rows with a count.
    alive: usize,
    /// Which rows are forgotten.
    ttl: Option<Ttl>,
    ids: Vec<u32>,
    /// In this batch: rows that changed, and whether a row is among them.
    changed: Vec<Changed>,
    seen: Vec<bool>,
    given: Repeats,
}

/// A row, and how often it stayed before a batch changed that.
#[derive(Debug, Clone, Copy)]
struct Changed {
    row: u32,
    before: u64,
}

impl SetOperation {
    /// The operator of a set operation whose rows have the columns of `output`; `ttl` says when a row is forgotten.
    pub fn new(kind: SetKind, all: bool, emission: Emission, ttl: Option<StateTtl>, output: SchemaRef) -> Result<Self> {
        let types = output.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        Ok(Self {
            kind,
            all,
            emission,
            output,
            rows: KeyTable::new(&types)?,
            counts: Vec::new(),
            alive: 0,
            ttl: ttl.map(Ttl::new),
            ids: Vec::new(),
            changed: Vec::new(),
            seen: Vec::new(),
            given: Repeats::default(),
        })
    }

    /// How often a row stays.
    fn stays(&self, row: usize) -> u64 {
        stays(self.kind, self.all, self.counts[row])
    }

    fn count(&mut self, row: u32, right: bool, by: i64) {
        let count = &mut self.counts[row as usize];
        let before = *count != (0, 0);
        if right {
            count.1 += by
        } else {
            count.0 += by
        }
        match (before, *count != (0, 0)) {
            (false, true) => self.alive += 1,
            (true, false) => self.alive -= 1,
            _ => {}
        }
    }

    /// Counts the rows of a batch, and tells what becomes of them where that comes early.
    fn take(&mut self, batch: &Batch, right: impl Fn(usize) -> bool, out: &mut Outbox) -> Result<()> {
        let kinds = batch.kinds.as_ref().map(RowKinds::as_slice);
        let by = |row: usize| if kinds.is_some_and(|kinds| kinds[row].retracts()) { -1 } else { 1 };
        let ids = std::mem::take(&mut self.ids);
        let mut told = Told::default();
        let touches = self.ttl.as_ref().map(|ttl| ttl.times(batch, out.now()));
        for (row, id) in ids.iter().enumerate() {
            if let Some(touches) = &touches {
                self.come_to(*id, touches(row), &mut told);
            }
            if self.emission.early && !std::mem::replace(&mut self.seen[*id as usize], true) {
                self.changed.push(Changed { row: *id, before: self.stays(*id as usize) });
            }
            self.count(*id, right(row), by(row));
            if self.emission.per_record {
                self.tell(&mut told);
            }
        }
        self.tell(&mut told);
        self.ids = ids;
        if !told.rows.is_empty() {
            let columns = columns_of(&self.output, self.rows.keys(&told.rows)?, told.rows.len())?;
            out.batch(Batch::changes(columns, told.kinds));
        }
        Ok(())
    }

    /// A row comes at this time, and begins anew if its own is over.
    fn come_to(&mut self, row: u32, time: i64, told: &mut Told) {
        if self.ttl.as_ref().is_some_and(|ttl| ttl.is_over(row, time)) {
            // What changed before is told, and then stays as it was shown.
            self.tell(told);
            self.forget(row);
        }
        if let Some(ttl) = &mut self.ttl {
            ttl.touch(row, time);
        }
    }

    /// A row is on neither side any more; what was shown of it stays.
    fn forget(&mut self, row: u32) {
        let counts = std::mem::take(&mut self.counts[row as usize]);
        self.alive -= usize::from(counts != (0, 0));
        if let Some(ttl) = &mut self.ttl {
            ttl.forget(row);
        }
    }

    /// Forgets the rows whose time is over at `time`, and asks to be called when the next could be.
    fn expire(&mut self, time: i64, out: &mut Outbox) {
        out.expired(&mut self.ttl, time).into_iter().for_each(|row| self.forget(row));
        self.compact();
    }

    /// Rows that are gone, then rows that have come.
    fn tell(&mut self, told: &mut Told) {
        for kind in [RowKind::Delete, RowKind::Insert] {
            for Changed { row, before } in &self.changed {
                let after = self.stays(*row as usize);
                let times =
                    if kind == RowKind::Delete { before.saturating_sub(after) } else { after.saturating_sub(*before) };
                // One row of a batch changes what stays by one, so there are no more of them than rows came.
                told.rows.extend(std::iter::repeat_n(*row, times as usize));
                told.kinds.resize(told.rows.len(), kind);
            }
        }
        for Changed { row, .. } in self.changed.drain(..) {
            self.seen[row as usize] = false;
        }
    }

    /// Forgets rows that are on neither side, once they are many.
    fn compact(&mut self) {
        if !is_sparse(self.alive, self.counts.len()) {
            return;
        }
        let stays: Vec<bool> = self.counts.iter().map(|count| *count != (0, 0)).collect();
        let numbers = self.rows.retain(&stays);
        if let Some(ttl) = &mut self.ttl {
            ttl.renumber(&numbers);
        }
        keep(&mut self.counts, &stays);
        self.seen.truncate(self.counts.len());
    }
}

/// Rows on their way out.
#[derive(Debug, Default)]
struct Told {
    rows: Vec<u32>,
    kinds: Vec<RowKind>,
}

/// How often a row stays that each side has so often.
fn stays(kind: SetKind, all: bool, (left, right): (i64, i64)) -> u64 {
    let there = |count: i64| u64::try_from(count).unwrap_or(0);
    let (left, right) = (there(left), there(right));
    match (kind, all) {
        (SetKind::Except, true) => left.saturating_sub(right),
        (SetKind::Except, false) => u64::from(left > 0 && right == 0),
        (SetKind::Intersect, true) => left.min(right),
        (SetKind::Intersect, false) => u64::from(left > 0 && right > 0),
    }
}

impl Operator for SetOperation {
    fn memory(&self) -> usize {
        let ttl = self.ttl.as_ref().map_or(0, Ttl::memory);
        ttl + self.rows.memory() + self.counts.capacity() * size_of::<(i64, i64)>() + self.seen.capacity()
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        let wrong = || ExecError::Internal("a set operation without its sides".to_owned());
        let (side, columns) = batch.columns.columns().split_last().ok_or_else(wrong)?;
        let side = side.as_boolean_opt().ok_or_else(wrong)?.values();
        self.rows.intern(columns, batch.rows(), &mut self.ids)?;
        self.counts.resize(self.rows.len(), (0, 0));
        self.seen.resize(self.rows.len(), false);
        self.take(&batch, |row| side.value(row), out)?;
        self.compact();
        if let Some(now) = self.ttl.as_ref().and_then(|ttl| ttl.clock(out.now())) {
            self.expire(now, out);
        }
        Ok(Flow::Done)
    }

    /// Rows whose time is over by the clock go, also while none come.
    fn on_timer(&mut self, now: i64, out: &mut Outbox) -> Result<Flow> {
        self.expire(now, out);
        Ok(Flow::Done)
    }

    /// What comes out has no event time.
    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        if let Some(time) = self.ttl.as_ref().and_then(|ttl| ttl.watermark(watermark)) {
            self.expire(time, out);
        }
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        if self.emission.early {
            out.watermark(Watermark::END);
            return Ok(Flow::Done);
        }
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        while !out.is_full() {
            let stays = |row: usize| stays(self.kind, self.all, self.counts[row]);
            self.given.next(self.counts.len(), stays, &mut self.ids);
            if self.ids.is_empty() {
                self.rows.clear();
                self.counts.clear();
                out.watermark(Watermark::END);
                return Ok(Flow::Done);
            }
            out.batch(Batch::new(columns_of(&self.output, self.rows.keys(&self.ids)?, self.ids.len())?));
        }
        Ok(Flow::More)
    }

    /// Rows that are on neither side are saved too: one that comes again comes out in its first place.
    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        for ids in pieces(self.counts.len()) {
            let keys = self.rows.keys(&ids)?;
            let count = |of: fn(&(i64, i64)) -> i64| {
                Int64Array::from_iter_values(ids.iter().map(|row| of(&self.counts[*row as usize])))
            };
            let touched = self.ttl.as_ref().map_or_else(|| Int64Array::new_null(ids.len()), |ttl| ttl.saved(&ids));
            let rows = columns_of(&self.output, keys, ids.len())?;
            let saved = with_beside(
                &rows,
                [
                    ("_left", Arc::new(count(|count| count.0)) as _),
                    ("_right", Arc::new(count(|count| count.1)) as _),
                    ("_touched", Arc::new(touched) as _),
                ],
            )?;
            state.keyed(ROWS, rows.columns(), &saved)?;
        }
        Ok(())
    }

    fn load(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        for saved in state.rows(ROWS)? {
            let (rows, [left, right, touched]) = apart(ROWS, &saved, &self.output)?;
            let (left, right) = (values::<Int64Type>(ROWS, left)?, values::<Int64Type>(ROWS, right)?);
            self.rows.intern(rows.columns(), rows.num_rows(), &mut self.ids)?;
            self.counts.resize(self.rows.len(), (0, 0));
            self.seen.resize(self.rows.len(), false);
            for (row, count) in self.ids.iter().zip(left.iter().zip(right)) {
                self.counts[*row as usize] = (*count.0, *count.1);
            }
            if let Some(ttl) = &mut self.ttl {
                ttl.restore_all(&self.ids, numbers(ROWS, touched)?);
            }
        }
        self.alive = self.counts.iter().filter(|count| **count != (0, 0)).count();
        self.ttl.as_ref().and_then(Ttl::next).into_iter().for_each(|next| out.timer_at(next));
        Ok(())
    }
}
