//! A sink that keeps what it gets where a test can see it.
//!
//! Exactly once, its epochs outlive the sink: one that is opened behind an epoch ([`SinkRequest::after`]) finds it, commits it again,
//! and takes back what came later. The rows of a sink whose inputs end are seen with the last epoch.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use tokio::sync::watch;
use velo_core::connector::{CheckpointId, CommitKind, Guarantee, PreparedCommit, Sink, SinkBinding, SinkRequest};
use velo_core::error::ErrorKind;
use velo_core::table_text;
use velo_core::{Batch, ConnectorError, Result};

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
    /// Seen before the epochs, or written at once.
    before: Vec<Batch>,
    /// What was prepared, in order.
    epochs: BTreeMap<CheckpointId, Epoch>,
    /// Seen by others.
    visible: Vec<Batch>,
}

#[derive(Debug)]
struct Epoch {
    batches: Vec<Batch>,
    /// Its rows, and those of all before, are seen when it is committed: it is the last one, or the inputs have no end.
    shows: bool,
    committed: bool,
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

    /// The epochs that are committed, in order.
    pub fn committed(&self) -> Vec<CheckpointId> {
        self.state().epochs.iter().filter(|(_, epoch)| epoch.committed).map(|(id, _)| *id).collect()
    }

    /// Lets others see what is committed.
    fn show(&self, state: &mut State) {
        let last = state.epochs.iter().rev().find(|(_, epoch)| epoch.committed && epoch.shows).map(|(id, _)| *id);
        let shown = state.epochs.iter().filter(|(id, _)| Some(**id) <= last);
        let shown = shown.flat_map(|(_, epoch)| epoch.batches.iter());
        state.visible = state.before.iter().chain(shown).cloned().collect();
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
        let mut state = self.collected.state();
        match &request.after {
            // What is there stays, as if it were appended to.
            None => {
                state.before = state.visible.clone();
                state.epochs.clear();
            }
            Some(after) if request.guarantee == Guarantee::ExactlyOnce => {
                state.epochs.retain(|id, _| *id <= after.checkpoint);
                if !state.epochs.contains_key(&after.checkpoint) {
                    let message = format!("checkpoint {} was not prepared here, or was given up", after.checkpoint);
                    return Err(ConnectorError::new(ErrorKind::OffsetLost, "opening the output", message));
                }
            }
            Some(_) => {}
        }
        state.schema = Some(request.schema);
        drop(state);
        let kind = match request.guarantee {
            Guarantee::ExactlyOnce => CommitKind::Prepared,
            Guarantee::AtLeastOnce => CommitKind::Direct,
        };
        let (collected, hold) = (self.collected.clone(), self.hold.clone());
        Ok(Box::new(CollectingSink { collected, hold, kind, open: Vec::new(), shows: !request.bounded }))
    }
}

struct CollectingSink {
    collected: Collected,
    hold: Option<Gate>,
    kind: CommitKind,
    /// Written and not prepared.
    open: Vec<Batch>,
    /// The next epoch is seen when it is committed.
    shows: bool,
}

#[async_trait]
impl Sink for CollectingSink {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        if let Some(hold) = &self.hold {
            hold.pass().await;
        }
        match self.kind {
            CommitKind::Direct => {
                let mut state = self.collected.state();
                state.visible.push(batch.clone());
                state.before.push(batch);
                self.collected.rows.send_replace(state.visible.iter().map(Batch::rows).sum());
            }
            CommitKind::Prepared | CommitKind::Atomic => self.open.push(batch),
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        self.shows = true;
        Ok(())
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        if self.kind == CommitKind::Prepared {
            let mut state = self.collected.state();
            let last = state.epochs.last_key_value().map(|(id, _)| *id);
            assert!(last < Some(id), "checkpoint {id} is prepared behind checkpoint {last:?}");
            let open = state.epochs.iter().find(|(_, epoch)| !epoch.committed);
            assert!(open.is_none(), "checkpoint {id} is prepared before {open:?} is committed");
            let batches = std::mem::take(&mut self.open);
            state.epochs.insert(id, Epoch { batches, shows: self.shows, committed: false });
        }
        Ok(PreparedCommit { checkpoint: id, state: serde_json::Value::Null })
    }

    async fn commit(&mut self, prepared: PreparedCommit) -> Result<()> {
        let mut state = self.collected.state();
        if let Some(epoch) = state.epochs.get_mut(&prepared.checkpoint) {
            epoch.committed = true;
            self.collected.show(&mut state);
        }
        Ok(())
    }

    async fn abort(&mut self) -> Result<()> {
        self.open.clear();
        self.collected.state().epochs.retain(|_, epoch| epoch.committed);
        Ok(())
    }

    fn commit_kind(&self) -> CommitKind {
        self.kind
    }
}
