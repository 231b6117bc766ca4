//! Jobs that do not end: killed, frozen, with topics that change under them.

use rdkafka::producer::Producer;
use velo_core::connector::Registry;
use velo_job::{PlanContext, RunOptions, Script, Stop};

use super::broker::{Broker, Record, WAIT};
use super::running::{Running, checkpoint_behind};
use super::{copying, job, run};
use crate::support::Folder;

pub(crate) fn record(id: u32) -> Record {
    Record::value(format!("{{\"id\":{id}}}"))
}

pub(crate) fn row(id: u32) -> String {
    format!("{{\"id\":{id}}}")
}

/// Prints what comes, with checkpoints.
pub(crate) fn printing(broker: &Broker, topic: &str, more: &str) -> Folder {
    job(
        broker,
        &format!(
            "SET 'checkpoint.dir' = 'state'; SET 'checkpoint.interval' = '100ms';
             CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', {topic}, format = 'json'{more});
             SELECT id FROM t;"
        ),
    )
}

/// BC-38: the end is found before the job says that it runs, and is in its first checkpoint.
#[test]
fn bc_38_what_comes_while_a_job_starts_at_the_end_is_read() {
    let broker = Broker::new();
    for startup in ["latest", "timestamp:2100-01-01T00:00:00Z"] {
        let topic = broker.topic(1, &[]);
        broker.put(&topic, &(0..5).map(record).collect::<Vec<_>>());
        let folder = printing(&broker, &format!("topic = '{topic}'"), &format!(", 'scan.startup' = '{startup}'"));
        let first = Running::start(&folder);
        let number = checkpoint_behind(&folder, 0);
        // No record was read, and none that was there is read by the next one.
        first.kill();
        broker.put(&topic, &[record(5)]);
        let mut second = Running::start(&folder);
        assert_eq!(second.row(), row(5), "{startup}, behind checkpoint {number}");
        broker.put(&topic, &[record(6)]);
        assert_eq!(second.row(), row(6));
        second.stop();
    }
}

/// A topic gets partitions, and a pattern topics: what is in them is read from its first record on.
#[test]
fn partitions_and_topics_that_come_later_are_read() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    let name = format!("'topic.pattern' = '{topic}(-.*)?'");
    let folder = printing(&broker, &name, ", 'topic.discovery.interval' = '100ms'");
    let mut running = Running::start(&folder);
    broker.put(&topic, &[record(1)]);
    assert_eq!(running.row(), row(1));
    broker.grow(&topic, 2);
    broker.put(&topic, &[Record { partition: 1, ..record(2) }]);
    assert_eq!(running.row(), row(2));
    let later = format!("{topic}-later");
    broker.make(&later, 1, &[]);
    broker.put(&later, &[record(3)]);
    assert_eq!(running.row(), row(3));
    checkpoint_behind(&folder, checkpoint_behind(&folder, 0) + 1);
    running.kill();
    // All of them are in the checkpoint.
    broker.put(&later, &[record(4)]);
    let mut running = Running::start(&folder);
    assert_eq!(running.row(), row(4));
    running.stop();
}

#[test]
fn a_topic_that_is_not_there_yet_is_waited_for() {
    let broker = Broker::new();
    let topic = format!("waited-{}", std::process::id());
    let folder = printing(&broker, &format!("topic = '{topic}'"), ", 'topic.wait.timeout' = '60s'");
    let mut running = Running::start(&folder);
    broker.make(&topic, 1, &[]);
    broker.put(&topic, &[record(1)]);
    assert_eq!(running.row(), row(1));
    running.stop();
}

/// The records behind a checkpoint were deleted.
#[test]
fn a_position_that_is_no_longer_there_is_told() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    broker.put(&topic, &[record(1), record(2)]);
    let folder = printing(&broker, &format!("topic = '{topic}'"), ", 'offset.lost' = '${LOST:-fail}'");
    let mut running = Running::start(&folder);
    assert_eq!((running.row(), running.row()), (row(1), row(2)));
    running.stop();
    broker.put(&topic, &(3..9).map(record).collect::<Vec<_>>());
    broker.forget(&topic, 6);
    let failed = run(&folder);
    assert_eq!(failed.code, 1);
    let said = format!(
        "topic {topic}, partition 0: offset 2, where reading goes on, is no longer there; there are those from 6"
    );
    assert!(failed.stderr.contains(&said) && failed.stderr.contains("'offset.lost' = 'earliest'"), "{}", failed.stderr);
    let script = folder.read("q.sql").replace("${LOST:-fail}", "earliest");
    let folder = folder.file("q.sql", script);
    let mut running = Running::start(&folder);
    assert_eq!(running.row(), row(7));
    running.signal("-TERM");
    assert!(running.ended().stderr.contains("going on at 6, as 'offset.lost' says"));
}

/// The records that a job waits for, because their transaction is open, are deleted while it does.
#[test]
fn what_is_deleted_before_it_is_read_is_told() {
    let broker = Broker::new();
    for (lost, next) in [("fail", None), ("earliest", Some(5))] {
        let topic = broker.topic(1, &[]);
        broker.put(&topic, &[record(1)]);
        let folder = printing(&broker, &format!("topic = '{topic}'"), &format!(", 'offset.lost' = '{lost}'"));
        let mut running = Running::start(&folder);
        assert_eq!(running.row(), row(1));
        let open = broker.open_transaction(&topic, &[record(2), record(3), record(4), record(5)]);
        broker.forget(&topic, 4);
        let said = format!("topic {topic}, partition 0: offset 1, where reading goes on, is no longer there");
        let ran = match next {
            None => running.ended(),
            Some(next) => {
                open.commit_transaction(WAIT).unwrap();
                assert_eq!(running.row(), row(next), "{lost}");
                running.signal("-TERM");
                running.ended()
            }
        };
        assert_eq!(ran.code, i32::from(next.is_none()), "{lost}: {}", ran.stderr);
        assert!(ran.stderr.contains(&said), "{lost}: {}", ran.stderr);
    }
}

/// What a transaction wrote was deleted while it is open: the last stable offset may lie before the first that is there.
#[test]
fn a_stream_begins_within_a_transaction_whose_begin_was_deleted() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[]);
    broker.put(&topic, &[record(1)]);
    let open = broker.open_transaction(&topic, &[record(2), record(3)]);
    broker.forget(&topic, 2);
    let of = |more: &str| printing(&broker, &format!("topic = '{topic}'"), more);
    let bounded = run(&of(", 'scan.bounded' = 'latest'"));
    assert_eq!((bounded.code, bounded.stdout.as_str()), (0, ""), "{}", bounded.stderr);
    let folder = of("");
    let mut running = Running::start(&folder);
    checkpoint_behind(&folder, 0);
    open.commit_transaction(WAIT).unwrap();
    assert_eq!(running.row(), row(3));
    running.stop();
}

fn sorted(ids: impl Iterator<Item = u32>) -> Vec<String> {
    let mut rows = ids.map(row).collect::<Vec<_>>();
    rows.sort();
    rows
}

/// Waits until so many rows can be read that these jobs write.
fn until(broker: &Broker, topic: &str, rows: usize, jobs: &mut [&mut Running]) -> Vec<String> {
    loop {
        jobs.iter_mut().for_each(|job| job.goes_on());
        let values = broker.values(topic);
        if values.len() >= rows {
            return values;
        }
    }
}

/// A job that is killed so many times, somewhere in what comes of the thousand rows that its topic of three partitions gets in each life, and
/// goes on once more.
fn killed_again_and_again(broker: &Broker, folder: &Folder, from: &str, lives: u32) -> Running {
    let put = |ids: std::ops::Range<u32>| {
        let records = ids.map(|id| Record { partition: (id % 3) as i32, ..record(id) });
        broker.put(from, &records.collect::<Vec<_>>());
    };
    let mut newest = 0;
    for life in 0..lives {
        put(life * 1_000..life * 1_000 + 500);
        let running = Running::start(folder);
        newest = checkpoint_behind(folder, newest);
        put(life * 1_000 + 500..life * 1_000 + 1_000);
        if life % 2 == 0 {
            newest = checkpoint_behind(folder, newest);
        }
        running.kill();
    }
    Running::start(folder)
}

/// BC-41, a and b: killed again and again, each row is there once for a reader of committed records.
#[test]
fn bc_41_each_row_is_there_once_however_often_the_job_is_killed() {
    let broker = Broker::new();
    let (from, to) = (broker.topic(3, &[]), broker.topic(2, &[]));
    let folder = copying(&broker, &from, &to, "");
    let mut running = killed_again_and_again(&broker, &folder, &from, 6);
    assert_eq!(until(&broker, &to, 6_000, &mut [&mut running]), sorted(0..6_000));
    running.stop();
    assert_eq!(broker.values(&to), sorted(0..6_000));
}

/// A job that writes a topic and a file is there once in both: what the file has follows the transaction.
#[test]
fn bc_41_a_topic_and_a_file_have_the_same_rows_however_often_the_job_is_killed() {
    let broker = Broker::new();
    let (from, to) = (broker.topic(3, &[]), broker.topic(2, &[]));
    let folder = copying(&broker, &from, &to, "");
    let script = folder.read("q.sql")
        + "CREATE SINK f WITH (connector = 'file', path = 'out.jsonl', format = 'json'); INSERT INTO f SELECT id FROM t;";
    let folder = folder.file("q.sql", script);
    let mut running = killed_again_and_again(&broker, &folder, &from, 4);
    until(&broker, &to, 4_000, &mut [&mut running]);
    running.stop();
    let mut lines = folder.read("out.jsonl").lines().map(str::to_owned).collect::<Vec<_>>();
    lines.sort();
    assert_eq!((broker.values(&to), lines), (sorted(0..4_000), sorted(0..4_000)));
}

/// At least once, rows wait for no checkpoint, and of a job that is killed each is there: those behind the newest checkpoint perhaps again.
#[test]
fn at_least_once_each_row_is_there_however_often_the_job_is_killed() {
    let broker = Broker::new();
    let (from, to) = (broker.topic(1, &[]), broker.topic(1, &[]));
    let folder = copying(&broker, &from, &to, "");
    let script = folder.read("q.sql").replace("CREATE SINK", "SET 'delivery.guarantee' = 'at_least_once'; CREATE SINK");
    let folder = folder.file("q.sql", script);
    let mut written = 0;
    for life in 0..4 {
        broker.put(&from, &(life * 500..life * 500 + 500).map(record).collect::<Vec<_>>());
        let mut running = Running::start(&folder);
        written = until(&broker, &to, written + 500, &mut [&mut running]).len();
        running.kill();
    }
    // Within a life rows come in their order, so that those of the newest life are the last ones.
    let ids = broker.read(&to, "read_committed").into_iter().map(|record| record.value.unwrap()).collect::<Vec<_>>();
    assert_eq!(ids[ids.len() - 500..], (1_500..2_000).map(row).collect::<Vec<_>>());
    let mut once = ids;
    once.sort();
    once.dedup();
    assert_eq!(once, sorted(0..2_000));
    // No transaction was ever open, which a reader would have to wait for; nor is there any marker of one.
    assert_eq!(broker.count(&to), broker.values(&to).len() as u64);
}

/// BC-41, c: a process that was frozen finds that it was replaced, and writes nothing more.
#[test]
fn bc_41_a_frozen_process_that_was_replaced_stops() {
    let broker = Broker::new();
    let (from, to) = (broker.topic(1, &[]), broker.topic(1, &[]));
    let folder = copying(&broker, &from, &to, "");
    broker.put(&from, &(0..500).map(record).collect::<Vec<_>>());
    let mut frozen = Running::start(&folder);
    until(&broker, &to, 500, &mut [&mut frozen]);
    broker.put(&from, &(500..1_000).map(record).collect::<Vec<_>>());
    frozen.signal("-STOP");
    let mut second = Running::start(&folder);
    assert_eq!(until(&broker, &to, 1_000, &mut [&mut second]), sorted(0..1_000));
    frozen.signal("-CONT");
    let ran = frozen.ended();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("another process"), "{}", ran.stderr);
    broker.put(&from, &(1_000..1_200).map(record).collect::<Vec<_>>());
    assert_eq!(until(&broker, &to, 1_200, &mut [&mut second]), sorted(0..1_200));
    second.stop();
    assert_eq!(broker.values(&to), sorted(0..1_200));
}

/// BC-41, d: two jobs write into one topic.
#[test]
fn bc_41_two_jobs_into_one_topic_do_not_meet() {
    let broker = Broker::new();
    let (one, other, to) = (broker.topic(1, &[]), broker.topic(1, &[]), broker.topic(1, &[]));
    broker.put(&one, &(0..300).map(record).collect::<Vec<_>>());
    broker.put(&other, &(300..600).map(record).collect::<Vec<_>>());
    let folders = [copying(&broker, &one, &to, ""), copying(&broker, &other, &to, "")];
    let mut running = folders.each_ref().map(Running::start);
    let [first, second] = &mut running;
    assert_eq!(until(&broker, &to, 600, &mut [first, second]), sorted(0..600));
    running.into_iter().for_each(Running::stop);
    assert_eq!(broker.values(&to), sorted(0..600));
}

/// BC-41: a transaction that the cluster gives up, because the process stood still for too long, costs time and no rows.
#[test]
fn bc_41_a_transaction_that_timed_out_costs_no_rows() {
    let broker = Broker::new();
    let (from, to) = (broker.topic(1, &[]), broker.topic(1, &[]));
    let folder = copying(&broker, &from, &to, "");
    // A transaction may stay open for three intervals and this time-out: seven seconds.
    let script = folder
        .read("q.sql")
        .replace("'checkpoint.interval' = '100ms'", "'checkpoint.timeout' = '1s'; SET 'checkpoint.interval' = '2s'");
    let folder = folder.file("q.sql", script);
    broker.put(&from, &(0..500).map(record).collect::<Vec<_>>());
    let mut running = Running::start(&folder);
    until(&broker, &to, 500, &mut [&mut running]);
    broker.put(&from, &(500..1_000).map(record).collect::<Vec<_>>());
    while broker.read(&to, "read_uncommitted").len() < 1_000 {
        running.goes_on();
    }
    running.signal("-STOP");
    // The cluster has given up what it left open; where nothing was, there is nothing to lose.
    while !broker.is_stable(&to) {}
    running.signal("-CONT");
    assert_eq!(until(&broker, &to, 1_000, &mut [&mut running]), sorted(0..1_000));
    running.stop();
    assert_eq!(broker.values(&to), sorted(0..1_000));
}

/// How far a job is behind what is there is known while it runs.
#[test]
fn what_was_not_read_yet_is_counted() {
    let broker = Broker::new();
    let topic = broker.topic(2, &[]);
    broker.put(&topic, &(0..10).map(|id| Record { partition: (id % 2) as i32, ..record(id) }).collect::<Vec<_>>());
    let sql = format!(
        "CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '{}', topic = '{topic}', format = 'json');
         CREATE SINK o WITH (connector = 'blackhole');
         INSERT INTO o SELECT id FROM t;",
        broker.servers
    );
    let mut registry = Registry::new();
    registry.add(velo_source_kafka::connector());
    for connector in velo_source_gen::connectors() {
        registry.add(connector);
    }
    let context = PlanContext::new(registry, ".");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let script = Script::plan(&sql, &context).await;
        assert!(script.is_runnable(), "{:?}", script.diagnostics());
        let (progress, stop) = (script.progress(), Stop::new());
        let options = RunOptions { stop: stop.clone(), ..RunOptions::new(1) };
        let watched = async {
            let expected = [0, 1].map(|partition| (format!("{topic}/{partition}"), 0));
            while !progress.sources[0].lag.each().into_iter().eq(expected.clone()) {
                tokio::task::yield_now().await;
            }
            stop.stop();
        };
        let (ran, ()) = tokio::join!(script.run(options, &progress), watched);
        ran.unwrap();
    });
}
