//! Chunks at record ends: how a reader cuts a growing buffer, and how many lines went by.
//!
//! A reader appends what it reads to a buffer and asks its [`Framer`] for the longest run of whole records at the front.
//! Nothing is remembered between calls but where the stream is (at its start, inside an array, behind it): what was not cut
//! is shown again, with more behind it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use memchr::{memchr_iter, memrchr};
use velo_core::error::{ConnectorError, ErrorKind};

use crate::json::elements::JsonFramer;
use crate::properties::JsonLayout;

/// The largest record by default: 64 MiB.
pub const RECORD_LIMIT: usize = 64 << 20;

/// What the front of a buffer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cut {
    /// Bytes to drop before the records: a byte-order mark, blank lines, the brackets and commas of an array.
    pub skip: usize,
    /// Line breaks in the dropped bytes.
    pub skip_lines: u64,
    /// Bytes behind `skip` that are whole records; 0 asks for more bytes, or, at the end, says that nothing is left.
    pub bytes: usize,
    /// Line breaks in `bytes`.
    pub lines: u64,
}

impl Cut {
    /// The dropped bytes and the records together: what the reader moves on by.
    pub fn total(&self) -> usize {
        self.skip + self.bytes
    }

    /// Line breaks in everything that the reader moves on by.
    pub fn total_lines(&self) -> u64 {
        self.skip_lines + self.lines
    }
}

/// Cuts one resource (a file, a response) into chunks of whole records.
///
/// ```text
/// loop { read more into buffer; cut(buffer, at_end): drop skip, chunk = next `bytes`, both lines counted }
/// ```
pub trait Framer: Send + fmt::Debug {
    /// The longest run of whole records at the front of `buffer`; `at_end` says that nothing follows it. Errors where the
    /// first record is longer than the limit, or where an array is broken between its elements.
    fn cut(&mut self, buffer: &[u8], at_end: bool) -> Result<Cut, ConnectorError>;

    /// The buffer now begins at an earlier record end instead of at the start of the resource: no byte-order mark, header or
    /// `[` is expected.
    fn resume(&mut self);

    /// What goes into [`velo_core::connector::Chunk::frames`] beside the bytes just cut.
    fn frames(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }
}

/// Records that are lines: JSON lines, plain text. A byte-order mark and blank lines in front are dropped, the last line
/// needs no line break.
#[derive(Debug)]
pub struct LineFramer {
    limit: usize,
    started: bool,
}

impl LineFramer {
    /// A framer for records of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, started: false }
    }
}

/// The framer of JSON records, of at most `limit` bytes each.
pub fn json_framer(layout: JsonLayout, limit: usize) -> Box<dyn Framer> {
    Box::new(JsonFramer::new(layout, limit))
}

/// The byte-order mark of UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How many bytes of a byte-order mark `buffer` begins with; `None` where more bytes are needed to know.
pub fn byte_order_mark(buffer: &[u8], at_end: bool) -> Option<usize> {
    if buffer.starts_with(BYTE_ORDER_MARK) {
        return Some(BYTE_ORDER_MARK.len());
    }
    if !at_end && buffer.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(buffer) {
        return None;
    }
    Some(0)
}

/// Line breaks in `bytes`.
pub fn line_breaks(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

pub(crate) fn too_long(limit: usize) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::Decode,
        "reading",
        format!("a record is longer than {} MiB", limit.div_ceil(1 << 20)),
    )
    .advise("check that the format and the line breaks of the input are what the properties say")
}

impl Framer for LineFramer {
    fn cut(&mut self, buffer: &[u8], at_end: bool) -> Result<Cut, ConnectorError> {
        let mark = match self.started {
            true => 0,
            false => match byte_order_mark(buffer, at_end) {
                Some(mark) => mark,
                None => return Ok(Cut::default()),
            },
        };
        let rest = &buffer[mark..];
        let blank = rest.iter().position(|byte| !matches!(byte, b'\n' | b'\r' | b' ' | b'\t'));
        let blank = blank.unwrap_or(rest.len());
        // Whole blank lines only: blanks before a record on its own line belong to it.
        let blank = memrchr(b'\n', &rest[..blank]).map_or(0, |at| at + 1);
        let skip = mark + blank;
        let rest = &rest[blank..];
        let bytes = if at_end { rest.len() } else { memrchr(b'\n', rest).map_or(0, |at| at + 1) };
        if bytes == 0 && rest.len() > self.limit {
            return Err(too_long(self.limit));
        }
        self.started |= skip + bytes > 0;
        let skip_lines = line_breaks(&buffer[..skip]);
        Ok(Cut { skip, skip_lines, bytes, lines: line_breaks(&rest[..bytes]) })
    }

    fn resume(&mut self) {
        self.started = true;
    }
}
