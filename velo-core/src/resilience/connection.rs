//! One external system with its circuit breaker: calls go through it, and anyone may ask how it is doing.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::circuit_breaker::{BreakerState, CircuitBreaker, Verdict};
use super::properties::CircuitBreakerProperties;
use crate::clock::Clock;
use crate::error::{ConnectorError, Result, Retry};

/// A connection to one external system. Whoever uses the same system shares it.
pub struct Connection {
    name: String,
    clock: Clock,
    inner: Mutex<Inner>,
    /// A call has returned, so that those who wait behind it may ask again.
    returned: Notify,
}

#[derive(Debug)]
struct Inner {
    breaker: CircuitBreaker,
    calls: u64,
    failures: u64,
    last_success: Option<i64>,
    last_failure: Option<i64>,
    last_error: Option<String>,
}

/// How a connection is doing. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionHealth {
    /// What it leads to.
    pub name: String,
    /// Its circuit breaker.
    pub state: BreakerState,
    /// Calls that have returned.
    pub calls: u64,
    /// Those of them that failed in a way that may pass.
    pub failures: u64,
    /// When a call last succeeded.
    pub last_success: Option<i64>,
    /// When a call last failed.
    pub last_failure: Option<i64>,
    /// What the last failure was; none since a call succeeded.
    pub last_error: Option<String>,
}

impl Connection {
    /// A connection to `name`, whose circuit is closed.
    pub fn new(name: impl Into<String>, settings: CircuitBreakerProperties, clock: Clock) -> Self {
        let inner = Inner {
            breaker: CircuitBreaker::new(settings),
            calls: 0,
            failures: 0,
            last_success: None,
            last_failure: None,
            last_error: None,
        };
        Self { name: name.into(), clock, inner: Mutex::new(inner), returned: Notify::new() }
    }

    /// How it is doing.
    pub fn health(&self) -> ConnectionHealth {
        let inner = self.lock();
        ConnectionHealth {
            name: self.name.clone(),
            state: inner.breaker.state(self.clock.now()),
            calls: inner.calls,
            failures: inner.failures,
            last_success: inner.last_success,
            last_failure: inner.last_failure,
            last_error: inner.last_error.clone(),
        }
    }

    /// Waits until a call may be made. Its outcome is told to the permit; one that is dropped says nothing about the system.
    pub async fn permit(&self) -> Permit<'_> {
        loop {
            let returned = self.returned.notified();
            tokio::pin!(returned);
            // Registered before the breaker is asked, so that a call that returns in between is not missed.
            returned.as_mut().enable();
            let verdict = self.lock().breaker.ask(self.clock.now());
            match verdict {
                Verdict::Allowed => return Permit { connection: self, told: false },
                Verdict::Refused { until } => self.clock.sleep_until(until).await,
                Verdict::Trying => returned.await,
            }
        }
    }

    /// Makes a call when it may be made, and notes its outcome.
    ///
    /// # Errors
    ///
    /// That of the call.
    pub async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let permit = self.permit().await;
        let result = call.await;
        match &result {
            Ok(_) => permit.succeeded(),
            Err(error) => permit.failed(error),
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A call that may be made.
#[derive(Debug)]
#[must_use = "the outcome of the call is to be told"]
pub struct Permit<'a> {
    connection: &'a Connection,
    told: bool,
}

impl Permit<'_> {
    /// The call succeeded.
    pub fn succeeded(mut self) {
        self.told = true;
        let now = self.connection.clock.now();
        let mut inner = self.connection.lock();
        inner.calls += 1;
        inner.last_success = Some(now);
        inner.last_error = None;
        inner.breaker.succeeded(now);
    }

    /// The call failed. An error that would come again is no matter of the connection: the system has answered.
    pub fn failed(mut self, error: &ConnectorError) {
        let now = self.connection.clock.now();
        let mut inner = self.connection.lock();
        inner.calls += 1;
        inner.last_failure = Some(now);
        inner.last_error = Some(error.to_string());
        if error.retry == Retry::Temporary {
            self.told = true;
            inner.failures += 1;
            inner.breaker.failed(now);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.connection.lock().breaker.returned();
        }
        self.connection.returned.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;
    use crate::duration::Span;
    use crate::error::ErrorKind;

    fn connection(clock: &Clock) -> Connection {
        let settings = CircuitBreakerProperties {
            failure_threshold: 2,
            success_threshold: 1,
            timeout: Span(10_000_000),
            ..CircuitBreakerProperties::default()
        };
        Connection::new("db", settings, clock.clone())
    }

    fn broken() -> ConnectorError {
        ConnectorError::new(ErrorKind::Unavailable, "asking", "nobody answers").temporary()
    }

    async fn fail(connection: &Connection, error: ConnectorError) {
        assert!(connection.call(async { Err::<(), _>(error) }).await.is_err());
    }

    #[test]
    fn calls_wait_while_it_is_open_and_one_tries() {
        let clock = Clock::manual(0);
        let connection = connection(&clock);
        fail(&connection, broken()).now_or_never().unwrap();
        fail(&connection, broken()).now_or_never().unwrap();
        assert_eq!(connection.health().state, BreakerState::Open);
        let mut waiting = Box::pin(connection.permit());
        assert!(waiting.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_secs(10));
        let first = waiting.now_or_never().unwrap();
        let mut second = Box::pin(connection.permit());
        assert!(second.as_mut().now_or_never().is_none(), "one at a time");
        drop(first);
        let second = second.now_or_never().expect("a call that says nothing lets the next one try");
        second.succeeded();
        let health = connection.health();
        assert_eq!((health.state, health.calls, health.failures), (BreakerState::Closed, 3, 2));
        assert_eq!((health.last_success, health.last_failure, health.last_error), (Some(10_000_000), Some(0), None));
    }

    #[test]
    fn an_error_that_would_come_again_opens_nothing() {
        let clock = Clock::manual(0);
        let connection = connection(&clock);
        for _ in 0..10 {
            let wrong = ConnectorError::new(ErrorKind::Configuration, "asking", "there is no such table");
            fail(&connection, wrong).now_or_never().unwrap();
        }
        let health = connection.health();
        assert_eq!((health.state, health.failures), (BreakerState::Closed, 0));
        assert!(health.last_error.unwrap().contains("no such table"));
    }
}
