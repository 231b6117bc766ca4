//! COUNT.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::DataType;

use super::column::{Call, Column, Rows, each, state_column};
use crate::error::Result;

/// How many rows, or how many where no argument is null.
#[derive(Debug, Default)]
pub(super) struct Count {
    counts: Vec<i64>,
}

impl Count {
    #[inline(always)]
    fn change(&mut self, rows: &Rows<'_>, by: i64) {
        self.counts.resize(rows.total, 0);
        let mut mask = rows.mask.clone();
        for argument in rows.args {
            let valid = rows.valid(argument);
            mask = match (mask, valid) {
                (Some(mask), Some(valid)) => Some(&mask & &valid),
                (mask, valid) => mask.or(valid),
            };
        }
        let counts = self.counts.as_mut_slice();
        each(rows.groups, mask.as_ref(), |_, group| counts[group as usize] += by);
    }
}

impl Column for Count {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.change(rows, 1);
        Ok(())
    }

    fn retract(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.change(rows, -1);
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64]
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.counts_of(groups)])
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        self.counts.resize(total, 0);
        let counts = state_column::<Int64Array>(state, 0)?;
        for (group, count) in groups.iter().zip(counts.values()) {
            self.counts[*group as usize] += count;
        }
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32], _call: &Call, _last: bool) -> Result<ArrayRef> {
        Ok(self.counts_of(groups))
    }

    fn memory(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}

impl Count {
    fn counts_of(&self, groups: &[u32]) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| self.counts[*group as usize])))
    }
}
