//! One script: planned, then run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use velo_core::Clock;
use velo_core::connector::{Sink, SinkBinding, SourceBinding};
use velo_exec::ExecError;
use velo_exec::checkpoint::{Checkpoints, CommitPoint, Folder, OnCheckpoint};
use velo_exec::runtime::{JobOptions, JobProgress, Schedule, Stop, StopRequest, run};
use velo_exec::spill::MemoryPool;
use velo_plan::plan::{NodeKind, Plan};
use velo_plan::{PlanContext, PlannedScript, RecoveryProperties, Shown, plan_script};
use velo_sql::{Diagnostic, SourceText, Span};
use velo_tables::{Events, TableCounters, TableCounts, TableState, TableStatus, Tables};

use crate::recovery::{LastAttempt, OnNote, Opened, Recovery, Restarts, Resume};
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
    /// The job's name, where the script gives none: its checkpoints belong to it.
    pub name: String,
    /// What is done with the checkpoints that there are, where the script has a `checkpoint.dir`.
    pub resume: Resume,
    /// Where checkpoints go instead of the script's `checkpoint.dir`.
    pub checkpoints: Option<Folder>,
    /// What counts instead of what the script says about checkpoints and restarts.
    pub recovery: Option<RecoveryProperties>,
    /// How much memory the state may take, whatever the script says.
    pub memory: Option<Arc<MemoryPool>>,
    /// Decides in which order the tasks of the job go on; none: the runtime does.
    pub schedule: Option<Schedule>,
    /// Is told of each checkpoint that is complete.
    pub on_checkpoint: Option<OnCheckpoint>,
    /// Is told what the job goes on from, and why it starts again.
    pub on_note: Option<OnNote>,
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
            name: "velo".to_owned(),
            resume: Resume::Newest,
            checkpoints: None,
            recovery: None,
            memory: None,
            schedule: None,
            on_checkpoint: None,
            on_note: None,
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

    /// The name that it gives its job, where it does.
    pub fn name(&self) -> Option<&str> {
        self.planned.name.as_deref()
    }

    /// What it says about checkpoints and restarts.
    pub fn recovery(&self) -> &RecoveryProperties {
        &self.planned.recovery
    }

    /// Where its checkpoints lie.
    pub fn checkpoint_dir(&self) -> Option<&str> {
        self.planned.recovery.dir.as_deref()
    }

    /// Its plan.
    pub fn graph(&self) -> &Plan {
        &self.planned.plan
    }

    /// Its plan, for whoever puts other connectors in it.
    pub(crate) fn plan_mut(&mut self) -> &mut Plan {
        &mut self.planned.plan
    }

    /// The names of the sinks that its dead letters go to.
    pub fn dead_letter_sinks(&self) -> Vec<String> {
        let plan = self.graph();
        // They have no input of their own in the plan.
        let nodes = plan.nodes.iter().filter(|node| node.inputs.is_empty());
        let sinks = nodes.filter_map(|node| match node.kind {
            NodeKind::Sink(sink) => Some(plan.sinks[sink.0].name.clone()),
            _ => None,
        });
        sinks.collect()
    }

    /// What a source or table of this name reads, where a statement uses it.
    pub fn source(&self, name: &str) -> Option<&dyn SourceBinding> {
        let mut sources = self.graph().sources.iter();
        sources.find(|source| source.name.eq_ignore_ascii_case(name)).map(|source| source.binding.as_ref())
    }

    /// What a sink of this name writes, where a statement uses it.
    pub fn sink(&self, name: &str) -> Option<&dyn SinkBinding> {
        let mut sinks = self.graph().sinks.iter().filter(|sink| sink.name.eq_ignore_ascii_case(name));
        sinks.find_map(|sink| sink.binding.as_deref())
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
    ///
    /// With a `checkpoint.dir` it goes on where its last checkpoint left it, and is started again where it fails in a way that may
    /// pass; but not where [`RunOptions::terminals`] has a sink, which cannot take rows back.
    pub async fn run(&self, mut options: RunOptions, progress: &JobProgress) -> Result<(), ExecError> {
        let own = options.recovery.take();
        let (plan, properties) = (&self.planned.plan, own.as_ref().unwrap_or(&self.planned.recovery));
        let folder = match (options.checkpoints.take(), &properties.dir) {
            (Some(folder), _) => Some(folder),
            (None, Some(dir)) => Some(Folder::open(dir)?),
            (None, None) => None,
        };
        let name = self.planned.name.clone().unwrap_or_else(|| options.name.clone());
        let note = options.on_note.take();
        let note = move |text: &str| note.iter().for_each(|note| note(text));
        let once = !options.terminals.is_empty();
        let (clock, stop) = (options.clock.clone(), options.stop.clone());
        let on_checkpoint = options.on_checkpoint.take();
        let memory = self.memory(&options);
        let shared = Arc::new(plan.clone());
        let recovery = Recovery {
            plan,
            properties,
            name: &name,
            clock: &clock,
            progress,
            memory: &memory,
            note: &note,
            on_checkpoint: &on_checkpoint,
        };
        let seed = u64::try_from(clock.wall()).unwrap_or(0);
        let mut restarts = Restarts::new(properties, seed);
        let mut resume = options.resume;
        let (mut last, mut claimed): (Option<LastAttempt>, Option<u64>) = (None, None);
        let mut on_tables = options.on_tables.take();
        let mut terminals = std::mem::take(&mut options.terminals);
        loop {
            let opened = match &folder {
                Some(folder) => recovery.open(folder.clone(), resume, last, &mut claimed).await,
                None => recovery.without_folder().await,
            };
            let ran = match opened {
                Ok(Opened::Finished) => return Ok(()),
                Ok(Opened::Run { checkpoints, commit_point, came_on }) => {
                    if came_on {
                        restarts = Restarts::new(properties, seed);
                    }
                    let checkpoints = checkpoints.map(|checkpoints| *checkpoints);
                    (last, resume) = (checkpoints.as_ref().map(LastAttempt::of), Resume::Newest);
                    let settings = Settings {
                        on_tables: on_tables.take(),
                        terminals: std::mem::take(&mut terminals),
                        checkpoints,
                        commit_point,
                        memory: Arc::clone(&memory),
                    };
                    let attempt = Stop::new();
                    let started = self.start(&options, settings, attempt.clone(), progress, false)?;
                    // The tables are kept up to date as long as the job runs.
                    forwarded(&stop, &attempt, run(&shared, started.job, progress)).await
                }
                // Whoever starts a job over a store that does not answer is told at once; of a job that had it, it may come back.
                Err(error) if claimed.is_none() => return Err(error),
                Err(error) => Err(error),
            };
            let Err(error) = ran else { return Ok(()) };
            if folder.is_none() || once || stop.requested() != StopRequest::Run {
                return Err(error);
            }
            let Some(delay) = restarts.after(&error) else { return Err(error) };
            note(&format!("{error}; starting again in {} ms", delay.as_millis()));
            tokio::select! {
                () = clock.sleep(delay) => {}
                _ = stop.asked() => return Err(error),
            }
        }
    }

    /// Loads the tables of a script that was planned for them ([`velo_plan::Roots::Tables`]), and tells what became of each: in the
    /// order of the script, with what it holds.
    pub async fn load_tables(
        &self,
        options: RunOptions,
        progress: &JobProgress,
    ) -> Result<Vec<(TableStatus, TableCounts)>, ExecError> {
        let (mut options, stop) = (options, Stop::new());
        let on_tables = options.on_tables.take();
        let settings = Settings {
            on_tables,
            terminals: std::mem::take(&mut options.terminals),
            checkpoints: None,
            commit_point: None,
            memory: self.memory(&options),
        };
        let started = self.start(&options, settings, stop, progress, true)?;
        let (stop, job) = (started.job.stop.clone(), started.job);
        let plan = Arc::new(self.planned.plan.clone());
        let Some(loading) = started.loading else { return Ok(Vec::new()) };
        let loaded = async {
            loading.settled().await;
            // What feeds a table may go on for ever.
            stop.stop();
        };
        let (ran, ()) = tokio::join!(run(&plan, job, progress), loaded);
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

    /// How much memory the state of a run may take.
    fn memory(&self, options: &RunOptions) -> Arc<MemoryPool> {
        let said = self.recovery();
        let of_script = || match said.memory_mb {
            Some(megabytes) => {
                MemoryPool::bounded(megabytes.saturating_mul(1 << 20), said.spill_dir.as_deref().map(Path::new))
            }
            None => MemoryPool::unbounded(),
        };
        options.memory.clone().unwrap_or_else(of_script)
    }

    fn start(
        &self,
        options: &RunOptions,
        mut settings: Settings,
        stop: Stop,
        progress: &JobProgress,
        all: bool,
    ) -> Result<Started, ExecError> {
        let tables = TableSettings {
            batch_rows: options.batch_rows,
            load_parallelism: self.planned.job.load_parallelism,
            clock: options.clock.clone(),
            all,
            in_checkpoints: settings.checkpoints.is_some(),
            memory: Arc::clone(&settings.memory),
        };
        let resumed = settings.checkpoints.as_mut().and_then(|checkpoints| checkpoints.resumed.as_mut());
        let text = SourceText::new(&self.text);
        let running = tables::start(&self.planned.plan, &tables, resumed, progress, |span| place(&text, span))?;
        if let (Some(on_tables), Some(loading)) = (settings.on_tables, &running.loading) {
            on_tables(loading.subscribe());
        }
        let job = JobOptions {
            parallelism: options.parallelism,
            decode_parallelism: options.decode_parallelism,
            batch_rows: options.batch_rows,
            clock: options.clock.clone(),
            terminals: settings.terminals,
            stop,
            tables: running.job,
            checkpoints: settings.checkpoints,
            commit_point: settings.commit_point,
            memory: settings.memory,
            schedule: options.schedule.clone(),
        };
        Ok(Started { job, loading: running.loading, counters: running.counters })
    }
}

/// What one start of a job takes of its options.
struct Settings {
    on_tables: Option<OnTables>,
    terminals: BTreeMap<usize, Box<dyn Sink>>,
    checkpoints: Option<Checkpoints>,
    commit_point: Option<CommitPoint>,
    memory: Arc<MemoryPool>,
}

/// Drives one run of a job, which is stopped when the whole is: a run that failed has stopped itself, and the next one has not.
async fn forwarded<T>(whole: &Stop, run: &Stop, job: impl Future<Output = T>) -> T {
    tokio::pin!(job);
    let forward = async {
        match whole.asked().await {
            StopRequest::Finish => run.finish(),
            _ => run.stop(),
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        done = &mut job => done,
        never = forward => never,
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
