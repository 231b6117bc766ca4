//! Groups as tables of a checkpoint: their keys, what is kept beside them, and the states of their aggregates.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow_schema::{DataType, Field, FieldRef, Schema};
use velo_core::batch::columns_of;

use super::plan::AggregatePlan;
use crate::checkpoint::state::damaged;
use crate::checkpoint::{SavedRows, StateReader, StateWriter};
use crate::error::{ExecError, Result};

/// Groups in a batch of a state, at most.
pub(crate) const SAVED_ROWS: usize = 8_192;

/// The key columns of saved groups.
#[derive(Debug, Clone)]
pub(crate) struct SavedKeys {
    /// The columns.
    pub(crate) fields: Vec<FieldRef>,
    /// The places of those by which the operator's input is exchanged.
    pub(crate) exchanged: Vec<usize>,
}

/// A table of groups: the key columns, those beside them, and the columns of [`AggregatePlan::state_fields`].
pub(crate) struct GroupTable<'a> {
    name: &'static str,
    keys: &'a SavedKeys,
    beside: Vec<FieldRef>,
    states: Vec<FieldRef>,
}

/// Groups of a table that was read.
#[derive(Debug)]
pub(crate) struct GroupRows {
    table: &'static str,
    pub(crate) rows: usize,
    pub(crate) keys: Vec<ArrayRef>,
    beside: Vec<ArrayRef>,
    pub(crate) states: Vec<ArrayRef>,
}

impl<'a> GroupTable<'a> {
    pub(crate) fn new(
        name: &'static str,
        keys: &'a SavedKeys,
        beside: &[(&str, DataType)],
        plan: &AggregatePlan,
    ) -> Result<Self> {
        let field = |(name, data_type): &(&str, DataType)| Arc::new(Field::new(*name, data_type.clone(), true));
        Ok(Self { name, keys, beside: beside.iter().map(field).collect(), states: plan.state_fields()? })
    }

    /// Puts `rows` groups into a state.
    pub(crate) fn write(
        &self,
        state: &mut StateWriter,
        rows: usize,
        keys: Vec<ArrayRef>,
        beside: Vec<ArrayRef>,
        states: Vec<ArrayRef>,
    ) -> Result<()> {
        let place = |at: &usize| keys.get(*at).cloned();
        let exchanged = self.keys.exchanged.iter().map(place).collect::<Option<Vec<_>>>();
        let exchanged = exchanged.ok_or_else(|| ExecError::Internal("groups without their keys".to_owned()))?;
        let mut fields = self.keys.fields.iter().chain(&self.beside).cloned().collect::<Vec<_>>();
        // The library's states can differ from what it says of them in what their lists can hold.
        let states_as_they_are = self.states.iter().zip(&states);
        fields.extend(
            states_as_they_are
                .map(|(field, state)| Arc::new(Field::new(field.name(), state.data_type().clone(), true))),
        );
        let mut columns = [keys, beside, states].concat();
        keep_once(&mut columns);
        state.keyed(self.name, &exchanged, &columns_of(&Arc::new(Schema::new(fields)), columns, rows)?)
    }

    /// Takes the groups of this task, which have the planned columns, batch by batch.
    pub(crate) fn read(&self, state: &mut StateReader) -> SavedGroups {
        let planned = self.keys.fields.iter().chain(&self.beside).chain(&self.states).cloned().collect();
        let (keys, beside) = (self.keys.fields.len(), self.beside.len());
        SavedGroups { table: self.name, planned, keys, beside, rows: state.take(self.name).in_place() }
    }
}

/// Has columns of numbers that are equal lie in memory once until they are written: several aggregates of a group count the same rows.
fn keep_once(columns: &mut [ArrayRef]) {
    for at in 1..columns.len() {
        let (before, rest) = columns.split_at_mut(at);
        let Some(numbers) = rest[0].as_primitive_opt::<Int64Type>() else { continue };
        let same = before.iter().find(|column| column.as_primitive_opt::<Int64Type>() == Some(numbers));
        if let Some(same) = same.map(Arc::clone) {
            rest[0] = same;
        }
    }
}

/// The groups of a table that belong to one task.
#[derive(Debug)]
pub(crate) struct SavedGroups {
    table: &'static str,
    planned: Vec<FieldRef>,
    keys: usize,
    beside: usize,
    rows: SavedRows,
}

impl SavedGroups {
    /// How many groups there are, about.
    pub(crate) fn about(&self) -> usize {
        self.rows.about()
    }

    fn groups(&self, batch: &RecordBatch) -> Result<GroupRows> {
        let (found, wanted) = (batch.num_columns(), self.planned.len());
        if found != wanted {
            return Err(damaged(self.table, &format!("it has {found} columns where the statement has {wanted}")));
        }
        for (column, field) in batch.columns().iter().zip(&self.planned) {
            let (found, wanted) = (column.data_type(), field.data_type());
            if !alike(found, wanted) {
                return Err(damaged(self.table, &format!("'{}' is {found} and not {wanted}", field.name())));
            }
        }
        let (keys, rest) = batch.columns().split_at(self.keys);
        let (beside, states) = rest.split_at(self.beside);
        Ok(GroupRows {
            table: self.table,
            rows: batch.num_rows(),
            keys: keys.to_vec(),
            beside: beside.to_vec(),
            states: states.iter().map(beside_file).collect::<Result<_>>()?,
        })
    }
}

/// A column of states that an aggregate can keep: values of a width are taken out of their column one by one, of lists and texts the
/// column can be kept as it is.
fn beside_file(column: &ArrayRef) -> Result<ArrayRef> {
    if column.data_type().is_primitive() {
        return Ok(Arc::clone(column));
    }
    let all = UInt32Array::from_iter_values(0..column.len() as u32);
    Ok(arrow_select::take::take(column, &all, None)?)
}

impl Iterator for SavedGroups {
    type Item = Result<GroupRows>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.rows.next()?;
        Some(batch.and_then(|batch| self.groups(&batch)))
    }
}

/// Whether types are the same, whatever the parts of lists and structs are called and whether these can be NULL.
fn alike(left: &DataType, right: &DataType) -> bool {
    use DataType::{FixedSizeList, LargeList, List, Struct};
    match (left, right) {
        (List(left), List(right)) | (LargeList(left), LargeList(right)) => alike(left.data_type(), right.data_type()),
        (FixedSizeList(left, one), FixedSizeList(right, other)) => {
            one == other && alike(left.data_type(), right.data_type())
        }
        (Struct(left), Struct(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| alike(left.data_type(), right.data_type()))
        }
        (left, right) => left == right,
    }
}

impl GroupRows {
    /// What is wrong with the table.
    pub(crate) fn damaged(&self, why: &str) -> ExecError {
        damaged(self.table, why)
    }

    /// A column beside the keys with numbers.
    pub(crate) fn numbers(&self, at: usize) -> Result<&Int64Array> {
        let column = self.beside.get(at).and_then(|column| column.as_primitive_opt::<Int64Type>());
        column.ok_or_else(|| self.damaged("what should be numbers is none"))
    }

    /// A column beside the keys with counts, of which none is missing or below zero.
    pub(crate) fn counts(&self, at: usize) -> Result<&Int64Array> {
        let counts = self.numbers(at)?;
        if counts.null_count() > 0 || counts.values().iter().any(|count| *count < 0) {
            return Err(self.damaged("a count is missing or below zero"));
        }
        Ok(counts)
    }

    /// A column beside the keys with times.
    pub(crate) fn times(&self, at: usize) -> Result<&TimestampMicrosecondArray> {
        let column = self.beside.get(at).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        column.ok_or_else(|| self.damaged("what should be times is none"))
    }

    /// A column beside the keys with times, of which none is missing.
    pub(crate) fn all_times(&self, at: usize) -> Result<&TimestampMicrosecondArray> {
        let times = self.times(at)?;
        if times.null_count() > 0 {
            return Err(self.damaged("a time is missing"));
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_counts_are_kept_once() {
        let numbers = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
        let counts = || numbers(vec![Some(1), Some(2)]);
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1, 2]));
        let before = vec![counts(), times, counts(), numbers(vec![Some(1), None]), numbers(vec![Some(1), Some(3)])];
        let mut after = before.clone();
        keep_once(&mut after);
        assert_eq!(before, after);
        assert!(Arc::ptr_eq(&after[2], &before[0]));
        for at in [0, 1, 3, 4] {
            assert!(Arc::ptr_eq(&after[at], &before[at]), "{at}");
        }
    }
}
