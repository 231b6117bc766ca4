//! Rows compared as a changelog compares them: nulls are equal, and so are NaNs.

use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::BooleanBuffer;

use crate::error::Result;

/// Of `rows` rows in two sets of the same columns: which are the same.
pub(crate) fn same_rows(left: &[ArrayRef], right: &[ArrayRef], rows: usize) -> Result<BooleanBuffer> {
    let mut same = BooleanBuffer::new_set(rows);
    for (left, right) in left.iter().zip(right) {
        same = &same & same_values(left, right, rows).values();
    }
    Ok(same)
}

fn same_values(left: &ArrayRef, right: &ArrayRef, rows: usize) -> BooleanArray {
    // Lists, maps and structs have no kernel; they are rare here.
    arrow_ord::cmp::not_distinct(&left, &right)
        .unwrap_or_else(|_| (0..rows).map(|row| Some(left.slice(row, 1) == right.slice(row, 1))).collect())
}
