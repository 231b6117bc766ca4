//! One script: planned, then run.

use std::collections::BTreeMap;

use velo_core::Clock;
use velo_core::connector::Sink;
use velo_exec::ExecError;
use velo_exec::runtime::{JobOptions, JobProgress, JobTables, Stop, run};
use velo_plan::plan::Plan;
use velo_plan::{PlanContext, PlannedScript, Shown, plan_script};
use velo_sql::Diagnostic;

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
}

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
        }
    }
}

/// A planned script.
#[derive(Debug)]
pub struct Script {
    planned: PlannedScript,
}

impl Script {
    /// Plans a script. Mistakes are in [`Script::diagnostics`].
    pub async fn plan(text: &str, context: &PlanContext) -> Self {
        Self { planned: plan_script(text, context).await }
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

    /// Runs it to its end, or until it is stopped.
    pub async fn run(&self, options: RunOptions, progress: &JobProgress) -> Result<(), ExecError> {
        let options = JobOptions {
            parallelism: options.parallelism,
            decode_parallelism: options.decode_parallelism,
            batch_rows: options.batch_rows,
            clock: options.clock,
            terminals: options.terminals,
            stop: options.stop,
            tables: JobTables::default(),
        };
        run(&self.planned.plan, options, progress).await
    }
}
