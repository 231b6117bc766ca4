//! MIN, MAX, BOOL_AND and BOOL_OR.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{Array, ArrayRef, ArrowNativeTypeOp, BooleanArray, PrimitiveArray, downcast_primitive};
use arrow_schema::DataType;

use super::column::{Call, Column, Rows, each, state_column};
use super::values::{Encoded, Values, wrong_type};
use super::winners::Winners;
use crate::error::Result;
use crate::state::valid;

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl End {
    /// How a value compares to one that it replaces.
    fn wanted(self) -> Ordering {
        match self {
            Self::Min => Ordering::Less,
            Self::Max => Ordering::Greater,
        }
    }
}

/// A column for the extreme of values of a type.
pub(super) fn extreme(end: End, data_type: &DataType) -> Result<Box<dyn Column>> {
    macro_rules! primitive {
        ($t:ty) => {
            match end {
                End::Min => Box::new(Numbers::<$t, false>::new(data_type.clone())) as Box<dyn Column>,
                End::Max => Box::new(Numbers::<$t, true>::new(data_type.clone())),
            }
        };
    }
    Ok(downcast_primitive! {
        data_type => (primitive),
        DataType::Boolean => Box::new(Booleans { end, values: Vec::new() }),
        other => Box::new(Others { end, values: Encoded::new(other)?, winners: Winners::default() }),
    })
}

/// Numbers and times. Floats compare by their total order: NaN is the largest.
struct Numbers<T: ArrowPrimitiveType, const MAX: bool> {
    data_type: DataType,
    /// Where there is none yet, the value that every other beats.
    values: Vec<T::Native>,
    seen: Vec<bool>,
}

impl<T: ArrowPrimitiveType, const MAX: bool> Numbers<T, MAX> {
    fn new(data_type: DataType) -> Self {
        Self { data_type, values: Vec::new(), seen: Vec::new() }
    }

    fn add(&mut self, rows: &Rows<'_>) -> Result<()> {
        let argument = rows.only()?;
        let array = argument.as_primitive_opt::<T>().ok_or_else(|| wrong_type(argument, &self.data_type))?;
        let worst = if MAX { T::Native::MIN_TOTAL_ORDER } else { T::Native::MAX_TOTAL_ORDER };
        self.values.resize(rows.total, worst);
        self.seen.resize(rows.total, false);
        let (values, seen) = (self.values.as_mut_slice(), self.seen.as_mut_slice());
        let new = &array.values()[..rows.groups.len()];
        each(rows.groups, rows.valid(argument).as_ref(), |row, group| {
            let (value, known) = (new[row], &mut values[group as usize]);
            if if MAX { value.is_gt(*known) } else { value.is_lt(*known) } {
                *known = value;
            }
            seen[group as usize] = true;
        });
        Ok(())
    }

    fn get(&self, groups: &[u32]) -> ArrayRef {
        let values = groups.iter().map(|group| *group as usize);
        let values = values.map(|group| if self.seen[group] { self.values[group] } else { T::Native::default() });
        let values = values.collect::<Vec<_>>();
        let seen = valid(groups.len(), |at| self.seen[groups[at] as usize]);
        // There are as many of either.
        Arc::new(PrimitiveArray::<T>::new(values.into(), seen).with_data_type(self.data_type.clone()))
    }
}

impl<T: ArrowPrimitiveType, const MAX: bool> Column for Numbers<T, MAX> {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.add(rows)
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.data_type.clone()]
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.get(groups)])
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        let array = state_column::<PrimitiveArray<T>>(state, 0)?;
        let worst = if MAX { T::Native::MIN_TOTAL_ORDER } else { T::Native::MAX_TOTAL_ORDER };
        self.values.resize(total, worst);
        self.seen.resize(total, false);
        let nulls = array.nulls().map(|nulls| nulls.inner().clone());
        each(groups, nulls.as_ref(), |row, group| {
            let (value, known) = (array.value(row), &mut self.values[group as usize]);
            if if MAX { value.is_gt(*known) } else { value.is_lt(*known) } {
                *known = value;
            }
            self.seen[group as usize] = true;
        });
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32], _call: &Call, _last: bool) -> Result<ArrayRef> {
        Ok(self.get(groups))
    }

    fn memory(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.seen.capacity()
    }
}

/// Booleans: false is the smaller.
#[derive(Debug)]
struct Booleans {
    end: End,
    values: Vec<Option<bool>>,
}

impl Booleans {
    fn add(&mut self, group: u32, value: bool) {
        let known = &mut self.values[group as usize];
        *known = Some(match (*known, self.end) {
            (None, _) => value,
            (Some(known), End::Min) => known && value,
            (Some(known), End::Max) => known || value,
        });
    }

    fn get(&self, groups: &[u32]) -> ArrayRef {
        Arc::new(groups.iter().map(|group| self.values[*group as usize]).collect::<BooleanArray>())
    }
}

impl Column for Booleans {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let argument = rows.only()?;
        let array = argument.as_boolean_opt().ok_or_else(|| wrong_type(argument, &DataType::Boolean))?;
        self.values.resize(rows.total, None);
        each(rows.groups, rows.valid(argument).as_ref(), |row, group| self.add(group, array.value(row)));
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Boolean]
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.get(groups)])
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        let array = state_column::<BooleanArray>(state, 0)?;
        self.values.resize(total, None);
        for (group, value) in groups.iter().zip(array) {
            if let Some(value) = value {
                self.add(*group, value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32], _call: &Call, _last: bool) -> Result<ArrayRef> {
        Ok(self.get(groups))
    }

    fn memory(&self) -> usize {
        self.values.capacity()
    }
}

/// Text, bytes, lists and structs, compared as bytes.
#[derive(Debug)]
struct Others {
    end: End,
    values: Encoded,
    winners: Winners,
}

impl Column for Others {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let argument = rows.only()?;
        let read = self.values.read(argument)?;
        self.values.grow(rows.total);
        self.winners.start(rows.total);
        let wanted = self.end.wanted();
        each(rows.groups, rows.valid(argument).as_ref(), |row, group| {
            self.winners.offer(row, group, |row, known| read.value(row).cmp(read.value(known)) == wanted);
        });
        let values = &self.values;
        let (groups, winners) = self
            .winners
            .finish(|group, row| values.value(group).is_none_or(|known| read.value(row).cmp(known) == wanted));
        for (group, row) in groups.iter().zip(winners) {
            self.values.set(*group, read.value(*row as usize));
        }
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![self.values.data_type().clone()]
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.values.get(groups)?])
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        let order = super::order::RowOrder::none(groups.len());
        self.update(&Rows { groups, total, args: state, mask: None, order_by: &[], order: &order })
    }

    fn evaluate(&mut self, groups: &[u32], _call: &Call, _last: bool) -> Result<ArrayRef> {
        self.values.get(groups)
    }

    fn memory(&self) -> usize {
        self.values.memory() + self.winners.memory()
    }
}
