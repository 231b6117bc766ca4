//! Results of one call by row: rows are decided in any order, and read when all calls of their chunk are.

use std::collections::HashMap;

use arrow_array::ArrayRef;

use super::value::Value;
use crate::error::Result;

/// A row of a chunk: rows that were released together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowRef {
    pub(crate) chunk: u64,
    pub(crate) row: u32,
}

/// The results of the chunks that have not wholly come out.
pub(super) struct Results<V: Value> {
    codec: V::Codec,
    current: u64,
    values: Vec<Option<V>>,
    older: HashMap<u64, Older<V>>,
}

struct Older<V> {
    /// The rows that are still there, ascending; none: all.
    rows: Option<Vec<u32>>,
    values: Vec<Option<V>>,
}

impl<V> Older<V> {
    fn place(&self, row: u32) -> Option<usize> {
        match &self.rows {
            None => Some(row as usize),
            Some(rows) => rows.binary_search(&row).ok(),
        }
    }
}

/// What the operator needs of results, whatever their type.
pub(crate) trait ResultColumn {
    /// The results of all rows of the newest chunk, which is then forgotten.
    fn whole(&mut self) -> Result<ArrayRef>;

    /// The results of some rows of a chunk.
    fn pick(&mut self, chunk: u64, rows: &[u32]) -> Result<ArrayRef>;

    /// Only these rows of a chunk are still there; none: the chunk is gone.
    fn keep(&mut self, chunk: u64, rows: &[u32]);

    /// The results of some rows of a chunk, which stay; NULL where there is none yet.
    fn known(&self, chunk: u64, rows: &[u32]) -> Result<ArrayRef>;

    /// A chunk from a checkpoint, with what is known of its rows.
    fn restore(&mut self, chunk: u64, known: &ArrayRef) -> Result<()>;
}

impl<V: Value> Results<V> {
    pub(super) fn new(codec: V::Codec) -> Self {
        Self { codec, current: u64::MAX, values: Vec::new(), older: HashMap::new() }
    }

    /// A new chunk of so many rows.
    pub(super) fn begin(&mut self, chunk: u64, rows: usize) {
        let values = std::mem::replace(&mut self.values, vec![None; rows]);
        if !values.is_empty() {
            self.older.insert(self.current, Older { rows: None, values });
        }
        self.current = chunk;
    }

    #[inline(always)]
    pub(super) fn set(&mut self, at: RowRef, value: Option<V>) {
        if at.chunk == self.current {
            self.values[at.row as usize] = value;
        } else {
            self.set_older(at, value);
        }
    }

    #[cold]
    fn set_older(&mut self, at: RowRef, value: Option<V>) {
        if let Some(older) = self.older.get_mut(&at.chunk)
            && let Some(place) = older.place(at.row)
        {
            older.values[place] = value;
        }
    }
}

impl<V: Value> ResultColumn for Results<V> {
    fn whole(&mut self) -> Result<ArrayRef> {
        V::write(&self.codec, std::mem::take(&mut self.values))
    }

    fn pick(&mut self, chunk: u64, rows: &[u32]) -> Result<ArrayRef> {
        let values = if chunk == self.current {
            rows.iter().map(|row| self.values[*row as usize].take()).collect()
        } else {
            let older = self.older.get_mut(&chunk);
            match older {
                Some(older) => {
                    rows.iter().map(|row| older.place(*row).and_then(|place| older.values[place].take())).collect()
                }
                None => vec![None; rows.len()],
            }
        };
        V::write(&self.codec, values)
    }

    fn keep(&mut self, chunk: u64, rows: &[u32]) {
        if rows.is_empty() {
            if chunk == self.current {
                self.values = Vec::new();
            }
            self.older.remove(&chunk);
            return;
        }
        if chunk == self.current {
            let values = std::mem::take(&mut self.values);
            self.older.insert(chunk, Older { rows: None, values });
            self.current = u64::MAX;
        }
        if let Some(older) = self.older.get_mut(&chunk) {
            let values = rows.iter().map(|row| older.place(*row).and_then(|place| older.values[place].take()));
            let values = values.collect();
            *older = Older { rows: Some(rows.to_vec()), values };
        }
    }

    fn known(&self, chunk: u64, rows: &[u32]) -> Result<ArrayRef> {
        let older = self.older.get(&chunk).filter(|_| chunk != self.current);
        let value = |row: &u32| match older {
            Some(older) => older.place(*row).and_then(|place| older.values[place].clone()),
            None if chunk == self.current => self.values.get(*row as usize).cloned().flatten(),
            None => None,
        };
        V::write(&self.codec, rows.iter().map(value).collect())
    }

    fn restore(&mut self, chunk: u64, known: &ArrayRef) -> Result<()> {
        let values = V::read(&self.codec, known)?;
        self.older.insert(chunk, Older { rows: None, values });
        Ok(())
    }
}
