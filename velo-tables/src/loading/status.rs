//! What can be said of a table at a moment: its state, how far it is, and how fast.

use serde::{Deserialize, Serialize};
use velo_core::resilience::ConnectionHealth;

/// What a table is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableState {
    /// It waits for tables that it needs.
    Waiting {
        /// Those that are not ready yet.
        on: Vec<String>,
    },
    /// All that it needs is ready, and as many tables as may be are loading.
    Queued,
    /// Its source is being opened, which may wait: for a file that is not there yet, or for a connection.
    Opening,
    /// Rows are coming.
    Loading,
    /// An attempt failed, and another one follows.
    Retrying {
        /// What the last attempt failed with.
        error: String,
        /// How many attempts failed.
        failed: u32,
        /// When the next one begins (microseconds since 1970), unless the connection is left alone for longer.
        at: i64,
    },
    /// It can be read.
    Ready,
    /// A table that it needs will never be ready.
    Blocked {
        /// Which.
        by: String,
    },
    /// It will never be ready, or gets no more changes.
    Failed {
        /// Why.
        error: String,
    },
}

impl TableState {
    /// Whether it will not become ready any more.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Blocked { .. } | Self::Failed { .. })
    }
}

/// How far a table is. Times are microseconds since 1970, rates are per second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableStatus {
    /// Its name in the script.
    pub name: String,
    /// What it is doing.
    pub state: TableState,
    /// Records read, by this attempt to load it and all refreshes since.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Records in all, where known.
    pub total_records: Option<u64>,
    /// Bytes in all, where known.
    pub total_bytes: Option<u64>,
    /// How much of the load is done, where the size is known: from 0 to 100.
    pub percent: Option<f64>,
    /// Records a second, over the last seconds.
    pub records_rate: f64,
    /// Records a second, since the load began.
    pub records_rate_overall: f64,
    /// Bytes a second, over the last seconds.
    pub bytes_rate: f64,
    /// Bytes a second, since the load began.
    pub bytes_rate_overall: f64,
    /// When it will probably be ready, where the size is known.
    pub estimated_completion: Option<i64>,
    /// When the load began.
    pub started: Option<i64>,
    /// When it was ready, or had failed.
    pub finished: Option<i64>,
}

/// All tables together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many tables there are.
    pub tables: usize,
    /// How many are ready.
    pub ready: usize,
    /// How many are being loaded, or tried again.
    pub loading: usize,
    /// How many wait for others or for their turn.
    pub waiting: usize,
    /// How many will never be ready.
    pub lost: usize,
    /// Records read by all.
    pub records: u64,
    /// Bytes read by all.
    pub bytes: u64,
    /// Records a second, over the last seconds.
    pub records_rate: f64,
    /// Bytes a second, over the last seconds.
    pub bytes_rate: f64,
}

impl Summary {
    /// That of these tables.
    pub fn of(tables: &[TableStatus]) -> Self {
        let mut summary = Self { tables: tables.len(), ..Self::default() };
        for table in tables {
            *match table.state {
                TableState::Ready => &mut summary.ready,
                TableState::Opening | TableState::Loading | TableState::Retrying { .. } => &mut summary.loading,
                TableState::Waiting { .. } | TableState::Queued => &mut summary.waiting,
                TableState::Blocked { .. } | TableState::Failed { .. } => &mut summary.lost,
            } += 1;
            summary.records += table.records;
            summary.bytes += table.bytes;
            summary.records_rate += table.records_rate;
            summary.bytes_rate += table.bytes_rate;
        }
        summary
    }
}

/// Whether a table can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It is ready and as fresh as it is to be.
    Healthy,
    /// It is not ready yet.
    Starting,
    /// It can be read, and its last refresh failed: its rows are those of the last good one.
    Stale,
    /// It will never be ready, or gets no more changes.
    Unhealthy,
}

/// How a table is doing. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableHealth {
    /// Its name in the script.
    pub name: String,
    /// Whether it can be relied on.
    pub condition: Condition,
    /// What it is doing.
    pub state: TableState,
    /// Its rows, in the version that stands.
    pub rows: u64,
    /// Bytes that this version holds.
    pub memory: usize,
    /// The number of this version.
    pub version: u64,
    /// Rows that the source gave and that went in, over all loads and refreshes that succeeded.
    pub delivered: u64,
    /// Records that were left out.
    pub skipped: u64,
    /// Records that went to the dead letters.
    pub dead_letters: u64,
    /// When the rows were last known to be all that there was: the start of the last load or refresh that succeeded.
    pub fresh_as_of: Option<i64>,
    /// Loads and refreshes that succeeded.
    pub refreshes: u64,
    /// Refreshes that failed since the last one that succeeded.
    pub failed_refreshes: u32,
    /// What the last of them failed with.
    pub refresh_error: Option<String>,
    /// When the next refresh begins.
    pub next_refresh: Option<i64>,
    /// The connection to its source; none for a table that a query feeds.
    pub connection: Option<ConnectionHealth>,
}
