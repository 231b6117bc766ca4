//! Rows that wait for their table: until it has them, or until it is known as of their time.
//!
//! They are held in the batches in which they came, in their order. How many there are, the oldest of them and when the next are
//! due is known without a look at all of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;
use velo_core::Batch;

use crate::checkpoint::rows::pack;
use crate::checkpoint::sequence::{PIECE, SavedColumns, StateColumns, unpacked};
use crate::checkpoint::state::damaged;
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;

/// The state table of rows that wait.
const WAITING: &str = "waiting";

/// Some rows that wait.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) batch: Batch,
    /// How often they were looked up in vain when their time had come.
    pub(crate) tries: u32,
    /// When they are looked up again, by the clock.
    pub(crate) due: i64,
    /// The least event time, where there is one.
    oldest: i64,
    /// For rows that wait until the table is known as of a time: the time of each.
    until: Vec<i64>,
    /// The first and the last of these.
    range: [i64; 2],
    /// What it takes.
    bytes: usize,
}

/// All rows that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    held: VecDeque<Held>,
    rows: usize,
    bytes: usize,
    /// How many of the batches have this least event time, and are due at this time.
    oldest: BTreeMap<i64, usize>,
    due: BTreeMap<i64, usize>,
    /// Until no later than this rows wait.
    latest: Option<i64>,
}

impl Held {
    /// Its rows as those of a state table, with how long they are still to wait from `now` on: the clock goes on while no job runs.
    fn packed(&self, now: i64) -> Result<RecordBatch> {
        let left = if self.due == i64::MAX { i64::MAX } else { self.due.saturating_sub(now) };
        let rows = self.batch.rows();
        let until = (0..rows).map(|row| self.until.get(row).copied()).collect::<Int64Array>();
        let mut columns = StateColumns::new();
        columns.push("_tries", Arc::new(UInt32Array::from_value(self.tries, rows)));
        columns.push("_left", Arc::new(Int64Array::from_value(left, rows)));
        columns.push("_until", Arc::new(until));
        columns.push_batch(&pack(&self.batch)?);
        columns.finish(rows)
    }
}

/// Saves rows that are packed.
fn put(state: &mut StateWriter, packed: &[RecordBatch], shared_by: &[usize]) -> Result<()> {
    let Some(first) = packed.first() else { return Ok(()) };
    let rows = concat_batches(first.schema_ref(), packed)?;
    // The first three columns are beside those of the input.
    let keys = shared_by.iter().map(|place| Arc::clone(rows.column(3 + place))).collect::<Vec<ArrayRef>>();
    state.keyed(WAITING, &keys, &rows)
}

fn less_one(counts: &mut BTreeMap<i64, usize>, of: i64) {
    if let Some(count) = counts.get_mut(&of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&of);
        }
    }
}

impl Waiting {
    /// Rows wait for what the table lacks.
    pub(crate) fn push(&mut self, batch: Batch, tries: u32, due: i64) {
        self.hold(batch, tries, due, Vec::new());
    }

    /// Rows wait until the table is known as of these times, which are not before their event times.
    pub(crate) fn push_until(&mut self, batch: Batch, until: Vec<i64>) {
        self.hold(batch, 0, i64::MAX, until);
    }

    fn hold(&mut self, batch: Batch, tries: u32, due: i64, until: Vec<i64>) {
        if batch.is_empty() {
            return;
        }
        let oldest = batch.event_times().and_then(|times| times.values().iter().min().copied()).unwrap_or(i64::MAX);
        let first = until.iter().min().copied().unwrap_or(i64::MAX);
        let range = [first, until.iter().max().copied().unwrap_or(i64::MIN)];
        let bytes = batch.memory() + until.len() * size_of::<i64>();
        self.put(Held { batch, tries, due, oldest, until, range, bytes });
    }

    fn put(&mut self, held: Held) {
        self.rows += held.batch.rows();
        self.bytes += held.bytes;
        *self.oldest.entry(held.oldest).or_insert(0) += 1;
        *self.due.entry(held.due).or_insert(0) += 1;
        self.latest = self.latest.max(Some(held.range[1]));
        self.held.push_back(held);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many rows wait.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that they take.
    pub(crate) fn memory(&self) -> usize {
        self.bytes
    }

    /// The least event time of the rows that wait; the greatest there is where none does, or they have no event times.
    pub(crate) fn oldest(&self) -> i64 {
        self.oldest.keys().next().copied().unwrap_or(i64::MAX)
    }

    /// When the next rows are due.
    pub(crate) fn due(&self) -> Option<i64> {
        self.due.keys().next().copied()
    }

    /// Takes all out.
    pub(crate) fn take(&mut self) -> VecDeque<Held> {
        std::mem::take(self).held
    }

    /// Those that are due have tried once more, and are due again at `next`; those that have tried `most` times are taken out.
    /// The order is that of their times then, not that in which they came.
    pub(crate) fn tried(&mut self, now: i64, next: i64, most: u32) -> Vec<Held> {
        let mut over = Vec::new();
        let mut left = self.held.len();
        while left > 0
            && self.held.front().is_some_and(|held| held.due <= now)
            && let Some(mut held) = self.held.pop_front()
        {
            left -= 1;
            self.rows -= held.batch.rows();
            self.bytes -= held.bytes;
            less_one(&mut self.oldest, held.oldest);
            less_one(&mut self.due, held.due);
            (held.tries, held.due) = (held.tries + 1, next);
            match held.tries >= most {
                true => over.push(held),
                false => self.put(held),
            }
        }
        over
    }

    /// Those that are due have tried once more, and are due again at `next`; whether one has tried `most` times.
    pub(crate) fn tried_in_order(&mut self, now: i64, next: i64, most: u32) -> bool {
        let mut over = false;
        for held in self.held.iter_mut().filter(|held| held.due <= now) {
            less_one(&mut self.due, held.due);
            (held.tries, held.due) = (held.tries + 1, next);
            *self.due.entry(next).or_insert(0) += 1;
            over |= held.tries >= most;
        }
        over
    }

    /// Takes out the rows that wait until before `time`, in their order; the others keep theirs.
    pub(crate) fn take_before(&mut self, time: i64) -> Result<Vec<Batch>, ArrowError> {
        let mut before = Vec::new();
        if self.oldest() >= time {
            return Ok(before);
        }
        for held in self.take() {
            let [first, last] = held.range;
            if first >= time {
                self.put(held);
            } else if last < time {
                before.push(held.batch);
            } else {
                let ready: BooleanArray = held.until.iter().map(|until| Some(*until < time)).collect();
                let later = held.until.iter().map(|until| Some(*until >= time)).collect();
                before.push(held.batch.filter(&ready)?);
                let until = held.until.into_iter().filter(|until| *until >= time).collect();
                self.push_until(held.batch.filter(&later)?, until);
            }
        }
        Ok(before)
    }

    /// The latest time until which a row waits.
    pub(crate) fn latest(&self) -> Option<i64> {
        self.latest
    }

    /// Saves the rows that wait at `now`, in their order, those of small batches together; rows are shared out by the columns at these
    /// places.
    pub(crate) fn save(&self, state: &mut StateWriter, shared_by: &[usize], now: i64) -> Result<()> {
        let (mut some, mut rows) = (Vec::new(), 0);
        for held in &self.held {
            rows += held.batch.rows();
            some.push(held.packed(now)?);
            if rows >= PIECE {
                put(state, &std::mem::take(&mut some), shared_by)?;
                rows = 0;
            }
        }
        put(state, &some, shared_by)
    }

    /// Takes up rows that wait at `now`, of the columns of `input`. Those of several former tasks come in the order of their times where
    /// all of them are due at one (`by_due`); else those of a task in theirs.
    pub(crate) fn load(&mut self, state: &mut StateReader, input: &SchemaRef, now: i64, by_due: bool) -> Result<()> {
        let mut all = Vec::new();
        for batch in state.rows(WAITING)? {
            let width = batch.num_columns().checked_sub(3);
            let width = width.ok_or_else(|| damaged(WAITING, "a column is missing"))?;
            let packed = batch.project(&(3..3 + width).collect::<Vec<_>>())?;
            let numbers = batch.project(&[0, 1, 2])?;
            let mut saved = SavedColumns::of(WAITING, &numbers);
            let (tries, left) = (saved.numbers::<UInt32Type>()?, saved.numbers::<Int64Type>()?);
            let until = saved.optional::<Int64Type>()?;
            let is_one = |one: usize, other: usize| {
                (tries.value(one), left.value(one), until.is_null(one))
                    == (tries.value(other), left.value(other), until.is_null(other))
            };
            let mut from = 0;
            while from < batch.num_rows() {
                let to = (from + 1..batch.num_rows()).find(|row| !is_one(from, *row)).unwrap_or(batch.num_rows());
                let mut at = from;
                for batch in unpacked(WAITING, &packed.slice(from, to - from), input)? {
                    let end = at + batch.rows();
                    let until = until.is_valid(from).then(|| until.values()[at..end].to_vec());
                    all.push((batch, tries.value(from), now.saturating_add(left.value(from)), until));
                    at = end;
                }
                from = to;
            }
        }
        if by_due {
            all.sort_by_key(|(_, _, due, _)| *due);
        }
        for (batch, tries, due, until) in all {
            match until {
                Some(until) => self.push_until(batch, until),
                None => self.push(batch, tries, due),
            }
        }
        Ok(())
    }
}
