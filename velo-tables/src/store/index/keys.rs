//! The columns of a key: their hash, and whether a key that is looked for is that of a row that is there. A column at a time.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, BinaryType, ByteArrayType, Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type, Utf8Type,
};
use arrow_array::{Array, ArrayRef, BooleanArray, GenericByteArray, PrimitiveArray, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{ArrowError, DataType, Schema, TimeUnit};
use prefetch_index::prefetch_index;
use velo_core::error::{ConnectorError, ErrorKind, Result};
use velo_core::hash::Word;
use velo_core::types::sql_name;

use crate::store::hash;
use crate::store::segments::{Address, Segments};

/// How a column is hashed and compared.
#[derive(Debug)]
enum Form {
    /// As one word.
    Word,
    /// As 128 bits.
    Wide,
    /// As a bit.
    Bit,
    /// As text or bytes.
    Text,
    Bytes,
    /// As a row of the library's comparable form.
    Row(RowConverter),
}

/// The key columns of an index.
#[derive(Debug)]
pub(crate) struct KeyColumns {
    columns: Vec<usize>,
    types: Vec<DataType>,
    forms: Vec<Form>,
    /// Whether NULLs are equal to each other; else a key with one is equal to nothing.
    nulls_equal: bool,
}

/// Keys that are looked for.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    columns: &'a [ArrayRef],
    /// One hash per key.
    pub(crate) hashes: Vec<u64>,
    /// Keys with a NULL, where that finds nothing.
    pub(crate) nulls: Option<NullBuffer>,
    rows: Vec<Option<Rows>>,
}

/// Calls `$body` with `$t` as the primitive type behind `$data_type`, where that fits in a word.
macro_rules! with_word_type {
    ($data_type:expr, $t:ident => $body:expr, _ => $otherwise:expr) => {
        match $data_type {
            DataType::Int8 => with_word_type!(@ $t Int8Type, $body),
            DataType::Int16 => with_word_type!(@ $t Int16Type, $body),
            DataType::Int32 => with_word_type!(@ $t Int32Type, $body),
            DataType::Int64 => with_word_type!(@ $t Int64Type, $body),
            DataType::UInt8 => with_word_type!(@ $t UInt8Type, $body),
            DataType::UInt16 => with_word_type!(@ $t UInt16Type, $body),
            DataType::UInt32 => with_word_type!(@ $t UInt32Type, $body),
            DataType::UInt64 => with_word_type!(@ $t UInt64Type, $body),
            DataType::Float32 => with_word_type!(@ $t Float32Type, $body),
            DataType::Float64 => with_word_type!(@ $t Float64Type, $body),
            DataType::Date32 => with_word_type!(@ $t Date32Type, $body),
            DataType::Date64 => with_word_type!(@ $t Date64Type, $body),
            DataType::Time32(TimeUnit::Second) => with_word_type!(@ $t Time32SecondType, $body),
            DataType::Time32(TimeUnit::Millisecond) => with_word_type!(@ $t Time32MillisecondType, $body),
            DataType::Time64(TimeUnit::Microsecond) => with_word_type!(@ $t Time64MicrosecondType, $body),
            DataType::Time64(TimeUnit::Nanosecond) => with_word_type!(@ $t Time64NanosecondType, $body),
            DataType::Timestamp(TimeUnit::Second, _) => with_word_type!(@ $t TimestampSecondType, $body),
            DataType::Timestamp(TimeUnit::Millisecond, _) => with_word_type!(@ $t TimestampMillisecondType, $body),
            DataType::Timestamp(TimeUnit::Microsecond, _) => with_word_type!(@ $t TimestampMicrosecondType, $body),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => with_word_type!(@ $t TimestampNanosecondType, $body),
            _ => $otherwise,
        }
    };
    (@ $t:ident $type:ty, $body:expr) => {{
        type $t = $type;
        $body
    }};
}

impl KeyColumns {
    /// The columns of `schema` at these places.
    ///
    /// # Errors
    ///
    /// Where a column is of a type that cannot be compared.
    pub(crate) fn new(schema: &Schema, columns: Vec<usize>, nulls_equal: bool) -> Result<Self> {
        let types: Vec<DataType> = columns.iter().map(|column| schema.field(*column).data_type().clone()).collect();
        let mut forms = Vec::with_capacity(types.len());
        for (data_type, column) in types.iter().zip(&columns) {
            forms.push(match data_type {
                DataType::Boolean => Form::Bit,
                DataType::Decimal128(..) => Form::Wide,
                DataType::Utf8 => Form::Text,
                DataType::Binary => Form::Bytes,
                other => with_word_type!(other, T => { let _ = T::DATA_TYPE; Form::Word }, _ => {
                    let field = SortField::new(other.clone());
                    Form::Row(RowConverter::new(vec![field]).map_err(|error| {
                        let name = schema.field(*column).name();
                        let message = format!("rows cannot be found by column `{name}`, a {}: {error}", sql_name(other));
                        ConnectorError::new(ErrorKind::Unsupported, "making the index of a table", message)
                            .advise("take part of the value, or its text by CAST(… AS STRING), as a column of its own")
                    })?)
                }),
            });
        }
        Ok(Self { columns, types, forms, nulls_equal })
    }

    /// The columns of rows of the table.
    pub(crate) fn of(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.columns.iter().map(|column| Arc::clone(rows.column(*column))).collect()
    }

    /// The places of the columns.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Keys to look for, with their hashes. `columns` are the key columns, all of one length.
    ///
    /// # Errors
    ///
    /// Where they are of other types than the index.
    pub(crate) fn keys<'a>(&self, columns: &'a [ArrayRef]) -> Result<Keys<'a>> {
        self.check(columns)?;
        let rows = columns.first().map_or(0, |column| column.len());
        let mut encoded = Vec::with_capacity(columns.len());
        let mut hashes = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            let mut encoded_column = None;
            let first = at == 0;
            let nulls = column.nulls();
            match &self.forms[at] {
                Form::Word => with_word_type!(column.data_type(), T => {
                    let values = column.as_primitive::<T>().values();
                    mix(&mut hashes, first, values.iter().map(|value| hash::of_word(value.word())), nulls);
                }, _ => {}),
                Form::Wide => {
                    let values = column.as_primitive::<Decimal128Type>().values();
                    mix(&mut hashes, first, values.iter().map(|value| hash::of_wide(*value)), nulls);
                }
                Form::Bit => {
                    let bits = column.as_boolean().values();
                    mix(&mut hashes, first, bits.iter().map(|bit| hash::of_word(u64::from(bit))), nulls);
                }
                Form::Text => mix(&mut hashes, first, byte_hashes(column.as_bytes::<Utf8Type>()), nulls),
                Form::Bytes => mix(&mut hashes, first, byte_hashes(column.as_bytes::<BinaryType>()), nulls),
                Form::Row(converter) => {
                    let rows = converter.convert_columns(std::slice::from_ref(column)).map_err(failed)?;
                    mix(&mut hashes, first, rows.iter().map(|row| hash::of_bytes(row.as_ref())), nulls);
                    encoded_column = Some(rows);
                }
            }
            encoded.push(encoded_column);
        }
        hashes.resize(rows, 0);
        let nulls = if self.nulls_equal { None } else { nulls_of(columns) };
        Ok(Keys { columns, hashes, nulls, rows: encoded })
    }

    /// Keys of those who look something up: NULL finds nothing there, whatever it is among the rows.
    ///
    /// # Errors
    ///
    /// As [`Self::keys`].
    pub(crate) fn sought<'a>(&self, columns: &'a [ArrayRef]) -> Result<Keys<'a>> {
        Ok(Keys { nulls: nulls_of(columns), ..self.keys(columns)? })
    }

    fn check(&self, columns: &[ArrayRef]) -> Result<()> {
        if columns.len() != self.types.len() {
            let message = format!("{} key columns for an index of {}", columns.len(), self.types.len());
            return Err(ConnectorError::new(ErrorKind::Configuration, "looking up a table", message));
        }
        for (column, own) in columns.iter().zip(&self.types) {
            if column.data_type() != own {
                let (given, own) = (sql_name(column.data_type()), sql_name(own));
                let message = format!("a key of {given} is looked for where the table has {own}");
                return Err(ConnectorError::new(ErrorKind::Configuration, "looking up a table", message)
                    .advise(format!("compare with CAST(… AS {own})")));
            }
        }
        Ok(())
    }

    /// For each key in `which`, whether it is that of the row at the address beside it; where `equal` is false already it stays so.
    pub(crate) fn compare(
        &self,
        keys: &Keys<'_>,
        which: impl Fn(usize) -> usize + Copy,
        segments: &Segments,
        addresses: &[Address],
        equal: &mut [bool],
    ) -> Result<()> {
        for (at, column) in keys.columns.iter().enumerate() {
            let own = self.columns[at];
            let nulls = self.nulls_equal;
            match &self.forms[at] {
                Form::Word => with_word_type!(column.data_type(), T => {
                    let there: Vec<&PrimitiveArray<T>> =
                        segments.iter().map(|segment| segment.columns()[own].as_primitive::<T>()).collect();
                    let values = stored(&there, addresses);
                    let sought = column.as_primitive::<T>().values();
                    each(equal, addresses, nulls.then_some((column, &there)), which, |at, key| {
                        values[at].word() == sought[key].word()
                    });
                }, _ => {}),
                Form::Wide => {
                    let there: Vec<&PrimitiveArray<Decimal128Type>> =
                        segments.iter().map(|segment| segment.columns()[own].as_primitive()).collect();
                    let values = stored(&there, addresses);
                    let sought = column.as_primitive::<Decimal128Type>().values();
                    each(equal, addresses, nulls.then_some((column, &there)), which, |at, key| {
                        values[at] == sought[key]
                    });
                }
                Form::Bit => {
                    let there: Vec<&BooleanArray> =
                        segments.iter().map(|segment| segment.columns()[own].as_boolean()).collect();
                    let sought = column.as_boolean().values();
                    each(equal, addresses, nulls.then_some((column, &there)), which, |at, key| {
                        let (segment, row) = addresses[at];
                        there[segment as usize].values().value(row as usize) == sought.value(key)
                    });
                }
                Form::Text => {
                    compare_bytes::<Utf8Type>(own, column, nulls, segments, equal, addresses, which);
                }
                Form::Bytes => {
                    compare_bytes::<BinaryType>(own, column, nulls, segments, equal, addresses, which);
                }
                Form::Row(converter) => {
                    let Some(sought) = &keys.rows[at] else { continue };
                    let wanted: Vec<Option<Address>> =
                        addresses.iter().zip(equal.iter()).map(|(address, equal)| equal.then_some(*address)).collect();
                    let there = segments.gather(own, &wanted).map_err(failed)?;
                    let there = converter.convert_columns(&[there]).map_err(failed)?;
                    for (at, equal) in equal.iter_mut().enumerate().filter(|(_, equal)| **equal) {
                        *equal = there.row(at) == sought.row(which(at));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the rows at two positions have the same key. No row of an index whose NULLs find nothing has one.
    pub(crate) fn same(&self, a: (&Segments, u64), b: (&Segments, u64)) -> Result<bool> {
        let ((a_segment, a_row), (b_segment, b_row)) = (a.0.address(a.1), b.0.address(b.1));
        let (a_row, b_row) = (a_row as usize, b_row as usize);
        for (at, column) in self.columns.iter().enumerate() {
            let a = &a.0.get(a_segment as usize).columns()[*column];
            let b = &b.0.get(b_segment as usize).columns()[*column];
            if self.nulls_equal && (a.is_null(a_row) || b.is_null(b_row)) {
                if a.is_null(a_row) != b.is_null(b_row) {
                    return Ok(false);
                }
                continue;
            }
            let same = match &self.forms[at] {
                Form::Word => with_word_type!(a.data_type(), T => {
                    a.as_primitive::<T>().value(a_row).word() == b.as_primitive::<T>().value(b_row).word()
                }, _ => false),
                Form::Wide => {
                    a.as_primitive::<Decimal128Type>().value(a_row) == b.as_primitive::<Decimal128Type>().value(b_row)
                }
                Form::Bit => a.as_boolean().value(a_row) == b.as_boolean().value(b_row),
                Form::Text => a.as_string::<i32>().value(a_row) == b.as_string::<i32>().value(b_row),
                Form::Bytes => a.as_binary::<i32>().value(a_row) == b.as_binary::<i32>().value(b_row),
                Form::Row(converter) => {
                    let a = converter.convert_columns(&[a.slice(a_row, 1)]).map_err(failed)?;
                    let b = converter.convert_columns(&[b.slice(b_row, 1)]).map_err(failed)?;
                    a.row(0) == b.row(0)
                }
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Which rows have no NULL in one of the columns; nothing, where none has one.
pub(crate) fn nulls_of(columns: &[ArrayRef]) -> Option<NullBuffer> {
    let nulls = columns.iter().fold(None, |nulls: Option<NullBuffer>, column| {
        NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
    });
    nulls.filter(|nulls| nulls.null_count() > 0)
}

/// Adds the hashes of the next column.
#[inline(always)]
fn mix(hashes: &mut Vec<u64>, first: bool, next: impl Iterator<Item = u64>, nulls: Option<&NullBuffer>) {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    match (first, nulls) {
        (true, None) => hashes.extend(next),
        (true, Some(nulls)) => {
            hashes.extend(next.zip(nulls.iter()).map(|(next, valid)| if valid { next } else { hash::NULL }));
        }
        (false, None) => hashes.iter_mut().zip(next).for_each(|(hash, next)| *hash = hash::and(*hash, next)),
        (false, Some(nulls)) => {
            for ((hash, next), valid) in hashes.iter_mut().zip(next).zip(nulls.iter()) {
                *hash = hash::and(*hash, if valid { next } else { hash::NULL });
            }
        }
    }
}

fn byte_hashes<T: ByteArrayType<Offset = i32>>(array: &GenericByteArray<T>) -> impl Iterator<Item = u64> + '_ {
    let data = array.value_data();
    array.value_offsets().windows(2).map(|ends| hash::of_bytes(&data[ends[0] as usize..ends[1] as usize]))
}

/// Whether `same` holds, of a place and its key, for each pair that is equal so far. With `nulls`, the column that is looked for
/// and the columns that are there, NULLs are equal to each other; what lies under a NULL says nothing.
#[inline(always)]
fn each<A: Array>(
    equal: &mut [bool],
    addresses: &[Address],
    nulls: Option<(&ArrayRef, &Vec<&A>)>,
    which: impl Fn(usize) -> usize,
    same: impl Fn(usize, usize) -> bool,
) {
    let nulls =
        nulls.filter(|(column, there)| column.null_count() > 0 || there.iter().any(|array| array.null_count() > 0));
    for (at, equal) in equal.iter_mut().enumerate() {
        if *equal {
            let key = which(at);
            let either = nulls.map(|(column, there)| {
                let (segment, row) = addresses[at];
                (column.is_null(key), there[segment as usize].is_null(row as usize))
            });
            *equal = match either {
                None | Some((false, false)) => same(at, key),
                Some((sought, there)) => sought == there,
            };
        }
    }
}

/// The values at these addresses, of which any that say nothing give any value. All are asked for before the first is read.
#[inline(always)]
fn stored<T: ArrowPrimitiveType>(there: &[&PrimitiveArray<T>], addresses: &[Address]) -> Vec<T::Native> {
    let columns: Vec<&[T::Native]> = there.iter().map(|array| array.values().as_ref()).collect();
    for (segment, row) in addresses {
        prefetch_index(columns.get(*segment as usize).copied().unwrap_or_default(), *row as usize);
    }
    let value = |(segment, row): &Address| columns.get(*segment as usize)?.get(*row as usize).copied();
    addresses.iter().map(|address| value(address).unwrap_or_default()).collect()
}

fn compare_bytes<T: ByteArrayType<Offset = i32>>(
    own: usize,
    column: &ArrayRef,
    nulls: bool,
    segments: &Segments,
    equal: &mut [bool],
    addresses: &[Address],
    which: impl Fn(usize) -> usize + Copy,
) {
    let there: Vec<&GenericByteArray<T>> =
        segments.iter().map(|segment| segment.columns()[own].as_bytes::<T>()).collect();
    let stored: Vec<(&[i32], &[u8])> = there.iter().map(|array| (array.value_offsets(), array.value_data())).collect();
    let sought = column.as_bytes::<T>();
    let (offsets, data) = (sought.value_offsets(), sought.value_data());
    // Offsets, bytes, then the comparison: of each all are asked for before the first is read.
    for (segment, row) in addresses {
        prefetch_index(stored.get(*segment as usize).map_or(&[][..], |(ends, _)| ends), *row as usize);
    }
    let mut values: Vec<&[u8]> = Vec::with_capacity(addresses.len());
    values.extend(addresses.iter().zip(equal.iter()).map(|((segment, row), equal)| {
        if !*equal {
            return &[][..];
        }
        let (ends, bytes) = stored[*segment as usize];
        let value = &bytes[ends[*row as usize] as usize..ends[*row as usize + 1] as usize];
        prefetch_index(value, 0);
        value
    }));
    each(equal, addresses, nulls.then_some((column, &there)), which, |at, key| {
        hash::same_bytes(values[at], &data[offsets[key] as usize..offsets[key + 1] as usize])
    });
}

pub(crate) fn failed(error: ArrowError) -> ConnectorError {
    ConnectorError::new(ErrorKind::Io, "keeping a table", format!("columns cannot be put together: {error}"))
}
