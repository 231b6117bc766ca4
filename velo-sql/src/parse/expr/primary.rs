//! Operands: constants, names, parentheses, and the words that begin an expression of their own.

use crate::ast::{Expr, ExprKind, Literal, TimeLiteralKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind, Use, literal};
use crate::parse::combinator::{Parsed, expected, list, sign};
use crate::parse::expr::precedence::{EXPRESSION, expr};
use crate::parse::expr::{access, call, case, cast, interval, starts_query, subquery};
use crate::parse::input::Input;
use crate::parse::names;
use crate::span::Span;

/// An operand with the accesses after it.
pub(super) fn operand(input: Input<'_>) -> Parsed<'_, Expr> {
    let (rest, found) = primary(input)?;
    access::postfix(rest, found)
}

fn primary(input: Input<'_>) -> Parsed<'_, Expr> {
    let token = input.peek(0);
    let text = || input.text(token);
    let kind = match token.kind {
        TokenKind::Number => ExprKind::Literal(Literal::Number(text().to_owned())),
        TokenKind::String => ExprKind::Literal(Literal::String(literal::unquote(text()))),
        TokenKind::EscapedString => ExprKind::Literal(Literal::String(literal::unescape(text()))),
        TokenKind::HexString => ExprKind::Literal(Literal::Bytes(text()[2..text().len() - 1].to_ascii_lowercase())),
        TokenKind::Duration => match literal::bare_duration(text()) {
            Some(interval) => ExprKind::Literal(Literal::Interval(interval)),
            None => return expected(input, &EXPRESSION),
        },
        TokenKind::Parameter | TokenKind::Question => ExprKind::Parameter(text().to_owned()),
        TokenKind::LeftParen => return parenthesis(input),
        TokenKind::QuotedName | TokenKind::Word(None) => return call::name_or_call(input),
        TokenKind::Word(Some(keyword)) => return word(input, keyword),
        _ => return expected(input, &EXPRESSION),
    };
    Ok((input.skip(1), Expr::new(kind, token.span)))
}

/// An operand that begins with a word of the grammar. Words that need something after them to mean more than a name are names without it.
fn word(input: Input<'_>, keyword: Keyword) -> Parsed<'_, Expr> {
    use Keyword::*;
    let before = |kind| input.is_kind(1, kind);
    let called = before(TokenKind::LeftParen);
    match keyword {
        Null => Ok(constant(input, Literal::Null)),
        True => Ok(constant(input, Literal::Boolean(true))),
        False => Ok(constant(input, Literal::Boolean(false))),
        Case => case::case(input),
        Cast | TryCast if called => cast::cast(input),
        Exists if called && starts_query(input.skip(2)) => subquery::exists(input),
        Interval if interval::follows(input.skip(1)) => interval::interval(input),
        Date if before(TokenKind::String) => Ok(time(input, TimeLiteralKind::Date)),
        Time if before(TokenKind::String) => Ok(time(input, TimeLiteralKind::Time)),
        Timestamp if before(TokenKind::String) => Ok(time(input, TimeLiteralKind::Timestamp)),
        Array if before(TokenKind::LeftBracket) => access::array(input),
        Map if before(TokenKind::LeftBracket) || called => access::map(input),
        Struct if called => access::structure(input),
        Row if called => access::row(input),
        Extract if called => call::extract(input),
        Position if called => call::position(input),
        Substring if called => call::substring(input),
        Trim if called => call::trim(input),
        Floor | Ceil | Ceiling if called => call::round(input),
        CurrentDate | CurrentTime | CurrentTimestamp if !called => Ok(call::without_parentheses(input)),
        _ if keyword.usage() == Use::Reserved => expected(input, &EXPRESSION),
        _ => call::name_or_call(input),
    }
}

fn constant(input: Input<'_>, literal: Literal) -> (Input<'_>, Expr) {
    (input.skip(1), Expr::new(ExprKind::Literal(literal), input.span()))
}

fn time(input: Input<'_>, kind: TimeLiteralKind) -> (Input<'_>, Expr) {
    let text = literal::unquote(input.text(input.peek(1)));
    let span = input.span().to(input.peek(1).span);
    (input.skip(2), Expr::new(ExprKind::Literal(Literal::Time { kind, text }), span))
}

/// `(expr)`, `(a, b)`, `(SELECT …)`.
fn parenthesis(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    if starts_query(input.skip(1)) {
        let (rest, query) = subquery(input)?;
        return Ok((rest, Expr::new(ExprKind::Subquery(Box::new(query)), rest.since(start))));
    }
    if input.is_kind(1, TokenKind::RightParen) {
        return crate::parse::input::report(
            Diagnostic::error(Code::SYNTAX, start.to(input.peek(1).span), "there is nothing in these parentheses")
                .help("write an expression in them"),
        );
    }
    let (rest, mut items) = list(expr)(input.skip(1))?;
    if let (1, Some(Expr { kind: ExprKind::Subquery(_), .. })) = (items.len(), items.first())
        && subquery::continues_query(rest)
        && let Some(Expr { kind: ExprKind::Subquery(query), .. }) = items.pop()
    {
        let (rest, query) = subquery::continued(rest, *query)?;
        let (rest, _) = sign(TokenKind::RightParen)(rest)?;
        return Ok((rest, Expr::new(ExprKind::Subquery(Box::new(query)), rest.since(start))));
    }
    let (rest, _) = sign(TokenKind::RightParen)(rest)?;
    let span: Span = rest.since(start);
    let kind = match items.pop() {
        Some(only) if items.is_empty() => ExprKind::Nested(Box::new(only)),
        last => {
            items.extend(last);
            ExprKind::Row { items, explicit: false }
        }
    };
    Ok((rest, Expr::new(kind, span)))
}

/// A name of one or more parts as an expression.
pub(super) fn path(input: Input<'_>) -> Parsed<'_, Expr> {
    let (rest, name) = names::object_name(input)?;
    let span = name.span();
    Ok((rest, Expr::new(ExprKind::Path(name), span)))
}
