//! The writer: batches as JSON lines.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use velo_core::error::ConnectorError;
use velo_core::row_kind::RowKinds;

use crate::encode::Encoder;
use crate::properties::{DecimalFormat, JsonLayout};
use crate::value::TimestampFormat;

/// How values are written.
#[derive(Debug, Clone, Default)]
pub struct JsonEncodeOptions {
    /// `timestamp.format`.
    pub timestamp: TimestampFormat,
    /// `decimal.format`.
    pub decimal: DecimalFormat,
    /// One record per line, or one array.
    pub layout: JsonLayout,
}

/// Writes JSON records.
#[derive(Debug)]
pub struct JsonEncoder {
}

impl JsonEncoder {
    /// A writer of batches of `schema`. Errors for a type that JSON has no form for.
    pub fn new(_schema: SchemaRef, _options: JsonEncodeOptions) -> Result<Self, ConnectorError> {
        Ok(Self {})
    }
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, _batch: &RecordBatch, _out: &mut Vec<u8>) -> Result<(), ConnectorError> {
        Ok(())
    }

    fn encode_changes(
        &mut self,
        _batch: &RecordBatch,
        _kinds: Option<&RowKinds>,
        _out: &mut Vec<u8>,
    ) -> Result<(), ConnectorError> {
        Ok(())
    }
}
