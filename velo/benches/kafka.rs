//! How fast a topic is read, and how long a record takes from topic to topic, beside clients of librdkafka that do nothing else.
//! Needs a broker (`cargo xtask services up kafka`, then its `environment`). Prints one JSON object a line.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use velo_core::Clock;
use velo_core::clock::Stopwatch;
use velo_core::connector::Registry;
use velo_job::{PlanContext, RunOptions, Script, Stop};

const WAIT: Duration = Duration::from_secs(30);

fn servers() -> String {
    std::env::var("VELO_KAFKA_PLAINTEXT").unwrap_or_else(|_| panic!("VELO_KAFKA_PLAINTEXT says where the broker is"))
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers());
    config
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn topic(name: &str, partitions: i32) -> String {
    let name = format!("bench-{}-{name}", std::process::id());
    let admin: AdminClient<DefaultClientContext> = config().create().unwrap();
    let new = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(WAIT));
    runtime().block_on(admin.create_topics([&new], &options)).unwrap();
    name
}

async fn script(sql: &str) -> Script {
    let mut registry = Registry::new();
    registry.add(velo_source_file::connector());
    registry.add(velo_source_kafka::connector());
    for connector in velo_source_gen::connectors() {
        registry.add(connector);
    }
    let context = PlanContext::new(registry, ".");
    let script = Script::plan(&sql.replace('@', &servers()), &context).await;
    assert!(script.is_runnable(), "{:?}", script.diagnostics());
    script
}

fn consumer(topic: &str, partitions: i32) -> BaseConsumer {
    let mut config = config();
    config.set("group.id", "bench").set("enable.auto.commit", "false");
    // By its defaults librdkafka pauses for a second where 100,000 records lie ready, so that who is quick waits for it.
    config.set("queued.min.messages", "1000000").set("fetch.queue.backoff.ms", "1");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    consumer
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &[u8]) {
    let mut record: BaseRecord<'_, (), [u8]> = BaseRecord::to(topic).payload(value).partition(partition);
    while let Err((_, back)) = producer.send(record) {
        producer.poll(Duration::from_millis(1));
        record = back;
    }
}

/// A record as a program of its own would have it.
#[derive(serde::Deserialize)]
struct Trade {
    symbol: String,
    price: f64,
    quantity: i64,
    ts: i64,
}

fn throughput(rows: u64) {
    const PARTITIONS: i32 = 4;
    let topic = topic("trades", PARTITIONS);
    let producer: BaseProducer = config().create().unwrap();
    for row in 0..rows {
        let (cents, quantity, ts) = (10_000 + row % 3_700, 1 + row % 900, 1_700_000_000_000 + row);
        let value = format!(
            "{{\"symbol\":\"S{}\",\"price\":{}.{:02},\"quantity\":{quantity},\"ts\":{ts}}}",
            row % 100,
            cents / 100,
            cents % 100,
        );
        send(&producer, &topic, (row % PARTITIONS as u64) as i32, value.as_bytes());
        if row % 1_000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(WAIT).unwrap();
    let plain = || {
        let watch = Stopwatch::start();
        let (consumer, mut sum) = (consumer(&topic, PARTITIONS), 0.0);
        for _ in 0..rows {
            let message = consumer.poll(WAIT).unwrap().unwrap();
            let trade: Trade = serde_json::from_slice(message.payload().unwrap()).unwrap();
            sum += trade.price * trade.quantity as f64 + (trade.symbol.len() as i64 + trade.ts) as f64;
        }
        assert!(sum > 0.0);
        rows as f64 / watch.elapsed().as_secs_f64()
    };
    let sql = format!(
        "CREATE STREAM t (symbol STRING, price DOUBLE, quantity BIGINT, ts BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@',
           topic = '{topic}', 'scan.bounded' = 'latest', 'event.time.field' = 'ts', 'watermark.max_out_of_orderness' = '5s');
         CREATE SINK o WITH (connector = 'blackhole');
         INSERT INTO o SELECT symbol, COUNT(*) AS n, SUM(price * quantity) AS s FROM t WINDOW TUMBLING(1m) GROUP BY symbol;"
    );
    let velo = || {
        runtime().block_on(async {
            let script = script(&sql).await;
            let progress = script.progress();
            let watch = Stopwatch::start();
            script.run(RunOptions::new(1), &progress).await.unwrap();
            assert_eq!(progress.sources[0].records.load(Ordering::Relaxed), rows);
            rows as f64 / watch.elapsed().as_secs_f64()
        })
    };
    let (mut plains, mut velos) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        plains.push(plain());
        velos.push(velo());
    }
    let median = |all: &mut Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let (plain, velo) = (median(&mut plains), median(&mut velos));
    println!(
        "{{\"bench\":\"reading a topic\",\"rows\":{rows},\"rows_per_second\":{velo:.0},\"plain_rows_per_second\":{plain:.0},\"ratio\":{:.3}}}",
        velo / plain
    );
}

const A_SECOND: i64 = 10_000;

/// Produces records into `from` for so many seconds, each with the time of its making, and reads what comes out of `to`: the microseconds
/// that each took, sorted.
async fn took(from: &str, to: &str, seconds: i64) -> Vec<i64> {
    let (clock, total) = (Clock::system(), A_SECOND * seconds);
    let reader = {
        let (to, clock) = (to.to_owned(), clock.clone());
        tokio::task::spawn_blocking(move || {
            let consumer = consumer(&to, 1);
            let one = |_| {
                let message = consumer.poll(WAIT).unwrap().unwrap();
                let now = clock.wall();
                let text = std::str::from_utf8(message.payload().unwrap()).unwrap();
                let made = text.split("\"made\":").nth(1).unwrap().split([',', '}']).next().unwrap();
                now - made.parse::<i64>().unwrap()
            };
            (0..total).map(one).collect::<Vec<_>>()
        })
    };
    let producer: BaseProducer = config().create().unwrap();
    let (begun, mut sent) = (clock.now(), 0);
    while sent < total {
        let due = (clock.now() - begun) * A_SECOND / 1_000_000;
        while sent < due.min(total) {
            let value = format!("{{\"k\":{},\"made\":{}}}", sent % 1_000, clock.wall());
            send(&producer, from, 0, value.as_bytes());
            sent += 1;
        }
        producer.poll(Duration::ZERO);
        clock.sleep(Duration::from_millis(1)).await;
    }
    producer.flush(WAIT).unwrap();
    let mut took = reader.await.unwrap();
    // The first seconds are those of connections and of caches.
    took.drain(..took.len() / 4);
    took.sort_unstable();
    took
}

fn report(what: &str, took: &[i64]) {
    let at = |hundredths: usize| took[(took.len() - 1) * hundredths / 100] as f64 / 1_000.0;
    let (records, p50, p99, most) = (took.len(), at(50), at(99), at(100));
    println!(
        "{{\"bench\":\"from topic to topic\",\"what\":\"{what}\",\"records\":{records},\"p50_ms\":{p50:.2},\"p99_ms\":{p99:.2},\"most_ms\":{most:.2}}}"
    );
}

fn latency(seconds: i64) {
    let (from, to) = (topic("echo-in", 1), topic("echo-out", 1));
    let over = Arc::new(AtomicBool::new(false));
    let echo = {
        let (from, to, over) = (from.clone(), to.clone(), Arc::clone(&over));
        std::thread::spawn(move || {
            let (consumer, producer) = (consumer(&from, 1), config().create::<BaseProducer>().unwrap());
            while !over.load(Ordering::Relaxed) {
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(1)) {
                    send(&producer, &to, 0, message.payload().unwrap());
                }
                producer.poll(Duration::ZERO);
            }
        })
    };
    report("bare echo", &runtime().block_on(took(&from, &to, seconds)));
    over.store(true, Ordering::Relaxed);
    echo.join().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let names = (0..1_000).map(|k| format!("{k},name {k}\n")).collect::<String>();
    std::fs::write(folder.path().join("names.csv"), format!("k,name\n{names}")).unwrap();
    let filter = "SELECT k, made FROM t WHERE k >= 0;";
    let join = "SELECT t.k, t.made, names.name FROM t JOIN names ON t.k = names.k;";
    for (what, query, once) in
        [("filter", filter, false), ("table join", join, false), ("filter", filter, true), ("table join", join, true)]
    {
        let took = through(folder.path(), query, once, seconds);
        report(&if once { format!("{what}, exactly once each second") } else { what.to_owned() }, &took);
    }
}

/// The times of records through a job.
fn through(folder: &Path, query: &str, once: bool, seconds: i64) -> Vec<i64> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let (from, to, folder) = (topic(&format!("in-{number}"), 1), topic(&format!("out-{number}"), 1), folder.display());
    let set = match once {
        true => format!("SET 'checkpoint.dir' = '{folder}/state-{number}'; SET 'checkpoint.interval' = '1s';"),
        false => String::new(),
    };
    let sql = format!(
        "{set}
         CREATE TABLE names (k BIGINT, name STRING, PRIMARY KEY (k)) WITH (connector = 'file', path = '{folder}/names.csv', format = 'csv');
         CREATE STREAM t (k BIGINT, made BIGINT) WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{from}');
         CREATE SINK o WITH (connector = 'kafka', 'bootstrap.servers' = '@', topic = '{to}');
         INSERT INTO o {query}"
    );
    runtime().block_on(async {
        let script = script(&sql).await;
        let (progress, stop) = (script.progress(), Stop::new());
        let options = RunOptions { stop: stop.clone(), ..RunOptions::new(1) };
        let measured = async {
            let took = took(&from, &to, seconds).await;
            stop.stop();
            took
        };
        let (ran, took) = tokio::join!(script.run(options, &progress), measured);
        ran.unwrap();
        took
    })
}

fn main() {
    // `cargo test --all-targets` starts it too, and wants no figures.
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let named: Vec<_> = arguments.iter().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wants = |name: &str| named.is_empty() || named.iter().any(|argument| name.contains(argument.as_str()));
    if wants("throughput") {
        throughput(3_000_000);
    }
    if wants("latency") {
        let seconds = std::env::var("VELO_BENCH_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
        latency(seconds.unwrap_or(20));
    }
}
