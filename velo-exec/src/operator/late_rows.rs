//! Rows that come late: how many there were, and what becomes of them.

use std::fmt::Display;
use std::sync::Arc;

use arrow_array::BooleanArray;
use velo_core::dead_letter::{DeadLetter, Stage};
use velo_core::duration::Span;
use velo_core::time::iso8601;
use velo_core::{Batch, Watermark};
use velo_eventtime::LateStrategy;
use velo_eventtime::late::Timeliness;

use super::Outbox;
use super::grouping::times_of;
use crate::error::Result;
use crate::row_json::row_as_json;
use crate::window::LateCounters;
use crate::window::late::Measure;

/// The late rows of an operator.
pub(super) struct LateRows {
    pub(super) policy: LateStrategy,
    /// Names the query.
    statement: String,
    pub(super) counters: Arc<LateCounters>,
}

impl LateRows {
    pub(super) fn new(policy: LateStrategy, statement: &str) -> Self {
        Self { policy, statement: statement.to_owned(), counters: Arc::default() }
    }

    /// The rows of a batch that are on time by themselves, whatever windows are open; the others are counted and meet the
    /// policy. `timeliness` is that of an event time against its watermark, `target` what a row was late for.
    pub(super) fn leave_out(
        &self,
        batch: Batch,
        operator: Watermark,
        target: impl Display,
        timeliness: impl Fn(i64, Watermark) -> Timeliness,
        out: &mut Outbox,
    ) -> Result<Batch> {
        let times = times_of(&batch)?;
        let measure = Measure::new(&batch, operator);
        if measure.passes_none_of(times) {
            return Ok(batch);
        }
        let on_time = |(row, time): (usize, &i64)| !timeliness(*time, measure.of(row, *time)).is_late();
        let kept = times.iter().enumerate().map(on_time).collect::<Vec<_>>();
        let late = kept.iter().filter(|kept| !**kept).count();
        if late == 0 {
            return Ok(batch);
        }
        self.counters.add(late as u64, late as u64);
        if self.policy == LateStrategy::DeadLetter {
            for (row, _) in kept.iter().enumerate().filter(|(_, kept)| !**kept) {
                let watermark = measure.of(row, times[row]);
                out.dead_letter(self.letter(&batch, row, times[row], &target, watermark)?);
            }
        }
        Ok(batch.filter(&BooleanArray::from(kept))?)
    }

    /// The dead letter of a row of `batch` with this event time, late for `target` as measured against `watermark`.
    pub(super) fn letter(
        &self,
        batch: &Batch,
        row: usize,
        time: i64,
        target: impl Display,
        watermark: Watermark,
    ) -> Result<DeadLetter> {
        Ok(DeadLetter {
            stage: Stage::Late,
            source: self.statement.clone(),
            bytes: row_as_json(&batch.columns, row)?,
            error: format!(
                "event time {} came late for {target}: the watermark was {watermark}, {} after the event time",
                iso8601(time),
                Span(watermark.0.saturating_sub(time)),
            ),
            code: "late-data",
            place: batch.origin.as_ref().map(|origin| origin.place(row)),
            attributes: None,
        })
    }
}

/// How a dead letter names a window.
pub(super) fn window_named(bounds: Option<(i64, i64)>) -> String {
    bounds.map_or_else(
        || "its window".to_owned(),
        |(start, end)| format!("window [{}, {})", iso8601(start), iso8601(end)),
    )
}
