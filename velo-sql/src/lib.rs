//! SQL text of the Velo dialect to a spanned syntax tree and back.
//!
//! [`parse_script`] reads a whole script and finds all mistakes of its statements at once; it never panics, whatever the input.
//! [`print_statement`] writes a tree as SQL again, and [`format_script`] does so for a script and keeps its comments. What the names
//! in a script mean is not known here.

pub mod ast;
pub mod diagnostic;
pub mod fuzz;
mod lex;
mod parse;
mod print;
mod span;

pub use diagnostic::{Code, Diagnostic, Label, Severity, render, to_json};
pub use span::{Place, SourceText, Span};

use ast::{Expr, Query, Statement};

/// What [`parse_script`] gives: the statements that could be read, and every mistake.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The statements in the order of the script. A statement with a mistake is missing here, unless what was meant is clear.
    pub statements: Vec<Statement>,
    /// The mistakes in the order of the script; empty if and only if every statement was read.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a script: statements with semicolons between them.
pub fn parse_script(text: &str) -> Parsed {
    parse::script(text)
}

/// Reads one expression.
pub fn parse_expression(text: &str) -> Result<Expr, Vec<Diagnostic>> {
    parse::expression(text)
}

/// Reads one query, without a semicolon after it.
pub fn parse_select(text: &str) -> Result<Query, Vec<Diagnostic>> {
    parse::query(text)
}

/// A statement as SQL, without its annotations and without a semicolon.
pub fn print_statement(statement: &Statement) -> String {
    print::statement(statement)
}

/// Statements as a script: with their annotations, each ended by a semicolon.
pub fn print_script(statements: &[Statement]) -> String {
    print::script(statements)
}

/// A script in the standard layout, with its comments. A script with mistakes is not touched.
pub fn format_script(text: &str) -> Result<String, Vec<Diagnostic>> {
    print::format(text)
}

/// A query as SQL.
pub fn print_query(query: &Query) -> String {
    print::query(query)
}

/// An expression as SQL.
pub fn print_expression(expr: &Expr) -> String {
    print::expression(expr)
}
