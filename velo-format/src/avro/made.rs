//! A schema for the columns of a sink, where there is none to write by.
//!
//! | column | Avro |
//! |---|---|
//! | BOOLEAN, REAL, DOUBLE, STRING, JSON, BYTES | boolean, float, double, string, string, bytes |
//! | TINYINT, SMALLINT, INT and the unsigned ones that fit | int |
//! | BIGINT, INT UNSIGNED | long |
//! | BIGINT UNSIGNED, DECIMAL | bytes, decimal |
//! | DATE, TIME, TIMESTAMP, TIMESTAMP(9) | date, time-micros, timestamp-micros, timestamp-nanos |
//! | INTERVAL | fixed, duration |
//! | ARRAY, STRUCT | array, record |
//! | MAP | map; an array of pairs where keys are no STRING |
//!
//! A column that can be NULL is a union of null and its type, and null by default.

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use serde_json::{Map, Value, json};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::types::sql_name_of;

use super::schema::is_name;

/// The text of a schema for `columns`: a record called `name` (`com.example.Trade`).
///
/// # Errors
///
/// Where a column has a name or a type that Avro does not have.
pub fn schema_of_columns(name: &str, columns: &Fields) -> Result<String, ConnectorError> {
    let mut making = Making { name, records: 0, durations: 0 };
    Ok(making.record(&record_name(name), columns, "").map_err(no_form)?.to_string())
}

/// The same for Debezium's envelopes of such rows.
///
/// # Errors
///
/// As [`schema_of_columns`].
pub fn envelope_schema(name: &str, columns: &Fields) -> Result<String, ConnectorError> {
    let mut making = Making { name, records: 0, durations: 0 };
    let outer = record_name(name);
    let row = making.record(&format!("{outer}.Value"), columns, "").map_err(no_form)?;
    let text = json!({
        "type": "record",
        "name": "Envelope",
        "namespace": outer,
        "fields": [
            {"name": "before", "type": ["null", row], "default": null},
            {"name": "after", "type": ["null", format!("{outer}.Value")], "default": null},
            {"name": "op", "type": "string"},
        ],
    });
    Ok(text.to_string())
}

#[cold]
fn no_form(why: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Configuration, "making an Avro schema", why)
        .advise("rename or cast the column in the query")
}

/// A name that Avro takes, as near as can be: what it does not take is `_`.
fn record_name(name: &str) -> String {
    let parts = name.split('.').filter(|part| !part.is_empty()).map(|part| {
        let mut clean: String =
            part.chars().map(|each| if each.is_ascii_alphanumeric() { each } else { '_' }).collect();
        if clean.starts_with(|first: char| first.is_ascii_digit()) {
            clean.insert(0, '_');
        }
        clean
    });
    let made = parts.collect::<Vec<_>>().join(".");
    if made.is_empty() { "record".to_owned() } else { made }
}

struct Making<'a> {
    name: &'a str,
    records: usize,
    durations: usize,
}

impl Making<'_> {
    fn record(&mut self, name: &str, columns: &Fields, inside: &str) -> Result<Value, String> {
        let mut fields = Vec::new();
        for column in columns {
            if !is_name(column.name()) {
                let path = format!("{inside}{}", column.name());
                return Err(format!("'{path}' is no name in Avro: letters, digits and _ are, and no digit first"));
            }
            let ty = self.of(column, inside)?;
            let mut field = Map::new();
            field.insert("name".to_owned(), column.name().clone().into());
            field.insert("type".to_owned(), ty);
            if column.is_nullable() {
                field.insert("default".to_owned(), Value::Null);
            }
            fields.push(Value::Object(field));
        }
        Ok(json!({"type": "record", "name": name, "fields": fields}))
    }

    /// The type of a column, with null where it can be that.
    fn of(&mut self, column: &Field, inside: &str) -> Result<Value, String> {
        let ty = self.plain(column, inside)?;
        Ok(if column.is_nullable() { json!(["null", ty]) } else { ty })
    }

    fn plain(&mut self, column: &Field, inside: &str) -> Result<Value, String> {
        let path = || format!("{inside}{}", column.name());
        let mut inner_name = || {
            self.records += 1;
            // Names of types are unique in a schema.
            format!("{}_{}_{}", record_name(self.name), record_name(column.name()), self.records)
        };
        Ok(match column.data_type() {
            DataType::Boolean => json!("boolean"),
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => json!("int"),
            DataType::Int64 | DataType::UInt32 => json!("long"),
            DataType::UInt64 => json!({"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 0}),
            DataType::Float32 => json!("float"),
            DataType::Float64 => json!("double"),
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
            }
            DataType::Utf8 => json!("string"),
            DataType::Binary => json!("bytes"),
            DataType::Date32 => json!({"type": "int", "logicalType": "date"}),
            DataType::Time64(_) => json!({"type": "long", "logicalType": "time-micros"}),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => json!({"type": "long", "logicalType": "timestamp-nanos"}),
            DataType::Timestamp(..) => json!({"type": "long", "logicalType": "timestamp-micros"}),
            DataType::Interval(_) => {
                self.durations += 1;
                if self.durations > 1 {
                    // It is defined once and then named.
                    return Ok(json!("velo.duration"));
                }
                json!({"type": "fixed", "name": "velo.duration", "size": 12, "logicalType": "duration"})
            }
            DataType::List(item) => {
                let items = self.of(item, &format!("{}.", path()))?;
                json!({"type": "array", "items": items})
            }
            DataType::Struct(fields) => {
                let name = inner_name();
                self.record(&name, fields, &format!("{}.", path()))?
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 && *fields[0].data_type() == DataType::Utf8 => {
                    let values = self.of(&fields[1], &format!("{}.", path()))?;
                    json!({"type": "map", "values": values})
                }
                DataType::Struct(fields) if fields.len() == 2 => {
                    let name = inner_name();
                    let pair = self.record(&name, fields, &format!("{}.", path()))?;
                    json!({"type": "array", "items": pair})
                }
                _ => return Err(format!("'{}' is a map without keys and values", path())),
            },
            _ => return Err(format!("'{}' has a type that Avro has no form for: {}", path(), sql_name_of(column))),
        })
    }
}
