//! The guard against wrong clocks: a record far ahead of the clock does not move the watermark.

use velo_core::duration::Span;

/// The time against which rows are measured, in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub enum Now<'a> {
    /// Of all rows the clock's when they were read.
    Clock(i64),
    /// Of each row the one at which the system that keeps it took it in, by that system's clock.
    Each(&'a [i64]),
}

impl From<i64> for Now<'_> {
    fn from(clock: i64) -> Self {
        Self::Clock(clock)
    }
}

/// How far ahead of the clock a record may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Skew(i64);

impl Skew {
    /// A guard; zero turns it off.
    pub(super) fn new(span: Span) -> Self {
        Self(span.micros())
    }

    /// The highest times that move the watermark.
    pub(super) fn limits(self, now: Now<'_>) -> Limits<'_> {
        let (lowest, each) = match now {
            _ if self.0 <= 0 => (i64::MAX, &[][..]),
            Now::Clock(clock) => (clock.saturating_add(self.0), &[][..]),
            Now::Each(each) => (each.iter().min().map_or(i64::MAX, |now| now.saturating_add(self.0)), each),
        };
        Limits { lowest, each, skew: self.0 }
    }
}

/// The highest times of rows that move the watermark.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'a> {
    /// A time up to this one moves it wherever it stands.
    pub(super) lowest: i64,
    each: &'a [i64],
    skew: i64,
}

impl Limits<'_> {
    /// Of a row.
    #[inline]
    pub(super) fn of(&self, row: usize) -> i64 {
        self.each.get(row).map_or(self.lowest, |now| now.saturating_add(self.skew))
    }
}
