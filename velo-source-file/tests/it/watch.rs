//! Followed files through the connector: by the system's notice of changes, and by the clock alone.

use std::time::Duration;

use velo_core::Clock;
use velo_core::error::ErrorKind;

use crate::harness::{Folder, Reading, request, source};

const COLUMNS: &[(&str, &str)] = &[("a", "BIGINT"), ("_path", "STRING"), ("_line", "BIGINT")];

/// Rows without the folder before the file's name.
fn short(folder: &Folder, rows: Vec<String>) -> Vec<String> {
    let prefix = format!("{}/", folder.text("").trim_end_matches('/'));
    rows.into_iter().map(|row| row.replace(&prefix, "")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appended_lines_come_by_notice() {
    let folder = Folder::new();
    folder.write("app.jsonl", "{\"a\":1}\n");
    // The manual clock never ticks: only the notice of the system can wake the reader.
    let request = request(COLUMNS, &Clock::manual(0));
    let binding = source(&[("path", &folder.text("app.jsonl")), ("watch", "true")]);
    assert!(!binding.bounded());
    let mut reading = Reading::open(&binding, request, None).await;
    assert_eq!(short(&folder, reading.rows(1).await), ["1 app.jsonl 1"]);
    for at in 2..50 {
        folder.append("app.jsonl", &format!("{{\"a\":{at}}}\n"));
        assert_eq!(short(&folder, reading.rows(1).await), [format!("{at} app.jsonl {at}")]);
    }
    folder.append("app.jsonl", "{\"a\":");
    folder.append("app.jsonl", "50}\n");
    assert_eq!(short(&folder, reading.rows(1).await), ["50 app.jsonl 50"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_files_of_a_pattern_come_by_notice() {
    let folder = Folder::new();
    folder.write("in/day=1/a.jsonl", "{\"a\":1}\n");
    let request = request(COLUMNS, &Clock::manual(0));
    let binding = source(&[("path", &folder.text("in/*/*.jsonl")), ("watch", "true")]);
    let mut reading = Reading::open(&binding, request, None).await;
    assert_eq!(short(&folder, reading.rows(1).await), ["1 in/day=1/a.jsonl 1"]);
    folder.write("in/day=1/b.jsonl", "{\"a\":2}\n");
    assert_eq!(short(&folder, reading.rows(1).await), ["2 in/day=1/b.jsonl 1"]);
    folder.append("in/day=1/a.jsonl", "{\"a\":3}\n");
    assert_eq!(short(&folder, reading.rows(1).await), ["3 in/day=1/a.jsonl 2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_is_enough() {
    let folder = Folder::new();
    folder.write("app.jsonl", "{\"a\":1}\n");
    let clock = Clock::manual(0);
    let binding = source(&[
        ("path", &folder.text("app.jsonl")),
        ("watch", "true"),
        ("watch.events", "false"),
        ("watch.interval", "10s"),
    ]);
    let mut reading = Reading::open(&binding, request(COLUMNS, &clock), None).await;
    assert_eq!(short(&folder, reading.rows(1).await), ["1 app.jsonl 1"]);
    folder.append("app.jsonl", "{\"a\":2}\n");
    std::fs::rename(folder.path("app.jsonl"), folder.path("app.jsonl.1")).unwrap();
    folder.write("app.jsonl", "{\"a\":3}\n");
    let mut rows = Vec::new();
    // Each tick is one look; the renamed file is left at the second one.
    while rows.len() < 2 {
        tokio::select! {
            more = reading.rows(1) => rows.extend(more),
            () = tokio::task::yield_now() => clock.advance(Duration::from_secs(10)),
        }
    }
    assert_eq!(short(&folder, rows), ["2 app.jsonl 2", "3 app.jsonl 1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_behind_what_was_delivered() {
    let folder = Folder::new();
    folder.write("app.csv", "a\n1\n2\n");
    let binding = source(&[("path", &folder.text("app.csv")), ("watch", "true")]);
    let clock = Clock::manual(0);
    let mut reading = Reading::open(&binding, request(COLUMNS, &clock), None).await;
    assert_eq!(short(&folder, reading.rows(2).await), ["1 app.csv 2", "2 app.csv 3"]);
    let end = reading.end.clone();
    drop(reading);
    folder.append("app.csv", "3\n");
    let mut reading = Reading::open(&binding, request(COLUMNS, &clock), end.as_ref()).await;
    assert_eq!(short(&folder, reading.rows(1).await), ["3 app.csv 4"], "the header is known, the line is counted on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_position_is_met_as_chosen() {
    for (choice, expected) in [("fail", None), ("earliest", Some("7 app.jsonl 1")), ("latest", Some("8 app.jsonl 2"))] {
        let folder = Folder::new();
        folder.write("app.jsonl", "{\"a\":1}\n");
        let path = folder.text("app.jsonl");
        let binding = source(&[("path", &path), ("watch", "true"), ("offset.lost", choice)]);
        let clock = Clock::manual(0);
        let mut reading = Reading::open(&binding, request(COLUMNS, &clock), None).await;
        reading.rows(1).await;
        let end = reading.end.clone();
        drop(reading);
        folder.write("other", "{\"a\":7}\n");
        std::fs::rename(folder.path("other"), folder.path("app.jsonl")).unwrap();
        let mut reading = Reading::open(&binding, request(COLUMNS, &clock), end.as_ref()).await;
        let Some(expected) = expected else {
            let error = reading.chunk().await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::OffsetLost);
            assert!(error.to_string().contains("'offset.lost' = 'earliest' or 'latest'"), "{error}");
            continue;
        };
        // With `latest` the reader has passed the first line before this one is noticed, or finds both and gives neither.
        let mut rows = Vec::new();
        while rows.is_empty() {
            tokio::select! {
                more = reading.chunk() => rows = more.unwrap().unwrap(),
                () = tokio::task::yield_now(), if choice == "latest" => {
                    // Only a line that comes later is given: lines are added until one is.
                    folder.append("app.jsonl", "{\"a\":8}\n");
                }
            }
        }
        let rows = short(&folder, rows);
        let same = if choice == "latest" { rows[0].starts_with("8 ") } else { rows[0] == expected };
        assert!(same, "{choice}: {rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_watched_folder_waits_for_files() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("in")).unwrap();
    let binding = source(&[("path", &folder.text("in")), ("watch", "true")]);
    let mut reading = Reading::open(&binding, request(COLUMNS, &Clock::manual(0)), None).await;
    folder.write("in/a.jsonl", "{\"a\":1}\n");
    assert_eq!(short(&folder, reading.rows(1).await), ["1 in/a.jsonl 1"]);
}
