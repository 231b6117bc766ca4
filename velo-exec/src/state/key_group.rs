//! Which key group a key belongs to.
//!
//! The key group of a key is XXH3-64 with seed 0 over the key's byte form, modulo 256. The form must never change: a
//! checkpoint's state is laid out by it. It has, for each key column in order, a tag and then the value:
//!
//! | tag | type | value |
//! |---|---|---|
//! | 0 | NULL of any type | nothing |
//! | 1 | BOOLEAN | one byte, 0 or 1 |
//! | 2 | integers | 8 bytes, little-endian, signed |
//! | 3 | BIGINT UNSIGNED above the largest BIGINT | 8 bytes, little-endian |
//! | 4 | REAL, DOUBLE | the 8 bytes of the DOUBLE, little-endian; −0 as 0, one NaN |
//! | 5 | DECIMAL | the scale in one byte, then 32 bytes, little-endian, signed |
//! | 6 | STRING, JSON | the length in 4 bytes, little-endian, then UTF-8 |
//! | 7 | BYTES | the length in 4 bytes, little-endian, then the bytes |
//! | 8 | DATE | days since 1970-01-01 as an integer |
//! | 9 | TIME | nanoseconds since midnight as an integer |
//! | 10 | TIMESTAMP, TIMESTAMP(9) | seconds since 1970-01-01T00:00:00Z as an integer, then nanoseconds in 4 bytes |
//! | 11 | anything else | the length in 4 bytes, little-endian, then the value as text |

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::i256;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::Result;

/// The number of key groups, and the highest parallelism.
pub const KEY_GROUPS: usize = 256;

/// Finds the key groups of batches; keeps its buffer between them.
#[derive(Debug, Default)]
pub struct KeyGrouper {
    bytes: Vec<u8>,
}

/// Appends one column's part of a row's byte form.
type Writer<'a> = Box<dyn Fn(&mut Vec<u8>, usize) + 'a>;

impl KeyGrouper {
    /// A grouper.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key group of each of `rows` rows, into `groups`.
    pub fn key_groups(&mut self, columns: &[ArrayRef], rows: usize, groups: &mut Vec<u8>) -> Result<()> {
        let writers = columns.iter().map(writer).collect::<Result<Vec<_>>>()?;
        groups.clear();
        groups.reserve(rows);
        for row in 0..rows {
            self.bytes.clear();
            for (column, write) in columns.iter().zip(&writers) {
                if column.is_null(row) {
                    self.bytes.push(0);
                } else {
                    write(&mut self.bytes, row);
                }
            }
            groups.push((xxh3_64(&self.bytes) % KEY_GROUPS as u64) as u8);
        }
        Ok(())
    }
}

/// The rows of each of so many parts, which share the key groups as `part_of` says, in their order.
pub(crate) fn shared_out(groups: &[u8], parts: usize, part_of: impl Fn(u8) -> usize) -> Vec<Vec<u32>> {
    let mut rows = vec![Vec::new(); parts];
    for (row, group) in groups.iter().enumerate() {
        rows[part_of(*group)].push(row as u32);
    }
    rows
}

fn tagged(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    out.extend_from_slice(value);
}

fn sized(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    tagged(out, tag, &(value.len() as u32).to_le_bytes());
    out.extend_from_slice(value);
}

fn double(out: &mut Vec<u8>, value: f64) {
    let canonical = if value.is_nan() { f64::NAN } else { value + 0.0 };
    tagged(out, 4, &canonical.to_bits().to_le_bytes());
}

fn decimal(out: &mut Vec<u8>, scale: i8, value: i256) {
    tagged(out, 5, &scale.to_le_bytes());
    out.extend_from_slice(&value.to_le_bytes());
}

fn timestamp(out: &mut Vec<u8>, value: i64, per_second: i64) {
    tagged(out, 10, &value.div_euclid(per_second).to_le_bytes());
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    out.extend_from_slice(&(nanos as u32).to_le_bytes());
}

fn writer(column: &ArrayRef) -> Result<Writer<'_>> {
    macro_rules! primitive {
        ($t:ty, $write:expr) => {{
            let array = column.as_primitive::<$t>();
            let write = $write;
            Box::new(move |out: &mut Vec<u8>, row: usize| write(out, array.value(row)))
        }};
    }
    macro_rules! integer {
        ($t:ty, $tag:expr, $times:expr) => {
            primitive!($t, |out: &mut Vec<u8>, value| tagged(out, $tag, &(i64::from(value) * $times).to_le_bytes()))
        };
    }
    macro_rules! instant {
        ($t:ty, $per_second:expr) => {
            primitive!($t, |out: &mut Vec<u8>, value| timestamp(out, value, $per_second))
        };
    }
    Ok(match column.data_type() {
        DataType::Boolean => {
            let array = column.as_boolean();
            Box::new(move |out, row| tagged(out, 1, &[u8::from(array.value(row))]))
        }
        DataType::Int8 => integer!(Int8Type, 2, 1),
        DataType::Int16 => integer!(Int16Type, 2, 1),
        DataType::Int32 => integer!(Int32Type, 2, 1),
        DataType::Int64 => integer!(Int64Type, 2, 1),
        DataType::UInt8 => integer!(UInt8Type, 2, 1),
        DataType::UInt16 => integer!(UInt16Type, 2, 1),
        DataType::UInt32 => integer!(UInt32Type, 2, 1),
        DataType::UInt64 => primitive!(UInt64Type, |out: &mut Vec<u8>, value: u64| {
            tagged(out, if i64::try_from(value).is_ok() { 2 } else { 3 }, &value.to_le_bytes());
        }),
        DataType::Float32 => primitive!(Float32Type, |out: &mut Vec<u8>, value: f32| double(out, f64::from(value))),
        DataType::Float64 => primitive!(Float64Type, |out: &mut Vec<u8>, value: f64| double(out, value)),
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            primitive!(Decimal128Type, move |out: &mut Vec<u8>, value: i128| decimal(
                out,
                scale,
                i256::from_i128(value)
            ))
        }
        DataType::Decimal256(_, scale) => {
            let scale = *scale;
            primitive!(Decimal256Type, move |out: &mut Vec<u8>, value: i256| decimal(out, scale, value))
        }
        DataType::Utf8 => {
            let array = column.as_string::<i32>();
            Box::new(move |out, row| sized(out, 6, array.value(row).as_bytes()))
        }
        DataType::Binary => {
            let array = column.as_binary::<i32>();
            Box::new(move |out, row| sized(out, 7, array.value(row)))
        }
        DataType::Date32 => integer!(Date32Type, 8, 1),
        DataType::Time32(TimeUnit::Second) => integer!(Time32SecondType, 9, 1_000_000_000),
        DataType::Time32(TimeUnit::Millisecond) => integer!(Time32MillisecondType, 9, 1_000_000),
        DataType::Time64(TimeUnit::Microsecond) => integer!(Time64MicrosecondType, 9, 1_000),
        DataType::Time64(TimeUnit::Nanosecond) => integer!(Time64NanosecondType, 9, 1),
        DataType::Timestamp(TimeUnit::Second, _) => instant!(TimestampSecondType, 1),
        DataType::Timestamp(TimeUnit::Millisecond, _) => instant!(TimestampMillisecondType, 1_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => instant!(TimestampMicrosecondType, 1_000_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => instant!(TimestampNanosecondType, 1_000_000_000),
        DataType::Null => Box::new(|out, _| out.push(0)),
        _ => {
            let formatter = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::new())?;
            Box::new(move |out, row| sized(out, 11, formatter.value(row).to_string().as_bytes()))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::*;

    use super::*;

    fn groups(columns: &[ArrayRef]) -> Vec<u8> {
        let mut groups = Vec::new();
        KeyGrouper::new().key_groups(columns, columns[0].len(), &mut groups).unwrap();
        groups
    }

    /// The byte form as the module documents it, written by hand.
    #[test]
    fn the_documented_form() {
        let of = |parts: &[&[u8]]| (xxh3_64(&parts.concat()) % 256) as u8;
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), None]));
        let number: ArrayRef = Arc::new(Int32Array::from(vec![-2, 7]));
        assert_eq!(
            groups(&[text, number]),
            [
                of(&[&[6, 2, 0, 0, 0], b"ab", &[2, 0xfe, 255, 255, 255, 255, 255, 255, 255]]),
                of(&[&[0], &[2, 7, 0, 0, 0, 0, 0, 0, 0]])
            ]
        );
        let decimal: ArrayRef = Arc::new(Decimal128Array::from(vec![258]).with_precision_and_scale(10, 2).unwrap());
        assert_eq!(groups(&[decimal]), [of(&[&[5, 2, 2, 1], &[0; 30]])]);
        let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-1]));
        assert_eq!(groups(&[time]), [of(&[&[10], &(-1_i64).to_le_bytes(), &999_999_000_u32.to_le_bytes()])]);
    }

    /// Equal values of different types of one kind are in one group, so that a schema may widen.
    #[test]
    fn equal_values_are_together() {
        let narrow: ArrayRef = Arc::new(Int8Array::from(vec![-5, 100]));
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![-5, 100]));
        assert_eq!(groups(&[narrow]), groups(&[wide]));
        let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-1, 1_500_000]));
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![-1_000, 1_500_000_000]));
        assert_eq!(groups(&[micros]), groups(&[nanos]));
        let zeros: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        let zeros = groups(&[zeros]);
        assert_eq!((zeros[0], zeros[2]), (zeros[1], zeros[3]));
    }

    /// Checkpoints rely on these: they must never change.
    #[test]
    fn a_hundred_pinned_groups() {
        let rows = 0..10_i64;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.clone().map(|n| format!("symbol {}", n * n)))),
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|n| n * 1_000_003 - 5))),
            Arc::new(UInt64Array::from_iter_values(rows.clone().map(|n| u64::MAX - n as u64))),
            Arc::new(rows.clone().map(|n| (n % 3 != 0).then_some(n % 2 == 0)).collect::<BooleanArray>()),
            Arc::new(Float64Array::from_iter_values(rows.clone().map(|n| n as f64 / 3.0 - 1.0))),
            Arc::new(
                Decimal128Array::from_iter_values(rows.clone().map(|n| i128::from(n) - 4))
                    .with_precision_and_scale(18, 4)
                    .unwrap(),
            ),
            Arc::new(Date32Array::from_iter_values(rows.clone().map(|n| n as i32 * 365 - 1_000))),
            Arc::new(TimestampMicrosecondArray::from_iter_values(rows.clone().map(|n| n * 1_234_567 - 3_000_000))),
            Arc::new(Time64MicrosecondArray::from_iter_values(rows.clone().map(|n| n * 3_600_000_001))),
            Arc::new(BinaryArray::from_iter_values(rows.map(|n| vec![n as u8; n as usize * 3]))),
        ];
        let found = columns.iter().map(|column| groups(std::slice::from_ref(column))).collect::<Vec<_>>();
        assert_eq!(found, PINNED);
    }

    const PINNED: [[u8; 10]; 10] = [
        [32, 139, 51, 252, 81, 236, 155, 250, 128, 205],
        [165, 65, 211, 40, 64, 42, 117, 1, 213, 107],
        [103, 83, 47, 67, 170, 68, 251, 51, 238, 117],
        [219, 192, 243, 219, 243, 192, 219, 192, 243, 219],
        [124, 184, 219, 198, 228, 51, 12, 98, 180, 248],
        [220, 66, 91, 17, 50, 139, 43, 172, 222, 92],
        [70, 188, 172, 39, 135, 101, 109, 200, 212, 107],
        [68, 23, 215, 138, 230, 64, 24, 137, 15, 170],
        [22, 147, 212, 128, 77, 118, 114, 158, 196, 233],
        [110, 227, 5, 79, 232, 126, 53, 191, 212, 204],
    ];
}
