//! CASE in both forms.

use crate::ast::{CaseBranch, Expr, ExprKind};
use crate::lex::Keyword;
use crate::parse::combinator::{Parsed, keyword};
use crate::parse::error::Expected;
use crate::parse::expr::precedence::expr;
use crate::parse::input::Input;

/// `CASE [x] WHEN … THEN … [ELSE …] END`.
pub(super) fn case(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    let mut rest = input.skip(1);
    let mut operand = None;
    if !rest.is(Keyword::When) {
        rest.note(Expected::Keyword(Keyword::When));
        let (after, found) = expr(rest)?;
        (rest, operand) = (after, Some(Box::new(found)));
    }
    let mut branches = Vec::new();
    loop {
        let (after, _) = keyword(Keyword::When)(rest)?;
        let (after, condition) = expr(after)?;
        let (after, _) = keyword(Keyword::Then)(after)?;
        let (after, result) = expr(after)?;
        branches.push(CaseBranch { condition, result });
        rest = after;
        if !rest.is(Keyword::When) {
            rest.note(Expected::Keyword(Keyword::When));
            break;
        }
    }
    let mut otherwise = None;
    if rest.is(Keyword::Else) {
        let (after, found) = expr(rest.skip(1))?;
        (rest, otherwise) = (after, Some(Box::new(found)));
    } else {
        rest.note(Expected::Keyword(Keyword::Else));
    }
    let (rest, _) = keyword(Keyword::End)(rest)?;
    Ok((rest, Expr::new(ExprKind::Case { operand, branches, otherwise }, rest.since(start))))
}
