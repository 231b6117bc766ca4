//! Cases about writing.

use std::sync::Arc;

use velo_core::connector::{
    ChangelogMode, CheckpointId, CommitKind, Connector, Guarantee, PreparedCommit, Sink, SinkRequest,
};
use velo_core::progress::Progress;
use velo_core::{Batch, Clock};

use super::source::read;
use super::{Harness, Pairs, made_rows, misspelt, options};

const ROWS: usize = 20_000;

async fn open(connector: &dyn Connector, harness: &dyn Harness, pairs: &Pairs, guarantee: Guarantee) -> Box<dyn Sink> {
    let mut options = options(pairs);
    let bound = connector.bind_sink(&mut options);
    let errors = options.finish("the sink", connector.sink_properties());
    let binding = bound.filter(|_| errors.is_empty()).unwrap_or_else(|| panic!("good properties: {errors:?}"));
    let request = SinkRequest {
        name: "conformance".to_owned(),
        schema: harness.schema(),
        key: Vec::new(),
        mode: ChangelogMode::Append,
        guarantee,
        bounded: true,
        after: None,
        clock: Clock::system(),
        progress: Arc::new(Progress::new()),
    };
    binding.open(request).await.expect("the sink opens")
}

fn guarantees(connector: &dyn Connector) -> Vec<Guarantee> {
    if connector.capabilities().transactions {
        vec![Guarantee::ExactlyOnce, Guarantee::AtLeastOnce]
    } else {
        vec![Guarantee::AtLeastOnce]
    }
}

async fn write(sink: &mut dyn Sink, rows: &Batch) {
    for at in (0..rows.rows()).step_by(8_192) {
        let batch = rows.slice(at, 8_192.min(rows.rows() - at));
        sink.write(batch).await.expect("rows are written");
    }
}

/// As a checkpoint keeps it: through text.
fn saved(prepared: &PreparedCommit) -> PreparedCommit {
    let text = serde_json::to_string(prepared).expect("a commit can be saved");
    serde_json::from_str(&text).expect("a saved commit can be read")
}

pub(super) fn unknown_property(connector: &dyn Connector, harness: &dyn Harness) {
    let mut options = options(&harness.output().sink);
    assert!(connector.bind_sink(&mut options).is_some(), "the harness gives good properties");
    misspelt(options, &connector.sink_properties(), connector.name());
}

pub(super) async fn round_trip(connector: &dyn Connector, harness: &dyn Harness) {
    let rows = made_rows(ROWS);
    for guarantee in guarantees(connector) {
        let output = harness.output();
        let mut sink = open(connector, harness, &output.sink, guarantee).await;
        write(&mut *sink, &rows).await;
        if guarantee == Guarantee::AtLeastOnce {
            sink.flush().await.expect("a flush goes well");
            assert!(harness.visible(&output), "at_least_once: rows are seen after a flush");
        } else {
            assert!(!harness.visible(&output), "exactly_once: nothing is seen before the commit");
        }
        let prepared = sink.prepare(CheckpointId(1)).await.expect("the epoch is prepared");
        if sink.commit_kind() == CommitKind::Prepared {
            assert!(!harness.visible(&output), "prepared: nothing is seen before the commit");
        }
        sink.commit(prepared).await.expect("the epoch is committed");
        drop(sink);
        let read = read(connector, &output.source, &harness.schema()).await;
        assert_eq!(read.columns, rows.columns, "what was written is read again ({guarantee:?})");
    }
}

pub(super) async fn nothing_written(connector: &dyn Connector, harness: &dyn Harness) {
    for guarantee in guarantees(connector) {
        let output = harness.output();
        let mut sink = open(connector, harness, &output.sink, guarantee).await;
        let prepared = sink.prepare(CheckpointId(1)).await.expect("an empty epoch is prepared");
        sink.commit(prepared).await.expect("an empty epoch is committed");
        drop(sink);
        let read = read(connector, &output.source, &harness.schema()).await;
        assert_eq!(read.rows(), 0, "an output without rows is there and empty ({guarantee:?})");
    }
}

pub(super) async fn abort(connector: &dyn Connector, harness: &dyn Harness) {
    if !connector.capabilities().transactions {
        return;
    }
    let rows = made_rows(ROWS);
    for prepare in [false, true] {
        let output = harness.output();
        let mut sink = open(connector, harness, &output.sink, Guarantee::ExactlyOnce).await;
        write(&mut *sink, &rows).await;
        if prepare {
            sink.prepare(CheckpointId(1)).await.expect("the epoch is prepared");
        }
        sink.abort().await.expect("the epoch is given up");
        drop(sink);
        assert!(!harness.visible(&output), "an aborted epoch leaves nothing (prepared: {prepare})");
    }
    let output = harness.output();
    let mut sink = open(connector, harness, &output.sink, Guarantee::ExactlyOnce).await;
    write(&mut *sink, &rows).await;
    drop(sink);
    assert!(!harness.visible(&output), "a sink that is dropped leaves nothing");
}

pub(super) async fn commit_again(connector: &dyn Connector, harness: &dyn Harness) {
    let rows = made_rows(ROWS);
    let output = harness.output();
    let mut sink = open(connector, harness, &output.sink, Guarantee::ExactlyOnce).await;
    write(&mut *sink, &rows).await;
    let prepared = sink.prepare(CheckpointId(1)).await.expect("the epoch is prepared");
    let saved = saved(&prepared);
    sink.commit(prepared).await.expect("the epoch is committed");
    sink.commit(saved.clone()).await.expect("a commit can be repeated");
    drop(sink);
    // As after a crash: another sink finishes what this one prepared.
    let mut sink = open(connector, harness, &output.sink, Guarantee::ExactlyOnce).await;
    sink.commit(saved).await.expect("a commit can be repeated after a restart");
    drop(sink);
    let read = read(connector, &output.source, &harness.schema()).await;
    assert_eq!(read.columns, rows.columns, "committed rows come once");
}
