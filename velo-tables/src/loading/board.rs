//! Where everybody sees how the tables stand: the loader writes it, gates, events and health read it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, watch};
use velo_core::Clock;
use velo_core::connector::SizeHint;
use velo_core::lookup::TableReader;
use velo_core::offset::SourceOffset;
use velo_core::progress::Progress;
use velo_core::resilience::Connection;

use crate::loading::events::{Events, KEPT, TableEvent};
use crate::loading::graph::{TableGraph, TableNumber};
use crate::loading::progress::{Counts, Course};
use crate::loading::status::{Condition, Summary, TableHealth, TableState, TableStatus};

/// A table on the board.
#[derive(Debug)]
pub(crate) struct Entry {
    reader: Arc<dyn TableReader>,
    /// What its sources count in.
    counters: Vec<Arc<Progress>>,
    connection: Option<Arc<Connection>>,
    /// When it last began or became ready.
    moved: AtomicI64,
    /// How far the source was read for the version that stands; held while another one takes its place.
    reached: tokio::sync::Mutex<Option<SourceOffset>>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: TableState,
    course: Course,
    upkeep: Freshness,
    /// What the last update showed.
    shown: Counts,
}

/// How fresh a table is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Freshness {
    pub(crate) fresh_as_of: Option<i64>,
    pub(crate) refreshes: u64,
    pub(crate) failed: u32,
    pub(crate) error: Option<String>,
    pub(crate) next: Option<i64>,
}

impl Entry {
    pub(crate) fn new(
        reader: Arc<dyn TableReader>,
        counters: Vec<Arc<Progress>>,
        connection: Option<Arc<Connection>>,
    ) -> Self {
        let inner = Inner {
            state: TableState::Queued,
            course: Course::default(),
            upkeep: Freshness::default(),
            shown: Counts::default(),
        };
        Self {
            reader,
            counters,
            connection,
            moved: AtomicI64::new(i64::MIN),
            reached: tokio::sync::Mutex::default(),
            inner: Mutex::new(inner),
        }
    }

    /// Whose source was read up to `offset` for the version that stands.
    pub(crate) fn with_reached(self, offset: Option<SourceOffset>) -> Self {
        Self { reached: tokio::sync::Mutex::new(offset), ..self }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What anybody sees of the tables.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) graph: TableGraph,
    pub(crate) clock: Clock,
    entries: Vec<Entry>,
    changed: watch::Sender<u64>,
    events: broadcast::Sender<TableEvent>,
}

impl Board {
    pub(crate) fn new(graph: TableGraph, clock: Clock, entries: Vec<Entry>) -> Self {
        Self { graph, clock, entries, changed: watch::Sender::new(0), events: broadcast::Sender::new(KEPT) }
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = TableNumber> + use<> {
        (0..self.entries.len()).map(TableNumber)
    }

    pub(crate) fn name(&self, number: TableNumber) -> &str {
        self.graph.table(number).map_or("", |table| &table.name)
    }

    pub(crate) fn reader(&self, number: TableNumber) -> &Arc<dyn TableReader> {
        &self.entries[number.0].reader
    }

    /// Told at each change of a state.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn state(&self, number: TableNumber) -> TableState {
        self.entries[number.0].lock().state.clone()
    }

    /// What a table's sources have counted.
    pub(crate) fn counts(&self, number: TableNumber) -> Counts {
        Counts::of(&self.entries[number.0].counters)
    }

    /// When a table last began or became ready.
    pub(crate) fn moved(&self, number: TableNumber) -> i64 {
        self.entries[number.0].moved.load(Ordering::Acquire)
    }

    /// A table has another state.
    pub(crate) fn set(&self, number: TableNumber, state: TableState) {
        let (now, at) = (self.clock.now(), self.clock.wall());
        let entry = &self.entries[number.0];
        {
            let mut inner = entry.lock();
            if inner.state == state || inner.state.is_lost() {
                return;
            }
            let begins = matches!(state, TableState::Opening | TableState::Loading) && inner.course.started.is_none();
            if begins {
                inner.course.begin(now, Counts::of(&entry.counters));
            }
            if begins || state == TableState::Ready {
                entry.moved.store(now, Ordering::Release);
            }
            if state == TableState::Ready || state.is_lost() {
                inner.course.finished.get_or_insert(now);
            }
            inner.shown = Counts::of(&entry.counters);
            inner.state = state.clone();
        }
        self.changed.send_modify(|changes| *changes += 1);
        if self.events.receiver_count() == 0 {
            return;
        }
        let table = self.status(number);
        self.tell(match state {
            TableState::Ready => TableEvent::TableCompleted { at, table },
            TableState::Failed { error } => TableEvent::TableFailed { at, table, error },
            TableState::Blocked { by } => {
                TableEvent::TableFailed { at, table, error: format!("it needs '{by}', which will never be ready") }
            }
            _ => TableEvent::TableUpdate { at, table },
        });
        self.tell(TableEvent::SummaryUpdate { at, summary: Summary::of(&self.statuses()) });
    }

    /// An attempt to load a table begins.
    pub(crate) fn attempt(&self, number: TableNumber) {
        let entry = &self.entries[number.0];
        entry.lock().course.begin(self.clock.now(), Counts::of(&entry.counters));
    }

    /// The size of a table is known.
    pub(crate) fn size(&self, number: TableNumber, size: SizeHint) {
        self.entries[number.0].lock().course.size = size;
    }

    /// How far the source was read for the version that stands. While it is held, no other one takes its place.
    pub(crate) async fn reached(&self, number: TableNumber) -> tokio::sync::MutexGuard<'_, Option<SourceOffset>> {
        self.entries[number.0].reached.lock().await
    }

    /// Something about how fresh a table is has changed.
    pub(crate) fn freshness(&self, number: TableNumber, change: impl FnOnce(&mut Freshness)) {
        change(&mut self.entries[number.0].lock().upkeep);
    }

    pub(crate) fn status(&self, number: TableNumber) -> TableStatus {
        let entry = &self.entries[number.0];
        let inner = entry.lock();
        let figures = inner.course.figures(self.clock.now(), Counts::of(&entry.counters));
        TableStatus {
            name: self.name(number).to_owned(),
            state: inner.state.clone(),
            records: figures.counts.records,
            bytes: figures.counts.bytes,
            total_records: inner.course.size.rows,
            total_bytes: inner.course.size.bytes,
            percent: figures.percent.map(rounded),
            records_rate: rounded(figures.recent.0),
            records_rate_overall: rounded(figures.overall.0),
            bytes_rate: rounded(figures.recent.1),
            bytes_rate_overall: rounded(figures.overall.1),
            estimated_completion: figures.estimated_completion,
            started: inner.course.started,
            finished: inner.course.finished,
        }
    }

    pub(crate) fn statuses(&self) -> Vec<TableStatus> {
        self.numbers().map(|number| self.status(number)).collect()
    }

    pub(crate) fn health(&self, number: TableNumber) -> TableHealth {
        let entry = &self.entries[number.0];
        let version = entry.reader.version();
        let sum = |pick: fn(&Progress) -> u64| entry.counters.iter().map(|progress| pick(progress)).sum();
        let inner = entry.lock();
        let upkeep = inner.upkeep.clone();
        let condition = match &inner.state {
            TableState::Ready if upkeep.failed > 0 => Condition::Stale,
            TableState::Ready => Condition::Healthy,
            state if state.is_lost() => Condition::Unhealthy,
            _ => Condition::Starting,
        };
        TableHealth {
            name: self.name(number).to_owned(),
            condition,
            state: inner.state.clone(),
            rows: version.rows(),
            memory: version.memory(),
            version: version.number(),
            delivered: sum(|progress| Progress::get(&progress.delivered)),
            skipped: sum(|progress| Progress::get(&progress.skipped)),
            dead_letters: sum(|progress| Progress::get(&progress.dead_letters)),
            fresh_as_of: upkeep.fresh_as_of,
            refreshes: upkeep.refreshes,
            failed_refreshes: upkeep.failed,
            refresh_error: upkeep.error,
            next_refresh: upkeep.next,
            connection: entry.connection.as_ref().map(|connection| connection.health()),
        }
    }

    /// How everything stands.
    pub(crate) fn snapshot(&self) -> TableEvent {
        let tables = self.statuses();
        TableEvent::InitialSnapshot { at: self.clock.wall(), summary: Summary::of(&tables), tables }
    }

    pub(crate) fn subscribe(self: &Arc<Self>) -> Events {
        // Subscribed before the snapshot is made, so that nothing between the two is missed.
        let rest = self.events.subscribe();
        Events::new(self.snapshot(), rest, Arc::downgrade(self))
    }

    /// The clock says that it is time to look at the counters; whether there was anything to tell.
    pub(crate) fn tick(&self) -> bool {
        let (now, at) = (self.clock.now(), self.clock.wall());
        let mut told = false;
        for number in self.numbers() {
            let entry = &self.entries[number.0];
            let counts = Counts::of(&entry.counters);
            let grown = {
                let mut inner = entry.lock();
                inner.course.sample(now, counts);
                std::mem::replace(&mut inner.shown, counts) != counts
            };
            if grown {
                self.tell(TableEvent::TableUpdate { at, table: self.status(number) });
                told = true;
            }
        }
        if told {
            self.tell(TableEvent::SummaryUpdate { at, summary: Summary::of(&self.statuses()) });
        }
        told
    }

    pub(crate) fn keep_alive(&self) {
        self.tell(TableEvent::KeepAlive { at: self.clock.wall() });
    }

    fn tell(&self, event: TableEvent) {
        // Without a reader there is nobody to be told.
        self.events.send(event).map(drop).unwrap_or_default();
    }
}

/// A figure for people: with one digit behind the point.
fn rounded(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}
