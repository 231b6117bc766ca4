//! Where records end, while a file is being read: aware of quotes, and looking at each byte once.

use memchr::{memchr, memrchr};

use super::properties::Dialect;
use super::scan::{Closing, closing};
use super::separators::Separators;

/// What the bytes read so far hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordCut {
    /// The first so many bytes are whole records.
    Records(usize),
    /// No record ends there yet.
    More,
    /// A record is longer than the limit.
    TooLong,
}

/// Finds the ends of records in a text that grows.
///
/// A quote that is still open at the end of the file, or after `limit` bytes, is taken for a mistake of its line alone: that
/// record is cut off at the end of the line on which the quote opened, as the last of its chunk, and the next record begins
/// on the next line. The decoder reports a quote that is open at a chunk's end.
#[derive(Debug)]
pub struct Cutter {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
    comment: Option<u8>,
    limit: usize,
    /// The opening quote that the scan is behind of.
    open: Option<usize>,
    /// Text from here on is outside of quotes, unless one is open.
    plain: usize,
    /// How far quotes were looked for.
    scanned: usize,
    /// The end of the last whole record before the open quote.
    end: usize,
}

impl Cutter {
    /// A cutter at the start of a record.
    pub fn new(dialect: &Dialect, limit: usize) -> Self {
        let Dialect { delimiter, quote, escape, comment, .. } = *dialect;
        Self { delimiter, quote, escape, comment, limit, open: None, plain: 0, scanned: 0, end: 0 }
    }

    /// Looks for whole records in `bytes`, which begins where the last cut ended and holds all that was read since; `complete`
    /// tells that nothing more will come. The caller takes the cut bytes off before the next call.
    pub fn cut(&mut self, bytes: &[u8], complete: bool) -> RecordCut {
        if let Some(quote) = self.quote {
            self.scan(bytes, quote, complete);
        }
        if self.open.is_none() {
            self.ends_before(bytes, bytes.len());
            if complete {
                self.end = bytes.len();
            }
        }
        if self.end > 0 {
            let end = self.end;
            self.open = self.open.map(|open| open - end);
            self.plain = self.plain.saturating_sub(end);
            self.scanned = self.scanned.saturating_sub(end);
            self.end = 0;
            return RecordCut::Records(end);
        }
        if bytes.is_empty() || !(complete || bytes.len() >= self.limit) {
            return RecordCut::More;
        }
        let Some(open) = self.open.take() else { return RecordCut::TooLong };
        (self.plain, self.scanned) = (0, 0);
        match memchr(b'\n', &bytes[open..]) {
            Some(line) => RecordCut::Records(open + line + 1),
            None if complete => RecordCut::Records(bytes.len()),
            None => RecordCut::TooLong,
        }
    }

    fn scan(&mut self, bytes: &[u8], quote: u8, complete: bool) {
        if self.escape.is_some() {
            return self.scan_escaped(bytes, quote, complete);
        }
        // Most files have no quotes at all.
        let Some(first) = memchr(quote, &bytes[self.scanned..]) else {
            self.scanned = bytes.len();
            return;
        };
        let mut quotes = Separators::new(bytes, quote, quote, None);
        quotes.seek(self.scanned + first);
        loop {
            let hit = quotes.next();
            let Some(before) = bytes.get(..hit).filter(|_| hit < bytes.len()) else {
                self.scanned = bytes.len();
                return;
            };
            if self.open.is_none() {
                let starts = before.last().is_none_or(|last| *last == self.delimiter || *last == b'\n');
                if starts && !self.in_comment(bytes, hit) {
                    self.ends_before(bytes, hit);
                    self.open = Some(hit);
                }
                continue;
            }
            match bytes.get(hit + 1) {
                // Whether it is doubled is not known yet.
                None if !complete => {
                    self.scanned = hit;
                    return;
                }
                Some(next) if *next == quote => {
                    quotes.next();
                }
                _ => {
                    self.open = None;
                    self.plain = hit + 1;
                }
            }
        }
    }

    fn scan_escaped(&mut self, bytes: &[u8], quote: u8, complete: bool) {
        loop {
            if self.open.is_some() {
                match closing(bytes, self.scanned, quote, self.escape, complete) {
                    Closing::At(close) => {
                        self.open = None;
                        (self.plain, self.scanned) = (close + 1, close + 1);
                    }
                    Closing::Open(at) => {
                        self.scanned = at;
                        return;
                    }
                }
            }
            let Some(hit) = memchr(quote, &bytes[self.scanned..]) else {
                self.scanned = bytes.len();
                return;
            };
            let hit = self.scanned + hit;
            self.scanned = hit + 1;
            let field = hit == 0 || bytes[hit - 1] == self.delimiter || bytes[hit - 1] == b'\n';
            if field && !self.in_comment(bytes, hit) {
                self.ends_before(bytes, hit);
                self.open = Some(hit);
            }
        }
    }

    /// Notes the last line end in the plain text before `to`.
    #[inline]
    fn ends_before(&mut self, bytes: &[u8], to: usize) {
        let plain = &bytes[self.plain..to];
        match plain {
            [] => {}
            [.., b'\n'] => self.end = to,
            [_] => {}
            _ => {
                if let Some(line) = memrchr(b'\n', plain) {
                    self.end = self.plain + line + 1;
                }
            }
        }
    }

    fn in_comment(&self, bytes: &[u8], at: usize) -> bool {
        if self.comment.is_none() {
            return false;
        }
        let line = match memrchr(b'\n', &bytes[self.plain..at]) {
            Some(line) => self.plain + line + 1,
            None if self.plain == 0 => 0,
            None => return false,
        };
        bytes.get(line).copied() == self.comment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(text: &str, step: usize, limit: usize) -> Vec<String> {
        let dialect = Dialect { comment: Some(b'#'), ..Dialect::default() };
        let mut cutter = Cutter::new(&dialect, limit);
        let (mut buffer, mut out) = (Vec::new(), Vec::new());
        let mut rest = text.as_bytes();
        loop {
            match cutter.cut(&buffer, rest.is_empty()) {
                RecordCut::Records(end) => {
                    let tail = buffer.split_off(end);
                    out.push(String::from_utf8(std::mem::replace(&mut buffer, tail)).unwrap());
                }
                RecordCut::More if rest.is_empty() => return out,
                RecordCut::More => {
                    let (now, later) = rest.split_at(step.min(rest.len()));
                    buffer.extend_from_slice(now);
                    rest = later;
                }
                RecordCut::TooLong => {
                    out.push("too long".to_owned());
                    return out;
                }
            }
        }
    }

    #[test]
    fn byte_by_byte_gives_single_records() {
        let records =
            ["a,b\n", "\"x\n\"\"\n\",\"\"\n", "#c,\"d\n", "\r\n", "y\"\n", "\"q\"r\"\n", ",\"z\n\n\"\n", "l,"];
        let text = records.concat();
        assert_eq!(cuts(&text, 1, 1000), records);
        for step in 1..text.len() {
            assert_eq!(cuts(&text, step, 1000).concat(), text);
        }
    }

    #[test]
    fn an_open_quote_costs_its_line() {
        for step in [1, 3, 100] {
            let cut = cuts("a\n\"b\nc\nd\n", step, 1000);
            assert_eq!(cut[..2], ["a\n", "\"b\n"], "{cut:?}");
            assert_eq!(cut.concat(), "a\n\"b\nc\nd\n");
        }
        assert_eq!(cuts("a\n\"b\nc,ddddddddddd\ne\n", 1, 10)[1], "\"b\n");
        assert_eq!(cuts("aaaaaaaaaaa\n", 1, 10), ["too long"]);
    }
}
