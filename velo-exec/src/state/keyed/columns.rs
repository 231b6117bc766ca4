//! Keys out of columns, and columns out of keys.

use std::sync::Arc;

use arrow_array::builder::BooleanBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, PrimitiveArray, StringArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, TimeUnit};

use super::super::valid;
use super::super::words::{Words, of_bytes};
use super::{Form, INLINE, Key, KeyTable, NULL, meta};
use crate::error::{ExecError, Result};

/// Calls `$body` with `$t` as the primitive type behind `$data_type`, where that fits in two words.
macro_rules! with_fixed_type {
    ($data_type:expr, $t:ident => $body:expr, _ => $otherwise:expr) => {
        match $data_type {
            DataType::Int8 => with_fixed_type!(@ $t Int8Type, $body),
            DataType::Int16 => with_fixed_type!(@ $t Int16Type, $body),
            DataType::Int32 => with_fixed_type!(@ $t Int32Type, $body),
            DataType::Int64 => with_fixed_type!(@ $t Int64Type, $body),
            DataType::UInt8 => with_fixed_type!(@ $t UInt8Type, $body),
            DataType::UInt16 => with_fixed_type!(@ $t UInt16Type, $body),
            DataType::UInt32 => with_fixed_type!(@ $t UInt32Type, $body),
            DataType::UInt64 => with_fixed_type!(@ $t UInt64Type, $body),
            DataType::Float32 => with_fixed_type!(@ $t Float32Type, $body),
            DataType::Float64 => with_fixed_type!(@ $t Float64Type, $body),
            DataType::Date32 => with_fixed_type!(@ $t Date32Type, $body),
            DataType::Date64 => with_fixed_type!(@ $t Date64Type, $body),
            DataType::Time32(TimeUnit::Second) => with_fixed_type!(@ $t Time32SecondType, $body),
            DataType::Time32(TimeUnit::Millisecond) => with_fixed_type!(@ $t Time32MillisecondType, $body),
            DataType::Time64(TimeUnit::Microsecond) => with_fixed_type!(@ $t Time64MicrosecondType, $body),
            DataType::Time64(TimeUnit::Nanosecond) => with_fixed_type!(@ $t Time64NanosecondType, $body),
            DataType::Timestamp(TimeUnit::Second, _) => with_fixed_type!(@ $t TimestampSecondType, $body),
            DataType::Timestamp(TimeUnit::Millisecond, _) => with_fixed_type!(@ $t TimestampMillisecondType, $body),
            DataType::Timestamp(TimeUnit::Microsecond, _) => with_fixed_type!(@ $t TimestampMicrosecondType, $body),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => with_fixed_type!(@ $t TimestampNanosecondType, $body),
            DataType::Decimal128(..) => with_fixed_type!(@ $t Decimal128Type, $body),
            _ => $otherwise,
        }
    };
    (@ $t:ident $type:ty, $body:expr) => {{
        type $t = $type;
        $body
    }};
}

impl Form {
    /// How keys of columns of these types are laid out.
    pub(super) fn of(types: &[DataType]) -> Result<Self> {
        Ok(match types {
            [] => Form::Empty,
            [only @ (DataType::Utf8 | DataType::Binary)] => Form::Bytes(only.clone()),
            [DataType::Boolean] => Form::Fixed(DataType::Boolean),
            [only] => {
                with_fixed_type!(only, T => { let _ = T::DATA_TYPE; Form::Fixed(only.clone()) }, _ => Form::Rows(converter(types)?))
            }
            several => Form::Rows(converter(several)?),
        })
    }
}

impl KeyTable {
    pub(super) fn intern_as(
        &mut self,
        form: &Form,
        columns: &[ArrayRef],
        rows: usize,
        owners: Option<&[u32]>,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        match (form, columns) {
            (Form::Empty, _) => {
                self.seen |= rows > 0;
                ids.resize(rows, 0);
                Ok(())
            }
            (Form::Bytes(DataType::Utf8), [column]) => {
                let array = column.as_string_opt::<i32>().ok_or_else(|| wrong_type(column, &DataType::Utf8))?;
                self.intern_bytes(array.value_offsets(), array.value_data(), array.nulls(), owners, ids)
            }
            (Form::Bytes(_), [column]) => {
                let array = column.as_binary_opt::<i32>().ok_or_else(|| wrong_type(column, &DataType::Binary))?;
                self.intern_bytes(array.value_offsets(), array.value_data(), array.nulls(), owners, ids)
            }
            (Form::Fixed(DataType::Boolean), [column]) => {
                let array = column.as_boolean_opt().ok_or_else(|| wrong_type(column, &DataType::Boolean))?;
                self.intern_fixed(rows, array.nulls(), owners, ids, |row| (u64::from(array.value(row)), 0))
            }
            (Form::Fixed(data_type), [column]) => with_fixed_type!(data_type, T => {
                let array = column.as_primitive_opt::<T>().ok_or_else(|| wrong_type(column, data_type))?;
                let values = array.values();
                self.intern_fixed(rows, array.nulls(), owners, ids, |row| values[row].to_words())
            }, _ => Err(wrong_type(column, data_type))),
            (Form::Rows(converter), columns) => {
                let encoded = converter.convert_columns(columns)?;
                let bytes = encoded.try_into_binary()?;
                self.intern_bytes(bytes.value_offsets(), bytes.value_data(), None, owners, ids)
            }
            (_, columns) => Err(ExecError::Internal(format!("{} key columns where one was planned", columns.len()))),
        }
    }

    fn intern_bytes(
        &mut self,
        offsets: &[i32],
        data: &[u8],
        nulls: Option<&NullBuffer>,
        owners: Option<&[u32]>,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        let rows = offsets.len().saturating_sub(1);
        let key = |row: usize, owner: u32| {
            let bytes = &data[offsets[row] as usize..offsets[row + 1] as usize];
            let (a, b) = of_bytes(bytes);
            Key { a, b, meta: meta(bytes.len() as u32, owner), bytes }
        };
        match (nulls, owners) {
            (None, None) => self.intern_rows(rows, ids, |row| key(row, 0)),
            _ => self.intern_rows(rows, ids, |row| {
                let owner = owners.map_or(0, |owners| owners[row]);
                if nulls.is_some_and(|nulls| nulls.is_null(row)) { Key::null(owner) } else { key(row, owner) }
            }),
        }
    }

    fn intern_fixed(
        &mut self,
        rows: usize,
        nulls: Option<&NullBuffer>,
        owners: Option<&[u32]>,
        ids: &mut Vec<u32>,
        words: impl Fn(usize) -> (u64, u64),
    ) -> Result<()> {
        let key = |row: usize, owner: u32| {
            let (a, b) = words(row);
            Key { a, b, meta: meta(0, owner), bytes: &[] }
        };
        match (nulls, owners) {
            (None, None) => self.intern_rows(rows, ids, |row| key(row, 0)),
            _ => self.intern_rows(rows, ids, |row| {
                let owner = owners.map_or(0, |owners| owners[row]);
                if nulls.is_some_and(|nulls| nulls.is_null(row)) { Key::null(owner) } else { key(row, owner) }
            }),
        }
    }

    /// The key columns of the keys with these numbers.
    pub fn keys(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        match &self.form {
            Form::Empty => Ok(Vec::new()),
            Form::Bytes(data_type) => {
                let (offsets, data, nulls) = self.bytes_of(ids)?;
                Ok(vec![if *data_type == DataType::Utf8 {
                    Arc::new(StringArray::try_new(offsets, data, nulls)?)
                } else {
                    Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
                }])
            }
            Form::Fixed(DataType::Boolean) => {
                let mut builder = BooleanBuilder::with_capacity(ids.len());
                for id in ids {
                    let entry = &self.entries[*id as usize];
                    builder.append_option((entry.meta as u32 != NULL).then_some(entry.a != 0));
                }
                Ok(vec![Arc::new(builder.finish())])
            }
            Form::Fixed(data_type) => with_fixed_type!(data_type, T => {
                let entries = ids.iter().map(|id| &self.entries[*id as usize]);
                let values = entries
                    .map(|entry| <<T as ArrowPrimitiveType>::Native as Words>::from_words(entry.a, entry.b))
                    .collect::<Vec<_>>();
                let nulls = self.nulls_of(ids);
                let array = PrimitiveArray::<T>::try_new(values.into(), nulls)?.with_data_type(data_type.clone());
                Ok(vec![Arc::new(array) as ArrayRef])
            }, _ => Err(ExecError::Internal(format!("a key column of {data_type}")))),
            Form::Rows(converter) => {
                let (offsets, data, _) = self.bytes_of(ids)?;
                let parser = converter.parser();
                let rows = offsets.windows(2).map(|ends| parser.parse(&data[ends[0] as usize..ends[1] as usize]));
                Ok(converter.convert_rows(rows)?)
            }
        }
    }

    fn nulls_of(&self, ids: &[u32]) -> Option<NullBuffer> {
        valid(ids.len(), |at| self.entries[ids[at] as usize].meta as u32 != NULL)
    }

    /// The bytes of keys, one after the other.
    fn bytes_of(&self, ids: &[u32]) -> Result<(OffsetBuffer<i32>, Buffer, Option<NullBuffer>)> {
        let mut offsets = Vec::with_capacity(ids.len() + 1);
        let mut data = Vec::with_capacity(ids.len() * INLINE);
        offsets.push(0_i32);
        for id in ids {
            let entry = &self.entries[*id as usize];
            match entry.meta as u32 {
                NULL => {}
                length if length as usize <= INLINE => {
                    let mut inline = [0_u8; INLINE];
                    inline[..8].copy_from_slice(&entry.a.to_le_bytes());
                    inline[8..].copy_from_slice(&entry.b.to_le_bytes());
                    data.extend_from_slice(&inline[..length as usize]);
                }
                length => {
                    let offset = entry.offset as usize;
                    data.extend_from_slice(&self.arena[offset..offset + length as usize]);
                }
            }
            let end = i32::try_from(data.len());
            offsets.push(end.map_err(|_| ExecError::Internal("keys of more than 2 GiB in one batch".to_owned()))?);
        }
        let nulls = self.nulls_of(ids);
        // The offsets were pushed in ascending order from 0.
        Ok((OffsetBuffer::new(offsets.into()), Buffer::from_vec(data), nulls))
    }
}

fn converter(types: &[DataType]) -> Result<RowConverter> {
    Ok(RowConverter::new(types.iter().map(|data_type| SortField::new(data_type.clone())).collect())?)
}

fn wrong_type(column: &ArrayRef, planned: &DataType) -> ExecError {
    ExecError::Internal(format!("a key column of {} where {planned} was planned", column.data_type()))
}
