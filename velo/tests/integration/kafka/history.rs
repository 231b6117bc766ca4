//! A stream whose history lies in files, and goes on in a topic.

use super::broker::{Broker, Record};
use super::running::{Running, checkpoint_behind};
use super::{job, rows, run};

fn record(id: u32) -> Record {
    Record { partition: (id % 2) as i32, ..Record::value(format!("{{\"id\":{id}}}")) }
}

fn records(ids: std::ops::Range<u32>) -> Vec<Record> {
    ids.map(record).collect()
}

fn lines(ids: std::ops::Range<u32>) -> String {
    // Long lines make more chunks, and so more places for checkpoints.
    ids.map(|id| format!("{{\"id\":{id},\"more\":\"{}\"}}\n", "x".repeat(100))).collect()
}

/// Files, then the topic: killed in both and started again, with records that come meanwhile and files that are gone once they were
/// read, each row is there once.
#[test]
fn files_then_the_topic_each_row_once_however_often_the_job_is_killed() {
    let broker = Broker::new();
    let topic = broker.topic(2, &[]);
    let script = format!(
        "SET 'checkpoint.dir' = 'state'; SET 'checkpoint.interval' = '20ms';
         CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
           'history.connector' = 'file', 'history.path' = 'archive/*.jsonl', 'history.format' = 'json');
         CREATE SINK o WITH (connector = 'file', path = 'o.jsonl', format = 'json');
         INSERT INTO o SELECT id FROM t;"
    );
    let folder =
        job(&broker, &script).file("archive/1.jsonl", lines(0..60_000)).file("archive/2.jsonl", lines(60_000..100_000));
    broker.put(&topic, &records(100_000..100_500));
    let written = || {
        let text = std::fs::read_to_string(folder.path("o.jsonl")).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut newest = 0;
    for life in 0..4 {
        let running = Running::start(&folder);
        newest = checkpoint_behind(&folder, newest);
        running.kill();
        broker.put(&topic, &records(100_500 + life * 100..100_600 + life * 100));
    }
    let until = |rows: usize| {
        let mut running = Running::start(&folder);
        while written().len() < rows {
            running.goes_on();
        }
        running
    };
    until(100_900).kill();
    std::fs::remove_dir_all(folder.path("archive")).unwrap();
    broker.put(&topic, &records(100_900..101_000));
    until(101_000).stop();
    let mut got = written();
    got.sort();
    let mut expected = (0..101_000).map(|id| format!("{{\"id\":{id}}}")).collect::<Vec<_>>();
    expected.sort();
    assert!(got == expected, "{} rows", got.len());
}

/// Where the topic begins is found out before the history is read, and is in the first checkpoint: nothing that comes meanwhile is lost.
#[test]
fn what_comes_while_the_history_is_read_is_not_lost() {
    let broker = Broker::new();
    let topic = broker.topic(2, &[]);
    broker.put(&topic, &records(0..5));
    let script = format!(
        "SET 'checkpoint.dir' = 'state'; SET 'checkpoint.interval' = '100ms';
         CREATE STREAM t (id BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
           'scan.startup' = 'latest', 'history.connector' = 'file', 'history.path' = 'old.jsonl', 'history.format' = 'json');
         SELECT id FROM t;"
    );
    let folder = job(&broker, &script).file("old.jsonl", "{\"id\":100}\n");
    let mut first = Running::start(&folder);
    assert_eq!(first.row(), "{\"id\":100}");
    checkpoint_behind(&folder, checkpoint_behind(&folder, 0));
    first.kill();
    broker.put(&topic, &records(6..7));
    let mut second = Running::start(&folder);
    assert_eq!(second.row(), "{\"id\":6}", "neither the history again, nor what was there before the start");
    second.stop();
}

/// The archive and the topic overlap, and a time says where one takes over. Columns that only one has are NULL in the other's rows.
#[test]
fn an_archive_that_overlaps_the_topic_gives_each_row_once() {
    let broker = Broker::new();
    let topic = broker.topic(2, &[]);
    let row = |id: u32| format!("{{\"id\":{id},\"ts\":{}}}", id * 1_000);
    broker.put(
        &topic,
        &(5..12).map(|id| Record { partition: (id % 2) as i32, ..Record::value(row(id)) }).collect::<Vec<_>>(),
    );
    let script = format!(
        "CREATE STREAM t (id BIGINT, ts BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}',
           format = 'json', 'scan.bounded' = 'latest', 'event.time.field' = 'ts', 'history.connector' = 'file',
           'history.path' = 'old.jsonl', 'history.format' = 'json', 'history.then.live' = 'timestamp:1970-01-01T00:00:08Z');
         SELECT id, _line AS line, _offset AS place FROM t;"
    );
    let folder = job(&broker, &script).file("old.jsonl", (1..11).map(|id| row(id) + "\n").collect::<String>());
    let ran = run(&folder);
    let mut expected: Vec<String> = (1..8).map(|id| format!("{{\"id\":{id},\"line\":{id},\"place\":null}}")).collect();
    expected.extend((8..12).map(|id| format!("{{\"id\":{id},\"line\":null,\"place\":{}}}", (id - 5) / 2)));
    expected.sort();
    assert_eq!(rows(&ran), expected);
}
