//! The rules for a row that comes late, as pure functions; window operators apply them.
//!
//! Wp is the watermark that a row is measured against: its own partition's at its place, and that of the operator that takes
//! it, whichever is higher.

use velo_core::Watermark;
use velo_core::duration::Span;

use crate::properties::{LateProperties, LateStrategy};

/// Whether a row can still count normally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timeliness {
    /// The window has not fired.
    OnTime,
    /// It has.
    Late,
}

impl Timeliness {
    fn late_if(late: bool) -> Self {
        if late { Self::Late } else { Self::OnTime }
    }

    /// Whether it is late.
    pub fn is_late(self) -> bool {
        self == Self::Late
    }
}

/// The watermark that a row is measured against, from what its batch carries (`late_by`, 0 where the batch carries none) and
/// the operator's own.
///
/// Where `late_by` is 0 the partition's watermark is at most the row's time; the row's time then takes its place, which
/// decides the same, because the windows of a row end after its time.
pub fn measured_against(time: i64, late_by: i64, operator: Watermark) -> Watermark {
    Watermark(time.saturating_add(late_by)).max(operator)
}

/// For a time window that ends at `end` (exclusive): on time while Wp < end.
pub fn for_window(end: i64, wp: Watermark) -> Timeliness {
    Timeliness::late_if(wp.0 >= end)
}

/// For a session: on time while Wp ≤ the row's own time + gap, whatever sessions are open.
pub fn for_session(time: i64, gap: Span, wp: Watermark) -> Timeliness {
    Timeliness::late_if(i128::from(wp.0) > i128::from(time) + i128::from(gap.micros()))
}

/// For every other operator that goes by event time: late when the time is below Wp.
pub fn for_row(time: i64, wp: Watermark) -> Timeliness {
    Timeliness::late_if(time < wp.0)
}

/// Whether a window that ended at `end` can still be corrected under `update_previous`: while Wp < end + allowed.
/// After that the row is *too late*: dropped and counted apart.
pub fn can_update(end: i64, allowed: Span, wp: Watermark) -> bool {
    i128::from(wp.0) < i128::from(end) + i128::from(allowed.micros())
}

/// What kind of operator meets late rows, for [`LateProperties::check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LateUse {
    /// Tumbling, sliding and cumulating windows of this size.
    Window(Span),
    /// Sessions with this gap.
    Session(Span),
    /// Joins, OVER, Top-N, deduplication and pattern matching by event time.
    Other,
}

impl LateProperties {
    /// Whether the strategy can be used there; the error says what can.
    pub fn check(&self, used: LateUse) -> Result<(), String> {
        match (self.strategy, used) {
            (LateStrategy::IncludeInNextWindow, LateUse::Session(_)) => {
                return Err("late.data.strategy = include_in_next_window does not go with sessions, which have no next window: \
                            write drop, dead_letter or update_previous"
                    .to_owned());
            }
            (LateStrategy::IncludeInNextWindow | LateStrategy::UpdatePrevious, LateUse::Other) => {
                return Err(
                    "only time windows can include late rows in the next window or update the previous one: write \
                            late.data.strategy = drop or dead_letter"
                        .to_owned(),
                );
            }
            _ => {}
        }
        if self.allowed_lateness.is_some() && self.strategy != LateStrategy::UpdatePrevious {
            return Err(
                "allowed.lateness belongs to late.data.strategy = update_previous; to wait longer before a window \
                        fires, raise watermark.max_out_of_orderness"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// How long after its end a window can be corrected: as given, else one window size or the gap; zero for every other
    /// strategy.
    pub fn allowance(&self, used: LateUse) -> Span {
        if self.strategy != LateStrategy::UpdatePrevious {
            return Span(0);
        }
        self.allowed_lateness.unwrap_or(match used {
            LateUse::Window(span) | LateUse::Session(span) => span,
            LateUse::Other => Span(0),
        })
    }
}

/// A window `[start, end)` in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// The first microsecond.
    pub start: i64,
    /// The first microsecond after it.
    pub end: i64,
}

/// Tumbling and sliding windows: `size` long, one every `advance`, the starts at `offset` and whole advances before and after
/// it. All arithmetic floors, so windows before 1970 are like those after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Windows {
    size: i64,
    advance: i64,
    offset: i64,
}

/// A window would begin or end outside the range of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the window of {0} begins or ends outside the range of times")]
pub struct WindowRange(pub i64);

impl Windows {
    /// Windows; size and advance must be positive.
    pub fn new(size: Span, advance: Span, offset: Span) -> Result<Self, String> {
        if size.micros() <= 0 || advance.micros() <= 0 {
            return Err("a window's size and advance must be longer than zero".to_owned());
        }
        Ok(Self { size: size.micros(), advance: advance.micros(), offset: offset.micros() })
    }

    /// Windows that do not overlap.
    pub fn tumbling(size: Span, offset: Span) -> Result<Self, String> {
        Self::new(size, size, offset)
    }

    fn window(&self, number: i128, of: i64) -> Result<Window, WindowRange> {
        let start = i128::from(self.offset) + number * i128::from(self.advance);
        let end = start + i128::from(self.size);
        match (i64::try_from(start), i64::try_from(end)) {
            (Ok(start), Ok(end)) => Ok(Window { start, end }),
            _ => Err(WindowRange(of)),
        }
    }

    /// The number of the last window that begins at or before `time`.
    fn last_number(&self, time: i64) -> i128 {
        (i128::from(time) - i128::from(self.offset)).div_euclid(i128::from(self.advance))
    }

    /// The number of the first window that ends after `time`.
    fn first_number(&self, time: i64) -> i128 {
        (i128::from(time) - i128::from(self.offset) - i128::from(self.size)).div_euclid(i128::from(self.advance)) + 1
    }

    /// The window with the latest start at or before `time`. Where the advance is longer than the size, `time` may lie behind
    /// its end.
    pub fn last(&self, time: i64) -> Result<Window, WindowRange> {
        self.window(self.last_number(time), time)
    }

    /// All windows that hold `time`, earliest first.
    pub fn of(&self, time: i64) -> impl Iterator<Item = Result<Window, WindowRange>> + use<> {
        let windows = *self;
        (self.first_number(time)..=self.last_number(time)).map(move |number| windows.window(number, time))
    }

    /// The earliest window with end > Wp: the one that takes a row which is late for all its windows under
    /// `include_in_next_window`. After the end of the input there is none.
    pub fn next_open(&self, wp: Watermark) -> Result<Window, WindowRange> {
        self.window(self.first_number(wp.0), wp.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn seconds(size: i64, advance: i64, offset: i64) -> Windows {
        Windows::new(Span(size * SECOND), Span(advance * SECOND), Span(offset * SECOND)).unwrap()
    }

    fn starts(windows: Windows, time: i64) -> Vec<i64> {
        windows.of(time).map(|window| window.unwrap().start / SECOND).collect()
    }

    #[test]
    fn bc_04_windows_before_1970() {
        let minute = seconds(60, 60, 0);
        assert_eq!(starts(minute, -61 * SECOND + 999_000), [-120]);
        assert_eq!(starts(minute, -60 * SECOND), [-60]);
        assert_eq!(starts(minute, -1_000), [-60]);
        assert_eq!(starts(minute, 0), [0]);
        assert_eq!(starts(seconds(10, 4, 0), -SECOND), [-8, -4]);
    }

    #[test]
    fn bc_05_an_offset_also_moves_the_next_window() {
        for offset in [8 * 3_600, -16 * 3_600] {
            let day = seconds(86_400, 86_400, offset);
            assert_eq!(starts(day, 3_600 * SECOND), [-16 * 3_600]);
            let next = day.next_open(Watermark(8 * 3_600 * SECOND)).unwrap();
            assert_eq!(next.start, 8 * 3_600 * SECOND);
        }
    }

    #[test]
    fn bc_11_late_from_the_end_on() {
        assert!(!for_window(10 * SECOND, Watermark(10 * SECOND - 1)).is_late());
        assert!(for_window(10 * SECOND, Watermark(10 * SECOND)).is_late());
        let gap = Span(30 * SECOND);
        assert!(!for_session(0, gap, Watermark(30 * SECOND)).is_late());
        assert!(for_session(0, gap, Watermark(30 * SECOND + 1)).is_late());
        assert!(!for_row(5, Watermark(5)).is_late());
        assert!(for_row(4, Watermark(5)).is_late());
        assert!(can_update(10, Span(5), Watermark(14)));
        assert!(!can_update(10, Span(5), Watermark(15)));
        assert!(!can_update(10, Span(5), Watermark::END));
        assert_eq!(measured_against(7, 3, Watermark::NONE), Watermark(10));
        assert_eq!(measured_against(7, 3, Watermark(12)), Watermark(12));
    }

    #[test]
    fn the_next_open_window_equals_a_search() {
        for (size, advance, offset) in [(10, 10, 0), (10, 4, 0), (10, 3, 1), (7, 7, -3), (5, 8, 2)] {
            let windows = Windows::new(Span(size), Span(advance), Span(offset)).unwrap();
            for wp in -50..50 {
                let naive = (-40..40).map(|k| offset + k * advance).find(|start| start + size > wp).unwrap();
                assert_eq!(windows.next_open(Watermark(wp)), Ok(Window { start: naive, end: naive + size }));
                let holding: Vec<i64> =
                    (-40..40).map(|k| offset + k * advance).filter(|start| *start <= wp && wp < start + size).collect();
                let found: Vec<i64> = windows.of(wp).map(|window| window.unwrap().start).collect();
                assert_eq!(found, holding, "size {size} advance {advance} offset {offset} time {wp}");
                assert_eq!(windows.last(wp).unwrap().start, (wp - offset).div_euclid(advance) * advance + offset);
            }
        }
    }

    #[test]
    fn outside_the_range_is_an_error() {
        let windows = seconds(10, 10, 0);
        assert!(windows.last(i64::MIN).is_err());
        assert!(windows.last(i64::MAX).is_err());
        assert!(windows.next_open(Watermark::END).is_err());
        assert!(windows.of(i64::MIN).all(|window| window.is_err()));
        assert!(Windows::tumbling(Span(0), Span(0)).is_err());
    }

    #[test]
    fn planning() {
        let with = |strategy, allowed_lateness| LateProperties { strategy, allowed_lateness };
        let (window, session) = (LateUse::Window(Span(60)), LateUse::Session(Span(30)));
        assert!(with(LateStrategy::IncludeInNextWindow, None).check(window).is_ok());
        assert!(with(LateStrategy::IncludeInNextWindow, None).check(session).unwrap_err().contains("sessions"));
        assert!(with(LateStrategy::UpdatePrevious, None).check(LateUse::Other).is_err());
        assert!(with(LateStrategy::Drop, Some(Span(1))).check(window).unwrap_err().contains("update_previous"));
        assert!(with(LateStrategy::DeadLetter, None).check(LateUse::Other).is_ok());
        assert_eq!(with(LateStrategy::UpdatePrevious, None).allowance(window), Span(60));
        assert_eq!(with(LateStrategy::UpdatePrevious, None).allowance(session), Span(30));
        assert_eq!(with(LateStrategy::UpdatePrevious, Some(Span(5))).allowance(session), Span(5));
        assert_eq!(with(LateStrategy::Drop, None).allowance(window), Span(0));
    }
}
