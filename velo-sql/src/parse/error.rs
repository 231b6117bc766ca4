//! The farthest failure: where parsing got stuck, what was expected there, and how that is told.

use crate::diagnostic::suggest::nearest;
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Keyword, Token, TokenKind, Use};
use crate::parse::hint;
use crate::parse::input::{Context, Input};

/// Why a grammar function gave up.
pub(crate) enum Fault {
    /// A token did not fit; [`Farthest`] knows which, and what would have.
    Unexpected,
    /// A mistake with a report of its own.
    Report(Box<Diagnostic>),
}

impl nom::error::ParseError<Input<'_>> for Fault {
    fn from_error_kind(_: Input<'_>, _: nom::error::ErrorKind) -> Fault {
        Fault::Unexpected
    }

    fn append(_: Input<'_>, _: nom::error::ErrorKind, other: Fault) -> Fault {
        other
    }
}

/// A part of the grammar under a name for people, with the words it can begin with.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) words: &'static [&'static str],
}

/// What a token could have been.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    Sign(TokenKind),
    Keyword(Keyword),
    Word(&'static str),
    Rule(&'static Rule),
}

impl Expected {
    fn show(self) -> String {
        match self {
            Expected::Sign(TokenKind::End) => "the end of the statement".to_owned(),
            Expected::Sign(TokenKind::String) => "text in single quotes".to_owned(),
            Expected::Sign(TokenKind::Number) => "a number".to_owned(),
            Expected::Sign(kind) => format!("`{}`", kind.sign()),
            Expected::Keyword(keyword) => format!("`{}`", keyword.text()),
            Expected::Word(word) => format!("`{word}`"),
            Expected::Rule(rule) => rule.name.to_owned(),
        }
    }

    fn words(self) -> Vec<&'static str> {
        match self {
            Expected::Sign(_) => Vec::new(),
            Expected::Keyword(keyword) => vec![keyword.text()],
            Expected::Word(word) => vec![word],
            Expected::Rule(rule) => rule.words.to_vec(),
        }
    }
}

/// The farthest place at which a token did not fit.
#[derive(Debug, Default)]
pub(crate) struct Farthest {
    pub(crate) at: u32,
    pub(crate) expected: Vec<Expected>,
}

impl Farthest {
    /// Keeps what was expected at the farthest place only.
    pub(crate) fn note(&mut self, at: u32, expected: Expected) {
        if at > self.at {
            self.at = at;
            self.expected.clear();
        }
        if at == self.at && self.expected.len() < 64 {
            self.expected.push(expected);
        }
    }

    /// Whether a sign was among what was expected.
    pub(crate) fn expects(&self, kind: TokenKind) -> bool {
        self.expected.iter().any(|expected| matches!(expected, Expected::Sign(found) if *found == kind))
    }

    /// Whether a rule was among what was expected.
    pub(crate) fn expects_rule(&self, rule: &Rule) -> bool {
        self.expected.iter().any(|expected| matches!(expected, Expected::Rule(found) if found.name == rule.name))
    }

    /// Every word that would have fitted.
    pub(crate) fn words(&self) -> Vec<&'static str> {
        self.expected.iter().flat_map(|expected| expected.words()).collect()
    }
}

/// `a`, `b` or `c`. Of more than five, the names of rules stay and single words go. Operators and aliases, which fit nearly everywhere,
/// come last.
fn one_of(expected: &[Expected]) -> String {
    let mut shown: Vec<(String, bool)> = Vec::new();
    for item in expected {
        let text = item.show();
        if !shown.iter().any(|(other, _)| *other == text) {
            shown.push((text, matches!(item, Expected::Rule(_))));
        }
    }
    if shown.len() > 5 && shown.iter().any(|(_, is_rule)| *is_rule) {
        let signs = |text: &str| text.starts_with('`') && !text.chars().any(char::is_alphabetic);
        shown.retain(|(text, is_rule)| *is_rule || signs(text) || !text.starts_with('`'));
    }
    shown.sort_by_key(|(text, _)| text == "an operator" || text == "an alias");
    shown.truncate(5);
    // A rule that is named by its words is those words.
    let texts: Vec<String> = shown
        .iter()
        .flat_map(|(text, is_rule)| {
            let words: Vec<&str> = if *is_rule && text.starts_with('`') {
                text.split(", ").flat_map(|part| part.split(" or ")).collect()
            } else {
                vec![text]
            };
            words.into_iter().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    match texts.split_last() {
        None => "something else".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// How a token is named in a message.
pub(crate) fn show_token(text: &str, token: Token) -> String {
    let shown: String = token.span.text(text).chars().take(40).collect();
    let more = if token.span.text(text).chars().count() > 40 { "…" } else { "" };
    match token.kind {
        TokenKind::End => "the end of the statement".to_owned(),
        TokenKind::String | TokenKind::EscapedString => {
            format!("the text {}{more}", shown.lines().next().unwrap_or(""))
        }
        TokenKind::Number => format!("the number {shown}{more}"),
        TokenKind::Duration => format!("the duration {shown}{more}"),
        _ => format!("`{shown}{more}`"),
    }
}

/// The report about a statement that could not be read.
pub(crate) fn explain(context: &Context<'_>, fault: Fault) -> Box<Diagnostic> {
    if let Fault::Report(diagnostic) = fault {
        return diagnostic;
    }
    let farthest = context.farthest.borrow();
    let index = context.tokens.partition_point(|token| token.span.start < farthest.at);
    let Some(found) = context.tokens.get(index.min(context.tokens.len().saturating_sub(1))).copied() else {
        return Box::new(Diagnostic::error(Code::SYNTAX, Default::default(), "there is no statement here"));
    };
    let before = index.checked_sub(1).and_then(|before| context.tokens.get(before)).copied();
    if let Some(diagnostic) = hint::instead(context, &farthest, index, found) {
        return Box::new(diagnostic);
    }
    let only_end = farthest.expects(TokenKind::End);
    let wanted = one_of(&farthest.expected);
    let code = if only_end { Code::LEFT_OVER } else { Code::SYNTAX };
    let span = match (found.kind, before) {
        (TokenKind::End, Some(before)) => before.span.end_point(),
        _ => found.span,
    };
    let mut diagnostic =
        Diagnostic::error(code, span, format!("expected {wanted}, found {}", show_token(context.text, found)));
    let is_reserved = found.keyword().is_some_and(|keyword| keyword.usage() == Use::Reserved);
    if matches!(found.kind, TokenKind::Word(_))
        && !is_reserved
        && let Some(word) = nearest(found.span.text(context.text), farthest.words())
    {
        diagnostic = diagnostic.help(format!("did you mean {word}?"));
    }
    Box::new(hint::add(context, &farthest, index, found, diagnostic))
}
