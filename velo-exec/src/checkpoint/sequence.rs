//! Columns side by side as the rows of a state table, and such rows taken apart again, with their types checked.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::Batch;
use velo_core::batch::columns_of;

use super::rows::unpack;
use super::state::damaged;
use crate::error::{ExecError, Result};

/// Rows of a state table that are saved at once: one column of them stays far from the limits of its type.
pub(crate) const PIECE: usize = 8_192;

/// Columns that become rows of a state table.
#[derive(Debug, Default)]
pub(crate) struct StateColumns {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl StateColumns {
    /// No column yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// One more column.
    pub(crate) fn push(&mut self, name: impl Into<String>, column: ArrayRef) {
        self.fields.push(Field::new(name, column.data_type().clone(), true));
        self.columns.push(column);
    }

    /// Columns that are known by their places.
    pub(crate) fn push_numbered(&mut self, name: &str, columns: &[ArrayRef]) {
        for (at, column) in columns.iter().enumerate() {
            self.push(format!("{name}{at}"), Arc::clone(column));
        }
    }

    /// Columns under these names.
    pub(crate) fn push_named(&mut self, names: &[String], columns: &[ArrayRef]) {
        for (name, column) in names.iter().zip(columns) {
            self.push(name, Arc::clone(column));
        }
    }

    /// The columns of a batch under their names.
    pub(crate) fn push_batch(&mut self, batch: &RecordBatch) {
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            self.push(field.name(), Arc::clone(column));
        }
    }

    /// Their rows.
    pub(crate) fn finish(self, rows: usize) -> Result<RecordBatch> {
        Ok(columns_of(&Arc::new(Schema::new(self.fields)), self.columns, rows)?)
    }
}

/// Rows of a state table, of which one column after the other is read.
#[derive(Debug)]
pub(crate) struct SavedColumns<'a> {
    table: &'a str,
    batch: &'a RecordBatch,
    next: usize,
}

impl<'a> SavedColumns<'a> {
    /// Rows of this table.
    pub(crate) fn of(table: &'a str, batch: &'a RecordBatch) -> Self {
        Self { table, batch, next: 0 }
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    fn take(&mut self) -> Result<&'a ArrayRef> {
        let column = self.batch.columns().get(self.next);
        self.next += 1;
        column.ok_or_else(|| damaged(self.table, "a column is missing"))
    }

    fn wrong(&self, expected: &DataType, found: &DataType) -> ExecError {
        damaged(self.table, &format!("its column {} is {found} and not {expected}", self.next))
    }

    /// The next columns, which have these types.
    pub(crate) fn columns(&mut self, types: &[DataType]) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::with_capacity(types.len());
        for expected in types {
            let column = self.take()?;
            if column.data_type() != expected {
                return Err(self.wrong(expected, column.data_type()));
            }
            columns.push(Arc::clone(column));
        }
        Ok(columns)
    }

    /// The next columns as rows of `schema`.
    pub(crate) fn batch(&mut self, schema: &SchemaRef) -> Result<RecordBatch> {
        let types = schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        let columns = self.columns(&types)?;
        columns_of(schema, columns, self.rows()).map_err(|error| damaged(self.table, &error.to_string()))
    }

    /// The next column as numbers, or NULLs.
    pub(crate) fn optional<T: ArrowPrimitiveType>(&mut self) -> Result<&'a PrimitiveArray<T>> {
        let column = self.take()?;
        column.as_primitive_opt().ok_or_else(|| self.wrong(&T::DATA_TYPE, column.data_type()))
    }

    /// The next column as numbers.
    pub(crate) fn numbers<T: ArrowPrimitiveType>(&mut self) -> Result<&'a PrimitiveArray<T>> {
        let numbers = self.optional()?;
        if numbers.null_count() > 0 {
            return Err(damaged(self.table, "a number is missing"));
        }
        Ok(numbers)
    }

    /// The next column as truths.
    pub(crate) fn flags(&mut self) -> Result<&'a BooleanArray> {
        let column = self.take()?;
        let flags = column.as_boolean_opt().ok_or_else(|| self.wrong(&DataType::Boolean, column.data_type()))?;
        if flags.null_count() > 0 {
            return Err(damaged(self.table, "a truth is missing"));
        }
        Ok(flags)
    }

    /// There are no more columns.
    pub(crate) fn end(self) -> Result<()> {
        if self.next != self.batch.num_columns() {
            return Err(damaged(self.table, "it has more columns than its operator saves"));
        }
        Ok(())
    }
}

/// The batches of a packed one of a table; see [`unpack`].
pub(crate) fn unpacked(table: &str, packed: &RecordBatch, schema: &SchemaRef) -> Result<Vec<Batch>> {
    unpack(packed, schema).map_err(|error| match error {
        ExecError::Arrow(error) => damaged(table, &error.to_string()),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use arrow_array::types::{Int64Type, UInt32Type};

    use super::*;

    #[test]
    fn columns_of_another_form_are_an_error() {
        let mut columns = StateColumns::new();
        columns.push("a", Arc::new(Int64Array::from(vec![Some(1), None])));
        columns.push_numbered("b", &[Arc::new(BooleanArray::from(vec![true, false])) as ArrayRef]);
        let batch = columns.finish(2).unwrap();
        assert_eq!(batch.schema().field(1).name(), "b0");
        let saved = || SavedColumns::of("t", &batch);
        let mut whole = saved();
        assert_eq!(whole.optional::<Int64Type>().unwrap().null_count(), 1);
        assert!(whole.flags().unwrap().value(0));
        whole.end().unwrap();
        assert!(saved().numbers::<Int64Type>().is_err(), "one is NULL");
        assert!(saved().numbers::<UInt32Type>().is_err());
        assert!(saved().flags().is_err());
        assert!(saved().columns(&[DataType::Int64, DataType::Utf8]).is_err());
        assert!(saved().columns(&[DataType::Int64, DataType::Boolean, DataType::Int64]).is_err());
        let mut part = saved();
        part.columns(&[DataType::Int64]).unwrap();
        assert!(part.end().unwrap_err().to_string().contains("more columns"));
        let strict = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        assert!(saved().batch(&strict).is_err());
    }
}
