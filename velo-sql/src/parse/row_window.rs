//! Windows of rows: `OVER (…)` in the standard and the buffered spelling, frames, named windows.

use crate::ast::{
    BufferEmit, BufferExpire, Frame, FrameBound, FrameBoundKind, FrameUnits, NamedWindow, RowBuffer, WindowSpec,
};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, expected, keyword, keywords, list, parens, sign};
use crate::parse::error::Rule;
use crate::parse::expr::{expr, interval, order_by};
use crate::parse::input::Input;
use crate::parse::names::ident;
use crate::parse::select::once;
use crate::span::Span;

static PART: Rule = Rule {
    name: "`PARTITION BY`, `ORDER BY` or a frame such as `ROWS`",
    words: &["PARTITION", "ORDER", "ROWS", "RANGE", "GROUPS", "EMIT", "EXPIRE"],
};
static BOUND: Rule =
    Rule { name: "a frame bound such as `CURRENT ROW` or `5 PRECEDING`", words: &["UNBOUNDED", "CURRENT"] };
static BOUND_SIDE: Rule = Rule { name: "`PRECEDING` or `FOLLOWING`", words: &["PRECEDING", "FOLLOWING"] };
static EMIT: Rule = Rule { name: "`EVERY RECORD` or `ON BUFFER FULL`", words: &["EVERY", "ON"] };

/// `name AS (…)`.
pub(crate) fn named(input: Input<'_>) -> Parsed<'_, NamedWindow> {
    let (input, name) = ident(input)?;
    let (input, _) = keyword(Keyword::As)(input)?;
    let (input, spec) = spec(input)?;
    Ok((input, NamedWindow { name, spec }))
}

/// `(…)`: the parts in any order, each once.
pub(crate) fn spec(input: Input<'_>) -> Parsed<'_, WindowSpec> {
    let start = input.span();
    let (mut rest, _) = sign(TokenKind::LeftParen)(input)?;
    let mut spec = WindowSpec::default();
    let (mut partition, mut order, mut expire): (Option<Span>, Option<Span>, Option<Span>) = (None, None, None);
    if matches!(rest.kind(), TokenKind::Word(_) | TokenKind::QuotedName) && !begins_part(rest) {
        rest.context.bare_alias.set(Some(rest.span()));
        let (after, base) = ident(rest)?;
        (rest, spec.base) = (after, Some(base));
    }
    loop {
        let here = rest.span();
        match rest.keyword() {
            Some(Keyword::Partition) => {
                once("PARTITION BY", here, partition, "write all columns in one PARTITION BY")?;
                let (after, _) = keywords(&[Keyword::Partition, Keyword::By])(rest)?;
                (rest, spec.partition_by) = list(expr)(after)?;
                partition = Some(here);
            }
            Some(Keyword::Order) => {
                once("ORDER BY", here, order, "write all columns in one ORDER BY")?;
                (rest, spec.order_by) = order_by(rest)?;
                order = Some(here);
            }
            Some(Keyword::Rows) if rest.peek(1).keyword() == Some(Keyword::Window) => {
                once("ROWS WINDOW BUFFER", here, spec.buffer.as_ref().map(|buffer| buffer.span), "")?;
                let (after, buffer) = buffer(rest)?;
                (rest, spec.buffer) = (after, Some(buffer));
            }
            Some(Keyword::Rows | Keyword::Range | Keyword::Groups) => {
                once("the frame", here, spec.frame.as_ref().map(|frame| frame.span), "")?;
                let (after, frame) = frame(rest)?;
                (rest, spec.frame) = (after, Some(frame));
            }
            Some(Keyword::Emit) if spec.buffer.is_some() => {
                let (after, emit) = buffer_emit(rest.skip(1))?;
                if let Some(buffer) = &mut spec.buffer {
                    once("EMIT", here, buffer.emit.map(|_| buffer.span), "")?;
                    buffer.emit = Some(emit);
                }
                rest = after;
            }
            Some(Keyword::Expire) if spec.buffer.is_some() => {
                once("EXPIRE", here, expire, "")?;
                let (after, found) = buffer_expire(rest)?;
                if let Some(buffer) = &mut spec.buffer {
                    buffer.expire = Some(found);
                }
                (rest, expire) = (after, Some(here));
            }
            _ => break,
        }
    }
    if !rest.is_kind(0, TokenKind::RightParen) {
        rest.note(crate::parse::error::Expected::Sign(TokenKind::RightParen));
        return expected(rest, &PART);
    }
    let (rest, _) = sign(TokenKind::RightParen)(rest)?;
    spec.span = rest.since(start);
    Ok((rest, spec))
}

fn begins_part(input: Input<'_>) -> bool {
    use Keyword::*;
    match input.keyword() {
        Some(Partition | Order | Range) => true,
        Some(Rows | Groups | Emit | Expire) => !input.is_kind(1, TokenKind::RightParen),
        _ => false,
    }
}

/// `ROWS WINDOW BUFFER n ROWS`.
fn buffer(input: Input<'_>) -> Parsed<'_, RowBuffer> {
    let start = input.span();
    let (input, _) = keywords(&[Keyword::Rows, Keyword::Window, Keyword::Buffer])(input)?;
    let (input, size) = sign(TokenKind::Number)(input)?;
    let (input, _) =
        if input.is(Keyword::Row) { keyword(Keyword::Row)(input)? } else { keyword(Keyword::Rows)(input)? };
    let size = input.text(size).to_owned();
    Ok((input, RowBuffer { size, emit: None, expire: None, span: input.since(start) }))
}

fn buffer_emit(input: Input<'_>) -> Parsed<'_, BufferEmit> {
    if input.is(Keyword::Every) {
        return keyword(Keyword::Record)(input.skip(1)).map(|(rest, _)| (rest, BufferEmit::EveryRecord));
    }
    if input.is(Keyword::On) {
        return keywords(&[Keyword::Buffer, Keyword::Full])(input.skip(1))
            .map(|(rest, _)| (rest, BufferEmit::OnBufferFull));
    }
    expected(input, &EMIT)
}

fn buffer_expire(input: Input<'_>) -> Parsed<'_, BufferExpire> {
    let (input, _) = keywords(&[Keyword::Expire, Keyword::After])(input)?;
    if input.is(Keyword::Never) {
        return Ok((input.skip(1), BufferExpire::Never));
    }
    input.note(crate::parse::error::Expected::Keyword(Keyword::Never));
    let (input, after) = interval::length(input)?;
    let (input, _) = keyword(Keyword::Inactivity)(input)?;
    Ok((input, BufferExpire::AfterInactivity(after)))
}

fn frame(input: Input<'_>) -> Parsed<'_, Frame> {
    let first = input.span();
    let units = match input.keyword() {
        Some(Keyword::Range) => FrameUnits::Range,
        Some(Keyword::Groups) => FrameUnits::Groups,
        _ => FrameUnits::Rows,
    };
    let input = input.skip(1);
    if input.is(Keyword::Between) {
        let (input, start) = bound(input.skip(1))?;
        let (input, _) = keyword(Keyword::And)(input)?;
        let (input, end) = bound(input)?;
        return Ok((input, Frame { units, start, end: Some(end), span: input.since(first) }));
    }
    input.note(crate::parse::error::Expected::Keyword(Keyword::Between));
    let (input, start) = bound(input)?;
    Ok((input, Frame { units, start, end: None, span: input.since(first) }))
}

fn bound(input: Input<'_>) -> Parsed<'_, FrameBound> {
    let start = input.span();
    let (rest, kind) = match input.keyword() {
        Some(Keyword::Current) if input.peek(1).keyword() == Some(Keyword::Row) => {
            (input.skip(2), FrameBoundKind::CurrentRow)
        }
        Some(Keyword::Unbounded) => match input.peek(1).keyword() {
            Some(Keyword::Preceding) => (input.skip(2), FrameBoundKind::UnboundedPreceding),
            Some(Keyword::Following) => (input.skip(2), FrameBoundKind::UnboundedFollowing),
            _ => return expected(input.skip(1), &BOUND_SIDE),
        },
        _ if matches!(
            input.kind(),
            TokenKind::Number | TokenKind::Duration | TokenKind::LeftParen | TokenKind::Parameter
        ) || matches!(input.keyword(), Some(Keyword::Interval | Keyword::Cast)) =>
        {
            let (rest, length) = distance(input)?;
            match rest.keyword() {
                Some(Keyword::Preceding) => (rest.skip(1), FrameBoundKind::Preceding(Box::new(length))),
                Some(Keyword::Following) => (rest.skip(1), FrameBoundKind::Following(Box::new(length))),
                _ => return expected(rest, &BOUND_SIDE),
            }
        }
        _ => return expected(input, &BOUND),
    };
    Ok((rest, FrameBound { kind, span: rest.since(start) }))
}

fn distance(input: Input<'_>) -> Parsed<'_, crate::ast::Expr> {
    if input.is_kind(0, TokenKind::LeftParen) {
        let start = input.span();
        let (rest, inner) = parens(expr)(input)?;
        return Ok((rest, crate::ast::Expr::new(crate::ast::ExprKind::Nested(Box::new(inner)), rest.since(start))));
    }
    interval::length(input)
}
