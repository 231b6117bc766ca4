//! The test kit tested: its own scripted source passes the conformance suite, and its sink commits.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics with the reason")]

use std::sync::Arc;

use arrow_schema::SchemaRef;
use velo_core::connector::{
    Capabilities, ChangelogMode, CheckpointId, Connector, Guarantee, PreparedCommit, Sink, SinkBinding, SinkRequest,
    SourceBinding, SourceRequest, StreamSource, TableDataSource,
};
use velo_core::error::ErrorKind;
use velo_core::progress::Progress;
use velo_core::properties::{Options, PropertySpec};
use velo_core::{Batch, Clock, ConnectorError, Result};
use velo_testkit::collecting::Collected;
use velo_testkit::conformance::{self, Harness, Output, Pairs};
use velo_testkit::faults::{Faults, FaultySink};
use velo_testkit::scripted::{Script, ScriptedConnector};
use velo_testkit::{Gate, Random, table};

/// A connector that plays the rows of the suite; `missing` is a script that is not there, which opening reports.
struct Played;

impl Connector for Played {
    fn name(&self) -> &'static str {
        "played"
    }

    fn summary(&self) -> &'static str {
        "the rows of the suite"
    }

    fn capabilities(&self) -> Capabilities {
        ScriptedConnector::new().capabilities()
    }

    fn source_properties(&self) -> Vec<&'static PropertySpec> {
        ScriptedConnector::new().source_properties()
    }

    fn sink_properties(&self) -> Vec<&'static PropertySpec> {
        Vec::new()
    }

    fn bind_source(&self, options: &mut Options) -> Option<Arc<dyn SourceBinding>> {
        let Some(script) = options.get("script").map(|entry| entry.value.clone()) else {
            return ScriptedConnector::new().bind_source(options);
        };
        if script == "absent" {
            options.take("script");
            return Some(Arc::new(Absent));
        }
        let rows: usize = script.parse().unwrap_or(0);
        let batches: Vec<Batch> = match rows {
            0 => Vec::new(),
            rows => {
                let all = conformance::made_rows(rows);
                (0..rows).step_by(1_000).map(|at| all.slice(at, 1_000.min(rows - at))).collect()
            }
        };
        ScriptedConnector::new()
            .with(&rows.to_string(), Script::of(&conformance::schema(), &batches))
            .bind_source(options)
    }

    fn bind_sink(&self, options: &mut Options) -> Option<Arc<dyn SinkBinding>> {
        ScriptedConnector::new().bind_sink(options)
    }
}

/// A source whose thing is not there.
#[derive(Debug)]
struct Absent;

#[async_trait::async_trait]
impl SourceBinding for Absent {
    fn describe(&self) -> String {
        "nothing".to_owned()
    }

    fn bounded(&self) -> bool {
        true
    }

    async fn infer_schema(&self) -> Result<SchemaRef> {
        Err(absent())
    }

    async fn open(&self, _request: SourceRequest) -> Result<Box<dyn StreamSource>> {
        Err(absent())
    }

    async fn open_table(&self, _request: SourceRequest) -> Result<Arc<dyn TableDataSource>> {
        Err(absent())
    }
}

fn absent() -> ConnectorError {
    ConnectorError::new(ErrorKind::NotFound, "opening", "there is no such script").advise("write one")
}

struct Rows;

impl Harness for Rows {
    fn rows(&self) -> usize {
        5_500
    }

    fn filled(&self, rows: &Batch) -> Pairs {
        vec![("script".to_owned(), rows.rows().to_string())]
    }

    fn missing(&self) -> Pairs {
        vec![("script".to_owned(), "absent".to_owned())]
    }

    fn output(&self) -> Output {
        Output { sink: Vec::new(), source: Vec::new() }
    }

    fn visible(&self, _output: &Output) -> bool {
        false
    }
}

fn request(guarantee: Guarantee) -> SinkRequest {
    SinkRequest {
        name: "out".to_owned(),
        schema: table!("a:BIGINT").schema,
        key: Vec::new(),
        mode: ChangelogMode::Append,
        guarantee,
        bounded: true,
        after: None,
        transactions: None,
        clock: Clock::manual(0),
        progress: Arc::new(Progress::new()),
    }
}

#[tokio::test]
async fn the_scripted_source_conforms() {
    conformance::run(Arc::new(Played), &Rows).await;
}

#[tokio::test]
async fn commits_come_once() {
    let collected = Collected::new();
    let mut sink = collected.binding(None).open(request(Guarantee::ExactlyOnce)).await.unwrap();
    sink.write(table!("a:BIGINT\n1\n2").batch()).await.unwrap();
    sink.end().await.unwrap();
    let prepared = sink.prepare(CheckpointId(1)).await.unwrap();
    assert_eq!(collected.rows(), 0);
    sink.commit(prepared.clone()).await.unwrap();
    sink.commit(prepared).await.unwrap();
    assert_eq!(collected.text(), "   a\n+I 1\n+I 2\n");
    collected.wait_for(2).await;
}

/// Epochs outlive their sink, and those behind a checkpoint that a run goes on behind are taken back.
#[tokio::test]
async fn epochs_are_gone_on_behind() {
    for bounded in [false, true] {
        let collected = Collected::new();
        let open = async |after: Option<&PreparedCommit>| {
            let request = SinkRequest { bounded, after: after.cloned(), ..request(Guarantee::ExactlyOnce) };
            collected.binding(None).open(request).await
        };
        let row = |number: i64| table!(&format!("a:BIGINT\n{number}")).batch();
        let mut sink = open(None).await.unwrap();
        let mut epochs = Vec::new();
        for number in 1..=3 {
            sink.write(row(number)).await.unwrap();
            epochs.push(sink.prepare(CheckpointId(number as u64)).await.unwrap());
            sink.write(row(number + 10)).await.unwrap();
            sink.commit(epochs[number as usize - 1].clone()).await.unwrap();
        }
        drop(sink);
        assert_eq!(collected.rows(), if bounded { 0 } else { 5 });
        let mut sink = open(Some(&epochs[1])).await.unwrap();
        sink.commit(epochs[1].clone()).await.unwrap();
        assert_eq!(collected.rows(), if bounded { 0 } else { 3 });
        sink.write(row(4)).await.unwrap();
        sink.end().await.unwrap();
        let last = sink.prepare(CheckpointId(4)).await.unwrap();
        drop(sink);
        let mut sink = open(Some(&last)).await.unwrap();
        sink.commit(last).await.unwrap();
        assert_eq!(collected.text(), "   a\n+I 1\n+I 11\n+I 2\n+I 4\n");
        assert_eq!(collected.committed(), [1, 2, 4].map(CheckpointId));
        assert!(open(Some(&epochs[2])).await.is_err(), "a later epoch was taken back");
    }
}

#[tokio::test]
async fn a_held_sink_waits_for_its_gate() {
    let (collected, gate) = (Collected::new(), Gate::closed());
    let mut sink = collected.binding(Some(gate.clone())).open(request(Guarantee::AtLeastOnce)).await.unwrap();
    let writing = tokio::spawn(async move { sink.write(table!("a:BIGINT\n1").batch()).await });
    gate.reached().await;
    assert_eq!(collected.rows(), 0);
    gate.open();
    writing.await.unwrap().unwrap();
    assert_eq!(collected.rows(), 1);
}

#[tokio::test]
async fn the_nth_call_fails() {
    let collected = Collected::new();
    let inner = collected.binding(None).open(request(Guarantee::AtLeastOnce)).await.unwrap();
    let faults = Faults::once(2);
    let mut sink = FaultySink::new(inner, faults.clone());
    for (call, fails) in [(1, false), (2, true), (3, false)] {
        assert_eq!(sink.write(table!("a:BIGINT\n1").batch()).await.is_err(), fails, "call {call}");
    }
    assert_eq!((collected.rows(), faults.calls()), (2, 3));
}

#[test]
fn a_seed_reproduces_its_numbers() {
    let numbers = |seed| {
        let mut random = Random::new(seed);
        (0..100).map(|_| random.below(10)).collect::<Vec<_>>()
    };
    assert_eq!(numbers(7), numbers(7));
    assert_ne!(numbers(7), numbers(8));
    assert!((0..10).all(|number| numbers(7).contains(&number)));
}
