//! Systems that cannot prepare: the commit of a transaction is the commit point of a checkpoint, and carries its number.
//!
//! All sinks of a job into such a system share its [`Transactions`], of which a job has at most one. What is in the transaction of a
//! checkpoint whose number the system has is visible; what is in any other never will be. So a checkpoint of which only the manifest
//! was written is valid if and only if the system has its number.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::CheckpointId;
use crate::clock::Clock;
use crate::error::Result;

/// What the transactions of a job need to know.
#[derive(Debug, Clone)]
pub struct TransactionsRequest {
    /// The job's id: what the system knows the job by, in every process that runs it.
    pub job: String,
    /// How long a transaction must be able to stay open.
    pub open_for: Duration,
    /// The clock.
    pub clock: Clock,
}

/// A system with transactions, as a sink's properties name it.
#[async_trait]
pub trait TransactionalSystem: Send + Sync {
    /// What messages call it (`kafka localhost:9092`). Two with the same name are the same system.
    fn name(&self) -> String;

    /// What all sinks of one job into it share. Nothing has changed in the system when this returns.
    async fn connect(&self, request: TransactionsRequest) -> Result<Arc<dyn Transactions>>;
}

/// The transactions of one job in one system. Sinks find their own kind of it in [`super::SinkRequest::transactions`], and downcast.
///
/// The rows of epoch n, which checkpoint n ends, are one transaction. The next one begins ([`Transactions::begin`]) before that is
/// committed, and is committed behind it. An error of any call ends this run of the job; the next one begins with
/// [`Transactions::take_over`].
#[async_trait]
pub trait Transactions: Any + fmt::Debug + Send + Sync {
    /// Makes this process the only one that can write for the job: whoever did before is fenced off, what that left open is aborted,
    /// and a commit that had begun is waited for. Gives the number of the last one that was committed; `None` where the system knows
    /// none (any more).
    async fn take_over(&self) -> Result<Option<CheckpointId>>;

    /// What sinks write from now on belongs to the epoch that this checkpoint ends. They have flushed all of the epoch before.
    async fn begin(&self, checkpoint: CheckpointId) -> Result<()>;

    /// Makes the epoch that this checkpoint ends visible, and its number known, both or neither: also an epoch without rows, and one
    /// that was never begun, which has none.
    ///
    /// # Errors
    ///
    /// Temporary where nobody knows whether it was committed, or where the system has given the transaction up by itself; of kind
    /// [`crate::error::ErrorKind::Fenced`] where another process has taken over.
    async fn commit(&self, checkpoint: CheckpointId) -> Result<()>;
}
