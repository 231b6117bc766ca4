//! The schema that a record may bring: what its values are, beyond what JSON says.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields};
use serde_json::Value;
use velo_core::types;

use crate::value::EpochUnit;

/// What the schema says about a column of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A number of such units since 1970.
    Timestamp(EpochUnit),
    /// A number of such units since midnight.
    Time(EpochUnit),
    /// The base64 of a whole number of units of 10^-scale.
    Decimal(i32),
    /// The same with its scale beside it, as an object.
    ScaledDecimal,
}

/// One column of the row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RowField {
    pub(super) name: String,
    pub(super) meaning: Option<Meaning>,
    pub(super) data_type: FieldRef,
}

/// The columns of the row by the text of a schema, of an envelope or (some programs do that) of the row alone.
pub(super) fn row_fields(schema: &[u8]) -> Option<Vec<RowField>> {
    let schema: Value = serde_json::from_slice(schema).ok()?;
    let images = schema.get("fields")?.as_array()?;
    let image = |name: &str| images.iter().find(|field| field["field"] == name);
    let fields = match image("after").or_else(|| image("before")) {
        Some(image) => image.get("fields")?.as_array()?,
        None => images,
    };
    fields
        .iter()
        .map(|field| {
            let name = field.get("field")?.as_str()?;
            Some(RowField { name: name.to_owned(), meaning: meaning(field), data_type: field_of(name, field, 0)? })
        })
        .collect()
}

fn meaning(field: &Value) -> Option<Meaning> {
    use EpochUnit::{Micros, Millis, Nanos};
    Some(match field.get("name")?.as_str()? {
        "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => Meaning::Timestamp(Millis),
        "io.debezium.time.MicroTimestamp" => Meaning::Timestamp(Micros),
        "io.debezium.time.NanoTimestamp" => Meaning::Timestamp(Nanos),
        "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" => Meaning::Time(Millis),
        "io.debezium.time.MicroTime" => Meaning::Time(Micros),
        "io.debezium.time.NanoTime" => Meaning::Time(Nanos),
        "org.apache.kafka.connect.data.Decimal" => Meaning::Decimal(parameter(field, "scale")?),
        "io.debezium.data.VariableScaleDecimal" => Meaning::ScaledDecimal,
        _ => return None,
    })
}

/// Parameters of a type are texts.
fn parameter(field: &Value, name: &str) -> Option<i32> {
    field.get("parameters")?.get(name)?.as_str()?.parse().ok()
}

/// The column for a field of a row without declared columns.
fn field_of(name: &str, field: &Value, depth: usize) -> Option<FieldRef> {
    if depth > crate::json::DEPTH_LIMIT {
        return None;
    }
    let logical = field.get("name").and_then(Value::as_str).unwrap_or_default();
    if logical == "io.debezium.data.Json" {
        return Some(Arc::new(types::json_field(name, true)));
    }
    let data_type = match (meaning(field), logical) {
        (Some(Meaning::Timestamp(EpochUnit::Nanos)), _) => types::TIMESTAMP_NANOS,
        (Some(Meaning::Timestamp(_)), _) | (_, "io.debezium.time.ZonedTimestamp") => types::TIMESTAMP,
        (Some(Meaning::Time(_)), _) => types::TIME,
        (Some(Meaning::Decimal(scale)), _) => {
            let digits = parameter(field, "connect.decimal.precision").and_then(|digits| u8::try_from(digits).ok());
            decimal(digits, scale)
        }
        (_, "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date") => DataType::Date32,
        // Neither digits nor scale are known; its text would be base64.
        (Some(Meaning::ScaledDecimal), _) => decimal(None, 18),
        _ => match field.get("type")?.as_str()? {
            "boolean" => DataType::Boolean,
            "int8" => DataType::Int8,
            "int16" => DataType::Int16,
            "int32" => DataType::Int32,
            "int64" => DataType::Int64,
            "float" | "float32" => DataType::Float32,
            "double" | "float64" => DataType::Float64,
            "string" => DataType::Utf8,
            "bytes" => DataType::Binary,
            "array" => {
                let items = field_of("item", field.get("items")?, depth + 1)?;
                DataType::List(items)
            }
            "struct" => {
                let inner = field.get("fields")?.as_array()?.iter();
                let inner = inner.map(|inner| field_of(inner.get("field")?.as_str()?, inner, depth + 1));
                DataType::Struct(inner.collect::<Option<Fields>>()?)
            }
            // A map comes as an object or as an array of pairs.
            _ => return Some(Arc::new(types::json_field(name, true))),
        },
    };
    Some(Arc::new(Field::new(name, data_type, true)))
}

/// A DECIMAL that holds what has so many digits, `scale` of them behind the point.
fn decimal(digits: Option<u8>, scale: i32) -> DataType {
    let scale = u8::try_from(scale).unwrap_or(0);
    let digits = digits.unwrap_or(types::DECIMAL128_DIGITS).max(scale).max(1);
    types::decimal(digits.min(types::DECIMAL_DIGITS), scale.min(types::DECIMAL_DIGITS) as i8)
}
