//! What time it is, and waiting: the only place where Velo asks.
//!
//! Everything that goes by the clock (idle partitions, the skew guard, flush intervals, retries) takes a [`Clock`], so that
//! tests and the simulation set the time themselves.
//!
//! A machine's clock is set now and then, by people and by NTP. Whatever is measured from one moment of a process to another (how long a
//! partition has been silent, when the next checkpoint is due) goes by [`Clock::now`], which does not notice; what is compared with times
//! from outside, or written down for people, goes by [`Clock::wall`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

/// The time now, and waiting until a time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    micros: AtomicI64,
    /// By how much the wall clock is off.
    off: AtomicI64,
    moved: Notify,
    /// The times that are waited for, and by how many.
    waits: Mutex<BTreeMap<i64, usize>>,
}

impl Manual {
    fn waits(&self) -> MutexGuard<'_, BTreeMap<i64, usize>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits for a time of a manual clock.
struct Waiting<'a> {
    manual: &'a Manual,
    until: i64,
}

impl<'a> Waiting<'a> {
    fn new(manual: &'a Manual, until: i64) -> Self {
        *manual.waits().entry(until).or_default() += 1;
        Self { manual, until }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waits = self.manual.waits();
        if let Some(count) = waits.get_mut(&self.until) {
            *count -= 1;
            if *count == 0 {
                waits.remove(&self.until);
            }
        }
    }
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `micros` until [`Clock::advance`] moves it.
    pub fn manual(micros: i64) -> Self {
        let manual = Manual {
            micros: AtomicI64::new(micros),
            off: AtomicI64::new(0),
            moved: Notify::new(),
            waits: Mutex::default(),
        };
        Self(Source::Manual(Arc::new(manual)))
    }

    /// Microseconds since 1970-01-01T00:00:00Z, as the machine's clock showed them when the process began, and what has passed since:
    /// nobody sets it.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    pub fn now(&self) -> i64 {
        static BEGAN: OnceLock<(std::time::Instant, i64)> = OnceLock::new();
        match &self.0 {
            Source::System => {
                let (instant, wall) = BEGAN.get_or_init(|| (std::time::Instant::now(), machine()));
                wall.saturating_add(micros(instant.elapsed()))
            }
            Source::Manual(manual) => manual.micros.load(Ordering::Acquire),
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z, as the machine's clock shows them now.
    pub fn wall(&self) -> i64 {
        match &self.0 {
            Source::System => machine(),
            Source::Manual(manual) => self.now().saturating_add(manual.off.load(Ordering::Acquire)),
        }
    }

    /// What [`now`](Self::now) will be in so long.
    pub fn after(&self, long: Duration) -> i64 {
        self.now().saturating_add(micros(long))
    }

    /// Sets the wall clock beside a manual one, as if somebody had set the machine's: so many microseconds forward, or back.
    pub fn set_wall(&self, off: i64) {
        if let Source::Manual(manual) = &self.0 {
            manual.off.store(off, Ordering::Release);
        }
    }

    /// Moves a manual clock forward; the machine's clock moves by itself.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.0 {
            manual.micros.fetch_add(micros(by), Ordering::AcqRel);
            manual.moved.notify_waiters();
        }
    }

    /// The earliest time that somebody waits for at a manual clock, so that a test or a simulation can move it there.
    pub fn next_wait(&self) -> Option<i64> {
        match &self.0 {
            Source::System => None,
            Source::Manual(manual) => manual.waits().keys().next().copied(),
        }
    }

    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.after(duration)).await;
    }

    /// Waits until the clock shows `micros` or later.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that waits")]
    pub async fn sleep_until(&self, micros: i64) {
        match &self.0 {
            Source::System => {
                let left = micros.saturating_sub(self.now());
                if left > 0 {
                    tokio::time::sleep(Duration::from_micros(left.unsigned_abs())).await;
                }
            }
            Source::Manual(manual) => {
                let mut waiting = None;
                loop {
                    let moved = manual.moved.notified();
                    tokio::pin!(moved);
                    // Registered before the time is read, so that a move in between is not missed.
                    moved.as_mut().enable();
                    if manual.micros.load(Ordering::Acquire) >= micros {
                        return;
                    }
                    waiting.get_or_insert_with(|| Waiting::new(manual, micros));
                    moved.await;
                }
            }
        }
    }
}

/// What the machine's clock shows, in microseconds since 1970-01-01T00:00:00Z.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
fn machine() -> i64 {
    unix_micros(SystemTime::now())
}

/// Microseconds from 1970-01-01T00:00:00Z to a time of the machine or of a file.
pub fn unix_micros(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => micros(since),
        Err(before) => -micros(before.duration()),
    }
}

/// More than there are is as long as there can be.
fn micros(long: Duration) -> i64 {
    i64::try_from(long.as_micros()).unwrap_or(i64::MAX)
}

/// Time that passes, for rates and elapsed times; unaffected by changes of the wall clock.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
