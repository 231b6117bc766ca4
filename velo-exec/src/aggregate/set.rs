//! One set of grouped state.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_buffer::BooleanBuffer;

use super::column::{Column, Rows};
use super::order::RowOrder;
use super::plan::AggregatePlan;
use crate::error::{ExecError, Result};

/// The values of [`AggregatePlan::expressions`] over one batch.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// One array per expression.
    pub arrays: Vec<ArrayRef>,
}

impl Inputs {
    /// `length` rows from `offset` on.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self { arrays: self.arrays.iter().map(|array| array.slice(offset, length)).collect() }
    }

    /// The rows at `indices`.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self> {
        let take = |array: &ArrayRef| arrow_select::take::take(array, indices, None);
        Ok(Self { arrays: self.arrays.iter().map(take).collect::<Result<_, _>>()? })
    }

    fn at(&self, places: &[usize]) -> Result<Vec<ArrayRef>> {
        places.iter().map(|place| self.get(*place).cloned()).collect()
    }

    fn get(&self, place: usize) -> Result<&ArrayRef> {
        self.arrays.get(place).ok_or_else(|| ExecError::Internal("fewer inputs than the aggregates need".to_owned()))
    }

    fn mask(&self, place: usize) -> Result<BooleanBuffer> {
        let array = self.get(place)?;
        let array =
            array.as_boolean_opt().ok_or_else(|| ExecError::Internal("a FILTER that is no boolean".to_owned()))?;
        Ok(match array.nulls() {
            Some(nulls) => array.values() & nulls.inner(),
            None => array.values().clone(),
        })
    }
}

/// The state of all aggregates of a GROUP BY for groups `0..len`.
pub struct AggregateSet {
    plan: Arc<AggregatePlan>,
    columns: Vec<Box<dyn Column>>,
    groups: usize,
}

impl std::fmt::Debug for AggregateSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AggregateSet").field("groups", &self.groups).finish_non_exhaustive()
    }
}

impl AggregateSet {
    /// A set without groups.
    pub fn new(plan: &Arc<AggregatePlan>) -> Result<Self> {
        let columns = plan.columns.iter().map(|column| column.make()).collect::<Result<_>>()?;
        Ok(Self { plan: Arc::clone(plan), columns, groups: 0 })
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.groups
    }

    /// Whether there is no group.
    pub fn is_empty(&self) -> bool {
        self.groups == 0
    }

    /// Takes rows: row `i` belongs to group `groups[i]`; there are `total` groups now.
    pub fn update(&mut self, groups: &[u32], total: usize, inputs: &Inputs, order: &RowOrder) -> Result<()> {
        self.change(groups, total, inputs, order, false)
    }

    fn change(&mut self, groups: &[u32], total: usize, inputs: &Inputs, order: &RowOrder, take: bool) -> Result<()> {
        self.groups = self.groups.max(total);
        for (column, planned) in self.columns.iter_mut().zip(&self.plan.columns) {
            let args = inputs.at(&planned.arguments)?;
            let order_by = inputs.at(&planned.order_by)?;
            let mask = planned.filter.map(|filter| inputs.mask(filter)).transpose()?;
            let rows = Rows { groups, total: self.groups, args: &args, mask, order_by: &order_by, order };
            let done = if take { column.retract(&rows) } else { column.update(&rows) };
            done.map_err(|error| planned.named(error))?;
        }
        Ok(())
    }

    /// Takes rows back, of a plan for changing rows.
    pub fn retract(&mut self, groups: &[u32], total: usize, inputs: &Inputs, order: &RowOrder) -> Result<()> {
        self.change(groups, total, inputs, order, true)
    }

    /// Makes room for groups of which no row has come.
    pub fn grow(&mut self, total: usize) -> Result<()> {
        self.groups = self.groups.max(total);
        let empty = self.plan.state_fields()?;
        let empty = empty.iter().map(|field| arrow_array::new_empty_array(field.data_type())).collect::<Vec<_>>();
        self.merge(&[], total, &empty)
    }

    /// The state of `groups`, as the columns of [`AggregatePlan::state_fields`]. `last`: these groups only get read from now
    /// on, which spares the library's aggregates a copy.
    pub fn state(&mut self, groups: &[u32], last: bool) -> Result<Vec<ArrayRef>> {
        let mut state = Vec::new();
        for column in &mut self.columns {
            state.extend(column.state(groups, last)?);
        }
        Ok(state)
    }

    /// Adds the state of other sets: row `i` to group `groups[i]`; there are `total` groups now.
    pub fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        self.groups = self.groups.max(total);
        let mut rest = state;
        for (column, planned) in self.columns.iter_mut().zip(&self.plan.columns) {
            let width = column.state_types().len();
            let Some((own, behind)) = rest.split_at_checked(width) else {
                return Err(ExecError::Internal("fewer columns of state than the aggregates have".to_owned()));
            };
            column.merge(groups, self.groups, own).map_err(|error| planned.named(error))?;
            rest = behind;
        }
        Ok(())
    }

    /// Keeps these groups alone, which are numbered anew in this order.
    pub fn keep(&mut self, groups: &[u32]) -> Result<()> {
        let state = self.state(groups, true)?;
        let mut kept = Self::new(&self.plan)?;
        let numbers = (0..groups.len() as u32).collect::<Vec<_>>();
        kept.merge(&numbers, groups.len(), &state)?;
        *self = kept;
        Ok(())
    }

    /// The results of `groups`: one column per call. `last` as in [`Self::state`].
    pub fn evaluate(&mut self, groups: &[u32], last: bool) -> Result<Vec<ArrayRef>> {
        let mut results = Vec::with_capacity(self.plan.calls.len());
        for (column, call) in &self.plan.calls {
            let result = self.columns[*column].evaluate(groups, call, last)?;
            results.push(if result.data_type() == &call.output {
                result
            } else {
                arrow_cast::cast(&result, &call.output)?
            });
        }
        Ok(results)
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.columns.iter().map(|column| column.memory()).sum()
    }
}
