//! Following a table: its content, then every change, through a queue that holds the writer back when it is full.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;
use velo_core::batch::Batch;
use velo_core::connector::CheckpointId;
use velo_core::error::{ConnectorError, ErrorKind, Result};
use velo_core::lookup::{TableChange, TableChanges};
use velo_core::time::Watermark;

use crate::store::ops::Delta;
use crate::store::state::Scan;

/// So many published versions may wait for a follower; then the writer waits.
const BEHIND: usize = 64;

/// What a follower is told behind the content.
#[derive(Debug)]
pub(crate) enum Event {
    /// What a version changed.
    Delta(Delta),
    /// The watermark of the table.
    Watermark(Watermark),
    /// A barrier that goes through.
    Barrier(CheckpointId),
    /// The table is ready.
    CaughtUp,
    /// It cannot change any more.
    End,
    /// It will get no more changes.
    Failed(String),
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    deltas: usize,
    /// Nobody reads any more.
    left: bool,
}

/// What waits for one follower.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
    room: Notify,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event; a watermark takes the place of one that was the last.
    pub(crate) fn push(&self, event: Event) {
        let mut waiting = self.waiting();
        if waiting.left {
            return;
        }
        match (&event, waiting.events.back_mut()) {
            (Event::Watermark(_), Some(last @ Event::Watermark(_))) => *last = event,
            _ => {
                waiting.deltas += usize::from(matches!(event, Event::Delta(_)));
                waiting.events.push_back(event);
            }
        }
        drop(waiting);
        self.news.notify_one();
    }

    fn pop(&self) -> Option<Event> {
        let mut waiting = self.waiting();
        let event = waiting.events.pop_front()?;
        if matches!(event, Event::Delta(_)) {
            waiting.deltas -= 1;
            drop(waiting);
            self.room.notify_one();
        }
        Some(event)
    }

    /// Waits until there is room for what one more version changes. One writer waits, and `notify_one` is kept for it.
    pub(crate) async fn room(&self) {
        loop {
            {
                let waiting = self.waiting();
                if waiting.left || waiting.deltas < BEHIND {
                    return;
                }
            }
            self.room.notified().await;
        }
    }
}

/// The content that is given first.
#[derive(Debug)]
pub(crate) enum Content {
    /// Rows that stand.
    Rows(Scan),
    /// Every version that is kept.
    Versions(Delta),
}

/// One who follows a table.
#[derive(Debug)]
pub(crate) struct Follower {
    queue: Arc<Queue>,
    content: Option<Content>,
    delta: Option<Delta>,
    end: Option<Event>,
    begun_behind: CheckpointId,
}

impl Follower {
    /// `content`, where there is one, and then what comes through the queue; begun behind the barrier of a checkpoint.
    pub(crate) fn new(queue: Arc<Queue>, content: Option<Content>, begun_behind: CheckpointId) -> Self {
        Self { queue, content, delta: None, end: None, begun_behind }
    }

    fn rows(&mut self) -> Result<Option<Batch>> {
        let batch = match &mut self.content {
            Some(Content::Rows(scan)) => scan.next().transpose()?.map(Batch::new),
            Some(Content::Versions(versions)) => versions.next()?,
            None => None,
        };
        if batch.is_some() {
            return Ok(batch);
        }
        self.content = None;
        if let Some(delta) = &mut self.delta {
            if let Some(batch) = delta.next()? {
                return Ok(Some(batch));
            }
            self.delta = None;
        }
        Ok(None)
    }
}

#[async_trait]
impl TableChanges for Follower {
    async fn next(&mut self) -> Result<TableChange> {
        loop {
            if let Some(batch) = self.rows()? {
                return Ok(TableChange::Rows(batch));
            }
            match &self.end {
                Some(Event::Failed(message)) => {
                    return Err(ConnectorError::new(ErrorKind::Unavailable, "following a table", message.clone()));
                }
                Some(_) => return Ok(TableChange::End),
                None => {}
            }
            match self.queue.pop() {
                Some(Event::Delta(delta)) => self.delta = Some(delta),
                Some(Event::Watermark(watermark)) => return Ok(TableChange::Watermark(watermark)),
                Some(Event::Barrier(checkpoint)) => return Ok(TableChange::Barrier(checkpoint)),
                Some(Event::CaughtUp) => return Ok(TableChange::CaughtUp),
                Some(end) => self.end = Some(end),
                None => self.queue.news.notified().await,
            }
        }
    }

    fn begun_behind(&self) -> CheckpointId {
        self.begun_behind
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting();
        waiting.left = true;
        waiting.events.clear();
        waiting.deltas = 0;
        drop(waiting);
        self.queue.room.notify_one();
    }
}
