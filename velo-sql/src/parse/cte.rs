//! `WITH name AS (query)`.

use crate::ast::{Cte, Ident, With};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, keyword, list, parens};
use crate::parse::expr::subquery;
use crate::parse::input::Input;
use crate::parse::names::{column, ident};

/// The WITH of a query, where there is one.
pub(crate) fn with(input: Input<'_>) -> Parsed<'_, Option<With>> {
    let start = input.span();
    if !input.is(Keyword::With) {
        return Ok((input, None));
    }
    let input = input.skip(1);
    let recursive = input.is(Keyword::Recursive)
        && !matches!(input.peek(1).keyword(), Some(Keyword::As))
        && !input.is_kind(1, TokenKind::LeftParen);
    let input = if recursive { input.skip(1) } else { input };
    let (input, ctes) = list(cte)(input)?;
    Ok((input, Some(With { recursive, ctes, span: input.since(start) })))
}

fn cte(input: Input<'_>) -> Parsed<'_, Cte> {
    let start = input.span();
    let (input, name) = ident(input)?;
    let (input, columns) = columns(input)?;
    let (input, _) = keyword(Keyword::As)(input)?;
    let (input, query) = subquery(input)?;
    Ok((input, Cte { name, columns, query: Box::new(query), span: input.since(start) }))
}

/// `(a, b)` where there is one.
pub(crate) fn columns(input: Input<'_>) -> Parsed<'_, Vec<Ident>> {
    if !input.is_kind(0, TokenKind::LeftParen) {
        input.note(crate::parse::error::Expected::Sign(TokenKind::LeftParen));
        return Ok((input, Vec::new()));
    }
    parens(list(column))(input)
}
