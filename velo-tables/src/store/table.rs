//! A table for whoever reads it: the version that stands, who follows it, and whether it is ready.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use velo_core::connector::CheckpointId;
use velo_core::error::{ConnectorError, ErrorKind, Result};
use velo_core::lookup::{AsOfReader, MemoryBudget, TableChanges, TableReader, TableVersion};
use velo_core::offset::SourceOffset;
use velo_core::time::Watermark;

use crate::store::follow::{Content, Event, Follower, Queue};
use crate::store::lookup::Version;
use crate::store::ops::Delta;
use crate::store::snapshot::Snapshot;
use crate::store::state::{Shape, State};
use crate::store::writer::Writer;

/// What a table is made from.
#[derive(Debug, Clone)]
pub struct StoreSpec {
    /// Its name in the script.
    pub name: String,
    /// Its columns; the event time hidden and last ([`velo_core::schema`]), where its rows have one.
    pub schema: SchemaRef,
    /// The places of the key's columns; none: rows are only added, and taken back whole.
    pub key: Vec<usize>,
    /// Whether the key may have NULLs, which are one value there as GROUP BY has it; whoever looks NULL up finds nothing. Else a row
    /// with one is refused.
    pub null_keys: bool,
    /// The places of the columns of each index; the key, where there is one, is the first.
    pub indexes: Vec<Vec<usize>>,
    /// Whether rows can be asked for as they were at an event time. Needs a key and an event time.
    pub keeps_versions: bool,
    /// Where it counts.
    pub counters: Arc<TableCounters>,
    /// What bounds the memory that it takes; none: nothing does.
    pub budget: Option<Arc<dyn MemoryBudget>>,
}

/// What a table counts; anyone may read it at any time.
#[derive(Debug, Default)]
pub struct TableCounters {
    /// Rows of the version that stands.
    pub rows: AtomicU64,
    /// Plain inserts that replaced a row under the same key.
    pub replaced: AtomicU64,
    /// Deletes of keys, or of rows, that were not there.
    pub absent: AtomicU64,
    /// Versions that were published.
    pub versions: AtomicU64,
    /// Bytes that the version that stands holds.
    pub memory: AtomicU64,
}

/// Counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCounts {
    /// As [`TableCounters::rows`].
    pub rows: u64,
    /// As [`TableCounters::replaced`].
    pub replaced: u64,
    /// As [`TableCounters::absent`].
    pub absent: u64,
    /// As [`TableCounters::versions`].
    pub versions: u64,
    /// As [`TableCounters::memory`].
    pub memory: u64,
}

impl TableCounters {
    /// All of them now.
    pub fn counts(&self) -> TableCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TableCounts {
            rows: get(&self.rows),
            replaced: get(&self.replaced),
            absent: get(&self.absent),
            versions: get(&self.versions),
            memory: get(&self.memory),
        }
    }
}

/// An empty table, for those who read it and for the one who writes it.
///
/// # Errors
///
/// Where the table cannot be kept so: an index over a column that cannot be compared, versions without key or event time.
pub fn table(spec: StoreSpec) -> Result<(Arc<Table>, Writer)> {
    let shape = Arc::new(Shape::new(&spec)?);
    let state = State::new(&shape);
    let version = Version::new(0, false, Watermark::NONE, state.clone());
    let table = Arc::new(Table {
        shape,
        current: ArcSwap::from_pointee(version),
        news: watch::Sender::new((0, Watermark::NONE)),
        life: watch::Sender::new(Life::Loading),
        followers: Mutex::default(),
        as_of_readers: Mutex::default(),
        in_checkpoints: AtomicBool::new(false),
        counters: spec.counters,
        budget: spec.budget,
    });
    Ok((Arc::clone(&table), Writer::new(table, state)))
}

/// How far a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Life {
    Loading,
    Ready,
    Failed(String),
}

/// Who follows a table, and what they are told when they begin.
#[derive(Debug)]
pub(crate) struct Followers {
    queues: Vec<std::sync::Weak<Queue>>,
    ready: bool,
    ended: bool,
    failed: Option<String>,
    watermark: Watermark,
    /// The checkpoint whose barrier went through last.
    barrier: CheckpointId,
}

impl Default for Followers {
    fn default() -> Self {
        let (watermark, barrier) = (Watermark::NONE, CheckpointId(0));
        Self { queues: Vec::new(), ready: false, ended: false, failed: None, watermark, barrier }
    }
}

impl Followers {
    fn tell(&mut self, event: impl Fn() -> Event) {
        self.queues.retain(|queue| {
            let queue = queue.upgrade();
            if let Some(queue) = &queue {
                queue.push(event());
            }
            queue.is_some()
        });
    }
}

/// A table that is kept in memory.
pub struct Table {
    shape: Arc<Shape>,
    current: ArcSwap<Version>,
    /// Number and watermark of the version that stands.
    news: watch::Sender<(u64, Watermark)>,
    life: watch::Sender<Life>,
    /// Held while a version takes the place of another, so that one who begins to follow sees it either in the content or as
    /// a change.
    followers: Mutex<Followers>,
    as_of_readers: Mutex<Vec<std::sync::Weak<AsOfReader>>>,
    in_checkpoints: AtomicBool,
    counters: Arc<TableCounters>,
    budget: Option<Arc<dyn MemoryBudget>>,
}

impl Table {
    /// What it counts.
    pub fn counters(&self) -> &Arc<TableCounters> {
        &self.counters
    }

    /// It goes into checkpoints, and who asks for rows as of event times from now on can be sent back to the last of them: what may be
    /// asked for then is kept.
    pub fn keep_for_checkpoints(&self) {
        self.in_checkpoints.store(true, Ordering::Relaxed);
    }

    /// The barrier of a checkpoint goes through: those who follow the table are told between the changes of the version that stands
    /// and those of the next. Gives that version, for which the source was read up to `offset`.
    pub(crate) fn barrier(&self, checkpoint: CheckpointId, offset: Option<SourceOffset>) -> Snapshot {
        let mut followers = self.followers();
        followers.barrier = checkpoint;
        followers.tell(|| Event::Barrier(checkpoint));
        Snapshot::new(self.current(), self.counters.counts(), offset)
    }

    /// One who follows the table from the version that stands on, whose content is given first.
    fn follower(&self, content: impl FnOnce(&Version) -> Option<Content>) -> Follower {
        let mut followers = self.followers();
        let queue = Arc::new(Queue::default());
        if followers.ready {
            queue.push(Event::CaughtUp);
        }
        if followers.watermark > Watermark::NONE {
            queue.push(Event::Watermark(followers.watermark));
        }
        if followers.ended {
            queue.push(Event::End);
        }
        if let Some(message) = &followers.failed {
            queue.push(Event::Failed(message.clone()));
        }
        followers.queues.push(Arc::downgrade(&queue));
        let (current, barrier) = (self.current(), followers.barrier);
        drop(followers);
        Follower::new(queue, content(&current), barrier)
    }

    /// The version that stands.
    pub(crate) fn current(&self) -> Arc<Version> {
        self.current.load_full()
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who follow it now.
    pub(crate) fn queues(&self) -> Vec<Arc<Queue>> {
        self.followers().queues.iter().filter_map(std::sync::Weak::upgrade).collect()
    }

    fn as_of_readers(&self) -> MutexGuard<'_, Vec<std::sync::Weak<AsOfReader>>> {
        self.as_of_readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first event time that anyone may still ask for; nothing while nobody does.
    pub(crate) fn asked_from(&self) -> Option<Watermark> {
        let mut readers = self.as_of_readers();
        readers.retain(|reader| reader.strong_count() > 0);
        readers.iter().filter_map(std::sync::Weak::upgrade).map(|reader| reader.asks_from()).min()
    }

    /// Makes `state` the next version.
    pub(crate) fn publish(&self, state: State, delta: Option<Delta>, last: bool) {
        let mut followers = self.followers();
        let before = self.current();
        let version = Version::new(before.number() + 1, last, before.watermark(), state);
        let news = (version.number(), version.watermark());
        self.count(&version);
        self.counters.versions.fetch_add(1, Ordering::Relaxed);
        self.current.store(Arc::new(version));
        if let Some(delta) = delta {
            followers.tell(|| Event::Delta(delta.clone()));
        }
        drop(followers);
        self.news.send_replace(news);
    }

    /// Has the version that stands lie elsewhere.
    pub(crate) fn move_to(&self, state: State) {
        let version = self.current().moved(state);
        self.count(&version);
        self.current.store(Arc::new(version));
    }

    fn count(&self, version: &Version) {
        self.counters.rows.store(version.rows(), Ordering::Relaxed);
        self.counters.memory.store(version.memory() as u64, Ordering::Relaxed);
    }

    /// Tells the budget that the one who writes keeps so many bytes.
    ///
    /// # Errors
    ///
    /// Where there is no room for them.
    pub(crate) fn charge(&self, bytes: impl FnOnce() -> usize) -> Result<()> {
        self.budget.as_ref().map_or(Ok(()), |budget| budget.keeps(bytes()))
    }

    /// Moves the watermark forward.
    pub(crate) fn advance(&self, watermark: Watermark) {
        let mut followers = self.followers();
        if watermark <= followers.watermark {
            return;
        }
        followers.watermark = watermark;
        let current = self.current();
        current.advance(watermark);
        followers.tell(|| Event::Watermark(watermark));
        drop(followers);
        self.news.send_replace((current.number(), watermark));
    }

    /// The table is ready.
    pub(crate) fn set_ready(&self) {
        let mut followers = self.followers();
        if !followers.ready {
            followers.ready = true;
            followers.tell(|| Event::CaughtUp);
            self.life.send_replace(Life::Ready);
        }
    }

    /// The table cannot change any more.
    pub(crate) fn end(&self) {
        let mut followers = self.followers();
        if !followers.ended {
            followers.ended = true;
            followers.tell(|| Event::End);
        }
    }

    /// The table gets no more changes, and is not ready where it was not.
    pub(crate) fn fail(&self, message: &str) {
        let mut followers = self.followers();
        if followers.ended || followers.failed.is_some() {
            return;
        }
        followers.failed = Some(message.to_owned());
        followers.tell(|| Event::Failed(message.to_owned()));
        if !followers.ready {
            self.life.send_replace(Life::Failed(message.to_owned()));
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current();
        f.debug_struct("Table")
            .field("name", &self.shape.name)
            .field("version", &current.number())
            .field("rows", &current.rows())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableReader for Table {
    fn name(&self) -> &str {
        &self.shape.name
    }

    fn schema(&self) -> &SchemaRef {
        &self.shape.schema
    }

    async fn ready(&self) -> Result<()> {
        let mut news = self.life.subscribe();
        let life = news.wait_for(|life| *life != Life::Loading).await.map(|life| life.clone());
        match life {
            Ok(Life::Ready) => Ok(()),
            Ok(Life::Failed(message)) => {
                Err(ConnectorError::new(ErrorKind::Unavailable, "waiting for a table", message))
            }
            // The sender is the table itself.
            Ok(Life::Loading) | Err(_) => std::future::pending().await,
        }
    }

    fn version(&self) -> Arc<dyn TableVersion> {
        self.current()
    }

    async fn changed(&self, number: u64, watermark: Watermark) {
        let mut news = self.news.subscribe();
        if news.wait_for(|news| news.0 != number || news.1 > watermark).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn as_of_reader(&self) -> Arc<AsOfReader> {
        let reader = match self.in_checkpoints.load(Ordering::Relaxed) {
            true => Arc::new(AsOfReader::in_checkpoints()),
            false => Arc::new(AsOfReader::default()),
        };
        self.as_of_readers().push(Arc::downgrade(&reader));
        reader
    }

    fn follow(&self) -> Box<dyn TableChanges> {
        Box::new(self.follower(|current| {
            Some(match current.state().histories {
                Some(_) => Content::Versions(Delta::of_versions(current.state())),
                None => Content::Rows(current.state().scan()),
            })
        }))
    }

    fn follow_on(&self) -> Box<dyn TableChanges> {
        Box::new(self.follower(|_| None))
    }
}
