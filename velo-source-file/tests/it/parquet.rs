//! Parquet files as source and sink: places, patterns, what is refused, and files that are seen when they are whole.

use std::sync::Arc;

use velo_core::connector::{CheckpointId, Guarantee, Sink, SinkRequest};
use velo_core::error::ErrorKind;
use velo_core::{Clock, ConnectorError};

use crate::harness::{Folder, Reading, read, request, schema, sink, sink_request, source, source_errors};

const ONCE: Guarantee = Guarantee::ExactlyOnce;
const AT_ONCE: Guarantee = Guarantee::AtLeastOnce;
const COLUMNS: &[(&str, &str)] = &[("n", "BIGINT"), ("s", "STRING")];

async fn open(pairs: &[(&str, &str)], guarantee: Guarantee) -> Box<dyn Sink> {
    sink(pairs).open(sink_request(&schema(COLUMNS), guarantee)).await.unwrap()
}

fn rows(text: &str) -> velo_core::Batch {
    let text = format!("\"n:BIGINT\" \"s:STRING\"\n{text}");
    velo_testkit::table!(&text).batches.remove(0)
}

/// The inputs have ended.
async fn commit(sink: &mut dyn Sink) {
    sink.end().await.unwrap();
    let prepared = sink.prepare(CheckpointId(1)).await.unwrap();
    sink.commit(prepared).await.unwrap();
}

/// A file with these rows.
async fn write(path: &str, text: &str) {
    let mut sink = open(&[("path", path)], ONCE).await;
    sink.write(rows(text)).await.unwrap();
    commit(&mut *sink).await;
}

/// The error of reading a source to its end.
async fn failed(pairs: &[(&str, &str)], columns: &[(&str, &str)]) -> ConnectorError {
    let mut reading = Reading::open(&source(pairs), request(columns, &Clock::system()), None).await;
    loop {
        match reading.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it was read to its end"),
            Err(error) => return error,
        }
    }
}

#[tokio::test]
async fn rows_have_their_file_and_number() {
    let folder = Folder::new();
    write(&folder.text("a.parquet"), "1 x\n2 y").await;
    write(&folder.text("b.parquet"), "3 z").await;
    let found = read(
        &[("path", &folder.text("*.parquet"))],
        &[("s", "STRING"), ("_path", "STRING"), ("_line", "BIGINT"), ("N", "BIGINT")],
    )
    .await;
    let (a, b) = (folder.text("a.parquet"), folder.text("b.parquet"));
    assert_eq!(found, [format!("x {a} 1 1"), format!("y {a} 2 2"), format!("z {b} 1 3")]);
    // The number of rows alone needs no column.
    let all = folder.text("");
    let whole = source(&[("path", all.as_str()), ("format", "parquet")]);
    let mut reading = Reading::open(&whole, request(&[], &Clock::system()), None).await;
    assert_eq!(reading.rest().await.len(), 3);
    let inferred = source(&[("path", &a)]).infer_schema().await.unwrap();
    assert_eq!(inferred.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["n", "s"]);
}

#[tokio::test]
async fn what_cannot_be_read_names_its_file() {
    let folder = Folder::new();
    let path = folder.text("a.parquet");
    write(&path, "1 x\n2 y").await;
    let good = std::fs::read(&path).unwrap();
    let pairs = [("path", path.as_str())];
    for bytes in [&b"PAR1 no"[..], &good[..good.len() - 3], b""] {
        folder.write("a.parquet", bytes);
        let error = failed(&pairs, COLUMNS).await;
        assert_eq!(error.kind, ErrorKind::Decode, "{error}");
        assert!(error.to_string().contains(&path) && error.advice.is_some(), "{error}");
        let inferred = source(&pairs).infer_schema().await.unwrap_err();
        assert!(inferred.to_string().contains(&path), "{inferred}");
    }
    // A footer that is right, and pages that are not.
    let mut damaged = good.clone();
    damaged[4..40].fill(0xAA);
    folder.write("a.parquet", &damaged);
    let error = failed(&pairs, COLUMNS).await;
    assert!(error.to_string().contains(&format!("{path}:1")), "{error}");
    // The second file has other columns than the first.
    folder.write("a.parquet", &good);
    let mut other = sink(&[("path", &folder.text("b.parquet"))])
        .open(sink_request(&schema(&[("n", "STRING"), ("t", "STRING")]), ONCE))
        .await
        .unwrap();
    commit(&mut *other).await;
    let error = failed(&[("path", &folder.text("*.parquet"))], COLUMNS).await;
    assert!(error.to_string().contains("b.parquet: the columns of the file are others than those declared"), "{error}");
    assert!(error.to_string().contains("'n' is STRING and declared BIGINT; there is no 's'"), "{error}");
    // A row whose value is missing.
    write(&path, "1 x\nNULL y\n3 z").await;
    let mut wanted = request(COLUMNS, &Clock::system());
    wanted.columns[0].field = Arc::new(wanted.columns[0].field.as_ref().clone().with_nullable(false));
    let rows = Reading::open(&source(&pairs), wanted, None).await.rest().await;
    assert_eq!(rows[0], "1 x");
    assert!(rows[1].starts_with(&format!("{path}:2: ")), "{rows:?}");
    assert_eq!(rows[2], "3 z");
}

#[tokio::test]
async fn a_file_that_was_replaced_is_not_gone_on_with() {
    let folder = Folder::new();
    let path = folder.text("a.parquet");
    write(&path, "1 x\n2 y").await;
    let binding = source(&[("path", path.as_str())]);
    let mut reading = Reading::open(&binding, request(COLUMNS, &Clock::system()), None).await;
    assert_eq!(reading.rest().await, ["1 x", "2 y"]);
    let end = reading.end.clone().unwrap();
    let mut again = Reading::open(&binding, request(COLUMNS, &Clock::system()), Some(&end)).await;
    assert_eq!(again.rest().await, [] as [&str; 0]);
    write(&path, "1 x\n2 y\n3 z").await;
    let mut other = Reading::open(&binding, request(COLUMNS, &Clock::system()), Some(&end)).await;
    assert_eq!(other.chunk().await.unwrap_err().kind, ErrorKind::OffsetLost);
}

#[tokio::test]
async fn what_makes_no_sense_is_said() {
    let folder = Folder::new();
    let path = folder.text("a.parquet");
    let watched = source_errors(&[("path", &path), ("watch", "true")]);
    assert_eq!(watched.len(), 1, "{watched:?}");
    assert!(watched[0].contains("a Parquet file is whole when it is there"), "{watched:?}");
    let packed = source_errors(&[("path", &folder.text("a.parquet.gz"))]);
    assert!(packed[0].contains("compressed within"), "{packed:?}");
    let refused = |pairs: &[(&str, &str)], request: SinkRequest| {
        let binding = sink(pairs);
        async move { binding.open(request).await.err().unwrap().to_string() }
    };
    let at_once = refused(&[("path", &path)], sink_request(&schema(COLUMNS), AT_ONCE)).await;
    assert!(at_once.contains("complete only at its end") && at_once.contains("'rolling.size'"), "{at_once}");
    let interval = refused(&[("path", &path)], sink_request(&schema(&[("i", "INTERVAL")]), ONCE)).await;
    assert!(interval.contains("which Parquet does not have"), "{interval}");
    let mut options = velo_core::properties::Options::from_pairs([("path", path.as_str()), ("append", "true")]);
    let bound = velo_core::connector::Connector::bind_sink(&velo_source_file::FileConnector, &mut options);
    let error = options.finish("a file sink", []).remove(0);
    assert!(bound.is_none() && error.message == "nothing can be added to a Parquet file", "{error:?}");
    assert!(error.help.unwrap().contains("rolling.size"));
}

#[tokio::test]
async fn parts_by_column_and_compression() {
    let folder = Folder::new();
    for compression in ["zstd", "snappy", "none"] {
        let out = folder.text(compression);
        let pairs = [
            ("path", out.as_str()),
            ("format", "parquet"),
            ("partition.by", "s"),
            ("parquet.compression", compression),
        ];
        let mut sink = open(&pairs, ONCE).await;
        sink.write(rows("1 x\n2 y\n3 x")).await.unwrap();
        assert!(folder.list().iter().all(|name| name.contains("/.") || !name.starts_with(compression)));
        commit(&mut *sink).await;
        let found = read(&[("path", &format!("{out}/s=x/*.parquet"))], COLUMNS).await;
        assert_eq!(found, ["1 x", "3 x"], "{compression}");
        let all = read(&[("path", &out), ("format", "parquet")], COLUMNS).await;
        assert_eq!(all, ["1 x", "3 x", "2 y"], "{compression}");
        // More whole files beside those that are there.
        let more = [pairs.as_slice(), &[("append", "true")]].concat();
        let mut sink = open(&more, ONCE).await;
        sink.write(rows("4 x")).await.unwrap();
        commit(&mut *sink).await;
        assert_eq!(read(&[("path", &out), ("format", "parquet")], COLUMNS).await.len(), 4);
    }
}

#[tokio::test]
async fn parts_that_are_written_at_once_are_seen_when_they_are_whole() {
    let folder = Folder::new();
    let out = folder.text("out");
    let pairs = [("path", out.as_str()), ("format", "parquet"), ("rolling.interval", "1m")];
    let clock = Clock::manual(0);
    let request = SinkRequest { clock: clock.clone(), bounded: false, ..sink_request(&schema(COLUMNS), AT_ONCE) };
    let mut sink = sink(&pairs).open(request).await.unwrap();
    let seen = || folder.list().into_iter().filter(|name| !name.contains("/.")).collect::<Vec<_>>();
    sink.write(rows("1 x")).await.unwrap();
    sink.flush().await.unwrap();
    assert_eq!(seen(), [] as [&str; 0]);
    clock.advance(std::time::Duration::from_secs(61));
    sink.flush().await.unwrap();
    assert_eq!(seen(), ["out/part-0-0.parquet"]);
    sink.write(rows("2 y")).await.unwrap();
    commit(&mut *sink).await;
    assert_eq!(seen(), ["out/part-0-0.parquet", "out/part-0-1.parquet"]);
    sink.write(rows("3 z")).await.unwrap();
    sink.abort().await.unwrap();
    assert_eq!(folder.list(), seen(), "nothing half-written stays");
    assert_eq!(read(&[("path", &out), ("format", "parquet")], COLUMNS).await, ["1 x", "2 y"]);
}
