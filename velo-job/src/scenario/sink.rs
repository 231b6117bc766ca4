//! The sink behind an `output` block: it keeps what it gets.

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
    open: Vec<Batch>,
    visible: Vec<Batch>,
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
        Arc::new(KeepingBinding(self.clone()))
    }

    /// A sink that writes here and shows rows at once.
    pub(super) fn terminal(&self) -> Box<dyn Sink> {
        Box::new(KeepingSink { kept: self.clone(), kind: CommitKind::Direct })
    }
}

struct KeepingBinding(Kept);

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
        Ok(Box::new(KeepingSink { kept: self.0.clone(), kind }))
    }
}

struct KeepingSink {
    kept: Kept,
    kind: CommitKind,
}

#[async_trait]
impl Sink for KeepingSink {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let mut state = self.kept.state();
        match self.kind {
            CommitKind::Direct => state.visible.push(batch),
            CommitKind::Prepared | CommitKind::Atomic => state.open.push(batch),
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        Ok(PreparedCommit { checkpoint: id, state: serde_json::Value::Null })
    }

    async fn commit(&mut self, _prepared: PreparedCommit) -> Result<()> {
        let mut state = self.kept.state();
        let open = std::mem::take(&mut state.open);
        state.visible.extend(open);
        Ok(())
    }

    async fn abort(&mut self) -> Result<()> {
        self.kept.state().open.clear();
        Ok(())
    }

    fn commit_kind(&self) -> CommitKind {
        self.kind
    }
}
