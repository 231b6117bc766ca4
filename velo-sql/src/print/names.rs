//! Names, texts, types and properties as SQL.

use crate::ast::{
    DataType, DataTypeKind, Ident, Interval, IntervalUnit, Literal, ObjectName, Properties, Property, StructField,
    TimeLiteralKind,
};
use crate::print::layout::Layout;

pub(super) fn ident(name: &Ident) -> String {
    if name.quoted { format!("\"{}\"", name.value.replace('"', "\"\"")) } else { name.value.clone() }
}

pub(super) fn object_name(name: &ObjectName) -> String {
    name.parts.iter().map(ident).collect::<Vec<_>>().join(".")
}

pub(super) fn idents(names: &[Ident]) -> String {
    names.iter().map(ident).collect::<Vec<_>>().join(", ")
}

pub(super) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

pub(super) fn properties(out: &mut Layout, properties: &Properties) {
    out.enclosed("WITH (", ")", |out| out.items(&properties.entries, |out, entry| out.text(property(entry))));
}

pub(super) fn property(entry: &Property) -> String {
    let key = if entry.key.quoted { text(&entry.key.text) } else { entry.key.text.clone() };
    let value = if entry.value.quoted { text(&entry.value.text) } else { entry.value.text.clone() };
    format!("{key} = {value}")
}

pub(super) fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Null => "NULL".to_owned(),
        Literal::Boolean(true) => "TRUE".to_owned(),
        Literal::Boolean(false) => "FALSE".to_owned(),
        Literal::Number(digits) => digits.clone(),
        Literal::String(value) => text(value),
        Literal::Bytes(digits) => format!("X'{digits}'"),
        Literal::Interval(found) => interval(found),
        Literal::Time { kind, text: value } => {
            let word = match kind {
                TimeLiteralKind::Date => "DATE",
                TimeLiteralKind::Time => "TIME",
                TimeLiteralKind::Timestamp => "TIMESTAMP",
            };
            format!("{word} {}", text(value))
        }
    }
}

fn interval(interval: &Interval) -> String {
    let sign = if interval.negative { "-" } else { "" };
    if interval.bare {
        let parts: String =
            interval.parts.iter().map(|part| format!("{}{}", part.amount, short_unit(part.unit))).collect();
        return format!("{sign}{parts}");
    }
    match interval.parts.as_slice() {
        [only] => format!("INTERVAL {sign}'{}' {}", only.amount, unit(only.unit).to_uppercase()),
        parts => {
            let parts: Vec<String> = parts
                .iter()
                .map(|part| format!("{} {}{}", part.amount, unit(part.unit), if part.amount == "1" { "" } else { "s" }))
                .collect();
            format!("INTERVAL {sign}'{}'", parts.join(" "))
        }
    }
}

fn unit(unit: IntervalUnit) -> &'static str {
    match unit {
        IntervalUnit::Nanosecond => "nanosecond",
        IntervalUnit::Microsecond => "microsecond",
        IntervalUnit::Millisecond => "millisecond",
        IntervalUnit::Second => "second",
        IntervalUnit::Minute => "minute",
        IntervalUnit::Hour => "hour",
        IntervalUnit::Day => "day",
        IntervalUnit::Week => "week",
        IntervalUnit::Month => "month",
        IntervalUnit::Quarter => "quarter",
        IntervalUnit::Year => "year",
    }
}

fn short_unit(unit: IntervalUnit) -> &'static str {
    match unit {
        IntervalUnit::Nanosecond => "ns",
        IntervalUnit::Microsecond => "us",
        IntervalUnit::Millisecond => "ms",
        IntervalUnit::Second => "s",
        IntervalUnit::Minute => "m",
        IntervalUnit::Hour => "h",
        IntervalUnit::Day => "d",
        IntervalUnit::Week => "w",
        IntervalUnit::Month => "mon",
        IntervalUnit::Quarter => "quarter",
        IntervalUnit::Year => "y",
    }
}

pub(super) fn data_type(data_type: &DataType) -> String {
    match &data_type.kind {
        DataTypeKind::Boolean => "BOOLEAN".to_owned(),
        DataTypeKind::TinyInt => "TINYINT".to_owned(),
        DataTypeKind::SmallInt => "SMALLINT".to_owned(),
        DataTypeKind::Int => "INT".to_owned(),
        DataTypeKind::BigInt => "BIGINT".to_owned(),
        DataTypeKind::TinyIntUnsigned => "TINYINT UNSIGNED".to_owned(),
        DataTypeKind::SmallIntUnsigned => "SMALLINT UNSIGNED".to_owned(),
        DataTypeKind::IntUnsigned => "INT UNSIGNED".to_owned(),
        DataTypeKind::BigIntUnsigned => "BIGINT UNSIGNED".to_owned(),
        DataTypeKind::Real => "REAL".to_owned(),
        DataTypeKind::Double => "DOUBLE".to_owned(),
        DataTypeKind::Decimal { precision: Some(precision), scale: Some(scale) } => {
            format!("DECIMAL({precision}, {scale})")
        }
        DataTypeKind::Decimal { precision: Some(precision), scale: None } => format!("DECIMAL({precision})"),
        DataTypeKind::Decimal { precision: None, .. } => "DECIMAL".to_owned(),
        DataTypeKind::String { length: Some(length) } => format!("VARCHAR({length})"),
        DataTypeKind::String { length: None } => "STRING".to_owned(),
        DataTypeKind::Bytes { length: Some(length) } => format!("VARBINARY({length})"),
        DataTypeKind::Bytes { length: None } => "BYTES".to_owned(),
        DataTypeKind::Date => "DATE".to_owned(),
        DataTypeKind::Time { precision } => format!("TIME{}", digits(*precision)),
        DataTypeKind::Timestamp { precision, zoned: true } => format!("TIMESTAMP_LTZ{}", digits(*precision)),
        DataTypeKind::Timestamp { precision, zoned: false } => format!("TIMESTAMP{}", digits(*precision)),
        DataTypeKind::Interval => "INTERVAL".to_owned(),
        DataTypeKind::Array(item) => format!("ARRAY<{}>", self::data_type(item)),
        DataTypeKind::Map(key, value) => format!("MAP<{}, {}>", self::data_type(key), self::data_type(value)),
        DataTypeKind::Struct(fields) => format!("STRUCT<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", ")),
        DataTypeKind::Json => "JSON".to_owned(),
    }
}

fn digits(precision: Option<u8>) -> String {
    precision.map(|precision| format!("({precision})")).unwrap_or_default()
}

fn field(field: &StructField) -> String {
    let not_null = if field.not_null { " NOT NULL" } else { "" };
    format!("{} {}{not_null}", ident(&field.name), data_type(&field.data_type))
}
