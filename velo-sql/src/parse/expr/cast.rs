//! CAST, TRY_CAST.

use crate::ast::{CastSpelling, Expr, ExprKind};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, keyword, sign};
use crate::parse::expr::precedence::expr;
use crate::parse::input::Input;
use crate::parse::types::data_type;

/// `CAST(x AS type)`, `TRY_CAST(x AS type)`.
pub(super) fn cast(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    let spelling = if input.is(Keyword::Cast) { CastSpelling::Cast } else { CastSpelling::TryCast };
    let (input, _) = sign(TokenKind::LeftParen)(input.skip(1))?;
    let (input, value) = expr(input)?;
    let (input, _) = keyword(Keyword::As)(input)?;
    let (input, data_type) = data_type(input)?;
    let (input, _) = sign(TokenKind::RightParen)(input)?;
    let kind = ExprKind::Cast { expr: Box::new(value), data_type, spelling };
    Ok((input, Expr::new(kind, input.since(start))))
}
