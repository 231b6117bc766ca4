//! A source from the start of its job on: it is opened, waits at a gate until the tables that its rows meet are ready, and is read.

use std::sync::Arc;

use velo_core::connector::{SourceBinding, SourceRequest, StreamSource};
use velo_core::duration::Span;
use velo_eventtime::{OnError, WatermarkProperties};
use velo_plan::plan::{HistoryNode, NodeKind, Plan, SinkId, SourceId, TableId};

use super::history;
use super::rows_given::wait_open;
use super::{Chain, CountedByRow, Drive, JobOptions, JobProgress, SourceTask, Stop, Timing, WaitForTables};
use crate::checkpoint::SourceState;
use crate::error::{ExecError, Result};
use crate::physical::Awaited;

/// What must be ready before a task reads anything.
pub(super) struct Gate {
    tables: Vec<TableId>,
    timeout: Option<Span>,
    wait: Option<WaitForTables>,
    stop: Stop,
}

impl Gate {
    pub(super) fn new(awaited: &Awaited, options: &JobOptions) -> Self {
        Self {
            tables: awaited.tables.iter().copied().collect(),
            timeout: awaited.timeout,
            wait: options.tables.wait.clone(),
            stop: options.stop.clone(),
        }
    }

    /// Waits until the tables are ready; false where the job was asked to stop before.
    pub(super) async fn open(self) -> Result<bool> {
        let Some(wait) = self.wait.filter(|_| !self.tables.is_empty()) else { return Ok(true) };
        tokio::select! {
            biased;
            ready = wait(self.tables, self.timeout) => ready.map(|()| true).map_err(|error| ExecError::connector("tables", error)),
            _ = self.stop.asked() => Ok(false),
        }
    }
}

/// A source that is opened, and read once its gate is open.
pub(super) struct Reading {
    binding: Arc<dyn SourceBinding>,
    history: Option<HistoryNode>,
    request: SourceRequest,
    on_error: OnError,
    time_on_error: OnError,
    watermark: Option<WatermarkProperties>,
    timing: Arc<Timing>,
    by_row: Vec<Chain>,
    counted: CountedByRow,
    letters_to: Option<SinkId>,
    drive: Drive,
    stop: Stop,
    /// Its name in checkpoints, and how far it was read before.
    saved_as: String,
    resumed: SourceState,
}

impl Reading {
    pub(super) fn new(
        plan: &Plan,
        id: SourceId,
        (saved_as, resumed): (&str, SourceState),
        (by_row, counted): (Vec<Chain>, CountedByRow),
        drive: Drive,
        options: &JobOptions,
        progress: &JobProgress,
    ) -> Result<Self> {
        let source = &plan.sources[id.0];
        let output = plan
            .nodes
            .iter()
            .find(|node| matches!(node.kind, NodeKind::Source(found) if found == id))
            .map(|node| Arc::clone(&node.schema))
            .ok_or_else(|| ExecError::Internal(format!("the source {} is in no plan", source.name)))?;
        let timing = Arc::new(Timing::new(source, &output)?);
        let request = SourceRequest {
            name: source.name.clone(),
            ordinal: id.0 as u32,
            declared: Arc::clone(&source.declared),
            columns: timing.columns.clone(),
            batch_rows: options.batch_rows,
            keep_bytes: source.dead_letters.is_some(),
            clock: options.clock.clone(),
            progress: Arc::clone(&progress.sources[id.0]),
        };
        Ok(Self {
            binding: Arc::clone(&source.binding),
            history: source.history.clone(),
            request,
            on_error: source.on_error,
            time_on_error: source.event_time.as_ref().map_or(source.on_error, |time| time.on_error),
            watermark: source.event_time.as_ref().map(|time| time.watermark.clone()),
            timing,
            by_row,
            counted,
            letters_to: source.dead_letters,
            drive,
            stop: options.stop.clone(),
            saved_as: saved_as.to_owned(),
            resumed,
        })
    }

    pub(super) async fn run(mut self, gate: Gate) -> Result<()> {
        let rows_as_json = self.request.keep_bytes;
        let (name, clock) = (self.request.name.clone(), self.request.clock.clone());
        let progress = Arc::clone(&self.request.progress);
        progress.count_from(&self.resumed.counters);
        let state = (self.saved_as.clone(), self.resumed.clone());
        let until = self.history.as_ref().and_then(|history| history.until);
        // Opened first: where it begins is decided when the job starts, not when its tables are ready.
        let stop = self.stop.clone();
        let opened = tokio::select! {
            biased;
            opened = open(self.binding, self.history, self.request) => Some(opened.map_err(|error| ExecError::connector(&name, error))?),
            _ = stop.asked() => None,
        };
        let Some(source) = opened else { return self.drive.stopped(Some(state)).await };
        let mut line = self.drive.line();
        if !wait_open(gate.open(), &mut self.drive, &mut line, &state).await? {
            return self.drive.stopped(Some(state)).await;
        }
        let task = SourceTask {
            name,
            source,
            until,
            timing: self.timing,
            on_error: self.on_error,
            time_on_error: self.time_on_error,
            watermark: self.watermark,
            by_row: self.by_row,
            counted: self.counted,
            letters_to: self.letters_to,
            drive: self.drive,
            clock,
            stop: self.stop,
            saved_as: self.saved_as,
            resumed: self.resumed,
            progress,
            rows_as_json,
            letters: Vec::new(),
        };
        task.run().await
    }
}

/// Opens a source, with its history before it.
async fn open(
    binding: Arc<dyn SourceBinding>,
    history: Option<HistoryNode>,
    request: SourceRequest,
) -> velo_core::Result<Box<dyn StreamSource>> {
    match history {
        Some(history) => history::open(binding.as_ref(), history.binding, request).await,
        None => binding.open(request).await,
    }
}
