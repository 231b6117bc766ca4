//! What is said about a table before it is loaded: where its rows come from, what is made of them, and how it is kept up to date.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use velo_core::connector::{SourceBinding, SourceRequest, TableDataSource};
use velo_core::dead_letter::DeadLetter;
use velo_core::duration::Span;
use velo_core::lookup::{TableReader, TableWriter};
use velo_core::offset::SourceOffset;
use velo_core::progress::Progress;
use velo_core::resilience::{Connection, RetryPolicy};
use velo_core::{Batch, Result};

use crate::loading::graph::{Declared, TableNumber};

/// A table that is to be loaded and kept.
#[derive(Debug)]
pub struct TableSpec {
    /// Its name in the script.
    pub name: String,
    /// Where it was declared, as `line:column`.
    pub place: String,
    /// The tables that must be ready before it can be loaded.
    pub needs: Vec<TableNumber>,
    /// Where its rows come from.
    pub feed: Feed,
}

impl TableSpec {
    /// The table as far as the order goes.
    pub fn declared(&self) -> Declared {
        Declared { name: self.name.clone(), place: self.place.clone(), needs: self.needs.clone() }
    }
}

/// Where the rows of a table come from.
#[derive(Debug)]
pub enum Feed {
    /// An external system: loaded here.
    Source(Box<SourceFeed>),
    /// A query: its dataflow has the writer, and says when the table is ready.
    Elsewhere {
        /// The table.
        reader: Arc<dyn TableReader>,
        /// The counters of what feeds it, for progress.
        progress: Vec<Arc<Progress>>,
    },
}

/// A table that is loaded from an external system.
pub struct SourceFeed {
    /// The system's side.
    pub source: TableSource,
    /// The way into the table.
    pub writer: Box<dyn Reload>,
    /// The table.
    pub reader: Arc<dyn TableReader>,
    /// What makes rows of the table from rows of the source: event times, computed columns, filters.
    pub prepare: Prepare,
    /// What happens to a record that cannot be decoded.
    pub on_bad: OnBad,
    /// What happens to a row that [`SourceFeed::prepare`] refused.
    pub on_refused: OnBad,
    /// Where dead letters go.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// The counters that the source counts in: those of its request.
    pub progress: Arc<Progress>,
    /// The connection to the system, which tables of the same system share.
    pub connection: Arc<Connection>,
    /// How often a load is tried, and how soon.
    pub retry: RetryPolicy,
    /// How the table is kept up to date.
    pub upkeep: Upkeep,
    /// How far the content that the writer has already was loaded, from an earlier run.
    pub saved: Option<SourceOffset>,
}

impl fmt::Debug for SourceFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFeed").field("reader", &self.reader).field("upkeep", &self.upkeep).finish_non_exhaustive()
    }
}

/// The system that a table is loaded from.
#[derive(Clone)]
pub enum TableSource {
    /// It is open.
    Open(Arc<dyn TableDataSource>),
    /// It is opened when it is the table's turn, and again after a failure. Opening may wait, for a file that is not there yet.
    Binding(Arc<dyn SourceBinding>, SourceRequest),
}

impl TableSource {
    pub(crate) async fn open(&self) -> Result<Arc<dyn TableDataSource>> {
        match self {
            Self::Open(source) => Ok(Arc::clone(source)),
            Self::Binding(binding, request) => binding.open_table(request.clone()).await,
        }
    }
}

/// Rows of the table.
#[derive(Debug)]
pub struct Prepared {
    /// The rows that can be used, with the columns of the table.
    pub rows: Batch,
    /// The others.
    pub refused: Vec<DeadLetter>,
}

/// Makes rows of the table from rows of its source. Called for each batch, in order.
pub type Prepare = Arc<dyn Fn(Batch) -> Result<Prepared> + Send + Sync>;

/// What happens to a record that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBad {
    /// The load fails, with the place of the record.
    #[default]
    Fail,
    /// It is left out, and counted.
    Skip,
    /// It goes to the dead letters.
    DeadLetter,
}

/// Takes records that could not be used.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Takes the letters of one load, when it has succeeded: a load that fails is made again and has them again.
    async fn take(&self, letters: Vec<DeadLetter>) -> Result<()>;
}

/// How a table is kept up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Upkeep {
    /// Whether the source ends by itself. Without a refresh the table cannot change any more then.
    pub bounded: bool,
    /// How often what came after the load is asked for.
    pub refresh: Option<Span>,
    /// How often all is loaded again, which finds deletes that nothing else shows.
    pub reload: Option<Span>,
    /// Whether it begins empty, with what comes after the start.
    pub from_latest: bool,
    /// How far event times may be behind the start of the refresh that brings them.
    pub max_out_of_orderness: Span,
}

/// How often a source that does not end by itself is asked for what came, where nothing else is said.
const FOLLOW: Span = Span(1_000_000);

impl Upkeep {
    /// How often what came is asked for; none where the table cannot change any more.
    pub fn every(&self) -> Option<Span> {
        self.refresh.or((!self.bounded && self.reload.is_none()).then_some(FOLLOW))
    }

    /// Whether the table cannot change any more once it is loaded.
    pub fn is_settled(&self) -> bool {
        self.every().is_none() && self.reload.is_none()
    }
}

/// A writer that can replace the whole content of its table: what is applied between beginning and committing is a new content, which
/// takes the place of the old one as a difference. Readers see nothing of it before.
#[async_trait]
pub trait Reload: TableWriter {
    /// What is applied from now on is a whole new content.
    fn begin_reload(&mut self) -> Result<()>;

    /// The new content is complete, and published: rows that it lacks are gone, rows that differ have changed, the others stay.
    async fn commit_reload(&mut self) -> Result<()>;

    /// Forgets what was applied since [`Reload::begin_reload`].
    fn abort_reload(&mut self);
}

#[async_trait]
impl Reload for crate::store::Writer {
    fn begin_reload(&mut self) -> Result<()> {
        Self::begin_reload(self)
    }

    async fn commit_reload(&mut self) -> Result<()> {
        Self::commit_reload(self).await
    }

    fn abort_reload(&mut self) {
        Self::abort_reload(self);
    }
}
