//! Topics that are written.

use super::broker::{Broker, Record};
use super::{copying, job, rows, run};

/// Keys, tombstones and event times of a result that changes.
#[test]
fn changes_go_out_under_their_key() {
    let broker = Broker::new();
    let (from, to) = (broker.topic(1, &[]), broker.topic(1, &[]));
    let at =
        |id: i64, key: &str| Record { time: id * 1_000, ..Record::value(format!("{{\"k\":\"{key}\",\"v\":{id}}}")) };
    broker.put(&from, &[at(1, "a"), at(2, "b"), at(3, "a")]);
    let folder = job(
        &broker,
        &format!(
            "CREATE STREAM t (k STRING, v BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{from}', format = 'json',
               'scan.bounded' = 'latest', 'event.time.source' = 'record');
             CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{to}', format = 'json', 'key.fields' = 'k');
             INSERT INTO o SELECT k, v FROM t;"
        ),
    );
    assert_eq!(rows(&run(&folder)), Vec::<String>::new());
    let written = broker.read(&to, "read_uncommitted");
    let expected = [("a", 1, 1_000), ("b", 2, 2_000), ("a", 3, 3_000)]
        .map(|(key, v, time)| Record { time, ..Record::keyed(key, Some(&format!("{{\"k\":\"{key}\",\"v\":{v}}}"))) });
    assert_eq!(written, expected);
}

/// With checkpoints rows are in transactions, and each is there once.
#[test]
fn a_bounded_job_is_committed_once() {
    let broker = Broker::new();
    let (from, to) = (broker.topic(3, &[]), broker.topic(2, &[]));
    let records = (0..3_000).map(|id| Record { partition: id % 3, ..Record::value(format!("{{\"id\":{id}}}")) });
    broker.put(&from, &records.collect::<Vec<_>>());
    let folder = copying(&broker, &from, &to, ", 'scan.bounded' = 'latest'");
    assert_eq!(rows(&run(&folder)), Vec::<String>::new());
    let mut expected = (0..3_000).map(|id| format!("{{\"id\":{id}}}")).collect::<Vec<_>>();
    expected.sort();
    assert_eq!(broker.values(&to), expected);
}

#[test]
fn a_topic_is_made_where_it_is_to_be() {
    let broker = Broker::new();
    let to = format!("made-{}", std::process::id());
    let sql = |more: &str| {
        format!(
            "CREATE STREAM t (id BIGINT) WITH (connector = 'datagen', 'number.of.rows' = '10');
             CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{to}', format = 'json'{more});
             INSERT INTO o SELECT id FROM t;"
        )
    };
    let missing = run(&job(&broker, &sql("")));
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("'topic.create' = 'true'"), "{}", missing.stderr);
    let made = |settings: &str| {
        let more = ", 'topic.create' = 'true', 'topic.create.partitions' = '3', 'topic.create.settings' = '@'";
        run(&job(&broker, &sql(&more.replace('@', settings))))
    };
    let wrong = made("cleanup.policy");
    assert!(wrong.code == 2 && wrong.stderr.contains("write name=value"), "{}", wrong.stderr);
    let unknown = made("cleanup.polcy=compact");
    assert!(unknown.code == 1 && unknown.stderr.contains("creating a topic"), "{}", unknown.stderr);
    rows(&made("retention.ms=86400000; cleanup.policy=delete"));
    assert_eq!(broker.setting(&to, "retention.ms"), "86400000");
    assert_eq!(broker.values(&to).len(), 10);
}

/// Records that cannot be decoded go to a topic with their exact bytes and their place, once, and can be sent again.
#[test]
fn dead_letters_go_to_a_topic() {
    let broker = Broker::new();
    let (from, letters) = (broker.topic(1, &[]), broker.topic(1, &[]));
    broker
        .put(&from, &[Record::value("{\"id\":1}"), Record::keyed("k", Some("{\"id\":}")), Record::value("{\"id\":3}")]);
    let folder = job(
        &broker,
        &format!(
            "CREATE SINK bad WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{letters}', format = 'json');
             CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{from}', format = 'json',
               'scan.bounded' = 'latest', 'on.error' = 'dead_letter', 'dead.letter.sink' = 'bad');
             SELECT id FROM t;"
        ),
    );
    assert_eq!(rows(&run(&folder)), ["{\"id\":1}", "{\"id\":3}"]);
    let written = broker.values(&letters);
    assert_eq!(written.len(), 1, "{written:?}");
    assert!(written[0].contains(&format!("topic {from}, partition 0, offset 1")), "{}", written[0]);
}

/// Rows replace each other under the key that the records have.
#[test]
fn rows_replace_each_other_under_the_key_of_their_records() {
    let broker = Broker::new();
    let (from, to) = (broker.topic(1, &[]), broker.topic(1, &[]));
    let rows_in = [("a", 1), ("b", 2), ("a", 3)].map(|(k, v)| Record::value(format!("{{\"k\":\"{k}\",\"v\":{v}}}")));
    broker.put(&from, &rows_in);
    let sql = |key: &str| {
        format!(
            "CREATE STREAM t (k STRING, v BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{from}', format = 'json',
               'scan.bounded' = 'latest');
             CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{to}', format = 'json', 'key.fields' = '{key}',
               'changelog.mode' = 'upsert');
             INSERT INTO o SELECT k, v FROM t;"
        )
    };
    rows(&run(&job(&broker, &sql("K"))));
    let written = broker.read(&to, "read_committed").into_iter().map(|record| (record.key, record.value));
    let expected =
        [("a", 1), ("b", 2), ("a", 3)].map(|(k, v)| (Some(k.to_owned()), Some(format!("{{\"k\":\"{k}\",\"v\":{v}}}"))));
    assert_eq!(written.collect::<Vec<_>>(), expected);
    let wrong = run(&job(&broker, &sql("kk")));
    assert!(wrong.code == 2 && wrong.stderr.contains("its columns are k, v"), "{}", wrong.stderr);
}

/// Keys lie in the partitions in which Kafka's own clients put them, or where the script says. The numbers: what Kafka's `UtilsTest` has for
/// murmur2 of these texts, without its sign, modulo 5; and the CRC-32 of "foobar".
#[test]
fn keys_lie_where_others_look_for_them() {
    let broker = Broker::new();
    let keys = ["21", "foobar", "a-little-bit-long-string", "a-little-bit-longer-string"];
    let lines = keys.map(|key| format!("{{\"k\":\"{key}\"}}")).join("\n");
    let partitions = |more: &str| {
        let to = broker.topic(5, &[]);
        let sql = format!(
            "CREATE STREAM t (k STRING) WITH (connector = 'file', path = 'in.jsonl');
             CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{to}', format = 'json', 'key.fields' = 'k'{more});
             INSERT INTO o SELECT k FROM t;"
        );
        rows(&run(&job(&broker, &sql).file("in.jsonl", &lines)));
        let written = broker.read(&to, "read_committed");
        let partition = |key: &str| written.iter().find(|record| record.key.as_deref() == Some(key)).unwrap().partition;
        keys.map(partition)
    };
    assert_eq!(partitions(""), [0, 1, 2, 4]);
    assert_eq!(partitions(", partitioner = 'consistent'")[1], 4);
}
