//! What all columns can do with their values: count, drop, fill in for NULL, become an array.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, MapArray,
    StringArray, StructArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt8Array,
    UInt16Array, UInt32Array, UInt64Array,
};
use arrow_buffer::{
    BooleanBuffer, BooleanBufferBuilder, Buffer, IntervalMonthDayNano, NullBuffer, OffsetBuffer, ScalarBuffer, i256,
};
use arrow_schema::{ArrowError, DataType};
use velo_core::error::{ConnectorError, ErrorKind};

use super::{Column, Values};

/// The same for every kind whose values lie in one vector.
macro_rules! each_vector {
    ($self:expr, $values:ident => $body:expr, $($pattern:pat => $other:expr),+ $(,)?) => {
        match $self {
            Values::Boolean($values) => $body,
            Values::Int8($values) => $body,
            Values::Int16($values) => $body,
            Values::Int32($values) => $body,
            Values::Int64($values) => $body,
            Values::UInt8($values) => $body,
            Values::UInt16($values) => $body,
            Values::UInt32($values) => $body,
            Values::UInt64($values) => $body,
            Values::Float32($values) => $body,
            Values::Float64($values) => $body,
            Values::Decimal128 { values: $values, .. } => $body,
            Values::Decimal256 { values: $values, .. } => $body,
            Values::Unscaled128 { values: $values, .. } => $body,
            Values::Unscaled256 { values: $values, .. } => $body,
            Values::Date($values) => $body,
            Values::Time($values) => $body,
            Values::Timestamp { values: $values, .. } => $body,
            Values::Interval($values) => $body,
            $($pattern => $other,)+
        }
    };
}

/// A value to stand where the row is NULL.
trait Placeholder {
    fn placeholder() -> Self;
}

macro_rules! placeholder {
    ($($type:ty = $value:expr),+ $(,)?) => { $( impl Placeholder for $type {
        fn placeholder() -> Self { $value }
    } )+ };
}

placeholder!(
    bool = false,
    i8 = 0,
    i16 = 0,
    i32 = 0,
    i64 = 0,
    i128 = 0,
    u8 = 0,
    u16 = 0,
    u32 = 0,
    u64 = 0,
    f32 = 0.0,
    f64 = 0.0,
    i256 = i256::ZERO,
    IntervalMonthDayNano = IntervalMonthDayNano::ZERO,
);

impl Values {
    #[inline]
    pub(super) fn len(&self) -> usize {
        each_vector!(self, values => values.len(),
            Self::Text { ends, .. } | Self::Binary { ends, .. } | Self::List { ends, .. } | Self::Map { ends, .. } => ends.len(),
            Self::Struct { rows, .. } => *rows,
        )
    }

    pub(super) fn push_default(&mut self) {
        each_vector!(self, values => values.push(Placeholder::placeholder()),
            Self::Text { ends, .. } | Self::Binary { ends, .. } | Self::List { ends, .. } | Self::Map { ends, .. } => {
                ends.push(ends.last().copied().unwrap_or(0));
            },
            Self::Struct { fields, rows } => {
                fields.iter_mut().for_each(Column::push_null);
                *rows += 1;
            },
        );
    }

    pub(super) fn truncate(&mut self, to: usize) {
        each_vector!(self, values => values.truncate(to),
            Self::Text { ends, bytes, .. } | Self::Binary { ends, bytes } => {
                ends.truncate(to);
                bytes.truncate(last(ends));
            },
            Self::List { ends, items } => {
                ends.truncate(to);
                items.truncate(last(ends));
            },
            Self::Map { ends, keys, values } => {
                ends.truncate(to);
                keys.truncate(last(ends));
                values.truncate(last(ends));
            },
            Self::Struct { fields, rows } => {
                fields.iter_mut().for_each(|field| field.truncate(to));
                *rows = (*rows).min(to);
            },
        );
    }
}

/// Where the last value of a list or text ends.
pub(crate) fn last(ends: &[i32]) -> usize {
    // Ends count bytes or values, so they are not negative.
    ends.last().map_or(0, |end| *end as usize)
}

pub(super) fn finish(column: &mut Column) -> Result<ArrayRef, ConnectorError> {
    let rows = column.len();
    let nulls = take_nulls(&mut column.nulls, rows);
    build(column, nulls).map_err(|error| {
        let message = format!("the column '{}' cannot be made: {error}", column.field().name());
        ConnectorError::new(ErrorKind::Decode, "decoding", message)
    })
}

fn take_nulls(nulls: &mut Vec<u32>, rows: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(rows);
    valid.append_n(rows, true);
    nulls.drain(..).for_each(|row| valid.set_bit(row as usize, false));
    Some(NullBuffer::new(valid.finish()))
}

fn offsets(ends: &mut Vec<i32>, size: usize) -> Result<OffsetBuffer<i32>, ArrowError> {
    if i32::try_from(size).is_err() {
        return Err(ArrowError::OffsetOverflowError(size));
    }
    let capacity = ends.len();
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.append(ends);
    ends.reserve(capacity);
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}

/// Takes the values and leaves as much room as they had.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    std::mem::replace(values, room)
}

fn build(column: &mut Column, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
    macro_rules! primitive {
        ($array:ty, $values:expr) => {
            Arc::new(<$array>::try_new(ScalarBuffer::from(take($values)), nulls)?) as ArrayRef
        };
    }
    let data_type = column.field().data_type().clone();
    Ok(match &mut column.values {
        Values::Boolean(values) => Arc::new(BooleanArray::new(BooleanBuffer::from(take(values)), nulls)),
        Values::Int8(values) => primitive!(Int8Array, values),
        Values::Int16(values) => primitive!(Int16Array, values),
        Values::Int32(values) => primitive!(Int32Array, values),
        Values::Int64(values) => primitive!(Int64Array, values),
        Values::UInt8(values) => primitive!(UInt8Array, values),
        Values::UInt16(values) => primitive!(UInt16Array, values),
        Values::UInt32(values) => primitive!(UInt32Array, values),
        Values::UInt64(values) => primitive!(UInt64Array, values),
        Values::Float32(values) => primitive!(Float32Array, values),
        Values::Float64(values) => primitive!(Float64Array, values),
        Values::Decimal128 { values, .. } | Values::Unscaled128 { values, .. } => {
            let array = Decimal128Array::try_new(ScalarBuffer::from(take(values)), nulls)?;
            Arc::new(array.with_data_type(data_type))
        }
        Values::Decimal256 { values, .. } | Values::Unscaled256 { values, .. } => {
            let array = Decimal256Array::try_new(ScalarBuffer::from(take(values)), nulls)?;
            Arc::new(array.with_data_type(data_type))
        }
        Values::Date(values) => primitive!(Date32Array, values),
        Values::Time(values) => primitive!(Time64MicrosecondArray, values),
        Values::Timestamp { values, digits: 9 } => primitive!(TimestampNanosecondArray, values),
        Values::Timestamp { values, .. } => primitive!(TimestampMicrosecondArray, values),
        Values::Interval(values) => primitive!(IntervalMonthDayNanoArray, values),
        Values::Text { ends, bytes, .. } => {
            let offsets = offsets(ends, bytes.len())?;
            Arc::new(StringArray::try_new(offsets, Buffer::from(take(bytes)), nulls)?)
        }
        Values::Binary { ends, bytes } => {
            let offsets = offsets(ends, bytes.len())?;
            Arc::new(BinaryArray::try_new(offsets, Buffer::from(take(bytes)), nulls)?)
        }
        Values::List { ends, items } => {
            let offsets = offsets(ends, items.len())?;
            let field = items.field().clone();
            let items = finish_child(items)?;
            Arc::new(ListArray::try_new(field, offsets, items, nulls)?)
        }
        Values::Map { ends, keys, values } => {
            let offsets = offsets(ends, keys.len())?;
            let DataType::Map(entries, sorted) = &data_type else {
                return Err(ArrowError::SchemaError("a map without its type".to_owned()));
            };
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(ArrowError::SchemaError("a map without its entries".to_owned()));
            };
            let columns = vec![finish_child(keys)?, finish_child(values)?];
            let pairs = StructArray::try_new(fields.clone(), columns, None)?;
            Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted)?)
        }
        Values::Struct { fields, rows } => {
            let rows = std::mem::take(rows);
            let names = fields.iter().map(|field| field.field().clone()).collect::<Vec<_>>();
            let arrays = fields.iter_mut().map(finish_child).collect::<Result<Vec<_>, _>>()?;
            if arrays.is_empty() {
                Arc::new(StructArray::new_empty_fields(rows, nulls))
            } else {
                // A child of a NULL may be NULL though it is NOT NULL: the parent's NULL covers it, and Arrow checks that.
                debug_assert!(arrays.iter().all(|array| array.len() == rows), "every field has every row");
                Arc::new(StructArray::try_new(names.into(), arrays, nulls)?)
            }
        }
    })
}

fn finish_child(column: &mut Column) -> Result<ArrayRef, ArrowError> {
    let nulls = take_nulls(&mut column.nulls, column.values.len());
    build(column, nulls)
}
