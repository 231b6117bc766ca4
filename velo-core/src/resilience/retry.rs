//! Whether to try again: errors that may pass are tried again, up to a number of attempts; others are final at once.

use std::time::Duration;

use super::backoff::{Backoff, Delays};
use crate::clock::Clock;
use crate::error::{ConnectorError, Result, Retry};

/// How often and how soon something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryPolicy {
    /// The delays between attempts.
    pub backoff: Backoff,
    /// Attempts in all, the first one included; none: without limit.
    pub attempts: Option<u32>,
}

/// What to do after an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try again after so long.
    Again(Duration),
    /// The same error would come again.
    Permanent,
    /// It might pass, and was tried so often already.
    Exhausted(u32),
}

/// The attempts at one thing.
#[derive(Debug)]
pub struct Retries {
    delays: Delays,
    attempts: Option<u32>,
    failed: u32,
}

impl Retries {
    /// None was made yet. `seed` decides how the delays are spread.
    pub fn new(policy: RetryPolicy, seed: u64) -> Self {
        Self { delays: policy.backoff.delays(seed), attempts: policy.attempts, failed: 0 }
    }

    /// How many attempts failed.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// An attempt failed with `error`.
    pub fn after(&mut self, error: &ConnectorError) -> Decision {
        self.failed = self.failed.saturating_add(1);
        match error.retry {
            Retry::Permanent => Decision::Permanent,
            Retry::Temporary if self.attempts.is_some_and(|limit| self.failed >= limit) => {
                Decision::Exhausted(self.failed)
            }
            Retry::Temporary => Decision::Again(self.delays.next_delay()),
        }
    }
}

impl RetryPolicy {
    /// Calls `attempt` until it succeeds, fails for good, or was called often enough; the last error is the result.
    ///
    /// # Errors
    ///
    /// The error of the last attempt.
    pub async fn run<T>(&self, clock: &Clock, seed: u64, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        let mut retries = Retries::new(*self, seed);
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match retries.after(&error) {
                Decision::Again(delay) => clock.sleep(delay).await,
                Decision::Permanent | Decision::Exhausted(_) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::error::ErrorKind;

    fn error(temporary: bool) -> ConnectorError {
        let error = ConnectorError::new(ErrorKind::Unavailable, "asking", "nobody answers");
        if temporary { error.temporary() } else { error }
    }

    fn policy(attempts: Option<u32>) -> RetryPolicy {
        RetryPolicy { attempts, ..RetryPolicy::default() }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let mut retries = Retries::new(policy(Some(3)), 1);
        assert!(matches!(retries.after(&error(true)), Decision::Again(_)));
        assert!(matches!(retries.after(&error(true)), Decision::Again(_)));
        assert_eq!(retries.after(&error(true)), Decision::Exhausted(3));
        assert_eq!(Retries::new(policy(Some(3)), 1).after(&error(false)), Decision::Permanent);
        let mut endless = Retries::new(policy(None), 1);
        assert!((0..1_000).all(|_| matches!(endless.after(&error(true)), Decision::Again(_))));
    }

    #[test]
    fn it_waits_by_the_clock_that_is_given() {
        let clock = Clock::manual(0);
        let mut calls = 0;
        let policy = policy(Some(4));
        let mut run = Box::pin(policy.run(&clock, 9, async || {
            calls += 1;
            if calls < 3 { Err(error(true)) } else { Ok(calls) }
        }));
        assert!(run.as_mut().now_or_never().is_none(), "the first attempt failed");
        assert!(run.as_mut().now_or_never().is_none(), "and nothing happens before its time");
        clock.advance(Duration::from_secs(1));
        assert!(run.as_mut().now_or_never().is_none(), "the second failed too");
        clock.advance(Duration::from_secs(2));
        assert_eq!(run.now_or_never().unwrap().unwrap(), 3);
    }

    #[test]
    fn the_last_error_is_the_result() {
        let clock = Clock::manual(0);
        let mut calls = 0;
        let policy = policy(Some(4));
        let failed = policy.run(&clock, 9, async || {
            calls += 1;
            Err::<(), _>(error(false))
        });
        assert!(failed.now_or_never().unwrap().is_err());
        assert_eq!(calls, 1);
    }
}
