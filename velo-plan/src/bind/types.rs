//! Types as written to columns, and which type two types have in common.

use arrow_schema::{DataType, Field, Fields};
use velo_core::types;
use velo_sql::Diagnostic;
use velo_sql::ast::{DataType as SqlType, DataTypeKind};

use crate::codes;

/// The column that a declaration means.
pub fn field_of(name: &str, written: &SqlType, nullable: bool) -> Result<Field, Diagnostic> {
    if written.kind == DataTypeKind::Json {
        return Ok(types::json_field(name, nullable));
    }
    Ok(Field::new(name, arrow_type(written)?, nullable))
}

/// The Arrow type that a type means.
pub fn arrow_type(written: &SqlType) -> Result<DataType, Diagnostic> {
    Ok(match &written.kind {
        DataTypeKind::Boolean => DataType::Boolean,
        DataTypeKind::TinyInt => DataType::Int8,
        DataTypeKind::SmallInt => DataType::Int16,
        DataTypeKind::Int => DataType::Int32,
        DataTypeKind::BigInt => DataType::Int64,
        DataTypeKind::TinyIntUnsigned => DataType::UInt8,
        DataTypeKind::SmallIntUnsigned => DataType::UInt16,
        DataTypeKind::IntUnsigned => DataType::UInt32,
        DataTypeKind::BigIntUnsigned => DataType::UInt64,
        DataTypeKind::Real => DataType::Float32,
        DataTypeKind::Double => DataType::Float64,
        DataTypeKind::Decimal { precision, scale } => decimal_type(written, *precision, *scale)?,
        DataTypeKind::String { .. } | DataTypeKind::Json => DataType::Utf8,
        DataTypeKind::Bytes { .. } => DataType::Binary,
        DataTypeKind::Date => DataType::Date32,
        DataTypeKind::Time { .. } => types::TIME,
        DataTypeKind::Timestamp { precision: Some(7..), .. } => types::TIMESTAMP_NANOS,
        DataTypeKind::Timestamp { .. } => types::TIMESTAMP,
        DataTypeKind::Interval => types::INTERVAL,
        DataTypeKind::Array(element) => types::array(arrow_type(element)?),
        DataTypeKind::Map(key, value) => types::map(arrow_type(key)?, arrow_type(value)?),
        DataTypeKind::Struct(fields) => {
            let fields: Result<Vec<Field>, Diagnostic> =
                fields.iter().map(|field| field_of(&field.name.value, &field.data_type, !field.not_null)).collect();
            DataType::Struct(Fields::from(fields?))
        }
    })
}

/// Without parameters a DECIMAL has as many digits as fit in 128 bits, ten of them behind the point.
fn decimal_type(written: &SqlType, precision: Option<u8>, scale: Option<i8>) -> Result<DataType, Diagnostic> {
    let (precision, scale) = match (precision, scale) {
        (None, _) => (types::DECIMAL128_DIGITS, 10),
        (Some(precision), scale) => (precision, scale.unwrap_or(0)),
    };
    let fits = (1..=types::DECIMAL_DIGITS).contains(&precision) && (0..=precision as i8).contains(&scale);
    if !fits {
        return Err(Diagnostic::error(
            codes::TYPE_MISMATCH,
            written.span,
            format!(
                "DECIMAL({precision},{scale}) is no type: a DECIMAL has 1 to 76 digits, and at most all of them behind the point"
            ),
        ));
    }
    Ok(types::decimal(precision, scale))
}

fn whole_and_scale(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some((precision.saturating_sub(scale.unsigned_abs()), *scale))
        }
        DataType::UInt64 => Some((20, 0)),
        other if other.is_integer() => Some((19, 0)),
        _ => None,
    }
}

/// The type in which two values can be compared or be alternatives of each other.
pub fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Float32, Float64, Null, Timestamp};
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (Null, other) | (other, Null) => Some(other.clone()),
        (DataType::List(one), DataType::List(other)) => {
            common_type(one.data_type(), other.data_type()).map(types::array)
        }
        (Float32 | Float64, other) | (other, Float32 | Float64) if other.is_numeric() => Some(Float64),
        (Timestamp(a, _), Timestamp(b, _)) => {
            let nanos = [a, b].contains(&&arrow_schema::TimeUnit::Nanosecond);
            Some(if nanos { types::TIMESTAMP_NANOS } else { types::TIMESTAMP })
        }
        (time @ Timestamp(..), Date32) | (Date32, time @ Timestamp(..)) => Some(time.clone()),
        _ if left.is_integer() && right.is_integer() => {
            let signature =
                crate::functions::arithmetic::signature(crate::functions::arithmetic::Arithmetic::Add, left, right);
            // An unsigned BIGINT beside a signed one needs more than 64 bits to hold both.
            let mixed = (*left == DataType::UInt64) != (*right == DataType::UInt64)
                && !(left.is_unsigned_integer() && right.is_unsigned_integer());
            if mixed { Some(types::decimal(20, 0)) } else { signature.ok().map(|types| types.result) }
        }
        _ => {
            let ((whole_left, scale_left), (whole_right, scale_right)) =
                (whole_and_scale(left)?, whole_and_scale(right)?);
            let scale = scale_left.max(scale_right);
            let precision = whole_left.max(whole_right).saturating_add(scale.unsigned_abs()).min(types::DECIMAL_DIGITS);
            Some(types::decimal(precision, scale))
        }
    }
}
