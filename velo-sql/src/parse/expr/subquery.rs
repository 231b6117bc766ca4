//! Queries inside expressions.

use crate::ast::{Expr, ExprKind, Query, SetExpr};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, sign};
use crate::parse::input::Input;
use crate::parse::select;

/// Whether a query begins here.
pub(crate) fn starts_query(input: Input<'_>) -> bool {
    match input.keyword() {
        Some(Keyword::Select | Keyword::With) => true,
        Some(Keyword::Values) => input.is_kind(1, TokenKind::LeftParen),
        _ => false,
    }
}

/// `(query)`.
pub(crate) fn subquery(input: Input<'_>) -> Parsed<'_, Query> {
    let (input, _) = sign(TokenKind::LeftParen)(input)?;
    let (input, query) = select::inner_query(input)?;
    let (input, _) = sign(TokenKind::RightParen)(input)?;
    Ok((input, query))
}

/// `EXISTS (query)`.
pub(super) fn exists(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    let (rest, query) = subquery(input.skip(1))?;
    Ok((rest, Expr::new(ExprKind::Exists(Box::new(query)), rest.since(start))))
}

/// Whether a query in parentheses is only the first part of a query: `((SELECT 1) UNION SELECT 2)`.
pub(crate) fn continues_query(input: Input<'_>) -> bool {
    use Keyword::*;
    matches!(input.keyword(), Some(Union | Except | Intersect | Order | Limit | Offset | Fetch))
}

/// What follows a query in parentheses that is only the first part.
pub(crate) fn continued(input: Input<'_>, first: Query) -> Parsed<'_, Query> {
    select::rest_of_query(input, SetExpr::Query(Box::new(first)))
}
