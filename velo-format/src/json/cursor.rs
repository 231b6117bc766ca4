//! A place in JSON text that moves over values and checks their syntax.

use memchr::memchr;

use super::DEPTH_LIMIT;
use crate::error::show;
use crate::value::words::{before, load, no_digits, string_marks};

/// Why a record is bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The field, as a path; empty for the very value that is looked at.
    pub(crate) field: Option<String>,
    /// What is wrong.
    pub(crate) message: String,
}

/// The result of a step. The problem is boxed so that steps without one stay small.
pub(crate) type Outcome<T> = Result<T, Box<Problem>>;

impl Problem {
    #[cold]
    pub(crate) fn value(field: impl Into<String>, message: String) -> Box<Self> {
        Box::new(Self { field: Some(field.into()), message })
    }

    /// The same problem, of something that is at `place` (`.name`, `[3]`) in what is looked at; bad syntax has no field.
    #[cold]
    pub(crate) fn inside(mut self: Box<Self>, place: &str) -> Box<Self> {
        if let Some(field) = &mut self.field {
            field.insert_str(0, place);
        }
        self
    }
}

/// The content of a string, without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Whether escapes are in it.
    pub(crate) escaped: bool,
}

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
    /// A line break ends the record, so that it is no whitespace.
    pub(crate) lines: bool,
    /// Where the record begins, for messages.
    pub(crate) start: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize, lines: bool) -> Self {
        Self { bytes, at, lines, start: at }
    }

    /// The byte here.
    #[inline(always)]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// What was expected here.
    #[cold]
    pub(crate) fn expected(&self, what: &str) -> Box<Problem> {
        let byte = self.at - self.start.min(self.at) + 1;
        let found = match self.peek() {
            None if !self.lines => "the end".to_owned(),
            None | Some(b'\n' | b'\r') if self.line_ends(self.at) => "the end of the line".to_owned(),
            _ => {
                // Up to a few characters of what is there, without cutting one in two.
                let rest = &self.bytes[self.at..];
                let rest = &rest[..memchr(b'\n', rest).unwrap_or(rest.len()).min(64)];
                let text = String::from_utf8_lossy(rest).chars().take(16).collect::<String>();
                show(text.as_bytes())
            }
        };
        Box::new(Problem {
            field: None,
            message: format!("not valid JSON: expected {what} at byte {byte}, found {found}"),
        })
    }

    #[cold]
    fn invalid(&self, what: &str) -> Box<Problem> {
        let byte = self.at - self.start.min(self.at) + 1;
        Box::new(Problem { field: None, message: format!("not valid JSON: {what} at byte {byte}") })
    }

    /// Moves over whitespace.
    #[inline(always)]
    pub(crate) fn blanks(&mut self) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.more_blanks();
        }
    }

    #[inline(never)]
    fn more_blanks(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' if !self.lines => self.at += 1,
                _ => return,
            }
        }
    }

    /// Moves over a string; its opening quote is here.
    #[inline]
    pub(crate) fn string(&mut self) -> Outcome<Content> {
        let start = self.at + 1;
        let mut at = start;
        while let Some(word) = load(self.bytes, at) {
            let marks = string_marks(word);
            if marks == 0 {
                at += 8;
                continue;
            }
            at += before(marks);
            if self.bytes[at] == b'"' {
                self.at = at + 1;
                return Ok(Content { start, end: at, escaped: false });
            }
            break;
        }
        self.string_of_any_form(start, at)
    }

    /// The rest of a string that has escapes or other characters than ASCII, or that ends near the text's end.
    #[inline(never)]
    fn string_of_any_form(&mut self, start: usize, mut at: usize) -> Outcome<Content> {
        let (mut escaped, mut ascii) = (false, true);
        loop {
            if let Some(word) = load(self.bytes, at) {
                let marks = string_marks(word);
                if marks == 0 {
                    at += 8;
                    continue;
                }
                at += before(marks);
            }
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at = self.escape(at)?;
                }
                Some(0x80..) => {
                    ascii = false;
                    at += 1;
                }
                Some(0x20..) => at += 1,
                Some(b'\n' | b'\r') if self.lines && self.line_ends(at) => {
                    self.at = at;
                    return Err(self.expected("the end of a string"));
                }
                Some(_) => {
                    self.at = at;
                    return Err(self.invalid("a control character in a string"));
                }
                None => {
                    self.at = at;
                    return Err(self.expected("the end of a string"));
                }
            }
        }
        if !ascii && let Err(error) = std::str::from_utf8(&self.bytes[start..at]) {
            self.at = start + error.valid_up_to();
            return Err(self.invalid("a string with bytes that are no UTF-8"));
        }
        self.at = at + 1;
        Ok(Content { start, end: at, escaped })
    }

    /// Whether a line break, with or without a carriage return, or the text's end is at `at`.
    fn line_ends(&self, at: usize) -> bool {
        let at = if self.bytes.get(at) == Some(&b'\r') { at + 1 } else { at };
        matches!(self.bytes.get(at), None | Some(b'\n'))
    }

    /// Moves over the escape at `at`.
    fn escape(&mut self, at: usize) -> Outcome<usize> {
        match self.bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => return Ok(at + 2),
            Some(b'u') => {}
            _ => {
                self.at = at;
                return Err(self.invalid("an unknown escape"));
            }
        }
        match hex4(self.bytes, at + 2) {
            Some(0xD800..=0xDBFF) => {
                let low = (self.bytes.get(at + 6..at + 8) == Some(b"\\u")).then(|| hex4(self.bytes, at + 8)).flatten();
                if matches!(low, Some(0xDC00..=0xDFFF)) {
                    return Ok(at + 12);
                }
                self.at = at;
                Err(self.invalid("half of a surrogate pair"))
            }
            Some(0xDC00..=0xDFFF) => {
                self.at = at;
                Err(self.invalid("half of a surrogate pair"))
            }
            Some(_) => Ok(at + 6),
            None => {
                self.at = at;
                Err(self.invalid("an escape without its four hexadecimal digits"))
            }
        }
    }

    /// Moves over a number; a digit or a minus sign is here. Gives its text.
    #[inline]
    pub(crate) fn number(&mut self) -> Outcome<&'a [u8]> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.expected("a digit")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                return Err(self.expected("a digit"));
            }
            self.digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                return Err(self.expected("a digit"));
            }
            self.digits();
        }
        // What follows is looked at by who comes next: `01` ends behind its `0`, where neither comma nor bracket is.
        Ok(&self.bytes[start..self.at])
    }

    #[inline(always)]
    fn digits(&mut self) {
        while let Some(word) = load(self.bytes, self.at) {
            let count = before(no_digits(word));
            self.at += count;
            if count < 8 {
                return;
            }
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    /// Moves over `word`, whose first letter is here.
    #[inline]
    pub(crate) fn word(&mut self, word: &str) -> Outcome<()> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.expected("a value"))
        }
    }

    /// Moves over `byte` and what whitespace is around it.
    #[inline]
    pub(crate) fn punctuation(&mut self, byte: u8, what: &str) -> Outcome<()> {
        self.blanks();
        if self.peek() != Some(byte) {
            return Err(self.expected(what));
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }

    /// Moves over the value here; `depth` is how many arrays and objects are open. Gives its text.
    #[inline]
    pub(crate) fn skip(&mut self, depth: usize) -> Outcome<&'a [u8]> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
            }
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(b'{' | b'[') => self.skip_nested(depth)?,
            _ => return Err(self.expected("a value")),
        }
        Ok(&self.bytes[start..self.at])
    }

    #[inline(never)]
    fn skip_nested(&mut self, depth: usize) -> Outcome<()> {
        if self.peek() == Some(b'{') {
            let mut first = true;
            while self.member(&mut first, depth)?.is_some() {
                self.skip(depth + 1)?;
            }
        } else {
            let mut first = true;
            while self.element(&mut first, depth)? {
                self.skip(depth + 1)?;
            }
        }
        Ok(())
    }

    /// Moves to the value of the next member of an object and gives its key, or moves behind the object's end. At the first
    /// call the opening bracket is here.
    #[inline]
    pub(crate) fn member(&mut self, first: &mut bool, depth: usize) -> Outcome<Option<Content>> {
        if std::mem::take(first) {
            self.open(depth)?;
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(None);
            }
        } else {
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(None);
                }
                _ => return Err(self.expected("',' or '}'")),
            }
            self.blanks();
        }
        if self.peek() != Some(b'"') {
            return Err(self.expected("a field name in quotes"));
        }
        let key = self.string()?;
        self.punctuation(b':', "':'")?;
        Ok(Some(key))
    }

    /// Moves to the next element of an array, or behind the array's end (`false`). At the first call the opening bracket is
    /// here.
    #[inline]
    pub(crate) fn element(&mut self, first: &mut bool, depth: usize) -> Outcome<bool> {
        if std::mem::take(first) {
            self.open(depth)?;
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(false);
            }
            return Ok(true);
        }
        self.blanks();
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(b']') => {
                self.at += 1;
                return Ok(false);
            }
            _ => return Err(self.expected("',' or ']'")),
        }
        self.blanks();
        Ok(true)
    }

    #[inline]
    fn open(&mut self, depth: usize) -> Outcome<()> {
        if depth >= DEPTH_LIMIT {
            return Err(self.invalid("arrays and objects more than 128 deep"));
        }
        self.at += 1;
        self.blanks();
        Ok(())
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + (*digit as char).to_digit(16)?))
}

/// Appends the text that `content`, a string's content that was checked, stands for.
pub(crate) fn unescape(content: &[u8], out: &mut Vec<u8>) {
    let mut rest = content;
    while let Some(at) = memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let (byte, length) = match rest.get(at + 1) {
            Some(b'b') => (0x08, 2),
            Some(b'f') => (0x0C, 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'u') => {
                let (decoded, length) = unicode_escape(rest, at);
                let mut utf8 = [0; 4];
                out.extend_from_slice(decoded.encode_utf8(&mut utf8).as_bytes());
                rest = &rest[(at + length).min(rest.len())..];
                continue;
            }
            Some(other) => (*other, 2),
            None => (b'\\', 1),
        };
        out.push(byte);
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest);
}

/// The character of the `\u` escape at `at`, and its length.
fn unicode_escape(text: &[u8], at: usize) -> (char, usize) {
    let high = hex4(text, at + 2).unwrap_or(0xFFFD);
    if (0xD800..=0xDBFF).contains(&high) {
        let low = hex4(text, at + 8).unwrap_or(0xDC00).wrapping_sub(0xDC00) & 0x3FF;
        let code = 0x10000 + ((high - 0xD800) << 10) + low;
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}
