//! Topics that are read.

use std::collections::BTreeMap;

use super::broker::{Broker, Record};
use super::running::{Running, checkpoint_behind};
use super::{job, rows, run};

/// All records that are there, with what Kafka says about each.
#[test]
fn a_topic_is_read_to_its_end_with_what_its_records_have_beside_their_values() {
    let broker = Broker::new();
    let topic = broker.topic(2, &[]);
    let headers = BTreeMap::from([("trace".to_owned(), "7".to_owned())]);
    broker.put(
        &topic,
        &[
            Record { headers, ..Record::keyed("a", Some("{\"id\": 1}")) },
            Record { partition: 1, time: 2_500, ..Record::value("{\"id\":\n 2}") },
            Record { partition: 1, ..Record::value("{\"id\": 3}") },
        ],
    );
    let folder = job(
        &broker,
        &format!(
            "CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
               'scan.bounded' = 'latest');
             SELECT id, _topic, _partition, _offset, _key, _timestamp, _headers FROM t;"
        ),
    );
    let found = rows(&run(&folder)).join("\n").replace(&topic, "T");
    assert_eq!(
        found,
        "{\"id\":1,\"_topic\":\"T\",\"_partition\":0,\"_offset\":0,\"_key\":\"a\",\"_timestamp\":\"1970-01-01T00:00:01Z\",\"_headers\":{\"trace\":\"7\"}}
{\"id\":2,\"_topic\":\"T\",\"_partition\":1,\"_offset\":0,\"_key\":null,\"_timestamp\":\"1970-01-01T00:00:02.500Z\",\"_headers\":{}}
{\"id\":3,\"_topic\":\"T\",\"_partition\":1,\"_offset\":1,\"_key\":null,\"_timestamp\":\"1970-01-01T00:00:01Z\",\"_headers\":{}}"
    );
}

/// The last offsets are those of markers and of aborted records, which nobody is ever given.
#[test]
fn a_bounded_read_ends_across_markers_and_gaps() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    let record = |id: u32| Record::value(format!("{{\"id\":{id}}}"));
    broker.transaction(&topic, &[record(1), record(2)], true);
    broker.transaction(&topic, &[record(3)], false);
    let sql = |more: &str| {
        format!(
            "CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
               'scan.bounded' = 'latest'{more});
             SELECT id FROM t;"
        )
    };
    let read = |more: &str| rows(&run(&job(&broker, &sql(more)))).join(" ");
    assert_eq!(read(""), "{\"id\":1} {\"id\":2}");
    assert_eq!(read(", 'isolation.level' = 'read_uncommitted'"), "{\"id\":1} {\"id\":2} {\"id\":3}");
    // Behind an open transaction nothing is stable.
    let open = broker.open_transaction(&topic, &[record(4)]);
    broker.put(&topic, &[record(5)]);
    assert_eq!(read(""), "{\"id\":1} {\"id\":2}");
    assert_eq!(
        read(", 'isolation.level' = 'read_uncommitted'"),
        "{\"id\":1} {\"id\":2} {\"id\":3} {\"id\":4} {\"id\":5}"
    );
    drop(open);
    let empty = broker.topic(3, &[]);
    let folder = job(&broker, &sql("").replace(&topic, &empty));
    assert_eq!(rows(&run(&folder)), Vec::<String>::new());
}

/// Compaction takes records away, also those that a job would have read next: places and positions stay those of the offsets.
#[test]
fn what_compaction_has_taken_away_is_passed_over() {
    let broker = Broker::new();
    // Records of another time begin another segment, and all but the last are compacted as soon as may be.
    let at_once = [("cleanup.policy", "compact"), ("segment.ms", "1"), ("min.cleanable.dirty.ratio", "0")];
    let topic = broker.topic(1, &at_once);
    // One by one: records of one batch lie in one segment.
    let put = |id: i64, key: &str| {
        let value = if key == "bad" { "{\"id\":}".to_owned() } else { format!("{{\"id\":{id}}}") };
        broker.put(&topic, &[Record { time: 1_000 * (1 + id), ..Record::keyed(key, Some(&value)) }]);
    };
    let sql = |more: &str| {
        format!(
            "CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json'{more});
             SELECT id, _offset FROM t;"
        )
    };
    let settings = "SET 'checkpoint.dir' = 'state'; SET 'checkpoint.interval' = '100ms';";
    let folder = job(&broker, &format!("{settings} {}", sql(", 'on.error' = 'skip'")));
    let row = |id: u32| format!("{{\"id\":{id},\"_offset\":{id}}}");
    put(0, "x");
    put(1, "a");
    let mut running = Running::start(&folder);
    assert_eq!([running.row(), running.row()], [0, 1].map(row));
    checkpoint_behind(&folder, checkpoint_behind(&folder, 0) + 1);
    running.kill();
    for (id, key) in (2..).zip(["b", "bad", "a", "b", "last"]) {
        put(id, key);
    }
    // 1 and 2 are gone, and the job goes on behind 1.
    while broker.read(&topic, "read_committed").len() > 5 {}
    let mut running = Running::start(&folder);
    assert_eq!([running.row(), running.row(), running.row()], [4, 5, 6].map(row));
    running.stop();
    let bounded = |more: &str| run(&job(&broker, &sql(&format!(", 'scan.bounded' = 'latest'{more}"))));
    assert_eq!(rows(&bounded(", 'on.error' = 'skip'")), [0, 4, 5, 6].map(row));
    let failed = bounded("");
    assert!(failed.stderr.contains(&format!("topic {topic}, partition 0, offset 3")), "{}", failed.stderr);
}

/// BC-38, the time: one behind the last record is the end, and not the beginning.
#[test]
fn a_stream_begins_where_it_is_told_to() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    // A time of 0 would be the time at which it was sent.
    let at = |id: i64| Record { time: 1 + id * 1_000, ..Record::value(format!("{{\"id\":{id}}}")) };
    broker.put(&topic, &(0..5).map(at).collect::<Vec<_>>());
    let read = |startup: &str| {
        let folder = job(
            &broker,
            &format!(
                "CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
                   'scan.bounded' = 'latest', 'scan.startup' = '{startup}', 'group.id' = 'nobody');
                 SELECT id FROM t;"
            ),
        );
        rows(&run(&folder)).join(" ")
    };
    assert_eq!(read("timestamp:1970-01-01T00:00:02.500Z"), "{\"id\":3} {\"id\":4}");
    assert_eq!(read("timestamp:3001"), "{\"id\":3} {\"id\":4}");
    assert_eq!(read("timestamp:2030-01-01T00:00:00Z"), "");
    assert_eq!(read("latest"), "");
    assert_eq!(read("earliest").lines().count(), 1);
    assert!(read("committed").starts_with("{\"id\":0}"), "nothing was committed");
}

/// BC-37, as a stream: a record without a value is no row, and is counted.
#[test]
fn tombstones_are_no_rows_and_bad_records_have_their_place() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    broker.put(
        &topic,
        &[
            Record::keyed("A", Some("{\"tier\":\"gold\"}")),
            Record::keyed("A", None),
            Record::keyed("B", Some("{\"tier\": gold}")),
            Record::keyed("B", Some("{\"tier\":\"silver\"}")),
        ],
    );
    let sql = |more: &str| {
        format!(
            "CREATE STREAM t (tier STRING) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
               'scan.bounded' = 'latest'{more});
             SELECT _key, tier FROM t;"
        )
    };
    let skipped = run(&job(&broker, &sql(", 'on.error' = 'skip'")));
    assert_eq!(rows(&skipped).join(" "), "{\"_key\":\"A\",\"tier\":\"gold\"} {\"_key\":\"B\",\"tier\":\"silver\"}");
    let failed = run(&job(&broker, &sql("")));
    assert_eq!(failed.code, 1);
    let place = format!("topic {topic}, partition 0, offset 2");
    assert!(failed.stderr.contains(&place) && failed.stderr.contains("gold}"), "{}", failed.stderr);
}

/// What is wrong is said with what to do.
#[test]
fn mistakes_are_told() {
    let broker = Broker::new();
    let said = |with: &str| {
        let script = format!("CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', {with}); SELECT id FROM t;");
        let ran = run(&job(&broker, &script));
        assert_ne!(ran.code, 0, "{with}");
        ran.stderr
    };
    let missing = said("'bootstrap.servers' = '@', topic = 'there-is-none'");
    assert!(missing.contains("has no topic 'there-is-none'") && missing.contains("topic.wait.timeout"), "{missing}");
    let misspelt = said("'bootstrap.servers' = '@', topic = 't', 'fetch.min.byte' = '1'");
    assert!(misspelt.contains("did you mean 'fetch.min.bytes'?"), "{misspelt}");
    let servers = said("topic = 't'");
    assert!(servers.contains("bootstrap.servers"), "{servers}");
    let own = said("'bootstrap.servers' = '@', topic = 't', 'enable.auto.commit' = 'true'");
    assert!(own.contains("positions are those of checkpoints"), "{own}");
    let both = said("'bootstrap.servers' = '@', topic = 't', 'topic.pattern' = 't.*'");
    assert!(both.contains("exclude each other"), "{both}");
    let pattern = said("'bootstrap.servers' = '@', 'topic.pattern' = 't(.*'");
    assert!(pattern.contains("no regular expression"), "{pattern}");
    let startup = said("'bootstrap.servers' = '@', topic = 't', 'scan.startup' = 'erliest'");
    assert!(startup.contains("did you mean 'earliest'?"), "{startup}");
}
