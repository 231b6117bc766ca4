//! Columns that are in the keys of records: which they are by the properties, and how they come beside the values.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow_schema::{Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::take::take;
use bytes::Bytes;
use velo_core::batch::Batch;
use velo_core::connector::{Chunk, DecodeColumn, Decoded, RecordError};
use velo_core::error::ErrorKind;
use velo_core::place::Place;
use velo_core::{ConnectorError, Result};
use velo_format::records::OpenDecoder;

use crate::frames::Frames;

/// The names in a property, separated by commas, or by semicolons as Flink has them.
pub(crate) fn names(text: &str) -> Vec<String> {
    text.split([',', ';']).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The place of a column: the exact name goes before one that differs in case.
pub(crate) fn place_of(schema: &Schema, name: &str) -> Option<usize> {
    let fields = schema.fields();
    let exact = fields.iter().position(|field| field.name() == name);
    exact.or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(name)))
}

/// What a property says that names a column which is not there.
pub(crate) fn no_column(schema: &Schema, property: &str, name: &str) -> String {
    let columns = schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
    let near = velo_core::suggest::nearest(name, columns.iter().copied());
    let near = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
    format!("'{property}' names '{name}', and the columns are {}{near}", columns.join(", "))
}

/// The declared columns that are in keys, and those that are in values.
pub(crate) struct Split {
    /// Those of the keys, in the order in which they are named.
    pub(crate) keys: SchemaRef,
    /// Those of the values.
    pub(crate) values: SchemaRef,
}

impl Split {
    /// `named` are columns of `declared`; `in_values` says whether values have them too.
    pub(crate) fn new(declared: &SchemaRef, named: &[String], in_values: bool) -> Self {
        let places = named.iter().filter_map(|name| place_of(declared, name)).collect::<Vec<_>>();
        let fields = declared.fields();
        let keys = places.iter().map(|at| Arc::clone(&fields[*at])).collect::<Vec<_>>();
        let is_value = |at: &usize| in_values || !places.contains(at);
        let values = (0..fields.len()).filter(is_value).map(|at| Arc::clone(&fields[at])).collect::<Vec<_>>();
        Self { keys: Arc::new(Schema::new(keys)), values: Arc::new(Schema::new(values)) }
    }

    /// Whether a column that is asked for is in the keys.
    pub(crate) fn is_key(&self, column: &DecodeColumn) -> bool {
        column.path.first().is_some_and(|name| place_of(&self.keys, name).is_some())
    }
}

/// Puts the columns of keys among those of values.
pub(crate) struct KeyColumns {
    /// Decodes keys.
    pub(crate) keys: OpenDecoder,
    /// Their places among the columns that are asked for and are no system columns, ascending.
    pub(crate) places: Vec<usize>,
    /// Their names and types, in that order.
    pub(crate) schema: SchemaRef,
}

/// What becomes of the row of a record, by its key.
enum Found {
    /// The row of its key.
    Row(u32),
    /// It has no key.
    None,
    /// Its key could not be decoded.
    Bad,
}

impl KeyColumns {
    /// Adds to the rows of a chunk what their keys say. A record whose key is bad is a bad record; one without a key has NULL.
    pub(crate) fn add(&self, decoded: Decoded, chunk: &Chunk, frames: &Frames, keep_bytes: bool) -> Result<Decoded> {
        let bytes = Bytes::copy_from_slice(&frames.keys.bytes);
        let of_keys = self.keys.decoder.decode_records(&bytes, &chunk.origin, &mut frames.keys_of_values())?;
        let keys = Keys::new(&self.schema, &of_keys.batches)?;
        let (mut batches, mut row_bytes) = (Vec::with_capacity(decoded.batches.len()), Vec::new());
        let mut errors = decoded.errors;
        errors.extend(of_keys.errors.into_iter().map(|error| in_key(error, chunk, frames, keep_bytes)));
        let mut before = 0;
        for batch in decoded.batches {
            let bytes_of = decoded.row_bytes.get(before..before + batch.rows()).unwrap_or_default();
            before += batch.rows();
            let (with_keys, kept) = self.with_keys(batch, &keys, frames, |place, field| {
                errors.push(RecordError {
                    place,
                    field: Some(field.name().clone()),
                    message: "the column is NOT NULL, and the record has no key".to_owned(),
                    bytes: None,
                    after_rows: 0,
                });
            })?;
            match kept {
                None => row_bytes.extend_from_slice(bytes_of),
                Some(kept) => {
                    let of = |(at, range): (usize, &std::ops::Range<usize>)| kept.value(at).then(|| range.clone());
                    row_bytes.extend(bytes_of.iter().enumerate().filter_map(of));
                }
            }
            batches.push(with_keys);
        }
        let errors = in_order(errors, &batches, chunk, frames, keep_bytes);
        Ok(Decoded { batches, errors, row_bytes, ..decoded })
    }

    /// A batch with the columns of its keys, and which of its rows are left, where not all are.
    fn with_keys(
        &self,
        batch: Batch,
        keys: &Keys,
        frames: &Frames,
        mut refuse: impl FnMut(Place, &Field),
    ) -> Result<(Batch, Option<BooleanArray>)> {
        let origin = batch.origin.clone();
        let position = |row: usize| origin.as_ref().map_or(0, |origin| origin.position(row));
        let mut at = match batch.rows() {
            0 => 0,
            _ => keys.positions.partition_point(|key| *key < position(0)),
        };
        let mut found = Vec::with_capacity(batch.rows());
        for row in 0..batch.rows() {
            let position = position(row);
            while keys.positions.get(at).is_some_and(|key| *key < position) {
                at += 1;
            }
            found.push(match keys.positions.get(at) {
                // Of one record there can be several rows.
                Some(key) if *key == position => Found::Row(at as u32),
                _ if frames.at(position).is_some_and(|at| frames.keys.is_null(at)) => Found::None,
                _ => Found::Bad,
            });
        }
        let no_key = |found: &Found| matches!(found, Found::None);
        let strict = self.schema.fields().iter().find(|field| !field.is_nullable());
        if let (Some(field), Some(origin)) = (strict, &origin) {
            for (row, one) in found.iter_mut().enumerate().filter(|(_, found)| no_key(found)) {
                refuse(origin.place(row), field);
                *one = Found::Bad;
            }
        }
        let bad = found.iter().any(|found| matches!(found, Found::Bad));
        let kept = bad.then(|| found.iter().map(|found| Some(!matches!(found, Found::Bad))).collect::<BooleanArray>());
        let batch = match &kept {
            Some(kept) => batch.filter(kept).map_err(|error| failed(&error))?,
            None => batch,
        };
        let rows = found.iter().filter_map(|found| match found {
            Found::Row(row) => Some(Some(*row)),
            Found::None => Some(None),
            Found::Bad => None,
        });
        let rows = rows.collect::<UInt32Array>();
        let columns = keys.columns.iter().map(|column| of_rows(column, &rows)).collect::<Result<Vec<_>>>()?;
        let fields = self.schema.fields().iter().cloned();
        let further = self.places.iter().copied().zip(fields).zip(columns);
        let batch = batch.with_inserted(further.map(|((place, field), column)| (place, field, column)));
        Ok((batch.map_err(|error| failed(&error))?, kept))
    }
}

/// The rows of the keys of a chunk.
struct Keys {
    columns: Vec<ArrayRef>,
    /// The offset of each, ascending.
    positions: Vec<u64>,
}

impl Keys {
    fn new(schema: &SchemaRef, batches: &[Batch]) -> Result<Self> {
        let mut positions = Vec::with_capacity(batches.iter().map(Batch::rows).sum());
        for batch in batches {
            let position = |row| batch.origin.as_ref().map_or(0, |origin| origin.position(row));
            positions.extend((0..batch.rows()).map(position));
        }
        let all = concat_batches(schema, batches.iter().map(|batch| &batch.columns)).map_err(|error| failed(&error))?;
        Ok(Self { columns: all.columns().to_vec(), positions })
    }
}

/// A column of keys as rows ask for them. Mostly each record has its own, one after the other, and nothing is copied.
fn of_rows(column: &ArrayRef, rows: &UInt32Array) -> Result<ArrayRef> {
    let values = rows.values();
    let in_turn = rows.null_count() == 0 && values.windows(2).all(|two| two[0] + 1 == two[1]);
    match values.first() {
        Some(first) if in_turn => Ok(column.slice(*first as usize, rows.len())),
        _ => take(column, rows, None).map_err(|error| failed(&error)),
    }
}

#[cold]
fn failed(error: &arrow_schema::ArrowError) -> ConnectorError {
    ConnectorError::new(ErrorKind::Decode, "adding the columns of keys", error.to_string())
}

/// A mistake in a key; what is kept of a bad record is its value.
fn in_key(error: RecordError, chunk: &Chunk, frames: &Frames, keep_bytes: bool) -> RecordError {
    let bytes = keep_bytes.then(|| value_of(&error.place, chunk, frames)).flatten();
    RecordError { message: format!("in the key: {}", error.message), bytes, ..error }
}

fn offset(place: &Place) -> u64 {
    match place {
        Place::Offset { offset, .. } => *offset,
        _ => 0,
    }
}

fn value_of(place: &Place, chunk: &Chunk, frames: &Frames) -> Option<Bytes> {
    frames.at(offset(place)).map(|at| chunk.bytes.slice(frames.value(at)))
}

/// Mistakes in the order of their records, one for each record at most: its value is told of before its key.
fn in_order(
    mut errors: Vec<RecordError>,
    batches: &[Batch],
    chunk: &Chunk,
    frames: &Frames,
    keep_bytes: bool,
) -> Vec<RecordError> {
    if errors.is_empty() {
        return errors;
    }
    errors.sort_by_key(|error| offset(&error.place));
    errors.dedup_by_key(|error| offset(&error.place));
    let mut rows = batches.iter().flat_map(|batch| {
        let position = |row| batch.origin.as_ref().map_or(0, |origin| origin.position(row));
        (0..batch.rows()).map(position)
    });
    let (mut before, mut next) = (0, rows.next());
    for error in &mut errors {
        while next.is_some_and(|row| row < offset(&error.place)) {
            before += 1;
            next = rows.next();
        }
        error.after_rows = before;
        if keep_bytes && error.bytes.is_none() {
            error.bytes = value_of(&error.place, chunk, frames);
        }
    }
    errors
}
