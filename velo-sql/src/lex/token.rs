//! What the lexer makes.

use crate::diagnostic::Diagnostic;
use crate::span::Span;

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it stands.
    pub span: Span,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKind {
    /// A word: a keyword or a plain name. Its text is the span's.
    Word,
    /// A name in double quotes or backquotes, without them.
    Quoted(String),
    /// A string in single quotes, without them.
    String(String),
    /// A number. Its text is the span's.
    Number,
    /// A number with units of time: `1m`, `1h30m`. Its text is the span's.
    Duration,
    /// An operator or another mark.
    Symbol(&'static str),
    /// Something that is no token; reported already.
    Bad,
    /// The end of the text.
    End,
}

/// A comment, with its marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Where it stands.
    pub span: Span,
    /// How many tokens stand before it.
    pub before: usize,
}

/// A lexed script.
#[derive(Debug, Clone, Default)]
pub struct Lexed {
    /// The tokens; the last is [`TokenKind::End`].
    pub tokens: Vec<Token>,
    /// The comments.
    pub comments: Vec<Comment>,
    /// What is no token.
    pub diagnostics: Vec<Diagnostic>,
}
