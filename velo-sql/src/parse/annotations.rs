//! Annotations out of comments: `@name: value`, several on a line, and the header line `SQL Application:`.

use crate::ast::Annotation;
use crate::lex::Comment;
use crate::span::Span;

/// The annotations in the comments between two statements.
pub(crate) fn annotations(text: &str, comments: &[Comment]) -> Vec<Annotation> {
    let mut found = Vec::new();
    for comment in comments {
        let whole = comment.span.text(text);
        let (skip, inner) = match comment.is_line {
            true => (2, &whole[2..]),
            false => (2, whole.get(2..).unwrap_or("").strip_suffix("*/").unwrap_or("")),
        };
        let mut at = comment.span.start as usize + skip;
        for line in inner.split('\n') {
            annotations_of_line(line, at, &mut found);
            at += line.len() + 1;
        }
    }
    found
}

fn annotations_of_line(line: &str, start: usize, found: &mut Vec<Annotation>) {
    if let Some((head, value)) = line.split_once(':')
        && head.trim_matches(['-', '*', ' ', '\t']).eq_ignore_ascii_case("SQL Application")
    {
        let name = Span::new(start as u32, (start + head.len()) as u32);
        push(found, "application", name, value, start + head.len() + 1);
        return;
    }
    let starts: Vec<usize> =
        line.char_indices().filter(|(at, c)| *c == '@' && begins(line, *at)).map(|(at, _)| at).collect();
    for (index, at) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(line.len());
        let piece = &line[*at..end];
        let name_length = 1 + name_length(&piece[1..]);
        let rest = &piece[name_length..];
        let colon = usize::from(rest.starts_with(':'));
        let name_span = Span::new((start + at) as u32, (start + at + name_length) as u32);
        push(found, &piece[1..name_length].to_lowercase(), name_span, &rest[colon..], start + at + name_length + colon);
    }
}

/// Whether an annotation begins at this `@`: at the start of the comment, or after a blank and with a name and a colon.
fn begins(line: &str, at: usize) -> bool {
    let rest = &line[at + 1..];
    let length = name_length(rest);
    let first = line[..at].trim_matches(['-', '*', ' ', '\t']).is_empty();
    let after_blank = line[..at].ends_with(char::is_whitespace);
    length > 0 && (first || (after_blank && rest[length..].starts_with(':')))
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))).unwrap_or(text.len())
}

fn push(found: &mut Vec<Annotation>, name: &str, name_span: Span, value: &str, value_start: usize) {
    let lead = value.len() - value.trim_start().len();
    let trimmed = value.trim();
    let start = value_start + lead;
    let quoted = |quote| trimmed.len() >= 2 && trimmed.starts_with(quote) && trimmed.ends_with(quote);
    let inner = if quoted('"') || quoted('\'') { &trimmed[1..trimmed.len() - 1] } else { trimmed };
    found.push(Annotation {
        name: name.to_owned(),
        value: inner.to_owned(),
        name_span,
        value_span: Span::new(start as u32, (start + trimmed.len()) as u32),
    });
}
