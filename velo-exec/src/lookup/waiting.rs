//! Rows that wait for their table: until it has them, or until it is known as of their time.
//!
//! They are held in the batches in which they came, in their order. How many there are, the oldest of them and when the next are
//! due is known without a look at all of them.

use std::collections::{BTreeMap, VecDeque};

use arrow_array::BooleanArray;
use arrow_schema::ArrowError;
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
    /// For rows that wait until the table is known as of a time: the time of each.
    until: Vec<i64>,
    /// The first and the last of these.
    range: [i64; 2],
}

/// All rows that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    held: VecDeque<Held>,
    rows: usize,
    /// How many of the batches have this least event time, and are due at this time.
    oldest: BTreeMap<i64, usize>,
    due: BTreeMap<i64, usize>,
    /// Until no later than this rows wait.
    latest: Option<i64>,
}

fn less_one(counts: &mut BTreeMap<i64, usize>, of: i64) {
    if let Some(count) = counts.get_mut(&of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&of);
        }
    }
}

impl Waiting {
    /// Rows wait for what the table lacks.
    pub(crate) fn push(&mut self, batch: Batch, tries: u32, due: i64) {
        self.hold(batch, tries, due, Vec::new());
    }

    /// Rows wait until the table is known as of these times, which are not before their event times.
    pub(crate) fn push_until(&mut self, batch: Batch, until: Vec<i64>) {
        self.hold(batch, 0, i64::MAX, until);
    }

    fn hold(&mut self, batch: Batch, tries: u32, due: i64, until: Vec<i64>) {
        if batch.is_empty() {
            return;
        }
        let oldest = batch.event_times().and_then(|times| times.values().iter().min().copied()).unwrap_or(i64::MAX);
        let first = until.iter().min().copied().unwrap_or(i64::MAX);
        let range = [first, until.iter().max().copied().unwrap_or(i64::MIN)];
        self.put(Held { batch, tries, due, oldest, until, range });
    }

    fn put(&mut self, held: Held) {
        self.rows += held.batch.rows();
        *self.oldest.entry(held.oldest).or_insert(0) += 1;
        *self.due.entry(held.due).or_insert(0) += 1;
        self.latest = self.latest.max(Some(held.range[1]));
        self.held.push_back(held);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many rows wait.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The least event time of the rows that wait; the greatest there is where none does, or they have no event times.
    pub(crate) fn oldest(&self) -> i64 {
        self.oldest.keys().next().copied().unwrap_or(i64::MAX)
    }

    /// When the next rows are due.
    pub(crate) fn due(&self) -> Option<i64> {
        self.due.keys().next().copied()
    }

    /// Takes all out.
    pub(crate) fn take(&mut self) -> VecDeque<Held> {
        std::mem::take(self).held
    }

    /// Those that are due have tried once more, and are due again at `next`; those that have tried `most` times are taken out.
    /// The order is that of their times then, not that in which they came.
    pub(crate) fn tried(&mut self, now: i64, next: i64, most: u32) -> Vec<Held> {
        let mut over = Vec::new();
        let mut left = self.held.len();
        while left > 0
            && self.held.front().is_some_and(|held| held.due <= now)
            && let Some(mut held) = self.held.pop_front()
        {
            left -= 1;
            self.rows -= held.batch.rows();
            less_one(&mut self.oldest, held.oldest);
            less_one(&mut self.due, held.due);
            (held.tries, held.due) = (held.tries + 1, next);
            match held.tries >= most {
                true => over.push(held),
                false => self.put(held),
            }
        }
        over
    }

    /// Those that are due have tried once more, and are due again at `next`; whether one has tried `most` times.
    pub(crate) fn tried_in_order(&mut self, now: i64, next: i64, most: u32) -> bool {
        let mut over = false;
        for held in self.held.iter_mut().filter(|held| held.due <= now) {
            less_one(&mut self.due, held.due);
            (held.tries, held.due) = (held.tries + 1, next);
            *self.due.entry(next).or_insert(0) += 1;
            over |= held.tries >= most;
        }
        over
    }

    /// Takes out the rows that wait until before `time`, in their order; the others keep theirs.
    pub(crate) fn take_before(&mut self, time: i64) -> Result<Vec<Batch>, ArrowError> {
        let mut before = Vec::new();
        if self.oldest() >= time {
            return Ok(before);
        }
        for held in self.take() {
            let [first, last] = held.range;
            if first >= time {
                self.put(held);
            } else if last < time {
                before.push(held.batch);
            } else {
                let ready: BooleanArray = held.until.iter().map(|until| Some(*until < time)).collect();
                let later = held.until.iter().map(|until| Some(*until >= time)).collect();
                before.push(held.batch.filter(&ready)?);
                let until = held.until.into_iter().filter(|until| *until >= time).collect();
                self.push_until(held.batch.filter(&later)?, until);
            }
        }
        Ok(before)
    }

    /// The latest time until which a row waits.
    pub(crate) fn latest(&self) -> Option<i64> {
        self.latest
    }
}
