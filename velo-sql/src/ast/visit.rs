//! A walk over a tree: override what is of interest, call the `walk_…` function of the same name to go deeper.
//!
//! ```
//! use velo_sql::ast::visit::{Visitor, walk_expr};
//! use velo_sql::ast::{Expr, ExprKind};
//!
//! struct Calls(Vec<String>);
//! impl Visitor for Calls {
//!     fn expr(&mut self, expr: &Expr) {
//!         if let ExprKind::Call(call) = &expr.kind {
//!             self.0.push(call.name.text());
//!         }
//!         walk_expr(self, expr);
//!     }
//! }
//! let mut calls = Calls(Vec::new());
//! calls.expr(&velo_sql::parse_expression("f(g(x)) + 1").unwrap());
//! assert_eq!(calls.0, ["f", "g"]);
//! ```

use crate::ast::*;

/// What a walk meets. Every method goes on into the children unless it is overridden.
pub trait Visitor {
    /// A statement.
    fn statement(&mut self, statement: &Statement) {
        walk_statement(self, statement);
    }
    /// A query, at the top or nested.
    fn query(&mut self, query: &Query) {
        walk_query(self, query);
    }
    /// One SELECT.
    fn select(&mut self, select: &Select) {
        walk_select(self, select);
    }
    /// A relation in FROM.
    fn relation(&mut self, relation: &Relation) {
        walk_relation(self, relation);
    }
    /// A join.
    fn join(&mut self, join: &Join) {
        walk_join(self, join);
    }
    /// An expression.
    fn expr(&mut self, expr: &Expr) {
        walk_expr(self, expr);
    }
    /// A type.
    fn data_type(&mut self, _data_type: &DataType) {}
}

/// Visits the parts of a statement.
pub fn walk_statement<V: Visitor + ?Sized>(v: &mut V, statement: &Statement) {
    match &statement.kind {
        StatementKind::Create(create) => {
            if let Some(schema) = &create.schema {
                walk_schema(v, schema);
            }
            if let Some(query) = &create.query {
                v.query(query);
            }
        }
        StatementKind::CreateFunction(function) => {
            for param in &function.params {
                v.data_type(&param.data_type);
            }
            v.data_type(&function.returns);
            v.expr(&function.body);
        }
        StatementKind::Insert(insert) => v.query(&insert.query),
        StatementKind::Select(select) => v.query(&select.query),
        StatementKind::Explain(explain) => v.statement(&explain.statement),
        StatementKind::StartJob(job) => v.statement(&job.statement),
        StatementKind::Describe(_)
        | StatementKind::Show(_)
        | StatementKind::Drop(_)
        | StatementKind::StopJob { .. }
        | StatementKind::PauseJob(_)
        | StatementKind::ResumeJob(_)
        | StatementKind::Set { .. } => {}
    }
}

fn walk_schema<V: Visitor + ?Sized>(v: &mut V, schema: &TableSchema) {
    for column in &schema.columns {
        if let Some(data_type) = &column.data_type {
            v.data_type(data_type);
        }
        exprs(v, column.computed.iter().chain(&column.default));
    }
    exprs(v, schema.watermarks.iter().filter_map(|watermark| watermark.expr.as_ref()));
}

/// Visits the parts of a query.
pub fn walk_query<V: Visitor + ?Sized>(v: &mut V, query: &Query) {
    for cte in query.with.iter().flat_map(|with| &with.ctes) {
        v.query(&cte.query);
    }
    walk_set_expr(v, &query.body);
    order_by(v, &query.order_by);
    exprs(v, query.limit.iter().chain(&query.offset));
}

/// Visits the parts of what a query computes.
pub fn walk_set_expr<V: Visitor + ?Sized>(v: &mut V, body: &SetExpr) {
    match body {
        SetExpr::Select(select) => v.select(select),
        SetExpr::Values(values) => values.rows.iter().for_each(|row| exprs(v, &row.values)),
        SetExpr::Query(query) => v.query(query),
        SetExpr::SetOperation { left, right, .. } => {
            walk_set_expr(v, left);
            walk_set_expr(v, right);
        }
    }
}

/// Visits the parts of a SELECT.
pub fn walk_select<V: Visitor + ?Sized>(v: &mut V, select: &Select) {
    exprs(v, select.distinct.iter().flat_map(|distinct| &distinct.on));
    for item in &select.items {
        if let SelectItem::Expr { expr, .. } = item {
            v.expr(expr);
        }
    }
    select.from.iter().for_each(|table| walk_table(v, table));
    exprs(v, &select.selection);
    for item in select.group_by.iter().flat_map(|group_by| &group_by.items) {
        match item {
            GroupByItem::Expr(expr) => v.expr(expr),
            GroupByItem::Empty(_) => {}
            GroupByItem::GroupingSets { sets, .. }
            | GroupByItem::Rollup { sets, .. }
            | GroupByItem::Cube { sets, .. } => exprs(v, sets.iter().flatten()),
        }
    }
    exprs(v, select.time_window.iter().flat_map(|window| &window.args).map(|arg| &arg.value));
    exprs(v, select.having.iter().chain(&select.qualify));
    select.named_windows.iter().for_each(|window| walk_window_spec(v, &window.spec));
}

/// Visits a relation and its joins.
pub fn walk_table<V: Visitor + ?Sized>(v: &mut V, table: &TableWithJoins) {
    v.relation(&table.relation);
    table.joins.iter().for_each(|join| v.join(join));
}

/// Visits the parts of a relation.
pub fn walk_relation<V: Visitor + ?Sized>(v: &mut V, relation: &Relation) {
    match &relation.kind {
        RelationKind::Named { as_of, .. } => exprs(v, as_of.as_deref()),
        RelationKind::Derived { query, .. } => v.query(query),
        RelationKind::WindowFunction(function) => {
            if let WindowInput::Query(query) = &function.input {
                v.query(query);
            }
            exprs(v, &function.partition_by);
            order_by(v, &function.order_by);
            exprs(v, function.args.iter().map(|arg| &arg.value));
        }
        RelationKind::Function { args, .. } => call_args(v, args),
        RelationKind::Unnest { args, .. } => exprs(v, args),
        RelationKind::Nested(table) => walk_table(v, table),
        RelationKind::MatchRecognize(matching) => {
            v.relation(&matching.input);
            exprs(v, &matching.partition_by);
            order_by(v, &matching.order_by);
            exprs(v, matching.measures.iter().map(|measure| &measure.expr));
            exprs(v, &matching.within);
            exprs(v, matching.defines.iter().map(|define| &define.condition));
        }
    }
}

/// Visits the parts of a join.
pub fn walk_join<V: Visitor + ?Sized>(v: &mut V, join: &Join) {
    v.relation(&join.relation);
    if let Some(within) = &join.within {
        v.expr(&within.before);
        exprs(v, within.after.iter().chain(&within.grace));
    }
    exprs(v, join.match_condition.as_deref());
    if let JoinConstraint::On(condition) = &join.constraint {
        v.expr(condition);
    }
}

/// Visits the parts of a window of rows.
pub fn walk_window_spec<V: Visitor + ?Sized>(v: &mut V, spec: &WindowSpec) {
    exprs(v, &spec.partition_by);
    order_by(v, &spec.order_by);
    for bound in spec.frame.iter().flat_map(|frame| std::iter::once(&frame.start).chain(&frame.end)) {
        if let FrameBoundKind::Preceding(expr) | FrameBoundKind::Following(expr) = &bound.kind {
            v.expr(expr);
        }
    }
    if let Some(RowBuffer { expire: Some(BufferExpire::AfterInactivity(expr)), .. }) = &spec.buffer {
        v.expr(expr);
    }
}

/// Visits the parts of an expression.
pub fn walk_expr<V: Visitor + ?Sized>(v: &mut V, expr: &Expr) {
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Path(_) | ExprKind::Parameter(_) => {}
        ExprKind::Nested(expr)
        | ExprKind::Unary { expr, .. }
        | ExprKind::IsNull { expr, .. }
        | ExprKind::IsTruth { expr, .. }
        | ExprKind::IsJson { expr, .. }
        | ExprKind::Extract { expr, .. }
        | ExprKind::RoundTo { expr, .. }
        | ExprKind::Field { expr, .. } => v.expr(expr),
        ExprKind::Binary { left, right, .. } | ExprKind::IsDistinctFrom { left, right, .. } => {
            v.expr(left);
            v.expr(right);
        }
        ExprKind::And(operands) | ExprKind::Or(operands) | ExprKind::Array(operands) => exprs(v, operands),
        ExprKind::Between { expr, low, high, .. } => exprs(v, [&**expr, low, high]),
        ExprKind::InList { expr, list, .. } => {
            v.expr(expr);
            exprs(v, list);
        }
        ExprKind::InSubquery { expr, query, .. } => {
            v.expr(expr);
            v.query(query);
        }
        ExprKind::Like { expr, pattern, escape, .. } => {
            v.expr(expr);
            v.expr(pattern);
            exprs(v, escape.as_deref());
        }
        ExprKind::Exists(query) | ExprKind::Subquery(query) => v.query(query),
        ExprKind::Quantified { left, right, .. } => {
            v.expr(left);
            match right {
                QuantifiedSet::Query(query) => v.query(query),
                QuantifiedSet::Expr(expr) => v.expr(expr),
            }
        }
        ExprKind::Case { operand, branches, otherwise } => {
            exprs(v, operand.as_deref());
            exprs(v, branches.iter().flat_map(|branch| [&branch.condition, &branch.result]));
            exprs(v, otherwise.as_deref());
        }
        ExprKind::Cast { expr, data_type, .. } => {
            v.expr(expr);
            v.data_type(data_type);
        }
        ExprKind::Call(call) => walk_call(v, call),
        ExprKind::Position { needle, haystack } => exprs(v, [&**needle, haystack]),
        ExprKind::Substring { expr, from, length } => {
            v.expr(expr);
            exprs(v, from.as_deref().into_iter().chain(length.as_deref()));
        }
        ExprKind::Trim { what, expr, .. } => {
            exprs(v, what.as_deref());
            v.expr(expr);
        }
        ExprKind::AtTimeZone { expr, zone } => exprs(v, [&**expr, zone]),
        ExprKind::Map { entries, .. } => exprs(v, entries.iter().flat_map(|entry| [&entry.key, &entry.value])),
        ExprKind::Struct(items) => exprs(v, items.iter().map(|item| &item.value)),
        ExprKind::Row { items, .. } => exprs(v, items),
        ExprKind::Index { expr, index } => exprs(v, [&**expr, index]),
    }
}

/// Visits the parts of a call.
pub fn walk_call<V: Visitor + ?Sized>(v: &mut V, call: &Call) {
    call_args(v, &call.args);
    order_by(v, &call.order_by);
    order_by(v, &call.within_group);
    exprs(v, &call.filter);
    if let Some(Over::Spec(spec)) = &call.over {
        walk_window_spec(v, spec);
    }
}

fn call_args<V: Visitor + ?Sized>(v: &mut V, args: &[CallArg]) {
    for arg in args {
        match arg {
            CallArg::Positional(value) | CallArg::Named { value, .. } => v.expr(value),
            CallArg::Wildcard(_) => {}
        }
    }
}

fn order_by<V: Visitor + ?Sized>(v: &mut V, items: &[OrderByItem]) {
    items.iter().for_each(|item| v.expr(&item.expr));
}

fn exprs<'a, V: Visitor + ?Sized>(v: &mut V, exprs: impl IntoIterator<Item = &'a Expr>) {
    exprs.into_iter().for_each(|expr| v.expr(expr));
}
