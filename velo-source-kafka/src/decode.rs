//! Chunks of records as rows: values by the format, and system columns beside them.

use std::sync::Arc;

use arrow_array::builder::{MapBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema};
use velo_core::connector::{Chunk, ChunkDecoder, DecodeColumn, Decoded};
use velo_core::error::ErrorKind;
use velo_core::place::Resource;
use velo_core::table_text::value_text;
use velo_core::{Batch, ConnectorError, Result};
use velo_format::records::{OpenDecoder, RecordDecoder, Schemas};

use crate::frames::{Frames, Wanted};

/// What a record has beside its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    Timestamp,
    Topic,
    Partition,
    Offset,
    Key,
    KeyBytes,
    Headers,
}

impl System {
    const ALL: [(&'static str, Self); 7] = [
        ("_timestamp", Self::Timestamp),
        ("_topic", Self::Topic),
        ("_partition", Self::Partition),
        ("_offset", Self::Offset),
        ("_key", Self::Key),
        ("_key_bytes", Self::KeyBytes),
        ("_headers", Self::Headers),
    ];

    /// The columns that every topic has beside the declared ones.
    pub(crate) fn fields() -> Vec<Field> {
        Self::ALL.iter().map(|(name, kind)| Field::new(*name, kind.data_type(), kind.nullable())).collect()
    }

    /// The one that is asked for; a declared column of that name goes before.
    fn of(column: &DecodeColumn, declared: &Schema) -> Option<Self> {
        let [name] = column.path.as_slice() else { return None };
        if declared.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name)) {
            return None;
        }
        Self::ALL.iter().find(|(system, _)| system.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Timestamp => velo_core::types::TIMESTAMP,
            Self::Topic | Self::Key => DataType::Utf8,
            Self::Partition => DataType::Int32,
            Self::Offset => DataType::Int64,
            Self::KeyBytes => DataType::Binary,
            Self::Headers => map_type(),
        }
    }

    fn nullable(self) -> bool {
        matches!(self, Self::Timestamp | Self::Key | Self::KeyBytes)
    }

    /// Its values for the records at these places.
    fn column(self, frames: &Frames, places: &[usize], resource: &Resource) -> ArrayRef {
        let places = places.iter().copied();
        let (topic, partition) = match resource {
            Resource::Topic(topic, partition) => (topic.as_ref(), *partition),
            _ => ("", 0),
        };
        match self {
            Self::Timestamp => {
                let micros = |at: usize| frames.times[at].checked_mul(1_000);
                Arc::new(places.map(micros).collect::<TimestampMicrosecondArray>())
            }
            Self::Topic => Arc::new(StringArray::from_iter_values(places.map(|_| topic))),
            Self::Partition => Arc::new(Int32Array::from_iter_values(places.map(|_| partition))),
            Self::Offset => Arc::new(Int64Array::from_iter_values(places.map(|at| frames.offsets[at]))),
            // What is no UTF-8 is shown with replacement characters; the bytes are a column too.
            Self::Key => {
                Arc::new(places.map(|at| frames.keys.get(at).map(String::from_utf8_lossy)).collect::<StringArray>())
            }
            Self::KeyBytes => Arc::new(places.map(|at| frames.keys.get(at)).collect::<BinaryArray>()),
            Self::Headers => headers(frames, places),
        }
    }
}

fn map_type() -> DataType {
    MapBuilder::new(None, StringBuilder::new(), StringBuilder::new()).finish().data_type().clone()
}

/// The headers of records; of several of one name the last, as Kafka's own clients have it.
fn headers(frames: &Frames, places: impl Iterator<Item = usize>) -> ArrayRef {
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for at in places {
        let all = frames.headers(at);
        for header in all.clone() {
            let name = frames.header_names.get(header);
            if (header + 1..all.end).any(|later| frames.header_names.get(later) == name) {
                continue;
            }
            map.keys().append_value(String::from_utf8_lossy(name.unwrap_or_default()));
            map.values().append_option(frames.header_values.get(header).map(String::from_utf8_lossy));
        }
        // The builders have as many keys as values.
        drop(map.append(true));
    }
    Arc::new(map.finish())
}

/// The decoder of the values, and what stands beside them.
pub(crate) struct KafkaDecoder {
    values: Arc<dyn RecordDecoder>,
    /// The schemas that records name.
    schemas: Option<Arc<Schemas>>,
    /// System columns with their places among the columns asked for, ascending.
    system: Vec<(usize, System)>,
    columns: Vec<DecodeColumn>,
}

/// The system columns among those asked for, with their places, and the others.
pub(crate) fn split(columns: &[DecodeColumn], declared: &Schema) -> (Vec<(usize, System)>, Vec<DecodeColumn>) {
    let (mut system, mut values) = (Vec::new(), Vec::new());
    for (at, column) in columns.iter().enumerate() {
        match System::of(column, declared) {
            Some(kind) => system.push((at, kind)),
            None => values.push(column.clone()),
        }
    }
    (system, values)
}

impl KafkaDecoder {
    /// `values` decodes the columns that [`split`] left.
    pub(crate) fn new(values: OpenDecoder, system: Vec<(usize, System)>, columns: Vec<DecodeColumn>) -> Result<Self> {
        for (at, kind) in &system {
            let field = &columns[*at].field;
            if !columns[*at].raw && *field.data_type() != kind.data_type() {
                let message = format!(
                    "{} is {}, not {}",
                    field.name(),
                    velo_core::types::sql_name(&kind.data_type()),
                    velo_core::types::sql_name(field.data_type())
                );
                return Err(ConnectorError::new(ErrorKind::Configuration, "adding system columns", message));
            }
        }
        let OpenDecoder { decoder: values, schemas } = values;
        Ok(Self { values, schemas, system, columns })
    }

    /// What a reader is to keep of records for this decoder.
    pub(crate) fn wanted(&self) -> Wanted {
        let has = |kinds: &[System]| self.system.iter().any(|(_, kind)| kinds.contains(kind));
        Wanted { keys: has(&[System::Key, System::KeyBytes]), headers: has(&[System::Headers]) }
    }

    /// The schemas that are to be there before a chunk is decoded.
    pub(crate) fn schemas(&self) -> Option<Arc<Schemas>> {
        self.schemas.clone()
    }

    fn with_system(&self, batch: Batch, frames: &Frames) -> Result<Batch> {
        let Some(origin) = batch.origin.clone() else { return Ok(batch) };
        let places = (0..batch.rows()).filter_map(|row| frames.at(origin.position(row))).collect::<Vec<_>>();
        let mut fields = batch.schema().fields().to_vec();
        let mut columns = batch.columns.columns().to_vec();
        for (at, kind) in &self.system {
            let wanted = &self.columns[*at];
            let mut column = kind.column(frames, &places, &origin.resource);
            if wanted.raw {
                let text = (0..column.len()).map(|row| value_text(&column, row)).collect::<StringArray>();
                column = Arc::new(text);
            }
            fields.insert(*at, Arc::clone(&wanted.field));
            columns.insert(*at, column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
        let columns = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
            .map_err(|failed| ConnectorError::new(ErrorKind::Decode, "adding system columns", failed.to_string()))?;
        Ok(batch.with_columns(columns))
    }
}

/// The frames of a chunk of a topic.
fn frames_of(chunk: &Chunk) -> Result<&Frames> {
    let frames = chunk.frames.as_ref().and_then(|frames| frames.downcast_ref::<Frames>());
    frames.ok_or_else(|| ConnectorError::new(ErrorKind::Decode, "decoding", "a chunk without the ends of its records"))
}

impl ChunkDecoder for KafkaDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let frames = frames_of(chunk)?;
        let mut decoded = self.values.decode_records(&chunk.bytes, &chunk.origin, &mut frames.values())?;
        // A record without a value deletes what its key had: of a stream it is no row.
        decoded.no_rows = frames.tombstones.len() as u64;
        if !self.system.is_empty() {
            let batches = std::mem::take(&mut decoded.batches);
            let made = batches.into_iter().map(|batch| self.with_system(batch, frames));
            decoded.batches = made.collect::<Result<_>>()?;
        }
        Ok(decoded)
    }

    fn fields_at(&self, chunk: &Chunk, position: u64) -> Vec<String> {
        let record = frames_of(chunk).ok().and_then(|frames| frames.at(position).map(|at| frames.value(at)));
        record.map_or_else(Vec::new, |record| self.values.fields_of(&chunk.bytes[record]))
    }
}
