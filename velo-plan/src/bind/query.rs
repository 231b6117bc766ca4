//! Queries as a whole: WITH, set operations, ORDER BY and LIMIT, EMIT.

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema};
use datafusion_common::Column;
use datafusion_expr::Expr;
use velo_core::schema;
use velo_sql::ast::{Direction, NullsOrder};
use velo_sql::ast::{Expr as Ast, ExprKind, Literal, OrderByItem, Query, SetExpr, SetOperator};
use velo_sql::{Diagnostic, Span};

use super::expr::Typed;
use super::row_window::RowWindows;
use super::scope::{Scope, ScopeColumn};
use super::types::common_type;
use crate::catalog::{Pairs, Relation};
use crate::codes;
use crate::functions::cast::CastFunction;
use crate::plan::{NodeKind, Output, SortKey};
use crate::planner::{Planner, visible};

impl Planner<'_> {
    /// Binds a query; properties of its sources, by their prefix, are taken out of `pairs`.
    pub(crate) async fn query(&mut self, query: &Query, pairs: &mut Pairs, owner: &str) -> Option<Relation> {
        let (outer, emit) = (self.query.ctes.len(), self.query.emit);
        if let Some(emit) = &query.emit {
            self.query.emit = Some(emit.mode);
        }
        let relation = self.query_in_scope(query, pairs, owner).await;
        self.query.ctes.truncate(outer);
        self.query.emit = emit;
        relation
    }

    async fn query_in_scope(&mut self, query: &Query, pairs: &mut Pairs, owner: &str) -> Option<Relation> {
        if let Some(with) = &query.with {
            if with.recursive {
                self.not_yet(with.span, "WITH RECURSIVE", "a stream has no end at which a recursion could stop");
                return None;
            }
            for cte in &with.ctes {
                let mut relation = Box::pin(self.query(&cte.query, pairs, &cte.name.value)).await?;
                self.name_columns(&mut relation, &cte.columns)?;
                self.query.ctes.push((cte.name.clone(), relation));
            }
        }
        let relation = Box::pin(self.set_expr(&query.body, pairs, owner)).await?;
        let relation = self.order_by(relation, &query.order_by, owner)?;
        self.limit(relation, query.limit.as_ref(), query.offset.as_ref(), owner)
    }

    async fn set_expr(&mut self, body: &SetExpr, pairs: &mut Pairs, owner: &str) -> Option<Relation> {
        match body {
            SetExpr::Select(select) => self.select(select, pairs, owner).await,
            SetExpr::Query(query) => self.query(query, pairs, owner).await,
            SetExpr::Values(values) => self.values(values, owner),
            SetExpr::SetOperation { .. } => self.union(body, pairs, owner).await,
        }
    }

    /// A chain of UNION and UNION ALL, from left to right.
    async fn union(&mut self, body: &SetExpr, pairs: &mut Pairs, owner: &str) -> Option<Relation> {
        let mut operands = Vec::new();
        let mut rest = body;
        while let SetExpr::SetOperation { left, op, all, op_span, right } = rest {
            if *op != SetOperator::Union {
                let (what, help) = match op {
                    SetOperator::Except => ("EXCEPT", "it is not built yet: leave rows out with WHERE"),
                    _ => ("INTERSECT", "it is not built yet: choose rows with WHERE"),
                };
                self.not_yet(*op_span, what, help);
                return None;
            }
            operands.push((right.as_ref(), *all, *op_span));
            rest = left;
        }
        let mut failed = false;
        let first = Box::pin(self.set_expr(rest, pairs, owner)).await;
        failed |= first.is_none();
        let mut waiting: Vec<(Relation, Span)> = first.into_iter().map(|first| (first, rest.span())).collect();
        for (operand, all, op_span) in operands.into_iter().rev() {
            match Box::pin(self.set_expr(operand, pairs, owner)).await {
                Some(relation) if !failed => waiting.push((relation, operand.span())),
                Some(_) => {}
                None => failed = true,
            }
            if !all && !failed {
                // What stands to the left of a UNION without ALL is one relation of distinct rows.
                let union = self.align(std::mem::take(&mut waiting), owner)?;
                waiting.push((self.distinct(union, op_span, owner)?, op_span));
            }
        }
        if failed {
            return None;
        }
        match waiting.len() {
            1 => waiting.pop().map(|(relation, _)| relation),
            _ => self.align(waiting, owner),
        }
    }

    /// Relations with the same columns, one after the other as one.
    fn align(&mut self, inputs: Vec<(Relation, Span)>, owner: &str) -> Option<Relation> {
        let (inputs, spans): (Vec<Relation>, Vec<Span>) = inputs.into_iter().unzip();
        let first: Vec<ScopeColumn> = visible(&inputs[0].scope).cloned().collect();
        let mut fields: Vec<FieldRef> = first.iter().map(|column| Arc::clone(&column.field)).collect();
        for (input, span) in inputs.iter().zip(&spans).skip(1) {
            let columns: Vec<&ScopeColumn> = visible(&input.scope).collect();
            if columns.len() != fields.len() {
                let message =
                    format!("this side of UNION has {} columns, and the first has {}", columns.len(), fields.len());
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
        let timed = inputs.iter().all(Relation::has_event_time);
        let mut output = Arc::new(Schema::new(fields.clone()));
        if timed {
            output = schema::with_event_time(&output);
        }
        let mut nodes = Vec::with_capacity(inputs.len());
        for input in &inputs {
            let outputs = visible(&input.scope).zip(&fields).map(|(column, field)| {
                let expr = Expr::Column(Column::new_unqualified(column.field.name()));
                let same = column.field.data_type() == field.data_type();
                let expr = if same { expr } else { CastFunction::call(expr, field.data_type().clone(), false) };
                Output { expr, field: Arc::clone(field) }
            });
            let kind = NodeKind::Project(outputs.collect());
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

    /// Names the columns of a relation anew.
    pub(crate) fn name_columns(&mut self, relation: &mut Relation, names: &[velo_sql::ast::Ident]) -> Option<()> {
        if names.is_empty() {
            return Some(());
        }
        let columns = visible(&relation.scope).count();
        if names.len() > columns {
            let span = names[columns].span;
            let message = match columns {
                1 => "there is only one column to name".to_owned(),
                columns => format!("there are only {columns} columns to name"),
            };
            self.error(
                Diagnostic::error(codes::UNKNOWN_COLUMN, span, message).help("leave out the names that are too many"),
            );
            return None;
        }
        for (column, name) in relation.scope.columns.iter_mut().filter(|column| !column.hidden).zip(names) {
            for key in relation.key.iter_mut().filter(|key| **key == column.name) {
                key.clone_from(&name.value);
            }
            column.name.clone_from(&name.value);
        }
        Some(())
    }

    fn order_by(&mut self, relation: Relation, items: &[OrderByItem], owner: &str) -> Option<Relation> {
        let Some(first) = items.first() else { return Some(relation) };
        if !self.is_bounded(relation.node) {
            self.error(
                Diagnostic::error(codes::UNBOUNDED, first.span, "ORDER BY needs an input that ends, and this one does not")
                    .help("leave it out: the rows of a key come in their order; a bounded input (a file without 'watch') can be ordered"),
            );
            return None;
        }
        let mut keys = Vec::with_capacity(items.len());
        let mut overs = RowWindows::default();
        let mut failed = false;
        for item in items {
            match self.order_key(&item.expr, &relation.scope, &mut overs) {
                Some(typed) => {
                    let descending = item.direction == Some(Direction::Descending);
                    keys.push(SortKey {
                        expr: typed.expr,
                        descending,
                        nulls_first: item.nulls.map_or(descending, |nulls| nulls == NullsOrder::First),
                    });
                }
                None => failed = true,
            }
        }
        if failed {
            return None;
        }
        let relation = self.folded(relation, owner);
        let output = self.plan.nodes[relation.node.0].schema.clone();
        let computed = !overs.calls.is_empty();
        let relation = self.over(relation, overs.calls, true, owner)?;
        let schema = self.plan.nodes[relation.node.0].schema.clone();
        let mut node = self.node(NodeKind::Sort(keys), vec![relation.node], schema, owner);
        if computed {
            // What rows are only ordered by does not come out.
            let passed = visible(&relation.scope).map(|column| Output {
                expr: Expr::Column(Column::new_unqualified(column.field.name())),
                field: Arc::clone(&column.field),
            });
            node = self.node(NodeKind::Project(passed.collect()), vec![node], output, owner);
        }
        Some(Relation { node, ..relation })
    }

    fn order_key(&mut self, expr: &Ast, scope: &Scope, overs: &mut RowWindows) -> Option<Typed> {
        if let ExprKind::Literal(Literal::Number(text)) = &expr.without_parentheses().kind {
            let columns: Vec<&ScopeColumn> = visible(scope).collect();
            let at = text.parse::<usize>().ok().and_then(|ordinal| ordinal.checked_sub(1));
            return match at.and_then(|at| columns.get(at)) {
                Some(column) => Some(column_of(column, expr.span)),
                None => {
                    let message = format!("there is no column number {text}");
                    self.error(
                        Diagnostic::error(codes::UNKNOWN_COLUMN, expr.span, message)
                            .help(format!("ORDER BY counts the selected columns, here from 1 to {}", columns.len())),
                    );
                    None
                }
            };
        }
        let before = self.diagnostics.len();
        let mut binder = self.binder(scope, Err("ORDER BY"));
        binder.row_windows = Ok(overs);
        let bound = binder.bind(expr);
        for diagnostic in &mut self.diagnostics[before..] {
            if diagnostic.code == codes::UNKNOWN_COLUMN {
                diagnostic.help.push("ORDER BY goes by columns that are selected".to_owned());
            }
        }
        bound
    }

    fn limit(&mut self, relation: Relation, count: Option<&Ast>, skip: Option<&Ast>, owner: &str) -> Option<Relation> {
        let Some(first) = count.or(skip) else { return Some(relation) };
        if !self.is_bounded(relation.node) {
            let word = if count.is_some() { "LIMIT" } else { "OFFSET" };
            self.error(
                Diagnostic::error(
                    codes::UNBOUNDED,
                    first.span,
                    format!("{word} needs an input that ends, and this one does not"),
                )
                .help("read a bounded input, or stop the query when you have seen enough"),
            );
            return None;
        }
        let mut number = |expr: Option<&Ast>| -> Option<Option<u64>> {
            let Some(expr) = expr else { return Some(None) };
            match &expr.without_parentheses().kind {
                ExprKind::Literal(Literal::Number(text)) if text.parse::<u64>().is_ok() => Some(text.parse().ok()),
                _ => {
                    self.error(
                        Diagnostic::error(codes::LITERAL, expr.span, "a number of rows is expected here")
                            .help("write a whole number, such as 10"),
                    );
                    None
                }
            }
        };
        let (count, skip) = (number(count)?, number(skip)?);
        let relation = self.folded(relation, owner);
        let output = self.plan.nodes[relation.node.0].schema.clone();
        let kind = NodeKind::Limit { skip: skip.unwrap_or(0), count };
        let node = self.node(kind, vec![relation.node], output, owner);
        Some(Relation { node, ..relation })
    }
}

/// A column as an expression.
pub(super) fn column_of(column: &ScopeColumn, span: Span) -> Typed {
    Typed {
        expr: Expr::Column(Column::new_unqualified(column.field.name())),
        data_type: column.field.data_type().clone(),
        nullable: column.field.is_nullable(),
        unknown: false,
        span,
    }
}
