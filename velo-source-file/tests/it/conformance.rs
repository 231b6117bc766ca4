//! The connector passes the suite that all connectors pass, in each format and with each compression.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use velo_core::Batch;
use velo_core::connector::{CheckpointId, Connector, Guarantee};
use velo_source_file::FileConnector;
use velo_testkit::conformance::{self, Harness, Output, Pairs};

use crate::harness::{Folder, sink, sink_request};

struct Files {
    folder: Folder,
    suffix: &'static str,
    next: AtomicU64,
}

impl Files {
    fn new(suffix: &'static str) -> Self {
        Self { folder: Folder::new(), suffix, next: AtomicU64::new(0) }
    }

    fn fresh(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.folder.text(&format!("{number}/rows{}", self.suffix))
    }
}

fn pairs(path: &str) -> Pairs {
    vec![("path".to_owned(), path.to_owned())]
}

impl Harness for Files {
    fn rows(&self) -> usize {
        // Unoptimised decompression is slow; two chunks are enough for it.
        if self.suffix.ends_with(".gz") || self.suffix.ends_with(".zst") { 16_000 } else { 60_000 }
    }

    fn filled(&self, rows: &Batch) -> Pairs {
        let path = self.fresh();
        let (rows, binding) = (rows.clone(), sink(&[("path", &path)]));
        let write = async move {
            let mut sink = binding.open(sink_request(&rows.schema(), Guarantee::ExactlyOnce)).await.unwrap();
            sink.write(rows).await.unwrap();
            sink.end().await.unwrap();
            let prepared = sink.prepare(CheckpointId(1)).await.unwrap();
            sink.commit(prepared).await.unwrap();
        };
        std::thread::scope(|scope| {
            scope.spawn(|| tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(write));
        });
        pairs(&path)
    }

    fn missing(&self) -> Pairs {
        pairs(&self.fresh())
    }

    fn output(&self) -> Output {
        let path = self.fresh();
        Output { sink: pairs(&path), source: pairs(&path) }
    }

    fn takes_back(&self) -> bool {
        true
    }

    fn visible(&self, output: &Output) -> bool {
        Path::new(&output.sink[0].1).exists()
    }
}

async fn check(suffix: &'static str) {
    let files = Files::new(suffix);
    conformance::run(Arc::new(FileConnector) as Arc<dyn Connector>, &files).await;
    let hidden: Vec<String> = files.folder.list().into_iter().filter(|name| name.contains("/.")).collect();
    assert_eq!(hidden, [] as [&str; 0], "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines() {
    check(".jsonl").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv() {
    check(".csv").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gzip() {
    check(".csv.gz").await;
}

/// Whole Parquet files in a folder: one alone is no output that can be seen at once.
struct Parquets(Files);

impl Harness for Parquets {
    fn rows(&self) -> usize {
        // More than one row group a file.
        140_000
    }

    fn filled(&self, rows: &Batch) -> Pairs {
        let mut from = self.0.filled(rows).remove(0).1;
        let first = rows.slice(0, rows.rows().div_ceil(2));
        let second = rows.slice(first.rows(), rows.rows() - first.rows());
        from.truncate(from.rfind('/').unwrap());
        std::fs::remove_file(format!("{from}/rows.parquet")).unwrap();
        for (name, rows) in [("a", first), ("b", second)] {
            let part = self.0.filled(&rows).remove(0).1;
            std::fs::rename(part, format!("{from}/{name}.parquet")).unwrap();
        }
        pairs(&format!("{from}/*.parquet"))
    }

    fn missing(&self) -> Pairs {
        pairs(&format!("{}/*.parquet", self.0.fresh()))
    }

    fn output(&self) -> Output {
        let path = self.0.fresh();
        let format = ("format".to_owned(), "parquet".to_owned());
        let sink = [pairs(&path), vec![format.clone(), ("rolling.size".to_owned(), "200KB".to_owned())]].concat();
        Output { sink, source: [pairs(&path), vec![format]].concat() }
    }

    fn empty_outputs(&self) -> bool {
        false
    }

    fn takes_back(&self) -> bool {
        true
    }

    fn visible(&self, output: &Output) -> bool {
        std::fs::read_dir(&output.sink[0].1).is_ok_and(|mut entries| {
            entries.any(|entry| !entry.unwrap().file_name().to_string_lossy().starts_with('.'))
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parquet_files() {
    conformance::run(Arc::new(FileConnector) as Arc<dyn Connector>, &Parquets(Files::new(".parquet"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zstandard() {
    check(".jsonl.zst").await;
}

/// A folder of files in place of one, read as one partition.
struct Folders(Files);

impl Harness for Folders {
    fn filled(&self, rows: &Batch) -> Pairs {
        let mut from = self.0.filled(rows).remove(0).1;
        let text = std::fs::read(&from).unwrap();
        from.truncate(from.rfind('/').unwrap());
        std::fs::remove_file(format!("{from}/rows{}", self.0.suffix)).unwrap();
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        for (at, part) in lines.chunks(lines.len().div_ceil(7)).enumerate() {
            let mut file = std::fs::File::create(format!("{from}/{at}.jsonl")).unwrap();
            part.iter().for_each(|line| file.write_all(line).unwrap());
        }
        pairs(&from)
    }

    fn missing(&self) -> Pairs {
        pairs(&format!("{}/*.jsonl", self.0.fresh()))
    }

    fn output(&self) -> Output {
        let path = self.0.fresh();
        let mut sink = pairs(&path);
        sink.push(("rolling.size".to_owned(), "200KB".to_owned()));
        Output { sink, source: pairs(&path) }
    }

    fn empty_outputs(&self) -> bool {
        // Without rows there is no file, and a folder without files is an error.
        false
    }

    fn takes_back(&self) -> bool {
        true
    }

    fn visible(&self, output: &Output) -> bool {
        let path = &output.sink[0].1;
        std::fs::read_dir(path).is_ok_and(|mut entries| {
            entries.any(|entry| !entry.unwrap().file_name().to_string_lossy().starts_with('.'))
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders() {
    conformance::run(Arc::new(FileConnector) as Arc<dyn Connector>, &Folders(Files::new(".jsonl"))).await;
}
