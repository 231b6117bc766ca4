//! Which columns of state the aggregates of a GROUP BY need, and which expressions go into them.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SortOptions};
use datafusion_common::DFSchema;
use datafusion_expr::{Expr, ExprSchemable};
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use velo_plan::plan::{AggregateCall, AggregateKind, SortKey};

use super::adapter::{function_of, is_ordered, library};
use super::collected::Collected;
use super::column::{Answer, Call, Column};
use super::count::Count;
use super::distinct::Distinct;
use super::extreme::{End, extreme};
use super::first_last::{ByOrder, ByValue, Which};
use super::kept::{Kept, Layout, Pick};
use super::order::ORDER_TYPES;
use super::sum::sum;
use crate::error::{ExecError, Result};

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
#[derive(Debug, Clone)]
pub(super) struct ColumnPlan {
    state: State,
    types: Vec<DataType>,
    text: Arc<str>,
    statement: Arc<str>,
    /// A set of values stands in front.
    distinct: bool,
    groups: Groups,
    /// Places in [`AggregatePlan::expressions`].
    pub(super) arguments: Vec<usize>,
    pub(super) filter: Option<usize>,
    pub(super) order_by: Vec<usize>,
}

/// What a column keeps.
#[derive(Debug, Clone)]
enum State {
    Count,
    Sum,
    Extreme(End),
    Order(Which),
    Arg { largest: bool },
    Library(Arc<AggregateFunctionExpr>),
    Collected { function: Arc<AggregateFunctionExpr>, order_by: Vec<(DataType, SortOptions)> },
}

/// How the groups of a set live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// Together: a set is dropped as a whole.
    Together,
    /// One by one, as sessions do.
    OneByOne,
    /// One by one, and their rows can be taken back.
    Changing,
}

impl State {
    fn of(call: &AggregateCall, input: &DFSchema) -> Result<(Self, Answer)> {
        Ok(match &call.kind {
            AggregateKind::Count => (Self::Count, Answer::Count),
            AggregateKind::Sum => (Self::Sum, Answer::Sum),
            AggregateKind::Avg => (Self::Sum, Answer::Avg),
            AggregateKind::Min | AggregateKind::BoolAnd => (Self::Extreme(End::Min), Answer::Value),
            AggregateKind::Max | AggregateKind::BoolOr => (Self::Extreme(End::Max), Answer::Value),
            AggregateKind::First => (Self::Order(Which::First), Answer::Value),
            AggregateKind::Last => (Self::Order(Which::Last), Answer::Value),
            AggregateKind::ArgMin => (Self::Arg { largest: false }, Answer::Value),
            AggregateKind::ArgMax => (Self::Arg { largest: true }, Answer::Value),
            AggregateKind::Library(function) => {
                let ordered = is_ordered(function, call);
                let function = function_of(function, call)?;
                let state = if ordered {
                    let key = |key: &SortKey| -> Result<_> {
                        let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
                        Ok((key.expr.get_type(input)?, options))
                    };
                    Self::Collected { function, order_by: call.order_by.iter().map(key).collect::<Result<_>>()? }
                } else {
                    Self::Library(function)
                };
                (state, Answer::Value)
            }
        })
    }

    /// Whether two calls of the same arguments can share a column.
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Count, Self::Count) | (Self::Sum, Self::Sum) => true,
            (Self::Extreme(left), Self::Extreme(right)) => left == right,
            (Self::Order(left), Self::Order(right)) => left == right,
            (Self::Arg { largest: left }, Self::Arg { largest: right }) => left == right,
            // The library's are rarely written twice.
            _ => false,
        }
    }

    /// Whether DISTINCT changes the result.
    fn minds_distinct(&self) -> bool {
        matches!(self, Self::Count | Self::Sum | Self::Library(_) | Self::Collected { .. })
    }

    fn is_ordered(&self) -> bool {
        matches!(self, Self::Order(_) | Self::Arg { .. } | Self::Collected { .. })
    }
}

impl AggregatePlan {
    /// Plans `calls` of `statement` (its stream, table or view, for errors) over rows of `input`.
    pub fn new(calls: &[AggregateCall], input: &Schema, groups: Groups, statement: &str) -> Result<Arc<Self>> {
        let statement: Arc<str> = statement.into();
        let input = DFSchema::try_from(input.clone())?;
        let states = calls.iter().map(|call| State::of(call, &input)).collect::<Result<Vec<_>>>()?;
        let mut plan = Self { columns: Vec::new(), calls: Vec::new(), expressions: Vec::new(), ordered: false };
        // Sums first, so that a count of the same argument finds its column.
        let mut planned = vec![None; calls.len()];
        for sums in [true, false] {
            for (at, (call, (state, answer))) in calls.iter().zip(&states).enumerate() {
                if matches!(state, State::Sum) == sums {
                    planned[at] = Some((plan.column(call, state, groups, &statement), *answer));
                }
            }
        }
        for (call, (column, answer)) in calls.iter().zip(planned.into_iter().flatten()) {
            let output = call.output.data_type().clone();
            plan.calls.push((
                column,
                Call { answer, output, text: call.text.as_str().into(), statement: Arc::clone(&statement) },
            ));
        }
        for column in &plan.columns {
            column.make()?;
        }
        Ok(Arc::new(plan))
    }

    /// The place of the column that `call` needs, which may be there already.
    fn column(&mut self, call: &AggregateCall, state: &State, groups: Groups, statement: &Arc<str>) -> usize {
        let arguments = call.arguments.iter().map(|argument| self.expression(argument)).collect::<Vec<_>>();
        let filter = call.filter.as_ref().map(|filter| self.expression(filter));
        let order_by = call.order_by.iter().map(|key| self.expression(&key.expr)).collect::<Vec<_>>();
        let distinct = call.distinct && state.minds_distinct();
        self.ordered |= state.is_ordered();
        let found = self.columns.iter().position(|column| {
            let counts_too = matches!((state, &column.state), (State::Count, State::Sum)) && !arguments.is_empty();
            (column.state.same(state) || counts_too)
                && column.distinct == distinct
                && column.arguments == arguments
                && column.filter == filter
                && column.order_by == order_by
        });
        found.unwrap_or_else(|| {
            let (types, text) = (call.argument_types.clone(), call.text.as_str().into());
            let (state, statement) = (state.clone(), Arc::clone(statement));
            self.columns.push(ColumnPlan {
                state,
                types,
                text,
                statement,
                distinct,
                groups,
                arguments,
                filter,
                order_by,
            });
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
            fields.extend(
                types
                    .into_iter()
                    .enumerate()
                    .map(|(part, data_type)| Arc::new(Field::new(format!("$state_{at}_{part}"), data_type, true))),
            );
        }
        Ok(fields)
    }
}

impl ColumnPlan {
    /// An empty column.
    pub(super) fn make(&self) -> Result<Box<dyn Column>> {
        if self.groups == Groups::Changing && (self.distinct || !matches!(self.state, State::Count | State::Sum)) {
            // The result of the rows that decide needs no set in front: they are different already.
            let collects = matches!(self.state, State::Collected { .. });
            let fresh = Self { groups: Groups::OneByOne, distinct: self.distinct && collects, ..self.clone() };
            return Ok(Box::new(Kept::new(self.layout(), Box::new(move || fresh.make()))?));
        }
        let first = self.types.first().unwrap_or(&DataType::Null);
        let column: Box<dyn Column> = match &self.state {
            State::Count => Box::new(Count::default()),
            State::Sum => sum(first, &self.text, self.groups == Groups::Changing)?,
            State::Extreme(end) => extreme(*end, first)?,
            State::Order(which) => Box::new(ByOrder::new(*which, first)?),
            State::Arg { largest } => Box::new(ByValue::new(*largest, &self.types)?),
            State::Library(function) => library(Arc::clone(function), &self.types, self.groups != Groups::Together),
            State::Collected { function, order_by } => {
                return Ok(Box::new(Collected::new(Arc::clone(function), &self.types, order_by, self.distinct)));
            }
        };
        Ok(if self.distinct { Box::new(Distinct::new(&self.types, column)?) } else { column })
    }

    /// What is kept of rows that can be taken back.
    fn layout(&self) -> Layout {
        let ascending = SortOptions { descending: false, nulls_first: true };
        let as_they_are = |count: usize| (0..count).map(|at| (at, ascending)).collect::<Vec<_>>();
        let order = self.types.len()..self.types.len() + ORDER_TYPES.len();
        let mut types = self.types.clone();
        let (ordered, sort, pick, required) = match &self.state {
            State::Extreme(End::Min) => (false, as_they_are(1), Pick::First, vec![0]),
            State::Extreme(End::Max) => (false, as_they_are(1), Pick::Last, vec![0]),
            State::Order(which) => {
                let sort = order.chain([0]).map(|at| (at, ascending)).collect();
                let pick = if *which == Which::First { Pick::First } else { Pick::Last };
                (true, sort, pick, vec![0])
            }
            State::Arg { largest } => {
                let by = SortOptions { descending: *largest, nulls_first: true };
                let rest = order.chain([0]).map(|at| (at, ascending));
                (true, [(1, by)].into_iter().chain(rest).collect(), Pick::First, vec![1])
            }
            State::Collected { order_by, .. } => {
                types.extend(order_by.iter().map(|(data_type, _)| data_type.clone()));
                (true, as_they_are(types.len() + ORDER_TYPES.len()), Pick::All, vec![])
            }
            State::Count | State::Sum | State::Library(_) => {
                let pick = if self.distinct { Pick::Distinct } else { Pick::All };
                let required = if self.distinct { (0..types.len()).collect() } else { vec![] };
                (false, as_they_are(types.len()), pick, required)
            }
        };
        Layout { types, ordered, sort, pick, required }
    }

    /// An error without a statement gets this one's name and the call.
    pub(super) fn named(&self, error: ExecError) -> ExecError {
        match error {
            ExecError::Compute { statement, message, place } if statement.is_empty() => ExecError::Compute {
                statement: self.statement.to_string(),
                message: format!("{}: {message}", self.text),
                place,
            },
            other => other,
        }
    }
}
