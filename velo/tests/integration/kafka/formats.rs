//! Formats through a broker, with schemas in files where they have some.

use std::path::Path;
use std::process::Command;

use super::broker::{Broker, Record};
use super::{job, rows, run};
use crate::support::Folder;

/// What a sink over a topic, and a source over it, say beside its name.
struct Way<'a> {
    sink: &'a str,
    source: &'a str,
}

impl<'a> Way<'a> {
    /// The same of both.
    fn both(with: &'a str) -> Self {
        Self { sink: with, source: with }
    }
}

/// Writes the rows of `lines`, which are JSON of `columns`, into a topic, and reads them again, whose columns are declared so; what was
/// read is in the order of the rows.
fn there_and_back(
    broker: &Broker,
    topic: &str,
    (columns, declared): (&str, &str),
    way: &Way<'_>,
    files: &[(&str, &str)],
    lines: &[&str],
) -> Vec<String> {
    let Way { sink, source } = way;
    let with_files = |folder: Folder| files.iter().fold(folder, |folder, (name, text)| folder.file(name, text));
    let writing = format!(
        "CREATE STREAM f ({columns}) WITH (connector = 'file', path = 'in.jsonl', format = 'json');
         CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', {sink});
         INSERT INTO o SELECT * FROM f;"
    );
    rows(&run(&with_files(job(broker, &writing)).file("in.jsonl", lines.join("\n"))));
    let reading = format!(
        "CREATE STREAM t {declared} WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', {source}, 'scan.bounded' = 'latest');
         SELECT * FROM t;"
    );
    let ran = run(&with_files(job(broker, &reading)));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout.lines().map(str::to_owned).collect()
}

const TRADE: &str = r#"{"type":"record","name":"Trade","namespace":"shop","fields":[
  {"name":"id","type":"long"},
  {"name":"px","type":{"type":"bytes","logicalType":"decimal","precision":18,"scale":4}},
  {"name":"ms","type":{"type":"long","logicalType":"timestamp-millis"}},
  {"name":"us","type":{"type":"long","logicalType":"timestamp-micros"}},
  {"name":"day","type":["null",{"type":"int","logicalType":"date"}],"default":null},
  {"name":"who","type":["null",{"type":"string","logicalType":"uuid"}],"default":null},
  {"name":"side","type":{"type":"enum","name":"Side","symbols":["BUY","SELL"]}},
  {"name":"tags","type":{"type":"array","items":"string"}}
]}"#;

const TRADE_PROTO: &str = "syntax = \"proto3\";
package shop;
import \"google/protobuf/timestamp.proto\";
import \"parts/side.proto\";
message Trade {
  int64 id = 1;
  string px = 2;
  google.protobuf.Timestamp ms = 3;
  google.protobuf.Timestamp us = 4;
  optional string day = 5;
  optional string who = 6;
  shop.Side side = 7;
  repeated string tags = 8;
}
";

const SIDE_PROTO: &str = "syntax = \"proto3\";
package shop;
enum Side {
  BUY = 0;
  SELL = 1;
}
";

const TRADES: [&str; 3] = [
    r#"{"id":1,"px":0.1000,"ms":"2024-01-31T09:30:00.123Z","us":"2024-01-31T09:30:00.123456Z","day":"2024-01-31","who":"6fd12c79-0a5e-4b4e-8d4d-7f1e0d5c1d11","side":"BUY","tags":["a","b"]}"#,
    r#"{"id":9007199254740993,"px":-12345678901234.5678,"ms":"1969-12-31T23:59:59.999Z","us":"1969-12-31T23:59:59.999999Z","day":"1969-12-31","who":null,"side":"SELL","tags":[]}"#,
    r#"{"id":-9223372036854775808,"px":99999999999999.9999,"ms":"2024-02-29T00:00:00Z","us":"2024-02-29T00:00:00.000001Z","day":null,"who":"","side":"BUY","tags":["é"]}"#,
];

const TRADE_COLUMNS: &str =
    "id BIGINT, px DECIMAL(18, 4), ms TIMESTAMP, us TIMESTAMP, day DATE, who STRING, side STRING, tags ARRAY<STRING>";

#[test]
fn avro_by_a_schema_file() {
    let broker = Broker::new();
    let way = Way::both("format = 'avro', 'avro.schema.file' = 'trade.avsc'");
    // The columns of the schema, and declared ones.
    for declared in ["", &format!("({TRADE_COLUMNS})")] {
        let topic = broker.topic(1, &[]);
        let found = there_and_back(&broker, &topic, (TRADE_COLUMNS, declared), &way, &[("trade.avsc", TRADE)], &TRADES);
        assert_eq!(found, TRADES, "{declared}");
        // Nothing stands before a record, and another program reads it.
        let schema = apache_avro::Schema::parse_str(TRADE).unwrap();
        let (_, value) = broker.read_bytes(&topic).remove(0);
        let value = value.unwrap();
        let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().unwrap();
        let read = reader.read_value(&mut value.as_slice()).unwrap();
        let apache_avro::types::Value::Record(fields) = read else { panic!("{read:?}") };
        assert_eq!(fields[0].1, apache_avro::types::Value::Long(1));
        assert_eq!(fields[2].1, apache_avro::types::Value::TimestampMillis(1_706_693_400_123));
        assert_eq!(fields[6].1, apache_avro::types::Value::Enum(0, "BUY".to_owned()));
    }
}

#[test]
fn protobuf_by_a_schema_file() {
    let broker = Broker::new();
    let files = [("trade.proto", TRADE_PROTO), ("parts/side.proto", SIDE_PROTO)];
    let way =
        Way::both("format = 'protobuf', 'protobuf.schema.file' = 'trade.proto', 'protobuf.message' = 'shop.Trade'");
    let topic = broker.topic(1, &[]);
    let declared = format!("({TRADE_COLUMNS})");
    let found = there_and_back(&broker, &topic, (TRADE_COLUMNS, &declared), &way, &files, &TRADES);
    assert_eq!(found, TRADES);
    // The first field is the number 1.
    let (_, value) = broker.read_bytes(&topic).remove(0);
    assert_eq!(value.unwrap()[..2], [0x08, 1]);
    // By the schema alone, prices and dates are the text that they are there.
    let reading = format!(
        "CREATE STREAM t WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', {}, 'scan.bounded' = 'latest');
         SELECT id, px, ms, day, side FROM t WHERE id = 1;",
        way.source
    );
    let folder = files.iter().fold(job(&broker, &reading), |folder, (name, text)| folder.file(name, text));
    let line = r#"{"id":1,"px":"0.1000","ms":"2024-01-31T09:30:00.123Z","day":"2024-01-31","side":"BUY"}"#;
    assert_eq!(rows(&run(&folder)), [line]);
}

#[test]
fn a_schema_file_that_does_not_fit_is_told_before_anything_is_read() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    let said = |columns: &str, with: &str| {
        let script = format!(
            "CREATE STREAM t {columns} WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', 'scan.bounded' = 'latest', {with});
             SELECT * FROM t;"
        );
        let ran = run(&job(&broker, &script).file("trade.avsc", TRADE).file("side.proto", SIDE_PROTO));
        assert_ne!(ran.code, 0, "{with}");
        ran.stderr
    };
    let avro = "format = 'avro', 'avro.schema.file' = 'trade.avsc'";
    let wrong = said("(id DATE)", avro);
    assert!(wrong.contains("'id' is long and declared DATE"), "{wrong}");
    let misspelt = said("(sied STRING)", avro);
    assert!(misspelt.contains("there is no 'sied' in the schema"), "{misspelt}");
    let gone = said("", "format = 'avro', 'avro.schema.file' = 'gone.avsc'");
    assert!(gone.contains("gone.avsc"), "{gone}");
    let none = said("", "format = 'protobuf', 'protobuf.schema.file' = 'side.proto'");
    assert!(none.contains("there is no message in the schema"), "{none}");
    let neither = said("(id BIGINT)", "format = 'avro'");
    assert!(neither.contains("'schema.registry.url'") && neither.contains("'avro.schema.file'"), "{neither}");
}

/// A record that was cut short, and one with an id before it, are bad ones with their places.
#[test]
fn records_that_another_schema_wrote_have_their_place() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    let text = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#;
    let value = |bytes: &[u8]| (None, Some(bytes.to_vec()));
    broker.put_bytes(
        &topic,
        &[value(b"\x02\x02a"), value(b"\x04\x08b"), value(b"\0\0\0\0\x01\x02\x02a"), value(b"\x06\x02c")],
    );
    let script = |more: &str| {
        format!(
            "CREATE STREAM t WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'avro',
               'avro.schema.file' = 'r.avsc', 'scan.bounded' = 'latest'{more});
             SELECT * FROM t;"
        )
    };
    let skipped = run(&job(&broker, &script(", 'on.error' = 'skip'")).file("r.avsc", text));
    assert_eq!(rows(&skipped), [r#"{"id":1,"name":"a"}"#, r#"{"id":3,"name":"c"}"#]);
    assert!(skipped.stderr.contains("t: 2 records were skipped"), "{}", skipped.stderr);
    let failed = run(&job(&broker, &script("")).file("r.avsc", text));
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains(&format!("topic {topic}, partition 0, offset 1")), "{}", failed.stderr);
}

const TEXTS: [&str; 3] = [
    r#"{"id":1,"name":"plain","px":1.50,"at":"2024-01-31T09:30:00.500Z"}"#,
    r#"{"id":2,"name":"a \"quoted\", parted;\nand broken line","px":-0.01,"at":"1969-12-31T23:59:59.999999Z"}"#,
    r#"{"id":3,"name":null,"px":null,"at":null}"#,
];

const TEXT_COLUMNS: &str = "id BIGINT, name STRING, px DECIMAL(10, 2), at TIMESTAMP";

#[test]
fn csv_there_and_back() {
    let broker = Broker::new();
    let declared = format!("({TEXT_COLUMNS})");
    for with in ["format = 'csv'", "format = 'csv', 'csv.delimiter' = ';', 'csv.null' = 'NULL'"] {
        let topic = broker.topic(1, &[]);
        let way = Way::both(with);
        let found = there_and_back(&broker, &topic, (TEXT_COLUMNS, &declared), &way, &[], &TEXTS);
        assert_eq!(found, TEXTS, "{with}");
        // A message has no header, and no line behind it.
        let first = broker.read(&topic, "read_committed").remove(0).value.unwrap();
        let expected = "1,plain,1.50,2024-01-31T09:30:00.500Z";
        assert_eq!(first.replace(';', ","), expected, "{with}");
    }
}

#[test]
fn a_csv_record_that_is_ragged_has_its_place() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    broker.put(&topic, &[Record::value("1,a"), Record::value("2"), Record::value("x,c")]);
    let script = format!(
        "CREATE STREAM t (id BIGINT, name STRING) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'csv',
           'scan.bounded' = 'latest');
         SELECT * FROM t;"
    );
    let failed = run(&job(&broker, &script));
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains(&format!("topic {topic}, partition 0, offset 1")), "{}", failed.stderr);
}

#[test]
fn raw_there_and_back() {
    let broker = Broker::new();
    let lines = [r#"{"v":"one"}"#, r#"{"v":"{\"not\": read}"}"#, r#"{"v":""}"#];
    let topic = broker.topic(1, &[]);
    let way = Way::both("format = 'raw'");
    assert_eq!(there_and_back(&broker, &topic, ("v STRING", "(v STRING)"), &way, &[], &lines), lines);
    assert_eq!(broker.read(&topic, "read_committed")[1].value.as_deref(), Some("{\"not\": read}"));
    // Bytes are what they are, and no text.
    let (from, to) = (broker.topic(1, &[]), broker.topic(1, &[]));
    let bytes = [b"\0\xff\x80".to_vec(), b"\xc3\xa9".to_vec()];
    broker.put_bytes(&from, &bytes.clone().map(|value| (Some(value.clone()), Some(value))));
    let script = |ty: &str, to: &str| {
        format!(
            "CREATE STREAM t (v {ty}) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{from}', format = 'raw',
               'scan.bounded' = 'latest');
             CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{to}', format = 'raw', 'key.fields' = 'v');
             INSERT INTO o SELECT v FROM t;"
        )
    };
    rows(&run(&job(&broker, &script("BYTES", &to))));
    assert_eq!(broker.read_bytes(&to), bytes.clone().map(|value| (Some(value.clone()), Some(value))));
    let failed = run(&job(&broker, &script("STRING", &to)));
    assert_eq!(failed.code, 1);
    let place = format!("topic {from}, partition 0, offset 0");
    assert!(failed.stderr.contains(&place) && failed.stderr.contains("UTF-8"), "{}", failed.stderr);
    let nothing = run(&job(
        &broker,
        &format!(
            "CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{to}', format = 'raw');
             INSERT INTO o SELECT CAST(NULL AS STRING) AS v;"
        ),
    ));
    assert_eq!(nothing.code, 1);
    assert!(
        nothing.stderr.contains("a raw record cannot be") && nothing.stderr.contains("COALESCE"),
        "{}",
        nothing.stderr
    );
}

const KEY: &str =
    r#"{"type":"record","name":"Key","fields":[{"name":"region","type":"string"},{"name":"id","type":"long"}]}"#;

/// The key of a row as another program writes it.
fn key(region: &str, id: i64) -> Vec<u8> {
    use apache_avro::types::Value;
    let schema = apache_avro::Schema::parse_str(KEY).unwrap();
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap();
    let fields = vec![("region".to_owned(), Value::String(region.to_owned())), ("id".to_owned(), Value::Long(id))];
    writer.write_value_to_vec(Value::Record(fields)).unwrap()
}

/// A table whose keys are Avro: records without a value delete the row of their key.
#[test]
fn a_table_has_keys_of_avro() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    let row = |region: &str, id: i64, v: u32| {
        (Some(key(region, id)), Some(format!("{{\"region\":\"{region}\",\"id\":{id},\"v\":{v}}}").into_bytes()))
    };
    let gone = |region: &str, id: i64| (Some(key(region, id)), None);
    broker.put_bytes(
        &topic,
        &[
            row("eu", 1, 10),
            row("us", 1, 20),
            row("eu", -2, 30),
            gone("eu", 1),
            row("us", 1, 21),
            gone("asia", 7),
            gone("eu", -2),
            row("eu", -2, 31),
        ],
    );
    let table = |topic: &str| {
        format!(
            "CREATE TABLE k (region STRING, id BIGINT, v BIGINT, PRIMARY KEY (region, id)) WITH (connector = 'kafka',
               'bootstrap.servers' = '@', topic = '{topic}', format = 'json', 'key.format' = 'avro', 'key.avro.schema.file' = 'key.avsc',
               'scan.bounded' = 'latest');\n"
        )
    };
    let folder = job(&broker, &(table(&topic) + "SELECT region, id, v FROM k;")).file("key.avsc", KEY);
    let found = rows(&run(&folder)).into_iter().map(|row| row.replace("\"_op\":\"+I\",", "")).collect::<Vec<_>>();
    let expected = [r#"{"region":"eu","id":-2,"v":31}"#, r#"{"region":"us","id":1,"v":21}"#];
    assert_eq!(found, expected);
    // Keys that cannot be read are bad records with their place.
    broker.put_bytes(&topic, &[(Some(b"\x08x".to_vec()), None)]);
    let failed = run(&folder);
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains(&format!("topic {topic}, partition 0, offset 8")), "{}", failed.stderr);
}

/// Records by their keys, and in their order under each: those of different keys may pass each other.
pub(crate) fn by_key<K: Ord + Clone, V>(mut records: Vec<(K, V)>) -> Vec<(K, V)> {
    records.sort_by_key(|(key, _)| key.clone());
    records
}

/// What changes is written under keys of Avro, and deletes are records without a value.
#[test]
fn changes_go_out_under_keys_of_avro() {
    let broker = Broker::new();
    let (from, to) = (broker.topic(1, &[]), broker.topic(1, &[]));
    let envelopes = [
        r#"{"op":"c","before":null,"after":{"region":"eu","id":1,"v":10}}"#,
        r#"{"op":"c","before":null,"after":{"region":"us","id":1,"v":20}}"#,
        r#"{"op":"u","before":{"region":"eu","id":1,"v":10},"after":{"region":"eu","id":1,"v":11}}"#,
        r#"{"op":"d","before":{"region":"us","id":1,"v":20},"after":null}"#,
    ];
    broker.put(&from, &envelopes.map(Record::value));
    let folder = job(
        &broker,
        &format!(
            "CREATE STREAM t (region STRING NOT NULL, id BIGINT NOT NULL, v BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@',
               topic = '{from}', format = 'debezium_json', 'scan.bounded' = 'latest');
             CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{to}', format = 'json', 'key.format' = 'avro',
               'key.avro.schema.file' = 'key.avsc', 'changelog.mode' = 'upsert');
             INSERT INTO o SELECT region PRIMARY KEY, id PRIMARY KEY, v FROM t EMIT CHANGES;"
        ),
    );
    assert_eq!(rows(&run(&folder.file("key.avsc", KEY))), Vec::<String>::new());
    let value = |region: &str, v: u32| Some(format!("{{\"region\":\"{region}\",\"id\":1,\"v\":{v}}}").into_bytes());
    let (eu, us) = (Some(key("eu", 1)), Some(key("us", 1)));
    let expected = [(eu.clone(), value("eu", 10)), (us.clone(), value("us", 20)), (eu, value("eu", 11)), (us, None)];
    assert_eq!(by_key(broker.read_bytes(&to)), by_key(expected.to_vec()));
}

/// Changes that Debezium recorded of a table of PostgreSQL; where they come from is in the folder's `SOURCES.md`.
fn recorded() -> Vec<Record> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/data/debezium_orders.jsonl.gz");
    let unpacked = Command::new("gzip").arg("-dc").arg(path).output().unwrap();
    assert!(unpacked.status.success());
    String::from_utf8(unpacked.stdout).unwrap().lines().map(Record::value).collect()
}

/// The rows that are left at the end, by their state; they are those of `scenarios/changes/debezium.md`.
const STATES: [&str; 4] = [
    r#"{"status":"Cancelled","n":129,"quantity":402,"total":139609.30}"#,
    r#"{"status":"Delivered","n":142,"quantity":413,"total":154210.17}"#,
    r#"{"status":"Pending","n":125,"quantity":362,"total":122551.61}"#,
    r#"{"status":"Shipped","n":163,"quantity":471,"total":172328.77}"#,
];

const ORDERS: &str = "id BIGINT, customer_name STRING, product_name STRING, quantity INT, price DECIMAL(12, 2), order_date BIGINT, status STRING";

/// The states by a source of changes.
fn states(broker: &Broker, topic: &str, with: &str, files: &[(&str, &str)]) -> Vec<String> {
    let script = format!(
        "CREATE STREAM t ({ORDERS}) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', 'scan.bounded' = 'latest', {with});
         SELECT status, COUNT(*) AS n, SUM(quantity) AS quantity, SUM(price) AS total FROM t GROUP BY status;"
    );
    rows(&run(&files.iter().fold(job(broker, &script), |folder, (name, text)| folder.file(name, text))))
}

const ENVELOPE: &str = r#"{"type":"record","name":"Envelope","namespace":"shop.orders","fields":[
  {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
    {"name":"id","type":["null","long"]},
    {"name":"customer_name","type":["null","string"]},
    {"name":"product_name","type":["null","string"]},
    {"name":"quantity","type":["null","int"]},
    {"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}]},
    {"name":"order_date","type":["null",{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}]},
    {"name":"status","type":["null","string"]}]}],"default":null},
  {"name":"after","type":["null","Value"],"default":null},
  {"name":"op","type":"string"},
  {"name":"ts_ms","type":["null","long"],"default":null}
]}"#;

/// What Debezium recorded is read, written again as envelopes of both forms, and read once more: the rows at the end are the same.
#[test]
fn debezium_there_and_back() {
    let broker = Broker::new();
    let (from, json, avro) = (broker.topic(1, &[]), broker.topic(1, &[]), broker.topic(1, &[]));
    let recorded = recorded();
    assert_eq!(recorded.len(), 830);
    broker.put(&from, &recorded);
    assert_eq!(states(&broker, &from, "format = 'debezium_json'", &[]), STATES);
    let micros = ORDERS.replace("order_date BIGINT", "order_date TIMESTAMP");
    let script = format!(
        "CREATE STREAM t ({ORDERS}) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{from}', format = 'debezium_json',
           'scan.bounded' = 'latest');
         CREATE STREAM m ({micros}) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{from}', format = 'debezium_json',
           'timestamp.format' = 'epoch_micros', 'scan.bounded' = 'latest');
         CREATE SINK j WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{json}', format = 'debezium_json', 'key.fields' = 'id');
         CREATE SINK a WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{avro}', format = 'debezium_avro',
           'avro.schema.file' = 'envelope.avsc', 'key.fields' = 'id', 'key.format' = 'json');
         INSERT INTO j SELECT * FROM t EMIT CHANGES;
         INSERT INTO a SELECT * FROM m EMIT CHANGES;"
    );
    rows(&run(&job(&broker, &script).file("envelope.avsc", ENVELOPE)));
    assert_eq!(states(&broker, &json, "format = 'debezium_json'", &[]), STATES);
    // One envelope for each, also where a row was updated, under the key of its row.
    let written = broker.read(&json, "read_committed");
    assert_eq!(written.len(), 830);
    let first = written[0].value.as_deref().unwrap();
    assert!(first.starts_with(r#"{"before":null,"after":{"id":3107,"customer_name":"Brenda Garcia","#), "{first}");
    assert!(first.contains("\"price\":392.25") && first.ends_with("\"op\":\"c\"}"), "{first}");
    assert_eq!(written[0].key.as_deref(), Some("{\"id\":3107}"));
    assert_eq!(broker.read_bytes(&avro).len(), 830);
    let by_file = "format = 'debezium_avro', 'avro.schema.file' = 'envelope.avsc'";
    let files = [("envelope.avsc", ENVELOPE)];
    let columns = |script: &str| script.replace("order_date BIGINT", "order_date TIMESTAMP");
    let script = columns(&format!(
        "CREATE STREAM t ({ORDERS}) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{avro}', 'scan.bounded' = 'latest', {by_file});
         SELECT status, COUNT(*) AS n, SUM(quantity) AS quantity, SUM(price) AS total FROM t GROUP BY status;"
    ));
    let folder = files.iter().fold(job(&broker, &script), |folder, (name, text)| folder.file(name, text));
    assert_eq!(rows(&run(&folder)), STATES);
}

/// Envelopes are chosen by the format or by the mode, and refused where there can be none.
#[test]
fn envelopes_are_written_where_it_is_said() {
    let broker = Broker::new();
    let from = broker.topic(1, &[]);
    let envelopes = [
        r#"{"before":null,"after":{"id":1,"v":"a"},"op":"c"}"#,
        r#"{"before":{"id":1,"v":"a"},"after":{"id":1,"v":"b"},"op":"u"}"#,
        r#"{"before":{"id":1,"v":"b"},"after":null,"op":"d"}"#,
    ];
    broker.put(&from, &envelopes.map(Record::value));
    let script = |to: &str, with: &str| {
        format!(
            "CREATE STREAM t (id BIGINT, v STRING) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{from}',
               format = 'debezium_json', 'scan.bounded' = 'latest');
             CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{to}', {with});
             INSERT INTO o SELECT * FROM t EMIT CHANGES;"
        )
    };
    for with in [
        "format = 'debezium_json'",
        "format = 'debezium_json', 'changelog.mode' = 'debezium'",
        "format = 'json', 'changelog.mode' = 'debezium'",
    ] {
        let to = broker.topic(1, &[]);
        rows(&run(&job(&broker, &script(&to, with))));
        let written = broker.read(&to, "read_committed").into_iter().filter_map(|record| record.value);
        assert_eq!(written.collect::<Vec<_>>(), envelopes, "{with}");
    }
    for (with, said) in [
        ("format = 'csv', 'changelog.mode' = 'debezium'", "'o' cannot write Debezium's envelopes"),
        (
            "format = 'protobuf', 'protobuf.schema.file' = 'x', 'changelog.mode' = 'debezium'",
            "cannot write Debezium's envelopes",
        ),
        ("format = 'debezium_json', 'changelog.mode' = 'full'", "'changelog.mode' is to be another one"),
        ("format = 'debezium_json', 'changelog.mode' = 'append'", "is to take inserts only"),
    ] {
        let refused = run(&job(&broker, &script(&from, with)));
        assert_eq!(refused.code, 2, "{with}");
        assert!(refused.stderr.contains(said), "{with}: {}", refused.stderr);
    }
}

/// The same as a table: under the key there is what was last, and what was deleted is gone.
#[test]
fn debezium_as_a_table() {
    let broker = Broker::new();
    let (table, topic) = (broker.topic(1, &[]), broker.topic(1, &[]));
    broker.put(&table, &recorded());
    broker.put(&topic, &(3_000..4_000).map(|id| Record::value(format!("{{\"id\":{id}}}"))).collect::<Vec<_>>());
    let folder = job(
        &broker,
        &format!(
            "CREATE TABLE orders ({ORDERS}, PRIMARY KEY (id)) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{table}',
               format = 'debezium_json', 'scan.bounded' = 'latest');
             CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
               'scan.bounded' = 'latest');
             SELECT o.status, COUNT(*) AS n, SUM(o.quantity) AS quantity, SUM(o.price) AS total
             FROM t JOIN orders o ON t.id = o.id GROUP BY o.status;"
        ),
    );
    assert_eq!(rows(&run(&folder)), STATES);
}

/// What a MySQL connector recorded with its schema, and a record that is no envelope.
#[test]
fn envelopes_with_their_schema_and_records_that_are_none() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    let schema = r#"{"type":"struct","fields":[{"type":"struct","fields":[{"type":"int64","field":"id"},{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"10"},"field":"px"},{"type":"int64","name":"io.debezium.time.MicroTimestamp","field":"at"}],"field":"after"}]}"#;
    let envelope = format!(
        r#"{{"schema":{schema},"payload":{{"op":"r","before":null,"after":{{"id":1,"px":"BNI=","at":1706702400000001}}}}}}"#
    );
    broker.put(&topic, &[Record::value(envelope), Record::keyed("1", None), Record::value("{\"id\":2}")]);
    let script = |more: &str| {
        format!(
            "CREATE STREAM t (id BIGINT, px DECIMAL(10, 2), at TIMESTAMP) WITH (connector = 'kafka', 'bootstrap.servers' = '@',
               topic = '{topic}', format = 'debezium_json', 'scan.bounded' = 'latest'{more});
             SELECT * FROM t EMIT CHANGES;"
        )
    };
    let skipped = run(&job(&broker, &script(", 'on.error' = 'skip'")));
    assert_eq!(rows(&skipped), [r#"{"_op":"+I","id":1,"px":12.34,"at":"2024-01-31T12:00:00.000001Z"}"#]);
    let failed = run(&job(&broker, &script("")));
    assert_eq!(failed.code, 1);
    let place = format!("topic {topic}, partition 0, offset 2");
    assert!(failed.stderr.contains(&place) && failed.stderr.contains("no envelope of Debezium"), "{}", failed.stderr);
}
