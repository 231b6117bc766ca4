//! The tasks that save tables: one writes what a query makes and keeps it at barriers, one keeps what is loaded elsewhere.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use velo_core::connector::CheckpointId;
use velo_core::lookup::{LoadedTable, TableSnapshot, TableWriter};
use velo_core::progress::Progress;
use velo_core::{Clock, Watermark};

use super::Inputs;
use super::drive::wait_until;
use crate::checkpoint::{KeptTable, Line, Next, OperatorState};
use crate::error::{ExecError, Result};
use crate::operator::Element;

/// A table as a sink: applies what comes, and publishes it together.
pub struct TableSinkTask {
    /// Its name, for errors.
    pub name: String,
    /// Where rows come from.
    pub inputs: Inputs,
    /// Where they go.
    pub writer: Box<dyn TableWriter>,
    /// Whether its inputs end: it is ready then, and not before, for some results come only at the end.
    pub bounded: bool,
    /// Changes are published at the latest after so long.
    pub publish: Duration,
    /// The clock.
    pub clock: Clock,
    /// Counters.
    pub progress: Arc<Progress>,
    /// To the coordinator of checkpoints, which is told what the table keeps.
    pub line: Line,
    /// The name of that in checkpoints.
    pub saved_as: String,
}

impl TableSinkTask {
    /// Runs to the end of the inputs.
    pub async fn run(mut self) -> Result<()> {
        let result = self.write_all().await;
        if let Err(error) = &result {
            self.writer.fail(error.to_string());
        }
        result
    }

    async fn write_all(&mut self) -> Result<()> {
        let mut ready = false;
        let mut watermark = Watermark::NONE;
        // When what was applied is published.
        let mut due: Option<i64> = None;
        // What is being saved while the table goes on.
        let mut saving: Option<Saving> = None;
        loop {
            let next = tokio::select! {
                biased;
                saved = Saving::done(&mut saving) => {
                    self.saved(saved?);
                    continue;
                }
                () = wait_until(&self.clock, due) => {
                    self.publish(watermark).await?;
                    due = None;
                    continue;
                }
                next = self.inputs.next() => next,
            };
            let (_, element) = next?.ok_or(ExecError::Stopped)?;
            match element {
                Element::Batch(batch) => {
                    self.writer.apply(&batch).map_err(|error| ExecError::connector(&self.name, error))?;
                    Progress::add(&self.progress.records, batch.rows() as u64);
                    Progress::add(&self.progress.delivered, batch.rows() as u64);
                    due = due.or_else(|| ready.then(|| self.clock.after(self.publish)));
                }
                Element::Watermark(next) => {
                    watermark = next;
                    due = due.or_else(|| ready.then(|| self.clock.after(self.publish)));
                }
                Element::CaughtUp if !ready && !self.bounded => {
                    ready = true;
                    due = None;
                    self.writer.ready().await.map_err(|error| ExecError::connector(&self.name, error))?;
                    self.writer.advance(watermark);
                }
                Element::End => {
                    self.writer.finish().await.map_err(|error| ExecError::connector(&self.name, error))?;
                    // Barriers may still come, of those who go on to others too.
                    return self.rest(saving).await;
                }
                // What was read has been applied, and is in the last checkpoint; whoever waits for the table is stopped too.
                Element::Stop => {
                    if saving.is_some() {
                        let saved = Saving::done(&mut saving).await?;
                        self.saved(saved);
                    }
                    return Ok(());
                }
                Element::Barrier(checkpoint) if self.line.saves() => {
                    due = None;
                    saving = Some(self.barrier(checkpoint, watermark).await?);
                }
                Element::CaughtUp | Element::InputWatermark(_) | Element::Idle | Element::Barrier(_) => {}
            }
        }
    }

    /// The table cannot change any more, and is saved at the barriers that still come.
    async fn rest(&mut self, mut saving: Option<Saving>) -> Result<()> {
        loop {
            if saving.is_some() {
                let saved = Saving::done(&mut saving).await?;
                self.saved(saved);
            }
            match self.inputs.next().await? {
                Some((_, Element::Barrier(checkpoint))) if self.line.saves() => {
                    saving = Some(self.barrier(checkpoint, Watermark::END).await?);
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    /// Begins to save the table as it is at a barrier.
    async fn barrier(&mut self, checkpoint: CheckpointId, watermark: Watermark) -> Result<Saving> {
        self.publish(watermark).await?;
        let snapshot = self.writer.barrier(checkpoint).await;
        let snapshot = snapshot.map_err(|error| ExecError::connector(&self.name, error))?;
        Ok(Saving::begin(checkpoint, &self.name, snapshot, &self.progress))
    }

    fn saved(&self, (checkpoint, state): (CheckpointId, Vec<OperatorState>)) {
        self.line.saved(checkpoint, vec![(self.saved_as.clone(), state)], None);
    }

    async fn publish(&mut self, watermark: Watermark) -> Result<()> {
        self.writer.publish().await.map_err(|error| ExecError::connector(&self.name, error))?;
        self.writer.advance(watermark);
        Ok(())
    }
}

/// A table that is being saved while it goes on.
struct Saving {
    checkpoint: CheckpointId,
    saved: BoxFuture<'static, Result<Vec<OperatorState>>>,
}

/// So few rows are saved at once; more on a thread of their own, where they keep no other task waiting.
const LITTLE: u64 = 8_192;

impl Saving {
    /// Of the table `name`, on the way into which `progress` counts.
    fn begin(checkpoint: CheckpointId, name: &str, snapshot: Box<dyn TableSnapshot>, progress: &Progress) -> Self {
        let (name, counters, little) = (name.to_owned(), progress.counted(), snapshot.rows() < LITTLE);
        let save = move || {
            let table = snapshot.save().map_err(|error| ExecError::connector(&name, error))?;
            KeptTable { table, counters }.into_state()
        };
        let saved = match little {
            true => std::future::ready(save()).boxed(),
            false => {
                let saved = tokio::task::spawn_blocking(save);
                async { saved.await.map_err(|error| ExecError::Internal(error.to_string()))? }.boxed()
            }
        };
        Self { checkpoint, saved }
    }

    /// Waits until what is being saved is, and takes it; for ever where nothing is. Dropping the future loses nothing.
    async fn done(saving: &mut Option<Self>) -> Result<(CheckpointId, Vec<OperatorState>)> {
        let Some(Self { checkpoint, saved }) = saving else { return std::future::pending().await };
        let (checkpoint, state) = (*checkpoint, saved.as_mut().await);
        *saving = None;
        Ok((checkpoint, state?))
    }
}

/// Has a table that is loaded and kept from outside of the dataflow saved at barriers.
pub struct LoadedTableTask {
    /// Its name, for errors.
    pub name: String,
    /// The name in checkpoints of what it keeps.
    pub saved_as: String,
    /// The table.
    pub table: Arc<dyn LoadedTable>,
    /// Counters.
    pub progress: Arc<Progress>,
    /// To the coordinator of checkpoints.
    pub line: Line,
}

impl LoadedTableTask {
    /// Runs until there are no more checkpoints.
    pub async fn run(mut self) -> Result<()> {
        while let Next::Barrier { checkpoint, last } = self.line.next().await {
            let snapshot = self.table.barrier(checkpoint).await;
            let snapshot = snapshot.map_err(|error| ExecError::connector(&self.name, error))?;
            self.line.given(checkpoint);
            let mut kept = Vec::new();
            if let Some(snapshot) = snapshot {
                let mut saving = Some(Saving::begin(checkpoint, &self.name, snapshot, &self.progress));
                kept.push((self.saved_as.clone(), Saving::done(&mut saving).await?.1));
            }
            self.line.saved(checkpoint, kept, None);
            if last {
                break;
            }
        }
        Ok(())
    }
}
