//! What every column of aggregate state can do.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;
use velo_core::types::sql_name;

use super::order::RowOrder;
use crate::error::{ExecError, Result};

/// Rows on their way into a column.
pub(super) struct Rows<'a> {
    /// Each row's group.
    pub(super) groups: &'a [u32],
    /// The number of groups that there are now.
    pub(super) total: usize,
    /// The arguments.
    pub(super) args: &'a [ArrayRef],
    /// The rows that FILTER and DISTINCT let in; none: all.
    pub(super) mask: Option<BooleanBuffer>,
    /// What the call's own ORDER BY goes by.
    pub(super) order_by: &'a [ArrayRef],
    /// The order of the rows.
    pub(super) order: &'a RowOrder,
}

impl Rows<'_> {
    /// The rows that are let in and where `argument` is not null.
    pub(super) fn valid(&self, argument: &ArrayRef) -> Option<BooleanBuffer> {
        let nulls = argument.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        match (&self.mask, nulls) {
            (None, None) => None,
            (Some(mask), None) => Some(mask.clone()),
            (None, Some(nulls)) => Some(nulls.into_inner()),
            (Some(mask), Some(nulls)) => Some(mask & nulls.inner()),
        }
    }

    /// The one argument that a column was made for.
    pub(super) fn only(&self) -> Result<&ArrayRef> {
        self.args.first().ok_or_else(|| ExecError::Internal("an aggregate without its argument".to_owned()))
    }
}

/// Calls `visit` with (row, group) for every row that `mask` lets in.
#[inline(always)]
pub(super) fn each(groups: &[u32], mask: Option<&BooleanBuffer>, mut visit: impl FnMut(usize, u32)) {
    match mask {
        None => {
            for (row, group) in groups.iter().enumerate() {
                visit(row, *group);
            }
        }
        Some(mask) => {
            for row in mask.set_indices() {
                visit(row, groups[row]);
            }
        }
    }
}

/// What a call asks its column for, and how it is named in errors.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) answer: Answer,
    /// The type of the result.
    pub(super) output: DataType,
    /// As written.
    pub(super) text: Arc<str>,
    /// The stream, table or view whose statement has it.
    pub(super) statement: Arc<str>,
}

/// What a call asks its column for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// How many values there were.
    Count,
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// What the column is there for.
    Value,
}

impl Call {
    /// The result has more digits than its type.
    pub(super) fn overflow(&self) -> ExecError {
        self.error(format!("{} does not fit in {}", self.text, sql_name(&self.output)))
    }

    /// The aggregate fails for a reason of its own.
    pub(super) fn error(&self, message: String) -> ExecError {
        ExecError::Compute { statement: self.statement.to_string(), message, place: None }
    }
}

/// State of one aggregate (or of several that share it), one entry per group.
pub(super) trait Column: Send {
    /// Takes rows.
    fn update(&mut self, rows: &Rows<'_>) -> Result<()>;

    /// Takes rows back that came before, or that come later. Only columns of a plan for changing rows can.
    fn retract(&mut self, _rows: &Rows<'_>) -> Result<()> {
        Err(ExecError::Internal("an aggregate over rows that only come was told to take one back".to_owned()))
    }

    /// Takes rows that another column has kept: the arguments, and where the order of rows decides their place in it.
    fn load(&mut self, groups: &[u32], total: usize, kept: &[ArrayRef]) -> Result<()> {
        let order = RowOrder::none(groups.len());
        self.update(&Rows { groups, total, args: kept, mask: None, order_by: &[], order: &order })
    }

    /// The types of [`Self::state`].
    fn state_types(&self) -> Vec<DataType>;

    /// The state of `groups`, as columns with a row each. `last`: the groups only get read from now on, which spares some
    /// columns a copy.
    fn state(&mut self, groups: &[u32], last: bool) -> Result<Vec<ArrayRef>>;

    /// Adds states: row `i` of `state` to group `groups[i]`, of `total` groups.
    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()>;

    /// The results of `groups`; `last` as in [`Self::state`].
    fn evaluate(&mut self, groups: &[u32], call: &Call, last: bool) -> Result<ArrayRef>;

    /// Bytes of memory.
    fn memory(&self) -> usize;
}

/// `state[at]` as an array of one type.
pub(super) fn state_column<A: 'static>(state: &[ArrayRef], at: usize) -> Result<&A> {
    state
        .get(at)
        .and_then(|column| column.as_any().downcast_ref())
        .ok_or_else(|| ExecError::Internal(format!("column {at} of an aggregate's state has another type")))
}
