//! Tables over real files: one that appears late, one that is replaced while it is loaded, one that is gone at a refresh.

use std::path::Path;
use std::sync::Arc;

use velo_core::Clock;
use velo_core::connector::Connector;
use velo_core::lookup::TableReader;
use velo_core::progress::Progress;
use velo_core::properties::Options;
use velo_source_file::FileConnector;
use velo_tables::{Condition, Table, TableNumber, TableSource, TableState, Tables};
use velo_testkit::{drive, source_request};

use super::feeds::{Fed, SECOND, content, from_source, schema, until};

fn over(clock: &Clock, path: &Path, more: &[(&str, &str)]) -> Fed {
    let path = path.to_string_lossy();
    let pairs = [("path", &*path)].into_iter().chain(more.iter().copied());
    let mut options = Options::from_pairs(pairs);
    let binding = FileConnector.bind_source(&mut options).unwrap();
    assert_eq!(options.finish("a table", FileConnector.source_properties()), []);
    let progress = Arc::new(Progress::new());
    let mut request = source_request("t", &schema(), clock);
    request.progress = Arc::clone(&progress);
    from_source("t", clock, TableSource::Binding(binding, request), progress)
}

fn write(path: &Path, keys: u64, value: u64) {
    let rows: Vec<String> =
        (0..keys).map(|key| format!("{{\"k\":{key},\"v\":{value},\"pad\":\"{}\"}}\n", "x".repeat(500))).collect();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, rows.concat()).unwrap();
}

/// How many rows have which values.
fn values(table: &Table) -> Vec<(u64, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for row in content(table).split_whitespace() {
        *counts.entry(row.split_once('=').unwrap().1.parse().unwrap()).or_default() += 1;
    }
    counts.into_iter().collect()
}

/// Lets everything happen, threads that read files included, until `done`.
async fn wait(clock: &Clock, done: impl Fn() -> bool) {
    drive(clock, async {
        while !done() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn is_ready(tables: &Tables) -> bool {
    tables.gate().is_open(&[TableNumber(0)])
}

#[tokio::test]
async fn files_that_appear_late() {
    for (path, comes) in [("a.jsonl", "a.jsonl"), ("in/*.jsonl", "in/b.jsonl")] {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(0));
        let fed = over(&clock, &folder.path().join(path), &[("file.wait.timeout", "60s")]);
        let (table, tables) = fed.start(&clock);
        until(&clock, 20 * SECOND).await;
        assert_eq!(tables.status()[0].state, TableState::Opening);
        write(&folder.path().join(comes), 3, 5);
        drive(&clock, tables.settled()).await;
        assert_eq!(values(&table), [(5, 3)]);
    }
}

#[tokio::test]
async fn files_that_do_not_appear() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(0));
    let fed = over(&clock, &folder.path().join("in/*.jsonl"), &[("file.wait.timeout", "30s")]);
    let (_, tables) = fed.start(&clock);
    drive(&clock, tables.settled()).await;
    let TableState::Failed { error } = &tables.status()[0].state else { panic!() };
    assert!(error.contains("also after 30s"), "{error}");
    assert!(error.contains("wait longer: 'file.wait.timeout'"), "{error}");
    assert_eq!(clock.now() / SECOND, 30);
}

/// A file is rewritten in place, over and over, while it is loaded: the table is one of the versions.
#[tokio::test]
async fn a_file_that_is_replaced_during_the_load() {
    for rename in [false, true] {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(0));
        let path = folder.path().join("a.jsonl");
        write(&path, 6_000, 1);
        let mut fed = over(&clock, &path, &[]);
        fed.feed.retry.attempts = None;
        let inner = Arc::clone(&fed.feed.prepare);
        let (next, rewritten) = (folder.path().join("next"), std::sync::atomic::AtomicU64::new(1));
        let file = path.clone();
        fed.feed.prepare = Arc::new(move |rows| {
            // In the midst of each of the first loads the file becomes another one.
            let value = rewritten.load(std::sync::atomic::Ordering::Relaxed) + 1;
            if value <= 4 {
                rewritten.store(value, std::sync::atomic::Ordering::Relaxed);
                write(if rename { &next } else { &file }, 6_000, value);
                if rename {
                    std::fs::rename(&next, &file).unwrap();
                }
            }
            inner(rows)
        });
        let (table, tables) = fed.start(&clock);
        drive(&clock, tables.settled()).await;
        let values = values(&table);
        assert_eq!(
            values.iter().map(|(_, count)| *count).collect::<Vec<_>>(),
            [6_000],
            "one version, whole: {values:?}"
        );
        assert!(is_ready(&tables));
    }
}

#[tokio::test]
async fn a_file_that_changes_between_refreshes() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(0));
    let path = folder.path().join("a.jsonl");
    write(&path, 100, 1);
    let fed = over(&clock, &path, &[]).refreshed(10);
    let (table, tables) = fed.start(&clock);
    drive(&clock, tables.settled()).await;
    assert_eq!(values(&table), [(1, 100)]);
    write(&path, 50, 2);
    wait(&clock, || values(&table) == [(2, 50)]).await;
    let version = table.version().number();

    std::fs::remove_file(&path).unwrap();
    wait(&clock, || tables.health()[0].failed_refreshes > 2).await;
    let health = tables.health().remove(0);
    assert_eq!((health.condition, health.version, values(&table)), (Condition::Stale, version, vec![(2, 50)]));
    assert!(health.refresh_error.unwrap().contains("does not exist"), "a file that is gone is no empty table");

    // A half-written file: the rows of before stay until it is whole.
    std::fs::write(&path, "{\"k\":1,\"v\":3}\n{\"k\":2,\"v\":").unwrap();
    wait(&clock, || tables.health()[0].refresh_error.as_ref().is_some_and(|error| error.contains("a.jsonl:2"))).await;
    assert_eq!(values(&table), [(2, 50)]);
    write(&path, 70, 3);
    wait(&clock, || values(&table) == [(3, 70)]).await;
    wait(&clock, || tables.health()[0].condition == Condition::Healthy).await;
}

/// BC-49's half of tables: a load that fails half-way is repeated without duplicates, and nothing that did not change changes.
#[tokio::test]
async fn an_unchanged_file_keeps_the_version() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(0));
    let path = folder.path().join("a.jsonl");
    write(&path, 100, 1);
    let (table, tables) = over(&clock, &path, &[]).refreshed(10).start(&clock);
    drive(&clock, tables.settled()).await;
    let number = table.version().number();
    wait(&clock, || tables.health()[0].refreshes > 5).await;
    assert_eq!((table.version().number(), values(&table)), (number, vec![(1, 100)]));
}

#[tokio::test]
async fn a_followed_file_grows() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(0));
    let path = folder.path().join("a.jsonl");
    write(&path, 10, 1);
    let mut fed = over(&clock, &path, &[("watch", "true")]);
    fed.feed.upkeep.bounded = false;
    let (table, tables) = fed.start(&clock);
    drive(&clock, tables.settled()).await;
    let mut more = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut more, b"{\"k\":3,\"v\":2}\n{\"k\":20,\"v\":2}\n").unwrap();
    wait(&clock, || values(&table) == [(1, 9), (2, 2)]).await;
    assert!(!table.version().is_last());
}
