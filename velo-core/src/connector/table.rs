//! The table face of a connector: everything there is now, and what came after an offset.

use async_trait::async_trait;
use futures::stream::BoxStream;

use super::source::RecordError;
use crate::batch::Batch;
use crate::error::Result;
use crate::offset::SourceOffset;

/// One item of a table load: batches stream, so a table is never held whole by the loader.
#[derive(Debug)]
pub enum TableItem {
    /// Rows; with row kinds where changes and deletes are known.
    Batch(Batch),
    /// A record that could not be decoded, behind the rows before it and before those behind it.
    Bad(RecordError),
    /// The offset that the load reached: always the last item.
    Offset(SourceOffset),
}

/// Batches, then the offset that was reached.
pub type TableStream = BoxStream<'static, Result<TableItem>>;

/// What is known of a table's size before it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SizeHint {
    /// Rows, where known.
    pub rows: Option<u64>,
    /// Bytes, where known.
    pub bytes: Option<u64>,
}

impl SizeHint {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { rows: None, bytes: None };
}

/// A reference table in an external system.
///
/// It counts the records and bytes that it reads in the [`Progress`](crate::progress::Progress) of its request; what becomes of them is
/// counted by the loader. What it gives is of one version of the system's data: where that changed while it was read, it answers
/// with a temporary error.
#[async_trait]
pub trait TableDataSource: Send + Sync {
    /// Everything there is now, then the offset it reached.
    async fn bulk_load(&self) -> Result<TableStream>;

    /// What came after `since`, with changes and deletes where the system knows them, then the offset it reached. An error of the
    /// kind [`OffsetLost`](crate::error::ErrorKind::OffsetLost) says that this cannot be told, and everything is to be loaded again.
    async fn incremental_load(&self, since: SourceOffset) -> Result<TableStream>;

    /// The position now.
    async fn get_current_offset(&self) -> Result<SourceOffset>;

    /// Whether [`TableDataSource::incremental_load`] does better than a reload.
    fn supports_incremental(&self) -> bool;

    /// Rows and bytes, for progress.
    fn size_hint(&self) -> SizeHint {
        SizeHint::UNKNOWN
    }
}
