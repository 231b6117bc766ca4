//! The tasks at the two ends of a table: one gives its content and its changes as rows, one writes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::Int64Array;
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::lookup::{TableChange, TableReader, TableWriter};
use velo_core::progress::Progress;
use velo_core::{Batch, Clock, Watermark, schema};
use velo_plan::plan::TableScan;

use super::drive::wait_until;
use super::rows_given::RowsGiven;
use super::{Drive, Inputs, Stop, StopRequest};
use crate::error::{ExecError, Result};
use crate::operator::{Element, InputId};

/// A table as a source: its content, then its changes.
pub struct TableScanTask {
    /// The table.
    pub table: Arc<dyn TableReader>,
    /// Its columns, under the names that they have in `schema`.
    pub scan: TableScan,
    /// What comes out.
    pub schema: SchemaRef,
    /// The largest number of rows of a batch.
    pub batch_rows: usize,
    /// The operators fused to it, and where their output goes.
    pub drive: Drive,
    /// Asks for a stop.
    pub stop: Stop,
    /// Rows that have come out.
    pub given: Arc<AtomicU64>,
    /// How many of them are in the checkpoint that the job goes on from.
    pub rows_given: RowsGiven,
}

impl TableScanTask {
    /// Runs until the table cannot change any more, once `open` says that the tables are ready.
    pub async fn run(mut self, open: impl Future<Output = Result<bool>>) -> Result<()> {
        let mut line = self.drive.line();
        if !self.rows_given.wait(open, &mut self.drive, &mut line).await? {
            return self.drive.stopped(Some(self.rows_given.state())).await;
        }
        self.drive.start().await?;
        let mut changes = self.table.follow();
        let stop = self.stop.clone();
        let asked = stop.asked();
        tokio::pin!(asked);
        let mut watermark = Watermark::NONE;
        // Of what was given before the checkpoint that the job goes on from.
        let mut skip = self.rows_given.rows();
        loop {
            let change = tokio::select! {
                biased;
                request = &mut asked => {
                    return match request {
                        StopRequest::Finish => self.end().await,
                        _ => self.drive.stopped(Some(self.rows_given.state())).await,
                    };
                }
                checkpoint = line.barrier() => {
                    self.drive.barrier(checkpoint, Some(self.rows_given.state())).await?;
                    line.given(checkpoint);
                    continue;
                }
                () = self.drive.due() => {
                    self.drive.fire().await?;
                    continue;
                }
                change = changes.next() => change.map_err(|error| ExecError::connector(self.table.name(), error))?,
            };
            match change {
                TableChange::Rows(rows) => {
                    let before = skip.min(rows.rows());
                    skip -= before;
                    self.rows(&rows.slice(before, rows.rows() - before), watermark).await?;
                }
                TableChange::Watermark(next) => {
                    // The end says more than the greatest watermark.
                    if next > watermark && next != Watermark::END && self.has_times() {
                        watermark = next;
                        self.drive.offer(InputId(0), Element::Watermark(next)).await?;
                    }
                }
                TableChange::CaughtUp => self.drive.offer(InputId(0), Element::CaughtUp).await?,
                TableChange::End => return self.end().await,
            }
        }
    }

    fn has_times(&self) -> bool {
        schema::event_time_index(&self.schema).is_some()
    }

    async fn end(&mut self) -> Result<()> {
        self.rows_given.finish();
        self.drive.ended(Some(self.rows_given.state())).await
    }

    /// Hands on what the plan reads of these rows.
    async fn rows(&mut self, rows: &Batch, watermark: Watermark) -> Result<()> {
        let mut columns: Vec<_> =
            self.scan.columns.iter().map(|column| Arc::clone(rows.columns.column(column.column))).collect();
        if self.has_times() {
            let lacks = || ExecError::Internal(format!("the table {} has no event time", self.table.name()));
            let time = schema::event_time_index(rows.columns.schema_ref()).ok_or_else(lacks)?;
            columns.push(Arc::clone(rows.columns.column(time)));
        }
        let mut batch = rows.with_columns(columns_of(&self.schema, columns, rows.rows())?);
        batch.origin = None;
        batch.late_by = batch.event_times().and_then(|times| {
            let late = times.values().iter().any(|time| *time < watermark.0);
            late.then(|| times.values().iter().map(|time| watermark.0.saturating_sub(*time)).collect::<Int64Array>())
        });
        self.given.fetch_add(batch.rows() as u64, Ordering::Relaxed);
        let size = self.batch_rows.max(1);
        for at in (0..batch.rows()).step_by(size) {
            let part = batch.slice(at, size.min(batch.rows() - at));
            self.rows_given.add(part.rows());
            self.drive.offer(InputId(0), Element::Batch(part)).await?;
        }
        Ok(())
    }
}

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
        loop {
            let next = tokio::select! {
                biased;
                () = wait_until(&self.clock, due) => {
                    self.publish(watermark).await?;
                    due = None;
                    continue;
                }
                next = self.inputs.next() => next,
            };
            let (_, element) = next?.ok_or(ExecError::Stopped)?;
            let interval = i64::try_from(self.publish.as_micros()).unwrap_or(i64::MAX);
            let soon = |clock: &Clock| clock.now().saturating_add(interval);
            match element {
                Element::Batch(batch) => {
                    self.writer.apply(&batch).map_err(|error| ExecError::connector(&self.name, error))?;
                    Progress::add(&self.progress.records, batch.rows() as u64);
                    Progress::add(&self.progress.delivered, batch.rows() as u64);
                    due = due.or_else(|| ready.then(|| soon(&self.clock)));
                }
                Element::Watermark(next) => {
                    watermark = next;
                    due = due.or_else(|| ready.then(|| soon(&self.clock)));
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
                    while self.inputs.next().await?.is_some() {}
                    return Ok(());
                }
                // What was read has been applied; whoever waits for the table is stopped too.
                Element::Stop => return Ok(()),
                Element::CaughtUp | Element::InputWatermark(_) | Element::Idle | Element::Barrier(_) => {}
            }
        }
    }

    async fn publish(&mut self, watermark: Watermark) -> Result<()> {
        self.writer.publish().await.map_err(|error| ExecError::connector(&self.name, error))?;
        self.writer.advance(watermark);
        Ok(())
    }
}
