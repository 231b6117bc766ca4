//! `emit.interval`: the changes of results, at most one per key in so much time of the clock.
//!
//! Of each key it is remembered what was passed on last, where that has been taken back since, and what holds now. When the
//! interval has passed, the difference of the two goes out: nothing for what came and went, one update for many. So what
//! the changes fold to is the same as without it. A change after a pause of the interval goes out at once.
//!
//! The watermark is not held up: before it, everything goes out that lies behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave_record_batch;
use velo_core::duration::Span;
use velo_core::{Batch, RowKind, RowKinds, Watermark, schema};

use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::changes::unchanged;
use crate::checkpoint::beside::{PIECE, apart, with_beside};
use crate::checkpoint::state::damaged;
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::state::{KeyTable, is_sparse};

/// The table of what is held: of each key the row that went out last and no longer holds, and the one that holds now.
const HELD: &str = "held";
/// Before this time nothing goes out by itself.
const NEXT: &str = "next";

/// Holds changes back, and lets their sum go.
pub struct EmitInterval {
    interval: i64,
    /// The columns of the key.
    key: Vec<usize>,
    /// Those of them by which the tasks share the keys.
    shared_by: Vec<usize>,
    /// All rows of a key have one event time, that of their window, and the watermark goes by it.
    windowed: bool,
    schema: SchemaRef,
    keys: KeyTable,
    /// By key.
    pending: Vec<Pending>,
    /// Keys with changes that are held.
    changed: usize,
    /// By event time, where it is that of the window: the keys that came with it.
    by_time: BTreeMap<i64, Vec<u32>>,
    /// The rows that are held, and some that no longer count.
    held: Vec<RecordBatch>,
    held_rows: usize,
    /// Before this time nothing goes out by itself.
    next: i64,
    /// What goes out now, and how much of it has.
    leaving: Vec<u32>,
    left: usize,
    /// Follows it.
    forward: Option<Watermark>,
    ids: Vec<u32>,
}

/// So many batches are held, and one more for so many rows, before they are put together.
const MANY_BATCHES: usize = 1_024;
const ROWS_A_BATCH: usize = 64;

/// A row that is held: which batch, and its place there.
type Held = (u32, u32);

/// What happened to a key since its last change went out.
#[derive(Debug, Clone, Copy, Default)]
struct Pending {
    /// What went out last, where it no longer holds.
    before: Option<Held>,
    /// What holds now and has not gone out.
    after: Option<Held>,
}

impl Pending {
    fn is_empty(self) -> bool {
        self.before.is_none() && self.after.is_none()
    }
}

impl EmitInterval {
    /// Holds the changes of rows of `schema`, of which there is one at a time for each value of the columns `key`.
    pub fn new(interval: Span, key: Vec<usize>, windowed: bool, schema: SchemaRef) -> Result<Self> {
        let types: Vec<_> = key.iter().map(|at| schema.field(*at).data_type().clone()).collect();
        Ok(Self {
            interval: interval.micros(),
            keys: KeyTable::new(&types)?,
            shared_by: key.clone(),
            key,
            windowed: windowed && schema::event_time_index(&schema).is_some(),
            schema,
            pending: Vec::new(),
            changed: 0,
            by_time: BTreeMap::new(),
            held: Vec::new(),
            held_rows: 0,
            next: i64::MIN,
            leaving: Vec::new(),
            left: 0,
            forward: None,
            ids: Vec::new(),
        })
    }

    /// One of several tasks, which share the rows by the values of these columns; else it is by the whole key.
    pub fn shared_by(self, columns: Option<Vec<usize>>) -> Self {
        Self { shared_by: columns.unwrap_or_else(|| self.key.clone()), ..self }
    }

    fn take(&mut self, batch: &Batch) -> Result<()> {
        self.keys.intern(&columns_at(&batch.columns, &self.key), batch.rows(), &mut self.ids)?;
        self.pending.resize(self.keys.len(), Pending::default());
        let times = batch.event_times().filter(|_| self.windowed);
        let kinds = batch.kinds.as_ref().map(RowKinds::as_slice);
        let number = self.held.len() as u32;
        for (row, id) in self.ids.iter().enumerate() {
            let pending = &mut self.pending[*id as usize];
            let was_empty = pending.is_empty();
            let at = (number, row as u32);
            if !kinds.is_some_and(|kinds| kinds[row].retracts()) {
                pending.after = Some(at);
            } else if pending.after.take().is_none() && pending.before.is_none() {
                pending.before = Some(at);
            }
            self.changed = self.changed + usize::from(was_empty) - usize::from(pending.is_empty());
            if let Some(times) = times.filter(|_| was_empty && !pending.is_empty()) {
                self.by_time.entry(times.value(row)).or_default().push(*id);
            }
        }
        self.held.push(batch.columns.clone());
        self.held_rows += batch.rows();
        let many = self.held.len() > MANY_BATCHES + self.held_rows / ROWS_A_BATCH;
        if many || self.held_rows > 4 * self.changed + 4 * OUTPUT_ROWS {
            self.compact()?;
        }
        Ok(())
    }

    /// Holds nothing but the rows that count, and forgets keys without changes once they are many.
    fn compact(&mut self) -> Result<()> {
        if self.changed == 0 {
            self.clear();
            return Ok(());
        }
        if is_sparse(self.changed, self.pending.len()) {
            let stays: Vec<bool> = self.pending.iter().map(|pending| !pending.is_empty()).collect();
            let numbers = self.keys.retain(&stays);
            self.pending.retain(|pending| !pending.is_empty());
            for keys in self.by_time.values_mut() {
                keys.retain_mut(|key| {
                    *key = numbers[*key as usize];
                    *key != KeyTable::DEAD
                });
            }
            self.by_time.retain(|_, keys| !keys.is_empty());
        }
        let mut places = Vec::with_capacity(2 * self.changed);
        for held in self.pending.iter_mut().flat_map(|pending| [&mut pending.before, &mut pending.after]).flatten() {
            places.push((held.0 as usize, held.1 as usize));
            *held = (0, places.len() as u32 - 1);
        }
        let all: Vec<_> = self.held.iter().collect();
        self.held = vec![interleave_record_batch(&all, &places)?];
        self.held_rows = places.len();
        Ok(())
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.pending.clear();
        self.by_time.clear();
        self.held.clear();
        self.held_rows = 0;
    }

    /// Everything that is held leaves.
    fn leave(&mut self) {
        self.leaving = (0..self.pending.len() as u32).collect();
        self.by_time.clear();
    }

    /// What lies before `time` leaves.
    fn leave_before(&mut self, time: i64) {
        if !self.windowed {
            return self.leave();
        }
        let rest = self.by_time.split_off(&time);
        let gone = std::mem::replace(&mut self.by_time, rest);
        self.leaving = gone.into_values().flatten().collect();
    }

    /// Lets what is held go if it may, or asks to be called when it may.
    fn look(&mut self, out: &mut Outbox) {
        if self.changed == 0 {
            return;
        }
        let now = out.now();
        // A clock that was set back must not hold changes for longer than the interval.
        if now >= self.next || now < self.next.saturating_sub(self.interval) {
            self.next = now.saturating_add(self.interval);
            self.leave();
        } else {
            out.timer_at(self.next);
        }
    }

    /// The changes of some keys.
    fn piece(&mut self, keys: &[u32]) -> Result<Option<Batch>> {
        let pairs: Vec<Pending> = keys.iter().map(|key| std::mem::take(&mut self.pending[*key as usize])).collect();
        self.changed -= pairs.iter().filter(|pair| !pair.is_empty()).count();
        let held: Vec<_> = self.held.iter().collect();
        let rows = |of: &dyn Fn(&Pending) -> Option<Held>| {
            let places: Vec<_> =
                pairs.iter().filter_map(of).map(|(batch, row)| (batch as usize, row as usize)).collect();
            Ok::<_, crate::error::ExecError>(match places.is_empty() {
                true => RecordBatch::new_empty(Arc::clone(&self.schema)),
                false => interleave_record_batch(&held, &places)?,
            })
        };
        // Of keys with both: is the result the same? The event time alone is no change.
        let visible = schema::visible(&self.schema).fields().len();
        let both = |pair: &Pending| pair.after.filter(|_| pair.before.is_some());
        let was = rows(&|pair| pair.before.filter(|_| pair.after.is_some()))?;
        let is = rows(&both)?;
        let order: Vec<u32> = (0..was.num_rows() as u32).collect();
        let same = unchanged(&was.columns()[..visible], &is.columns()[..visible], &order)?;
        let (mut places, mut kinds, mut at) = (Vec::new(), Vec::new(), 0);
        let mut row = |kind: RowKind, (batch, row): Held| {
            kinds.push(kind);
            places.push((batch as usize, row as usize));
        };
        for pair in &pairs {
            match (pair.before, pair.after) {
                (Some(before), Some(after)) => {
                    if !same.value(at) {
                        row(RowKind::UpdateBefore, before);
                        row(RowKind::UpdateAfter, after);
                    }
                    at += 1;
                }
                (Some(before), None) => row(RowKind::Delete, before),
                (None, Some(after)) => row(RowKind::Insert, after),
                (None, None) => {}
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        Ok(Some(Batch::changes(interleave_record_batch(&held, &places)?, kinds)))
    }
}

/// The columns at some places.
fn columns_at(rows: &RecordBatch, places: &[usize]) -> Vec<ArrayRef> {
    places.iter().map(|at| Arc::clone(rows.column(*at))).collect()
}

impl Operator for EmitInterval {
    fn memory(&self) -> usize {
        let held: usize = self.held.iter().map(RecordBatch::get_array_memory_size).sum();
        self.keys.memory() + self.pending.capacity() * size_of::<Pending>() + held
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        if batch.is_empty() {
            return Ok(Flow::Done);
        }
        self.take(&batch)?;
        self.look(out);
        self.resume(out)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.leave_before(watermark.0);
        self.forward = Some(watermark);
        self.resume(out)
    }

    /// What comes next from here could be late for those that go on without it.
    fn on_idle(&mut self, out: &mut Outbox) -> Result<Flow> {
        if self.windowed {
            self.leave();
        }
        self.resume(out)
    }

    fn on_timer(&mut self, _now: i64, out: &mut Outbox) -> Result<Flow> {
        self.look(out);
        self.resume(out)
    }

    fn on_stop(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.leave();
        self.resume(out)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.leave();
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        while self.left < self.leaving.len() {
            if out.is_full() {
                return Ok(Flow::More);
            }
            let to = self.leaving.len().min(self.left + OUTPUT_ROWS);
            let keys = self.leaving[self.left..to].to_vec();
            self.left = to;
            if let Some(batch) = self.piece(&keys)? {
                out.batch(batch);
            }
        }
        self.leaving.clear();
        self.left = 0;
        if self.changed == 0 {
            self.clear();
        }
        if let Some(watermark) = self.forward.take() {
            out.watermark(watermark);
        }
        Ok(Flow::Done)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        state.value(NEXT, &self.next)?;
        let rows = self.pending.iter().flat_map(|pending| [(pending.before, false), (pending.after, true)]);
        let rows = rows.filter_map(|(held, holds)| Some((held?, holds))).collect::<Vec<_>>();
        let held: Vec<_> = self.held.iter().collect();
        for rows in rows.chunks(PIECE) {
            let places: Vec<_> = rows.iter().map(|((batch, row), _)| (*batch as usize, *row as usize)).collect();
            let holds = rows.iter().map(|(_, holds)| Some(*holds)).collect::<BooleanArray>();
            let rows = interleave_record_batch(&held, &places)?;
            let saved = with_beside(&rows, [("_holds", Arc::new(holds) as _)])?;
            state.keyed(HELD, &columns_at(&rows, &self.shared_by), &saved)?;
        }
        Ok(())
    }

    fn load(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        for saved in state.rows(HELD)? {
            let (rows, [holds]) = apart(HELD, &saved, &self.schema)?;
            let holds = holds.as_boolean_opt().filter(|holds| holds.null_count() == 0);
            let holds = holds.ok_or_else(|| damaged(HELD, "it does not say which rows hold"))?.values();
            self.keys.intern(&columns_at(&rows, &self.key), rows.num_rows(), &mut self.ids)?;
            self.pending.resize(self.keys.len(), Pending::default());
            let rows = Batch::new(rows);
            let times = rows.event_times().filter(|_| self.windowed);
            for (row, id) in self.ids.iter().enumerate() {
                let pending = &mut self.pending[*id as usize];
                if pending.is_empty() {
                    self.changed += 1;
                    if let Some(times) = times {
                        self.by_time.entry(times.value(row)).or_default().push(*id);
                    }
                }
                let held = if holds.value(row) { &mut pending.after } else { &mut pending.before };
                if held.replace((self.held.len() as u32, row as u32)).is_some() {
                    return Err(damaged(HELD, "two rows of a key are one"));
                }
            }
            self.held_rows += rows.rows();
            self.held.push(rows.columns);
        }
        // The latest of what several tasks say, so that none of a key's changes comes too early.
        self.next = state.values(NEXT)?.into_iter().fold(self.next, i64::max);
        if self.changed > 0 {
            out.timer_at(self.next);
        }
        Ok(())
    }
}
