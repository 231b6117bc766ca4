//! Which columns are kept of each row: what conditions and measures read of it, computed when the row comes.

use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema, SchemaRef};
use datafusion_common::{Column, DFSchema};
use datafusion_expr::{Expr, ExprSchemable};
use velo_plan::plan::{AggregateCall, VariableSet};

use super::context::MatchAggregates;
use crate::error::Result;
use crate::expr::Evaluator;

/// The columns that are kept, in the order in which they are asked for.
pub(crate) struct Kept<'a> {
    input: &'a SchemaRef,
    types: DFSchema,
    statement: &'a str,
    columns: Vec<(Expr, Evaluator, FieldRef)>,
}

impl<'a> Kept<'a> {
    pub(crate) fn new(input: &'a SchemaRef, statement: &'a str) -> Result<Self> {
        Ok(Self { input, types: DFSchema::try_from(Arc::clone(input))?, statement, columns: Vec::new() })
    }

    /// The place of what an expression over the input gives.
    pub(crate) fn place(&mut self, expr: &Expr) -> Result<usize> {
        if let Some(at) = self.columns.iter().position(|(known, ..)| known == expr) {
            return Ok(at);
        }
        let evaluator = Evaluator::new(expr, self.input, self.statement)?;
        let field = Field::new(format!("$match_input{}", self.columns.len()), expr.get_type(&self.types)?, true);
        self.columns.push((expr.clone(), evaluator, Arc::new(field)));
        Ok(self.columns.len() - 1)
    }

    /// Aggregates over the input as aggregates over what is kept; none where there are none.
    pub(crate) fn aggregates(&mut self, calls: Vec<(VariableSet, AggregateCall)>) -> Result<Option<MatchAggregates>> {
        if calls.is_empty() {
            return Ok(None);
        }
        let mut over_kept = Vec::with_capacity(calls.len());
        for (of, mut call) in calls {
            let order = call.order_by.iter_mut().map(|key| &mut key.expr);
            for expr in call.arguments.iter_mut().chain(&mut call.filter).chain(order) {
                // Some aggregates take a constant for what it is.
                if !matches!(expr, Expr::Literal(..)) {
                    let at = self.place(expr)?;
                    *expr = Expr::Column(Column::new_unqualified(self.columns[at].2.name()));
                }
            }
            over_kept.push((of, call));
        }
        MatchAggregates::new(&over_kept, &self.schema(), self.statement).map(Some)
    }

    /// The columns that were asked for so far.
    pub(crate) fn schema(&self) -> Schema {
        Schema::new(self.columns.iter().map(|(.., field)| Arc::clone(field)).collect::<Vec<_>>())
    }

    /// What computes them.
    pub(crate) fn evaluators(self) -> Vec<Evaluator> {
        self.columns.into_iter().map(|(_, evaluator, _)| evaluator).collect()
    }
}
