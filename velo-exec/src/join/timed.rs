//! Kept rows that go by their event time: which of them a watermark has passed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow_array::ArrayRef;
use arrow_schema::DataType;

use super::kept::{KeptRows, Moved, RowRef};
use crate::error::Result;
use crate::state::KeyTable;

/// Kept rows, and those of each chunk in the order of their times. The last column is the event time.
#[derive(Debug)]
pub(crate) struct TimedRows {
    pub(crate) rows: KeptRows,
    /// By chunk.
    cursors: Vec<Cursor>,
    /// By chunk with rows that have not been passed: the time of the next.
    due: BinaryHeap<Reverse<(i64, u64, u32)>>,
    current: Option<u32>,
    serial: u64,
}

#[derive(Debug, Default)]
struct Cursor {
    /// None where the rows are in order.
    order: Option<Vec<u32>>,
    next: usize,
    /// Tells chunks apart that have the same number one after the other.
    serial: u64,
}

impl TimedRows {
    /// No rows yet, of columns of these types, of which the last is the event time.
    pub(crate) fn new(types: Vec<DataType>) -> Self {
        let time = types.len() - 1;
        let rows = KeptRows::new(types, Some(time));
        Self { rows, cursors: Vec::new(), due: BinaryHeap::new(), current: None, serial: 0 }
    }

    /// Keeps rows, each with whom it belongs to; the number of their chunk.
    pub(crate) fn push(&mut self, columns: Vec<ArrayRef>, owners: Vec<u32>) -> u32 {
        let chunk = self.rows.push(columns, owners);
        self.begin(chunk);
        chunk
    }

    fn begin(&mut self, chunk: u32) {
        let Some(times) = self.rows.times(chunk) else { return };
        let order = (!times.is_sorted()).then(|| {
            let mut order = (0..times.len() as u32).collect::<Vec<_>>();
            order.sort_by_key(|row| times[*row as usize]);
            order
        });
        let first = order.as_ref().map_or(0, |order| order[0] as usize);
        let first = times.get(first).copied();
        self.serial += 1;
        if let Some(time) = first {
            self.due.push(Reverse((time, self.serial, chunk)));
        }
        let at = chunk as usize;
        if at >= self.cursors.len() {
            self.cursors.resize_with(at + 1, Cursor::default);
        }
        self.cursors[at] = Cursor { order, next: 0, serial: self.serial };
    }

    /// The earliest time of a row that has not been passed; it may be of one that is not needed any more.
    pub(crate) fn earliest(&self) -> Option<i64> {
        self.due.peek().map(|Reverse((time, ..))| *time)
    }

    /// The next row with a time below `limit` that has not been passed, with whom it belongs to. Rows of one owner come in the
    /// order of their times within a chunk only.
    pub(crate) fn pass(&mut self, limit: i64) -> Option<(RowRef, u32)> {
        loop {
            let Some(chunk) = self.current else {
                let Reverse((time, serial, chunk)) = *self.due.peek()?;
                if time >= limit && limit != i64::MAX {
                    return None;
                }
                self.due.pop();
                let there = self.cursors.get(chunk as usize).is_some_and(|cursor| cursor.serial == serial);
                self.current = there.then_some(chunk);
                continue;
            };
            let cursor = &mut self.cursors[chunk as usize];
            let Some(times) = self.rows.times(chunk) else {
                // All of its rows were released before.
                self.current = None;
                continue;
            };
            let row = match &cursor.order {
                Some(order) => order.get(cursor.next).copied(),
                None => (cursor.next < times.len()).then_some(cursor.next as u32),
            };
            let Some(row) = row else {
                self.current = None;
                continue;
            };
            let time = times[row as usize];
            if time >= limit && limit != i64::MAX {
                self.due.push(Reverse((time, cursor.serial, chunk)));
                self.current = None;
                continue;
            }
            cursor.next += 1;
            let row = RowRef { chunk, row };
            let owner = self.rows.owner(row);
            if owner != KeyTable::DEAD {
                return Some((row, owner));
            }
        }
    }

    /// Puts small and sparse chunks together, once there are many; see [`KeptRows::compact`]. A row that was passed and is
    /// still needed is passed again.
    pub(crate) fn compact(&mut self, moved: impl FnMut(Moved)) -> Result<()> {
        self.rows.collect();
        if !self.rows.is_scattered() {
            return Ok(());
        }
        let made = self.rows.compact(moved)?;
        let there = |entry: &Reverse<(i64, u64, u32)>| {
            let Reverse((_, serial, chunk)) = entry;
            self.rows.times(*chunk).is_some()
                && !made.contains(chunk)
                && self.cursors.get(*chunk as usize).is_some_and(|cursor| cursor.serial == *serial)
        };
        let mut due = std::mem::take(&mut self.due).into_vec();
        due.retain(there);
        self.due = due.into();
        made.into_iter().for_each(|chunk| self.begin(chunk));
        Ok(())
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let orders = self.cursors.iter().filter_map(|cursor| cursor.order.as_ref());
        self.rows.memory() + orders.map(|order| order.capacity() * 4).sum::<usize>() + self.due.capacity() * 24
    }
}
