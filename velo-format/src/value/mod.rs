//! From text to columns: one [`Column`] grows by one value after the other and becomes an Arrow array.
//!
//! | column | from text |
//! |---|---|
//! | whole numbers | `12`, `+12`, `012`, `1.0`, `1e2`; 1.5 is refused, so is what does not fit |
//! | DECIMAL | exact; digits beyond the scale round half away from zero |
//! | DOUBLE, REAL | digits, `NaN`, `Infinity`, `-Infinity`; too large is refused |
//! | BOOLEAN | `true`, `false` in any case |
//! | TIMESTAMP | by `timestamp.format`, floored; default ISO 8601 with a zone or none (UTC) |
//! | DATE, TIME | `2024-01-31`, `09:30:00.5` |
//! | INTERVAL | `P1DT2H` |
//! | BYTES | base64 |
//! | ARRAY, MAP, STRUCT | JSON |
//!
//! A value that was refused leaves the column as it was.

mod base64;
pub(crate) mod bound;
mod build;
mod interval;
mod number;
mod pattern;
pub(crate) mod print;
mod timestamp;
pub(crate) mod typed;
pub(crate) mod unscaled;
pub(crate) mod varint;
pub(crate) mod words;

use arrow_array::ArrayRef;
use arrow_buffer::{IntervalMonthDayNano, i256};
use arrow_schema::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::types;

pub use crate::error::ValueError;
pub use pattern::Pattern;
pub use timestamp::{EpochUnit, TimestampFormat};

pub(crate) use base64::encode as encode_base64;
pub(crate) use build::last;
pub(crate) use interval::print as print_interval;
pub(crate) use number::{decimal128, digit_run, short_decimal, signed};
use timestamp::LastDate;
pub(crate) use timestamp::short_iso8601;

/// How values are written where the type leaves a choice.
#[derive(Debug, Clone, Default)]
pub struct ValueFormats {
    /// `timestamp.format`.
    pub timestamp: TimestampFormat,
}

/// A column that is being made.
#[derive(Debug)]
pub struct Column {
    field: FieldRef,
    pub(crate) values: Values,
    /// The rows that are NULL, ascending: a column without NULL costs nothing.
    pub(crate) nulls: Vec<u32>,
    pub(crate) timestamp: TimestampFormat,
    /// What a bare number is in a TIME or DATE column (a date is then days); `None` where it is no time.
    pub(crate) numbers: Option<EpochUnit>,
    pub(crate) dates: LastDate,
}

/// The values of a column, one per row, with anything where the row is NULL.
#[derive(Debug)]
pub(crate) enum Values {
    Boolean(Vec<bool>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    UInt8(Vec<u8>),
    UInt16(Vec<u16>),
    UInt32(Vec<u32>),
    UInt64(Vec<u64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal128 {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Decimal256 {
        values: Vec<i256>,
        precision: u8,
        scale: i8,
    },
    /// DECIMAL whose text is the base64 of a whole number of units of 10^-`sent`.
    Unscaled128 {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
        sent: i32,
    },
    /// The same over 38 digits.
    Unscaled256 {
        values: Vec<i256>,
        precision: u8,
        scale: i8,
        sent: i32,
    },
    Text {
        ends: Vec<i32>,
        bytes: Vec<u8>,
        kind: TextKind,
    },
    Binary {
        ends: Vec<i32>,
        bytes: Vec<u8>,
    },
    Date(Vec<i32>),
    Time(Vec<i64>),
    /// In units of 10^-digits seconds.
    Timestamp {
        values: Vec<i64>,
        digits: u8,
    },
    Interval(Vec<IntervalMonthDayNano>),
    List {
        ends: Vec<i32>,
        items: Box<Column>,
    },
    Map {
        ends: Vec<i32>,
        keys: Box<Column>,
        values: Box<Column>,
    },
    Struct {
        fields: Vec<Column>,
        rows: usize,
    },
}

/// What the text of a text column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextKind {
    /// A string's content, or the text of a number or a truth value.
    Plain,
    /// The value's own text, whatever it is.
    Json,
    /// A string's content, or any other value's own text.
    Raw,
    /// JSON that stands in a string: its content, or any other value's own text.
    Embedded,
}

impl Column {
    /// An empty column for `field`, with room for `rows` values. Errors for a type that text cannot become.
    pub fn new(field: &FieldRef, formats: &ValueFormats, rows: usize) -> Result<Self, ConnectorError> {
        let kind = if types::is_json(field) { TextKind::Json } else { TextKind::Plain };
        Self::with_text_kind(field, formats, rows, kind)
    }

    /// A text column that takes any value's own text ([`velo_core::connector::DecodeColumn::raw`]).
    pub fn raw(field: &FieldRef, formats: &ValueFormats, rows: usize) -> Result<Self, ConnectorError> {
        Self::with_text_kind(field, formats, rows, TextKind::Raw)
    }

    fn with_text_kind(
        field: &FieldRef,
        formats: &ValueFormats,
        rows: usize,
        kind: TextKind,
    ) -> Result<Self, ConnectorError> {
        let child = |field: &FieldRef| Self::new(field, formats, 0).map(Box::new);
        let values = match field.data_type() {
            DataType::Utf8 => {
                Values::Text { ends: Vec::with_capacity(rows), bytes: Vec::with_capacity(rows * 8), kind }
            }
            DataType::Boolean => Values::Boolean(Vec::with_capacity(rows)),
            DataType::Int8 => Values::Int8(Vec::with_capacity(rows)),
            DataType::Int16 => Values::Int16(Vec::with_capacity(rows)),
            DataType::Int32 => Values::Int32(Vec::with_capacity(rows)),
            DataType::Int64 => Values::Int64(Vec::with_capacity(rows)),
            DataType::UInt8 => Values::UInt8(Vec::with_capacity(rows)),
            DataType::UInt16 => Values::UInt16(Vec::with_capacity(rows)),
            DataType::UInt32 => Values::UInt32(Vec::with_capacity(rows)),
            DataType::UInt64 => Values::UInt64(Vec::with_capacity(rows)),
            DataType::Float32 => Values::Float32(Vec::with_capacity(rows)),
            DataType::Float64 => Values::Float64(Vec::with_capacity(rows)),
            DataType::Decimal128(precision, scale) => {
                Values::Decimal128 { values: Vec::with_capacity(rows), precision: *precision, scale: *scale }
            }
            DataType::Decimal256(precision, scale) => {
                Values::Decimal256 { values: Vec::with_capacity(rows), precision: *precision, scale: *scale }
            }
            DataType::Binary => Values::Binary { ends: Vec::with_capacity(rows), bytes: Vec::new() },
            DataType::Date32 => Values::Date(Vec::with_capacity(rows)),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time(Vec::with_capacity(rows)),
            DataType::Timestamp(unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond), None) => {
                let digits = if *unit == TimeUnit::Nanosecond { 9 } else { 6 };
                Values::Timestamp { values: Vec::with_capacity(rows), digits }
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => Values::Interval(Vec::with_capacity(rows)),
            DataType::List(item) => Values::List { ends: Vec::new(), items: child(item)? },
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => {
                    let (keys, values) = (child(&fields[0])?, child(&fields[1])?);
                    if !keys.is_scalar() {
                        return Err(unsupported(field));
                    }
                    Values::Map { ends: Vec::new(), keys, values }
                }
                _ => return Err(unsupported(field)),
            },
            DataType::Struct(fields) => {
                let fields = fields.iter().map(|field| Self::new(field, formats, 0)).collect::<Result<_, _>>()?;
                Values::Struct { fields, rows: 0 }
            }
            _ => return Err(unsupported(field)),
        };
        let timestamp = formats.timestamp.clone();
        let (nulls, dates) = (Vec::new(), LastDate::default());
        Ok(Self { field: field.clone(), values, nulls, timestamp, numbers: None, dates })
    }

    /// The field it is made for.
    pub fn field(&self) -> &FieldRef {
        &self.field
    }

    /// Whether a value is one text, no ARRAY, MAP or STRUCT.
    pub fn is_scalar(&self) -> bool {
        !matches!(self.values, Values::List { .. } | Values::Map { .. } | Values::Struct { .. })
    }

    /// Whether a JSON string's content is what it takes: it is one text, and no JSON column, which takes the quotes too.
    #[inline]
    pub(crate) fn takes_content(&self) -> bool {
        self.is_scalar() && !matches!(self.values, Values::Text { kind: TextKind::Json, .. })
    }

    /// Appends the value that `text` (UTF-8) writes.
    #[inline]
    pub fn push_text(&mut self, text: &[u8]) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Text { ends, bytes, kind } => {
                if matches!(kind, TextKind::Json | TextKind::Embedded) {
                    // Text that stands for a JSON value must be one.
                    crate::json::check(text)?;
                }
                push_bytes(ends, bytes, text);
            }
            Values::Int64(values) => {
                let (negative, magnitude) = number::whole(text)?;
                values.push(signed(negative, magnitude, i64::MIN, i64::MAX)?);
            }
            Values::Decimal128 { values, precision, scale } => {
                values.push(decimal128(text, *precision, *scale)?);
            }
            Values::Timestamp { values, digits } => {
                values.push(self.timestamp.parse(text, *digits, &mut self.dates)?);
            }
            _ => return self.push_other_text(text),
        }
        Ok(())
    }

    fn push_other_text(&mut self, text: &[u8]) -> Result<(), ValueError> {
        macro_rules! whole {
            ($values:ident, $type:ty, signed) => {{
                let (negative, magnitude) = number::whole(text)?;
                // The range check makes the conversion lossless.
                $values.push(signed(negative, magnitude, <$type>::MIN.into(), <$type>::MAX.into())? as $type)
            }};
            ($values:ident, $type:ty, unsigned) => {{
                let (negative, magnitude) = number::whole(text)?;
                // The range check makes the conversion lossless.
                $values.push(number::unsigned(negative, magnitude, <$type>::MAX.into())? as $type)
            }};
        }
        match &mut self.values {
            Values::Boolean(values) => values.push(if text.eq_ignore_ascii_case(b"true") {
                true
            } else if text.eq_ignore_ascii_case(b"false") {
                false
            } else {
                return Err(ValueError::Syntax);
            }),
            Values::Int8(values) => whole!(values, i8, signed),
            Values::Int16(values) => whole!(values, i16, signed),
            Values::Int32(values) => whole!(values, i32, signed),
            Values::UInt8(values) => whole!(values, u8, unsigned),
            Values::UInt16(values) => whole!(values, u16, unsigned),
            Values::UInt32(values) => whole!(values, u32, unsigned),
            Values::UInt64(values) => whole!(values, u64, unsigned),
            Values::Float32(values) => values.push(number::float32(text)?),
            Values::Float64(values) => values.push(number::float(text)?),
            Values::Decimal256 { values, precision, scale } => {
                values.push(velo_core::decimal::parse_i256(text, *precision, *scale)?);
            }
            Values::Unscaled128 { values, precision, scale, sent } => {
                values.push(unscaled::decimal128(text, *sent, *precision, *scale)?);
            }
            Values::Unscaled256 { values, precision, scale, sent } => {
                values.push(unscaled::decimal256(text, *sent, *precision, *scale)?);
            }
            Values::Binary { ends, bytes } => {
                base64::decode(text, bytes)?;
                ends.push(bytes.len() as i32);
            }
            Values::Date(values) => values.push(timestamp::date(text, &mut self.dates)?),
            Values::Time(values) => values.push(timestamp::time(text)?),
            Values::Interval(values) => values.push(interval::parse(text)?),
            Values::List { .. } | Values::Map { .. } | Values::Struct { .. } => {
                return crate::json::push_json(self, text);
            }
            // Handled by `push_text`.
            Values::Text { .. } | Values::Int64(_) | Values::Decimal128 { .. } | Values::Timestamp { .. } => {
                return self.push_text(text);
            }
        }
        Ok(())
    }

    /// Appends the value of a bare number of JSON's grammar: times refuse it, unless they are written as numbers.
    #[inline]
    pub fn push_number(&mut self, text: &[u8]) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Date(values) if self.numbers.is_some() => {
                let (negative, magnitude) = number::whole(text)?;
                // The range check makes the conversion lossless.
                values.push(signed(negative, magnitude, i32::MIN.into(), i32::MAX.into())? as i32);
                Ok(())
            }
            Values::Time(values) if let Some(unit) = self.numbers => {
                let micros = TimestampFormat::Epoch(unit).parse(text, 6, &mut self.dates)?;
                if !(0..velo_core::time::MICROS_PER_DAY).contains(&micros) {
                    return Err(ValueError::OutOfRange);
                }
                values.push(micros);
                Ok(())
            }
            Values::Unscaled128 { .. } | Values::Unscaled256 { .. } => Err(ValueError::Conflict),
            Values::Boolean(_) | Values::Binary { .. } | Values::Date(_) | Values::Time(_) | Values::Interval(_) => {
                Err(ValueError::Conflict)
            }
            Values::List { .. } | Values::Map { .. } | Values::Struct { .. } => Err(ValueError::Conflict),
            Values::Timestamp { .. } if !self.timestamp.numbers() => Err(ValueError::Conflict),
            _ => self.push_text(text),
        }
    }

    /// Appends a truth value: into BOOLEAN, and as its text into STRING.
    pub fn push_bool(&mut self, value: bool) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Boolean(values) => values.push(value),
            Values::Text { ends, bytes, .. } => push_bytes(ends, bytes, if value { b"true" } else { b"false" }),
            _ => return Err(ValueError::Conflict),
        }
        Ok(())
    }

    /// Appends NULL. Whether the column may hold one is for the caller to ask ([`Field::is_nullable`]).
    pub fn push_null(&mut self) {
        // A batch has far fewer rows than 2^32.
        self.nulls.push(self.len() as u32);
        self.push_default();
    }
}

/// Appends one text to a column of texts.
#[inline]
pub(crate) fn push_bytes(ends: &mut Vec<i32>, bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend_from_slice(text);
    // `Column::finish` refuses columns of over two gibibytes, whose ends would have wrapped.
    ends.push(bytes.len() as i32);
}

#[cold]
fn unsupported(field: &Field) -> ConnectorError {
    ConnectorError::new(
        ErrorKind::Unsupported,
        "opening",
        format!("the column '{}' has a type that text cannot become: {}", field.name(), types::sql_name_of(field)),
    )
}

impl Column {
    /// The number of values.
    #[inline]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last value of a column of text or bytes.
    pub(crate) fn last_text(&self) -> Option<&[u8]> {
        let (Values::Text { ends, bytes, .. } | Values::Binary { ends, bytes }) = &self.values else { return None };
        let start = ends.len().checked_sub(2).map_or(0, |before| ends[before]);
        bytes.get(usize::try_from(start).ok()?..)
    }

    /// Drops the values behind the first `rows`.
    pub fn truncate(&mut self, rows: usize) {
        while self.nulls.last().is_some_and(|row| *row as usize >= rows) {
            self.nulls.pop();
        }
        self.values.truncate(rows);
    }

    fn push_default(&mut self) {
        self.values.push_default();
    }

    /// The column's values as an array; the column is then empty and can be filled again.
    pub fn finish(&mut self) -> Result<ArrayRef, ConnectorError> {
        build::finish(self)
    }
}
