//! One value per group, of any type: what FIRST, LAST, ARG_MIN and ARG_MAX keep, and MIN and MAX of text.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, PrimitiveBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{Array, ArrayRef, BinaryArray, StringArray, downcast_primitive};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_row::{RowConverter, SortField};
use arrow_schema::DataType;

use crate::error::{ExecError, Result};

/// One value per group.
pub(super) trait Values: Send {
    /// Makes room for `groups` groups.
    fn grow(&mut self, groups: usize);
    /// Copies `values` at `rows` to `groups`, nulls included.
    fn put(&mut self, groups: &[u32], rows: &[u32], values: &ArrayRef) -> Result<()>;
    /// The values of `groups`; null where there is none.
    fn get(&self, groups: &[u32]) -> Result<ArrayRef>;
    /// Bytes of memory.
    fn memory(&self) -> usize;
}

/// An empty column of values.
pub(super) fn values(data_type: &DataType) -> Result<Box<dyn Values>> {
    macro_rules! primitive {
        ($t:ty) => {
            Box::new(Primitive::<$t>::new(data_type.clone()))
        };
    }
    Ok(downcast_primitive! {
        data_type => (primitive),
        DataType::Boolean => Box::new(Booleans::default()),
        other => Box::new(Encoded::new(other)?),
    })
}

struct Primitive<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<T::Native>,
    valid: Vec<bool>,
    of: PhantomData<fn() -> T>,
}

impl<T: ArrowPrimitiveType> Primitive<T> {
    fn new(data_type: DataType) -> Self {
        Self { data_type, values: Vec::new(), valid: Vec::new(), of: PhantomData }
    }
}

impl<T: ArrowPrimitiveType> Values for Primitive<T> {
    fn grow(&mut self, groups: usize) {
        self.values.resize(groups, T::Native::default());
        self.valid.resize(groups, false);
    }

    fn put(&mut self, groups: &[u32], rows: &[u32], values: &ArrayRef) -> Result<()> {
        let array = values.as_primitive_opt::<T>().ok_or_else(|| wrong_type(values, &self.data_type))?;
        let (slots, valid) = (&mut self.values, &mut self.valid);
        for (group, row) in groups.iter().zip(rows) {
            slots[*group as usize] = array.value(*row as usize);
            valid[*group as usize] = array.is_valid(*row as usize);
        }
        Ok(())
    }

    fn get(&self, groups: &[u32]) -> Result<ArrayRef> {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(groups.len()).with_data_type(self.data_type.clone());
        for group in groups {
            let group = *group as usize;
            builder.append_option(self.valid[group].then(|| self.values[group]));
        }
        Ok(Arc::new(builder.finish()))
    }

    fn memory(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>() + self.valid.capacity()
    }
}

#[derive(Debug, Default)]
struct Booleans(Vec<Option<bool>>);

impl Values for Booleans {
    fn grow(&mut self, groups: usize) {
        self.0.resize(groups, None);
    }

    fn put(&mut self, groups: &[u32], rows: &[u32], values: &ArrayRef) -> Result<()> {
        let array = values.as_boolean_opt().ok_or_else(|| wrong_type(values, &DataType::Boolean))?;
        for (group, row) in groups.iter().zip(rows) {
            let row = *row as usize;
            self.0[*group as usize] = array.is_valid(row).then(|| array.value(row));
        }
        Ok(())
    }

    fn get(&self, groups: &[u32]) -> Result<ArrayRef> {
        let mut builder = BooleanBuilder::with_capacity(groups.len());
        for group in groups {
            builder.append_option(self.0[*group as usize]);
        }
        Ok(Arc::new(builder.finish()))
    }

    fn memory(&self) -> usize {
        self.0.capacity()
    }
}

/// Text, bytes, and whatever has no fixed width: one allocation for each group that has a value. Text and bytes lie here as
/// they are, everything else (lists, structs) in the library's comparable form, so that all of them compare as bytes.
#[derive(Debug)]
pub(super) struct Encoded {
    data_type: DataType,
    /// None for text and bytes.
    converter: Option<RowConverter>,
    values: Vec<Option<Box<[u8]>>>,
}

/// The bytes of each row of a column.
pub(super) struct ByteRows {
    offsets: OffsetBuffer<i32>,
    data: Buffer,
}

impl ByteRows {
    #[inline]
    pub(super) fn value(&self, row: usize) -> &[u8] {
        &self.data[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }
}

impl Encoded {
    pub(super) fn new(data_type: &DataType) -> Result<Self> {
        let converter = match data_type {
            DataType::Utf8 | DataType::Binary => None,
            other => Some(RowConverter::new(vec![SortField::new(other.clone())])?),
        };
        Ok(Self { data_type: data_type.clone(), converter, values: Vec::new() })
    }

    /// The type of the values.
    pub(super) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The rows of `values` as bytes that compare as the values do.
    pub(super) fn read(&self, values: &ArrayRef) -> Result<ByteRows> {
        if values.data_type() != &self.data_type {
            return Err(wrong_type(values, &self.data_type));
        }
        let binary = match &self.converter {
            Some(converter) => converter.convert_columns(&[Arc::clone(values)])?.try_into_binary()?,
            None => match values.as_string_opt::<i32>() {
                Some(text) => {
                    return Ok(ByteRows { offsets: text.offsets().clone(), data: text.values().clone() });
                }
                None => values.as_binary_opt::<i32>().ok_or_else(|| wrong_type(values, &self.data_type))?.clone(),
            },
        };
        Ok(ByteRows { offsets: binary.offsets().clone(), data: binary.values().clone() })
    }

    pub(super) fn value(&self, group: u32) -> Option<&[u8]> {
        self.values[group as usize].as_deref()
    }

    pub(super) fn set(&mut self, group: u32, bytes: &[u8]) {
        // A value of the same length reuses its place.
        match &mut self.values[group as usize] {
            Some(known) if known.len() == bytes.len() => known.copy_from_slice(bytes),
            slot => *slot = Some(bytes.into()),
        }
    }
}

impl Values for Encoded {
    fn grow(&mut self, groups: usize) {
        self.values.resize(groups, None);
    }

    fn put(&mut self, groups: &[u32], rows: &[u32], values: &ArrayRef) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.converter.is_some() && rows.len() < values.len() {
            // Only what is kept is encoded.
            let wanted = arrow_array::UInt32Array::from(rows.to_vec());
            let taken = arrow_select::take::take(values, &wanted, None)?;
            let all = (0..rows.len() as u32).collect::<Vec<_>>();
            return self.put(groups, &all, &taken);
        }
        let read = self.read(values)?;
        for (group, row) in groups.iter().zip(rows) {
            let row = *row as usize;
            if values.is_null(row) {
                self.values[*group as usize] = None;
            } else {
                self.set(*group, read.value(row));
            }
        }
        Ok(())
    }

    fn get(&self, groups: &[u32]) -> Result<ArrayRef> {
        if let Some(converter) = &self.converter {
            let null = converter.convert_columns(&[arrow_array::new_null_array(&self.data_type, 1)])?;
            let parser = converter.parser();
            let rows =
                groups.iter().map(|group| self.value(*group).map_or_else(|| null.row(0), |value| parser.parse(value)));
            let columns = converter.convert_rows(rows)?;
            return columns.into_iter().next().ok_or_else(|| ExecError::Internal("no column came back".to_owned()));
        }
        let mut builder = BinaryBuilder::with_capacity(groups.len(), groups.len() * 16);
        for group in groups {
            builder.append_option(self.value(*group));
        }
        let (offsets, data, nulls) = builder.finish().into_parts();
        Ok(if self.data_type == DataType::Utf8 {
            Arc::new(StringArray::try_new(offsets, data, nulls)?)
        } else {
            Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
        })
    }

    fn memory(&self) -> usize {
        let bytes = self.values.iter().flatten().map(|value| value.len()).sum::<usize>();
        bytes + self.values.capacity() * size_of::<Option<Box<[u8]>>>()
    }
}

pub(super) fn wrong_type(column: &ArrayRef, planned: &DataType) -> ExecError {
    ExecError::Internal(format!("an argument of {} where {planned} was planned", column.data_type()))
}
