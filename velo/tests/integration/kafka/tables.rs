//! Topics that are tables.

use rdkafka::producer::Producer;

use super::broker::{Broker, Record, WAIT};
use super::running::{Running, checkpoint_behind};
use super::{job, rows, run};
use crate::support::Folder;

/// The rows of `t` joined with a table over a topic, without an end.
fn joining(broker: &Broker, topic: &str, table: &str) -> Folder {
    job(
        broker,
        &format!(
            "SET 'checkpoint.dir' = 'state'; SET 'checkpoint.interval' = '100ms';
             CREATE TABLE tiers (cust STRING, tier STRING, ts BIGINT, PRIMARY KEY (cust)) WITH (connector = 'kafka', 'bootstrap.servers' = '@',
               topic = '{table}', format = 'json', 'event.time.field' = 'ts');
             CREATE STREAM t (cust STRING) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json');
             SELECT t.cust, tiers.tier FROM t LEFT JOIN tiers ON t.cust = tiers.cust;"
        ),
    )
}

fn tier(cust: &str, tier: &str, ts: u32) -> Record {
    Record::keyed(cust, Some(&format!("{{\"cust\":\"{cust}\",\"tier\":\"{tier}\",\"ts\":{ts}}}")))
}

fn row(cust: &str, tier: Option<&str>) -> String {
    let tier = tier.map_or("null".to_owned(), |tier| format!("\"{tier}\""));
    format!("{{\"cust\":\"{cust}\",\"tier\":{tier}}}")
}

fn asked(cust: &str) -> Record {
    Record::value(format!("{{\"cust\":\"{cust}\"}}"))
}

/// BC-37, as a table: what is deleted is gone, also before the first row meets the table, and after a restart between the records.
#[test]
fn bc_37_a_record_without_a_value_deletes_its_key() {
    let broker = Broker::new();
    let (topic, table) = (broker.topic(1, &[]), broker.topic(2, &[("cleanup.policy", "compact")]));
    broker.put(
        &table,
        &[
            tier("A", "gold", 1),
            tier("B", "silver", 2),
            Record::keyed("A", None),
            Record::keyed("C", None),
            tier("B", "gold", 3),
        ],
    );
    broker.put(&topic, &["A", "B", "C"].map(asked));
    let folder = joining(&broker, &topic, &table);
    let mut running = Running::start(&folder);
    assert_eq!([running.row(), running.row(), running.row()], [row("A", None), row("B", Some("gold")), row("C", None)]);
    checkpoint_behind(&folder, checkpoint_behind(&folder, 0) + 1);
    running.kill();
    broker.put(&table, &[Record { partition: 1, ..tier("D", "new", 4) }, Record::keyed("B", None)]);
    broker.put(&topic, &["B", "D"].map(asked));
    let mut running = Running::start(&folder);
    // Readiness is what was there when the job started, so that both are seen.
    assert_eq!([running.row(), running.row()], [row("B", None), row("D", Some("new"))]);
    running.stop();
}

/// A table is ready when it has what is stable: it waits for no transaction that is open, and has what that wrote when it ends.
#[test]
fn a_table_is_ready_behind_an_open_transaction() {
    let broker = Broker::new();
    let (topic, table) = (broker.topic(1, &[]), broker.topic(1, &[]));
    broker.put(&table, &[tier("A", "gold", 1)]);
    let open = broker.open_transaction(&table, &[tier("A", "silver", 2)]);
    broker.put(&table, &[tier("B", "bronze", 3)]);
    broker.put(&topic, &["A", "B"].map(asked));
    let folder = joining(&broker, &topic, &table);
    let mut running = Running::start(&folder);
    assert_eq!([running.row(), running.row()], [row("A", Some("gold")), row("B", None)]);
    open.commit_transaction(WAIT).unwrap();
    let mut now = |cust| {
        broker.put(&topic, &[asked(cust)]);
        running.row()
    };
    while now("B") == row("B", None) {}
    assert_eq!([now("A"), now("B")], [row("A", Some("silver")), row("B", Some("bronze"))]);
    running.stop();
}

/// A table that ends is loaded once; keys of several columns are JSON.
#[test]
fn a_bounded_table_has_the_rows_that_its_keys_left() {
    let broker = Broker::new();
    let table = broker.topic(1, &[]);
    let record = |a: u32, b: &str, v: Option<u32>| {
        let value = v.map(|v| format!("{{\"a\":{a},\"b\":\"{b}\",\"v\":{v}}}"));
        Record::keyed(&format!("{{\"a\":{a},\"b\":\"{b}\"}}"), value.as_deref())
    };
    broker.put(
        &table,
        &[record(1, "x", Some(10)), record(1, "y", Some(20)), record(1, "x", None), record(2, "x", Some(30))],
    );
    let folder = job(
        &broker,
        &format!(
            "CREATE TABLE k (a BIGINT, b STRING, v BIGINT, PRIMARY KEY (a, b)) WITH (connector = 'kafka', 'bootstrap.servers' = '@',
               topic = '{table}', format = 'json', 'scan.bounded' = 'latest');
             SELECT a, b, v FROM k;"
        ),
    );
    let found = rows(&run(&folder));
    let last = found.iter().map(|row| row.replace("\"_op\":\"+I\",", "")).collect::<Vec<_>>();
    assert_eq!(last, ["{\"a\":1,\"b\":\"y\",\"v\":20}", "{\"a\":2,\"b\":\"x\",\"v\":30}"]);
}

/// A table that is read on for ever is there for the streams that look rows up in it: when these have ended, so has the job.
#[test]
fn a_job_ends_with_its_streams_though_a_table_goes_on() {
    let broker = Broker::new();
    let (topic, table) = (broker.topic(2, &[]), broker.topic(2, &[("cleanup.policy", "compact")]));
    let bad = Record::keyed("C", Some("{\"cust\":\"C\",\"tier\":7"));
    broker.put(&table, &[tier("A", "gold", 1), bad, Record { partition: 1, ..tier("B", "silver", 2) }]);
    broker.put(&topic, &["A", "B", "C"].map(asked));
    for settings in ["", "SET 'checkpoint.dir' = 'state'; SET 'checkpoint.interval' = '50ms';"] {
        let folder = job(
            &broker,
            &format!(
                "{settings}
                 CREATE SINK bad WITH (connector = 'file', path = 'bad.jsonl', format = 'json');
                 CREATE TABLE tiers (cust STRING, tier STRING, ts BIGINT, PRIMARY KEY (cust)) WITH (connector = 'kafka',
                   'bootstrap.servers' = '@', topic = '{table}', format = 'json', 'on.error' = 'dead_letter', 'dead.letter.sink' = 'bad');
                 CREATE TABLE upper AS SELECT cust, UPPER(tier) AS tier FROM tiers;
                 CREATE STREAM t (cust STRING) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
                   'scan.bounded' = 'latest');
                 SELECT t.cust, upper.tier FROM t LEFT JOIN upper ON t.cust = upper.cust;"
            ),
        );
        let expected = [row("A", Some("GOLD")), row("B", Some("SILVER")), row("C", None)];
        assert_eq!(rows(&run(&folder)), expected, "{settings}");
        let letters = std::fs::read_to_string(folder.path("bad.jsonl")).unwrap();
        assert!(letters.lines().count() == 1 && letters.contains("offset 1"), "{settings}{letters}");
    }
}
