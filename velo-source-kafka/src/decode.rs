//! Chunks of records as rows: values by the format, and system columns beside them.

use std::sync::Arc;

use arrow_array::builder::{MapBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::interleave::interleave_record_batch;
use bytes::Bytes;
use velo_core::batch::columns_of;
use velo_core::connector::{Chunk, ChunkDecoder, Decoded, TakenIn};
use velo_core::dead_letter::RecordAttributes;
use velo_core::error::ErrorKind;
use velo_core::place::{Origin, Positions, Resource};
use velo_core::row_kind::{RowKind, RowKinds};
use velo_core::{Batch, ConnectorError, Result};
use velo_format::records::{OpenDecoder, RecordDecoder, Schemas};
use velo_format::system::{SystemColumn, SystemColumns};

use crate::frames::{Frames, Wanted};
use crate::keyed::KeyColumns;

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

impl SystemColumn for System {
    const ALL: &'static [(&'static str, Self)] = &[
        ("_timestamp", Self::Timestamp),
        ("_topic", Self::Topic),
        ("_partition", Self::Partition),
        ("_offset", Self::Offset),
        ("_key", Self::Key),
        ("_key_bytes", Self::KeyBytes),
        ("_headers", Self::Headers),
    ];

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
}

impl System {
    /// The columns that every topic has beside the declared ones.
    pub(crate) fn fields() -> Vec<Field> {
        Self::ALL.iter().map(|(name, kind)| Field::new(*name, kind.data_type(), true)).collect()
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
    schemas: NamedSchemas,
    /// The columns that are in keys.
    keys: Option<KeyColumns>,
    /// What records without a value delete; none: they are no rows.
    deletes: Option<Deletes>,
    keep_bytes: bool,
    system: SystemColumns<System>,
}

/// The schemas that records name, which are to be there before a chunk is decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct NamedSchemas {
    /// Those of values.
    pub(crate) values: Option<Arc<Schemas>>,
    /// Those of keys, of each decoder that reads them.
    pub(crate) keys: Vec<Arc<Schemas>>,
}

/// What makes rows of records that delete.
pub(crate) struct Deletes {
    /// Decodes their keys.
    pub(crate) keys: OpenDecoder,
    /// The places of the key's columns among those asked for.
    pub(crate) places: Vec<usize>,
}

impl KafkaDecoder {
    /// `values` decodes the columns that are neither system columns nor in keys. `keep_bytes`: a bad record's value is wanted.
    pub(crate) fn new(values: OpenDecoder, system: SystemColumns<System>, keep_bytes: bool) -> Self {
        let OpenDecoder { decoder: values, schemas } = values;
        let schemas = NamedSchemas { values: schemas, keys: Vec::new() };
        Self { values, schemas, keys: None, deletes: None, system, keep_bytes }
    }

    /// Some columns are in keys.
    pub(crate) fn with_keys(mut self, keys: KeyColumns) -> Self {
        self.schemas.keys.extend(keys.keys.schemas.clone());
        Self { keys: Some(keys), ..self }
    }

    /// Records without a value delete.
    pub(crate) fn with_deletes(mut self, deletes: Deletes) -> Self {
        self.schemas.keys.extend(deletes.keys.schemas.clone());
        Self { deletes: Some(deletes), ..self }
    }

    /// What a reader is to keep of records for this decoder.
    pub(crate) fn wanted(&self) -> Wanted {
        let has = |kinds: &[System]| self.system.places().iter().any(|(_, kind)| kinds.contains(kind));
        Wanted {
            // A dead letter has them too.
            keys: self.keep_bytes
                || self.keys.is_some()
                || self.deletes.is_some()
                || has(&[System::Key, System::KeyBytes]),
            headers: self.keep_bytes || has(&[System::Headers]),
        }
    }

    /// The schemas that are to be there before a chunk is decoded.
    pub(crate) fn schemas(&self) -> NamedSchemas {
        self.schemas.clone()
    }

    fn with_system(&self, batch: Batch, frames: &Frames) -> Result<Batch> {
        let Some(origin) = batch.origin.clone() else { return Ok(batch) };
        let places = (0..batch.rows()).filter_map(|row| frames.at(origin.position(row))).collect::<Vec<_>>();
        self.system.add(&batch, |kind| kind.column(frames, &places, &origin.resource))
    }
}

/// The frames of a chunk of a topic.
fn frames_of(chunk: &Chunk) -> Result<&Frames> {
    let frames = chunk.frames.as_ref().and_then(|frames| frames.downcast_ref::<Frames>());
    frames.ok_or_else(|| ConnectorError::new(ErrorKind::Decode, "decoding", "a chunk without the ends of its records"))
}

impl KafkaDecoder {
    /// Puts rows that delete among the others, in the order of their offsets.
    fn with_deleted(&self, deletes: &Deletes, decoded: Decoded, chunk: &Chunk, frames: &Frames) -> Result<Decoded> {
        let keys = Bytes::copy_from_slice(&frames.keys.bytes);
        let mut of_keys = deletes.keys.decoder.decode_records(&keys, &chunk.origin, &mut frames.keys_of_deletes())?;
        let rows = |batches: &[Batch]| batches.iter().map(Batch::rows).sum::<usize>();
        let (values, deleted) = (rows(&decoded.batches), rows(&of_keys.batches));
        let mut parts = decoded.batches;
        for batch in std::mem::take(&mut of_keys.batches) {
            parts.push(self.deleted(deletes, batch, frames)?);
        }
        // The position of each row, and where it is among the parts.
        let position = |batch: &Batch, row| batch.origin.as_ref().map_or(0, |origin| origin.position(row));
        let mut order = Vec::with_capacity(values + deleted);
        for (part, batch) in parts.iter().enumerate() {
            order.extend((0..batch.rows()).map(|row| (position(batch, row), (part, row))));
        }
        // Of one record there is one row, or there are several that stay in their order.
        order.sort_by_key(|(position, _)| *position);
        let indices = order.iter().map(|(_, at)| *at).collect::<Vec<_>>();
        let columns = parts.iter().map(|batch| &batch.columns).collect::<Vec<_>>();
        let columns = interleave_record_batch(&columns, &indices)
            .map_err(|failed| ConnectorError::new(ErrorKind::Decode, "putting rows in order", failed.to_string()))?;
        let first_delete = parts.len() - parts.iter().rev().take_while(|batch| batch.kinds.is_some()).count();
        let kind = |(part, row): &(usize, usize)| match &parts[*part].kinds {
            Some(kinds) => kinds.as_slice()[*row],
            None => RowKind::Insert,
        };
        let kinds = RowKinds::new(indices.iter().map(kind).collect());
        let time = |position: u64| frames.at(position).and_then(|at| frames.times[at].checked_mul(1_000)).unwrap_or(0);
        let record_times = order.iter().map(|(position, _)| time(*position)).collect();
        let positions = Positions::Each(order.iter().map(|(position, _)| *position).collect());
        let origin = Some(Origin { positions, ..chunk.origin.clone() });
        let row_bytes = match decoded.row_bytes.is_empty() {
            true => Vec::new(),
            false => {
                let starts = starts(&parts);
                let of = |(part, row): &(usize, usize)| match *part < first_delete {
                    true => decoded.row_bytes[starts[*part] + row].clone(),
                    // A record without a value has no bytes.
                    false => 0..0,
                };
                indices.iter().map(of).collect()
            }
        };
        let mut errors = decoded.errors;
        // They are in the order of rows that are put into another one here; which are before one is told by its place alone.
        errors.extend(of_keys.errors);
        let batch = Batch { origin, kinds: Some(kinds), ..Batch::new(columns) };
        Ok(Decoded {
            batches: vec![batch],
            errors,
            row_bytes,
            unknown_fields: decoded.unknown_fields,
            no_rows: decoded.no_rows - frames.deletes().count() as u64,
            record_times,
        })
    }

    /// Rows with nothing but their keys.
    fn deleted(&self, deletes: &Deletes, keys: Batch, frames: &Frames) -> Result<Batch> {
        let rows = keys.rows();
        let origin = keys.origin.clone();
        let place = |row| origin.as_ref().and_then(|origin| frames.at(origin.position(row)));
        let places = (0..rows).filter_map(place).collect::<Vec<_>>();
        let resource = origin.as_ref().map(|origin| origin.resource.clone());
        let mut columns = Vec::with_capacity(self.system.columns().len());
        for (at, column) in self.system.columns().iter().enumerate() {
            let of_key = deletes.places.iter().position(|place| *place == at);
            let of_system = self.system.places().iter().find(|(place, _)| *place == at);
            columns.push(match (of_key, of_system, &resource) {
                (Some(key), ..) => Arc::clone(keys.columns.column(key)),
                (None, Some((_, kind)), Some(resource)) if !column.raw => kind.column(frames, &places, resource),
                _ => new_null_array(column.field.data_type(), rows),
            });
        }
        let schema =
            Schema::new(self.system.columns().iter().map(|column| Arc::clone(&column.field)).collect::<Vec<_>>());
        let columns = columns_of(&Arc::new(schema), columns, rows)
            .map_err(|failed| ConnectorError::new(ErrorKind::Decode, "making rows that delete", failed.to_string()))?;
        let kinds = Some(RowKinds::new(vec![RowKind::Delete; rows]));
        Ok(Batch { kinds, ..keys.with_columns(columns) })
    }
}

/// How many rows there are before each part.
fn starts(parts: &[Batch]) -> Vec<usize> {
    let before = parts.iter().scan(0, |rows, batch| {
        *rows += batch.rows();
        Some(*rows - batch.rows())
    });
    before.collect()
}

impl ChunkDecoder for KafkaDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let frames = frames_of(chunk)?;
        let mut decoded = self.values.decode_records(&chunk.bytes, &chunk.origin, &mut frames.values())?;
        // A record without a value deletes what its key had: of a stream it is no row.
        decoded.no_rows = frames.tombstones.len() as u64;
        if let Some(keys) = &self.keys {
            decoded = keys.add(decoded, chunk, frames, self.keep_bytes)?;
        }
        if !self.system.is_empty() {
            let batches = std::mem::take(&mut decoded.batches);
            let made = batches.into_iter().map(|batch| self.with_system(batch, frames));
            decoded.batches = made.collect::<Result<_>>()?;
        }
        match &self.deletes {
            Some(deletes) if frames.deletes().next().is_some() => self.with_deleted(deletes, decoded, chunk, frames),
            _ => Ok(decoded),
        }
    }

    fn fields_at(&self, chunk: &Chunk, position: u64) -> Vec<String> {
        let record = frames_of(chunk).ok().and_then(|frames| frames.at(position).map(|at| frames.value(at)));
        record.map_or_else(Vec::new, |record| self.values.fields_of(&chunk.bytes[record]))
    }

    fn attributes_at(&self, chunk: &Chunk, position: u64) -> Option<RecordAttributes> {
        let frames = frames_of(chunk).ok().filter(|_| self.keep_bytes)?;
        frames.at(position).map(|at| frames.attributes(at))
    }

    fn taken_in(&self, chunk: &Chunk, rows: &Batch) -> Option<TakenIn> {
        let (frames, origin) = (frames_of(chunk).ok().filter(|frames| frames.appended)?, rows.origin.as_ref()?);
        let time = |row| frames.at(origin.position(row)).and_then(|at| frames.times[at].checked_mul(1_000));
        let times = (0..rows.rows()).map(time).collect::<Option<_>>()?;
        Some(TakenIn { times, name: "the time at which the broker appended it" })
    }
}
