//! A sink that keeps what it gets where a test can see it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use tokio::sync::watch;
use velo_core::connector::{CheckpointId, CommitKind, Guarantee, PreparedCommit, Sink, SinkBinding, SinkRequest};
use velo_core::table_text;
use velo_core::{Batch, Result};

use crate::gate::Gate;

/// What a collecting sink has. All copies are the same.
#[derive(Debug, Clone)]
pub struct Collected {
    state: Arc<Mutex<State>>,
    rows: Arc<watch::Sender<usize>>,
}

#[derive(Debug, Default)]
struct State {
    schema: Option<SchemaRef>,
    /// Written and not prepared.
    open: Vec<Batch>,
    /// Prepared and not committed.
    prepared: BTreeMap<CheckpointId, Vec<Batch>>,
    committed: BTreeSet<CheckpointId>,
    /// Seen by others.
    visible: Vec<Batch>,
}

impl Default for Collected {
    fn default() -> Self {
        Self { state: Arc::default(), rows: Arc::new(watch::Sender::new(0)) }
    }
}

impl Collected {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }

    /// What others see, batch by batch.
    pub fn batches(&self) -> Vec<Batch> {
        self.state().visible.clone()
    }

    /// What others see, as one batch; `None` where nothing was ever opened.
    pub fn batch(&self) -> Option<Batch> {
        let state = self.state();
        let schema = state.schema.as_ref()?;
        Some(Batch::concat(schema, &state.visible).expect("batches of one schema fit together"))
    }

    /// What others see, as text.
    pub fn text(&self) -> String {
        self.batch().map_or_else(String::new, |batch| table_text::print(&[batch]))
    }

    /// How many rows others see.
    pub fn rows(&self) -> usize {
        *self.rows.borrow()
    }

    /// Waits until others see `rows` rows.
    pub async fn wait_for(&self, rows: usize) {
        let mut receiver = self.rows.subscribe();
        receiver.wait_for(|now| *now >= rows).await.map(drop).expect("the sender lives as long as this");
    }

    /// A binding whose sinks write here; writes wait at `hold`.
    pub fn binding(&self, hold: Option<Gate>) -> Arc<dyn SinkBinding> {
        Arc::new(Binding { collected: self.clone(), hold })
    }

    fn show(&self, state: &mut State, batches: Vec<Batch>) {
        state.visible.extend(batches);
        self.rows.send_replace(state.visible.iter().map(Batch::rows).sum());
    }
}

struct Binding {
    collected: Collected,
    hold: Option<Gate>,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a collecting sink")
    }
}

#[async_trait]
impl SinkBinding for Binding {
    fn describe(&self) -> String {
        "collected".to_owned()
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        self.collected.state().schema = Some(request.schema);
        let kind = match request.guarantee {
            Guarantee::ExactlyOnce => CommitKind::Prepared,
            Guarantee::AtLeastOnce => CommitKind::Direct,
        };
        Ok(Box::new(CollectingSink { collected: self.collected.clone(), hold: self.hold.clone(), kind }))
    }
}

struct CollectingSink {
    collected: Collected,
    hold: Option<Gate>,
    kind: CommitKind,
}

#[async_trait]
impl Sink for CollectingSink {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        if let Some(hold) = &self.hold {
            hold.pass().await;
        }
        let mut state = self.collected.state();
        match self.kind {
            CommitKind::Direct => self.collected.show(&mut state, vec![batch]),
            CommitKind::Prepared | CommitKind::Atomic => state.open.push(batch),
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        let mut state = self.collected.state();
        let open = std::mem::take(&mut state.open);
        state.prepared.insert(id, open);
        Ok(PreparedCommit { checkpoint: id, state: serde_json::Value::Null })
    }

    async fn commit(&mut self, prepared: PreparedCommit) -> Result<()> {
        let mut state = self.collected.state();
        if state.committed.insert(prepared.checkpoint)
            && let Some(batches) = state.prepared.remove(&prepared.checkpoint)
        {
            self.collected.show(&mut state, batches);
        }
        Ok(())
    }

    async fn abort(&mut self) -> Result<()> {
        let mut state = self.collected.state();
        state.open.clear();
        state.prepared.clear();
        Ok(())
    }

    fn commit_kind(&self) -> CommitKind {
        self.kind
    }
}
