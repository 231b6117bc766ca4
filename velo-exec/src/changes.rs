//! Results before and after a batch changed what they are made of.

use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow_buffer::BooleanBuffer;
use arrow_select::concat::concat;
use arrow_select::take::take;

use crate::error::Result;

/// Whether each of the first rows of `before` is the same as the row of `after` at its place. As a changelog compares them,
/// nulls are equal, and so are NaNs.
pub(crate) fn unchanged(before: &[ArrayRef], after: &[ArrayRef], places: &[u32]) -> Result<BooleanBuffer> {
    let rows = places.len();
    let places = UInt32Array::from(places.to_vec());
    let mut same = BooleanBuffer::new_set(rows);
    for (before, after) in before.iter().zip(after) {
        same = &same & same_values(&before.slice(0, rows), &take(after, &places, None)?).values();
    }
    Ok(same)
}

fn same_values(left: &ArrayRef, right: &ArrayRef) -> BooleanArray {
    // Lists, maps and structs have no kernel; they are rare here.
    let each = || (0..left.len()).map(|row| Some(left.slice(row, 1) == right.slice(row, 1))).collect();
    arrow_ord::cmp::not_distinct(left, right).unwrap_or_else(|_| each())
}

/// The rows at these places in the results before and, counting on, in those after.
pub(crate) fn rows_of_both(before: &[ArrayRef], after: &[ArrayRef], places: Vec<u32>) -> Result<Vec<ArrayRef>> {
    let places = UInt32Array::from(places);
    let rows = |(before, after): (&ArrayRef, &ArrayRef)| Ok(take(&concat(&[before, after])?, &places, None)?);
    before.iter().zip(after).map(rows).collect()
}
