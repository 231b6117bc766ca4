//! A plan running: channels between the stages, tasks on tokio, and the commit once every sink is prepared.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use velo_core::connector::{PreparedCommit, Sink, SinkRequest, SourceBinding, SourceRequest};
use velo_core::duration::Span;
use velo_core::lookup::{TableReader, TableWriter};
use velo_core::progress::Progress;
use velo_core::{Batch, Clock};
use velo_eventtime::{OnError, WatermarkProperties};
use velo_plan::plan::{NodeId, NodeKind, Plan, SinkId, SourceId, TableId};

use super::{
    CHANNEL_DEPTH, Chain, Drive, Inputs, OperatorTask, Outputs, SinkTask, SourceTask, Stop, StopRequest, TableScanTask,
    TableSinkTask, Timing, ValuesTask,
};
use crate::error::{ExecError, Result};
use crate::lookup::MissingCounters;
use crate::operator::{Element, InputId};
use crate::physical::{Awaited, StageKind, Stages, lower};
use crate::window::LateCounters;

/// How a plan is run.
pub struct JobOptions {
    /// Tasks that share the keys of a grouped stage.
    pub parallelism: usize,
    /// Decoding workers of a source that does not say.
    pub decode_parallelism: usize,
    /// The largest number of rows of a batch.
    pub batch_rows: usize,
    /// The clock.
    pub clock: Clock,
    /// The sinks of statements that have none: a SELECT on the terminal, a test.
    pub terminals: BTreeMap<usize, Box<dyn Sink>>,
    /// Asks the job to stop.
    pub stop: Stop,
    /// The tables that it reads and writes.
    pub tables: JobTables,
}

impl JobOptions {
    /// Decoding workers of a source.
    fn decoding(&self, plan: &Plan, source: SourceId) -> usize {
        plan.sources[source.0].decode_parallelism.unwrap_or(self.decode_parallelism).max(1)
    }
}

/// Waits until all of some tables are ready, or for so long without any progress of one of them.
pub type WaitForTables =
    Arc<dyn Fn(Vec<TableId>, Option<Span>) -> BoxFuture<'static, velo_core::Result<()>> + Send + Sync>;

/// The tables of a job.
#[derive(Default)]
pub struct JobTables {
    /// All of the plan, by their places.
    pub readers: Vec<Arc<dyn TableReader>>,
    /// The writers of those that queries make.
    pub writers: BTreeMap<TableId, Box<dyn TableWriter>>,
    /// Dead letters of tables as rows of the sink that they are for, till nobody sends any more, or reads the tables.
    pub letters: Vec<(SinkId, mpsc::Receiver<Batch>)>,
    /// Nothing that reads a table, or is connected with what does, is given a row before this says so.
    pub wait: Option<WaitForTables>,
}

/// The counters of late rows of all operators, each with its node.
pub type LateByNode = Arc<Mutex<Vec<(NodeId, Arc<LateCounters>)>>>;

/// The counters of rows that a table lacked, each with the node of the join.
pub type MissingByNode = Arc<Mutex<Vec<(NodeId, Arc<MissingCounters>)>>>;

/// What a job counts while it runs.
#[derive(Debug, Default, Clone)]
pub struct JobProgress {
    /// Per source, in the plan's order.
    pub sources: Vec<Arc<Progress>>,
    /// Per sink, in the plan's order.
    pub sinks: Vec<Arc<Progress>>,
    /// Rows that have come out of each operator, by its node.
    pub nodes: Vec<Arc<AtomicU64>>,
    /// Late rows that operators met, each with the statement it belongs to.
    pub late: LateByNode,
    /// Per table, in the plan's order.
    pub tables: Vec<Arc<Progress>>,
    /// Rows that tables lacked.
    pub missing: MissingByNode,
    /// Rows in windows that had not fired when the job was stopped.
    pub held: Arc<AtomicU64>,
}

impl JobProgress {
    /// Counters for `plan`.
    pub fn new(plan: &Plan) -> Self {
        Self {
            sources: plan.sources.iter().map(|_| Arc::new(Progress::new())).collect(),
            sinks: plan.sinks.iter().map(|_| Arc::new(Progress::new())).collect(),
            nodes: plan.nodes.iter().map(|_| Arc::default()).collect(),
            late: Arc::default(),
            tables: plan.tables.iter().map(|_| Arc::new(Progress::new())).collect(),
            missing: Arc::default(),
            held: Arc::default(),
        }
    }

    /// Rows that came too late for all their windows, by the statement that met them.
    pub fn late_rows(&self, plan: &Plan) -> BTreeMap<String, u64> {
        let owner = |node: NodeId| Some(plan.nodes[node.0].owner.clone());
        rows_by_name(&self.late, owner, LateCounters::rows)
    }

    /// Rows that each table lacked, by its name.
    pub fn missing_rows(&self, plan: &Plan) -> BTreeMap<String, u64> {
        let table = |node: NodeId| plan.looks_in(node).map(|table| plan.tables[table.0].name.clone());
        rows_by_name(&self.missing, table, MissingCounters::rows)
    }

    /// Rows that have come out of a node.
    pub fn rows_of(&self, plan: &Plan, node: NodeId) -> u64 {
        match &plan.nodes[node.0].kind {
            NodeKind::Source(id) => Progress::get(&self.sources[id.0].delivered),
            NodeKind::Sink(id) => Progress::get(&self.sinks[id.0].delivered),
            NodeKind::TableSink(id) => Progress::get(&self.tables[id.0].delivered),
            NodeKind::Union => plan.nodes[node.0].inputs.iter().map(|input| self.rows_of(plan, *input)).sum(),
            _ => Progress::get(&self.nodes[node.0]),
        }
    }
}

/// The rows that operators counted, by the names of their nodes, where there are some.
fn rows_by_name<T>(
    counted: &Mutex<Vec<(NodeId, Arc<T>)>>,
    name: impl Fn(NodeId) -> Option<String>,
    rows: impl Fn(&T) -> u64,
) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    // Nothing panics while it holds the lock, so it is never poisoned.
    if let Ok(counted) = counted.lock() {
        for (node, counters) in counted.iter() {
            if let Some(name) = name(*node) {
                *found.entry(name).or_insert(0) += rows(counters);
            }
        }
    }
    found.retain(|_, rows| *rows > 0);
    found
}

/// What a finished task leaves.
enum Done {
    Task,
    Sink(String, Box<dyn Sink>, Option<PreparedCommit>),
}

/// Runs `plan` to the end of its inputs. Outputs become visible when every sink has all its rows; on an error none does.
pub async fn run(plan: &Plan, mut options: JobOptions, progress: &JobProgress) -> Result<()> {
    let stages = lower(plan, options.parallelism)?;
    let awaited = stages.awaited(plan);
    let mut wiring = Wiring::new(&stages);
    let mut tasks: JoinSet<Result<Done>> = JoinSet::new();
    // Held by every task but those of sinks.
    let (working, others) = watch::channel(());
    for (sink, letters) in std::mem::take(&mut options.tables.letters) {
        let (sender, receiver) = mpsc::channel(CHANNEL_DEPTH);
        wiring.letters_of_table(&stages, sink, receiver);
        let (others, stop) = (others.clone(), options.stop.clone());
        tasks.spawn(async move { Ok(hand_on_letters(letters, sender, others, stop).await) });
    }
    let work = |tasks: &mut JoinSet<Result<Done>>, task: BoxFuture<'static, Result<()>>| {
        let working = working.clone();
        tasks.spawn(async move {
            let done = task.await;
            drop(working);
            done.map(|()| Done::Task)
        });
    };
    for (at, stage) in stages.stages.iter().enumerate() {
        for task in 0..stage.tasks {
            let inputs = std::mem::take(&mut wiring.inputs[at][task]);
            let outputs = wiring.outputs(&stages, at);
            // Only the ends of a dataflow have no chain, and they make no use of this.
            let (clock, stop) = (options.clock.clone(), options.stop.clone());
            let readers = &options.tables.readers;
            let looked_up = stage.looks_up(plan).iter().filter_map(|table| readers.get(table.0).cloned()).collect();
            let chain = stage.chain(plan, readers, progress)?;
            let drive = Drive::new(chain, outputs, clock, stop, Arc::clone(&progress.held)).with_tables(looked_up);
            let gate = Gate::new(&awaited[at], &options);
            match &stage.kind {
                StageKind::Source(id) => {
                    let chains = (0..options.decoding(plan, *id)).map(|_| stage.chain_by_row(plan, readers, progress));
                    let chains = chains.collect::<Result<_>>()?;
                    let source = Reading::new(plan, *id, chains, drive, &options, progress)?;
                    work(&mut tasks, Box::pin(source.run(gate)));
                }
                StageKind::Values(id) => {
                    let values = ValuesTask::new(&plan.nodes[id.0], drive, *id, &options, progress)?;
                    let run = async move {
                        match gate.open().await? {
                            true => values.run().await,
                            false => values.stop().await,
                        }
                    };
                    work(&mut tasks, Box::pin(run));
                }
                StageKind::TableScan(id) => {
                    let scan = table_scan_task(plan, *id, drive, &options, progress)?;
                    let run = async move {
                        gate.open().await?;
                        scan.run().await
                    };
                    work(&mut tasks, Box::pin(run));
                }
                StageKind::Table(id) => {
                    let table = table_sink_task(plan, *id, Inputs::of_several(inputs), &mut options, progress)?;
                    work(&mut tasks, Box::pin(table.run()));
                }
                StageKind::Operators => {
                    work(&mut tasks, Box::pin(OperatorTask::new(Inputs::of_several(inputs), drive).run()));
                }
                StageKind::Sink(id) => {
                    let sink = sink_task(plan, *id, Inputs::of_several(inputs), &mut options, progress).await?;
                    let name = sink.name.clone();
                    tasks.spawn(
                        async move { sink.run().await.map(|(sink, prepared)| Done::Sink(name, sink, prepared)) },
                    );
                }
            }
        }
    }
    drop((wiring, working));
    finish(tasks, &options.stop).await
}

/// Takes dead letters of a table to their sink. A table may be kept up to date for as long as the job runs: there are no more letters
/// when there is nobody left who reads a row.
async fn hand_on_letters(
    mut letters: mpsc::Receiver<Batch>,
    sink: mpsc::Sender<Element>,
    mut others: watch::Receiver<()>,
    stop: Stop,
) -> Done {
    loop {
        let next = tokio::select! {
            biased;
            next = letters.recv() => next,
            _ = others.changed() => None,
        };
        let last = || if stop.requested() == StopRequest::Stop { Element::Stop } else { Element::End };
        let element = next.map_or_else(last, Element::Batch);
        let over = !matches!(element, Element::Batch(_));
        // A sink that is gone has said why.
        if sink.send(element).await.is_err() || over {
            return Done::Task;
        }
    }
}

/// Waits for all tasks; commits where all went well, else takes everything back.
async fn finish(mut tasks: JoinSet<Result<Done>>, stop: &Stop) -> Result<()> {
    let mut sinks = Vec::new();
    let mut failure: Option<ExecError> = None;
    while let Some(joined) = tasks.join_next().await {
        let result = joined.unwrap_or_else(|panic| Err(ExecError::Internal(panic.to_string())));
        match result {
            Ok(Done::Task) => {}
            Ok(Done::Sink(name, sink, prepared)) => sinks.push((name, sink, prepared)),
            // The task that failed first says why; the others only notice that it is gone.
            Err(ExecError::Stopped) if failure.is_some() => {}
            Err(error) if matches!(failure, None | Some(ExecError::Stopped)) => failure = Some(error),
            Err(_) => {}
        }
        // Statements that have nothing to do with the one that failed would not notice.
        if failure.is_some() && stop.requested() == StopRequest::Run {
            stop.stop();
        }
    }
    for (name, mut sink, prepared) in sinks {
        let done = match (prepared, &failure) {
            (Some(prepared), None) => sink.commit(prepared).await,
            (Some(_), Some(_)) => sink.abort().await,
            (None, _) => Ok(()),
        };
        if let Err(error) = done
            && failure.is_none()
        {
            failure = Some(ExecError::connector(&name, error));
        }
    }
    failure.map_or(Ok(()), Err)
}

/// What must be ready before a task reads anything.
struct Gate {
    tables: Vec<TableId>,
    timeout: Option<Span>,
    wait: Option<WaitForTables>,
    stop: Stop,
}

impl Gate {
    fn new(awaited: &Awaited, options: &JobOptions) -> Self {
        Self {
            tables: awaited.tables.iter().copied().collect(),
            timeout: awaited.timeout,
            wait: options.tables.wait.clone(),
            stop: options.stop.clone(),
        }
    }

    /// Waits until the tables are ready; false where the job was asked to stop before.
    async fn open(self) -> Result<bool> {
        let Some(wait) = self.wait.filter(|_| !self.tables.is_empty()) else { return Ok(true) };
        tokio::select! {
            biased;
            ready = wait(self.tables, self.timeout) => ready.map(|()| true).map_err(|error| ExecError::connector("tables", error)),
            _ = self.stop.asked() => Ok(false),
        }
    }
}

/// A source that is opened, and read once its gate is open.
struct Reading {
    binding: Arc<dyn SourceBinding>,
    request: SourceRequest,
    on_error: OnError,
    time_on_error: OnError,
    watermark: Option<WatermarkProperties>,
    timing: Arc<Timing>,
    by_row: Vec<Chain>,
    drive: Drive,
    stop: Stop,
}

impl Reading {
    fn new(
        plan: &Plan,
        id: SourceId,
        by_row: Vec<Chain>,
        drive: Drive,
        options: &JobOptions,
        progress: &JobProgress,
    ) -> Result<Self> {
        let source = &plan.sources[id.0];
        let output = plan
            .nodes
            .iter()
            .find(|node| matches!(node.kind, NodeKind::Source(found) if found == id))
            .map(|node| Arc::clone(&node.schema))
            .ok_or_else(|| ExecError::Internal(format!("the source {} is in no plan", source.name)))?;
        let timing = Arc::new(Timing::new(source, &output)?);
        let request = SourceRequest {
            name: source.name.clone(),
            ordinal: id.0 as u32,
            declared: Arc::clone(&source.declared),
            columns: timing.columns.clone(),
            batch_rows: options.batch_rows,
            keep_bytes: source.dead_letters.is_some(),
            clock: options.clock.clone(),
            progress: Arc::clone(&progress.sources[id.0]),
        };
        Ok(Self {
            binding: Arc::clone(&source.binding),
            request,
            on_error: source.on_error,
            time_on_error: source.event_time.as_ref().map_or(source.on_error, |time| time.on_error),
            watermark: source.event_time.as_ref().map(|time| time.watermark.clone()),
            timing,
            by_row,
            drive,
            stop: options.stop.clone(),
        })
    }

    async fn run(mut self, gate: Gate) -> Result<()> {
        let rows_as_json = self.request.keep_bytes;
        let (name, clock) = (self.request.name.clone(), self.request.clock.clone());
        let progress = Arc::clone(&self.request.progress);
        // Opened first: where it begins is decided when the job starts, not when its tables are ready.
        let stop = self.stop.clone();
        let opened = tokio::select! {
            biased;
            opened = self.binding.open(self.request) => Some(opened.map_err(|error| ExecError::connector(&name, error))?),
            _ = stop.asked() => None,
        };
        let Some(source) = opened else { return self.drive.offer(InputId(0), Element::Stop).await };
        if !gate.open().await? {
            return self.drive.offer(InputId(0), Element::Stop).await;
        }
        let task = SourceTask {
            name,
            source,
            timing: self.timing,
            on_error: self.on_error,
            time_on_error: self.time_on_error,
            watermark: self.watermark,
            by_row: self.by_row,
            drive: self.drive,
            clock,
            stop: self.stop,
            progress,
            rows_as_json,
            letters: Vec::new(),
        };
        task.run().await
    }
}

fn reader(tables: &JobTables, table: TableId) -> Result<Arc<dyn TableReader>> {
    let lacks = || ExecError::Internal(format!("table {} is not there", table.0));
    tables.readers.get(table.0).cloned().ok_or_else(lacks)
}

fn table_scan_task(
    plan: &Plan,
    id: NodeId,
    drive: Drive,
    options: &JobOptions,
    progress: &JobProgress,
) -> Result<TableScanTask> {
    let node = &plan.nodes[id.0];
    let NodeKind::TableScan(scan) = &node.kind else {
        return Err(ExecError::Internal("a scan of no table".to_owned()));
    };
    Ok(TableScanTask {
        table: reader(&options.tables, scan.table)?,
        scan: scan.clone(),
        schema: Arc::clone(&node.schema),
        batch_rows: options.batch_rows,
        drive,
        stop: options.stop.clone(),
        given: Arc::clone(&progress.nodes[id.0]),
    })
}

fn table_sink_task(
    plan: &Plan,
    id: TableId,
    inputs: Inputs,
    options: &mut JobOptions,
    progress: &JobProgress,
) -> Result<TableSinkTask> {
    let table = &plan.tables[id.0];
    let lacks = || ExecError::Internal(format!("nobody writes the table {}", table.name));
    Ok(TableSinkTask {
        name: table.name.clone(),
        inputs,
        writer: options.tables.writers.remove(&id).ok_or_else(lacks)?,
        bounded: plan.is_settled(id),
        publish: table.upkeep.publish.to_std(),
        clock: options.clock.clone(),
        progress: Arc::clone(&progress.tables[id.0]),
    })
}

async fn sink_task(
    plan: &Plan,
    id: SinkId,
    inputs: Inputs,
    options: &mut JobOptions,
    progress: &JobProgress,
) -> Result<SinkTask> {
    let sink = &plan.sinks[id.0];
    let counters = Arc::clone(&progress.sinks[id.0]);
    let opened = match &sink.binding {
        Some(binding) => {
            let request = SinkRequest {
                name: sink.name.clone(),
                schema: Arc::clone(&sink.schema),
                key: sink.key.clone(),
                mode: sink.mode,
                guarantee: sink.guarantee,
                bounded: sink.bounded,
                after: None,
                clock: options.clock.clone(),
                progress: Arc::clone(&counters),
            };
            binding.open(request).await.map_err(|error| ExecError::connector(&sink.name, error))?
        }
        None => options
            .terminals
            .remove(&id.0)
            .ok_or_else(|| ExecError::Internal(format!("nobody takes the rows of {}", sink.name)))?,
    };
    Ok(SinkTask {
        name: sink.name.clone(),
        inputs,
        sink: opened,
        flush_after: sink.flush.to_std(),
        clock: options.clock.clone(),
        progress: counters,
    })
}

/// The channels into one task, each with the input of its first operator that it belongs to.
type TaskInputs = Vec<(usize, mpsc::Receiver<Element>)>;

/// The channels between stages.
struct Wiring {
    /// Per stage and task, the receivers of its inputs.
    inputs: Vec<Vec<TaskInputs>>,
    /// Per stage, the senders that its tasks take, one set per task, the last task's first.
    senders: Vec<Vec<Vec<Vec<mpsc::Sender<Element>>>>>,
    /// Per stage, where its tasks send rows that they give up, one per task.
    letters: Vec<Vec<mpsc::Sender<Element>>>,
}

impl Wiring {
    fn new(stages: &Stages) -> Self {
        let mut inputs: Vec<Vec<Vec<_>>> =
            stages.stages.iter().map(|stage| (0..stage.tasks).map(|_| Vec::new()).collect()).collect();
        let mut senders: Vec<Vec<Vec<Vec<_>>>> = stages.stages.iter().map(|_| Vec::new()).collect();
        for (from, stage) in stages.stages.iter().enumerate() {
            for _ in 0..stage.tasks {
                let mut edges = Vec::with_capacity(stage.destinations.len());
                for destination in &stage.destinations {
                    let mut edge = Vec::new();
                    for receivers in &mut inputs[destination.input.stage] {
                        let (sender, receiver) = mpsc::channel(CHANNEL_DEPTH);
                        receivers.push((destination.input.input, receiver));
                        edge.push(sender);
                    }
                    edges.push(edge);
                }
                senders[from].push(edges);
            }
        }
        let mut letters: Vec<Vec<_>> = stages.stages.iter().map(|_| Vec::new()).collect();
        for (from, stage) in stages.stages.iter().enumerate() {
            let Some(sink) = stage.dead_letters else { continue };
            let target = stages.sink(sink);
            for _ in 0..stage.tasks {
                if let Some(target) = target {
                    let (sender, receiver) = mpsc::channel(CHANNEL_DEPTH);
                    inputs[target][0].push((0, receiver));
                    letters[from].push(sender);
                }
            }
        }
        Self { inputs, senders, letters }
    }

    /// The sink of the dead letters of a table takes them beside what else it takes.
    fn letters_of_table(&mut self, stages: &Stages, sink: SinkId, letters: mpsc::Receiver<Element>) {
        if let Some(target) = stages.sink(sink) {
            self.inputs[target][0].push((0, letters));
        }
    }

    fn outputs(&mut self, stages: &Stages, stage: usize) -> Outputs {
        let mut outputs = Outputs::new();
        let edges = self.senders[stage].pop().unwrap_or_default();
        for (edge, destination) in edges.into_iter().zip(&stages.stages[stage].destinations) {
            outputs.by_key(edge, destination.key.clone());
        }
        if let Some(letters) = self.letters[stage].pop() {
            outputs.dead_letters_to(letters);
        }
        outputs
    }
}
