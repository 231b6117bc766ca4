//! Tokens to trees. A script is cut into statements first, so that a mistake in one does not hide those in the others.

mod annotations;
mod combinator;
mod create;
mod cte;
mod emit;
mod error;
mod explain;
mod expr;
mod from;
mod hint;
mod input;
mod insert;
mod job;
mod join;
mod match_recognize;
mod names;
mod options;
mod row_window;
mod select;
mod set_op;
mod show;
mod statement;
mod time_window;
mod types;

use crate::Parsed;
use crate::ast::{Expr, Query, Statement};
use crate::diagnostic::Diagnostic;
use crate::lex::{Comment, Lexed, Token, TokenKind, lex};
use crate::span::Span;
use combinator::sign;
use error::{Expected, Fault};
use input::{Context, Input};

/// Reads a script.
pub(crate) fn script(text: &str) -> Parsed {
    let Lexed { tokens, comments, mut diagnostics } = lex(text);
    let mut statements = Vec::new();
    let mut bad: Vec<u32> = diagnostics.iter().map(|diagnostic| diagnostic.primary.span.start).collect();
    bad.sort_unstable();
    let mut last_end = 0;
    for range in pieces(text, &tokens) {
        let piece = ended(&tokens[range]);
        let (Some(first), Some(end)) = (piece.first(), piece.last()) else { continue };
        let (start, end) = (first.span.start, end.span.start);
        if first.kind == TokenKind::End {
            continue;
        }
        // What cannot even be read as tokens has been reported; anything more would be a guess.
        if bad.get(bad.partition_point(|at| *at < start)).is_some_and(|at| *at <= end) {
            last_end = end;
            continue;
        }
        let before: Vec<Comment> = between(&comments, last_end, start);
        last_end = end;
        let context = Context::new(text, &piece);
        match one(&context, |input| statement::kind(input)) {
            Ok((kind, span)) => {
                statements.push(Statement { kind, annotations: annotations::annotations(text, &before), span })
            }
            Err(diagnostic) => diagnostics.push(*diagnostic),
        }
        diagnostics.extend(context.soft.take());
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span.start);
    Parsed { statements, diagnostics }
}

/// The comments between two places.
fn between(comments: &[Comment], from: u32, to: u32) -> Vec<Comment> {
    let first = comments.partition_point(|comment| comment.span.start < from);
    comments[first..].iter().take_while(|comment| comment.span.start < to).copied().collect()
}

/// Reads one expression.
pub(crate) fn expression(text: &str) -> Result<Expr, Vec<Diagnostic>> {
    whole(text, expr::expr)
}

/// Reads one query.
pub(crate) fn query(text: &str) -> Result<Query, Vec<Diagnostic>> {
    whole(text, select::inner_query)
}

fn whole<T>(text: &str, parser: impl Fn(Input<'_>) -> combinator::Parsed<'_, T>) -> Result<T, Vec<Diagnostic>> {
    let Lexed { tokens, mut diagnostics, .. } = lex(text);
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    let context = Context::new(text, &tokens);
    let parsed = one(&context, parser);
    diagnostics.extend(context.soft.take());
    match parsed {
        Ok((found, _)) if diagnostics.is_empty() => Ok(found),
        Ok(_) => Err(diagnostics),
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span.start);
            Err(diagnostics)
        }
    }
}

/// Runs a grammar function over all tokens of a context; what it leaves over is an error.
fn one<'a, T>(
    context: &'a Context<'a>,
    parser: impl Fn(Input<'a>) -> combinator::Parsed<'a, T>,
) -> Result<(T, Span), Box<Diagnostic>> {
    let input = Input::new(context);
    let start = input.span();
    let ended = parser(input).and_then(|(rest, found)| match sign(TokenKind::End)(rest) {
        Ok(_) => Ok((found, rest.since(start))),
        Err(fault) => {
            rest.note(Expected::Sign(TokenKind::End));
            Err(fault)
        }
    });
    ended.map_err(|fault| match fault {
        nom::Err::Error(fault) | nom::Err::Failure(fault) => error::explain(context, fault),
        nom::Err::Incomplete(_) => error::explain(context, Fault::Unexpected),
    })
}

/// The token ranges of the statements, each without its semicolon. A semicolon inside parentheses ends a statement only if a statement
/// begins after it: then it is the parenthesis that is at fault.
fn pieces(text: &str, tokens: &[Token]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut depth) = (0usize, 0usize);
    for (index, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::LeftParen | TokenKind::LeftBracket => depth += 1,
            TokenKind::RightParen | TokenKind::RightBracket => depth = depth.saturating_sub(1),
            TokenKind::Semicolon => {
                let next = tokens.get(index + 1);
                if depth == 0 || next.is_none_or(|next| statement::may_begin(text, *next)) {
                    found.push(start..index + 1);
                    (start, depth) = (index + 1, 0);
                }
            }
            TokenKind::End => found.push(start..index + 1),
            _ => {}
        }
    }
    found
}

/// The tokens of one statement with an end in place of the semicolon.
fn ended(tokens: &[Token]) -> Vec<Token> {
    let mut piece = tokens.to_vec();
    if let Some(last) = piece.last_mut() {
        last.kind = TokenKind::End;
    }
    piece
}
