//! Columns as the library reads them to columns as they are declared.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, ListArray, MapArray, PrimitiveArray, StructArray, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, Fields, TimeUnit};
use velo_core::types::{is_json, sql_name_of};

use super::types::field_at;
use crate::error::{ValueError, show};

/// Why a value cannot be in its column.
pub(super) type Refusal = String;

/// The values of `array` as a column of `to`, which [`super::types::fits`] allows. Errors where one of them does not fit.
pub(super) fn convert(array: &ArrayRef, to: &Field) -> Result<ArrayRef, Refusal> {
    if !to.is_nullable() && array.null_count() > 0 {
        return Err(ValueError::Null.message(b"", to));
    }
    if is_json(to) {
        return json(array, to);
    }
    if array.data_type() == to.data_type() {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), to.data_type()) {
        (DataType::Timestamp(unit, _), DataType::Timestamp(wanted, None)) => timestamps(array, *unit, *wanted, to),
        (DataType::Time32(_) | DataType::Time64(_), DataType::Time64(TimeUnit::Microsecond)) => times(array, to),
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            let items = convert(list.values(), item)?;
            let made = ListArray::try_new(Arc::clone(item), list.offsets().clone(), items, list.nulls().cloned());
            Ok(Arc::new(made.map_err(|error| error.to_string())?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let DataType::Struct(fields) = entries.data_type() else { return Err(of_another_kind(array, to)) };
            let [key, value] = fields.as_ref() else { return Err(of_another_kind(array, to)) };
            let columns = vec![convert(map.keys(), key)?, convert(map.values(), value)?];
            let pairs = StructArray::try_new(fields.clone(), columns, None);
            let made = pairs.and_then(|pairs| {
                let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
                MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted)
            });
            Ok(Arc::new(made.map_err(|error| error.to_string())?))
        }
        (DataType::Struct(found), DataType::Struct(wanted)) => structs(array.as_struct(), found, wanted),
        (DataType::Null, _) => Ok(new_null_array(to.data_type(), array.len())),
        _ => plain(array, to),
    }
}

/// What the library's own cast does exactly; a value that does not fit is an error.
fn plain(array: &ArrayRef, to: &Field) -> Result<ArrayRef, Refusal> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to.data_type(), &options).map_err(|error| match error {
        // Bytes that are no UTF-8.
        ArrowError::InvalidArgumentError(_) if to.data_type() == &DataType::Utf8 => {
            "the bytes are not UTF-8; declare the column BYTES".to_owned()
        }
        other => format!("a value is no {}: {other}", sql_name_of(to)),
    })
}

fn of_another_kind(array: &ArrayRef, to: &Field) -> Refusal {
    format!("{} is no {}", array.data_type(), sql_name_of(to))
}

fn json(array: &ArrayRef, to: &Field) -> Result<ArrayRef, Refusal> {
    let text = match array.data_type() {
        DataType::Utf8 => Arc::clone(array),
        _ => plain(array, to)?,
    };
    let Some(texts) = text.as_string_opt::<i32>() else { return Err(of_another_kind(array, to)) };
    for text in texts.iter().flatten() {
        crate::json::check(text.as_bytes()).map_err(|_| format!("{} is no JSON", show(text.as_bytes())))?;
    }
    Ok(text)
}

fn structs(array: &StructArray, found: &Fields, wanted: &Fields) -> Result<ArrayRef, Refusal> {
    let columns = wanted.iter().map(|field| match field_at(found, field.name()) {
        Some(at) => convert(array.column(at), field),
        None => Err(format!("there is no field '{}'", field.name())),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    if columns.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(array.len(), array.nulls().cloned())));
    }
    let made = StructArray::try_new(wanted.clone(), columns, array.nulls().cloned());
    Ok(Arc::new(made.map_err(|error| error.to_string())?))
}

/// A value of each row by `f`.
fn each<From: ArrowPrimitiveType, To: ArrowPrimitiveType<Native = i64>>(
    array: &ArrayRef,
    to: &Field,
    f: impl Fn(From::Native) -> Option<i64>,
) -> Result<ArrayRef, Refusal> {
    let Some(values) = array.as_primitive_opt::<From>() else { return Err(of_another_kind(array, to)) };
    let made: Result<PrimitiveArray<To>, Refusal> = values
        .try_unary(|value| f(value).ok_or_else(|| ValueError::OutOfRange.message(format!("{value:?}").as_bytes(), to)));
    Ok(Arc::new(made?))
}

fn timestamps(array: &ArrayRef, unit: TimeUnit, wanted: TimeUnit, to: &Field) -> Result<ArrayRef, Refusal> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let nanos = wanted == Nanosecond;
    let times = |value: i64, micros: i64| value.checked_mul(if nanos { micros.checked_mul(1_000)? } else { micros });
    macro_rules! made {
        ($from:ty, $f:expr) => {
            if nanos {
                each::<$from, TimestampNanosecondType>(array, to, $f)
            } else {
                each::<$from, TimestampMicrosecondType>(array, to, $f)
            }
        };
    }
    match unit {
        Second => made!(TimestampSecondType, |value| times(value, 1_000_000)),
        Millisecond => made!(TimestampMillisecondType, |value| times(value, 1_000)),
        Microsecond => made!(TimestampMicrosecondType, |value| times(value, 1)),
        // Floored, also before 1970.
        Nanosecond => made!(TimestampNanosecondType, |value| Some(if nanos { value } else { value.div_euclid(1_000) })),
    }
}

fn times(array: &ArrayRef, to: &Field) -> Result<ArrayRef, Refusal> {
    let of_day = |value: i64| (0..velo_core::time::MICROS_PER_DAY).contains(&value).then_some(value);
    match array.data_type() {
        DataType::Time32(TimeUnit::Second) => {
            each::<Time32SecondType, Time64MicrosecondType>(array, to, |value| of_day(i64::from(value) * 1_000_000))
        }
        DataType::Time32(_) => {
            each::<Time32MillisecondType, Time64MicrosecondType>(array, to, |value| of_day(i64::from(value) * 1_000))
        }
        _ => each::<Time64NanosecondType, Time64MicrosecondType>(array, to, |value| of_day(value.div_euclid(1_000))),
    }
}
