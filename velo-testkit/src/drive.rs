//! A manual clock that moves on when nothing else can: hours of waiting take no time, and come out the same each time.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use velo_core::Clock;

/// So often everybody gets a turn before it is taken that all of them wait.
const TURNS: usize = 32;
/// More steps than any test takes.
const STEPS: usize = 5_000_000;

/// Runs `future` to its end, in a runtime of one thread. Whenever all tasks wait, the clock moves to the earliest time that one of
/// them waits for.
///
/// # Panics
///
/// Where the future never ends.
pub async fn drive<T>(clock: &Clock, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..STEPS {
        let mut earliest = clock.next_wait();
        let mut still = 0;
        while still < TURNS {
            if let Poll::Ready(value) = futures::poll!(future.as_mut()) {
                return value;
            }
            tokio::task::yield_now().await;
            let now = clock.next_wait();
            still = if now == earliest { still + 1 } else { 0 };
            earliest = now;
        }
        if let Some(next) = earliest {
            let step = u64::try_from(next.saturating_sub(clock.now())).unwrap_or(0);
            clock.advance(Duration::from_micros(step));
        }
    }
    panic!("after {STEPS} steps of the clock it still waits");
}
