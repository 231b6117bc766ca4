//! Chunks to columns.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use velo_core::batch::Batch;
use velo_core::connector::{Chunk, ChunkDecoder, DecodeColumn, Decoded, RecordError};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::place::{Origin, Positions};

use super::column::{Failure, Fields, fill};
use super::header::Header;
use super::properties::Dialect;
use super::scan::{BadRecord, Problem, Rows, Scanner};
use crate::decode::schema_of;
use crate::error::show;
use crate::records::RecordDecoder;
use crate::value::{Column, ValueFormats};

/// How many rows are scanned and decoded at a time; their bytes stay in the processor's cache between the two.
const BLOCK_ROWS: usize = 1024;

/// What a CSV decoder is to do.
#[derive(Debug, Clone)]
pub struct CsvDecodeOptions {
    /// How the file is written.
    pub dialect: Dialect,
    /// How values are written.
    pub formats: ValueFormats,
    /// All columns of a record in order: what a file without a header goes by.
    pub declared: SchemaRef,
    /// The columns to make, by name.
    pub columns: Vec<DecodeColumn>,
    /// The largest number of rows of a batch.
    pub batch_rows: usize,
    /// Whether the bytes of records are wanted.
    pub keep_bytes: bool,
}

/// Turns chunks of whole CSV records into batches. The columns of a file with a header are found by the header in the
/// chunk's frames, which [`super::CsvFramer`] puts there.
#[derive(Debug)]
pub struct CsvDecoder {
    options: CsvDecodeOptions,
    schema: SchemaRef,
    bound: Mutex<Option<(Arc<Header>, Arc<Binding>)>>,
}

/// Where the wanted columns are in a record.
#[derive(Debug, PartialEq, Eq)]
struct Binding {
    /// Fields per record.
    fields: usize,
    /// The field of each wanted column.
    places: Vec<usize>,
    /// The names of all fields, for messages.
    names: Vec<String>,
    /// How many of them are not declared.
    unknown: u64,
}

impl CsvDecoder {
    /// A decoder. Errors for a column inside another one, which CSV does not have, for a type that text cannot become, and,
    /// where there is no header, for a column that is not declared.
    pub fn new(options: CsvDecodeOptions) -> Result<Self, ConnectorError> {
        for column in &options.columns {
            if column.path.len() != 1 {
                let path = column.path.join(".");
                return Err(configuration(format!("a CSV record has no fields within fields: there is no '{path}'"))
                    .advise("name a column of the file; a column that holds JSON can be taken apart in the query"));
            }
            Column::new(&column.field, &options.formats, 0)?;
        }
        let schema = schema_of(&options.columns);
        let new = Self { options, schema, bound: Mutex::new(None) };
        if !new.options.dialect.header {
            new.binding(None)?;
        }
        Ok(new)
    }

    /// Checks that `header` has all wanted columns, before anything is decoded.
    pub fn bind(&self, header: &Arc<Header>) -> Result<(), ConnectorError> {
        self.binding(Some(header)).map(|_| ())
    }

    fn binding(&self, header: Option<&Arc<Header>>) -> Result<Arc<Binding>, ConnectorError> {
        // A panic of another worker leaves the pair whole.
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let declared;
        let header = match header {
            Some(header) => header,
            None => {
                let names = self.options.declared.fields().iter().map(|field| field.name().clone()).collect();
                declared = Arc::new(Header { names, line: 0 });
                &declared
            }
        };
        if let Some((known, binding)) = &*bound
            && (Arc::ptr_eq(known, header) || known.names == header.names)
        {
            return Ok(binding.clone());
        }
        let places = self.options.columns.iter().map(|column| {
            let name = column.path.first().map_or("", String::as_str);
            header.find(name, column.exact).map_err(|message| {
                configuration(message)
                    .advise("name the columns as the header does, or set csv.header = false to go by their order")
            })
        });
        let places = places.collect::<Result<Vec<_>, _>>()?;
        let declared = self.options.declared.fields();
        let known = |name: &String| declared.iter().any(|field| field.name().eq_ignore_ascii_case(name));
        let unknown = header.names.iter().filter(|name| !known(name)).count() as u64;
        let binding = Arc::new(Binding { fields: header.names.len(), places, names: header.names.clone(), unknown });
        *bound = Some((header.clone(), binding.clone()));
        Ok(binding)
    }

    fn header(&self, chunk: &Chunk) -> Result<Option<Arc<Header>>, ConnectorError> {
        if !self.options.dialect.header {
            return Ok(None);
        }
        let frames = chunk.frames.clone().and_then(|frames| frames.downcast::<Header>().ok());
        frames.map(Some).ok_or_else(|| configuration("the chunk comes without the file's header".to_owned()))
    }
}

#[cold]
fn configuration(message: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Configuration, "reading CSV", message)
}

impl ChunkDecoder for CsvDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded, ConnectorError> {
        check_length(&chunk.bytes)?;
        let header = self.header(chunk)?;
        let binding = self.binding(header.as_ref())?;
        self.work(&chunk.bytes, &chunk.origin, &binding)?.run()
    }
}

impl RecordDecoder for CsvDecoder {
    /// Each record is one line without a header, whose fields are the declared columns by their order; line breaks within quotes
    /// belong to a field, and one behind the record is dropped.
    fn decode_records(
        &self,
        bytes: &Bytes,
        origin: &Origin,
        records: &mut dyn Iterator<Item = (Range<usize>, u64)>,
    ) -> Result<Decoded, ConnectorError> {
        check_length(bytes)?;
        let binding = self.binding(None)?;
        self.work(bytes, origin, &binding)?.run_records(records)
    }

    fn fields_of(&self, _record: &[u8]) -> Vec<String> {
        self.options.declared.fields().iter().map(|field| field.name().clone()).collect()
    }
}

fn check_length(bytes: &Bytes) -> Result<(), ConnectorError> {
    // Where fields are is noted in 32 bits.
    if u32::try_from(bytes.len()).is_err() {
        return Err(ConnectorError::new(ErrorKind::Decode, "decoding", "a chunk is longer than 4 GiB"));
    }
    Ok(())
}

impl CsvDecoder {
    fn work<'a>(
        &'a self,
        bytes: &'a Bytes,
        origin: &'a Origin,
        binding: &'a Binding,
    ) -> Result<Work<'a>, ConnectorError> {
        let options = &self.options;
        let columns = options.columns.iter().map(|column| match column.raw {
            true => Column::raw(&column.field, &options.formats, 0),
            false => Column::new(&column.field, &options.formats, 0),
        });
        Ok(Work {
            decoder: self,
            bytes,
            origin,
            binding,
            messages: false,
            utf8: std::str::from_utf8(bytes).is_ok(),
            columns: columns.collect::<Result<Vec<_>, _>>()?,
            lines: Vec::new(),
            finished_rows: 0,
            decoded: Decoded::default(),
        })
    }
}

/// The decoding of one chunk.
struct Work<'a> {
    decoder: &'a CsvDecoder,
    bytes: &'a Bytes,
    origin: &'a Origin,
    binding: &'a Binding,
    /// Whether the records stand one by one.
    messages: bool,
    /// Whether the whole chunk is UTF-8; else each field is looked at.
    utf8: bool,
    columns: Vec<Column>,
    /// The lines of the rows in `columns`.
    lines: Vec<u64>,
    finished_rows: usize,
    decoded: Decoded,
}

impl Work<'_> {
    fn run(mut self) -> Result<Decoded, ConnectorError> {
        let options = &self.decoder.options;
        let batch_rows = options.batch_rows.max(1);
        let bytes = &self.bytes[..];
        let mut scanner = Scanner::new(bytes, &options.dialect, self.origin.position(0));
        let mut rows = Rows::new(self.binding.fields);
        while scanner.fill(&mut rows, BLOCK_ROWS.min(batch_rows - self.lines.len())) {
            self.block(&mut rows, scanner.has_quotes());
            if self.lines.len() == batch_rows {
                self.flush()?;
            }
        }
        self.flush()?;
        Ok(self.decoded)
    }

    /// Decodes records that stand one by one, each with its position.
    fn run_records(
        mut self,
        records: &mut dyn Iterator<Item = (Range<usize>, u64)>,
    ) -> Result<Decoded, ConnectorError> {
        self.messages = true;
        let dialect = &self.decoder.options.dialect;
        let batch_rows = self.decoder.options.batch_rows.max(1);
        // The bytes up to a record's end are a text that ends with it.
        let quoted = dialect.quote.is_some_and(|quote| memchr::memchr(quote, self.bytes).is_some());
        let mut rows = Rows::new(self.binding.fields);
        let mut records = records.peekable();
        while records.peek().is_some() {
            rows.clear();
            let room = BLOCK_ROWS.min(batch_rows - self.lines.len());
            while rows.len() < room
                && let Some((record, position)) = records.next()
            {
                Scanner::at(&self.bytes[..record.end], record.start, dialect, quoted, position).one(&mut rows);
            }
            self.block(&mut rows, quoted);
            if self.lines.len() == batch_rows {
                self.flush()?;
            }
        }
        self.flush()?;
        Ok(self.decoded)
    }

    fn block(&mut self, rows: &mut Rows, quotes: bool) {
        let base = self.lines.len();
        let mut failures = self.fill_columns(rows, quotes);
        if !failures.is_empty() || !rows.bad.is_empty() {
            if !failures.is_empty() {
                self.columns.iter_mut().for_each(|column| column.truncate(base));
            }
            self.report(rows, &mut failures);
            if !failures.is_empty() {
                let failed = failures.iter().map(|failure| failure.row).collect::<Vec<_>>();
                rows.remove(&failed);
                // What is left was fine before.
                self.fill_columns(rows, quotes);
            }
        }
        self.lines.extend_from_slice(&rows.lines);
        if self.decoder.options.keep_bytes {
            let bytes = &self.bytes[..];
            self.decoded.row_bytes.extend((0..rows.len()).map(|row| rows.range(bytes, row)));
        }
    }

    /// Builds all columns over `rows`; for each row that has one, its first failure, in the order of rows.
    fn fill_columns(&mut self, rows: &Rows, quotes: bool) -> Vec<Failure> {
        let mut failures = Vec::new();
        let fields =
            Fields { bytes: &self.bytes[..], rows, dialect: &self.decoder.options.dialect, quotes, utf8: self.utf8 };
        for (at, (column, place)) in self.columns.iter_mut().zip(&self.binding.places).enumerate() {
            fill(column, &fields, *place, at, &mut failures);
        }
        // Stable: the first column that failed stays first.
        failures.sort_by_key(|failure| failure.row);
        failures.dedup_by_key(|failure| failure.row);
        failures
    }

    /// Notes the bad records and the rows with failures, in their order in the chunk.
    fn report(&mut self, rows: &Rows, failures: &mut [Failure]) {
        let before = self.finished_rows + self.lines.len();
        let bytes = &self.bytes[..];
        let mut bad = rows.bad.iter().peekable();
        let mut failed = 0;
        for failure in failures {
            while let Some(record) = bad.next_if(|record| record.after_rows <= failure.row) {
                self.form(record, before + record.after_rows - failed);
            }
            let field = self.decoder.schema.field(failure.column).name().clone();
            let range = rows.range(bytes, failure.row);
            let message = std::mem::take(&mut failure.message);
            self.error(range, rows.lines[failure.row], Some(field), message, before + failure.row - failed);
            failed += 1;
        }
        for record in bad {
            self.form(record, before + record.after_rows - failed);
        }
    }

    /// Notes a record whose form is bad.
    fn form(&mut self, record: &BadRecord, after_rows: usize) {
        let range = record.start..record.end;
        let name = |field: usize| self.binding.names.get(field).cloned();
        let shown = || show(&self.bytes[range.clone()]);
        let (field, mut message) = match record.problem {
            Problem::Fields(found) => {
                let (plural, expected) = (if found == 1 { "" } else { "s" }, self.binding.fields);
                (None, format!("the record has {found} field{plural}, expected {expected}: {}", shown()))
            }
            Problem::AfterQuote { field, line } => {
                let (number, opened) = (field + 1, self.opened(line));
                let what = format!("text follows the closing quote of field {number}{opened}");
                (name(field), format!("{what}: {}", shown()))
            }
            Problem::Unclosed { field, line } => {
                let (number, opened) = (field + 1, self.opened(line));
                let comma = if opened.is_empty() { "" } else { "," };
                let what = format!("the quote of field {number}{opened}{comma} is never closed");
                (name(field), format!("{what}: {}", shown()))
            }
            Problem::Behind => {
                let what =
                    "text follows the line end of the record: one record is expected, with line breaks in quotes alone";
                (None, format!("{what}: {}", shown()))
            }
        };
        let first = !self.messages && record.line == self.origin.position(0);
        if first && memchr::memchr(b'\r', &self.bytes[range.clone()]).is_some() {
            message.push_str("; lines end with a line feed, not with a carriage return alone");
        }
        self.error(range, record.line, field, message, after_rows);
    }

    /// Where a quote opened; the positions of messages are no lines.
    fn opened(&self, line: u64) -> String {
        if self.messages { String::new() } else { format!(", which opened on line {line}") }
    }

    fn error(&mut self, range: Range<usize>, line: u64, field: Option<String>, message: String, after_rows: usize) {
        let origin = Origin { positions: Positions::Consecutive { first: line }, ..self.origin.clone() };
        let bytes = self.decoder.options.keep_bytes.then(|| self.bytes.slice(range));
        self.decoded.errors.push(RecordError { place: origin.place(0), field, message, bytes, after_rows });
    }

    fn flush(&mut self) -> Result<(), ConnectorError> {
        let rows = self.lines.len();
        let (Some(first), Some(last)) = (self.lines.first().copied(), self.lines.last().copied()) else {
            return Ok(());
        };
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
        let batch_options = RecordBatchOptions::new().with_row_count(Some(rows));
        let columns = RecordBatch::try_new_with_options(self.decoder.schema.clone(), arrays, &batch_options)
            .map_err(|error| ConnectorError::new(ErrorKind::Decode, "decoding", error.to_string()))?;
        // Lines ascend, so they are consecutive where as many as rows.
        let positions = if last - first + 1 == rows as u64 {
            self.lines.clear();
            Positions::Consecutive { first }
        } else {
            Positions::Each(UInt64Array::from(std::mem::take(&mut self.lines)))
        };
        let origin = Origin { positions, ..self.origin.clone() };
        self.decoded.batches.push(Batch { origin: Some(origin), ..Batch::new(columns) });
        self.decoded.unknown_fields += self.binding.unknown * rows as u64;
        self.finished_rows += rows;
        Ok(())
    }
}
