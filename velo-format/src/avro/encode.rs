//! The encoder: rows as records of one schema.
//!
//! Columns go into the fields of their names, an exact one before one that differs in case. A field without a column has its
//! default, or null. What a value cannot be in the schema is an error: a number that is too large for an int, digits beyond the
//! scale of a decimal, a text that is no symbol of an enum. Times finer than the schema's are floored.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::i256;
use arrow_schema::{DataType, Field, Fields, Schema};
use velo_core::decimal::power_i256;
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::types::{is_json, sql_name_of};

use super::schema::{self, AvroSchema, Logical, Type};
use super::text::{default_bytes, push_long};
use crate::error::show;
use crate::json::read::same_folded;
use crate::records::{RecordEncoder, confluent};
use crate::value::bound::{Bound, Read, rescaled_time};
use crate::value::typed::push_units;

/// Writes rows as Avro records.
#[derive(Debug)]
pub struct AvroEncoder {
    id: Option<u32>,
    row: RowWriter,
}

/// How rows become records of one type.
#[derive(Debug)]
pub(super) struct RowWriter {
    parts: Vec<Part>,
    /// Columns that are read, for messages.
    names: Vec<String>,
}

/// A field of a record.
#[derive(Debug)]
enum Part {
    /// Of a column, by its place.
    Column(usize, String, Writer),
    /// The same bytes for each row.
    Constant(Vec<u8>),
}

/// How values of a column become those of a type.
#[derive(Debug)]
enum Writer {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    /// A decimal's digits as text.
    Digits,
    Enum(Vec<String>),
    Fixed(usize),
    FixedUuid,
    Decimal {
        precision: usize,
        scale: i32,
        fixed: Option<usize>,
    },
    Date,
    Time {
        digits: u8,
    },
    Timestamp(u8),
    Duration,
    /// NULL is this branch (an error where there is none), a value that one.
    Union {
        null: Option<usize>,
        branch: usize,
        value: Box<Writer>,
    },
    Array(Box<Writer>),
    Map(Box<Writer>),
    Record(Vec<Part>),
}

impl AvroEncoder {
    /// An encoder of batches of `schema` as records of `target`, with `id` before each where that is in a registry.
    ///
    /// # Errors
    ///
    /// Where a column has no field, a field no column and no default, or a type cannot be the other.
    pub fn new(schema: &Schema, target: &AvroSchema, id: Option<u32>) -> Result<Self, ConnectorError> {
        let row = RowWriter::new(schema.fields(), target, target.root).map_err(does_not_fit)?;
        Ok(Self { id, row })
    }
}

#[cold]
pub(super) fn does_not_fit(why: String) -> ConnectorError {
    let message = format!("the columns do not fit the Avro schema: {why}");
    ConnectorError::new(ErrorKind::Configuration, "opening the output", message)
        .advise("cast or rename the columns in the query, or change the schema")
}

impl RowWriter {
    pub(super) fn new(fields: &Fields, target: &AvroSchema, ty: usize) -> Result<Self, String> {
        let making = Making { schema: target };
        let parts = match (target.at(ty), fields.as_ref()) {
            (Type::Record { fields: wanted, .. }, _) => making.record(fields, wanted, "")?,
            // A key may be its value alone.
            (_, [only]) => vec![Part::Column(0, only.name().clone(), making.of(ty, only, only.name())?)],
            _ => return Err(format!("{} is no record", target.describe(ty))),
        };
        Ok(Self { parts, names: fields.iter().map(|field| field.name().clone()).collect() })
    }

    /// Appends each row, after `before` has put what stands before it, and where it ends.
    pub(super) fn write(
        &self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
        mut before: impl FnMut(&mut Vec<u8>),
    ) -> Result<(), ConnectorError> {
        let columns = batch.columns().iter().zip(&self.names).map(|(array, name)| {
            Bound::new(array.as_ref()).ok_or_else(|| {
                let message =
                    format!("the column '{name}' has a type that Avro has no form for: {}", array.data_type());
                ConnectorError::new(ErrorKind::Unsupported, "writing Avro", message)
            })
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            before(out);
            write_parts(&self.parts, &columns, row, out).map_err(|refused| {
                let message = format!("the column '{}': {}", refused.path, refused.why);
                ConnectorError::new(ErrorKind::Encode, "writing Avro", message)
                    .advise("leave the row out or change the value in the query, or change the schema")
            })?;
            ends.push(out.len());
        }
        Ok(())
    }
}

impl RecordEncoder for AvroEncoder {
    fn encode_records(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ConnectorError> {
        let id = self.id;
        self.row.write(batch, out, ends, |out| {
            if let Some(id) = id {
                confluent::push_header(out, id);
            }
        })
    }
}

struct Making<'a> {
    schema: &'a AvroSchema,
}

impl Making<'_> {
    fn record(&self, columns: &Fields, wanted: &[schema::Field], inside: &str) -> Result<Vec<Part>, String> {
        let place = |name: &str| {
            let exact = columns.iter().position(|column| column.name() == name);
            exact.or_else(|| columns.iter().position(|column| same_folded(column.name(), name.as_bytes())))
        };
        let has = |column: &Arc<Field>| {
            let exact = wanted.iter().any(|field| field.name == *column.name());
            exact || wanted.iter().any(|field| same_folded(&field.name, column.name().as_bytes()))
        };
        if let Some(column) = columns.iter().find(|column| !has(column)) {
            let fields: Vec<&str> = wanted.iter().map(|field| field.name.as_str()).collect();
            return Err(format!("'{inside}{}' is no field of it: there are {}", column.name(), fields.join(", ")));
        }
        let mut parts = Vec::with_capacity(wanted.len());
        for field in wanted {
            let path = format!("{inside}{}", field.name);
            parts.push(match (place(&field.name), &field.default) {
                (Some(at), _) => Part::Column(at, field.name.clone(), self.of(field.ty, &columns[at], &path)?),
                (None, Some(default)) => {
                    let mut bytes = Vec::new();
                    default_bytes(self.schema, field.ty, default, &mut bytes)
                        .map_err(|error| format!("'{path}': {error}"))?;
                    Part::Constant(bytes)
                }
                (None, None) => match self.schema.at(field.ty) {
                    Type::Null => Part::Constant(Vec::new()),
                    Type::Union(branches) => {
                        let null = branches.iter().position(|branch| matches!(self.schema.at(*branch), Type::Null));
                        let null = null.ok_or_else(|| format!("no column for '{path}', which has no default"))?;
                        let mut bytes = Vec::new();
                        push_long(&mut bytes, null as i64);
                        Part::Constant(bytes)
                    }
                    _ => return Err(format!("there is no column for '{path}', which has no default")),
                },
            });
        }
        Ok(parts)
    }

    fn of(&self, ty: usize, field: &Field, path: &str) -> Result<Writer, String> {
        use DataType::{
            Binary, Boolean, Date32, Decimal128, Decimal256, Float32, Float64, Int8, Int16, Int32, Int64, Interval,
            List, Map, Struct, Time64, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8,
        };
        let conflict =
            || Err(format!("'{path}' is {} and the schema has {}", sql_name_of(field), self.schema.describe(ty)));
        let from = field.data_type();
        let whole = matches!(from, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64);
        Ok(match (self.schema.at(ty), from) {
            (Type::Union(branches), _) => {
                let null = branches.iter().position(|branch| matches!(self.schema.at(*branch), Type::Null));
                let mut found = None;
                let mut error = None;
                for (at, branch) in branches.iter().enumerate() {
                    if Some(at) != null && found.is_none() {
                        match self.of(*branch, field, path) {
                            Ok(value) => found = Some(Writer::Union { null, branch: at, value: Box::new(value) }),
                            Err(why) => error = error.or(Some(why)),
                        }
                    }
                }
                match (found, error) {
                    (Some(writer), _) => writer,
                    (None, Some(error)) if branches.len() == 2 && null.is_some() => return Err(error),
                    _ => return conflict(),
                }
            }
            (Type::Boolean, Boolean) => Writer::Boolean,
            (Type::Int(Logical::None), _) if whole => Writer::Int,
            (Type::Long(Logical::None), _) if whole => Writer::Long,
            (Type::Float, Float32) => Writer::Float,
            (Type::Double, Float32 | Float64) => Writer::Double,
            (Type::Int(Logical::Date), Date32) => Writer::Date,
            (Type::Int(Logical::Time(digits)) | Type::Long(Logical::Time(digits)), Time64(_)) => {
                Writer::Time { digits: *digits }
            }
            (Type::Long(Logical::Timestamp(digits)), Timestamp(..)) => Writer::Timestamp(*digits),
            (Type::Bytes(Logical::Decimal { precision, scale }), Decimal128(..) | Decimal256(..)) => {
                Writer::Decimal { precision: *precision, scale: *scale as i32, fixed: None }
            }
            (Type::Bytes(Logical::Decimal { precision, scale }), _) if whole => {
                Writer::Decimal { precision: *precision, scale: *scale as i32, fixed: None }
            }
            (Type::Fixed { size, logical: Logical::Decimal { precision, scale }, .. }, _)
                if whole || matches!(from, Decimal128(..) | Decimal256(..)) =>
            {
                Writer::Decimal { precision: *precision, scale: *scale as i32, fixed: Some(*size) }
            }
            (Type::Fixed { logical: Logical::Duration, .. }, Interval(_)) => Writer::Duration,
            (Type::Fixed { logical: Logical::Uuid, .. }, Utf8) => Writer::FixedUuid,
            (Type::Fixed { size, .. }, Binary) => Writer::Fixed(*size),
            (Type::Bytes(Logical::None), Binary | Utf8) => Writer::Bytes,
            (Type::String(_), Utf8) => Writer::Text,
            (Type::String(Logical::None), Decimal128(..) | Decimal256(..)) => Writer::Digits,
            (Type::Enum { symbols, .. }, Utf8) if !is_json(field) => Writer::Enum(symbols.clone()),
            (Type::Array(item), List(inner)) => Writer::Array(Box::new(self.of(*item, inner, &format!("{path}[]"))?)),
            (Type::Map(value), Map(entries, _)) => match entries.data_type() {
                Struct(fields) if fields.len() == 2 && *fields[0].data_type() == Utf8 => {
                    Writer::Map(Box::new(self.of(*value, &fields[1], &format!("{path}[]"))?))
                }
                _ => return conflict(),
            },
            // A map whose keys are no strings is a list of pairs.
            (Type::Array(item), Map(entries, _)) => match (self.schema.at(*item), entries.data_type()) {
                (Type::Record { fields: wanted, .. }, Struct(fields)) => {
                    let parts = self.record(fields, wanted, &format!("{path}[]."))?;
                    Writer::Array(Box::new(Writer::Record(parts)))
                }
                _ => return conflict(),
            },
            (Type::Record { fields: wanted, .. }, Struct(fields)) => {
                Writer::Record(self.record(fields, wanted, &format!("{path}."))?)
            }
            _ => return conflict(),
        })
    }
}

/// Why a value cannot be written.
struct Refused {
    path: String,
    why: String,
}

type Written = Result<(), Box<Refused>>;

#[cold]
fn refused(why: impl Into<String>) -> Box<Refused> {
    Box::new(Refused { path: String::new(), why: why.into() })
}

impl Refused {
    #[cold]
    fn inside(mut self: Box<Self>, name: &str) -> Box<Self> {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }
}

#[inline]
fn write_parts(parts: &[Part], columns: &[Bound<'_>], row: usize, out: &mut Vec<u8>) -> Written {
    for part in parts {
        match part {
            Part::Column(at, name, writer) => {
                write(writer, &columns[*at], row, out).map_err(|refused| refused.inside(name))?;
            }
            Part::Constant(bytes) => out.extend_from_slice(bytes),
        }
    }
    Ok(())
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

fn write(writer: &Writer, column: &Bound<'_>, row: usize, out: &mut Vec<u8>) -> Written {
    if let Writer::Union { null, branch, value } = writer {
        if column.is_null(row) {
            let null = null.ok_or_else(no_null)?;
            push_long(out, null as i64);
            return Ok(());
        }
        push_long(out, *branch as i64);
        return write(value, column, row, out);
    }
    if column.is_null(row) {
        return Err(no_null());
    }
    match (writer, &column.values) {
        (Writer::Long, Read::Int64(values)) => push_long(out, values[row]),
        (Writer::Text | Writer::Bytes, Read::Text(texts)) => put_bytes(out, texts.value(row).as_bytes()),
        (Writer::Bytes, Read::Binary(values)) => put_bytes(out, values.value(row)),
        (Writer::Timestamp(to), Read::Timestamp(values, from)) => {
            let value = rescaled_time(values[row], *from, *to);
            push_long(out, value.ok_or_else(|| refused("the time is out of the range of its type"))?);
        }
        (Writer::Double, Read::Float64(values)) => out.extend_from_slice(&values[row].to_le_bytes()),
        (Writer::Double, Read::Float32(values)) => out.extend_from_slice(&f64::from(values[row]).to_le_bytes()),
        (Writer::Float, Read::Float32(values)) => out.extend_from_slice(&values[row].to_le_bytes()),
        (Writer::Boolean, Read::Boolean(values)) => out.push(values.value(row).into()),
        (Writer::Date, Read::Date(values)) => push_long(out, values[row].into()),
        (Writer::Time { digits }, Read::Time(values)) => {
            push_long(out, rescaled_time(values[row], 6, *digits).unwrap_or_default());
        }
        (Writer::Decimal { precision, scale, fixed }, _) => decimal(column, row, *precision, *scale, *fixed, out)?,
        (Writer::Digits, _) => {
            let Some((value, scale)) = column.units(row) else { return Err(unexpected()) };
            let mut text = Vec::with_capacity(40);
            push_units(&mut text, value, scale);
            put_bytes(out, &text);
        }
        (Writer::Int, _) => {
            let Some(value) = column.whole(row) else { return Err(unexpected()) };
            push_long(
                out,
                i32::try_from(value).map_err(|_| refused(format!("{value} is out of range for int")))?.into(),
            );
        }
        (Writer::Long, _) => {
            let Some(value) = column.whole(row) else { return Err(unexpected()) };
            push_long(out, i64::try_from(value).map_err(|_| refused(format!("{value} is out of range for long")))?);
        }
        (Writer::Enum(symbols), Read::Text(texts)) => {
            let text = texts.value(row);
            let symbol = symbols
                .iter()
                .position(|symbol| symbol == text)
                .ok_or_else(|| refused(format!("{} is none of {}", show(text.as_bytes()), symbols.join(", "))))?;
            push_long(out, symbol as i64);
        }
        (Writer::Fixed(size), Read::Binary(values)) => {
            let value = values.value(row);
            if value.len() != *size {
                return Err(refused(format!("it has {} bytes and must have {size}", value.len())));
            }
            out.extend_from_slice(value);
        }
        (Writer::FixedUuid, Read::Text(texts)) => {
            let text = texts.value(row);
            let bytes = uuid(text).ok_or_else(|| refused(format!("{} is no UUID", show(text.as_bytes()))))?;
            out.extend_from_slice(&bytes);
        }
        (Writer::Duration, Read::Interval(values)) => {
            let value = values[row];
            let millis = value.nanoseconds / 1_000_000;
            let parts = (u32::try_from(value.months), u32::try_from(value.days), u32::try_from(millis));
            let (Ok(months), Ok(days), Ok(millis), 0) = (parts.0, parts.1, parts.2, value.nanoseconds % 1_000_000)
            else {
                let why = "an Avro duration has no negative parts, whole milliseconds and less than 50 days of them";
                return Err(refused(why));
            };
            [months, days, millis].iter().for_each(|part| out.extend_from_slice(&part.to_le_bytes()));
        }
        (Writer::Array(item), Read::List(ends, items)) => {
            let (start, end) = (ends[row], ends[row + 1]);
            if end > start {
                push_long(out, (end - start).into());
                for at in start..end {
                    let place = || format!("[{}]", at - start);
                    write(item, items, at as usize, out).map_err(|refused| refused.inside(&place()))?;
                }
            }
            push_long(out, 0);
        }
        (Writer::Array(pair), Read::Map(ends, keys, values)) => {
            let Writer::Record(parts) = &**pair else { return Err(unexpected()) };
            let (start, end) = (ends[row], ends[row + 1]);
            if end > start {
                push_long(out, (end - start).into());
                for at in start as usize..end as usize {
                    for part in parts {
                        match part {
                            Part::Column(which, name, writer) => {
                                let column = if *which == 0 { keys } else { values };
                                write(writer, column, at, out).map_err(|refused| refused.inside(name))?;
                            }
                            Part::Constant(bytes) => out.extend_from_slice(bytes),
                        }
                    }
                }
            }
            push_long(out, 0);
        }
        (Writer::Map(value), Read::Map(ends, keys, values)) => {
            let (start, end) = (ends[row], ends[row + 1]);
            let Read::Text(texts) = &keys.values else { return Err(unexpected()) };
            if end > start {
                push_long(out, (end - start).into());
                for at in start as usize..end as usize {
                    put_bytes(out, texts.value(at).as_bytes());
                    write(value, values, at, out).map_err(|refused| refused.inside("[]"))?;
                }
            }
            push_long(out, 0);
        }
        (Writer::Record(parts), Read::Struct(columns)) => write_parts(parts, columns, row, out)?,
        _ => return Err(unexpected()),
    }
    Ok(())
}

#[cold]
fn no_null() -> Box<Refused> {
    refused("it is NULL, and the field of the schema is not a union with null")
}

/// The batch is of another schema than the encoder was made for.
#[cold]
fn unexpected() -> Box<Refused> {
    refused("the batch has another type than the output was opened for")
}

fn decimal(
    column: &Bound<'_>,
    row: usize,
    precision: usize,
    scale: i32,
    fixed: Option<usize>,
    out: &mut Vec<u8>,
) -> Written {
    let Some((value, from)) = column.units(row) else { return Err(unexpected()) };
    let refuse = || {
        let mut text = Vec::new();
        push_units(&mut text, value, from);
        refused(format!("{} does not fit decimal({precision},{scale})", String::from_utf8_lossy(&text)))
    };
    let digits = u8::try_from((scale - from).unsigned_abs()).unwrap_or(u8::MAX);
    let scaled = match scale - from {
        0 => Some(value),
        1.. => value.checked_mul(power_i256(digits)).filter(|_| digits <= 76 || value == i256::ZERO),
        _ => {
            let divisor = power_i256(digits);
            let exact = value.checked_rem(divisor) == Some(i256::ZERO) && digits <= 76;
            value.checked_div(divisor).filter(|_| exact)
        }
    };
    let limit = power_i256(u8::try_from(precision).unwrap_or(76).min(76));
    let Some(scaled) = scaled.filter(|scaled| *scaled < limit && *scaled > limit.wrapping_neg()) else {
        return Err(refuse());
    };
    let bytes = scaled.to_be_bytes();
    let sign = if scaled.is_negative() { 0xFF } else { 0 };
    match fixed {
        Some(size) => {
            let (short, wide) = (size.min(32), size.saturating_sub(32));
            let (dropped, kept) = bytes.split_at(32 - short);
            let fits = dropped.iter().all(|byte| *byte == sign)
                && kept.first().is_some_and(|first| (*first >= 0x80) == scaled.is_negative());
            if !fits {
                return Err(refuse());
            }
            out.extend(std::iter::repeat_n(sign, wide));
            out.extend_from_slice(kept);
        }
        None => {
            // As few bytes as hold the sign.
            let mut start = 0;
            while start < 31 && bytes[start] == sign && (bytes[start + 1] >= 0x80) == (sign == 0xFF) {
                start += 1;
            }
            put_bytes(out, &bytes[start..]);
        }
    }
    Ok(())
}

/// The sixteen bytes of a UUID's text.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let plain: String = text.chars().filter(|each| *each != '-').collect();
    (plain.len() == 32 && plain.bytes().all(|byte| byte.is_ascii_hexdigit()) && text.len() == 36)
        .then(|| u128::from_str_radix(&plain, 16).ok().map(u128::to_be_bytes))
        .flatten()
}
