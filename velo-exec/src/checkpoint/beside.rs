//! Rows of a state table with columns of their operator's own behind theirs: put together, and taken apart again with a check.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};
use velo_core::batch::columns_of;

use super::state::damaged;
use crate::error::Result;

/// Rows of one batch of a table, so that no column grows beyond what its offsets can say.
pub(crate) const PIECE: usize = 65_536;

/// The numbers of so many rows, in pieces of a batch.
pub(crate) fn pieces(rows: usize) -> impl Iterator<Item = Vec<u32>> {
    (0..rows).step_by(PIECE).map(move |from| (from as u32..rows.min(from + PIECE) as u32).collect())
}

/// The columns of rows, and others behind them. What a column holds is told by its place; its name is for those who look.
pub(crate) fn with_beside<'a>(
    rows: &RecordBatch,
    beside: impl IntoIterator<Item = (&'a str, ArrayRef)>,
) -> Result<RecordBatch> {
    let mut fields = rows.schema_ref().fields().to_vec();
    let mut columns = rows.columns().to_vec();
    for (name, column) in beside {
        fields.push(Arc::new(Field::new(name, column.data_type().clone(), true)));
        columns.push(column);
    }
    Ok(columns_of(&Arc::new(Schema::new(fields)), columns, rows.num_rows())?)
}

/// The columns of `schema` of a batch of `table`, and the others behind them.
pub(crate) fn apart<'a, const N: usize>(
    table: &str,
    saved: &'a RecordBatch,
    schema: &SchemaRef,
) -> Result<(RecordBatch, &'a [ArrayRef; N])> {
    let wrong = || damaged(table, "it has another number of columns than its operator saves");
    let width = saved.num_columns().checked_sub(N).filter(|width| *width == schema.fields().len()).ok_or_else(wrong)?;
    let (own, beside) = saved.columns().split_at(width);
    let own = columns_of(schema, own.to_vec(), saved.num_rows());
    let own = own.map_err(|error| damaged(table, &error.to_string()))?;
    Ok((own, beside.try_into().map_err(|_| wrong())?))
}

/// A column of numbers of which some can be NULL.
pub(crate) fn numbers<'a, T: ArrowPrimitiveType>(table: &str, column: &'a ArrayRef) -> Result<&'a PrimitiveArray<T>> {
    column.as_primitive_opt().ok_or_else(|| damaged(table, &format!("{} is not {}", column.data_type(), T::DATA_TYPE)))
}

/// A column of numbers of which none is NULL.
pub(crate) fn values<'a, T: ArrowPrimitiveType>(table: &str, column: &'a ArrayRef) -> Result<&'a [T::Native]> {
    let numbers = numbers::<T>(table, column)?;
    if numbers.null_count() > 0 {
        return Err(damaged(table, "a number is missing"));
    }
    Ok(numbers.values())
}

#[cfg(test)]
mod tests {
    use arrow_array::types::Int64Type;
    use arrow_array::{Int64Array, StringArray};
    use arrow_schema::DataType;

    use super::*;

    #[test]
    fn what_has_another_form_is_refused() {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(vec![1, 2]))]).unwrap();
        let count: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None]));
        let saved = with_beside(&rows, [("_count", Arc::clone(&count))]).unwrap();
        let (own, [beside]) = apart("t", &saved, &schema).unwrap();
        assert_eq!((&own, beside), (&rows, &count));
        assert_eq!(numbers::<Int64Type>("t", beside).unwrap().null_count(), 1);
        assert!(values::<Int64Type>("t", beside).is_err());
        assert!(apart::<2>("t", &saved, &schema).is_err());
        let text = Arc::new(Schema::new(vec![Field::new("v", DataType::Utf8, false)]));
        assert!(apart::<1>("t", &saved, &text).is_err());
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        assert!(numbers::<Int64Type>("t", &text).is_err());
    }

    #[test]
    fn pieces_have_every_row_once() {
        assert_eq!(pieces(0).count(), 0);
        let all = pieces(PIECE + 2).collect::<Vec<_>>();
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [PIECE, 2]);
        assert_eq!(all.concat(), (0..PIECE as u32 + 2).collect::<Vec<_>>());
    }
}
