//! MATCH_RECOGNIZE: its clauses and its row patterns.

use crate::ast::{
    AfterMatch, Define, EmptyMatches, MatchRecognize, Measure, MeasureSemantics, Pattern, PatternKind, Relation,
    RowsPerMatch, Subset,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, TokenKind};
use crate::parse::combinator::{Parsed, expected, keyword, keywords, list, nested, parens, sign};
use crate::parse::error::{Expected, Rule};
use crate::parse::expr::{expr, interval, order_by};
use crate::parse::input::{Input, report};
use crate::parse::names::ident;
use crate::span::Span;

static SKIP_TO: Rule =
    Rule { name: "`PAST LAST ROW`, `TO NEXT ROW` or `TO` a pattern variable", words: &["PAST", "TO"] };
static PATTERN: Rule = Rule { name: "a pattern variable", words: &["PERMUTE"] };

/// `MATCH_RECOGNIZE (…)` over a relation that has been read already.
pub(crate) fn match_recognize<'a>(input: Input<'a>, relation: Relation) -> Parsed<'a, MatchRecognize> {
    let start = input.span();
    let (mut rest, _) = sign(TokenKind::LeftParen)(input.skip(1))?;
    let (mut partition_by, mut order, mut measures) = (Vec::new(), Vec::new(), Vec::new());
    if rest.is(Keyword::Partition) {
        let (after, _) = keywords(&[Keyword::Partition, Keyword::By])(rest)?;
        (rest, partition_by) = list(expr)(after)?;
    } else {
        rest.note(Expected::Keyword(Keyword::Partition));
    }
    if rest.is(Keyword::Order) {
        (rest, order) = order_by(rest)?;
    } else {
        rest.note(Expected::Keyword(Keyword::Order));
    }
    if rest.is(Keyword::Measures) {
        (rest, measures) = list(measure)(rest.skip(1))?;
    } else {
        rest.note(Expected::Keyword(Keyword::Measures));
    }
    let (rest, rows_per_match) = rows_per_match(rest)?;
    let (rest, after_match) = after_match(rest)?;
    let (rest, _) = keyword(Keyword::Pattern)(rest)?;
    let (rest, pattern) = parens(alternatives)(rest)?;
    let (rest, within) = within(rest)?;
    let (rest, subsets) = if rest.is(Keyword::Subset) { list(subset)(rest.skip(1))? } else { (rest, Vec::new()) };
    let (rest, _) = keyword(Keyword::Define)(rest)?;
    let (rest, defines) = list(define)(rest)?;
    let (rest, _) = sign(TokenKind::RightParen)(rest)?;
    let found = MatchRecognize {
        input: relation,
        partition_by,
        order_by: order,
        measures,
        rows_per_match,
        after_match,
        pattern,
        within,
        subsets,
        defines,
        span: rest.since(start),
    };
    Ok((rest, found))
}

fn measure(input: Input<'_>) -> Parsed<'_, Measure> {
    let semantics = match input.keyword() {
        Some(Keyword::Running) if !ends_name(input) => Some(MeasureSemantics::Running),
        Some(Keyword::Final) if !ends_name(input) => Some(MeasureSemantics::Final),
        _ => None,
    };
    let input = if semantics.is_some() { input.skip(1) } else { input };
    let (input, found) = expr(input)?;
    let (input, _) = keyword(Keyword::As)(input)?;
    let (input, alias) = ident(input)?;
    Ok((input, Measure { semantics, expr: found, alias }))
}

/// Whether the word at this place is a name and nothing more.
fn ends_name(input: Input<'_>) -> bool {
    input.is_kind(1, TokenKind::Dot) || input.peek(1).keyword() == Some(Keyword::As)
}

fn rows_per_match(input: Input<'_>) -> Parsed<'_, Option<RowsPerMatch>> {
    let start = input.span();
    let (rest, all) = match input.keyword() {
        Some(Keyword::One) => {
            let (rest, _) = keywords(&[Keyword::One, Keyword::Row, Keyword::Per, Keyword::Match])(input)?;
            (rest, false)
        }
        Some(Keyword::All) => {
            let (rest, _) = keywords(&[Keyword::All, Keyword::Rows, Keyword::Per, Keyword::Match])(input)?;
            (rest, true)
        }
        _ => {
            input.note(Expected::Keyword(Keyword::One));
            input.note(Expected::Keyword(Keyword::All));
            return Ok((input, None));
        }
    };
    let (rest, empty) = match rest.keyword() {
        Some(Keyword::Show) => {
            let (rest, _) = keywords(&[Keyword::Show, Keyword::Empty, Keyword::Matches])(rest)?;
            (rest, Some(EmptyMatches::Show))
        }
        Some(Keyword::Omit) => {
            let (rest, _) = keywords(&[Keyword::Omit, Keyword::Empty, Keyword::Matches])(rest)?;
            (rest, Some(EmptyMatches::Omit))
        }
        _ => (rest, None),
    };
    Ok((rest, Some(RowsPerMatch { all, empty, span: rest.since(start) })))
}

fn after_match(input: Input<'_>) -> Parsed<'_, Option<AfterMatch>> {
    if !input.is(Keyword::After) {
        input.note(Expected::Keyword(Keyword::After));
        return Ok((input, None));
    }
    let (input, _) = keywords(&[Keyword::After, Keyword::Match, Keyword::Skip])(input)?;
    if input.is(Keyword::Past) {
        return keywords(&[Keyword::Past, Keyword::Last, Keyword::Row])(input)
            .map(|(rest, _)| (rest, Some(AfterMatch::PastLastRow)));
    }
    if !input.is(Keyword::To) {
        return expected(input, &SKIP_TO);
    }
    let input = input.skip(1);
    let (rest, skip) = match (input.keyword(), input.peek(1).keyword()) {
        (Some(Keyword::Next), Some(Keyword::Row)) => (input.skip(2), AfterMatch::ToNextRow),
        (Some(Keyword::First), _) => ident(input.skip(1)).map(|(rest, name)| (rest, AfterMatch::ToFirst(name)))?,
        (Some(Keyword::Last), _) => ident(input.skip(1)).map(|(rest, name)| (rest, AfterMatch::ToLast(name)))?,
        _ => ident(input).map(|(rest, name)| (rest, AfterMatch::ToLast(name)))?,
    };
    Ok((rest, Some(skip)))
}

fn within(input: Input<'_>) -> Parsed<'_, Option<crate::ast::Expr>> {
    if !input.is(Keyword::Within) {
        input.note(Expected::Keyword(Keyword::Within));
        return Ok((input, None));
    }
    interval::length(input.skip(1)).map(|(rest, found)| (rest, Some(found)))
}

fn subset(input: Input<'_>) -> Parsed<'_, Subset> {
    let (input, name) = ident(input)?;
    let (input, _) = sign(TokenKind::Equal)(input)?;
    let (input, members) = parens(list(ident))(input)?;
    Ok((input, Subset { name, members }))
}

fn define(input: Input<'_>) -> Parsed<'_, Define> {
    let (input, name) = ident(input)?;
    let (input, _) = keyword(Keyword::As)(input)?;
    let (input, condition) = expr(input)?;
    Ok((input, Define { name, condition }))
}

/// `a | b`.
fn alternatives(input: Input<'_>) -> Parsed<'_, Pattern> {
    nested(input, |input| {
        let start = input.span();
        let (mut rest, first) = sequence(input)?;
        if !rest.is_kind(0, TokenKind::Pipe) {
            rest.note(Expected::Sign(TokenKind::Pipe));
            return Ok((rest, first));
        }
        let mut all = vec![first];
        while rest.is_kind(0, TokenKind::Pipe) {
            let next: Pattern;
            (rest, next) = sequence(rest.skip(1))?;
            all.push(next);
        }
        Ok((rest, Pattern { kind: PatternKind::Alternatives(all), span: rest.since(start) }))
    })
}

fn sequence(input: Input<'_>) -> Parsed<'_, Pattern> {
    let start = input.span();
    let (mut rest, first) = repeated(input)?;
    let mut all = vec![first];
    while begins_element(rest) {
        let next: Pattern;
        (rest, next) = repeated(rest)?;
        all.push(next);
    }
    let found = match all.pop() {
        Some(only) if all.is_empty() => only,
        last => {
            all.extend(last);
            Pattern { kind: PatternKind::Sequence(all), span: rest.since(start) }
        }
    };
    Ok((rest, found))
}

fn begins_element(input: Input<'_>) -> bool {
    use TokenKind::*;
    // What comes behind a pattern is no variable, so that a parenthesis that is missing is missed here.
    if let Word(Some(Keyword::Define | Keyword::Subset | Keyword::Within)) = input.kind() {
        return false;
    }
    matches!(input.kind(), Word(_) | QuotedName | LeftParen | LeftBrace | Caret | Dollar)
}

/// An element with its quantifier.
fn repeated(input: Input<'_>) -> Parsed<'_, Pattern> {
    let start = input.span();
    let (input, element) = element(input)?;
    let (input, bounds) = match input.kind() {
        TokenKind::Star => (input.skip(1), (0, None)),
        TokenKind::Plus => (input.skip(1), (1, None)),
        TokenKind::Question => (input.skip(1), (0, Some(1))),
        TokenKind::LeftBrace if !input.is_kind(1, TokenKind::Minus) => braces(input)?,
        _ => return Ok((input, element)),
    };
    let reluctant = input.is_kind(0, TokenKind::Question);
    let input = if reluctant { input.skip(1) } else { input };
    let (min, max) = bounds;
    let kind = PatternKind::Repeat { pattern: Box::new(element), min, max, greedy: !reluctant };
    Ok((input, Pattern { kind, span: input.since(start) }))
}

/// `{n}`, `{n,}`, `{n,m}`, `{,m}`.
fn braces(input: Input<'_>) -> Parsed<'_, (u32, Option<u32>)> {
    let start = input.span();
    let input = input.skip(1);
    let (input, min) = if input.is_kind(0, TokenKind::Comma) { (input, None) } else { times(input)? };
    let (input, max) = if !input.is_kind(0, TokenKind::Comma) {
        input.note(Expected::Sign(TokenKind::Comma));
        (input, min)
    } else if input.is_kind(1, TokenKind::RightBrace) {
        (input.skip(1), None)
    } else {
        times(input.skip(1))?
    };
    let (input, _) = sign(TokenKind::RightBrace)(input)?;
    let span: Span = input.since(start);
    if max.is_some_and(|max| max < min.unwrap_or(0)) {
        return report(
            Diagnostic::error(Code::SYNTAX, span, "the second number is smaller than the first")
                .help("write {least,most}"),
        );
    }
    Ok((input, (min.unwrap_or(0), max)))
}

fn times(input: Input<'_>) -> Parsed<'_, Option<u32>> {
    let (rest, token) = sign(TokenKind::Number)(input)?;
    match input.text(token).parse() {
        Ok(number) => Ok((rest, Some(number))),
        Err(_) => report(Diagnostic::error(
            Code::INVALID_LITERAL,
            token.span,
            "a pattern is repeated a whole number of times",
        )),
    }
}

fn element(input: Input<'_>) -> Parsed<'_, Pattern> {
    let start = input.span();
    let (rest, kind) = match input.kind() {
        TokenKind::Caret => (input.skip(1), PatternKind::Start),
        TokenKind::Dollar => (input.skip(1), PatternKind::End),
        TokenKind::LeftParen => {
            let (rest, inner) = parens(alternatives)(input)?;
            (rest, PatternKind::Group(Box::new(inner)))
        }
        TokenKind::LeftBrace if input.is_kind(1, TokenKind::Minus) => {
            let (rest, inner) = alternatives(input.skip(2))?;
            let (rest, _) = sign(TokenKind::Minus)(rest)?;
            let (rest, _) = sign(TokenKind::RightBrace)(rest)?;
            (rest, PatternKind::Exclude(Box::new(inner)))
        }
        TokenKind::Word(Some(Keyword::Permute)) if input.is_kind(1, TokenKind::LeftParen) => {
            let (rest, all) = parens(list(alternatives))(input.skip(1))?;
            (rest, PatternKind::Permute(all))
        }
        TokenKind::Word(_) | TokenKind::QuotedName => {
            let (rest, name) = ident(input)?;
            (rest, PatternKind::Variable(name))
        }
        _ => return expected(input, &PATTERN),
    };
    Ok((rest, Pattern { kind, span: rest.since(start) }))
}
