//! Opening what needs a schema: from a file, from a registry, or made of the columns of a sink.

use std::path::Path;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use prost_reflect::MessageDescriptor;
use velo_core::clock::Clock;
use velo_core::connector::DecodeColumn;
use velo_core::error::{ConnectorError, ErrorKind, Result};

use super::RecordEncoder;
use super::format::{OpenDecoder, Spec};
use super::schemas::{RegisteredSchema, SchemaKind, Schemas};
use crate::avro::{
    AvroDecodeOptions, AvroDecoder, AvroEncoder, AvroSchema, AvroSource, DebeziumAvroEncoder, envelope_schema,
    row_columns, schema_of_columns,
};
use crate::properties::Format;
use crate::protobuf::{
    ProtoDecodeOptions, ProtoDecoder, ProtoEncoder, ProtoSchema, ProtoSource, proto_of_columns,
    proto_version_of_columns,
};

#[cfg(feature = "registry")]
use super::registry::Registry;

/// The registry of programs that are built without one: there is none, which `RecordFormat::read` has said.
#[cfg(not(feature = "registry"))]
enum Registry {}

#[cfg(not(feature = "registry"))]
impl Registry {
    async fn latest(&self, _: &str) -> Result<Option<RegisteredSchema>> {
        match *self {}
    }

    async fn register(&self, _: &str, _: SchemaKind, _: &str) -> Result<u32> {
        match *self {}
    }

    async fn lookup(&self, _: &str, _: SchemaKind, _: &str) -> Result<Option<u32>> {
        match *self {}
    }

    fn no_subject(&self, _: &str) -> ConnectorError {
        match *self {}
    }
}

/// What is opened.
pub(super) struct Opening<'a> {
    pub(super) spec: &'a Spec,
    pub(super) topic: Option<&'a str>,
    pub(super) clock: Clock,
}

#[cold]
fn configuration(message: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Configuration, "opening", message)
}

fn parsed(schema: &RegisteredSchema) -> Result<AvroSchema> {
    let texts: Vec<String> = schema.references.iter().map(|(_, text)| text.clone()).collect();
    AvroSchema::parse(&schema.text, &texts)
}

fn names(declared: &Schema) -> Option<Vec<String>> {
    Some(declared.fields().iter().map(|field| field.name().clone()).collect())
}

impl Opening<'_> {
    #[cfg(feature = "registry")]
    fn registry(&self) -> Result<Option<Arc<Registry>>> {
        match self.spec.registry.url {
            Some(_) => Ok(Some(Arc::new(Registry::new(&self.spec.registry, self.clock.clone())?))),
            None => Ok(None),
        }
    }

    #[cfg(not(feature = "registry"))]
    fn registry(&self) -> Result<Option<Arc<Registry>>> {
        let _ = &self.clock;
        Ok(None)
    }

    #[cfg(feature = "registry")]
    fn schemas(registry: Arc<Registry>) -> Schemas {
        Schemas::of(registry)
    }

    #[cfg(not(feature = "registry"))]
    fn schemas(registry: Arc<Registry>) -> Schemas {
        match *registry {}
    }

    /// The subject; `None` where its name needs that of the record.
    fn subject(&self, record: Option<&str>) -> Option<String> {
        let named = || self.spec.registry.strategy.subject(self.topic, self.spec.is_key, record);
        self.spec.subject.clone().or_else(named)
    }

    /// The latest schema of the subject, where there is one.
    async fn latest(
        &self,
        registry: &Registry,
        kind: SchemaKind,
        record: Option<&str>,
    ) -> Result<Option<RegisteredSchema>> {
        let Some(subject) = self.subject(record) else { return Ok(None) };
        let Some(schema) = registry.latest(&subject).await? else { return Ok(None) };
        if schema.kind != kind {
            let (found, wanted) = (schema.kind.name(), kind.name());
            return Err(configuration(format!("the schema of the subject '{subject}' is {found} and not {wanted}"))
                .advise("set 'format' to what the subject has"));
        }
        Ok(Some(schema))
    }

    /// The error of a subject that must be there.
    fn no_subject(&self, registry: &Registry, record: Option<&str>) -> ConnectorError {
        match self.subject(record) {
            Some(subject) => registry.no_subject(&subject),
            None => {
                let (by, help) = match self.topic {
                    Some(_) => ("the record, which is not known here", "set 'schema.registry.subject'"),
                    None => {
                        ("the topic, and there is none yet", "set 'schema.registry.subject', or declare the columns")
                    }
                };
                configuration(format!("the subject is named by {by}")).advise(help)
            }
        }
    }

    fn avro_file(&self) -> Result<Option<(String, AvroSchema)>> {
        let Some(path) = &self.spec.files.avro else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConnectorError::from_io(error, "reading the Avro schema", path))?;
        let schema = AvroSchema::parse(&text, &[])
            .map_err(|error| ConnectorError { message: format!("{path}: {}", error.message), ..error })?;
        Ok(Some((text, schema)))
    }

    fn proto_file(&self) -> Result<Option<MessageDescriptor>> {
        let Some(path) = &self.spec.files.protobuf else { return Ok(None) };
        ProtoSchema::open(Path::new(path))?.message(self.spec.files.message.as_deref()).map(Some)
    }

    /// The schema that the columns are of.
    async fn avro_schema(&self) -> Result<AvroSchema> {
        if let Some((_, schema)) = self.avro_file()? {
            return Ok(schema);
        }
        let Some(registry) = self.registry()? else { return Err(no_schema("avro.schema.file")) };
        match self.latest(&registry, SchemaKind::Avro, None).await? {
            Some(schema) => parsed(&schema),
            None => Err(self.no_subject(&registry, None)),
        }
    }

    pub(super) async fn avro_columns(&self) -> Result<SchemaRef> {
        let schema = self.avro_schema().await?;
        if self.spec.format == Format::Avro {
            return Ok(Arc::new(Schema::new(schema.columns())));
        }
        let columns = row_columns(&schema).ok_or_else(|| {
            configuration("the schema is none of Debezium's envelopes, with before, after and op".to_owned())
                .advise("set 'format' = 'avro'")
        })?;
        Ok(Arc::new(Schema::new(columns)))
    }

    /// The message that the columns are of.
    async fn proto_message(&self) -> Result<MessageDescriptor> {
        if let Some(message) = self.proto_file()? {
            return Ok(message);
        }
        let Some(registry) = self.registry()? else { return Err(no_schema("protobuf.schema.file")) };
        let name = self.spec.files.message.as_deref();
        match self.latest(&registry, SchemaKind::Protobuf, name).await? {
            Some(schema) => first_message(&schema, name),
            None => Err(self.no_subject(&registry, name)),
        }
    }

    pub(super) async fn proto_columns(&self) -> Result<SchemaRef> {
        Ok(Arc::new(Schema::new(ProtoSchema::columns(&self.proto_message().await?))))
    }

    pub(super) async fn avro_decoder(
        &self,
        declared: &Schema,
        columns: Vec<DecodeColumn>,
        batch_rows: usize,
        keep_bytes: bool,
    ) -> Result<OpenDecoder> {
        let file = self.avro_file()?.map(|(_, schema)| Arc::new(schema));
        let (source, schemas) = match self.registry()? {
            Some(registry) => {
                let reader = match file {
                    Some(schema) => Some(schema),
                    None => match self.latest(&registry, SchemaKind::Avro, None).await? {
                        Some(schema) => Some(Arc::new(parsed(&schema)?)),
                        // Nothing was written yet, or subjects are named by records.
                        None => None,
                    },
                };
                let schemas = Arc::new(Self::schemas(registry));
                (AvroSource::Registry(Arc::clone(&schemas), reader), Some(schemas))
            }
            None => (AvroSource::File(file.ok_or_else(|| no_schema("avro.schema.file"))?), None),
        };
        let options = AvroDecodeOptions {
            columns,
            declared: names(declared),
            batch_rows,
            keep_bytes,
            formats: self.spec.values.clone(),
            source,
            changes: self.spec.format == Format::DebeziumAvro,
        };
        Ok(OpenDecoder { decoder: Arc::new(AvroDecoder::new(options)?), schemas })
    }

    pub(super) async fn proto_decoder(
        &self,
        declared: &Schema,
        columns: Vec<DecodeColumn>,
        batch_rows: usize,
        keep_bytes: bool,
    ) -> Result<OpenDecoder> {
        let file = self.proto_file()?;
        let name = self.spec.files.message.as_deref();
        let (source, schemas) = match self.registry()? {
            Some(registry) => {
                let message = match file {
                    Some(message) => Some(message),
                    None => match self.latest(&registry, SchemaKind::Protobuf, name).await? {
                        Some(schema) => Some(first_message(&schema, name)?),
                        // Nothing was written yet, or subjects are named by records.
                        None => None,
                    },
                };
                let schemas = Arc::new(Self::schemas(registry));
                (ProtoSource::Registry(Arc::clone(&schemas), message), Some(schemas))
            }
            None => (ProtoSource::File(file.ok_or_else(|| no_schema("protobuf.schema.file"))?), None),
        };
        let formats = self.spec.values.clone();
        let options =
            ProtoDecodeOptions { columns, declared: names(declared), batch_rows, keep_bytes, formats, source };
        Ok(OpenDecoder { decoder: Arc::new(ProtoDecoder::new(options)?), schemas })
    }

    /// The id of a schema that a sink writes by: registered, or looked up.
    async fn id(&self, registry: &Registry, kind: SchemaKind, record: Option<&str>, text: &str) -> Result<u32> {
        let subject = self.subject(record).ok_or_else(|| self.no_subject(registry, record))?;
        if self.spec.registry.auto_register {
            return registry.register(&subject, kind, text).await;
        }
        registry.lookup(&subject, kind, text).await?.ok_or_else(|| {
            configuration(format!("the subject '{subject}' does not have the schema of the file"))
                .advise("register it, or set 'schema.registry.auto_register' = 'true'")
        })
    }

    pub(super) async fn avro_encoder(&self, name: &str, schema: &Schema) -> Result<Box<dyn RecordEncoder>> {
        let made = |name: &str| schema_of_columns(name, schema.fields());
        let fits = |target: &AvroSchema| AvroEncoder::new(schema, target, None).map(|_| ());
        let (target, id) = self.avro_target(name, &made, &fits).await?;
        Ok(Box::new(AvroEncoder::new(schema, &target, id)?))
    }

    pub(super) async fn envelope_encoder(&self, name: &str, schema: &Schema) -> Result<Box<dyn RecordEncoder>> {
        let made = |name: &str| envelope_schema(name.trim_end_matches(".Envelope"), schema.fields());
        let fits = |target: &AvroSchema| DebeziumAvroEncoder::new(schema, target, None).map(|_| ());
        let (target, id) = self.avro_target(name, &made, &fits).await?;
        Ok(Box::new(DebeziumAvroEncoder::new(schema, &target, id)?))
    }

    /// The schema that a sink writes by, and its id: that of a file; else the latest of the subject where the columns fit it; else
    /// one that is made of the columns and registered.
    async fn avro_target(
        &self,
        name: &str,
        made: &(dyn Fn(&str) -> Result<String> + Sync),
        fits: &(dyn Fn(&AvroSchema) -> Result<()> + Sync),
    ) -> Result<(AvroSchema, Option<u32>)> {
        let file = self.avro_file()?;
        let Some(registry) = self.registry()? else {
            return Ok((file.ok_or_else(|| no_schema("avro.schema.file"))?.1, None));
        };
        if let Some((text, schema)) = file {
            let id = self.id(&registry, SchemaKind::Avro, schema.record_name(), &text).await?;
            return Ok((schema, Some(id)));
        }
        let text = made(name)?;
        let own = AvroSchema::parse(&text, &[])?;
        let latest = self.latest(&registry, SchemaKind::Avro, own.record_name()).await?;
        let auto = self.spec.registry.auto_register;
        let Some(latest) = latest else {
            if !auto {
                return Err(self.no_subject(&registry, own.record_name()));
            }
            let id = self.id(&registry, SchemaKind::Avro, own.record_name(), &text).await?;
            return Ok((own, Some(id)));
        };
        let target = parsed(&latest)?;
        match fits(&target) {
            Ok(()) => Ok((target, Some(latest.id))),
            Err(error) if !auto => Err(error),
            // A new version of the same record.
            Err(_) => {
                let text = made(target.record_name().unwrap_or(name))?;
                let target = AvroSchema::parse(&text, &[])?;
                let id = self.id(&registry, SchemaKind::Avro, target.record_name(), &text).await?;
                Ok((target, Some(id)))
            }
        }
    }

    pub(super) async fn proto_encoder(&self, name: &str, schema: &Schema) -> Result<Box<dyn RecordEncoder>> {
        let file = self.proto_file()?;
        let Some(registry) = self.registry()? else {
            let message = file.ok_or_else(|| no_schema("protobuf.schema.file"))?;
            return Ok(Box::new(ProtoEncoder::new(schema, &message, None)?));
        };
        if let Some(message) = file {
            let text = self.proto_text()?;
            let id = self.id(&registry, SchemaKind::Protobuf, Some(message.full_name()), &text).await?;
            return Ok(Box::new(ProtoEncoder::new(schema, &message, Some(id))?));
        }
        let wanted = self.spec.files.message.as_deref();
        let mut text = proto_of_columns(wanted.unwrap_or(name), schema.fields())?;
        let mut own = ProtoSchema::parse(&text, &[])?.message(None)?;
        let auto = self.spec.registry.auto_register;
        if let Some(latest) = self.latest(&registry, SchemaKind::Protobuf, Some(own.full_name())).await? {
            let message = first_message(&latest, wanted)?;
            match ProtoEncoder::new(schema, &message, Some(latest.id)) {
                Ok(encoder) => return Ok(Box::new(encoder)),
                Err(error) if !auto => return Err(error),
                // The other messages of its file would be lost.
                Err(error) if message.parent_message().is_some() || message.parent_file().messages().len() > 1 => {
                    return Err(error);
                }
                // A new version of the same message.
                Err(_) => {
                    text = proto_version_of_columns(&message, schema.fields())?;
                    own = ProtoSchema::parse(&text, &[])?.message(None)?;
                }
            }
        } else if !auto {
            return Err(self.no_subject(&registry, Some(own.full_name())));
        }
        let id = self.id(&registry, SchemaKind::Protobuf, Some(own.full_name()), &text).await?;
        Ok(Box::new(ProtoEncoder::new(schema, &own, Some(id))?))
    }

    /// The text of the `.proto` file, which is what a registry takes.
    fn proto_text(&self) -> Result<String> {
        let path = self.spec.files.protobuf.as_deref().unwrap_or_default();
        let is_text = Path::new(path).extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("proto"));
        if !is_text {
            return Err(configuration(format!("{path} is no .proto file, which alone can be registered"))
                .advise("set 'protobuf.schema.file' to a .proto file"));
        }
        std::fs::read_to_string(path)
            .map_err(|error| ConnectorError::from_io(error, "reading the Protobuf schema", path))
    }
}

/// The message of a name, or the first one: it is what a serializer writes that is told nothing.
fn first_message(schema: &RegisteredSchema, name: Option<&str>) -> Result<MessageDescriptor> {
    let parsed = ProtoSchema::parse(&schema.text, &schema.references)?;
    match (name, parsed.at(&[0])) {
        (None, Some(first)) => Ok(first),
        (name, _) => parsed.message(name),
    }
}

#[cold]
fn no_schema(key: &str) -> ConnectorError {
    configuration(format!("the records have a schema, and neither 'schema.registry.url' nor '{key}' is set"))
        .advise("set one of them")
}
