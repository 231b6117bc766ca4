//! The formats of values and keys, as the properties name them.

use std::sync::Arc;

use arrow_schema::{DataType, Schema, SchemaRef};
use velo_core::connector::{ChangelogMode, DecodeColumn, Envelopes, SinkRequest, SourceRequest};
use velo_core::error::ErrorKind;
use velo_core::properties::{Options, PropertySpec};
use velo_core::{Clock, ConnectorError, Result};
use velo_format::records::{OpenDecoder, RawDecoder, RawEncoder, RecordEncoder, RecordFormat, RecordFormats};

/// How records that are read are rows.
#[derive(Debug, Clone)]
pub(crate) struct SourceFormat(RecordFormats);

/// How rows that are written are records.
#[derive(Debug, Clone)]
pub(crate) struct SinkFormat(RecordFormats);

impl SourceFormat {
    pub(crate) fn specs() -> impl Iterator<Item = &'static PropertySpec> {
        RecordFormat::source_specs()
    }

    pub(crate) fn read(options: &mut Options) -> Option<Self> {
        RecordFormat::read(options, true).map(Self)
    }

    /// The format's name.
    pub(crate) fn name(&self) -> String {
        self.0.value.name()
    }

    /// Whether records say what happened to a row.
    pub(crate) fn has_changes(&self) -> bool {
        self.0.value.has_changes()
    }

    /// How many records are looked at where their columns are not known otherwise.
    pub(crate) fn sample_records(&self) -> usize {
        self.0.value.sample_records()
    }

    /// Whether the columns are those of a schema that is found by the name of the topic.
    pub(crate) fn columns_go_by_topic(&self) -> bool {
        self.0.value.columns_go_by_topic()
    }

    /// The columns by the schema of the records; `None` where they have none.
    pub(crate) async fn infer(&self, topic: Option<&str>) -> Result<Option<SchemaRef>> {
        self.0.value.infer(topic, Clock::system()).await
    }

    /// The columns of some records.
    pub(crate) fn infer_of(&self, records: &[&[u8]]) -> Result<SchemaRef> {
        self.0.value.infer_of(records)
    }

    /// Whether the script says what form keys have.
    pub(crate) fn has_key_format(&self) -> bool {
        self.0.has_key_format
    }

    /// A decoder of these columns of values, whose declared ones are these.
    pub(crate) async fn values(
        &self,
        request: &SourceRequest,
        declared: &SchemaRef,
        columns: Vec<DecodeColumn>,
        topic: Option<&str>,
    ) -> Result<OpenDecoder> {
        self.0.value.decoder(request, declared, columns, topic).await
    }

    /// A decoder of these columns of keys, whose declared ones are these. One text alone is its own bytes, unless the script says
    /// otherwise.
    pub(crate) async fn keys(
        &self,
        request: &SourceRequest,
        declared: &SchemaRef,
        columns: Vec<DecodeColumn>,
        topic: Option<&str>,
    ) -> Result<OpenDecoder> {
        if !self.0.has_key_format && is_one_text(declared) {
            let decoder = RawDecoder::new(declared, columns, request.batch_rows, request.keep_bytes)?;
            return Ok(OpenDecoder { decoder: Arc::new(decoder), schemas: None });
        }
        self.0.key.decoder(request, declared, columns, topic).await
    }
}

/// Whether a key is one column of text or bytes.
fn is_one_text(columns: &Schema) -> bool {
    match columns.fields().as_ref() {
        [only] => matches!(only.data_type(), DataType::Utf8 | DataType::Binary),
        _ => false,
    }
}

impl SinkFormat {
    pub(crate) fn specs() -> impl Iterator<Item = &'static PropertySpec> {
        RecordFormat::sink_specs()
    }

    pub(crate) fn read(options: &mut Options) -> Option<Self> {
        RecordFormat::read(options, false).map(Self)
    }

    /// The format's name.
    pub(crate) fn name(&self) -> String {
        self.0.value.name()
    }

    /// What makes rows of the records again.
    pub(crate) fn read_back(&self) -> SourceFormat {
        SourceFormat(self.0.clone())
    }

    /// Whether values are Debezium's envelopes.
    pub(crate) fn envelopes(&self) -> Envelopes {
        self.0.value.envelopes()
    }

    /// Whether values say what happens to a row.
    pub(crate) fn writes_changes(&self, mode: ChangelogMode) -> bool {
        self.0.value.writes_changes(mode)
    }

    /// An encoder of these columns as values.
    pub(crate) async fn values(
        &self,
        request: &SinkRequest,
        columns: &SchemaRef,
        topic: &str,
    ) -> Result<Box<dyn RecordEncoder>> {
        self.0.value.encoder(request, columns, topic).await
    }

    /// An encoder of the columns at these places as keys. One text alone is its own bytes, unless the script says otherwise.
    pub(crate) async fn keys(
        &self,
        request: &SinkRequest,
        key: &[usize],
        topic: &str,
    ) -> Result<Box<dyn RecordEncoder>> {
        let columns: Schema = request.schema.project(key).map_err(|error| {
            ConnectorError::new(ErrorKind::Configuration, "opening the output", format!("the key: {error}"))
        })?;
        let columns = Arc::new(columns);
        if !self.0.has_key_format && is_one_text(&columns) {
            return Ok(Box::new(RawEncoder::of_keys(&columns)?));
        }
        self.0.key.encoder(request, &columns, topic).await
    }
}
