//! Rows with their kind as a first column, for formats that have no other place for it (`changelog.mode` = `full`).

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::row_kind::{RowKind, RowKinds};

use super::RecordEncoder;

/// Puts a column `_op` before the others.
pub(super) struct WithKind {
    encoder: Box<dyn RecordEncoder>,
    schema: SchemaRef,
}

impl WithKind {
    /// The columns of rows of `schema` with their kinds.
    pub(super) fn schema(schema: &Schema) -> SchemaRef {
        let kind = Arc::new(Field::new("_op", DataType::Utf8, false));
        let fields = std::iter::once(kind).chain(schema.fields().iter().cloned());
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// An encoder of batches of `schema`, which has the kinds already.
    pub(super) fn new(encoder: Box<dyn RecordEncoder>, schema: SchemaRef) -> Self {
        Self { encoder, schema }
    }
}

impl RecordEncoder for WithKind {
    fn encode_records(
        &mut self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ConnectorError> {
        self.encode_changes(batch, None, out, ends)
    }

    fn encode_changes(
        &mut self,
        batch: &RecordBatch,
        kinds: Option<&RowKinds>,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ConnectorError> {
        let kind = |row: usize| kinds.map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]).symbol();
        let symbols: ArrayRef = Arc::new(StringArray::from_iter_values((0..batch.num_rows()).map(kind)));
        let columns = std::iter::once(symbols).chain(batch.columns().iter().cloned()).collect();
        let batch = RecordBatch::try_new(SchemaRef::clone(&self.schema), columns)
            .map_err(|error| ConnectorError::new(ErrorKind::Encode, "writing", error.to_string()))?;
        self.encoder.encode_records(&batch, out, ends)
    }
}
