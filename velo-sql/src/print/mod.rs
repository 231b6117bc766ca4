//! Trees to SQL. What is printed reads back as the same tree; the layout is that of the formatter.

mod comments;
mod expr;
mod layout;
mod names;
mod query;
mod statement;

pub(crate) use comments::format;

use crate::ast::{Annotation, Expr, Query, Statement};
use layout::Layout;

/// A statement without annotations and semicolon.
pub(crate) fn statement(statement: &Statement) -> String {
    let mut out = Layout::default();
    statement::statement(&mut out, statement);
    out.finish(0)
}

/// A statement with each clause, item and property on a line of its own.
fn statement_in_lines(statement: &Statement) -> String {
    let mut out = Layout::default();
    statement::statement(&mut out, statement);
    out.finish(2)
}

/// A query.
pub(crate) fn query(query: &Query) -> String {
    let mut out = Layout::default();
    out.group(|out| query::clauses(out, query));
    out.finish(0)
}

/// An expression.
pub(crate) fn expression(expr: &Expr) -> String {
    let mut out = Layout::default();
    expr::expr(&mut out, expr);
    out.finish(0)
}

/// Statements with their annotations, each ended by a semicolon, with blank lines in between.
pub(crate) fn script(statements: &[Statement]) -> String {
    let mut out = String::new();
    for (index, each) in statements.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        for annotation in &each.annotations {
            out.push_str(&self::annotation(annotation));
            out.push('\n');
        }
        out.push_str(&statement(each));
        out.push_str(";\n");
    }
    out
}

fn annotation(annotation: &Annotation) -> String {
    let value = &annotation.value;
    let is_quoted = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    let bare = value.trim() == value && !is_quoted('"') && !is_quoted('\'');
    let value = if bare { value.clone() } else { format!("\"{value}\"") };
    match annotation.name.as_str() {
        "application" => format!("-- SQL Application: {value}"),
        name if value.is_empty() => format!("-- @{name}"),
        name => format!("-- @{name}: {value}"),
    }
}
