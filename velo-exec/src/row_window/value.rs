//! The values that row windows keep: each type of column as one of five, and back.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, PrimitiveBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, StringArray};
use arrow_buffer::i256;
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, TimeUnit};
use velo_core::types::sql_name;

use crate::error::{ExecError, Result};

/// A value in a ring: numbers and times as numbers, everything else as bytes that compare as the values do.
pub(super) trait Value: Clone + Send + 'static {
    /// What turns columns into values and back.
    type Codec: Send;

    fn codec(data_type: &DataType) -> Result<Self::Codec>;

    /// The order of MIN and MAX. Floats compare by their total order: NaN is the largest.
    fn compare(&self, other: &Self) -> Ordering;

    fn read(codec: &Self::Codec, column: &ArrayRef) -> Result<Vec<Option<Self>>>;

    fn write(codec: &Self::Codec, values: Vec<Option<Self>>) -> Result<ArrayRef>;
}

/// Which [`Value`] a type of column is kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Small,
    Wide,
    Wider,
    Float,
    Bytes,
}

impl Kept {
    pub(super) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Float32 | DataType::Float64 => Self::Float,
            DataType::UInt64 | DataType::Decimal128(..) => Self::Wide,
            DataType::Decimal256(..) => Self::Wider,
            DataType::Boolean => Self::Small,
            other => with_small_type!(other, T => { let _ = T::DATA_TYPE; Self::Small }, _ => Self::Bytes),
        }
    }
}

/// Calls `$body` with `$t` as the primitive type behind `$data_type`, where its values fit in 64 bits with their sign.
macro_rules! with_small_type {
    ($data_type:expr, $t:ident => $body:expr, _ => $otherwise:expr) => {
        match $data_type {
            DataType::Int8 => with_small_type!(@ $t Int8Type, $body),
            DataType::Int16 => with_small_type!(@ $t Int16Type, $body),
            DataType::Int32 => with_small_type!(@ $t Int32Type, $body),
            DataType::Int64 => with_small_type!(@ $t Int64Type, $body),
            DataType::UInt8 => with_small_type!(@ $t UInt8Type, $body),
            DataType::UInt16 => with_small_type!(@ $t UInt16Type, $body),
            DataType::UInt32 => with_small_type!(@ $t UInt32Type, $body),
            DataType::Date32 => with_small_type!(@ $t Date32Type, $body),
            DataType::Date64 => with_small_type!(@ $t Date64Type, $body),
            DataType::Time32(TimeUnit::Second) => with_small_type!(@ $t Time32SecondType, $body),
            DataType::Time32(TimeUnit::Millisecond) => with_small_type!(@ $t Time32MillisecondType, $body),
            DataType::Time64(TimeUnit::Microsecond) => with_small_type!(@ $t Time64MicrosecondType, $body),
            DataType::Time64(TimeUnit::Nanosecond) => with_small_type!(@ $t Time64NanosecondType, $body),
            DataType::Timestamp(TimeUnit::Second, _) => with_small_type!(@ $t TimestampSecondType, $body),
            DataType::Timestamp(TimeUnit::Millisecond, _) => with_small_type!(@ $t TimestampMillisecondType, $body),
            DataType::Timestamp(TimeUnit::Microsecond, _) => with_small_type!(@ $t TimestampMicrosecondType, $body),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => with_small_type!(@ $t TimestampNanosecondType, $body),
            DataType::Duration(TimeUnit::Second) => with_small_type!(@ $t DurationSecondType, $body),
            DataType::Duration(TimeUnit::Millisecond) => with_small_type!(@ $t DurationMillisecondType, $body),
            DataType::Duration(TimeUnit::Microsecond) => with_small_type!(@ $t DurationMicrosecondType, $body),
            DataType::Duration(TimeUnit::Nanosecond) => with_small_type!(@ $t DurationNanosecondType, $body),
            DataType::Interval(arrow_schema::IntervalUnit::YearMonth) => with_small_type!(@ $t IntervalYearMonthType, $body),
            _ => $otherwise,
        }
    };
    (@ $t:ident $type:ty, $body:expr) => {{
        type $t = $type;
        $body
    }};
}
use with_small_type;

fn unplanned(column: &ArrayRef) -> ExecError {
    ExecError::Internal(format!("a row window over {} was not planned", sql_name(column.data_type())))
}

fn read_primitive<T: ArrowPrimitiveType, V>(
    column: &ArrayRef,
    value: impl Fn(T::Native) -> V,
) -> Result<Vec<Option<V>>> {
    let array = column.as_primitive_opt::<T>().ok_or_else(|| unplanned(column))?;
    Ok(match array.nulls() {
        None => array.values().iter().map(|native| Some(value(*native))).collect(),
        Some(nulls) => array.values().iter().zip(nulls).map(|(native, valid)| valid.then(|| value(*native))).collect(),
    })
}

fn write_primitive<T: ArrowPrimitiveType, V>(
    data_type: &DataType,
    values: Vec<Option<V>>,
    native: impl Fn(V) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(values.len()).with_data_type(data_type.clone());
    for value in values {
        builder.append_option(value.and_then(&native));
    }
    Ok(Arc::new(builder.finish()))
}

impl Value for i64 {
    type Codec = DataType;

    fn codec(data_type: &DataType) -> Result<DataType> {
        Ok(data_type.clone())
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }

    fn read(codec: &DataType, column: &ArrayRef) -> Result<Vec<Option<Self>>> {
        if *codec == DataType::Boolean {
            let array = column.as_boolean_opt().ok_or_else(|| unplanned(column))?;
            return Ok(array.iter().map(|value| value.map(i64::from)).collect());
        }
        with_small_type!(codec, T => read_primitive::<T, i64>(column, i64::from), _ => Err(unplanned(column)))
    }

    #[allow(clippy::useless_conversion, reason = "of one of the types it is none")]
    fn write(codec: &DataType, values: Vec<Option<Self>>) -> Result<ArrayRef> {
        if *codec == DataType::Boolean {
            let mut builder = BooleanBuilder::with_capacity(values.len());
            values.into_iter().for_each(|value| builder.append_option(value.map(|value| value != 0)));
            return Ok(Arc::new(builder.finish()));
        }
        // What was read from this type fits into it.
        with_small_type!(
            codec,
            T => write_primitive::<T, i64>(codec, values, |value| value.try_into().ok()),
            _ => Err(ExecError::Internal(format!("{} is not kept as a number", sql_name(codec))))
        )
    }
}

impl Value for i128 {
    type Codec = DataType;

    fn codec(data_type: &DataType) -> Result<DataType> {
        Ok(data_type.clone())
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }

    fn read(_codec: &DataType, column: &ArrayRef) -> Result<Vec<Option<Self>>> {
        match column.data_type() {
            DataType::Decimal128(..) => read_primitive::<Decimal128Type, _>(column, |value| value),
            DataType::UInt64 => read_primitive::<UInt64Type, _>(column, i128::from),
            other => {
                with_small_type!(other, T => read_primitive::<T, _>(column, i128::from), _ => Err(unplanned(column)))
            }
        }
    }

    fn write(codec: &DataType, values: Vec<Option<Self>>) -> Result<ArrayRef> {
        match codec {
            DataType::Decimal128(..) => write_primitive::<Decimal128Type, _>(codec, values, Some),
            DataType::UInt64 => write_primitive::<UInt64Type, _>(codec, values, |value: i128| value.try_into().ok()),
            DataType::Int64 => write_primitive::<Int64Type, _>(codec, values, |value: i128| value.try_into().ok()),
            other => Err(ExecError::Internal(format!("{} is not kept in 128 bits", sql_name(other)))),
        }
    }
}

impl Value for i256 {
    type Codec = DataType;

    fn codec(data_type: &DataType) -> Result<DataType> {
        Ok(data_type.clone())
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }

    fn read(_codec: &DataType, column: &ArrayRef) -> Result<Vec<Option<Self>>> {
        match column.data_type() {
            DataType::Decimal128(..) => read_primitive::<Decimal128Type, _>(column, i256::from_i128),
            _ => read_primitive::<Decimal256Type, _>(column, |value| value),
        }
    }

    fn write(codec: &DataType, values: Vec<Option<Self>>) -> Result<ArrayRef> {
        match codec {
            DataType::Decimal128(..) => {
                write_primitive::<Decimal128Type, _>(codec, values, |value: i256| value.to_i128())
            }
            _ => write_primitive::<Decimal256Type, _>(codec, values, Some),
        }
    }
}

impl Value for f64 {
    type Codec = DataType;

    fn codec(data_type: &DataType) -> Result<DataType> {
        Ok(data_type.clone())
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.total_cmp(other)
    }

    fn read(_codec: &DataType, column: &ArrayRef) -> Result<Vec<Option<Self>>> {
        match column.data_type() {
            DataType::Float32 => read_primitive::<Float32Type, _>(column, f64::from),
            _ => read_primitive::<Float64Type, _>(column, |value| value),
        }
    }

    fn write(codec: &DataType, values: Vec<Option<Self>>) -> Result<ArrayRef> {
        match codec {
            // It was widened from 32 bits, so nothing is lost.
            DataType::Float32 => write_primitive::<Float32Type, _>(codec, values, |value: f64| Some(value as f32)),
            _ => write_primitive::<Float64Type, _>(codec, values, Some),
        }
    }
}

/// Texts and bytes are themselves; everything else is in the library's comparable form.
#[derive(Debug)]
pub(super) enum BytesCodec {
    Text,
    Plain,
    Rows(Box<RowConverter>, DataType),
}

impl Value for Arc<[u8]> {
    type Codec = BytesCodec;

    fn codec(data_type: &DataType) -> Result<BytesCodec> {
        Ok(match data_type {
            DataType::Utf8 => BytesCodec::Text,
            DataType::Binary => BytesCodec::Plain,
            other => BytesCodec::Rows(Box::new(RowConverter::new(vec![SortField::new(other.clone())])?), other.clone()),
        })
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }

    fn read(codec: &BytesCodec, column: &ArrayRef) -> Result<Vec<Option<Self>>> {
        let all = |bytes: &BinaryArray| bytes.iter().map(|value| value.map(Arc::from)).collect();
        Ok(match codec {
            BytesCodec::Text => {
                let array = column.as_string_opt::<i32>().ok_or_else(|| unplanned(column))?;
                array.iter().map(|value| value.map(|text| Arc::from(text.as_bytes()))).collect()
            }
            BytesCodec::Plain => all(column.as_binary_opt::<i32>().ok_or_else(|| unplanned(column))?),
            BytesCodec::Rows(converter, _) => {
                let encoded = converter.convert_columns(std::slice::from_ref(column))?;
                let nulls = column.logical_nulls();
                let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                let value =
                    |(row, encoded): (usize, arrow_row::Row<'_>)| valid(row).then(|| Arc::from(encoded.as_ref()));
                encoded.iter().enumerate().map(value).collect()
            }
        })
    }

    fn write(codec: &BytesCodec, values: Vec<Option<Self>>) -> Result<ArrayRef> {
        if let BytesCodec::Rows(converter, data_type) = codec {
            let null = converter.convert_columns(&[arrow_array::new_null_array(data_type, 1)])?;
            let parser = converter.parser();
            let rows =
                values.iter().map(|value| value.as_ref().map_or_else(|| null.row(0), |value| parser.parse(value)));
            let columns = converter.convert_rows(rows)?;
            return columns.into_iter().next().ok_or_else(|| ExecError::Internal("no column came back".to_owned()));
        }
        let mut builder = BinaryBuilder::with_capacity(values.len(), values.len() * 16);
        values.iter().for_each(|value| builder.append_option(value.as_deref()));
        let (offsets, data, nulls) = builder.finish().into_parts();
        Ok(match codec {
            BytesCodec::Text => Arc::new(StringArray::try_new(offsets, data, nulls)?),
            _ => Arc::new(BinaryArray::try_new(offsets, data, nulls)?),
        })
    }
}
