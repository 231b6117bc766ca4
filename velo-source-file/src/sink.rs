//! Files as a sink: encoded rows go to one file or to many, at once or at the commit.
//!
//! | | one file | `partition.by`, `rolling.*` |
//! |---|---|---|
//! | exactly once | [`Whole`]: staged beside the path, renamed over it or appended to it at the commit | [`Parts`], renamed at the commit |
//! | at least once | [`Direct`]: appended and flushed with each batch | [`Parts`], written under their names |

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use velo_core::connector::{CheckpointId, CommitKind, PreparedCommit, Sink};
use velo_core::error::ErrorKind;
use velo_core::{Batch, ConnectorError, Result};

use crate::direct::Direct;
use crate::error;
use crate::parts::{Parts, PartsCommit};
use crate::stage::{Staged, append, blocking, ends_in_mid_line, publish};

/// Turns rows into bytes.
pub(crate) trait Encode: Send {
    /// What a file begins with (the header of a CSV file), appended to `out`.
    fn header(&mut self, out: &mut Vec<u8>);

    /// What a file ends with (the `]` of an array, the rest of a Parquet file), appended to `out`.
    fn footer(&mut self, out: &mut Vec<u8>) -> Result<()>;

    /// Bytes that were encoded and are held back until more come (a row group): as the file will have them, and in memory.
    fn pending(&self) -> (usize, usize);

    /// Appends what is held back to `out`.
    fn release(&mut self, out: &mut Vec<u8>) -> Result<()>;

    /// A writer of one file alone, where the bytes of a file depend on all that was written to it; `None` where one serves for all
    /// files.
    fn of_one_file(&self) -> Result<Option<Box<dyn Encode>>>;

    /// The rows of `batch`, appended to `out`.
    fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()>;
}

/// Where the bytes go.
pub(crate) enum Place {
    Whole(Whole),
    Direct(Direct),
    Parts(Box<Parts>),
}

/// What a commit has to do.
#[derive(Debug, Serialize, Deserialize)]
enum Commit {
    /// Nothing: it is visible already, or there is nothing.
    Nothing,
    /// The staged file takes the target's place.
    Rename { staged: PathBuf, target: PathBuf },
    /// The staged file is appended to the target, which has `at` bytes.
    Append { staged: PathBuf, target: PathBuf, at: u64, length: u64 },
    /// Whole files take their places.
    Parts(PartsCommit),
}

/// One file whose rows are seen at the commit.
pub(crate) struct Whole {
    target: PathBuf,
    staged: Option<Staged>,
    /// The staged file has what must stand before its first row.
    begun: bool,
    /// Rows are added to what the target has.
    append: bool,
    /// The target's length when all that was prepared is committed; `None` before the first.
    length: Option<u64>,
    /// Prepared and not committed.
    pending: Vec<PathBuf>,
}

impl Whole {
    /// Begins the staged file, so that what cannot be written is known before anything is read.
    pub(crate) fn open(target: PathBuf, append: bool) -> Result<Self> {
        let staged = Staged::create(&target).map_err(|failed| error::writing(&target, failed))?;
        Ok(Self { target, staged: Some(staged), begun: false, append, length: None, pending: Vec::new() })
    }

    /// The staged file; a new one begins with what must stand before the first row.
    async fn staged(&mut self, encoder: &mut dyn Encode) -> std::io::Result<&mut Staged> {
        let staged = match self.staged.take() {
            Some(staged) => staged,
            None => {
                self.begun = false;
                Staged::create(&self.target)?
            }
        };
        let staged = self.staged.insert(staged);
        if !std::mem::replace(&mut self.begun, true) {
            match self.length {
                Some(length) if length > 0 => {}
                None if self.append && ends_in_mid_line(&self.target)? => staged.output.buffer.push(b'\n'),
                None if self.append && std::fs::metadata(&self.target).is_ok_and(|target| target.len() > 0) => {}
                _ => encoder.header(&mut staged.output.buffer),
            }
        }
        Ok(staged)
    }

    async fn prepare(&mut self, encoder: &mut dyn Encode, path: &Path) -> Result<Commit> {
        let failed = |failure| error::writing(path, failure);
        if self.staged.is_none() && self.length.is_some() {
            return Ok(Commit::Nothing);
        }
        self.staged(encoder).await.map_err(failed)?;
        let Some(mut staged) = self.staged.take() else { return Ok(Commit::Nothing) };
        encoder.footer(&mut staged.output.buffer)?;
        let (staged, target, length) = staged.prepare().await.map_err(failed)?;
        self.pending.push(staged.clone());
        let at = match self.length {
            None if self.append => std::fs::metadata(&target).map_or(0, |target| target.len()),
            None => {
                self.length = Some(length);
                return Ok(Commit::Rename { staged, target });
            }
            Some(at) => at,
        };
        self.length = Some(at + length);
        Ok(Commit::Append { staged, target, at, length })
    }

    async fn abort(&mut self) {
        if let Some(staged) = self.staged.take() {
            staged.abort().await;
        }
        for path in self.pending.drain(..) {
            // It may be committed already.
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "an output that was given up stays");
            }
        }
    }
}

/// A sink that writes files.
pub(crate) struct FileSink {
    encoder: Box<dyn Encode>,
    place: Place,
    /// The path as the user wrote it.
    path: PathBuf,
}

impl FileSink {
    pub(crate) fn new(encoder: Box<dyn Encode>, place: Place, path: PathBuf) -> Self {
        Self { encoder, place, path }
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        let failed = |error| error::writing(&self.path, error);
        match &mut self.place {
            Place::Whole(whole) => {
                let staged = whole.staged(&mut *self.encoder).await.map_err(failed)?;
                self.encoder.encode(&batch, &mut staged.output.buffer)?;
                staged.output.full().await.map_err(failed)
            }
            Place::Direct(direct) => direct.write(&mut *self.encoder, &batch).await,
            Place::Parts(parts) => parts.write(&mut *self.encoder, &batch).await,
        }
    }

    async fn flush(&mut self) -> Result<()> {
        match &mut self.place {
            // Nobody sees it before the commit.
            Place::Whole(_) => Ok(()),
            Place::Direct(direct) => direct.flush().await,
            Place::Parts(parts) => parts.flush(&mut *self.encoder).await,
        }
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        let commit = match &mut self.place {
            Place::Whole(whole) => whole.prepare(&mut *self.encoder, &self.path).await?,
            Place::Direct(direct) => {
                direct.settle(&mut *self.encoder).await?;
                Commit::Nothing
            }
            Place::Parts(parts) => parts.prepare(&mut *self.encoder).await?.map_or(Commit::Nothing, Commit::Parts),
        };
        let state = serde_json::to_value(commit)
            .map_err(|error| ConnectorError::new(ErrorKind::Encode, "preparing a commit", error.to_string()))?;
        Ok(PreparedCommit { checkpoint: id, state })
    }

    async fn commit(&mut self, prepared: PreparedCommit) -> Result<()> {
        let commit: Commit = serde_json::from_value(prepared.state).map_err(|error| {
            let message = format!("checkpoint {} has no commit of a file sink: {error}", prepared.checkpoint);
            ConnectorError::new(ErrorKind::Configuration, "committing", message)
        })?;
        let done = match commit {
            Commit::Nothing => Ok(()),
            Commit::Rename { staged, target } => blocking(move || publish(&staged, &target)).await,
            Commit::Append { staged, target, at, length } => {
                blocking(move || append(&staged, &target, at, length)).await
            }
            Commit::Parts(parts) => blocking(move || parts.publish()).await,
        };
        done.map_err(|error| error::writing(&self.path, error))?;
        match &mut self.place {
            Place::Whole(whole) => whole.pending.clear(),
            Place::Parts(parts) => parts.committed(),
            Place::Direct(_) => {}
        }
        Ok(())
    }

    async fn abort(&mut self) -> Result<()> {
        match &mut self.place {
            Place::Whole(whole) => whole.abort().await,
            // What is visible stays: a restart may repeat it.
            Place::Direct(direct) => direct.flush().await?,
            Place::Parts(parts) => parts.abort().await,
        }
        Ok(())
    }

    fn commit_kind(&self) -> CommitKind {
        match &self.place {
            Place::Whole(_) => CommitKind::Prepared,
            Place::Direct(_) => CommitKind::Direct,
            Place::Parts(parts) if parts.is_staged() => CommitKind::Prepared,
            Place::Parts(_) => CommitKind::Direct,
        }
    }
}
