//! One file with an end, exactly once: all epochs go into one hidden file beside it, which takes its place after the last one, or is
//! appended to it.
//!
//! Where the bytes of a file depend on all that was written to it (Parquet), each epoch with rows ends a *section*, which is a file in
//! itself, behind those before. The commit of several shows one file with the row groups of all.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use velo_core::connector::CheckpointId;
use velo_core::error::ErrorKind;
use velo_core::{Batch, ConnectorError, Result};

use super::Encode;
use super::publish::{Span, append, replace};
use super::stage::{Staged, ends_in_mid_line, hidden, remove_file, remove_leftovers};
use crate::error;

/// What a checkpoint keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Held {
    /// The rows so far are in a hidden file, and stay there.
    Open {
        /// Its name, beside the target.
        file: String,
        /// Its length then.
        length: u64,
        /// It has what must stand before the first row.
        begun: bool,
        /// It has rows.
        rows: bool,
        /// Where its sections end.
        ends: Vec<u64>,
    },
    /// The hidden file is complete.
    Complete {
        /// Its name, beside the target.
        file: String,
        /// Its length.
        length: u64,
        /// It is appended to the target, which had so many bytes; else it takes the target's place.
        at: Option<u64>,
        /// Another hidden file, which it was made of.
        sections: Option<String>,
    },
    /// It was complete at an earlier checkpoint.
    Over,
}

impl Held {
    /// The hidden files that are needed.
    fn files(&self) -> Vec<&str> {
        match self {
            Self::Open { file, .. } => vec![file],
            Self::Complete { file, sections, .. } => {
                std::iter::once(file.as_str()).chain(sections.as_deref()).collect()
            }
            Self::Over => Vec::new(),
        }
    }

    /// Makes it visible, if it is complete.
    pub(super) fn publish(&self, target: &Path) -> Result<()> {
        let Self::Complete { file, length, at, sections } = self else { return Ok(()) };
        let span = Span { at: at.unwrap_or(0), length: *length, seen: None };
        match at {
            Some(_) => append(&hidden(target, file), target, span)?,
            None => replace(&hidden(target, file), target, span)?,
        }
        if let Some(sections) = sections {
            remove_file(&hidden(target, sections)).map_err(|failed| error::writing(target, failed))?;
        }
        Ok(())
    }
}

/// One file whose rows are seen when it is complete.
pub(crate) struct Holding {
    target: PathBuf,
    /// Rows are added to what the target has.
    append: bool,
    /// `None` once it is complete.
    staged: Option<Staged>,
    /// It has what must stand before the first row.
    begun: bool,
    /// It has rows.
    rows: bool,
    /// No more rows will come.
    ended: bool,
    /// It is made of sections.
    sectioned: bool,
    /// The writer of the section that is open, and whether that has rows.
    section: Option<(Box<dyn Encode>, bool)>,
    /// Where the sections end that are complete.
    ends: Vec<u64>,
    /// Complete and not committed.
    pending: Vec<Staged>,
}

impl Holding {
    /// Begins the hidden file, so that what cannot be written is known before anything is read, or goes on with that of an earlier run.
    pub(crate) fn open(target: PathBuf, append: bool, encoder: &mut dyn Encode, after: Option<Held>) -> Result<Self> {
        let kept = after.as_ref().map(Held::files).unwrap_or_default();
        remove_leftovers(&target, &kept);
        let mut holding = Self {
            append,
            staged: None,
            begun: false,
            rows: false,
            ended: false,
            sectioned: encoder.joins().is_some(),
            section: None,
            ends: Vec::new(),
            pending: Vec::new(),
            target,
        };
        let target = &holding.target;
        match after {
            None => holding.staged = Some(Staged::create(target).map_err(|failed| error::writing(target, failed))?),
            Some(Held::Open { file, length, begun, rows, ends }) => {
                let staged = Staged::find(target, &file, Some(length))?;
                let lost = || {
                    let path = hidden(target, &file);
                    let message = format!(
                        "'{}', which holds them, is gone: the output was completed, or begun anew, since",
                        path.display()
                    );
                    error::rows_lost(target, &message)
                };
                holding.staged = Some(staged.ok_or_else(lost)?);
                (holding.begun, holding.rows, holding.ends) = (begun, rows, ends);
                if rows && !holding.sectioned {
                    encoder.resume();
                }
            }
            Some(Held::Complete { file, length, sections, .. }) => {
                holding.pending.extend(Staged::find(target, &file, Some(length))?);
                if let Some(sections) = sections {
                    holding.pending.extend(Staged::find(target, &sections, None)?);
                }
            }
            Some(Held::Over) => {}
        }
        Ok(holding)
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.target.clone()
    }

    /// Writes what must stand before the first row.
    fn begin(&mut self, encoder: &mut dyn Encode) -> Result<()> {
        let Some(staged) = &mut self.staged else { return Ok(()) };
        let out = &mut staged.output.buffer;
        if self.sectioned {
            if self.section.is_none()
                && let Some(mut writer) = encoder.of_one_file()?
            {
                writer.header(out);
                self.section = Some((writer, false));
            }
        } else if !self.begun {
            let failed = |failure| error::writing(&self.target, failure);
            if self.append && ends_in_mid_line(&self.target).map_err(failed)? {
                out.push(b'\n');
            } else if !self.append || !std::fs::metadata(&self.target).is_ok_and(|target| target.len() > 0) {
                encoder.header(out);
            }
        }
        self.begun = true;
        Ok(())
    }

    pub(crate) async fn write(&mut self, encoder: &mut dyn Encode, batch: &Batch) -> Result<()> {
        self.begin(encoder)?;
        let Some(staged) = &mut self.staged else {
            let message = format!("'{}' is complete, and a row came after its end", self.target.display());
            return Err(
                ConnectorError::new(ErrorKind::Configuration, "writing", message).advise("start anew with --fresh")
            );
        };
        let some = batch.rows() > 0;
        self.rows |= some;
        let out = &mut staged.output.buffer;
        match &mut self.section {
            Some((writer, rows)) => {
                *rows |= some;
                writer.encode(batch, out)?;
            }
            None => encoder.encode(batch, out)?,
        }
        staged.output.full().await.map_err(|failed| error::writing(&self.target, failed))
    }

    /// The next epoch is the last one.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) async fn prepare(&mut self, encoder: &mut dyn Encode, id: CheckpointId) -> Result<Held> {
        if self.staged.is_none() {
            return Ok(Held::Over);
        }
        if self.section.as_ref().is_some_and(|(_, rows)| *rows) {
            self.end_section().await?;
        }
        if self.ended {
            return self.complete(encoder, id).await;
        }
        let Some(staged) = &mut self.staged else { return Ok(Held::Over) };
        let (file, length) = staged.keep(id).await.map_err(|failed| error::writing(&self.target, failed))?;
        Ok(Held::Open { file, length, begun: self.begun, rows: self.rows, ends: self.ends.clone() })
    }

    /// Ends the open section.
    async fn end_section(&mut self) -> Result<()> {
        let (Some(staged), Some((mut writer, _))) = (&mut self.staged, self.section.take()) else { return Ok(()) };
        writer.footer(&mut staged.output.buffer)?;
        staged.output.flush().await.map_err(|failed| error::writing(&self.target, failed))?;
        self.ends.push(staged.output.written());
        Ok(())
    }

    /// Ends the file.
    async fn complete(&mut self, encoder: &mut dyn Encode, id: CheckpointId) -> Result<Held> {
        let target = self.target.clone();
        let failed = |failure| error::writing(&target, failure);
        if !self.sectioned || self.ends.is_empty() {
            // An output without rows is a file as well.
            self.begin(encoder)?;
        }
        if self.sectioned && self.ends.is_empty() {
            self.end_section().await?;
        }
        let Some(mut staged) = self.staged.take() else { return Ok(Held::Over) };
        if !self.sectioned {
            encoder.footer(&mut staged.output.buffer)?;
        }
        let joined = match encoder.joins() {
            Some(join) if self.ends.len() > 1 => {
                let mut joined = Staged::create(&target).map_err(failed)?;
                let (from, to, ends) = (staged.path().to_owned(), joined.path().to_owned(), self.ends.clone());
                let work = move || {
                    let failed = |failure| error::writing(&to, failure);
                    let out = OpenOptions::new().write(true).open(&to).map_err(failed)?;
                    join(&File::open(&from).map_err(failed)?, &ends, &out)?;
                    out.metadata().map(|metadata| metadata.len()).map_err(failed)
                };
                let length =
                    tokio::task::spawn_blocking(work).await.map_err(|gone| failed(std::io::Error::other(gone)))?;
                joined.output.filled(length?);
                Some(joined)
            }
            _ => None,
        };
        let (mut whole, rest) = match joined {
            Some(joined) => (joined, Some(staged)),
            None => (staged, None),
        };
        let (file, length) = whole.keep(id).await.map_err(failed)?;
        self.pending.push(whole);
        let sections = match rest {
            Some(mut rest) => {
                let (name, _) = rest.keep(id).await.map_err(failed)?;
                self.pending.push(rest);
                Some(name)
            }
            None => None,
        };
        let at = self.append.then(|| std::fs::metadata(&target).map_or(0, |target| target.len()));
        Ok(Held::Complete { file, length, at, sections })
    }

    /// What was prepared is committed.
    pub(crate) fn committed(&mut self) {
        self.pending.clear();
    }

    pub(crate) async fn abort(&mut self) {
        for staged in self.staged.take().into_iter().chain(self.pending.drain(..)) {
            staged.abort().await;
        }
    }
}
