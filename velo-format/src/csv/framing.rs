//! A CSV file as chunks of whole records, with its header beside them.

use std::any::Any;
use std::sync::Arc;

use velo_core::error::{ConnectorError, ErrorKind};

use super::cut::{Cutter, RecordCut};
use super::header::Header;
use super::properties::Dialect;
use crate::framing::{Cut, Framer, RECORD_LIMIT, line_breaks, too_long};

/// Cuts one CSV file at record ends, never inside a quoted field.
///
/// What comes before the first record (byte-order mark, skipped lines, header) is dropped; each chunk carries the header in
/// its frames. To go on inside a file, show the file's start to [`Framer::cut`] first, without moving on, and then call
/// [`Framer::resume`]: the header is kept. One framer is for one file.
#[derive(Debug)]
pub struct CsvFramer {
    dialect: Dialect,
    limit: usize,
    cutter: Cutter,
    header: Option<Arc<Header>>,
    started: bool,
}

impl CsvFramer {
    /// A framer at the start of a file.
    pub fn new(dialect: Dialect) -> Self {
        Self::with_limit(dialect, RECORD_LIMIT)
    }

    /// A framer for records of at most `limit` bytes.
    pub fn with_limit(dialect: Dialect, limit: usize) -> Self {
        let cutter = Cutter::new(&dialect, limit);
        Self { dialect, limit, cutter, header: None, started: false }
    }

    /// The file's header, once it has been read.
    pub fn header(&self) -> Option<&Arc<Header>> {
        self.header.as_ref()
    }

    /// The file's header, where it is known from elsewhere.
    pub fn set_header(&mut self, header: Option<Arc<Header>>) {
        self.header = header;
    }
}

impl Framer for CsvFramer {
    fn cut(&mut self, buffer: &[u8], at_end: bool) -> Result<Cut, ConnectorError> {
        let (mut skip, mut skip_lines) = (0, 0);
        if !self.started {
            let preamble = Header::read(buffer, at_end, &self.dialect).map_err(|error| {
                let message = format!("line {}: {}", error.line, error.message);
                let made = ConnectorError::new(ErrorKind::Decode, "reading the CSV header", message);
                match error.help {
                    Some(help) => made.advise(help),
                    None => made,
                }
            })?;
            let Some(preamble) = preamble else {
                return if buffer.len() > self.limit { Err(too_long(self.limit)) } else { Ok(Cut::default()) };
            };
            self.header = preamble.header;
            (skip, skip_lines) = (preamble.bytes, preamble.lines);
            self.started = true;
        }
        let rest = &buffer[skip..];
        let bytes = match self.cutter.cut(rest, at_end) {
            RecordCut::Records(bytes) => bytes,
            RecordCut::More => 0,
            RecordCut::TooLong => return Err(too_long(self.limit)),
        };
        Ok(Cut { skip, skip_lines, bytes, lines: line_breaks(&rest[..bytes]) })
    }

    fn resume(&mut self) {
        self.cutter = Cutter::new(&self.dialect, self.limit);
        self.started = true;
    }

    fn frames(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.header.clone().map(|header| header as Arc<dyn Any + Send + Sync>)
    }
}
