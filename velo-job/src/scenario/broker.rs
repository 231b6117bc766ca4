//! A broker with transactions as Kafka has them, for simulations: a model of what can go wrong with them.
//!
//! A job has two producers, of which epoch n uses n mod 2. Taking over fences whoever had them before, aborts what they left open, and
//! waits for a commit that had begun, which is done whatever becomes of who asked for it, and which nobody sees before it is. A
//! transaction that stays open for too long is aborted by the broker itself.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use velo_core::connector::{
    CheckpointId, CommitKind, PreparedCommit, Sink, SinkRequest, TransactionalSystem, Transactions, TransactionsRequest,
};
use velo_core::error::ErrorKind;
use velo_core::{Batch, ConnectorError, Result};

use super::killed::{Fate, SharedFate};
use super::sink::{Kept, troubled};

/// The broker. All copies are the same.
#[derive(Clone, Default)]
pub(super) struct Broker(Arc<Mutex<State>>, SharedFate);

#[derive(Default)]
struct State {
    /// How often it was taken over: who did so last may write.
    owner: u64,
    producers: [Producer; 2],
    /// A commit that has begun and is not done.
    ending: Option<(CheckpointId, Rows)>,
    /// What the last commit carried.
    committed: Option<CheckpointId>,
}

/// Rows with the place where they will be seen.
type Rows = Vec<(Kept, Batch)>;

#[derive(Default)]
struct Producer {
    /// The epoch of its last transaction.
    epoch: Option<CheckpointId>,
    /// What is in that, as long as it is open.
    open: Option<Rows>,
}

impl State {
    /// Ends a commit that has begun.
    fn settle(&mut self) {
        let Some((checkpoint, rows)) = self.ending.take() else { return };
        for (kept, batch) in rows {
            kept.show(vec![batch]);
        }
        self.committed = Some(checkpoint);
    }

    fn of(&mut self, epoch: CheckpointId) -> &mut Producer {
        &mut self.producers[(epoch.0 % 2) as usize]
    }

    /// The open transaction of an epoch.
    fn open(&mut self, epoch: CheckpointId) -> Result<&mut Option<Rows>> {
        let producer = self.of(epoch);
        if producer.epoch != Some(epoch) {
            return Err(wrong(format!("there is no transaction for checkpoint {epoch}")));
        }
        if producer.open.is_none() {
            let message = format!("the transaction for checkpoint {epoch} was open for too long, and was aborted");
            return Err(ConnectorError::new(ErrorKind::Unavailable, "writing in a transaction", message).temporary());
        }
        Ok(&mut producer.open)
    }
}

/// What a correct job never does.
fn wrong(message: String) -> ConnectorError {
    ConnectorError::new(ErrorKind::Configuration, "using a transaction", message)
}

impl Broker {
    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked did so elsewhere: nothing here is left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that fails when that is the fate of the attempt that uses it.
    pub(super) fn with_fate(fate: SharedFate) -> Self {
        Self(Arc::default(), fate)
    }

    /// The end of what has begun: some time after the last word of a job.
    pub(super) fn settle(&self) {
        self.state().settle();
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a broker")
    }
}

#[async_trait]
impl TransactionalSystem for Broker {
    fn name(&self) -> String {
        "the scenario's broker".to_owned()
    }

    async fn connect(&self, _: TransactionsRequest) -> Result<Arc<dyn Transactions>> {
        Ok(Arc::new(Session {
            broker: self.clone(),
            fate: self.1.now(),
            owner: Mutex::default(),
            epoch: Mutex::default(),
        }))
    }
}

/// What one attempt of a job has of it.
struct Session {
    broker: Broker,
    fate: Option<Arc<Fate>>,
    /// Which take-over it was.
    owner: Mutex<u64>,
    /// The epoch that is written.
    epoch: Mutex<Option<CheckpointId>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("transactions of a broker")
    }
}

fn value<T: Copy>(of: &Mutex<T>) -> T {
    *of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// Makes a call, as far as trouble allows.
    fn call<T>(&self, operation: &'static str, call: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let expires = self.fate.as_ref().is_some_and(|fate| fate.expires());
        troubled(self.fate.as_ref(), operation, || {
            let mut state = self.broker.state();
            if expires {
                // What has no rows was never begun at the broker.
                for producer in &mut state.producers {
                    producer.open.take_if(|rows| !rows.is_empty());
                }
            }
            if state.owner != value(&self.owner) {
                return Err(ConnectorError::new(ErrorKind::Fenced, operation, "another process has taken over"));
            }
            call(&mut state)
        })
    }

    fn write(&self, kept: &Kept, batch: Batch) -> Result<()> {
        let epoch = value(&self.epoch).ok_or_else(|| wrong("a row came before the first transaction".to_owned()))?;
        self.call("writing", |state| {
            state.open(epoch)?.get_or_insert_default().push((kept.clone(), batch));
            Ok(())
        })
    }
}

#[async_trait]
impl Transactions for Session {
    async fn take_over(&self) -> Result<Option<CheckpointId>> {
        troubled(self.fate.as_ref(), "taking over", || {
            let mut state = self.broker.state();
            state.owner += 1;
            *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = state.owner;
            state.producers = Default::default();
            state.settle();
            Ok(state.committed)
        })
    }

    async fn begin(&self, checkpoint: CheckpointId) -> Result<()> {
        self.call("beginning", |state| {
            let producer = state.of(checkpoint);
            if let (Some(epoch), Some(_)) = (producer.epoch, &producer.open) {
                return Err(wrong(format!("the transaction for checkpoint {epoch} is still open")));
            }
            *producer = Producer { epoch: Some(checkpoint), open: Some(Rows::new()) };
            Ok(())
        })?;
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint);
        Ok(())
    }

    async fn commit(&self, checkpoint: CheckpointId) -> Result<()> {
        self.call("committing", |state| {
            if state.committed >= Some(checkpoint) || state.ending.is_some() {
                return Err(wrong(format!("checkpoint {checkpoint} is committed behind {:?}", state.committed)));
            }
            let never_begun = state.producers.iter().all(|producer| producer.epoch.is_none());
            let rows = if never_begun { None } else { state.open(checkpoint)?.take() };
            state.ending = Some((checkpoint, rows.unwrap_or_default()));
            Ok(())
        })?;
        // Others go on before it is done, and the process may be gone by then.
        for _ in 0..self.fate.as_ref().map_or(0, |fate| fate.delay()) {
            tokio::task::yield_now().await;
        }
        let mut state = self.broker.state();
        if state.ending.as_ref().is_some_and(|(ending, _)| *ending == checkpoint) {
            state.settle();
        }
        Ok(())
    }
}

/// A sink whose rows go in transactions.
pub(super) struct TransactionSink {
    kept: Kept,
    session: Arc<Session>,
}

impl TransactionSink {
    pub(super) fn open(kept: &Kept, request: &SinkRequest) -> Result<Self> {
        let transactions = request.transactions.clone();
        let transactions = transactions.ok_or_else(|| wrong("the job has no transactions".to_owned()))?;
        let any: Arc<dyn std::any::Any + Send + Sync> = transactions;
        let session = any.downcast().map_err(|_| wrong("they are those of another system".to_owned()))?;
        Ok(Self { kept: kept.clone(), session })
    }
}

#[async_trait]
impl Sink for TransactionSink {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.session.write(&self.kept, batch)
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        self.session.call("flushing", |_| match value(&self.session.epoch) {
            Some(epoch) if epoch == id => Ok(PreparedCommit { checkpoint: id, state: serde_json::Value::Null }),
            other => Err(wrong(format!("checkpoint {id} ends the epoch of {other:?}"))),
        })
    }

    async fn commit(&mut self, _: PreparedCommit) -> Result<()> {
        Ok(())
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }

    fn commit_kind(&self) -> CommitKind {
        CommitKind::Atomic
    }
}
