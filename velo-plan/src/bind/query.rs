//! Queries as a whole: WITH, ORDER BY and LIMIT, EMIT.

use std::sync::Arc;

use datafusion_common::Column;
use datafusion_expr::Expr;
use velo_eventtime::LateStrategy;
use velo_sql::ast::{Direction, EmitMode, NullsOrder};
use velo_sql::ast::{Expr as Ast, ExprKind, Literal, OrderByItem, Query, SetExpr};
use velo_sql::{Diagnostic, Span};

use super::expr::Typed;
use super::row_window::RowWindows;
use super::scope::{Scope, ScopeColumn};
use crate::catalog::{Pairs, Relation};
use crate::codes;
use crate::plan::{NodeKind, Output, SortKey};
use crate::planner::{Planner, visible};

/// What to write for the first rows of an input that does not end.
const FIRST_ROWS: &str = "QUALIFY ROW_NUMBER() OVER (ORDER BY … DESC) <= 10 gives the first ten rows so far, and takes back those that others push out";

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
        // DISTINCT ON takes the ORDER BY behind it.
        let (relation, order_by) = match &query.body {
            SetExpr::Select(select) if select.distinct.as_ref().is_some_and(|distinct| !distinct.on.is_empty()) => {
                (Box::pin(self.select(select, &query.order_by, pairs, owner)).await?, [].as_slice())
            }
            body => (Box::pin(self.set_expr(body, pairs, owner)).await?, query.order_by.as_slice()),
        };
        let (count, skip) = (query.limit.as_ref(), query.offset.as_ref());
        let in_windows = relation.windowed && (count.or(skip).is_some() || !self.is_bounded(relation.node));
        let relation = Relation { windowed: false, ..relation };
        if in_windows && let Some(first) = order_by.first().map(|item| &item.expr).or(count).or(skip) {
            return self.window_limit(relation, order_by, (count, skip), first.span, owner);
        }
        let relation = self.order_by(relation, order_by, count.is_some(), owner)?;
        self.limit(relation, count, skip, owner)
    }

    /// ORDER BY and LIMIT of the rows of each window.
    fn window_limit(
        &mut self,
        relation: Relation,
        items: &[OrderByItem],
        (count, skip): (Option<&Ast>, Option<&Ast>),
        place: Span,
        owner: &str,
    ) -> Option<Relation> {
        let order = self.order_keys(items, &relation.scope, None)?;
        let (count, skip) = (self.row_count(count)?, self.row_count(skip)?);
        let changing = !self.is_bounded(relation.node) && !self.changes(relation.node).is_append();
        if changing && self.query.emit == Some(EmitMode::Changes) {
            self.not_yet(
                place,
                "ORDER BY and LIMIT of windows whose results change",
                "with EMIT FINAL each window gives its rows once",
            );
            return None;
        }
        // A window that late rows correct gives its rows when it can no longer be corrected.
        let relation = match changing {
            true => self.folded_by_time(relation, (LateStrategy::Drop, None), owner),
            false => self.folded(relation, owner),
        };
        let output = self.plan.nodes[relation.node.0].schema.clone();
        let kind = NodeKind::WindowLimit { order, skip: skip.unwrap_or(0), count };
        let node = self.node(kind, vec![relation.node], output, owner);
        Some(Relation { node, ..relation })
    }

    pub(super) async fn set_expr(&mut self, body: &SetExpr, pairs: &mut Pairs, owner: &str) -> Option<Relation> {
        match body {
            SetExpr::Select(select) => self.select(select, &[], pairs, owner).await,
            SetExpr::Query(query) => self.query(query, pairs, owner).await,
            SetExpr::Values(values) => self.values(values, owner),
            SetExpr::SetOperation { .. } => self.set_operations(body, pairs, owner).await,
        }
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
        for (column, name) in
            relation.scope.columns.iter_mut().filter(|column| !column.hidden && !column.qualified).zip(names)
        {
            for key in relation.key.iter_mut().filter(|key| **key == column.name) {
                key.clone_from(&name.value);
            }
            column.name.clone_from(&name.value);
        }
        Some(())
    }

    fn order_by(&mut self, relation: Relation, items: &[OrderByItem], limited: bool, owner: &str) -> Option<Relation> {
        let Some(first) = items.first() else { return Some(relation) };
        if !self.is_bounded(relation.node) {
            let diagnostic = Diagnostic::error(codes::UNBOUNDED, first.span, "ORDER BY needs an input that ends, and this one does not")
                .help("leave it out: the rows of a key come in their order; a bounded input (a file without 'watch') can be ordered, and so can the rows of each window");
            self.error(if limited { diagnostic.help(FIRST_ROWS) } else { diagnostic });
            return None;
        }
        let mut overs = RowWindows::default();
        let keys = self.order_keys(items, &relation.scope, Some(&mut overs))?;
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

    /// The keys of an ORDER BY; `overs` takes what it computes over rows, where it may.
    pub(super) fn order_keys(
        &mut self,
        items: &[OrderByItem],
        scope: &Scope,
        mut overs: Option<&mut RowWindows>,
    ) -> Option<Vec<SortKey>> {
        let keys: Vec<Option<SortKey>> = items
            .iter()
            .map(|item| {
                let typed = self.order_key(&item.expr, scope, overs.as_deref_mut());
                typed.map(|typed| sort_key(item, typed.expr))
            })
            .collect();
        keys.into_iter().collect()
    }

    fn order_key(&mut self, expr: &Ast, scope: &Scope, overs: Option<&mut RowWindows>) -> Option<Typed> {
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
        if let Some(overs) = overs {
            binder.row_windows = Ok(overs);
        }
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
            let diagnostic = Diagnostic::error(
                codes::UNBOUNDED,
                first.span,
                format!("{word} needs an input that ends, and this one does not"),
            )
            .help("read a bounded input, or stop the query when you have seen enough; beside WINDOW TUMBLING(1m) or its like it is of each window");
            self.error(if count.is_some() { diagnostic.help(FIRST_ROWS) } else { diagnostic });
            return None;
        }
        let (count, skip) = (self.row_count(count)?, self.row_count(skip)?);
        let relation = self.folded(relation, owner);
        let output = self.plan.nodes[relation.node.0].schema.clone();
        let kind = NodeKind::Limit { skip: skip.unwrap_or(0), count };
        let node = self.node(kind, vec![relation.node], output, owner);
        Some(Relation { node, ..relation })
    }

    /// The number of LIMIT or OFFSET.
    fn row_count(&mut self, expr: Option<&Ast>) -> Option<Option<u64>> {
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
    }
}

/// A key of an ORDER BY: nulls count as larger than any value, unless it says otherwise.
pub(super) fn sort_key(item: &OrderByItem, expr: Expr) -> SortKey {
    let descending = item.direction == Some(Direction::Descending);
    let nulls_first = item.nulls.map_or(descending, |nulls| nulls == NullsOrder::First);
    SortKey { expr, descending, nulls_first }
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
