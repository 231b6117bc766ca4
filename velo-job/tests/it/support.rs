//! Scripts over scripted sources, run with a manual clock while a test decides what comes next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use velo_core::Clock;
use velo_core::connector::{ChangelogMode, Guarantee, Registry, Sink, SinkRequest};
use velo_core::duration::Span;
use velo_core::progress::Progress;
use velo_exec::checkpoint::Folder as CheckpointFolder;
use velo_job::{JobProgress, OnCheckpoint, PlanContext, RunOptions, Script, Stop};
use velo_testkit::collecting::Collected;
use velo_testkit::scripted::{Script as Rows, ScriptedConnector};
use velo_testkit::{Gate, Table};

/// A script that can run, and everything that a test holds in its hands while it does.
pub struct Scripted {
    pub script: Script,
    pub progress: JobProgress,
    pub clock: Clock,
    pub stop: Stop,
    parallelism: usize,
}

impl Scripted {
    /// `sql` over sources of the connector `scripted`.
    pub async fn new(sql: &str, sources: Vec<(&str, Rows)>) -> Self {
        let connector = sources.into_iter().fold(ScriptedConnector::new(), |all, (name, rows)| all.with(name, rows));
        let mut registry = Registry::new();
        registry.add(Arc::new(connector));
        let context = PlanContext::new(registry, ".");
        let script = Script::plan(sql, &context).await;
        assert_eq!(script.diagnostics(), []);
        let progress = script.progress();
        Self { script, progress, clock: Clock::manual(0), stop: Stop::new(), parallelism: 1 }
    }

    /// Runs with so many tasks for each keyed stage.
    pub fn parallel(mut self, parallelism: usize) -> Self {
        self.parallelism = parallelism;
        self
    }

    /// Runs to the end or to a stop; the rows of the only SELECT go to `sink`, which writes nothing before `hold` is open.
    pub async fn run(&self, sink: &Collected, hold: Option<Gate>) {
        let terminals = BTreeMap::from([(0, open(sink, hold, &self.script, 0, &self.clock).await)]);
        let options = RunOptions {
            clock: self.clock.clone(),
            terminals,
            stop: self.stop.clone(),
            ..RunOptions::new(self.parallelism)
        };
        self.script.run(options, &self.progress).await.unwrap();
    }

    /// Options of a run with a checkpoint every 100 ms, that ends with its first failure; the rows of the only SELECT go to `sink`.
    pub async fn checkpointed(
        &self,
        sink: &Collected,
        checkpoints: &CheckpointFolder,
        on_checkpoint: OnCheckpoint,
    ) -> RunOptions {
        RunOptions {
            clock: self.clock.clone(),
            terminals: BTreeMap::from([(0, open(sink, None, &self.script, 0, &self.clock).await)]),
            checkpoints: Some(checkpoints.clone()),
            recovery: Some(velo_plan::RecoveryProperties {
                interval: Span(100_000),
                strategy: velo_plan::RestartStrategy::None,
                ..velo_plan::RecoveryProperties::default()
            }),
            on_checkpoint: Some(on_checkpoint),
            ..RunOptions::new(self.parallelism)
        }
    }

    /// Moves the clock on until so many rows have come.
    pub async fn until(&self, collected: &Collected, rows: usize) {
        for _ in 0..1_000 {
            if collected.rows() >= rows {
                return;
            }
            self.clock.advance(std::time::Duration::from_secs(1));
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        let late = self.progress.late_rows(self.script.graph());
        panic!("{} tasks, late {late:?}, after a thousand seconds only {}", self.parallelism, collected.text());
    }

    /// Waits until so many records of the first source have been worked on.
    pub async fn read(&self, records: u64) {
        reached(&self.progress.sources[0].records, records).await;
    }
}

/// Rows as `header` and lines, typed by the stream that reads them; `---` ends a batch.
pub fn rows(text: &str) -> Table {
    Table::untyped(text)
}

/// Waits until a counter is there.
pub async fn reached(counter: &AtomicU64, at_least: u64) {
    while counter.load(Ordering::Relaxed) < at_least {
        tokio::task::yield_now().await;
    }
}

/// Waits until a counter has come to rest: everybody waits for somebody else.
pub async fn at_rest(counter: &AtomicU64) -> u64 {
    loop {
        let before = counter.load(Ordering::Relaxed);
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        if counter.load(Ordering::Relaxed) == before {
            return before;
        }
    }
}

/// The sink of a SELECT.
pub async fn open(
    collected: &Collected,
    hold: Option<Gate>,
    script: &Script,
    sink: usize,
    clock: &Clock,
) -> Box<dyn Sink> {
    let request = SinkRequest {
        name: format!("sink {sink}"),
        schema: Arc::clone(&script.graph().sinks[sink].schema),
        key: vec![],
        mode: ChangelogMode::Append,
        guarantee: Guarantee::AtLeastOnce,
        bounded: false,
        after: None,
        transactions: None,
        clock: clock.clone(),
        progress: Arc::new(Progress::new()),
    };
    collected.binding(hold).open(request).await.unwrap()
}
