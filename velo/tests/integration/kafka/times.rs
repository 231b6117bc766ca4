//! The times of records: as event times without a word in the script, and as patterns in them.

use super::broker::{Broker, Record};
use super::{job, rows, run};

fn windows(broker: &Broker, topic: &str, more: &str, select: &str) -> crate::support::Ran {
    run(&job(
        broker,
        &format!(
            "CREATE STREAM t (v BIGINT, at TIMESTAMP) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
               'scan.bounded' = 'latest'{more});
             {select};"
        ),
    ))
}

const COUNT: &str = "SELECT _window_start AS w, COUNT(*) AS n FROM t WINDOW TUMBLING(10s) GROUP BY _window_start";

/// Where the topic has the times at which records were created, they are event times; where it has those at which a broker took them,
/// windows over them have to be asked for.
#[test]
fn a_records_own_time_is_its_event_time_where_it_was_created_then() {
    let broker = Broker::new();
    let (created, appended) = (broker.topic(1, &[]), broker.topic(1, &[("message.timestamp.type", "LogAppendTime")]));
    let records = [1_000, 9_000, 12_000].map(|time| Record { time, ..Record::value("{\"v\":1}") });
    broker.put(&created, &records);
    broker.put(&appended, &records);
    assert_eq!(
        rows(&windows(&broker, &created, "", COUNT)).join(" "),
        "{\"w\":\"1970-01-01T00:00:00Z\",\"n\":2} {\"w\":\"1970-01-01T00:00:10Z\",\"n\":1}"
    );
    let refused = windows(&broker, &appended, "", COUNT);
    assert_eq!(refused.code, 1);
    let said = ["LogAppendTime", "'event.time.field' = '…'", "'event.time.source' = 'record'", &appended];
    assert!(said.iter().all(|said| refused.stderr.contains(said)), "{}", refused.stderr);
    // Who says so means it.
    let asked = windows(&broker, &appended, ", 'event.time.source' = 'record'", "SELECT COUNT(*) AS n FROM t");
    assert_eq!(rows(&asked), ["{\"n\":3}"]);
    // Where nothing goes by time, there is nothing to be told.
    assert_eq!(rows(&windows(&broker, &appended, "", "SELECT SUM(v) AS s FROM t")), ["{\"s\":3}"]);
    let future = Record { time: 4_000_000_000_000, ..Record::value("{\"v\":2}") };
    broker.put(&created, &[future]);
    assert_eq!(rows(&windows(&broker, &created, "", "SELECT v FROM t WHERE v > 1")), ["{\"v\":2}"]);
    let refused = windows(&broker, &created, "", COUNT);
    assert!(refused.code == 1 && refused.stderr.contains("ahead of"), "{}", refused.stderr);
}

/// Where the broker says when it took a record, a wrong date is measured against that, and not against the clock of whoever reads.
#[test]
fn the_future_begins_when_the_broker_took_the_record() {
    let broker = Broker::new();
    let (created, appended) = (broker.topic(1, &[]), broker.topic(1, &[("message.timestamp.type", "LogAppendTime")]));
    let record = |at| Record::value(format!("{{\"v\":1,\"at\":\"{at}\"}}"));
    let records = ["1970-01-01T00:00:01Z", "2099-01-01T00:00:00Z"].map(record);
    for (topic, against) in [(&created, "the clock"), (&appended, "the time at which the broker appended it")] {
        broker.put(topic, &records);
        let refused = windows(&broker, topic, ", 'event.time.field' = 'at'", COUNT);
        let said = format!("2099-01-01T00:00:00Z is further ahead of {against} than watermark.max_future_skew allows");
        assert!(refused.code == 1 && refused.stderr.contains(&said), "{}", refused.stderr);
        let skipped = windows(&broker, topic, ", 'event.time.field' = 'at', 'event.time.on.error' = 'skip'", COUNT);
        assert_eq!(rows(&skipped), ["{\"w\":\"1970-01-01T00:00:00Z\",\"n\":1}"]);
    }
}

#[test]
fn times_in_records_can_follow_a_pattern() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    broker.put(&topic, &[Record::value("{\"v\":1,\"at\":\"31.01.2024 09:30\"}")]);
    let ran = windows(&broker, &topic, ", 'timestamp.format' = '%d.%m.%Y %H:%M'", "SELECT at FROM t");
    assert_eq!(rows(&ran), ["{\"at\":\"2024-01-31T09:30:00Z\"}"]);
}

/// The group shows how far the newest checkpoint has come.
#[test]
fn a_group_shows_how_far_it_was_read() {
    let broker = Broker::new();
    let (topic, group) = (broker.topic(2, &[]), format!("shown-{}", std::process::id()));
    let record = |id: i32| Record { partition: id % 2, ..Record::value(format!("{{\"v\":{id}}}")) };
    broker.put(&topic, &(0..10).map(record).collect::<Vec<_>>());
    let folder = job(
        &broker,
        &format!(
            "SET 'checkpoint.dir' = 'state'; SET 'checkpoint.interval' = '100ms';
             CREATE STREAM t (v BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
               'group.id' = '{group}');
             SELECT v FROM t;"
        ),
    );
    let mut running = super::running::Running::start(&folder);
    (0..10).for_each(|_| drop(running.row()));
    while broker.committed(&topic, &group) != [Some(5), Some(5)] {
        running.goes_on();
    }
    running.stop();
}
