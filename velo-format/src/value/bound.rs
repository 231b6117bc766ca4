//! The arrays of a batch by type, so that an encoder chooses once per batch how it reads a column.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, TimestampNanosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType, BinaryArray, BooleanArray, StringArray};
use arrow_buffer::{IntervalMonthDayNano, NullBuffer, i256};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};

/// An array whose values can be read.
pub(crate) struct Bound<'a> {
    pub(crate) nulls: Option<&'a NullBuffer>,
    pub(crate) values: Read<'a>,
}

/// The values, by type.
pub(crate) enum Read<'a> {
    Boolean(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal128(&'a [i128], i8),
    Decimal256(&'a [i256], i8),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a [i32]),
    /// Microseconds since midnight.
    Time(&'a [i64]),
    /// Units of 10^-digits seconds since 1970.
    Timestamp(&'a [i64], u8),
    Interval(&'a [IntervalMonthDayNano]),
    List(&'a [i32], Box<Bound<'a>>),
    Map(&'a [i32], Box<Bound<'a>>, Box<Bound<'a>>),
    Struct(Vec<Bound<'a>>),
}

fn slice<T: ArrowPrimitiveType>(array: &dyn Array) -> &[T::Native] {
    array.as_primitive::<T>().values()
}

impl<'a> Bound<'a> {
    /// Binds an array; `None` for a type that no column has.
    pub(crate) fn new(array: &'a dyn Array) -> Option<Self> {
        let inner = |array: &'a dyn Array| Self::new(array).map(Box::new);
        let values = match array.data_type() {
            DataType::Boolean => Read::Boolean(array.as_boolean()),
            DataType::Int8 => Read::Int8(slice::<Int8Type>(array)),
            DataType::Int16 => Read::Int16(slice::<Int16Type>(array)),
            DataType::Int32 => Read::Int32(slice::<Int32Type>(array)),
            DataType::Int64 => Read::Int64(slice::<Int64Type>(array)),
            DataType::UInt8 => Read::UInt8(slice::<UInt8Type>(array)),
            DataType::UInt16 => Read::UInt16(slice::<UInt16Type>(array)),
            DataType::UInt32 => Read::UInt32(slice::<UInt32Type>(array)),
            DataType::UInt64 => Read::UInt64(slice::<UInt64Type>(array)),
            DataType::Float32 => Read::Float32(slice::<Float32Type>(array)),
            DataType::Float64 => Read::Float64(slice::<Float64Type>(array)),
            DataType::Decimal128(_, scale) => Read::Decimal128(slice::<Decimal128Type>(array), *scale),
            DataType::Decimal256(_, scale) => Read::Decimal256(slice::<Decimal256Type>(array), *scale),
            DataType::Utf8 => Read::Text(array.as_string()),
            DataType::Binary => Read::Binary(array.as_binary()),
            DataType::Date32 => Read::Date(slice::<Date32Type>(array)),
            DataType::Time64(TimeUnit::Microsecond) => Read::Time(slice::<Time64MicrosecondType>(array)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Read::Timestamp(slice::<TimestampMicrosecondType>(array), 6)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Read::Timestamp(slice::<TimestampNanosecondType>(array), 9),
            DataType::Interval(IntervalUnit::MonthDayNano) => Read::Interval(slice::<IntervalMonthDayNanoType>(array)),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Read::List(list.value_offsets(), inner(list.values().as_ref())?)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                Read::Map(map.value_offsets(), inner(map.keys().as_ref())?, inner(map.values().as_ref())?)
            }
            DataType::Struct(_) => {
                let columns = array.as_struct().columns().iter();
                Read::Struct(columns.map(|column| Self::new(column.as_ref())).collect::<Option<_>>()?)
            }
            _ => return None,
        };
        Some(Self { nulls: array.nulls(), values })
    }

    /// Whether the value of a row is NULL.
    #[inline(always)]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// A whole number; `None` for another type.
    #[inline]
    pub(crate) fn whole(&self, row: usize) -> Option<i128> {
        Some(match &self.values {
            Read::Int64(values) => values[row].into(),
            Read::Int32(values) => values[row].into(),
            Read::Int16(values) => values[row].into(),
            Read::Int8(values) => values[row].into(),
            Read::UInt8(values) => values[row].into(),
            Read::UInt16(values) => values[row].into(),
            Read::UInt32(values) => values[row].into(),
            Read::UInt64(values) => values[row].into(),
            _ => return None,
        })
    }

    /// A decimal or whole number as a number of units of 10^-scale.
    pub(crate) fn units(&self, row: usize) -> Option<(i256, i32)> {
        Some(match &self.values {
            Read::Decimal128(values, scale) => (i256::from_i128(values[row]), (*scale).into()),
            Read::Decimal256(values, scale) => (values[row], (*scale).into()),
            _ => (i256::from_i128(self.whole(row)?), 0),
        })
    }
}

/// A time in units of 10^-`from` seconds as one of 10^-`to` seconds, floored; `None` where it does not fit.
#[inline]
pub(crate) fn rescaled_time(value: i64, from: u8, to: u8) -> Option<i64> {
    if from <= to {
        value.checked_mul(10_i64.pow(u32::from(to - from)))
    } else {
        Some(value.div_euclid(10_i64.pow(u32::from(from - to))))
    }
}
