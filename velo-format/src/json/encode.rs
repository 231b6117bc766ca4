//! The writer: batches as JSON lines, or as one array.
//!
//! Columns are bound once per batch, so that a value costs one choice by type; names are written as prepared bytes
//! (`,"name":`), digits eight at a time, and text is copied by words until something must be escaped.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, SchemaRef};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::row_kind::{RowKind, RowKinds};
use velo_core::types::sql_name_of;

use super::escape::push_string;
use super::write::{Bound, Style};
use crate::encode::Encoder;
use crate::properties::{DecimalFormat, JsonLayout};
use crate::records::RecordEncoder;
use crate::value::TimestampFormat;
use crate::value::print::{Cell, Out};

/// How values are written.
#[derive(Debug, Clone, Default)]
pub struct JsonEncodeOptions {
    /// `timestamp.format`.
    pub timestamp: TimestampFormat,
    /// `decimal.format`.
    pub decimal: DecimalFormat,
    /// One record per line, unless this is [`JsonLayout::Array`].
    pub layout: JsonLayout,
}

/// Writes JSON records, one per line or as one array. NULL is written as `null`.
#[derive(Debug)]
pub struct JsonEncoder {
    schema: SchemaRef,
    style: Style,
    array: bool,
    /// What comes before each column's value.
    names: Vec<Name>,
    /// Whether no row was written yet: an array has no comma before its first one.
    first: bool,
    /// Where bytes are collected.
    block: Vec<u8>,
}

/// What comes before a value: `,"name":`.
#[derive(Debug, Clone)]
pub(super) struct Name {
    text: Vec<u8>,
    /// The text with zeros behind it, where it is short: a copy of known length is cheaper.
    padded: Option<[u8; 16]>,
}

impl Name {
    pub(super) fn new(name: &str, first: bool) -> Self {
        let mut text = vec![if first { b'{' } else { b',' }];
        push_string(&mut text, name.as_bytes());
        text.push(b':');
        let padded = (text.len() <= 16).then(|| {
            let mut padded = [0; 16];
            padded[..text.len()].copy_from_slice(&text);
            padded
        });
        Self { text, padded }
    }

    #[inline(always)]
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text);
    }

    /// Writes the name if there is room; else nothing, and `false`.
    #[inline(always)]
    fn put(&self, cell: &mut Cell<'_>) -> bool {
        match &self.padded {
            Some(padded) if cell.room() >= padded.len() => {
                let end = cell.at + self.text.len();
                cell.bytes(padded);
                cell.at = end;
                true
            }
            _ => false,
        }
    }
}

/// Bytes that are collected before they go on.
const BLOCK: usize = 16 << 10;

impl JsonEncoder {
    /// A writer of batches of `schema`. Errors for a type that JSON has no form for.
    pub fn new(schema: SchemaRef, options: JsonEncodeOptions) -> Result<Self, ConnectorError> {
        for field in schema.fields() {
            check(field)?;
        }
        let names = schema.fields().iter().enumerate().map(|(at, field)| Name::new(field.name(), at == 0)).collect();
        let array = options.layout == JsonLayout::Array;
        let style = Style { timestamp: options.timestamp, decimal_text: options.decimal == DecimalFormat::String };
        Ok(Self { schema, style, array, names, first: true, block: vec![0; BLOCK] })
    }

    fn write(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&dyn Fn(usize) -> RowKind>,
        out: &mut Vec<u8>,
        mut ends: Option<&mut Vec<usize>>,
    ) -> Result<(), ConnectorError> {
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, array) in self.schema.fields().iter().zip(batch.columns()) {
            columns.push(Bound::new(field, array.as_ref(), &self.style).ok_or_else(|| no_form(field))?);
        }
        let mut cell = Cell { block: &mut self.block, at: 0 };
        for row in 0..batch.num_rows() {
            if cell.room() < 64 {
                flush(&mut cell, out);
            }
            if self.array && ends.is_none() {
                cell.bytes(if self.first { b"\n" } else { b",\n" });
                self.first = false;
            }
            if let Some(kind) = kinds {
                cell.bytes(b"{\"_op\":\"");
                cell.bytes(kind(row).symbol().as_bytes());
                cell.byte(b'"');
            } else if columns.is_empty() {
                cell.byte(b'{');
            }
            for (at, (name, column)) in self.names.iter().zip(&mut columns).enumerate() {
                if at == 0 && kinds.is_some() {
                    // The kind was first, so that the first name is not.
                    flush(&mut cell, out);
                    let start = out.len();
                    name.push(out);
                    out[start] = b',';
                } else if !name.put(&mut cell) {
                    flush(&mut cell, out);
                    name.push(out);
                }
                if !column.put(row, &mut cell) {
                    flush(&mut cell, out);
                    column.push(row, out);
                }
            }
            if cell.room() < 2 {
                flush(&mut cell, out);
            }
            cell.byte(b'}');
            if let Some(ends) = &mut ends {
                ends.push(out.len() + cell.at);
            } else if !self.array {
                cell.byte(b'\n');
            }
        }
        flush(&mut cell, out);
        Ok(())
    }
}

impl Encoder for JsonEncoder {
    fn header(&self, out: &mut Vec<u8>) {
        if self.array {
            out.push(b'[');
        }
    }

    fn resume(&mut self) {
        self.first = false;
    }

    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ConnectorError> {
        self.write(batch, None, out, None)
    }

    fn encode_changes(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&RowKinds>,
        out: &mut Vec<u8>,
    ) -> Result<(), ConnectorError> {
        let kinds = kinds.map(RowKinds::as_slice);
        self.write(batch, Some(&|row| kinds.map_or(RowKind::Insert, |kinds| kinds[row])), out, None)
    }

    fn footer(&mut self, out: &mut Vec<u8>) -> Result<(), ConnectorError> {
        if self.array {
            out.extend_from_slice(b"\n]\n");
        }
        Ok(())
    }
}

impl RecordEncoder for JsonEncoder {
    fn encode_records(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ConnectorError> {
        self.write(batch, None, out, Some(ends))
    }
}

/// Moves what was collected to the output.
#[inline(never)]
fn flush(cell: &mut Cell<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&cell.block[..cell.at]);
    cell.at = 0;
}

/// Whether JSON has a form for a field's type; looked at when the writer is made, so that it does not fail later.
fn check(field: &Field) -> Result<(), ConnectorError> {
    let empty = arrow_array::new_empty_array(field.data_type());
    match Bound::new(field, empty.as_ref(), &Style::default()) {
        Some(_) => Ok(()),
        None => Err(no_form(field)),
    }
}

#[cold]
fn no_form(field: &Field) -> ConnectorError {
    let name = match field.data_type() {
        DataType::Dictionary(..) => "DICTIONARY".to_owned(),
        _ => sql_name_of(field),
    };
    let message = format!("the column '{}' has a type that JSON has no form for: {name}", field.name());
    ConnectorError::new(ErrorKind::Unsupported, "opening the output", message)
}

/// One row as a JSON object, for dead letters and messages; NULLs are written.
pub fn row_text(schema: &SchemaRef, batch: &RecordBatch, row: usize) -> Result<String, ConnectorError> {
    let mut encoder = JsonEncoder::new(Arc::clone(schema), JsonEncodeOptions::default())?;
    let mut out = Vec::new();
    encoder.encode(&batch.slice(row, 1), &mut out)?;
    out.pop();
    Ok(String::from_utf8_lossy(&out).into_owned())
}
