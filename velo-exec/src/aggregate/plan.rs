//! Which columns of state the aggregates of a GROUP BY need, and which expressions go into them.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use datafusion_expr::Expr;
use velo_plan::plan::{AggregateCall, AggregateKind};

use super::column::{Answer, Call, Column};
use super::count::Count;
use super::extreme::{End, extreme};
use super::first_last::{ByOrder, ByValue, Which};
use super::sum::sum;
use crate::error::Result;

/// The columns and expressions of all aggregates of one GROUP BY.
#[derive(Debug)]
pub struct AggregatePlan {
    pub(super) columns: Vec<ColumnPlan>,
    /// By call: its column, and what it asks that for.
    pub(super) calls: Vec<(usize, Call)>,
    expressions: Vec<Expr>,
    ordered: bool,
}

/// One column of state.
#[derive(Debug)]
pub(super) struct ColumnPlan {
    state: State,
    types: Vec<DataType>,
    text: Arc<str>,
    /// Places in [`AggregatePlan::expressions`].
    pub(super) arguments: Vec<usize>,
    pub(super) filter: Option<usize>,
    pub(super) order_by: Vec<usize>,
}

/// What a column keeps.
#[derive(Debug, Clone, PartialEq)]
enum State {
    Count,
    Sum,
    Extreme(End),
    Order(Which),
    Arg { largest: bool },
}

impl State {
    fn of(call: &AggregateCall) -> (Self, Answer) {
        match call.kind {
            AggregateKind::Count => (Self::Count, Answer::Count),
            AggregateKind::Sum => (Self::Sum, Answer::Sum),
            AggregateKind::Avg => (Self::Sum, Answer::Avg),
            AggregateKind::Min | AggregateKind::BoolAnd => (Self::Extreme(End::Min), Answer::Value),
            AggregateKind::Max | AggregateKind::BoolOr => (Self::Extreme(End::Max), Answer::Value),
            AggregateKind::First => (Self::Order(Which::First), Answer::Value),
            AggregateKind::Last => (Self::Order(Which::Last), Answer::Value),
            AggregateKind::ArgMin => (Self::Arg { largest: false }, Answer::Value),
            AggregateKind::ArgMax => (Self::Arg { largest: true }, Answer::Value),
            AggregateKind::Library(_) => (Self::Count, Answer::Count),
        }
    }
}

impl AggregatePlan {
    /// Plans `calls` of `statement` (its stream, table or view, for errors).
    pub fn new(calls: &[AggregateCall], statement: &str) -> Result<Arc<Self>> {
        let statement: Arc<str> = statement.into();
        let mut plan = Self { columns: Vec::new(), calls: Vec::new(), expressions: Vec::new(), ordered: false };
        // Sums first, so that a count of the same argument finds its column.
        let mut planned = vec![None; calls.len()];
        for sums in [true, false] {
            for (at, call) in calls.iter().enumerate() {
                let (state, answer) = State::of(call);
                if (state == State::Sum) == sums {
                    planned[at] = Some((plan.column(call, state), answer));
                }
            }
        }
        for (call, (column, answer)) in calls.iter().zip(planned.into_iter().flatten()) {
            let output = call.output.data_type().clone();
            plan.calls.push((column, Call { answer, output, text: call.text.as_str().into(), statement: Arc::clone(&statement) }));
        }
        for column in &plan.columns {
            column.make()?;
        }
        Ok(Arc::new(plan))
    }

    /// The place of the column that `call` needs, which may be there already.
    fn column(&mut self, call: &AggregateCall, state: State) -> usize {
        let arguments = call.arguments.iter().map(|argument| self.expression(argument)).collect::<Vec<_>>();
        let filter = call.filter.as_ref().map(|filter| self.expression(filter));
        let order_by = call.order_by.iter().map(|key| self.expression(&key.expr)).collect::<Vec<_>>();
        self.ordered |= matches!(state, State::Order(_) | State::Arg { .. });
        let found = self.columns.iter().position(|column| {
            let counts_too = state == State::Count && column.state == State::Sum && !arguments.is_empty();
            (column.state == state || counts_too)
                && column.arguments == arguments
                && column.filter == filter
                && column.order_by == order_by
        });
        found.unwrap_or_else(|| {
            let (types, text) = (call.argument_types.clone(), call.text.as_str().into());
            self.columns.push(ColumnPlan { state, types, text, arguments, filter, order_by });
            self.columns.len() - 1
        })
    }

    /// The place of an expression, which may be there already.
    fn expression(&mut self, expression: &Expr) -> usize {
        self.expressions.iter().position(|known| known == expression).unwrap_or_else(|| {
            self.expressions.push(expression.clone());
            self.expressions.len() - 1
        })
    }

    /// The expressions whose values [`Inputs`](super::Inputs) holds, in this order.
    pub fn expressions(&self) -> &[Expr] {
        &self.expressions
    }

    /// Whether some aggregate goes by the order of rows.
    pub fn ordered(&self) -> bool {
        self.ordered
    }

    /// The columns of [`AggregateSet::state`](super::AggregateSet::state).
    pub fn state_fields(&self) -> Result<Vec<FieldRef>> {
        let mut fields = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            let types = column.make()?.state_types();
            fields.extend(types.into_iter().enumerate().map(|(part, data_type)| {
                Arc::new(Field::new(format!("$state_{at}_{part}"), data_type, true))
            }));
        }
        Ok(fields)
    }
}

impl ColumnPlan {
    /// An empty column.
    pub(super) fn make(&self) -> Result<Box<dyn Column>> {
        let first = self.types.first().unwrap_or(&DataType::Null);
        Ok(match &self.state {
            State::Count => Box::new(Count::default()),
            State::Sum => sum(first, &self.text)?,
            State::Extreme(end) => extreme(*end, first)?,
            State::Order(which) => Box::new(ByOrder::new(*which, first)?),
            State::Arg { largest } => Box::new(ByValue::new(*largest, &self.types)?),
        })
    }
}
