//! Text to tokens with their places. Comments are kept beside them; what no token begins with is reported here.

pub(crate) mod keyword;
pub(crate) mod literal;
pub(crate) mod token;

pub(crate) use keyword::{Keyword, Use};
pub(crate) use token::{Comment, Token, TokenKind};

use crate::diagnostic::{Code, Diagnostic};
use crate::span::Span;

/// What the lexer makes of a script.
pub(crate) struct Lexed {
    /// The tokens, the last one being the end.
    pub(crate) tokens: Vec<Token>,
    /// The comments, in order.
    pub(crate) comments: Vec<Comment>,
    /// What could not be read.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Cuts a script into tokens. A text over 4 GiB is cut off there; no script is that long.
pub(crate) fn lex(text: &str) -> Lexed {
    let text = text.get(..u32::MAX as usize - 1).unwrap_or(text);
    let mut lexer =
        Lexer { text, at: 0, tokens: Vec::new(), comments: Vec::new(), diagnostics: Vec::new(), short_strings: false };
    lexer.run();
    let end = text.len() as u32;
    lexer.tokens.push(Token { kind: TokenKind::End, span: Span::new(end, end) });
    Lexed { tokens: lexer.tokens, comments: lexer.comments, diagnostics: lexer.diagnostics }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    comments: Vec<Comment>,
    diagnostics: Vec<Diagnostic>,
    /// Quotes end with their line: set once a quote was found to be unclosed, so that the rest of the script is still read.
    short_strings: bool,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while let Some(c) = self.text[self.at..].chars().next() {
            let start = self.at;
            if c.is_whitespace() || c == '\u{feff}' {
                self.at += c.len_utf8();
            } else if self.rest().starts_with("--") {
                self.line_comment(start);
            } else if self.rest().starts_with("/*") {
                self.block_comment(start);
            } else if c == '\'' || c == '"' || c == '`' {
                self.quoted(start, start, c);
            } else if matches!(c, 'x' | 'X' | 'e' | 'E') && self.byte(1) == b'\'' {
                self.quoted(start, start + 1, '\'');
            } else if c.is_alphabetic() || c == '_' {
                self.word(start);
            } else if c.is_ascii_digit() || (c == '.' && self.byte(1).is_ascii_digit() && !self.after_name()) {
                self.number(start);
            } else {
                self.sign(start, c);
            }
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Whether the token before touches this place and is a name, so that a dot belongs to it.
    fn after_name(&self) -> bool {
        self.tokens.last().is_some_and(|last| {
            last.span.end as usize == self.at
                && matches!(
                    last.kind,
                    TokenKind::Word(_) | TokenKind::QuotedName | TokenKind::RightBracket | TokenKind::RightParen
                )
        })
    }

    fn push(&mut self, kind: TokenKind, start: usize) {
        self.tokens.push(Token { kind, span: Span::new(start as u32, self.at as u32) });
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn line_comment(&mut self, start: usize) {
        let length = self.rest().find('\n').unwrap_or(self.rest().len());
        self.at += length;
        let end = start + self.text[start..self.at].trim_end().len();
        self.comments.push(Comment { span: Span::new(start as u32, end as u32), is_line: true });
    }

    fn block_comment(&mut self, start: usize) {
        let bytes = self.text.as_bytes();
        let mut depth = 0usize;
        loop {
            match (bytes.get(self.at), bytes.get(self.at + 1)) {
                (Some(b'/'), Some(b'*')) => (self.at, depth) = (self.at + 2, depth + 1),
                (Some(b'*'), Some(b'/')) => (self.at, depth) = (self.at + 2, depth - 1),
                (Some(_), _) => self.at += 1,
                (None, _) => {
                    let span = Span::new(start as u32, start as u32 + 2);
                    self.report(
                        Diagnostic::error(Code::UNCLOSED, span, "this comment is never closed")
                            .label("it begins here")
                            .help("close it with */"),
                    );
                    break;
                }
            }
            if depth == 0 {
                break;
            }
        }
        self.comments.push(Comment { span: Span::new(start as u32, self.at as u32), is_line: false });
    }

    /// A token in quotes; `open` is the place of the quote, after a prefix.
    fn quoted(&mut self, start: usize, open: usize, quote: char) {
        let kind = match (quote, self.text.as_bytes()[start]) {
            ('\'', b'x' | b'X') => TokenKind::HexString,
            ('\'', b'e' | b'E') => TokenKind::EscapedString,
            ('\'', _) => TokenKind::String,
            _ => TokenKind::QuotedName,
        };
        let bytes = self.text.as_bytes();
        let mut at = open + 1;
        let closed = loop {
            match bytes.get(at) {
                None => break false,
                Some(b'\n') if self.short_strings => break false,
                Some(b'\\') if kind == TokenKind::EscapedString => at += 2,
                Some(byte) if *byte == quote as u8 => {
                    if bytes.get(at + 1) != Some(byte) {
                        break true;
                    }
                    at += 2;
                }
                Some(_) => at += 1,
            }
        };
        if closed {
            self.at = at + 1;
            self.push(kind, start);
            if kind == TokenKind::HexString {
                self.check_hex(start);
            } else if kind == TokenKind::QuotedName && at == open + 1 {
                let span = Span::new(start as u32, self.at as u32);
                self.report(Diagnostic::error(Code::INVALID_LITERAL, span, "a name in quotes cannot be empty"));
            }
            return;
        }
        if !self.short_strings {
            self.short_strings = true;
            if self.go_back_to_long_string(start) {
                return;
            }
        }
        let line_end = self.text[open..].find('\n').map_or(self.text.len(), |length| open + length);
        self.at = line_end;
        self.push(kind, start);
        let what = if quote == '\'' { "string" } else { "name in quotes" };
        let span = Span::new(open as u32, open as u32 + 1);
        let mut diagnostic = Diagnostic::error(Code::UNCLOSED, span, format!("this {what} is never closed"))
            .label("the quote opens here")
            .help(format!("close it with {quote}; a {quote} inside is written twice: {quote}{quote}"));
        if let Some(before) = self.string_before(open) {
            diagnostic = diagnostic.also(before, "the text before it ends with this quote");
        }
        self.report(diagnostic);
    }

    /// The closing quote of a string that a word follows without a blank, and then this place: `'it's'`.
    fn string_before(&self, open: usize) -> Option<Span> {
        let [.., string, word, _] = self.tokens.as_slice() else { return None };
        let touches = string.span.end == word.span.start && word.span.end as usize == open;
        (touches && string.kind == TokenKind::String).then(|| Span::new(string.span.end - 1, string.span.end))
    }

    /// An unclosed quote means that some quote before it is one too many or too few. The likely one opens the first string that goes over
    /// the end of its line; from there on the script is read again, with quotes that end with their line.
    fn go_back_to_long_string(&mut self, unclosed: usize) -> bool {
        let text = self.text;
        let is_long = |token: &&Token| {
            matches!(token.kind, TokenKind::String | TokenKind::QuotedName) && token.span.text(text).contains('\n')
        };
        let Some(first) = self.tokens.iter().find(is_long).map(|token| token.span.start) else { return false };
        debug_assert!((first as usize) < unclosed);
        self.tokens.retain(|token| token.span.start < first);
        self.comments.retain(|comment| comment.span.start < first);
        self.diagnostics.retain(|diagnostic| diagnostic.primary.span.start < first);
        self.at = first as usize;
        true
    }

    fn check_hex(&mut self, start: usize) {
        let digits = &self.text[start + 2..self.at - 1];
        if !digits.len().is_multiple_of(2) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let span = Span::new(start as u32, self.at as u32);
            self.report(
                Diagnostic::error(Code::INVALID_LITERAL, span, "these are not bytes in hexadecimal")
                    .help("write two hexadecimal digits for each byte: X'0aff'"),
            );
        }
    }

    fn word(&mut self, start: usize) {
        let rest = self.rest();
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        self.at += length;
        let keyword = Keyword::find(&self.text[start..self.at]);
        self.push(TokenKind::Word(keyword), start);
    }

    fn number(&mut self, start: usize) {
        self.digits();
        if self.byte(0) == b'.'
            && (self.byte(1).is_ascii_digit() || !starts_name(&self.rest()[1..]))
            && self.byte(1) != b'.'
        {
            self.at += 1;
            self.digits();
        }
        let exponent = match (self.byte(0), self.byte(1), self.byte(2)) {
            (b'e' | b'E', b'+' | b'-', digit) if digit.is_ascii_digit() => 2,
            (b'e' | b'E', digit, _) if digit.is_ascii_digit() => 1,
            _ => 0,
        };
        if exponent > 0 {
            self.at += exponent;
            self.digits();
        }
        if !starts_name(self.rest()) {
            self.push(TokenKind::Number, start);
            return;
        }
        let rest = self.rest();
        let length = rest
            .char_indices()
            .find(|(at, c)| {
                let point = *c == '.' && rest.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit);
                !(c.is_alphanumeric() || *c == '_' || point)
            })
            .map_or(rest.len(), |(at, _)| at);
        self.at += length;
        let text = &self.text[start..self.at];
        self.push(TokenKind::Duration, start);
        if literal::bare_duration(text).is_none() {
            self.malformed_number(start);
        }
    }

    fn malformed_number(&mut self, start: usize) {
        let text = &self.text[start..self.at];
        let span = Span::new(start as u32, self.at as u32);
        let shown: String = text.chars().take(40).collect();
        let help = if text.contains('_')
            && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_' || byte == b'.')
        {
            format!("write the digits without `_`: {}", text.replace('_', ""))
        } else if text.starts_with("0x") || text.starts_with("0X") {
            "bytes in hexadecimal are written X'0aff'; there are no hexadecimal numbers".to_owned()
        } else {
            format!(
                "a duration is written like 30s, 5m, 1h30m; a name that begins with a digit needs quotes: \"{shown}\""
            )
        };
        self.report(
            Diagnostic::error(Code::INVALID_LITERAL, span, format!("`{shown}` is neither a number nor a duration"))
                .help(help),
        );
    }

    fn digits(&mut self) {
        while self.byte(0).is_ascii_digit() {
            self.at += 1;
        }
    }

    fn sign(&mut self, start: usize, c: char) {
        use TokenKind::*;
        const SIGNS: &[(&str, TokenKind)] = &[
            ("!~*", BangTildeStar),
            ("->>", LongArrow),
            ("||", Concat),
            ("!~", BangTilde),
            ("~*", TildeStar),
            ("==", DoubleEqual),
            ("!=", NotEqual),
            ("<>", NotEqual),
            ("<=", LessOrEqual),
            (">=", GreaterOrEqual),
            ("<<", ShiftLeft),
            ("->", Arrow),
            ("=>", FatArrow),
            (":=", ColonEqual),
            ("::", DoubleColon),
            ("&&", Foreign),
            ("(", LeftParen),
            (")", RightParen),
            ("[", LeftBracket),
            ("]", RightBracket),
            ("{", LeftBrace),
            ("}", RightBrace),
            (",", Comma),
            (".", Dot),
            (";", Semicolon),
            ("+", Plus),
            ("-", Minus),
            ("*", Star),
            ("/", Slash),
            ("%", Percent),
            ("|", Pipe),
            ("&", Ampersand),
            ("^", Caret),
            ("~", Tilde),
            ("=", Equal),
            ("<", Less),
            (">", Greater),
            (":", Colon),
            ("?", Question),
        ];
        if c == '$' {
            self.at += 1;
            self.digits();
            let kind = if self.at > start + 1 { Parameter } else { Dollar };
            self.push(kind, start);
            return;
        }
        let found = SIGNS.iter().find(|(sign, _)| self.rest().starts_with(sign));
        let (length, kind) = found.map_or((c.len_utf8(), Foreign), |(sign, kind)| (sign.len(), *kind));
        self.at += length;
        self.push(kind, start);
        if kind == Foreign {
            self.foreign(start);
        }
    }

    /// Reports a sign of another language, with what to write for it.
    fn foreign(&mut self, start: usize) {
        let sign = &self.text[start..self.at];
        let (code, help) = match sign {
            "&&" => (Code::OTHER_DIALECT, "write AND"),
            "!" => (Code::OTHER_DIALECT, "write NOT; \"not equal\" is <> or !="),
            "@" => (Code::OTHER_DIALECT, "there are no variables; set a property with SET name = value"),
            "#" => (Code::OTHER_DIALECT, "a comment begins with --"),
            "\\" => (Code::UNKNOWN_CHARACTER, "a quote inside a string is written twice: 'it''s'"),
            "‘" | "’" | "‚" | "′" | "´" => {
                (Code::UNKNOWN_CHARACTER, "a string is written in straight quotes: 'text'")
            }
            "“" | "”" | "„" | "″" => (
                Code::UNKNOWN_CHARACTER,
                "a name is written in straight quotes, \"name\"; a string in single ones, 'text'",
            ),
            "–" | "—" | "−" => {
                (Code::UNKNOWN_CHARACTER, "minus is the plain hyphen -, and a comment begins with two of them")
            }
            "，" => (Code::UNKNOWN_CHARACTER, "write the plain comma ,"),
            "；" => (Code::UNKNOWN_CHARACTER, "write the plain semicolon ;"),
            "（" | "）" => (Code::UNKNOWN_CHARACTER, "write plain parentheses ( )"),
            "≤" => (Code::UNKNOWN_CHARACTER, "write <="),
            "≥" => (Code::UNKNOWN_CHARACTER, "write >="),
            "≠" => (Code::UNKNOWN_CHARACTER, "write <>"),
            "×" => (Code::UNKNOWN_CHARACTER, "write *"),
            _ => (Code::UNKNOWN_CHARACTER, "remove it, or put the text in quotes"),
        };
        let shown = match sign.chars().next() {
            Some(c) if c.is_control() || (c as u32) > 0x7f && !c.is_alphanumeric() => {
                format!("`{sign}` (U+{:04X})", c as u32)
            }
            _ => format!("`{sign}`"),
        };
        let message = if sign.chars().all(char::is_control) || sign == "\u{200b}" {
            let code = sign.chars().next().map_or(0, |c| c as u32);
            format!("an invisible character (U+{code:04X}) stands here")
        } else if code == Code::OTHER_DIALECT {
            format!("{shown} is not written in Velo's SQL")
        } else {
            format!("{shown} means nothing outside quotes")
        };
        // A run of strange characters, or a pair of them on one line, is one mistake.
        let span = Span::new(start as u32, self.at as u32);
        let text = self.text;
        if let Some(last) = self.diagnostics.last_mut()
            && last.code == code
            && last.help.first().is_some_and(|text| text == help)
        {
            let gap = &text[last.primary.span.end as usize..start];
            if gap.is_empty() {
                last.primary.span.end = span.end;
                return;
            }
            if !gap.contains('\n') {
                return;
            }
        }
        self.report(Diagnostic::error(code, span, message).help(help));
    }
}

fn starts_name(rest: &str) -> bool {
    rest.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}
