//! What a decoder of JSON is told.

use arrow_schema::SchemaRef;
use velo_core::connector::DecodeColumn;

use crate::value::ValueFormats;

/// What a [`super::JsonDecoder`] needs to know.
#[derive(Debug, Clone)]
pub struct JsonDecodeOptions {
    /// The columns to make, in order.
    pub columns: Vec<DecodeColumn>,
    /// All declared columns: a field with such a name is not unknown. Empty where a schema was not declared.
    pub declared: Option<SchemaRef>,
    /// The largest number of rows of a batch.
    pub batch_rows: usize,
    /// Whether a record's bytes are wanted.
    pub keep_bytes: bool,
    /// How values are written.
    pub formats: ValueFormats,
}

impl JsonDecodeOptions {
    /// The declared names.
    pub(crate) fn declared_names(&self) -> Vec<String> {
        self.declared.iter().flat_map(|schema| schema.fields().iter()).map(|field| field.name().clone()).collect()
    }
}
