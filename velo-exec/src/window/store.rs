//! The state of all open windows of one operator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, UInt32Array};
use arrow_schema::DataType;

use super::assign::{Runs, Windows};
use super::slice::SliceState;
use super::sliding::Tree;
use crate::aggregate::{AggregatePlan, Inputs, RowOrder};
use crate::error::Result;
use crate::state::KeyTable;

/// Slices, and what cannot be told by slice.
#[derive(Debug)]
pub struct WindowStore {
    pub(super) windows: Windows,
    pub(super) plan: Arc<AggregatePlan>,
    pub(super) keys: KeyTable,
    /// Slices that still take rows.
    pub(super) open: BTreeMap<i64, SliceState>,
    /// By end: rows that count in this window but were late for an earlier one of their slice.
    pub(super) extras: BTreeMap<i64, SliceState>,
    /// Slices that a fired window has read.
    pub(super) tree: Tree,
    /// All slices with rows, open or sealed, that have a window to come.
    pub(super) live: BTreeSet<i64>,
    /// Windows that end here or before have fired.
    pub(super) fired_to: i64,
    runs: Runs,
    ids: Vec<u32>,
    /// Dead keys are collected when there are this many.
    collect_at: usize,
}

/// A window that fires: its bounds and the state of its keys.
#[derive(Debug)]
pub struct Fired {
    /// The first microsecond.
    pub start: i64,
    /// The microsecond behind the last.
    pub end: i64,
    /// The aggregates of the keys that have rows in it.
    pub state: SliceState,
}

/// Fewer keys than this are never collected.
const COLLECT_FROM: usize = 1_024;

impl WindowStore {
    /// A store without rows, for key columns of these types.
    pub fn new(windows: Windows, key_types: &[DataType], plan: &Arc<AggregatePlan>) -> Result<Self> {
        Ok(Self {
            windows,
            plan: Arc::clone(plan),
            keys: KeyTable::new(key_types)?,
            open: BTreeMap::new(),
            extras: BTreeMap::new(),
            tree: Tree::new(windows.longest()),
            live: BTreeSet::new(),
            fired_to: i64::MIN,
            runs: Runs::new(windows),
            ids: Vec::new(),
            collect_at: COLLECT_FROM,
        })
    }

    /// The windows.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// Rows in windows that have not fired: those of slices that still take some, each once.
    pub fn held(&self) -> u64 {
        self.open.values().chain(self.extras.values()).map(SliceState::rows).sum()
    }

    /// The numbers and columns of keys.
    pub fn keys(&self) -> &KeyTable {
        &self.keys
    }

    /// Takes rows that are on time for all their windows.
    pub fn add(&mut self, keys: &[ArrayRef], times: &[i64], inputs: &Inputs, order: &RowOrder) -> Result<()> {
        self.keys.intern(keys, times.len(), &mut self.ids)?;
        let (runs, sorted) = self.runs.of(times)?;
        let rearranged = match &sorted {
            Some(rows) => {
                self.ids = rows.values().iter().map(|row| self.ids[*row as usize]).collect();
                Some((inputs.take(rows)?, if self.plan.ordered() { order.take(rows)? } else { order.clone() }))
            }
            None => None,
        };
        let (inputs, order) = rearranged.as_ref().map_or((inputs, order), |(inputs, order)| (inputs, order));
        for run in runs {
            if self.windows.last_end(run.slice).is_none() {
                // Between two windows: the row belongs to none.
                continue;
            }
            let slice = match self.open.entry(run.slice) {
                std::collections::btree_map::Entry::Occupied(slice) => slice.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    self.live.insert(run.slice);
                    place.insert(SliceState::new(&self.plan)?)
                }
            };
            let length = run.to - run.from;
            let ids = &self.ids[run.from..run.to];
            if length == times.len() {
                slice.update(ids, self.keys.len(), inputs, order)?;
            } else {
                let order = order.slice(run.from, length);
                slice.update(ids, self.keys.len(), &inputs.slice(run.from, length), &order)?;
            }
        }
        Ok(())
    }

    /// Takes rows for single windows: row `i` counts in the window that ends at `ends[i]`, and in no other.
    pub fn add_to_windows(
        &mut self,
        ends: &BTreeMap<i64, Vec<u32>>,
        keys: &[ArrayRef],
        rows: usize,
        inputs: &Inputs,
        order: &RowOrder,
    ) -> Result<()> {
        self.keys.intern(keys, rows, &mut self.ids)?;
        for (end, rows) in ends {
            let ids = rows.iter().map(|row| self.ids[*row as usize]).collect::<Vec<_>>();
            let rows = UInt32Array::from(rows.clone());
            let count = self.keys.len();
            let (inputs, order) = (inputs.take(&rows)?, order.take(&rows)?);
            self.extra(*end)?.update(&ids, count, &inputs, &order)?;
        }
        Ok(())
    }

    pub(super) fn extra(&mut self, end: i64) -> Result<&mut SliceState> {
        Ok(match self.extras.entry(end) {
            std::collections::btree_map::Entry::Occupied(extra) => extra.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(SliceState::new(&self.plan)?),
        })
    }

    /// Takes states that another store has given by [`Self::seal_next`]: of one slice, or of one window alone. `late` says
    /// what happens to those whose windows have all fired; the answer is how many rows that were.
    pub fn add_states(&mut self, sealed: &SealedStates<'_>, include_in_next: bool) -> Result<u64> {
        let mut late = 0;
        let count = sealed.slices.len();
        self.keys.intern(sealed.keys, count, &mut self.ids)?;
        let mut from = 0;
        while from < count {
            let marker = (sealed.slices.value(from), sealed.windows.value(from));
            let run = (from..count)
                .take_while(|row| (sealed.slices.value(*row), sealed.windows.value(*row)) == marker)
                .count();
            let ids = self.ids[from..from + run].to_vec();
            let state = sealed.state.iter().map(|column| column.slice(from, run)).collect::<Vec<_>>();
            let rows = (from..from + run).map(|row| sealed.rows.value(row).unsigned_abs()).sum::<u64>();
            late += self.add_state(marker, &ids, &state, rows, include_in_next)?;
            from += run;
        }
        Ok(late)
    }

    fn add_state(
        &mut self,
        (number, window): (i64, i8),
        ids: &[u32],
        state: &[ArrayRef],
        rows: u64,
        include_in_next: bool,
    ) -> Result<u64> {
        let keys = self.keys.len();
        if window == 0 {
            let first = self.windows.next_end(number, i64::MIN);
            if first.is_some_and(|first| first > self.fired_to) {
                if !self.open.contains_key(&number) {
                    self.open.insert(number, SliceState::new(&self.plan)?);
                    self.live.insert(number);
                }
                if let Some(slice) = self.open.get_mut(&number) {
                    slice.merge(ids, keys, state, rows)?;
                }
                return Ok(0);
            }
        }
        // Some of the slice's windows have fired: the others take it one by one.
        let mut ends = match window {
            0 => self.windows.ends(number).filter(|end| *end > self.fired_to).collect::<Vec<_>>(),
            _ => Some(number).into_iter().filter(|end| *end > self.fired_to).collect(),
        };
        let mut late = 0;
        if ends.is_empty() {
            late = rows;
            if include_in_next {
                ends.extend(self.windows.end_behind(self.fired_to));
            }
        }
        for end in ends {
            self.extra(end)?.merge(ids, keys, state, rows)?;
        }
        Ok(late)
    }

    /// Forgets keys that no open window has any more, once they can be half of all. Not while a [`Fired`] is held.
    pub fn collect_keys(&mut self) {
        if self.live.is_empty() && self.extras.is_empty() {
            self.keys.clear();
            self.collect_at = COLLECT_FROM;
            return;
        }
        if self.keys.len() < self.collect_at {
            return;
        }
        let mut live = vec![false; self.keys.len()];
        let slices = self.open.values().chain(self.extras.values()).map(SliceState::keys);
        for keys in slices.chain(self.tree.nodes().map(|node| node.keys.as_slice())) {
            for key in keys {
                live[*key as usize] = true;
            }
        }
        let count = live.iter().filter(|live| **live).count();
        if count * 2 <= self.keys.len() {
            let renumbered = self.keys.retain(&live);
            for slice in self.open.values_mut().chain(self.extras.values_mut()) {
                slice.renumber(&renumbered, count);
            }
            self.tree.renumber(&renumbered);
        }
        self.collect_at = (self.keys.len() * 2).max(COLLECT_FROM);
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let slices = self.open.values().chain(self.extras.values()).map(SliceState::memory).sum::<usize>();
        slices + self.tree.memory() + self.keys.memory()
    }
}

/// States of slices and windows, as rows: what goes from the first step to the second.
#[derive(Debug)]
pub struct SealedStates<'a> {
    /// The key columns.
    pub keys: &'a [ArrayRef],
    /// The slice's number, or the window's end.
    pub slices: &'a Int64Array,
    /// 1 where it is a window.
    pub windows: &'a arrow_array::Int8Array,
    /// Rows that went in, in the first of each run; they matter only for counting late ones.
    pub rows: &'a Int64Array,
    /// The state columns.
    pub state: &'a [ArrayRef],
}
