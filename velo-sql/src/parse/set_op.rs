//! UNION, EXCEPT, INTERSECT: a chain from left to right, INTERSECT first.

use crate::ast::{SetExpr, SetOperator};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::Keyword;
use crate::parse::combinator::{Parsed, flag};
use crate::parse::error::Fault;
use crate::parse::input::{Input, MAX_HEIGHT, report};
use crate::parse::select::{Tail, operand, tail_of};
use crate::span::Span;

/// Everything that a query computes, and the clauses after it.
pub(crate) fn set_expr(input: Input<'_>) -> Parsed<'_, (SetExpr, Tail)> {
    let (input, first) = operand(input)?;
    unions(input, first)
}

/// What follows a first part in parentheses that has been read already.
pub(crate) fn rest_of_set_expr<'a>(input: Input<'a>, first: SetExpr) -> Parsed<'a, (SetExpr, Tail)> {
    let (input, tail) = tail_of(input)?;
    unions(input, (first, tail))
}

fn unions<'a>(input: Input<'a>, first: (SetExpr, Tail)) -> Parsed<'a, (SetExpr, Tail)> {
    let context = input.context;
    let outside = context.height.replace(0);
    let (mut rest, (mut left, mut tail)) = intersections(input, first)?;
    let mut length = 0;
    while let Some(op) = operator(rest).filter(|op| *op != SetOperator::Intersect) {
        let (after, (all, op_span)) = operation(rest, &tail)?;
        let (after, next) = operand(after)?;
        let (after, (right, next_tail)) = intersections(after, next)?;
        length += 1;
        too_long(length + context.height.get(), op_span)?;
        left = SetExpr::SetOperation { left: Box::new(left), op, all, op_span, right: Box::new(right) };
        (rest, tail) = (after, next_tail);
    }
    context.height.set(outside.max(context.height.get() + length));
    Ok((rest, (left, tail)))
}

fn intersections<'a>(input: Input<'a>, first: (SetExpr, Tail)) -> Parsed<'a, (SetExpr, Tail)> {
    let (mut left, mut tail) = first;
    let mut rest = input;
    let mut length = 0;
    while operator(rest) == Some(SetOperator::Intersect) {
        let (after, (all, op_span)) = operation(rest, &tail)?;
        let (after, (right, next_tail)) = operand(after)?;
        length += 1;
        too_long(length, op_span)?;
        left = SetExpr::SetOperation {
            left: Box::new(left),
            op: SetOperator::Intersect,
            all,
            op_span,
            right: Box::new(right),
        };
        (rest, tail) = (after, next_tail);
    }
    input.context.height.set(input.context.height.get() + length);
    Ok((rest, (left, tail)))
}

fn too_long(length: u32, op_span: Span) -> Result<(), nom::Err<Fault>> {
    if length <= MAX_HEIGHT {
        return Ok(());
    }
    let message = format!("more than {MAX_HEIGHT} set operations follow each other");
    report(
        Diagnostic::error(Code::NESTING_TOO_DEEP, op_span, message)
            .help("put some of them into views or into WITH queries"),
    )
}

fn operator(input: Input<'_>) -> Option<SetOperator> {
    Some(match input.keyword()? {
        Keyword::Union => SetOperator::Union,
        Keyword::Except => SetOperator::Except,
        Keyword::Intersect => SetOperator::Intersect,
        _ => return None,
    })
}

/// The operator with ALL or DISTINCT; the query before it must not have ended already.
fn operation<'a>(input: Input<'a>, tail: &Tail) -> Parsed<'a, (bool, Span)> {
    let start = input.span();
    if let Some((span, clause)) = tail.first() {
        let word = input.text(input.peek(0)).to_uppercase();
        return report(
            Diagnostic::error(
                Code::SYNTAX,
                span,
                format!("{clause} stands before {word}, and belongs to the whole query after it"),
            )
            .also(start, "the set operation")
            .help(format!("move it to the end, or put the query before {word} in parentheses")),
        );
    }
    let (rest, all) = flag(Keyword::All)(input.skip(1))?;
    let rest = if !all && rest.is(Keyword::Distinct) { rest.skip(1) } else { rest };
    Ok((rest, (all, rest.since(start))))
}
