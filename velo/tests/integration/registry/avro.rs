//! Avro with a registry: schemas that are registered, found, and that develop.

use apache_avro::types::Value;
use serde_json::json;

use super::{Place, developed_while_read, with_id};
use crate::kafka::{rows, run};

const AVRO: &str = "format = 'avro'";

const COLUMNS: &str = "id BIGINT NOT NULL, px DECIMAL(18, 4), big DECIMAL(38, 2), at TIMESTAMP, nano TIMESTAMP(9), day DATE, tod TIME, \
                       who STRING, flag BOOLEAN, ratio DOUBLE, raw BYTES, small INT, tags ARRAY<STRING>, side STRUCT<a INT, b STRING>";

const LINES: [&str; 3] = [
    r#"{"id":1,"px":0.1000,"big":123456789012345678901234567890.12,"at":"2024-01-31T09:30:00.123456Z","nano":"2024-01-31T09:30:00.123456789Z","day":"2024-01-31","tod":"09:30:00","who":"6fd12c79-0a5e-4b4e-8d4d-7f1e0d5c1d11","flag":true,"ratio":0.5,"raw":"AP+A","small":-7,"tags":["a",null,"é"],"side":{"a":1,"b":null}}"#,
    r#"{"id":-9223372036854775808,"px":-99999999999999.9999,"big":-0.01,"at":"1969-12-31T23:59:59.999999Z","nano":"1969-12-31T23:59:59.999999999Z","day":"1969-12-31","tod":"23:59:59.999999","who":"","flag":false,"ratio":-1e300,"raw":"","small":2147483647,"tags":[],"side":{"a":null,"b":"x"}}"#,
    r#"{"id":9007199254740993,"px":null,"big":null,"at":null,"nano":null,"day":null,"tod":null,"who":null,"flag":null,"ratio":null,"raw":null,"small":null,"tags":null,"side":null}"#,
];

/// A record by a schema of the registry, as another program reads it.
fn by(schema: &str, bytes: &[u8]) -> Vec<(String, Value)> {
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().unwrap();
    let mut rest = bytes;
    let Value::Record(fields) = reader.read_value(&mut rest).unwrap() else { panic!("no record") };
    assert!(rest.is_empty(), "{rest:?}");
    fields
}

/// A record as another program writes it.
fn datum(schema: &str, fields: Vec<(&str, Value)>) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap();
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    writer.write_value_to_vec(Value::Record(fields)).unwrap()
}

#[test]
fn a_sink_registers_its_schema_and_a_source_reads_by_it() {
    let place = Place::new();
    place.write(COLUMNS, AVRO, &LINES);
    // What was registered is what the records name, and what another program reads them by.
    let latest = place.registry.latest(&place.subject());
    assert_eq!((&latest["subject"], &latest["version"]), (&json!(place.subject()), &json!(1)));
    assert_eq!(latest.get("schemaType").unwrap_or(&json!("AVRO")), "AVRO");
    let schema = latest["schema"].as_str().unwrap();
    let values = place.values();
    assert_eq!(values.len(), 3);
    assert!(values.iter().all(|(id, _)| *id == latest["id"]), "{values:?}");
    let first = by(schema, &values[0].1);
    let (name, id) = &first[0];
    assert_eq!((name.as_str(), id), ("id", &Value::Long(1)));
    assert_eq!(first[3].1, Value::Union(1, Box::new(Value::TimestampMicros(1_706_693_400_123_456))));
    assert_eq!(by(schema, &values[2].1)[1].1, Value::Union(0, Box::new(Value::Null)));
    // The columns of the schema, and declared ones.
    assert_eq!(place.read("", AVRO), LINES);
    assert_eq!(place.read(&format!("({})", COLUMNS.replace(" NOT NULL", "")), AVRO), LINES);
    // Topics by a pattern have the columns of the first.
    let pattern = format!(
        "CREATE STREAM t WITH (connector = 'kafka', 'bootstrap.servers' = '{}', 'topic.pattern' = '{}.*', 'schema.registry.url' = '{}',
           'scan.bounded' = 'latest', {AVRO});
         SELECT * FROM t;",
        place.broker.servers, place.topic, place.registry.url
    );
    let ran = run(&place.job(&pattern));
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), LINES, "{}", ran.stderr);
    // The same again is no other version.
    place.write(COLUMNS, AVRO, &LINES[..1]);
    assert_eq!(place.registry.versions(&place.subject()), json!([1]));
    assert_eq!(place.read("(id BIGINT)", AVRO).len(), 4);
}

/// Times of other precisions, enumerations, numbers of fixed length: what other programs write.
const OTHERS: &str = r#"{"type":"record","name":"Trade","namespace":"shop","fields":[
  {"name":"id","type":"int"},
  {"name":"ms","type":{"type":"long","logicalType":"timestamp-millis"}},
  {"name":"us","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
  {"name":"tod","type":{"type":"int","logicalType":"time-millis"}},
  {"name":"px","type":{"type":"fixed","name":"Price","size":8,"logicalType":"decimal","precision":18,"scale":4}},
  {"name":"who","type":{"type":"string","logicalType":"uuid"}},
  {"name":"side","type":{"type":"enum","name":"Side","symbols":["BUY","SELL"]}},
  {"name":"either","type":["null","long","string"],"default":null}
]}"#;

#[test]
fn what_other_programs_write_is_read_and_written_by_their_schema() {
    let place = Place::new();
    let id = place.registry.register(&place.subject(), "AVRO", OTHERS, &json!([]));
    let record = |id: i32, side: u32, either: Value| {
        datum(
            OTHERS,
            vec![
                ("id", Value::Int(id)),
                ("ms", Value::TimestampMillis(-1)),
                ("us", Value::Union(1, Box::new(Value::TimestampMicros(1_706_693_400_123_456)))),
                ("tod", Value::TimeMillis(34_200_001)),
                ("px", Value::Decimal(apache_avro::Decimal::from((-1_i64).to_be_bytes().as_slice()))),
                ("who", Value::Uuid("6fd12c79-0a5e-4b4e-8d4d-7f1e0d5c1d11".parse().unwrap())),
                ("side", Value::Enum(side, ["BUY", "SELL"][side as usize].to_owned())),
                ("either", either),
            ],
        )
    };
    let records = [
        record(1, 0, Value::Union(1, Box::new(Value::Long(7)))),
        record(2, 1, Value::Union(2, Box::new(Value::String("seven".to_owned())))),
    ];
    place.broker.put_bytes(&place.topic, &records.clone().map(|record| (None, Some(with_id(id, &record)))));
    let line = |id: u32, side: &str, either: &str| {
        format!(
            "{{\"id\":{id},\"ms\":\"1969-12-31T23:59:59.999Z\",\"us\":\"2024-01-31T09:30:00.123456Z\",\"tod\":\"09:30:00.001\",\
             \"px\":-0.0001,\"who\":\"6fd12c79-0a5e-4b4e-8d4d-7f1e0d5c1d11\",\"side\":\"{side}\",\"either\":{either}}}"
        )
    };
    assert_eq!(place.read("", AVRO), [line(1, "BUY", "7"), line(2, "SELL", "\"seven\"")]);
    // What is written by that schema has the same bytes.
    let columns = "id INT, ms TIMESTAMP, us TIMESTAMP, tod TIME, px DECIMAL(18, 4), who STRING, side STRING";
    let without = line(3, "SELL", "null").replace(",\"either\":null", "");
    place.write(columns, "format = 'avro', 'schema.registry.auto_register' = 'false'", &[without.as_str()]);
    assert_eq!(place.values()[2], (id, record(3, 1, Value::Union(0, Box::new(Value::Null)))));
    assert_eq!(place.registry.versions(&place.subject()), json!([1]));
}

/// A second version of the record has a field more. Readers that declare it read both, as do those that declare nothing; one that was
/// there before the version was goes on.
#[test]
fn a_schema_develops_while_it_is_read() {
    let place = developed_while_read(AVRO);
    let subject = place.subject();
    // Both are versions of one record.
    let name = |version: u32| {
        let answer = place.registry.get(&format!("/subjects/{subject}/versions/{version}"));
        let schema: serde_json::Value = serde_json::from_str(answer["schema"].as_str().unwrap()).unwrap();
        schema["name"].clone()
    };
    assert_eq!(name(1), name(2));
    // The job of before writes by the version that is the latest now.
    place.write("id BIGINT, name STRING", AVRO, &[r#"{"id":3,"name":"late"}"#]);
    assert_eq!(place.registry.versions(&subject), json!([1, 2]));
    let values = place.values();
    assert_eq!(values[1].0, values[2].0);
    // Somebody registers one with a default of its own: it is what older records have.
    let schema = place.registry.latest(&subject)["schema"].as_str().unwrap().to_owned();
    let limit = schema.replacen("\"fields\":[", "\"fields\":[{\"name\":\"lim\",\"type\":\"int\",\"default\":7},", 1);
    assert_ne!(limit, schema);
    place.registry.register(&subject, "AVRO", &limit, &json!([]));
    place.write("lim INT NOT NULL, id BIGINT", AVRO, &[r#"{"lim":8,"id":4}"#]);
    assert_eq!(place.registry.versions(&subject), json!([1, 2, 3]));
    let expected = [
        r#"{"id":1,"name":"old","tier":null,"lim":7}"#,
        r#"{"id":2,"name":"new","tier":"gold","lim":7}"#,
        r#"{"id":3,"name":"late","tier":null,"lim":7}"#,
        r#"{"id":4,"name":null,"tier":null,"lim":8}"#,
    ];
    assert_eq!(place.read("(id BIGINT, name STRING, tier STRING, lim INT)", AVRO), expected);
    let inferred = place.read("", AVRO);
    assert_eq!(inferred[0], r#"{"lim":7,"tier":null,"id":1,"name":"old"}"#);
    assert_eq!(inferred.len(), 4);
}

/// A version that readers of the one before could not read is refused by the registry, and nothing is written.
#[test]
fn a_version_that_does_not_fit_the_one_before_is_refused() {
    let place = Place::new();
    place.write("id BIGINT", AVRO, &[r#"{"id":1}"#]);
    let script = "CREATE STREAM f (id BIGINT, must STRING NOT NULL) WITH (connector = 'file', path = 'in.jsonl', format = 'json');
        CREATE SINK trades WITH (KAFKA, format = 'avro');
        INSERT INTO trades SELECT * FROM f;";
    let refused = run(&place.job(script).file("in.jsonl", r#"{"id":2,"must":"x"}"#));
    assert_eq!(refused.code, 1);
    let said = format!("refused a new version of the subject '{}' (409 Conflict", place.subject());
    assert!(refused.stderr.contains(&said), "{}", refused.stderr);
    assert!(refused.stderr.contains("the compatibility of the subject does not allow"), "{}", refused.stderr);
    assert_eq!(place.read("", AVRO), [r#"{"id":1}"#]);
}

/// A schema that refers to another one.
#[test]
fn schemas_that_others_refer_to_are_found() {
    let place = Place::new();
    let side = r#"{"type":"enum","name":"Side","namespace":"shop","symbols":["BUY","SELL"]}"#;
    let own = format!("{}-side", place.topic);
    place.registry.register(&own, "AVRO", side, &json!([]));
    let trade = r#"{"type":"record","name":"Trade","namespace":"shop","fields":[{"name":"id","type":"long"},{"name":"side","type":"shop.Side"}]}"#;
    let references = json!([{"name": "shop.Side", "subject": own, "version": 1}]);
    let id = place.registry.register(&place.subject(), "AVRO", trade, &references);
    // 1 and SELL, as zigzag numbers.
    place.broker.put_bytes(&place.topic, &[(None, Some(with_id(id, &[2, 2])))]);
    place.write("id BIGINT, side STRING", AVRO, &[r#"{"id":2,"side":"BUY"}"#]);
    assert_eq!(place.read("", AVRO), [r#"{"id":1,"side":"SELL"}"#, r#"{"id":2,"side":"BUY"}"#]);
    assert_eq!(place.values()[1], (id, vec![4, 0]));
    assert_eq!(place.registry.versions(&place.subject()), json!([1]));
}

/// Subjects by the name of the record, and one that is set.
#[test]
fn subjects_are_named_as_the_properties_say() {
    let place = Place::new();
    let lines = [r#"{"id":1}"#];
    let own = format!("{}-own", place.topic);
    let record = format!("{}.Order", place.topic.replace('-', "_"));
    let file = format!(
        "{{\"type\":\"record\",\"name\":\"{record}\",\"namespace\":\"\",\"fields\":[{{\"name\":\"id\",\"type\":[\"null\",\"long\"],\"default\":null}}]}}"
    );
    place.write("id BIGINT", &format!("format = 'avro', 'schema.registry.subject' = '{own}'"), &lines);
    assert_eq!(place.registry.versions(&own), json!([1]));
    let script = "CREATE STREAM f (id BIGINT) WITH (connector = 'file', path = 'in.jsonl', format = 'json');
        CREATE SINK trades WITH (KAFKA, format = 'avro', 'schema.registry.subject.strategy' = 'STRATEGY', 'avro.schema.file' = 'o.avsc');
        INSERT INTO trades SELECT * FROM f;";
    for (strategy, subject) in [("record", record.clone()), ("topic_record", format!("{}-{record}", place.topic))] {
        let folder = place.job(&script.replace("STRATEGY", strategy)).file("o.avsc", &file).file("in.jsonl", lines[0]);
        rows(&run(&folder));
        assert_eq!(place.registry.versions(&subject), json!([1]), "{strategy}");
    }
    // A source goes by the ids that stand before the records, whatever their subjects.
    assert_eq!(place.read("(id BIGINT)", AVRO).len(), 3);
    let with = format!("format = 'avro', 'schema.registry.subject' = '{own}'");
    assert_eq!(place.read("", &with).len(), 3);
}
