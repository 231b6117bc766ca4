//! UNION, EXCEPT and INTERSECT.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema};
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::Expr;
use velo_core::schema;
use velo_sql::ast::{SetExpr, SetOperator};
use velo_sql::{Diagnostic, Span};

use super::scope::{Scope, ScopeColumn};
use super::types::common_type;
use crate::catalog::{Pairs, Relation};
use crate::codes;
use crate::functions::cast::CastFunction;
use crate::plan::{NodeKind, Output, SetKind};
use crate::planner::{Planner, visible};

/// The column that says whether a row is of the right side.
const RIGHT: &str = "$right";

impl Planner<'_> {
    /// A chain of set operations, from left to right.
    pub(super) async fn set_operations(&mut self, body: &SetExpr, pairs: &mut Pairs, owner: &str) -> Option<Relation> {
        let mut operands = Vec::new();
        let mut rest = body;
        while let SetExpr::SetOperation { left, op, all, op_span, right } = rest {
            operands.push((right.as_ref(), *op, *all, *op_span));
            rest = left;
        }
        let mut failed = false;
        let first = Box::pin(self.set_expr(rest, pairs, owner)).await;
        failed |= first.is_none();
        let mut waiting: Vec<(Relation, Span)> = first.into_iter().map(|first| (first, rest.span())).collect();
        for (operand, op, all, op_span) in operands.into_iter().rev() {
            let kind = match op {
                SetOperator::Union => None,
                SetOperator::Except => Some(SetKind::Except),
                SetOperator::Intersect => Some(SetKind::Intersect),
            };
            if kind.is_some() && waiting.len() > 1 {
                // What stands to the left of EXCEPT and INTERSECT is one relation.
                let span = waiting.first().map_or(op_span, |(_, span)| *span);
                waiting = vec![(self.align(std::mem::take(&mut waiting), "UNION", false, owner)?, span)];
            }
            match Box::pin(self.set_expr(operand, pairs, owner)).await {
                Some(relation) if !failed => waiting.push((relation, operand.span())),
                Some(_) => {}
                None => failed = true,
            }
            if let Some(kind) = kind.filter(|_| !failed) {
                let span = waiting.first().map_or(op_span, |(_, span)| *span);
                waiting = vec![(self.set_operation(std::mem::take(&mut waiting), kind, all, op_span, owner)?, span)];
            } else if !all && !failed {
                // What stands to the left of a UNION without ALL is one relation of distinct rows.
                let union = self.align(std::mem::take(&mut waiting), "UNION", false, owner)?;
                waiting.push((self.distinct(union, op_span, owner)?, op_span));
            }
        }
        if failed {
            return None;
        }
        match waiting.len() {
            1 => waiting.pop().map(|(relation, _)| relation),
            _ => self.align(waiting, "UNION", false, owner),
        }
    }

    /// EXCEPT or INTERSECT of two sides.
    fn set_operation(
        &mut self,
        sides: Vec<(Relation, Span)>,
        kind: SetKind,
        all: bool,
        place: Span,
        owner: &str,
    ) -> Option<Relation> {
        let word = match kind {
            SetKind::Except => "EXCEPT",
            SetKind::Intersect => "INTERSECT",
        };
        let key = sides.first().map(|(left, _)| left.key.clone()).unwrap_or_default();
        let both = self.align(sides, word, true, owner)?;
        let emission = self.emission(&both, None, None, place)?;
        if emission.early {
            self.knows_no_interval(place, word)?;
        }
        if !self.is_bounded(both.node) && self.query.properties.state_ttl.is_none() {
            self.diagnostics.push(
                Diagnostic::warning(
                    codes::KEPT_STATE,
                    place,
                    format!("every distinct row of both sides of {word} is kept as long as the job runs"),
                )
                .help("that is right where they are few; a row that is gone from both sides is forgotten, and 'state.ttl' = '1d' lets go what did not come for a day"),
            );
        }
        let columns: Vec<ScopeColumn> = visible(&both.scope).cloned().collect();
        let output = columns.iter().map(|column| Arc::clone(&column.field)).collect::<Vec<_>>();
        let kind = NodeKind::SetOperation { kind, all, emission };
        let node = self.node(kind, vec![both.node], Arc::new(Schema::new(output)), owner);
        // Without ALL no row is there twice.
        let identity = columns.iter().filter(|_| !all).map(|column| column.field.name().clone()).collect();
        Some(Relation { key, identity, ..Relation::new(node, Scope::of(columns)) })
    }

    /// Relations with the same columns, one after the other as one; with `sides` a last column says whether a row is of the
    /// second one.
    fn align(&mut self, inputs: Vec<(Relation, Span)>, word: &str, sides: bool, owner: &str) -> Option<Relation> {
        let (inputs, spans): (Vec<Relation>, Vec<Span>) = inputs.into_iter().unzip();
        let first: Vec<ScopeColumn> = visible(&inputs[0].scope).cloned().collect();
        let mut fields: Vec<FieldRef> = first.iter().map(|column| Arc::clone(&column.field)).collect();
        for (input, span) in inputs.iter().zip(&spans).skip(1) {
            let columns: Vec<&ScopeColumn> = visible(&input.scope).collect();
            if columns.len() != fields.len() {
                let message =
                    format!("this side of {word} has {} columns, and the first has {}", columns.len(), fields.len());
                self.error(
                    Diagnostic::error(codes::TYPE_MISMATCH, *span, message)
                        .also(spans[0], "the first")
                        .help("select as many columns on both sides; NULL AS name stands in for one that is not there"),
                );
                return None;
            }
            for (field, column) in fields.iter_mut().zip(columns) {
                let Some(common) = common_type(field.data_type(), column.field.data_type()) else {
                    let message = format!(
                        "the column '{}' is {} here and {} in the first side",
                        column.name,
                        super::expr::article(column.field.data_type()),
                        super::expr::article(field.data_type())
                    );
                    self.error(Diagnostic::error(codes::TYPE_MISMATCH, *span, message).help("CAST one of them"));
                    return None;
                };
                let nullable = field.is_nullable() || column.field.is_nullable();
                *field = Arc::new(field.as_ref().clone().with_data_type(common).with_nullable(nullable));
            }
        }
        let timed = !sides && inputs.iter().all(Relation::has_event_time);
        let side: FieldRef = Arc::new(Field::new(RIGHT, DataType::Boolean, false));
        let own = fields.iter().cloned().chain(sides.then(|| Arc::clone(&side)));
        let mut output = Arc::new(Schema::new(own.collect::<Vec<_>>()));
        if timed {
            output = schema::with_event_time(&output);
        }
        let mut nodes = Vec::with_capacity(inputs.len());
        for (at, input) in inputs.iter().enumerate() {
            let outputs = visible(&input.scope).zip(&fields).map(|(column, field)| {
                let expr = Expr::Column(Column::new_unqualified(column.field.name()));
                let same = column.field.data_type() == field.data_type();
                let expr = if same { expr } else { CastFunction::call(expr, field.data_type().clone(), false) };
                Output { expr, field: Arc::clone(field) }
            });
            let is_right = sides.then(|| Output {
                expr: Expr::Literal(ScalarValue::Boolean(Some(at > 0)), None),
                field: Arc::clone(&side),
            });
            let kind = NodeKind::Project(outputs.chain(is_right).collect());
            nodes.push(self.node(kind, vec![input.node], Arc::clone(&output), owner));
        }
        let node = self.node(NodeKind::Union, nodes, output, owner);
        let event_time_columns = first
            .iter()
            .enumerate()
            .filter(|(at, _)| {
                inputs.iter().all(|input| {
                    visible(&input.scope)
                        .nth(*at)
                        .is_some_and(|column| input.event_time_columns.contains(column.field.name()))
                })
            })
            .map(|(_, column)| column.field.name().clone())
            .collect();
        let mut columns: Vec<ScopeColumn> = first
            .into_iter()
            .zip(fields)
            .map(|(column, field)| ScopeColumn { relation: Some(owner.to_owned()), field, ..column })
            .collect();
        if timed {
            columns.push(super::select::hidden_event_time());
        }
        Some(Relation {
            event_time_columns,
            late: inputs[0].late.clone(),
            dead_letter_sink: inputs[0].dead_letter_sink.clone(),
            ..Relation::new(node, Scope::of(columns))
        })
    }
}
