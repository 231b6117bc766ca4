//! A table as a source: its content, then its changes.
//!
//! Of a table that goes on changing the barriers of checkpoints come through the table, between its changes: what this has given at a
//! barrier is what the table was saved with there. After a restart it gives the changes since, and the content only where it had given
//! nothing. Other tables are the same at every start, and the number of rows says what was given of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::Int64Array;
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::connector::CheckpointId;
use velo_core::lookup::{TableChange, TableChanges, TableReader};
use velo_core::{Batch, Watermark, schema};
use velo_plan::plan::TableScan;

use super::rows_given::{RowsGiven, wait_open};
use super::{Drive, Stop, StopRequest};
use crate::checkpoint::rows::{pack, unpack};
use crate::checkpoint::{Line, Next, OperatorState, Reached, SourceState, StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::operator::{Element, InputId};

/// The state table of changes that were not given yet.
const CHANGES: &str = "changes";

/// A table as a source.
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
    /// Whether it ends by itself when the inputs of the job do: a query makes the table.
    pub ends: bool,
    /// Of a table that goes on changing while checkpoints are made: how it is followed.
    pub following: Option<Following>,
}

/// How a table is followed whose changes barriers come with.
pub struct Following {
    /// The name in checkpoints of what is kept.
    pub saved_as: String,
    /// The changes since the last checkpoint, where what was before was given; none where nothing was.
    pub changes: Option<Box<dyn TableChanges>>,
    /// What happened before that and was not given yet.
    pub waiting: Vec<TableChange>,
    /// How far the table was known by event time in what was given.
    pub watermark: Watermark,
}

impl Following {
    /// Goes on where a checkpoint left it: `source` says how far, `state` has the changes that were not given yet, and `changes` are
    /// those since.
    pub fn new(
        saved_as: String,
        source: &SourceState,
        state: &mut StateReader,
        table: &SchemaRef,
        changes: Option<Box<dyn TableChanges>>,
    ) -> Result<Self> {
        let mut waiting = Vec::new();
        for packed in state.rows(CHANGES)? {
            waiting.extend(unpack(&packed, table)?.into_iter().map(TableChange::Rows));
        }
        Ok(Self { saved_as, changes, waiting, watermark: source.watermark })
    }

    fn state(&self) -> Result<Option<(String, Vec<OperatorState>)>> {
        if self.waiting.is_empty() {
            return Ok(None);
        }
        let mut state = StateWriter::new();
        for change in &self.waiting {
            // The rest is said again after a restart.
            if let TableChange::Rows(batch) = change {
                state.rows(CHANGES, pack(batch)?);
            }
        }
        Ok(Some((self.saved_as.clone(), state.finish(Reached::default())?)))
    }
}

/// Whether the last barrier of a job that is stopped was given.
fn was_last(line: &Line) -> bool {
    line.asked().last && line.due().is_none()
}

impl TableScanTask {
    /// Runs until the table cannot change any more, once `open` says that the tables are ready.
    pub async fn run(mut self, open: impl Future<Output = Result<bool>>) -> Result<()> {
        let mut line = self.drive.line();
        match self.following.take() {
            None => self.by_number(open, &mut line).await,
            Some(following) => self.follow(open, following, &mut line).await,
        }
    }

    /// Of a table that is the same at every start.
    async fn by_number(&mut self, open: impl Future<Output = Result<bool>>, line: &mut Line) -> Result<()> {
        if !self.rows_given.wait(open, &mut self.drive, line).await? {
            return self.drive.stopped(Some(self.rows_given.state())).await;
        }
        // A table may have been saved at a barrier before its end, so that this is to be given before any of its rows.
        self.rows_given.barrier(&mut self.drive, line).await?;
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
            let change = match change {
                TableChange::Rows(rows) => {
                    let before = skip.min(rows.rows());
                    skip -= before;
                    TableChange::Rows(rows.slice(before, rows.rows() - before))
                }
                other => other,
            };
            if self.change(change, &mut watermark).await? {
                return self.end().await;
            }
        }
    }

    /// Of a table whose barriers come with its changes.
    async fn follow(
        &mut self,
        open: impl Future<Output = Result<bool>>,
        mut following: Following,
        line: &mut Line,
    ) -> Result<()> {
        let opened = match following.changes.take() {
            None => {
                let state = self.reached(&following);
                match wait_open(open, &mut self.drive, line, &state).await? {
                    true => {
                        let changes = self.table.follow();
                        // The table was saved at a barrier, and may have changed since: nothing of it was given then.
                        if let Some(due) = line.due().filter(|due| *due <= changes.begun_behind()) {
                            self.drive.barrier(due, Some(state)).await?;
                            line.given(due);
                        }
                        Some(changes)
                    }
                    false => return self.drive.stopped(Some(state)).await,
                }
            }
            Some(changes) => self.keep_changes(open, changes, &mut following, line).await?,
        };
        let Some(mut changes) = opened.filter(|_| !was_last(line)) else {
            return self.drive.offer(InputId(0), Element::Stop).await;
        };
        self.drive.start().await?;
        if following.watermark > Watermark::NONE && self.has_times() {
            self.drive.offer(InputId(0), Element::Watermark(following.watermark)).await?;
        }
        for change in std::mem::take(&mut following.waiting) {
            if self.change(change, &mut following.watermark).await? {
                return self.end().await;
            }
        }
        let stop = self.stop.clone();
        let asked = stop.asked();
        tokio::pin!(asked);
        let mut stopping = false;
        loop {
            let change = tokio::select! {
                biased;
                request = &mut asked, if !stopping => {
                    if request == StopRequest::Finish && !self.ends {
                        return self.end().await;
                    }
                    // What the table still gets comes out, up to the last barrier or the end.
                    stopping = true;
                    continue;
                }
                // Nobody reads what comes of it any more, and there is no last barrier.
                () = line.over(), if stopping => return self.drive.offer(InputId(0), Element::Stop).await,
                () = self.drive.due() => {
                    self.drive.fire().await?;
                    continue;
                }
                change = changes.next() => change.map_err(|error| ExecError::connector(self.table.name(), error))?,
            };
            match change {
                TableChange::Barrier(checkpoint) => {
                    if self.barrier(checkpoint, &mut following, line).await? {
                        return self.drive.offer(InputId(0), Element::Stop).await;
                    }
                }
                change => {
                    if self.change(change, &mut following.watermark).await? {
                        return self.end().await;
                    }
                }
            }
        }
    }

    /// Waits until `open` says whether the tables are ready, and keeps what changes meanwhile: nothing is given before. Gives the
    /// changes behind that, or nothing where the job was stopped and the last barrier has come.
    async fn keep_changes(
        &mut self,
        open: impl Future<Output = Result<bool>>,
        mut changes: Box<dyn TableChanges>,
        following: &mut Following,
        line: &mut Line,
    ) -> Result<Option<Box<dyn TableChanges>>> {
        tokio::pin!(open);
        let (mut stopping, mut ended) = (false, false);
        loop {
            // Where the inputs are to end, the table is ready when it has.
            if stopping && self.stop.requested() == StopRequest::Finish && (ended || !self.ends) {
                return Ok(Some(changes));
            }
            let checkpoint = tokio::select! {
                biased;
                opened = &mut open, if !stopping => match opened? {
                    true => return Ok(Some(changes)),
                    false => {
                        stopping = true;
                        continue;
                    }
                },
                // Behind the end of the table nothing comes through it.
                next = line.next(), if ended => match next {
                    Next::Barrier { checkpoint, .. } => checkpoint,
                    // This has not ended, so that the job has failed; whoever did says why.
                    Next::Over => return Err(ExecError::Stopped),
                },
                change = changes.next(), if !ended => {
                    match change.map_err(|error| ExecError::connector(self.table.name(), error))? {
                        TableChange::Barrier(checkpoint) => checkpoint,
                        change => {
                            ended = matches!(change, TableChange::End);
                            following.waiting.push(change);
                            continue;
                        }
                    }
                }
            };
            if self.barrier(checkpoint, following, line).await? {
                return Ok(None);
            }
        }
    }

    /// The barrier of a checkpoint has come through the table; whether it was the last one of a job that is stopped.
    async fn barrier(&mut self, checkpoint: CheckpointId, following: &mut Following, line: &mut Line) -> Result<bool> {
        // It may have been given before the table was followed.
        if line.due() == Some(checkpoint) {
            let state = self.reached(following);
            self.drive.barrier_with(checkpoint, Some(state), following.state()?).await?;
            line.given(checkpoint);
        }
        Ok(was_last(line))
    }

    /// How far the table was given, for a checkpoint.
    fn reached(&self, following: &Following) -> (String, SourceState) {
        let (name, state) = self.rows_given.state();
        (name, SourceState { watermark: following.watermark, ..state })
    }

    /// Hands on what happens in the table; whether it has ended.
    async fn change(&mut self, change: TableChange, watermark: &mut Watermark) -> Result<bool> {
        match change {
            TableChange::Rows(rows) => self.rows(&rows, *watermark).await?,
            // The end says more than the greatest watermark.
            TableChange::Watermark(next) => {
                if next > *watermark && next != Watermark::END && self.has_times() {
                    *watermark = next;
                    self.drive.offer(InputId(0), Element::Watermark(next)).await?;
                }
            }
            TableChange::CaughtUp => self.drive.offer(InputId(0), Element::CaughtUp).await?,
            TableChange::End => return Ok(true),
            // The coordinator has asked for it too.
            TableChange::Barrier(_) => {}
        }
        Ok(false)
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
            self.drive.room().await?;
            self.drive.offer(InputId(0), Element::Batch(part)).await?;
        }
        Ok(())
    }
}
