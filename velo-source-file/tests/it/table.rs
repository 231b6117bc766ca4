//! Files as tables: what came after an offset.

use std::sync::Arc;

use futures::StreamExt;
use velo_core::Clock;
use velo_core::connector::{TableDataSource, TableItem, TableStream};
use velo_core::error::ErrorKind;
use velo_core::offset::SourceOffset;
use velo_core::progress::Progress;

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
    let error = table.incremental_load(offset).await.unwrap().next().await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::OffsetLost);
    assert_eq!(rows(table.bulk_load().await.unwrap()).await.0, ["5"]);
}

#[tokio::test]
async fn a_bad_record_ends_the_load_with_its_place() {
    let folder = Folder::new();
    folder.write("a.jsonl", "{\"a\":1}\n{\"a\":1.5}\n");
    let progress = Arc::new(Progress::new());
    let mut request = request(&[("a", "BIGINT")], &Clock::system());
    request.progress = Arc::clone(&progress);
    let table = source(&[("path", &folder.text("a.jsonl"))]).open_table(request).await.unwrap();
    let mut items = table.bulk_load().await.unwrap();
    let mut error = None;
    while let Some(item) = items.next().await {
        error = item.err().or(error);
    }
    let error = error.unwrap();
    assert!(error.to_string().contains("a.jsonl:2"), "{error}");
    assert_eq!(Progress::get(&progress.records), 2);
}
