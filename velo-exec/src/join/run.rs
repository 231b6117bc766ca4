//! The rows of one key and side in the order of their times.

use super::kept::RowRef;

/// A row of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) time: i64,
    pub(crate) row: RowRef,
}

/// Rows by time; the earliest ones go.
#[derive(Debug, Default)]
pub(crate) struct Run {
    entries: Vec<Entry>,
    /// Where those begin that are still there.
    start: u32,
}

/// A longer run gives its memory back when it is empty.
const ROOM: usize = 64;

impl Run {
    /// The rows.
    #[inline]
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries[self.start as usize..]
    }

    /// Whether there is no row.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.start as usize == self.entries.len()
    }

    /// Puts a row behind the others, where it is not earlier than the last.
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry) -> bool {
        let in_order = self.entries.last().is_none_or(|last| last.time <= entry.time);
        if in_order {
            self.entries.push(entry);
        }
        in_order
    }

    /// Puts rows among the others, which are in the order of their times.
    pub(crate) fn merge(&mut self, new: impl DoubleEndedIterator<Item = Entry> + ExactSizeIterator + Clone) {
        let mut read = self.entries.len();
        let filler = Entry { time: 0, row: RowRef::NONE };
        self.entries.resize(read + new.len(), filler);
        let mut write = self.entries.len();
        let start = self.start as usize;
        // From behind, so that each row is moved once, and only those behind the earliest new one.
        for entry in new.rev() {
            while read > start && self.entries[read - 1].time > entry.time {
                read -= 1;
                write -= 1;
                self.entries[write] = self.entries[read];
            }
            write -= 1;
            self.entries[write] = entry;
        }
    }

    /// The rows with times of at least `from` and at most `to`.
    #[inline]
    pub(crate) fn between(&self, from: i64, to: i64) -> std::ops::Range<usize> {
        let entries = self.entries();
        // Mostly the run is short, or the rows that are asked for are its last ones.
        let first = entries.partition_point(|entry| entry.time < from);
        let count = entries[first..].partition_point(|entry| entry.time <= to);
        first..first + count
    }

    /// Drops the rows with times below `limit`; whether that leaves none.
    pub(crate) fn evict(&mut self, limit: i64) -> bool {
        let gone = if limit == i64::MAX {
            self.entries.len() - self.start as usize
        } else {
            self.entries().iter().take_while(|entry| entry.time < limit).count()
        };
        self.start += gone as u32;
        self.tidy();
        gone > 0 && self.is_empty()
    }

    /// Keeps some of the rows.
    pub(crate) fn retain(&mut self, stays: impl Fn(&Entry) -> bool) {
        self.entries.drain(..self.start as usize);
        self.start = 0;
        self.entries.retain(stays);
    }

    /// A row lies elsewhere now.
    pub(crate) fn moved(&mut self, time: i64, from: RowRef, to: RowRef) {
        let start = self.start as usize;
        let first = start + self.entries().partition_point(|entry| entry.time < time);
        let same = self.entries[first..].iter_mut().take_while(|entry| entry.time == time);
        if let Some(entry) = same.into_iter().find(|entry| entry.row == from) {
            entry.row = to;
        }
    }

    fn tidy(&mut self) {
        if self.is_empty() {
            self.start = 0;
            self.entries.clear();
            if self.entries.capacity() > ROOM {
                self.entries = Vec::new();
            }
        } else if self.start as usize * 2 > self.entries.len() && self.entries.len() >= ROOM {
            self.entries.drain(..self.start as usize);
            self.start = 0;
        }
    }

    /// Bytes of memory beside its own.
    pub(crate) fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }
}
