//! Cutting a chunk into records and fields.
//!
//! The grammar, which [`super::framing`] shares: a field whose first byte is the quote is quoted up to the next quote that is
//! neither doubled nor escaped; what follows it up to the delimiter is a mistake, but does not disturb the rest. Any other
//! field ends at the next delimiter or line end, and quotes in it are text. A record ends with the line feed (with or without
//! a carriage return before it) that ends its last field. Blank lines and comment lines are no records.
//!
//! A chunk ends at a record's end. So a quote that is still open there was never closed: the framer gave up on it.

use memchr::{memchr, memchr_iter, memchr2};

use super::properties::Dialect;
use super::separators::Separators;

/// What the end of a quoted field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// The position of the closing quote.
    At(usize),
    /// There is none; what comes later must be looked at from this position on.
    Open(usize),
}

/// The closing quote at or behind `from`. Unless the text is `complete`, a quote or escape as its last byte decides nothing.
pub(super) fn closing(bytes: &[u8], from: usize, quote: u8, escape: Option<u8>, complete: bool) -> Closing {
    let mut at = from;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let hit = match escape {
            Some(escape) => memchr2(quote, escape, rest),
            None => memchr(quote, rest),
        };
        let Some(hit) = hit.map(|hit| at + hit) else { return Closing::Open(bytes.len().max(from)) };
        let next = bytes.get(hit + 1).copied();
        if next.is_none() && !complete {
            return Closing::Open(hit);
        }
        if bytes[hit] != quote {
            // An escape before anything else is text.
            at = hit + if next == Some(quote) || next == escape { 2 } else { 1 };
        } else if next == Some(quote) {
            at = hit + 2;
        } else {
            return Closing::At(hit);
        }
    }
}

/// What is wrong with a record's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// It has this number of fields.
    Fields(usize),
    /// Text follows the closing quote of this field (from 0), which opened on this line.
    AfterQuote { field: usize, line: u64 },
    /// The quote of this field (from 0), which opened on this line, is never closed.
    Unclosed { field: usize, line: u64 },
    /// Of records that stand one by one: text follows its line end.
    Behind,
}

/// A record that is no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadRecord {
    pub start: usize,
    /// Its end without the line end.
    pub end: usize,
    /// The line it begins on.
    pub line: u64,
    /// Good rows before it, in the same [`Rows`].
    pub after_rows: usize,
    pub problem: Problem,
}

/// Where the fields of some rows are.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Fields per row.
    pub fields: usize,
    /// Where each row starts.
    pub starts: Vec<u32>,
    /// Where each field ends (the position of the separator behind it), row after row.
    pub ends: Vec<u32>,
    /// The line each row starts on.
    pub lines: Vec<u64>,
    /// Records that are no rows.
    pub bad: Vec<BadRecord>,
}

impl Rows {
    pub(super) fn new(fields: usize) -> Self {
        Self { fields, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The bytes of a field, with its quotes, without the carriage return of the line end.
    #[inline]
    pub(super) fn field<'a>(&self, bytes: &'a [u8], row: usize, field: usize) -> &'a [u8] {
        let at = row * self.fields + field;
        let start = if field == 0 { self.starts[row] } else { self.ends[at - 1] + 1 };
        let text = &bytes[start as usize..self.ends[at] as usize];
        if field + 1 == self.fields { text.strip_suffix(b"\r").unwrap_or(text) } else { text }
    }

    /// The bytes of a row without its line end.
    pub(super) fn range(&self, bytes: &[u8], row: usize) -> std::ops::Range<usize> {
        let start = self.starts[row] as usize;
        start..line_end(bytes, start, self.ends[(row + 1) * self.fields - 1] as usize)
    }

    /// Takes rows out; `rows` ascend.
    pub(super) fn remove(&mut self, rows: &[usize]) {
        let mut at = 0;
        let mut kept = 0;
        for row in 0..self.len() {
            if rows.get(at) == Some(&row) {
                at += 1;
                continue;
            }
            self.starts[kept] = self.starts[row];
            self.lines[kept] = self.lines[row];
            self.ends.copy_within(row * self.fields..(row + 1) * self.fields, kept * self.fields);
            kept += 1;
        }
        self.starts.truncate(kept);
        self.lines.truncate(kept);
        self.ends.truncate(kept * self.fields);
    }

    pub(super) fn clear(&mut self) {
        self.starts.clear();
        self.ends.clear();
        self.lines.clear();
        self.bad.clear();
    }
}

/// `end` without the carriage return before it.
fn line_end(bytes: &[u8], start: usize, end: usize) -> usize {
    if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end }
}

/// Cuts a chunk into rows.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    dialect: &'a Dialect,
    separators: Separators<'a>,
    /// The quote, if the chunk has one at all.
    quote: Option<u8>,
    at: usize,
    line: u64,
}

impl<'a> Scanner<'a> {
    /// Begins with the record at the start of `bytes`, which is on `line`. `bytes` must be shorter than 4 GiB.
    pub(super) fn new(bytes: &'a [u8], dialect: &'a Dialect, line: u64) -> Self {
        let quote = dialect.quote.filter(|quote| memchr(*quote, bytes).is_some());
        let separators = Separators::new(bytes, dialect.delimiter, b'\n', quote);
        Self { bytes, dialect, separators, quote, at: 0, line }
    }

    /// Stands at the record at `start`, which ends with `bytes` and is at `line`; `quoted` says whether a field of it can be quoted.
    pub(super) fn at(bytes: &'a [u8], start: usize, dialect: &'a Dialect, quoted: bool, line: u64) -> Self {
        let quote = dialect.quote.filter(|_| quoted);
        let separators = Separators::at(bytes, dialect.delimiter, b'\n', quote, start);
        Self { bytes, dialect, separators, quote, at: start, line }
    }

    /// Adds that one record to `rows`, good or bad.
    pub(super) fn one(mut self, rows: &mut Rows) {
        let (start, line) = (self.at, self.line);
        rows.ends.resize((rows.len() + 1) * rows.fields, 0);
        let mut separators = self.separators.clone();
        match self.quote {
            Some(_) => self.record::<true>(rows, &mut separators),
            None => self.record::<false>(rows, &mut separators),
        }
        if self.at < self.bytes.len() {
            if rows.bad.last().is_none_or(|bad| bad.start != start) {
                rows.starts.pop();
                rows.lines.pop();
            } else {
                rows.bad.pop();
            }
            let (end, problem) = (self.bytes.len(), Problem::Behind);
            rows.bad.push(BadRecord { start, end, line, after_rows: rows.len(), problem });
        }
        rows.ends.truncate(rows.len() * rows.fields);
    }

    /// Whether a field can be quoted.
    pub(super) fn has_quotes(&self) -> bool {
        self.quote.is_some()
    }

    /// The start and line of the next record.
    pub(super) fn position(&self) -> (usize, u64) {
        (self.at, self.line)
    }

    /// Fills `rows` anew with up to `limit` records; false at the end.
    pub(super) fn fill(&mut self, rows: &mut Rows, limit: usize) -> bool {
        rows.clear();
        // A record takes a byte for each field, if only its separator.
        let room = limit.min(self.bytes.len() - self.at);
        rows.ends.resize(room * rows.fields, 0);
        rows.starts.reserve(room);
        rows.lines.reserve(room);
        if self.quote.is_some() {
            self.records::<true>(rows, limit)
        } else {
            self.records::<false>(rows, limit)
        }
        rows.ends.truncate(rows.len() * rows.fields);
        rows.len() + rows.bad.len() > 0
    }

    fn records<const QUOTES: bool>(&mut self, rows: &mut Rows, limit: usize) {
        // A copy of its own stays in registers.
        let mut separators = self.separators.clone();
        let mut left = limit;
        while left > 0
            && let Some(first) = self.bytes.get(self.at).copied()
        {
            if first == b'\n' || first == b'\r' || Some(first) == self.dialect.comment {
                let blank = first != b'\r' || matches!(self.bytes.get(self.at + 1), None | Some(b'\n'));
                if blank {
                    self.skip();
                    separators.seek(self.at);
                    continue;
                }
            }
            left -= 1;
            self.record::<QUOTES>(rows, &mut separators);
        }
        self.separators = separators;
    }

    /// Goes past a blank line or a comment.
    fn skip(&mut self) {
        self.at += memchr(b'\n', &self.bytes[self.at..]).map_or(self.bytes.len() - self.at, |end| end + 1);
        self.line += 1;
    }

    #[inline(always)]
    fn record<const QUOTES: bool>(&mut self, rows: &mut Rows, separators: &mut Separators<'a>) {
        let (start, line) = (self.at, self.line);
        let base = rows.len() * rows.fields;
        let mut field_start = start;
        let mut problem = None;
        let mut fields = 0;
        // One slot per field that a row has, and then one more for all that is too much.
        let mut slots = rows.ends[base..base + rows.fields].iter_mut();
        let end = loop {
            let end =
                if QUOTES { self.field_end(field_start, fields, separators, &mut problem) } else { separators.next() };
            fields += 1;
            if let Some(slot) = slots.next() {
                *slot = end as u32;
            }
            if self.bytes.get(end).is_none_or(|byte| *byte == b'\n') {
                break end;
            }
            field_start = end + 1;
        };
        self.at = (end + 1).min(self.bytes.len());
        self.line += 1;
        if fields == rows.fields && problem.is_none() {
            rows.starts.push(start as u32);
            rows.lines.push(line);
        } else {
            let end = line_end(self.bytes, start, end);
            let problem = problem.unwrap_or(Problem::Fields(fields));
            rows.bad.push(BadRecord { start, end, line, after_rows: rows.len(), problem });
        }
    }

    /// The end of the field at `start`, where a quote has a meaning.
    #[inline(always)]
    fn field_end(
        &mut self,
        start: usize,
        field: usize,
        separators: &mut Separators<'a>,
        problem: &mut Option<Problem>,
    ) -> usize {
        let mut end = separators.next();
        if end == start && self.bytes.get(end).copied() == self.quote {
            let line = self.line;
            let close = if self.dialect.escape.is_some() {
                self.close_escaped(start, separators)
            } else {
                self.close(separators)
            };
            let Some(close) = close else {
                *problem = problem.or(Some(Problem::Unclosed { field, line }));
                // Its last line end is the record's.
                self.line = line;
                let end = self.bytes.len() - usize::from(self.bytes.ends_with(b"\n"));
                self.line += memchr_iter(b'\n', &self.bytes[start..end.max(start)]).count() as u64;
                separators.seek(self.bytes.len());
                return end.max(start);
            };
            end = separators.next();
            let carriage = end == close + 2
                && self.bytes[close + 1] == b'\r'
                && self.bytes.get(end).is_none_or(|byte| *byte == b'\n');
            let quote = self.bytes.get(end).copied() == self.quote;
            if (end != close + 1 && !carriage) || quote {
                *problem = problem.or(Some(Problem::AfterQuote { field, line }));
            }
        }
        // Any other quote is text.
        while self.bytes.get(end).is_some_and(|byte| Some(*byte) == self.quote) {
            end = separators.next();
        }
        end
    }

    /// The closing quote of the field whose opening one was the last separator.
    #[inline(always)]
    fn close(&mut self, separators: &mut Separators<'a>) -> Option<usize> {
        loop {
            let at = separators.next();
            let byte = *self.bytes.get(at)?;
            if Some(byte) == self.quote {
                if self.bytes.get(at + 1).copied() != self.quote {
                    return Some(at);
                }
                separators.next();
            } else {
                self.line += u64::from(byte == b'\n');
            }
        }
    }

    /// As [`Self::close`], where quotes can be escaped.
    fn close_escaped(&mut self, start: usize, separators: &mut Separators<'a>) -> Option<usize> {
        let close = closing(self.bytes, start + 1, self.quote?, self.dialect.escape, true);
        let Closing::At(close) = close else { return None };
        self.line += memchr_iter(b'\n', &self.bytes[start..close]).count() as u64;
        separators.seek(close + 1);
        Some(close)
    }
}

/// The text of a quoted field: without its quotes, doubled and escaped ones made single.
pub(super) fn unquote<'a>(text: &'a [u8], quote: u8, escape: Option<u8>, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let inner = text.strip_prefix(&[quote]).unwrap_or(text);
    let inner = inner.strip_suffix(&[quote]).unwrap_or(inner);
    let find = |rest: &[u8]| match escape {
        Some(escape) => memchr2(quote, escape, rest),
        None => memchr(quote, rest),
    };
    let Some(mut hit) = find(inner) else { return inner };
    scratch.clear();
    let mut rest = inner;
    loop {
        let next = rest.get(hit + 1).copied();
        let single = if next == Some(quote) || (rest[hit] != quote && next == escape) {
            scratch.extend_from_slice(&rest[..hit]);
            scratch.push(rest[hit + 1]);
            hit + 2
        } else {
            scratch.extend_from_slice(&rest[..=hit]);
            hit + 1
        };
        rest = &rest[single..];
        match find(rest) {
            Some(at) => hit = at,
            None => break,
        }
    }
    scratch.extend_from_slice(rest);
    scratch
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows, bad records with their line and the rows before them, and the rows' lines.
    type Found = (Vec<Vec<String>>, Vec<(u64, usize, Problem)>, Vec<u64>);

    fn all(text: &str, fields: usize) -> Found {
        let dialect = Dialect { comment: Some(b'#'), ..Dialect::default() };
        let mut scanner = Scanner::new(text.as_bytes(), &dialect, 1);
        let (mut out, mut bad, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows = Rows::new(fields);
        while scanner.fill(&mut rows, 2) {
            bad.extend(rows.bad.iter().map(|bad| (bad.line, out.len() + bad.after_rows, bad.problem)));
            lines.extend_from_slice(&rows.lines);
            for row in 0..rows.len() {
                let text = |field| String::from_utf8(rows.field(text.as_bytes(), row, field).to_vec()).unwrap();
                out.push((0..fields).map(text).collect());
            }
        }
        (out, bad, lines)
    }

    #[test]
    fn records_fields_and_lines() {
        let (rows, bad, lines) = all("a,b\r\n\r\n#no, \"record\n\"x,\n\",y\"\"\n\n,\r\nlast,", 2);
        assert_eq!(rows, [["a", "b"], ["\"x,\n\"", "y\"\""], ["", ""], ["last", ""]]);
        assert_eq!(lines, [1, 4, 7, 8]);
        assert_eq!(bad, []);
    }

    #[test]
    fn bad_records_do_not_disturb_the_rest() {
        let (rows, bad, lines) = all("a\n1,2,3\n\"x\"y,\"\n\"\nok,ok\n\"a\nb\nc", 2);
        assert_eq!(rows, [["ok", "ok"]]);
        assert_eq!(lines, [5]);
        assert_eq!(
            bad,
            [
                (1, 0, Problem::Fields(1)),
                (2, 0, Problem::Fields(3)),
                (3, 0, Problem::AfterQuote { field: 0, line: 3 }),
                (6, 1, Problem::Unclosed { field: 0, line: 6 }),
            ]
        );
    }

    #[test]
    fn quotes_are_taken_off() {
        let mut scratch = Vec::new();
        for (text, escape, expected) in [
            (r#""""#, None, ""),
            (r#""a""b""#, None, r#"a"b"#),
            (r#""""""#, None, r#"""#),
            (r#""a\"b\\c\d\""#, Some(b'\\'), r#"a"b\c\d\"#),
            (r#""a""b\"""#, Some(b'\\'), r#"a"b""#),
        ] {
            assert_eq!(unquote(text.as_bytes(), b'"', escape, &mut scratch), expected.as_bytes(), "{text}");
        }
    }
}
