//! Taking out rows that no version needs any more, in the background: the version that stands goes on serving, and what changes
//! meanwhile is marked beside the segments, not in them.

use std::sync::Arc;

use arrow_schema::ArrowError;
use tokio::sync::oneshot;
use velo_core::error::{ConnectorError, ErrorKind, Result};

use crate::store::index::failed;
use crate::store::marks::{Bits, count};
use crate::store::segments::Segment;
use crate::store::state::State;

/// A segment is written anew when more than one of so many of its rows are not needed.
const SHARE: usize = 8;
/// So many segments are written at a time: that many are there twice meanwhile.
const AT_A_TIME: usize = 32;

/// A segment that is to be written anew.
#[derive(Debug)]
struct Old {
    part: usize,
    segment: Arc<Segment>,
    gone: Box<Bits>,
}

type Fresh = Result<Vec<(Old, Segment)>, ArrowError>;

/// A merge on its way.
#[derive(Debug)]
pub(crate) struct Merge {
    result: oneshot::Receiver<Fresh>,
}

impl State {
    /// Which rows of a sealed segment nobody needs, where they are too many.
    fn unneeded(&self, part: usize) -> Option<Box<Bits>> {
        let segment = self.segments.get(part);
        let most = match self.histories {
            None => self.dead.count(part),
            Some(_) => self.dead.count(part).min(self.unlisted.count(part)),
        };
        if most * SHARE <= segment.rows() {
            return None;
        }
        let mut bits = Box::new(**self.dead.part(part)?);
        if self.histories.is_some() {
            let unlisted = self.unlisted.part(part)?;
            bits.iter_mut().zip(unlisted.iter()).for_each(|(dead, unlisted)| *dead &= unlisted);
        }
        (count(&bits) * SHARE > segment.rows()).then_some(bits)
    }
}

impl Merge {
    /// Begins one, where it is worth it. All rows that `state` does not need have been published as gone.
    pub(crate) fn begin(state: &State) -> Option<Self> {
        let mut work = Vec::new();
        for part in 0..state.segments.sealed() {
            if let Some(gone) = state.unneeded(part) {
                work.push(Old { part, segment: Arc::clone(state.segments.get(part)), gone });
            }
            if work.len() == AT_A_TIME {
                break;
            }
        }
        if work.is_empty() {
            return None;
        }
        let (send, result) = oneshot::channel();
        let task = move || {
            let fresh = work.into_iter().map(|old| {
                let fresh = old.segment.without(&old.gone)?;
                Ok((old, fresh))
            });
            // Nobody waits for it any more where the writer is gone.
            let _ = send.send(fresh.collect());
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(task)),
            Err(_) => drop(std::thread::spawn(task)),
        }
        Some(Self { result })
    }

    /// Puts what was written in the place of what it was written from; false while it is not done.
    pub(crate) fn try_install(&mut self, state: &mut State) -> Result<bool> {
        match self.result.try_recv() {
            Ok(fresh) => install(state, fresh).map(|()| true),
            Err(oneshot::error::TryRecvError::Empty) => Ok(false),
            Err(oneshot::error::TryRecvError::Closed) => Err(stopped()),
        }
    }

    /// The same, once it is done.
    pub(crate) async fn install(&mut self, state: &mut State) -> Result<()> {
        match (&mut self.result).await {
            Ok(fresh) => install(state, fresh),
            Err(_) => Err(stopped()),
        }
    }
}

fn stopped() -> ConnectorError {
    ConnectorError::new(ErrorKind::Io, "keeping a table", "the task that takes out rows of a table has stopped")
}

fn install(state: &mut State, fresh: Fresh) -> Result<()> {
    for (old, fresh) in fresh.map_err(failed)? {
        if state.segments.replace(old.part, &old.segment, Arc::new(fresh)) {
            state.dead.clear(old.part, &old.gone);
            state.unlisted.clear(old.part, &old.gone);
        }
    }
    Ok(())
}
