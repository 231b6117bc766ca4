//! The cursor over the tokens: looking, taking, and saying what was expected.

use crate::nearest::nearest;

use crate::ast::{Ident, ObjectName};
use crate::diagnostic::{Code, Diagnostic};
use crate::lex::{Comment, Lexed, Token, TokenKind, lex};
use crate::span::Span;

/// How deeply expressions, queries and types may be nested. Far beyond what people write, and well within a thread's stack.
const MAX_DEPTH: usize = 100;

/// A mistake was reported; the statement is given up.
#[derive(Debug)]
pub(super) struct Stop;

pub(super) type Parse<T> = Result<T, Stop>;

/// Words that begin or join clauses, and so are no plain names for columns and relations.
const RESERVED: &[&str] = &[
    "AND", "AS", "BETWEEN", "CASE", "CREATE", "CROSS", "DISTINCT", "ELSE", "EXCEPT", "FROM", "FULL", "GROUP", "HAVING", "IN",
    "INNER", "INTERSECT", "INTO", "IS", "JOIN", "LEFT", "LIKE", "LIMIT", "NATURAL", "NOT", "NULL", "ON", "OR", "ORDER",
    "RIGHT", "SELECT", "THEN", "UNION", "USING", "WHEN", "WHERE", "WITH",
];

/// A parser in the middle of a script.
pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<Comment>,
    pub(super) at: usize,
    depth: usize,
    /// What would have been accepted at the current token.
    expected: Vec<&'static str>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        if u32::try_from(text.len()).is_err() {
            let diagnostic = Diagnostic::error(Code::SYNTAX, Span::default(), "a script is at most 4 GiB long");
            let tokens = vec![Token { kind: TokenKind::End, span: Span::default() }];
            return Self { text: "", tokens, comments: vec![], at: 0, depth: 0, expected: vec![], diagnostics: vec![diagnostic] };
        }
        let Lexed { tokens, comments, diagnostics } = lex(text);
        Self { text, tokens, comments, at: 0, depth: 0, expected: Vec::new(), diagnostics }
    }

    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics
    }

    pub(super) fn has_diagnostics(&self) -> bool {
        !self.diagnostics.is_empty()
    }

    // Looking.

    pub(super) fn token(&self) -> &Token {
        // The last token is the end, and nothing goes past it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    pub(super) fn ahead(&self, by: usize) -> &Token {
        &self.tokens[(self.at + by).min(self.tokens.len() - 1)]
    }

    pub(super) fn span(&self) -> Span {
        self.token().span
    }

    /// The span of the token before the current one.
    pub(super) fn last_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1).min(self.tokens.len() - 1)].span
    }

    pub(super) fn word_ahead(&self, by: usize) -> Option<&'a str> {
        let token = self.ahead(by);
        (token.kind == TokenKind::Word).then(|| token.span.text(self.text))
    }

    pub(super) fn is_word(&self, by: usize, word: &str) -> bool {
        self.word_ahead(by).is_some_and(|found| found.eq_ignore_ascii_case(word))
    }

    pub(super) fn is_any_word(&self, by: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(by, word))
    }

    pub(super) fn is_symbol(&self, by: usize, symbol: &str) -> bool {
        matches!(self.ahead(by).kind, TokenKind::Symbol(found) if found == symbol)
    }

    pub(super) fn at_end(&self) -> bool {
        self.token().kind == TokenKind::End
    }

    // Taking.

    pub(super) fn advance(&mut self) -> Token {
        let token = self.token().clone();
        if token.kind != TokenKind::End {
            self.at += 1;
        }
        self.expected.clear();
        token
    }

    /// Notes that `what` would have been accepted here.
    pub(super) fn note(&mut self, what: &'static str) {
        if !self.expected.contains(&what) {
            self.expected.push(what);
        }
    }

    pub(super) fn eat(&mut self, word: &'static str) -> bool {
        if self.is_word(0, word) {
            self.advance();
            return true;
        }
        self.note(word);
        false
    }

    /// Takes several words that belong together, or none of them.
    pub(super) fn eat_all(&mut self, words: &[&'static str]) -> bool {
        if words.iter().enumerate().all(|(by, word)| self.is_word(by, word)) {
            for _ in words {
                self.advance();
            }
            return true;
        }
        if let Some(first) = words.first() {
            self.note(first);
        }
        false
    }

    pub(super) fn eat_symbol(&mut self, symbol: &'static str) -> bool {
        if self.is_symbol(0, symbol) {
            self.advance();
            return true;
        }
        self.note(symbol);
        false
    }

    pub(super) fn need(&mut self, word: &'static str) -> Parse<Span> {
        let span = self.span();
        if self.eat(word) { Ok(span) } else { Err(self.unexpected(word)) }
    }

    pub(super) fn need_symbol(&mut self, symbol: &'static str) -> Parse<Span> {
        let span = self.span();
        if self.eat_symbol(symbol) { Ok(span) } else { Err(self.unexpected(symbol)) }
    }

    /// Takes the `)` that belongs to the `(` at `open`.
    pub(super) fn close(&mut self, open: Span) -> Parse<Span> {
        let span = self.span();
        if self.eat_symbol(")") {
            return Ok(span);
        }
        self.note(",");
        let mut diagnostic = self.expectation(")");
        if self.at_end() || self.is_symbol(0, ";") {
            diagnostic.code = Code::UNCLOSED;
        }
        Err(self.report(diagnostic.also(open, "this parenthesis is open")))
    }

    // Names.

    pub(super) fn is_reserved(&self, by: usize) -> bool {
        self.is_any_word(by, RESERVED)
    }

    /// A name where any unreserved word may stand.
    pub(super) fn ident(&mut self, what: &'static str) -> Parse<Ident> {
        match &self.token().kind {
            TokenKind::Quoted(value) => {
                let value = value.clone();
                let span = self.advance().span;
                Ok(Ident { value, quoted: true, span })
            }
            TokenKind::Word if !self.is_reserved(0) => Ok(self.any_word()),
            _ => Err(self.unexpected(what)),
        }
    }

    /// A name where a reserved word may stand too, because nothing else can: behind AS, behind a point.
    pub(super) fn label(&mut self, what: &'static str) -> Parse<Ident> {
        if self.token().kind == TokenKind::Word { Ok(self.any_word()) } else { self.ident(what) }
    }

    fn any_word(&mut self) -> Ident {
        let span = self.advance().span;
        Ident { value: span.text(self.text).to_owned(), quoted: false, span }
    }

    pub(super) fn object_name(&mut self, what: &'static str) -> Parse<ObjectName> {
        let first = self.ident(what)?;
        let mut span = first.span;
        let mut parts = vec![first];
        while self.is_symbol(0, ".") && !self.is_symbol(1, "*") {
            self.advance();
            let part = self.label("a name")?;
            span = span.to(part.span);
            parts.push(part);
        }
        Ok(ObjectName { parts, span })
    }

    /// `(a, b, …)`
    pub(super) fn ident_list(&mut self, what: &'static str) -> Parse<Vec<Ident>> {
        let open = self.need_symbol("(")?;
        let mut names = vec![self.ident(what)?];
        while self.eat_symbol(",") {
            names.push(self.ident(what)?);
        }
        self.close(open)?;
        Ok(names)
    }

    /// `item, item, …`; a comma before something that cannot be an item is a mistake of its own.
    pub(super) fn list<T>(&mut self, item: impl Fn(&mut Self) -> Parse<T>) -> Parse<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.is_symbol(0, ",") {
            let comma = self.advance().span;
            let clause = self.is_any_word(0, &["FROM", "WHERE", "GROUP", "HAVING", "ORDER", "EMIT", "LIMIT"]);
            if self.is_symbol(0, ")") || self.at_end() || self.is_symbol(0, ";") || (clause && self.is_reserved(0)) {
                let found = self.found();
                return Err(self.report(
                    Diagnostic::error(Code::SYNTAX, comma, format!("a comma before {found}"))
                        .label("nothing follows this comma")
                        .help("leave the comma out, or write what should follow it"),
                ));
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    // Nesting.

    /// Runs `inner` one level deeper; too many levels are a mistake.
    pub(super) fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.depth >= MAX_DEPTH {
            let span = self.span();
            return Err(self.report(
                Diagnostic::error(Code::NESTING, span, format!("this is nested more than {MAX_DEPTH} levels deep"))
                    .help("name parts of it in a WITH clause or a view"),
            ));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    // Mistakes.

    pub(super) fn report(&mut self, diagnostic: Diagnostic) -> Stop {
        self.diagnostics.push(diagnostic);
        Stop
    }

    /// The current token for a message.
    pub(super) fn found(&self) -> String {
        let token = self.token();
        match &token.kind {
            TokenKind::End => "the end of the script".to_owned(),
            TokenKind::String(_) => format!("the string {}", shorten(token.span.text(self.text))),
            TokenKind::Quoted(_) => format!("the name {}", shorten(token.span.text(self.text))),
            TokenKind::Number | TokenKind::Duration => format!("the number {}", token.span.text(self.text)),
            _ => format!("'{}'", shorten(token.span.text(self.text))),
        }
    }

    /// Reports that something else was expected here. `what` names it where too much could have been.
    pub(super) fn unexpected(&mut self, what: &'static str) -> Stop {
        let diagnostic = self.expectation(what);
        self.report(diagnostic)
    }

    fn expectation(&mut self, what: &'static str) -> Diagnostic {
        if self.token().kind == TokenKind::Bad {
            // The lexer has said what is wrong with it; the message would only repeat that something is.
            let span = self.span();
            return Diagnostic::error(Code::SYNTAX, span, format!("expected {}", quote(what))).label("not understood");
        }
        self.note(what);
        let expected = if self.expected.len() > 5 { vec![what] } else { self.expected.clone() };
        let mut names: Vec<String> = expected.iter().map(|name| quote(name)).collect();
        let last = names.pop().unwrap_or_default();
        let list = if names.is_empty() { last } else { format!("{} or {last}", names.join(", ")) };
        let found = self.found();
        let mut diagnostic = Diagnostic::error(Code::SYNTAX, self.span(), format!("expected {list}, found {found}"));
        if let Some(word) = self.word_ahead(0) {
            let keywords = self.expected.iter().copied().filter(|name| is_keyword(name));
            if let Some(near) = nearest(word, keywords) {
                diagnostic = diagnostic.help(format!("did you mean {near}?"));
            } else if self.is_reserved(0) && self.expected.iter().any(|name| !is_keyword(name)) {
                diagnostic = diagnostic.help(format!("{} is a reserved word; as a name it needs quotes: \"{word}\"", word.to_uppercase()));
            }
        } else if self.is_symbol(0, "==") {
            diagnostic = diagnostic.help("equality is written with one =");
        } else if self.is_symbol(0, ";") || self.at_end() {
            diagnostic = diagnostic.help("the statement is not complete");
        }
        self.expected.clear();
        diagnostic
    }
}

fn is_keyword(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

/// Keywords and descriptions stand plain, marks in quotes.
fn quote(name: &str) -> String {
    if name.bytes().any(|b| b.is_ascii_alphabetic()) { name.to_owned() } else { format!("'{name}'") }
}

fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 40 { line.chars().take(37).chain("…".chars()).collect() } else { line.to_owned() }
}
