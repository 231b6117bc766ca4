//! `INSERT INTO name [(columns)] query`, and a query as a statement.

use crate::ast::{Insert, SelectStatement, StatementKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, keyword};
use crate::parse::cte;
use crate::parse::error::Expected;
use crate::parse::expr::starts_query;
use crate::parse::input::{Input, report};
use crate::parse::names::object_name;
use crate::parse::options::with_properties;
use crate::parse::select::{once, outer_query};

/// `INSERT INTO …`.
pub(crate) fn insert(input: Input<'_>) -> Parsed<'_, StatementKind> {
    let (input, _) = keyword(Keyword::Into)(input.skip(1))?;
    let (input, into) = object_name(input)?;
    let is_list = input.is_kind(0, TokenKind::LeftParen)
        && !starts_query(input.skip(1))
        && !input.is_kind(1, TokenKind::LeftParen);
    let (input, columns) = if is_list { cte::columns(input)? } else { (input, Vec::new()) };
    if !is_list {
        input.note(Expected::Sign(TokenKind::LeftParen));
    }
    let (input, before) = if input.is(Keyword::With) && input.is_kind(1, TokenKind::LeftParen) {
        let (rest, properties) = with_properties(input)?;
        (rest, Some(properties))
    } else {
        (input, None)
    };
    let (input, outer) = outer_query(input)?;
    if let Some(name) = &outer.into {
        return report(
            Diagnostic::error(
                Code::SYNTAX,
                name.span(),
                "an INSERT has its target already, and INTO gives another one",
            )
            .also(into.span(), "the target"),
        );
    }
    if !outer.properties.is_empty() {
        once(
            "WITH",
            outer.properties.span,
            before.as_ref().map(|before| before.span),
            "put all properties into one WITH",
        )?;
    }
    let properties = before.unwrap_or(outer.properties);
    Ok((input, StatementKind::Insert(Box::new(Insert { into, columns, query: Box::new(outer.query), properties }))))
}

/// A query as a statement.
pub(crate) fn select_statement(input: Input<'_>) -> Parsed<'_, StatementKind> {
    let (input, outer) = outer_query(input)?;
    let statement = SelectStatement { query: outer.query, into: outer.into, properties: outer.properties };
    Ok((input, StatementKind::Select(Box::new(statement))))
}
