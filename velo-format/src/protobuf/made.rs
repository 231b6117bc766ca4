//! A `.proto` file for the columns of a sink, where there is none to write by.
//!
//! | column | field |
//! |---|---|
//! | BOOLEAN, REAL, DOUBLE, STRING, JSON, BYTES | bool, float, double, string, string, bytes |
//! | TINYINT, SMALLINT, INT; BIGINT | int32; int64 |
//! | the unsigned ones of up to 32 bits; BIGINT UNSIGNED | uint32; uint64 |
//! | TIMESTAMP, TIMESTAMP(9) | `google.protobuf.Timestamp` |
//! | DECIMAL, DATE, TIME, INTERVAL | string, their text |
//! | STRUCT, ARRAY, MAP | message, `repeated`, `map` |
//!
//! Fields are `optional`, so that NULL is told from a default. A new version of a message keeps the numbers of the fields that it has
//! already, because records name fields by them alone; those of fields that it does not have any more are reserved.

use std::fmt::Write;

use arrow_schema::{DataType, Field, Fields};
use prost_reflect::{Kind, MessageDescriptor};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::types::sql_name_of;

/// The text of a `.proto` file for `columns`: a message called `name` (`shop.Order`).
///
/// # Errors
///
/// Where a column has a name or a type that Protocol buffers do not have.
pub fn proto_of_columns(name: &str, columns: &Fields) -> Result<String, ConnectorError> {
    made(name, columns, None)
}

/// The text of a `.proto` file for `columns` as a new version of the message `before`, which is the only one of its file.
///
/// # Errors
///
/// As [`proto_of_columns`].
pub fn proto_version_of_columns(before: &MessageDescriptor, columns: &Fields) -> Result<String, ConnectorError> {
    made(before.full_name(), columns, Some(before))
}

fn made(name: &str, columns: &Fields, before: Option<&MessageDescriptor>) -> Result<String, ConnectorError> {
    let clean = |text: &str| -> String {
        let made: String = text.chars().map(|each| if each.is_ascii_alphanumeric() { each } else { '_' }).collect();
        if made.starts_with(|first: char| first.is_ascii_digit()) { format!("_{made}") } else { made }
    };
    let parts: Vec<String> = name.split('.').filter(|part| !part.is_empty()).map(clean).collect();
    let (package, message) = match parts.split_last() {
        Some((last, before)) => (before.join("."), last.clone()),
        None => (String::new(), "Row".to_owned()),
    };
    let mut body = String::new();
    let mut times = false;
    push_message(&mut body, (&message, before), columns, 0, "", &mut times).map_err(|why| {
        ConnectorError::new(ErrorKind::Configuration, "making a Protobuf schema", why)
            .advise("rename or cast the column in the query")
    })?;
    let mut text = "syntax = \"proto3\";\n".to_owned();
    if !package.is_empty() {
        text.push_str(&format!("package {package};\n"));
    }
    if times {
        text.push_str("import \"google/protobuf/timestamp.proto\";\n");
    }
    Ok(text + &body)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The numbers that the protocol keeps for itself.
const RESERVED: std::ops::RangeInclusive<u32> = 19_000..=19_999;

/// The number of each column as a field: what it was before, or one that no field has had.
fn numbers(columns: &Fields, before: Option<&MessageDescriptor>) -> Vec<u32> {
    let Some(before) = before else {
        return (1..).filter(|number| !RESERVED.contains(number)).take(columns.len()).collect();
    };
    let used = before.fields().map(|field| field.number()).chain(before.reserved_ranges().map(|range| range.end - 1));
    let mut unused = (used.max().unwrap_or(0) + 1..).filter(|number| !RESERVED.contains(number));
    let number = |column: &std::sync::Arc<Field>| match before.get_field_by_name(column.name()) {
        Some(field) => Some(field.number()),
        None => unused.next(),
    };
    columns.iter().filter_map(number).collect()
}

/// The numbers and names of fields that are gone.
fn push_gone(out: &mut String, before: &MessageDescriptor, columns: &Fields, indent: &str) {
    let gone = before.fields().filter(|field| !columns.iter().any(|column| column.name() == field.name()));
    let gone: Vec<(String, String)> =
        gone.map(|field| (field.number().to_string(), format!("\"{}\"", field.name()))).collect();
    let ranges = before.reserved_ranges().map(|range| match range.end - 1 {
        last if last == range.start => last.to_string(),
        last => format!("{} to {last}", range.start),
    });
    let numbers: Vec<String> = ranges.chain(gone.iter().map(|(number, _)| number.clone())).collect();
    let again = |name: &str| columns.iter().any(|column| column.name() == name);
    let names = before.reserved_names().filter(|name| !again(name)).map(|name| format!("\"{name}\""));
    let names: Vec<String> = names.chain(gone.into_iter().map(|(_, name)| name)).collect();
    for list in [numbers, names].into_iter().filter(|list| !list.is_empty()) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{indent}  reserved {};", list.join(", "));
    }
}

fn push_message(
    out: &mut String,
    (name, before): (&str, Option<&MessageDescriptor>),
    columns: &Fields,
    depth: usize,
    inside: &str,
    times: &mut bool,
) -> Result<(), String> {
    let indent = "  ".repeat(depth);
    let mut fields = String::new();
    let mut nested = String::new();
    if let Some(before) = before {
        push_gone(&mut fields, before, columns, &indent);
    }
    for (column, number) in columns.iter().zip(numbers(columns, before)) {
        let path = format!("{inside}{}", column.name());
        if !is_name(column.name()) {
            return Err(format!(
                "'{path}' is no name in Protocol buffers: letters, digits and _ are, and a letter first"
            ));
        }
        let inner = before.and_then(|before| message_of(before, column.name()));
        let mut made = Making {
            nested: &mut nested,
            depth: depth + 1,
            times,
            message: format!("Type{number}"),
            path,
            before: inner,
        };
        let label = made.label(column)?;
        // Writing to a String cannot fail.
        let _ = writeln!(fields, "{indent}  {label} {} = {number};", column.name());
    }
    let _ = write!(out, "{indent}message {name} {{\n{nested}{fields}{indent}}}\n");
    Ok(())
}

/// The message that a field was, or whose values were in it.
fn message_of(message: &MessageDescriptor, field: &str) -> Option<MessageDescriptor> {
    let of = |kind: Kind| match kind {
        Kind::Message(message) => Some(message),
        _ => None,
    };
    let found = of(message.get_field_by_name(field)?.kind())?;
    if found.is_map_entry() { of(found.map_entry_value_field().kind()) } else { Some(found) }
}

struct Making<'a> {
    nested: &'a mut String,
    depth: usize,
    times: &'a mut bool,
    /// The name for a message that the field needs.
    message: String,
    path: String,
    /// That message in the version before.
    before: Option<MessageDescriptor>,
}

impl Making<'_> {
    /// What stands before the name of a field.
    fn label(&mut self, column: &Field) -> Result<String, String> {
        Ok(match column.data_type() {
            DataType::List(item) => format!("repeated {}", self.one(item)?),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(halves) if halves.len() == 2 => {
                    let key = self.one(&halves[0])?;
                    let countable = matches!(key.as_str(), "int32" | "int64" | "uint32" | "uint64" | "bool");
                    if !countable && *halves[0].data_type() != DataType::Utf8 {
                        return Err(format!(
                            "'{}' has keys of a type that no map has: {}",
                            self.path,
                            sql_name_of(&halves[0])
                        ));
                    }
                    format!("map<{key}, {}>", self.one(&halves[1])?)
                }
                _ => return Err(format!("'{}' is a map without keys and values", self.path)),
            },
            _ => format!("optional {}", self.one(column)?),
        })
    }

    fn one(&mut self, column: &Field) -> Result<String, String> {
        let name = match column.data_type() {
            DataType::Boolean => "bool",
            DataType::Int8 | DataType::Int16 | DataType::Int32 => "int32",
            DataType::Int64 => "int64",
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => "uint32",
            DataType::UInt64 => "uint64",
            DataType::Float32 => "float",
            DataType::Float64 => "double",
            DataType::Binary => "bytes",
            DataType::Timestamp(..) => {
                *self.times = true;
                "google.protobuf.Timestamp"
            }
            DataType::Utf8
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
            | DataType::Date32
            | DataType::Time64(_)
            | DataType::Interval(_) => "string",
            DataType::Struct(fields) => {
                let inside = format!("{}.", self.path);
                let message = (self.message.as_str(), self.before.as_ref());
                push_message(self.nested, message, fields, self.depth, &inside, self.times)?;
                return Ok(self.message.clone());
            }
            _ => {
                let found = sql_name_of(column);
                return Err(format!("'{}' has a type that Protocol buffers have no form for: {found}", self.path));
            }
        };
        Ok(name.to_owned())
    }
}
