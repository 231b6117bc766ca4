//! The windows of a GROUP BY whose results change: which rows belong to which, when they fire, and how long they can be corrected.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::UInt32Array;
use velo_core::dead_letter::{DeadLetter, Stage};
use velo_core::duration::Span;
use velo_core::time::iso8601;
use velo_core::{Batch, Watermark};
use velo_eventtime::LateStrategy;
use velo_eventtime::late::{can_update, for_window, measured_against};

use super::Outbox;
use super::grouping::{GroupSpec, times_of};
use super::row_json::row_as_json;
use crate::error::{ExecError, Result};
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
    late: LateStrategy,
    allowed: Span,
    statement: String,
    counters: Arc<LateCounters>,
    /// By end.
    known: BTreeMap<i64, Window>,
    /// By number: start and end.
    bounds: HashMap<u32, (i64, i64)>,
    next: u32,
}

impl ChangedWindows {
    pub(super) fn new(spec: &GroupSpec) -> Result<Self> {
        let window = spec.window.as_ref();
        let window = window.ok_or_else(|| ExecError::Internal("windows without their lengths".to_owned()))?;
        Ok(Self {
            windows: Windows::new(window)?,
            late: spec.late,
            allowed: spec.emission.corrected.unwrap_or_default(),
            statement: spec.statement.clone(),
            counters: Arc::default(),
            known: BTreeMap::new(),
            bounds: HashMap::new(),
            next: 0,
        })
    }

    pub(super) fn counters(&self) -> Arc<LateCounters> {
        Arc::clone(&self.counters)
    }

    /// The windows of each row; rows that are late for all of theirs meet their policy.
    pub(super) fn place(&mut self, batch: &Batch, operator: Watermark, out: &mut Outbox) -> Result<Placed> {
        let times = times_of(batch)?;
        let late_by = batch.late_by.as_ref().map(|late_by| late_by.values());
        let (mut rows, mut numbers) = (Vec::new(), Vec::new());
        for (row, time) in times.iter().enumerate() {
            let watermark = measured_against(*time, late_by.map_or(0, |late_by| late_by[row].max(0)), operator);
            let slice = self.windows.slice_of(*time)?;
            self.windows.check(slice, *time)?;
            let (before, mut missed, mut last) = (rows.len(), 0, None);
            let ends: Vec<(i64, i64)> = self.windows.ends(slice).filter_map(|end| self.windows.bounds(end)).collect();
            for (start, end) in ends {
                last = Some((start, end));
                if for_window(end, watermark).is_late() && !can_update(end, self.allowed, watermark) {
                    missed += 1;
                    continue;
                }
                rows.push(row as u32);
                numbers.push(self.number(start, end, operator));
            }
            let all = missed > 0 && rows.len() == before;
            self.counters.add(u64::from(all), missed);
            if !all {
                continue;
            }
            match self.late {
                LateStrategy::DeadLetter => out.dead_letter(self.dead_letter(batch, row, *time, last, watermark)?),
                LateStrategy::IncludeInNextWindow => {
                    // After the end of the input there is no next window, and the row is only counted.
                    let next = self.windows.end_after(watermark.0).and_then(|end| self.windows.bounds(end));
                    if let Some((start, end)) = next {
                        rows.push(row as u32);
                        numbers.push(self.number(start, end, operator));
                    }
                }
                LateStrategy::Drop | LateStrategy::UpdatePrevious => {}
            }
        }
        Ok(Placed { rows: UInt32Array::from(rows), windows: numbers })
    }

    fn number(&mut self, start: i64, end: i64, operator: Watermark) -> u32 {
        let (next, bounds) = (&mut self.next, &mut self.bounds);
        self.known
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

    fn dead_letter(
        &self,
        batch: &Batch,
        row: usize,
        time: i64,
        window: Option<(i64, i64)>,
        watermark: Watermark,
    ) -> Result<DeadLetter> {
        let window = window.map_or_else(
            || "its window".to_owned(),
            |(start, end)| format!("window [{}, {})", iso8601(start), iso8601(end)),
        );
        Ok(DeadLetter {
            stage: Stage::Late,
            source: self.statement.clone(),
            bytes: row_as_json(&batch.columns, row)?,
            error: format!(
                "event time {} came late for {window}: the watermark was {watermark}, {} after the event time",
                iso8601(time),
                Span(watermark.0.saturating_sub(time)),
            ),
            code: "late-data",
            place: batch.origin.as_ref().map(|origin| origin.place(row)),
        })
    }

    /// A new group of a window.
    pub(super) fn joins(&mut self, number: u32, group: u32) {
        if let Some(window) = self.bounds.get(&number).and_then(|(_, end)| self.known.get_mut(end)) {
            window.groups.push(group);
        }
    }

    pub(super) fn start_of(&self, number: u32) -> i64 {
        self.bounds.get(&number).map_or(0, |bounds| bounds.0)
    }

    pub(super) fn end_of(&self, number: u32) -> i64 {
        self.bounds.get(&number).map_or(0, |bounds| bounds.1)
    }

    /// Whether the window has closed, so that rows correct it.
    pub(super) fn has_fired(&self, number: u32) -> bool {
        self.known.get(&self.end_of(number)).is_some_and(|window| window.fired)
    }

    /// Closes what the watermark has passed: the groups of these windows, by end.
    pub(super) fn close(&mut self, watermark: Watermark) -> Vec<u32> {
        let mut groups = Vec::new();
        for (_, window) in self.known.range_mut(..=watermark.0).filter(|(_, window)| !window.fired) {
            window.fired = true;
            groups.extend_from_slice(&window.groups);
        }
        groups
    }

    /// Takes out what can no longer be corrected: the groups of these windows.
    pub(super) fn expired(&mut self, watermark: Watermark) -> Vec<u32> {
        let mut groups = Vec::new();
        while let Some(entry) = self.known.first_entry()
            && !can_update(*entry.key(), self.allowed, watermark)
        {
            let window = entry.remove();
            self.bounds.remove(&window.number);
            groups.extend(window.groups);
        }
        groups
    }

    /// The groups have new numbers: `windows` has the window of each.
    pub(super) fn regroup(&mut self, windows: &[u32]) {
        self.known.values_mut().for_each(|window| window.groups.clear());
        for (group, number) in windows.iter().enumerate() {
            self.joins(*number, group as u32);
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
