//! Sending records back: what `velo dlq replay` asks of a system that dead letters came from.

use async_trait::async_trait;
use bytes::Bytes;

use crate::dead_letter::RecordAttributes;
use crate::error::Result;
use crate::place::Place;

/// A record as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedRecord {
    /// Where it was.
    pub place: Place,
    /// Its bytes; left aside where [`RecordAttributes::has_value`] says that there were none.
    pub bytes: Bytes,
    /// What it had beside them.
    pub attributes: RecordAttributes,
}

/// A way back into a system, for records that were read there. They become visible together, by [`Replay::commit`], or not at all.
#[async_trait]
pub trait Replay: Send {
    /// Takes a record; it goes where it was, as it was, behind what is there now.
    async fn send(&mut self, record: ReplayedRecord) -> Result<()>;

    /// Makes everything visible that was taken.
    async fn commit(&mut self) -> Result<()>;

    /// Gives up everything that was taken.
    async fn abort(&mut self) -> Result<()>;
}
