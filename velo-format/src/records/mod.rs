//! Records that stand one by one: the values and keys of messages, the bodies of requests.
//!
//! [`RecordFormat`] is the way in: it reads the properties and opens a [`RecordDecoder`] or a [`RecordEncoder`]; nothing else
//! tells the formats apart. Where the schemas of records are in a registry, a record names its own by a number in front of it
//! ([`confluent`]): [`Schemas`] keeps all that were asked for, and `Schemas::ensure` asks for those that a chunk needs, so that
//! decoding itself never waits.

pub mod confluent;
mod format;
mod open;
pub mod properties;
mod raw;
#[cfg(feature = "registry")]
pub mod registry;
mod schemas;
mod sinks;

use std::ops::Range;

use arrow_array::RecordBatch;
use bytes::Bytes;
use velo_core::connector::Decoded;
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::place::Origin;
use velo_core::row_kind::RowKinds;

pub use format::{OpenDecoder, RecordFormat, RecordFormats};
pub use raw::{RawDecoder, RawEncoder};
pub use schemas::{RegisteredSchema, SchemaKind, Schemas};

/// Decodes records that stand one by one in bytes: the values (or keys) of messages, the bodies of requests.
pub trait RecordDecoder: Send + Sync {
    /// `records`: the place of each in `bytes` and its position, ascending. Bad records are part of the result.
    fn decode_records(
        &self,
        bytes: &Bytes,
        origin: &Origin,
        records: &mut dyn Iterator<Item = (Range<usize>, u64)>,
    ) -> Result<Decoded, ConnectorError>;

    /// The fields of one record, for a message about one that it lacks.
    fn fields_of(&self, record: &[u8]) -> Vec<String>;
}

/// Rows as bytes, one behind the other.
#[derive(Debug, Default)]
pub struct EncodedRows {
    /// The bytes of all.
    pub bytes: Vec<u8>,
    /// Where each row ends in them.
    pub ends: Vec<usize>,
}

impl EncodedRows {
    /// Forgets all rows, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The bytes of a row, of which there are that many.
    #[inline]
    pub fn row(&self, row: usize) -> &[u8] {
        let from = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[from..self.ends[row]]
    }
}

/// Encodes rows one by one.
pub trait RecordEncoder: Send + Sync {
    /// Appends each row's bytes to `out`, and where each ends to `ends`.
    fn encode_records(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ConnectorError>;

    /// The same for rows that say what happens to them, where the records have a place for that (`changelog.mode` = `full` or
    /// `debezium`). Of an update written as one record the `-U` has no bytes: it ends where the row before it ends, and its `+U`
    /// holds both.
    ///
    /// # Errors
    ///
    /// For a format without a place for kinds, where one is not `+I`.
    fn encode_changes(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&RowKinds>,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ConnectorError> {
        match kinds.filter(|kinds| !kinds.all_inserts()) {
            None => self.encode_records(batch, out, ends),
            Some(_) => Err(ConnectorError::new(
                ErrorKind::Encode,
                "writing",
                "the records of the format have no place for the kind of a row",
            )
            .advise("set 'changelog.mode' = 'full', which writes it as _op, or 'upsert' with a key")),
        }
    }
}
