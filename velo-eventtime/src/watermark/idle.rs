//! When a silent partition no longer holds the watermark back.

use velo_core::duration::Span;

/// Measures how long one partition has had nothing to give. It reads no clock: every call is told the time.
///
/// Only reads that were made and found nothing count. Time in which the pipeline was blocked or busy does not, and after it
/// the partition is asked again before any time counts, because records may have come in the meantime. So a partition with
/// fetched or unread records, and one that was never read, is never idle.
#[derive(Debug, Clone)]
pub struct IdleTimer {
    /// Microseconds; zero or less turns it off.
    timeout: i64,
    /// Silence from before the last interruption.
    counted: i64,
    /// Since when the partition is known to have nothing, without an interruption.
    since: Option<i64>,
}

impl IdleTimer {
    /// A timer; a `timeout` of zero means never idle.
    pub fn new(timeout: Span) -> Self {
        Self { timeout: timeout.micros(), counted: 0, since: None }
    }

    /// The partition gave records, or has some that wait: it is active.
    pub fn active(&mut self) {
        self.counted = 0;
        self.since = None;
    }

    /// A read at `now` found nothing. Returns whether the partition is idle.
    pub fn nothing(&mut self, now: i64) -> bool {
        self.since.get_or_insert(now);
        self.is_idle(now)
    }

    /// The pipeline is blocked or busy from `now` on, until the next [`IdleTimer::nothing`].
    pub fn blocked(&mut self, now: i64) {
        if let Some(since) = self.since.take() {
            self.counted = self.counted.saturating_add(now.saturating_sub(since).max(0));
        }
    }

    /// Whether the partition is idle at `now`.
    pub fn is_idle(&self, now: i64) -> bool {
        self.idle_at().is_some_and(|at| now >= at)
    }

    /// When the partition becomes idle if nothing happens; `None` while that is not counted.
    pub fn idle_at(&self) -> Option<i64> {
        if self.timeout <= 0 {
            return None;
        }
        Some(self.since?.saturating_add((self.timeout - self.counted).max(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn silence_counts_from_the_first_read_that_found_nothing() {
        let mut timer = IdleTimer::new(Span(SECOND));
        assert!(!timer.is_idle(100 * SECOND), "never read");
        assert!(!timer.nothing(100 * SECOND));
        assert!(!timer.is_idle(101 * SECOND - 1));
        assert!(timer.is_idle(101 * SECOND));
        assert_eq!(timer.idle_at(), Some(101 * SECOND));
        timer.active();
        assert!(!timer.is_idle(1_000 * SECOND));
    }

    #[test]
    fn bc_02_blocked_time_does_not_count() {
        let mut timer = IdleTimer::new(Span(SECOND));
        timer.nothing(0);
        timer.blocked(SECOND / 2);
        assert!(!timer.is_idle(100 * SECOND), "blocked");
        assert!(!timer.nothing(100 * SECOND), "half a second of unblocked silence so far");
        assert!(!timer.is_idle(100 * SECOND + SECOND / 2 - 1));
        assert!(timer.nothing(100 * SECOND + SECOND / 2));
        // Records that came while the pipeline was blocked are seen before any time counts.
        timer.blocked(200 * SECOND);
        timer.active();
        assert!(!timer.nothing(300 * SECOND));
    }

    #[test]
    fn zero_turns_it_off_and_clocks_may_go_back() {
        let mut timer = IdleTimer::new(Span(0));
        timer.nothing(0);
        assert!(!timer.is_idle(i64::MAX));
        let mut timer = IdleTimer::new(Span(SECOND));
        timer.nothing(10 * SECOND);
        timer.blocked(5 * SECOND);
        assert!(!timer.nothing(6 * SECOND));
        assert!(timer.is_idle(7 * SECOND));
    }
}
