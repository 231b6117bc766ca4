//! Rows for which a table has none: what becomes of them, and how many there were.

use std::sync::atomic::{AtomicU64, Ordering};

use velo_plan::plan::{JoinKind, Missing, MissingStrategy};

use crate::checkpoint::{StateReader, StateWriter, load_counts, save_counts};
use crate::error::Result;

/// How many rows of one join the table had none for; read from outside while it runs.
#[derive(Debug, Default)]
pub struct MissingCounters {
    skipped: AtomicU64,
    filled: AtomicU64,
    waiting: AtomicU64,
}

impl MissingCounters {
    /// Rows that were left out.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Rows that got NULLs or defaults.
    pub fn filled(&self) -> u64 {
        self.filled.load(Ordering::Relaxed)
    }

    /// Rows that wait now.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// All rows that were missing, those that wait now included.
    pub fn rows(&self) -> u64 {
        self.skipped() + self.filled() + self.waiting()
    }

    pub(crate) fn count(&self, fate: Fate, rows: usize) {
        let counter = match fate {
            Fate::LeaveOut => &self.skipped,
            Fate::Nulls | Fate::Defaults => &self.filled,
            Fate::Wait | Fate::Fail => return,
        };
        counter.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_waiting(&self, rows: usize) {
        self.waiting.store(rows as u64, Ordering::Relaxed);
    }

    /// Takes what was counted out, but for the rows that wait: left out, and filled.
    pub(crate) fn take(&self) -> [u64; 2] {
        [&self.skipped, &self.filled].map(|counter| counter.swap(0, Ordering::Relaxed))
    }

    /// Adds what others counted.
    pub(crate) fn add(&self, [skipped, filled]: [u64; 2]) {
        self.skipped.fetch_add(skipped, Ordering::Relaxed);
        self.filled.fetch_add(filled, Ordering::Relaxed);
    }

    /// What was counted, under names for a checkpoint of the operator of this name.
    pub(crate) fn counted(&self, operator: &str) -> [(String, u64); 2] {
        [("skipped", self.skipped()), ("filled", self.filled())]
            .map(|(what, count)| (format!("{operator}.{what}"), count))
    }

    /// Puts them into a checkpoint, but for the rows that wait, which are counted when they are taken up.
    pub(crate) fn save(&self, state: &mut StateWriter) -> Result<()> {
        save_counts(state, MISSING, &[("skipped", self.skipped()), ("filled", self.filled())])
    }

    /// Takes up what was saved.
    pub(crate) fn load(&self, state: &mut StateReader) -> Result<()> {
        self.add(load_counts(state, MISSING, ["skipped", "filled"])?);
        Ok(())
    }
}

/// The table with the counters.
const MISSING: &str = "missing";

/// What becomes of a row that a table lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does not come out.
    LeaveOut,
    /// It comes out with NULLs.
    Nulls,
    /// It comes out with the defaults.
    Defaults,
    /// It waits for the table.
    Wait,
    /// The job stops.
    Fail,
}

/// The fate under a policy: `last`, when waiting is over, or would not help.
pub(crate) fn fate(kind: &JoinKind, missing: Option<&Missing>, last: bool) -> Fate {
    let strategy = match missing {
        Some(missing) if missing.waits() && last => missing.then,
        Some(missing) => missing.strategy,
        None if kind.keeps_left() => MissingStrategy::EmitWithNulls,
        None => MissingStrategy::SkipRecord,
    };
    match strategy {
        MissingStrategy::UseDefaults => Fate::Defaults,
        MissingStrategy::SkipRecord => Fate::LeaveOut,
        MissingStrategy::EmitWithNulls => Fate::Nulls,
        MissingStrategy::WaitAndRetry => Fate::Wait,
        MissingStrategy::FailFast => Fate::Fail,
    }
}
