//! The highest event time seen less a bound.

use arrow_buffer::NullBuffer;
use velo_core::Watermark;
use velo_core::duration::Span;

use super::Rows;
use super::skew::Limits;

/// Rows that are looked at together: their smallest and largest time mostly answer for all of them.
const CHUNK: usize = 256;

#[derive(Debug, Clone)]
pub(super) struct Bounded {
    /// [`Watermark::NONE`] before the first row.
    highest: i64,
    bound: i64,
}

impl Bounded {
    pub(super) fn new(bound: Span) -> Self {
        Self { highest: Watermark::NONE.0, bound: bound.micros().max(0) }
    }

    pub(super) fn watermark(&self) -> i64 {
        self.highest.saturating_sub(self.bound)
    }

    pub(super) fn highest(&self) -> i64 {
        self.highest
    }

    pub(super) fn begin_at(&mut self, watermark: i64) {
        if watermark != Watermark::NONE.0 {
            self.restore(watermark.saturating_add(self.bound));
        }
    }

    pub(super) fn restore(&mut self, highest: i64) {
        self.highest = self.highest.max(highest);
    }

    pub(super) fn observe(&mut self, times: &[i64], nulls: Option<&NullBuffer>, limits: &Limits<'_>, rows: &mut Rows) {
        if let Some(nulls) = nulls {
            for row in nulls.valid_indices() {
                self.row(row, times[row], limits.of(row), rows);
            }
            return;
        }
        for (number, chunk) in times.chunks(CHUNK).enumerate() {
            let (lowest, highest) =
                chunk.iter().fold((i64::MAX, i64::MIN), |(low, high), time| (low.min(*time), high.max(*time)));
            // If even the lowest is not behind the watermark after the whole chunk, no row is behind it at its place.
            let reached = self.highest.max(highest);
            if highest <= limits.lowest && lowest >= reached.saturating_sub(self.bound) {
                self.highest = reached;
                continue;
            }
            for (at, time) in chunk.iter().enumerate() {
                let row = number * CHUNK + at;
                self.row(row, *time, limits.of(row), rows);
            }
        }
    }

    #[inline]
    fn row(&mut self, row: usize, time: i64, limit: i64, rows: &mut Rows) {
        if time > limit {
            rows.future(row);
            return;
        }
        let watermark = self.watermark();
        if time < watermark {
            rows.late(row, watermark.saturating_sub(time));
        } else {
            self.highest = self.highest.max(time);
        }
    }
}
