//! The values of a column that lie anywhere: some hundred are asked for before the first of them is read, so that they come from memory
//! together. The library's `interleave` waits for each by itself.

use std::sync::Arc;

use arrow_array::builder::BooleanBufferBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, BinaryType, ByteArrayType, Utf8Type};
use arrow_array::{Array, ArrayRef, GenericByteArray, PrimitiveArray, downcast_primitive, new_null_array};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType};
use prefetch_index::prefetch_index;

use crate::store::index::CHUNK;
use crate::store::segments::Address;

/// So many bytes of a text are copied without asking how many it has.
const SHORT: usize = 16;

/// The values of `columns`, a part of one column each, at these addresses; NULL for `None`.
pub(crate) fn gather(
    columns: &[&dyn Array],
    data_type: &DataType,
    addresses: &[Option<Address>],
) -> Result<ArrayRef, ArrowError> {
    macro_rules! of_primitive {
        ($type:ty) => {
            Ok(primitive::<$type>(columns, data_type, addresses))
        };
    }
    downcast_primitive! {
        data_type => (of_primitive),
        DataType::Utf8 => bytes::<Utf8Type>(columns, addresses),
        DataType::Binary => bytes::<BinaryType>(columns, addresses),
        _ => {
            let null = new_null_array(data_type, 1);
            let (mut columns, absent) = (columns.to_vec(), columns.len());
            columns.push(null.as_ref());
            let place = |(segment, row): Address| (segment as usize, row as usize);
            let places: Vec<_> = addresses.iter().map(|address| address.map_or((absent, 0), place)).collect();
            arrow_select::interleave::interleave(&columns, &places)
        }
    }
}

/// Which values are there; nothing where all are.
fn validity(columns: &[&dyn Array], addresses: &[Option<Address>]) -> Option<NullBuffer> {
    let nulls: Vec<_> = columns.iter().map(|column| column.nulls().filter(|nulls| nulls.null_count() > 0)).collect();
    let some_null = nulls.iter().any(Option::is_some);
    if !some_null && addresses.iter().all(Option::is_some) {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(addresses.len());
    for address in addresses {
        valid.append(address.is_some_and(|(segment, row)| {
            !some_null || nulls[segment as usize].is_none_or(|nulls| nulls.is_valid(row as usize))
        }));
    }
    Some(NullBuffer::new(valid.finish()))
}

fn primitive<T: ArrowPrimitiveType>(
    columns: &[&dyn Array],
    data_type: &DataType,
    addresses: &[Option<Address>],
) -> ArrayRef {
    let values: Vec<&[T::Native]> = columns.iter().map(|column| column.as_primitive::<T>().values().as_ref()).collect();
    let value = |(segment, row): Address| values[segment as usize][row as usize];
    let mut gathered = Vec::with_capacity(addresses.len());
    for chunk in addresses.chunks(CHUNK) {
        for (segment, row) in chunk.iter().flatten() {
            prefetch_index(values[*segment as usize], *row as usize);
        }
        gathered.extend(chunk.iter().map(|address| address.map_or_else(T::Native::default, value)));
    }
    let array = PrimitiveArray::<T>::new(ScalarBuffer::from(gathered), validity(columns, addresses));
    Arc::new(array.with_data_type(data_type.clone()))
}

fn bytes<T: ByteArrayType<Offset = i32>>(
    columns: &[&dyn Array],
    addresses: &[Option<Address>],
) -> Result<ArrayRef, ArrowError> {
    let stored: Vec<(&[i32], &[u8])> = columns
        .iter()
        .map(|column| {
            let array: &GenericByteArray<T> = column.as_bytes();
            (array.value_offsets(), array.value_data())
        })
        .collect();
    let mut offsets = Vec::with_capacity(addresses.len() + 1);
    let mut data: Vec<u8> = Vec::new();
    // The bytes of a part, and where in them the value is.
    let mut spans: Vec<(&[u8], usize, usize)> = Vec::with_capacity(CHUNK);
    let mut length = 0_usize;
    offsets.push(0);
    for chunk in addresses.chunks(CHUNK) {
        for (segment, row) in chunk.iter().flatten() {
            prefetch_index(stored[*segment as usize].0, *row as usize);
        }
        spans.clear();
        spans.extend(chunk.iter().map(|address| {
            address.map_or((&[][..], 0, 0), |(segment, row)| {
                let (ends, source) = stored[segment as usize];
                let from = ends[row as usize] as usize;
                prefetch_index(source, from);
                (source, from, ends[row as usize + 1] as usize)
            })
        }));
        let more: usize = spans.iter().map(|(_, from, to)| to - from).sum();
        // Room for what is copied too far.
        data.resize(length + more + SHORT, 0);
        for (source, from, to) in &spans {
            let size = to - from;
            match source.get(*from..from + SHORT) {
                Some(short) if size <= SHORT => data[length..length + SHORT].copy_from_slice(short),
                _ => data[length..length + size].copy_from_slice(&source[*from..*to]),
            }
            length += size;
            offsets.push(i32::try_from(length).map_err(|_| ArrowError::OffsetOverflowError(length))?);
        }
    }
    data.truncate(length);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let array = GenericByteArray::<T>::try_new(offsets, Buffer::from_vec(data), validity(columns, addresses))?;
    Ok(Arc::new(array))
}

#[cfg(test)]
mod tests {
    use arrow_array::{BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray};
    use arrow_array::{TimestampMicrosecondArray, UInt8Array};
    use velo_testkit::Random;

    use super::*;

    /// Three parts of a column that has values of all lengths, some of them NULL.
    fn parts(kind: usize) -> Vec<ArrayRef> {
        let text = |number: usize| "añ".repeat(number % 13);
        let part = |from: usize| -> ArrayRef {
            let numbers = (from..from + 50).map(|number| (from == 0 || number % 7 != 0).then_some(number));
            match kind {
                0 => Arc::new(numbers.map(|number| number.map(|number| number as i32)).collect::<Int32Array>()),
                1 => Arc::new(numbers.map(|number| number.map(|number| number as i64)).collect::<Int64Array>()),
                2 => Arc::new(numbers.map(|number| number.map(|number| number as f64)).collect::<Float64Array>()),
                3 => {
                    let values: Decimal128Array = numbers.map(|number| number.map(|number| number as i128)).collect();
                    Arc::new(values.with_precision_and_scale(20, 3).unwrap())
                }
                4 => {
                    let values = numbers.map(|number| number.map(|number| number as i64));
                    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
                }
                5 => Arc::new(numbers.map(|number| number.map(text)).collect::<StringArray>()),
                6 => Arc::new(
                    numbers.map(|number| number.map(|number| text(number).into_bytes())).collect::<BinaryArray>(),
                ),
                7 => Arc::new(numbers.map(|number| number.map(|number| number % 2 == 0)).collect::<BooleanArray>()),
                _ => Arc::new(numbers.map(|number| number.map(|number| number as u8)).collect::<UInt8Array>()),
            }
        };
        vec![part(0), part(50).slice(3, 40), part(100)]
    }

    #[test]
    fn as_the_library_takes_them() {
        let mut random = Random::new(4);
        for kind in 0..9 {
            let parts = parts(kind);
            for used in [1, 3] {
                let columns: Vec<&dyn Array> = parts[..used].iter().map(AsRef::as_ref).collect();
                for (count, absent) in [(0, 0), (1, 0), (700, 0), (700, 5), (3, 1)] {
                    let addresses: Vec<Option<Address>> = (0..count)
                        .map(|_| {
                            let address = (random.below(used as u64) as u32, random.below(40) as u32);
                            (absent == 0 || !random.chance(1, absent)).then_some(address)
                        })
                        .collect();
                    let data_type = parts[0].data_type();
                    let gathered = gather(&columns, data_type, &addresses).unwrap();
                    let null = new_null_array(data_type, 1);
                    let mut all = columns.clone();
                    all.push(null.as_ref());
                    let place = |(segment, row): Address| (segment as usize, row as usize);
                    let places: Vec<_> = addresses.iter().map(|address| address.map_or((used, 0), place)).collect();
                    assert_eq!(&gathered, &arrow_select::interleave::interleave(&all, &places).unwrap(), "{data_type}");
                    assert_eq!(gathered.data_type(), data_type);
                    if absent == 1 {
                        // A table without rows has no part.
                        assert_eq!(&gather(&[], data_type, &addresses).unwrap(), &gathered);
                    }
                }
            }
        }
    }
}
