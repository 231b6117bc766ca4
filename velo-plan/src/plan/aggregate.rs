//! Aggregate calls of a plan.

use std::sync::Arc;

use arrow_schema::{DataType, FieldRef};
use datafusion_expr::{AggregateUDF, Expr};
use velo_core::duration::Span;

/// Which aggregate. All but `Library` keep typed columns of our own; `Library` goes through one adapter.
#[derive(Debug, Clone, PartialEq)]
pub enum AggregateKind {
    /// Number of rows; with an argument, of rows where it is not null.
    Count,
    /// Sum of the argument; overflow is an error.
    Sum,
    /// Mean; of decimals and integers exact to the scale of the result and rounded half away from zero.
    Avg,
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
    /// The first value that is not null, by (event time, source, partition, position).
    First,
    /// The last value that is not null, by the same order.
    Last,
    /// The first argument where the second is smallest; of equals the first row.
    ArgMin,
    /// The first argument where the second is largest; of equals the first row.
    ArgMax,
    /// Whether all are true.
    BoolAnd,
    /// Whether one is true.
    BoolOr,
    /// An aggregate of the library.
    Library(Arc<AggregateUDF>),
}

/// When the results of a GROUP BY come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Emission {
    /// Early, and again when they change (EMIT CHANGES); else once, when the window closes or the input ends.
    pub early: bool,
    /// An update for every row that comes, and not one per key and batch.
    pub per_record: bool,
    /// A window that has fired is corrected by late rows up to this long after its end.
    pub corrected: Option<Span>,
    /// Changes of a key come at most once in so much time of the clock.
    pub interval: Option<Span>,
    /// A window to which nothing has come for so much time of the clock closes.
    pub idle_close: Option<Span>,
}

impl Emission {
    /// Whether a result can come again, changed.
    pub fn changes(&self) -> bool {
        self.early || self.corrected.is_some()
    }
}

/// For how long state is kept that nothing else bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateTtl {
    /// What was not touched for so long is forgotten.
    pub after: Span,
    /// By the clock; else by event time and watermark.
    pub by_clock: bool,
}

/// One key of an ORDER BY.
#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    /// What is compared.
    pub expr: Expr,
    /// Largest first.
    pub descending: bool,
    /// Where nulls go.
    pub nulls_first: bool,
}

/// One aggregate of a GROUP BY: its arguments are computed over the input's columns.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateCall {
    /// Which aggregate.
    pub kind: AggregateKind,
    /// The arguments; none for COUNT(*).
    pub arguments: Vec<Expr>,
    /// The arguments' types.
    pub argument_types: Vec<DataType>,
    /// Whether equal arguments of a group count once.
    pub distinct: bool,
    /// Only rows for which this is true count.
    pub filter: Option<Expr>,
    /// The order in which rows go in, for those that depend on it; empty: the order of equal times.
    pub order_by: Vec<SortKey>,
    /// The result: name, type and nullability.
    pub output: FieldRef,
    /// The call as written, for EXPLAIN and errors.
    pub text: String,
}

impl AggregateCall {
    /// What goes into it, over the input's columns.
    pub fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.arguments.iter().chain(&self.filter).chain(self.order_by.iter().map(|key| &key.expr))
    }

    /// See [`Self::expressions`].
    pub fn expressions_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        self.arguments.iter_mut().chain(&mut self.filter).chain(self.order_by.iter_mut().map(|key| &mut key.expr))
    }
}
