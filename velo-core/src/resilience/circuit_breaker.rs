//! When to stop asking a system that keeps failing, and when to try it again: a pure state machine.
//!
//! *Closed*, calls go through. After enough failures in a row, or when too many of the calls of a window of time failed, the
//! breaker *opens*: calls are refused for a time. Then it is *half-open*: one call at a time is let through; enough successes in
//! a row close it, and a failure opens it again.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::properties::CircuitBreakerProperties;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// Calls are refused.
    Open,
    /// One call at a time shows whether the system is back.
    HalfOpen,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes; its outcome must be told.
    Allowed,
    /// Not before this time (microseconds since 1970).
    Refused {
        /// When to ask again.
        until: i64,
    },
    /// Another call is just finding out; ask again when it has returned.
    Trying,
}

/// A circuit breaker. Times are microseconds since 1970, by the caller's clock.
#[derive(Debug)]
pub struct CircuitBreaker {
    settings: CircuitBreakerProperties,
    stage: Stage,
    /// Failures since the last success.
    in_a_row: u32,
    /// The calls of the window: when, and whether they failed.
    outcomes: VecDeque<(i64, bool)>,
    /// How many of these failed.
    failed: usize,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Closed,
    Open { until: i64 },
    HalfOpen { successes: u32, trying: bool },
}

/// Calls of a window that are remembered; older ones fall out, so that a busy connection costs no more memory than this.
const REMEMBERED: usize = 1_024;

impl CircuitBreaker {
    /// Closed.
    pub fn new(settings: CircuitBreakerProperties) -> Self {
        Self { settings, stage: Stage::Closed, in_a_row: 0, outcomes: VecDeque::new(), failed: 0 }
    }

    /// Where it stands at `now`.
    pub fn state(&self, now: i64) -> BreakerState {
        match self.stage {
            Stage::Closed => BreakerState::Closed,
            Stage::Open { until } if now < until => BreakerState::Open,
            Stage::Open { .. } | Stage::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Asks whether a call may be made at `now`.
    pub fn ask(&mut self, now: i64) -> Verdict {
        match &mut self.stage {
            Stage::Closed => Verdict::Allowed,
            Stage::Open { until } if now < *until => Verdict::Refused { until: *until },
            Stage::Open { .. } => {
                self.stage = Stage::HalfOpen { successes: 0, trying: true };
                Verdict::Allowed
            }
            Stage::HalfOpen { trying: true, .. } => Verdict::Trying,
            Stage::HalfOpen { trying, .. } => {
                *trying = true;
                Verdict::Allowed
            }
        }
    }

    /// A call succeeded at `now`.
    pub fn succeeded(&mut self, now: i64) {
        self.in_a_row = 0;
        match &mut self.stage {
            Stage::Closed => self.note(now, false),
            // It was allowed before others opened the breaker; what they saw is newer.
            Stage::Open { .. } => {}
            Stage::HalfOpen { successes, trying } => {
                *trying = false;
                *successes += 1;
                if *successes >= self.settings.success_threshold.max(1) {
                    self.close();
                }
            }
        }
    }

    /// A call failed at `now`, in a way that may pass.
    pub fn failed(&mut self, now: i64) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        match self.stage {
            Stage::Closed => {
                self.note(now, true);
                let threshold = self.settings.failure_threshold.max(1);
                let in_a_row = self.in_a_row >= threshold;
                // A rate says something only over as many calls as failures in a row would have been enough.
                let many = self.outcomes.len() >= threshold as usize;
                let rate = self.failed * 100 >= self.outcomes.len() * usize::from(self.settings.failure_rate.0);
                if in_a_row || (many && rate) {
                    self.open(now);
                }
            }
            Stage::Open { .. } => {}
            Stage::HalfOpen { .. } => self.open(now),
        }
    }

    /// A call came back without saying how the system is: it was given up, or failed for a reason of its own.
    pub fn returned(&mut self) {
        if let Stage::HalfOpen { trying, .. } = &mut self.stage {
            *trying = false;
        }
    }

    fn open(&mut self, now: i64) {
        self.stage = Stage::Open { until: now.saturating_add(self.settings.timeout.micros()) };
    }

    fn close(&mut self) {
        self.stage = Stage::Closed;
        self.in_a_row = 0;
        self.outcomes.clear();
        self.failed = 0;
    }

    fn note(&mut self, now: i64, failed: bool) {
        self.outcomes.push_back((now, failed));
        self.failed += usize::from(failed);
        let from = now.saturating_sub(self.settings.window.micros());
        while let Some((at, failed)) = self.outcomes.front().copied()
            && (at <= from || self.outcomes.len() > REMEMBERED)
        {
            self.outcomes.pop_front();
            self.failed -= usize::from(failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration::Span;
    use crate::resilience::Percent;

    fn breaker(failure_threshold: u32, failure_rate: u8) -> CircuitBreaker {
        CircuitBreaker::new(CircuitBreakerProperties {
            failure_threshold,
            success_threshold: 2,
            timeout: Span(100),
            failure_rate: Percent(failure_rate),
            window: Span(1_000),
        })
    }

    #[test]
    fn opens_after_failures_in_a_row() {
        let mut breaker = breaker(3, 100);
        for now in [0, 1] {
            breaker.failed(now);
        }
        breaker.succeeded(2);
        for now in [3, 4] {
            breaker.failed(now);
            assert_eq!(breaker.state(now), BreakerState::Closed, "a success has them counted anew");
        }
        breaker.failed(5);
        assert_eq!(breaker.state(5), BreakerState::Open);
        assert_eq!(breaker.ask(104), Verdict::Refused { until: 105 });
    }

    #[test]
    fn half_open_lets_one_call_through_at_a_time() {
        let mut breaker = breaker(1, 100);
        breaker.failed(0);
        assert_eq!(breaker.ask(100), Verdict::Allowed);
        assert_eq!(breaker.ask(100), Verdict::Trying);
        breaker.succeeded(101);
        assert_eq!(breaker.state(101), BreakerState::HalfOpen, "one success is not enough");
        assert_eq!(breaker.ask(101), Verdict::Allowed);
        breaker.returned();
        assert_eq!(breaker.ask(102), Verdict::Allowed, "a call without an outcome blocks nobody");
        breaker.succeeded(102);
        assert_eq!(breaker.state(102), BreakerState::Closed);
        breaker.failed(103);
        assert_eq!(breaker.ask(203), Verdict::Allowed);
        breaker.failed(204);
        assert_eq!(breaker.ask(205), Verdict::Refused { until: 304 }, "a failure opens it again");
    }

    #[test]
    fn opens_at_a_rate_within_the_window() {
        let mut breaker = breaker(4, 50);
        for now in 0..3 {
            breaker.failed(now * 2);
            breaker.succeeded(now * 2 + 1);
        }
        assert_eq!(breaker.state(6), BreakerState::Open, "every second of five calls or more failed: at the third");
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut breaker = breaker(4, 50);
        for at in 0..100 {
            breaker.failed(at * 600);
            breaker.succeeded(at * 600 + 1);
        }
        assert_eq!(breaker.state(60_000), BreakerState::Closed, "there were never four calls in a window");
    }

    /// Any order of calls: a refused call never counts, and the breaker always lets a call through after its time.
    #[test]
    fn never_stuck() {
        for seed in 0..500_u64 {
            let mut breaker = breaker(1 + (seed % 4) as u32, 30 + (seed % 70) as u8);
            let (mut now, mut bits, mut open) = (0_i64, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, 0_u32);
            for _ in 0..200 {
                bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                now += (bits >> 58) as i64;
                match breaker.ask(now) {
                    Verdict::Allowed if bits >> 62 == 0 => breaker.failed(now),
                    Verdict::Allowed if bits >> 62 == 1 => breaker.returned(),
                    Verdict::Allowed => breaker.succeeded(now),
                    Verdict::Refused { until } => {
                        open += 1;
                        assert!(now < until && until <= now + 100, "seed {seed}");
                        assert_eq!(breaker.state(now), BreakerState::Open);
                        now = until;
                        assert_eq!(breaker.ask(now), Verdict::Allowed, "seed {seed}");
                        breaker.returned();
                    }
                    Verdict::Trying => panic!("nobody else is calling, seed {seed}"),
                }
            }
            assert!(open > 0 || seed % 4 > 0, "a threshold of one is met, seed {seed}");
        }
    }
}
