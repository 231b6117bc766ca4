//! Which rows of a batch are late for which of their windows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::BooleanArray;
use velo_core::{Batch, Watermark};
use velo_eventtime::late::{for_window, measured_against};

use super::assign::Windows;
use crate::checkpoint::{StateReader, StateWriter, load_counts, save_counts};
use crate::error::Result;

/// How many late rows an operator met; read from outside while it runs.
#[derive(Debug, Default)]
pub struct LateCounters {
    rows: AtomicU64,
    windows: AtomicU64,
}

impl LateCounters {
    /// Rows that were late for all their windows, whatever then happened to them.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Windows that a row would have belonged to and was late for, over all rows.
    pub fn windows(&self) -> u64 {
        self.windows.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, rows: u64, windows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.windows.fetch_add(windows, Ordering::Relaxed);
    }

    /// Takes what was counted out: rows, and windows.
    pub(crate) fn take(&self) -> [u64; 2] {
        [&self.rows, &self.windows].map(|counter| counter.swap(0, Ordering::Relaxed))
    }

    /// Puts them into a checkpoint, as the table `late`.
    pub(crate) fn save(&self, state: &mut StateWriter) -> Result<()> {
        save_counts(state, LATE, &[("rows", self.rows()), ("windows", self.windows())])
    }

    /// Takes up what was saved.
    pub(crate) fn load(&self, state: &mut StateReader) -> Result<()> {
        let [rows, windows] = load_counts(state, LATE, ["rows", "windows"])?;
        self.add(rows, windows);
        Ok(())
    }
}

/// The table with the counters.
const LATE: &str = "late";

/// What the rows of a batch are measured against: the watermarks of their partitions and the operator's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure<'a> {
    late_by: Option<&'a [i64]>,
    operator: Watermark,
}

impl<'a> Measure<'a> {
    pub(crate) fn new(batch: &'a Batch, operator: Watermark) -> Self {
        Self { late_by: batch.late_by.as_ref().map(|late_by| late_by.values().as_ref()), operator }
    }

    /// The watermark for a row with this event time; see [`measured_against`].
    pub(crate) fn of(&self, row: usize, time: i64) -> Watermark {
        measured_against(time, self.late_by.map_or(0, |late_by| late_by[row].max(0)), self.operator)
    }

    /// Whether no watermark has passed any of these times, of all rows of the batch.
    pub(crate) fn passes_none_of(&self, times: &[i64]) -> bool {
        self.late_by.is_none() && self.operator.0 <= times.iter().min().copied().unwrap_or(i64::MAX)
    }
}

/// A row that is late for all its windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateRow {
    pub(crate) row: u32,
    /// The end of its last window.
    pub(crate) end: i64,
    /// What it was measured against.
    pub(crate) watermark: Watermark,
}

/// The rows of a batch by lateness.
#[derive(Debug, Default)]
pub(crate) struct Lateness {
    /// True for rows that are on time for all their windows; none: all are.
    pub(crate) on_time: Option<BooleanArray>,
    /// By end: rows that are late for an earlier window of theirs, but not for this one.
    pub(crate) some: BTreeMap<i64, Vec<u32>>,
    /// Rows that are late for all.
    pub(crate) all: Vec<LateRow>,
    /// Pairs of a row and a window that it is late for.
    pub(crate) missed: u64,
}

/// Divides the rows of a batch by lateness, against the watermarks of their partition and of the operator.
pub(crate) fn divide(windows: &Windows, batch: &Batch, times: &[i64], operator: Watermark) -> Result<Lateness> {
    let mut lateness = Lateness::default();
    let measure = Measure::new(batch, operator);
    // Every window of a row ends after its time.
    if measure.passes_none_of(times) {
        return Ok(lateness);
    }
    let mut on_time = vec![true; times.len()];
    for (row, time) in times.iter().enumerate() {
        let watermark = measure.of(row, *time);
        if watermark.0 <= *time {
            continue;
        }
        let slice = windows.slice_of(*time)?;
        let Some(first) = windows.next_end(slice, i64::MIN) else { continue };
        let is_late = |end: i64| windows.start(end).is_none_or(|end| for_window(end, watermark).is_late());
        if !is_late(first) {
            continue;
        }
        on_time[row] = false;
        let mut last = first;
        let mut counts = false;
        for end in windows.ends(slice) {
            last = end;
            if is_late(end) {
                lateness.missed += 1;
            } else {
                counts = true;
                lateness.some.entry(end).or_default().push(row as u32);
            }
        }
        if !counts {
            lateness.all.push(LateRow { row: row as u32, end: last, watermark });
        }
    }
    if on_time.contains(&false) {
        lateness.on_time = Some(on_time.into());
    }
    Ok(lateness)
}
