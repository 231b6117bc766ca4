//! A place in Avro's binary encoding that moves over values.
//!
//! Source: <https://avro.apache.org/docs/1.12.0/specification/#binary-encoding>.

use super::schema::{AvroSchema, Type};
use crate::json::cursor::{Outcome, Problem};
use crate::value::varint::{Broken, from_zigzag, varint};

/// The deepest that values are within each other: a schema may stand in itself.
pub(super) const DEPTH_LIMIT: usize = 128;

/// Items without bytes (nulls, empty records) of which a record may claim any number.
const EMPTY_ITEMS: u64 = 1 << 16;

/// A place in a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    /// Up to the record's end.
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

#[cold]
pub(super) fn problem(message: impl Into<String>) -> Box<Problem> {
    Problem::value("", message.into())
}

#[cold]
fn ends() -> Box<Problem> {
    problem("the record ends before it: it is cut off, or was written by another schema")
}

impl<'a> Cursor<'a> {
    /// A whole number in zigzag form.
    #[inline]
    pub(super) fn long(&mut self) -> Outcome<i64> {
        match varint(&self.bytes[self.at..]) {
            Ok((value, size)) => {
                self.at += size;
                Ok(from_zigzag(value))
            }
            Err(Broken::CutOff) => Err(ends()),
            Err(Broken::TooLong) => Err(problem("a number has more than 64 bits")),
        }
    }

    /// A whole number of 32 bits.
    #[inline]
    pub(super) fn int(&mut self) -> Outcome<i32> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| problem(format!("{value} is no int: it has more than 32 bits")))
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Outcome<bool> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(problem(format!("the byte {} is no boolean: 0 or 1 is", other[0]))),
        }
    }

    #[inline]
    pub(super) fn float(&mut self) -> Outcome<f32> {
        let bytes = self.array()?;
        Ok(f32::from_le_bytes(bytes))
    }

    #[inline]
    pub(super) fn double(&mut self) -> Outcome<f64> {
        let bytes = self.array()?;
        Ok(f64::from_le_bytes(bytes))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let Some(bytes) = self.bytes[self.at..].first_chunk::<N>() else { return Err(ends()) };
        self.at += N;
        Ok(*bytes)
    }

    /// So many bytes.
    #[inline]
    pub(super) fn take(&mut self, size: usize) -> Outcome<&'a [u8]> {
        let Some(bytes) = self.bytes[self.at..].get(..size) else { return Err(ends()) };
        self.at += size;
        Ok(bytes)
    }

    /// Bytes with their number before them.
    #[inline]
    pub(super) fn bytes(&mut self) -> Outcome<&'a [u8]> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(problem(format!("a length is negative: {length}"))),
        }
    }

    /// The branch of a union of so many.
    #[inline]
    pub(super) fn branch(&mut self, count: usize) -> Outcome<usize> {
        let branch = self.long()?;
        match usize::try_from(branch) {
            Ok(branch) if branch < count => Ok(branch),
            _ => Err(problem(format!("there is no branch {branch} in a union of {count}"))),
        }
    }

    /// The number of items of the next block of an array or map; 0 ends it. `smallest` is the least that an item takes.
    #[inline]
    pub(super) fn block(&mut self, smallest: usize, before: u64) -> Outcome<u64> {
        let count = self.long()?;
        if count < 0 {
            // The size of the block follows, for those who skip it.
            self.long()?;
        }
        let count = count.unsigned_abs();
        let room = match smallest {
            0 => EMPTY_ITEMS.saturating_sub(before),
            smallest => ((self.bytes.len() - self.at) / smallest) as u64,
        };
        if count > room {
            return Err(problem(format!("{count} items are more than the record has bytes for")));
        }
        Ok(count)
    }

    /// Goes past a value.
    pub(super) fn skip(&mut self, schema: &AvroSchema, ty: usize, depth: usize) -> Outcome<()> {
        match schema.at(ty) {
            Type::Null => {}
            Type::Boolean => {
                self.boolean()?;
            }
            Type::Int(_) | Type::Long(_) | Type::Enum { .. } => {
                self.long()?;
            }
            Type::Float => {
                self.take(4)?;
            }
            Type::Double => {
                self.take(8)?;
            }
            Type::Bytes(_) | Type::String(_) => {
                self.bytes()?;
            }
            Type::Fixed { size, .. } => {
                self.take(*size)?;
            }
            _ if depth > DEPTH_LIMIT => return Err(too_deep()),
            Type::Union(branches) => {
                let branch = self.branch(branches.len())?;
                self.skip(schema, branches[branch], depth + 1)?;
            }
            Type::Array(item) => self.skip_blocks(schema, None, *item, depth)?,
            Type::Map(value) => self.skip_blocks(schema, Some(()), *value, depth)?,
            Type::Record { fields, .. } => {
                for field in fields {
                    self.skip(schema, field.ty, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn skip_blocks(&mut self, schema: &AvroSchema, key: Option<()>, item: usize, depth: usize) -> Outcome<()> {
        let smallest = schema.smallest(item) + usize::from(key.is_some());
        let mut before = 0;
        loop {
            let count = self.block(smallest, before)?;
            if count == 0 {
                return Ok(());
            }
            before += count;
            for _ in 0..count {
                if key.is_some() {
                    self.bytes()?;
                }
                self.skip(schema, item, depth + 1)?;
            }
        }
    }
}

#[cold]
pub(super) fn too_deep() -> Box<Problem> {
    problem(format!("values are deeper than {DEPTH_LIMIT} within each other"))
}
