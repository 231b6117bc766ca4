//! Rows that wait for their table: until it has them, or until it is known as of their time.

use std::collections::VecDeque;

use velo_core::Batch;

/// Some rows that wait.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) batch: Batch,
    /// How often they were looked up in vain when their time had come.
    pub(crate) tries: u32,
    /// When they are looked up again, by the clock.
    pub(crate) due: i64,
    /// The least event time, where there is one.
    oldest: i64,
}

/// All rows that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    held: VecDeque<Held>,
}

impl Waiting {
    pub(crate) fn push(&mut self, batch: Batch, tries: u32, due: i64) {
        if batch.is_empty() {
            return;
        }
        let times = batch.event_times().and_then(|times| times.values().iter().min().copied());
        self.held.push_back(Held { batch, tries, due, oldest: times.unwrap_or(i64::MAX) });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many rows wait.
    pub(crate) fn rows(&self) -> usize {
        self.held.iter().map(|held| held.batch.rows()).sum()
    }

    /// The least event time of the rows that wait; the greatest there is where none does, or they have no event times.
    pub(crate) fn oldest(&self) -> i64 {
        self.held.iter().map(|held| held.oldest).min().unwrap_or(i64::MAX)
    }

    /// When the next rows are due.
    pub(crate) fn due(&self) -> Option<i64> {
        self.held.iter().map(|held| held.due).min()
    }

    /// Takes all out.
    pub(crate) fn take(&mut self) -> VecDeque<Held> {
        std::mem::take(&mut self.held)
    }

    /// Takes out what has a row before `time`.
    pub(crate) fn take_before(&mut self, time: i64) -> VecDeque<Held> {
        let (before, others) = std::mem::take(&mut self.held).into_iter().partition(|held| held.oldest < time);
        self.held = others;
        before
    }
}
