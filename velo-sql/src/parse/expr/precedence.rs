//! Which operator binds tighter, by precedence climbing.
//!
//! From loose to tight: OR, AND, NOT, IS, comparisons, BETWEEN/IN/LIKE/`~`, `||` and bits, `+ -`, `* / %`, signs, `->`, AT TIME ZONE.

use crate::ast::{BinaryOp, Expr, ExprKind, UnaryOp};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, nested};
use crate::parse::error::{Expected, Rule};
use crate::parse::expr::predicate;
use crate::parse::expr::{access, primary};
use crate::parse::input::{Input, MAX_HEIGHT, report};
use crate::span::Span;

pub(crate) static EXPRESSION: Rule = Rule { name: "an expression", words: &[] };
static OPERATOR: Rule = Rule {
    name: "an operator",
    words: &["AND", "OR", "IS", "IN", "NOT", "LIKE", "ILIKE", "BETWEEN", "SIMILAR", "REGEXP", "RLIKE"],
};

const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const IS: u8 = 4;
pub(super) const COMPARISON: u8 = 5;
const PREDICATE: u8 = 6;
/// What stands on either side of a predicate.
pub(super) const OTHER: u8 = 7;
const SUM: u8 = 8;
const PRODUCT: u8 = 9;
const SIGN: u8 = 10;
const JSON: u8 = 11;
const ZONE: u8 = 12;
/// No operator at all.
pub(super) const TIGHTEST: u8 = 13;

/// An expression, one level deeper than what is around it.
pub(crate) fn expr(input: Input<'_>) -> Parsed<'_, Expr> {
    nested(input, |input| climb(input, OR))
}

/// An expression whose operators bind at least as tightly as `least`.
pub(super) fn climb(input: Input<'_>, least: u8) -> Parsed<'_, Expr> {
    let context = input.context;
    let outside = context.height.replace(0);
    let (mut input, mut left) = prefix(input, least)?;
    let mut height = context.height.get() + 1;
    loop {
        if height > MAX_HEIGHT {
            return too_high(input, left.span);
        }
        let Some(level) = level(input).filter(|level| *level >= least) else { break };
        context.height.set(0);
        (input, left) = match level {
            OR => chain(input, left, Keyword::Or, AND)?,
            AND => chain(input, left, Keyword::And, NOT)?,
            IS => predicate::is(input, left)?,
            PREDICATE => predicate::predicate(input, left)?,
            ZONE => access::at_time_zone(input, left)?,
            _ => binary(input, left, level)?,
        };
        height = height.max(context.height.get()) + 1;
    }
    input.note(Expected::Rule(&OPERATOR));
    context.height.set(outside.max(height));
    Ok((input, left))
}

fn too_high<T>(input: Input<'_>, span: Span) -> Result<T, nom::Err<crate::parse::error::Fault>> {
    let message = format!("this expression is a chain of more than {MAX_HEIGHT} operators");
    report(
        Diagnostic::error(Code::NESTING_TOO_DEEP, span.start_point().to(input.before().span), message)
            .help("AND, OR, IN (…) and function arguments may be of any length; other chains have to be split"),
    )
}

/// How tightly the operator at this place binds; `None` where there is none.
fn level(input: Input<'_>) -> Option<u8> {
    use TokenKind::*;
    Some(match input.kind() {
        Equal | DoubleEqual | NotEqual | Less | LessOrEqual | GreaterOrEqual => COMPARISON,
        Greater if is_shift_right(input) => OTHER,
        Greater => COMPARISON,
        Tilde | TildeStar | BangTilde | BangTildeStar => PREDICATE,
        Concat | Pipe | Ampersand | ShiftLeft => OTHER,
        Plus | Minus => SUM,
        Star | Slash | Percent => PRODUCT,
        Arrow | LongArrow => JSON,
        Word(Some(keyword)) => match keyword {
            Keyword::Or => OR,
            Keyword::And => AND,
            Keyword::Is => IS,
            Keyword::Between | Keyword::In | Keyword::Like | Keyword::Ilike | Keyword::Rlike | Keyword::Regexp => {
                PREDICATE
            }
            Keyword::Similar if input.is_word(1, "TO") => PREDICATE,
            Keyword::Not if predicate::is_test(input.skip(1)) => PREDICATE,
            Keyword::At if input.peek(1).keyword() == Some(Keyword::Time) => ZONE,
            _ => return None,
        },
        _ => return None,
    })
}

fn is_shift_right(input: Input<'_>) -> bool {
    input.is_kind(1, TokenKind::Greater) && input.peek(1).span.start == input.span().end
}

/// Operands with the same AND or OR in between, flat.
fn chain<'a>(input: Input<'a>, left: Expr, word: Keyword, operand: u8) -> Parsed<'a, Expr> {
    let start = left.span;
    let mut operands = vec![left];
    let mut rest = input;
    while rest.is(word) {
        let (after, next) = climb(rest.skip(1), operand)?;
        operands.push(next);
        rest = after;
    }
    let kind = if word == Keyword::Or { ExprKind::Or(operands) } else { ExprKind::And(operands) };
    Ok((rest, Expr::new(kind, rest.since(start))))
}

fn binary<'a>(input: Input<'a>, left: Expr, level: u8) -> Parsed<'a, Expr> {
    let (rest, op, op_span) = operator(input);
    if level == COMPARISON
        && matches!(rest.keyword(), Some(Keyword::Any | Keyword::SomeOf | Keyword::All))
        && rest.is_kind(1, TokenKind::LeftParen)
    {
        return predicate::quantified(rest, left, op, op_span);
    }
    let (rest, right) = climb(rest, level + 1)?;
    let span = left.span.to(right.span);
    if level == COMPARISON && self::level(rest) == Some(COMPARISON) {
        let text = rest.context.text;
        let sign = rest.text(rest.peek(0));
        return report(
            Diagnostic::error(Code::SYNTAX, rest.span(), "comparisons do not chain")
                .label("a second comparison")
                .also(op_span, "the first one")
                .help(format!(
                    "join two with AND: {} AND {} {sign} …",
                    short(span.text(text)),
                    short(right.span.text(text))
                )),
        );
    }
    Ok((rest, Expr::new(ExprKind::Binary { left: Box::new(left), op, op_span, right: Box::new(right) }, span)))
}

fn short(text: &str) -> String {
    if text.chars().count() > 30 { "…".to_owned() } else { text.to_owned() }
}

/// The operator at this place, which [`level`] has found to be one.
fn operator(input: Input<'_>) -> (Input<'_>, BinaryOp, Span) {
    use BinaryOp::*;
    let span = input.span();
    let op = match input.kind() {
        TokenKind::Plus => Add,
        TokenKind::Minus => Subtract,
        TokenKind::Star => Multiply,
        TokenKind::Slash => Divide,
        TokenKind::Percent => Modulo,
        TokenKind::Concat => Concat,
        TokenKind::NotEqual => NotEqual,
        TokenKind::Less => Less,
        TokenKind::LessOrEqual => LessOrEqual,
        TokenKind::GreaterOrEqual => GreaterOrEqual,
        TokenKind::Arrow => JsonGet,
        TokenKind::LongArrow => JsonGetText,
        TokenKind::Ampersand => BitAnd,
        TokenKind::Pipe => BitOr,
        TokenKind::ShiftLeft => ShiftLeft,
        TokenKind::Greater if is_shift_right(input) => {
            return (input.skip(2), ShiftRight, span.to(input.peek(1).span));
        }
        TokenKind::Greater => Greater,
        TokenKind::DoubleEqual => {
            input.soft(
                Diagnostic::error(Code::OTHER_DIALECT, span, "equality is written with one sign").help("write ="),
            );
            Equal
        }
        _ => Equal,
    };
    (input.skip(1), op, span)
}

/// Signs and NOT before an operand, where the operators around bind at least as tightly as `least`.
fn prefix(input: Input<'_>, least: u8) -> Parsed<'_, Expr> {
    let start = input.span();
    let (op, inside) = match input.kind() {
        TokenKind::Minus => (UnaryOp::Minus, SIGN),
        TokenKind::Plus => (UnaryOp::Plus, SIGN),
        TokenKind::Word(Some(Keyword::Not)) if least > NOT => {
            return report(
                Diagnostic::error(Code::SYNTAX, start, "NOT binds more loosely than the operator before it")
                    .help("put NOT and what belongs to it in parentheses"),
            );
        }
        TokenKind::Word(Some(Keyword::Not)) => (UnaryOp::Not, NOT),
        _ => return primary::operand(input),
    };
    let (rest, operand) = nested(input.skip(1), |input| climb(input, inside.max(least)))?;
    Ok((rest, Expr::new(ExprKind::Unary { op, expr: Box::new(operand) }, rest.since(start))))
}
