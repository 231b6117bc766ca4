//! Rows that partitions keep: the releases that they came in, each for as long as one of its rows is kept.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;

use crate::error::Result;

/// Where a row is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) chunk: u32,
    pub(crate) row: u32,
}

/// Kept rows.
pub(crate) struct Store {
    schema: SchemaRef,
    /// By number; a number is used again when its rows are gone.
    chunks: Vec<Option<Chunk>>,
    free: Vec<u32>,
    /// Of each chunk, its place among those that a gathering reads.
    places: Vec<u32>,
}

struct Chunk {
    columns: RecordBatch,
    live: usize,
}

const NONE: u32 = u32::MAX;

impl Store {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema, chunks: Vec::new(), free: Vec::new(), places: Vec::new() }
    }

    /// The columns that are kept.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Takes a release in, all of whose rows are kept; the answer is its number.
    pub(crate) fn add(&mut self, columns: RecordBatch) -> u32 {
        let chunk = Chunk { live: columns.num_rows(), columns };
        match self.free.pop() {
            Some(number) => {
                self.chunks[number as usize] = Some(chunk);
                number
            }
            None => {
                self.chunks.push(Some(chunk));
                self.places.push(NONE);
                self.chunks.len() as u32 - 1
            }
        }
    }

    /// A row is not needed any more; it stays readable up to the next [`Self::sweep`].
    pub(crate) fn release(&mut self, at: At) {
        if let Some(Some(chunk)) = self.chunks.get_mut(at.chunk as usize) {
            chunk.live = chunk.live.saturating_sub(1);
        }
    }

    /// Forgets the releases of which no row is kept.
    pub(crate) fn sweep(&mut self) {
        for (number, chunk) in self.chunks.iter_mut().enumerate() {
            if chunk.as_ref().is_some_and(|chunk| chunk.live == 0) {
                *chunk = None;
                self.free.push(number as u32);
            }
        }
    }

    /// Whether it is worth while to copy what is kept together: most of what is held are rows that nobody keeps, or it lies in
    /// many small pieces.
    pub(crate) fn is_scattered(&self) -> bool {
        const MANY_ROWS: usize = 16_384;
        const MANY_CHUNKS: usize = 1_024;
        const SMALL: usize = 64;
        let (mut chunks, mut live, mut all) = (0, 0, 0);
        for chunk in self.chunks.iter().flatten() {
            chunks += 1;
            live += chunk.live;
            all += chunk.columns.num_rows();
        }
        (all > MANY_ROWS && live * 4 < all) || (chunks > MANY_CHUNKS && all < chunks * SMALL)
    }

    /// Keeps these rows alone, as one release; they lie there in this order.
    pub(crate) fn keep(&mut self, rows: &[Option<At>]) -> Result<u32> {
        let columns = (0..self.schema.fields().len()).map(|column| self.gather(column, rows)).collect::<Result<_>>()?;
        let columns = columns_of(&self.schema, columns, rows.len())?;
        self.chunks.clear();
        self.free.clear();
        self.places.clear();
        Ok(self.add(columns))
    }

    /// A column of rows; NULL where there is none.
    pub(crate) fn gather(&mut self, column: usize, rows: &[Option<At>]) -> Result<ArrayRef> {
        let data_type = self.schema.field(column).data_type();
        let mut arrays: Vec<ArrayRef> = vec![new_null_array(data_type, 1)];
        let mut used = Vec::new();
        let mut picked = Vec::with_capacity(rows.len());
        let mut nulls = false;
        for at in rows {
            let chunk = at.and_then(|at| Some((at, self.chunks.get(at.chunk as usize)?.as_ref()?)));
            let Some((at, chunk)) = chunk else {
                nulls = true;
                picked.push((0, 0));
                continue;
            };
            let place = &mut self.places[at.chunk as usize];
            if *place == NONE {
                *place = arrays.len() as u32;
                arrays.push(Arc::clone(chunk.columns.column(column)));
                used.push(at.chunk);
            }
            picked.push((*place as usize, at.row as usize));
        }
        for chunk in used {
            self.places[chunk as usize] = NONE;
        }
        if let ([_, only], false) = (arrays.as_slice(), nulls) {
            let rows = UInt32Array::from_iter_values(picked.iter().map(|(_, row)| *row as u32));
            return Ok(arrow_select::take::take(only, &rows, None)?);
        }
        let arrays = arrays.iter().map(AsRef::as_ref).collect::<Vec<_>>();
        Ok(arrow_select::interleave::interleave(&arrays, &picked)?)
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.chunks.iter().flatten().map(|chunk| chunk.columns.get_array_memory_size()).sum()
    }
}
