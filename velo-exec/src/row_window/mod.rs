//! Row windows: what OVER computes for each row from the rows around it in its partition.
//!
//! Rows come in releases: chunks in the order of the window ([`held`]). A [`Call`] takes each release and decides the rows that
//! it can; a row comes out when all calls have decided it. Calls over a frame share one way of moving its two bounds
//! ([`frame`]), and differ in what they keep of the rows in it ([`sums`], [`extremes`], [`picks`], [`library`]).

mod extremes;
mod frame;
pub(crate) mod held;
mod library;
mod make;
mod picks;
mod ranks;
mod results;
mod saved;
mod sums;
mod value;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, SortOptions};

pub(crate) use library::Scalars;
pub(crate) use make::{Places, make};
pub(crate) use results::{ResultColumn, RowRef};
pub(crate) use saved::{Undecided, Waiting};

use crate::checkpoint::columns::{Columns, Saved};
use crate::error::Result;

/// A release as one window sees it. Everything is indexed by the row of the chunk.
pub(crate) struct Rows<'a> {
    pub(crate) chunk: u64,
    pub(crate) columns: &'a RecordBatch,
    /// The rows in the order of the window; none: as they lie.
    pub(crate) order: Option<&'a [u32]>,
    /// Each row's partition.
    pub(crate) keys: &'a [u32],
    /// The number of partitions that there are now.
    pub(crate) partitions: usize,
    /// Whether a row begins its partition anew.
    pub(crate) begins: Option<&'a [bool]>,
    /// Each row's event time, where a frame goes by it.
    pub(crate) times: &'a [i128],
    /// Each row's number among the different values of ORDER BY in its partition, from 1, where a call asks for it.
    pub(crate) peers: Option<&'a [i128]>,
    /// What ORDER BY gives, ascending, where a frame goes by it.
    pub(crate) values: Option<&'a [i128]>,
}

impl Rows<'_> {
    pub(crate) fn len(&self) -> usize {
        self.columns.num_rows()
    }

    /// The row at a place in the order.
    #[inline(always)]
    fn row(&self, place: usize) -> usize {
        self.order.map_or(place, |order| order[place] as usize)
    }

    /// Whether a row begins its partition anew.
    #[inline(always)]
    pub(crate) fn begins(&self, row: usize) -> bool {
        self.begins.is_some_and(|begins| begins[row])
    }
}

/// One call over its window.
pub(crate) trait Call: Send {
    /// Whether rows can be decided after the release in which they came.
    fn is_delayed(&self) -> bool;

    /// Takes a release. A call that is delayed tells which rows it has decided.
    fn push(&mut self, rows: &Rows<'_>, decided: &mut Vec<RowRef>) -> Result<()>;

    /// The release is over: all rows with an event time below the watermark are there.
    fn settle(&mut self, _watermark: i64, _decided: &mut Vec<RowRef>) -> Result<()> {
        Ok(())
    }

    /// Some partitions end, or all of them: their rows are decided, and what comes begins anew.
    fn end(&mut self, keys: Option<&[u32]>, decided: &mut Vec<RowRef>) -> Result<()> {
        match keys {
            Some(keys) => keys.iter().try_for_each(|key| self.end_partition(*key, decided)),
            None => {
                (0..self.partitions() as u32).try_for_each(|key| self.end_partition(key, decided))?;
                self.clear();
                Ok(())
            }
        }
    }

    /// One partition ends, of which there may be nothing yet.
    fn end_partition(&mut self, key: u32, decided: &mut Vec<RowRef>) -> Result<()>;

    /// Of how many partitions there is something.
    fn partitions(&self) -> usize;

    /// Forgets all partitions, which have ended.
    fn clear(&mut self);

    /// Partitions get new numbers, or none.
    fn renumber(&mut self, numbers: &[u32], partitions: usize);

    fn results(&mut self) -> &mut dyn ResultColumn;

    /// What it keeps of these partitions, for a checkpoint: a row of columns each. Only between releases.
    fn save(&mut self, keys: &[u32]) -> Result<Columns>;

    /// The rows that it has not decided, of a call that is delayed.
    fn undecided(&self) -> Result<Undecided> {
        Ok(Undecided::default())
    }

    /// Takes up what was saved of partitions of which it knows nothing yet, and which have these numbers now.
    fn load(&mut self, keys: &[u32], saved: &Saved<'_>) -> Result<()>;

    /// Takes up undecided rows of these partitions, in the order of each; `saved` is what it knew of them.
    fn wait(&mut self, rows: &[Waiting], saved: &Saved<'_>) -> Result<()> {
        if rows.is_empty() { Ok(()) } else { Err(saved.damaged("rows wait for a call that decides them at once")) }
    }

    /// Whether all rows are there again that the partitions wait for.
    fn is_whole(&self) -> bool {
        true
    }

    /// Bytes of memory.
    fn memory(&self) -> usize;
}

/// The values of an ORDER BY as numbers that ascend in its order; nulls are at the end where they stand.
pub(crate) fn order_values(column: &ArrayRef, options: SortOptions) -> Result<Vec<i128>> {
    let null = if options.nulls_first { i128::MIN } else { i128::MAX };
    let values = <i128 as value::Value>::read(&DataType::Null, column)?;
    let number = |value: i128| if options.descending { value.saturating_neg() } else { value };
    Ok(values.into_iter().map(|value| value.map_or(null, number)).collect())
}

/// Moves what is kept by partition to the partitions' new numbers, which keep their order.
pub(crate) fn renumber<T: Default>(kept: &mut Vec<T>, numbers: &[u32], partitions: usize) {
    for (old, number) in numbers.iter().enumerate().take(kept.len()) {
        if *number != crate::state::KeyTable::DEAD && *number as usize != old {
            kept[*number as usize] = std::mem::take(&mut kept[old]);
        }
    }
    kept.truncate(partitions);
}
