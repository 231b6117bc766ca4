//! The first records of a file, field by field: what inference reads.

use std::sync::Arc;

use velo_core::error::{ConnectorError, ErrorKind};

use super::cut::{Cutter, RecordCut};
use super::header::Header;
use super::properties::Dialect;
use super::scan::{Problem, Rows, Scanner, unquote};
use crate::framing::RECORD_LIMIT;

/// Reads the records of a file's first bytes.
pub(crate) struct SampleReader<'a> {
    bytes: &'a [u8],
    dialect: &'a Dialect,
    header: Option<Arc<Header>>,
    scanner: Scanner<'a>,
    rows: Rows,
    scratch: Vec<u8>,
}

impl<'a> SampleReader<'a> {
    /// A reader of `bytes`; unless they are `complete`, a record that they cut in two is left out.
    pub(crate) fn new(bytes: &'a [u8], complete: bool, dialect: &'a Dialect) -> Result<Self, ConnectorError> {
        let preamble = Header::read(bytes, complete, dialect).map_err(|error| {
            ConnectorError::new(
                ErrorKind::Decode,
                "reading the CSV header",
                format!("line {}: {}", error.line, error.message),
            )
        })?;
        let (header, start, lines) = match preamble {
            Some(preamble) => (preamble.header, preamble.bytes, preamble.lines),
            None => (None, bytes.len(), 0),
        };
        let rest = &bytes[start..];
        let rest = match Cutter::new(dialect, RECORD_LIMIT).cut(rest, complete) {
            RecordCut::Records(end) => &rest[..end],
            RecordCut::More | RecordCut::TooLong => &rest[..0],
        };
        let fields = match &header {
            Some(header) => header.names.len(),
            None => first_fields(rest, dialect),
        };
        let scanner = Scanner::new(rest, dialect, lines + 1);
        Ok(Self { bytes: rest, dialect, header, scanner, rows: Rows::new(fields), scratch: Vec::new() })
    }

    /// The names of the columns; `None` where the file has neither header nor record.
    pub(crate) fn names(&self) -> Option<Vec<String>> {
        match &self.header {
            Some(header) => Some(header.names.clone()),
            None if self.rows.fields == 0 => None,
            None => Some((1..=self.rows.fields).map(|at| format!("column_{at}")).collect()),
        }
    }

    /// Shows the fields of the next record that has as many as there are columns; those that are NULL are left out. False at
    /// the end.
    pub(crate) fn next_record(&mut self, mut see: impl FnMut(usize, &[u8])) -> bool {
        while self.scanner.fill(&mut self.rows, 1) {
            if self.rows.len() == 0 {
                continue;
            }
            for field in 0..self.rows.fields {
                let text = self.rows.field(self.bytes, 0, field);
                match self.dialect.quote.filter(|quote| text.first() == Some(quote)) {
                    Some(quote) => see(field, unquote(text, quote, self.dialect.escape, &mut self.scratch)),
                    None if self.dialect.nulls.iter().any(|null| null == text) => {}
                    None => see(field, text),
                }
            }
            return true;
        }
        false
    }
}

/// How many fields the first record has; 0 where there is none.
fn first_fields(bytes: &[u8], dialect: &Dialect) -> usize {
    let mut rows = Rows::new(0);
    let mut scanner = Scanner::new(bytes, dialect, 1);
    while scanner.fill(&mut rows, 1) {
        if let Some(Problem::Fields(fields)) = rows.bad.first().map(|bad| bad.problem) {
            return fields;
        }
    }
    0
}
