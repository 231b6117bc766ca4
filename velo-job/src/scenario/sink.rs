//! The sink behind an `output` block: it keeps what it gets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use velo_core::connector::{CheckpointId, CommitKind, Guarantee, PreparedCommit, Sink, SinkBinding, SinkRequest};
use velo_core::error::ErrorKind;
use velo_core::{Batch, ConnectorError, Result};
use velo_exec::checkpoint::CallFails;

use super::killed::SharedFate;

/// The rows that a sink got. All copies are the same.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<State>>, SharedFate);

#[derive(Debug, Default)]
struct State {
    /// What each sink wrote since its last epoch ended.
    open: BTreeMap<usize, Vec<Batch>>,
    /// The epochs that were prepared and not committed, by sink and checkpoint: they outlive the sink that wrote them.
    prepared: BTreeMap<(usize, CheckpointId), Vec<Batch>>,
    visible: Vec<Batch>,
    /// How many bindings there are.
    bindings: usize,
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

    /// Does what a sink is asked for, unless it is to fail before; what it fails behind is done.
    fn call<T>(&self, operation: &'static str, call: impl FnOnce(&mut State) -> T) -> Result<T> {
        let fate = self.1.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fails = fate.and_then(|fate| fate.sink());
        let broken =
            || Err(ConnectorError::new(ErrorKind::Unavailable, operation, "the sink does not answer").temporary());
        match fails {
            None => Ok(call(&mut self.state())),
            Some(CallFails::Before) => broken(),
            Some(CallFails::After) => {
                call(&mut self.state());
                broken()
            }
        }
    }

    /// What others see.
    pub(super) fn batches(&self) -> Vec<Batch> {
        self.state().visible.clone()
    }

    /// A binding whose sink writes here.
    pub(super) fn binding(&self) -> Arc<dyn SinkBinding> {
        let mut state = self.state();
        state.bindings += 1;
        Arc::new(KeepingBinding { kept: self.clone(), number: state.bindings })
    }

    /// A sink that writes here and shows rows at once.
    pub(super) fn terminal(&self) -> Box<dyn Sink> {
        Box::new(KeepingSink { kept: self.clone(), number: 0, kind: CommitKind::Direct })
    }
}

struct KeepingBinding {
    kept: Kept,
    /// Tells it from others that write to the same place.
    number: usize,
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

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let kind = match request.guarantee {
            Guarantee::ExactlyOnce => CommitKind::Prepared,
            Guarantee::AtLeastOnce => CommitKind::Direct,
        };
        let number = self.number;
        let mut state = self.kept.state();
        // What came behind the epoch that this run goes on from is gone.
        state.open.remove(&number);
        let after = request.after.map(|after| after.checkpoint);
        state.prepared.retain(|(sink, checkpoint), _| *sink != number || Some(*checkpoint) == after);
        Ok(Box::new(KeepingSink { kept: self.kept.clone(), number, kind }))
    }
}

struct KeepingSink {
    kept: Kept,
    number: usize,
    kind: CommitKind,
}

#[async_trait]
impl Sink for KeepingSink {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let (kind, number) = (self.kind, self.number);
        self.kept.call("writing", |state| match kind {
            CommitKind::Direct => state.visible.push(batch),
            CommitKind::Prepared | CommitKind::Atomic => state.open.entry(number).or_default().push(batch),
        })
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        let number = self.number;
        self.kept.call("preparing", |state| {
            let open = state.open.remove(&number).unwrap_or_default();
            state.prepared.insert((number, id), open);
            PreparedCommit { checkpoint: id, state: serde_json::Value::Null }
        })
    }

    async fn commit(&mut self, prepared: PreparedCommit) -> Result<()> {
        let number = self.number;
        self.kept.call("committing", |state| {
            // One that was committed before is not there any more.
            let rows = state.prepared.remove(&(number, prepared.checkpoint)).unwrap_or_default();
            state.visible.extend(rows);
        })
    }

    async fn abort(&mut self) -> Result<()> {
        let (mut state, number) = (self.kept.state(), self.number);
        state.open.remove(&number);
        state.prepared.retain(|(sink, _), _| *sink != number);
        Ok(())
    }

    fn commit_kind(&self) -> CommitKind {
        self.kind
    }
}
