//! All tables of a job: each begins to load the moment what it needs is ready, so many at once and no more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinSet};
use velo_core::connector::CheckpointId;
use velo_core::lookup::{LoadedTable, TableReader, TableSnapshot};
use velo_core::{Clock, Result};

use crate::loading::board::{Board, Entry};
use crate::loading::events::Events;
use crate::loading::graph::{GraphError, TableGraph, TableNumber};
use crate::loading::readiness::Gate;
use crate::loading::refresh::Keeper;
use crate::loading::spec::{Feed, SourceFeed, TableSpec};
use crate::loading::status::{Summary, TableHealth, TableState, TableStatus};
use crate::store::Table;

/// How tables are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadSettings {
    /// How many tables are loaded at once; one at least.
    pub parallelism: usize,
    /// How often counters are looked at for events and rates.
    pub tick: Duration,
    /// After so many ticks without an event there is a [`crate::TableEvent::KeepAlive`].
    pub keep_alive: u32,
    /// Decides how the delays between attempts are spread.
    pub seed: u64,
}

impl Default for LoadSettings {
    fn default() -> Self {
        Self { parallelism: 4, tick: Duration::from_secs(1), keep_alive: 15, seed: 0 }
    }
}

/// The tables of a job, being loaded and kept. Dropping it ends both; what was published can still be read.
#[derive(Debug)]
pub struct Tables {
    board: Arc<Board>,
    task: AbortHandle,
}

impl Tables {
    /// Begins to load. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// Where tables need each other, or one that is not there; nothing is begun then.
    pub fn start(specs: Vec<TableSpec>, settings: LoadSettings, clock: Clock) -> Result<Self, GraphError> {
        let graph = TableGraph::new(specs.iter().map(TableSpec::declared).collect())?;
        let (mut entries, mut work) = (Vec::new(), BTreeMap::new());
        for (number, spec) in specs.into_iter().enumerate() {
            let number = TableNumber(number);
            match spec.feed {
                Feed::Source(feed) => {
                    let counters = vec![Arc::clone(&feed.progress)];
                    let entry = Entry::new(Arc::clone(&feed.reader), counters, Some(Arc::clone(&feed.connection)));
                    entries.push(entry.with_reached(feed.saved.clone()));
                    work.insert(number, Work::Load(feed));
                }
                Feed::Elsewhere { reader, progress } => {
                    entries.push(Entry::new(Arc::clone(&reader), progress, None));
                    work.insert(number, Work::Await(reader));
                }
            }
        }
        let board = Arc::new(Board::new(graph, clock, entries));
        let loader = Loader::new(Arc::clone(&board), work, settings);
        let task = tokio::spawn(loader.run()).abort_handle();
        Ok(Self { board, task })
    }

    /// Waits for tables.
    pub fn gate(&self) -> Gate {
        Gate::new(Arc::clone(&self.board))
    }

    /// The tables and what each needs.
    pub fn graph(&self) -> &TableGraph {
        &self.board.graph
    }

    /// How far each table is, as they were declared.
    pub fn status(&self) -> Vec<TableStatus> {
        self.board.statuses()
    }

    /// All tables together.
    pub fn summary(&self) -> Summary {
        Summary::of(&self.status())
    }

    /// How each table is doing, as they were declared.
    pub fn health(&self) -> Vec<TableHealth> {
        self.board.numbers().map(|number| self.board.health(number)).collect()
    }

    /// What happens from now on, beginning with how everything stands.
    pub fn subscribe(&self) -> Events {
        self.board.subscribe()
    }

    /// One of the tables that are loaded here, for the checkpoints of the job. What one keeps is given back at a start
    /// ([`SourceFeed::saved`], and the rows to the writer): only what came after is loaded then.
    pub fn for_checkpoints(&self, number: TableNumber, table: Arc<Table>) -> Arc<dyn LoadedTable> {
        table.keep_for_checkpoints();
        Arc::new(InCheckpoints { board: Arc::clone(&self.board), number, table })
    }

    /// Waits until each table is ready or never will be.
    pub async fn settled(&self) {
        let mut changes = self.board.watch();
        loop {
            changes.borrow_and_update();
            let settled = |state: TableState| state == TableState::Ready || state.is_lost();
            if self.board.numbers().all(|number| settled(self.board.state(number))) {
                return;
            }
            // The board lives as long as the tables, so that there is always somebody to tell of changes.
            changes.changed().await.unwrap_or_default();
        }
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A table whose loader and the barriers of checkpoints take turns.
struct InCheckpoints {
    board: Arc<Board>,
    number: TableNumber,
    table: Arc<Table>,
}

#[async_trait]
impl LoadedTable for InCheckpoints {
    async fn barrier(&self, checkpoint: CheckpointId) -> Result<Option<Box<dyn TableSnapshot>>> {
        // While this is held, no other version takes the place of the one that stands.
        let reached = self.board.reached(self.number).await;
        let snapshot = self.table.barrier(checkpoint, reached.clone());
        Ok(reached.is_some().then(|| Box::new(snapshot) as Box<dyn TableSnapshot>))
    }
}

/// What is to be done about a table.
enum Work {
    Load(Box<SourceFeed>),
    Await(Arc<dyn TableReader>),
}

/// Starts what can be started, and passes on what became of it.
struct Loader {
    board: Arc<Board>,
    /// What has not begun.
    work: BTreeMap<TableNumber, Work>,
    settings: LoadSettings,
    /// The tables that are loaded just now.
    loading: BTreeSet<TableNumber>,
    tasks: JoinSet<()>,
    owners: HashMap<Id, TableNumber>,
    over: mpsc::UnboundedSender<TableNumber>,
    overs: mpsc::UnboundedReceiver<TableNumber>,
}

impl Loader {
    fn new(board: Arc<Board>, work: BTreeMap<TableNumber, Work>, settings: LoadSettings) -> Self {
        let (over, overs) = mpsc::unbounded_channel();
        let (loading, tasks, owners) = (BTreeSet::new(), JoinSet::new(), HashMap::new());
        Self { board, work, settings, loading, tasks, owners, over, overs }
    }

    async fn run(mut self) {
        let clock = self.board.clock.clone();
        let mut quiet = 0;
        let mut tick = clock.now();
        loop {
            self.block();
            self.begin();
            tokio::select! {
                biased;
                over = self.overs.recv() => {
                    // Those that ended together make room together: the first declared goes first.
                    let mut next = over;
                    while let Some(number) = next {
                        self.loading.remove(&number);
                        next = self.overs.try_recv().ok();
                    }
                }
                Some(joined) = self.tasks.join_next_with_id() => match joined {
                    Ok((id, ())) => drop(self.owners.remove(&id)),
                    Err(error) => self.stopped(&error),
                },
                () = clock.sleep_until(tick) => {
                    tick = clock.after(self.settings.tick);
                    quiet = if self.board.tick() { 0 } else { quiet + 1 };
                    if quiet >= self.settings.keep_alive.max(1) {
                        self.board.keep_alive();
                        quiet = 0;
                    }
                }
            }
        }
    }

    /// Gives up what needs a table that will never be ready.
    fn block(&mut self) {
        let board = Arc::clone(&self.board);
        for number in board.graph.order() {
            let lost = board.graph.needs(*number).into_iter().find(|need| board.state(*need).is_lost());
            let Some(by) = lost.filter(|_| self.work.contains_key(number)) else { continue };
            let by = board.name(by).to_owned();
            if let Some(Work::Load(mut feed)) = self.work.remove(number) {
                let name = board.name(*number);
                feed.writer.fail(format!("table '{name}' is blocked by '{by}', which will never be ready"));
            }
            board.set(*number, TableState::Blocked { by });
        }
    }

    /// Begins what can begin, in the order of declaration.
    fn begin(&mut self) {
        let board = Arc::clone(&self.board);
        for number in self.work.keys().copied().collect::<Vec<_>>() {
            let needs = board.graph.needs(number).into_iter();
            let missing = needs.filter(|need| board.state(*need) != TableState::Ready);
            let on: Vec<String> = missing.map(|need| board.name(need).to_owned()).collect();
            let waits = !on.is_empty();
            match self.work.get(&number) {
                Some(_) if waits => board.set(number, TableState::Waiting { on }),
                Some(Work::Load(_)) if self.loading.len() >= self.settings.parallelism.max(1) => {
                    board.set(number, TableState::Queued);
                }
                _ => self.spawn(number),
            }
        }
    }

    fn spawn(&mut self, number: TableNumber) {
        let Some(work) = self.work.remove(&number) else { return };
        let (board, over) = (Arc::clone(&self.board), self.over.clone());
        // Where the loader is gone, nobody is there to be told.
        let over = move || over.send(number).unwrap_or_default();
        let task = match work {
            Work::Load(feed) => {
                self.loading.insert(number);
                let seed = self.settings.seed.wrapping_add(number.0 as u64);
                self.tasks.spawn(Keeper { board, number, feed: *feed, seed }.run(over))
            }
            Work::Await(reader) => {
                board.set(number, TableState::Loading);
                self.tasks.spawn(async move {
                    match reader.ready().await {
                        Ok(()) => board.set(number, TableState::Ready),
                        Err(error) => board.set(number, TableState::Failed { error: error.to_string() }),
                    }
                    over();
                })
            }
        };
        self.owners.insert(task.id(), number);
    }

    /// A task did not end by itself.
    fn stopped(&mut self, error: &tokio::task::JoinError) {
        let Some(number) = self.owners.remove(&error.id()) else { return };
        self.loading.remove(&number);
        tracing::error!(table = self.board.name(number), %error, "the loader of a table stopped");
        let error = format!("its loader stopped unexpectedly: {error}");
        self.board.set(number, TableState::Failed { error });
    }
}
