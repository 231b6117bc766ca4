//! The way in: formats by their properties, with schemas in files.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::clock::Clock;
use velo_core::connector::{ChangelogMode, DecodeColumn, Guarantee, SinkRequest, SourceRequest};
use velo_core::error::ConnectorError;
use velo_core::progress::Progress;
use velo_core::properties::Options;
use velo_core::row_kind::{RowKind, RowKinds};
use velo_format::records::{OpenDecoder, RecordEncoder, RecordFormat, RecordFormats};

use super::{batch_of, columns_of, cut, encode, names, rows};

pub(crate) fn read(pairs: &[(&str, &str)], source: bool) -> Result<RecordFormats, Vec<String>> {
    let mut options = Options::from_pairs(pairs.iter().copied());
    let formats = RecordFormat::read(&mut options, source);
    let errors: Vec<String> =
        options.finish("a topic", RecordFormat::source_specs()).into_iter().map(|error| error.message).collect();
    match formats {
        Some(formats) if errors.is_empty() => Ok(formats),
        _ => {
            assert!(!errors.is_empty(), "nothing without a mistake that is told");
            Err(errors)
        }
    }
}

pub(crate) fn wait<T>(future: impl Future<Output = T> + Send) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)]))
}

pub(crate) fn source(declared: &SchemaRef) -> SourceRequest {
    SourceRequest {
        name: "orders".to_owned(),
        ordinal: 0,
        declared: SchemaRef::clone(declared),
        columns: columns_of(declared.fields()),
        batch_rows: 8192,
        keep_bytes: false,
        clock: Clock::system(),
        progress: Arc::new(Progress::default()),
    }
}

pub(crate) fn sink(schema: &SchemaRef, mode: ChangelogMode) -> SinkRequest {
    SinkRequest {
        name: "orders out".to_owned(),
        schema: SchemaRef::clone(schema),
        key: vec![],
        mode,
        guarantee: Guarantee::AtLeastOnce,
        bounded: false,
        after: None,
        transactions: None,
        clock: Clock::system(),
        progress: Arc::new(Progress::default()),
    }
}

pub(crate) fn open(format: &RecordFormat, declared: &SchemaRef, topic: &str) -> Result<OpenDecoder, ConnectorError> {
    let columns: Vec<DecodeColumn> = columns_of(declared.fields());
    wait(async { format.decoder(&source(declared), declared, columns, Some(topic)).await })
}

pub(crate) fn open_sink(
    format: &RecordFormat,
    schema: &SchemaRef,
    mode: ChangelogMode,
    topic: &str,
) -> Result<Box<dyn RecordEncoder>, ConnectorError> {
    wait(async { format.encoder(&sink(schema, mode), schema, topic).await })
}

#[test]
fn mistakes_are_told() {
    let errors = |pairs: &[(&str, &str)]| read(pairs, true).unwrap_err();
    assert_eq!(errors(&[("format", "parquet")]), ["the format 'parquet' is none that records one by one have"]);
    let missing =
        "the property 'schema.registry.url' is missing: the records have a schema; set the registry that has it, or ";
    assert_eq!(errors(&[("format", "avro")]), [format!("{missing}'avro.schema.file'")]);
    assert_eq!(errors(&[("format", "protobuf")]), [format!("{missing}'protobuf.schema.file'")]);
    assert_eq!(
        errors(&[("key.format", "avro"), ("schema.registry.username", "me")]),
        [
            "'schema.registry.username' means nothing without 'schema.registry.url'".to_owned(),
            format!("{missing}'key.avro.schema.file'")
        ]
    );
    assert_eq!(
        errors(&[("avro.schema.file", "a.avsc"), ("protobuf.message", "A")]),
        [
            "'avro.schema.file' means nothing here: the format is not avro",
            "'protobuf.message' means nothing here: the format is not protobuf"
        ]
    );
    let nothing = "'schema.registry.url' means nothing here: neither values nor keys have a format with schemas";
    assert_eq!(errors(&[("schema.registry.url", "http://localhost:1")])[0], nothing);
    assert!(errors(&[("format", "avrro")])[0].contains("did you mean 'avro'?"));
    assert_eq!(
        errors(&[("key.format", "debezium_json")]),
        ["the format 'debezium_json' is none that records one by one have"]
    );
    let wrong = &errors(&[("timestamp.format", "dd.MM.yyyy")])[0];
    assert!(wrong.starts_with("'timestamp.format': ") && wrong.contains("%d.%m.%Y"), "{wrong}");
    assert!(read(&[("timestamp.format", "%d.%m.%Y %H:%M")], true).is_ok());
    assert_eq!(errors(&[("json.layout", "array")]), ["each record is one JSON object, and no array of them"]);
}

#[test]
fn text_formats_open_without_schemas() {
    let declared = columns();
    for (name, record) in [("json", "{\"id\":1,\"name\":\"a\"}"), ("csv", "1,a")] {
        let formats = read(&[("format", name)], true).unwrap();
        assert_eq!(
            (formats.value.name(), formats.key.name(), formats.has_key_format),
            (name.to_owned(), name.to_owned(), false)
        );
        let opened = open(&formats.value, &declared, "orders").unwrap();
        assert!(opened.schemas.is_none());
        assert_eq!(rows(&*opened.decoder, &[record]), ["100 1 a"]);
        let mut encoder = open_sink(&formats.value, &declared, ChangelogMode::Append, "orders").unwrap();
        let batch = batch_of(&declared, &["{\"id\":1,\"name\":\"a\"}"]);
        assert_eq!(encode(&mut *encoder, &batch), [record.as_bytes()]);
    }
    let formats = read(&[("format", "debezium_json"), ("key.format", "raw")], true).unwrap();
    assert!(formats.value.has_changes() && !formats.key.has_changes() && formats.has_key_format);
    let opened = open(&formats.value, &declared, "orders").unwrap();
    assert_eq!(rows(&*opened.decoder, &["{\"op\":\"c\",\"after\":{\"id\":1,\"name\":\"a\"}}"]), ["100 1 a"]);
    let key: SchemaRef = Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true)]));
    assert_eq!(rows(&*open(&formats.key, &key, "orders").unwrap().decoder, &["x"]), ["100 x"]);
}

#[test]
fn columns_are_found() {
    let infer = |pairs: &[(&str, &str)], records: &[&str]| {
        let format = read(pairs, true).unwrap().value;
        match wait(async { format.infer(Some("orders"), Clock::system()).await }).unwrap() {
            Some(schema) => names(schema.fields()),
            None => {
                let records: Vec<&[u8]> = records.iter().map(|record| record.as_bytes()).collect();
                names(format.infer_of(&records).unwrap().fields())
            }
        }
    };
    assert_eq!(infer(&[], &["{\"a\":1,\n\"b\":\"x\"}", "nope", "{\"a\":1.5}"]), "a DECIMAL(38,1), b STRING");
    assert_eq!(infer(&[("format", "csv")], &["1,x", "2,\"y\nz\""]), "column_1 BIGINT, column_2 STRING");
    assert_eq!(infer(&[("format", "debezium_json")], &["{\"op\":\"c\",\"after\":{\"id\":1}}"]), "id BIGINT");
    assert_eq!(infer(&[("format", "raw")], &[]), "value STRING");
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    let (avro, proto) = (format!("{data}/avro/weather.avsc"), format!("{data}/protobuf/gtfs-realtime.proto"));
    assert_eq!(infer(&[("format", "avro"), ("avro.schema.file", &avro)], &[]), "station STRING, time BIGINT, temp INT");
    let message = ("protobuf.message", "transit_realtime.TripUpdate.StopTimeEvent");
    let found = infer(&[("format", "protobuf"), ("protobuf.schema.file", &proto), message], &[]);
    assert!(found.starts_with("delay INT, time BIGINT, uncertainty INT"), "{found}");
}

#[test]
fn schema_files_open_and_are_written_by() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let avro = write(
        "o.avsc",
        r#"{"type":"record","name":"O","fields":[{"name":"id","type":"long"},{"name":"name","type":["null","string"]}]}"#,
    );
    let proto = write("o.proto", "syntax = \"proto3\"; message O { int64 id = 1; optional string name = 2; }");
    let declared = columns();
    let batch = batch_of(&declared, &["{\"id\":1,\"name\":\"a\"}", "{\"id\":-2}"]);
    for pairs in [
        [("format", "avro"), ("avro.schema.file", avro.as_str())],
        [("format", "protobuf"), ("protobuf.schema.file", &proto)],
    ] {
        let formats = read(&pairs, true).unwrap();
        let mut encoder = open_sink(&formats.value, &declared, ChangelogMode::Append, "orders").unwrap();
        let records = encode(&mut *encoder, &batch);
        let opened = open(&formats.value, &declared, "orders").unwrap();
        assert_eq!(rows(&*opened.decoder, &records), ["100 1 a", "101 -2 NULL"]);
    }
    let gone = read(&[("format", "avro"), ("avro.schema.file", "/nowhere/x.avsc")], true).unwrap();
    let error = open(&gone.value, &declared, "orders").unwrap_err();
    assert!(error.message.contains("/nowhere/x.avsc"), "{error}");
    let broken = write("b.avsc", "{");
    let error = open(&read(&[("format", "avro"), ("avro.schema.file", &broken)], true).unwrap().value, &declared, "o")
        .unwrap_err();
    assert!(error.message.contains("b.avsc: it is no JSON"), "{error}");
}

#[test]
fn changes_are_written_as_the_mode_says() {
    let schema = columns();
    let batch = batch_of(&schema, &["{\"id\":1,\"name\":\"a\"}", "{\"id\":1,\"name\":\"b\"}"]);
    let kinds = RowKinds::new(vec![RowKind::UpdateBefore, RowKind::UpdateAfter]);
    let written = |pairs: &[(&str, &str)], mode| {
        let format = read(pairs, false).unwrap().value;
        assert!(format.writes_changes(mode));
        let mut encoder = open_sink(&format, &schema, mode, "orders").unwrap();
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        encoder.encode_changes(&batch, Some(&kinds), &mut out, &mut ends).unwrap();
        let texts = cut(&out, 0, &ends).into_iter().map(|record| String::from_utf8(record).unwrap());
        texts.collect::<Vec<_>>()
    };
    let full = [r#"{"_op":"-U","id":1,"name":"a"}"#, r#"{"_op":"+U","id":1,"name":"b"}"#];
    assert_eq!(written(&[], ChangelogMode::Full), full);
    assert_eq!(written(&[("format", "csv")], ChangelogMode::Full), ["-U,1,a", "+U,1,b"]);
    let envelope = r#"{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"}"#;
    assert_eq!(written(&[], ChangelogMode::Debezium), ["", envelope]);
    assert_eq!(written(&[("format", "debezium_json")], ChangelogMode::Append), ["", envelope]);
    let csv = read(&[("format", "csv")], false).unwrap().value;
    let error = open_sink(&csv, &schema, ChangelogMode::Debezium, "orders").err().unwrap();
    assert_eq!(error.message, "the format 'csv' has no envelopes of Debezium");
}
