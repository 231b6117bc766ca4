//! What checkpoints cost a running job, how fast a state comes back, and what a job does that has too little memory for its state.
//! Prints one JSON object a line.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "../tests/it/context.rs"]
mod context;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use velo_core::Clock;
use velo_core::clock::Stopwatch;
use velo_core::duration::Span;
use velo_exec::checkpoint::{Committed, Folder, Inventory, start};
use velo_exec::spill::MemoryPool;
use velo_job::{OnCheckpoint, RunOptions, Script, Stop};
use velo_plan::RecoveryProperties;

use self::context::context;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn options(interval: Option<Duration>, dir: &Path) -> RunOptions {
    let mut options = RunOptions::new(1);
    options.decode_parallelism = 1;
    options.recovery = Some(RecoveryProperties {
        dir: interval.map(|_| dir.join("state").to_str().unwrap().to_owned()),
        interval: Span(interval.map_or(10_000_000, |interval| interval.as_micros() as i64)),
        timeout: Span(600_000_000),
        keep: 1,
        ..RecoveryProperties::default()
    });
    options
}

/// Rows of so many keys, for ever or so many, and a group of each.
fn groups(keys: u64, rows: Option<u64>, changes: bool) -> String {
    let rows = rows.map_or_else(String::new, |rows| format!("'number.of.rows' = '{rows}', "));
    let changes = if changes { " EMIT CHANGES" } else { "" };
    format!(
        "CREATE STREAM t (k BIGINT, v BIGINT) WITH (connector = 'datagen', {rows}'fields.k.min' = '0', 'fields.k.max' = '{}', 'fields.v.min' = '1', 'fields.v.max' = '100');
         CREATE SINK o WITH (connector = 'blackhole');
         INSERT INTO o SELECT k, COUNT(*) AS n, SUM(v) AS s, MAX(v) AS m FROM t GROUP BY k{changes};",
        keys - 1
    )
}

async fn script(sql: &str, dir: &Path) -> Script {
    let script = Script::plan(sql, &context(dir)).await;
    assert!(script.is_runnable(), "{:?}", script.diagnostics());
    script
}

/// When, counted from the begin, and the rows of the source until then.
type Seen = (Duration, u64);

/// A state of a gigabyte or so, its checkpoints while rows go on, and its way back.
fn large_state(keys: u64) {
    let dir = tempfile::tempdir().unwrap();
    let interval = Duration::from_secs(4);
    let sql = groups(keys, None, true);
    let completed: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let samples: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let watch = Stopwatch::start();
    runtime().block_on(async {
        let script = script(&sql, dir.path()).await;
        let progress = script.progress();
        let mut options = options(Some(interval), dir.path());
        let (told, source) = (Arc::clone(&completed), Arc::clone(&progress.sources[0]));
        let on_checkpoint: OnCheckpoint = Arc::new(move |_| {
            told.lock().unwrap().push((watch.elapsed(), source.delivered.load(Ordering::Relaxed)));
        });
        options.on_checkpoint = Some(on_checkpoint);
        let stop = options.stop.clone();
        let (sampled, source, done) = (Arc::clone(&samples), Arc::clone(&progress.sources[0]), Arc::clone(&completed));
        let sampling = async move {
            while done.lock().unwrap().len() < 9 {
                Clock::system().sleep(Duration::from_millis(20)).await;
                sampled.lock().unwrap().push((watch.elapsed(), source.delivered.load(Ordering::Relaxed)));
            }
            stop.stop();
        };
        let (ran, ()) = tokio::join!(script.run(options, &progress), sampling);
        ran.unwrap();
    });
    let (mut completed, samples) = (completed.lock().unwrap().clone(), samples.lock().unwrap().clone());
    // The last one of all is not waited for.
    completed.truncate(9);
    let rows_at = |at: Duration| samples.iter().rev().find(|(when, _)| *when <= at).map_or(0, |(_, rows)| *rows);
    let rate = |from: Duration, to: Duration| (rows_at(to) - rows_at(from)) as f64 / (to - from).as_secs_f64();
    // By the last ones all keys are there.
    let (mut during, mut between, mut took) = (Vec::new(), Vec::new(), Vec::new());
    for pair in completed[5..].windows(2) {
        let begun = pair[0].0 + interval;
        took.push((pair[1].0 - begun).as_secs_f64());
        between.push(rate(pair[0].0, begun));
        during.push(rate(begun, pair[1].0));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let bytes = state_bytes(dir.path());
    println!(
        "{{\"bench\":\"checkpoint of a large state\",\"keys\":{keys},\"bytes\":{bytes},\"seconds\":{:.2},\"rows_per_second\":{:.0},\"rows_per_second_during\":{:.0},\"ratio\":{:.3}}}",
        mean(&took),
        mean(&between),
        mean(&during),
        mean(&during) / mean(&between)
    );
    restored(dir.path(), &sql, keys, bytes);
}

fn state_bytes(dir: &Path) -> u64 {
    runtime().block_on(async {
        let folder = Folder::open(dir.join("state").to_str().unwrap()).unwrap();
        let inventory = Inventory::take(&folder).await.unwrap();
        let newest = inventory.checkpoints.last().unwrap().manifest.clone().unwrap();
        newest.operators.values().flatten().flat_map(|task| &task.files).map(|file| file.bytes).sum()
    })
}

/// How long it takes from the start of a job until it gives its first row, of which reading and checking the files is a part.
fn restored(dir: &Path, sql: &str, keys: u64, bytes: u64) {
    let (reading, whole) = runtime().block_on(async {
        let folder = Folder::open(dir.join("state").to_str().unwrap()).unwrap();
        let begun = Stopwatch::start();
        let mut inventory = Inventory::take(&folder).await.unwrap();
        drop(start(&folder, &mut inventory, (None, Committed::NoSystem), &MemoryPool::unbounded()).await.unwrap());
        let reading = begun.elapsed();
        let script = script(sql, dir).await;
        let progress = script.progress();
        let options = options(Some(Duration::from_secs(100)), dir);
        let stop: Stop = options.stop.clone();
        let source = Arc::clone(&progress.sources[0]);
        let begun = Stopwatch::start();
        let first = async move {
            let mut before = None;
            loop {
                Clock::system().sleep(Duration::from_millis(2)).await;
                // What was counted before the restart is taken up first.
                let rows = source.delivered.load(Ordering::Relaxed);
                if rows > 0 && before.is_some_and(|before| before != rows) {
                    stop.stop();
                    return begun.elapsed();
                }
                before = before.or(Some(rows).filter(|rows| *rows > 0));
            }
        };
        let (ran, whole) = tokio::join!(script.run(options, &progress), first);
        ran.unwrap();
        (reading, whole)
    });
    let speed = |took: Duration| bytes as f64 / 1e6 / took.as_secs_f64();
    println!(
        "{{\"bench\":\"restore\",\"keys\":{keys},\"bytes\":{bytes},\"seconds_reading\":{:.2},\"seconds\":{:.2},\"megabytes_per_second\":{:.0}}}",
        reading.as_secs_f64(),
        whole.as_secs_f64(),
        speed(whole)
    );
}

/// Windows written exactly once to a file with a checkpoint every ten seconds, and without any.
fn overhead(rows: u64) {
    let run = |interval: Option<Duration>| {
        let dir = tempfile::tempdir().unwrap();
        let sql = format!(
            "CREATE STREAM t (k BIGINT, v BIGINT, time TIMESTAMP) WITH (connector = 'datagen', 'number.of.rows' = '{rows}', 'fields.k.min' = '0', 'fields.k.max' = '999', 'fields.v.min' = '1', 'fields.v.max' = '100', 'time.start' = '2024-01-01T00:00:00Z', 'time.interval' = '10us', 'event.time.field' = 'time', 'watermark.max_out_of_orderness' = '0s');
             CREATE STREAM o WITH (connector = 'file', path = '{}', format = 'csv') AS
               SELECT k, COUNT(*) AS n, SUM(v) AS s FROM t WINDOW TUMBLING (1 SECOND) GROUP BY k;",
            dir.path().join("out.csv").display()
        );
        runtime().block_on(async {
            let script = script(&sql, dir.path()).await;
            let progress = script.progress();
            let begun = Stopwatch::start();
            script.run(options(interval, dir.path()), &progress).await.unwrap();
            begun.elapsed().as_secs_f64()
        })
    };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        without.push(run(None));
        with.push(run(Some(Duration::from_secs(10))));
    }
    let least = |all: &[f64]| all.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "{{\"bench\":\"exactly once every 10 s\",\"rows\":{rows},\"seconds\":{:.2},\"seconds_without\":{:.2},\"ratio\":{:.3}}}",
        least(&with),
        least(&without),
        least(&with) / least(&without)
    );
}

/// The most memory that the process has had, in MiB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// GROUP BY to its end with a fifth of the memory that its state takes, and with enough.
fn little_memory(keys: u64, rows: u64, megabytes: usize) {
    let run = |limit: Option<usize>| {
        let dir = tempfile::tempdir().unwrap();
        let sql = groups(keys, Some(rows), false);
        runtime().block_on(async {
            let script = script(&sql, dir.path()).await;
            let progress = script.progress();
            let mut options = options(None, dir.path());
            options.memory = limit.map(|limit| MemoryPool::bounded(limit << 20, Some(dir.path())));
            let begun = Stopwatch::start();
            script.run(options, &progress).await.unwrap();
            (begun.elapsed().as_secs_f64(), progress.sinks[0].delivered.load(Ordering::Relaxed), most_memory())
        })
    };
    let before = most_memory();
    // First the one that takes less, for the process is measured.
    let (little, rows_of_little, most) = run(Some(megabytes));
    let (enough, rows_of_enough, most_of_enough) = run(None);
    assert_eq!(rows_of_little, rows_of_enough);
    println!(
        "{{\"bench\":\"groups in little memory\",\"keys\":{keys},\"rows\":{rows},\"bound_mib\":{megabytes},\"seconds\":{little:.2},\"seconds_in_memory\":{enough:.2},\"speed\":{:.3},\"most_mib\":{most},\"most_mib_in_memory\":{most_of_enough},\"mib_before\":{before}}}",
        enough / little
    );
}

fn main() {
    // `cargo test --all-targets` starts it too, and wants no figures.
    let arguments: Vec<String> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let wants = |name: &str| {
        let named: Vec<_> = arguments.iter().skip(1).filter(|argument| !argument.starts_with('-')).collect();
        named.is_empty() || named.iter().any(|argument| name.contains(argument.as_str()))
    };
    if wants("memory") {
        little_memory(10_000_000, 30_000_000, 200);
    }
    if wants("large") {
        large_state(12_000_000);
    }
    if wants("overhead") {
        overhead(1_000_000_000);
    }
}
