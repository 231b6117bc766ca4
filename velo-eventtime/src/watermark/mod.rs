//! Watermarks: one per partition, their minimum over partitions or inputs, and silent partitions.
//!
//! A watermark W says that no more records with an event time below W are expected. Each partition has its own
//! ([`PartitionWatermark`]); a row is measured against it *at its place*, before its own time counts, so lateness depends on
//! the data alone and not on how batches are cut.

mod bounded;
mod idle;
mod merge;
mod punctuated;
mod skew;

use arrow_array::{Array, Int64Array, TimestampMicrosecondArray};
use velo_core::Watermark;

pub use idle::IdleTimer;
pub use merge::{Change, Merge};
pub use skew::Now;

use bounded::Bounded;
use punctuated::Punctuated;
use skew::Skew;

use crate::properties::{WatermarkProperties, WatermarkStrategy};

/// The watermark of one partition and how it follows what is seen.
#[derive(Debug, Clone)]
pub struct PartitionWatermark {
    state: State,
    skew: Skew,
}

#[derive(Debug, Clone)]
enum State {
    /// Also `ascending`: a bound of zero. A row equal to the highest is not below it, so it is not late.
    Bounded(Bounded),
    Punctuated(Punctuated),
}

/// What a batch of event times showed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// `None` where no row is behind the watermark. Otherwise one value per row, never null: Wp − time where time < Wp, and
    /// 0 elsewhere; Wp is the partition's watermark at the row's place, before its own time counts. So Wp is time + this
    /// wherever this is positive, and a row with 0 is late for nothing (its window ends after its time, which is at least Wp).
    pub late_by: Option<Int64Array>,
    /// The rows, ascending, whose time (or punctuation) is too far ahead of the clock. They did not move the watermark and
    /// carry 0 in `late_by`; the caller counts them and treats them under `event.time.on.error`.
    pub future: Vec<u32>,
}

impl PartitionWatermark {
    /// A partition of which nothing was seen.
    pub fn new(properties: &WatermarkProperties) -> Self {
        let state = match properties.strategy {
            WatermarkStrategy::BoundedOutOfOrderness => State::Bounded(Bounded::new(properties.max_out_of_orderness)),
            WatermarkStrategy::Ascending => State::Bounded(Bounded::new(velo_core::duration::Span(0))),
            WatermarkStrategy::Punctuated => State::Punctuated(Punctuated::new()),
        };
        Self { state, skew: Skew::new(properties.max_future_skew) }
    }

    /// Shows the next rows of the partition, in order; null times are passed over.
    ///
    /// `now` is the time in microseconds against which it is measured whether a row is too far ahead. `punctuation` holds
    /// the punctuation field in microseconds, null where a row has none; only the strategy `punctuated` looks at it.
    pub fn observe<'a>(
        &mut self,
        times: &TimestampMicrosecondArray,
        now: impl Into<Now<'a>>,
        punctuation: Option<&Int64Array>,
    ) -> Observed {
        let limits = self.skew.limits(now.into());
        let nulls = times.nulls().filter(|nulls| nulls.null_count() > 0);
        let mut rows = Rows { late: Vec::new(), future: Vec::new(), length: times.len() };
        match &mut self.state {
            State::Bounded(bounded) => bounded.observe(times.values(), nulls, &limits, &mut rows),
            State::Punctuated(punctuated) => punctuated.observe(times.values(), nulls, &limits, punctuation, &mut rows),
        }
        Observed { late_by: (!rows.late.is_empty()).then(|| Int64Array::from(rows.late)), future: rows.future }
    }

    /// The partition's watermark now; [`Watermark::NONE`] before the first row.
    pub fn current(&self) -> Watermark {
        match &self.state {
            State::Bounded(bounded) => Watermark(bounded.watermark()),
            State::Punctuated(punctuated) => Watermark(punctuated.watermark()),
        }
    }

    /// What a checkpoint keeps: the highest event time seen (under `punctuated` the highest punctuation).
    pub fn highest(&self) -> Option<i64> {
        let highest = match &self.state {
            State::Bounded(bounded) => bounded.highest(),
            State::Punctuated(punctuated) => punctuated.watermark(),
        };
        (highest != Watermark::NONE.0).then_some(highest)
    }

    /// Begins where partitions before it have left the watermark of all of them.
    pub fn begin_at(&mut self, watermark: Watermark) {
        match &mut self.state {
            State::Bounded(bounded) => bounded.begin_at(watermark.0),
            State::Punctuated(punctuated) => punctuated.restore(watermark.0),
        }
    }

    /// Takes up what [`PartitionWatermark::highest`] gave to a checkpoint.
    pub fn restore(&mut self, highest: i64) {
        match &mut self.state {
            State::Bounded(bounded) => bounded.restore(highest),
            State::Punctuated(punctuated) => punctuated.restore(highest),
        }
    }
}

/// Collects what a strategy finds about the rows of a batch.
#[derive(Debug)]
struct Rows {
    late: Vec<i64>,
    future: Vec<u32>,
    length: usize,
}

impl Rows {
    fn late(&mut self, row: usize, by: i64) {
        if self.late.is_empty() {
            self.late = vec![0; self.length];
        }
        self.late[row] = by;
    }

    fn future(&mut self, row: usize) {
        self.future.push(row as u32);
    }
}
