//! The sink behind an `output` block: it keeps what it gets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use velo_core::connector::{CheckpointId, CommitKind, Guarantee, PreparedCommit, Sink, SinkBinding, SinkRequest};
use velo_core::{Batch, Result};

/// The rows that a sink got. All copies are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<Mutex<State>>);

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
        let mut state = self.kept.state();
        match self.kind {
            CommitKind::Direct => state.visible.push(batch),
            CommitKind::Prepared | CommitKind::Atomic => state.open.entry(self.number).or_default().push(batch),
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        let mut state = self.kept.state();
        let open = state.open.remove(&self.number).unwrap_or_default();
        state.prepared.insert((self.number, id), open);
        Ok(PreparedCommit { checkpoint: id, state: serde_json::Value::Null })
    }

    async fn commit(&mut self, prepared: PreparedCommit) -> Result<()> {
        let mut state = self.kept.state();
        // One that was committed before is not there any more.
        let rows = state.prepared.remove(&(self.number, prepared.checkpoint)).unwrap_or_default();
        state.visible.extend(rows);
        Ok(())
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
