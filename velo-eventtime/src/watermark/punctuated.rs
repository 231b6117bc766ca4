//! The watermark is what a field of the records says.

use arrow_array::{Array, Int64Array};
use arrow_buffer::NullBuffer;
use velo_core::Watermark;

use super::Rows;
use super::skew::Limits;

#[derive(Debug, Clone)]
pub(super) struct Punctuated {
    watermark: i64,
}

impl Punctuated {
    pub(super) fn new() -> Self {
        Self { watermark: Watermark::NONE.0 }
    }

    pub(super) fn watermark(&self) -> i64 {
        self.watermark
    }

    pub(super) fn restore(&mut self, highest: i64) {
        self.watermark = self.watermark.max(highest);
    }

    /// A row's punctuation counts after the row itself. A record whose time or punctuation is beyond its limit moves nothing.
    pub(super) fn observe(
        &mut self,
        times: &[i64],
        nulls: Option<&NullBuffer>,
        limits: &Limits<'_>,
        punctuation: Option<&Int64Array>,
        rows: &mut Rows,
    ) {
        for (row, time) in times.iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            let limit = limits.of(row);
            let said = punctuation.filter(|said| said.is_valid(row)).map(|said| said.value(row));
            if *time > limit || said.is_some_and(|said| said > limit) {
                rows.future(row);
                continue;
            }
            if *time < self.watermark {
                rows.late(row, self.watermark.saturating_sub(*time));
            }
            if let Some(said) = said {
                self.watermark = self.watermark.max(said);
            }
        }
    }
}
