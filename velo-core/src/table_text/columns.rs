//! Text to columns.

use std::str::FromStr;
use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, ListArray, MapArray, NullArray, PrimitiveArray,
    StringArray, StructArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};
use serde_json::Value;

use super::times::{parse_date, parse_interval, parse_time, parse_timestamp};
use crate::decimal::{self, DecimalError};
use crate::types;

/// A column, or the row and what is wrong with it.
pub(super) type BuildResult = Result<ArrayRef, (usize, String)>;

/// The column of `field` that the cells write.
pub(super) fn build(field: &Field, cells: &[Option<String>]) -> BuildResult {
    Ok(match field.data_type() {
        DataType::Null => Arc::new(NullArray::new(cells.len())),
        DataType::Boolean => {
            let parse = |text: &str| bool::from_str(text).map_err(|_| format!("'{text}' is neither true nor false"));
            Arc::new(each(cells, parse)?.into_iter().collect::<BooleanArray>())
        }
        DataType::Int8 => numbers::<Int8Type>(field, cells)?,
        DataType::Int16 => numbers::<Int16Type>(field, cells)?,
        DataType::Int32 => numbers::<Int32Type>(field, cells)?,
        DataType::Int64 => numbers::<Int64Type>(field, cells)?,
        DataType::UInt8 => numbers::<UInt8Type>(field, cells)?,
        DataType::UInt16 => numbers::<UInt16Type>(field, cells)?,
        DataType::UInt32 => numbers::<UInt32Type>(field, cells)?,
        DataType::UInt64 => numbers::<UInt64Type>(field, cells)?,
        DataType::Float32 => numbers::<Float32Type>(field, cells)?,
        DataType::Float64 => numbers::<Float64Type>(field, cells)?,
        DataType::Decimal128(precision, scale) => primitives::<Decimal128Type>(field, cells, |text| {
            exact(text, *scale)?;
            decimal::parse_i128(text.as_bytes(), *precision, *scale).map_err(|error| no_decimal(text, field, error))
        })?,
        DataType::Decimal256(precision, scale) => primitives::<Decimal256Type>(field, cells, |text| {
            exact(text, *scale)?;
            decimal::parse_i256(text.as_bytes(), *precision, *scale).map_err(|error| no_decimal(text, field, error))
        })?,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let text: StringArray = cells.iter().map(Option::as_deref).collect();
            recast(Arc::new(text), field)?
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let bytes = each(cells, parse_hex)?;
            let bytes: BinaryArray = bytes.iter().map(Option::as_deref).collect();
            recast(Arc::new(bytes), field)?
        }
        DataType::Date32 => primitives::<Date32Type>(field, cells, |text| {
            parse_date(text)
                .and_then(|days| i32::try_from(days).ok())
                .ok_or_else(|| format!("'{text}' is no date such as 2024-01-31"))
        })?,
        DataType::Time64(TimeUnit::Microsecond) => primitives::<Time64MicrosecondType>(field, cells, |text| {
            let nanos = parse_time(text).ok_or_else(|| format!("'{text}' is no time such as 09:30:00"))?;
            Ok(nanos / 1_000)
        })?,
        DataType::Timestamp(unit, _) => {
            let parse = |text: &str| parse_timestamp(text, *unit);
            match unit {
                TimeUnit::Second => primitives::<TimestampSecondType>(field, cells, parse)?,
                TimeUnit::Millisecond => primitives::<TimestampMillisecondType>(field, cells, parse)?,
                TimeUnit::Microsecond => primitives::<TimestampMicrosecondType>(field, cells, parse)?,
                TimeUnit::Nanosecond => primitives::<TimestampNanosecondType>(field, cells, parse)?,
            }
        }
        DataType::Interval(_) => primitives::<IntervalMonthDayNanoType>(field, cells, |text| {
            parse_interval(text).ok_or_else(|| format!("'{text}' is no ISO 8601 duration such as P1DT2H"))
        })?,
        DataType::List(element) => build_list(element, cells)?,
        DataType::Struct(fields) => build_struct(fields, cells)?,
        DataType::Map(entries, ordered) => build_map(entries, *ordered, cells)?,
        other => return Err((0, format!("text is not read as {}", types::sql_name(other)))),
    })
}

fn recast(array: ArrayRef, field: &Field) -> BuildResult {
    if array.data_type() == field.data_type() {
        return Ok(array);
    }
    arrow_cast::cast(&array, field.data_type()).map_err(|error| (0, error.to_string()))
}

fn each<T>(
    cells: &[Option<String>],
    mut parse: impl FnMut(&str) -> Result<T, String>,
) -> Result<Vec<Option<T>>, (usize, String)> {
    let one = |(row, cell): (usize, &Option<String>)| {
        cell.as_deref().map(&mut parse).transpose().map_err(|message| (row, message))
    };
    cells.iter().enumerate().map(one).collect()
}

fn primitives<T: ArrowPrimitiveType>(
    field: &Field,
    cells: &[Option<String>],
    parse: impl FnMut(&str) -> Result<T::Native, String>,
) -> BuildResult {
    let values = each(cells, parse)?;
    Ok(Arc::new(values.into_iter().collect::<PrimitiveArray<T>>().with_data_type(field.data_type().clone())))
}

fn numbers<T: ArrowPrimitiveType<Native: FromStr>>(field: &Field, cells: &[Option<String>]) -> BuildResult {
    primitives::<T>(field, cells, |text| {
        text.parse().map_err(|_| format!("'{text}' is no {}", types::sql_name(field.data_type())))
    })
}

/// Refuses digits that the scale cannot hold: an expectation must not be rounded until it fits.
fn exact(text: &str, scale: i8) -> Result<(), String> {
    let digits = text.split_once('.').map_or("", |(_, digits)| digits).trim_end_matches('0');
    if !text.contains(['e', 'E']) && digits.len() > usize::try_from(scale).unwrap_or(0) {
        return Err(format!("'{text}' has more than {scale} digits behind the point"));
    }
    Ok(())
}

fn no_decimal(text: &str, field: &Field, error: DecimalError) -> String {
    let name = types::sql_name(field.data_type());
    match error {
        DecimalError::Syntax => format!("'{text}' is no {name}"),
        DecimalError::Overflow => format!("'{text}' does not fit into {name}"),
    }
}

fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("'{text}' is not bytes such as 0x00ff");
    let digits =
        text.strip_prefix("0x").filter(|digits| digits.len() % 2 == 0 && digits.is_ascii()).ok_or_else(wrong)?;
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong())).collect()
}

/// Parses each cell as JSON; `None` is NULL.
fn json_cells(cells: &[Option<String>]) -> Result<Vec<Option<Value>>, (usize, String)> {
    each(cells, |text| serde_json::from_str(text).map_err(|error| format!("'{text}' is no JSON: {error}")))
}

/// A JSON value as the text of a cell.
fn cell_of(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

fn build_list(element: &FieldRef, cells: &[Option<String>]) -> BuildResult {
    let (mut flat, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for (row, value) in json_cells(cells)?.into_iter().enumerate() {
        valid.push(value.is_some());
        match value {
            None => lengths.push(0),
            Some(Value::Array(items)) => {
                lengths.push(items.len());
                flat.extend(items.into_iter().map(cell_of));
            }
            Some(other) => return Err((row, format!("'{other}' is no JSON array"))),
        }
    }
    let values = build(element, &flat).map_err(|(_, message)| (0, message))?;
    let list = ListArray::try_new(
        Arc::clone(element),
        OffsetBuffer::from_lengths(lengths),
        values,
        Some(NullBuffer::from(valid)),
    );
    Ok(Arc::new(list.map_err(|error| (0, error.to_string()))?))
}

fn build_struct(fields: &Fields, cells: &[Option<String>]) -> BuildResult {
    let mut values = json_cells(cells)?;
    let valid: Vec<bool> = values.iter().map(Option::is_some).collect();
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        let take = |value: &mut Option<Value>| value.as_mut()?.get_mut(field.name()).map(Value::take).and_then(cell_of);
        columns.push(build(field, &values.iter_mut().map(take).collect::<Vec<_>>())?);
    }
    let array = StructArray::try_new_with_length(fields.clone(), columns, Some(NullBuffer::from(valid)), cells.len());
    Ok(Arc::new(array.map_err(|error| (0, error.to_string()))?))
}

fn build_map(entries: &FieldRef, ordered: bool, cells: &[Option<String>]) -> BuildResult {
    let DataType::Struct(fields) = entries.data_type() else { return Err((0, "a map has entries".to_owned())) };
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    let (mut lengths, mut valid) = (Vec::new(), Vec::new());
    for (row, value) in json_cells(cells)?.into_iter().enumerate() {
        valid.push(value.is_some());
        match value {
            None => lengths.push(0),
            Some(Value::Object(items)) => {
                lengths.push(items.len());
                for (key, value) in items {
                    keys.push(Some(key));
                    values.push(cell_of(value));
                }
            }
            Some(other) => return Err((row, format!("'{other}' is no JSON object"))),
        }
    }
    let whole = |(_, message): (usize, String)| (0, message);
    let columns = vec![build(&fields[0], &keys).map_err(whole)?, build(&fields[1], &values).map_err(whole)?];
    let map = StructArray::try_new(fields.clone(), columns, None).and_then(|pairs| {
        let offsets = OffsetBuffer::from_lengths(lengths);
        MapArray::try_new(Arc::clone(entries), offsets, pairs, Some(NullBuffer::from(valid)), ordered)
    });
    Ok(Arc::new(map.map_err(|error| (0, error.to_string()))?))
}
