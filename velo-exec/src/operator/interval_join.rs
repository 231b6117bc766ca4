//! The interval join: pairs of rows whose event times are close, as they come; and rows without a partner, once the watermark
//! says that none can come any more.
//!
//! Of each key there are two runs of rows in the order of their times. A row finds its partners in the other side's run and is
//! put into its own; it goes when the other side's watermark has passed the last time that a partner can have. A row that is
//! late never comes so far, so whichever of two partners comes last still finds the other.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray};
use velo_core::{Batch, Watermark};
use velo_eventtime::late::for_row;
use velo_plan::plan::IntervalJoin as Plan;

use super::late_rows::LateRows;
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::sequence::{PIECE, SavedColumns, StateColumns};
use crate::checkpoint::state::damaged;
use crate::checkpoint::{StateReader, StateWriter};
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::join::{
    Entry, Gives, JoinColumns, JoinKeys, JoinSpec, KEY, LEFT, NO_KEY, Pairs, RIGHT, RowRef, Run, SIDES, TimedRows,
    check_kinds, is_true, load_watermarks, save_watermarks,
};
use crate::state::{is_sparse, keep};
use crate::window::LateCounters;

/// Joins two streams within a time.
pub struct IntervalJoin {
    /// What becomes of a row of each side that has a partner, and of one that has none.
    gives: Gives,
    lower: i64,
    upper: i64,
    /// By how much the watermark is held back.
    hold: i64,
    late: LateRows,
    keys: JoinKeys,
    columns: JoinColumns,
    rows: [TimedRows; 2],
    /// By key: the rows of both sides.
    runs: Vec<[Run; 2]>,
    /// Keys with rows.
    alive: usize,
    /// Of each input, and of both.
    watermarks: [Watermark; 2],
    merged: Watermark,
    /// Pairs that have not been asked whether they meet the condition, and those that come out.
    candidates: Pairs,
    pairs: Pairs,
    probe: Option<Probe>,
    /// What is to be done: rows of these sides to be dropped, and then the watermark.
    passes: [bool; 2],
    forward: Option<Watermark>,
    ids: Vec<u32>,
    disordered: Vec<(u32, Entry)>,
}

/// Rows of a side on their way through the other side's runs.
struct Probe {
    side: usize,
    chunk: u32,
    /// By row of the chunk.
    keys: Vec<u32>,
    /// The next row, and how many of its partners have been seen.
    row: usize,
    seen: usize,
}

/// A run in which so many rows are passed over is rid of them.
const PASSED_OVER: usize = 32;

impl IntervalJoin {
    /// The operator of a node.
    pub fn new(spec: &JoinSpec<Plan>) -> Result<Self> {
        let join = &spec.join.join;
        let gives = Gives::new(&join.kind)?;
        if spec.retracts.contains(&true) {
            return Err(ExecError::Internal("an interval join over rows that change".to_owned()));
        }
        let keys = join.keys.iter().map(|key| (&key.left, &key.right));
        let columns = JoinColumns::new(join, &spec.left, &spec.right, spec.output.clone(), &spec.statement)?;
        let hold = |is_held: bool, by: i64| if is_held { by } else { 0 };
        let (lower, upper) = (spec.join.lower, spec.join.upper);
        // A row that comes out alone comes out behind the time at which its last partner could have come.
        let of_left = hold(gives.alone[LEFT] || gives.semi, upper);
        let of_right = hold(gives.alone[RIGHT], lower.saturating_neg());
        Ok(Self {
            gives,
            lower,
            upper,
            hold: spec.join.held_back.max(of_left).max(of_right).max(0),
            late: LateRows::new(spec.join.late, &spec.statement),
            keys: JoinKeys::new(keys, &spec.left, &spec.right, &spec.statement)?,
            rows: [LEFT, RIGHT].map(|side| TimedRows::new(columns.types(side).to_vec())),
            columns,
            runs: Vec::new(),
            alive: 0,
            watermarks: [Watermark::NONE; 2],
            merged: Watermark::NONE,
            candidates: Pairs::default(),
            pairs: Pairs::default(),
            probe: None,
            passes: [false; 2],
            forward: None,
            ids: Vec::new(),
            disordered: Vec::new(),
        })
    }

    /// What no row of a side is behind any more.
    fn watermark(&self, side: usize) -> Watermark {
        self.watermarks[side].max(self.merged)
    }

    /// Rows of a side with times below this have no partner to come.
    fn limit(&self, side: usize) -> i64 {
        match self.watermark(1 - side) {
            Watermark::END => i64::MAX,
            Watermark(micros) if side == LEFT => micros.saturating_sub(self.upper),
            Watermark(micros) => micros.saturating_add(self.lower),
        }
    }

    /// The times that the partners of a row of a side can have.
    #[inline]
    fn range(&self, side: usize, time: i64) -> (i64, i64) {
        if side == LEFT {
            (time.saturating_add(self.lower), time.saturating_add(self.upper))
        } else {
            (time.saturating_sub(self.upper), time.saturating_sub(self.lower))
        }
    }

    /// Puts the rows of a batch into the runs.
    fn insert(&mut self, side: usize, batch: &Batch) -> Result<()> {
        let mut keys = std::mem::take(&mut self.ids);
        self.keys.number(side, batch, &mut keys)?;
        let chunk = self.put(side, self.columns.keep(side, batch), &keys)?;
        self.probe = Some(Probe { side, chunk, keys, row: 0, seen: 0 });
        Ok(())
    }

    /// Puts kept rows with these keys into the runs; the number of their chunk.
    fn put(&mut self, side: usize, columns: Vec<ArrayRef>, keys: &[u32]) -> Result<u32> {
        self.runs.resize_with(self.keys.len(), Default::default);
        let chunk = self.rows[side].push(columns, keys.to_vec());
        let Some(times) = self.rows[side].rows.times(chunk) else {
            return Err(ExecError::Internal("an interval join without an event time".to_owned()));
        };
        for (row, (key, time)) in keys.iter().zip(times.iter()).enumerate() {
            if *key == NO_KEY {
                continue;
            }
            let runs = &mut self.runs[*key as usize];
            self.alive += usize::from(runs[LEFT].is_empty() && runs[RIGHT].is_empty());
            let entry = Entry { time: *time, row: RowRef { chunk, row: row as u32 } };
            if !runs[side].push(entry) {
                self.disordered.push((*key, entry));
            }
        }
        self.disordered.sort_by_key(|(key, entry)| (*key, entry.time));
        for of_key in self.disordered.chunk_by(|left, right| left.0 == right.0) {
            self.runs[of_key[0].0 as usize][side].merge(of_key.iter().map(|(_, entry)| *entry));
        }
        self.disordered.clear();
        Ok(chunk)
    }

    /// Finds partners of the rows of a batch, until there are enough of them; whether all have been found.
    fn find(&mut self) -> Result<bool> {
        let Some(mut probe) = self.probe.take() else { return Ok(true) };
        let (side, other) = (probe.side, 1 - probe.side);
        // One partner is enough, whichever it is.
        let once = !self.gives.pairs;
        let first_only = once && !self.columns.has_condition();
        while probe.row < probe.keys.len() && self.candidates.len() < OUTPUT_ROWS {
            let key = probe.keys[probe.row];
            let row = RowRef { chunk: probe.chunk, row: probe.row as u32 };
            if key == NO_KEY {
                if self.gives.alone[side] {
                    self.pairs.push(side, row, RowRef::NONE);
                }
                self.rows[side].rows.release(row);
            } else if !(once && side == LEFT && self.rows[LEFT].rows.is_marked(row)) {
                let (from, to) = self.range(side, self.rows[side].rows.time(row));
                let run = &self.runs[key as usize][other];
                let entries = run.between(from, to);
                let entries = &run.entries()[entries];
                let room = OUTPUT_ROWS - self.candidates.len();
                let rest = &entries[probe.seen.min(entries.len())..];
                if once && side == RIGHT {
                    let mut passed_over = 0;
                    let mut seen = 0;
                    for entry in rest {
                        if self.candidates.len() >= OUTPUT_ROWS {
                            break;
                        }
                        seen += 1;
                        if self.rows[LEFT].rows.is_marked(entry.row) {
                            passed_over += 1;
                        } else {
                            self.candidates.push(RIGHT, row, entry.row);
                        }
                    }
                    let is_whole = seen == rest.len();
                    probe.seen += seen;
                    if passed_over > PASSED_OVER && passed_over * 2 > run.entries().len() && is_whole {
                        let left = &self.rows[LEFT].rows;
                        self.runs[key as usize][LEFT].retain(|entry| !left.is_marked(entry.row));
                    }
                    if !is_whole {
                        break;
                    }
                } else {
                    let count = if first_only { rest.len().min(1) } else { rest.len() }.min(room);
                    rest[..count].iter().for_each(|entry| self.candidates.push(side, row, entry.row));
                    probe.seen += count;
                    if !first_only && count < rest.len() {
                        break;
                    }
                }
            }
            probe.row += 1;
            probe.seen = 0;
        }
        self.settle()?;
        let done = probe.row == probe.keys.len();
        if done {
            self.ids = probe.keys;
        } else {
            self.probe = Some(probe);
        }
        Ok(done)
    }

    /// Asks candidates whether they are partners.
    fn settle(&mut self) -> Result<()> {
        if self.candidates.is_empty() {
            return Ok(());
        }
        let accepted = self.columns.accepted([&self.rows[LEFT].rows, &self.rows[RIGHT].rows], &self.candidates)?;
        let marked = [LEFT, RIGHT].map(|side| self.gives.marks(side));
        if accepted.is_none() && marked == [false; 2] && self.pairs.is_empty() {
            std::mem::swap(&mut self.pairs, &mut self.candidates);
            return Ok(());
        }
        for at in 0..self.candidates.len() {
            if !is_true(accepted.as_ref(), at) {
                continue;
            }
            let [left, right] = [LEFT, RIGHT].map(|side| self.candidates.sides[side][at]);
            let is_first = marked[LEFT] && self.rows[LEFT].rows.mark(left);
            if marked[RIGHT] {
                self.rows[RIGHT].rows.mark(right);
            }
            if self.gives.pairs {
                self.pairs.push(LEFT, left, right);
            } else if self.gives.semi && is_first {
                self.pairs.push(LEFT, left, RowRef::NONE);
            }
        }
        self.candidates.clear();
        Ok(())
    }

    /// Drops rows of a side that no partner can come for, until enough of them come out; whether all are dropped.
    fn pass(&mut self, side: usize) -> bool {
        let limit = self.limit(side);
        while self.pairs.len() < OUTPUT_ROWS {
            let Some((row, key)) = self.rows[side].pass(limit) else { return true };
            if self.gives.alone[side] && !self.rows[side].rows.is_marked(row) {
                self.pairs.push(side, row, RowRef::NONE);
            }
            self.rows[side].rows.release(row);
            if let Some(runs) = self.runs.get_mut(key as usize) {
                let emptied = runs[side].evict(limit);
                self.alive -= usize::from(emptied && runs[1 - side].is_empty());
            }
        }
        false
    }

    fn flush(&mut self, out: &mut Outbox) -> Result<()> {
        if self.pairs.is_empty() {
            return Ok(());
        }
        let stores = [&self.rows[LEFT].rows, &self.rows[RIGHT].rows];
        let times = |(left, right): (&RowRef, &RowRef)| stores[LEFT].time(*left).max(stores[RIGHT].time(*right));
        let [left, right] = &self.pairs.sides;
        let all = self.columns.batch(stores, &self.pairs, left.iter().zip(right).map(times))?;
        (0..all.rows()).step_by(OUTPUT_ROWS).for_each(|from| {
            out.batch(all.slice(from, OUTPUT_ROWS.min(all.rows() - from)));
        });
        self.pairs.clear();
        Ok(())
    }

    fn drive(&mut self, out: &mut Outbox) -> Result<Flow> {
        loop {
            if self.pairs.len() >= OUTPUT_ROWS {
                self.flush(out)?;
            }
            if out.is_full() {
                return Ok(Flow::More);
            }
            if self.probe.is_some() {
                self.find()?;
            } else if let Some(side) = self.passes.iter().position(|passes| *passes) {
                self.passes[side] = !self.pass(side);
            } else {
                break;
            }
        }
        self.flush(out)?;
        self.compact()?;
        if let Some(watermark) = self.forward.take() {
            out.watermark(watermark);
        }
        Ok(Flow::Done)
    }

    /// Gives back the memory of rows and keys that are gone.
    fn compact(&mut self) -> Result<()> {
        for side in [LEFT, RIGHT] {
            let (runs, rows) = (&mut self.runs, &mut self.rows[side]);
            let mut moved = Vec::new();
            rows.compact(|row| moved.push(row))?;
            for row in moved {
                if let Some(runs) = runs.get_mut(row.owner as usize) {
                    runs[side].moved(rows.rows.time(row.to), row.from, row.to);
                }
            }
        }
        let kept: usize = self.rows.iter().map(|rows| rows.rows.len()).sum();
        // All rows are told the new numbers, so there must be enough keys to forget.
        if is_sparse(self.alive, self.runs.len()) && (self.runs.len() - self.alive) * 8 >= kept {
            let stays: Vec<bool> = self.runs.iter().map(|runs| !runs.iter().all(Run::is_empty)).collect();
            let numbers = self.keys.retain(&stays);
            keep(&mut self.runs, &stays);
            for rows in &mut self.rows {
                let owners = rows.rows.owners_mut().map(|(_, owner)| owner);
                owners.filter(|owner| **owner < NO_KEY).for_each(|owner| *owner = numbers[*owner as usize]);
            }
        }
        Ok(())
    }
}

impl Operator for IntervalJoin {
    fn memory(&self) -> usize {
        let runs = self.runs.iter().flatten().map(Run::memory).sum::<usize>();
        let rows = self.rows.iter().map(TimedRows::memory).sum::<usize>();
        runs + rows + self.runs.capacity() * size_of::<[Run; 2]>() + self.keys.memory()
    }

    fn held(&self) -> u64 {
        self.rows.iter().map(|rows| rows.rows.len() as u64).sum()
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        Some(Arc::clone(&self.late.counters))
    }

    fn on_batch(&mut self, input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        let side = input.0.min(RIGHT);
        check_kinds(&batch, false)?;
        let batch = self.late.leave_out(batch, self.watermark(side), "an interval join", for_row, out)?;
        if batch.is_empty() {
            return Ok(Flow::Done);
        }
        self.insert(side, &batch)?;
        // The other side may be past the partners of some already.
        self.passes[side] = true;
        self.drive(out)
    }

    fn check(&self, input: InputId, batch: &Batch) -> Result<()> {
        self.keys.evaluate(input.0.min(RIGHT), batch).map(drop)
    }

    fn give_up(&mut self, errors: &Arc<ComputeErrors>) {
        self.columns.give_up(errors);
    }

    fn on_input_watermark(&mut self, input: InputId, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        let side = input.0.min(RIGHT);
        self.watermarks[side] = self.watermarks[side].max(watermark);
        self.passes[1 - side] = true;
        self.drive(out)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.merged = self.merged.max(watermark);
        self.passes = [true; 2];
        self.forward = Some(match self.merged {
            Watermark::END => Watermark::END,
            Watermark(micros) => Watermark(micros.saturating_sub(self.hold)),
        });
        self.drive(out)
    }

    /// The rows of both sides that are kept, each with whether it has had a partner.
    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        save_watermarks(state, self.watermarks)?;
        self.late.counters.save(state)?;
        for (side, table) in SIDES.into_iter().enumerate() {
            let kept = &self.rows[side].rows;
            for rows in kept.live().chunks(PIECE) {
                let keys = self.keys.columns(&rows.iter().map(|row| kept.owner(*row)).collect::<Vec<_>>())?;
                let marked = rows.iter().map(|row| kept.is_marked(*row)).collect::<Vec<_>>();
                let mut columns = StateColumns::new();
                columns.push_numbered(KEY, &keys);
                columns.push("_matched", Arc::new(BooleanArray::from(marked)));
                columns.push_named(self.columns.names(side), &kept.columns(rows)?);
                state.keyed(table, &keys, &columns.finish(rows.len())?)?;
            }
        }
        Ok(())
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.merged = state.watermark();
        self.watermarks = load_watermarks(state)?;
        self.late.counters.load(state)?;
        let mut ids = Vec::new();
        for (side, table) in SIDES.into_iter().enumerate() {
            for batch in state.rows(table)? {
                let mut saved = SavedColumns::of(table, &batch);
                let keys = saved.columns(self.keys.types())?;
                let marked = saved.flags()?;
                let columns = saved.columns(self.columns.types(side))?;
                saved.end()?;
                self.keys.number_columns(&keys, batch.num_rows(), &mut ids)?;
                if ids.contains(&NO_KEY) {
                    return Err(damaged(table, "a row has no key"));
                }
                let chunk = self.put(side, columns, &ids)?;
                for row in marked.values().set_indices() {
                    self.rows[side].rows.mark(RowRef { chunk, row: row as u32 });
                }
            }
        }
        Ok(())
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.drive(out)
    }
}
