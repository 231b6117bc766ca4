//! CSV from outside: real dirty files, the cases of the specification, and random content against a naive reader.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod cases;
mod dirty;
mod random;
mod write;

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use velo_core::connector::{Chunk, ChunkDecoder, DecodeColumn, Decoded};
use velo_core::error::ConnectorError;
use velo_core::offset::Position;
use velo_core::properties::{Options, Properties};
use velo_core::table_text::value_text;
use velo_format::csv::{CsvDecodeOptions, CsvDecoder, CsvFramer, CsvProperties, Dialect, Transcoder};
use velo_format::framing::Framer;
use velo_format::fuzz::origin;
use velo_format::infer::{Sample, infer_csv};
use velo_format::value::ValueFormats;

/// A schema of nullable columns.
fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn texts(names: &[&str]) -> SchemaRef {
    schema(&names.iter().map(|name| (*name, DataType::Utf8)).collect::<Vec<_>>())
}

fn properties(pairs: &[(&str, &str)]) -> (CsvProperties, Dialect) {
    let mut options = Options::from_pairs(pairs.iter().copied());
    let read = CsvProperties::read_dialect(&mut options);
    assert_eq!(options.finish("a CSV file", CsvProperties::SPECS), []);
    read
}

/// A column by its own name.
fn wanted(field: &FieldRef) -> DecodeColumn {
    DecodeColumn { field: field.clone(), path: vec![field.name().clone()], exact: false, raw: false }
}

/// How a file is read.
struct Reading {
    dialect: Dialect,
    formats: ValueFormats,
    declared: SchemaRef,
    columns: Vec<DecodeColumn>,
    batch_rows: usize,
    keep_bytes: bool,
    limit: usize,
}

impl Reading {
    fn new(dialect: Dialect, declared: SchemaRef) -> Self {
        let columns = declared.fields().iter().map(wanted).collect();
        let formats = ValueFormats::default();
        Self { dialect, formats, declared, columns, batch_rows: 8192, keep_bytes: false, limit: 1 << 20 }
    }

    fn decoder(&self) -> Result<CsvDecoder, ConnectorError> {
        CsvDecoder::new(CsvDecodeOptions {
            dialect: self.dialect.clone(),
            formats: self.formats.clone(),
            declared: self.declared.clone(),
            columns: self.columns.clone(),
            batch_rows: self.batch_rows,
            keep_bytes: self.keep_bytes,
        })
    }

    /// Reads a file as a connector does, `step` bytes at a time.
    fn chunks(&self, file: &[u8], step: usize) -> Result<Vec<Decoded>, ConnectorError> {
        let decoder = self.decoder()?;
        let mut framer = CsvFramer::with_limit(self.dialect.clone(), self.limit);
        let (mut buffer, mut rest, mut line, mut out) = (Vec::new(), file, 1, Vec::new());
        loop {
            let cut = framer.cut(&buffer, rest.is_empty())?;
            buffer.drain(..cut.skip);
            line += cut.skip_lines;
            let bytes = Bytes::from(buffer.drain(..cut.bytes).collect::<Vec<_>>());
            if !bytes.is_empty() {
                let chunk = Chunk {
                    partition: 0,
                    number: out.len() as u64,
                    bytes,
                    origin: origin(line),
                    end: Position::Row(0),
                    frames: framer.frames(),
                };
                out.push(decoder.decode(&chunk)?);
            } else if cut.skip == 0 {
                if rest.is_empty() {
                    return Ok(out);
                }
                let (now, later) = rest.split_at(step.min(rest.len()));
                buffer.extend_from_slice(now);
                rest = later;
            }
            line += cut.lines;
        }
    }

    /// Rows and errors in order, one line each.
    fn lines(&self, file: &[u8], step: usize) -> Vec<String> {
        match self.chunks(file, step) {
            Ok(chunks) => chunks.iter().flat_map(lines).collect(),
            Err(error) => vec![format!("refused: {}", error.message)],
        }
    }
}

fn lines(decoded: &Decoded) -> Vec<String> {
    let mut out = Vec::new();
    for batch in &decoded.batches {
        let origin = batch.origin.as_ref().unwrap();
        for row in 0..batch.rows() {
            let values = batch.columns.columns().iter().map(|column| match value_text(column.as_ref(), row) {
                Some(text) if *column.data_type() == DataType::Utf8 => format!("{text:?}"),
                Some(text) => text,
                None => "NULL".to_owned(),
            });
            out.push(format!("{}: {}", origin.position(row), values.collect::<Vec<_>>().join(" | ")));
        }
    }
    for (added, error) in decoded.errors.iter().enumerate() {
        let place = error.place.to_string();
        let line = place.rsplit(':').next().unwrap_or(&place);
        let field = error.field.as_deref().map(|field| format!("{field}: ")).unwrap_or_default();
        out.insert(error.after_rows + added, format!("{line}! {field}{}", error.message));
    }
    out
}

/// Reads a file with these options and columns; without columns they are inferred, and shown first.
fn read(file: &[u8], pairs: &[(&str, &str)], declared: Option<SchemaRef>) -> Vec<String> {
    let (properties, dialect) = properties(pairs);
    let mut utf8 = Vec::new();
    let file = match Transcoder::new(properties.encoding) {
        Some(mut transcoder) => match transcoder.push(file, true, &mut utf8) {
            Ok(()) => &utf8[..],
            Err(error) => return vec![format!("refused: {error}")],
        },
        None => file,
    };
    let (declared, mut out) = match declared {
        Some(declared) => (declared, Vec::new()),
        None => {
            let sample = Sample { bytes: file, complete: true, records: 1000 };
            match infer_csv(sample, &dialect, &ValueFormats::default()) {
                Ok(schema) => {
                    let shown = schema
                        .fields()
                        .iter()
                        .map(|field| format!("{:?} {}", field.name(), velo_core::types::sql_name_of(field)));
                    let shown = shown.collect::<Vec<_>>().join(", ");
                    (schema, vec![shown])
                }
                Err(error) => return vec![format!("refused: {}", error.message)],
            }
        }
    };
    let reading = Reading::new(dialect, declared);
    let whole = reading.lines(file, usize::MAX);
    for step in [1, 7, 64] {
        assert_eq!(reading.lines(file, step), whole, "in steps of {step} bytes");
    }
    out.extend(whole);
    out
}
