//! Grouped aggregates: one column of state per aggregate, indexed by group.
//!
//! An [`AggregatePlan`] says which columns the calls of one GROUP BY need (calls that can share one do: `COUNT(x)`, `SUM(x)`
//! and `AVG(x)` are one) and which expressions go in. An [`AggregateSet`] is one set of these columns: the open slice of a
//! window, or all groups of a query without one. A set takes rows ([`AggregateSet::update`]) or states of other sets
//! ([`AggregateSet::merge`]), and any of its groups can be read at any time.
//!
//! COUNT, SUM, AVG, MIN, MAX, FIRST, LAST, ARG_MIN, ARG_MAX, BOOL_AND and BOOL_OR are ours; every other aggregate of the
//! library goes through `adapter`. What a column does is chosen once a batch, never for a row.

mod adapter;
mod bag;
mod collected;
mod column;
mod count;
mod distinct;
mod extreme;
mod first_last;
mod floats;
mod kept;
mod order;
mod plan;
mod saved;
mod set;
mod sum;
mod values;
mod winners;

pub(crate) use floats::FloatTotal;
pub use order::RowOrder;
pub(crate) use order::{ORDER_TYPES, columns_with_places};
pub use plan::{AggregatePlan, Groups};
pub(crate) use saved::{GroupRows, GroupTable, SAVED_ROWS, SavedKeys};
pub use set::{AggregateSet, Inputs};
pub(crate) use sum::{fits, mean, wide_fits, wide_mean};
