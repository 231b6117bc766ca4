//! Where a record is: in errors, in dead letters, and as the order among equal event times.

use std::fmt;
use std::sync::Arc;

use arrow_array::{Array, BooleanArray, UInt32Array, UInt64Array};
use arrow_schema::ArrowError;
use serde::{Deserialize, Serialize};

/// The place of one record, for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Place {
    /// A line of a file (from 1), the physical line where the record begins.
    Line {
        /// The file's path as the user wrote or the glob gave it.
        path: String,
        /// The line, from 1.
        line: u64,
    },
    /// An offset of a partition of a topic.
    Offset {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: u64,
    },
    /// A record of a page.
    Page {
        /// The page's address.
        url: String,
        /// The record in it, from 1.
        record: u64,
    },
    /// A row of a table, by its key.
    Key {
        /// The table.
        table: String,
        /// The key as text.
        key: String,
    },
    /// A row that a generator or a test made.
    Row {
        /// The source's name.
        source: String,
        /// The row, from 1.
        row: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { path, line } => write!(f, "{path}:{line}"),
            Self::Offset { topic, partition, offset } => {
                write!(f, "topic {topic}, partition {partition}, offset {offset}")
            }
            Self::Page { url, record } => write!(f, "{url}, record {record}"),
            Self::Key { table, key } => write!(f, "table {table}, key {key}"),
            Self::Row { source, row } => write!(f, "{source}, row {row}"),
        }
    }
}

impl Place {
    /// The position of the record within its resource, of which [`Origin::place`] made this; none of a row of a table.
    pub fn position(&self) -> Option<u64> {
        match self {
            Self::Line { line: position, .. }
            | Self::Offset { offset: position, .. }
            | Self::Page { record: position, .. }
            | Self::Row { row: position, .. } => Some(*position),
            Self::Key { .. } => None,
        }
    }

    /// The offset of a topic that this is the text of; no other place has such a text.
    pub fn parse_offset(text: &str) -> Option<Self> {
        let (topic, rest) = text.strip_prefix("topic ")?.rsplit_once(", partition ")?;
        let (partition, offset) = rest.split_once(", offset ")?;
        let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
        Some(Self::Offset { topic: topic.to_owned(), partition, offset })
    }
}

/// What the positions of an [`Origin`] count in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// Lines of this file.
    File(Arc<str>),
    /// Offsets of this partition of this topic.
    Topic(Arc<str>, i32),
    /// Records of this page.
    Page(Arc<str>),
    /// Rows of this generator or test input.
    Rows(Arc<str>),
}

/// The partition that all rows of a batch came from, and each row's position in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The source's number in the script, from 0: the first key of the order among equal times.
    pub source: u32,
    /// The partition's number within the source: the second key.
    pub partition: u32,
    /// What is added to a position so that it grows through the whole partition, also over several files.
    pub base: u64,
    /// What the positions count in.
    pub resource: Resource,
    /// Each row's position in the resource.
    pub positions: Positions,
}

/// One position per row.
#[derive(Debug, Clone, PartialEq)]
pub enum Positions {
    /// `first`, `first + 1`, …
    Consecutive {
        /// The first row's position.
        first: u64,
    },
    /// One by one.
    Each(UInt64Array),
}

impl Origin {
    /// The position of `row` within its resource.
    pub fn position(&self, row: usize) -> u64 {
        match &self.positions {
            Positions::Consecutive { first } => first + row as u64,
            Positions::Each(each) => each.value(row),
        }
    }

    /// The position of `row` within its partition: the third key of the order among equal times.
    pub fn order(&self, row: usize) -> u64 {
        self.base + self.position(row)
    }

    /// Where `row` is, for people.
    pub fn place(&self, row: usize) -> Place {
        let position = self.position(row);
        match &self.resource {
            Resource::File(path) => Place::Line { path: path.to_string(), line: position },
            Resource::Topic(topic, partition) => {
                Place::Offset { topic: topic.to_string(), partition: *partition, offset: position }
            }
            Resource::Page(url) => Place::Page { url: url.to_string(), record: position },
            Resource::Rows(source) => Place::Row { source: source.to_string(), row: position },
        }
    }

    fn with_positions(&self, positions: Positions) -> Self {
        Self { positions, ..self.clone() }
    }

    /// The origin of the rows for which `mask` is true.
    pub fn filter(&self, mask: &BooleanArray) -> Result<Self, ArrowError> {
        let kept = (0..mask.len())
            .filter(|row| mask.is_valid(*row) && mask.value(*row))
            .map(|row| self.position(row))
            .collect::<Vec<_>>();
        Ok(self.with_positions(Positions::Each(UInt64Array::from(kept))))
    }

    /// The origin of the rows at `indices`.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self, ArrowError> {
        let taken = indices.values().iter().map(|row| self.position(*row as usize)).collect::<Vec<_>>();
        Ok(self.with_positions(Positions::Each(UInt64Array::from(taken))))
    }

    /// The origin of `length` rows from `offset` on.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        let positions = match &self.positions {
            Positions::Consecutive { first } => Positions::Consecutive { first: first + offset as u64 },
            Positions::Each(each) => Positions::Each(each.slice(offset, length)),
        };
        self.with_positions(positions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_offset_is_read_back() {
        let topic = "a.topic, partition 7".to_owned();
        let place = Place::Offset { topic, partition: 3, offset: 42 };
        assert_eq!(Place::parse_offset(&place.to_string()), Some(place));
        for other in [
            Place::Line { path: "topic a, partition 1, offset 2".to_owned(), line: 1 },
            Place::Page { url: "topic a, partition 1, offset 2".to_owned(), record: 1 },
            Place::Key { table: "topic a, partition 1, offset 2".to_owned(), key: "k".to_owned() },
            Place::Row { source: "topic a, partition 1, offset 2".to_owned(), row: 1 },
        ] {
            assert_eq!(Place::parse_offset(&other.to_string()), None, "{other}");
        }
    }
}
