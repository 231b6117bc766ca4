//! One script: planned, then run.

use std::collections::BTreeMap;
use std::sync::Arc;

use velo_core::Clock;
use velo_core::connector::Sink;
use velo_exec::ExecError;
use velo_exec::runtime::{JobOptions, JobProgress, Stop, run};
use velo_plan::plan::Plan;
use velo_plan::{PlanContext, PlannedScript, Shown, plan_script};
use velo_sql::{Diagnostic, SourceText, Span};
use velo_tables::{Events, TableCounters, TableCounts, TableState, TableStatus, Tables};

use crate::tables::{self, TableOverview, TableSettings};

/// How a script is run.
pub struct RunOptions {
    /// Tasks that share the keys of a grouped stage.
    pub parallelism: usize,
    /// Decoding workers of a source that does not say.
    pub decode_parallelism: usize,
    /// The largest number of rows of a batch.
    pub batch_rows: usize,
    /// The clock.
    pub clock: Clock,
    /// The sinks of statements that have none, by the place of their sink in the plan.
    pub terminals: BTreeMap<usize, Box<dyn Sink>>,
    /// Asks the job to stop.
    pub stop: Stop,
    /// Is told how the tables are getting on, where the script has some.
    pub on_tables: Option<OnTables>,
}

/// Takes the events of the tables of a job.
pub type OnTables = Box<dyn FnOnce(Events) + Send>;

impl RunOptions {
    /// As many tasks as there are cores, batches of 8,192 rows, the machine's clock.
    pub fn new(cores: usize) -> Self {
        Self {
            parallelism: cores,
            decode_parallelism: cores,
            batch_rows: 8_192,
            clock: Clock::system(),
            terminals: BTreeMap::new(),
            stop: Stop::new(),
            on_tables: None,
        }
    }
}

/// A planned script.
#[derive(Debug)]
pub struct Script {
    planned: PlannedScript,
    text: String,
}

impl Script {
    /// Plans a script. Mistakes are in [`Script::diagnostics`].
    pub async fn plan(text: &str, context: &PlanContext) -> Self {
        Self { planned: plan_script(text, context).await, text: text.to_owned() }
    }

    /// Mistakes and warnings, by place.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.planned.diagnostics
    }

    /// Whether it can run.
    pub fn is_runnable(&self) -> bool {
        self.planned.is_runnable()
    }

    /// Its plan.
    pub fn graph(&self) -> &Plan {
        &self.planned.plan
    }

    /// Its plan, for whoever puts other connectors in it.
    pub(crate) fn plan_mut(&mut self) -> &mut Plan {
        &mut self.planned.plan
    }

    /// What its SHOW, DESCRIBE and EXPLAIN say.
    pub fn shown(&self) -> &[Shown] {
        &self.planned.shown
    }

    /// Its EXPLAIN ANALYZE statements, after a run: the plan with the rows that came out of each node.
    pub fn analysis(&self, progress: &JobProgress) -> Vec<String> {
        let plan = &self.planned.plan;
        self.planned
            .analyzed
            .iter()
            .map(|analyzed| {
                plan.lines_of(analyzed.sink)
                    .into_iter()
                    .map(|(node, depth)| {
                        let text = plan.describe(&plan.nodes[node.0]);
                        format!("{}{text}  [{} rows]\n", "  ".repeat(depth), progress.rows_of(plan, node))
                    })
                    .collect()
            })
            .collect()
    }

    /// Whether what a sink gets is only counted.
    pub fn is_analyzed(&self, sink: usize) -> bool {
        self.planned.analyzed.iter().any(|analyzed| analyzed.sink.0 == sink)
    }

    /// Counters for a run of it.
    pub fn progress(&self) -> JobProgress {
        JobProgress::new(&self.planned.plan)
    }

    /// The places and columns of the sinks that whoever runs the script must give.
    pub fn terminals(&self) -> impl Iterator<Item = (usize, &velo_plan::plan::SinkNode)> {
        self.planned.plan.sinks.iter().enumerate().filter(|(_, sink)| sink.binding.is_none())
    }

    /// Runs it to its end, or until it is stopped. Tables are loaded first, and everything waits for those that it reads.
    pub async fn run(&self, options: RunOptions, progress: &JobProgress) -> Result<(), ExecError> {
        let started = self.start(options, progress, false)?;
        // The tables are kept up to date as long as the job runs.
        run(&self.planned.plan, started.job, progress).await
    }

    /// Loads the tables of a script that was planned for them ([`velo_plan::Roots::Tables`]), and tells what became of each: in the
    /// order of the script, with what it holds.
    pub async fn load_tables(
        &self,
        options: RunOptions,
        progress: &JobProgress,
    ) -> Result<Vec<(TableStatus, TableCounts)>, ExecError> {
        let started = self.start(options, progress, true)?;
        let (stop, job) = (started.job.stop.clone(), started.job);
        let Some(loading) = started.loading else { return Ok(Vec::new()) };
        let loaded = async {
            loading.settled().await;
            // What feeds a table may go on for ever.
            stop.stop();
        };
        let (ran, ()) = tokio::join!(run(&self.planned.plan, job, progress), loaded);
        let statuses = loading.status();
        let all_ready = statuses.iter().all(|status| status.state == TableState::Ready);
        // What failed is told with its table.
        if all_ready {
            ran?;
        }
        Ok(statuses.into_iter().zip(started.counters.iter().map(|counters| counters.counts())).collect())
    }

    /// Its tables in the order in which they can be loaded.
    pub async fn tables(&self) -> Result<Vec<TableOverview>, ExecError> {
        let text = SourceText::new(&self.text);
        tables::overview(&self.planned.plan, &Clock::system(), |span| place(&text, span)).await
    }

    fn start(&self, options: RunOptions, progress: &JobProgress, all: bool) -> Result<Started, ExecError> {
        let settings = TableSettings {
            batch_rows: options.batch_rows,
            load_parallelism: self.planned.job.load_parallelism,
            clock: options.clock.clone(),
            all,
        };
        let text = SourceText::new(&self.text);
        let running = tables::start(&self.planned.plan, &settings, progress, |span| place(&text, span))?;
        if let (Some(on_tables), Some(loading)) = (options.on_tables, &running.loading) {
            on_tables(loading.subscribe());
        }
        let job = JobOptions {
            parallelism: options.parallelism,
            decode_parallelism: options.decode_parallelism,
            batch_rows: options.batch_rows,
            clock: options.clock,
            terminals: options.terminals,
            stop: options.stop,
            tables: running.job,
            checkpoints: None,
        };
        Ok(Started { job, loading: running.loading, counters: running.counters })
    }
}

/// A job that is ready to run, and its tables, which load as long as this lives.
struct Started {
    job: JobOptions,
    loading: Option<Tables>,
    counters: Vec<Arc<TableCounters>>,
}

fn place(text: &SourceText<'_>, span: Span) -> String {
    let place = text.place(span.start);
    format!("{}:{}", place.line, place.column)
}
