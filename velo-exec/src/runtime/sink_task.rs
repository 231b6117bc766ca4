//! The task of a sink: hands batches to the connector, flushes when the input pauses, prepares at barriers, and commits when the
//! coordinator says that the checkpoint is valid.

use std::time::Duration;

use velo_core::connector::{CheckpointId, CommitKind, PreparedCommit, Sink};
use velo_core::progress::Progress;
use velo_core::{Batch, Clock, schema};

use super::Inputs;
use crate::checkpoint::{Line, Report, SavedSink};
use crate::error::{ExecError, Result};
use crate::operator::Element;

/// A sink at the end of a dataflow.
pub struct SinkTask {
    /// The sink's name, for errors.
    pub name: String,
    /// Its name in checkpoints.
    pub saved_as: String,
    /// Where rows come from.
    pub inputs: Inputs,
    /// Where they go.
    pub sink: Box<dyn Sink>,
    /// Whether batches keep their hidden event time.
    pub with_event_time: bool,
    /// How long rows may wait before they are flushed.
    pub flush_after: Duration,
    /// The clock.
    pub clock: Clock,
    /// Counters.
    pub progress: std::sync::Arc<Progress>,
    /// To the coordinator, which says when to commit.
    pub line: Line,
    /// The last epoch of the run that this one goes on behind.
    pub after: Option<PreparedCommit>,
}

impl SinkTask {
    /// Runs until all that was written is committed, or until the job was stopped. Without checkpoints nothing is left of the
    /// output of a job that fails, nor of one that is stopped before a bounded output is whole; with them, what was prepared stays
    /// for the job that goes on.
    pub async fn run(mut self) -> Result<()> {
        let done = self.write_all().await;
        if let Err(error) = done {
            // The first error is what the user needs; a second one while cleaning up would hide it.
            if !self.line.saves()
                && let Err(second) = self.sink.abort().await
            {
                tracing::warn!(sink = self.name, "cleaning up after a failure failed too: {second}");
            }
            return Err(error);
        }
        Ok(())
    }

    async fn write_all(&mut self) -> Result<()> {
        if let Some(after) = self.after.take() {
            let committed = self.sink.commit(after).await;
            committed.map_err(|error| ExecError::connector(&self.name, error))?;
        }
        let mut unflushed = false;
        // What was prepared and is not committed.
        let mut pending: Option<PreparedCommit> = None;
        // In a transaction that sinks share, the epoch behind this checkpoint waits until all have handed on theirs; the first one until
        // there is a transaction. Meanwhile nothing is read: what comes waits in bounded channels, and then at the sources.
        let shares = self.sink.commit_kind() == CommitKind::Atomic;
        let (mut held, mut opens) = (shares.then_some(0), self.line.clone());
        loop {
            let asked = async {
                match &pending {
                    Some(prepared) => self.line.commit(prepared.checkpoint).await,
                    None => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                biased;
                committed = asked => {
                    if !committed {
                        return Err(ExecError::Stopped);
                    }
                    if let Some(prepared) = pending.take() {
                        self.commit(prepared).await?;
                    }
                    continue;
                }
                open = opens.open(held.unwrap_or_default()), if held.is_some() => {
                    if !open {
                        return Err(ExecError::Stopped);
                    }
                    held = None;
                    continue;
                }
                next = self.inputs.next(), if held.is_none() => next?,
                () = self.clock.sleep(self.flush_after), if unflushed => {
                    self.sink.flush().await.map_err(|error| ExecError::connector(&self.name, error))?;
                    unflushed = false;
                    continue;
                }
            };
            let Some((_, element)) = next else {
                return match pending {
                    Some(prepared) => self.commit_last(prepared).await,
                    None if self.line.asked().over => Ok(()),
                    None => Err(ExecError::Stopped),
                };
            };
            match element {
                Element::Batch(batch) => {
                    Progress::add(&self.progress.delivered, batch.rows() as u64);
                    let written = self.sink.write(self.seen(batch)?).await;
                    written.map_err(|error| ExecError::connector(&self.name, error))?;
                    unflushed = true;
                }
                Element::Barrier(checkpoint) => {
                    let prepared = self.prepare(checkpoint).await?;
                    let (checkpoint, sink) = (checkpoint.0, self.saved_as.clone());
                    let saved = SavedSink { prepared: prepared.clone(), counters: self.progress.counted() };
                    self.line.report(Report::Prepared { checkpoint, sink, saved });
                    held = shares.then_some(prepared.checkpoint.0);
                    pending = Some(prepared);
                    unflushed = false;
                }
                Element::End => self.sink.end().await.map_err(|error| ExecError::connector(&self.name, error))?,
                Element::Stop => return self.stop(pending).await,
                Element::Watermark(_) | Element::InputWatermark(_) | Element::CaughtUp | Element::Idle => {}
            }
        }
    }

    /// The columns that the sink sees.
    fn seen(&self, batch: Batch) -> Result<Batch> {
        if self.with_event_time { Ok(batch) } else { without_hidden(batch) }
    }

    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<PreparedCommit> {
        self.sink.prepare(checkpoint).await.map_err(|error| ExecError::connector(&self.name, error))
    }

    async fn commit(&mut self, prepared: PreparedCommit) -> Result<()> {
        let checkpoint = prepared.checkpoint.0;
        self.sink.commit(prepared).await.map_err(|error| ExecError::connector(&self.name, error))?;
        self.line.report(Report::Committed { checkpoint });
        Ok(())
    }

    /// Commits when that is asked for; nothing more comes.
    async fn commit_last(&mut self, prepared: PreparedCommit) -> Result<()> {
        if !self.line.commit(prepared.checkpoint).await {
            return Err(ExecError::Stopped);
        }
        self.commit(prepared).await
    }

    /// The job was stopped.
    async fn stop(&mut self, pending: Option<PreparedCommit>) -> Result<()> {
        let failed = |name: &str, error| ExecError::connector(name, error);
        let direct = self.sink.commit_kind() == CommitKind::Direct;
        // The output of a bounded run that was stopped is not whole and does not appear.
        if !direct && !self.line.saves() {
            return self.sink.abort().await.map_err(|error| failed(&self.name, error));
        }
        // The last checkpoint is under way, and has all that was read.
        if let Some(prepared) = pending {
            self.commit_last(prepared).await?;
        }
        // What is visible at once is as whole as it can be.
        if direct {
            self.sink.end().await.map_err(|error| failed(&self.name, error))?;
        }
        if direct && !self.line.saves() {
            let prepared = self.sink.prepare(CheckpointId(1)).await.map_err(|error| failed(&self.name, error))?;
            self.sink.commit(prepared).await.map_err(|error| failed(&self.name, error))?;
        }
        Ok(())
    }
}

/// The columns of the user.
fn without_hidden(batch: Batch) -> Result<Batch> {
    let Some(last) = schema::event_time_index(batch.columns.schema_ref()) else { return Ok(batch) };
    let visible: Vec<usize> = (0..last).collect();
    let columns = batch.columns.project(&visible)?;
    Ok(batch.with_columns(columns))
}
