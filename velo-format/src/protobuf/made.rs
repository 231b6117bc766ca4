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
//! Fields are `optional`, so that NULL is told from a default.

use std::fmt::Write;

use arrow_schema::{DataType, Field, Fields};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::types::sql_name_of;

/// The text of a `.proto` file for `columns`: a message called `name` (`shop.Order`).
///
/// # Errors
///
/// Where a column has a name or a type that Protocol buffers do not have.
pub fn proto_of_columns(name: &str, columns: &Fields) -> Result<String, ConnectorError> {
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
    push_message(&mut body, &message, columns, 0, "", &mut times).map_err(|why| {
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

fn push_message(
    out: &mut String,
    name: &str,
    columns: &Fields,
    depth: usize,
    inside: &str,
    times: &mut bool,
) -> Result<(), String> {
    let indent = "  ".repeat(depth);
    let mut fields = String::new();
    let mut nested = String::new();
    for (at, column) in columns.iter().enumerate() {
        let path = format!("{inside}{}", column.name());
        if !is_name(column.name()) {
            return Err(format!(
                "'{path}' is no name in Protocol buffers: letters, digits and _ are, and a letter first"
            ));
        }
        let mut made =
            Making { nested: &mut nested, depth: depth + 1, times, message: format!("Type{}", at + 1), path };
        let label = made.label(column)?;
        // Writing to a String cannot fail.
        let _ = writeln!(fields, "{indent}  {label} {} = {};", column.name(), at + 1);
    }
    let _ = write!(out, "{indent}message {name} {{\n{nested}{fields}{indent}}}\n");
    Ok(())
}

struct Making<'a> {
    nested: &'a mut String,
    depth: usize,
    times: &'a mut bool,
    /// The name for a message that the field needs.
    message: String,
    path: String,
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
                push_message(self.nested, &self.message, fields, self.depth, &inside, self.times)?;
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
