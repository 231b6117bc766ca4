//! The windows of a GROUP BY whose results change: which rows belong to which, when they fire, and how long they can be corrected.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::UInt32Array;
use velo_core::duration::Span;
use velo_core::{Batch, Watermark};
use velo_eventtime::LateStrategy;
use velo_eventtime::late::{can_update, for_window};

use super::Outbox;
use super::grouping::{GroupSpec, times_of};
use super::late_rows::{LateRows, window_named};
use crate::error::{ExecError, Result};
use crate::window::late::Measure;
use crate::window::{LateCounters, Windows};

/// Rows with their windows.
pub(super) struct Placed {
    /// The rows of the batch, each as often as it has windows.
    pub(super) rows: UInt32Array,
    /// The number of the window of each.
    pub(super) windows: Vec<u32>,
}

struct Window {
    number: u32,
    fired: bool,
    groups: Vec<u32>,
}

/// Windows that are open, or closed and not yet beyond correction.
pub(super) struct ChangedWindows {
    windows: Windows,
    late: LateRows,
    allowed: Span,
    known: KnownWindows,
}

/// The windows of which rows have come.
#[derive(Default)]
struct KnownWindows {
    by_end: BTreeMap<i64, Window>,
    /// By number: start and end.
    bounds: HashMap<u32, (i64, i64)>,
    next: u32,
}

impl KnownWindows {
    fn number(&mut self, start: i64, end: i64, operator: Watermark) -> u32 {
        let (next, bounds) = (&mut self.next, &mut self.bounds);
        self.by_end
            .entry(end)
            .or_insert_with(|| {
                let number = *next;
                *next = next.wrapping_add(1);
                bounds.insert(number, (start, end));
                // The first row of a window that has passed: nothing of it is out, and what comes of it comes at once.
                Window { number, fired: for_window(end, operator).is_late(), groups: Vec::new() }
            })
            .number
    }
}

impl ChangedWindows {
    pub(super) fn new(spec: &GroupSpec) -> Result<Self> {
        let window = spec.window.as_ref();
        let window = window.ok_or_else(|| ExecError::Internal("windows without their lengths".to_owned()))?;
        Ok(Self {
            windows: Windows::new(window)?,
            late: LateRows::new(spec.late, &spec.statement),
            allowed: spec.emission.corrected.unwrap_or_default(),
            known: KnownWindows::default(),
        })
    }

    pub(super) fn counters(&self) -> Arc<LateCounters> {
        Arc::clone(&self.late.counters)
    }

    /// The windows of each row; rows that are late for all of theirs meet their policy.
    pub(super) fn place(&mut self, batch: &Batch, operator: Watermark, out: &mut Outbox) -> Result<Placed> {
        let times = times_of(batch)?;
        let measure = Measure::new(batch, operator);
        let (mut rows, mut numbers) = (Vec::new(), Vec::new());
        for (row, time) in times.iter().enumerate() {
            let watermark = measure.of(row, *time);
            let slice = self.windows.slice_of(*time)?;
            self.windows.check(slice, *time)?;
            let (before, mut missed, mut last) = (rows.len(), 0, None);
            for (start, end) in self.windows.ends(slice).filter_map(|end| self.windows.bounds(end)) {
                last = Some((start, end));
                if for_window(end, watermark).is_late() && !can_update(end, self.allowed, watermark) {
                    missed += 1;
                    continue;
                }
                rows.push(row as u32);
                numbers.push(self.known.number(start, end, operator));
            }
            let all = missed > 0 && rows.len() == before;
            self.late.counters.add(u64::from(all), missed);
            if !all {
                continue;
            }
            match self.late.policy {
                LateStrategy::DeadLetter => {
                    out.dead_letter(self.late.letter(batch, row, *time, window_named(last), watermark)?);
                }
                LateStrategy::IncludeInNextWindow => {
                    // After the end of the input there is no next window, and the row is only counted.
                    let next = self.windows.end_after(watermark.0).and_then(|end| self.windows.bounds(end));
                    if let Some((start, end)) = next {
                        rows.push(row as u32);
                        numbers.push(self.known.number(start, end, operator));
                    }
                }
                LateStrategy::Drop | LateStrategy::UpdatePrevious => {}
            }
        }
        Ok(Placed { rows: UInt32Array::from(rows), windows: numbers })
    }

    /// A new group of a window.
    pub(super) fn joins(&mut self, number: u32, group: u32) {
        if let Some(window) = self.known.bounds.get(&number).and_then(|(_, end)| self.known.by_end.get_mut(end)) {
            window.groups.push(group);
        }
    }

    pub(super) fn start_of(&self, number: u32) -> i64 {
        self.known.bounds.get(&number).map_or(0, |bounds| bounds.0)
    }

    pub(super) fn end_of(&self, number: u32) -> i64 {
        self.known.bounds.get(&number).map_or(0, |bounds| bounds.1)
    }

    /// Whether the window has closed, so that rows correct it.
    pub(super) fn has_fired(&self, number: u32) -> bool {
        self.known.by_end.get(&self.end_of(number)).is_some_and(|window| window.fired)
    }

    /// Closes what the watermark has passed: the groups of these windows, by end.
    pub(super) fn close(&mut self, watermark: Watermark) -> Vec<u32> {
        let mut groups = Vec::new();
        for (_, window) in self.known.by_end.range_mut(..=watermark.0).filter(|(_, window)| !window.fired) {
            window.fired = true;
            groups.extend_from_slice(&window.groups);
        }
        groups
    }

    /// Takes out what can no longer be corrected: the groups of these windows.
    pub(super) fn expired(&mut self, watermark: Watermark) -> Vec<u32> {
        let mut groups = Vec::new();
        while let Some(entry) = self.known.by_end.first_entry()
            && !can_update(*entry.key(), self.allowed, watermark)
        {
            let window = entry.remove();
            self.known.bounds.remove(&window.number);
            groups.extend(window.groups);
        }
        groups
    }

    /// The bounds of a window that can still change.
    pub(super) fn bounds_of(&self, number: u32) -> Option<(i64, i64)> {
        self.known.bounds.get(&number).copied()
    }

    /// The number of a window that was saved, with these bounds; it has closed if the watermark has passed it. None where the
    /// statement has no such window.
    pub(super) fn restore(&mut self, start: i64, end: i64, operator: Watermark) -> Option<u32> {
        self.windows.with_bounds(start, end).map(|_| self.known.number(start, end, operator))
    }

    /// The groups have new numbers: `windows` has the window of each.
    pub(super) fn regroup(&mut self, windows: impl Iterator<Item = u32>) {
        self.known.by_end.values_mut().for_each(|window| window.groups.clear());
        for (group, number) in windows.enumerate() {
            self.joins(number, group as u32);
        }
    }

    /// What may be forwarded: a correction carries the time of its window.
    pub(super) fn forwarded(&self, watermark: Watermark) -> Watermark {
        match watermark {
            Watermark::END | Watermark::NONE => watermark,
            Watermark(micros) => Watermark(micros.saturating_sub(self.allowed.micros())),
        }
    }
}
