//! The two-phase sink: written, prepared at a barrier, committed.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Transactions;
use crate::batch::Batch;
use crate::clock::Clock;
use crate::error::Result;
use crate::progress::Progress;

/// The number of a checkpoint; only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CheckpointId(pub u64);

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How a changelog is written (SPEC: `changelog.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangelogMode {
    /// Inserts only.
    Append,
    /// `+I` and `+U` plainly under the key, `-D` as a delete.
    Upsert,
    /// All four kinds, with a column `_op` first.
    Full,
    /// Debezium envelopes.
    Debezium,
}

/// Whether a sink writes Debezium's envelopes, each of which says what happens to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Envelopes {
    /// It cannot.
    Never,
    /// Where `changelog.mode` says so.
    Chosen,
    /// Its format has nothing else.
    Always,
}

/// What a restart may repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guarantee {
    /// Rows become visible at checkpoints, once.
    ExactlyOnce,
    /// Rows become visible at once; a restart may repeat some.
    AtLeastOnce,
}

/// How a sink's rows become visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommitKind {
    /// [`Sink::prepare`] makes an epoch durable and invisible, and [`Sink::commit`] can be repeated.
    Prepared,
    /// It cannot prepare: the commit of a transaction is the commit point of the checkpoint itself ([`Transactions`]).
    /// [`Sink::prepare`] hands everything on into the transaction of the epoch, and [`Sink::commit`] has nothing left to do.
    Atomic,
    /// Visible at once; a barrier only flushes.
    Direct,
}

/// What a sink needs to know to open.
#[derive(Debug, Clone)]
pub struct SinkRequest {
    /// The name in the script.
    pub name: String,
    /// The columns that are written, in order, without hidden ones.
    pub schema: SchemaRef,
    /// The key columns' places in `schema`; empty without a key.
    pub key: Vec<usize>,
    /// How changes are written.
    pub mode: ChangelogMode,
    /// What is promised.
    pub guarantee: Guarantee,
    /// Whether all inputs end: the output then appears whole or not at all.
    pub bounded: bool,
    /// The last epoch of the run that this one goes on behind. Everything that was written later is gone, whatever of it there is
    /// outside; the caller commits the epoch again before it writes a row. `None`: the output begins anew.
    pub after: Option<PreparedCommit>,
    /// The transactions that all sinks of the job share which are in the same system ([`super::SinkBinding::transactional`]).
    pub transactions: Option<Arc<dyn Transactions>>,
    /// The clock.
    pub clock: Clock,
    /// Counters to keep.
    pub progress: Arc<Progress>,
}

/// An epoch that is durable and not yet visible; a checkpoint keeps it until it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedCommit {
    /// The checkpoint it belongs to.
    pub checkpoint: CheckpointId,
    /// What the sink needs to finish it, also after a restart.
    pub state: serde_json::Value,
}

/// A place where rows go. Batches arrive without hidden columns.
///
/// The rows come in *epochs*. At each checkpoint [`Sink::prepare`] ends one; rows of the next may be written before the commit of
/// the one that was prepared, which comes before the next one is prepared. A job without checkpoints has one epoch. Of a
/// `bounded` sink nothing appears before the commit of the epoch that [`Sink::end`] has announced; the commits of earlier ones only
/// say that a later run may go on behind them ([`SinkRequest::after`]).
#[async_trait]
pub trait Sink: Send {
    /// Takes a batch; may buffer it.
    async fn write(&mut self, batch: Batch) -> Result<()>;

    /// Hands on what is buffered, so that a reader of a [`CommitKind::Direct`] sink sees it. Called when the input pauses.
    async fn flush(&mut self) -> Result<()>;

    /// All inputs have ended: the epoch that is prepared next is the last one. A [`CommitKind::Direct`] sink is told too when the job is
    /// stopped: nothing more comes.
    async fn end(&mut self) -> Result<()> {
        Ok(())
    }

    /// Makes the epoch durable, not yet visible. What it gives is enough to commit the epoch, and to go on behind it, in another
    /// process.
    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit>;

    /// Makes a prepared epoch visible. Idempotent: repeated after a crash, also one of another process
    /// ([`SinkRequest::after`]), and also where that had the job's next epoch begun already.
    async fn commit(&mut self, prepared: PreparedCommit) -> Result<()>;

    /// Gives up what is not committed, so that nothing half-written stays: no later run goes on behind it. A sink that is dropped
    /// without this leaves what was prepared, and nothing else.
    async fn abort(&mut self) -> Result<()>;

    /// How its rows become visible.
    fn commit_kind(&self) -> CommitKind;
}

/// A sink that shows each row at once, and keeps nothing that a later run could go on behind: a [`Sink`] of
/// [`CommitKind::Direct`].
#[async_trait]
pub trait DirectSink: Send {
    /// Takes a batch; may buffer it.
    async fn show(&mut self, batch: Batch) -> Result<()>;

    /// Hands on what is buffered.
    async fn hand_on(&mut self) -> Result<()> {
        Ok(())
    }

    /// All inputs have ended, or the job is stopped: nothing more comes.
    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl<T: DirectSink> Sink for T {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.show(batch).await
    }

    async fn flush(&mut self) -> Result<()> {
        self.hand_on().await
    }

    async fn end(&mut self) -> Result<()> {
        self.close().await
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        self.hand_on().await?;
        Ok(PreparedCommit { checkpoint: id, state: serde_json::Value::Null })
    }

    async fn commit(&mut self, _: PreparedCommit) -> Result<()> {
        Ok(())
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }

    fn commit_kind(&self) -> CommitKind {
        CommitKind::Direct
    }
}
