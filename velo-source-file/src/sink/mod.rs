//! Files as a sink: encoded rows go to one file or to many, at once or at commits.
//!
//! | | one file | `partition.by`, `rolling.*` |
//! |---|---|---|
//! | exactly once, the input ends | [`Holding`]: a hidden file that takes the path, or is appended, at the last commit | [`Parts`], moved at the last commit |
//! | exactly once, without an end | [`Whole`]: each epoch staged and appended at its commit | [`Parts`], moved at each commit |
//! | at least once | [`Direct`]: appended and flushed with each batch | [`Parts`], written under their names |
//!
//! What is prepared names hidden files, lengths and numbers, and nothing else: names are looked for beside the path that the sink has
//! now. What a later run finds beyond those lengths and numbers came later, and goes.

mod direct;
mod held;
mod parts;
mod publish;
mod shared;
mod stage;
mod whole;

use std::fs::File;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use velo_core::connector::{CheckpointId, CommitKind, PreparedCommit, Sink};
use velo_core::error::ErrorKind;
use velo_core::{Batch, ConnectorError, Result};

use self::direct::Written;
use self::held::Held;
use self::parts::PartsState;
use self::shared::Shared;
use self::whole::Epoch;
use crate::error;

pub(crate) use self::direct::{Direct, is_special};
pub(crate) use self::held::Holding;
pub(crate) use self::parts::{Parts, PartsSpec};
pub(crate) use self::whole::Whole;

/// Makes one file of several that lie one behind the other in one, and end where the numbers say.
pub(crate) type Join = fn(&File, &[u64], &File) -> Result<()>;

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

    /// Another writer has written rows into the file, and what follows goes behind them.
    fn resume(&mut self);

    /// A writer of one file alone, where the bytes of a file depend on all that was written to it; `None` where one serves for all
    /// files.
    fn of_one_file(&self) -> Result<Option<Box<dyn Encode>>>;

    /// How several of those files become one, where there is such a writer.
    fn joins(&self) -> Option<Join>;

    /// The rows of `batch`, appended to `out`.
    fn encode(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()>;
}

/// Where the bytes go.
pub(crate) enum Place {
    Whole(Whole),
    Held(Holding),
    Direct(Direct),
    Parts(Box<Parts>),
}

/// What a checkpoint keeps of a sink: enough to commit the epoch, and to go on behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// Of one file without an end.
    Whole(Epoch),
    /// Of one file with an end.
    Held(Held),
    /// Of one file that is written at once.
    Direct(Written),
    /// Of many files.
    Parts(PartsState),
}

impl State {
    /// What `prepared` says.
    pub(crate) fn of(prepared: &PreparedCommit) -> Result<Self> {
        Self::deserialize(&prepared.state).map_err(|error| {
            let message = format!("checkpoint {} has no commit of a file sink: {error}", prepared.checkpoint);
            ConnectorError::new(ErrorKind::Configuration, "reading a checkpoint", message)
                .advise("the sink was another one when it was made; start anew with --fresh")
        })
    }

    /// What kind of output it is of.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Whole(_) => "the checkpoint is of rows that are appended at checkpoints",
            Self::Held(_) => "the checkpoint is of one file that is seen when the input has ended",
            Self::Direct(_) => "the checkpoint is of a file that is written at once",
            Self::Parts(_) => "the checkpoint is of many files in a folder",
        }
    }
}

/// A sink that writes files.
pub(crate) struct FileSink {
    encoder: Box<dyn Encode>,
    place: Place,
    /// The path as the user wrote it.
    path: PathBuf,
    /// The last epoch that was committed.
    committed: Option<CheckpointId>,
    /// A commit does its work as long as this is there.
    life: Shared<()>,
}

impl FileSink {
    pub(crate) fn new(encoder: Box<dyn Encode>, place: Place, path: PathBuf) -> Self {
        Self { encoder, place, path, committed: None, life: Shared::new(()) }
    }
}

/// Does a commit's work beside the async workers, as long as the sink is there.
async fn work(life: &Shared<()>, path: &Path, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let life = life.clone();
    let done = tokio::task::spawn_blocking(move || life.with(|()| work()));
    let done = done.await.map_err(|failed| error::writing(path, std::io::Error::other(failed)))?;
    done.unwrap_or_else(|| Err(error::writing(path, stage::given_up())))
}

impl Drop for FileSink {
    fn drop(&mut self) {
        self.life.close();
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn write(&mut self, batch: Batch) -> Result<()> {
        if batch.is_empty() {
            // Nothing begins with it: no file, and no part of one.
            return Ok(());
        }
        match &mut self.place {
            Place::Whole(whole) => whole.write(&mut *self.encoder, &batch).await,
            Place::Held(held) => held.write(&mut *self.encoder, &batch).await,
            Place::Direct(direct) => direct.write(&mut *self.encoder, &batch).await,
            Place::Parts(parts) => parts.write(&mut *self.encoder, &batch).await,
        }
    }

    async fn flush(&mut self) -> Result<()> {
        match &mut self.place {
            // Nobody sees it before the commit.
            Place::Whole(_) | Place::Held(_) => Ok(()),
            Place::Direct(direct) => direct.flush().await,
            Place::Parts(parts) => parts.flush(&mut *self.encoder).await,
        }
    }

    async fn end(&mut self) -> Result<()> {
        match &mut self.place {
            Place::Whole(_) | Place::Direct(_) => {}
            Place::Held(held) => held.end(),
            Place::Parts(parts) => parts.end(),
        }
        Ok(())
    }

    async fn prepare(&mut self, id: CheckpointId) -> Result<PreparedCommit> {
        let state = match &mut self.place {
            Place::Whole(whole) => State::Whole(whole.prepare(&mut *self.encoder, id).await?),
            Place::Held(held) => State::Held(held.prepare(&mut *self.encoder, id).await?),
            Place::Direct(direct) => State::Direct(direct.settle(&mut *self.encoder).await?),
            Place::Parts(parts) => State::Parts(parts.prepare(&mut *self.encoder, id).await?),
        };
        let state = serde_json::to_value(state)
            .map_err(|error| ConnectorError::new(ErrorKind::Encode, "preparing a commit", error.to_string()))?;
        Ok(PreparedCommit { checkpoint: id, state })
    }

    async fn commit(&mut self, prepared: PreparedCommit) -> Result<()> {
        if self.committed >= Some(prepared.checkpoint) {
            // Later rows may be there already, and stay.
            return Ok(());
        }
        match (&mut self.place, State::of(&prepared)?) {
            (Place::Whole(whole), State::Whole(epoch)) => {
                let (target, seen) = (whole.target(), whole.seen());
                work(&self.life, &self.path, move || epoch.publish(&target, seen)).await?;
            }
            (Place::Held(held), State::Held(state)) => {
                let target = held.target();
                work(&self.life, &self.path, move || state.publish(&target)).await?;
            }
            (Place::Parts(parts), State::Parts(state)) => {
                let (spec, later) = (parts.spec(), parts.later());
                work(&self.life, &self.path, move || state.publish(&spec, later.as_ref())).await?;
            }
            (Place::Direct(_), State::Direct(_)) => {}
            (_, other) => return Err(error::foreign_state(&self.path, other.describe())),
        }
        match &mut self.place {
            Place::Whole(whole) => whole.committed(),
            Place::Held(held) => held.committed(),
            Place::Parts(parts) => parts.committed(),
            Place::Direct(_) => {}
        }
        self.committed = Some(prepared.checkpoint);
        Ok(())
    }

    async fn abort(&mut self) -> Result<()> {
        match &mut self.place {
            Place::Whole(whole) => whole.abort().await,
            Place::Held(held) => held.abort().await,
            // What is visible stays: a restart may repeat it.
            Place::Direct(direct) => direct.flush().await?,
            Place::Parts(parts) => parts.abort().await,
        }
        Ok(())
    }

    fn commit_kind(&self) -> CommitKind {
        match &self.place {
            Place::Whole(_) | Place::Held(_) => CommitKind::Prepared,
            Place::Direct(_) => CommitKind::Direct,
            Place::Parts(parts) if parts.is_staged() => CommitKind::Prepared,
            Place::Parts(_) => CommitKind::Direct,
        }
    }
}
