//! nom over tokens: the input that all grammar functions take, and what they share while they read one statement.

use crate::diagnostic::Diagnostic;
use crate::lex::{Keyword, Token, TokenKind};
use crate::parse::error::{Expected, Farthest, Fault};
use crate::span::Span;
use std::cell::{Cell, RefCell};
use std::iter::{Copied, Enumerate};
use std::slice::Iter;

/// Levels of parentheses, calls, CASE, types … that may lie inside each other; a query counts as two. A debug build needs up to 16 KiB of
/// stack for a level, so that a thread with 2 MiB has room to spare.
pub(crate) const MAX_NESTING: u32 = 64;

/// Levels of the tree that an expression may have: a chain such as `1 + 1 + …` is as deep as it is long.
pub(crate) const MAX_HEIGHT: u32 = 256;

/// What the parsing of one statement shares.
pub(crate) struct Context<'a> {
    pub(crate) text: &'a str,
    /// The statement's tokens, the last one being its end.
    pub(crate) tokens: &'a [Token],
    /// How far parsing got, and what was expected there.
    pub(crate) farthest: RefCell<Farthest>,
    /// Mistakes that do not keep the rest of the statement from being read.
    pub(crate) soft: RefCell<Vec<Diagnostic>>,
    /// How many levels are open.
    pub(crate) nesting: Cell<u32>,
    /// The height of the highest expression since it was last reset.
    pub(crate) height: Cell<u32>,
    /// Where a word was last taken as an alias without AS: a misspelt keyword ends up there.
    pub(crate) bare_alias: Cell<Option<Span>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(text: &'a str, tokens: &'a [Token]) -> Context<'a> {
        Context {
            text,
            tokens,
            farthest: RefCell::default(),
            soft: RefCell::default(),
            nesting: Cell::new(0),
            height: Cell::new(0),
            bare_alias: Cell::new(None),
        }
    }
}

/// The tokens that are still to be read, and the shared part.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    tokens: &'a [Token],
    pub(crate) context: &'a Context<'a>,
}

impl<'a> Input<'a> {
    pub(crate) fn new(context: &'a Context<'a>) -> Input<'a> {
        Input { tokens: context.tokens, context }
    }

    /// The token `ahead` places on; past the end it is the end.
    pub(crate) fn peek(self, ahead: usize) -> Token {
        let end = Token { kind: TokenKind::End, span: Span::default() };
        self.tokens.get(ahead).or(self.context.tokens.last()).copied().unwrap_or(end)
    }

    /// The kind of the next token.
    pub(crate) fn kind(self) -> TokenKind {
        self.peek(0).kind
    }

    /// The keyword that the next token is.
    pub(crate) fn keyword(self) -> Option<Keyword> {
        self.peek(0).keyword()
    }

    /// Where the next token stands.
    pub(crate) fn span(self) -> Span {
        self.peek(0).span
    }

    /// Whether the next token is this keyword.
    pub(crate) fn is(self, keyword: Keyword) -> bool {
        self.keyword() == Some(keyword)
    }

    /// Whether the tokens from here on are these keywords.
    pub(crate) fn are(self, keywords: &[Keyword]) -> bool {
        keywords.iter().enumerate().all(|(ahead, keyword)| self.peek(ahead).keyword() == Some(*keyword))
    }

    /// Whether the token `ahead` places on is of this kind.
    pub(crate) fn is_kind(self, ahead: usize, kind: TokenKind) -> bool {
        self.peek(ahead).kind == kind
    }

    /// Whether the token `ahead` places on is a word that is spelt so, whatever it means to the grammar.
    pub(crate) fn is_word(self, ahead: usize, word: &str) -> bool {
        let token = self.peek(ahead);
        matches!(token.kind, TokenKind::Word(_)) && self.text(token).eq_ignore_ascii_case(word)
    }

    /// The text of a token.
    pub(crate) fn text(self, token: Token) -> &'a str {
        token.span.text(self.context.text)
    }

    /// Past `count` tokens, never past the end.
    pub(crate) fn skip(self, count: usize) -> Input<'a> {
        let count = count.min(self.tokens.len().saturating_sub(1));
        Input { tokens: &self.tokens[count..], context: self.context }
    }

    /// The span from a token that was read before to the last one read.
    pub(crate) fn since(self, start: Span) -> Span {
        Span::new(start.start, self.before().span.end.max(start.end))
    }

    /// The token before this place; at the start of a statement the first one.
    pub(crate) fn before(self) -> Token {
        let index = (self.context.tokens.len() - self.tokens.len()).saturating_sub(1);
        self.context.tokens.get(index).copied().unwrap_or_else(|| self.peek(0))
    }

    /// Notes that something would have been accepted here.
    pub(crate) fn note(self, expected: Expected) {
        self.context.farthest.borrow_mut().note(self.span().start, expected);
    }

    /// Fails here, where something else was expected.
    pub(crate) fn fail<T>(self, expected: Expected) -> Result<T, nom::Err<Fault>> {
        self.note(expected);
        Err(nom::Err::Error(Fault::Unexpected))
    }

    /// Reports a mistake and reads on.
    pub(crate) fn soft(self, diagnostic: Diagnostic) {
        self.context.soft.borrow_mut().push(diagnostic);
    }
}

/// Gives the statement up with a report of its own.
pub(crate) fn report<T>(diagnostic: Diagnostic) -> Result<T, nom::Err<Fault>> {
    Err(nom::Err::Failure(Fault::Report(Box::new(diagnostic))))
}

impl<'a> nom::Input for Input<'a> {
    type Item = Token;
    type Iter = Copied<Iter<'a, Token>>;
    type IterIndices = Enumerate<Copied<Iter<'a, Token>>>;

    fn input_len(&self) -> usize {
        self.tokens.len()
    }

    fn take(&self, index: usize) -> Self {
        Input { tokens: &self.tokens[..index], context: self.context }
    }

    fn take_from(&self, index: usize) -> Self {
        Input { tokens: &self.tokens[index..], context: self.context }
    }

    fn take_split(&self, index: usize) -> (Self, Self) {
        (self.take_from(index), self.take(index))
    }

    fn position<P>(&self, predicate: P) -> Option<usize>
    where
        P: Fn(Token) -> bool,
    {
        self.tokens.iter().copied().position(predicate)
    }

    fn iter_elements(&self) -> Self::Iter {
        self.tokens.iter().copied()
    }

    fn iter_indices(&self) -> Self::IterIndices {
        self.tokens.iter().copied().enumerate()
    }

    fn slice_index(&self, count: usize) -> Result<usize, nom::Needed> {
        if self.tokens.len() >= count { Ok(count) } else { Err(nom::Needed::new(count - self.tokens.len())) }
    }
}
