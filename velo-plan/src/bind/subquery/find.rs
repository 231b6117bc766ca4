//! Where sub-queries stand in expressions, and what expressions name.

use velo_sql::ast::visit::{Visitor, walk_expr};
use velo_sql::ast::{BinaryOp, Call, Expr as Ast, ExprKind, ObjectName, QuantifiedSet, Quantifier, Query};

/// What an expression asks of a sub-query, as far as its planning depends on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Whether there are rows.
    Exists,
    /// Whether a value is among its rows.
    Member,
    /// How a value compares with its rows.
    Compared,
    /// Its value.
    Value,
}

/// A sub-query in an expression.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) query: Query,
    pub(super) form: Form,
}

fn form_of(expr: &Ast) -> Option<(&Query, Form)> {
    match &expr.kind {
        ExprKind::Exists(query) => Some((query, Form::Exists)),
        ExprKind::Subquery(query) => Some((query, Form::Value)),
        ExprKind::InSubquery { query, .. } => Some((query, Form::Member)),
        ExprKind::Quantified { op, quantifier, right: QuantifiedSet::Query(query), .. } => {
            let form = match (op, quantifier) {
                (BinaryOp::Equal, Quantifier::Any) | (BinaryOp::NotEqual, Quantifier::All) => Form::Member,
                _ => Form::Compared,
            };
            Some((query, form))
        }
        _ => None,
    }
}

/// The sub-queries of an expression, without those inside of them.
#[derive(Default)]
pub(super) struct Subqueries(pub(super) Vec<Found>);

impl Visitor for Subqueries {
    fn query(&mut self, _: &Query) {
        // Its own sub-queries are planned with it.
    }

    fn expr(&mut self, expr: &Ast) {
        if let Some((query, form)) = form_of(expr) {
            self.0.push(Found { query: query.clone(), form });
        }
        walk_expr(self, expr);
    }
}

/// Whether there is a sub-query in an expression.
pub(in crate::bind) fn has_subquery(expr: &Ast) -> bool {
    let mut found = Subqueries::default();
    found.expr(expr);
    !found.0.is_empty()
}

/// The columns and functions that an expression names outside of its sub-queries.
#[derive(Default)]
pub(super) struct Names {
    pub(super) columns: Vec<ObjectName>,
    /// Calls over groups or of scalars, by name.
    pub(super) calls: Vec<String>,
    /// Whether there is a row window.
    pub(super) over: bool,
}

impl Names {
    pub(super) fn of(expr: &Ast) -> Self {
        let mut names = Self::default();
        names.expr(expr);
        names
    }

    fn call(&mut self, call: &Call) {
        match call.over {
            Some(_) => self.over = true,
            None => self.calls.push(call.name.text().to_lowercase()),
        }
    }
}

impl Visitor for Names {
    fn query(&mut self, _: &Query) {}

    fn expr(&mut self, expr: &Ast) {
        match &expr.kind {
            ExprKind::Path(name) => self.columns.push(name.clone()),
            ExprKind::Call(call) => self.call(call),
            _ => {}
        }
        walk_expr(self, expr);
    }
}
