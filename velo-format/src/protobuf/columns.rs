//! The columns of a message, for streams without declared ones.
//!
//! | field | column |
//! |---|---|
//! | bool, float, double, string, bytes | BOOLEAN, REAL, DOUBLE, STRING, BYTES |
//! | int32, sint32, sfixed32 | INT |
//! | int64, sint64, sfixed64, uint32, fixed32 | BIGINT |
//! | uint64, fixed64 | DECIMAL(20,0), which holds all of them |
//! | enum | STRING |
//! | `google.protobuf.Timestamp`, `Duration`, wrappers | TIMESTAMP(9), INTERVAL, the type within |
//! | `confluent.type.Decimal`, `google.type.Decimal` | DECIMAL(38,18) |
//! | message, `repeated`, `map` | STRUCT, ARRAY, MAP |
//! | `Struct`, `Value`, `ListValue`, `Any`, a message within itself or without fields | JSON |

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields};
use prost_reflect::{FieldDescriptor, Kind as Type, MessageDescriptor};
use velo_core::types;

use super::plan::wrapped;
use super::schema::ProtoSchema;

impl ProtoSchema {
    /// The columns of a message.
    pub fn columns(message: &MessageDescriptor) -> Fields {
        fields_of(message, &mut Vec::new())
    }
}

fn fields_of(message: &MessageDescriptor, around: &mut Vec<String>) -> Fields {
    around.push(message.full_name().to_owned());
    // As they are written, which may be another order than that of their numbers.
    let mut fields: Vec<FieldDescriptor> = message.fields().collect();
    fields.sort_by_key(|field| field.path().last().copied());
    let made = fields.iter().map(|field| column(field, around)).collect();
    around.pop();
    made
}

/// The column of a field; `around` are the messages that it stands in.
pub(super) fn column(field: &FieldDescriptor, around: &mut Vec<String>) -> FieldRef {
    let name = field.name();
    if field.is_map()
        && let Type::Message(entry) = field.kind()
    {
        let key = one(&entry.map_entry_key_field().kind(), around).unwrap_or(DataType::Utf8);
        let value = named("value", one(&entry.map_entry_value_field().kind(), around));
        let entries = Fields::from(vec![Arc::new(Field::new("key", key, false)), value]);
        let map = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false);
        return Arc::new(Field::new(name, map, true));
    }
    let made = one(&field.kind(), around);
    if field.is_list() {
        return Arc::new(Field::new(name, DataType::List(named("item", made)), true));
    }
    named(name, made)
}

fn named(name: &str, data_type: Option<DataType>) -> FieldRef {
    Arc::new(match data_type {
        Some(data_type) => Field::new(name, data_type, true),
        None => types::json_field(name, true),
    })
}

/// `None`: JSON.
fn one(kind: &Type, around: &mut Vec<String>) -> Option<DataType> {
    Some(match kind {
        Type::Double => DataType::Float64,
        Type::Float => DataType::Float32,
        Type::Int32 | Type::Sint32 | Type::Sfixed32 => DataType::Int32,
        Type::Int64 | Type::Sint64 | Type::Sfixed64 | Type::Uint32 | Type::Fixed32 => DataType::Int64,
        Type::Uint64 | Type::Fixed64 => types::decimal(20, 0),
        Type::Bool => DataType::Boolean,
        Type::String | Type::Enum(_) => DataType::Utf8,
        Type::Bytes => DataType::Binary,
        Type::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => types::TIMESTAMP_NANOS,
            "google.protobuf.Duration" => types::INTERVAL,
            "confluent.type.Decimal" | "google.type.Decimal" => types::decimal(38, 18),
            name if wrapped(name) => return one(&message.get_field(1)?.kind(), around),
            name if name.starts_with("google.protobuf.") => return None,
            name if around.iter().any(|outer| outer == name) || message.fields().len() == 0 => return None,
            _ => DataType::Struct(fields_of(message, around)),
        },
    })
}
