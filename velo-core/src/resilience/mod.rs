//! What is done about errors that may pass: delays, attempts, and a circuit breaker in front of what keeps failing.
//!
//! [`Backoff`] computes delays, [`Retries`] decides by the kind of an error whether to try again, and [`CircuitBreaker`] is a
//! state machine over outcomes. None of them waits or asks what time it is. [`Connection`] puts them around one external system
//! and a [`Clock`](crate::Clock), and says how it is doing.

mod backoff;
mod circuit_breaker;
mod connection;
mod properties;
mod retry;

pub use backoff::{Backoff, Delays};
pub use circuit_breaker::{BreakerState, CircuitBreaker, Verdict};
pub use connection::{Connection, ConnectionHealth, Permit};
pub use properties::{CircuitBreakerProperties, Percent, ResilienceProperties};
pub use retry::{Decision, Retries, RetryPolicy};
