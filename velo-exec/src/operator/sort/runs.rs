//! Sorted runs on disk, and their merge: sorting of more than there is memory for (Knuth, The Art of Computer Programming,
//! volume 3, section 5.4).

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, UInt32Array};
use arrow_row::Rows;
use arrow_schema::SchemaRef;
use velo_core::Batch;

use crate::checkpoint::beside::with_beside;
use crate::checkpoint::rows::{pack, unpack};
use crate::error::{ExecError, Result};
use crate::spill::{MemoryPool, SpillFile, SpillReader};

/// The column with the key of a row, as bytes that compare as the rows do; the last one.
const KEY: &str = "_sort_key";

/// So many rows of each run are in memory at a time.
const PIECE: usize = 1_024;

/// Runs, each of rows that came before those of the next.
#[derive(Debug, Default)]
pub(super) struct Runs {
    files: Vec<SpillFile>,
}

impl Runs {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Writes the rows of `all` in this order; `keys` has that of each row of `all`.
    pub(super) fn write(&mut self, pool: &MemoryPool, all: &Batch, order: &UInt32Array, keys: &Rows) -> Result<()> {
        let mut file = pool.folder().create()?;
        for from in (0..order.len()).step_by(PIECE) {
            let places = order.slice(from, PIECE.min(order.len() - from));
            let packed = pack(&all.take(&places)?)?;
            let keys = BinaryArray::from_iter_values(places.values().iter().map(|row| keys.row(*row as usize).data()));
            file.write(&with_beside(&packed, [(KEY, Arc::new(keys) as ArrayRef)])?)?;
        }
        self.files.push(file.finish()?);
        Ok(())
    }

    /// Hands the rows of all runs to `take`, run by run, packed and without their keys: of equal rows those that came first are first.
    pub(super) fn each(&self, mut take: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        for file in &self.files {
            for rows in file.read()? {
                let rows = rows?;
                take(rows.project(&(0..rows.num_columns() - 1).collect::<Vec<_>>())?)?;
            }
        }
        Ok(())
    }

    /// All rows in their order.
    pub(super) fn merge(self) -> Result<Merge> {
        let mut merge = Merge { runs: Vec::new(), heap: Vec::new() };
        for file in self.files {
            let mut run = Run { reader: file.read()?, _file: file, rows: None, at: 0 };
            if run.advance()? {
                merge.runs.push(run);
            }
        }
        merge.heap = (0..merge.runs.len()).collect();
        for at in (0..merge.heap.len()).rev() {
            merge.sift_down(at);
        }
        Ok(merge)
    }
}

/// A run that is being read.
#[derive(Debug)]
struct Run {
    reader: SpillReader,
    _file: SpillFile,
    /// The piece with the next row, and its keys.
    rows: Option<(RecordBatch, BinaryArray)>,
    at: usize,
}

impl Run {
    fn key(&self) -> &[u8] {
        self.rows.as_ref().map_or(&[], |(_, keys)| keys.value(self.at))
    }

    /// Goes to the next row; false where there is none.
    fn advance(&mut self) -> Result<bool> {
        self.at += 1;
        if self.rows.as_ref().is_some_and(|(_, keys)| self.at < keys.len()) {
            return Ok(true);
        }
        let lost = || ExecError::Internal("rows that were sorted have lost their keys".to_owned());
        let next = self.reader.next().transpose()?;
        let with_keys = |rows: RecordBatch| {
            let keys = rows.columns().last().and_then(|keys| keys.as_binary_opt::<i32>()).ok_or_else(lost)?.clone();
            Ok::<_, ExecError>((rows, keys))
        };
        (self.rows, self.at) = (next.map(with_keys).transpose()?, 0);
        Ok(self.rows.is_some())
    }
}

/// Gives the rows of all runs in one order.
#[derive(Debug)]
pub(super) struct Merge {
    runs: Vec<Run>,
    /// Runs that have rows: none has a key before that of the one at half its place.
    heap: Vec<usize>,
}

impl Merge {
    /// Bytes of the pieces in memory.
    pub(super) fn memory(&self) -> usize {
        let pieces = self.runs.iter().filter_map(|run| run.rows.as_ref());
        pieces.map(|(rows, _)| rows.get_array_memory_size()).sum()
    }

    /// The next rows, at most so many, with the columns of `schema`; none at the end.
    pub(super) fn next(&mut self, rows: usize, schema: &SchemaRef) -> Result<Vec<Batch>> {
        let mut pieces: Vec<RecordBatch> = Vec::new();
        // Where the piece of each run is among these.
        let mut of_run = vec![None; self.runs.len()];
        let mut places = Vec::with_capacity(rows);
        while let Some(first) = self.heap.first().copied().filter(|_| places.len() < rows) {
            let run = &mut self.runs[first];
            let Some((piece, _)) = &run.rows else { break };
            let at = *of_run[first].get_or_insert_with(|| {
                pieces.push(piece.clone());
                pieces.len() - 1
            });
            places.push((at, run.at));
            let more = run.advance()?;
            if run.at == 0 {
                of_run[first] = None;
            }
            if !more {
                self.heap.swap_remove(0);
            }
            self.sift_down(0);
        }
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let merged = arrow_select::interleave::interleave_record_batch(&pieces.iter().collect::<Vec<_>>(), &places)?;
        unpack(&merged.project(&(0..merged.num_columns() - 1).collect::<Vec<_>>())?, schema)
    }

    /// Of equal rows that of an earlier run is first.
    fn is_before(&self, one: usize, other: usize) -> bool {
        self.runs[one].key().cmp(self.runs[other].key()).then(one.cmp(&other)).is_lt()
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let children = [2 * at + 1, 2 * at + 2].into_iter().filter(|child| *child < self.heap.len());
            let first =
                children.fold(
                    at,
                    |first, child| {
                        if self.is_before(self.heap[child], self.heap[first]) { child } else { first }
                    },
                );
            if first == at {
                return;
            }
            self.heap.swap(at, first);
            at = first;
        }
    }
}
