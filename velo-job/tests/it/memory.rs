//! A bound for memory that what a job keeps comes up against.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use velo_core::Clock;
use velo_exec::spill::MemoryPool;
use velo_job::{JobProgress, RunOptions, Script};

use crate::context::context;
use crate::support::{at_rest, reached};

const MIB: usize = 1 << 20;
const ROWS: u64 = 300_000;

async fn script(sql: &str, folder: &Path) -> Script {
    let script = Script::plan(sql, &context(folder)).await;
    assert!(script.is_runnable(), "{:?}", script.diagnostics());
    script
}

async fn run(script: &Script, clock: &Clock, megabytes: usize) -> (JobProgress, Result<(), String>) {
    let (progress, options) = (script.progress(), options(clock, megabytes));
    let ran = script.run(options, &progress).await.map_err(|error| error.to_string());
    (progress, ran)
}

fn options(clock: &Clock, megabytes: usize) -> RunOptions {
    let memory = Some(MemoryPool::bounded(megabytes * MIB, None));
    RunOptions { clock: clock.clone(), memory, ..RunOptions::new(1) }
}

/// The rows that wait are all that there is room for: the source is read no further until their waiting is over, and then goes on.
#[tokio::test]
async fn rows_that_wait_for_a_table_hold_their_source_back() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tiers.csv"), "k,tier\n-1,none\n").unwrap();
    let sql = format!(
        "CREATE TABLE tiers (k BIGINT, tier STRING, PRIMARY KEY (k)) WITH (connector = 'file', path = '{dir}/tiers.csv', format = 'csv',
           'table.missing.strategy' = 'wait_and_retry', 'table.missing.retry.delay' = '1s', 'table.missing.max_retries' = '2', 'table.missing.then' = 'emit_with_nulls', 'table.reload.interval' = '1h');
         CREATE STREAM t (k BIGINT, v BIGINT) WITH (connector = 'datagen', 'number.of.rows' = '{ROWS}',
           'fields.k.min' = '0', 'fields.k.max' = '9');
         CREATE SINK o WITH (connector = 'blackhole');
         INSERT INTO o SELECT t.v, tiers.tier FROM t LEFT JOIN tiers ON t.k = tiers.k;",
        dir = dir.path().display()
    );
    let script = script(&sql, dir.path()).await;
    let (progress, clock) = (script.progress(), Clock::manual(0));
    let read = Arc::clone(&progress.sources[0]);
    let job = script.run(options(&clock, 1), &progress);
    let test = async {
        reached(&read.delivered, 1).await;
        let (mut times, mut before) = (0, 0);
        while at_rest(&progress.sinks[0].delivered).await < ROWS {
            let waits = read.delivered.load(Ordering::Relaxed) - progress.sinks[0].delivered.load(Ordering::Relaxed);
            assert!((1..ROWS / 3).contains(&waits), "{waits} rows wait");
            times += u32::from(read.delivered.load(Ordering::Relaxed) > before);
            before = read.delivered.load(Ordering::Relaxed);
            clock.advance(Duration::from_secs(1));
        }
        assert!(times > 3, "it was held back {times} times");
    };
    let (ran, ()) = tokio::join!(job, test);
    ran.unwrap();
}

/// A table counts like everything else that a job keeps, and cannot be put away.
#[tokio::test]
async fn a_table_that_does_not_fit_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let rows = (0..100_000).map(|row| format!("{row},name {row}\n")).collect::<String>();
    std::fs::write(dir.path().join("names.csv"), format!("k,name\n{rows}")).unwrap();
    std::fs::write(dir.path().join("t.csv"), "k\n7\n").unwrap();
    let sql = format!(
        "CREATE TABLE names (k BIGINT, name STRING, PRIMARY KEY (k)) WITH (connector = 'file', path = '{dir}/names.csv', format = 'csv');
         CREATE STREAM t (k BIGINT) WITH (connector = 'file', path = '{dir}/t.csv', format = 'csv');
         CREATE SINK o WITH (connector = 'blackhole');
         INSERT INTO o SELECT names.name FROM t JOIN names ON t.k = names.k;",
        dir = dir.path().display()
    );
    let script = script(&sql, dir.path()).await;
    let clock = Clock::system();
    let (progress, ran) = run(&script, &clock, 2).await;
    let error = ran.unwrap_err();
    for said in ["table `names` does not fit into 'max.memory.mb' (2 MiB)", "raise 'max.memory.mb'"] {
        assert!(error.contains(said), "{error}");
    }
    assert_eq!(progress.sinks[0].delivered.load(Ordering::Relaxed), 0);
    let (progress, ran) = run(&script, &clock, 20).await;
    ran.unwrap();
    assert_eq!(progress.sinks[0].delivered.load(Ordering::Relaxed), 1);
}
