//! Dead letters in a topic: listed, and sent back as they were.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::broker::{Broker, Record};
use super::{job, rows, run};
use crate::support::Folder;

/// A job whose records that cannot be used go to a topic, in the transactions of its checkpoints.
fn refusing(broker: &Broker, topic: &str, letters: &str) -> Folder {
    job(
        broker,
        &format!(
            "SET 'checkpoint.dir' = 'state';
             CREATE SINK bad WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{letters}', format = 'json',
               'linger.ms' = '5', 'key.fields' = 'key');
             CREATE STREAM t (id BIGINT, v BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
               'scan.bounded' = 'latest', 'fetch.min.bytes' = '1', 'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis',
               'on.error' = 'dead_letter', 'event.time.on.error' = 'dead_letter', 'dead.letter.sink' = 'bad');
             CREATE SINK out WITH (connector = 'file', path = 'out.jsonl', format = 'json');
             INSERT INTO out SELECT id, 100 / v AS share FROM t WITH ('on.compute.error' = 'dead_letter', 'dead.letter.sink' = 'bad');"
        ),
    )
}

/// A far future, which `watermark.max_future_skew` does not allow.
const FUTURE: i64 = 32_503_680_000_000;

fn put(broker: &Broker, topic: &str) -> Vec<Record> {
    let headers = BTreeMap::from([("trace".to_owned(), "7".to_owned()), ("retry".to_owned(), String::new())]);
    let bad = [
        Record { partition: 1, time: 2_500, headers: headers.clone(), ..Record::keyed("a key", Some("{\"id\": }")) },
        Record { partition: 1, ..Record::value("{\"id\": 2,  \"v\": 1, \"ts\": \"never\"}") },
        Record { headers, ..Record::keyed("f", Some(&format!("{{\"id\":3, \"v\":1,\n \"ts\":{FUTURE}}}"))) },
    ];
    let good = Record::value("{\"id\":1,\"v\":5,\"ts\":1000}");
    let computed = Record::value("{\"id\":4,\"v\":0,\"ts\":1000}");
    broker.put(topic, &[good, bad[0].clone(), bad[1].clone(), bad[2].clone(), computed]);
    bad.into()
}

fn listed(folder: &Folder, arguments: &[&str]) -> Vec<Value> {
    let ran = folder.velo(&[&["dlq", "list", "q.sql", "--output", "json"], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn records_come_back_as_they_were() {
    let broker = Broker::new();
    let (topic, letters) = (broker.topic(2, &[]), broker.topic(1, &[]));
    let bad = put(&broker, &topic);
    let before = broker.read(&topic, "read_committed");
    let folder = refusing(&broker, &topic, &letters);
    let ran = run(&folder);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(folder.read("out.jsonl"), "{\"id\":1,\"share\":20}\n");
    // What is not committed is no dead letter yet.
    let open = broker.open_transaction(&letters, &[Record::value("{\"stage\":\"decode\"}")]);

    let all = listed(&folder, &[]);
    assert_eq!(all.len(), 4, "{all:?}");
    let of = |record: &Record| {
        all.iter().find(|letter| letter["record"].as_str() == record.value.as_deref()).unwrap().clone()
    };
    let first = of(&bad[0]);
    let place = format!("topic {topic}, partition 1, offset 0");
    assert_eq!((&first["place"], &first["key"], &first["source"]), (&json!(place), &json!("a key"), &json!("t")));
    assert_eq!(first["record_time"], "1970-01-01T00:00:02.500Z");
    let header = |name: &str, value: &str| json!({ "name": name, "value": value, "bytes": null });
    assert_eq!(first["headers"], json!([header("retry", ""), header("trace", "7")]));
    assert_eq!((&of(&bad[1])["key"], &of(&bad[1])["headers"]), (&Value::Null, &json!([])));
    assert_eq!((&of(&bad[2])["code"], &of(&bad[2])["key"]), (&json!("event-time-future"), &json!("f")));
    assert_eq!(listed(&folder, &["--code", "compute-error"]).len(), 1);
    // The key of a dead letter can be that of its record.
    let keys = broker.read(&letters, "read_committed").into_iter().map(|record| record.key);
    assert_eq!(keys.flatten().count(), 2);

    let ran = folder.velo(&["dlq", "replay", "q.sql", "--to-source"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(
        ran.stderr,
        "3 records were sent back to where t reads them\n\
         1 were not: they are rows of operators, and no records; --to FILE writes them, with --code or --source\n"
    );
    let mut expected = [before, bad].concat();
    expected.sort_by_key(|record| record.partition);
    let mut after = broker.read(&topic, "read_committed");
    // Behind those that were there, and among each other in the order of the dead letters.
    let key = |record: &Record| (record.partition, record.value.clone());
    after.sort_by_key(key);
    expected.sort_by_key(key);
    assert_eq!(after, expected);
    drop(open);
}

/// Keys and values that are no text, records without a value, and dead letters that lie in a file.
#[test]
fn bytes_and_deletes_come_back_from_a_file() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    let records = [
        (Some(b"5".to_vec()), Some(b"{\"id\":5}".to_vec())),
        (Some(b"\xff\x00".to_vec()), Some(b"{\"id\":\xfe}".to_vec())),
        // The key of a row that is deleted is no number.
        (Some(b"x\xfe".to_vec()), None),
        (None, Some(Vec::new())),
    ];
    broker.put_bytes(&topic, &records);
    let folder = job(
        &broker,
        &format!(
            "CREATE SINK bad WITH (connector = 'file', path = 'bad.jsonl', format = 'json');
             CREATE TABLE t (id BIGINT, PRIMARY KEY (id)) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
               'scan.bounded' = 'latest', 'on.error' = 'dead_letter', 'dead.letter.sink' = 'bad');
             SELECT id FROM t;"
        ),
    );
    assert_eq!(rows(&run(&folder)).len(), 1);
    let all = listed(&folder, &[]);
    assert_eq!(all.len(), 3, "{all:?}");
    let find = |key: Value| all.iter().find(|letter| letter["key_bytes"] == key).unwrap();
    let bytes = |text: &[u8]| text.iter().copied().collect::<Value>();
    assert_eq!(find(bytes(b"\xff\x00"))["bytes"], bytes(b"{\"id\":\xfe}"));
    assert_eq!((&find(bytes(b"x\xfe"))["record"], &find(bytes(b"x\xfe"))["bytes"]), (&Value::Null, &Value::Null));

    let ran = folder.velo(&["dlq", "replay", "q.sql", "--to-source"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, "3 records were sent back to where t reads them\n"));
    let mut again = broker.read_bytes(&topic).split_off(records.len());
    let mut expected = records[1..].to_vec();
    again.sort();
    expected.sort();
    assert_eq!(again, expected);
}

/// Nothing is sent where not all can be.
#[test]
fn what_cannot_be_sent_back_is_said() {
    let broker = Broker::new();
    let (topic, other, letters) =
        (broker.topic(2, &[]), broker.topic(1, &[]), format!("letters-{}", std::process::id()));
    let folder = refusing(&broker, &topic, &letters);
    let none = folder.velo(&["dlq", "list", "q.sql"]);
    assert_eq!(none.code, 0, "{}", none.stderr);
    assert!(
        none.stderr.contains(&format!("has no topic '{letters}': no run has shown dead letters")),
        "{}",
        none.stderr
    );
    let nothing = folder.velo(&["dlq", "replay", "q.sql", "--to-source"]);
    assert_eq!(nothing.code, 2);
    assert!(nothing.stderr.contains("there is nothing to replay, and nothing was sent"), "{}", nothing.stderr);

    broker.make(&letters, 1, &[]);
    put(&broker, &topic);
    assert_eq!(run(&folder).code, 0);
    let count = |topic: &str| broker.read(topic, "read_uncommitted").len();
    let before = count(&topic);
    // A script that reads another topic under that name is not the one that wrote the dead letters.
    let script = folder.read("q.sql").replace(&format!("topic = '{topic}'"), &format!("topic = '{other}'"));
    let folder = folder.file("other.sql", script);
    let ran = folder.velo(&["dlq", "replay", "other.sql", "--to-source"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("is of a topic that the source does not read"), "{}", ran.stderr);
    assert_eq!((count(&topic), count(&other)), (before, 0));
    assert!(broker.is_stable(&other), "a transaction is open");
    // A row of operators alone is nothing to send.
    let ran = folder.velo(&["dlq", "replay", "q.sql", "--to-source", "--code", "compute-error"]);
    assert_eq!(ran.code, 2);
    assert_eq!(count(&topic), before);
}
