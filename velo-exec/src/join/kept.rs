//! Rows that are kept: in the batches that they came in, as long as enough rows of such a batch are needed.
//!
//! A row is known by its chunk and its place there. A chunk goes when none of its rows is needed any more; the rows of chunks
//! that are small, or of which few rows are needed, are put together into new ones, and whoever knows a row is told its new
//! place.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow_buffer::ScalarBuffer;
use arrow_schema::DataType;
use arrow_select::interleave::interleave;
use arrow_select::take::take;

use crate::error::Result;
use crate::state::KeyTable;

/// The place of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowRef {
    pub(crate) chunk: u32,
    pub(crate) row: u32,
}

impl RowRef {
    /// No row: NULLs.
    pub(crate) const NONE: Self = Self { chunk: u32::MAX, row: u32::MAX };
}

/// Rows of a chunk that is made of others.
const CHUNK: usize = 8_192;
/// A chunk of fewer rows is put together with others.
const SMALL: usize = 1_024;
/// No place among those of picked rows.
const NOWHERE: u32 = u32::MAX;
/// So many chunks are put together at once.
const MANY: usize = 64;

/// Kept rows.
#[derive(Debug)]
pub(crate) struct KeptRows {
    types: Vec<DataType>,
    /// The place of the event time among the columns.
    time: Option<usize>,
    chunks: Vec<Option<Chunk>>,
    free: Vec<u32>,
    /// Chunks without a row that is needed.
    dead: Vec<u32>,
    /// How many chunks are worth while to put together.
    scattered: usize,
    live: usize,
}

#[derive(Debug)]
struct Chunk {
    columns: Vec<ArrayRef>,
    times: Option<ScalarBuffer<i64>>,
    /// Whom each row belongs to; [`KeyTable::DEAD`] where it is not needed any more.
    owners: Vec<u32>,
    marked: Vec<bool>,
    live: usize,
    scattered: bool,
}

impl Chunk {
    fn is_scattered(&self) -> bool {
        self.owners.len() < SMALL || self.live * 4 < self.owners.len()
    }
}

/// A row's new place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    pub(crate) owner: u32,
    pub(crate) from: RowRef,
    pub(crate) to: RowRef,
}

impl KeptRows {
    /// No rows yet, of columns of these types; the event time, where there is one, has the place `time`.
    pub(crate) fn new(types: Vec<DataType>, time: Option<usize>) -> Self {
        let (chunks, free, dead) = (Vec::new(), Vec::new(), Vec::new());
        Self { types, time, chunks, free, dead, scattered: 0, live: 0 }
    }

    /// Keeps rows, each with whom it belongs to; the number of their chunk.
    pub(crate) fn push(&mut self, columns: Vec<ArrayRef>, owners: Vec<u32>) -> u32 {
        let rows = owners.len();
        let marked = vec![false; rows];
        let times = self.time.map(|at| columns[at].as_primitive::<TimestampMicrosecondType>().values().clone());
        self.live += rows;
        self.put(Chunk { columns, times, owners, marked, live: rows, scattered: false })
    }

    fn put(&mut self, mut chunk: Chunk) -> u32 {
        chunk.scattered = chunk.is_scattered();
        self.scattered += usize::from(chunk.scattered);
        let number = self.free.pop().unwrap_or(self.chunks.len() as u32);
        if chunk.live == 0 {
            self.dead.push(number);
        }
        match self.chunks.get_mut(number as usize) {
            Some(place) => *place = Some(chunk),
            None => self.chunks.push(Some(chunk)),
        }
        number
    }

    #[inline]
    fn chunk(&self, number: u32) -> Option<&Chunk> {
        self.chunks.get(number as usize).and_then(Option::as_ref)
    }

    fn chunk_mut(&mut self, number: u32) -> Option<&mut Chunk> {
        self.chunks.get_mut(number as usize).and_then(Option::as_mut)
    }

    /// How many rows are needed.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// The rows that are needed.
    pub(crate) fn live(&self) -> Vec<RowRef> {
        let mut live = Vec::with_capacity(self.live);
        for (number, chunk) in self.chunks.iter().enumerate() {
            let owners = chunk.iter().flat_map(|chunk| &chunk.owners).enumerate();
            let rows = owners.filter(|(_, owner)| **owner != KeyTable::DEAD);
            live.extend(rows.map(|(row, _)| RowRef { chunk: number as u32, row: row as u32 }));
        }
        live
    }

    /// All columns of some rows.
    pub(crate) fn columns(&self, rows: &[RowRef]) -> Result<Vec<ArrayRef>> {
        let picked = self.pick(rows.iter().copied());
        (0..self.types.len()).map(|at| self.column(&picked, at)).collect()
    }

    /// The column of a chunk before the last.
    pub(crate) fn last_but_one(&self, chunk: u32) -> Option<&ArrayRef> {
        self.chunk(chunk).and_then(|chunk| chunk.columns.iter().rev().nth(1))
    }

    /// The event times of a chunk.
    pub(crate) fn times(&self, chunk: u32) -> Option<&ScalarBuffer<i64>> {
        self.chunk(chunk).and_then(|chunk| chunk.times.as_ref())
    }

    /// The event time of a row; that of no row, or of rows without one, is before all others.
    #[inline]
    pub(crate) fn time(&self, row: RowRef) -> i64 {
        self.times(row.chunk).map_or(i64::MIN, |times| times[row.row as usize])
    }

    /// Whom a row belongs to.
    #[inline]
    pub(crate) fn owner(&self, row: RowRef) -> u32 {
        self.chunk(row.chunk).map_or(KeyTable::DEAD, |chunk| chunk.owners[row.row as usize])
    }

    /// Whom a row belongs to from now on.
    pub(crate) fn set_owner(&mut self, row: RowRef, owner: u32) {
        if let Some(chunk) = self.chunk_mut(row.chunk) {
            chunk.owners[row.row as usize] = owner;
        }
    }

    /// All owners of rows that are needed, to be changed, each with whether its row was marked.
    pub(crate) fn owners_mut(&mut self) -> impl Iterator<Item = (bool, &mut u32)> {
        let chunks = self.chunks.iter_mut().flatten();
        let owners = chunks.flat_map(|chunk| chunk.marked.iter().copied().zip(chunk.owners.iter_mut()));
        owners.filter(|(_, owner)| **owner != KeyTable::DEAD)
    }

    /// Whether a row was marked.
    #[inline]
    pub(crate) fn is_marked(&self, row: RowRef) -> bool {
        self.chunk(row.chunk).is_some_and(|chunk| chunk.marked[row.row as usize])
    }

    /// Marks a row; whether it was not.
    #[inline]
    pub(crate) fn mark(&mut self, row: RowRef) -> bool {
        self.chunk_mut(row.chunk).is_some_and(|chunk| !std::mem::replace(&mut chunk.marked[row.row as usize], true))
    }

    /// A row is not needed any more. Its values stay until [`Self::collect`].
    pub(crate) fn release(&mut self, row: RowRef) {
        let Some(chunk) = self.chunk_mut(row.chunk) else { return };
        let owner = &mut chunk.owners[row.row as usize];
        if std::mem::replace(owner, KeyTable::DEAD) == KeyTable::DEAD {
            return;
        }
        chunk.live -= 1;
        let (dead, scattered) = (chunk.live == 0, !chunk.scattered && chunk.is_scattered());
        chunk.scattered |= scattered;
        self.scattered += usize::from(scattered);
        self.live -= 1;
        if dead {
            self.dead.push(row.chunk);
        }
    }

    /// Gives back the memory of chunks whose rows are not needed.
    pub(crate) fn collect(&mut self) {
        while let Some(number) = self.dead.pop() {
            if let Some(chunk) = self.chunks[number as usize].take() {
                self.scattered -= usize::from(chunk.scattered);
                self.free.push(number);
            }
        }
    }

    /// Whether it is worth while to put chunks together.
    pub(crate) fn is_scattered(&self) -> bool {
        self.scattered >= MANY
    }

    /// Puts the rows of small and sparse chunks together, those with event times in their order; the numbers of the new
    /// chunks. `moved` is told each row's new place.
    pub(crate) fn compact(&mut self, mut moved: impl FnMut(Moved)) -> Result<Vec<u32>> {
        self.collect();
        let mut rows = Vec::new();
        let mut old = Vec::new();
        for (number, chunk) in self.chunks.iter().enumerate() {
            let Some(chunk) = chunk.as_ref().filter(|chunk| chunk.scattered) else { continue };
            old.push(number as u32);
            let live = chunk.owners.iter().enumerate().filter(|(_, owner)| **owner != KeyTable::DEAD);
            rows.extend(live.map(|(row, _)| RowRef { chunk: number as u32, row: row as u32 }));
        }
        if self.time.is_some() {
            rows.sort_by_key(|row| self.time(*row));
        }
        let mut made = Vec::new();
        for part in rows.chunks(CHUNK) {
            let columns = self.columns(part)?;
            let owners = part.iter().map(|row| self.owner(*row)).collect::<Vec<_>>();
            let marked = part.iter().map(|row| self.is_marked(*row)).collect::<Vec<_>>();
            let chunk = self.push(columns, owners);
            self.live -= part.len();
            for (at, (from, marked)) in part.iter().zip(marked).enumerate() {
                let to = RowRef { chunk, row: at as u32 };
                if marked {
                    self.mark(to);
                }
                moved(Moved { owner: self.owner(to), from: *from, to });
            }
            made.push(chunk);
        }
        for number in old {
            if let Some(chunk) = self.chunks[number as usize].take() {
                self.scattered -= usize::from(chunk.scattered);
                self.free.push(number);
            }
        }
        Ok(made)
    }

    /// Where rows lie, for [`Self::column`].
    pub(crate) fn pick(&self, rows: impl ExactSizeIterator<Item = RowRef>) -> Picked {
        let mut picked = Picked { chunks: Vec::new(), places: Vec::with_capacity(rows.len()), none: false };
        // Rows of one chunk mostly come one behind the other.
        let (mut last, mut at) = (u32::MAX - 1, 0);
        let mut known = vec![NOWHERE; self.chunks.len()];
        for row in rows {
            if row == RowRef::NONE {
                picked.none = true;
                picked.places.push((usize::MAX, 0));
                continue;
            }
            if row.chunk != last {
                last = row.chunk;
                let place = &mut known[row.chunk as usize];
                if *place == NOWHERE {
                    *place = picked.chunks.len() as u32;
                    picked.chunks.push(row.chunk);
                }
                at = *place as usize;
            }
            picked.places.push((at, row.row as usize));
        }
        if picked.none {
            let nulls = picked.chunks.len();
            picked.places.iter_mut().filter(|place| place.0 == usize::MAX).for_each(|place| place.0 = nulls);
        }
        picked
    }

    /// A column of picked rows.
    pub(crate) fn column(&self, picked: &Picked, column: usize) -> Result<ArrayRef> {
        let arrays = picked.chunks.iter().filter_map(|chunk| self.chunk(*chunk)).map(|chunk| &chunk.columns[column]);
        let mut arrays = arrays.cloned().collect::<Vec<_>>();
        if arrays.is_empty() {
            return Ok(new_null_array(&self.types[column], picked.places.len()));
        }
        if let ([only], false) = (arrays.as_slice(), picked.none) {
            let rows = UInt32Array::from_iter_values(picked.places.iter().map(|(_, row)| *row as u32));
            return Ok(take(only, &rows, None)?);
        }
        if picked.none {
            arrays.push(new_null_array(&self.types[column], 1));
        }
        let arrays = arrays.iter().map(|array| array.as_ref()).collect::<Vec<&dyn Array>>();
        Ok(interleave(&arrays, &picked.places)?)
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let of = |chunk: &Chunk| {
            let columns = chunk.columns.iter().map(|column| column.get_array_memory_size()).sum::<usize>();
            columns + chunk.owners.capacity() * 4 + chunk.marked.capacity()
        };
        self.chunks.iter().flatten().map(of).sum()
    }
}

/// Where rows lie.
#[derive(Debug)]
pub(crate) struct Picked {
    chunks: Vec<u32>,
    places: Vec<(usize, usize)>,
    none: bool,
}
