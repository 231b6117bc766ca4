//! Joins: their kinds, and what they go by.

use crate::ast::{Join, JoinConstraint, JoinKind, JoinWithin};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, keyword, keywords, parens, sign};
use crate::parse::error::{Expected, Rule};
use crate::parse::expr::{expr, interval};
use crate::parse::from::{relation, using};
use crate::parse::input::{Input, report};

static JOIN: Rule =
    Rule { name: "a join", words: &["JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL", "ASOF"] };

/// The joins after a relation.
pub(crate) fn joins(input: Input<'_>) -> Parsed<'_, Vec<Join>> {
    let mut rest = input;
    let mut found = Vec::new();
    loop {
        let start = rest.span();
        let (after, kind) = kind(rest)?;
        let Some((kind, natural)) = kind else {
            rest.note(Expected::Rule(&JOIN));
            return Ok((rest, found));
        };
        let (after, relation) = relation(after)?;
        let constraint = if natural { JoinConstraint::Natural } else { JoinConstraint::None };
        let join = Join { kind, relation, constraint, within: None, match_condition: None, span: start };
        let (after, join) = conditions(after, join)?;
        found.push(Join { span: after.since(start), ..join });
        rest = after;
    }
}

/// The words up to JOIN; `None` where no join begins.
fn kind(input: Input<'_>) -> Parsed<'_, Option<(JoinKind, bool)>> {
    use Keyword::*;
    let natural = input.is(Natural);
    let rest = if natural { input.skip(1) } else { input };
    let second = rest.peek(1).keyword();
    let (rest, kind) = match rest.keyword() {
        Some(Join) => (rest, JoinKind::Inner),
        Some(Inner) => (rest.skip(1), JoinKind::Inner),
        Some(Cross) => (rest.skip(1), JoinKind::Cross),
        Some(Semi) => (rest.skip(1), JoinKind::LeftSemi),
        Some(Anti) => (rest.skip(1), JoinKind::LeftAnti),
        Some(Left) if second == Some(Semi) => (rest.skip(2), JoinKind::LeftSemi),
        Some(Left) if second == Some(Anti) => (rest.skip(2), JoinKind::LeftAnti),
        Some(Left) if second == Some(Asof) => (rest.skip(2), JoinKind::AsOfLeft),
        Some(Left) => (outer(rest.skip(1)), JoinKind::Left),
        Some(Right) if second == Some(Semi) => (rest.skip(2), JoinKind::RightSemi),
        Some(Right) if second == Some(Anti) => (rest.skip(2), JoinKind::RightAnti),
        Some(Right) => (outer(rest.skip(1)), JoinKind::Right),
        Some(Full) => (outer(rest.skip(1)), JoinKind::Full),
        Some(Asof) if second == Some(Left) => (outer(rest.skip(2)), JoinKind::AsOfLeft),
        Some(Asof) if second == Some(Inner) => (rest.skip(2), JoinKind::AsOf),
        Some(Asof) => (rest.skip(1), JoinKind::AsOf),
        Some(Outer) => {
            return report(
                Diagnostic::error(Code::SYNTAX, rest.span(), "OUTER alone does not say which side is kept whole")
                    .help("write LEFT JOIN, RIGHT JOIN or FULL JOIN"),
            );
        }
        _ if natural => (rest, JoinKind::Inner),
        _ => return Ok((input, None)),
    };
    keyword(Join)(rest).map(|(rest, _)| (rest, Some((kind, natural))))
}

fn outer(input: Input<'_>) -> Input<'_> {
    if input.is(Keyword::Outer) { input.skip(1) } else { input }
}

/// WITHIN, MATCH_CONDITION, ON and USING, in any order.
fn conditions<'a>(input: Input<'a>, mut join: Join) -> Parsed<'a, Join> {
    let mut rest = input;
    loop {
        let start = rest.span();
        match rest.keyword() {
            Some(Keyword::On) if join.constraint == JoinConstraint::None => {
                let (after, condition) = expr(rest.skip(1))?;
                (rest, join.constraint) = (after, JoinConstraint::On(condition));
            }
            Some(Keyword::Using) if join.constraint == JoinConstraint::None => {
                let (after, columns) = using(rest)?;
                (rest, join.constraint) = (after, JoinConstraint::Using(columns));
            }
            Some(Keyword::On | Keyword::Using) => {
                let message = "this join has its condition already";
                return report(
                    Diagnostic::error(Code::DUPLICATE_CLAUSE, start, message).help("join two conditions with AND"),
                );
            }
            Some(Keyword::Within) if join.within.is_none() => {
                let (after, within) = within(rest)?;
                (rest, join.within) = (after, Some(within));
            }
            Some(Keyword::MatchCondition) if join.match_condition.is_none() => {
                let (after, condition) = parens(expr)(rest.skip(1))?;
                (rest, join.match_condition) = (after, Some(Box::new(condition)));
            }
            _ => {
                if join.constraint == JoinConstraint::None && join.kind != JoinKind::Cross {
                    rest.note(Expected::Keyword(Keyword::On));
                    rest.note(Expected::Keyword(Keyword::Using));
                }
                return Ok((rest, join));
            }
        }
    }
}

/// `WITHIN 5m`, `WITHIN (1m, 5m)`, each with `GRACE PERIOD 1m`.
fn within(input: Input<'_>) -> Parsed<'_, JoinWithin> {
    let start = input.span();
    let input = input.skip(1);
    let (input, (before, after)) = if input.is_kind(0, TokenKind::LeftParen) {
        let (rest, before) = interval::length(input.skip(1))?;
        let (rest, _) = sign(TokenKind::Comma)(rest)?;
        let (rest, after) = interval::length(rest)?;
        let (rest, _) = sign(TokenKind::RightParen)(rest)?;
        (rest, (before, Some(after)))
    } else {
        let (rest, before) = interval::length(input)?;
        (rest, (before, None))
    };
    let (input, grace) = if input.is(Keyword::Grace) {
        let (rest, _) = keywords(&[Keyword::Grace, Keyword::Period])(input)?;
        let (rest, grace) = interval::length(rest)?;
        (rest, Some(grace))
    } else {
        (input, None)
    };
    Ok((input, JoinWithin { before, after, grace, span: input.since(start) }))
}
