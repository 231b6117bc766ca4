//! Debezium's envelopes in Avro.

use std::sync::Arc;

use apache_avro::types::Value;
use arrow_schema::{DataType, Field, Schema};
use velo_core::connector::DecodeColumn;
use velo_core::row_kind::{RowKind, RowKinds};
use velo_core::types;
use velo_format::avro::{AvroDecodeOptions, AvroDecoder, AvroSchema, AvroSource, DebeziumAvroEncoder, envelope_schema};
use velo_format::records::{RecordDecoder, RecordEncoder};
use velo_format::value::{EpochUnit, TimestampFormat, ValueFormats};

use super::avro::datum;
use super::{batch_of, column, columns_of, cut, raw, rows};

/// As Debezium registers it for a table of PostgreSQL.
const ENVELOPE: &str = r#"{"type":"record","name":"Envelope","namespace":"shop.public.orders","fields":[
  {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
    {"name":"id","type":"int"},
    {"name":"name","type":["null","string"],"default":null},
    {"name":"price","type":["null",{"type":"bytes","scale":2,"precision":10,"connect.version":1,
      "connect.parameters":{"scale":"2","connect.decimal.precision":"10"},
      "connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}],"default":null},
    {"name":"day","type":["null",{"type":"int","connect.version":1,"connect.name":"io.debezium.time.Date"}],"default":null},
    {"name":"at","type":["null",{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}],"default":null},
    {"name":"zoned","type":["null",{"type":"string","connect.version":1,"connect.name":"io.debezium.time.ZonedTimestamp"}],"default":null},
    {"name":"doc","type":["null",{"type":"string","connect.version":1,"connect.name":"io.debezium.data.Json"}],"default":null},
    {"name":"free","type":["null",{"type":"record","name":"VariableScaleDecimal","namespace":"io.debezium.data","fields":[
      {"name":"scale","type":"int"},{"name":"value","type":"bytes"}],"connect.version":1,
      "connect.name":"io.debezium.data.VariableScaleDecimal"}],"default":null}
    ],"connect.name":"shop.public.orders.Value"}],"default":null},
  {"name":"after","type":["null","Value"],"default":null},
  {"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql","fields":[
    {"name":"db","type":"string"},{"name":"ts_ms","type":"long"},
    {"name":"snapshot","type":[{"type":"string","connect.default":"false"},"null"],"default":"false"}]}},
  {"name":"op","type":"string"},
  {"name":"ts_ms","type":["null","long"],"default":null},
  {"name":"transaction","type":["null",{"type":"record","name":"block","namespace":"event","fields":[{"name":"id","type":"string"}]}],"default":null}
],"connect.name":"shop.public.orders.Envelope"}"#;

fn row(id: i32, name: &str) -> Value {
    let some = |value: Value| Value::Union(1, Box::new(value));
    let scaled = vec![("scale".into(), Value::Int(3)), ("value".into(), Value::Bytes(vec![0x04, 0xD2]))];
    Value::Union(
        1,
        Box::new(Value::Record(vec![
            ("id".into(), Value::Int(id)),
            ("name".into(), some(Value::String(name.into()))),
            ("price".into(), some(Value::Decimal(apache_avro::Decimal::from([0x04, 0xD2].as_slice())))),
            ("day".into(), some(Value::Int(19_753))),
            ("at".into(), some(Value::Long(1_706_702_400_000_000))),
            ("zoned".into(), some(Value::String("2024-01-31T13:00:00+01:00".into()))),
            ("doc".into(), some(Value::String("{\"a\":1}".into()))),
            ("free".into(), some(Value::Record(scaled))),
        ])),
    )
}

fn envelope(before: Value, after: Value, op: &str) -> Vec<u8> {
    let null = || Value::Union(0, Box::new(Value::Null));
    let source = Value::Record(vec![
        ("db".into(), Value::String("shop".into())),
        ("ts_ms".into(), Value::Long(1_706_702_400_123)),
        ("snapshot".into(), Value::Union(0, Box::new(Value::String("false".into())))),
    ]);
    let ts = Value::Union(1, Box::new(Value::Long(1_706_702_400_456)));
    let op = Value::String(op.into());
    let fields = vec![
        ("before", before),
        ("after", after),
        ("source", source),
        ("op", op),
        ("ts_ms", ts),
        ("transaction", null()),
    ];
    datum(ENVELOPE, fields)
}

fn options(text: &str, columns: Vec<DecodeColumn>) -> AvroDecodeOptions {
    AvroDecodeOptions {
        columns,
        declared: None,
        batch_rows: 8192,
        keep_bytes: true,
        formats: Default::default(),
        source: AvroSource::File(Arc::new(AvroSchema::parse(text, &[]).unwrap())),
        changes: true,
    }
}

fn decoder(text: &str, columns: Vec<DecodeColumn>) -> AvroDecoder {
    AvroDecoder::new(options(text, columns)).unwrap()
}

#[test]
fn envelopes_become_changes() {
    let null = || Value::Union(0, Box::new(Value::Null));
    let records = [
        envelope(null(), row(1, "a"), "c"),
        envelope(row(1, "a"), row(1, "b"), "u"),
        envelope(row(1, "b"), null(), "d"),
        envelope(null(), row(2, "r"), "r"),
        envelope(null(), row(2, "x"), "u"),
        envelope(null(), null(), "t"),
        envelope(null(), row(3, "__debezium_unavailable_value"), "c"),
        envelope(null(), null(), "c"),
    ];
    let two = decoder(ENVELOPE, vec![column("id", DataType::Int64), column("name", DataType::Utf8)]);
    let found = rows(&two, &records);
    assert_eq!(found[..5], ["100 +I 1 a", "101 -U 1 a", "101 +U 1 b", "102 -D 1 b", "103 +I 2 r"]);
    assert!(found[5].starts_with("104: before: an update without the row as it was"), "{found:?}");
    assert!(found[6].starts_with("105: op: the table was emptied (TRUNCATE)"), "{found:?}");
    assert!(found[7].starts_with("106: after.name: the database did not send the value"), "{found:?}");
    assert_eq!(found[8], "107: after: the row as it is now is missing");
    assert_eq!(two.fields_of(&records[0])[..3], ["id", "name", "price"]);
    let id =
        decoder(ENVELOPE, vec![column("id", DataType::Int8), column("source.ts_ms", DataType::Int64), raw("ts_ms")]);
    let found = rows(&id, &[envelope(null(), row(1, "a"), "c"), envelope(null(), row(500, "a"), "c")]);
    assert_eq!(found, ["100 1 1706702400123 1706702400456", "101: after.id: '500' is out of range for TINYINT"]);
}

#[test]
fn types_of_databases_are_what_they_mean() {
    let columns = vec![
        column("price", types::decimal(10, 2)),
        column("day", DataType::Date32),
        column("at", types::TIMESTAMP),
        column("zoned", types::TIMESTAMP),
        DecodeColumn { field: Arc::new(types::json_field("doc", true)), ..column("doc", DataType::Utf8) },
        column("free", types::decimal(10, 3)),
    ];
    // What an epoch is said to be is of numbers alone.
    let millis = TimestampFormat::Epoch(EpochUnit::Millis);
    for timestamp in [TimestampFormat::Iso8601, millis] {
        let null = Value::Union(0, Box::new(Value::Null));
        let decoder = AvroDecoder::new(AvroDecodeOptions {
            formats: ValueFormats { timestamp },
            ..options(ENVELOPE, columns.clone())
        });
        let found = rows(&decoder.unwrap(), &[envelope(null, row(1, "a"), "c")]);
        let times = "2024-01-31T12:00:00Z 2024-01-31T12:00:00Z";
        assert_eq!(found, [format!("100 12.34 2024-01-31 {times} {{\"a\":1}} 1.234")]);
    }
}

#[test]
fn a_schema_that_is_no_envelope_is_refused() {
    let text = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"int"}]}"#;
    let error = AvroDecoder::new(options(text, vec![])).unwrap_err();
    assert!(
        error.message.ends_with("record R is no envelope of Debezium, with before, after and op; is 'avro' meant?")
    );
    let schema = Schema::new(vec![Field::new("id", DataType::Int32, true)]);
    let error = DebeziumAvroEncoder::new(&schema, &AvroSchema::parse(text, &[]).unwrap(), None).unwrap_err();
    assert!(error.message.ends_with("record R is no envelope, with before, after and op"), "{error}");
}

#[test]
fn changes_are_written_and_read_again() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let schema =
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]));
    let texts = ["{\"id\":1,\"name\":\"a\"}", "{\"id\":1,\"name\":\"a\"}", "{\"id\":1,\"name\":\"b\"}", "{\"id\":1}"];
    let batch = batch_of(&schema, &texts);
    let text = envelope_schema("shop.orders", schema.fields()).unwrap();
    apache_avro::Schema::parse_str(&text).unwrap();
    let target = AvroSchema::parse(&text, &[]).unwrap();
    assert_eq!(target.record_name(), Some("shop.orders.Envelope"));
    let mut encoder = DebeziumAvroEncoder::new(&schema, &target, None).unwrap();
    let kinds = RowKinds::new(vec![Insert, UpdateBefore, UpdateAfter, Delete]);
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    encoder.encode_changes(&batch, Some(&kinds), &mut out, &mut ends).unwrap();
    let records = cut(&out, 0, &ends);
    assert_eq!(records[1], b"", "both halves of an update are one record");
    let written: Vec<Vec<u8>> = records.into_iter().filter(|record| !record.is_empty()).collect();
    let found = rows(&decoder(&text, columns_of(schema.fields())), &written);
    assert_eq!(found, ["100 +I 1 a", "101 -U 1 a", "101 +U 1 b", "102 -D 1 NULL"]);
    // Fields that a schema has beside have their defaults, or are null.
    let more = text.replacen(
        "{\"name\":\"op\"",
        "{\"name\":\"ts_ms\",\"type\":[\"null\",\"long\"],\"default\":null},{\"name\":\"op\"",
        1,
    );
    assert_ne!(more, text);
    let target = AvroSchema::parse(&more, &[]).unwrap();
    let mut encoder = DebeziumAvroEncoder::new(&schema, &target, Some(1)).unwrap();
    encoder.encode_records(&batch, &mut out, &mut ends).unwrap();
    let without = more.replacen(",\"default\":null},{\"name\":\"op\"", "},{\"name\":\"op\"", 1).replacen(
        "[\"null\",\"long\"]",
        "\"long\"",
        1,
    );
    let error = DebeziumAvroEncoder::new(&schema, &AvroSchema::parse(&without, &[]).unwrap(), None).unwrap_err();
    assert!(error.message.contains("'ts_ms' has no default"), "{error}");
}

/// An enum of operations that lacks one could only say another.
#[test]
fn operations_that_an_enum_lacks_are_told() {
    let columns = Schema::new(vec![Field::new("id", DataType::Int32, false)]);
    let text = envelope_schema("shop.orders", columns.fields()).unwrap();
    let of = |symbols: &str| {
        let op = format!("\"type\":{{\"type\":\"enum\",\"name\":\"Op\",\"symbols\":[{symbols}]}}");
        let with = text.replace("\"name\":\"op\",\"type\":\"string\"", &format!("\"name\":\"op\",{op}"));
        assert_ne!(with, text);
        let target = AvroSchema::parse(&with, &[]).unwrap();
        DebeziumAvroEncoder::new(&columns, &target, None).map(|_| ()).map_err(|error| error.to_string())
    };
    let error = of("\"r\",\"c\",\"u\"").unwrap_err();
    assert!(error.contains("'op' has the symbols r, c, u, and must have c, u and d"), "{error}");
    of("\"r\",\"c\",\"u\",\"d\"").unwrap();
}
