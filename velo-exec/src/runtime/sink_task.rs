//! The task of a sink: hands batches to the connector, flushes when the input pauses, prepares at the end.

use std::time::Duration;

use velo_core::connector::{CheckpointId, CommitKind, PreparedCommit, Sink};
use velo_core::progress::Progress;
use velo_core::{Batch, Clock, schema};

use super::Inputs;
use crate::error::{ExecError, Result};
use crate::operator::Element;

/// A sink at the end of a dataflow.
pub struct SinkTask {
    /// The sink's name, for errors.
    pub name: String,
    /// Where rows come from.
    pub inputs: Inputs,
    /// Where they go.
    pub sink: Box<dyn Sink>,
    /// How long rows may wait before they are flushed.
    pub flush_after: Duration,
    /// The clock.
    pub clock: Clock,
    /// Counters.
    pub progress: std::sync::Arc<Progress>,
}

impl SinkTask {
    /// Runs to the end of the inputs and prepares what was written; the caller commits once all sinks of the job are prepared.
    /// There is nothing to commit where the job was stopped before a bounded output was whole.
    /// On an error the sink is told to leave nothing behind.
    pub async fn run(mut self) -> Result<(Box<dyn Sink>, Option<PreparedCommit>)> {
        match self.write_all().await {
            Ok(prepared) => Ok((self.sink, prepared)),
            Err(error) => {
                // The first error is what the user needs; a second one while cleaning up would hide it.
                if let Err(second) = self.sink.abort().await {
                    tracing::warn!(sink = self.name, "cleaning up after a failure failed too: {second}");
                }
                Err(error)
            }
        }
    }

    async fn write_all(&mut self) -> Result<Option<PreparedCommit>> {
        let mut unflushed = false;
        loop {
            let next = if unflushed {
                tokio::select! {
                    biased;
                    next = self.inputs.next() => next,
                    () = self.clock.sleep(self.flush_after) => {
                        self.sink.flush().await.map_err(|error| ExecError::connector(&self.name, error))?;
                        unflushed = false;
                        continue;
                    }
                }
            } else {
                self.inputs.next().await
            };
            let (_, element) = next.ok_or(ExecError::Stopped)?;
            match element {
                Element::Batch(batch) => {
                    Progress::add(&self.progress.delivered, batch.rows() as u64);
                    let written = self.sink.write(without_hidden(batch)?).await;
                    written.map_err(|error| ExecError::connector(&self.name, error))?;
                    unflushed = true;
                }
                // The output of a bounded run that was stopped is not whole and does not appear; rows that are visible at
                // once are only flushed.
                Element::Stop if self.sink.commit_kind() != CommitKind::Direct => {
                    let aborted = self.sink.abort().await;
                    return aborted.map(|()| None).map_err(|error| ExecError::connector(&self.name, error));
                }
                element @ (Element::End | Element::Stop) => {
                    if matches!(element, Element::End) {
                        self.sink.end().await.map_err(|error| ExecError::connector(&self.name, error))?;
                    }
                    let prepared = self.sink.prepare(CheckpointId(1)).await;
                    return prepared.map(Some).map_err(|error| ExecError::connector(&self.name, error));
                }
                Element::Watermark(_)
                | Element::InputWatermark(_)
                | Element::CaughtUp
                | Element::Idle
                | Element::Barrier(_) => {}
            }
        }
    }
}

/// The columns that a sink sees.
fn without_hidden(batch: Batch) -> Result<Batch> {
    let Some(last) = schema::event_time_index(batch.columns.schema_ref()) else { return Ok(batch) };
    let visible: Vec<usize> = (0..last).collect();
    let columns = batch.columns.project(&visible)?;
    Ok(batch.with_columns(columns))
}
