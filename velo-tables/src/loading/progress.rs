//! How fast a table loads and when it will be done, from counters that its source keeps.

use std::collections::VecDeque;
use std::sync::Arc;

use velo_core::connector::SizeHint;
use velo_core::progress::Progress;
use velo_core::time::MICROS_PER_SECOND;

/// A recent rate is taken over so long (microseconds).
const RECENT: i64 = 5 * MICROS_PER_SECOND;

/// Records and bytes at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Counts {
    /// The counters of all that feeds a table.
    pub(crate) fn of(counters: &[Arc<Progress>]) -> Self {
        let sum = |pick: fn(&Progress) -> u64| counters.iter().map(|progress| pick(progress)).sum();
        Self {
            records: sum(|progress| Progress::get(&progress.records)),
            bytes: sum(|progress| Progress::get(&progress.bytes)),
        }
    }

    fn since(self, base: Self) -> Self {
        Self { records: self.records.saturating_sub(base.records), bytes: self.bytes.saturating_sub(base.bytes) }
    }

    fn per_second(self, micros: i64) -> (f64, f64) {
        if micros <= 0 {
            return (0.0, 0.0);
        }
        let seconds = micros as f64 / MICROS_PER_SECOND as f64;
        (self.records as f64 / seconds, self.bytes as f64 / seconds)
    }
}

/// The course of one load.
#[derive(Debug, Default)]
pub(crate) struct Course {
    pub(crate) started: Option<i64>,
    pub(crate) finished: Option<i64>,
    pub(crate) size: SizeHint,
    /// What the counters showed when this attempt began.
    base: Counts,
    /// What they showed at times before now, the newest last.
    samples: VecDeque<(i64, Counts)>,
}

/// Figures about a load.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) counts: Counts,
    pub(crate) percent: Option<f64>,
    pub(crate) recent: (f64, f64),
    pub(crate) overall: (f64, f64),
    pub(crate) estimated_completion: Option<i64>,
}

impl Course {
    /// An attempt begins; what was read before does not count.
    pub(crate) fn begin(&mut self, now: i64, counts: Counts) {
        self.started.get_or_insert(now);
        self.finished = None;
        self.base = counts;
        self.samples.clear();
        self.samples.push_back((now, counts));
    }

    /// Notes what the counters show, for recent rates.
    pub(crate) fn sample(&mut self, now: i64, counts: Counts) {
        if self.started.is_none() || self.samples.back().is_some_and(|(at, _)| *at >= now) {
            return;
        }
        self.samples.push_back((now, counts));
        // One sample from before the stretch stays: the rate is taken from it.
        while self.samples.get(1).is_some_and(|(at, _)| *at <= now - RECENT) {
            self.samples.pop_front();
        }
    }

    /// The figures now.
    pub(crate) fn figures(&self, now: i64, counts: Counts) -> Figures {
        let Some((first, _)) = self.samples.front().copied().or(self.started.map(|at| (at, self.base))) else {
            return Figures { counts: counts.since(self.base), ..Figures::default() };
        };
        let done = counts.since(self.base);
        let from = self.samples.iter().rev().find(|(at, _)| *at <= now - RECENT).or(self.samples.front());
        let recent = from.map_or((0.0, 0.0), |(at, then)| counts.since(*then).per_second(now - at));
        let until = self.finished.unwrap_or(now);
        let overall = done.per_second(until - self.started.unwrap_or(first));
        let (share, left) = self.left(done, recent, overall);
        let percent = if self.finished.is_some() { share.map(|_| 100.0) } else { share };
        let estimated_completion =
            left.filter(|_| self.finished.is_none()).map(|seconds| now + (seconds * MICROS_PER_SECOND as f64) as i64);
        Figures { counts: done, percent, recent, overall, estimated_completion }
    }

    /// How much is done in per cent, and the seconds that the rest takes; by bytes, else by records.
    fn left(&self, done: Counts, recent: (f64, f64), overall: (f64, f64)) -> (Option<f64>, Option<f64>) {
        let (done, total, recent, overall) = match (self.size.bytes, self.size.rows) {
            (Some(bytes), _) if bytes > 0 => (done.bytes, bytes, recent.1, overall.1),
            (_, Some(rows)) if rows > 0 => (done.records, rows, recent.0, overall.0),
            _ => return (None, None),
        };
        let percent = (done as f64 * 100.0 / total as f64).min(100.0);
        let rate = if recent > 0.0 { recent } else { overall };
        let seconds = (rate > 0.0).then(|| total.saturating_sub(done) as f64 / rate);
        (Some(percent), seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = MICROS_PER_SECOND;

    fn counts(records: u64) -> Counts {
        Counts { records, bytes: records * 10 }
    }

    #[test]
    fn rates_percent_and_estimate() {
        let mut course = Course { size: SizeHint { rows: None, bytes: Some(10_000) }, ..Course::default() };
        assert_eq!(course.figures(0, counts(0)), Figures::default());
        course.begin(0, counts(7));
        for second in 1..=10 {
            course.sample(second * SECOND, counts(7 + second as u64 * 20));
        }
        let now = course.figures(10 * SECOND, counts(207));
        assert_eq!((now.counts, now.percent), (counts(200), Some(20.0)));
        assert_eq!((now.recent, now.overall), ((20.0, 200.0), (20.0, 200.0)));
        assert_eq!(now.estimated_completion, Some(50 * SECOND));
        // Nothing more comes for ten seconds: the recent rate falls at once, the overall one slowly.
        for second in 11..=20 {
            course.sample(second * SECOND, counts(207));
        }
        let now = course.figures(20 * SECOND, counts(207));
        assert_eq!((now.recent, now.overall), ((0.0, 0.0), (10.0, 100.0)));
        assert_eq!(now.estimated_completion, Some(100 * SECOND));
        assert!(course.samples.len() <= 7, "only what a recent rate needs is kept: {}", course.samples.len());
    }

    #[test]
    fn another_attempt_begins_at_nothing() {
        let mut course = Course { size: SizeHint { rows: Some(100), bytes: None }, ..Course::default() };
        course.begin(0, counts(0));
        course.begin(4 * SECOND, counts(60));
        let now = course.figures(8 * SECOND, counts(80));
        assert_eq!((now.counts, now.percent, now.recent.0), (counts(20), Some(20.0), 5.0));
        course.finished = Some(8 * SECOND);
        let end = course.figures(80 * SECOND, counts(80));
        assert_eq!((end.percent, end.estimated_completion, end.overall.0), (Some(100.0), None, 2.5));
    }

    #[test]
    fn no_time_is_no_rate() {
        let mut course = Course::default();
        course.begin(5, counts(0));
        let now = course.figures(5, counts(10));
        assert_eq!((now.recent, now.overall, now.percent), ((0.0, 0.0), (0.0, 0.0), None));
    }
}
