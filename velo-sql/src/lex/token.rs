//! Tokens and comments.

use crate::lex::keyword::Keyword;
use crate::span::Span;

/// What kind of token; words, names and constants have their text in the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A plain word: a keyword, or a name.
    Word(Option<Keyword>),
    /// `"name"` or `` `name` ``.
    QuotedName,
    /// `'text'`.
    String,
    /// `E'text'`.
    EscapedString,
    /// `X'0a'`.
    HexString,
    /// Digits, with fraction and exponent.
    Number,
    /// `1m`, `1h30m`.
    Duration,
    /// `$1`.
    Parameter,
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    LeftBrace,
    RightBrace,
    Comma,
    Dot,
    Semicolon,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Concat,
    Pipe,
    Ampersand,
    Caret,
    Tilde,
    TildeStar,
    BangTilde,
    BangTildeStar,
    Equal,
    DoubleEqual,
    NotEqual,
    Less,
    LessOrEqual,
    /// `>`. `>>` is two of them, so that `ARRAY<ARRAY<INT>>` closes.
    Greater,
    GreaterOrEqual,
    ShiftLeft,
    Arrow,
    LongArrow,
    FatArrow,
    ColonEqual,
    Colon,
    DoubleColon,
    Dollar,
    Question,
    /// `!`, `&&`, `@`, `#`, `\`, …: reported by the lexer, or by the parser where it stands.
    Foreign,
    /// The end of a statement or of the script.
    End,
}

impl TokenKind {
    /// How a sign is written in messages; empty for what has a text of its own.
    pub(crate) fn sign(self) -> &'static str {
        use TokenKind::*;
        match self {
            LeftParen => "(",
            RightParen => ")",
            LeftBracket => "[",
            RightBracket => "]",
            LeftBrace => "{",
            RightBrace => "}",
            Comma => ",",
            Dot => ".",
            Semicolon => ";",
            Plus => "+",
            Minus => "-",
            Star => "*",
            Slash => "/",
            Percent => "%",
            Concat => "||",
            Pipe => "|",
            Ampersand => "&",
            Caret => "^",
            Tilde => "~",
            TildeStar => "~*",
            BangTilde => "!~",
            BangTildeStar => "!~*",
            Equal => "=",
            DoubleEqual => "==",
            NotEqual => "<>",
            Less => "<",
            LessOrEqual => "<=",
            Greater => ">",
            GreaterOrEqual => ">=",
            ShiftLeft => "<<",
            Arrow => "->",
            LongArrow => "->>",
            FatArrow => "=>",
            ColonEqual => ":=",
            Colon => ":",
            DoubleColon => "::",
            Dollar => "$",
            Question => "?",
            Word(_) | QuotedName | String | EscapedString | HexString | Number | Duration | Parameter | Foreign
            | End => "",
        }
    }
}

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

impl Token {
    /// The keyword that it is.
    pub(crate) fn keyword(self) -> Option<Keyword> {
        match self.kind {
            TokenKind::Word(keyword) => keyword,
            _ => None,
        }
    }
}

/// One comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Comment {
    /// From `--` to the last character of the line, or from `/*` to `*/`.
    pub(crate) span: Span,
    /// Whether it begins with `--`.
    pub(crate) is_line: bool,
}
