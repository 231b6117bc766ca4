//! How long to wait before each further attempt: twice as long each time, up to a limit, and spread so that those who failed
//! together do not come back together.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Delays that double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest that the first delay can be.
    pub first: Duration,
    /// The longest that any delay can be.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The delays, without end. Each is between a half and the whole of its step; where in between is decided by `seed`, so that
    /// a run can be repeated.
    pub fn delays(&self, seed: u64) -> Delays {
        // The library adds up to as much again to each step; half of a step plus that stays within it.
        let longest = self.longest / 2;
        let steps = ExponentialBuilder::new()
            .with_min_delay((self.first / 2).min(longest))
            .with_max_delay(longest)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(seed);
        Delays { steps: steps.build(), longest: self.longest }
    }
}

/// The delays of one run of attempts.
#[derive(Debug)]
pub struct Delays {
    steps: ExponentialBackoff,
    longest: Duration,
}

impl Delays {
    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        self.steps.next().map_or(self.longest, |delay| delay.min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_of(backoff: Backoff, seed: u64, count: usize) -> Vec<Duration> {
        let mut delays = backoff.delays(seed);
        (0..count).map(|_| delays.next_delay()).collect()
    }

    #[test]
    fn each_is_within_its_step_and_a_seed_repeats_it() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(10) };
        for seed in 0..200 {
            let delays = first_of(backoff, seed, 40);
            assert_eq!(delays, first_of(backoff, seed, 40));
            for (at, delay) in delays.iter().enumerate() {
                let step = Duration::from_secs((1 << at.min(10)).min(10));
                assert!(step / 2 <= *delay && *delay <= step, "seed {seed}, delay {at}: {delay:?}");
            }
        }
        assert_ne!(first_of(backoff, 1, 4), first_of(backoff, 2, 4), "others wait for other times");
    }

    #[test]
    fn limits_below_the_first_delay_hold_and_none_is_no_delay() {
        let short = Backoff { first: Duration::from_secs(60), longest: Duration::from_millis(10) };
        assert!(first_of(short, 7, 20).iter().all(|delay| *delay <= Duration::from_millis(10)));
        let none = Backoff { first: Duration::ZERO, longest: Duration::ZERO };
        assert_eq!(first_of(none, 7, 3), [Duration::ZERO; 3]);
    }
}
