//! One file without an end, exactly once: each epoch is staged beside it, and appended at its commit.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use velo_core::connector::CheckpointId;
use velo_core::{Batch, Result};

use super::Encode;
use super::publish::{Span, append, cut, replace};
use super::stage::{Staged, ends_in_mid_line, hidden, remove_leftovers};
use crate::error;

/// An epoch that is prepared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    /// The name of the staged file beside the target; `None` where the epoch had no rows.
    staged: Option<String>,
    /// The target's length when the epochs before are committed.
    at: u64,
    /// The staged file's length.
    length: u64,
    /// The staged file takes the target's place: it is the first one of a run that replaces what was there.
    replaces: bool,
}

impl Epoch {
    /// Makes it visible. `seen` is the target's length when the run began that goes on behind this epoch, where one does.
    pub(super) fn publish(&self, target: &std::path::Path, seen: Option<u64>) -> Result<()> {
        let span = Span { at: self.at, length: self.length, seen };
        match &self.staged {
            None if seen.is_some() => cut(target, span),
            None => Ok(()),
            Some(staged) if self.replaces => replace(&hidden(target, staged), target, span),
            Some(staged) => append(&hidden(target, staged), target, span),
        }
    }
}

/// One file whose rows are seen at the commits.
pub(crate) struct Whole {
    target: PathBuf,
    staged: Option<Staged>,
    /// The staged file has what must stand before its first row.
    begun: bool,
    /// Rows are added to what the target has.
    append: bool,
    /// The target's length when all that was prepared is committed; `None` before the first row of a run.
    length: Option<u64>,
    /// The next epoch is the first one.
    first: bool,
    /// Prepared and not committed.
    pending: Vec<Staged>,
    /// The target's length at the start of a run that goes on, until the epoch is committed again behind which it does.
    seen: Option<u64>,
}

impl Whole {
    /// Begins the staged file, so that what cannot be written is known before anything is read.
    pub(crate) fn open(target: PathBuf, append: bool, after: Option<Epoch>) -> Result<Self> {
        let kept = after.as_ref().and_then(|epoch| epoch.staged.as_deref());
        remove_leftovers(&target, kept.as_slice());
        let mut pending = Vec::new();
        if let Some(epoch) = &after
            && let Some(name) = &epoch.staged
        {
            pending.extend(Staged::find(&target, name, Some(epoch.length))?);
        }
        let staged = Staged::create(&target).map_err(|failed| error::writing(&target, failed))?;
        let seen = after.is_some().then(|| std::fs::metadata(&target).map_or(0, |target| target.len()));
        let (first, length) = (after.is_none(), after.map(|epoch| epoch.at + epoch.length));
        Ok(Self { target, staged: Some(staged), begun: false, append, length, first, pending, seen })
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.target.clone()
    }

    /// The target's length at the start of a run that goes on, if that has not committed yet.
    pub(crate) fn seen(&self) -> Option<u64> {
        self.seen
    }

    /// The staged file; a new one begins with what must stand before the first row.
    fn staged(&mut self, encoder: &mut dyn Encode) -> std::io::Result<&mut Staged> {
        let staged = match self.staged.take() {
            Some(staged) => staged,
            None => Staged::create(&self.target)?,
        };
        let staged = self.staged.insert(staged);
        if !std::mem::replace(&mut self.begun, true) {
            let there = match self.length {
                Some(length) => length,
                None if self.append => {
                    if ends_in_mid_line(&self.target)? {
                        staged.output.buffer.push(b'\n');
                    }
                    std::fs::metadata(&self.target).map_or(0, |target| target.len())
                }
                None => 0,
            };
            self.length = Some(there);
            if there == 0 {
                encoder.header(&mut staged.output.buffer);
            }
        }
        Ok(staged)
    }

    pub(crate) async fn write(&mut self, encoder: &mut dyn Encode, batch: &Batch) -> Result<()> {
        let target = self.target.clone();
        let failed = |failure| error::writing(&target, failure);
        let staged = self.staged(encoder).map_err(failed)?;
        encoder.encode(batch, &mut staged.output.buffer)?;
        staged.output.full().await.map_err(failed)
    }

    pub(crate) async fn prepare(&mut self, encoder: &mut dyn Encode, id: CheckpointId) -> Result<Epoch> {
        let target = self.target.clone();
        let failed = |failure| error::writing(&target, failure);
        if !self.first
            && let Some(at) = self.length
            && self.staged.as_ref().is_none_or(|staged| staged.output.is_empty())
        {
            return Ok(Epoch { staged: None, at, length: 0, replaces: false });
        }
        // An output without rows is there as well.
        let (name, length) = self.staged(encoder).map_err(failed)?.keep(id).await.map_err(failed)?;
        self.pending.extend(self.staged.take());
        self.begun = false;
        let at = self.length.unwrap_or(0);
        self.length = Some(at + length);
        let replaces = std::mem::replace(&mut self.first, false) && !self.append;
        Ok(Epoch { staged: Some(name), at, length, replaces })
    }

    /// What was prepared is visible.
    pub(crate) fn committed(&mut self) {
        self.seen = None;
        self.pending.clear();
    }

    pub(crate) async fn abort(&mut self) {
        // The files of commits are gone already.
        for staged in self.staged.take().into_iter().chain(self.pending.drain(..)) {
            staged.abort().await;
        }
    }
}
