//! The one who writes a table: takes changes, publishes them together, and has what nobody needs taken out in the background.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use velo_core::batch::Batch;
use velo_core::connector::CheckpointId;
use velo_core::error::{ConnectorError, ErrorKind, Result};
use velo_core::lookup::{TableSnapshot, TableVersion, TableWriter};
use velo_core::time::Watermark;

use crate::store::apply::Tally;
use crate::store::first::{First, Unindexed};
use crate::store::index::failed;
use crate::store::merge::Merge;
use crate::store::ops::{Delta, Ops};
use crate::store::reload::Reload;
use crate::store::state::State;
use crate::store::table::{Table, TableCounts};
use crate::store::versions::Due;

/// Writes a table.
///
/// The row that stands under a key is the one that came last, whatever its event time; [`velo_core::lookup::TableVersion::find_as_of`]
/// goes by event time. A row that takes the place of another one comes last in the order of the table.
#[derive(Debug)]
pub struct Writer {
    pub(crate) table: Arc<Table>,
    pub(crate) state: State,
    pub(crate) ops: Ops,
    pub(crate) due: Due,
    /// Whether something was applied since the last version.
    pub(crate) changed: bool,
    pub(crate) reload: Option<Box<Reload>>,
    /// A first content is being applied.
    pub(crate) first: Option<First>,
    merge: Option<Merge>,
    ended: bool,
    /// Rows since it told last how much memory it takes.
    untold: usize,
}

/// So many rows are taken before it is added up how much memory they take.
const UNTOLD_ROWS: usize = 65_536;

impl Writer {
    pub(crate) fn new(table: Arc<Table>, state: State) -> Self {
        Self {
            table,
            state,
            ops: Ops::default(),
            due: Due::default(),
            changed: false,
            reload: None,
            first: None,
            merge: None,
            ended: false,
            untold: 0,
        }
    }

    /// The table that it writes.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Waits until rows that nobody needs have been taken out, as far as it is worth it; the version that stands then lies in less memory.
    ///
    /// # Errors
    ///
    /// Where columns cannot be put together.
    pub async fn settle(&mut self) -> Result<()> {
        // What was applied and not published may have ended rows that those who follow the table are still to be told of.
        while !self.changed {
            if self.merge.is_none() {
                self.merge = Merge::begin(&self.state);
            }
            let Some(merge) = &mut self.merge else { return Ok(()) };
            merge.install(&mut self.state).await?;
            self.merge = None;
            self.table.move_to(self.state.clone());
            self.tell_memory()?;
        }
        Ok(())
    }

    /// Whether it never had a row, in no version.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.changed && self.state.segments.end() == 0 && self.table.current().number() == 0
    }

    /// Makes it as untouched as it was when it had counted `before`.
    pub(crate) fn forget_all(&mut self, before: TableCounts) {
        self.state = State::new(&self.state.shape);
        (self.ops, self.due, self.merge, self.changed) = (Ops::default(), Due::default(), None, false);
        self.table.counters().replaced.store(before.replaced, Ordering::Relaxed);
        self.table.counters().absent.store(before.absent, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, tally: Tally) {
        self.table.counters().replaced.fetch_add(tally.replaced, Ordering::Relaxed);
        self.table.counters().absent.fetch_add(tally.absent, Ordering::Relaxed);
    }

    /// Tells how much memory it takes.
    ///
    /// # Errors
    ///
    /// Where there is no room for that.
    pub(crate) fn tell_memory(&mut self) -> Result<()> {
        self.untold = 0;
        let unindexed = self.first.as_ref().and_then(|first| first.unindexed.as_ref());
        self.table.charge(|| {
            let reload = self.reload.as_ref().map_or(0, |reload| reload.bytes());
            self.state.bytes() + reload + unindexed.map_or(0, Unindexed::bytes)
        })
    }

    /// Waits until all who follow the table have room for one version more. Only this writer fills it.
    async fn room(&self) {
        for queue in self.table.queues() {
            queue.room().await;
        }
    }

    /// Forgets what nobody can ask for any more. Of each key the newest version that is not later stays. A row that comes later with
    /// an event time before it counts as the newest of its time.
    fn forget(&mut self) -> Result<()> {
        let State { histories, segments, unlisted, .. } = &mut self.state;
        if let (Some(histories), Some(asked)) = (histories, self.table.asked_from()) {
            let mut forgotten = Vec::new();
            histories.forget_before(segments, asked.0, &mut self.due, &mut forgotten)?;
            for position in forgotten {
                unlisted.set(position);
            }
        }
        Ok(())
    }

    /// From here on the rows of a first content go into the index as they come.
    fn index_first(&mut self) -> Result<()> {
        if let Some(unindexed) = self.first.as_mut().and_then(|first| first.unindexed.take()) {
            let tally = unindexed.index_here(&mut self.state, &mut self.ops)?;
            self.count(tally);
        }
        Ok(())
    }

    fn install_merged(&mut self) -> Result<()> {
        if let Some(merge) = &mut self.merge
            && merge.try_install(&mut self.state)?
        {
            self.merge = None;
            if !self.changed {
                self.table.move_to(self.state.clone());
            }
        }
        Ok(())
    }

    /// Makes what was applied the next version. Nothing in here waits.
    pub(crate) fn publish_now(&mut self, last: bool) -> Result<()> {
        // No later version will have more to forget, and the last one is the same at every start.
        if !last {
            self.forget()?;
        }
        self.state.segments.tidy().map_err(failed)?;
        self.tell_memory()?;
        let ops = std::mem::take(&mut self.ops);
        let delta = (!ops.is_empty()).then(|| Delta::new(&self.state, ops));
        self.table.publish(self.state.clone(), delta, last);
        self.changed = false;
        if self.merge.is_none() {
            self.merge = Merge::begin(&self.state);
        }
        Ok(())
    }
}

#[async_trait]
impl TableWriter for Writer {
    fn apply(&mut self, batch: &Batch) -> Result<()> {
        if self.ended {
            let message = "the table cannot change any more: it was finished";
            return Err(ConnectorError::new(ErrorKind::Unsupported, "writing a table", message));
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.untold += batch.rows();
        if self.untold >= UNTOLD_ROWS {
            self.tell_memory()?;
        }
        if let Some(reload) = &mut self.reload {
            return reload.apply(batch);
        }
        if let Some(unindexed) = self.first.as_mut().and_then(|first| first.unindexed.as_mut()) {
            if unindexed.take(&mut self.state, batch)? {
                self.changed = true;
                return Ok(());
            }
            self.index_first()?;
        }
        let mut tally = Tally::default();
        self.state.apply(batch, &mut self.ops, &mut tally, &mut self.due)?;
        self.changed = true;
        self.count(tally);
        Ok(())
    }

    async fn publish(&mut self) -> Result<()> {
        self.install_merged()?;
        // A first content is shown when it is complete.
        if !self.changed || self.first.is_some() {
            return Ok(());
        }
        self.room().await;
        self.publish_now(false)
    }

    fn advance(&mut self, watermark: Watermark) {
        self.table.advance(watermark);
    }

    async fn barrier(&mut self, checkpoint: CheckpointId) -> Result<Box<dyn TableSnapshot>> {
        self.publish().await?;
        Ok(Box::new(self.table.barrier(checkpoint, None)))
    }

    async fn ready(&mut self) -> Result<()> {
        self.publish().await?;
        self.table.set_ready();
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.abort_reload();
        self.install_merged()?;
        self.room().await;
        self.publish_now(true)?;
        self.ended = true;
        self.table.set_ready();
        self.table.advance(Watermark::END);
        self.table.end();
        Ok(())
    }

    fn fail(&mut self, message: String) {
        self.table.fail(&message);
    }
}

impl Drop for Writer {
    /// Nobody is to wait for what cannot come.
    fn drop(&mut self) {
        if !self.ended {
            let name = velo_core::lookup::TableReader::name(self.table.as_ref());
            self.table.fail(&format!("what writes table `{name}` has stopped"));
        }
    }
}

impl Writer {
    /// The watermark of the version that stands.
    pub(crate) fn watermark(&self) -> Watermark {
        self.table.current().watermark()
    }
}
