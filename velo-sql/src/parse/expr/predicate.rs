//! Tests after their operand: IS, BETWEEN, IN, LIKE and kin, `~`, ANY and ALL.

use crate::ast::{BinaryOp, Expr, ExprKind, JsonKind, LikeKind, QuantifiedSet, Quantifier, Truth};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, expected, flag, keyword, list, parens, sign};
use crate::parse::error::Rule;
use crate::parse::expr::precedence::{OTHER, climb, expr};
use crate::parse::expr::{starts_query, subquery};
use crate::parse::input::{Input, report};
use crate::span::Span;

static TEST: Rule = Rule {
    name: "`NULL`, `TRUE`, `FALSE`, `DISTINCT FROM` or `JSON`",
    words: &["NULL", "TRUE", "FALSE", "UNKNOWN", "DISTINCT", "JSON"],
};
static PREDICATE: Rule =
    Rule { name: "`IN`, `LIKE` or `BETWEEN`", words: &["IN", "LIKE", "ILIKE", "BETWEEN", "SIMILAR", "REGEXP"] };

/// Whether NOT in the middle of an expression begins a test: always but in the NOT NULL and NOT ENFORCED of a column.
pub(super) fn is_test(input: Input<'_>) -> bool {
    !matches!(input.keyword(), Some(Keyword::Null | Keyword::Enforced))
}

/// `IS [NOT] …`.
pub(super) fn is<'a>(input: Input<'a>, left: Expr) -> Parsed<'a, Expr> {
    let start = left.span;
    let left = Box::new(left);
    let (input, negated) = flag(Keyword::Not)(input.skip(1))?;
    let (rest, kind) = match input.keyword() {
        Some(Keyword::Null) => (input.skip(1), ExprKind::IsNull { expr: left, negated }),
        Some(Keyword::True) => (input.skip(1), ExprKind::IsTruth { expr: left, value: Truth::True, negated }),
        Some(Keyword::False) => (input.skip(1), ExprKind::IsTruth { expr: left, value: Truth::False, negated }),
        Some(Keyword::Unknown) => (input.skip(1), ExprKind::IsTruth { expr: left, value: Truth::Unknown, negated }),
        Some(Keyword::Json) => {
            let (rest, kind) = json_kind(input.skip(1));
            (rest, ExprKind::IsJson { expr: left, kind, negated })
        }
        Some(Keyword::Distinct) => {
            let (rest, _) = keyword(Keyword::From)(input.skip(1))?;
            let (rest, right) = climb(rest, OTHER)?;
            (rest, ExprKind::IsDistinctFrom { left, right: Box::new(right), negated })
        }
        _ => return expected(input, &TEST),
    };
    Ok((rest, Expr::new(kind, rest.since(start))))
}

fn json_kind(input: Input<'_>) -> (Input<'_>, JsonKind) {
    match input.keyword() {
        Some(Keyword::Value) => (input.skip(1), JsonKind::Value),
        Some(Keyword::Object) => (input.skip(1), JsonKind::Object),
        Some(Keyword::Array) => (input.skip(1), JsonKind::Array),
        Some(Keyword::Scalar) => (input.skip(1), JsonKind::Scalar),
        _ => (input, JsonKind::Value),
    }
}

/// `[NOT] BETWEEN`, `[NOT] IN`, `[NOT] LIKE …`, `~ …`.
pub(super) fn predicate<'a>(input: Input<'a>, left: Expr) -> Parsed<'a, Expr> {
    let start = left.span;
    let not = input.is(Keyword::Not);
    let input = if not { input.skip(1) } else { input };
    let (rest, kind) = match input.kind() {
        TokenKind::Tilde => regex(input, left, BinaryOp::RegexMatch)?,
        TokenKind::TildeStar => regex(input, left, BinaryOp::RegexMatchIgnoreCase)?,
        TokenKind::BangTilde => regex(input, left, BinaryOp::NotRegexMatch)?,
        TokenKind::BangTildeStar => regex(input, left, BinaryOp::NotRegexMatchIgnoreCase)?,
        TokenKind::Word(Some(Keyword::Between)) => between(input.skip(1), left, not)?,
        TokenKind::Word(Some(Keyword::In)) => in_set(input.skip(1), left, not)?,
        TokenKind::Word(Some(Keyword::Like)) => like(input.skip(1), left, not, LikeKind::Like)?,
        TokenKind::Word(Some(Keyword::Ilike)) => like(input.skip(1), left, not, LikeKind::ILike)?,
        TokenKind::Word(Some(Keyword::Rlike | Keyword::Regexp)) => like(input.skip(1), left, not, LikeKind::Regexp)?,
        TokenKind::Word(Some(Keyword::Similar)) => {
            let (rest, _) = keyword(Keyword::To)(input.skip(1))?;
            like(rest, left, not, LikeKind::SimilarTo)?
        }
        _ => return expected(input, &PREDICATE),
    };
    Ok((rest, Expr::new(kind, rest.since(start))))
}

fn regex<'a>(input: Input<'a>, left: Expr, op: BinaryOp) -> Parsed<'a, ExprKind> {
    let op_span = input.span();
    let (rest, right) = climb(input.skip(1), OTHER)?;
    Ok((rest, ExprKind::Binary { left: Box::new(left), op, op_span, right: Box::new(right) }))
}

fn between<'a>(input: Input<'a>, left: Expr, negated: bool) -> Parsed<'a, ExprKind> {
    let symmetric = input.is(Keyword::Symmetric);
    let input = if symmetric { input.skip(1) } else { input };
    let (input, low) = climb(input, OTHER)?;
    let (input, _) = keyword(Keyword::And)(input)?;
    let (input, high) = climb(input, OTHER)?;
    let (expr, low, high) = (Box::new(left), Box::new(low), Box::new(high));
    Ok((input, ExprKind::Between { expr, low, high, negated, symmetric }))
}

fn in_set<'a>(input: Input<'a>, left: Expr, negated: bool) -> Parsed<'a, ExprKind> {
    let expr_box = Box::new(left);
    if input.is_kind(0, TokenKind::LeftParen) && starts_query(input.skip(1)) {
        let (rest, query) = subquery(input)?;
        return Ok((rest, ExprKind::InSubquery { expr: expr_box, query: Box::new(query), negated }));
    }
    if input.is_kind(0, TokenKind::LeftParen) && input.is_kind(1, TokenKind::RightParen) {
        let span = input.span().to(input.peek(1).span);
        return report(
            Diagnostic::error(Code::SYNTAX, span, "IN needs at least one value")
                .help("an empty list matches nothing: write FALSE"),
        );
    }
    let (rest, list) = parens(list(expr))(input)?;
    Ok((rest, ExprKind::InList { expr: expr_box, list, negated }))
}

fn like<'a>(input: Input<'a>, left: Expr, negated: bool, kind: LikeKind) -> Parsed<'a, ExprKind> {
    let (input, pattern) = climb(input, OTHER)?;
    let (input, escape) = if input.is(Keyword::Escape) {
        let (rest, escape) = climb(input.skip(1), OTHER)?;
        (rest, Some(Box::new(escape)))
    } else {
        (input, None)
    };
    Ok((input, ExprKind::Like { kind, expr: Box::new(left), pattern: Box::new(pattern), escape, negated }))
}

/// `ANY (…)`, `ALL (…)` after a comparison.
pub(super) fn quantified<'a>(input: Input<'a>, left: Expr, op: BinaryOp, op_span: Span) -> Parsed<'a, Expr> {
    let start = left.span;
    let quantifier = if input.is(Keyword::All) { Quantifier::All } else { Quantifier::Any };
    let input = input.skip(1);
    let (rest, right) = if starts_query(input.skip(1)) {
        let (rest, query) = subquery(input)?;
        (rest, QuantifiedSet::Query(Box::new(query)))
    } else {
        let (rest, _) = sign(TokenKind::LeftParen)(input)?;
        let (rest, set) = expr(rest)?;
        let (rest, _) = sign(TokenKind::RightParen)(rest)?;
        (rest, QuantifiedSet::Expr(Box::new(set)))
    };
    let kind = ExprKind::Quantified { left: Box::new(left), op, op_span, quantifier, right };
    Ok((rest, Expr::new(kind, rest.since(start))))
}
