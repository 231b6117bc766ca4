//! Writing: what others see and when, what stays after a failure, and whole files by value, size and time.

use std::time::Duration;

use expect_test::{Expect, expect};
use velo_core::connector::{ChangelogMode, CheckpointId, CommitKind, Guarantee, PreparedCommit, Sink, SinkRequest};
use velo_core::error::ErrorKind;
use velo_core::{Batch, Clock, ConnectorError};
use velo_testkit::table;

use crate::harness::{Folder, sink, sink_request};

const ONCE: Guarantee = Guarantee::ExactlyOnce;
const AT_ONCE: Guarantee = Guarantee::AtLeastOnce;

fn rows(text: &str) -> Batch {
    table!(&format!("a:BIGINT s:STRING\n{text}")).batch()
}

fn wanted(guarantee: Guarantee) -> SinkRequest {
    sink_request(&rows("").schema(), guarantee)
}

async fn open(pairs: &[(&str, &str)], guarantee: Guarantee) -> Box<dyn Sink> {
    sink(pairs).open(wanted(guarantee)).await.unwrap()
}

async fn refused(pairs: &[(&str, &str)], request: SinkRequest) -> ConnectorError {
    sink(pairs).open(request).await.err().expect("it cannot be opened")
}

/// Commits what is written. The inputs end with it, where they do.
async fn commit(sink: &mut dyn Sink, checkpoint: u64) {
    sink.end().await.unwrap();
    let prepared = sink.prepare(CheckpointId(checkpoint)).await.unwrap();
    sink.commit(prepared).await.unwrap();
}

/// A sink of a run whose inputs have no end.
async fn open_endless(pairs: &[(&str, &str)], guarantee: Guarantee) -> Box<dyn Sink> {
    sink(pairs).open(SinkRequest { bounded: false, ..wanted(guarantee) }).await.unwrap()
}

/// All files with what is in them.
fn check(folder: &Folder, expected: Expect) {
    let files = folder.list().into_iter().map(|name| format!("{name}\n{}", folder.read(&name)));
    expected.assert_eq(&files.collect::<String>());
}

#[tokio::test]
async fn a_bounded_run_is_seen_whole_or_not_at_all() {
    let folder = Folder::new();
    folder.write("out.jsonl", "old\n");
    let path = folder.text("out.jsonl");
    for finish in [false, true] {
        let mut sink = open(&[("path", &path)], ONCE).await;
        assert_eq!(sink.commit_kind(), CommitKind::Prepared);
        sink.write(rows("1 x")).await.unwrap();
        sink.flush().await.unwrap();
        assert_eq!(folder.read("out.jsonl"), "old\n");
        if finish {
            commit(&mut *sink, 1).await;
        } else {
            sink.abort().await.unwrap();
        }
        drop(sink);
        assert_eq!(folder.list(), ["out.jsonl"]);
    }
    assert_eq!(folder.read("out.jsonl"), "{\"a\":1,\"s\":\"x\"}\n");
}

#[tokio::test]
async fn later_epochs_are_appended_once() {
    let folder = Folder::new();
    let mut sink = open_endless(&[("path", &folder.text("new/out.csv"))], ONCE).await;
    sink.write(rows("1 x")).await.unwrap();
    commit(&mut *sink, 1).await;
    sink.write(rows("2 y")).await.unwrap();
    let prepared = sink.prepare(CheckpointId(2)).await.unwrap();
    assert_eq!(folder.read("new/out.csv"), "a,s\n1,x\n");
    // A crash in the middle of the commit left half of it behind.
    folder.append("new/out.csv", "2,");
    sink.commit(prepared.clone()).await.unwrap();
    sink.commit(prepared).await.unwrap();
    commit(&mut *sink, 3).await;
    check(
        &folder,
        expect![[r#"
        new/out.csv
        a,s
        1,x
        2,y
    "#]],
    );
}

#[tokio::test]
async fn append_adds_to_what_is_there() {
    for guarantee in [ONCE, AT_ONCE] {
        for (before, after) in [("a,s\n0,w\n", "a,s\n0,w\n1,x\n"), ("a,s\n0,w", "a,s\n0,w\n1,x\n"), ("", "a,s\n1,x\n")]
        {
            let folder = Folder::new();
            folder.write("out.csv", before);
            let mut sink = open(&[("path", &folder.text("out.csv")), ("append", "true")], guarantee).await;
            sink.write(rows("1 x")).await.unwrap();
            if guarantee == ONCE {
                assert_eq!(folder.read("out.csv"), before);
            }
            commit(&mut *sink, 1).await;
            drop(sink);
            assert_eq!((folder.read("out.csv").as_str(), folder.list().len()), (after, 1), "{guarantee:?}");
        }
    }
}

#[tokio::test]
async fn an_append_that_is_given_up_changes_nothing() {
    let folder = Folder::new();
    folder.write("out.jsonl", "{}\n");
    let mut sink = open(&[("path", &folder.text("out.jsonl")), ("append", "true")], ONCE).await;
    sink.write(rows("1 x")).await.unwrap();
    sink.prepare(CheckpointId(1)).await.unwrap();
    sink.abort().await.unwrap();
    drop(sink);
    assert_eq!((folder.read("out.jsonl").as_str(), folder.list().len()), ("{}\n", 1));
}

#[tokio::test]
async fn at_least_once_is_seen_with_each_batch() {
    let folder = Folder::new();
    folder.write("out.jsonl", "old\n");
    let mut sink = open(&[("path", &folder.text("out.jsonl"))], AT_ONCE).await;
    assert_eq!(sink.commit_kind(), CommitKind::Direct);
    assert_eq!(folder.read("out.jsonl"), "old\n", "opening changes nothing");
    sink.write(rows("1 x")).await.unwrap();
    sink.flush().await.unwrap();
    assert_eq!(folder.read("out.jsonl"), "{\"a\":1,\"s\":\"x\"}\n");
    sink.write(rows("2 y")).await.unwrap();
    sink.flush().await.unwrap();
    assert_eq!(folder.read("out.jsonl"), "{\"a\":1,\"s\":\"x\"}\n{\"a\":2,\"s\":\"y\"}\n");
    sink.abort().await.unwrap();
    assert_eq!(folder.read("out.jsonl").lines().count(), 2, "what is visible stays");
}

#[tokio::test]
async fn kinds_of_rows() {
    let folder = Folder::new();
    let changes = table!("a:BIGINT s:STRING\n+I 1 x\n-U 1 x\n+U 1 y").batch();
    for (mode, expected) in [
        (
            ChangelogMode::Full,
            Some(
                "{\"_op\":\"+I\",\"a\":1,\"s\":\"x\"}\n{\"_op\":\"-U\",\"a\":1,\"s\":\"x\"}\n{\"_op\":\"+U\",\"a\":1,\"s\":\"y\"}\n",
            ),
        ),
        (ChangelogMode::Upsert, Some("{\"a\":1,\"s\":\"x\"}\n{\"a\":1,\"s\":\"y\"}\n")),
        (ChangelogMode::Append, None),
    ] {
        let request = SinkRequest { mode, ..wanted(AT_ONCE) };
        let mut sink = sink(&[("path", &folder.text("out.jsonl"))]).open(request).await.unwrap();
        match (sink.write(changes.clone()).await, expected) {
            (Ok(()), Some(expected)) => {
                sink.flush().await.unwrap();
                assert_eq!(folder.read("out.jsonl"), expected);
            }
            (Err(error), None) => assert!(error.to_string().contains("'changelog.mode' = 'full'"), "{error}"),
            (result, _) => panic!("{mode:?}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn outputs_that_cannot_be() {
    let folder = Folder::new();
    folder.write("file", "");
    let unbounded = SinkRequest { bounded: false, ..wanted(ONCE) };
    for (pairs, advice) in [
        ([("path", "out.json"), ("json.layout", "array")], "write lines"),
        ([("path", "out"), ("format", "parquet")], "rolling.interval"),
    ] {
        let error = refused(&pairs, unbounded.clone()).await;
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.to_string().contains("complete only at its end, and the query has none"), "{error}");
        assert!(error.to_string().contains(advice), "{error}");
    }
    for guarantee in [ONCE, AT_ONCE] {
        let error = refused(&[("path", &folder.text(""))], wanted(guarantee)).await;
        assert!(error.to_string().contains("is a folder"), "{error}");
        let error = refused(&[("path", &folder.text("file")), ("rolling.size", "1MB")], wanted(guarantee)).await;
        assert!(error.to_string().contains("is a file"), "{error}");
    }
    let error = refused(&[("path", &folder.text("out")), ("partition.by", "aa")], wanted(ONCE)).await;
    assert!(error.to_string().contains("no such column"), "{error}");
    let error = refused(&[("path", &folder.text("o.json")), ("json.layout", "array")], wanted(AT_ONCE)).await;
    assert!(error.to_string().contains("leave out 'json.layout'"), "{error}");
    // A file where a folder should be.
    let error = refused(&[("path", &folder.text("file/out.jsonl"))], wanted(ONCE)).await;
    assert_eq!(error.operation, "writing");
    assert_eq!(folder.list(), ["file"]);
}

#[tokio::test]
async fn a_json_array_is_whole() {
    let folder = Folder::new();
    let mut sink = open(&[("path", &folder.text("out.json")), ("json.layout", "array")], ONCE).await;
    for row in ["1 x", "2 y"] {
        sink.write(rows(row)).await.unwrap();
    }
    commit(&mut *sink, 1).await;
    let value: serde_json::Value = serde_json::from_str(&folder.read("out.json")).unwrap();
    assert_eq!(value.as_array().map(Vec::len), Some(2));
}

/// As after a restart: a request that goes on behind an epoch.
fn behind(prepared: &PreparedCommit, bounded: bool, guarantee: Guarantee) -> SinkRequest {
    SinkRequest { bounded, after: Some(prepared.clone()), ..wanted(guarantee) }
}

#[tokio::test]
async fn what_was_prepared_stays_with_a_drop_and_goes_with_an_abort() {
    for bounded in [true, false] {
        for pairs in [vec![("path", "out.jsonl")], vec![("path", "out"), ("rolling.size", "1MB")]] {
            let folder = Folder::new();
            let path = folder.text(pairs[0].1);
            let pairs = [vec![("path", path.as_str())], pairs[1..].to_vec()].concat();
            let request = SinkRequest { bounded, ..wanted(ONCE) };
            let mut one = sink(&pairs).open(request.clone()).await.unwrap();
            one.write(rows("1 x")).await.unwrap();
            let prepared = one.prepare(CheckpointId(1)).await.unwrap();
            one.write(rows("2 y")).await.unwrap();
            // A second run beside it does not touch what the first one holds, and cannot go on behind it.
            drop(sink(&pairs).open(request.clone()).await.unwrap());
            let error = refused(&pairs, behind(&prepared, bounded, ONCE)).await;
            assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
            assert!(error.to_string().contains(&path) && error.advice.is_some(), "{error}");
            drop(one);
            assert!(!folder.list().is_empty(), "{pairs:?}");
            let mut two = sink(&pairs).open(behind(&prepared, bounded, ONCE)).await.unwrap();
            two.abort().await.unwrap();
            drop(two);
            assert_eq!(folder.list(), [] as [&str; 0], "{pairs:?}");
            // Nothing is there any more to go on behind.
            let after = sink(&pairs).open(behind(&prepared, bounded, ONCE)).await;
            let error = match after {
                Err(error) => error,
                Ok(mut sink) => sink.commit(prepared.clone()).await.unwrap_err(),
            };
            assert_eq!(error.kind, ErrorKind::OffsetLost, "{error}");
            assert!(error.to_string().contains("--fresh") && error.to_string().contains(&path), "{error}");
        }
    }
}

/// A process that was frozen before it committed an epoch without rows: what the one in its place has written stays.
#[tokio::test]
async fn a_late_commit_takes_nothing_away() {
    let folder = Folder::new();
    let path = folder.text("out.jsonl");
    let pairs = [("path", path.as_str())];
    let mut one = open_endless(&pairs, ONCE).await;
    one.write(rows("1 x")).await.unwrap();
    commit(&mut *one, 1).await;
    let empty = one.prepare(CheckpointId(2)).await.unwrap();
    let mut two = sink(&pairs).open(behind(&empty, false, ONCE)).await.unwrap();
    two.commit(empty.clone()).await.unwrap();
    two.write(rows("2 y")).await.unwrap();
    commit(&mut *two, 3).await;
    one.commit(empty).await.unwrap();
    assert_eq!(folder.read("out.jsonl"), "{\"a\":1,\"s\":\"x\"}\n{\"a\":2,\"s\":\"y\"}\n");
}

/// An epoch without rows is committed again, and the file that has those before is gone.
#[tokio::test]
async fn an_output_that_went_away_is_told() {
    let folder = Folder::new();
    let path = folder.text("out.jsonl");
    let pairs = [("path", path.as_str())];
    let mut one = open_endless(&pairs, ONCE).await;
    one.write(rows("1 x")).await.unwrap();
    commit(&mut *one, 1).await;
    let empty = one.prepare(CheckpointId(2)).await.unwrap();
    drop(one);
    std::fs::remove_file(&path).unwrap();
    let mut two = sink(&pairs).open(behind(&empty, false, ONCE)).await.unwrap();
    let error = two.commit(empty).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::OffsetLost, "{error}");
    assert!(error.to_string().contains("the file has 0 bytes") && error.to_string().contains("--fresh"), "{error}");
}

/// A process that began to go on, was frozen before it had done so, and goes on when another one has: it takes nothing away.
#[tokio::test]
async fn a_late_start_takes_nothing_away() {
    for (name, more) in [("out.jsonl", None), ("out", Some(("rolling.size", "1MB")))] {
        let folder = Folder::new();
        let path = folder.text(name);
        let pairs: Vec<_> = std::iter::once(("path", path.as_str())).chain(more).collect();
        let mut first = open_endless(&pairs, ONCE).await;
        first.write(rows("1 x")).await.unwrap();
        commit(&mut *first, 1).await;
        let empty = first.prepare(CheckpointId(2)).await.unwrap();
        first.commit(empty.clone()).await.unwrap();
        // Behind the checkpoint from which both go on.
        first.write(rows("2 y")).await.unwrap();
        commit(&mut *first, 3).await;
        drop(first);
        let mut frozen = sink(&pairs).open(behind(&empty, false, ONCE)).await.unwrap();
        let mut other = sink(&pairs).open(behind(&empty, false, ONCE)).await.unwrap();
        other.commit(empty.clone()).await.unwrap();
        other.write(rows("3 tell")).await.unwrap();
        commit(&mut *other, 4).await;
        // Without what is hidden.
        let visible = || {
            let files = folder.list().into_iter().filter(|file| !file.split('/').any(|part| part.starts_with('.')));
            files.map(|file| folder.read(&file)).collect::<Vec<_>>()
        };
        let before = visible();
        assert!(before.concat().contains("tell") && !before.concat().contains("\"y\""), "{before:?}");
        let error = frozen.commit(empty).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fenced, "{error}");
        assert!(error.to_string().contains("was changed by another process"), "{error}");
        drop(frozen);
        assert_eq!(before, visible());
    }
}

#[tokio::test]
async fn a_run_that_begins_anew_removes_what_was_prepared() {
    for bounded in [true, false] {
        let folder = Folder::new();
        let path = folder.text("out.csv");
        let pairs = [("path", path.as_str())];
        let request = SinkRequest { bounded, ..wanted(ONCE) };
        let mut one = sink(&pairs).open(request.clone()).await.unwrap();
        one.write(rows("1 x")).await.unwrap();
        one.prepare(CheckpointId(1)).await.unwrap();
        drop(one);
        assert_eq!(folder.list().len(), 1);
        assert!(folder.list()[0].starts_with(".out.csv.velo-epoch-1-"), "{:?}", folder.list());
        let mut two = sink(&pairs).open(request).await.unwrap();
        two.write(rows("2 y")).await.unwrap();
        commit(&mut *two, 1).await;
        drop(two);
        assert_eq!((folder.list().len(), folder.read("out.csv").as_str()), (1, "a,s\n2,y\n"));
    }
}

#[tokio::test]
async fn an_output_that_was_completed_is_not_gone_on_with() {
    let folder = Folder::new();
    for (name, more) in [("out.jsonl", None), ("out", Some(("rolling.size", "1MB")))] {
        let path = folder.text(name);
        let pairs: Vec<_> = std::iter::once(("path", path.as_str())).chain(more).collect();
        let mut one = open(&pairs, ONCE).await;
        one.write(rows("1 x")).await.unwrap();
        let first = one.prepare(CheckpointId(1)).await.unwrap();
        one.commit(first.clone()).await.unwrap();
        commit(&mut *one, 2).await;
        drop(one);
        let error = refused(&pairs, behind(&first, true, ONCE)).await;
        assert_eq!(error.kind, ErrorKind::OffsetLost, "{error}");
        assert!(error.to_string().contains("was completed, or begun anew, since"), "{error}");
    }
}

#[tokio::test]
async fn a_checkpoint_of_another_kind_of_output_is_refused() {
    let folder = Folder::new();
    let path = folder.text("out.jsonl");
    let pairs = [("path", path.as_str())];
    let mut one = open_endless(&pairs, ONCE).await;
    let prepared = one.prepare(CheckpointId(1)).await.unwrap();
    drop(one);
    for (request, pairs) in [
        (behind(&prepared, true, ONCE), pairs.to_vec()),
        (behind(&prepared, false, AT_ONCE), pairs.to_vec()),
        (behind(&prepared, false, ONCE), vec![("path", "never-there"), ("rolling.size", "1MB")]),
    ] {
        let error = refused(&pairs, request).await;
        assert_eq!(error.kind, ErrorKind::Configuration, "{error}");
        assert!(error.to_string().contains("rows that are appended at checkpoints"), "{error}");
        assert!(error.to_string().contains("--fresh"), "{error}");
    }
    let parts = [("path", &*folder.text("out")), ("rolling.size", "1MB")];
    for (made, other) in [(ONCE, AT_ONCE), (AT_ONCE, ONCE)] {
        let mut one = open_endless(&parts, made).await;
        let prepared = one.prepare(CheckpointId(1)).await.unwrap();
        drop(one);
        let error = refused(&parts, behind(&prepared, false, other)).await;
        assert!(error.to_string().contains("'delivery.guarantee'"), "{error}");
    }
    let foreign = PreparedCommit { checkpoint: CheckpointId(7), state: serde_json::Value::Null };
    let error = refused(&pairs, behind(&foreign, false, ONCE)).await;
    assert!(error.to_string().contains("checkpoint 7 has no commit of a file sink"), "{error}");
}

#[tokio::test]
async fn an_output_that_became_shorter_is_told() {
    let folder = Folder::new();
    let path = folder.text("out.jsonl");
    let mut sink = open_endless(&[("path", &path)], ONCE).await;
    sink.write(rows("1 x")).await.unwrap();
    commit(&mut *sink, 1).await;
    folder.write("out.jsonl", "");
    sink.write(rows("2 y")).await.unwrap();
    let prepared = sink.prepare(CheckpointId(2)).await.unwrap();
    let error = sink.commit(prepared).await.unwrap_err();
    assert!(error.to_string().contains("has 0 bytes, and had 16 when they were prepared"), "{error}");
}

/// Killed in the middle of a row: what is whole stays where that can be told, and the rest goes.
#[tokio::test]
async fn a_torn_row_of_a_killed_run_goes() {
    for (name, format) in [("out.jsonl", "jsonl"), ("out", "jsonl")] {
        for (later, left) in [("{\"a\":2,\"s\":\"y\"}\n{\"a\"", 1), ("{\"a\":2,\"s\":\"y\"}\n", 2)] {
            let folder = Folder::new();
            let path = folder.text(name);
            let mut pairs = vec![("path", path.as_str())];
            if name == "out" {
                pairs.push(("rolling.size", "1MB"));
            }
            let mut one = open_endless(&pairs, AT_ONCE).await;
            one.write(rows("1 x")).await.unwrap();
            let prepared = one.prepare(CheckpointId(1)).await.unwrap();
            drop(one);
            let file = if name == "out" { format!("out/part-0-0.{format}") } else { name.to_owned() };
            folder.append(&file, later);
            let mut two = sink(&pairs).open(behind(&prepared, false, AT_ONCE)).await.unwrap();
            two.commit(prepared).await.unwrap();
            two.write(rows("2 y")).await.unwrap();
            commit(&mut *two, 2).await;
            let all: String = folder.list().iter().map(|name| folder.read(name)).collect();
            assert_eq!(all.lines().count(), left + 1, "{all}");
            assert!(all.lines().all(|line| line.ends_with("\"}")), "{all}");
        }
    }
}

#[tokio::test]
async fn each_array_of_many_is_one() {
    let folder = Folder::new();
    let path = folder.text("out");
    let mut sink = open(&[("path", &path), ("json.layout", "array"), ("partition.by", "s")], ONCE).await;
    sink.write(rows("1 x\n2 y\n3 x")).await.unwrap();
    commit(&mut *sink, 1).await;
    for name in folder.list() {
        let value: serde_json::Value = serde_json::from_str(&folder.read(&name)).unwrap();
        assert!(value.as_array().is_some_and(|rows| !rows.is_empty()), "{name}");
    }
}

#[tokio::test]
async fn leftovers_of_killed_runs_go() {
    let folder = Folder::new();
    folder.write(".out.jsonl.velo-tmp-1-0", "half");
    folder.write("parts/.velo-tmp-1-0/lock", "");
    folder.write("parts/.velo-tmp-1-0/part-0-0.jsonl", "half");
    let path = folder.text("out.jsonl");
    let one = open(&[("path", &path)], ONCE).await;
    // A second run beside it leaves the first one's file alone.
    let two = open(&[("path", &path)], ONCE).await;
    assert_eq!(folder.list().iter().filter(|name| name.starts_with(".out")).count(), 2);
    drop((one, two));
    drop(open(&[("path", &folder.text("parts")), ("rolling.size", "1MB")], ONCE).await);
    assert_eq!(folder.list(), [] as [&str; 0]);
}

#[tokio::test]
async fn files_by_value() {
    for guarantee in [ONCE, AT_ONCE] {
        let folder = Folder::new();
        let pairs = [("path", &*folder.text("out")), ("partition.by", "s, a")];
        folder.write("out/s=old/part-0-7.jsonl", "{}\n");
        folder.write("out/s=old/mine.jsonl", "{}\n");
        let mut sink = open(&pairs, guarantee).await;
        sink.write(rows("1 x\n2 \"a/b\"\n1 x\n3 NULL")).await.unwrap();
        if guarantee == ONCE {
            assert!(!folder.path("out/s=x").exists());
        }
        sink.write(rows("1 x")).await.unwrap();
        commit(&mut *sink, 1).await;
        drop(sink);
        check(
            &folder,
            expect![[r#"
            out/s=__HIVE_DEFAULT_PARTITION__/a=3/part-0-0.jsonl
            {"a":3,"s":null}
            out/s=a%2Fb/a=2/part-0-1.jsonl
            {"a":2,"s":"a/b"}
            out/s=old/mine.jsonl
            {}
            out/s=x/a=1/part-0-2.jsonl
            {"a":1,"s":"x"}
            {"a":1,"s":"x"}
            {"a":1,"s":"x"}
        "#]],
        );
    }
}

#[tokio::test]
async fn files_by_size_and_time() {
    for guarantee in [ONCE, AT_ONCE] {
        let folder = Folder::new();
        let clock = Clock::manual(0);
        let path = folder.text("out");
        let pairs = [
            ("path", path.as_str()),
            ("rolling.size", "10"),
            ("rolling.interval", "1m"),
            ("format", "csv"),
            ("append", "true"),
        ];
        folder.write("out/part-0-3.csv", "a,s\n0,w\n");
        let request = SinkRequest { clock: clock.clone(), ..wanted(guarantee) };
        let mut sink = sink(&pairs).open(request).await.unwrap();
        sink.write(rows("1 x")).await.unwrap();
        clock.advance(Duration::from_secs(59));
        sink.write(rows("2 y")).await.unwrap();
        sink.write(rows("3 z")).await.unwrap();
        clock.advance(Duration::from_secs(60));
        sink.flush().await.unwrap();
        sink.write(rows("4 z")).await.unwrap();
        commit(&mut *sink, 1).await;
        drop(sink);
        check(
            &folder,
            expect![[r#"
            out/part-0-3.csv
            a,s
            0,w
            out/part-0-4.csv
            a,s
            1,x
            2,y
            out/part-0-5.csv
            a,s
            3,z
            out/part-0-6.csv
            a,s
            4,z
        "#]],
        );
    }
}

#[tokio::test]
async fn parts_commit_again_and_abort() {
    let folder = Folder::new();
    let pairs = [("path", &*folder.text("out")), ("rolling.size", "1MB")];
    let mut sink = open_endless(&pairs, ONCE).await;
    sink.write(rows("1 x")).await.unwrap();
    let prepared = sink.prepare(CheckpointId(1)).await.unwrap();
    sink.commit(prepared.clone()).await.unwrap();
    sink.commit(prepared).await.unwrap();
    sink.write(rows("2 y")).await.unwrap();
    sink.prepare(CheckpointId(2)).await.unwrap();
    sink.write(rows("3 z")).await.unwrap();
    sink.abort().await.unwrap();
    drop(sink);
    assert_eq!(folder.list(), ["out/part-0-0.jsonl"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_leads_to_what_is_replaced() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new();
    folder.write("real.jsonl", "old\n");
    std::fs::set_permissions(folder.path("real.jsonl"), PermissionsExt::from_mode(0o640)).unwrap();
    symlink(folder.path("real.jsonl"), folder.path("out.jsonl")).unwrap();
    let mut sink = open(&[("path", &folder.text("out.jsonl"))], ONCE).await;
    sink.write(rows("1 x")).await.unwrap();
    commit(&mut *sink, 1).await;
    assert_eq!(folder.read("real.jsonl"), "{\"a\":1,\"s\":\"x\"}\n");
    assert!(folder.path("out.jsonl").is_symlink());
    assert_eq!(folder.path("real.jsonl").metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_device_without_room() {
    let mut sink = open(&[("path", "/dev/full")], ONCE).await;
    assert_eq!(sink.commit_kind(), CommitKind::Direct, "a device is no file that could be replaced");
    sink.write(rows("1 x")).await.unwrap();
    let error = sink.flush().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::StorageFull);
    assert!(std::path::Path::new("/dev/full").exists());
}

/// The test that follows, in a process that may write no file of more than some blocks.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let own = std::env::current_exe().unwrap();
    let script =
        format!("trap '' XFSZ; ulimit -f 64; exec '{}' --exact sink::with_a_full_disk --nocapture", own.display());
    let run =
        std::process::Command::new("bash").args(["-c", &script]).env("VELO_TEST_FULL_DISK", "1").output().unwrap();
    assert!(run.status.success(), "{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(String::from_utf8_lossy(&run.stdout).contains("1 passed"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn with_a_full_disk() {
    if std::env::var_os("VELO_TEST_FULL_DISK").is_none() {
        return;
    }
    // 64 blocks of a kibibyte; some rows fit, and all do not.
    let few = rows(&"1 abcdefghijklmnopqrstuvwxyz\n".repeat(100));
    let many = rows(&"1 abcdefghijklmnopqrstuvwxyz\n".repeat(40_000));
    let pairs_of = |path: &str| {
        [vec![("path", path.to_owned())], vec![("path", path.to_owned()), ("rolling.size", "1GB".to_owned())]]
    };
    for guarantee in [ONCE, AT_ONCE] {
        for (at, pairs) in pairs_of("out.jsonl").iter().enumerate() {
            let folder = Folder::new();
            let pairs: Vec<(&str, String)> = pairs
                .iter()
                .map(|(key, value)| (*key, if *key == "path" { folder.text(value) } else { value.clone() }))
                .collect();
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
            let mut sink = open(&pairs, guarantee).await;
            sink.write(few.clone()).await.unwrap();
            let error = match sink.write(many.clone()).await {
                Err(error) => error,
                Ok(()) => sink.prepare(CheckpointId(1)).await.expect_err("there is no room"),
            };
            assert_eq!(error.kind, ErrorKind::StorageFull, "{error}");
            // What goes wrong while giving up was told already.
            drop(sink.abort().await);
            drop(sink);
            let left = folder.list();
            if guarantee == ONCE {
                assert_eq!(left, [] as [&str; 0], "case {at}");
            } else {
                let text = folder.read(&left[0]);
                assert_eq!((left.len(), text.lines().count(), text.ends_with('\n')), (1, 100, true), "case {at}");
            }
        }
    }
}
