//! The guard against wrong clocks: a record far ahead of the clock does not move the watermark.

use velo_core::duration::Span;

/// How far ahead of the clock a record may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Skew(i64);

impl Skew {
    /// A guard; zero turns it off.
    pub(super) fn new(span: Span) -> Self {
        Self(span.micros())
    }

    /// The highest time that moves the watermark.
    pub(super) fn limit(self, now: i64) -> i64 {
        if self.0 <= 0 { i64::MAX } else { now.saturating_add(self.0) }
    }
}
