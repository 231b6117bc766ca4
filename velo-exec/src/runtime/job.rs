//! A plan running: channels between the stages, tasks on tokio, and the coordinator that has the sinks commit.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use velo_core::connector::{CommitKind, PreparedCommit, Sink, SinkRequest};
use velo_core::duration::Span;
use velo_core::lookup::{LoadedTable, TableChanges, TableReader, TableWriter};
use velo_core::progress::Progress;
use velo_core::{Batch, Clock};
use velo_plan::plan::{NodeId, NodeKind, Plan, SinkId, SinkNode, SourceId, TableFeed, TableId, TableScan};

use super::drive::Kept;
use super::reading::{Gate, Reading};
use super::schedule::{Schedule, Tasks};
use super::wiring::Wiring;
use super::{
    CHANNEL_DEPTH, Drive, Following, Inputs, JobProgress, LoadedTableTask, OperatorTask, RowsGiven, SinkTask, Stop,
    StopRequest, TableScanTask, TableSinkTask, ValuesTask,
};
use crate::checkpoint::{
    Asked, Checkpoints, CommitPoint, Coordinator, Line, Manifest, Next, Participants, Report, Resumed, Share, aside,
};
use crate::error::{ExecError, Result};
use crate::operator::Element;
use crate::physical::{ChainContext, Names, StageKind, loaded, lower};
use crate::spill::MemoryPool;

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
    /// Where its checkpoints go, and what it goes on from; none where it has no `checkpoint.dir`.
    pub checkpoints: Option<Checkpoints>,
    /// The system whose commits make its checkpoints valid, where sinks share its transactions. It has been taken over.
    pub commit_point: Option<CommitPoint>,
    /// How much memory its state may take.
    pub memory: Arc<MemoryPool>,
    /// Decides in which order tasks go on; none: the runtime does.
    pub schedule: Option<Schedule>,
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
    /// The writers of those that queries make; what the checkpoint kept of them that the job goes on from has been taken up.
    pub writers: BTreeMap<TableId, Box<dyn TableWriter>>,
    /// Those over connectors of which checkpoints keep the rows ([`crate::physical::loaded`]), where the job makes some.
    pub loaded: BTreeMap<TableId, Arc<dyn LoadedTable>>,
    /// Of a job that goes on from a checkpoint: for each node that gives a table as rows the changes since.
    pub since: BTreeMap<NodeId, Box<dyn TableChanges>>,
    /// Dead letters of tables as rows of the sink that they are for, till nobody sends any more, or reads the tables.
    pub letters: Vec<(SinkId, mpsc::Receiver<Batch>)>,
    /// Nothing that reads a table, or is connected with what does, is given a row before this says so.
    pub wait: Option<WaitForTables>,
}

/// Runs `plan` to the end of its inputs, or until it is stopped. Without checkpoints outputs become visible when every sink has all
/// its rows, and on an error none does.
pub async fn run(plan: &Arc<Plan>, mut options: JobOptions, progress: &JobProgress) -> Result<()> {
    progress.begin();
    let stages = lower(plan, options.parallelism)?;
    let names = Names::new(plan);
    let awaited = stages.awaited(plan);
    let mut checkpoints = options.checkpoints.take();
    // What no checkpoint has to do with.
    let apart = if checkpoints.is_some() { stages.made_anew(plan) } else { stages.makes_tables() };
    // What goes on only so that others find it has no reader any more when these have ended.
    let serves = if stages.has_sinks() { stages.makes_tables() } else { vec![false; stages.stages.len()] };
    let (all, serving) = (options.stop.clone(), Stop::new());
    let stop_of = |at: usize| if serves[at] { serving.clone() } else { all.clone() };
    let mut resumed = checkpoints.as_mut().and_then(|checkpoints| checkpoints.resumed.take());
    let switchboard = Switchboard::new(&checkpoints);
    let (mut wiring, without_barriers) = Wiring::new(&stages, &apart);
    let mut tasks = Tasks::new(options.schedule.take());
    let of_tables = std::mem::take(&mut options.tables.letters).into_iter();
    let of_tables = of_tables.map(|(sink, letters)| (sink, Letters::OfTable(letters)));
    let of_stages = without_barriers.into_iter().map(|(sink, letters)| (sink, Letters::OfStage(letters)));
    for (sink, letters) in of_tables.chain(of_stages) {
        let (sender, receiver) = mpsc::channel(CHANNEL_DEPTH);
        wiring.letters_for(&stages, sink, receiver);
        tasks.spawn(hand_on_letters(letters, sender, switchboard.line(0), options.stop.clone()));
    }
    let mut participants = Participants::default();
    for table in loaded(plan).filter(|_| checkpoints.is_some()) {
        tasks.spawn(loaded_table_task(plan, table, (&names, switchboard.line(0)), &mut options, progress)?.run());
        participants.tasks += 1;
    }
    let mut loads = Vec::new();
    for (at, stage) in stages.stages.iter().enumerate() {
        for task in 0..stage.tasks {
            let outputs = wiring.outputs(&stages, at);
            let (clock, stop) = (options.clock.clone(), stop_of(at));
            let readers = &options.tables.readers;
            let looked_up = stage.looks_up(plan).iter().filter_map(|table| readers.get(table.0).cloned()).collect();
            let context = ChainContext { plan, names: &names, tables: readers, progress, memory: &options.memory };
            let chain = stage.chain(context)?;
            let line = match (apart[at], serves[at]) {
                (true, _) => Line::none(),
                (false, true) => switchboard.line(task).not_awaited(),
                (false, false) => switchboard.line(task),
            };
            // Only the ends of a dataflow have no chain, and they make no use of this.
            let drive = Drive::new(chain, outputs, clock, stop, Arc::clone(&progress.held))
                .with_tables(looked_up)
                .with_line(line);
            let resumed = resumed.as_mut().filter(|_| !apart[at]);
            let kept = resumed.map(|resumed| drive.kept(resumed, Share { task, tasks: stage.tasks }));
            loads.push(loaded_drive(drive, kept));
        }
    }
    // No row goes anywhere before all states are there.
    let mut drives = stream::iter(loads).buffered(cores()).try_collect::<Vec<_>>().await?.into_iter();
    for (at, stage) in stages.stages.iter().enumerate() {
        for task in 0..stage.tasks {
            let inputs = Inputs::of_several(std::mem::take(&mut wiring.inputs[at][task]));
            options.stop = stop_of(at);
            let stop = options.stop.clone();
            let readers = &options.tables.readers;
            let context = ChainContext { plan, names: &names, tables: readers, progress, memory: &options.memory };
            let drive = drives.next().ok_or_else(|| ExecError::Internal("a task without its operators".to_owned()))?;
            let line = drive.line();
            if !apart[at] {
                participants.add(&stage.kind, &names, serves[at]);
            }
            let before = |name: &str| resumed.as_ref().and_then(|resumed| resumed.manifest.sources.get(name)).cloned();
            let given = |id: NodeId| {
                let name = names.node(id);
                RowsGiven::behind(name.to_owned(), &before(name).unwrap_or_default())
            };
            let gate = Gate::new(&awaited[at], &options);
            match &stage.kind {
                StageKind::Source(id) => {
                    let chains = (0..options.decoding(plan, *id)).map(|_| stage.chain_by_row(context));
                    let chains = (chains.collect::<Result<_>>()?, stage.counted_by_row(context));
                    let name = names.source(id.0);
                    let before = before(name).filter(|_| !apart[at]).unwrap_or_default();
                    let source = Reading::new(plan, *id, (name, before), chains, drive, &options, progress)?;
                    tasks.spawn(source.run(gate));
                }
                StageKind::Values(id) => {
                    let values = ValuesTask::new(&plan.nodes[id.0], drive, *id, given(*id), &options, progress)?;
                    tasks.spawn(values.run(gate.open()));
                }
                StageKind::TableScan(id) => {
                    let given = given(*id);
                    let saved = (names.node(*id), resumed.as_mut());
                    let following = following(plan, *id, saved, (&line, &given), &mut options)?;
                    let scan = table_scan_task(plan, *id, drive, (given, following), &options, progress)?;
                    tasks.spawn(scan.run(gate.open()));
                }
                StageKind::Table(id) => {
                    let name = names.table(*id).to_owned();
                    tasks.spawn(table_sink_task(plan, *id, (name, line), inputs, &mut options, progress)?.run());
                }
                StageKind::Operators => {
                    tasks.spawn(OperatorTask::new(inputs, drive, stop).run(gate.open()));
                }
                StageKind::Sink(id) => {
                    let name = names.sink(id.0);
                    let after = resumed.as_ref().and_then(|resumed| resumed.manifest.sinks.get(name)).cloned();
                    progress.sinks[id.0]
                        .count_from(&after.as_ref().map(|saved| saved.counters.clone()).unwrap_or_default());
                    let after = after.map(|saved| saved.prepared);
                    let sink = sink_task(plan, *id, (name, after), (inputs, line), &mut options, progress).await?;
                    if sink.sink.commit_kind() == CommitKind::Atomic {
                        participants.sharing.insert(name.to_owned());
                    }
                    tasks.spawn(sink.run());
                }
            }
        }
    }
    // Of a state that several tasks have shared out nothing is needed any more.
    drop((wiring, resumed));
    let plan = names.plan(plan);
    let what = (checkpoints, options.commit_point.take());
    let coordinator = switchboard.coordinator(what, plan, participants, &options.clock, &all);
    tasks.spawn(hand_on_stop(all.clone(), serving.clone()));
    let coordinator = tasks.spawn(async move {
        let result = coordinator.run().await;
        serving.stop();
        result
    });
    finish(tasks.set, &coordinator, &all).await
}

/// Asks those that serve others to stop when all are asked to; ends when they are.
async fn hand_on_stop(all: Stop, serving: Stop) -> Result<()> {
    tokio::select! {
        request = all.asked() => match request {
            StopRequest::Finish => serving.finish(),
            StopRequest::Run | StopRequest::Stop => serving.stop(),
        },
        _ = serving.asked() => {}
    }
    Ok(())
}

/// Has the operators of a task take up what they kept. Where that is much it goes on beside other tasks'.
async fn loaded_drive(mut drive: Drive, kept: Option<Kept>) -> Result<Drive> {
    let Some(kept) = kept else { return Ok(drive) };
    aside(kept.bytes(), move || drive.load(kept).map(|()| drive)).await?
}

/// So many tasks can work at the same time.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Finishes the last commit of a run that had ended: every sink of `plan` shows what the manifest says.
pub async fn commit_again(
    plan: &Plan,
    manifest: &Manifest,
    commit_point: Option<&CommitPoint>,
    clock: &Clock,
    progress: &JobProgress,
) -> Result<()> {
    let names = Names::new(plan);
    for (at, source) in progress.sources.iter().enumerate() {
        if let Some(saved) = manifest.sources.get(names.source(at)) {
            source.count_from(&saved.counters);
        }
    }
    for (at, sink) in plan.sinks.iter().enumerate() {
        let saved = manifest.sinks.get(names.sink(at));
        let (Some(binding), Some(saved)) = (&sink.binding, saved) else { continue };
        progress.sinks[at].count_from(&saved.counters);
        let request = sink_request(sink, Some(saved.prepared.clone()), commit_point, clock, &progress.sinks[at]);
        let failed = |error| ExecError::connector(&sink.name, error);
        let mut opened = binding.open(request).await.map_err(failed)?;
        opened.commit(saved.prepared.clone()).await.map_err(failed)?;
    }
    Ok(())
}

fn sink_request(
    sink: &SinkNode,
    after: Option<PreparedCommit>,
    commit_point: Option<&CommitPoint>,
    clock: &Clock,
    progress: &Arc<Progress>,
) -> SinkRequest {
    SinkRequest {
        name: sink.name.clone(),
        schema: Arc::clone(&sink.schema),
        key: sink.key.clone(),
        mode: sink.mode,
        guarantee: sink.guarantee,
        bounded: sink.bounded,
        after,
        transactions: commit_point.map(|point| Arc::clone(point.transactions())),
        clock: clock.clone(),
        progress: Arc::clone(progress),
    }
}

/// Between the coordinator, which is made last, and the tasks that it counts.
struct Switchboard {
    asked: watch::Sender<Asked>,
    asks: watch::Receiver<Asked>,
    reports: mpsc::UnboundedSender<Report>,
    reported: mpsc::UnboundedReceiver<Report>,
    saves: bool,
}

impl Switchboard {
    fn new(checkpoints: &Option<Checkpoints>) -> Self {
        let (asked, asks) = watch::channel(Asked::default());
        let (reports, reported) = mpsc::unbounded_channel();
        Self { asked, asks, reports, reported, saves: checkpoints.is_some() }
    }

    fn line(&self, task: usize) -> Line {
        Line::new(self.asks.clone(), self.reports.clone(), task, self.saves)
    }

    fn coordinator(
        self,
        what: (Option<Checkpoints>, Option<CommitPoint>),
        plan: BTreeMap<String, String>,
        participants: Participants,
        clock: &Clock,
        stop: &Stop,
    ) -> Coordinator {
        Coordinator::new(what, plan, participants, self.asked, self.reported, clock.clone(), stop.clone())
    }
}

impl Participants {
    /// One more task of a stage, which may only serve others.
    fn add(&mut self, kind: &StageKind, names: &Names, serves: bool) {
        match kind {
            StageKind::Source(_) | StageKind::Values(_) | StageKind::TableScan(_) | StageKind::Operators if serves => {
                self.tasks += 1;
            }
            StageKind::Source(_) | StageKind::Values(_) | StageKind::TableScan(_) | StageKind::Operators => {
                self.tasks += 1;
                self.ending += 1;
            }
            StageKind::Table(_) => self.tasks += 1,
            StageKind::Sink(id) => drop(self.sinks.insert(names.sink(id.0).to_owned())),
        }
    }
}

/// Dead letters from where no barriers come.
enum Letters {
    /// Of a table that is loaded.
    OfTable(mpsc::Receiver<Batch>),
    /// Of a stage that checkpoints have nothing to do with.
    OfStage(mpsc::Receiver<Element>),
}

impl Letters {
    /// The next ones; `None` when nobody sends any more.
    async fn next(&mut self) -> Option<Batch> {
        match self {
            Self::OfTable(letters) => letters.recv().await,
            Self::OfStage(letters) => loop {
                if let Element::Batch(letters) = letters.recv().await? {
                    return Some(letters);
                }
            },
        }
    }
}

/// Takes dead letters of a table, or of what makes one, to their sink, which gets the barriers of the job with them. A table may be kept
/// up to date for as long as the job runs: there are no more letters when there is nobody left who reads a row.
async fn hand_on_letters(mut letters: Letters, sink: mpsc::Sender<Element>, line: Line, stop: Stop) -> Result<()> {
    let handed_on = hand_on(&mut letters, sink, line, stop).await;
    // A stage may still have some, and its end, to hand over: it is not to find nobody there.
    if let Letters::OfStage(rest) = &mut letters {
        while rest.recv().await.is_some() {}
    }
    handed_on
}

async fn hand_on(letters: &mut Letters, sink: mpsc::Sender<Element>, mut line: Line, stop: Stop) -> Result<()> {
    // A sink that is gone has said why.
    let gone = |_| ExecError::Stopped;
    let (mut open, mut receiving) = (true, true);
    let mut ending = line.clone();
    loop {
        tokio::select! {
            biased;
            next = letters.next(), if receiving => match next {
                Some(letters) if open => sink.send(Element::Batch(letters)).await.map_err(gone)?,
                // Whoever still makes some is not to wait for a place for them.
                Some(_) => {}
                None => {
                    receiving = false;
                    if std::mem::take(&mut open) {
                        sink.send(Element::End).await.map_err(gone)?;
                    }
                }
            },
            () = ending.ending(), if open => {
                open = false;
                sink.send(Element::End).await.map_err(gone)?;
            }
            next = line.next() => match next {
                Next::Barrier { checkpoint, last } => {
                    line.given(checkpoint);
                    sink.send(Element::Barrier(checkpoint)).await.map_err(gone)?;
                    if last {
                        return sink.send(Element::Stop).await.map_err(gone);
                    }
                }
                Next::Over => return Ok(()),
            },
            request = stop.asked(), if open && !line.saves() => {
                open = false;
                let last = if request == StopRequest::Stop { Element::Stop } else { Element::End };
                sink.send(last).await.map_err(gone)?;
            }
        }
    }
}

/// Waits for all tasks; the error that came first stops all.
async fn finish(mut tasks: JoinSet<Result<()>>, coordinator: &AbortHandle, stop: &Stop) -> Result<()> {
    let mut failure: Option<ExecError> = None;
    while let Some(joined) = tasks.join_next().await {
        let result = match joined {
            Ok(result) => result,
            Err(aborted) if aborted.is_cancelled() => Err(ExecError::Stopped),
            Err(panic) => Err(ExecError::Internal(panic.to_string())),
        };
        match result {
            Ok(()) => {}
            // The task that failed first says why; the others only notice that it is gone.
            Err(ExecError::Stopped) if failure.is_some() => {}
            Err(error) if matches!(failure, None | Some(ExecError::Stopped)) => failure = Some(error),
            Err(_) => {}
        }
        if failure.is_some() {
            // Nothing is committed any more, and whoever waits for that is told.
            coordinator.abort();
            // Statements that have nothing to do with the one that failed would not notice.
            if stop.requested() == StopRequest::Run {
                stop.stop();
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

fn reader(tables: &JobTables, table: TableId) -> Result<Arc<dyn TableReader>> {
    let lacks = || ExecError::Internal(format!("table {} is not there", table.0));
    tables.readers.get(table.0).cloned().ok_or_else(lacks)
}

/// How a table is followed that goes on changing while checkpoints are made; nothing of another one.
fn following(
    plan: &Plan,
    id: NodeId,
    (name, resumed): (&str, Option<&mut Resumed>),
    (line, given): (&Line, &RowsGiven),
    options: &mut JobOptions,
) -> Result<Option<Following>> {
    let table = scanned(plan, id)?.table;
    if !line.saves() || plan.is_settled(table) {
        return Ok(None);
    }
    // Where nothing was given, it begins with the content.
    let since = options.tables.since.remove(&id).filter(|_| given.rows() > 0);
    if given.rows() > 0 && since.is_none() {
        return Err(ExecError::Internal(format!(
            "nobody kept what changes in the table {}",
            plan.tables[table.0].name
        )));
    }
    let (before, mut state) = match resumed {
        Some(resumed) => {
            (resumed.manifest.sources.get(name).cloned().unwrap_or_default(), resumed.operator(name, Share::WHOLE))
        }
        None => Default::default(),
    };
    let schema = &plan.tables[table.0].schema;
    Following::new(name.to_owned(), &before, &mut state, schema, since).map(Some)
}

fn scanned(plan: &Plan, id: NodeId) -> Result<&TableScan> {
    match &plan.nodes[id.0].kind {
        NodeKind::TableScan(scan) => Ok(scan),
        _ => Err(ExecError::Internal("a scan of no table".to_owned())),
    }
}

fn table_scan_task(
    plan: &Plan,
    id: NodeId,
    drive: Drive,
    (rows_given, following): (RowsGiven, Option<Following>),
    options: &JobOptions,
    progress: &JobProgress,
) -> Result<TableScanTask> {
    let scan = scanned(plan, id)?;
    Ok(TableScanTask {
        table: reader(&options.tables, scan.table)?,
        scan: scan.clone(),
        schema: Arc::clone(&plan.nodes[id.0].schema),
        batch_rows: options.batch_rows,
        drive,
        stop: options.stop.clone(),
        given: Arc::clone(&progress.nodes[id.0]),
        rows_given,
        ends: matches!(plan.tables[scan.table.0].feed, TableFeed::Query(_)),
        following,
    })
}

fn loaded_table_task(
    plan: &Plan,
    id: TableId,
    (names, line): (&Names, Line),
    options: &mut JobOptions,
    progress: &JobProgress,
) -> Result<LoadedTableTask> {
    let name = plan.tables[id.0].name.clone();
    let lacks = || ExecError::Internal(format!("nobody saves the table {name}"));
    let table = options.tables.loaded.remove(&id).ok_or_else(lacks)?;
    let progress = Arc::clone(&progress.tables[id.0]);
    Ok(LoadedTableTask { saved_as: names.table(id).to_owned(), table, progress, line, name })
}

fn table_sink_task(
    plan: &Plan,
    id: TableId,
    (saved_as, line): (String, Line),
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
        line,
        saved_as,
    })
}

async fn sink_task(
    plan: &Plan,
    id: SinkId,
    (saved_as, after): (&str, Option<PreparedCommit>),
    (inputs, line): (Inputs, Line),
    options: &mut JobOptions,
    progress: &JobProgress,
) -> Result<SinkTask> {
    let sink = &plan.sinks[id.0];
    let counters = Arc::clone(&progress.sinks[id.0]);
    let opened = match &sink.binding {
        Some(binding) => {
            let request = sink_request(sink, after.clone(), options.commit_point.as_ref(), &options.clock, &counters);
            binding.open(request).await.map_err(|error| ExecError::connector(&sink.name, error))?
        }
        None => options
            .terminals
            .remove(&id.0)
            .ok_or_else(|| ExecError::Internal(format!("nobody takes the rows of {}", sink.name)))?,
    };
    Ok(SinkTask {
        name: sink.name.clone(),
        saved_as: saved_as.to_owned(),
        inputs,
        sink: opened,
        with_event_time: sink.binding.as_ref().is_some_and(|binding| binding.takes_event_time()),
        flush_after: sink.flush.to_std(),
        clock: options.clock.clone(),
        progress: counters,
        line,
        after,
    })
}
