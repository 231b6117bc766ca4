//! The properties that the planner reads itself: of sources, sinks, queries and the job.

use velo_core::duration::Span;
use velo_core::properties::{Entry, Options, Properties, PropertyError, PropertySpec, PropertyValue};
use velo_core::resilience::{CircuitBreakerProperties, ResilienceProperties};
use velo_core::{properties, property_choices};
use velo_eventtime::properties::{choice_or_time, show_time};
use velo_eventtime::{EventTimeProperties, LateProperties, OnError, WatermarkProperties};

use crate::plan::MissingStrategy;

properties! {
    /// What every source has, whatever it reads.
    pub struct SourceProperties {
        /// Whether rows can change: `full` for records that have their kind in a field `_op` (+I, -U, +U, -D), as a sink of that
        /// mode writes them; `append` (the default) for rows that only come. The format `debezium_json` says it by itself.
        "changelog.mode" => changelog: Option<Changelog>,
        /// What happens to a record that cannot be decoded.
        "on.error" => on_error: OnError,
        /// What happens to a row on which a computed column of the stream fails: an overflow, a division by zero, a CAST of text that
        /// is no number.
        "on.compute.error" => on_compute_error: OnError,
        /// How many workers decode one file or partition; the cores by default.
        "decode.parallelism" => decode_parallelism: Option<usize>,
        /// The sink that gets the records which could not be used, where a policy is `dead_letter`: the name of a CREATE SINK.
        "dead.letter.sink" => dead_letter_sink: Option<String>,
    }
}

properties! {
    /// What a stream reads before its connector gives it what comes live.
    pub struct HistoryProperties {
        /// The connector of what is read first, to its end: an archive in files before the topic. Its own properties stand beside it
        /// with `history.` before their names (`history.path`, `history.format`). Columns, event time, watermark and what happens to
        /// errors are those of the stream.
        "history.connector" => connector: Option<String>,
        /// Where what comes live takes over: `end` behind the last row of the history, for a live source that begins where the history
        /// ends; `timestamp:2024-01-31T00:00:00Z` (also in milliseconds since 1970) where the two overlap: rows with this event time or
        /// a later one are taken from what comes live, earlier ones from the history.
        "history.then.live" => then_live: ThenLive,
    }
}

/// `history.then.live`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThenLive {
    /// All rows of both.
    #[default]
    End,
    /// By the event time, in microseconds.
    Timestamp(i64),
}

impl PropertyValue for ThenLive {
    fn parse(text: &str) -> Result<Self, String> {
        choice_or_time(text, &[("end", Self::End)], Self::Timestamp)
    }

    fn kind() -> String {
        "`end` or `timestamp:…`".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(match self {
            Self::End => "end".to_owned(),
            Self::Timestamp(micros) => show_time(*micros),
        })
    }
}

properties! {
    /// What belongs to a table.
    pub struct TableProperties {
        /// What happens to a row for which the table has none under the equalities of its join: `skip_record` leaves it out and
        /// counts it (the default of INNER), `emit_with_nulls` gives NULLs (the default of LEFT), `use_defaults` gives the values
        /// of `table.missing.defaults`, `wait_and_retry` lets it wait, `fail_fast` stops the job.
        "table.missing.strategy" => strategy: Option<MissingStrategy>,
        /// The values that stand in for the columns of the table under `use_defaults`: `tier=UNKNOWN, limit=0`. A value with a
        /// comma stands in single quotes; columns that are not named are NULL.
        "table.missing.defaults" => defaults: Option<String>,
        /// How often a row that waits is looked up again.
        "table.missing.max_retries" => max_retries: u32 = 10,
        /// The time between two look-ups of a row that waits.
        "table.missing.retry.delay" => retry_delay: Span = Span(1_000_000),
        /// What happens to a row that has waited in vain: `fail_fast` (the default) or one of the others, but not to wait again.
        "table.missing.then" => then: Option<MissingStrategy>,
        /// How often the table is asked for what came after its load; off by default.
        "table.refresh.interval" => refresh: Option<Span>,
        /// How often the whole table is loaded again, which finds deletes that nothing else shows; off by default.
        "table.reload.interval" => reload: Option<Span>,
        /// Changes of the table are shown together, at the latest after so long.
        "table.publish.interval" => publish: Span = Span(100_000),
        /// Whether the table has all that is there (`earliest`), or begins empty with what comes after the start (`latest`).
        "auto.offset.reset" => offset_reset: OffsetReset,
    }
}

properties! {
    /// What every sink has, whatever it writes.
    pub struct SinkProperties {
        /// What a restart may repeat: `exactly_once` shows rows at checkpoints (a bounded run: at its end), `at_least_once`
        /// at once.
        "delivery.guarantee" => delivery: Option<Delivery>,
        /// How changes are written. A query whose rows never change is written as `append`.
        "changelog.mode" => changelog: Option<Changelog>,
    }
}

properties! {
    /// What belongs to one query.
    pub struct QueryProperties {
        /// How many updates there are of results that change: one per key and batch, or one for every record.
        "emit.changes.per" => changes_per: ChangesPer,
        /// The changes of one key come at most once in so much time of the clock, all in one; `0s`: with every batch. What is
        /// held goes out before a window closes, and when the input ends or the job is stopped.
        "emit.interval" => emit_interval: Span = Span(0),
        /// A window to which nothing has come for so long by the clock closes, though the watermark has not passed it; off by
        /// default. Rows that come afterwards are late. Results then depend on when the rows came, and no longer on the data
        /// alone.
        "emit.idle_close" => idle_close: Option<Span>,
        /// State that nothing else bounds (groups without a window, DISTINCT, Top-N, set operations, joins without a time, rows
        /// under the key of a sink) is forgotten when it was not touched for so long: by the watermark where the rows have an event time, else by the clock. What was shown
        /// is not taken back, and a new row begins anew. Off by default.
        "state.ttl" => state_ttl: Option<Span>,
        /// How long a query waits for the tables that it reads, counted from the last progress of any of them; then the job
        /// stops, and says which table it waited for.
        "table.wait.timeout" => table_wait: Span = Span(60_000_000),
        /// How many tasks share the keys of this query; the cores by default.
        "parallelism" => parallelism: Option<usize>,
        /// What happens to a row on which an expression of the query fails: an overflow, a division by zero, a CAST of text that is no
        /// number. A change and what takes it back fail alike, so both are left out. What is computed of many rows, such as a sum
        /// that overflows, fails the job in any case.
        "on.compute.error" => on_compute_error: OnError,
        /// The sink that gets the records which could not be used, where a policy is `dead_letter`: the name of a CREATE SINK.
        "dead.letter.sink" => dead_letter_sink: Option<String>,
    }
}

properties! {
    /// What belongs to the job.
    pub struct JobProperties {
        /// The largest number of rows in a batch.
        "batch.rows" => batch_rows: usize = 8_192,
        /// How long a row waits for others before its batch goes on.
        "batch.flush" => batch_flush: Span = Span(10_000),
        /// How many tables load at the same time. A table loads as soon as the tables that it depends on are ready.
        "table.load.parallelism" => load_parallelism: usize = 4,
        /// A file of `NAME=value` lines that gives what `${NAME}` stands for where the environment does not.
        "secrets.file" => secrets_file: Option<String>,
    }
}

properties! {
    /// What belongs to the job, and may stand in the WITH of one of its statements too.
    pub struct RecoveryProperties {
        /// Where the job's checkpoints lie: a folder, a `file://` address or `s3://bucket/prefix`, for this job alone. A job
        /// that was stopped or killed goes on from there when it is started again. Without it, each start begins anew.
        /// Credentials, region and endpoint of S3 are those of the environment (`AWS_ACCESS_KEY_ID` and its like).
        "checkpoint.dir" => dir: Option<String>,
        /// The time from the end of one checkpoint to the next. Rows of sinks that are `exactly_once` become visible so often.
        "checkpoint.interval" => interval: Span = Span(10_000_000),
        /// How long a checkpoint may take; then the job fails, and says what it waited for.
        "checkpoint.timeout" => timeout: Span = Span(600_000_000),
        /// How many checkpoints are kept: where the newest is damaged, the job can go on from one before.
        "checkpoint.keep" => keep: usize = 2,
        /// What happens when a connector fails in a way that may pass, or the job crashes: it goes on from its checkpoint after a
        /// delay that grows (`exponential`), or ends (`none`). Errors that would come again end it at once.
        "restart.strategy" => strategy: RestartStrategy,
        /// How often the job is started again, counted anew with each checkpoint that is completed.
        "restart.attempts" => attempts: u32 = 5,
        /// The longest that the first wait before another start is; each further one is twice as long.
        "restart.backoff" => backoff: Span = Span(1_000_000),
        /// The longest that any wait before another start is.
        "restart.backoff.max" => longest: Span = Span(60_000_000),
        /// How many MiB the state of the job may take in memory: groups, windows, rows that wait for others, tables. What does not fit
        /// goes to disk where a statement goes by key, and rows that wait for a table hold their source back; else the job ends, and
        /// says what takes how much. Without it there is no bound.
        "max.memory.mb" => memory_mb: Option<usize>,
        /// Where state goes that does not fit into `max.memory.mb`; by default the system's folder for temporary files. Nothing of it
        /// is needed after a restart.
        "spill.dir" => spill_dir: Option<String>,
    }
}

/// `restart.strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartStrategy {
    /// Again after a delay that grows.
    #[default]
    Exponential,
    /// Never.
    None,
}

property_choices!(RestartStrategy { Exponential = "exponential", None = "none" });

/// `emit.changes.per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChangesPer {
    /// One per key and batch.
    #[default]
    Batch,
    /// One for every record.
    Record,
}

property_choices!(ChangesPer { Batch = "batch", Record = "record" });

/// `auto.offset.reset` of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// All that is there.
    #[default]
    Earliest,
    /// What comes from now on.
    Latest,
}

property_choices!(OffsetReset { Earliest = "earliest", Latest = "latest" });

/// `changelog.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changelog {
    /// Inserts only.
    Append,
    /// By key.
    Upsert,
    /// All four kinds, as `_op`.
    Full,
    /// Debezium envelopes.
    Debezium,
}

property_choices!(Changelog { Append = "append", Upsert = "upsert", Full = "full", Debezium = "debezium" });

/// `delivery.guarantee`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Visible at checkpoints, once.
    ExactlyOnce,
    /// Visible at once; a restart may repeat some.
    AtLeastOnce,
}

property_choices!(Delivery { ExactlyOnce = "exactly_once", AtLeastOnce = "at_least_once" });

/// Why `value` cannot be the value of the setting `key`, where it cannot.
pub fn check_setting(key: &str, value: &str) -> Option<PropertyError> {
    let mut options = Options::new();
    options.set(Entry { key: key.to_owned(), value: value.to_owned(), origin: 0 });
    // Each takes its own key out, or leaves the options as they are.
    SourceProperties::read(&mut options);
    EventTimeProperties::read(&mut options);
    WatermarkProperties::read(&mut options);
    SinkProperties::read(&mut options);
    TableProperties::read(&mut options);
    ResilienceProperties::read(&mut options);
    CircuitBreakerProperties::read(&mut options);
    QueryProperties::read(&mut options);
    LateProperties::read(&mut options);
    JobProperties::read(&mut options);
    RecoveryProperties::read(&mut options);
    options.take_errors().pop()
}

/// All properties that the planner reads, with the owner's name.
pub fn all_specs() -> Vec<(&'static str, &'static [PropertySpec])> {
    vec![
        ("every source", SourceProperties::SPECS),
        ("a stream with a history", HistoryProperties::SPECS),
        ("event time", EventTimeProperties::SPECS),
        ("watermarks", WatermarkProperties::SPECS),
        ("a table", TableProperties::SPECS),
        ("loads and refreshes of tables", ResilienceProperties::SPECS),
        ("the connection of a table", CircuitBreakerProperties::SPECS),
        ("every sink", SinkProperties::SPECS),
        ("a query", QueryProperties::SPECS),
        ("late data", LateProperties::SPECS),
        ("the job", JobProperties::SPECS),
        ("the job's recovery", RecoveryProperties::SPECS),
    ]
}
