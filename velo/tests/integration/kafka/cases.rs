//! Mistakes that other engines made with topics: cases from public bug reports, by their numbers.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::broker::{Broker, Record};
use super::running::Running;
use super::{copying, job, rows, run};
use crate::support::{Folder, Ran};

/// A job that writes one sink from `t`, a stream over a topic that is read to its end.
fn computing(broker: &Broker, (from, to): (&str, &str), columns: &str, more: &str, select: &str) -> Folder {
    job(
        broker,
        &format!(
            "CREATE STREAM t ({columns}) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{from}', format = 'json',
               'scan.bounded' = 'latest'{more});
             CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{to}', format = 'json');
             INSERT INTO o {select};"
        ),
    )
}

/// The values of a topic with one partition, in their order.
fn written(broker: &Broker, topic: &str) -> Vec<String> {
    broker.read(topic, "read_committed").into_iter().filter_map(|record| record.value).collect()
}

const NUMBERS: &str = "id INT, px DECIMAL(18, 4), qty BIGINT, amt DECIMAL(38, 2), doc JSON";

/// A record of BC-28, whose price and quantity are written so.
fn number(id: u32, px: &str, qty: &str) -> Record {
    let amt = "123456789012345678901234567890.12";
    Record::value(format!(
        "{{\"id\":{id},\"px\":{px},\"qty\":{qty},\"amt\":{amt},\"doc\":{{\"n\":{qty},\"p\":0.10,\"e\":1e2}}}}"
    ))
}

/// BC-28: no number passes through a binary float, into a topic and out of it.
#[test]
fn bc_28_json_numbers_keep_their_digits() {
    let broker = Broker::new();
    let (from, to) = (broker.topic(1, &[]), broker.topic(1, &[]));
    let exact = "9007199254740993";
    let spellings = [("0.1", "0.1000"), ("10", "10.0000"), ("1e2", "100.0000"), ("\"0.1\"", "0.1000")];
    let records = spellings.iter().zip(1..).map(|((px, _), id)| number(id, px, exact));
    broker.put(&from, &records.collect::<Vec<_>>());
    rows(&run(&computing(&broker, (&from, &to), NUMBERS, "", "SELECT * FROM t")));
    let expected = spellings.iter().zip(1..).map(|((_, px), id)| number(id, px, exact).value.unwrap());
    let expected = expected.collect::<Vec<_>>();
    assert_eq!(written(&broker, &to), expected);
    // What was written is read again, and is the same once more.
    let again = broker.topic(1, &[]);
    rows(&run(&computing(&broker, (&to, &again), NUMBERS, "", "SELECT * FROM t")));
    assert_eq!(written(&broker, &again), expected);
}

/// BC-28: ten times a tenth is one.
#[test]
fn bc_28_a_sum_of_prices_is_exact() {
    let broker = Broker::new();
    let (from, to) = (broker.topic(1, &[]), broker.topic(1, &[]));
    broker.put(&from, &(0..10).map(|id| number(id, "0.1", "9223372036854775807")).collect::<Vec<_>>());
    let select = "SELECT SUM(px) AS px, MAX(qty) AS qty, COUNT(*) AS n FROM t";
    rows(&run(&computing(&broker, (&from, &to), NUMBERS, "", select)));
    assert_eq!(written(&broker, &to), ["{\"px\":1.0000,\"qty\":9223372036854775807,\"n\":10}"]);
}

/// BC-28: a number beyond the type of its column is no other number.
#[test]
fn bc_28_a_number_out_of_range_is_a_bad_record() {
    let broker = Broker::new();
    let (from, to, letters) = (broker.topic(1, &[]), broker.topic(1, &[]), broker.topic(1, &[]));
    broker.put(
        &from,
        &[
            number(1, "1", "9223372036854775807"),
            number(2, "1", "9223372036854775808"),
            number(3, "1", "-9223372036854775808"),
            number(4, "100000000000000", "1"),
        ],
    );
    let good = [("1.0000", 1, "9223372036854775807"), ("1.0000", 3, "-9223372036854775808")]
        .map(|(px, id, qty)| number(id, px, qty).value.unwrap());
    let failed = run(&computing(&broker, (&from, &to), NUMBERS, "", "SELECT * FROM t"));
    assert_eq!(failed.code, 1);
    let place = format!("topic {from}, partition 0, offset 1");
    assert!(failed.stderr.contains(&place), "{}", failed.stderr);
    assert!(failed.stderr.contains("'9223372036854775808' is out of range for BIGINT"), "{}", failed.stderr);
    let to = broker.topic(1, &[]);
    let skipped = run(&computing(&broker, (&from, &to), NUMBERS, ", 'on.error' = 'skip'", "SELECT * FROM t"));
    rows(&skipped);
    assert_eq!(written(&broker, &to), good);
    assert!(skipped.stderr.contains("t: 2 records were skipped"), "{}", skipped.stderr);
    let to = broker.topic(1, &[]);
    let more = ", 'on.error' = 'dead_letter', 'dead.letter.sink' = 'bad'";
    let folder = computing(&broker, (&from, &to), NUMBERS, more, "SELECT * FROM t");
    let sink = format!(
        "CREATE SINK bad WITH (connector = 'kafka', 'bootstrap.servers' = '{}', topic = '{letters}', format = 'json');\n",
        broker.servers
    );
    let script = sink + &folder.read("q.sql");
    rows(&run(&folder.file("q.sql", script)));
    assert_eq!(written(&broker, &to), good);
    let letters = written(&broker, &letters);
    assert_eq!(letters.len(), 2, "{letters:?}");
    assert!(letters[0].contains(&place) && letters[0].contains("out of range for BIGINT"), "{}", letters[0]);
    assert!(letters[1].contains("offset 3") && letters[1].contains("DECIMAL(18,4)"), "{}", letters[1]);
}

/// What is behind 2024-01-01T00:00:00Z by so many seconds, in milliseconds since 1970.
const fn at(seconds: i64) -> i64 {
    1_704_067_200_000 + seconds * 1_000
}

/// 2099-01-01T00:00:00Z.
const FUTURE: i64 = 4_070_908_800_000;

/// Counts the records of each minute; what a run said with them.
fn minutes(broker: &Broker, topic: &str, time: &str) -> Ran {
    let folder = job(
        broker,
        &format!(
            "CREATE STREAM t (k STRING) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
               'scan.bounded' = 'latest', {time}, 'event.time.on.error' = 'skip', 'watermark.max_out_of_orderness' = '5s');
             SELECT _window_start AS at, COUNT(*) AS n FROM t WINDOW TUMBLING(1m);"
        ),
    );
    run(&folder)
}

/// A record whose own time is that of its field, which is text of JSON.
fn stamped(key: &str, ts: &str, time: i64) -> Record {
    Record { time, ..Record::value(format!("{{\"k\":\"{key}\",\"ts\":{ts}}}")) }
}

/// BC-01: one record from the future does not make those behind it late, whichever time is gone by; neither does one without a time.
#[test]
fn bc_01_a_record_from_the_future_moves_no_watermark() {
    let broker = Broker::new();
    let expected =
        ["{\"at\":\"2024-01-01T00:00:00Z\",\"n\":3}", "{\"at\":\"2024-01-01T00:01:00Z\",\"n\":1}"].map(str::to_owned);
    let field = "'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis'";
    let record = "'event.time.source' = 'record'";
    let future = FUTURE.to_string();
    // A broker refuses times that are over an hour ahead of its own, unless the topic says otherwise.
    let settings = [("message.timestamp.after.max.ms", "9223372036854775807")];
    for (ts, time, ways) in [
        (future.as_str(), FUTURE, [field, record].as_slice()),
        ("null", at(25), &[field]),
        ("\"not-a-date\"", at(25), &[field]),
    ] {
        let topic = broker.topic(1, &settings);
        let good = |key, seconds| stamped(key, &at(seconds).to_string(), at(seconds));
        broker.put(&topic, &[good("a", 10), good("b", 20), stamped("x", ts, time), good("c", 30), good("d", 100)]);
        for way in ways {
            let ran = minutes(&broker, &topic, way);
            assert_eq!(rows(&ran), expected, "{ts}, {way}");
            assert!(ran.stderr.contains("t: 1 records were skipped"), "{ts}, {way}: {}", ran.stderr);
            assert!(!ran.stderr.contains("too late"), "{ts}, {way}: {}", ran.stderr);
        }
    }
}

/// BC-01: under `fail` it is said which record it was.
#[test]
fn bc_01_a_record_from_the_future_is_named() {
    let broker = Broker::new();
    let topic = broker.topic(1, &[("message.timestamp.after.max.ms", "9223372036854775807")]);
    broker.put(&topic, &[stamped("a", &at(10).to_string(), at(10)), stamped("x", &FUTURE.to_string(), FUTURE)]);
    for way in ["'event.time.field' = 'ts', 'event.time.format' = 'epoch_millis'", "'event.time.source' = 'record'"] {
        let folder = job(
            &broker,
            &format!(
                "CREATE STREAM t (k STRING, ts BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}',
                   format = 'json', 'scan.bounded' = 'latest', {way});
                 SELECT k FROM t;"
            ),
        );
        let failed = run(&folder);
        assert_eq!(failed.code, 1, "{way}");
        let place = format!("topic {topic}, partition 0, offset 1");
        let said = "2099-01-01T00:00:00Z is further ahead of the clock than watermark.max_future_skew allows";
        assert!(failed.stderr.contains(&place) && failed.stderr.contains(said), "{way}: {}", failed.stderr);
    }
}

/// A member of a group that comes and goes, over and over, for as long as `work` takes: others are given its partitions each time, and
/// lose them again. Gives what `work` gave, and how often the group had the partitions.
fn beside_a_restless_member<T>(
    broker: &Broker,
    topics: &[&str],
    group: &str,
    work: impl FnOnce(&AtomicU32) -> T,
) -> (T, u32) {
    let (over, turns) = (AtomicBool::new(false), AtomicU32::new(0));
    let given = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                broker.join_and_leave(topics, group, &over);
                turns.fetch_add(1, Ordering::Relaxed);
            }
        });
        // Where `work` fails, the other thread must not go on for ever.
        let _ends = Ends(&over);
        work(&turns)
    });
    (given, turns.into_inner())
}

/// Says that it is over when it goes.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// BC-40: Velo assigns partitions by itself, so that a member of the group that joins and leaves takes nothing away: each id is there
/// once, and the job goes on.
#[test]
fn bc_40_a_group_that_changes_all_the_time_changes_nothing() {
    const EACH: u32 = 20_000;
    let broker = Broker::new();
    let (from, to) = (broker.topic(2, &[]), broker.topic(1, &[]));
    let group = format!("restless-{from}");
    let put = |ids: std::ops::Range<u32>| {
        let both = ids.flat_map(|id| [(0, id), (1, EACH + id)]);
        let records = both.map(|(partition, id)| Record { partition, ..Record::value(format!("{{\"id\":{id}}}")) });
        broker.put(&from, &records.collect::<Vec<_>>());
    };
    let folder = copying(&broker, &from, &to, &format!(", 'group.id' = '{group}'"));
    let (values, turns) = beside_a_restless_member(&broker, &[&from], &group, |turns| {
        let mut running = Running::start(&folder);
        // Records come while the member does, each time.
        for turn in 0..4 {
            put(turn * EACH / 4..(turn + 1) * EACH / 4);
            let before = turns.load(Ordering::Relaxed);
            while turns.load(Ordering::Relaxed) < before + 1 {
                running.goes_on();
                std::thread::yield_now();
            }
        }
        while broker.count(&to) < u64::from(2 * EACH) {
            running.goes_on();
        }
        running.stop();
        broker.values(&to)
    });
    assert!(turns >= 4, "the member came {turns} times");
    let mut expected = (0..2 * EACH).map(|id| format!("{{\"id\":{id}}}")).collect::<Vec<_>>();
    expected.sort();
    assert!(values == expected, "{} rows of {}", values.len(), expected.len());
    // The member has committed positions of its own; they are not those of the job, which reads nothing twice after a restart.
    let mut running = Running::start(&folder);
    broker.put(&from, &[Record::value(format!("{{\"id\":{}}}", 2 * EACH))]);
    while !broker.values(&to).contains(&format!("{{\"id\":{}}}", 2 * EACH)) {
        running.goes_on();
    }
    running.stop();
    assert_eq!(broker.values(&to).len(), 2 * EACH as usize + 1);
}

/// BC-40: nor does it while a table is loading.
#[test]
fn bc_40_a_group_that_changes_while_a_table_loads_changes_nothing() {
    const KEYS: u32 = 20_000;
    let broker = Broker::new();
    let (topic, table) = (broker.topic(1, &[]), broker.topic(2, &[]));
    let group = format!("restless-{table}");
    let key = |id: u32| Record {
        partition: (id % 2) as i32,
        ..Record::keyed(&format!("k{id}"), Some(&format!("{{\"k\":\"k{id}\",\"v\":{id}}}")))
    };
    broker.put(&table, &(0..KEYS).map(key).collect::<Vec<_>>());
    broker.put(&topic, &(0..KEYS).map(|id| Record::value(format!("{{\"k\":\"k{id}\"}}"))).collect::<Vec<_>>());
    let folder = job(
        &broker,
        &format!(
            "CREATE TABLE d (k STRING, v BIGINT, PRIMARY KEY (k)) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{table}',
               format = 'json', 'group.id' = '{group}');
             CREATE STREAM t (k STRING) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{topic}', format = 'json',
               'group.id' = '{group}', 'scan.bounded' = 'latest');
             SELECT COUNT(*) AS n, COUNT(d.v) AS found, SUM(d.v) AS v FROM t LEFT JOIN d ON t.k = d.k;"
        ),
    );
    let (row, _) = beside_a_restless_member(&broker, &[&table, &topic], &group, |_| {
        let mut running = Running::start(&folder);
        let row = running.row();
        running.stop();
        row
    });
    let sum = u64::from(KEYS) * u64::from(KEYS - 1) / 2;
    assert_eq!(row, format!("{{\"n\":{KEYS},\"found\":{KEYS},\"v\":{sum}}}"));
}
