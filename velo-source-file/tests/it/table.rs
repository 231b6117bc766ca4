//! Files as tables: what came after an offset, and files that change while they are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::{StreamExt, poll};
use velo_core::connector::{TableDataSource, TableItem, TableStream};
use velo_core::error::{ErrorKind, Retry};
use velo_core::offset::SourceOffset;
use velo_core::progress::Progress;
use velo_core::{Clock, ConnectorError};

use crate::harness::{Folder, request, source, texts};

async fn rows(mut items: TableStream) -> (Vec<String>, SourceOffset) {
    let (mut rows, mut offset) = (Vec::new(), None);
    while let Some(item) = items.next().await {
        match item.unwrap() {
            TableItem::Batch(batch) => rows.extend(texts(&batch)),
            TableItem::Bad(bad) => rows.push(format!("{}: {}", bad.place, bad.message)),
            TableItem::Offset(reached) => offset = Some(reached),
        }
    }
    (rows, offset.unwrap())
}

async fn table(pairs: &[(&str, &str)]) -> Arc<dyn TableDataSource> {
    source(pairs).open_table(request(&[("a", "BIGINT")], &Clock::system())).await.unwrap()
}

#[tokio::test]
async fn what_was_appended_added_and_rewritten() {
    let folder = Folder::new();
    folder.write("in/a.jsonl", "{\"a\":1}\n");
    folder.write("in/c.jsonl", "{\"a\":3}\n");
    let table = table(&[("path", &folder.text("in")), ("watch", "true")]).await;
    assert_eq!(table.size_hint().bytes, Some(16));
    let (loaded, offset) = rows(table.bulk_load().await.unwrap()).await;
    assert_eq!(loaded, ["1", "3"]);
    folder.append("in/a.jsonl", "{\"a\":2}\n{\"a\":");
    folder.write("in/b.jsonl", "{\"a\":7}\n");
    folder.write("in/c.jsonl", "{\"a\":4}\n");
    let (more, offset) = rows(table.incremental_load(offset).await.unwrap()).await;
    assert_eq!(more, ["2", "7", "4"], "a half line waits, a rewritten file is read again");
    folder.append("in/a.jsonl", "5}\n");
    let (more, offset) = rows(table.incremental_load(offset).await.unwrap()).await;
    assert_eq!(more, ["5"]);
    assert_eq!(rows(table.incremental_load(offset.clone()).await.unwrap()).await, (Vec::new(), offset));
}

#[tokio::test]
async fn a_rotated_file_is_read_to_its_end_first() {
    let folder = Folder::new();
    folder.write("app.jsonl", "{\"a\":1}\n");
    let table = table(&[("path", &folder.text("app.jsonl")), ("watch", "true")]).await;
    let (_, offset) = rows(table.bulk_load().await.unwrap()).await;
    folder.append("app.jsonl", "{\"a\":2}\n");
    std::fs::rename(folder.path("app.jsonl"), folder.path("app.jsonl.1")).unwrap();
    folder.write("app.jsonl", "{\"a\":3}\n");
    assert_eq!(rows(table.incremental_load(offset).await.unwrap()).await.0, ["2", "3"]);
}

#[tokio::test]
async fn a_replaced_file_asks_for_a_reload() {
    let folder = Folder::new();
    folder.write("a.csv", "a\n1\n2\n");
    let table = table(&[("path", &folder.text("a.csv"))]).await;
    let (_, offset) = rows(table.bulk_load().await.unwrap()).await;
    folder.write("next", "a\n5\n");
    std::fs::rename(folder.path("next"), folder.path("a.csv")).unwrap();
    let error = table.incremental_load(offset).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::OffsetLost);
    assert_eq!(rows(table.bulk_load().await.unwrap()).await.0, ["5"]);
}

#[tokio::test]
async fn a_bad_record_stands_where_it_stood() {
    let folder = Folder::new();
    folder.write("a.jsonl", "{\"a\":1}\n{\"a\":1.5}\n{\"a\":2}\n{\"a\":\n");
    let progress = Arc::new(Progress::new());
    let mut request = request(&[("a", "BIGINT")], &Clock::system());
    request.progress = Arc::clone(&progress);
    request.keep_bytes = true;
    let table = source(&[("path", &folder.text("a.jsonl"))]).open_table(request).await.unwrap();
    let mut items = table.bulk_load().await.unwrap();
    let mut seen = Vec::new();
    while let Some(item) = items.next().await {
        seen.push(match item.unwrap() {
            TableItem::Batch(batch) => texts(&batch).join(","),
            TableItem::Bad(bad) => format!("{} {:?}", bad.place, String::from_utf8_lossy(&bad.bytes.unwrap())),
            TableItem::Offset(_) => "end".to_owned(),
        });
    }
    let path = folder.text("a.jsonl");
    let bad = |line: u64, text: &str| format!("{path}:{line} {text:?}");
    assert_eq!(seen, ["1".to_owned(), bad(2, "{\"a\":1.5}"), "2".to_owned(), bad(4, "{\"a\":"), "end".to_owned()]);
    assert_eq!(Progress::get(&progress.records), 4);
    assert_eq!(Progress::get(&progress.bytes), 32);
}

/// A file of several chunks, all of whose records have this value.
fn long(value: u64) -> String {
    let record = format!("{{\"a\":{value},\"pad\":\"{}\"}}\n", "x".repeat(1_000));
    record.repeat(8_000)
}

/// Loads a table, and does something after the first rows; which values came how often, or the error.
async fn disturbed(
    table: &Arc<dyn TableDataSource>,
    disturb: impl FnOnce(),
) -> Result<BTreeMap<String, usize>, ConnectorError> {
    let (mut items, mut disturb, mut values) = (table.bulk_load().await?, Some(disturb), BTreeMap::new());
    while let Some(item) = items.next().await {
        if let TableItem::Batch(batch) = item? {
            for text in texts(&batch) {
                *values.entry(text).or_default() += 1;
            }
            if let Some(disturb) = disturb.take() {
                disturb();
            }
        }
    }
    Ok(values)
}

fn torn(result: Result<BTreeMap<String, usize>, ConnectorError>) {
    let error = result.unwrap_err();
    assert_eq!(error.retry, Retry::Temporary, "{error}");
    assert!(error.message.contains("was changed or replaced while it was read"), "{error}");
    assert!(error.advice.is_some());
}

fn whole(value: &str) -> BTreeMap<String, usize> {
    BTreeMap::from([(value.to_owned(), 8_000)])
}

#[tokio::test]
async fn a_file_rewritten_during_the_load_is_loaded_again() {
    for (name, encode) in [("a.jsonl", plain as fn(&str) -> Vec<u8>), ("a.jsonl.gz", gzip)] {
        let folder = Folder::new();
        folder.write(name, encode(&long(1)));
        let table = table(&[("path", &folder.text(name))]).await;
        torn(disturbed(&table, || folder.write(name, encode(&long(2)))).await);
        assert_eq!(disturbed(&table, || ()).await.unwrap(), whole("2"));
        torn(disturbed(&table, || folder.write(name, "")).await);
        assert_eq!(disturbed(&table, || ()).await.unwrap(), BTreeMap::new(), "an empty file is a table without rows");
    }
}

#[tokio::test]
async fn a_file_replaced_during_the_load_is_loaded_whole() {
    let folder = Folder::new();
    folder.write("a.jsonl", long(1));
    folder.write("next", long(2));
    let table = table(&[("path", &folder.text("a.jsonl"))]).await;
    let rename = || std::fs::rename(folder.path("next"), folder.path("a.jsonl")).unwrap();
    assert_eq!(disturbed(&table, rename).await.unwrap(), whole("1"), "the one that was open");
    let (_, offset) = rows(table.bulk_load().await.unwrap()).await;
    assert_eq!(rows(table.incremental_load(offset).await.unwrap()).await.0, <[String; 0]>::default());
    assert_eq!(disturbed(&table, || ()).await.unwrap(), whole("2"));
}

#[tokio::test]
async fn files_of_a_folder_belong_together() {
    let folder = Folder::new();
    for watch in ["false", "true"] {
        folder.write("in/a.jsonl", long(1));
        folder.write("in/b.jsonl", "{\"a\":1}\n");
        let table = table(&[("path", &folder.text("in/*.jsonl")), ("watch", watch)]).await;
        let replace = || {
            folder.write("next", "{\"a\":2}\n");
            std::fs::rename(folder.path("next"), folder.path("in/b.jsonl")).unwrap();
        };
        torn(disturbed(&table, replace).await);
        torn(disturbed(&table, || std::fs::remove_file(folder.path("in/b.jsonl")).unwrap()).await);
        let come = disturbed(&table, || folder.write("in/c.jsonl", "{\"a\":3}\n")).await;
        match watch {
            "true" => assert_eq!(come.unwrap().get("1"), Some(&8_000), "what is followed may grow while it is loaded"),
            _ => torn(come),
        }
        std::fs::remove_file(folder.path("in/c.jsonl")).unwrap();
    }
}

#[tokio::test]
async fn a_followed_file_that_is_rewritten_during_the_load_is_loaded_again() {
    let folder = Folder::new();
    folder.write("a.jsonl", long(1));
    let table = table(&[("path", &folder.text("a.jsonl")), ("watch", "true")]).await;
    torn(disturbed(&table, || folder.write("a.jsonl", long(2))).await);
    assert_eq!(disturbed(&table, || ()).await.unwrap(), whole("2"));
}

#[tokio::test]
async fn what_is_not_followed_is_the_same_or_to_be_loaded_again() {
    let folder = Folder::new();
    let (filler, table) = ("{\"a\":7}\n".repeat(3_000), |path: String| async move { table(&[("path", &path)]).await });
    let content = |value: u64| format!("{filler}{{\"a\":{value}}}\n{filler}");
    type Change = fn(&Folder, String);
    let changes: [(&str, Change); 4] = [
        ("edited", |folder, new| folder.write("a.jsonl", new)),
        ("grown", |folder, _| folder.append("a.jsonl", "{\"a\":9}\n")),
        ("cut", |folder, _| folder.write("a.jsonl", "")),
        ("gone", |folder, _| std::fs::remove_file(folder.path("a.jsonl")).unwrap()),
    ];
    for (what, change) in changes {
        folder.write("a.jsonl", content(1));
        let old = filetime(&folder);
        let table = table(folder.text("a.jsonl")).await;
        let (loaded, offset) = rows(table.bulk_load().await.unwrap()).await;
        assert_eq!(loaded.len(), 6_001);
        let (none, same) = rows(table.incremental_load(offset.clone()).await.unwrap()).await;
        assert_eq!((none.len(), &same), (0, &offset));
        change(&folder, content(2));
        if what == "edited" {
            // The clock of the file system may not have moved since.
            set_filetime(&folder, old + Duration::from_secs(1));
        }
        let error = table.incremental_load(same).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::OffsetLost, "{what}");
        if what == "gone" {
            let error = table.bulk_load().await.err().unwrap();
            assert_eq!(error.kind, ErrorKind::NotFound, "a file that is gone is no table without rows");
            assert!(error.to_string().contains("'file.wait.timeout'"), "{error}");
        }
    }
}

fn filetime(folder: &Folder) -> SystemTime {
    std::fs::metadata(folder.path("a.jsonl")).unwrap().modified().unwrap()
}

fn set_filetime(folder: &Folder, time: SystemTime) {
    let file = std::fs::File::options().write(true).open(folder.path("a.jsonl")).unwrap();
    file.set_modified(time).unwrap();
}

fn plain(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

#[tokio::test]
async fn compressed_files_of_a_pattern() {
    let folder = Folder::new();
    folder.write("in/a.jsonl", "{\"a\":1}\n");
    folder.write("in/b.jsonl.gz", gzip("{\"a\":2}\n{\"a\":3}\n"));
    folder.write("in/c.jsonl.zst", zstd::encode_all(&b"{\"a\":4}\n"[..], 0).unwrap());
    folder.write("in/d.csv", "a\n5\n");
    let table = table(&[("path", &folder.text("in/*.jsonl*")), ("format", "json")]).await;
    assert_eq!(table.size_hint().bytes, None, "how much is in a compressed file is not known before it is read");
    let (loaded, offset) = rows(table.bulk_load().await.unwrap()).await;
    assert_eq!(loaded, ["1", "2", "3", "4"]);
    assert_eq!(rows(table.incremental_load(offset.clone()).await.unwrap()).await, (Vec::new(), offset));
}

/// Opens a table whose files come late: looked for at each interval, found at the third.
#[tokio::test]
async fn files_that_come_late_are_waited_for() {
    for (path, comes) in [("late/a.csv", "late/a.csv"), ("late/*.csv", "late/b.csv")] {
        let (folder, clock) = (Folder::new(), Clock::manual(0));
        let path = folder.text(path);
        let pairs = [("path", path.as_str()), ("file.wait.timeout", "30s"), ("file.retry.interval", "10s")];
        let binding = source(&pairs);
        let mut open = binding.open_table(request(&[("a", "BIGINT")], &clock));
        assert!(poll!(&mut open).is_pending());
        clock.advance(Duration::from_secs(10));
        assert!(poll!(&mut open).is_pending());
        folder.write(comes, "a\n1\n");
        assert!(poll!(&mut open).is_pending(), "nobody looks before the interval is over");
        clock.advance(Duration::from_secs(10));
        let table = open.await.unwrap();
        assert_eq!(rows(table.bulk_load().await.unwrap()).await.0, ["1"]);
    }
}

#[tokio::test]
async fn files_that_do_not_come_are_an_error() {
    let (folder, clock) = (Folder::new(), Clock::manual(0));
    let path = folder.text("a.csv");
    let at_once = source(&[("path", &path)]).open_table(request(&[("a", "BIGINT")], &clock)).await.err().unwrap();
    assert_eq!(at_once.kind, ErrorKind::NotFound);
    assert!(at_once.to_string().contains("create it, or have Velo wait for it: 'file.wait.timeout'"), "{at_once}");
    let binding = source(&[("path", &path), ("file.wait.timeout", "3s")]);
    let mut open = binding.open_table(request(&[("a", "BIGINT")], &clock));
    for _ in 0..3 {
        assert!(poll!(&mut open).is_pending());
        clock.advance(Duration::from_secs(1));
    }
    let waited = open.await.err().unwrap();
    assert!(waited.to_string().contains("also after 3s"), "{waited}");
    assert!(waited.to_string().contains("wait longer"), "{waited}");
}
