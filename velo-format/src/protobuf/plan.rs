//! The plan of a message: which of its fields go where, made once.

use std::collections::HashMap;

use arrow_schema::{DataType, Field, FieldRef};
use prost_reflect::{FieldDescriptor, Kind as Type, MessageDescriptor, Value};
use velo_core::connector::DecodeColumn;
use velo_core::suggest::nearest;
use velo_core::types::{is_json, sql_name_of};

use super::read::{Absent, DIRECT, Message, Reader, Scalar, Slot, Target, default_of};
use crate::json::read::same_folded;
use crate::value::ValueFormats;
use crate::value::typed::Kind;

/// What plans are made for.
#[derive(Debug, Clone)]
pub(super) struct Wants {
    pub(super) columns: Vec<DecodeColumn>,
    /// The names of all declared columns.
    pub(super) declared: Option<Vec<String>>,
    pub(super) formats: ValueFormats,
    /// A column that the message lacks is a mistake, for all records are of that one.
    pub(super) strict: bool,
}

/// A column that is wanted of a message.
#[derive(Clone)]
struct Wanted<'a> {
    at: usize,
    path: &'a [String],
    exact: bool,
    field: &'a FieldRef,
}

/// A field of a message by a name: an exact one before one that differs in case.
pub(super) fn find(message: &MessageDescriptor, name: &str, exact: bool) -> Option<FieldDescriptor> {
    let by_name = message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name));
    by_name.or_else(|| message.fields().find(|field| !exact && same_folded(field.name(), name.as_bytes())))
}

/// A field as messages show it: `repeated int64`, `message shop.Order`.
pub(super) fn describe(field: &FieldDescriptor) -> String {
    let one = |kind: &Type| match kind {
        Type::Message(message) => format!("message {}", message.full_name()),
        Type::Enum(names) => format!("enum {}", names.full_name()),
        other => format!("{other:?}").to_lowercase(),
    };
    if field.is_map()
        && let Type::Message(entry) = field.kind()
    {
        let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        return format!("map of {} and {}", one(&key), one(&value));
    }
    if field.is_list() { format!("repeated {}", one(&field.kind())) } else { one(&field.kind()) }
}

impl Wants {
    /// The plan for messages of a type, or what does not fit.
    pub(super) fn plan(&self, message: &MessageDescriptor) -> Result<Message, String> {
        let wanted: Vec<Wanted<'_>> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| Wanted { at, path: &column.path, exact: column.exact, field: &column.field })
            .collect();
        let mut plan = self.message(message, &wanted, "")?;
        if let Some(names) = &self.declared {
            let known = |field: &FieldDescriptor| {
                names.iter().any(|name| {
                    same_folded(name, field.name().as_bytes()) || same_folded(name, field.json_name().as_bytes())
                })
            };
            let mut counted: Vec<u32> = message.fields().filter(known).map(|field| field.number()).collect();
            counted.sort_unstable();
            plan.counted = Some(counted);
        }
        Ok(plan)
    }

    fn message(&self, message: &MessageDescriptor, wanted: &[Wanted<'_>], inside: &str) -> Result<Message, String> {
        let mut slots: Vec<(FieldDescriptor, Vec<Target>)> = Vec::new();
        let mut inner: Vec<(FieldDescriptor, Vec<Wanted<'_>>)> = Vec::new();
        let mut missing = Vec::new();
        for column in wanted {
            let Some((name, rest)) = column.path.split_first() else { continue };
            let path = format!("{inside}{name}");
            let Some(field) = find(message, name, column.exact) else {
                if self.strict || !column.field.is_nullable() {
                    return Err(lacks(message, &path, name));
                }
                missing.push(column.at);
                continue;
            };
            if rest.is_empty() {
                let (reader, absent) = self.field(&field, column.field, &path)?;
                let target = Target::Column(column.at, reader, absent);
                match slots.iter_mut().find(|(known, _)| *known == field) {
                    Some((_, targets)) => targets.push(target),
                    None => slots.push((field, vec![target])),
                }
                continue;
            }
            let column = Wanted { path: rest, ..column.clone() };
            match inner.iter_mut().find(|(known, _)| *known == field) {
                Some((_, columns)) => columns.push(column),
                None => inner.push((field, vec![column])),
            }
        }
        for (field, columns) in inner {
            let path = format!("{inside}{}.", field.name());
            let Type::Message(type_of) = field.kind() else { return Err(no_fields(&field, &path, &columns)) };
            if field.is_list() || field.is_map() {
                return Err(no_fields(&field, &path, &columns));
            }
            let target = Target::Inner(Box::new(self.message(&type_of, &columns, &path)?));
            match slots.iter_mut().find(|(known, _)| *known == field) {
                Some((_, targets)) => targets.push(target),
                None => slots.push((field, vec![target])),
            }
        }
        // Fields mostly come by their numbers.
        slots.sort_by_key(|(field, _)| field.number());
        if slots.len() >= usize::from(u16::MAX) {
            return Err(format!("{} fields of one message are too many", slots.len()));
        }
        let slots_of: Vec<(FieldDescriptor, Vec<usize>)> =
            slots.iter().map(|(field, targets)| (field.clone(), columns_of(targets))).collect();
        let made = slots.into_iter().map(|(field, targets)| {
            let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
            let others = slots_of.iter().filter(|(other, _)| *other != field && other.containing_oneof() == oneof);
            let clears = match oneof {
                Some(_) => others.flat_map(|(_, columns)| columns.iter().copied()).collect(),
                None => Vec::new(),
            };
            Slot { number: field.number(), name: field.name().to_owned(), targets, clears }
        });
        let slots: Vec<Slot> = made.collect();
        let mut direct = vec![0; DIRECT.min(slots.last().map_or(0, |slot| slot.number as usize + 1))];
        let mut others = HashMap::new();
        for (at, slot) in slots.iter().enumerate() {
            let place = at as u16 + 1;
            match direct.get_mut(slot.number as usize) {
                Some(known) => *known = place,
                None => {
                    others.insert(slot.number, place);
                }
            }
        }
        let columns = wanted.iter().map(|column| column.at).collect();
        Ok(Message { descriptor: message.clone(), slots, direct, others, columns, missing, counted: None })
    }

    /// How a field becomes a column, and what it is where it does not come.
    fn field(&self, field: &FieldDescriptor, column: &Field, path: &str) -> Result<(Reader, Absent), String> {
        let conflict = || Err(format!("'{path}' is {} and declared {}", describe(field), sql_name_of(column)));
        let whole = matches!(field.kind(), Type::Message(_)) || field.is_list();
        // A string is the JSON itself; what has parts becomes JSON.
        if is_json(column) && whole {
            return Ok((Reader::Json, Absent::Null));
        }
        if field.is_map() {
            let Type::Message(entry) = field.kind() else { return conflict() };
            let DataType::Map(entries, _) = column.data_type() else { return conflict() };
            let DataType::Struct(halves) = entries.data_type() else { return conflict() };
            let [key, value] = halves.as_ref() else { return conflict() };
            let (key_field, value_field) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            let (key, no_key) = self.one(&key_field.kind(), key, &format!("{path}[]"), field)?;
            let (value, no_value) = self.one(&value_field.kind(), value, &format!("{path}[]"), field)?;
            return Ok((Reader::Map(Box::new(key), no_key, Box::new(value), no_value), Absent::Null));
        }
        if field.is_list() {
            let DataType::List(item) = column.data_type() else { return conflict() };
            let (item, _) = self.one(&field.kind(), item, &format!("{path}[]"), field)?;
            return Ok((Reader::Repeated(Box::new(item)), Absent::Null));
        }
        let (reader, default) = self.one(&field.kind(), column, path, field)?;
        let declared = field.field_descriptor_proto().default_value.is_some();
        let absent = match (field.supports_presence(), declared) {
            (true, false) => Absent::Null,
            (true, true) => absent_of(&field.default_value(), &field.kind()),
            (false, _) => default,
        };
        Ok((reader, absent))
    }

    /// How one value becomes one of a column, and the default of its type.
    fn one(
        &self,
        kind: &Type,
        column: &Field,
        path: &str,
        field: &FieldDescriptor,
    ) -> Result<(Reader, Absent), String> {
        let conflict = || Err(format!("'{path}' is {} and declared {}", describe(field), sql_name_of(column)));
        let check = |fits: Kind, reader: Reader, absent: Absent| match fits.fits(column, &self.formats) {
            true => Ok((reader, absent)),
            false => conflict(),
        };
        let Type::Message(message) = kind else {
            let (scalar, fits) = scalar(kind);
            // An enum is text, or its number.
            let number = matches!(scalar, Scalar::Enum(_)) && Kind::Whole.fits(column, &self.formats);
            let fits = if number && *column.data_type() != DataType::Utf8 { Kind::Whole } else { fits };
            let absent = default_of(&scalar);
            return check(fits, Reader::Scalar(scalar), absent);
        };
        if is_json(column) {
            return Ok((Reader::JsonMessage(message.clone()), Absent::Null));
        }
        match message.full_name() {
            "google.protobuf.Timestamp" if !is_struct(column) => {
                check(Kind::Timestamp, Reader::Timestamp, Absent::Null)
                    .and_then(|made| if *column.data_type() == DataType::Int64 { conflict() } else { Ok(made) })
            }
            "google.protobuf.Duration" if !is_struct(column) => check(Kind::Interval, Reader::Duration, Absent::Null),
            "confluent.type.Decimal" if !is_struct(column) => check(Kind::Decimal, Reader::Decimal, Absent::Null),
            "google.type.Decimal" if !is_struct(column) => check(Kind::Text, Reader::DecimalText, Absent::Null),
            name if wrapped(name) && !is_struct(column) => {
                let Some(value) = message.get_field(1) else { return conflict() };
                let (scalar, fits) = scalar(&value.kind());
                check(fits, Reader::Wrapper(scalar), Absent::Null)
            }
            _ => {
                let DataType::Struct(fields) = column.data_type() else { return conflict() };
                let paths: Vec<Vec<String>> = fields.iter().map(|field| vec![field.name().clone()]).collect();
                let wanted: Vec<Wanted<'_>> = fields
                    .iter()
                    .zip(&paths)
                    .enumerate()
                    .map(|(at, (field, path))| Wanted { at, path, exact: false, field })
                    .collect();
                let inner = self.message(message, &wanted, &format!("{path}."))?;
                Ok((Reader::Message(Box::new(inner)), Absent::Null))
            }
        }
    }
}

fn is_struct(column: &Field) -> bool {
    matches!(column.data_type(), DataType::Struct(_))
}

/// Whether a message is one value that may be absent.
pub(super) fn wrapped(name: &str) -> bool {
    let short = name.strip_prefix("google.protobuf.").and_then(|short| short.strip_suffix("Value"));
    short.is_some_and(|short| {
        ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"].contains(&short)
    })
}

/// A type that is one value, and what it is.
pub(super) fn scalar(kind: &Type) -> (Scalar, Kind) {
    match kind {
        Type::Double => (Scalar::Double, Kind::Float),
        Type::Float => (Scalar::Float, Kind::Float),
        Type::Int32 => (Scalar::Int32, Kind::Whole),
        Type::Int64 => (Scalar::Int64, Kind::Whole),
        Type::Uint32 => (Scalar::Uint32, Kind::Whole),
        Type::Uint64 => (Scalar::Uint64, Kind::Whole),
        Type::Sint32 => (Scalar::Sint32, Kind::Whole),
        Type::Sint64 => (Scalar::Sint64, Kind::Whole),
        Type::Fixed32 => (Scalar::Fixed32, Kind::Whole),
        Type::Fixed64 => (Scalar::Fixed64, Kind::Whole),
        Type::Sfixed32 => (Scalar::Sfixed32, Kind::Whole),
        Type::Sfixed64 => (Scalar::Sfixed64, Kind::Whole),
        Type::Bool => (Scalar::Bool, Kind::Boolean),
        Type::String => (Scalar::String, Kind::Text),
        Type::Enum(names) => {
            let mut known = HashMap::new();
            for value in names.values() {
                // The first name of a number is its own; others are aliases.
                known.entry(value.number()).or_insert_with(|| value.name().to_owned());
            }
            (Scalar::Enum(known), Kind::Text)
        }
        // Messages are no scalars; callers have looked.
        Type::Bytes | Type::Message(_) => (Scalar::Bytes, Kind::Bytes),
    }
}

/// A default that a field declares.
fn absent_of(value: &Value, kind: &Type) -> Absent {
    match (value, kind) {
        (Value::Bool(value), _) => Absent::Bool(*value),
        (Value::I32(value), _) => Absent::Whole((*value).into()),
        (Value::I64(value), _) => Absent::Whole(*value),
        (Value::U32(value), _) => Absent::Whole((*value).into()),
        (Value::U64(value), _) => Absent::Unsigned(*value),
        (Value::F32(value), _) => Absent::Float((*value).into()),
        (Value::F64(value), _) => Absent::Float(*value),
        (Value::String(text), _) => Absent::Text(text.clone()),
        (Value::Bytes(bytes), _) => Absent::Bytes(bytes.to_vec()),
        (Value::EnumNumber(number), Type::Enum(names)) => {
            let name = names.get_value(*number).map_or_else(|| number.to_string(), |value| value.name().to_owned());
            Absent::Enum(*number, name)
        }
        _ => Absent::Null,
    }
}

fn columns_of(targets: &[Target]) -> Vec<usize> {
    let columns = targets.iter().flat_map(|target| match target {
        Target::Column(at, ..) => vec![*at],
        Target::Inner(inner) => inner.columns.clone(),
    });
    columns.collect()
}

#[cold]
fn no_fields(field: &FieldDescriptor, path: &str, columns: &[Wanted<'_>]) -> String {
    let name = columns.first().map_or_else(String::new, |column| column.path.join("."));
    format!("there is no '{path}{name}': '{}' is {}", path.trim_end_matches('.'), describe(field))
}

#[cold]
fn lacks(message: &MessageDescriptor, path: &str, name: &str) -> String {
    let names: Vec<String> = message.fields().map(|field| field.name().to_owned()).collect();
    let there = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean '{near}'?"),
        None if names.is_empty() => "no fields are in it".to_owned(),
        None => format!("there are {}", names.join(", ")),
    };
    format!("there is no '{path}' in the message {} ({there})", message.full_name())
}
