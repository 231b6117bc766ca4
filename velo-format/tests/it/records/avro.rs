//! Avro: which columns a value can be, how schemas develop, and what is said where something does not fit.

use std::sync::Arc;

use apache_avro::types::Value;
use arrow_schema::DataType;
use velo_core::connector::DecodeColumn;
use velo_core::types;
use velo_format::avro::{AvroDecodeOptions, AvroDecoder, AvroEncoder, AvroSchema, AvroSource};
use velo_format::records::{RecordDecoder, RecordEncoder, RegisteredSchema, SchemaKind, Schemas};

use super::avro_files::decoder;
use super::{batch_of, column, columns_of, decode, encode, not_null, raw, rows};

fn schema(text: &str) -> Arc<AvroSchema> {
    Arc::new(AvroSchema::parse(text, &[]).unwrap())
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

/// A record as another program writes it.
pub(crate) fn datum(schema: &str, fields: Vec<(&str, Value)>) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    super::avro_files::datum(&schema, Value::Record(fields))
}

fn options(source: AvroSource, columns: Vec<DecodeColumn>) -> AvroDecodeOptions {
    AvroDecodeOptions {
        columns,
        declared: None,
        batch_rows: 8192,
        keep_bytes: true,
        formats: Default::default(),
        source,
        changes: false,
    }
}

fn refused(text: &str, columns: Vec<DecodeColumn>) -> String {
    AvroDecoder::new(options(AvroSource::File(schema(text)), columns)).unwrap_err().message
}

/// Schemas of a registry, by their ids from 1 on.
pub(crate) fn schemas(texts: &[&str]) -> Arc<Schemas> {
    let schemas = Schemas::new();
    for (at, text) in texts.iter().enumerate() {
        let (id, kind) = (at as u32 + 1, SchemaKind::Avro);
        schemas.put(RegisteredSchema { id, kind, text: (*text).to_owned(), references: Vec::new() });
    }
    Arc::new(schemas)
}

pub(crate) fn with_id(id: u32, record: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), record].concat()
}

#[test]
fn values_become_the_columns_that_are_declared() {
    let text = record(
        r#"{"name":"i","type":"int"},{"name":"l","type":"long"},{"name":"d","type":"double"},{"name":"s","type":"string"},
        {"name":"b","type":"bytes"},{"name":"ts","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"day","type":{"type":"int","logicalType":"date"}},{"name":"t","type":{"type":"int","logicalType":"time-millis"}},
        {"name":"e","type":{"type":"enum","name":"E","symbols":["BUY","SELL"]}},
        {"name":"m","type":{"type":"map","values":["null","long"]}}"#,
    );
    let bytes = datum(
        &text,
        vec![
            ("i", Value::Int(-7)),
            ("l", Value::Long(1 << 40)),
            ("d", Value::Double(2.5)),
            ("s", Value::String("12.50".into())),
            ("b", Value::Bytes(b"text".to_vec())),
            ("ts", Value::TimestampMillis(-1500)),
            ("day", Value::Date(-1)),
            ("t", Value::TimeMillis(3_600_000)),
            ("e", Value::Enum(1, "SELL".into())),
            ("m", Value::Map([("k".to_owned(), Value::Union(1, Box::new(Value::Long(5))))].into())),
        ],
    );
    let one =
        |columns: Vec<DecodeColumn>| rows(&decoder(&schema(&text), columns), std::slice::from_ref(&bytes))[0].clone();
    let read = |name: &str, ty: DataType| one(vec![column(name, ty)])[4..].to_owned();
    assert_eq!(read("i", DataType::Int8), "-7");
    assert_eq!(read("i", DataType::Int64), "-7");
    assert_eq!(read("i", types::decimal(10, 2)), "-7.00");
    assert_eq!(read("i", DataType::Float64), "-7.0");
    assert_eq!(read("I", DataType::Utf8), "-7");
    assert_eq!(read("d", types::decimal(10, 2)), "2.50");
    assert_eq!(read("s", types::decimal(10, 2)), "12.50");
    assert_eq!(read("s", DataType::Utf8), "12.50");
    assert_eq!(read("s", DataType::Float64), "12.5");
    assert_eq!(read("b", DataType::Utf8), "text");
    assert_eq!(read("ts", types::TIMESTAMP), "1969-12-31T23:59:58.500Z");
    assert_eq!(read("ts", types::TIMESTAMP_NANOS), "1969-12-31T23:59:58.500Z");
    assert_eq!(read("ts", DataType::Int64), "-1500");
    assert_eq!(read("ts", DataType::Utf8), "1969-12-31T23:59:58.500Z");
    assert_eq!(read("day", DataType::Date32), "1969-12-31");
    assert_eq!(read("day", types::TIMESTAMP), "1969-12-31T00:00:00Z");
    assert_eq!(read("t", types::TIME), "01:00:00");
    assert_eq!(read("e", DataType::Utf8), "SELL");
    assert_eq!(read("m", types::map(DataType::Utf8, DataType::Int32)), "{\"k\":5}");
    // An event time is given as it is.
    assert_eq!(one(vec![raw("ts")]), "100 1969-12-31T23:59:58.500Z");
    assert_eq!(one(vec![raw("l")]), "100 1099511627776");
    let typed = decode(&decoder(&schema(&text), vec![raw("ts")]), std::slice::from_ref(&bytes));
    assert_eq!(*typed.batches[0].schema().field(0).data_type(), types::TIMESTAMP);
    // A JSON column takes anything.
    let json = DecodeColumn { field: Arc::new(types::json_field("m", true)), ..column("m", DataType::Utf8) };
    assert_eq!(one(vec![json]), "100 {\"k\":5}");
    // What does not fit is a bad record with its field.
    let error = |name: &str, ty: DataType| one(vec![column(name, ty)]);
    assert_eq!(error("l", DataType::Int32), "100: l: '1099511627776' is out of range for INT");
    assert_eq!(error("s", DataType::Int64), "100: s: '12.50' is no BIGINT: it has a fraction");
    assert_eq!(error("e", DataType::Boolean), "100: e: 'SELL' is no BOOLEAN (true or false)");
    assert_eq!(error("d", DataType::Int64), "100: d: '2.5' is no BIGINT: it has a fraction");
}

#[test]
fn types_that_do_not_fit_are_named_when_it_is_opened() {
    let text = record(
        r#"{"name":"flag","type":"boolean"},{"name":"list","type":["null",{"type":"array","items":"string"}]},
        {"name":"inner","type":{"type":"record","name":"I","fields":[{"name":"x","type":"bytes"}]}},
        {"name":"ts","type":["null",{"type":"long","logicalType":"timestamp-micros"}]}"#,
    );
    let with = |name: &str, ty: DataType| refused(&text, vec![column(name, ty)]);
    let begin = "the columns do not fit the Avro schema: ";
    assert_eq!(with("flag", DataType::Int64), format!("{begin}'flag' is boolean and declared BIGINT"));
    assert_eq!(with("ts", types::TIME), format!("{begin}'ts' is union of null and timestamp-micros and declared TIME"));
    let map = types::map(DataType::Utf8, DataType::Utf8);
    let declared = "and declared MAP<STRING, STRING>";
    assert_eq!(with("list", map.clone()), format!("{begin}'list' is union of null and array {declared}"));
    assert_eq!(with("inner", map), format!("{begin}'inner' is record I {declared}"));
    let inner = DataType::Struct(vec![arrow_schema::Field::new("x", DataType::Date32, true)].into());
    assert_eq!(with("inner", inner), format!("{begin}'inner.x' is bytes and declared DATE"));
}

#[test]
fn nested_fields_and_records_have_their_paths() {
    let text = record(
        r#"{"name":"id","type":"long"},
        {"name":"o","type":["null",{"type":"record","name":"O","fields":[
            {"name":"a","type":"int"},
            {"name":"p","type":{"type":"record","name":"P","fields":[{"name":"b","type":["null","string"]}]}},
            {"name":"items","type":{"type":"array","items":{"type":"record","name":"It","fields":[{"name":"n","type":"long"}]}}}]}]}"#,
    );
    let inner = Value::Record(vec![
        ("a".into(), Value::Int(300)),
        ("p".into(), Value::Record(vec![("b".into(), Value::Union(1, Box::new(Value::String("deep".into()))))])),
        (
            "items".into(),
            Value::Array(vec![
                Value::Record(vec![("n".into(), Value::Long(1))]),
                Value::Record(vec![("n".into(), Value::Long(70_000))]),
            ]),
        ),
    ]);
    let full = datum(&text, vec![("id", Value::Long(1)), ("o", Value::Union(1, Box::new(inner)))]);
    let empty = datum(&text, vec![("id", Value::Long(2)), ("o", Value::Union(0, Box::new(Value::Null)))]);
    let records = [full, empty];
    let read = |columns: Vec<DecodeColumn>| rows(&decoder(&schema(&text), columns), &records);
    let found =
        read(vec![column("o.p.b", DataType::Utf8), column("id", DataType::Int64), column("o.a", DataType::Int64)]);
    assert_eq!(found, ["100 deep 1 300", "101 NULL 2 NULL"]);
    let found = read(vec![not_null(column("o.a", DataType::Int64))]);
    assert_eq!(found[1], "101: o: the value is NULL or missing, and the column 'o.a' is NOT NULL");
    let found = read(vec![column("o.a", DataType::Int8)]);
    assert_eq!(found[0], "100: o.a: '300' is out of range for TINYINT");
    let fields = vec![arrow_schema::Field::new("n", DataType::Int16, true)];
    let list = types::array(DataType::Struct(fields.into()));
    let found = read(vec![column("o.items", list)]);
    assert_eq!(found[0], "100: o.items[1].n: '70000' is out of range for SMALLINT");
    let error = refused(&text, vec![column("o.q", DataType::Int64)]);
    assert!(
        error.ends_with("there is no 'o.q' in the schema (did you mean 'a'?)") || error.contains("there is no 'o.q'"),
        "{error}"
    );
    let error = refused(&text, vec![column("id.x", DataType::Int64)]);
    assert!(error.ends_with("there is no 'id.x': 'id' is long and no record"), "{error}");
    let error = refused(&text, vec![column("idd", DataType::Int64)]);
    assert!(error.ends_with("there is no 'idd' in the schema (did you mean 'id'?)"), "{error}");
}

#[test]
fn schemas_develop() {
    let first =
        record(r#"{"name":"id","type":"int"},{"name":"customer","type":"string"},{"name":"gone","type":"long"}"#);
    let second = record(
        r#"{"name":"added","type":"string","default":"new"},{"name":"id","type":"long"},
        {"name":"client","aliases":["customer"],"type":"string"},
        {"name":"tags","type":{"type":"array","items":"int"},"default":[1,2]},
        {"name":"maybe","type":["null","double"],"default":null}"#,
    );
    let old = with_id(
        1,
        &datum(
            &first,
            vec![("id", Value::Int(5)), ("customer", Value::String("ann".into())), ("gone", Value::Long(9))],
        ),
    );
    let new = with_id(
        2,
        &datum(
            &second,
            vec![
                ("added", Value::String("now".into())),
                ("id", Value::Long(1 << 40)),
                ("client", Value::String("bob".into())),
                ("tags", Value::Array(vec![])),
                ("maybe", Value::Union(1, Box::new(Value::Double(0.5)))),
            ],
        ),
    );
    let columns = vec![
        column("id", DataType::Int64),
        column("client", DataType::Utf8),
        column("added", DataType::Utf8),
        column("tags", types::array(DataType::Int64)),
        column("maybe", DataType::Float64),
    ];
    let source = AvroSource::Registry(schemas(&[&first, &second]), Some(schema(&second)));
    let latest = AvroDecoder::new(options(source, columns.clone())).unwrap();
    let records = [old.clone(), new.clone(), old.clone()];
    let expected = ["100 5 ann new [1,2] NULL", "101 1099511627776 bob now [] 0.5", "102 5 ann new [1,2] NULL"];
    assert_eq!(rows(&latest, &records), expected);
    // The older schema is the reader's: what it does not have is skipped.
    let source = AvroSource::Registry(schemas(&[&first, &second]), Some(schema(&first)));
    let older = AvroDecoder::new(options(source, vec![column("id", DataType::Int64), column("gone", DataType::Int64)]))
        .unwrap();
    assert_eq!(rows(&older, &records), ["100 5 9", "101 1099511627776 NULL", "102 5 9"]);
    let source = AvroSource::Registry(schemas(&[&first, &second]), Some(schema(&first)));
    let must = AvroDecoder::new(options(source, vec![not_null(column("gone", DataType::Int64))])).unwrap();
    let found = rows(&must, &records[1..2]);
    assert_eq!(found, ["100: gone: the value is NULL or missing, and the column 'gone' is NOT NULL"]);
    // No schema is the reader's: each record's own is, and names are all.
    let none = AvroDecoder::new(options(AvroSource::Registry(schemas(&[&first, &second]), None), columns)).unwrap();
    assert_eq!(rows(&none, &records[..1]), ["100 5 NULL NULL NULL NULL"]);
    // A column under an older name of its field.
    let source = AvroSource::Registry(schemas(&[&first, &second]), Some(schema(&second)));
    let renamed = AvroDecoder::new(options(source, vec![column("customer", DataType::Utf8)])).unwrap();
    assert_eq!(rows(&renamed, &records[..2]), ["100 ann", "101 bob"]);
    // A later schema whose type does not fit makes bad records.
    let third = record(r#"{"name":"id","type":{"type":"array","items":"int"}}"#);
    let source = AvroSource::Registry(schemas(&[&first, &second, &third]), Some(schema(&first)));
    let decoder = AvroDecoder::new(options(source, vec![column("id", DataType::Int64)])).unwrap();
    let bad = with_id(3, &datum(&third, vec![("id", Value::Array(vec![]))]));
    let found = rows(&decoder, &[old.clone(), bad, old]);
    let expected = "101: : the record was written by the schema 3: 'id' is array and declared BIGINT";
    assert_eq!(found, ["100 5", expected, "102 5"]);
}

#[test]
fn what_stands_before_a_record_is_checked() {
    let text = record(r#"{"name":"id","type":"int"}"#);
    let source = AvroSource::Registry(schemas(&[&text]), None);
    let decoder = AvroDecoder::new(options(source, vec![column("id", DataType::Int64)])).unwrap();
    let records = [
        with_id(1, &[2]),
        vec![],
        vec![0, 0, 0, 0],
        vec![1, 0, 0, 0, 1, 2],
        with_id(9, &[2]),
        with_id(1, &[2, 2]),
        with_id(1, &[]),
    ];
    let found = rows(&decoder, &records);
    assert_eq!(found[0], "100 1");
    assert!(found[1].contains("(it is empty)"), "{found:?}");
    assert!(found[2].contains("(it begins with 00 00 00 00)"), "{found:?}");
    assert!(found[3].contains("(it begins with 01 00 00 00 01)"), "{found:?}");
    assert_eq!(found[4], "104: : the schema 9, which the record names, was not asked for");
    assert_eq!(found[5], "105: : 1 byte is left behind the record: it was written by another schema");
    assert_eq!(found[6], "106: id: the record ends before it: it is cut off, or was written by another schema");
    assert_eq!(decoder.fields_of(&records[0]), ["id"]);
    let other = Schemas::new();
    let (kind, text) = (SchemaKind::Protobuf, "syntax = \"proto3\";".to_owned());
    other.put(RegisteredSchema { id: 1, kind, text, references: Vec::new() });
    let source = AvroSource::Registry(Arc::new(other), None);
    let decoder = AvroDecoder::new(options(source, vec![column("id", DataType::Int64)])).unwrap();
    assert!(rows(&decoder, &records[..1])[0].contains("is PROTOBUF and not AVRO"));
}

#[test]
fn schemas_that_are_no_records_are_one_column() {
    let decoder = decoder(&schema("\"string\""), vec![column("key", DataType::Utf8)]);
    assert_eq!(rows(&decoder, &[b"\x06abc"]), ["100 abc"]);
    let batch = batch_of(
        &Arc::new(arrow_schema::Schema::new(vec![arrow_schema::Field::new("key", DataType::Int64, false)])),
        &["{\"key\":-3}"],
    );
    let mut encoder = AvroEncoder::new(&batch.schema(), &schema("\"long\""), Some(7)).unwrap();
    assert_eq!(encode(&mut encoder, &batch), [b"\0\0\0\0\x07\x05"]);
}

#[test]
fn fields_that_are_not_declared_are_counted() {
    let text = record(r#"{"name":"a","type":"int"},{"name":"b","type":"int"},{"name":"c","type":"int"}"#);
    let source = AvroSource::File(schema(&text));
    let made = AvroDecodeOptions {
        declared: Some(vec!["A".to_owned(), "b".to_owned()]),
        ..options(source, vec![column("a", DataType::Int64)])
    };
    let decoded = decode(&AvroDecoder::new(made).unwrap(), &[[2, 4, 6], [2, 4, 6]]);
    assert_eq!(decoded.unknown_fields, 2);
    assert_eq!(decoded.row_bytes.len(), 2);
}

#[test]
fn what_cannot_be_written_is_said() {
    let fields =
        vec![arrow_schema::Field::new("a", DataType::Int64, true), arrow_schema::Field::new("s", DataType::Utf8, true)];
    let columns = Arc::new(arrow_schema::Schema::new(fields));
    let rows = batch_of(&columns, &["{\"a\":5000000000,\"s\":\"x\"}"]);
    let write = |fields: &str| {
        let target = schema(&record(fields));
        let mut encoder = AvroEncoder::new(&columns, &target, None).map_err(|error| error.message)?;
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        encoder.encode_records(&rows, &mut out, &mut ends).map_err(|error| error.message).map(|()| out)
    };
    let error = |fields: &str| write(fields).unwrap_err();
    let begin = "the columns do not fit the Avro schema: ";
    assert_eq!(error(r#"{"name":"a","type":"long"}"#), format!("{begin}'s' is no field of it: there are a"));
    let s = r#"{"name":"s","type":"string"}"#;
    assert_eq!(
        error(&format!(r#"{{"name":"a","type":"string"}},{s}"#)),
        format!("{begin}'a' is BIGINT and the schema has string")
    );
    assert_eq!(
        error(&format!(r#"{{"name":"a","type":"int"}},{s}"#)),
        "the column 'a': 5000000000 is out of range for int"
    );
    let more = error(&format!(r#"{{"name":"a","type":"long"}},{s},{{"name":"z","type":"long"}}"#));
    assert_eq!(more, format!("{begin}there is no column for 'z', which has no default"));
    let symbols = r#"{"name":"a","type":"long"},{"name":"s","type":{"type":"enum","name":"E","symbols":["A","B"]}}"#;
    assert_eq!(error(symbols), "the column 's': 'x' is none of A, B");
    let filled =
        write(&format!(r#"{{"name":"z","type":"int","default":3}},{{"name":"A","type":["null","long"]}},{s}"#));
    assert_eq!(filled.unwrap()[..2], [6, 2]);
    let null = batch_of(&columns, &["{\"a\":null,\"s\":\"x\"}"]);
    let target = schema(&record(&format!(r#"{{"name":"a","type":"long"}},{s}"#)));
    let mut encoder = AvroEncoder::new(&columns, &target, None).unwrap();
    let error = encoder.encode_records(&null, &mut Vec::new(), &mut Vec::new()).unwrap_err();
    assert_eq!(error.message, "the column 'a': it is NULL, and the field of the schema is not a union with null");
    let decimal = Arc::new(arrow_schema::Schema::new(vec![arrow_schema::Field::new("d", types::decimal(10, 3), true)]));
    let target =
        schema(&record(r#"{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}}"#));
    let mut encoder = AvroEncoder::new(&decimal, &target, None).unwrap();
    let mut write = |text: &str| encoder.encode_records(&batch_of(&decimal, &[text]), &mut Vec::new(), &mut Vec::new());
    assert!(write("{\"d\":\"-999.990\"}").is_ok());
    assert_eq!(write("{\"d\":\"1.005\"}").unwrap_err().message, "the column 'd': 1.005 does not fit decimal(5,2)");
    assert!(write("{\"d\":\"1000\"}").is_err());
}

#[test]
fn both_readings_of_random_values_agree() {
    // Decimals of all lengths, as another program writes them.
    let text = record(
        r#"{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":4}},{"name":"l","type":"long"}"#,
    );
    let mut random = velo_format::fuzz::Random::new(3);
    let decoder = decoder(&schema(&text), columns_of(&schema(&text).columns()));
    for _ in 0..500 {
        let unscaled = (i128::from(random.next() as i64) * i128::from(random.next() as u32)) >> random.below(90);
        let long = random.next() as i64 >> random.below(64);
        let number = apache_avro::Decimal::from(unscaled.to_be_bytes().as_slice());
        let bytes = datum(&text, vec![("d", Value::Decimal(number)), ("l", Value::Long(long))]);
        let expected = format!("100 {} {long}", velo_core::decimal::to_text_i128(unscaled, 4));
        assert_eq!(rows(&decoder, &[bytes]), [expected]);
    }
}
