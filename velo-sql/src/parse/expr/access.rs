//! What follows an operand (`[i]`, `.field`, `::type`, AT TIME ZONE), and the nested values: ARRAY, MAP, STRUCT, ROW.

use crate::ast::{CastSpelling, Expr, ExprKind, MapEntry, MapSpelling, StructItem};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, expected, keywords, list, parens, sign};
use crate::parse::error::Rule;
use crate::parse::expr::precedence::{climb, expr};
use crate::parse::input::{Input, MAX_HEIGHT, report};
use crate::parse::names::{ident, part};
use crate::parse::types::data_type;

static ASSIGNMENT: Rule = Rule { name: "`:=`", words: &[] };

/// Accesses one after the other.
pub(super) fn postfix<'a>(input: Input<'a>, found: Expr) -> Parsed<'a, Expr> {
    let (mut rest, mut found) = (input, found);
    let context = input.context;
    loop {
        let start = found.span;
        let (after, kind) = match rest.kind() {
            TokenKind::LeftBracket => {
                let (after, index) = expr(rest.skip(1))?;
                let (after, _) = sign(TokenKind::RightBracket)(after)?;
                (after, ExprKind::Index { expr: Box::new(found), index: Box::new(index) })
            }
            TokenKind::Dot if matches!(rest.peek(1).kind, TokenKind::Word(_) | TokenKind::QuotedName) => {
                let (after, field) = part(rest.skip(1))?;
                (after, ExprKind::Field { expr: Box::new(found), field })
            }
            TokenKind::DoubleColon => {
                let (after, data_type) = data_type(rest.skip(1))?;
                (after, ExprKind::Cast { expr: Box::new(found), data_type, spelling: CastSpelling::DoubleColon })
            }
            _ => return Ok((rest, found)),
        };
        rest = after;
        found = Expr::new(kind, rest.since(start));
        let height = context.height.get() + 1;
        context.height.set(height);
        if height > MAX_HEIGHT {
            let message = format!("more than {MAX_HEIGHT} accesses follow each other");
            return report(Diagnostic::error(Code::NESTING_TOO_DEEP, start.start_point(), message));
        }
    }
}

/// `x AT TIME ZONE zone`.
pub(super) fn at_time_zone<'a>(input: Input<'a>, time: Expr) -> Parsed<'a, Expr> {
    let start = time.span;
    let (input, _) = keywords(&[Keyword::At, Keyword::Time, Keyword::Zone])(input)?;
    let (input, zone) = climb(input, super::precedence::TIGHTEST)?;
    let kind = ExprKind::AtTimeZone { expr: Box::new(time), zone: Box::new(zone) };
    Ok((input, Expr::new(kind, input.since(start))))
}

/// `ARRAY[…]`.
pub(super) fn array(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    let (input, items) = bracketed(input.skip(1))?;
    Ok((input, Expr::new(ExprKind::Array(items), input.since(start))))
}

fn bracketed(input: Input<'_>) -> Parsed<'_, Vec<Expr>> {
    let (input, _) = sign(TokenKind::LeftBracket)(input)?;
    if input.is_kind(0, TokenKind::RightBracket) {
        return Ok((input.skip(1), Vec::new()));
    }
    let (input, items) = list(expr)(input)?;
    let (input, _) = sign(TokenKind::RightBracket)(input)?;
    Ok((input, items))
}

/// `MAP[k, v, …]`, `MAP(k := v, …)`; `MAP(a, b)` is an ordinary call.
pub(super) fn map(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    if input.is_kind(1, TokenKind::LeftBracket) {
        let (rest, items) = bracketed(input.skip(1))?;
        let span = rest.since(start);
        if items.len() % 2 != 0 {
            return report(
                Diagnostic::error(
                    Code::SYNTAX,
                    span,
                    "MAP[…] takes keys and values in turn, and here is one without the other",
                )
                .help("write MAP[key, value, key, value]"),
            );
        }
        let mut entries = Vec::with_capacity(items.len() / 2);
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            entries.push(MapEntry { key, value });
        }
        return Ok((rest, Expr::new(ExprKind::Map { entries, spelling: MapSpelling::Brackets }, span)));
    }
    if input.is_kind(2, TokenKind::RightParen) {
        let rest = input.skip(3);
        let kind = ExprKind::Map { entries: Vec::new(), spelling: MapSpelling::Parentheses };
        return Ok((rest, Expr::new(kind, rest.since(start))));
    }
    let (rest, entries) = parens(list(map_entry))(input.skip(1))?;
    Ok((rest, Expr::new(ExprKind::Map { entries, spelling: MapSpelling::Parentheses }, rest.since(start))))
}

fn map_entry(input: Input<'_>) -> Parsed<'_, MapEntry> {
    let (input, key) = expr(input)?;
    let (input, ()) = assignment(input)?;
    let (input, value) = expr(input)?;
    Ok((input, MapEntry { key, value }))
}

/// `:=`, also `=>`.
fn assignment(input: Input<'_>) -> Parsed<'_, ()> {
    match input.kind() {
        TokenKind::ColonEqual | TokenKind::FatArrow => Ok((input.skip(1), ())),
        _ => expected(input, &ASSIGNMENT),
    }
}

/// `STRUCT(a := 1, …)`.
pub(super) fn structure(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    let (input, items) = parens(list(struct_item))(input.skip(1))?;
    Ok((input, Expr::new(ExprKind::Struct(items), input.since(start))))
}

fn struct_item(input: Input<'_>) -> Parsed<'_, StructItem> {
    if matches!(input.peek(1).kind, TokenKind::ColonEqual | TokenKind::FatArrow) {
        let (rest, name) = ident(input)?;
        let (rest, value) = expr(rest.skip(1))?;
        return Ok((rest, StructItem { name: Some(name), value }));
    }
    let (rest, value) = expr(input)?;
    if rest.is(Keyword::As) {
        let (rest, name) = ident(rest.skip(1))?;
        return Ok((rest, StructItem { name: Some(name), value }));
    }
    Ok((rest, StructItem { name: None, value }))
}

/// `ROW(a, b)`.
pub(super) fn row(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    let (input, items) = parens(list(expr))(input.skip(1))?;
    Ok((input, Expr::new(ExprKind::Row { items, explicit: true }, input.since(start))))
}
