//! How far a source was read whose rows come in one order and are the same at every start: it is told by their number.

use velo_core::offset::Position;

use super::Drive;
use crate::checkpoint::{Line, Next, PartitionState, SourceState};
use crate::error::Result;

/// The one partition of such a source.
const ROWS: &str = "rows";

/// The rows that such a source has given.
#[derive(Debug, Clone, Default)]
pub struct RowsGiven {
    saved_as: String,
    rows: usize,
    finished: bool,
}

impl RowsGiven {
    /// Goes on behind what was given before, for the source that checkpoints know by this name.
    pub fn behind(saved_as: String, before: &SourceState) -> Self {
        match before.partitions.get(ROWS).and_then(|state| state.position.as_ref()) {
            Some(Position::Row(rows)) => Self { saved_as, rows: *rows as usize, finished: false },
            Some(Position::Finished) => Self { saved_as, rows: usize::MAX, finished: true },
            _ => Self { saved_as, rows: 0, finished: false },
        }
    }

    /// How many were given.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// More were.
    pub fn add(&mut self, rows: usize) {
        self.rows = self.rows.saturating_add(rows);
    }

    /// All were.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// What a checkpoint keeps of it.
    pub fn state(&self) -> (String, SourceState) {
        let position = if self.finished { Position::Finished } else { Position::Row(self.rows as u64) };
        let state = PartitionState { position: Some(position), ..PartitionState::default() };
        let mut all = SourceState::nothing();
        all.partitions.insert(ROWS.to_owned(), state);
        (self.saved_as.clone(), all)
    }

    /// Gives the barrier that is asked for, where one is.
    pub async fn barrier(&self, drive: &mut Drive, line: &mut Line) -> Result<()> {
        if let Some(checkpoint) = line.due() {
            drive.barrier(checkpoint, Some(self.state())).await?;
            line.given(checkpoint);
        }
        Ok(())
    }

    /// Waits until `open` says whether the tables are ready, and gives barriers meanwhile.
    pub async fn wait(
        &self,
        open: impl Future<Output = Result<bool>>,
        drive: &mut Drive,
        line: &mut Line,
    ) -> Result<bool> {
        wait_open(open, drive, line, &self.state()).await
    }
}

/// Waits until `open` says whether the tables of a source are ready, and gives barriers meanwhile: nothing was read behind `state`.
pub(super) async fn wait_open(
    open: impl Future<Output = Result<bool>>,
    drive: &mut Drive,
    line: &mut Line,
    state: &(String, SourceState),
) -> Result<bool> {
    tokio::pin!(open);
    loop {
        let next = tokio::select! {
            biased;
            opened = &mut open => return opened,
            next = line.next() => next,
        };
        match next {
            Next::Barrier { checkpoint, .. } => {
                drive.barrier(checkpoint, Some(state.clone())).await?;
                line.given(checkpoint);
            }
            // Whoever failed says why; the gate is told, or its tables are ready.
            Next::Over => return open.await,
        }
    }
}
