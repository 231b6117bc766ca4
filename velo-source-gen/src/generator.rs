//! What makes rows: a function of a row's number.

use std::fmt;
use std::ops::Range;

use arrow_array::RecordBatch;
use velo_core::Result;

/// Makes rows out of numbers. What a number gives depends on the number alone.
pub(crate) trait Generator: fmt::Debug + Send + Sync + 'static {
    /// How many numbers there are; `None` where they do not end.
    fn total(&self) -> Option<u64>;

    /// How many numbers make a chunk.
    fn chunk(&self) -> u64;

    /// How many rows the numbers below `number` give.
    fn rows_before(&self, number: u64) -> u64 {
        number
    }

    /// The sums of all numbers below `number`, for values that go on from those before.
    fn sums(&self, number: u64) -> Vec<i64> {
        let mut sums = Vec::new();
        self.add(&mut sums, 0..number);
        sums
    }

    /// Takes the sums on over `numbers`.
    fn add(&self, _sums: &mut Vec<i64>, _numbers: Range<u64>) {}

    /// The columns asked for, of the rows of `numbers`; `sums` are those before the first.
    fn make(&self, numbers: Range<u64>, sums: &[i64]) -> Result<RecordBatch>;
}
