//! What makes a checkpoint valid: its manifest, or the commit of a transaction in the one system that cannot prepare.

use std::sync::Arc;

use velo_core::Clock;
use velo_core::connector::{CheckpointId, TransactionalSystem, Transactions, TransactionsRequest};
use velo_plan::plan::{Plan, SinkNode};

use super::policy::CheckpointPolicy;
use crate::error::{ExecError, Result};

/// The system whose commits make the checkpoints of a job valid.
#[derive(Debug, Clone)]
pub struct CommitPoint {
    system: String,
    transactions: Arc<dyn Transactions>,
}

/// What is known of commits in that system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// The job has no such system.
    NoSystem,
    /// The system knows of no commit of the job.
    Nothing,
    /// The last commit made this checkpoint valid.
    Number(u64),
}

impl CommitPoint {
    /// Connects the system that sinks of `plan` commit in; `None` where none does.
    ///
    /// # Errors
    ///
    /// Where the system cannot be reached.
    pub async fn connect(plan: &Plan, job: &str, policy: &CheckpointPolicy, clock: &Clock) -> Result<Option<Self>> {
        let mut systems = plan.sinks.iter().filter_map(SinkNode::commits_in);
        let Some(found) = systems.next() else { return Ok(None) };
        let system = found.name();
        // The planner has seen to that.
        if let Some(other) = systems.map(TransactionalSystem::name).find(|other| *other != system) {
            return Err(ExecError::Internal(format!("{system} and {other} would have to commit at once")));
        }
        // A transaction is open for an interval, and while the checkpoint before it is made; the rest is room for a slow start.
        let open_for = policy.interval.to_std() * 3 + policy.timeout.to_std();
        let request = TransactionsRequest { job: job.to_owned(), open_for, clock: clock.clone() };
        let transactions = found.connect(request).await.map_err(|error| ExecError::connector(&system, error))?;
        Ok(Some(Self { system, transactions }))
    }

    /// What messages call the system.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// The transactions, for sinks.
    pub(crate) fn transactions(&self) -> &Arc<dyn Transactions> {
        &self.transactions
    }

    fn error(&self, error: velo_core::ConnectorError) -> ExecError {
        ExecError::connector(&self.system, error)
    }

    /// Fences off whoever ran the job before, and asks what was committed.
    pub async fn take_over(&self) -> Result<Committed> {
        let last = self.transactions.take_over().await.map_err(|error| self.error(error))?;
        Ok(last.map_or(Committed::Nothing, |checkpoint| Committed::Number(checkpoint.0)))
    }

    /// Says what it goes on from, where the system knows nothing of the job: from then on it knows whether a later checkpoint was
    /// committed.
    pub async fn goes_on_from(&self, committed: Committed, number: u64) -> Result<()> {
        match committed {
            Committed::Nothing => self.commit(number).await,
            Committed::NoSystem | Committed::Number(_) => Ok(()),
        }
    }

    /// Begins the epoch that this checkpoint ends.
    pub(crate) async fn begin(&self, number: u64) -> Result<()> {
        self.transactions.begin(CheckpointId(number)).await.map_err(|error| self.error(error))
    }

    /// Makes this checkpoint valid.
    pub(crate) async fn commit(&self, number: u64) -> Result<()> {
        self.transactions.commit(CheckpointId(number)).await.map_err(|error| self.error(error))
    }
}
