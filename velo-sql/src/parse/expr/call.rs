//! Names and calls: what can stand in the parentheses and after them, and the calls with words inside.

use crate::ast::{
    Call, CallArg, Direction, Expr, ExprKind, Ident, NullTreatment, NullsOrder, ObjectName, OrderByItem, Over,
    Rounding, TrimSide,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, expected, flag, keyword, keywords, list, sign};
use crate::parse::error::{Expected, Rule};
use crate::parse::expr::precedence::{OTHER, climb, expr};
use crate::parse::expr::primary;
use crate::parse::input::{Input, report};
use crate::parse::names::{ident, part, to_ident};
use crate::parse::row_window;

static FIELD: Rule = Rule {
    name: "a field such as `HOUR`",
    words: &["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "EPOCH", "DOW", "DOY"],
};
static NULLS_ORDER: Rule = Rule { name: "`FIRST` or `LAST`", words: &["FIRST", "LAST"] };

/// A column, or a call where a parenthesis follows.
pub(super) fn name_or_call(input: Input<'_>) -> Parsed<'_, Expr> {
    let (rest, found) = primary::path(input)?;
    match found.kind {
        ExprKind::Path(name) if rest.is_kind(0, TokenKind::LeftParen) => call(rest, name),
        kind => Ok((rest, Expr::new(kind, found.span))),
    }
}

/// CURRENT_TIMESTAMP and kin, which need no parentheses.
pub(super) fn without_parentheses(input: Input<'_>) -> (Input<'_>, Expr) {
    let name = ObjectName { parts: vec![to_ident(input, input.peek(0))] };
    let span = input.span();
    (input.skip(1), Expr::new(ExprKind::Call(Box::new(plain(name, Vec::new()))), span))
}

fn plain(name: ObjectName, args: Vec<CallArg>) -> Call {
    Call {
        name,
        distinct: false,
        args,
        order_by: Vec::new(),
        nulls: None,
        within_group: Vec::new(),
        filter: None,
        over: None,
    }
}

/// `(…)` after a function name, with FILTER, OVER and what else follows.
fn call<'a>(input: Input<'a>, name: ObjectName) -> Parsed<'a, Expr> {
    let start = name.span();
    let mut call = plain(name, Vec::new());
    let mut rest = input.skip(1);
    if rest.is(Keyword::Distinct) {
        (rest, call.distinct) = (rest.skip(1), true);
    } else if rest.is(Keyword::All) {
        rest = rest.skip(1);
    }
    if !rest.is_kind(0, TokenKind::RightParen) {
        (rest, call.args) = call_args(rest)?;
        if call.args.len() == 1 && rest.is_word(0, "PLACING") {
            rest = placing(rest, &mut call.args)?;
        }
        if rest.is(Keyword::Order) {
            (rest, call.order_by) = order_by(rest)?;
        }
        (rest, call.nulls) = null_treatment(rest)?;
    }
    (rest, _) = sign(TokenKind::RightParen)(rest)?;
    let (rest, call) = after_call(rest, call)?;
    Ok((rest, Expr::new(ExprKind::Call(Box::new(call)), rest.since(start))))
}

/// `PLACING new FROM place [FOR length]` of OVERLAY, as its further arguments.
fn placing<'a>(input: Input<'a>, args: &mut Vec<CallArg>) -> Result<Input<'a>, nom::Err<crate::parse::error::Fault>> {
    let (rest, new) = expr(input.skip(1))?;
    let (rest, _) = keyword(Keyword::From)(rest)?;
    let (mut rest, place) = expr(rest)?;
    args.extend([CallArg::Positional(new), CallArg::Positional(place)]);
    if rest.is(Keyword::For) {
        let (after, length) = expr(rest.skip(1))?;
        args.push(CallArg::Positional(length));
        rest = after;
    }
    Ok(rest)
}

fn after_call<'a>(input: Input<'a>, mut call: Call) -> Parsed<'a, Call> {
    let mut rest = input;
    if rest.are(&[Keyword::Within, Keyword::Group]) {
        let (after, _) = sign(TokenKind::LeftParen)(rest.skip(2))?;
        let (after, items) = order_by(after)?;
        let (after, _) = sign(TokenKind::RightParen)(after)?;
        (rest, call.within_group) = (after, items);
    }
    if rest.is(Keyword::Filter) && rest.is_kind(1, TokenKind::LeftParen) {
        let (after, _) = keyword(Keyword::Where)(rest.skip(2))?;
        let (after, condition) = expr(after)?;
        let (after, _) = sign(TokenKind::RightParen)(after)?;
        (rest, call.filter) = (after, Some(condition));
    }
    if call.nulls.is_none() {
        (rest, call.nulls) = null_treatment(rest)?;
    }
    if rest.is(Keyword::Over) {
        let after = rest.skip(1);
        if after.is_kind(0, TokenKind::LeftParen) {
            let (after, spec) = row_window::spec(after)?;
            (rest, call.over) = (after, Some(Over::Spec(Box::new(spec))));
        } else {
            after.note(Expected::Sign(TokenKind::LeftParen));
            if matches!(after.peek(1).keyword(), Some(Keyword::By)) {
                let message = "the window of OVER stands in parentheses";
                return report(
                    Diagnostic::error(Code::SYNTAX, after.span(), message)
                        .help("write OVER (PARTITION BY … ORDER BY …)"),
                );
            }
            let (after, name) = ident(after)?;
            (rest, call.over) = (after, Some(Over::Named(name)));
        }
    }
    Ok((rest, call))
}

fn null_treatment(input: Input<'_>) -> Parsed<'_, Option<NullTreatment>> {
    let treatment = match input.keyword() {
        Some(Keyword::Ignore) => NullTreatment::Ignore,
        Some(Keyword::Respect) => NullTreatment::Respect,
        _ => return Ok((input, None)),
    };
    keyword(Keyword::Nulls)(input.skip(1)).map(|(rest, _)| (rest, Some(treatment)))
}

/// Arguments with commas in between; at least one.
pub(crate) fn call_args(input: Input<'_>) -> Parsed<'_, Vec<CallArg>> {
    list(call_arg)(input)
}

fn call_arg(input: Input<'_>) -> Parsed<'_, CallArg> {
    let token = input.peek(0);
    if token.kind == TokenKind::Star {
        return Ok((input.skip(1), CallArg::Wildcard(token.span)));
    }
    let is_name = matches!(token.kind, TokenKind::Word(_) | TokenKind::QuotedName);
    if is_name && matches!(input.peek(1).kind, TokenKind::FatArrow | TokenKind::ColonEqual) {
        let (rest, name) = part(input)?;
        let (rest, value) = expr(rest.skip(1))?;
        return Ok((rest, CallArg::Named { name, value }));
    }
    expr(input).map(|(rest, value)| (rest, CallArg::Positional(value)))
}

/// `ORDER BY …`.
pub(crate) fn order_by(input: Input<'_>) -> Parsed<'_, Vec<OrderByItem>> {
    let (input, _) = keywords(&[Keyword::Order, Keyword::By])(input)?;
    list(order_by_item)(input)
}

fn order_by_item(input: Input<'_>) -> Parsed<'_, OrderByItem> {
    let (input, found) = expr(input)?;
    let start = found.span;
    let (input, direction) = match input.keyword() {
        Some(Keyword::Asc) => (input.skip(1), Some(Direction::Ascending)),
        Some(Keyword::Desc) => (input.skip(1), Some(Direction::Descending)),
        _ => {
            input.note(Expected::Keyword(Keyword::Asc));
            input.note(Expected::Keyword(Keyword::Desc));
            (input, None)
        }
    };
    let (input, nulls) = if input.is(Keyword::Nulls) {
        match input.peek(1).keyword() {
            Some(Keyword::First) => (input.skip(2), Some(NullsOrder::First)),
            Some(Keyword::Last) => (input.skip(2), Some(NullsOrder::Last)),
            _ => return expected(input.skip(1), &NULLS_ORDER),
        }
    } else {
        (input, None)
    };
    Ok((input, OrderByItem { expr: found, direction, nulls, span: input.since(start) }))
}

/// `EXTRACT(field FROM x)`, also with a comma in place of FROM.
pub(super) fn extract(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    let input = input.skip(2);
    let (input, field) = match input.kind() {
        TokenKind::Word(_) => part(input)?,
        TokenKind::String => {
            let token = input.peek(0);
            let value = crate::lex::literal::unquote(input.text(token));
            let is_word =
                value.starts_with(char::is_alphabetic) && value.chars().all(|c| c.is_alphanumeric() || c == '_');
            if !is_word {
                return expected(input, &FIELD);
            }
            (input.skip(1), Ident { value, quoted: false, span: token.span })
        }
        _ => return expected(input, &FIELD),
    };
    let input = if input.is_kind(0, TokenKind::Comma) { input.skip(1) } else { keyword(Keyword::From)(input)?.0 };
    let (input, value) = expr(input)?;
    close(input, start, ExprKind::Extract { field, expr: Box::new(value) })
}

fn close(input: Input<'_>, start: crate::span::Span, kind: ExprKind) -> Parsed<'_, Expr> {
    let (input, _) = sign(TokenKind::RightParen)(input)?;
    Ok((input, Expr::new(kind, input.since(start))))
}

/// `POSITION(a IN b)`; with a comma an ordinary call.
pub(super) fn position(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    let (rest, needle) = climb(input.skip(2), OTHER)?;
    if !rest.is(Keyword::In) {
        rest.note(Expected::Keyword(Keyword::In));
        return rest_of_call(input, rest, needle);
    }
    let (rest, haystack) = expr(rest.skip(1))?;
    close(rest, start, ExprKind::Position { needle: Box::new(needle), haystack: Box::new(haystack) })
}

/// A call of which the first argument has been read already.
fn rest_of_call<'a>(input: Input<'a>, rest: Input<'a>, first: Expr) -> Parsed<'a, Expr> {
    let name = ObjectName { parts: vec![to_ident(input, input.peek(0))] };
    let start = input.span();
    let mut args = vec![CallArg::Positional(first)];
    let rest = if rest.is_kind(0, TokenKind::Comma) {
        let (rest, more) = call_args(rest.skip(1))?;
        args.extend(more);
        rest
    } else {
        rest.note(Expected::Sign(TokenKind::Comma));
        rest
    };
    let (rest, _) = sign(TokenKind::RightParen)(rest)?;
    let (rest, call) = after_call(rest, plain(name, args))?;
    Ok((rest, Expr::new(ExprKind::Call(Box::new(call)), rest.since(start))))
}

/// `SUBSTRING(x FROM a FOR b)`; with commas an ordinary call.
pub(super) fn substring(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    let (mut rest, value) = expr(input.skip(2))?;
    if !rest.is(Keyword::From) && !rest.is(Keyword::For) {
        rest.note(Expected::Keyword(Keyword::From));
        return rest_of_call(input, rest, value);
    }
    let (mut from, mut length) = (None, None);
    if rest.is(Keyword::From) {
        let (after, found) = expr(rest.skip(1))?;
        (rest, from) = (after, Some(Box::new(found)));
    }
    if rest.is(Keyword::For) {
        let (after, found) = expr(rest.skip(1))?;
        (rest, length) = (after, Some(Box::new(found)));
    }
    close(rest, start, ExprKind::Substring { expr: Box::new(value), from, length })
}

/// `TRIM([BOTH|LEADING|TRAILING] [what] FROM x)`; `TRIM(x)` is an ordinary call.
pub(super) fn trim(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    let inner = input.skip(2);
    let side = match inner.keyword() {
        Some(Keyword::Both) => Some(TrimSide::Both),
        Some(Keyword::Leading) => Some(TrimSide::Leading),
        Some(Keyword::Trailing) => Some(TrimSide::Trailing),
        _ => None,
    };
    let side =
        side.filter(|_| !matches!(inner.peek(1).kind, TokenKind::RightParen | TokenKind::Comma | TokenKind::Dot));
    let mut rest = if side.is_some() { inner.skip(1) } else { inner };
    let mut what = None;
    if !(side.is_some() && rest.is(Keyword::From)) {
        let (after, found) = expr(rest)?;
        if !after.is(Keyword::From) && side.is_none() {
            after.note(Expected::Keyword(Keyword::From));
            return rest_of_call(input, after, found);
        }
        (rest, what) = (after, Some(Box::new(found)));
    }
    let (rest, _) = keyword(Keyword::From)(rest)?;
    let (rest, value) = expr(rest)?;
    close(rest, start, ExprKind::Trim { side: side.unwrap_or(TrimSide::Both), what, expr: Box::new(value) })
}

/// `FLOOR(x TO unit)`, `CEIL(x TO unit)`; without TO an ordinary call.
pub(super) fn round(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    let rounding = if input.is(Keyword::Floor) { Rounding::Floor } else { Rounding::Ceil };
    if input.is_kind(2, TokenKind::RightParen) {
        return report(Diagnostic::error(
            Code::SYNTAX,
            input.since(start).to(start),
            format!("{} needs an argument", input.text(input.peek(0))),
        ));
    }
    let (rest, value) = expr(input.skip(2))?;
    let (rest, to) = flag(Keyword::To)(rest)?;
    if !to {
        return rest_of_call(input, rest, value);
    }
    let (rest, unit) = match rest.kind() {
        TokenKind::Word(_) => part(rest)?,
        _ => return expected(rest, &FIELD),
    };
    close(rest, start, ExprKind::RoundTo { rounding, expr: Box::new(value), unit })
}
