//! The start of a file: byte-order mark, lines to skip, and the names of the columns.

use std::sync::Arc;

use memchr::memchr;
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::place::Place;

use super::cut::{Cutter, RecordCut};
use super::properties::Dialect;
use super::scan::{Problem, Rows, Scanner, unquote};
use crate::framing::RECORD_LIMIT;

/// The names in a file's first record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The names in order. Blanks around an unquoted name are no part of it; an empty name is `column_2` by its place.
    pub names: Vec<String>,
    /// The line it is on.
    pub line: u64,
}

/// What stands before the first record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preamble {
    /// The header, where the dialect has one and the file is not empty.
    pub header: Option<Arc<Header>>,
    /// The bytes before the first record.
    pub bytes: usize,
    /// The lines before the first record.
    pub lines: u64,
}

/// Why a file's start cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderError {
    /// The line it is about.
    pub line: u64,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl HeaderError {
    fn new(line: u64, message: impl Into<String>) -> Self {
        Self { line, message: message.into(), help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The error of the file `path`.
    pub fn of(self, path: &str) -> ConnectorError {
        let error = ConnectorError::new(ErrorKind::Decode, "reading the CSV header", self.message)
            .at(Place::Line { path: path.to_owned(), line: self.line });
        match self.help {
            Some(help) => error.advise(help),
            None => error,
        }
    }
}

impl Header {
    /// Reads the start of a file (as UTF-8, after any transcoding) from its first bytes; `complete` tells that these are all.
    /// `None`: more bytes are needed.
    pub fn read(bytes: &[u8], complete: bool, dialect: &Dialect) -> Result<Option<Preamble>, HeaderError> {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(HeaderError::new(1, "the file begins with the byte-order mark of UTF-16")
                .help("set csv.encoding = utf-16"));
        }
        if bytes.len() < 3 && !complete {
            return Ok(None);
        }
        let mut at = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let mut lines = 0;
        while lines < dialect.skip_lines {
            match memchr(b'\n', &bytes[at..]) {
                Some(end) => at += end + 1,
                None if complete => return Ok(Some(Preamble { header: None, bytes: bytes.len(), lines })),
                None => return Ok(None),
            }
            lines += 1;
        }
        if !dialect.header {
            return Ok(Some(Preamble { header: None, bytes: at, lines }));
        }
        // Blank lines and comments before the header.
        while let Some(first) = bytes.get(at) {
            let blank = *first == b'\n' || bytes[at..].starts_with(b"\r\n");
            if !blank && Some(*first) != dialect.comment {
                break;
            }
            match memchr(b'\n', &bytes[at..]) {
                Some(end) => at += end + 1,
                None if complete => at = bytes.len(),
                None => return Ok(None),
            }
            lines += 1;
        }
        let rest = &bytes[at..];
        let whole = match Cutter::new(dialect, RECORD_LIMIT).cut(rest, complete) {
            RecordCut::Records(end) => end,
            RecordCut::More if complete => 0,
            RecordCut::More => return Ok(None),
            RecordCut::TooLong => return Err(HeaderError::new(lines + 1, "the header is longer than 64 MiB")),
        };
        let mut scanner = Scanner::new(&rest[..whole], dialect, lines + 1);
        let mut found = Rows::new(0);
        if !scanner.fill(&mut found, 1) && !complete {
            return Ok(None);
        }
        let (end, line) = scanner.position();
        let header = match found.bad.first() {
            Some(record) => match record.problem {
                Problem::Fields(fields) => {
                    Some(Arc::new(Self::of(&rest[record.start..record.end], record.line, fields, dialect)?))
                }
                Problem::AfterQuote { field, line } => {
                    return Err(HeaderError::new(
                        line,
                        format!("text follows the closing quote of name {}", field + 1),
                    ));
                }
                Problem::Unclosed { field, line } => {
                    return Err(HeaderError::new(line, format!("the quote of name {} is never closed", field + 1)));
                }
                // Only records that stand one by one can have it.
                Problem::Behind => None,
            },
            None => None,
        };
        Ok(Some(Preamble { header, bytes: at + end, lines: line - 1 }))
    }

    fn of(record: &[u8], line: u64, fields: usize, dialect: &Dialect) -> Result<Self, HeaderError> {
        let mut row = Rows::new(fields);
        Scanner::new(record, dialect, line).fill(&mut row, 1);
        let mut names: Vec<String> = Vec::with_capacity(fields);
        let mut scratch = Vec::new();
        for field in 0..fields {
            let text = row.field(record, 0, field);
            let quote = dialect.quote.filter(|quote| text.first() == Some(quote));
            let text = match quote {
                Some(quote) => unquote(text, quote, dialect.escape, &mut scratch),
                None => text,
            };
            let name = std::str::from_utf8(text).map_err(|_| {
                let shown = String::from_utf8_lossy(text).into_owned();
                HeaderError::new(line, format!("name {} of the header, '{shown}', is not UTF-8", field + 1))
                    .help("set csv.encoding to the file's encoding, such as latin1")
            })?;
            let name = if quote.is_some() { name } else { name.trim() };
            let name = if name.is_empty() { format!("column_{}", field + 1) } else { name.to_owned() };
            if let Some(first) = names.iter().position(|other| *other == name) {
                let message = format!("the header has '{name}' twice, as columns {} and {}", first + 1, field + 1);
                return Err(HeaderError::new(line, message).help(
                    "rename one of them, or go by place: csv.header = false with the header among csv.skip_lines",
                ));
            }
            names.push(name);
        }
        Ok(Self { names, line })
    }

    /// The place of the column called `name`: the exact name first, then, unless `exact`, the only one that differs in case.
    pub fn find(&self, name: &str, exact: bool) -> Result<usize, String> {
        if let Some(at) = self.names.iter().position(|other| other == name) {
            return Ok(at);
        }
        let folded = name.to_lowercase();
        let mut alike = self.names.iter().enumerate().filter(|(_, other)| !exact && other.to_lowercase() == folded);
        match (alike.next(), alike.next()) {
            (Some((at, _)), None) => Ok(at),
            (Some((_, first)), Some((_, second))) => Err(format!(
                "the column '{name}' could be '{first}' or '{second}' of the header; write one of them in quotes"
            )),
            (None, _) => {
                let mut message = format!("the header has no column '{name}'; it has {}", self.names.join(", "));
                if let Some(near) = velo_core::suggest::nearest(name, self.names.iter().map(String::as_str)) {
                    message.push_str(&format!("; did you mean '{near}'?"));
                }
                Err(message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], dialect: &Dialect) -> Result<Option<Preamble>, HeaderError> {
        let whole = Header::read(text, true, dialect);
        for end in 0..text.len() {
            if let Ok(Some(part)) = Header::read(&text[..end], false, dialect) {
                assert_eq!(Ok(Some(part)), whole, "from {end} bytes");
            }
        }
        whole
    }

    fn names(text: &str) -> Result<Vec<String>, String> {
        match read(text.as_bytes(), &Dialect::default()) {
            Ok(found) => Ok(found.unwrap().header.map(|header| header.names.clone()).unwrap_or_default()),
            Err(error) => Err(format!("{}: {}", error.line, error.message)),
        }
    }

    #[test]
    fn names_and_what_comes_before() {
        assert_eq!(names("\u{feff}id,\" x\"\"\n\", b ,,\r\n1").unwrap(), ["id", " x\"\n", "b", "column_4", "column_5"]);
        assert_eq!(names("").unwrap(), Vec::<String>::new());
        assert_eq!(names("a,b,a").unwrap_err(), "1: the header has 'a' twice, as columns 1 and 3");
        assert_eq!(names("\n\"a\nb").unwrap_err(), "2: the quote of name 1 is never closed");
        let dialect = Dialect { skip_lines: 2, comment: Some(b'#'), ..Dialect::default() };
        let found = read(b"junk \"\nmore\n#no\n\na,b\n1,2\n", &dialect).unwrap().unwrap();
        assert_eq!((found.bytes, found.lines), (21, 5));
        assert_eq!(found.header.unwrap().names, ["a", "b"]);
        let dialect = Dialect { header: false, ..Dialect::default() };
        assert_eq!(read(b"\xef\xbb\xbf1,2\n", &dialect).unwrap().unwrap().bytes, 3);
        assert!(read(b"\xff\xfea\0", &dialect).is_err());
    }

    #[test]
    fn exact_names_first() {
        let header = Header { names: ["id", "ID", "Px"].map(str::to_owned).to_vec(), line: 1 };
        assert_eq!(header.find("ID", false), Ok(1));
        assert_eq!(header.find("px", false), Ok(2));
        assert!(header.find("px", true).unwrap_err().contains("did you mean 'Px'?"));
        assert!(header.find("Id", false).unwrap_err().contains("'id' or 'ID'"));
    }
}
