//! What is known of a partition: its rows from the earliest on that a match could need, and the search that goes on.

use std::collections::VecDeque;

use super::{At, Run};

/// A row of a partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) at: At,
    pub(crate) time: i64,
    /// The variables that it can be as far as it and its neighbours decide, as bits.
    pub(crate) holds: u64,
    /// The places of the pattern from which no match comes of it and what follows, as bits.
    pub(crate) dead: u64,
}

/// A partition.
#[derive(Default)]
pub(crate) struct Partition {
    /// The rows that are kept.
    pub(crate) rows: VecDeque<Row>,
    /// The number of the first of them, counted through the partition.
    pub(crate) first: u64,
    /// The number of the first row of which it is not known what it can be.
    pub(crate) tested: u64,
    /// Where the next match can begin; with a run, where that begins.
    pub(crate) start: u64,
    /// The search for a match that begins there.
    pub(crate) run: Option<Box<Run>>,
    /// How many matches there were.
    pub(crate) matches: i64,
    /// The earliest event time that a match can still have, of those that are known.
    pub(crate) hold: i64,
    /// Whether it stands among those whose time can run out.
    pub(crate) queued: bool,
    /// Whether it waits for a search.
    pub(crate) waiting: bool,
    /// Whether it keeps nothing.
    pub(crate) idle: bool,
}

impl Partition {
    /// The number behind the last row.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.rows.len() as u64
    }

    /// A row by its number, where it is kept.
    pub(crate) fn row(&self, number: u64) -> Option<&Row> {
        self.rows.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    pub(crate) fn row_mut(&mut self, number: u64) -> Option<&mut Row> {
        self.rows.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The row so many behind another.
    pub(crate) fn beside(&self, number: u64, offset: i32) -> Option<At> {
        Some(self.row(number.checked_add_signed(i64::from(offset))?)?.at)
    }

    /// The earliest event time that a match can have which the rows that are there can give; `shortest` is the fewest rows of
    /// a match.
    pub(crate) fn earliest(&self, shortest: u64) -> i64 {
        let time = |number: u64| self.row(number).map_or(i64::MAX, |row| row.time);
        match &self.run {
            None => time(self.start + shortest.saturating_sub(1)),
            Some(run) => {
                let candidate = run.candidate.map_or(i64::MAX, |found| time(found.end));
                candidate.min(time(run.next)).min(time(self.start + shortest))
            }
        }
    }
}
