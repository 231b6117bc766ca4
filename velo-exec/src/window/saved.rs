//! Open windows as tables of a checkpoint.
//!
//! All three tables have the columns of the keys, `$start` and `$end` (the bounds in time), `$slices` (how many slices lie
//! between these), `$rows` (how many rows went in, in the first row of each stretch), and the states of the aggregates:
//!
//! | table | holds |
//! |---|---|
//! | `slices` | slices that still take rows |
//! | `sealed` | sealed slices, and what was merged of them for windows of many slices |
//! | `windows` | what counts in one window alone: rows that were late for another window of theirs |
//!
//! What was merged of slices is saved as it is, and not made anew: the slices that went into it are there no more. The tasks of
//! an operator have all come equally far at a barrier, so their sealed slices are merged alike, and those of several former tasks
//! can be put together stretch by stretch.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray, UInt32Array};
use arrow_schema::DataType;
use velo_core::types::TIMESTAMP;

use super::sliding::Node;
use super::store::WindowStore;
use crate::aggregate::{AggregatePlan, GroupRows, GroupTable, SAVED_ROWS, SavedKeys};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::state::KeyTable;

fn table<'a>(name: &'static str, keys: &'a SavedKeys, plan: &AggregatePlan) -> Result<GroupTable<'a>> {
    let beside = [("$start", TIMESTAMP), ("$end", TIMESTAMP), ("$slices", DataType::Int64), ("$rows", DataType::Int64)];
    GroupTable::new(name, keys, &beside, plan)
}

const SLICES: &str = "slices";
const SEALED: &str = "sealed";
const WINDOWS: &str = "windows";

/// A stretch of time with a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    start: i64,
    end: i64,
    slices: i64,
}

/// Groups on their way into a table, those of small stretches together.
struct Pieces<'a> {
    table: GroupTable<'a>,
    keys: &'a KeyTable,
    ids: Vec<u32>,
    stretches: Vec<Stretch>,
    rows: Vec<i64>,
    states: Vec<Vec<ArrayRef>>,
}

impl<'a> Pieces<'a> {
    fn new(table: GroupTable<'a>, keys: &'a KeyTable) -> Self {
        Self { table, keys, ids: Vec::new(), stretches: Vec::new(), rows: Vec::new(), states: Vec::new() }
    }

    /// Adds all groups of a stretch; `states_of` has the states of a range of them.
    fn add(
        &mut self,
        (of, rows): (Stretch, u64),
        ids: &[u32],
        mut states_of: impl FnMut(std::ops::Range<usize>) -> Result<Vec<ArrayRef>>,
        out: &mut StateWriter,
    ) -> Result<()> {
        for from in (0..ids.len()).step_by(SAVED_ROWS) {
            let range = from..ids.len().min(from + SAVED_ROWS);
            if self.ids.len() + range.len() > SAVED_ROWS {
                self.flush(out)?;
            }
            let first = if from == 0 { i64::try_from(rows).unwrap_or(i64::MAX) } else { 0 };
            self.rows.push(first);
            self.ids.extend_from_slice(&ids[range.clone()]);
            self.rows.resize(self.ids.len(), 0);
            self.stretches.resize(self.ids.len(), of);
            self.states.push(states_of(range)?);
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut StateWriter) -> Result<()> {
        let (ids, stretches) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.stretches));
        let (rows, states) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.states));
        let Some(width) = states.first().map(Vec::len) else { return Ok(()) };
        let column = |at: usize| {
            let parts = states.iter().map(|states| states[at].as_ref()).collect::<Vec<_>>();
            arrow_select::concat::concat(&parts)
        };
        let states = (0..width).map(column).collect::<Result<Vec<_>, _>>()?;
        let times = |of: fn(&Stretch) -> i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_iter_values(stretches.iter().map(of)))
        };
        let beside = vec![
            times(|stretch| stretch.start),
            times(|stretch| stretch.end),
            Arc::new(Int64Array::from_iter_values(stretches.iter().map(|stretch| stretch.slices))),
            Arc::new(Int64Array::from(rows)),
        ];
        self.table.write(out, ids.len(), self.keys.keys(&ids)?, beside, states)
    }
}

impl WindowStore {
    /// Puts all windows into a checkpoint.
    pub(crate) fn save(&mut self, saved: &SavedKeys, out: &mut StateWriter) -> Result<()> {
        let Self { windows, plan, keys, open, extras, tree, .. } = self;
        let lost = |number: i64| ExecError::Internal(format!("slice {number} has no time"));
        let mut slices = Pieces::new(table(SLICES, saved, plan)?, keys);
        for (number, slice) in open {
            let bounds = windows.start(*number).zip(windows.start(number + 1));
            let (start, end) = bounds.ok_or_else(|| lost(*number))?;
            let (ids, rows) = (slice.keys().to_vec(), slice.rows());
            let states = |range: std::ops::Range<usize>| slice.set().state(&numbers(range), false);
            slices.add((Stretch { start, end, slices: 1 }, rows), &ids, states, out)?;
        }
        slices.flush(out)?;
        let mut sealed = Pieces::new(table(SEALED, saved, plan)?, keys);
        for (level, number, node) in tree.numbered() {
            let first = number << level;
            // What begins before the first time that there is belongs to no window that is to come.
            let Some(start) = windows.start(first) else { continue };
            let end = windows.start(first + (1 << level)).ok_or_else(|| lost(first))?;
            let states = |range: std::ops::Range<usize>| {
                Ok(node.state.iter().map(|column| column.slice(range.start, range.len())).collect())
            };
            sealed.add((Stretch { start, end, slices: 1 << level }, node.rows), &node.keys, states, out)?;
        }
        sealed.flush(out)?;
        let mut alone = Pieces::new(table(WINDOWS, saved, plan)?, keys);
        for (number, slice) in extras {
            let (start, end) = windows.bounds(*number).ok_or_else(|| lost(*number))?;
            let (ids, rows) = (slice.keys().to_vec(), slice.rows());
            let states = |range: std::ops::Range<usize>| slice.set().state(&numbers(range), false);
            let stretch = Stretch { start, end, slices: number - windows.first_slice(*number) };
            alone.add((stretch, rows), &ids, states, out)?;
        }
        alone.flush(out)
    }

    /// Takes up what was saved: windows that the watermark had passed have fired.
    pub(crate) fn load(&mut self, saved: &SavedKeys, state: &mut StateReader) -> Result<()> {
        self.fired_to = self.windows.closed_by(state.watermark().0);
        for groups in table(SLICES, saved, &self.plan)?.read(state) {
            let groups = groups?;
            for run in self.runs_of(&groups)? {
                let number = self.slice_at(&run, &groups)?;
                if self.windows.last_end(number).is_none() {
                    return Err(groups.damaged(OTHER_WINDOWS));
                }
                self.check_end(&run, number, 0, &groups)?;
                self.live.insert(number);
                let slice = match self.open.entry(number) {
                    std::collections::btree_map::Entry::Occupied(slice) => slice.into_mut(),
                    std::collections::btree_map::Entry::Vacant(place) => {
                        place.insert(super::SliceState::new(&self.plan)?)
                    }
                };
                slice.merge(&run.ids, self.keys.len(), &run.states, run.rows)?;
            }
        }
        self.load_sealed(saved, state)?;
        for groups in table(WINDOWS, saved, &self.plan)?.read(state) {
            let groups = groups?;
            for run in self.runs_of(&groups)? {
                let number = self.windows.with_bounds(run.of.start, run.of.end);
                let number = number.ok_or_else(|| groups.damaged(OTHER_WINDOWS))?;
                let keys = self.keys.len();
                self.extra(number)?.merge(&run.ids, keys, &run.states, run.rows)?;
            }
        }
        Ok(())
    }

    fn load_sealed(&mut self, saved: &SavedKeys, state: &mut StateReader) -> Result<()> {
        let mut nodes: BTreeMap<(usize, i64), Node> = BTreeMap::new();
        for groups in table(SEALED, saved, &self.plan)?.read(state) {
            let groups = groups?;
            for run in self.runs_of(&groups)? {
                let slices = u64::try_from(run.of.slices).ok().filter(|slices| slices.is_power_of_two());
                let level = slices.map(|slices| slices.ilog2() as usize).filter(|level| *level < self.tree.height());
                let level = level.ok_or_else(|| groups.damaged(OTHER_WINDOWS))?;
                let number = self.slice_at(&run, &groups)? >> level;
                self.check_end(&run, number, level, &groups)?;
                // Its first slice stands for all of it: a window that is to come and holds that holds the others too.
                self.live.insert(number << level);
                match nodes.entry((level, number)) {
                    std::collections::btree_map::Entry::Vacant(place) => {
                        place.insert(Node { keys: run.ids, state: run.states, rows: run.rows });
                    }
                    std::collections::btree_map::Entry::Occupied(mut node) => {
                        let node = node.get_mut();
                        node.keys.extend(run.ids);
                        node.rows = node.rows.saturating_add(run.rows);
                        for (all, more) in node.state.iter_mut().zip(&run.states) {
                            *all = arrow_select::concat::concat(&[all.as_ref(), more.as_ref()])?;
                        }
                    }
                }
            }
        }
        let from = self.windows.end_behind(self.fired_to).map(|end| self.windows.first_slice(end));
        self.tree.restore(nodes, from);
        Ok(())
    }

    /// The groups of a table by stretch.
    fn runs_of(&mut self, groups: &GroupRows) -> Result<Vec<SavedRun>> {
        let (starts, ends) = (groups.all_times(0)?.values(), groups.all_times(1)?.values());
        let (slices, counts) = (groups.counts(2)?.values(), groups.counts(3)?.values());
        let mut ids = Vec::new();
        self.keys.intern(&groups.keys, groups.rows, &mut ids)?;
        let stretch = |row: usize| Stretch { start: starts[row], end: ends[row], slices: slices[row] };
        let mut runs = Vec::new();
        let mut from = 0;
        while from < groups.rows {
            let of = stretch(from);
            let to = (from + 1..groups.rows).find(|row| stretch(*row) != of).unwrap_or(groups.rows);
            // A copy: a slice would keep the whole batch.
            let rows = UInt32Array::from_iter_values(from as u32..to as u32);
            let states = groups.states.iter().map(|column| arrow_select::take::take(column, &rows, None));
            runs.push(SavedRun {
                of,
                ids: ids[from..to].to_vec(),
                states: states.collect::<Result<_, _>>()?,
                rows: counts[from..to].iter().fold(0, |sum: u64, count| sum.saturating_add(count.unsigned_abs())),
            });
            from = to;
        }
        Ok(runs)
    }

    /// The slice that begins where a stretch does.
    fn slice_at(&self, run: &SavedRun, groups: &GroupRows) -> Result<i64> {
        let number = self.windows.slice_of(run.of.start).ok();
        let begins = |number: &i64| self.windows.start(*number) == Some(run.of.start);
        number.filter(begins).ok_or_else(|| groups.damaged(OTHER_WINDOWS))
    }

    /// Checks that a stretch ends where the next one of its level begins.
    fn check_end(&self, run: &SavedRun, number: i64, level: usize, groups: &GroupRows) -> Result<()> {
        let end = number.checked_add(1).and_then(|next| self.windows.start(next << level));
        if end == Some(run.of.end) { Ok(()) } else { Err(groups.damaged(OTHER_WINDOWS)) }
    }
}

const OTHER_WINDOWS: &str = "it is of other windows than the statement has";

/// The groups of one stretch in a batch.
struct SavedRun {
    of: Stretch,
    ids: Vec<u32>,
    states: Vec<ArrayRef>,
    rows: u64,
}

fn numbers(range: std::ops::Range<usize>) -> Vec<u32> {
    range.map(|group| group as u32).collect()
}
