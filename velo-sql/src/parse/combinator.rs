//! The small parsers that the grammar is made of: keywords, signs, lists, parentheses, limits of depth.

use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, Token, TokenKind};
use crate::parse::error::{Expected, Fault, Rule};
use crate::parse::input::{Input, MAX_NESTING, report};
use crate::span::Span;
use nom::multi::separated_list1;
use nom::sequence::delimited;
use nom::{IResult, Parser};

/// What a grammar function gives.
pub(crate) type Parsed<'a, T> = IResult<Input<'a>, T, Fault>;

/// A token of this kind.
pub(crate) fn sign<'a>(kind: TokenKind) -> impl Fn(Input<'a>) -> Parsed<'a, Token> {
    move |input| match input.kind() {
        found if found == kind => Ok((input.skip(1), input.peek(0))),
        _ => input.fail(Expected::Sign(kind)),
    }
}

/// This keyword.
pub(crate) fn keyword<'a>(keyword: Keyword) -> impl Fn(Input<'a>) -> Parsed<'a, Token> {
    move |input| match input.keyword() {
        Some(found) if found == keyword => Ok((input.skip(1), input.peek(0))),
        _ => input.fail(Expected::Keyword(keyword)),
    }
}

/// These keywords one after the other; the span of them all.
pub(crate) fn keywords<'a>(all: &'static [Keyword]) -> impl Fn(Input<'a>) -> Parsed<'a, Span> {
    move |input| {
        let start = input.span();
        let mut rest = input;
        for next in all {
            (rest, _) = keyword(*next)(rest)?;
        }
        Ok((rest, rest.since(start)))
    }
}

/// Whether this keyword comes next; it is taken if so.
pub(crate) fn flag<'a>(word: Keyword) -> impl Fn(Input<'a>) -> Parsed<'a, bool> {
    move |input| match input.keyword() {
        Some(found) if found == word => Ok((input.skip(1), true)),
        _ => {
            input.note(Expected::Keyword(word));
            Ok((input, false))
        }
    }
}

/// Whether these keywords come next; they are taken if the first one does.
pub(crate) fn flags<'a>(all: &'static [Keyword]) -> impl Fn(Input<'a>) -> Parsed<'a, Option<Span>> {
    move |input| match all.first() {
        Some(first) if input.is(*first) => keywords(all)(input).map(|(rest, span)| (rest, Some(span))),
        _ => Ok((input, None)),
    }
}

/// A word that is spelt so, for words that are no keywords of the grammar.
pub(crate) fn word<'a>(text: &'static str) -> impl Fn(Input<'a>) -> Parsed<'a, Token> {
    move |input| match input.is_word(0, text) {
        true => Ok((input.skip(1), input.peek(0))),
        false => input.fail(Expected::Word(text)),
    }
}

/// One or more, with commas in between.
pub(crate) fn list<'a, T>(
    item: impl Parser<Input<'a>, Output = T, Error = Fault>,
) -> impl FnMut(Input<'a>) -> Parsed<'a, Vec<T>> {
    let mut items = separated_list1(sign(TokenKind::Comma), item);
    move |input| items.parse(input)
}

/// Something in parentheses.
pub(crate) fn parens<'a, T>(
    inner: impl Parser<Input<'a>, Output = T, Error = Fault>,
) -> impl FnMut(Input<'a>) -> Parsed<'a, T> {
    let mut inner = delimited(sign(TokenKind::LeftParen), inner, sign(TokenKind::RightParen));
    move |input| inner.parse(input)
}

/// One level deeper; an error where there are too many.
pub(crate) fn nested<'a, T>(input: Input<'a>, inner: impl FnOnce(Input<'a>) -> Parsed<'a, T>) -> Parsed<'a, T> {
    deeper(input, 1, inner)
}

/// `levels` levels deeper.
pub(crate) fn deeper<'a, T>(
    input: Input<'a>,
    levels: u32,
    inner: impl FnOnce(Input<'a>) -> Parsed<'a, T>,
) -> Parsed<'a, T> {
    let level = input.context.nesting.get();
    if level + levels > MAX_NESTING {
        let message = format!("this is nested more than {MAX_NESTING} levels deep");
        return report(
            Diagnostic::error(Code::NESTING_TOO_DEEP, input.span(), message)
                .help("split it: name a part in a view or in a WITH query, and use that name here"),
        );
    }
    input.context.nesting.set(level + levels);
    let parsed = inner(input);
    input.context.nesting.set(level);
    parsed
}

/// Fails where `rule` was expected.
pub(crate) fn expected<T>(input: Input<'_>, rule: &'static Rule) -> Result<T, nom::Err<Fault>> {
    input.fail(Expected::Rule(rule))
}
