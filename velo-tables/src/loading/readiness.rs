//! The gate before the tables: nobody reads a table before it is ready, and who waits in vain is told for what.

use std::fmt;
use std::sync::Arc;

use velo_core::duration::Span;

use crate::loading::board::Board;
use crate::loading::graph::TableNumber;
use crate::loading::status::{TableState, TableStatus};

/// How often counters are looked at while they are waited for (microseconds), at least.
const LOOK: i64 = 1_000_000;

/// Waits for tables. There is no way around it.
#[derive(Debug, Clone)]
pub struct Gate {
    board: Arc<Board>,
}

impl Gate {
    pub(crate) fn new(board: Arc<Board>) -> Self {
        Self { board }
    }

    /// Whether all of `tables` are ready now.
    pub fn is_open(&self, tables: &[TableNumber]) -> bool {
        tables.iter().all(|table| self.board.state(*table) == TableState::Ready)
    }

    /// Waits until all of `tables` are ready.
    ///
    /// `timeout` is counted from the last progress of any of them, or of what they need: a table that begins, is ready, or
    /// reads records or bytes, which is seen within a second. Without one it waits as long as it takes.
    ///
    /// # Errors
    ///
    /// Where one of them will never be ready, or nothing has come for as long as `timeout`.
    pub async fn wait_for(&self, tables: &[TableNumber], timeout: Option<Span>) -> Result<(), NotReady> {
        let board = &self.board;
        let involved: Vec<TableNumber> = board.graph.closure(tables).into_iter().collect();
        let mut changes = board.watch();
        let mut last = board.clock.now();
        let mut seen = Vec::new();
        loop {
            changes.borrow_and_update();
            let lost = tables.iter().any(|table| board.state(*table).is_lost());
            if lost {
                return Err(self.not_ready(tables, None));
            }
            if self.is_open(tables) {
                return Ok(());
            }
            let Some(timeout) = timeout else {
                // The board lives as long as the gate, so that there is always somebody to tell of changes.
                changes.changed().await.unwrap_or_default();
                continue;
            };
            let now = board.clock.now();
            let counts: Vec<_> = involved.iter().map(|table| (board.counts(*table), self.version(*table))).collect();
            if counts != seen {
                last = now;
                seen = counts;
            }
            let moved = involved.iter().map(|table| board.moved(*table)).max();
            last = last.max(moved.unwrap_or(i64::MIN));
            let end = last.saturating_add(timeout.micros());
            if now >= end {
                return Err(self.not_ready(tables, Some(timeout)));
            }
            let until = end.min(now.saturating_add(LOOK));
            tokio::select! {
                _ = changes.changed() => {}
                () = board.clock.sleep_until(until) => {}
            }
        }
    }

    /// A query may feed a table without counters.
    fn version(&self, table: TableNumber) -> u64 {
        self.board.reader(table).version().number()
    }

    fn not_ready(&self, tables: &[TableNumber], timeout: Option<Span>) -> NotReady {
        let awaited = tables.iter().copied().filter(|table| self.board.state(*table) != TableState::Ready);
        let awaited: Vec<TableNumber> = awaited.collect();
        let behind = self.board.graph.closure(&awaited).into_iter().filter(|table| !awaited.contains(table));
        let behind = behind.filter(|table| self.board.state(*table) != TableState::Ready).collect::<Vec<_>>();
        NotReady {
            timeout,
            tables: awaited.iter().map(|table| self.board.status(*table)).collect(),
            behind: behind.iter().map(|table| self.board.status(*table)).collect(),
        }
    }
}

/// Tables that were waited for in vain.
#[derive(Debug, Clone, PartialEq)]
pub struct NotReady {
    /// How long nothing had come; none where one of them will never be ready.
    pub timeout: Option<Span>,
    /// Those that are not ready.
    pub tables: Vec<TableStatus>,
    /// What these need and is not ready either.
    pub behind: Vec<TableStatus>,
}

impl NotReady {
    fn names(&self) -> String {
        let names: Vec<String> = self.tables.iter().map(|table| format!("'{}'", table.name)).collect();
        match names.as_slice() {
            [one] => format!("table {one} is"),
            _ => format!("tables {} are", names.join(", ")),
        }
    }

    /// What to do about it: each advice once, in the order of the tables.
    fn advice(&self) -> Vec<String> {
        let mut advice: Vec<String> = Vec::new();
        for table in self.behind.iter().chain(&self.tables) {
            let next = match &table.state {
                TableState::Opening => format!("check that the source of '{}' is there and can be reached", table.name),
                TableState::Retrying { .. } => format!("correct what the error of '{}' says", table.name),
                TableState::Failed { .. } => {
                    format!("correct what the error of '{}' says, and start again", table.name)
                }
                TableState::Queued => "let more tables load at once: 'table.load.parallelism'".to_owned(),
                TableState::Loading => {
                    format!("see why nothing comes for '{}', or wait longer: 'table.wait.timeout' = '5m'", table.name)
                }
                TableState::Waiting { .. } | TableState::Blocked { .. } | TableState::Ready => continue,
            };
            if !advice.contains(&next) {
                advice.push(next);
            }
        }
        advice
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timeout {
            Some(timeout) => write!(f, "{} not ready, and nothing has come for {timeout}", self.names())?,
            None => write!(f, "{} not ready", self.names())?,
        }
        for table in self.tables.iter().chain(&self.behind) {
            write!(f, "\n  {}", described(table))?;
        }
        for advice in self.advice() {
            write!(f, "\n  help: {advice}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NotReady {}

/// One line about a table: what it does, and how far it got.
pub fn described(table: &TableStatus) -> String {
    let quoted = |names: &[String]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    // An error may bring its advice on lines of its own.
    let indented = |error: &str| error.replace('\n', "\n    ");
    let (state, error) = match &table.state {
        TableState::Waiting { on } => (format!("waits for {}", quoted(on)), None),
        TableState::Queued => ("waits for its turn".to_owned(), None),
        TableState::Opening => ("waits for its source".to_owned(), None),
        TableState::Loading => ("loading".to_owned(), None),
        TableState::Retrying { error, failed, .. } => {
            (format!("to be tried again after {}", times(*failed)), Some(indented(error)))
        }
        TableState::Ready => ("ready".to_owned(), None),
        TableState::Blocked { by } => (format!("blocked by '{by}', which will never be ready"), None),
        TableState::Failed { error } => ("failed".to_owned(), Some(indented(error))),
    };
    let mut line = format!("'{}': {state}", table.name);
    if table.started.is_some() {
        line.push_str(&format!("; {} records and {} bytes so far", table.records, table.bytes));
        if let Some(percent) = table.percent {
            line.push_str(&format!(", {percent:.0} %"));
        }
    }
    if let Some(error) = error {
        line.push_str(&format!(": {error}"));
    }
    line
}

fn times(failed: u32) -> String {
    if failed == 1 { "1 failure".to_owned() } else { format!("{failed} failures") }
}
