//! SQL types and their Arrow forms.
//!
//! | SQL | Arrow |
//! |---|---|
//! | STRING, TEXT, VARCHAR | `Utf8` |
//! | JSON | `Utf8` with the field metadata `velo.type` = `json` |
//! | TIMESTAMP | `Timestamp(Microsecond, None)`, in UTC |
//! | TIMESTAMP(9) | `Timestamp(Nanosecond, None)`, in UTC |
//! | DECIMAL(p, s) | `Decimal128` up to 38 digits, `Decimal256` up to 76 |
//! | INTERVAL | `Interval(MonthDayNano)` |
//! | ARRAY<T>, MAP<K, V>, STRUCT<…> | `List`, `Map`, `Struct` |

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, IntervalUnit, TimeUnit};

/// The metadata key that tells types apart that Arrow stores alike.
pub const TYPE_KEY: &str = "velo.type";

/// TIMESTAMP.
pub const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
/// TIMESTAMP(9).
pub const TIMESTAMP_NANOS: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);
/// TIME, in microseconds since midnight.
pub const TIME: DataType = DataType::Time64(TimeUnit::Microsecond);
/// INTERVAL.
pub const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
/// The most digits of a DECIMAL that fits in 128 bits.
pub const DECIMAL128_DIGITS: u8 = 38;
/// The most digits of a DECIMAL.
pub const DECIMAL_DIGITS: u8 = 76;

/// DECIMAL(precision, scale) in the smaller form that holds it.
pub fn decimal(precision: u8, scale: i8) -> DataType {
    if precision <= DECIMAL128_DIGITS {
        DataType::Decimal128(precision, scale)
    } else {
        DataType::Decimal256(precision, scale)
    }
}

/// ARRAY<element>.
pub fn array(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, true)))
}

/// MAP<key, value>.
pub fn map(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// A JSON column.
pub fn json_field(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable).with_metadata(HashMap::from([(TYPE_KEY.to_owned(), "json".to_owned())]))
}

/// Whether a column is JSON rather than STRING.
pub fn is_json(field: &Field) -> bool {
    field.metadata().get(TYPE_KEY).is_some_and(|kind| kind == "json")
}

/// A field's type as SQL writes it.
pub fn sql_name_of(field: &Field) -> String {
    if is_json(field) { "JSON".to_owned() } else { sql_name(field.data_type()) }
}

/// A type as SQL writes it.
pub fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "NULL".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "TINYINT UNSIGNED".to_owned(),
        DataType::UInt16 => "SMALLINT UNSIGNED".to_owned(),
        DataType::UInt32 => "INT UNSIGNED".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("DECIMAL({precision},{scale})")
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".to_owned(),
        DataType::Date32 | DataType::Date64 => "DATE".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".to_owned(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "TIMESTAMP(9)".to_owned(),
        DataType::Timestamp(..) => "TIMESTAMP".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".to_owned(),
        DataType::List(element) | DataType::LargeList(element) => format!("ARRAY<{}>", sql_name_of(element)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                format!("MAP<{}, {}>", sql_name_of(&fields[0]), sql_name_of(&fields[1]))
            }
            _ => "MAP".to_owned(),
        },
        DataType::Struct(fields) => {
            let parts = fields.iter().map(|f| format!("{} {}", f.name(), sql_name_of(f))).collect::<Vec<_>>();
            format!("STRUCT<{}>", parts.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(sql_name(&decimal(18, 4)), "DECIMAL(18,4)");
        assert_eq!(sql_name(&map(DataType::Utf8, array(DataType::Int64))), "MAP<STRING, ARRAY<BIGINT>>");
        assert_eq!(sql_name_of(&json_field("doc", true)), "JSON");
    }
}
