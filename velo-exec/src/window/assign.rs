//! Times to slices, slices to windows.
//!
//! Slices are numbered: slice 0 begins at the offset, slice −1 ends there. A window is named by the number of the slice
//! behind its last one, its *end*: no two windows of one kind end at the same time. All divisions floor, so that windows
//! before 1970 are like those after; all arithmetic that could leave the range of times is checked.

use arrow_array::UInt32Array;
use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use velo_core::duration::Span;
use velo_core::time::{MICROS_PER_DAY, iso8601};
use velo_plan::plan::{WindowKind, WindowSpec};

use crate::error::{ExecError, Result};

/// Where slices begin.
#[derive(Debug, Clone, Copy)]
enum Grid {
    /// At multiples of `width` plus `offset`.
    Even { width: i64, offset: i64 },
    /// At local midnights, every `days` days, plus `offset` on the local clock.
    Days { days: i64, offset: i64, zone: Tz },
}

/// Which slices make a window; all lengths in slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Windows of `size` slices, one every `advance`.
    Sliding { size: i64, advance: i64 },
    /// Windows that grow by a slice up to `size`, and start again.
    Cumulate { size: i64 },
}

/// The windows of one operator.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    grid: Grid,
    shape: Shape,
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Windows {
    /// The windows of a specification that is no session.
    pub fn new(spec: &WindowSpec) -> Result<Self> {
        let wrong = |what: &str| ExecError::Internal(format!("{spec}: {what}"));
        let (width, shape) = match spec.kind {
            WindowKind::Tumbling { size } => (size, (size, size)),
            WindowKind::Sliding { size, advance } => (Span(gcd(size.micros(), advance.micros())), (size, advance)),
            WindowKind::Cumulate { size, step } => (step, (size, step)),
            WindowKind::Session { .. } => return Err(wrong("a session has no slices")),
        };
        let (width, size, advance) = (width.micros(), shape.0.micros(), shape.1.micros());
        if width <= 0 || size <= 0 || advance <= 0 || size % width != 0 {
            return Err(wrong("lengths must be above zero, and a size a multiple of its step"));
        }
        let shape = match spec.kind {
            WindowKind::Cumulate { .. } => Shape::Cumulate { size: size / width },
            _ => Shape::Sliding { size: size / width, advance: advance / width },
        };
        let offset = spec.offset.micros();
        let grid = match spec.zone {
            None => Grid::Even { width, offset },
            Some(zone) if width % MICROS_PER_DAY == 0 => Grid::Days { days: width / MICROS_PER_DAY, offset, zone },
            Some(_) => return Err(wrong("a zone goes with windows of whole days")),
        };
        Ok(Self { grid, shape })
    }

    /// When slice `number` begins; none outside the range of times.
    pub fn start(&self, number: i64) -> Option<i64> {
        match self.grid {
            Grid::Even { width, offset } => {
                i64::try_from(i128::from(number) * i128::from(width) + i128::from(offset)).ok()
            }
            Grid::Days { days, offset, zone } => {
                let local = i128::from(number) * i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(offset);
                utc_of(i64::try_from(local).ok()?, zone)
            }
        }
    }

    /// The slice that holds `time`.
    pub fn slice_of(&self, time: i64) -> Result<i64> {
        self.find(time).ok_or_else(|| out_of_range(time))
    }

    fn find(&self, time: i64) -> Option<i64> {
        match self.grid {
            Grid::Even { width, offset } => {
                i64::try_from((i128::from(time) - i128::from(offset)).div_euclid(i128::from(width))).ok()
            }
            Grid::Days { days, offset, zone } => {
                let local = time.checked_add(offset_at(time, zone)?)?.checked_sub(offset)?;
                let mut number = local.div_euclid(days.checked_mul(MICROS_PER_DAY)?);
                // A change of the clock between midnight and `time` can move it over a boundary.
                while self.start(number)? > time {
                    number -= 1;
                }
                while self.start(number + 1)? <= time {
                    number += 1;
                }
                Some(number)
            }
        }
    }

    /// The largest end that is at or before `time`: every window up to it has closed when the watermark is there.
    pub fn closed_by(&self, time: i64) -> i64 {
        match time {
            i64::MIN => i64::MIN,
            i64::MAX => i64::MAX,
            time => self.find(time).unwrap_or(if time < 0 { i64::MIN } else { i64::MAX }),
        }
    }

    /// Whether every window is one slice.
    pub fn single(&self) -> bool {
        matches!(self.shape, Shape::Sliding { size: 1, .. })
    }

    /// The number of slices in the longest window.
    pub fn longest(&self) -> i64 {
        match self.shape {
            Shape::Sliding { size, .. } | Shape::Cumulate { size } => size,
        }
    }

    /// The earliest end behind `after` of a window that holds `slice`.
    pub fn next_end(&self, slice: i64, after: i64) -> Option<i64> {
        let end = self.end_behind(after.max(slice))?;
        (self.first_slice(end) <= slice).then_some(end)
    }

    /// The earliest end of any window that is larger than `after`.
    pub fn end_behind(&self, after: i64) -> Option<i64> {
        match self.shape {
            Shape::Sliding { size, advance } => {
                let number = (i128::from(after) - i128::from(size)).div_euclid(i128::from(advance)) + 1;
                i64::try_from(number * i128::from(advance) + i128::from(size)).ok()
            }
            Shape::Cumulate { .. } => after.checked_add(1),
        }
    }

    /// The first slice of the window that ends at `end`.
    pub fn first_slice(&self, end: i64) -> i64 {
        match self.shape {
            Shape::Sliding { size, .. } => end.saturating_sub(size),
            Shape::Cumulate { size } => end.saturating_sub(1).div_euclid(size).saturating_mul(size),
        }
    }

    /// The last end of a window that holds `slice`; none where the slice lies between windows.
    pub fn last_end(&self, slice: i64) -> Option<i64> {
        match self.shape {
            Shape::Sliding { size, advance } => {
                let end = slice.div_euclid(advance).checked_mul(advance)?.checked_add(size)?;
                (end > slice).then_some(end)
            }
            Shape::Cumulate { size } => slice.div_euclid(size).checked_mul(size)?.checked_add(size),
        }
    }

    /// All ends of windows that hold `slice`, earliest first.
    pub fn ends(&self, slice: i64) -> impl Iterator<Item = i64> {
        let windows = *self;
        std::iter::successors(self.next_end(slice, i64::MIN), move |end| windows.next_end(slice, *end))
    }

    /// The earliest end whose time is after `time`.
    pub fn end_after(&self, time: i64) -> Option<i64> {
        self.end_behind(self.find(time)?)
    }

    /// Start and end of the window that ends at `end`.
    pub fn bounds(&self, end: i64) -> Option<(i64, i64)> {
        Some((self.start(self.first_slice(end))?, self.start(end)?))
    }

    /// The end of the window with these bounds.
    pub fn with_bounds(&self, start: i64, end: i64) -> Option<i64> {
        let behind = self.find(end)?;
        // Where a local day does not exist, the slice behind the window is not the one that its end is found in.
        [behind, behind.checked_sub(1)?].into_iter().find(|number| self.bounds(*number) == Some((start, end)))
    }

    /// Checks that all windows of a slice lie within the range of times, so that nothing fails when they fire.
    pub fn check(&self, slice: i64, time: i64) -> Result<()> {
        let first = self.next_end(slice, i64::MIN);
        match (first, self.last_end(slice)) {
            (Some(first), Some(last)) => (self.bounds(first).is_some() && self.bounds(last).is_some())
                .then_some(())
                .ok_or_else(|| out_of_range(time)),
            // Between two windows.
            _ => Ok(()),
        }
    }
}

fn out_of_range(time: i64) -> ExecError {
    ExecError::Compute {
        statement: "window".to_owned(),
        message: format!("the window of {} begins or ends outside the range of times", iso8601(time)),
        place: None,
    }
}

/// The offset of the local clock at a time, in microseconds.
fn offset_at(time: i64, zone: Tz) -> Option<i64> {
    let utc = DateTime::from_timestamp_micros(time)?.naive_utc();
    Some(i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000_000)
}

/// The time at which the local clock first shows `local` or, where that never happens, jumps over it.
fn utc_of(local: i64, zone: Tz) -> Option<i64> {
    let shown: NaiveDateTime = DateTime::from_timestamp_micros(local)?.naive_utc();
    if let Some(first) = zone.from_local_datetime(&shown).earliest() {
        return Some(first.timestamp_micros());
    }
    // The clock jumped over it: with the offset from before the jump, midnight is the moment of the jump.
    let day_before = shown.checked_sub_signed(TimeDelta::days(1))?;
    let before = zone.from_local_datetime(&day_before).earliest()?;
    local.checked_sub(i64::from(before.offset().fix().local_minus_utc()) * 1_000_000)
}

/// Rows `from..to` of a batch that lie in one slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The slice.
    pub slice: i64,
    /// The first row.
    pub from: usize,
    /// The row behind the last.
    pub to: usize,
}

/// Divides batches into runs of rows of one slice; remembers the last slice, because the next batch mostly goes on there.
#[derive(Debug)]
pub struct Runs {
    windows: Windows,
    slice: i64,
    /// `[start, end)` of `slice`; empty before the first row.
    bounds: (i64, i64),
    runs: Vec<Run>,
    slices: Vec<i64>,
}

/// Below this many rows a run, the rows are brought into the order of their slices first.
const SHORT_RUN: usize = 64;

impl Runs {
    /// Runs of slices of these windows.
    pub fn new(windows: Windows) -> Self {
        Self { windows, slice: 0, bounds: (0, 0), runs: Vec::new(), slices: Vec::new() }
    }

    fn enter(&mut self, time: i64) -> Result<()> {
        let slice = self.windows.slice_of(time)?;
        self.windows.check(slice, time)?;
        let start = self.windows.start(slice).ok_or_else(|| out_of_range(time))?;
        let end = slice.checked_add(1).and_then(|next| self.windows.start(next)).unwrap_or(i64::MAX);
        (self.slice, self.bounds) = (slice, (start, end));
        Ok(())
    }

    /// The runs of a batch with these times, and, where the rows had to be put into another order for them, that order (rows
    /// of one slice keep theirs).
    pub fn of(&mut self, times: &[i64]) -> Result<(&[Run], Option<UInt32Array>)> {
        self.cut(times)?;
        if self.runs.len() <= 1 + times.len() / SHORT_RUN {
            return Ok((&self.runs, None));
        }
        self.slices.clear();
        for run in &self.runs {
            self.slices.resize(run.to, run.slice);
        }
        let order = sorted(&self.slices);
        self.runs.clear();
        for (at, row) in order.iter().enumerate() {
            let slice = self.slices[*row as usize];
            match self.runs.last_mut() {
                Some(run) if run.slice == slice => run.to = at + 1,
                _ => self.runs.push(Run { slice, from: at, to: at + 1 }),
            }
        }
        Ok((&self.runs, Some(order.into())))
    }

    fn cut(&mut self, times: &[i64]) -> Result<()> {
        self.runs.clear();
        let mut from = 0;
        while from < times.len() {
            if !(self.bounds.0..self.bounds.1).contains(&times[from]) {
                self.enter(times[from])?;
            }
            let (start, end) = self.bounds;
            let length = times[from..].iter().position(|time| *time < start || *time >= end);
            let to = length.map_or(times.len(), |length| from + length);
            self.runs.push(Run { slice: self.slice, from, to });
            from = to;
        }
        Ok(())
    }
}

/// The rows in the order of their slices; rows of one slice keep their order.
fn sorted(slices: &[i64]) -> Vec<u32> {
    let (Some(first), Some(last)) = (slices.iter().min(), slices.iter().max()) else { return Vec::new() };
    let mut order = (0..slices.len() as u32).collect::<Vec<_>>();
    match usize::try_from(i128::from(*last) - i128::from(*first)) {
        // Few slices: count, then place.
        Ok(range) if range <= 4 * slices.len() => {
            let mut starts = vec![0_u32; range + 2];
            for slice in slices {
                starts[(slice - first) as usize + 1] += 1;
            }
            for at in 1..starts.len() {
                starts[at] += starts[at - 1];
            }
            for (row, slice) in slices.iter().enumerate() {
                let start = &mut starts[(slice - first) as usize];
                order[*start as usize] = row as u32;
                *start += 1;
            }
        }
        _ => order.sort_by_key(|row| slices[*row as usize]),
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const DAY: i64 = MICROS_PER_DAY;

    fn windows(kind: WindowKind, offset: i64) -> Windows {
        Windows::new(&WindowSpec { kind, offset: Span(offset), zone: None }).unwrap()
    }

    fn sliding(size: i64, advance: i64, offset: i64) -> Windows {
        windows(WindowKind::Sliding { size: Span(size), advance: Span(advance) }, offset)
    }

    fn of(windows: &Windows, time: i64) -> Vec<(i64, i64)> {
        windows.ends(windows.slice_of(time).unwrap()).map(|end| windows.bounds(end).unwrap()).collect()
    }

    #[test]
    fn bc_04_before_1970() {
        let minute = windows(WindowKind::Tumbling { size: Span(60) }, 0);
        assert_eq!(of(&minute, -61), [(-120, -60)]);
        assert_eq!(of(&minute, -60), [(-60, 0)]);
        assert_eq!(of(&minute, 0), [(0, 60)]);
        assert_eq!(of(&sliding(10, 4, 0), -1), [(-8, 2), (-4, 6)]);
        let hour = windows(WindowKind::Tumbling { size: Span(3_600 * SECOND) }, 0);
        for time in [i64::MIN, i64::MAX] {
            let slice = hour.slice_of(time).unwrap();
            assert!(hour.check(slice, time).is_err(), "{time}");
        }
    }

    #[test]
    fn windows_equal_a_search() {
        for (size, advance, offset) in [(10, 10, 0), (10, 5, 3), (10, 4, -7), (12, 5, 25), (3, 7, 1), (6, 9, -40)] {
            let windows = sliding(size, advance, offset);
            for time in -60..60 {
                let naive = (-50..50)
                    .map(|number| number * advance + offset)
                    .filter(|start| *start <= time && time < start + size)
                    .map(|start| (start, start + size))
                    .collect::<Vec<_>>();
                assert_eq!(of(&windows, time), naive, "{size} {advance} {offset} at {time}");
                let next = (-50..50).map(|n| n * advance + offset + size).find(|end| *end > time);
                let found = windows.end_after(time).and_then(|end| windows.start(end));
                assert_eq!(found, next, "{size} {advance} {offset} after {time}");
                let slice = windows.slice_of(time).unwrap();
                assert_eq!(windows.last_end(slice), windows.ends(slice).last());
            }
        }
        let cumulate = windows(WindowKind::Cumulate { size: Span(6), step: Span(2) }, 1);
        assert_eq!(of(&cumulate, 2), [(1, 3), (1, 5), (1, 7)]);
        assert_eq!(of(&cumulate, 6), [(1, 7)]);
        assert_eq!(of(&cumulate, 0), [(-5, 1)]);
        assert_eq!(cumulate.last_end(0), Some(3));
    }

    #[test]
    fn days_follow_local_midnights() {
        let spec =
            |zone: Tz| WindowSpec { kind: WindowKind::Tumbling { size: Span(DAY) }, offset: Span(0), zone: Some(zone) };
        let berlin = Windows::new(&spec(Tz::Europe__Berlin)).unwrap();
        // 2024-03-31 has 23 hours there, 2024-10-27 has 25.
        let hour = 3_600 * SECOND;
        for (time, from, hours) in [(1_711_882_800, 1_711_839_600, 23), (1_730_016_000, 1_729_980_000, 25)] {
            let (start, end) = of(&berlin, time * SECOND)[0];
            assert_eq!((start, (end - start) / hour), (from * SECOND, hours));
        }
        // Midnight of 2018-11-04 did not exist in São Paulo: the day began at one.
        let (start, end) = of(&Windows::new(&spec(Tz::America__Sao_Paulo)).unwrap(), 1_541_340_000 * SECOND)[0];
        assert_eq!((start / SECOND, (end - start) / hour), (1_541_300_400, 23));
        for day in (0..20_000).step_by(7) {
            let time = day * DAY + 7 * hour;
            let (start, end) = of(&berlin, time)[0];
            assert!(start <= time && time < end, "{day}");
        }
    }

    #[test]
    fn runs_and_disorder() {
        let mut runs = Runs::new(windows(WindowKind::Tumbling { size: Span(10) }, 0));
        let (found, order) = runs.of(&[1, 2, 15, 16, 3]).unwrap();
        assert!(order.is_some());
        assert_eq!(found, [Run { slice: 0, from: 0, to: 3 }, Run { slice: 1, from: 3, to: 5 }]);
        assert_eq!(order.unwrap().values().as_ref(), [0, 1, 4, 2, 3]);
        let (found, order) = runs.of(&[20, 29]).unwrap();
        assert_eq!((found, order), (&[Run { slice: 2, from: 0, to: 2 }][..], None));
        let (found, order) = runs.of(&[0, 1_000_000_000, 5, 999_999_999, -1]).unwrap();
        assert_eq!(found.iter().map(|run| run.slice).collect::<Vec<_>>(), [-1, 0, 99_999_999, 100_000_000]);
        assert_eq!(order.unwrap().values().as_ref(), [4, 0, 2, 3, 1]);
    }
}
