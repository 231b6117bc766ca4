//! Debezium's envelopes in Avro with a registry, and tables whose keys are in one.

use serde_json::json;

use super::{Place, with_id};
use crate::kafka::broker::Record;
use crate::kafka::formats::by_key;
use crate::kafka::running::{Running, checkpoint_behind};
use crate::kafka::{rows, run};

/// As Debezium registers it for a table of PostgreSQL.
const ENVELOPE: &str = r#"{"type":"record","name":"Envelope","namespace":"shop.public.orders","fields":[
  {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
    {"name":"id","type":"int"},
    {"name":"price","type":["null",{"type":"bytes","scale":2,"precision":10,"connect.version":1,
      "connect.parameters":{"scale":"2","connect.decimal.precision":"10"},
      "connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}],"default":null},
    {"name":"at","type":["null",{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}],"default":null}
    ],"connect.name":"shop.public.orders.Value"}],"default":null},
  {"name":"after","type":["null","Value"],"default":null},
  {"name":"op","type":"string"},
  {"name":"ts_ms","type":["null","long"],"default":null}
],"connect.name":"shop.public.orders.Envelope"}"#;

const KEY: &str = r#"{"type":"record","name":"Key","namespace":"shop.public.orders","fields":[{"name":"id","type":"int"}],"connect.name":"shop.public.orders.Key"}"#;

/// A row as it stands in an envelope: `None` is null. An id and a price of so many cents; its time is a microsecond after 1970.
fn image(row: Option<(u8, u8)>) -> Vec<u8> {
    match row {
        None => vec![0],
        Some((id, cents)) => vec![2, 2 * id, 2, 2, cents, 2, 2],
    }
}

fn envelope(before: Option<(u8, u8)>, after: Option<(u8, u8)>, op: u8) -> Vec<u8> {
    // No ts_ms.
    [image(before), image(after), vec![2, op, 0]].concat()
}

/// What Debezium does to a table: three rows come, one is updated, one goes and leaves a record without a value behind.
fn changed(place: &Place) {
    let id = place.registry.register(&place.subject(), "AVRO", ENVELOPE, &json!([]));
    let key_id = place.registry.register(&format!("{}-key", place.topic), "AVRO", KEY, &json!([]));
    let key = |id: u8| Some(with_id(key_id, &[2 * id]));
    let change = |row: u8, before, after, op| (key(row), Some(with_id(id, &envelope(before, after, op))));
    place.broker.put_bytes(
        &place.topic,
        &[
            change(1, None, Some((1, 100)), b'r'),
            change(2, None, Some((2, 50)), b'c'),
            change(1, Some((1, 100)), Some((1, 125)), b'u'),
            change(3, None, Some((3, 25)), b'c'),
            change(2, Some((2, 50)), None, b'd'),
            (key(2), None),
        ],
    );
}

#[test]
fn envelopes_of_debezium_are_read_and_written_again() {
    let place = Place::new();
    changed(&place);
    let script = "CREATE STREAM t WITH (KAFKA, 'scan.bounded' = 'latest', format = 'debezium_avro');
        SELECT * FROM t EMIT CHANGES;";
    let row = |op: &str, id: u32, price: &str| {
        format!("{{\"_op\":\"{op}\",\"id\":{id},\"price\":{price},\"at\":\"1970-01-01T00:00:00.000001Z\"}}")
    };
    let expected = [
        row("+I", 1, "1.00"),
        row("+I", 2, "0.50"),
        row("-U", 1, "1.00"),
        row("+U", 1, "1.25"),
        row("+I", 3, "0.25"),
        row("-D", 2, "0.50"),
    ];
    let ran = run(&place.job(script));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected);
    // By a sink of the same format, which registers envelopes of its own, and keys.
    let to = place.broker.topic(1, &[]);
    let script = "CREATE STREAM t WITH (KAFKA, 'scan.bounded' = 'latest', format = 'debezium_avro');
         CREATE SINK o WITH (KAFKA, format = 'debezium_avro', 'key.fields' = 'id', 'key.format' = 'avro');
         INSERT INTO o SELECT * FROM t EMIT CHANGES;";
    let folder = place.job(script);
    let script = folder.read("q.sql");
    let (reading, writing) = script.split_once("CREATE SINK").unwrap();
    let script = format!("{reading}CREATE SINK{}", writing.replace(&place.topic, &to));
    rows(&run(&folder.file("q.sql", script)));
    let copied = Place { topic: to, ..place };
    let ran = run(&copied.job(
        "CREATE STREAM t WITH (KAFKA, 'scan.bounded' = 'latest', format = 'debezium_avro'); SELECT * FROM t EMIT CHANGES;",
    ));
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected, "{}", ran.stderr);
    let schema = copied.registry.latest(&copied.subject());
    assert!(schema["schema"].as_str().unwrap().contains("\"before\""), "{schema}");
    // One record for each change, also where a row was updated.
    let records = copied.broker.read_bytes(&copied.topic);
    assert_eq!(records.len(), 5);
    let keys = copied.registry.latest(&format!("{}-key", copied.topic));
    let key = records[0].0.clone().unwrap();
    assert_eq!(key[..5], with_id(keys["id"].as_u64().unwrap(), &[])[..]);
}

/// As a table: what was last stands under each key.
#[test]
fn envelopes_of_debezium_are_a_table() {
    let place = Place::new();
    changed(&place);
    let script =
        "CREATE TABLE orders (id INT, price DECIMAL(10, 2), PRIMARY KEY (id)) WITH (KAFKA, 'scan.bounded' = 'latest',
          format = 'debezium_avro');
        SELECT id, price FROM orders;";
    let found = rows(&run(&place.job(script)));
    let found = found.into_iter().map(|row| row.replace("\"_op\":\"+I\",", "")).collect::<Vec<_>>();
    assert_eq!(found, [r#"{"id":1,"price":1.25}"#, r#"{"id":3,"price":0.25}"#]);
}

/// Keys whose schemas are in the registry: rows are deleted by them, in the first run and in the one after it; and records whose values
/// are something else.
#[test]
fn a_table_has_keys_of_avro() {
    // The columns of the key are in the values, or are read from the keys of all records and of those that delete.
    for (value_format, more) in [("json", ""), ("avro", ""), ("json", ", 'key.fields' = 'id'")] {
        let place = Place::new();
        let asked = place.broker.topic(1, &[]);
        let key = r#"{"type":"record","name":"Key","fields":[{"name":"id","type":"long"}]}"#;
        let value =
            r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"long"},{"name":"v","type":"string"}]}"#;
        let key_id = place.registry.register(&format!("{}-key", place.topic), "AVRO", key, &json!([]));
        let value_id = place.registry.register(&place.subject(), "AVRO", value, &json!([]));
        let row = |id: u8, v: &str| {
            let value = match value_format {
                "json" => format!("{{\"id\":{id},\"v\":\"{v}\"}}").into_bytes(),
                _ => with_id(value_id, &[&[2 * id, 2 * v.len() as u8], v.as_bytes()].concat()),
            };
            (Some(with_id(key_id, &[2 * id])), Some(value))
        };
        let gone = |id: u8| (Some(with_id(key_id, &[2 * id])), None);
        place.broker.put_bytes(&place.topic, &[row(1, "a"), row(2, "b"), gone(1), row(2, "bb"), row(3, "c"), gone(9)]);
        let ask = |ids: &[u32]| {
            let records = ids.iter().map(|id| Record::value(format!("{{\"id\":{id}}}"))).collect::<Vec<_>>();
            place.broker.put(&asked, &records);
        };
        ask(&[1, 2, 3]);
        let folder = place.job(&format!(
            "SET 'checkpoint.dir' = 'state'; SET 'checkpoint.interval' = '100ms';
             CREATE TABLE k (id BIGINT, v STRING, PRIMARY KEY (id)) WITH (KAFKA, format = '{value_format}', 'key.format' = 'avro'{more});
             CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '{}', topic = '{asked}', format = 'json');
             SELECT t.id, k.v FROM t LEFT JOIN k ON t.id = k.id;",
            place.broker.servers
        ));
        let row_of = |id: u32, v: &str| format!("{{\"id\":{id},\"v\":{v}}}");
        let mut running = Running::start(&folder);
        let found = [running.row(), running.row(), running.row()];
        assert_eq!(found, [row_of(1, "null"), row_of(2, "\"bb\""), row_of(3, "\"c\"")], "{value_format}");
        checkpoint_behind(&folder, checkpoint_behind(&folder, 0) + 1);
        running.kill();
        place.broker.put_bytes(&place.topic, &[gone(3), row(1, "again")]);
        ask(&[3, 1, 2]);
        let mut running = Running::start(&folder);
        let found = [running.row(), running.row(), running.row()];
        assert_eq!(found, [row_of(3, "null"), row_of(1, "\"again\""), row_of(2, "\"bb\"")], "{value_format}");
        running.stop();
    }
}

/// What changes goes out under keys that are registered, and comes back as a table.
#[test]
fn changes_go_out_under_keys_of_avro() {
    let place = Place::new();
    let from = place.broker.topic(1, &[]);
    let envelopes = [
        r#"{"op":"c","before":null,"after":{"id":1,"v":"a"}}"#,
        r#"{"op":"c","before":null,"after":{"id":2,"v":"b"}}"#,
        r#"{"op":"u","before":{"id":1,"v":"a"},"after":{"id":1,"v":"aa"}}"#,
        r#"{"op":"d","before":{"id":2,"v":"b"},"after":null}"#,
    ];
    place.broker.put(&from, &envelopes.map(Record::value));
    let script = format!(
        "CREATE STREAM t (id BIGINT NOT NULL, v STRING) WITH (connector = 'kafka', 'bootstrap.servers' = '{}', topic = '{from}',
           format = 'debezium_json', 'scan.bounded' = 'latest');
         CREATE SINK o WITH (KAFKA, format = 'avro', 'key.format' = 'avro', 'changelog.mode' = 'upsert');
         INSERT INTO o SELECT id PRIMARY KEY, v FROM t EMIT CHANGES;",
        place.broker.servers
    );
    rows(&run(&place.job(&script)));
    let (key_id, value_id) = (
        place.registry.latest(&format!("{}-key", place.topic))["id"].as_u64().unwrap(),
        place.registry.latest(&place.subject())["id"].as_u64().unwrap(),
    );
    let records = place.broker.read_bytes(&place.topic);
    let key = |id: u8| Some(with_id(key_id, &[2 * id]));
    let value = |id: u8, v: &str| {
        let text = [&[2 * id, 2, 2 * v.len() as u8], v.as_bytes()].concat();
        Some(with_id(value_id, &text))
    };
    let expected = [(key(1), value(1, "a")), (key(2), value(2, "b")), (key(1), value(1, "aa")), (key(2), None)];
    assert_eq!(by_key(records), by_key(expected.to_vec()));
    let script =
        "CREATE TABLE k (id BIGINT, v STRING, PRIMARY KEY (id)) WITH (KAFKA, format = 'avro', 'key.format' = 'avro',
          'scan.bounded' = 'latest');
        SELECT id, v FROM k;";
    let found = rows(&run(&place.job(script)));
    assert_eq!(found.join(" ").replace("\"_op\":\"+I\",", ""), r#"{"id":1,"v":"aa"}"#);
}
