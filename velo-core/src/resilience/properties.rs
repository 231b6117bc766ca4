//! The properties of connections: attempts, delays, and the circuit breaker.

use std::fmt;
use std::str::FromStr;

use super::backoff::Backoff;
use super::retry::RetryPolicy;
use crate::duration::Span;
use crate::properties;
use crate::properties::PropertyValue;

properties! {
    /// How errors that may pass are met.
    pub struct ResilienceProperties {
        /// How often a load is tried before it has failed for good, the first time included. Errors that would come again end it
        /// at once. A refresh is tried without limit: the last good rows stay.
        "retry.attempts" => attempts: u32 = 5,
        /// The longest that the first wait before another attempt is; each further one is twice as long.
        "retry.backoff" => backoff: Span = Span(1_000_000),
        /// The longest that any wait before another attempt is.
        "retry.backoff.max" => longest: Span = Span(60_000_000),
    }
}

impl ResilienceProperties {
    /// Attempts and delays.
    pub fn policy(&self) -> RetryPolicy {
        let backoff = Backoff { first: self.backoff.to_std(), longest: self.longest.to_std() };
        RetryPolicy { backoff, attempts: Some(self.attempts.max(1)) }
    }
}

properties! {
    /// When a connection that keeps failing is left alone for a while.
    pub struct CircuitBreakerProperties {
        /// So many failures in a row open the circuit: further calls wait.
        "circuit.breaker.failure.threshold" => failure_threshold: u32 = 5,
        /// So many successes in a row close it again.
        "circuit.breaker.success.threshold" => success_threshold: u32 = 2,
        /// How long calls wait before one of them finds out whether the system is back.
        "circuit.breaker.timeout" => timeout: Span = Span(30_000_000),
        /// The circuit opens too when so many per cent of the calls of a window failed, and these were at least as many as
        /// `circuit.breaker.failure.threshold`.
        "circuit.breaker.failure.rate" => failure_rate: Percent = Percent(50),
        /// The time over which that rate is taken.
        "circuit.breaker.window" => window: Span = Span(60_000_000),
    }
}

/// A share in per cent, from 1 to 100: `50` or `50%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(pub u8);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().trim_end_matches('%').trim_end();
        match number.parse() {
            Ok(percent @ 1..=100) => Ok(Self(percent)),
            _ => Err(format!("'{text}' is no share in per cent: write a whole number from 1 to 100, such as 50")),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl PropertyValue for Percent {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn kind() -> String {
        "per cent".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::{Options, Properties};

    #[test]
    fn read_as_written() {
        let mut options = Options::from_pairs([
            ("circuit.breaker.failure.rate", "75%"),
            ("circuit.breaker.timeout", "5s"),
            ("retry.attempts", "0"),
        ]);
        let breaker = CircuitBreakerProperties::read(&mut options);
        assert_eq!((breaker.failure_rate, breaker.timeout), (Percent(75), Span(5_000_000)));
        assert_eq!(ResilienceProperties::read(&mut options).policy().attempts, Some(1), "there is always one");
        let known = CircuitBreakerProperties::SPECS.iter().chain(ResilienceProperties::SPECS);
        assert_eq!(options.finish("a table", known), []);
        for wrong in ["0", "101", "half", "", "-1"] {
            assert!(Percent::parse(wrong).unwrap_err().contains("from 1 to 100"), "{wrong}");
        }
    }
}
