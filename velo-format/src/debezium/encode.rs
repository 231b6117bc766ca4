//! Changes of rows as Debezium's envelopes in JSON: `{"before":…,"after":…,"op":"u"}`.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use velo_core::error::ConnectorError;
use velo_core::row_kind::{RowKind, RowKinds};

use crate::json::{JsonEncodeOptions, JsonEncoder};
use crate::records::{EncodedRows, RecordEncoder};

/// What happened to a row: the rows of a batch before and after it, and the letter for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) before: Option<usize>,
    pub(crate) after: Option<usize>,
    pub(crate) op: &'static str,
}

/// The change that each row is; none for a `-U` whose `+U` is behind it, which is both. Halves of updates that stand alone are a
/// delete and an insert.
pub(crate) fn changes_of(kinds: Option<&RowKinds>, rows: usize) -> impl Iterator<Item = Option<Change>> {
    let kinds = kinds.map(RowKinds::paired);
    (0..rows).map(move |row| match kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]) {
        RowKind::Insert => Some(Change { before: None, after: Some(row), op: "c" }),
        RowKind::UpdateBefore => None,
        // Of a pair, so that there is a row before it.
        RowKind::UpdateAfter => Some(Change { before: row.checked_sub(1), after: Some(row), op: "u" }),
        RowKind::Delete => Some(Change { before: Some(row), after: None, op: "d" }),
    })
}

/// Writes changes of rows as envelopes.
#[derive(Debug)]
pub struct DebeziumEncoder {
    json: JsonEncoder,
    /// The rows of a batch.
    rows: EncodedRows,
}

impl DebeziumEncoder {
    /// An encoder of batches of `schema`.
    ///
    /// # Errors
    ///
    /// For a type that JSON has no form for.
    pub fn new(schema: SchemaRef, options: JsonEncodeOptions) -> Result<Self, ConnectorError> {
        Ok(Self { json: JsonEncoder::new(schema, options)?, rows: EncodedRows::default() })
    }

    fn push_row(&self, row: Option<usize>, out: &mut Vec<u8>) {
        match row {
            None => out.extend_from_slice(b"null"),
            Some(row) => out.extend_from_slice(self.rows.row(row)),
        }
    }
}

impl RecordEncoder for DebeziumEncoder {
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
        self.rows.clear();
        self.json.encode_records(batch, &mut self.rows.bytes, &mut self.rows.ends)?;
        for change in changes_of(kinds, batch.num_rows()) {
            if let Some(Change { before, after, op }) = change {
                out.extend_from_slice(b"{\"before\":");
                self.push_row(before, out);
                out.extend_from_slice(b",\"after\":");
                self.push_row(after, out);
                out.extend_from_slice(b",\"op\":\"");
                out.extend_from_slice(op.as_bytes());
                out.extend_from_slice(b"\"}");
            }
            ends.push(out.len());
        }
        Ok(())
    }
}
