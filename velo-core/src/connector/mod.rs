//! What a connector is: a name, what it can do, and the faces (stream source, table, sink) that it opens.
//!
//! Planning and running are apart. At planning time [`Connector::bind_source`] and [`Connector::bind_sink`] read the typed
//! properties and do no I/O but what schema inference needs; a binding is then opened when the job starts.

mod capabilities;
mod registry;
mod replay;
mod sink;
mod source;
mod table;
mod transactions;

use std::fmt;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;

pub use capabilities::Capabilities;
pub use registry::Registry;
pub use replay::{Replay, ReplayedRecord};
pub use sink::{
    ChangelogMode, CheckpointId, CommitKind, DirectSink, Envelopes, Guarantee, PreparedCommit, Sink, SinkRequest,
};
pub use source::{
    Chunk, ChunkDecoder, DecodeColumn, Decoded, Fetch, PartitionInfo, PartitionReader, RecordError, SourceRequest,
    StreamSource, TakenIn,
};
pub use table::{SizeHint, TableDataSource, TableItem, TableStream};
pub use transactions::{TransactionalSystem, Transactions, TransactionsRequest};

use crate::error::Result;
use crate::properties::{Options, PropertyError, PropertySpec};

/// One external system.
pub trait Connector: Send + Sync {
    /// The name in `connector = '…'`, and before `_source` or `_sink` in `NAME.type`.
    fn name(&self) -> &'static str;

    /// One line for `velo connectors`.
    fn summary(&self) -> &'static str;

    /// What the system can do.
    fn capabilities(&self) -> Capabilities;

    /// The properties of its sources and tables.
    fn source_properties(&self) -> Vec<&'static PropertySpec>;

    /// The properties of its sinks.
    fn sink_properties(&self) -> Vec<&'static PropertySpec>;

    /// Reads the properties of one source or table. Mistakes are noted in `options`; `None` means that there were some.
    /// `None` without a noted mistake never happens.
    fn bind_source(&self, options: &mut Options) -> Option<Arc<dyn SourceBinding>>;

    /// Reads the properties of one sink, as [`Connector::bind_source`] does.
    fn bind_sink(&self, options: &mut Options) -> Option<Arc<dyn SinkBinding>>;
}

/// A source or table whose properties are known and right in themselves.
#[async_trait]
pub trait SourceBinding: Send + Sync + fmt::Debug {
    /// What is read, for EXPLAIN and errors: `file trades.jsonl (json)`.
    fn describe(&self) -> String;

    /// Whether the source ends by itself.
    fn bounded(&self) -> bool;

    /// Whether its decoder gives the kind of each row ([`crate::Batch::kinds`]): its records say what happened to a row, so that the
    /// source is a changelog whatever `changelog.mode` says.
    fn gives_kinds(&self) -> bool {
        false
    }

    /// The same records as a table that is read on for ever, where the system's tables are that (a topic): under `key`, the names of its
    /// columns, each record takes the place of the one before, and one without a value deletes it. `from_latest` leaves out what was there
    /// before the start. `None`: a table is loaded, by [`SourceBinding::open_table`].
    fn as_table(&self, _key: &[String], _from_latest: bool) -> Option<Arc<dyn SourceBinding>> {
        None
    }

    /// The same records, whose own times are event times though the script does not say so: with one whose time is not that of its
    /// creation, reading fails. `None`: without such a word in the script there is no event time.
    fn by_created_times(&self) -> Option<Arc<dyn SourceBinding>> {
        None
    }

    /// The system columns that its records can have beside the declared ones: `_path`, `_offset`, … with their types.
    fn system_columns(&self) -> Vec<arrow_schema::Field> {
        Vec::new()
    }

    /// The columns that the data has, for a source without declared columns.
    async fn infer_schema(&self) -> Result<SchemaRef>;

    /// What is wrong with the declared columns, as far as that can be told without I/O: a generator that cannot make one, a
    /// property about a column that is not there.
    fn check_columns(&self, _declared: &Schema) -> Vec<PropertyError> {
        Vec::new()
    }

    /// Opens the stream.
    async fn open(&self, request: SourceRequest) -> Result<Box<dyn StreamSource>>;

    /// Opens the table.
    async fn open_table(&self, request: SourceRequest) -> Result<Arc<dyn TableDataSource>>;

    /// Opens a way back for records that were read here; `None` where there is none.
    async fn open_replay(&self) -> Result<Option<Box<dyn Replay>>> {
        Ok(None)
    }
}

/// A sink whose properties are known and right in themselves.
#[async_trait]
pub trait SinkBinding: Send + Sync + fmt::Debug {
    /// What is written, for EXPLAIN and errors: `file bars.jsonl (json)`.
    fn describe(&self) -> String;

    /// What has one writer at a time, such as a file that is written whole: of two sinks with the same one would undo what the other
    /// writes. None where several can write.
    fn has_one_writer(&self) -> Option<String> {
        None
    }

    /// The system whose transactions its rows go in under [`Guarantee::ExactlyOnce`], where the commit of one is the commit point of a
    /// checkpoint ([`CommitKind::Atomic`]).
    fn transactional(&self) -> Option<&dyn TransactionalSystem> {
        None
    }

    /// Whether batches come with the event times of their rows, as their hidden last column ([`crate::schema::EVENT_TIME`]), where
    /// they have any.
    fn takes_event_time(&self) -> bool {
        false
    }

    /// The columns under which its system keeps what is written, where its properties name some: with `changelog.mode` = `upsert` rows
    /// replace each other under these.
    fn key_columns(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether it writes Debezium's envelopes.
    fn envelopes(&self) -> Envelopes {
        Envelopes::Never
    }

    /// What is there, as a source that ends, with the properties of the sink; `None` where the sink's own script is not enough for that.
    fn read_back(&self) -> Option<Arc<dyn SourceBinding>> {
        None
    }

    /// Opens the sink. Nothing that is visible to others has changed when this returns.
    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>>;
}
