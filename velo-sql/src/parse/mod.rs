//! Tokens to tree. Written by hand as recursive descent over the tokens: it never goes back, so it is linear in the script,
//! and it knows at every token what it would have accepted there.

mod create;
mod expr;
mod from;
mod literal;
mod parser;
mod pattern;
mod query;
mod row_window;
mod statement;
mod time_window;
mod types;

use parser::Parser;

use crate::ast::{Expr, Statement};
use crate::diagnostic::Diagnostic;

/// What became of a script.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// The statements that were understood.
    pub statements: Vec<Statement>,
    /// The mistakes, by place. Where there is one, something is missing from `statements`.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses a script: statements separated by `;`. After a mistake it goes on with the next statement.
pub fn parse_script(text: &str) -> Parsed {
    let mut parser = Parser::new(text);
    let statements = parser.script();
    let mut diagnostics = parser.into_diagnostics();
    diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span.start);
    Parsed { statements, diagnostics }
}

/// Parses one expression, with nothing behind it.
pub fn parse_expression(text: &str) -> Result<Expr, Vec<Diagnostic>> {
    let mut parser = Parser::new(text);
    let parsed = parser.whole_expression();
    match (parsed, parser.into_diagnostics()) {
        (Ok(expr), diagnostics) if diagnostics.is_empty() => Ok(expr),
        (_, diagnostics) => Err(diagnostics),
    }
}
