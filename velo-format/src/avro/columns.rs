//! The columns of a schema, for streams without declared ones.
//!
//! | Avro | column |
//! |---|---|
//! | boolean, int, long, float, double, string, bytes, fixed | BOOLEAN, INT, BIGINT, REAL, DOUBLE, STRING, BYTES, BYTES |
//! | decimal | DECIMAL; STRING where it has over 76 digits |
//! | date, time-…, timestamp-… and local-timestamp-… | DATE, TIME, TIMESTAMP; TIMESTAMP(9) of nanoseconds |
//! | uuid, enum | STRING |
//! | duration | INTERVAL |
//! | array, map, record | ARRAY, MAP, STRUCT |
//! | union with null | the other type |
//! | any other union, a record within itself | JSON |
//!
//! Every column may hold NULL, because a later schema may give it one.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields};
use velo_core::types;

use super::schema::{AvroSchema, Logical, Type};

impl AvroSchema {
    /// The columns of its records. A schema that is no record is one column, `value`.
    pub fn columns(&self) -> Fields {
        match self.at(self.root) {
            Type::Record { .. } => self.fields_of(self.root, &mut Vec::new()),
            _ => Fields::from(vec![self.field("value", self.root, &mut Vec::new())]),
        }
    }

    /// The columns of a record.
    pub(crate) fn fields_of(&self, record: usize, around: &mut Vec<usize>) -> Fields {
        let Type::Record { fields, .. } = self.at(record) else { return Fields::empty() };
        around.push(record);
        let made = fields.iter().map(|field| self.field(&field.name, field.ty, around)).collect();
        around.pop();
        made
    }

    /// The column of a field. `around` are the records that it stands in.
    pub(crate) fn field(&self, name: &str, ty: usize, around: &mut Vec<usize>) -> FieldRef {
        match self.data_type(ty, around) {
            Some(data_type) => Arc::new(Field::new(name, data_type, true)),
            None => Arc::new(types::json_field(name, true)),
        }
    }

    /// `None`: JSON.
    fn data_type(&self, ty: usize, around: &mut Vec<usize>) -> Option<DataType> {
        let decimal = |precision: usize, scale: usize| match (u8::try_from(precision), i8::try_from(scale)) {
            (Ok(precision), Ok(scale)) if precision <= types::DECIMAL_DIGITS => types::decimal(precision, scale),
            _ => DataType::Utf8,
        };
        Some(match self.at(ty) {
            Type::Boolean => DataType::Boolean,
            Type::Int(Logical::Date) => DataType::Date32,
            Type::Int(Logical::Time(_)) | Type::Long(Logical::Time(_)) => types::TIME,
            Type::Int(_) => DataType::Int32,
            Type::Long(Logical::Timestamp(9)) => types::TIMESTAMP_NANOS,
            Type::Long(Logical::Timestamp(_)) | Type::String(Logical::ZonedTimestamp) => types::TIMESTAMP,
            Type::Long(_) => DataType::Int64,
            Type::Float => DataType::Float32,
            Type::Double => DataType::Float64,
            Type::Bytes(Logical::Decimal { precision, scale })
            | Type::Fixed { logical: Logical::Decimal { precision, scale }, .. } => decimal(*precision, *scale),
            Type::String(Logical::Json) => return None,
            Type::Null | Type::String(_) | Type::Enum { .. } => DataType::Utf8,
            Type::Fixed { logical: Logical::Uuid, .. } => DataType::Utf8,
            Type::Fixed { logical: Logical::Duration, .. } => types::INTERVAL,
            Type::Bytes(_) | Type::Fixed { .. } => DataType::Binary,
            Type::Array(item) => DataType::List(self.field("item", *item, around)),
            Type::Map(value) => {
                let value = self.field("value", *value, around);
                let entries = Fields::from(vec![Arc::new(Field::new("key", DataType::Utf8, false)), value]);
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
            }
            Type::Union(branches) => {
                let mut values = branches.iter().filter(|branch| !matches!(self.at(**branch), Type::Null));
                match (values.next(), values.next()) {
                    (Some(only), None) => return self.data_type(*only, around),
                    (None, _) => DataType::Utf8,
                    _ => return None,
                }
            }
            // Neither digits nor scale are known.
            Type::Record { logical: Logical::ScaledDecimal, .. } => types::decimal(types::DECIMAL128_DIGITS, 18),
            Type::Record { fields, .. } if !fields.is_empty() && !around.contains(&ty) => {
                DataType::Struct(self.fields_of(ty, around))
            }
            Type::Record { .. } => return None,
        })
    }
}
