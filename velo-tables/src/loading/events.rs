//! What happens to tables while they load, for whoever wants to show it: bars, a dashboard, a stream of events.

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::loading::status::{Summary, TableStatus};

/// Something that happened. `at` is in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum TableEvent {
    /// How everything stands: the first event of each subscription, and again for one that was too slow to get all.
    InitialSnapshot {
        /// When.
        at: i64,
        /// All tables, as they were declared.
        tables: Vec<TableStatus>,
        /// All of them together.
        summary: Summary,
    },
    /// A table has another state, or has read more.
    TableUpdate {
        /// When.
        at: i64,
        /// The table.
        table: TableStatus,
    },
    /// All tables together, when one of them has changed.
    SummaryUpdate {
        /// When.
        at: i64,
        /// The figures.
        summary: Summary,
    },
    /// A table is ready.
    TableCompleted {
        /// When.
        at: i64,
        /// The table.
        table: TableStatus,
    },
    /// A table will never be ready, or gets no more changes: it failed, or is blocked by one that did.
    TableFailed {
        /// When.
        at: i64,
        /// The table.
        table: TableStatus,
        /// Why.
        error: String,
    },
    /// Nothing has changed for a while.
    KeepAlive {
        /// When.
        at: i64,
    },
}

/// Events that one reader has not got yet; a slower one loses the oldest and gets a snapshot instead.
pub(crate) const KEPT: usize = 1_024;

/// The events of one reader.
#[derive(Debug)]
pub struct Events {
    first: Option<TableEvent>,
    rest: broadcast::Receiver<TableEvent>,
    again: std::sync::Weak<crate::loading::board::Board>,
}

impl Events {
    pub(crate) fn new(
        first: TableEvent,
        rest: broadcast::Receiver<TableEvent>,
        again: std::sync::Weak<crate::loading::board::Board>,
    ) -> Self {
        Self { first: Some(first), rest, again }
    }

    /// The next event; none once the tables are gone. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<TableEvent> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match self.rest.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(_)) => {
                // What was missed is in the snapshot, and so is what still waits.
                self.rest = self.rest.resubscribe();
                self.again.upgrade().map(|board| board.snapshot())
            }
            Err(RecvError::Closed) => None,
        }
    }
}
