//! Batches to CSV.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, TimestampNanosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use memchr::memchr_iter;
use velo_core::decimal;
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::row_kind::{RowKind, RowKinds};
use velo_core::time::{push_date, push_time_of_day};
use velo_core::types;

use super::properties::Dialect;
use crate::encode::Encoder;
use crate::error::show;
use crate::json::{JsonEncodeOptions, JsonEncoder};
use crate::records::RecordEncoder;
use crate::value::print::{PrintedDate, push_decimal, push_i64, push_u64};
use crate::value::{TimestampFormat, ValueFormats, encode_base64, print_interval};

/// How a CSV encoder writes.
#[derive(Debug, Clone, Default)]
pub struct CsvEncodeOptions {
    /// How the file is written. `csv.skip_lines` means nothing here.
    pub dialect: Dialect,
    /// How values are written.
    pub formats: ValueFormats,
    /// Whether the rows come with kinds ([`Encoder::encode_changes`]), so that the header begins with `_op`.
    pub changes: bool,
}

/// Writes batches as CSV that [`super::CsvDecoder`] reads back as the same values.
///
/// A field is quoted only where it has to be. NULL is an empty field (or the first of `csv.null`), the empty string is `""`;
/// with quoting off the two look alike. What cannot be written so that it is read back is an error: a delimiter or line break
/// with quoting off, a NULL in a file of one column without a `csv.null`.
#[derive(Debug)]
pub struct CsvEncoder {
    schema: SchemaRef,
    options: CsvEncodeOptions,
    /// For each byte, whether a field with it must be quoted.
    special: Box<[bool; 256]>,
    /// Numbers and times never need a look.
    plain: bool,
    nested: Vec<Option<JsonEncoder>>,
    kinds: [Vec<u8>; 4],
}

/// The values of one column of a batch.
enum Cells<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    UInt8(&'a PrimitiveArray<UInt8Type>),
    UInt16(&'a PrimitiveArray<UInt16Type>),
    UInt32(&'a PrimitiveArray<UInt32Type>),
    UInt64(&'a PrimitiveArray<UInt64Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Decimal128(&'a PrimitiveArray<Decimal128Type>, i8),
    Decimal256(&'a PrimitiveArray<Decimal256Type>, i8),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    Micros(&'a PrimitiveArray<TimestampMicrosecondType>),
    Nanos(&'a PrimitiveArray<TimestampNanosecondType>),
    Interval(&'a PrimitiveArray<IntervalMonthDayNanoType>),
    /// One JSON text per row.
    Json(Vec<Vec<u8>>),
}

impl CsvEncoder {
    /// An encoder of batches of `schema`. Errors for a type that text cannot be.
    pub fn new(schema: SchemaRef, options: CsvEncodeOptions) -> Result<Self, ConnectorError> {
        let dialect = &options.dialect;
        let mut special = Box::new([false; 256]);
        for byte in [Some(dialect.delimiter), dialect.quote, Some(b'\n'), Some(b'\r')].into_iter().flatten() {
            special[usize::from(byte)] = true;
        }
        let numeric = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b':');
        let plain = ![Some(dialect.delimiter), dialect.quote, dialect.comment].into_iter().flatten().any(numeric)
            && !dialect.nulls.iter().any(|null| null.iter().all(|byte| numeric(*byte)))
            && matches!(options.formats.timestamp, TimestampFormat::Iso8601 | TimestampFormat::Epoch(_));
        let nested = schema.fields().iter().map(|field| match field.data_type() {
            DataType::List(_) | DataType::Map(..) | DataType::Struct(_) => {
                let alone = Schema::new(vec![Field::new("v", field.data_type().clone(), true)]);
                let json = JsonEncodeOptions { timestamp: options.formats.timestamp.clone(), ..Default::default() };
                JsonEncoder::new(Arc::new(alone), json).map(Some)
            }
            _ => Ok(None),
        });
        let nested = nested.collect::<Result<Vec<_>, _>>()?;
        let mut new = Self { schema, options, special, plain, nested, kinds: Default::default() };
        for kind in RowKind::ALL {
            let mut text = Vec::new();
            new.text(kind.symbol().as_bytes(), true, &mut text)
                .map_err(|()| new.unwritable("_op", kind.symbol().as_bytes()))?;
            new.kinds[kind as usize] = text;
        }
        let empty = RecordBatch::new_empty(new.schema.clone());
        for (at, column) in empty.columns().iter().enumerate() {
            new.cells(at, column)?;
        }
        Ok(new)
    }

    #[cold]
    fn unwritable(&self, column: &str, text: &[u8]) -> ConnectorError {
        let message = format!(
            "the column '{column}' has a value that would not be read back with csv.quote = none: {}",
            show(text)
        );
        ConnectorError::new(ErrorKind::Encode, "writing CSV", message).advise("set csv.quote, or another csv.delimiter")
    }

    /// Writes a field's text; an error where it would have to be quoted and quoting is off.
    #[inline]
    fn text(&self, text: &[u8], first: bool, out: &mut Vec<u8>) -> Result<(), ()> {
        let dialect = &self.options.dialect;
        let quoted = text.is_empty()
            || text.iter().any(|byte| self.special[usize::from(*byte)])
            || (first && text.first().copied() == dialect.comment)
            || dialect.nulls.iter().any(|null| null == text);
        if !quoted {
            out.extend_from_slice(text);
            return Ok(());
        }
        let Some(quote) = dialect.quote else {
            // An empty record would be a blank line.
            return if text.is_empty() && self.fields() > 1 { Ok(()) } else { Err(()) };
        };
        out.push(quote);
        match dialect.escape {
            None => {
                let mut from = 0;
                for at in memchr_iter(quote, text) {
                    out.extend_from_slice(&text[from..=at]);
                    from = at;
                }
                out.extend_from_slice(&text[from..]);
            }
            Some(escape) => {
                for byte in text {
                    if *byte == quote || *byte == escape {
                        out.push(escape);
                    }
                    out.push(*byte);
                }
            }
        }
        out.push(quote);
        Ok(())
    }

    fn fields(&self) -> usize {
        self.schema.fields().len() + usize::from(self.options.changes)
    }

    fn null(&self, out: &mut Vec<u8>) -> Result<(), ConnectorError> {
        match self.options.dialect.nulls.first() {
            Some(null) => out.extend_from_slice(null),
            None if self.fields() > 1 => {}
            None => {
                let message = "a NULL in a file of one column would be a blank line, which is no record";
                return Err(
                    ConnectorError::new(ErrorKind::Encode, "writing CSV", message).advise("set csv.null, such as NULL")
                );
            }
        }
        Ok(())
    }

    fn cells<'a>(&mut self, at: usize, array: &'a ArrayRef) -> Result<Cells<'a>, ConnectorError> {
        if let Some(json) = &mut self.nested[at] {
            let alone = RecordBatch::try_from_iter_with_nullable([("v", array.clone(), true)])
                .map_err(|error| ConnectorError::new(ErrorKind::Encode, "writing CSV", error.to_string()))?;
            let mut lines = Vec::new();
            json.encode(&alone, &mut lines)?;
            // Each line is `{"v":…}`; JSON has no line break within a record.
            let texts = lines.split(|byte| *byte == b'\n').map(|line| {
                let inner = line.strip_prefix(b"{\"v\":").unwrap_or(line);
                inner.strip_suffix(b"}").unwrap_or(inner).to_vec()
            });
            return Ok(Cells::Json(texts.take(array.len()).collect()));
        }
        Ok(match array.data_type() {
            DataType::Boolean => Cells::Boolean(array.as_boolean()),
            DataType::Int8 => Cells::Int8(array.as_primitive()),
            DataType::Int16 => Cells::Int16(array.as_primitive()),
            DataType::Int32 => Cells::Int32(array.as_primitive()),
            DataType::Int64 => Cells::Int64(array.as_primitive()),
            DataType::UInt8 => Cells::UInt8(array.as_primitive()),
            DataType::UInt16 => Cells::UInt16(array.as_primitive()),
            DataType::UInt32 => Cells::UInt32(array.as_primitive()),
            DataType::UInt64 => Cells::UInt64(array.as_primitive()),
            DataType::Float32 => Cells::Float32(array.as_primitive()),
            DataType::Float64 => Cells::Float64(array.as_primitive()),
            DataType::Decimal128(_, scale) => Cells::Decimal128(array.as_primitive(), *scale),
            DataType::Decimal256(_, scale) => Cells::Decimal256(array.as_primitive(), *scale),
            DataType::Utf8 => Cells::Text(array.as_string()),
            DataType::Binary => Cells::Binary(array.as_binary()),
            DataType::Date32 => Cells::Date(array.as_primitive()),
            DataType::Time64(TimeUnit::Microsecond) => Cells::Time(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Cells::Micros(array.as_primitive()),
            DataType::Timestamp(TimeUnit::Nanosecond, None) => Cells::Nanos(array.as_primitive()),
            DataType::Interval(arrow_schema::IntervalUnit::MonthDayNano) => Cells::Interval(array.as_primitive()),
            other => {
                let name = self.schema.field(at).name();
                let message =
                    format!("the column '{name}' has a type that CSV has no text for: {}", types::sql_name(other));
                return Err(ConnectorError::new(ErrorKind::Unsupported, "writing CSV", message));
            }
        })
    }

    fn rows(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<Option<&RowKinds>>,
        out: &mut Vec<u8>,
        mut ends: Option<&mut Vec<usize>>,
    ) -> Result<(), ConnectorError> {
        let mut cells = Vec::with_capacity(batch.num_columns());
        for (at, column) in batch.columns().iter().enumerate() {
            cells.push((self.cells(at, column)?, column.nulls(), PrintedDate::default()));
        }
        let mut scratch = Vec::new();
        for row in 0..batch.num_rows() {
            let mut first = true;
            if let Some(kinds) = kinds {
                let kind = kinds.and_then(|kinds| kinds.as_slice().get(row)).copied().unwrap_or(RowKind::Insert);
                out.extend_from_slice(&self.kinds[kind as usize]);
                first = false;
            }
            for (at, (cells, nulls, dates)) in cells.iter_mut().enumerate() {
                if !first {
                    out.push(self.options.dialect.delimiter);
                }
                if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                    self.null(out)?;
                } else {
                    if self.cell(cells, row, first, dates, &mut scratch, out).is_err() {
                        return Err(self.unwritable(self.schema.field(at).name(), &scratch));
                    }
                }
                first = false;
            }
            match &mut ends {
                Some(ends) => ends.push(out.len()),
                None => out.push(b'\n'),
            }
        }
        Ok(())
    }

    /// Writes one value; where it fails, its text is in `scratch`.
    #[inline]
    fn cell(
        &self,
        cells: &Cells<'_>,
        row: usize,
        first: bool,
        dates: &mut PrintedDate,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), ()> {
        let text = match cells {
            Cells::Text(array) => array.value(row).as_bytes(),
            Cells::Json(texts) => &texts[row],
            // The text of no bytes is empty.
            _ if self.plain && !matches!(cells, Cells::Binary(_)) => {
                self.print(cells, row, dates, out);
                return Ok(());
            }
            _ => {
                scratch.clear();
                self.print(cells, row, dates, scratch);
                return self.text(scratch, first, out);
            }
        };
        self.text(text, first, out).map_err(|()| {
            scratch.clear();
            scratch.extend_from_slice(text);
        })
    }

    /// Appends a value's text.
    fn print(&self, cells: &Cells<'_>, row: usize, dates: &mut PrintedDate, out: &mut Vec<u8>) {
        use std::io::Write;
        // Writing to a vector cannot fail.
        let timestamp = &self.options.formats.timestamp;
        match cells {
            Cells::Boolean(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
            Cells::Int8(array) => push_i64(out, array.value(row).into()),
            Cells::Int16(array) => push_i64(out, array.value(row).into()),
            Cells::Int32(array) => push_i64(out, array.value(row).into()),
            Cells::Int64(array) => push_i64(out, array.value(row)),
            Cells::UInt8(array) => push_u64(out, array.value(row).into()),
            Cells::UInt16(array) => push_u64(out, array.value(row).into()),
            Cells::UInt32(array) => push_u64(out, array.value(row).into()),
            Cells::UInt64(array) => push_u64(out, array.value(row)),
            Cells::Float32(array) => {
                let value = array.value(row);
                float(value.into(), out, |out| {
                    let _ = write!(out, "{value:?}");
                });
            }
            Cells::Float64(array) => {
                let value = array.value(row);
                float(value, out, |out| {
                    let _ = write!(out, "{value:?}");
                });
            }
            Cells::Decimal128(array, scale) => push_decimal(out, array.value(row), *scale),
            Cells::Decimal256(array, scale) => decimal::push_i256(out, array.value(row), *scale),
            Cells::Binary(array) => encode_base64(array.value(row), out),
            Cells::Date(array) => push_date(out, array.value(row).into()),
            Cells::Time(array) => push_time_of_day(out, array.value(row).saturating_mul(1_000)),
            Cells::Micros(array) => timestamp.print(array.value(row), 6, out, dates),
            Cells::Nanos(array) => timestamp.print(array.value(row), 9, out, dates),
            Cells::Interval(array) => print_interval(array.value(row), out),
            // Written by `cell`.
            Cells::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Cells::Json(texts) => out.extend_from_slice(&texts[row]),
        }
    }
}

/// NaN and infinities by their names, all else by the shortest text that is read back as the same number.
fn float(value: f64, out: &mut Vec<u8>, print: impl FnOnce(&mut Vec<u8>)) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else {
        print(out);
    }
}

impl Encoder for CsvEncoder {
    fn header(&self, out: &mut Vec<u8>) {
        if !self.options.dialect.header {
            return;
        }
        let op = self.options.changes.then_some("_op");
        let names = op.into_iter().chain(self.schema.fields().iter().map(|field| field.name().as_str()));
        for (at, name) in names.enumerate() {
            if at > 0 {
                out.push(self.options.dialect.delimiter);
            }
            // A header whose names would need quotes that are off is written as it is.
            let blanks = name.trim() != name;
            match (blanks, self.options.dialect.quote) {
                (true, Some(quote)) if !name.as_bytes().contains(&quote) => {
                    out.push(quote);
                    out.extend_from_slice(name.as_bytes());
                    out.push(quote);
                }
                _ => {
                    if self.text(name.as_bytes(), at == 0, out).is_err() {
                        out.extend_from_slice(name.as_bytes());
                    }
                }
            }
        }
        out.push(b'\n');
    }

    fn encode(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ConnectorError> {
        if self.options.changes {
            return self.rows(batch, Some(None), out, None);
        }
        self.rows(batch, None, out, None)
    }

    fn encode_changes(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&RowKinds>,
        out: &mut Vec<u8>,
    ) -> Result<(), ConnectorError> {
        self.rows(batch, Some(kinds), out, None)
    }
}

impl RecordEncoder for CsvEncoder {
    fn encode_records(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ConnectorError> {
        self.rows(batch, None, out, Some(ends))
    }
}
