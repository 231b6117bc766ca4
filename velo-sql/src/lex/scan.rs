//! The scanner.

use super::token::{Comment, Lexed, Token, TokenKind};
use crate::diagnostic::{Code, Diagnostic};
use crate::span::Span;

/// Marks, longest first where one begins another.
const SYMBOLS: &[&str] = &[
    "->>", "!~*", "<=>", "::", ":=", "=>", "->", "<=", ">=", "<>", "!=", "==", "||", "!~", "~*", "(", ")", "[", "]", "{", "}",
    ",", ";", ".", "*", "+", "-", "/", "%", "=", "<", ">", "~", "?", ":", "|", "^", "&", "$", "@", "#", "!",
];

/// Units of a duration.
const UNITS: &[&str] = &["us", "ms", "s", "m", "h", "d", "w"];

/// Splits a script into tokens. Never fails: what is no token is reported and skipped.
pub fn lex(text: &str) -> Lexed {
    let mut scanner = Scanner { text, at: 0, lexed: Lexed::default() };
    scanner.run();
    scanner.lexed
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    lexed: Lexed,
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) {
        let length = self.rest().find(|c| !keep(c)).unwrap_or(self.rest().len());
        self.at += length;
    }

    fn push(&mut self, kind: TokenKind, start: usize) {
        self.lexed.tokens.push(Token { kind, span: Span::new(start, self.at) });
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.lexed.diagnostics.push(diagnostic);
    }

    fn run(&mut self) {
        if self.rest().starts_with('\u{feff}') {
            self.at += '\u{feff}'.len_utf8();
        }
        while let Some(c) = self.peek() {
            let start = self.at;
            match c {
                _ if c.is_whitespace() => self.take_while(char::is_whitespace),
                '-' if self.rest().starts_with("--") => self.line_comment(start),
                '/' if self.rest().starts_with("/*") => self.block_comment(start),
                '\'' => self.string(start),
                '"' | '`' => self.quoted(start, c),
                '0'..='9' => self.number(start),
                '.' if self.rest()[1..].starts_with(|d: char| d.is_ascii_digit()) && !self.after_name() => self.number(start),
                _ if c.is_alphabetic() || c == '_' => {
                    self.take_while(|c| c.is_alphanumeric() || c == '_' || c == '$');
                    self.push(TokenKind::Word, start);
                }
                _ => self.symbol(start, c),
            }
        }
        self.push(TokenKind::End, self.at);
    }

    /// Whether the last token directly before is something that a `.field` can follow.
    fn after_name(&self) -> bool {
        self.lexed.tokens.last().is_some_and(|token| {
            token.span.end as usize == self.at
                && matches!(token.kind, TokenKind::Word | TokenKind::Quoted(_) | TokenKind::Symbol(")" | "]"))
        })
    }

    fn line_comment(&mut self, start: usize) {
        self.take_while(|c| c != '\n');
        let before = self.lexed.tokens.len();
        self.lexed.comments.push(Comment { span: Span::new(start, self.at), before });
    }

    fn block_comment(&mut self, start: usize) {
        match self.rest()[2..].find("*/") {
            Some(length) => self.at += length + 4,
            None => {
                self.at = self.text.len();
                self.report(
                    Diagnostic::error(Code::UNCLOSED, Span::new(start, start + 2), "this comment is not closed")
                        .help("close it with */"),
                );
            }
        }
        let before = self.lexed.tokens.len();
        self.lexed.comments.push(Comment { span: Span::new(start, self.at), before });
    }

    /// The content up to an undoubled `quote`; `None` where it is not closed.
    fn enclosed(&mut self, quote: char) -> Option<String> {
        let body = self.at + 1;
        let mut content = String::new();
        let mut from = body;
        loop {
            let found = self.text[from..].find(quote)?;
            content.push_str(&self.text[from..from + found]);
            let behind = from + found + 1;
            if self.text[behind..].starts_with(quote) {
                content.push(quote);
                from = behind + 1;
            } else {
                self.at = behind;
                return Some(content);
            }
        }
    }

    fn string(&mut self, start: usize) {
        match self.enclosed('\'') {
            Some(content) => self.push(TokenKind::String(content), start),
            None => self.unclosed(start, "string", '\''),
        }
    }

    fn quoted(&mut self, start: usize, quote: char) {
        match self.enclosed(quote) {
            Some(content) if content.is_empty() => {
                self.report(Diagnostic::error(Code::SYNTAX, Span::new(start, self.at), "a name cannot be empty"));
                self.push(TokenKind::Bad, start);
            }
            Some(content) => self.push(TokenKind::Quoted(content), start),
            None => self.unclosed(start, "quoted name", quote),
        }
    }

    /// Goes on at the next line, so that what follows is still understood.
    fn unclosed(&mut self, start: usize, what: &str, quote: char) {
        self.at = start + 1;
        self.take_while(|c| c != '\n' && c != ';');
        self.report(
            Diagnostic::error(Code::UNCLOSED, Span::new(start, start + 1), format!("this {what} is not closed"))
                .label("it begins here")
                .help(format!("close it with {quote}; a {quote} inside is written twice: {quote}{quote}")),
        );
        self.push(TokenKind::Bad, start);
    }

    fn number(&mut self, start: usize) {
        self.take_while(|c| c.is_ascii_digit());
        if self.rest().starts_with('.') && !self.rest().starts_with("..") {
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
        }
        let bytes = self.rest().as_bytes();
        if matches!(bytes.first(), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(1), Some(b'+' | b'-')));
            if bytes.get(1 + sign).is_some_and(u8::is_ascii_digit) {
                self.at += 1 + sign;
                self.take_while(|c| c.is_ascii_digit());
            }
        }
        let digits = self.at;
        if self.peek().is_some_and(|c| c.is_alphabetic() || c == '_') {
            self.take_while(|c| c.is_alphanumeric() || c == '_');
            let text = &self.text[start..self.at];
            if is_duration(text) {
                self.push(TokenKind::Duration, start);
                return;
            }
            let letters = self.text[digits..self.at].to_owned();
            self.report(
                Diagnostic::error(
                    Code::SYNTAX,
                    Span::new(start, self.at),
                    format!("'{text}' is neither a number nor a duration"),
                )
                .help(format!(
                    "durations have the units us, ms, s, m, h, d and w: 5s, 1h30m; a name that begins with a digit needs quotes: \"{}{letters}\"",
                    &self.text[start..digits]
                )),
            );
            self.push(TokenKind::Bad, start);
            return;
        }
        self.push(TokenKind::Number, start);
    }

    fn symbol(&mut self, start: usize, c: char) {
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| self.rest().starts_with(**symbol)) {
            self.at += symbol.len();
            self.push(TokenKind::Symbol(symbol), start);
            return;
        }
        self.at += c.len_utf8();
        let mut diagnostic = Diagnostic::error(
            Code::SYNTAX,
            Span::new(start, self.at),
            format!("'{}' has no meaning here", c.escape_debug()),
        );
        if let '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' = c {
            diagnostic = diagnostic.help("this is a typographic quote; write ' for strings and \" for names");
        }
        self.report(diagnostic);
        self.push(TokenKind::Bad, start);
    }
}

fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return false;
        }
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        if !UNITS.contains(&rest[..letters].to_ascii_lowercase().as_str()) {
            return false;
        }
        rest = &rest[letters..];
    }
    true
}
