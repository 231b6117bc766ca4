//! The formatter: the standard layout, with every comment near the words that it stood by.

use crate::Diagnostic;
use crate::ast::Statement;
use crate::lex::{Comment, Lexed, Token, TokenKind, lex};
use crate::print;
use crate::span::Span;

/// How far ahead a token is looked for when the words of a script and of its printed form are compared.
const LOOK_AHEAD: usize = 24;

/// A script in the standard layout. What would not read back as the same script is left as it is.
pub(crate) fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let parsed = crate::parse::script(text);
    if !parsed.diagnostics.is_empty() {
        return Err(parsed.diagnostics);
    }
    let formatted = lay_out(text, &parsed.statements);
    let again = crate::parse::script(&formatted);
    let same = again.diagnostics.is_empty() && again.statements == parsed.statements;
    Ok(if same { formatted } else { text.to_owned() })
}

fn lay_out(text: &str, statements: &[Statement]) -> String {
    let Lexed { tokens, comments, .. } = lex(text);
    let mut out = String::new();
    let mut rest = comments.as_slice();
    let mut last_end = 0;
    for statement in statements {
        let Span { start, end } = statement.span;
        let leading = take(&mut rest, |comment| comment.span.start < start);
        leading_comments(&mut out, text, leading, last_end);
        let semicolon = tokens[tokens.partition_point(|token| token.span.start < end)..].first().copied();
        let stop = semicolon.map_or(end, |token| token.span.end);
        let inner = take(&mut rest, |comment| comment.span.start < stop);
        let (body, behind) = with_comments(text, &tokens, statement, inner);
        out.push_str(&body);
        out.push(';');
        out.push_str(&behind);
        let line_end = text[stop as usize..].find('\n').map_or(text.len(), |length| stop as usize + length) as u32;
        let next = tokens[tokens.partition_point(|token| token.span.start < stop)..]
            .first()
            .map_or(line_end, |token| token.span.start);
        for comment in take(&mut rest, |comment| comment.span.start < line_end.min(next)) {
            out.push(' ');
            out.push_str(comment.span.text(text));
            last_end = comment.span.end;
        }
        out.push('\n');
        last_end = last_end.max(stop);
    }
    leading_comments(&mut out, text, rest, last_end);
    out
}

fn take<'a>(rest: &mut &'a [Comment], while_true: impl Fn(&Comment) -> bool) -> &'a [Comment] {
    let count = rest.iter().take_while(|comment| while_true(comment)).count();
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}

/// The comments before a statement, with the blank lines between them.
fn leading_comments(out: &mut String, text: &str, comments: &[Comment], last_end: u32) {
    let mut blank = !out.is_empty();
    let mut before = last_end;
    for comment in comments {
        let gap = text.get(before as usize..comment.span.start as usize).unwrap_or("");
        if blank || (before > last_end && gap.matches('\n').count() > 1) {
            out.push('\n');
        }
        blank = false;
        out.push_str(comment.span.text(text));
        out.push('\n');
        before = comment.span.end;
    }
    if blank && (comments.is_empty() && text.len() > last_end as usize) && has_more(text, last_end) {
        out.push('\n');
    }
}

fn has_more(text: &str, from: u32) -> bool {
    text.get(from as usize..).is_some_and(|rest| !rest.trim_matches([' ', '\t', '\r', '\n', ';']).is_empty())
}

/// What is put into the printed form: before the line of a token, or at the end of its line.
struct Insertion {
    at: usize,
    text: String,
    own_line: bool,
}

/// A printed statement with the comments from its inside, and those that go behind its semicolon.
fn with_comments(text: &str, tokens: &[Token], statement: &Statement, comments: &[Comment]) -> (String, String) {
    if comments.is_empty() {
        return (print::statement(statement), String::new());
    }
    let printed = print::statement_in_lines(statement);
    let Span { start, end } = statement.span;
    let from = tokens.partition_point(|token| token.span.start < start);
    let to = tokens.partition_point(|token| token.span.start < end);
    let old = &tokens[from..to];
    let new = lex(&printed).tokens;
    let pairs = align(text, old, &printed, &new);
    let mut insertions: Vec<Insertion> = comments
        .iter()
        .map(|comment| {
            let next = old.partition_point(|token| token.span.start < comment.span.start);
            let line_start = text[..comment.span.start as usize].rfind('\n').map_or(0, |at| at + 1);
            let own_line = text[line_start..comment.span.start as usize].trim().is_empty();
            let token = if own_line {
                pairs[next.min(pairs.len())..].iter().flatten().next().copied()
            } else {
                pairs[..next.min(pairs.len())].iter().rev().flatten().next().copied()
            };
            let text = comment.span.text(text).to_owned();
            match token.map(|index| new[index].span) {
                Some(span) if own_line => {
                    Insertion { at: line_begin(&printed, &new, span.start as usize), text, own_line }
                }
                Some(span) => Insertion { at: line_end(&printed, &new, span.end as usize), text, own_line },
                None if own_line => Insertion { at: printed.len(), text, own_line: false },
                None => Insertion { at: line_end(&printed, &new, 0), text, own_line: false },
            }
        })
        .collect();
    insertions.sort_by_key(|insertion| insertion.at);
    insert(&printed, &insertions)
}

fn insert(printed: &str, insertions: &[Insertion]) -> (String, String) {
    let (mut out, mut behind) = (String::new(), String::new());
    let mut at = 0;
    for insertion in insertions {
        out.push_str(&printed[at..insertion.at]);
        at = insertion.at;
        if insertion.own_line {
            let rest = &printed[at..];
            let indent = rest.len() - rest.trim_start_matches(' ').len();
            out.push_str(&rest[..indent]);
            out.push_str(&insertion.text);
            out.push('\n');
        } else {
            // A comment to the end of the line would swallow the semicolon.
            let target = if insertion.at == printed.len() { &mut behind } else { &mut out };
            target.push(' ');
            target.push_str(&insertion.text);
        }
    }
    out.push_str(&printed[at..]);
    (out, behind)
}

/// For each token of the script the token of the printed form that it became, as far as one is found.
fn align(text: &str, old: &[Token], printed: &str, new: &[Token]) -> Vec<Option<usize>> {
    let same = |left: Token, right: Token| {
        let is_text = |token: Token| matches!(token.kind, TokenKind::String | TokenKind::QuotedName);
        let (left_text, right_text) = (left.span.text(text), right.span.text(printed));
        left.kind == right.kind && left_text.eq_ignore_ascii_case(right_text)
            || (is_text(left)
                && is_text(right)
                && left_text.trim_matches(['\'', '"', '`']) == right_text.trim_matches(['\'', '"', '`']))
    };
    let mut at = 0;
    old.iter()
        .map(|token| {
            let found =
                new[at..].iter().take(LOOK_AHEAD).position(|other| same(*token, *other)).map(|ahead| at + ahead);
            if let Some(index) = found {
                at = index + 1;
            }
            found
        })
        .collect()
}

/// The beginning of the line of a place, where lines are those outside tokens.
fn line_begin(printed: &str, tokens: &[Token], place: usize) -> usize {
    let mut at = place;
    while let Some(newline) = printed[..at].rfind('\n') {
        if !inside_token(tokens, newline) {
            return newline + 1;
        }
        at = newline;
    }
    0
}

/// The end of the line of a place, where lines are those outside tokens.
fn line_end(printed: &str, tokens: &[Token], place: usize) -> usize {
    let mut at = place;
    while let Some(length) = printed[at..].find('\n') {
        if !inside_token(tokens, at + length) {
            return at + length;
        }
        at += length + 1;
    }
    printed.len()
}

fn inside_token(tokens: &[Token], place: usize) -> bool {
    let index = tokens.partition_point(|token| token.span.end as usize <= place);
    tokens.get(index).is_some_and(|token| (token.span.start as usize) < place && token.kind != TokenKind::End)
}
