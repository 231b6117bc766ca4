//! The format of records by the properties: the only place that tells formats apart.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::clock::Clock;
use velo_core::connector::{ChangelogMode, DecodeColumn, Envelopes, SinkRequest, SourceRequest};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::properties::{Options, Properties, PropertyError, PropertySpec, PropertyValue};

use super::open::Opening;
use super::properties::{KeyProperties, RegistryProperties, SchemaFileProperties, SubjectStrategy};
use super::raw::{RawDecoder, RawEncoder};
use super::schemas::Schemas;
use super::sinks::WithKind;
use super::{RecordDecoder, RecordEncoder};
use crate::csv::{CsvDecodeOptions, CsvDecoder, CsvEncodeOptions, CsvEncoder, CsvProperties, Dialect};
use crate::debezium::{DebeziumDecoder, DebeziumEncoder, infer_debezium};
use crate::infer::{InferProperties, Sample, infer_csv, infer_json};
use crate::json::{JsonDecodeOptions, JsonDecoder, JsonEncodeOptions, JsonEncoder};
use crate::properties::{Format, FormatProperties, JsonLayout, among};
use crate::value::ValueFormats;

/// How the values, or the keys, of records are rows.
#[derive(Debug, Clone)]
pub struct RecordFormat(Arc<Spec>);

#[derive(Debug)]
pub(super) struct Spec {
    pub(super) format: Format,
    pub(super) is_key: bool,
    pub(super) properties: FormatProperties,
    pub(super) dialect: Dialect,
    pub(super) values: ValueFormats,
    pub(super) sample_records: usize,
    pub(super) registry: RegistryProperties,
    pub(super) files: SchemaFileProperties,
    /// The subject that is set.
    pub(super) subject: Option<String>,
}

/// The formats of values and of keys.
#[derive(Debug, Clone)]
pub struct RecordFormats {
    /// Of values.
    pub value: RecordFormat,
    /// Of keys.
    pub key: RecordFormat,
    /// Whether the format of keys was set; else it is that of the values.
    pub has_key_format: bool,
}

/// A decoder, and the schemas that it needs before it is called.
pub struct OpenDecoder {
    /// The decoder.
    pub decoder: Arc<dyn RecordDecoder>,
    /// Where records name their schemas: what [`super::confluent::schema_ids`] finds in a chunk is to be ensured here before the
    /// chunk is decoded.
    pub schemas: Option<Arc<Schemas>>,
}

impl fmt::Debug for OpenDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenDecoder").field("schemas", &self.schemas).finish_non_exhaustive()
    }
}

impl RecordFormat {
    /// The properties that a source reads.
    pub fn source_specs() -> impl Iterator<Item = &'static PropertySpec> {
        Self::sink_specs().chain(InferProperties::SPECS)
    }

    /// The properties that a sink reads.
    pub fn sink_specs() -> impl Iterator<Item = &'static PropertySpec> {
        FormatProperties::SPECS
            .iter()
            .chain(CsvProperties::SPECS)
            .chain(KeyProperties::SPECS)
            .chain(SchemaFileProperties::SPECS)
            .chain(RegistryProperties::SPECS)
    }

    /// Reads the properties of a source, or of a sink; mistakes are noted in `options`.
    pub fn read(options: &mut Options, source: bool) -> Option<RecordFormats> {
        let properties = FormatProperties::read(options);
        let format = properties.format_among(Format::OF_RECORDS, None, source, options);
        let (_, dialect) = CsvProperties::read_dialect(options);
        let sample_records =
            if source { InferProperties::read(options).records } else { InferProperties::default().records };
        let key = KeyProperties::read(options);
        let files = SchemaFileProperties::read(options);
        let registry = RegistryProperties::read(options);
        let timestamp = properties.timestamp(options);
        if properties.json_layout == JsonLayout::Array {
            let message = "each record is one JSON object, and no array of them".to_owned();
            note(options, "json.layout", message, Some("leave 'json.layout' out"));
        }
        let keys: Vec<Format> = Format::OF_RECORDS.iter().copied().filter(|format| !format.has_changes()).collect();
        let key_format = match key.format {
            Some(format) => among("key.format", format, &keys, source, options),
            // The key of a change is no change.
            None => format.map(|format| match format {
                Format::DebeziumJson => Format::Json,
                Format::DebeziumAvro => Format::Avro,
                other => other,
            }),
        };
        let key_files = SchemaFileProperties { avro: key.avro, protobuf: key.protobuf, message: key.message };
        let (format, key_format, timestamp) = (format?, key_format?, timestamp?);
        let before = options.has_errors();
        check(options, &registry, (format, &files), (key.format, &key_files));
        if options.has_errors() && !before {
            return None;
        }
        let values = ValueFormats { timestamp };
        let spec = |format, is_key, files, subject| {
            Self(Arc::new(Spec {
                format,
                is_key,
                properties: properties.clone(),
                // A message has no header.
                dialect: dialect.clone().without_header(),
                values: values.clone(),
                sample_records,
                registry: registry.clone(),
                files,
                subject,
            }))
        };
        let value = spec(format, false, files, registry.subject.clone());
        let has_key_format = key.format.is_some();
        Some(RecordFormats { value, key: spec(key_format, true, key_files, key.subject), has_key_format })
    }

    /// The format's name.
    pub fn name(&self) -> String {
        self.0.format.show().unwrap_or_default()
    }

    /// Whether its records say what happened to a row, so that a source of it gives changes.
    pub fn has_changes(&self) -> bool {
        self.0.format.has_changes()
    }

    /// Whether a sink of it writes Debezium's envelopes.
    pub fn envelopes(&self) -> Envelopes {
        match self.0.format {
            format if format.has_changes() => Envelopes::Always,
            Format::Json | Format::Avro => Envelopes::Chosen,
            _ => Envelopes::Never,
        }
    }

    /// Whether a sink of it writes what happens to a row, whatever its changelog mode.
    pub fn writes_changes(&self, mode: ChangelogMode) -> bool {
        !self.0.is_key && (self.has_changes() || matches!(mode, ChangelogMode::Full | ChangelogMode::Debezium))
    }

    /// How many records are looked at to find columns.
    pub fn sample_records(&self) -> usize {
        self.0.sample_records
    }

    /// Whether the columns are those of a schema that is found by the name of the topic.
    pub fn columns_go_by_topic(&self) -> bool {
        let (spec, registry) = (&*self.0, &self.0.registry);
        let file = match spec.format {
            Format::Avro | Format::DebeziumAvro => &spec.files.avro,
            Format::Protobuf => &spec.files.protobuf,
            _ => return false,
        };
        let by_topic = spec.subject.is_none() && registry.strategy != SubjectStrategy::Record;
        file.is_none() && registry.url.is_some() && by_topic
    }

    /// The columns that the records of `topic` have by their schema; `None` where they have none, and
    /// [`RecordFormat::infer_of`] finds the columns of some records. There may be no topic yet.
    ///
    /// # Errors
    ///
    /// Where the schema cannot be had.
    pub async fn infer(&self, topic: Option<&str>, clock: Clock) -> Result<Option<SchemaRef>, ConnectorError> {
        let opening = Opening { spec: &self.0, topic, clock };
        Ok(match self.0.format {
            Format::Raw => {
                let name = if self.0.is_key { "key" } else { "value" };
                Some(Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, true)])))
            }
            Format::Avro | Format::DebeziumAvro => Some(opening.avro_columns().await?),
            Format::Protobuf => Some(opening.proto_columns().await?),
            _ => None,
        })
    }

    /// The columns of some records of a topic.
    ///
    /// # Errors
    ///
    /// Where there are none that say anything.
    pub fn infer_of(&self, records: &[&[u8]]) -> Result<SchemaRef, ConnectorError> {
        let mut bytes = Vec::new();
        let csv = self.0.format == Format::Csv;
        for record in records.iter().take(self.0.sample_records) {
            // A line break in JSON is whitespace, and would end a record here.
            bytes.extend(record.iter().map(|byte| if !csv && matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
            bytes.push(b'\n');
        }
        let sample = Sample { bytes: &bytes, complete: true, records: self.0.sample_records };
        match self.0.format {
            Format::Csv => infer_csv(sample, &self.0.dialect, &self.0.values),
            Format::DebeziumJson => infer_debezium(sample, JsonLayout::Lines, &self.0.values),
            _ => infer_json(sample, JsonLayout::Lines, &self.0.values),
        }
    }

    /// A decoder of `columns` of the records of `topic`, where there is one yet. `declared` are the columns of the values, or of the keys.
    ///
    /// # Errors
    ///
    /// Where a column does not fit the schema of the records, or that schema cannot be had.
    pub async fn decoder(
        &self,
        request: &SourceRequest,
        declared: &SchemaRef,
        columns: Vec<DecodeColumn>,
        topic: Option<&str>,
    ) -> Result<OpenDecoder, ConnectorError> {
        let (batch_rows, keep_bytes) = (request.batch_rows, request.keep_bytes);
        let formats = self.0.values.clone();
        let opening = Opening { spec: &self.0, topic, clock: request.clock.clone() };
        let json = |columns, formats| {
            let declared = Some(SchemaRef::clone(declared));
            JsonDecodeOptions { columns, declared, batch_rows, keep_bytes, formats }
        };
        let decoder: Arc<dyn RecordDecoder> = match self.0.format {
            Format::Csv => {
                let (dialect, declared) = (self.0.dialect.clone(), SchemaRef::clone(declared));
                let options = CsvDecodeOptions { dialect, formats, declared, columns, batch_rows, keep_bytes };
                Arc::new(CsvDecoder::new(options)?)
            }
            Format::Raw => Arc::new(RawDecoder::new(declared, columns, batch_rows, keep_bytes)?),
            Format::Avro | Format::DebeziumAvro => {
                return opening.avro_decoder(declared, columns, batch_rows, keep_bytes).await;
            }
            Format::Protobuf => return opening.proto_decoder(declared, columns, batch_rows, keep_bytes).await,
            Format::DebeziumJson => Arc::new(DebeziumDecoder::new(json(columns, formats))?),
            Format::Json => Arc::new(JsonDecoder::new(json(columns, formats))?),
            Format::Parquet => return Err(self.unsupported()),
        };
        Ok(OpenDecoder { decoder, schemas: None })
    }

    /// An encoder of rows of `schema`, the columns of the values or of the keys, into records for `topic`.
    ///
    /// With `changelog.mode` = `full` or `debezium`, rows of values go through [`RecordEncoder::encode_changes`].
    ///
    /// # Errors
    ///
    /// Where a column does not fit the schema of the records, or that schema cannot be had.
    pub async fn encoder(
        &self,
        request: &SinkRequest,
        schema: &SchemaRef,
        topic: &str,
    ) -> Result<Box<dyn RecordEncoder>, ConnectorError> {
        let spec = &*self.0;
        let mode = if spec.is_key { ChangelogMode::Append } else { request.mode };
        let full = mode == ChangelogMode::Full && !spec.format.has_changes();
        let written = if full { WithKind::schema(schema) } else { SchemaRef::clone(schema) };
        let changes = spec.format.has_changes() || mode == ChangelogMode::Debezium;
        let opening = Opening { spec, topic: Some(topic), clock: request.clock.clone() };
        let json = JsonEncodeOptions {
            timestamp: spec.values.timestamp.clone(),
            decimal: spec.properties.decimal_format,
            layout: JsonLayout::Lines,
        };
        let encoder: Box<dyn RecordEncoder> = match (spec.format, changes) {
            (Format::Json | Format::DebeziumJson, true) => {
                Box::new(DebeziumEncoder::new(SchemaRef::clone(&written), json)?)
            }
            (Format::Json, false) => Box::new(JsonEncoder::new(SchemaRef::clone(&written), json)?),
            (Format::Avro | Format::DebeziumAvro, true) => opening.envelope_encoder(&request.name, &written).await?,
            (Format::Avro, false) => opening.avro_encoder(&request.name, &written).await?,
            (Format::Protobuf, false) => opening.proto_encoder(&request.name, &written).await?,
            (Format::Csv, false) => {
                let (dialect, formats) = (spec.dialect.clone(), spec.values.clone());
                let options = CsvEncodeOptions { dialect, formats, changes: false };
                Box::new(CsvEncoder::new(SchemaRef::clone(&written), options)?)
            }
            (Format::Raw, false) if spec.is_key => Box::new(RawEncoder::of_keys(&written)?),
            (Format::Raw, false) => Box::new(RawEncoder::new(&written)?),
            (Format::Csv | Format::Raw | Format::Protobuf, true) => {
                let message = format!("the format '{}' has no envelopes of Debezium", self.name());
                return Err(ConnectorError::new(ErrorKind::Unsupported, "opening the output", message)
                    .advise("set 'format' = 'json' or 'avro', or 'changelog.mode' = 'full'"));
            }
            (Format::Parquet, _) | (Format::DebeziumJson | Format::DebeziumAvro, false) => {
                return Err(self.unsupported());
            }
        };
        Ok(if full { Box::new(WithKind::new(encoder, written)) } else { encoder })
    }

    #[cold]
    fn unsupported(&self) -> ConnectorError {
        let message = format!("records one by one have no format '{}'", self.name());
        ConnectorError::new(ErrorKind::Unsupported, "opening", message)
    }
}

fn note(options: &mut Options, key: &str, message: String, help: Option<&str>) {
    options.error(PropertyError { key: key.to_owned(), origin: None, message, help: help.map(str::to_owned) });
}

/// Notes what is missing, and what is set for nothing.
fn check(
    options: &mut Options,
    registry: &RegistryProperties,
    value: (Format, &SchemaFileProperties),
    key: (Option<Format>, &SchemaFileProperties),
) {
    let is_avro = |format: Format| matches!(format, Format::Avro | Format::DebeziumAvro);
    let by_schema = |format: Format| is_avro(format) || format == Format::Protobuf;
    let any = by_schema(value.0) || key.0.is_some_and(by_schema);
    if registry.url.is_some() && !any {
        let message = "'schema.registry.url' means nothing here: neither values nor keys have a format with schemas";
        note(
            options,
            "schema.registry.url",
            message.to_owned(),
            Some("leave it out, or set 'format' = 'avro' or 'protobuf'"),
        );
    }
    #[cfg(not(feature = "registry"))]
    if registry.url.is_some() {
        let message = "this program was built without the schema registry".to_owned();
        note(
            options,
            "schema.registry.url",
            message,
            Some("build it with the feature `registry`, or use a schema file"),
        );
    }
    if registry.url.is_none() {
        let set = [
            ("schema.registry.username", registry.username.is_some()),
            ("schema.registry.password", registry.password.is_some()),
            ("schema.registry.token", registry.token.is_some()),
            ("schema.registry.ca", registry.ca.is_some()),
            ("schema.registry.subject", registry.subject.is_some()),
        ];
        for (name, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
            let message = format!("'{name}' means nothing without 'schema.registry.url'");
            note(options, name, message, Some("set 'schema.registry.url', or leave it out"));
        }
    }
    if registry.username.is_some() && registry.token.is_some() {
        let message = "'schema.registry.token' and 'schema.registry.username' are both set".to_owned();
        note(options, "schema.registry.token", message, Some("leave one of them out"));
    }
    let parts = [("", Some(value.0), value.1), ("key.", key.0, key.1)];
    for (before, format, files) in parts {
        let avro = format.is_some_and(is_avro);
        let protobuf = format == Some(Format::Protobuf);
        let set = [
            ("avro.schema.file", files.avro.is_some() && !avro, "avro"),
            ("protobuf.schema.file", files.protobuf.is_some() && !protobuf, "protobuf"),
            ("protobuf.message", files.message.is_some() && !protobuf, "protobuf"),
        ];
        for (name, _, wanted) in set.into_iter().filter(|(_, wrong, _)| *wrong) {
            let key = format!("{before}{name}");
            let message = format!("'{key}' means nothing here: the format is not {wanted}");
            note(options, &key, message, Some("leave it out, or set the format"));
        }
        let (name, has) = match (avro, protobuf) {
            (true, _) => ("avro.schema.file", files.avro.is_some()),
            (_, true) => ("protobuf.schema.file", files.protobuf.is_some()),
            _ => continue,
        };
        if !has && registry.url.is_none() {
            let what = format!("the records have a schema; set the registry that has it, or '{before}{name}'");
            options.missing("schema.registry.url", &what);
        }
    }
}
