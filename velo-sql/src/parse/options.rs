//! `WITH (key = value, …)` and the pair after SET.

use crate::ast::{Properties, Property, PropertyKey, PropertyValue};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind, literal};
use crate::parse::combinator::{Parsed, expected, keyword, list, parens};
use crate::parse::error::Rule;
use crate::parse::input::{Input, report};
use crate::span::Span;

static KEY: Rule = Rule { name: "a property name", words: &[] };
static VALUE: Rule = Rule { name: "a property value", words: &[] };

/// `WITH (…)`.
pub(crate) fn with_properties(input: Input<'_>) -> Parsed<'_, Properties> {
    let start = input.span();
    let (input, _) = keyword(Keyword::With)(input)?;
    if input.is_kind(0, TokenKind::LeftParen) && input.is_kind(1, TokenKind::RightParen) {
        return Ok((input.skip(2), Properties { entries: Vec::new(), span: input.skip(2).since(start) }));
    }
    let (input, entries) = parens(list(property))(input)?;
    Ok((input, Properties { entries, span: input.since(start) }))
}

/// `key = value`.
pub(crate) fn property(input: Input<'_>) -> Parsed<'_, Property> {
    let (input, key) = key(input)?;
    let (input, ()) = equals(input)?;
    let (input, value) = value(input)?;
    Ok((input, Property { key, value }))
}

/// `=`; what other languages write for it is reported and read as it.
pub(crate) fn equals(input: Input<'_>) -> Parsed<'_, ()> {
    if matches!(input.kind(), TokenKind::DoubleEqual | TokenKind::Colon | TokenKind::FatArrow | TokenKind::ColonEqual) {
        let sign = input.text(input.peek(0));
        input.soft(
            Diagnostic::error(
                Code::OTHER_DIALECT,
                input.span(),
                format!("a property is given with `=`, not with `{sign}`"),
            )
            .help("write key = value"),
        );
        return Ok((input.skip(1), ()));
    }
    crate::parse::combinator::sign(TokenKind::Equal)(input).map(|(rest, _)| (rest, ()))
}

/// A key: in quotes, or bare and dotted.
pub(crate) fn key(input: Input<'_>) -> Parsed<'_, PropertyKey> {
    let token = input.peek(0);
    match token.kind {
        TokenKind::String | TokenKind::QuotedName => {
            let text = literal::unquote(input.text(token));
            Ok((input.skip(1), PropertyKey { text, quoted: true, span: token.span }))
        }
        TokenKind::Word(_) => {
            let (rest, span) = dotted(input);
            let text = span.text(input.context.text);
            if text.contains(char::is_whitespace) {
                return report(
                    Diagnostic::error(Code::SYNTAX, span, "a bare property name is written without blanks")
                        .help("put it in quotes, or take the blanks out"),
                );
            }
            Ok((rest, PropertyKey { text: text.to_owned(), quoted: false, span }))
        }
        _ => expected(input, &KEY),
    }
}

/// Words with dots and hyphens in between: `bootstrap.servers`, `auto-offset-reset`.
fn dotted(input: Input<'_>) -> (Input<'_>, Span) {
    let start = input.span();
    let mut rest = input.skip(1);
    while matches!(rest.kind(), TokenKind::Dot | TokenKind::Minus)
        && matches!(rest.peek(1).kind, TokenKind::Word(_) | TokenKind::Number | TokenKind::Duration)
    {
        rest = rest.skip(2);
    }
    (rest, rest.since(start))
}

/// A value: in quotes, a number, a duration, `true`, or a bare word.
pub(crate) fn value(input: Input<'_>) -> Parsed<'_, PropertyValue> {
    let token = input.peek(0);
    let plain = |rest: Input<'_>, span: Span| PropertyValue {
        text: span.text(rest.context.text).to_owned(),
        quoted: false,
        span,
    };
    match token.kind {
        TokenKind::String | TokenKind::QuotedName => {
            let text = literal::unquote(input.text(token));
            Ok((input.skip(1), PropertyValue { text, quoted: true, span: token.span }))
        }
        TokenKind::EscapedString => {
            let text = literal::unescape(input.text(token));
            Ok((input.skip(1), PropertyValue { text, quoted: true, span: token.span }))
        }
        TokenKind::Number | TokenKind::Duration => Ok((input.skip(1), plain(input, token.span))),
        TokenKind::Minus | TokenKind::Plus if matches!(input.peek(1).kind, TokenKind::Number | TokenKind::Duration) => {
            Ok((input.skip(2), plain(input, token.span.to(input.peek(1).span))))
        }
        TokenKind::Word(_) => {
            let (rest, span) = dotted(input);
            if span.text(input.context.text).contains(char::is_whitespace) {
                return expected(input, &VALUE);
            }
            Ok((rest, plain(input, span)))
        }
        TokenKind::Dollar if input.is_kind(1, TokenKind::LeftBrace) => report(
            Diagnostic::error(Code::SYNTAX, token.span, "a value with ${…} needs quotes").help("write '${NAME}'"),
        ),
        _ => expected(input, &VALUE),
    }
}
