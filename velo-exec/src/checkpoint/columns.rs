//! Columns by name: what an operator saves of many keys at once, and how it finds it again.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Int64Array, ListArray, PrimitiveArray, RecordBatch, UInt32Array, UInt64Array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{Field, FieldRef, Schema};
use velo_core::batch::columns_of;

use super::state::damaged;
use crate::error::{ExecError, Result};

/// Columns of one length.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    fields: Vec<FieldRef>,
    columns: Vec<ArrayRef>,
}

impl Columns {
    /// Adds a column.
    pub(crate) fn add(&mut self, name: impl Into<String>, column: ArrayRef) {
        self.fields.push(Arc::new(Field::new(name, column.data_type().clone(), true)));
        self.columns.push(column);
    }

    /// Adds a column of counts or places.
    pub(crate) fn counts(&mut self, name: &str, values: impl Iterator<Item = u64>) {
        self.add(name, Arc::new(UInt64Array::from_iter_values(values)));
    }

    /// Adds a column of numbers.
    pub(crate) fn numbers(&mut self, name: &str, values: impl Iterator<Item = i64>) {
        self.add(name, Arc::new(Int64Array::from_iter_values(values)));
    }

    /// Adds a column of lists: `values` are their elements one after the other, `lengths` how many each has.
    pub(crate) fn lists(&mut self, name: impl Into<String>, lengths: &[usize], values: ArrayRef) -> Result<()> {
        let name = name.into();
        // The library's offsets end where 31 bits do.
        if i32::try_from(lengths.iter().sum::<usize>()).is_err() {
            return Err(ExecError::Internal(format!("'{name}' has more than two billion elements in one batch")));
        }
        let element = Arc::new(Field::new("item", values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
        self.add(name, Arc::new(ListArray::try_new(element, offsets, values, None)?));
        Ok(())
    }

    /// Adds all columns of others, whose names get a prefix.
    pub(crate) fn append(&mut self, prefix: &str, others: Self) {
        for (field, column) in others.fields.iter().zip(others.columns) {
            self.add(format!("{prefix}{}", field.name()), column);
        }
    }

    /// The rows at `indices`; NULL where there is none.
    pub(crate) fn take(&self, indices: &UInt32Array) -> Result<Self> {
        let columns = self.columns.iter().map(|column| arrow_select::take::take(column, indices, None));
        Ok(Self { fields: self.fields.clone(), columns: columns.collect::<Result<_, _>>()? })
    }

    /// All of them as one batch of so many rows.
    pub(crate) fn batch(self, rows: usize) -> Result<RecordBatch> {
        Ok(columns_of(&Arc::new(Schema::new(self.fields)), self.columns, rows)?)
    }
}

/// Columns that were saved under a name of their table, all or those with a prefix.
#[derive(Debug)]
pub(crate) struct Saved<'a> {
    table: &'a str,
    batch: &'a RecordBatch,
    prefix: String,
}

impl<'a> Saved<'a> {
    /// All columns of a batch of a table.
    pub(crate) fn new(table: &'a str, batch: &'a RecordBatch) -> Self {
        Self { table, batch, prefix: String::new() }
    }

    /// Those that were appended with a prefix.
    pub(crate) fn within(&self, prefix: &str) -> Self {
        Self { prefix: format!("{}{prefix}", self.prefix), ..*self }
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// The table does not have the form in which it is saved.
    pub(crate) fn damaged(&self, why: &str) -> ExecError {
        damaged(self.table, why)
    }

    /// A column.
    pub(crate) fn column(&self, name: &str) -> Result<&'a ArrayRef> {
        let name = format!("{}{name}", self.prefix);
        self.batch.column_by_name(&name).ok_or_else(|| self.damaged(&format!("it lacks the column '{name}'")))
    }

    /// A column of one type; NULLs stay.
    pub(crate) fn typed<T: ArrowPrimitiveType>(&self, name: &str) -> Result<&'a PrimitiveArray<T>> {
        let column = self.column(name)?.as_primitive_opt();
        column.ok_or_else(|| self.damaged(&format!("the column '{}{name}' has another type", self.prefix)))
    }

    /// A column of counts or places.
    pub(crate) fn counts(&self, name: &str) -> Result<&'a [u64]> {
        Ok(self.typed::<UInt64Type>(name)?.values())
    }

    /// A column of numbers.
    pub(crate) fn numbers(&self, name: &str) -> Result<&'a [i64]> {
        Ok(self.typed::<Int64Type>(name)?.values())
    }

    /// A column of lists.
    pub(crate) fn lists(&self, name: &str) -> Result<Lists<'a>> {
        let lists = self.column(name)?.as_list_opt::<i32>();
        let lists = lists.ok_or_else(|| self.damaged(&format!("the column '{}{name}' has no lists", self.prefix)))?;
        let offsets = lists.value_offsets();
        let first = offsets[0] as usize;
        let values = lists.values().slice(first, offsets[lists.len()] as usize - first);
        Ok(Lists { offsets, values })
    }
}

/// A column of lists.
#[derive(Debug)]
pub(crate) struct Lists<'a> {
    offsets: &'a [i32],
    /// The elements of all lists one after the other.
    pub(crate) values: ArrayRef,
}

impl Lists<'_> {
    /// Where the elements of a row are.
    pub(crate) fn range(&self, row: usize) -> Range<usize> {
        let from = |at: usize| (self.offsets[at] - self.offsets[0]) as usize;
        from(row)..from(row + 1)
    }

    /// How many elements a row has.
    pub(crate) fn length(&self, row: usize) -> usize {
        self.range(row).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_found_by_its_name() {
        let mut own = Columns::default();
        own.counts("count", [4, 5, 6].into_iter());
        own.lists("list", &[2, 0, 1], Arc::new(Int64Array::from(vec![7, 8, 9]))).unwrap();
        let mut all = Columns::default();
        all.numbers("count", [-1, -2, -3].into_iter());
        all.append("own_", own);
        let batch = all.batch(3).unwrap().slice(1, 2);
        let saved = Saved::new("t", &batch);
        let own = saved.within("own_");
        assert_eq!((saved.numbers("count").unwrap(), own.counts("count").unwrap()), (&[-2, -3][..], &[5, 6][..]));
        let lists = own.lists("list").unwrap();
        assert_eq!((lists.range(0), lists.range(1), lists.values.len()), (0..0, 0..1, 1));
        assert!(own.counts("list").unwrap_err().to_string().contains("'own_list' has another type"));
        assert!(own.column("other").unwrap_err().to_string().contains("lacks the column 'own_other'"));
    }
}
