//! A column bound for writing: one choice by type for each value.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType, BooleanArray};
use arrow_buffer::{IntervalMonthDayNano, NullBuffer, i256};
use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};
use velo_core::{decimal, types};

use super::encode::Name;
use super::escape::{push_escaped, push_string, push_string_of, put_string};
use crate::value::print::{
    Cell, Out, PrintedDate, push_clock, push_decimal, push_f32, push_f64, push_i64, push_iso8601, push_short_decimal,
    push_u64,
};
use crate::value::{TimestampFormat, encode_base64, print_interval};

/// No value of the usual types but text takes more bytes than this, whole words beyond its end included.
const ROOM: usize = 48;

/// How values are written where there is a choice.
#[derive(Debug, Clone, Default)]
pub(super) struct Style {
    pub(super) timestamp: TimestampFormat,
    pub(super) decimal_text: bool,
}

/// An array whose values can be written.
pub(super) struct Bound<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
    style: &'a Style,
    dates: PrintedDate,
}

enum Values<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal128(&'a [i128], i8),
    Decimal256(&'a [i256], i8),
    Text(&'a [i32], &'a [u8]),
    /// JSON, which is written as it is.
    Json(&'a [i32], &'a [u8]),
    /// Text in the rarer layouts.
    OtherText(Box<dyn Fn(usize) -> &'a str + 'a>),
    Bytes(Box<dyn Fn(usize) -> &'a [u8] + 'a>),
    Date(&'a [i32]),
    /// Units of 10^-digits seconds since midnight.
    Time(&'a [i64], u8),
    /// Units of 10^-digits seconds.
    Timestamp(&'a [i64], u8),
    Interval(&'a [IntervalMonthDayNano]),
    List(&'a [i32], Box<Bound<'a>>),
    Map(&'a [i32], Box<Bound<'a>>, Box<Bound<'a>>),
    Struct(Vec<(Name, Bound<'a>)>),
}

fn slice<T: ArrowPrimitiveType>(array: &dyn Array) -> &[T::Native] {
    array.as_primitive::<T>().values()
}

impl<'a> Bound<'a> {
    /// Binds an array; `None` where JSON has no form for its type.
    pub(super) fn new(field: &Field, array: &'a dyn Array, style: &'a Style) -> Option<Self> {
        let values = match array.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Int8(slice::<Int8Type>(array)),
            DataType::Int16 => Values::Int16(slice::<Int16Type>(array)),
            DataType::Int32 => Values::Int32(slice::<Int32Type>(array)),
            DataType::Int64 => Values::Int64(slice::<Int64Type>(array)),
            DataType::UInt8 => Values::UInt8(slice::<UInt8Type>(array)),
            DataType::UInt16 => Values::UInt16(slice::<UInt16Type>(array)),
            DataType::UInt32 => Values::UInt32(slice::<UInt32Type>(array)),
            DataType::UInt64 => Values::UInt64(slice::<UInt64Type>(array)),
            DataType::Float32 => Values::Float32(slice::<Float32Type>(array)),
            DataType::Float64 => Values::Float64(slice::<Float64Type>(array)),
            DataType::Decimal128(_, scale) => Values::Decimal128(slice::<Decimal128Type>(array), *scale),
            DataType::Decimal256(_, scale) => Values::Decimal256(slice::<Decimal256Type>(array), *scale),
            DataType::Utf8 => {
                let text = array.as_string::<i32>();
                match types::is_json(field) {
                    true => Values::Json(text.value_offsets(), text.value_data()),
                    false => Values::Text(text.value_offsets(), text.value_data()),
                }
            }
            DataType::LargeUtf8 => {
                let text = array.as_string::<i64>();
                Values::OtherText(Box::new(|row| text.value(row)))
            }
            DataType::Utf8View => {
                let text = array.as_string_view();
                Values::OtherText(Box::new(|row| text.value(row)))
            }
            DataType::Binary => {
                let bytes = array.as_binary::<i32>();
                Values::Bytes(Box::new(|row| bytes.value(row)))
            }
            DataType::LargeBinary => {
                let bytes = array.as_binary::<i64>();
                Values::Bytes(Box::new(|row| bytes.value(row)))
            }
            DataType::BinaryView => {
                let bytes = array.as_binary_view();
                Values::Bytes(Box::new(|row| bytes.value(row)))
            }
            DataType::Date32 => Values::Date(slice::<Date32Type>(array)),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time(slice::<Time64MicrosecondType>(array), 6),
            DataType::Time64(TimeUnit::Nanosecond) => Values::Time(slice::<Time64NanosecondType>(array), 9),
            DataType::Timestamp(unit, _) => match unit {
                TimeUnit::Second => Values::Timestamp(slice::<TimestampSecondType>(array), 0),
                TimeUnit::Millisecond => Values::Timestamp(slice::<TimestampMillisecondType>(array), 3),
                TimeUnit::Microsecond => Values::Timestamp(slice::<TimestampMicrosecondType>(array), 6),
                TimeUnit::Nanosecond => Values::Timestamp(slice::<TimestampNanosecondType>(array), 9),
            },
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Values::Interval(slice::<IntervalMonthDayNanoType>(array))
            }
            DataType::List(item) => {
                let list = array.as_list::<i32>();
                Values::List(list.value_offsets(), Box::new(Self::new(item, list.values().as_ref(), style)?))
            }
            DataType::Map(entries, _) => {
                let map = array.as_map();
                let DataType::Struct(fields) = entries.data_type() else { return None };
                let keys = Self::new(fields.first()?, map.keys().as_ref(), style)?;
                let values = Self::new(fields.get(1)?, map.values().as_ref(), style)?;
                Values::Map(map.value_offsets(), Box::new(keys), Box::new(values))
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().zip(array.as_struct().columns()).enumerate();
                let bound = columns.map(|(at, (field, column))| {
                    Some((Name::new(field.name(), at == 0), Self::new(field, column.as_ref(), style)?))
                });
                Values::Struct(bound.collect::<Option<_>>()?)
            }
            _ => return None,
        };
        Some(Self { nulls: array.nulls(), values, style, dates: PrintedDate::default() })
    }

    /// Writes the value of `row` if it is of one of the usual types and has room; else nothing, and `false`.
    #[inline(always)]
    pub(super) fn put(&mut self, row: usize, cell: &mut Cell<'_>) -> bool {
        if cell.room() < ROOM {
            return false;
        }
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            cell.bytes(b"null");
            return true;
        }
        match &mut self.values {
            Values::Int64(values) => push_i64(cell, values[row]),
            Values::Int32(values) => push_i64(cell, values[row].into()),
            Values::Text(ends, bytes) => return put_string(cell, bytes, ends[row] as usize, ends[row + 1] as usize),
            Values::Decimal128(values, scale) if !self.style.decimal_text => {
                return push_short_decimal(cell, values[row], *scale);
            }
            Values::Timestamp(values, digits) if matches!(self.style.timestamp, TimestampFormat::Iso8601) => {
                cell.byte(b'"');
                push_iso8601(cell, values[row], *digits, &mut self.dates);
                cell.byte(b'"');
            }
            _ => return false,
        }
        true
    }

    /// Appends the value of `row`.
    #[inline(never)]
    pub(super) fn push(&mut self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(b"null");
            return;
        }
        match &mut self.values {
            Values::Int64(values) => push_i64(out, values[row]),
            Values::Int32(values) => push_i64(out, values[row].into()),
            Values::Text(ends, bytes) => push_string_of(out, bytes, ends[row] as usize, ends[row + 1] as usize),
            Values::Decimal128(values, scale) => {
                if self.style.decimal_text {
                    out.push(b'"');
                }
                push_decimal(out, values[row], *scale);
                if self.style.decimal_text {
                    out.push(b'"');
                }
            }
            Values::Timestamp(values, digits) => {
                let format = &self.style.timestamp;
                let quoted = !format.numbers();
                if quoted {
                    out.push(b'"');
                }
                match format {
                    TimestampFormat::Pattern(_) => {
                        // A pattern may write anything, also what must be escaped.
                        let mut text = Vec::new();
                        format.print(values[row], *digits, &mut text, &mut self.dates);
                        push_escaped(out, &text);
                    }
                    _ => format.print(values[row], *digits, out, &mut self.dates),
                }
                if quoted {
                    out.push(b'"');
                }
            }
            Values::Float64(values) => quoted_unless(values[row].is_finite(), out, |out| push_f64(out, values[row])),
            _ => self.push_other(row, out),
        }
    }

    #[inline(never)]
    fn push_other(&mut self, row: usize, out: &mut Vec<u8>) {
        match &mut self.values {
            Values::Null => out.extend_from_slice(b"null"),
            Values::Boolean(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            Values::Int8(values) => push_i64(out, values[row].into()),
            Values::Int16(values) => push_i64(out, values[row].into()),
            Values::UInt8(values) => push_u64(out, values[row].into()),
            Values::UInt16(values) => push_u64(out, values[row].into()),
            Values::UInt32(values) => push_u64(out, values[row].into()),
            Values::UInt64(values) => push_u64(out, values[row]),
            Values::Float32(values) => quoted_unless(values[row].is_finite(), out, |out| push_f32(out, values[row])),
            Values::Decimal256(values, scale) => {
                quoted_unless(!self.style.decimal_text, out, |out| decimal::push_i256(out, values[row], *scale));
            }
            Values::Json(ends, bytes) => {
                // Line breaks are only whitespace in it, and would end the record.
                let text = &bytes[ends[row] as usize..ends[row + 1] as usize];
                out.extend(text.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
            }
            Values::OtherText(text) => push_string(out, text(row).as_bytes()),
            Values::Bytes(bytes) => quoted_unless(false, out, |out| encode_base64(bytes(row), out)),
            Values::Date(values) => quoted_unless(false, out, |out| self.dates.push(out, values[row].into())),
            Values::Time(values, digits) => {
                let second = if *digits == 9 { 1_000_000_000 } else { 1_000_000 };
                let nanos = values[row] % second * (1_000_000_000 / second);
                quoted_unless(false, out, |out| push_clock(out, values[row] / second, nanos));
            }
            Values::Interval(values) => quoted_unless(false, out, |out| print_interval(values[row], out)),
            Values::List(ends, items) => {
                out.push(b'[');
                for (at, item) in (ends[row]..ends[row + 1]).enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    items.push(item as usize, out);
                }
                out.push(b']');
            }
            Values::Map(ends, keys, values) => {
                out.push(b'{');
                for (at, entry) in (ends[row]..ends[row + 1]).enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    // A key is text, so that one that is not gets quotes.
                    let start = out.len();
                    keys.push(entry as usize, out);
                    if out[start] != b'"' {
                        out.insert(start, b'"');
                        out.push(b'"');
                    }
                    out.push(b':');
                    values.push(entry as usize, out);
                }
                out.push(b'}');
            }
            Values::Struct(fields) => {
                if fields.is_empty() {
                    out.push(b'{');
                }
                for (name, field) in fields {
                    name.push(out);
                    field.push(row, out);
                }
                out.push(b'}');
            }
            // Written by `push`.
            Values::Int64(_)
            | Values::Int32(_)
            | Values::Text(..)
            | Values::Decimal128(..)
            | Values::Timestamp(..)
            | Values::Float64(_) => {}
        }
    }
}

fn quoted_unless(bare: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if bare {
        return write(out);
    }
    out.push(b'"');
    write(out);
    out.push(b'"');
}
