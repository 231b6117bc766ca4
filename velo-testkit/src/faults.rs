//! Failures at a chosen call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use velo_core::connector::{CheckpointId, CommitKind, PreparedCommit, Sink};
use velo_core::error::ErrorKind;
use velo_core::{Batch, ConnectorError, Result};

/// Counts calls and fails one of them, or each from one on. All copies count together.
#[derive(Debug, Clone)]
pub struct Faults {
    calls: Arc<AtomicU64>,
    at: u64,
    lasting: bool,
}

impl Faults {
    /// Fails the call number `at`, from 1, and none after it.
    pub fn once(at: u64) -> Self {
        Self { calls: Arc::default(), at, lasting: false }
    }

    /// Fails the call number `at`, from 1, and all after it.
    pub fn from(at: u64) -> Self {
        Self { lasting: true, ..Self::once(at) }
    }

    /// Never fails, and counts.
    pub fn none() -> Self {
        Self::once(0)
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Counts a call, which fails if it is its turn.
    pub fn check(&self, operation: &'static str) -> Result<()> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if call == self.at || (self.lasting && self.at > 0 && call > self.at) {
            let message = format!("call {call} fails because the test wants it");
            return Err(ConnectorError::new(ErrorKind::Unavailable, operation, message).temporary());
        }
        Ok(())
    }
}

/// A sink whose calls fail as [`Faults`] say, before the sink below sees them.
pub struct FaultySink {
    inner: Box<dyn Sink>,
    faults: Faults,
}

impl FaultySink {
    /// Wraps a sink.
    pub fn new(inner: Box<dyn Sink>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl Sink for FaultySink {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        self.faults.check("writing")?;
        self.inner.write(batch).await
    }

    async fn flush(&mut self) -> Result<()> {
        self.faults.check("flushing")?;
        self.inner.flush().await
    }

    async fn end(&mut self) -> Result<()> {
        self.faults.check("ending")?;
        self.inner.end().await
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        self.faults.check("preparing")?;
        self.inner.prepare(id).await
    }

    async fn commit(&mut self, prepared: PreparedCommit) -> Result<()> {
        self.faults.check("committing")?;
        self.inner.commit(prepared).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }

    fn commit_kind(&self) -> CommitKind {
        self.inner.commit_kind()
    }
}
