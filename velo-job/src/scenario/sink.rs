//! The sink behind an `output` block: it keeps what it gets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use velo_core::connector::{
    CheckpointId, CommitKind, Guarantee, PreparedCommit, Sink, SinkBinding, SinkRequest, TransactionalSystem,
};
use velo_core::{Batch, ConnectorError, Result, error::ErrorKind};
use velo_exec::checkpoint::CallFails;

use super::broker::{Broker, TransactionSink};
use super::killed::{Fate, SharedFate};

/// The rows that a sink got. All copies are the same.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<State>>, SharedFate);

#[derive(Debug, Default)]
struct State {
    /// The epochs that were prepared and not committed, by sink and by their own number: they outlive the sink that wrote them.
    prepared: BTreeMap<(usize, u64), Vec<Batch>>,
    /// How many epochs there were.
    epochs: u64,
    visible: Vec<Batch>,
    /// How many bindings there are.
    bindings: usize,
}

/// Does what a sink is asked for, unless it is to fail before; what it fails behind is done.
pub(super) fn troubled<T>(
    fate: Option<&Arc<Fate>>,
    operation: &'static str,
    call: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let broken = || Err(ConnectorError::new(ErrorKind::Unavailable, operation, "the sink does not answer").temporary());
    match fate.and_then(|fate| fate.sink()) {
        None => call(),
        Some(CallFails::Before) => broken(),
        Some(CallFails::After) => call().and_then(|_| broken()),
    }
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked did so elsewhere: nothing here is left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, whose sinks fail when that is the fate of the attempt that writes.
    pub(super) fn with_fate(fate: SharedFate) -> Self {
        Self(Arc::default(), fate)
    }

    /// What others see.
    pub(super) fn batches(&self) -> Vec<Batch> {
        self.state().visible.clone()
    }

    /// Lets others see more.
    pub(super) fn show(&self, batches: Vec<Batch>) {
        self.state().visible.extend(batches);
    }

    /// A binding whose sink writes here: at the commits of epochs that it prepares, or in transactions of a broker.
    pub(super) fn binding(&self, broker: Option<&Broker>) -> Arc<dyn SinkBinding> {
        let mut state = self.state();
        state.bindings += 1;
        Arc::new(KeepingBinding { kept: self.clone(), number: state.bindings, broker: broker.cloned() })
    }

    /// A sink that writes here and shows rows at once.
    pub(super) fn terminal(&self) -> Box<dyn Sink> {
        Box::new(self.sink(0, CommitKind::Direct))
    }

    fn sink(&self, number: usize, kind: CommitKind) -> KeepingSink {
        KeepingSink { kept: self.clone(), fate: self.1.now(), number, kind, open: Vec::new() }
    }
}

struct KeepingBinding {
    kept: Kept,
    /// Tells it from others that write to the same place.
    number: usize,
    broker: Option<Broker>,
}

impl fmt::Debug for KeepingBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an output")
    }
}

#[async_trait]
impl SinkBinding for KeepingBinding {
    fn describe(&self) -> String {
        "the scenario's output".to_owned()
    }

    fn transactional(&self) -> Option<&dyn TransactionalSystem> {
        self.broker.as_ref().map(|broker| broker as &dyn TransactionalSystem)
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let kind = match request.guarantee {
            Guarantee::ExactlyOnce if self.broker.is_some() => {
                return TransactionSink::open(&self.kept, &request).map(|sink| Box::new(sink) as Box<dyn Sink>);
            }
            Guarantee::ExactlyOnce => CommitKind::Prepared,
            Guarantee::AtLeastOnce => CommitKind::Direct,
        };
        // What came behind the epoch that this run goes on from is gone.
        let after = request.after.and_then(|after| after.state.as_u64());
        self.kept.state().prepared.retain(|(sink, epoch), _| *sink != self.number || Some(*epoch) == after);
        Ok(Box::new(self.kept.sink(self.number, kind)))
    }
}

struct KeepingSink {
    kept: Kept,
    fate: Option<Arc<Fate>>,
    number: usize,
    kind: CommitKind,
    /// What it wrote since its last epoch ended.
    open: Vec<Batch>,
}

#[async_trait]
impl Sink for KeepingSink {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        troubled(self.fate.as_ref(), "writing", || {
            match self.kind {
                CommitKind::Direct => self.kept.show(vec![batch]),
                CommitKind::Prepared | CommitKind::Atomic => self.open.push(batch),
            }
            Ok(())
        })
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        troubled(self.fate.as_ref(), "preparing", || {
            let mut state = self.kept.state();
            state.epochs += 1;
            let epoch = state.epochs;
            state.prepared.insert((self.number, epoch), std::mem::take(&mut self.open));
            Ok(PreparedCommit { checkpoint: id, state: epoch.into() })
        })
    }

    async fn commit(&mut self, prepared: PreparedCommit) -> Result<()> {
        troubled(self.fate.as_ref(), "committing", || {
            let mut state = self.kept.state();
            // One that was committed before is not there any more.
            let epoch = (self.number, prepared.state.as_u64().unwrap_or_default());
            let rows = state.prepared.remove(&epoch).unwrap_or_default();
            state.visible.extend(rows);
            Ok(())
        })
    }

    async fn abort(&mut self) -> Result<()> {
        self.open.clear();
        self.kept.state().prepared.retain(|(sink, _), _| *sink != self.number);
        Ok(())
    }

    fn commit_kind(&self) -> CommitKind {
        self.kind
    }
}
