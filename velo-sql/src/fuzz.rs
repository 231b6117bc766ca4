//! Bodies of the fuzz targets: what must hold for any text whatever.

use crate::ast::Expr;
use crate::ast::visit::{Visitor, walk_expr};
use crate::{Diagnostic, Span, format_script, parse_script, print_script, print_statement, render, to_json};

/// Reads a text as a script. Panics where a promise is broken: places lie inside the text, what was read prints, and what is printed reads
/// back as the same.
pub fn script(text: &str) {
    let parsed = parse_script(text);
    for diagnostic in &parsed.diagnostics {
        diagnostic_fits(text, diagnostic);
    }
    render(&parsed.diagnostics, "script.sql", text);
    to_json(&parsed.diagnostics, "script.sql", text);
    for statement in &parsed.statements {
        Places(text).statement(statement);
        let printed = print_statement(statement);
        let again = parse_script(&printed);
        assert!(again.diagnostics.is_empty(), "printed form has mistakes: {printed}\n{:?}", again.diagnostics);
        let kinds: Vec<_> = again.statements.iter().map(|statement| &statement.kind).collect();
        assert_eq!(kinds, [&statement.kind], "printed form reads as something else: {printed}");
        assert_eq!(print_statement(&again.statements[0]), printed, "printed form is not stable");
    }
    assert_eq!(
        parse_script(&print_script(&parsed.statements)).statements,
        parsed.statements,
        "annotations are not kept"
    );
    if let Ok(formatted) = format_script(text) {
        assert!(parsed.diagnostics.is_empty());
        assert_eq!(
            parse_script(&formatted).statements,
            parsed.statements,
            "the formatter changed the script: {formatted}"
        );
    } else {
        assert!(!parsed.diagnostics.is_empty());
    }
}

fn diagnostic_fits(text: &str, diagnostic: &Diagnostic) {
    assert!(!diagnostic.message.is_empty());
    fits(text, diagnostic.primary.span);
    for label in &diagnostic.secondary {
        fits(text, label.span);
    }
}

fn fits(text: &str, span: Span) {
    assert!(text.get(span.range()).is_some(), "a span does not fit the text: {span:?}");
}

struct Places<'a>(&'a str);

impl Visitor for Places<'_> {
    fn expr(&mut self, expr: &Expr) {
        fits(self.0, expr.span);
        assert!(expr.span.start < expr.span.end, "an expression without a place: {expr:?}");
        walk_expr(self, expr);
    }
}
