//! The encoder: rows as messages.
//!
//! Columns go into the fields of their names, an exact one before one that differs in case. NULL is not written: a reader of a
//! field without presence sees its default. What a value cannot be in the schema is an error.

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema};
use prost_reflect::{FieldDescriptor, Kind as Type, MessageDescriptor};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::time::{push_date, push_time_of_day};
use velo_core::types::{is_json, sql_name_of};

use super::plan::{describe, find, wrapped};
use super::schema::ProtoSchema;
use super::wire::{Wire, push_varint};
use crate::error::show;
use crate::json::read::same_folded;
use crate::records::{RecordEncoder, confluent};
use crate::value::bound::{Bound, Read, rescaled_time};
use crate::value::print_interval;
use crate::value::typed::push_units;

/// Writes rows as Protobuf messages.
#[derive(Debug)]
pub struct ProtoEncoder {
    header: Vec<u8>,
    parts: Vec<Part>,
    names: Vec<String>,
}

/// A field that a column is written to.
#[derive(Debug)]
struct Part {
    column: usize,
    number: u32,
    name: String,
    form: Form,
    /// A default is not written where it means the same as nothing.
    skips_default: bool,
}

#[derive(Debug)]
enum Form {
    One(Value),
    /// Repeated, in one piece where that is how it is written.
    Many(Value, bool),
    Map(Value, Value),
}

#[derive(Debug)]
enum Value {
    /// In how many bits, whether with a sign, and whether in zigzag form.
    Varint {
        bits: u8,
        signed: bool,
        zigzag: bool,
    },
    Fixed {
        bits: u8,
        signed: bool,
    },
    Float,
    Double,
    Bool,
    Text,
    Bytes,
    Enum(Vec<(String, i32)>),
    Timestamp,
    Duration,
    Wrapper(Box<Value>),
    Decimal,
    DecimalText,
    Message(Vec<Part>),
}

impl ProtoEncoder {
    /// An encoder of batches of `schema` as messages, with the id of their schema before each where that is in a registry.
    ///
    /// # Errors
    ///
    /// Where a column has no field, or a type cannot be the other.
    pub fn new(schema: &Schema, message: &MessageDescriptor, id: Option<u32>) -> Result<Self, ConnectorError> {
        let mut header = Vec::new();
        if let Some(id) = id {
            confluent::push_header(&mut header, id);
            confluent::push_message_indexes(&mut header, &ProtoSchema::indexes(message));
        }
        let parts = parts_of(schema.fields(), message, "").map_err(|why| {
            let message = format!("the columns do not fit the Protobuf schema: {why}");
            ConnectorError::new(ErrorKind::Configuration, "opening the output", message)
                .advise("cast or rename the columns in the query, or change the schema")
        })?;
        Ok(Self { header, parts, names: schema.fields().iter().map(|field| field.name().clone()).collect() })
    }
}

impl RecordEncoder for ProtoEncoder {
    fn encode_records(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ConnectorError> {
        let columns = batch.columns().iter().zip(&self.names).map(|(array, name)| {
            Bound::new(array.as_ref()).ok_or_else(|| {
                let found = array.data_type();
                let message = format!("the column '{name}' has a type that Protocol buffers have no form for: {found}");
                ConnectorError::new(ErrorKind::Unsupported, "writing Protobuf", message)
            })
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            out.extend_from_slice(&self.header);
            write_parts(&self.parts, &columns, row, out).map_err(|refused| {
                let message = format!("the column '{}': {}", refused.path, refused.why);
                ConnectorError::new(ErrorKind::Encode, "writing Protobuf", message)
                    .advise("leave the row out or change the value in the query, or change the schema")
            })?;
            ends.push(out.len());
        }
        Ok(())
    }
}

fn parts_of(columns: &Fields, message: &MessageDescriptor, inside: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        let path = format!("{inside}{}", column.name());
        let Some(field) = find(message, column.name(), false) else {
            let names: Vec<String> = message.fields().map(|field| field.name().to_owned()).collect();
            return Err(format!("'{path}' is no field of {}: there are {}", message.full_name(), names.join(", ")));
        };
        parts.push(Part {
            column: at,
            number: field.number(),
            name: column.name().clone(),
            form: form(&field, column, &path)?,
            skips_default: !field.supports_presence() && !field.is_list(),
        });
    }
    for field in message.fields().filter(FieldDescriptor::is_required) {
        if !columns.iter().any(|column| same_folded(column.name(), field.name().as_bytes())) {
            return Err(format!("there is no column for '{inside}{}', which is required", field.name()));
        }
    }
    parts.sort_by_key(|part| part.number);
    Ok(parts)
}

fn form(field: &FieldDescriptor, column: &Field, path: &str) -> Result<Form, String> {
    let conflict = || Err(format!("'{path}' is {} and the schema has {}", sql_name_of(column), describe(field)));
    if field.is_map() {
        let (DataType::Map(entries, _), Type::Message(entry)) = (column.data_type(), field.kind()) else {
            return conflict();
        };
        let DataType::Struct(halves) = entries.data_type() else { return conflict() };
        let [key, value] = halves.as_ref() else { return conflict() };
        let of = |kind: &Type, half: &Field| value_of(kind, half, path, field);
        let (key_kind, value_kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        return Ok(Form::Map(of(&key_kind, key)?, of(&value_kind, value)?));
    }
    if field.is_list() {
        let DataType::List(item) = column.data_type() else { return conflict() };
        return Ok(Form::Many(value_of(&field.kind(), item, path, field)?, field.is_packed()));
    }
    Ok(Form::One(value_of(&field.kind(), column, path, field)?))
}

fn value_of(kind: &Type, column: &Field, path: &str, field: &FieldDescriptor) -> Result<Value, String> {
    use DataType::{
        Binary, Boolean, Date32, Decimal128, Decimal256, Float32, Float64, Int8, Int16, Int32, Int64, Interval, Struct,
        Time64, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8,
    };
    let conflict = || Err(format!("'{path}' is {} and the schema has {}", sql_name_of(column), describe(field)));
    let from = column.data_type();
    let whole = matches!(from, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64);
    let decimal = matches!(from, Decimal128(..) | Decimal256(..));
    let varint = |bits, signed, zigzag| Value::Varint { bits, signed, zigzag };
    // A DECIMAL without digits behind its point is a whole number.
    let countable = whole || matches!(from, Decimal128(_, 0) | Decimal256(_, 0));
    Ok(match kind {
        Type::Int32 if countable => varint(32, true, false),
        Type::Int64 if countable => varint(64, true, false),
        Type::Uint32 if countable => varint(32, false, false),
        Type::Uint64 if countable => varint(64, false, false),
        Type::Sint32 if countable => varint(32, true, true),
        Type::Sint64 if countable => varint(64, true, true),
        Type::Fixed32 if countable => Value::Fixed { bits: 32, signed: false },
        Type::Fixed64 if countable => Value::Fixed { bits: 64, signed: false },
        Type::Sfixed32 if countable => Value::Fixed { bits: 32, signed: true },
        Type::Sfixed64 if countable => Value::Fixed { bits: 64, signed: true },
        Type::Float if *from == Float32 => Value::Float,
        Type::Double if matches!(from, Float32 | Float64) => Value::Double,
        Type::Bool if *from == Boolean => Value::Bool,
        Type::String if decimal || matches!(from, Utf8 | Date32 | Time64(_) | Interval(_)) => Value::Text,
        Type::Bytes if matches!(from, Binary | Utf8) => Value::Bytes,
        Type::Enum(names) if *from == Utf8 && !is_json(column) => {
            Value::Enum(names.values().map(|value| (value.name().to_owned(), value.number())).collect())
        }
        Type::Message(message) => match (message.full_name(), from) {
            ("google.protobuf.Timestamp", Timestamp(..)) => Value::Timestamp,
            ("google.protobuf.Duration", Interval(_)) => Value::Duration,
            ("confluent.type.Decimal", _) if decimal || whole => Value::Decimal,
            ("google.type.Decimal", _) if decimal || whole => Value::DecimalText,
            (name, _) if wrapped(name) => match message.get_field(1) {
                Some(inner) => Value::Wrapper(Box::new(value_of(&inner.kind(), column, path, field)?)),
                None => return conflict(),
            },
            (_, Struct(fields)) => Value::Message(parts_of(fields, message, &format!("{path}."))?),
            _ => return conflict(),
        },
        _ => return conflict(),
    })
}

/// Why a value cannot be written.
struct Refused {
    path: String,
    why: String,
}

type Written<T = ()> = Result<T, Box<Refused>>;

#[cold]
fn refused(why: impl Into<String>) -> Box<Refused> {
    Box::new(Refused { path: String::new(), why: why.into() })
}

#[cold]
fn unexpected() -> Box<Refused> {
    refused("the batch has another type than the output was opened for")
}

fn write_parts(parts: &[Part], columns: &[Bound<'_>], row: usize, out: &mut Vec<u8>) -> Written {
    for part in parts {
        part.write(&columns[part.column], row, out).map_err(|mut refused| {
            let dot = if refused.path.is_empty() { "" } else { "." };
            refused.path = format!("{}{dot}{}", part.name, refused.path);
            refused
        })?;
    }
    Ok(())
}

fn push_tag(out: &mut Vec<u8>, number: u32, wire: Wire) {
    let wire = match wire {
        Wire::Varint => 0,
        Wire::Fixed64 => 1,
        Wire::Bytes => 2,
        Wire::Group => 3,
        Wire::Fixed32 => 5,
    };
    push_varint(out, u64::from(number) << 3 | wire);
}

/// Writes what `write` appends with its length before it.
fn with_length(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Written) -> Written {
    let start = out.len();
    // Most lengths take one byte; others are put in afterwards.
    out.push(0);
    write(out)?;
    let length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
        return Ok(());
    }
    let mut prefix = Vec::with_capacity(10);
    push_varint(&mut prefix, length as u64);
    out.splice(start..=start, prefix);
    Ok(())
}

impl Part {
    fn write(&self, column: &Bound<'_>, row: usize, out: &mut Vec<u8>) -> Written {
        if column.is_null(row) {
            return Ok(());
        }
        match (&self.form, &column.values) {
            (Form::One(value), _) => {
                let start = out.len();
                push_tag(out, self.number, value.wire());
                let content = out.len();
                value.write(column, row, out)?;
                if self.skips_default && out[content..].iter().all(|byte| *byte == 0) {
                    out.truncate(start);
                }
                Ok(())
            }
            (Form::Many(value, packed), Read::List(ends, items)) => {
                let rows = ends[row] as usize..ends[row + 1] as usize;
                let no_null = |at: usize| match items.is_null(at) {
                    true => Err(refused("an item of it is NULL, which a repeated field cannot hold")),
                    false => Ok(()),
                };
                if *packed && !rows.is_empty() {
                    push_tag(out, self.number, Wire::Bytes);
                    return with_length(out, |out| {
                        rows.clone().try_for_each(|at| no_null(at).and_then(|()| value.write(items, at, out)))
                    });
                }
                for at in rows {
                    no_null(at)?;
                    push_tag(out, self.number, value.wire());
                    value.write(items, at, out)?;
                }
                Ok(())
            }
            (Form::Map(key, value), Read::Map(ends, keys, values)) => {
                for at in ends[row] as usize..ends[row + 1] as usize {
                    push_tag(out, self.number, Wire::Bytes);
                    with_length(out, |out| {
                        push_tag(out, 1, key.wire());
                        key.write(keys, at, out)?;
                        if values.is_null(at) {
                            return Err(refused("a value of it is NULL, which a map cannot hold"));
                        }
                        push_tag(out, 2, value.wire());
                        value.write(values, at, out)
                    })?;
                }
                Ok(())
            }
            _ => Err(unexpected()),
        }
    }
}

impl Value {
    fn wire(&self) -> Wire {
        match self {
            Self::Varint { .. } | Self::Bool | Self::Enum(_) => Wire::Varint,
            Self::Fixed { bits: 32, .. } | Self::Float => Wire::Fixed32,
            Self::Fixed { .. } | Self::Double => Wire::Fixed64,
            _ => Wire::Bytes,
        }
    }

    fn write(&self, column: &Bound<'_>, row: usize, out: &mut Vec<u8>) -> Written {
        match (self, &column.values) {
            (Self::Varint { bits: 64, signed: true, zigzag: false }, Read::Int64(values)) => {
                push_varint(out, values[row] as u64);
            }
            (Self::Varint { bits, signed, zigzag }, _) => {
                let value = whole(column, row, *bits, *signed)?;
                let zigzagged = (value << 1) ^ (value >> 127);
                // In range, so that the lower bits are all; negative ones have 64.
                push_varint(out, if *zigzag { zigzagged as u64 } else { value as u64 });
            }
            (Self::Fixed { bits, signed }, _) => {
                let value = whole(column, row, *bits, *signed)? as u64;
                out.extend_from_slice(&value.to_le_bytes()[..usize::from(*bits / 8)]);
            }
            (Self::Float, Read::Float32(values)) => out.extend_from_slice(&values[row].to_le_bytes()),
            (Self::Double, Read::Float64(values)) => out.extend_from_slice(&values[row].to_le_bytes()),
            (Self::Double, Read::Float32(values)) => out.extend_from_slice(&f64::from(values[row]).to_le_bytes()),
            (Self::Bool, Read::Boolean(values)) => out.push(values.value(row).into()),
            (Self::Text | Self::Bytes, Read::Text(texts)) => {
                let text = texts.value(row);
                push_varint(out, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            (Self::Bytes, Read::Binary(values)) => {
                let bytes = values.value(row);
                push_varint(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            (Self::Text, _) => return with_length(out, |out| text(column, row, out)),
            (Self::Enum(names), Read::Text(texts)) => {
                let text = texts.value(row);
                let number = names.iter().find(|(name, _)| name == text).map(|(_, number)| *number);
                let number = number.ok_or_else(|| {
                    let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
                    refused(format!("{} is none of {}", show(text.as_bytes()), names.join(", ")))
                })?;
                push_varint(out, i64::from(number) as u64);
            }
            (Self::Timestamp, Read::Timestamp(values, digits)) => {
                let second = 10_i64.pow(u32::from(*digits));
                let (seconds, rest) = (values[row].div_euclid(second), values[row].rem_euclid(second));
                let nanos = rescaled_time(rest, *digits, 9).unwrap_or_default();
                return with_length(out, |out| {
                    push_seconds(out, seconds, nanos);
                    Ok(())
                });
            }
            (Self::Duration, Read::Interval(values)) => {
                let value = values[row];
                if value.months != 0 || value.days != 0 {
                    return Err(refused("a duration of Protocol buffers has no months and days"));
                }
                return with_length(out, |out| {
                    push_seconds(out, value.nanoseconds / 1_000_000_000, value.nanoseconds % 1_000_000_000);
                    Ok(())
                });
            }
            (Self::Wrapper(value), _) => {
                return with_length(out, |out| {
                    push_tag(out, 1, value.wire());
                    value.write(column, row, out)
                });
            }
            (Self::Decimal, _) => {
                let Some((value, scale)) = column.units(row) else { return Err(unexpected()) };
                let bytes = value.to_be_bytes();
                let sign = if value.is_negative() { 0xFF } else { 0 };
                let mut start = 0;
                while start < 31 && bytes[start] == sign && (bytes[start + 1] >= 0x80) == (sign == 0xFF) {
                    start += 1;
                }
                return with_length(out, |out| {
                    push_tag(out, 1, Wire::Bytes);
                    push_varint(out, (32 - start) as u64);
                    out.extend_from_slice(&bytes[start..]);
                    if scale != 0 {
                        push_tag(out, 3, Wire::Varint);
                        push_varint(out, i64::from(scale) as u64);
                    }
                    Ok(())
                });
            }
            (Self::DecimalText, _) => {
                return with_length(out, |out| {
                    push_tag(out, 1, Wire::Bytes);
                    with_length(out, |out| text(column, row, out))
                });
            }
            (Self::Message(parts), Read::Struct(columns)) => {
                return with_length(out, |out| write_parts(parts, columns, row, out));
            }
            _ => return Err(unexpected()),
        }
        Ok(())
    }
}

/// A whole number that must have so many bits.
fn whole(column: &Bound<'_>, row: usize, bits: u8, signed: bool) -> Written<i128> {
    let value = match column.whole(row) {
        Some(value) => value,
        None => column.units(row).and_then(|(value, _)| value.to_i128()).ok_or_else(unexpected)?,
    };
    let (least, most) = match signed {
        true => (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1),
        false => (0, (1_i128 << bits) - 1),
    };
    if !(least..=most).contains(&value) {
        let sign = if signed { "" } else { " without a sign" };
        return Err(refused(format!("{value} is out of range for {bits} bits{sign}")));
    }
    Ok(value)
}

fn push_seconds(out: &mut Vec<u8>, seconds: i64, nanos: i64) {
    if seconds != 0 {
        push_tag(out, 1, Wire::Varint);
        push_varint(out, seconds as u64);
    }
    if nanos != 0 {
        push_tag(out, 2, Wire::Varint);
        push_varint(out, nanos as u64);
    }
}

/// Appends a value that is written as text.
fn text(column: &Bound<'_>, row: usize, out: &mut Vec<u8>) -> Written {
    match &column.values {
        Read::Date(values) => push_date(out, values[row].into()),
        Read::Time(values) => push_time_of_day(out, values[row].saturating_mul(1_000)),
        Read::Interval(values) => print_interval(values[row], out),
        _ => {
            let Some((value, scale)) = column.units(row) else { return Err(unexpected()) };
            push_units(out, value, scale);
        }
    }
    Ok(())
}
