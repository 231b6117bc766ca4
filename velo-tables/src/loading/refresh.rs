//! The life of one table that is loaded here: its first load, tried again while that may help, and then its refreshes, which keep the
//! last good rows whatever happens.

use std::sync::Arc;

use velo_core::connector::TableDataSource;
use velo_core::duration::Span;
use velo_core::error::ErrorKind;
use velo_core::offset::SourceOffset;
use velo_core::resilience::{Decision, Retries};
use velo_core::{Clock, ConnectorError, Watermark};

use crate::loading::board::Board;
use crate::loading::graph::TableNumber;
use crate::loading::load::{Broken, Loaded};
use crate::loading::spec::SourceFeed;
use crate::loading::status::TableState;

/// A table that is loaded and kept.
pub(crate) struct Keeper {
    pub(crate) board: Arc<Board>,
    pub(crate) number: TableNumber,
    pub(crate) feed: SourceFeed,
    /// Decides how delays are spread.
    pub(crate) seed: u64,
}

/// A table whose rows are all there.
struct Attempt {
    source: Arc<dyn TableDataSource>,
    loaded: Loaded,
    started: i64,
}

/// How far a table is.
struct Kept {
    /// None where it is to be opened again.
    source: Option<Arc<dyn TableDataSource>>,
    offset: SourceOffset,
    /// When the load or refresh that reached it began.
    started: i64,
}

impl Keeper {
    /// Loads the table and calls `loaded` when that is over, well or not; then keeps it up to date for as long as anything
    /// can change.
    pub(crate) async fn run(mut self, loaded: impl FnOnce()) {
        let kept = match self.first_load().await {
            Ok(attempt) => self.make_ready(attempt).await,
            Err(error) => Err(error),
        };
        match kept {
            Err(error) => {
                self.fail(&error);
                loaded();
            }
            Ok(kept) => {
                loaded();
                if let Some(kept) = kept {
                    self.keep(kept).await;
                }
            }
        }
    }

    fn name(&self) -> String {
        self.board.name(self.number).to_owned()
    }

    fn clock(&self) -> Clock {
        self.board.clock.clone()
    }

    fn fail(&mut self, error: &ConnectorError) {
        let name = self.name();
        // Whoever waits for the table says it to the user.
        tracing::debug!(table = name, %error, "the table cannot be loaded");
        self.feed.writer.fail(format!("table '{name}' cannot be loaded: {error}"));
        self.board.set(self.number, TableState::Failed { error: error.to_string() });
    }

    /// Tries to load until it succeeds, fails for good, or was tried often enough.
    async fn first_load(&mut self) -> Result<Attempt, ConnectorError> {
        let (clock, connection) = (self.clock(), Arc::clone(&self.feed.connection));
        let mut retries = Retries::new(self.feed.retry, self.seed);
        self.board.set(self.number, TableState::Opening);
        loop {
            let permit = connection.permit().await;
            self.board.set(self.number, TableState::Opening);
            self.board.attempt(self.number);
            let error = match self.attempt().await {
                Ok(attempt) => {
                    permit.succeeded();
                    return Ok(attempt);
                }
                Err(Broken::Table(error)) => return Err(error),
                Err(Broken::Source(error)) => error,
            };
            permit.failed(&error);
            match retries.after(&error) {
                Decision::Again(delay) => {
                    let at = clock.after(delay);
                    tracing::warn!(table = self.name(), %error, ?delay, "loading failed and is tried again");
                    let (error, failed) = (error.to_string(), retries.failed());
                    self.board.set(self.number, TableState::Retrying { error, failed, at });
                    clock.sleep_until(at).await;
                }
                Decision::Permanent => return Err(error),
                Decision::Exhausted(times) => return Err(exhausted(error, times)),
            }
        }
    }

    /// One attempt to load.
    async fn attempt(&mut self) -> Result<Attempt, Broken> {
        let name = self.name();
        let source = self.feed.source.open().await.map_err(Broken::Source)?;
        let started = self.board.clock.now();
        self.board.set(self.number, TableState::Loading);
        let upkeep = self.feed.upkeep;
        let saved = self.feed.saved.clone();
        let loaded = match saved {
            Some(saved) if source.supports_incremental() => {
                self.feed.load_after_or_whole(&name, &*source, saved).await?
            }
            None if upkeep.from_latest => {
                if !source.supports_incremental() {
                    return Err(Broken::Source(no_latest(&name)));
                }
                Loaded::nothing(source.get_current_offset().await.map_err(Broken::Source)?)
            }
            _ => {
                let size = source.size_hint();
                self.board.size(self.number, size);
                if let Some(bytes) = size.bytes {
                    self.feed.progress.total_bytes.store(bytes, std::sync::atomic::Ordering::Relaxed);
                }
                self.feed.load_whole(&name, &*source).await?
            }
        };
        Ok(Attempt { source, loaded, started })
    }

    /// What was loaded can be read; none where it cannot change any more.
    async fn make_ready(&mut self, attempt: Attempt) -> Result<Option<Kept>, ConnectorError> {
        let settled = self.feed.upkeep.is_settled();
        let offset = self.commit(attempt.loaded).await?;
        if settled {
            self.feed.writer.finish().await?;
        } else {
            self.feed.writer.ready().await?;
            self.advance(attempt.started);
        }
        self.board.freshness(self.number, |fresh| {
            fresh.fresh_as_of = Some(attempt.started);
            fresh.refreshes += 1;
        });
        self.board.set(self.number, TableState::Ready);
        Ok((!settled).then_some(Kept { source: Some(attempt.source), offset, started: attempt.started }))
    }

    /// Gives the table what was loaded. Whoever saves the table sees rows and offset together.
    async fn commit(&mut self, loaded: Loaded) -> Result<SourceOffset, ConnectorError> {
        let board = Arc::clone(&self.board);
        let mut reached = board.reached(self.number).await;
        let offset = self.feed.commit(loaded).await?;
        *reached = Some(offset.clone());
        Ok(offset)
    }

    /// The source was read from `started` on: what comes later is not older than that, but for what may be late.
    fn advance(&mut self, started: i64) {
        let late = self.feed.upkeep.max_out_of_orderness.micros();
        self.feed.writer.advance(Watermark(started.saturating_sub(late)));
    }

    /// Refreshes for as long as the table is kept.
    async fn keep(mut self, mut kept: Kept) {
        let (clock, connection) = (self.clock(), Arc::clone(&self.feed.connection));
        let upkeep = self.feed.upkeep;
        let mut refresh = upkeep.every().map(|every| next_time(kept.started, every, clock.now()));
        let mut reload = upkeep.reload.map(|every| next_time(kept.started, every, clock.now()));
        let mut delays = self.feed.retry.backoff.delays(self.seed);
        let mut again = None;
        loop {
            let due = again.or(refresh.into_iter().chain(reload).min());
            let Some(due) = due else { return };
            self.board.freshness(self.number, |fresh| fresh.next = Some(due));
            clock.sleep_until(due).await;
            let permit = connection.permit().await;
            let started = clock.now();
            let whole = reload.is_some_and(|at| at <= started);
            match self.refresh(&mut kept, whole).await {
                Ok(loaded) => {
                    permit.succeeded();
                    // A table that took a part of it only is not to be relied on: it gets no more changes.
                    match self.commit(loaded).await {
                        Ok(offset) => kept.offset = offset,
                        Err(error) => return self.fail(&error),
                    }
                    kept.started = started;
                    self.advance(started);
                    self.board.freshness(self.number, |fresh| {
                        fresh.fresh_as_of = Some(started);
                        fresh.refreshes += 1;
                        fresh.failed = 0;
                        fresh.error = None;
                    });
                    let now = clock.now();
                    refresh = upkeep.every().map(|every| next_time(started, every, now));
                    if whole {
                        reload = upkeep.reload.map(|every| next_time(started, every, now));
                    }
                    delays = self.feed.retry.backoff.delays(self.seed);
                    again = None;
                }
                Err(Broken::Table(error)) => return self.fail(&error),
                Err(Broken::Source(error)) => {
                    permit.failed(&error);
                    let delay = delays.next_delay();
                    tracing::warn!(table = self.name(), %error, ?delay, "a refresh failed; the last good rows stay");
                    // What failed may be the connection: another one is made.
                    kept.source = None;
                    again = Some(clock.after(delay));
                    self.board.freshness(self.number, |fresh| {
                        fresh.failed = fresh.failed.saturating_add(1);
                        fresh.error = Some(error.to_string());
                    });
                }
            }
        }
    }

    /// What has come since, or everything again.
    async fn refresh(&mut self, kept: &mut Kept, whole: bool) -> Result<Loaded, Broken> {
        let name = self.name();
        let source = match &kept.source {
            Some(source) => Arc::clone(source),
            None => Arc::clone(kept.source.insert(self.feed.source.open().await.map_err(Broken::Source)?)),
        };
        if whole || !source.supports_incremental() {
            return self.feed.load_whole(&name, &*source).await;
        }
        self.feed.load_after_or_whole(&name, &*source, kept.offset.clone()).await
    }
}

/// The next time of a regular one that was last at `from`; times that have passed are left out.
fn next_time(from: i64, every: Span, now: i64) -> i64 {
    let every = every.micros().max(1);
    let passed = now.saturating_sub(from).max(0) / every;
    from.saturating_add((passed + 1).saturating_mul(every))
}

fn exhausted(error: ConnectorError, times: u32) -> ConnectorError {
    let message = match times {
        1 => format!("{} (one attempt was made)", error.message),
        _ => format!("{} (all {times} attempts failed; this was the last)", error.message),
    };
    let again = "start again when the source can be reached, or have Velo try more often: 'retry.attempts'";
    let advice = match &error.advice {
        Some(advice) => format!("{advice}; or {again}"),
        None => again.to_owned(),
    };
    ConnectorError { message, advice: Some(advice), ..error }
}

fn no_latest(name: &str) -> ConnectorError {
    let message = format!(
        "table '{name}' is to begin with what comes from now on, and its source cannot tell what came after a position"
    );
    ConnectorError::new(ErrorKind::Unsupported, "loading", message)
        .advise("set 'auto.offset.reset' = 'earliest': the table is loaded whole, and refreshed by loading it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_times_stay_regular() {
        assert_eq!(next_time(100, Span(10), 100), 110);
        assert_eq!(next_time(100, Span(10), 109), 110);
        assert_eq!(next_time(100, Span(10), 110), 120, "a time that is now is past");
        assert_eq!(next_time(100, Span(10), 137), 140, "what was missed is not made up for");
        assert_eq!(next_time(100, Span(10), 50), 110, "a clock that went back changes nothing");
        assert_eq!(next_time(i64::MAX - 1, Span(i64::MAX), 0), i64::MAX);
        assert_eq!(next_time(5, Span(0), 5), 6, "no interval is the shortest one");
    }
}
