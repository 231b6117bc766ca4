//! Reading on from every place at which a chunk can end: followed files, that were rotated meanwhile or compressed, and row groups.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use velo_core::Clock;
use velo_core::connector::{CheckpointId, Guarantee, SourceBinding};
use velo_core::offset::Position;
use velo_testkit::table;

use crate::harness::{Folder, Reading, request, schema, sink, sink_request, source};

const COLUMNS: &[(&str, &str)] = &[("a", "BIGINT"), ("_path", "STRING"), ("_line", "BIGINT")];

/// A line of JSON of some hundred bytes, so that few thousand are several chunks.
fn lines(from: usize, to: usize) -> String {
    (from..to).map(|a| format!("{{\"a\":{a},\"filler\":\"{}\"}}\n", "x".repeat(150 + a % 50))).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The first `count` rows that come behind `from`, which end a chunk, and the ends of the chunks with the rows before.
async fn read(
    binding: &Arc<dyn SourceBinding>,
    from: Option<&Position>,
    count: usize,
) -> (Vec<String>, Vec<(usize, Position)>) {
    let clock = Clock::manual(0);
    let mut reading = Reading::open(binding, request(COLUMNS, &clock), from).await;
    let (mut rows, mut ends) = (Vec::new(), Vec::new());
    while rows.len() < count {
        // A renamed file is left some looks later.
        tokio::select! {
            more = reading.chunk() => rows.extend(more.unwrap().expect("more rows before the end")),
            () = tokio::task::yield_now() => {
                clock.advance(Duration::from_secs(1));
                continue;
            }
        }
        // A checkpoint keeps positions as text.
        let end = serde_json::to_string(reading.end.as_ref().unwrap()).unwrap();
        ends.push((rows.len(), serde_json::from_str(&end).unwrap()));
    }
    assert_eq!(rows.len(), count);
    (rows, ends)
}

/// Behind each end, exactly the other rows come, also where `change` was made since, which adds `more` rows.
async fn everywhere(binding: Arc<dyn SourceBinding>, count: usize, chunks: usize, change: impl FnOnce(), more: usize) {
    let (rows, ends) = read(&binding, None, count).await;
    assert!(ends.len() >= chunks, "there are {} chunks", ends.len());
    change();
    let mut whole = None;
    for (before, end) in &ends {
        if *before == count && more == 0 {
            continue;
        }
        let (rest, _) = read(&binding, Some(end), count + more - before).await;
        let (old, new): (Vec<usize>, Vec<usize>) = rest
            .iter()
            .map(|row| row.split(' ').next().unwrap().parse::<usize>().unwrap())
            .partition(|row| *row < count);
        assert!(old.into_iter().eq(*before..count), "behind row {before}");
        assert_eq!(new.len(), more, "what came later, behind row {before}");
        if more == 0 {
            assert_eq!(rest, rows[*before..], "places behind row {before}");
        }
        // What a file has got meanwhile is read with it.
        let mut new = new;
        new.sort_unstable();
        assert_eq!(*whole.get_or_insert_with(|| new.clone()), new, "what came later, behind row {before}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_followed() {
    let folder = Folder::new();
    folder.write("app.jsonl", lines(0, 9_000));
    let binding = source(&[("path", &folder.text("app.jsonl")), ("watch", "true")]);
    everywhere(binding.clone(), 9_000, 3, || (), 0).await;
    everywhere(binding, 9_000, 3, || folder.append("app.jsonl", &lines(9_000, 9_100)), 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_rotated() {
    let folder = Folder::new();
    folder.write("app.jsonl", lines(0, 9_000));
    let binding = source(&[("path", &folder.text("app.jsonl")), ("watch", "true")]);
    let rotate = || {
        folder.append("app.jsonl", &lines(9_000, 9_050));
        std::fs::rename(folder.path("app.jsonl"), folder.path("app.jsonl.1")).unwrap();
        folder.write("app.jsonl", lines(9_050, 9_100));
    };
    everywhere(binding, 9_000, 3, rotate, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_pattern_that_are_followed() {
    let folder = Folder::new();
    for (name, from) in [("b", 4_000), ("a", 0), ("c", 8_000)] {
        folder.write(&format!("{name}.jsonl"), lines(from, from + 4_000));
    }
    let binding = source(&[("path", &folder.text("*.jsonl")), ("watch", "true")]);
    let later = || {
        folder.append("a.jsonl", &lines(20_000, 20_010));
        folder.write("d.jsonl", lines(20_010, 20_020));
    };
    everywhere(binding.clone(), 12_000, 5, || (), 0).await;
    everywhere(binding, 12_000, 5, later, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_files() {
    let folder = Folder::new();
    folder.write("a.jsonl.gz", gzip(&lines(0, 6_000)));
    // One of several members.
    folder.write("b.jsonl.gz", [gzip(&lines(6_000, 9_500)), gzip(&lines(9_500, 12_000))].concat());
    for watch in ["false", "true"] {
        let binding = source(&[("path", &folder.text("*.jsonl.gz")), ("watch", watch)]);
        everywhere(binding, 12_000, 4, || (), 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_groups() {
    let folder = Folder::new();
    for (name, from) in [("a", 0), ("b", 9)] {
        let binding = sink(&[("path", &folder.text(&format!("{name}.parquet")))]);
        let mut sink = binding.open(sink_request(&schema(&[("a", "BIGINT")]), Guarantee::ExactlyOnce)).await.unwrap();
        // Each epoch is a row group.
        for epoch in 0..3 {
            let numbers = (0..3).map(|at| (from + epoch * 3 + at).to_string());
            let text = format!("a:BIGINT\n{}", numbers.collect::<Vec<_>>().join("\n"));
            sink.write(table!(&text).batch()).await.unwrap();
            if epoch == 2 {
                sink.end().await.unwrap();
            }
            let prepared = sink.prepare(CheckpointId(epoch + 1)).await.unwrap();
            sink.commit(prepared).await.unwrap();
        }
    }
    everywhere(source(&[("path", &folder.text("*.parquet"))]), 18, 6, || (), 0).await;
}
