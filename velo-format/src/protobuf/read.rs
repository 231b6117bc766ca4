//! Messages into columns, by a plan that was made for a message and columns.

use std::collections::HashMap;

use arrow_buffer::IntervalMonthDayNano;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};

use super::wire::{Cursor, Wire, problem, zigzag};
use crate::error::ValueError;
use crate::json::cursor::{Outcome, Problem};
use crate::value::typed::Columns;
use crate::value::{Column, Values, last};

/// A field's number below which slots are found by it directly.
pub(super) const DIRECT: usize = 256;

/// What is read of a message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) descriptor: MessageDescriptor,
    pub(super) slots: Vec<Slot>,
    /// The slot of a number, counted from 1; 0 is none.
    pub(super) direct: Vec<u16>,
    pub(super) others: HashMap<u32, u16>,
    /// All columns that are filled, also by messages within.
    pub(super) columns: Vec<usize>,
    /// Columns that no field is there for.
    pub(super) missing: Vec<usize>,
    /// Fields without a column that are not declared are counted.
    pub(super) counted: Option<Vec<u32>>,
}

/// A field that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) targets: Vec<Target>,
    /// Columns of the other fields of its `oneof`: they are absent when this one comes.
    pub(super) clears: Vec<usize>,
}

/// Where a field goes.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Column(usize, Reader, Absent),
    /// Fields of it go to columns of their own.
    Inner(Box<Message>),
}

/// How values of a field become those of a column.
#[derive(Debug, Clone)]
pub(super) enum Reader {
    Scalar(Scalar),
    Message(Box<Message>),
    Timestamp,
    Duration,
    Wrapper(Scalar),
    /// Big-endian bytes and a scale.
    Decimal,
    /// Text within a message.
    DecimalText,
    Repeated(Box<Reader>),
    Map(Box<Reader>, Absent, Box<Reader>, Absent),
    /// All of it as JSON, when the message has been read.
    Json,
    /// A message in a list or map as JSON.
    JsonMessage(MessageDescriptor),
}

/// A type that is one value.
#[derive(Debug, Clone)]
pub(super) enum Scalar {
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    Bool,
    String,
    Bytes,
    /// The names of numbers.
    Enum(HashMap<i32, String>),
}

/// What a field is that does not come.
#[derive(Debug, Clone)]
pub(super) enum Absent {
    Null,
    Whole(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
    /// An enum's number and name.
    Enum(i32, String),
}

#[cold]
fn refused(error: ValueError, value: &[u8], column: &Column) -> Box<Problem> {
    Problem::value("", error.message(value, column.field()))
}

#[cold]
fn refused_number(error: ValueError, value: impl ToString, column: &Column) -> Box<Problem> {
    refused(error, value.to_string().as_bytes(), column)
}

#[cold]
fn other_wire(wire: Wire) -> Box<Problem> {
    problem(format!("its value is laid out as {wire:?}, which its type is not: the message is of another schema"))
}

impl Scalar {
    pub(super) fn wire(&self) -> Wire {
        match self {
            Self::Fixed32 | Self::Sfixed32 | Self::Float => Wire::Fixed32,
            Self::Fixed64 | Self::Sfixed64 | Self::Double => Wire::Fixed64,
            Self::String | Self::Bytes => Wire::Bytes,
            _ => Wire::Varint,
        }
    }

    /// Whether repeated values can stand in one piece of bytes.
    fn packs(&self) -> bool {
        self.wire() != Wire::Bytes
    }

    #[inline]
    fn read(&self, cursor: &mut Cursor<'_>, column: &mut Column) -> Outcome<()> {
        macro_rules! whole {
            ($value:expr) => {{
                let value: i64 = $value;
                column.push_i64(value).map_err(|error| refused_number(error, value, column))
            }};
        }
        macro_rules! unsigned {
            ($value:expr) => {{
                let value: u64 = $value;
                column.push_u64(value).map_err(|error| refused_number(error, value, column))
            }};
        }
        match self {
            Self::Int64 => whole!(cursor.varint()? as i64),
            Self::String => {
                let text = cursor.bytes()?;
                column.push_utf8(text).map_err(|error| refused(error, text, column))
            }
            // Of more than 32 bits the lower ones count.
            Self::Int32 => whole!(i64::from(cursor.varint()? as i32)),
            Self::Uint32 => whole!(i64::from(cursor.varint()? as u32)),
            Self::Uint64 => unsigned!(cursor.varint()?),
            Self::Sint32 => whole!(i64::from(zigzag(u64::from(cursor.varint()? as u32)) as i32)),
            Self::Sint64 => whole!(zigzag(cursor.varint()?)),
            Self::Fixed32 => whole!(u32::from_le_bytes(cursor.array()?).into()),
            Self::Fixed64 => unsigned!(u64::from_le_bytes(cursor.array()?)),
            Self::Sfixed32 => whole!(i32::from_le_bytes(cursor.array()?).into()),
            Self::Sfixed64 => whole!(i64::from_le_bytes(cursor.array()?)),
            Self::Double => {
                let value = f64::from_le_bytes(cursor.array()?);
                column.push_f64(value).map_err(|error| refused_number(error, value, column))
            }
            Self::Float => {
                let value = f32::from_le_bytes(cursor.array()?);
                column.push_f32(value).map_err(|error| refused_number(error, value, column))
            }
            Self::Bool => {
                let value = cursor.varint()? != 0;
                column.push_bool(value).map_err(|error| refused_number(error, value, column))
            }
            Self::Bytes => {
                let bytes = cursor.bytes()?;
                column.push_binary(bytes).map_err(|error| refused(error, bytes, column))
            }
            Self::Enum(names) => {
                let number = cursor.varint()? as i32;
                push_enum(column, number, names.get(&number).map(String::as_str))
            }
        }
    }
}

fn push_enum(column: &mut Column, number: i32, name: Option<&str>) -> Outcome<()> {
    let text = matches!(column.values, Values::Text { .. });
    let pushed = match name {
        Some(name) if text => column.push_utf8(name.as_bytes()),
        _ => column.push_i64(number.into()),
    };
    pushed.map_err(|error| refused_number(error, number, column))
}

impl Absent {
    fn push(&self, column: &mut Column) -> Outcome<()> {
        let pushed = match self {
            Self::Null => column.push_null_checked(),
            Self::Whole(value) => column.push_i64(*value),
            Self::Unsigned(value) => column.push_u64(*value),
            Self::Float(value) => column.push_f64(*value),
            Self::Bool(value) => column.push_bool(*value),
            Self::Bytes(bytes) => column.push_binary(bytes),
            Self::Enum(number, name) => return push_enum(column, *number, Some(name)),
            // The empty text of a column that is no text says that nothing came.
            Self::Text(text)
                if text.is_empty() && !matches!(column.values, Values::Text { .. } | Values::Binary { .. }) =>
            {
                column.push_null_checked()
            }
            Self::Text(text) => column.push_utf8(text.as_bytes()),
        };
        pushed.map_err(|error| refused(error, b"the default", column))
    }
}

impl Reader {
    /// Reads one value of a field into `column`.
    fn read(&self, cursor: &mut Cursor<'_>, number: u32, wire: Wire, column: &mut Column) -> Outcome<()> {
        match self {
            Self::Scalar(scalar) if scalar.wire() == wire => scalar.read(cursor, column),
            Self::Scalar(_) => Err(other_wire(wire)),
            Self::Repeated(item) => {
                let Values::List { ends, items } = &mut column.values else { return Err(conflict(column)) };
                let before = last(ends);
                let inside =
                    |problem: Box<Problem>, items: &Column| problem.inside(&format!("[{}]", items.len() - before));
                if let Self::Scalar(scalar) = &**item
                    && wire == Wire::Bytes
                    && scalar.packs()
                {
                    let mut packed = Cursor::new(cursor.bytes()?);
                    while !packed.is_at_end() {
                        scalar.read(&mut packed, items).map_err(|problem| inside(problem, items))?;
                    }
                    return Ok(());
                }
                item.read(cursor, number, wire, items).map_err(|problem| inside(problem, items))
            }
            Self::Json => cursor.skip(number, wire),
            _ if !matches!(wire, Wire::Bytes | Wire::Group) => Err(other_wire(wire)),
            Self::Message(message) => {
                let bytes = cursor.message(number, wire)?;
                let Values::Struct { fields, rows } = &mut column.values else { return Err(conflict(column)) };
                message.run(bytes, fields.as_mut_slice(), *rows, None).map_err(|problem| problem.inside("."))?;
                *rows += 1;
                Ok(())
            }
            Self::JsonMessage(descriptor) => {
                let text = json_of(descriptor, cursor.message(number, wire)?)?.to_string();
                column.push_made_json(text.as_bytes()).map_err(|error| refused(error, text.as_bytes(), column))
            }
            Self::Map(key, no_key, value, no_value) => {
                let bytes = cursor.message(number, wire)?;
                let Values::Map { keys, values, .. } = &mut column.values else { return Err(conflict(column)) };
                read_entry(bytes, (key, no_key, keys), (value, no_value, values))
            }
            Self::Timestamp => {
                let (seconds, nanos) = seconds(cursor.message(number, wire)?)?;
                column.push_seconds(seconds, nanos).map_err(|error| {
                    refused_number(error, format!("{seconds} seconds and {nanos} nanoseconds"), column)
                })
            }
            Self::Duration => {
                let (seconds, nanos) = seconds(cursor.message(number, wire)?)?;
                let total = seconds.checked_mul(1_000_000_000).and_then(|total| total.checked_add(nanos.into()));
                let Some(total) = total else {
                    return Err(problem(format!("a duration of {seconds} seconds is too long for an INTERVAL")));
                };
                let pushed = column.push_interval(IntervalMonthDayNano::new(0, 0, total));
                pushed.map_err(|error| refused_number(error, seconds, column))
            }
            Self::Wrapper(scalar) => {
                let mut inner = Cursor::new(cursor.message(number, wire)?);
                let mut found = None;
                while !inner.is_at_end() {
                    let Some((number, wire)) = inner.tag()? else { return Err(no_group()) };
                    if number == 1 && wire == scalar.wire() {
                        found = Some(inner);
                    }
                    inner.skip(number, wire)?;
                }
                match found {
                    Some(mut value) => scalar.read(&mut value, column),
                    None => default_of(scalar).push(column),
                }
            }
            Self::Decimal => {
                let (mut value, mut scale) = (&b"\0"[..], 0);
                let mut inner = Cursor::new(cursor.message(number, wire)?);
                while !inner.is_at_end() {
                    match inner.tag()? {
                        Some((1, Wire::Bytes)) => value = inner.bytes()?,
                        Some((3, Wire::Varint)) => scale = inner.varint()? as i32,
                        Some((number, wire)) => inner.skip(number, wire)?,
                        None => return Err(no_group()),
                    }
                }
                // Proto3 leaves out what is empty, which Java's BigInteger never is.
                let value = if value.is_empty() { b"\0" } else { value };
                column.push_decimal_bytes(value, scale).map_err(|error| refused(error, b"the decimal", column))
            }
            Self::DecimalText => {
                let mut value = &b"0"[..];
                let mut inner = Cursor::new(cursor.message(number, wire)?);
                while !inner.is_at_end() {
                    match inner.tag()? {
                        Some((1, Wire::Bytes)) => value = inner.bytes()?,
                        Some((number, wire)) => inner.skip(number, wire)?,
                        None => return Err(no_group()),
                    }
                }
                column.push_utf8(value).map_err(|error| refused(error, value, column))
            }
        }
    }
}

pub(super) fn default_of(scalar: &Scalar) -> Absent {
    match scalar {
        Scalar::Float | Scalar::Double => Absent::Float(0.0),
        Scalar::Bool => Absent::Bool(false),
        Scalar::String => Absent::Text(String::new()),
        Scalar::Bytes => Absent::Bytes(Vec::new()),
        Scalar::Enum(names) => Absent::Enum(0, names.get(&0).cloned().unwrap_or_else(|| "0".to_owned())),
        _ => Absent::Whole(0),
    }
}

#[cold]
fn conflict(column: &Column) -> Box<Problem> {
    refused(ValueError::Conflict, b"the value", column)
}

#[cold]
fn no_group() -> Box<Problem> {
    problem("a group ends that did not begin")
}

/// The two fields of a time or a duration.
fn seconds(bytes: &[u8]) -> Outcome<(i64, i32)> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut cursor = Cursor::new(bytes);
    while !cursor.is_at_end() {
        match cursor.tag()? {
            Some((1, Wire::Varint)) => seconds = cursor.varint()? as i64,
            Some((2, Wire::Varint)) => nanos = cursor.varint()? as i32,
            Some((number, wire)) => cursor.skip(number, wire)?,
            None => return Err(no_group()),
        }
    }
    Ok((seconds, nanos))
}

/// How half of an entry is read: by what, what it is where it is absent, and where it goes.
type Half<'a> = (&'a Reader, &'a Absent, &'a mut Column);

fn read_entry(bytes: &[u8], key: Half<'_>, value: Half<'_>) -> Outcome<()> {
    let (rows, mut cursor) = (key.2.len(), Cursor::new(bytes));
    while !cursor.is_at_end() {
        let (reader, column, number, wire) = match cursor.tag()? {
            Some((1, wire)) => (key.0, &mut *key.2, 1, wire),
            Some((2, wire)) => (value.0, &mut *value.2, 2, wire),
            Some((number, wire)) => {
                cursor.skip(number, wire)?;
                continue;
            }
            None => return Err(no_group()),
        };
        column.truncate(rows);
        reader.read(&mut cursor, number, wire, column).map_err(|problem| problem.inside("[]"))?;
    }
    for (_, absent, column) in [key, value] {
        if column.len() == rows {
            absent.push(column)?;
        }
    }
    Ok(())
}

impl Message {
    #[inline]
    fn slot(&self, number: u32) -> Option<&Slot> {
        let slot = match self.direct.get(number as usize) {
            Some(slot) => *slot,
            None if (number as usize) < DIRECT => 0,
            None => self.others.get(&number).copied().unwrap_or(0),
        };
        self.slots.get(usize::from(slot).checked_sub(1)?)
    }

    /// Reads a message into `columns`, which have `row` values before it. `unknown` counts fields that are not declared.
    pub(super) fn run<C: Columns + ?Sized>(
        &self,
        bytes: &[u8],
        columns: &mut C,
        row: usize,
        mut unknown: Option<&mut u64>,
    ) -> Outcome<()> {
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_at_end() {
            let Some((number, wire)) = cursor.tag()? else { return Err(no_group()) };
            let Some(slot) = self.slot(number) else {
                if let (Some(unknown), Some(counted)) = (&mut unknown, &self.counted)
                    && counted.binary_search(&number).is_err()
                {
                    **unknown += 1;
                }
                cursor.skip(number, wire).map_err(|problem| problem.inside(&format!("field {number}")))?;
                continue;
            };
            for at in &slot.clears {
                columns.column(*at).truncate(row);
            }
            let start = cursor.at;
            for target in &slot.targets {
                cursor.at = start;
                target.read(&mut cursor, (number, wire), columns, row).map_err(|problem| problem.inside(&slot.name))?;
            }
        }
        self.finish(bytes, columns, row)
    }

    /// Ends the values of a message: lists are whole, and what did not come is absent.
    fn finish<C: Columns + ?Sized>(&self, bytes: &[u8], columns: &mut C, row: usize) -> Outcome<()> {
        for slot in &self.slots {
            for target in &slot.targets {
                match target {
                    Target::Column(at, reader, absent) => {
                        let column = columns.column(*at);
                        let came = column.len() > row;
                        match (reader, &mut column.values) {
                            // `Column::finish` refuses what is longer.
                            (Reader::Repeated(_), Values::List { ends, items }) => ends.push(items.len() as i32),
                            (Reader::Map(..), Values::Map { ends, keys, .. }) => {
                                if has_repeated_key(keys, last(ends)) {
                                    return Err(problem("a key comes twice").inside(&slot.name));
                                }
                                ends.push(keys.len() as i32);
                            }
                            (Reader::Json, _) => self.json(bytes, slot, column)?,
                            _ if !came => {
                                absent.push(column).map_err(|problem| problem.inside(&slot.name))?;
                            }
                            _ => {}
                        }
                    }
                    Target::Inner(inner) => inner.absent(columns, row)?,
                }
            }
        }
        for at in &self.missing {
            let column = columns.column(*at);
            if let Err(error) = column.push_null_checked() {
                return Err(refused(error, b"", column).inside(column.field().name()));
            }
        }
        Ok(())
    }

    /// NULL for all columns of a message that did not come.
    fn absent<C: Columns + ?Sized>(&self, columns: &mut C, row: usize) -> Outcome<()> {
        for at in &self.columns {
            let column = columns.column(*at);
            if column.len() == row
                && let Err(error) = column.push_null_checked()
            {
                return Err(refused(error, b"", column).inside(column.field().name()));
            }
        }
        Ok(())
    }

    /// All that came of a field as JSON, by the mapping that the library has.
    fn json(&self, bytes: &[u8], slot: &Slot, column: &mut Column) -> Outcome<()> {
        let inside = |problem: Box<Problem>| problem.inside(&slot.name);
        let mut alone = Vec::new();
        let mut cursor = Cursor::new(bytes);
        while !cursor.is_at_end() {
            let start = cursor.at;
            let Some((number, wire)) = cursor.tag()? else { return Err(no_group()) };
            cursor.skip(number, wire)?;
            if number == slot.number {
                alone.extend_from_slice(&bytes[start..cursor.at]);
            }
        }
        if alone.is_empty() {
            return column.push_null_checked().map_err(|error| inside(refused(error, b"", column)));
        }
        match json_of(&self.descriptor, &alone).map_err(inside)?.get(&slot.name) {
            Some(value) => {
                let pushed = column.push_made_json(value.to_string().as_bytes());
                pushed.map_err(|error| inside(refused(error, b"the value", column)))
            }
            None => column.push_null_checked().map_err(|error| inside(refused(error, b"", column))),
        }
    }
}

/// A message as JSON, by the mapping that the library has.
fn json_of(descriptor: &MessageDescriptor, bytes: &[u8]) -> Outcome<serde_json::Value> {
    let message = DynamicMessage::decode(descriptor.clone(), bytes).map_err(|error| problem(error.to_string()))?;
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).map_err(|error| problem(error.to_string()))
}

impl Target {
    #[inline]
    fn read<C: Columns + ?Sized>(
        &self,
        cursor: &mut Cursor<'_>,
        (number, wire): (u32, Wire),
        columns: &mut C,
        row: usize,
    ) -> Outcome<()> {
        match self {
            Self::Column(at, reader, _) => {
                let column = columns.column(*at);
                if column.len() > row {
                    return again(reader, cursor, (number, wire), column, row);
                }
                reader.read(cursor, number, wire, column)
            }
            Self::Inner(message) => {
                if !matches!(wire, Wire::Bytes | Wire::Group) {
                    return Err(other_wire(wire));
                }
                let before = cursor.at;
                let bytes = cursor.message(number, wire)?;
                let Some(first) = message.columns.first() else { return Ok(()) };
                if columns.column(*first).len() == row {
                    return message.run(bytes, columns, row, None).map_err(|problem| problem.inside("."));
                }
                // It came before: both are one message.
                for at in &message.columns {
                    columns.column(*at).truncate(row);
                }
                let mut merged = earlier(cursor.bytes, before, number)?;
                merged.extend_from_slice(bytes);
                message.run(&merged, columns, row, None).map_err(|problem| problem.inside("."))
            }
        }
    }
}

/// A field that is not repeated came again: the last value counts, and messages are merged.
#[cold]
fn again(
    reader: &Reader,
    cursor: &mut Cursor<'_>,
    (number, wire): (u32, Wire),
    column: &mut Column,
    row: usize,
) -> Outcome<()> {
    column.truncate(row);
    if !matches!(
        reader,
        Reader::Message(_) | Reader::Timestamp | Reader::Duration | Reader::Wrapper(_) | Reader::Decimal
    ) || !matches!(wire, Wire::Bytes | Wire::Group)
    {
        return reader.read(cursor, number, wire, column);
    }
    let before = cursor.at;
    let bytes = cursor.message(number, wire)?;
    let mut content = earlier(cursor.bytes, before, number)?;
    content.extend_from_slice(bytes);
    let mut merged = Vec::with_capacity(content.len() + 10);
    super::wire::push_varint(&mut merged, content.len() as u64);
    merged.extend_from_slice(&content);
    reader.read(&mut Cursor::new(&merged), number, Wire::Bytes, column)
}

/// What came of a message before the value at `to`, whose tag was read.
fn earlier(bytes: &[u8], to: usize, wanted: u32) -> Outcome<Vec<u8>> {
    let mut merged = Vec::new();
    let mut cursor = Cursor::new(bytes);
    while cursor.at < to {
        let Some((number, wire)) = cursor.tag()? else { return Err(no_group()) };
        if cursor.at >= to {
            break;
        }
        if number == wanted && matches!(wire, Wire::Bytes | Wire::Group) {
            merged.extend_from_slice(cursor.message(number, wire)?);
        } else {
            cursor.skip(number, wire)?;
        }
    }
    Ok(merged)
}

/// Whether a key comes twice among those behind the first `from`.
fn has_repeated_key(keys: &Column, from: usize) -> bool {
    fn repeated<T: Ord>(mut keys: Vec<T>) -> bool {
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair[0] == pair[1])
    }
    match &keys.values {
        _ if keys.len() - from < 2 => false,
        Values::Text { ends, bytes, .. } => {
            let start = |at: usize| at.checked_sub(1).map_or(0, |before| ends[before] as usize);
            repeated((from..ends.len()).map(|at| &bytes[start(at)..ends[at] as usize]).collect())
        }
        Values::Int32(values) => repeated(values[from..].to_vec()),
        Values::Int64(values) => repeated(values[from..].to_vec()),
        Values::UInt32(values) => repeated(values[from..].to_vec()),
        Values::UInt64(values) => repeated(values[from..].to_vec()),
        Values::Boolean(values) => repeated(values[from..].to_vec()),
        // Keys of other types were converted, so that they are as many as came.
        _ => false,
    }
}
