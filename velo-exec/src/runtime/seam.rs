//! Which rows are a stream's where its history and what comes live overlap: each row is of one of the two by its event time.

use arrow_array::BooleanArray;
use arrow_array::cast::AsArray;

use super::timing::Timed;
use crate::error::Result;

/// The rows of a partition that are the stream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seam {
    /// Of the history those before the time (microseconds).
    Before(i64),
    /// Of what comes live those from the time on.
    From(i64),
}

impl Seam {
    /// Leaves the other rows out, and counts them. The watermark never sees them: the last rows of a history would take it to where
    /// those that come live are late.
    pub(super) fn apply(self, timed: Timed) -> Result<(Timed, u64)> {
        let Some(times) = timed.batch.event_times() else { return Ok((timed, 0)) };
        let is_kept = |time: &i64| match self {
            Self::Before(until) => *time < until,
            Self::From(from) => *time >= from,
        };
        let left_out = times.values().iter().filter(|time| !is_kept(time)).count() as u64;
        if left_out == 0 {
            return Ok((timed, 0));
        }
        let keep: BooleanArray = times.values().iter().map(|time| Some(is_kept(time))).collect();
        let Timed { batch, punctuation, mut kept } = timed;
        let mut of_rows = keep.values().iter();
        kept.retain(|_| of_rows.next().unwrap_or(true));
        let punctuation = match punctuation {
            Some(said) => Some(arrow_select::filter::filter(&said, &keep)?.as_primitive().clone()),
            None => None,
        };
        Ok((Timed { batch: batch.filter(&keep)?, punctuation, kept }, left_out))
    }
}
