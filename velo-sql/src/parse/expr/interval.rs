//! Lengths of time: `INTERVAL '1' MINUTE`, `INTERVAL '1 day 2 hours'`, `INTERVAL 5 MINUTES`, `5 MINUTES`, `1m`.

use crate::ast::{Expr, ExprKind, Interval, IntervalPart, IntervalUnit, Literal};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind, literal};
use crate::parse::combinator::{Parsed, expected};
use crate::parse::error::Rule;
use crate::parse::input::{Input, report};

static UNIT: Rule = Rule {
    name: "a unit of time such as `MINUTE`",
    words: &[
        "SECOND",
        "SECONDS",
        "MINUTE",
        "MINUTES",
        "HOUR",
        "HOURS",
        "DAY",
        "DAYS",
        "WEEK",
        "MONTH",
        "YEAR",
        "MILLISECOND",
    ],
};
pub(crate) static LENGTH: Rule = Rule { name: "a length of time such as 5m", words: &["INTERVAL"] };

/// Whether what follows the word INTERVAL makes it a constant.
pub(super) fn follows(input: Input<'_>) -> bool {
    match input.kind() {
        TokenKind::String | TokenKind::Number | TokenKind::Duration => true,
        TokenKind::Minus => matches!(input.peek(1).kind, TokenKind::String | TokenKind::Number | TokenKind::Duration),
        _ => false,
    }
}

/// `INTERVAL …`.
pub(super) fn interval(input: Input<'_>) -> Parsed<'_, Expr> {
    let start = input.span();
    let input = input.skip(1);
    let negative = input.is_kind(0, TokenKind::Minus);
    let input = if negative { input.skip(1) } else { input };
    let amount = input.peek(0);
    let rest = input.skip(1);
    let (rest, parts) = match amount.kind {
        TokenKind::Duration => match literal::bare_duration(input.text(amount)) {
            Some(interval) => (rest, interval.parts),
            None => return expected(input, &LENGTH),
        },
        TokenKind::Number => {
            let (rest, unit) = unit(rest)?;
            (rest, vec![IntervalPart { amount: input.text(amount).to_owned(), unit }])
        }
        _ => quoted(rest, &literal::unquote(input.text(amount)), amount.span)?,
    };
    let kind = ExprKind::Literal(Literal::Interval(Interval { negative, parts, bare: false }));
    Ok((rest, Expr::new(kind, rest.since(start))))
}

/// The amount in quotes, with the unit after it where there is one.
fn quoted<'a>(input: Input<'a>, text: &str, span: crate::span::Span) -> Parsed<'a, Vec<IntervalPart>> {
    let first = unit_at(input);
    let (rest, last) = match first {
        Some(_) if input.peek(1).keyword() == Some(Keyword::To) && unit_at(input.skip(2)).is_some() => {
            (input.skip(3), unit_at(input.skip(2)))
        }
        Some(_) => (input.skip(1), None),
        None => (input, None),
    };
    let rest = skip_precision(rest);
    let parts = match (first, last) {
        (Some(first), Some(last)) => range(text, first, last),
        (Some(unit), None) => {
            let digits = text.trim().trim_start_matches(['-', '+']);
            let amount = text.trim().trim_start_matches('+').to_owned();
            literal::is_number(digits).then(|| vec![IntervalPart { amount, unit }])
        }
        (None, _) => literal::amounts(text).filter(|parts| !parts.is_empty()),
    };
    match parts {
        Some(parts) => Ok((rest, parts)),
        None if first.is_none() && literal::is_number(text.trim()) => expected(input, &UNIT),
        None => report(
            Diagnostic::error(Code::INVALID_LITERAL, span, format!("'{text}' is not a length of time"))
                .help("write INTERVAL '5' MINUTE, INTERVAL '1 day 2 hours' or 5m"),
        ),
    }
}

/// `DAY(3)`, `SECOND(6)`: the digits of a unit, which mean nothing here.
fn skip_precision(input: Input<'_>) -> Input<'_> {
    let fits = input.is_kind(0, TokenKind::LeftParen)
        && input.is_kind(1, TokenKind::Number)
        && input.is_kind(2, TokenKind::RightParen);
    if fits { input.skip(3) } else { input }
}

/// `'1-2' YEAR TO MONTH`, `'1 02:03:04' DAY TO SECOND`, `'02:03' HOUR TO MINUTE`.
fn range(text: &str, first: IntervalUnit, last: IntervalUnit) -> Option<Vec<IntervalPart>> {
    use IntervalUnit::*;
    const UNITS: [IntervalUnit; 6] = [Year, Month, Day, Hour, Minute, Second];
    let place = |unit| UNITS.iter().position(|other| *other == unit);
    let units = UNITS.get(place(first)?..=place(last)?)?;
    let text = text.trim();
    let (sign, digits) = if let Some(rest) = text.strip_prefix('-') { ("-", rest) } else { ("", text) };
    let fields: Vec<&str> = digits.split(['-', ' ', ':']).collect();
    if fields.len() != units.len() {
        return None;
    }
    let signed = format!("{sign}{}", fields[0]);
    let mut fields = fields;
    fields[0] = &signed;
    literal::split_fields(&fields, units)
}

fn unit_at(input: Input<'_>) -> Option<IntervalUnit> {
    match input.kind() {
        TokenKind::Word(_) => literal::unit(input.text(input.peek(0))),
        _ => None,
    }
}

fn unit(input: Input<'_>) -> Parsed<'_, IntervalUnit> {
    match unit_at(input) {
        Some(unit) => Ok((input.skip(1), unit)),
        None => expected(input, &UNIT),
    }
}

/// A number with a unit after it and no INTERVAL before it (`5 MINUTES`): ksqlDB's spelling, read as `INTERVAL`.
pub(crate) fn amount_and_unit(input: Input<'_>) -> Parsed<'_, Option<Expr>> {
    if !input.is_kind(0, TokenKind::Number) {
        return Ok((input, None));
    }
    let Some(unit) = unit_at(input.skip(1)) else {
        let is_misspelt = input.is_kind(1, TokenKind::Word(None));
        return if is_misspelt { expected(input.skip(1), &UNIT) } else { Ok((input, None)) };
    };
    let span = input.span().to(input.peek(1).span);
    let parts = vec![IntervalPart { amount: input.text(input.peek(0)).to_owned(), unit }];
    let kind = ExprKind::Literal(Literal::Interval(Interval { negative: false, parts, bare: false }));
    Ok((input.skip(2), Some(Expr::new(kind, span))))
}

/// A length of time in any spelling, or an expression that gives one.
pub(crate) fn length(input: Input<'_>) -> Parsed<'_, Expr> {
    if let (rest, Some(found)) = amount_and_unit(input)? {
        return Ok((rest, found));
    }
    input.note(crate::parse::error::Expected::Rule(&LENGTH));
    super::expr(input)
}
