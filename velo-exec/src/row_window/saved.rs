//! What calls put into a checkpoint: the values of rows, and the rows that are undecided.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type, UInt64Type};
use arrow_array::{ArrayRef, Decimal128Array, Decimal256Array, UInt64Array};
use arrow_buffer::i256;
use arrow_schema::DataType;

use super::results::RowRef;
use super::value::Value;
use crate::checkpoint::columns::{Columns, Saved};
use crate::error::Result;

/// A row that a call has not decided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) at: RowRef,
    /// The number of its partition.
    pub(crate) key: u32,
    /// Its number among the rows of its partition, which ascends in their order.
    pub(crate) number: u64,
    /// Where it is among what was saved; of no meaning before that.
    pub(crate) place: usize,
}

/// The rows that a call has not decided.
#[derive(Debug, Default)]
pub(crate) struct Undecided {
    pub(crate) rows: Vec<Waiting>,
    /// What the call knows of them, each.
    pub(crate) columns: Columns,
}

impl Undecided {
    pub(super) fn push(&mut self, at: RowRef, key: usize, number: u64) {
        self.rows.push(Waiting { at, key: key as u32, number, place: 0 });
    }
}

/// Values as a column.
pub(super) fn write<'a, V: Value>(codec: &V::Codec, values: impl Iterator<Item = Option<&'a V>>) -> Result<ArrayRef> {
    V::write(codec, values.map(|value| value.cloned()).collect())
}

/// A column of values.
pub(super) fn read<V: Value>(codec: &V::Codec, column: &ArrayRef, saved: &Saved<'_>) -> Result<Vec<Option<V>>> {
    V::read(codec, column).map_err(|error| saved.damaged(&error.to_string()))
}

/// The only one of some columns.
pub(super) fn only<'a>(columns: &'a [ArrayRef], saved: &Saved<'_>) -> Result<&'a ArrayRef> {
    columns.first().ok_or_else(|| saved.damaged("the values of rows are missing"))
}

/// Values that a frame keeps, each with the number of its row: `lengths` has how many each frame keeps.
pub(super) fn write_numbered<'a, V: Value, I: Iterator<Item = (u64, Option<&'a V>)>>(
    codec: &V::Codec,
    lengths: impl Iterator<Item = usize>,
    kept: impl Fn() -> I,
    into: &mut Columns,
) -> Result<()> {
    let lengths = lengths.collect::<Vec<_>>();
    into.lists("kept_row", &lengths, Arc::new(UInt64Array::from_iter_values(kept().map(|(row, _)| row))))?;
    into.lists("kept_value", &lengths, write::<V>(codec, kept().map(|(_, value)| value))?)
}

/// What [`write_numbered`] saved.
pub(super) fn read_numbered<V: Value>(codec: &V::Codec, saved: &Saved<'_>) -> Result<Vec<Numbered<V>>> {
    let (rows, values) = (saved.lists("kept_row")?, saved.lists("kept_value")?);
    let numbers = rows.values.as_primitive_opt::<UInt64Type>();
    let numbers = numbers.ok_or_else(|| saved.damaged("rows have no numbers"))?.values().iter().copied();
    let mut all = numbers.zip(read::<V>(codec, &values.values, saved)?);
    let frame = |row: usize| match rows.length(row) == values.length(row) {
        true => Ok(all.by_ref().take(rows.length(row)).collect()),
        false => Err(saved.damaged("a frame keeps rows without their values")),
    };
    (0..saved.rows()).map(frame).collect()
}

/// Values, each with the number of its row.
pub(super) type Numbered<V> = VecDeque<(u64, Option<V>)>;

/// So many columns of values that were saved as lists under a name and a number; each row has as many of them as `lengths`
/// says.
pub(super) fn lists(saved: &Saved<'_>, name: &str, width: usize, lengths: &[usize]) -> Result<Vec<ArrayRef>> {
    let column = |at: usize| {
        let lists = saved.lists(&format!("{name}{at}"))?;
        match lengths.iter().enumerate().all(|(row, length)| lists.length(row) == *length) {
            true => Ok(lists.values),
            false => Err(saved.damaged(&format!("the lists of '{name}{at}' have another length"))),
        }
    };
    (0..width).map(column).collect()
}

/// The type of whole numbers of more than 64 bits.
pub(super) const WIDE: DataType = DataType::Decimal128(38, 0);
/// The same of more than 128 bits.
pub(super) const WIDER: DataType = DataType::Decimal256(76, 0);

/// Whole numbers as a column.
pub(super) fn wide(values: impl Iterator<Item = i128>) -> ArrayRef {
    Arc::new(Decimal128Array::from_iter_values(values).with_data_type(WIDE))
}

/// The same, of more bits.
pub(super) fn wider(values: impl Iterator<Item = i256>) -> ArrayRef {
    Arc::new(Decimal256Array::from_iter_values(values).with_data_type(WIDER))
}

/// A column of whole numbers.
pub(super) fn read_wide<'a>(column: &'a ArrayRef, saved: &Saved<'_>) -> Result<&'a [i128]> {
    let column = column.as_primitive_opt::<Decimal128Type>();
    Ok(column.ok_or_else(|| saved.damaged("whole numbers have another type"))?.values())
}

/// The same, of more bits.
pub(super) fn read_wider<'a>(column: &'a ArrayRef, saved: &Saved<'_>) -> Result<&'a [i256]> {
    let column = column.as_primitive_opt::<Decimal256Type>();
    Ok(column.ok_or_else(|| saved.damaged("whole numbers have another type"))?.values())
}

/// Makes room for the partitions with these numbers.
pub(super) fn make_room<T: Default>(partitions: &mut Vec<T>, keys: &[u32]) {
    let needed = keys.iter().max().map_or(0, |most| *most as usize + 1);
    if partitions.len() < needed {
        partitions.resize_with(needed, T::default);
    }
}
