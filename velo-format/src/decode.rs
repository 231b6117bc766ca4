//! The way in: what all decoders do with records that are good or bad.
//!
//! A decoder fills [`RecordAssembler::columns`] with one value each per record and then either keeps the record with
//! [`RecordAssembler::accept`] or drops what it pushed with [`RecordAssembler::reject`]. The assembler makes batches of the
//! wanted size, keeps each row's position, and puts errors in order among the rows. Records that say what happened to a row
//! ([`RecordAssembler::of_changes`]) have none, one or two rows, each with its kind; those of one record stay in one batch.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_schema::{ArrowError, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use velo_core::batch::Batch;
use velo_core::connector::{DecodeColumn, Decoded, RecordError};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::place::{Origin, Positions};
use velo_core::row_kind::{RowKind, RowKinds};

use crate::value::{Column, ValueFormats};

/// Collects the records of one chunk.
#[derive(Debug)]
pub struct RecordAssembler<'a> {
    /// The columns of the batch that is being made, in the order asked for; the decoder pushes into them.
    pub columns: Vec<Column>,
    schema: SchemaRef,
    bytes: &'a Bytes,
    origin: &'a Origin,
    batch_rows: usize,
    keep_bytes: bool,
    rows: usize,
    /// The kind of every row of the batch, and of those of the current record; `None` where a record is one row.
    kinds: Option<Vec<RowKind>>,
    finished_rows: usize,
    positions: PositionList,
    decoded: Decoded,
}

/// The positions of the current batch's rows: a range as long as it is one.
#[derive(Debug, Default)]
struct PositionList {
    first: u64,
    count: u64,
    each: Vec<u64>,
}

impl PositionList {
    #[inline]
    fn push(&mut self, position: u64) {
        if self.count == 0 {
            self.first = position;
        } else if self.each.is_empty() && position != self.first + self.count {
            self.each.extend(self.first..self.first + self.count);
        }
        if !self.each.is_empty() {
            self.each.push(position);
        }
        self.count += 1;
    }

    fn take(&mut self) -> Positions {
        let taken = std::mem::take(self);
        if taken.each.is_empty() {
            Positions::Consecutive { first: taken.first }
        } else {
            Positions::Each(UInt64Array::from(taken.each))
        }
    }
}

/// The schema of the batches of a decoder for `columns`.
pub fn schema_of(columns: &[DecodeColumn]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>()))
}

impl<'a> RecordAssembler<'a> {
    /// An assembler for the records of `bytes`, a chunk that begins at `origin`.
    pub fn new(
        columns: &[DecodeColumn],
        formats: &ValueFormats,
        batch_rows: usize,
        keep_bytes: bool,
        bytes: &'a Bytes,
        origin: &'a Origin,
    ) -> Result<Self, ConnectorError> {
        let batch_rows = batch_rows.max(1);
        // No record is shorter than two bytes.
        let room = batch_rows.min(bytes.len() / 2 + 1);
        let made = columns.iter().map(|column| match column.raw {
            true => Column::raw(&column.field, formats, room),
            false => Column::new(&column.field, formats, room),
        });
        Ok(Self {
            columns: made.collect::<Result<_, _>>()?,
            schema: schema_of(columns),
            bytes,
            origin,
            batch_rows,
            keep_bytes,
            rows: 0,
            kinds: None,
            finished_rows: 0,
            positions: PositionList::default(),
            decoded: Decoded::default(),
        })
    }

    /// The same for records that are changes: each of their rows is held by [`RecordAssembler::hold`] before the record is kept.
    /// A batch has room for two rows at least.
    #[must_use]
    pub fn of_changes(mut self) -> Self {
        self.set_changes();
        self
    }

    /// As [`RecordAssembler::of_changes`], before the first record.
    pub(crate) fn set_changes(&mut self) {
        // A record that comes to a batch must find room for both halves of an update.
        self.batch_rows = self.batch_rows.max(2) - 1;
        self.kinds = Some(Vec::new());
    }

    /// The number of rows in the current batch and of those held: what each column's length is between rows.
    #[inline]
    pub fn rows(&self) -> usize {
        self.kinds.as_ref().map_or(self.rows, Vec::len)
    }

    /// One more row of a record that is a change was pushed.
    #[inline]
    pub fn hold(&mut self, kind: RowKind) {
        if let Some(kinds) = &mut self.kinds {
            kinds.push(kind);
        }
    }

    /// Keeps the record that was just pushed: every column has grown by one value, or by one per row held. `record` are its bytes
    /// in the chunk.
    #[inline]
    pub fn accept(&mut self, record: Range<usize>, position: u64) -> Result<(), ConnectorError> {
        let rows = self.kinds.as_ref().map_or(1, |kinds| kinds.len() - self.rows);
        debug_assert!(self.columns.iter().all(|column| column.len() == self.rows + rows), "one value per column");
        for _ in 0..rows {
            self.positions.push(position);
            if self.keep_bytes {
                self.decoded.row_bytes.push(record.clone());
            }
        }
        self.rows += rows;
        if self.rows >= self.batch_rows { self.flush() } else { Ok(()) }
    }

    /// Drops what was pushed for the current record and notes why. `record` are its bytes in the chunk.
    #[cold]
    pub fn reject(&mut self, record: Range<usize>, position: u64, field: Option<String>, message: String) {
        if let Some(kinds) = &mut self.kinds {
            kinds.truncate(self.rows);
        }
        self.undo();
        let place = Origin { positions: Positions::Consecutive { first: position }, ..self.origin.clone() }.place(0);
        self.decoded.errors.push(RecordError {
            place,
            field,
            message,
            bytes: self.keep_bytes.then(|| self.bytes.slice(record)),
            after_rows: self.finished_rows + self.rows,
        });
    }

    /// Drops what was pushed for the current row.
    pub fn undo(&mut self) {
        let rows = self.rows();
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
    }

    /// Counts fields that the schema lacks.
    #[inline]
    pub fn count_unknown(&mut self, fields: u64) {
        self.decoded.unknown_fields += fields;
    }

    fn flush(&mut self) -> Result<(), ConnectorError> {
        if self.rows == 0 {
            return Ok(());
        }
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let columns = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options).map_err(not_a_batch)?;
        let origin = Origin { positions: self.positions.take(), ..self.origin.clone() };
        let kinds = self.kinds.as_mut().map(std::mem::take).map(RowKinds::new);
        let kinds = kinds.filter(|kinds| !kinds.all_inserts());
        self.decoded.batches.push(Batch { origin: Some(origin), kinds, ..Batch::new(columns) });
        self.finished_rows += self.rows;
        self.rows = 0;
        Ok(())
    }

    /// Everything that was collected.
    pub fn finish(mut self) -> Result<Decoded, ConnectorError> {
        self.undo();
        self.flush()?;
        Ok(self.decoded)
    }
}

#[cold]
fn not_a_batch(error: ArrowError) -> ConnectorError {
    ConnectorError::new(ErrorKind::Decode, "decoding", error.to_string())
}

/// Adds columns that do not come from the records' text to every batch, behind its own: how a connector provides the system
/// columns that a query names (`_path`, `_line`, `_offset`, …). `make` gives them for one batch, in the order of `fields`.
pub fn append_columns(
    decoded: &mut Decoded,
    fields: &[FieldRef],
    mut make: impl FnMut(&Batch) -> Vec<ArrayRef>,
) -> Result<(), ConnectorError> {
    for batch in &mut decoded.batches {
        let schema = batch.schema();
        let fields = schema.fields().iter().chain(fields).cloned().collect::<Vec<_>>();
        let arrays = batch.columns.columns().iter().cloned().chain(make(batch)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        batch.columns = RecordBatch::try_new_with_options(schema, arrays, &options).map_err(not_a_batch)?;
    }
    Ok(())
}
