//! The properties of file sources, tables and sinks.

use velo_core::duration::{ByteSize, Span};
use velo_core::properties;
use velo_core::property_choices;

properties! {
    /// Where files are read from, and how.
    pub struct FileSourceProperties {
        /// A file, a folder (all files in it and below) or a pattern such as `data/*.json`; files are read in name order. `.gz` and
        /// `.zst` are decompressed.
        "path" | "file.path" => path: Option<String>,
        /// Whether the files are followed as they grow, and new ones are found. Else the source ends behind the last record.
        "watch" => watch: bool,
        /// How often watched files are looked at, beside the system's own notice of changes.
        "watch.interval" => watch_interval: Span = Span(1_000_000),
        /// Whether the system's notice of changes is used. Network folders give none.
        "watch.events" => watch_events: bool = true,
        /// How long to wait for files that are not there yet.
        "file.wait.timeout" => wait_timeout: Option<Span>,
        /// How often to look for them.
        "file.retry.interval" => retry_interval: Span = Span(1_000_000),
        /// What happens when the file of a saved position is no longer there: `fail`, or going on at the start (`earliest`) or behind
        /// the end (`latest`) of what is there now.
        "offset.lost" => offset_lost: OffsetLost = OffsetLost::Fail,
    }
}

properties! {
    /// Where files are written to, and how.
    pub struct FileSinkProperties {
        /// The file; with `partition.by` or `rolling.*` the folder. Missing folders are created. `.gz` and `.zst` are compressed.
        "path" | "file.path" => path: Option<String>,
        /// Whether rows are added to what is there; else a fresh start replaces it.
        "append" => append: bool,
        /// Columns, separated by commas, whose values choose the folder of a row: `day=2024-01-31/venue=X/part-0-1.jsonl`.
        "partition.by" => partition_by: Option<String>,
        /// A file that has reached this size is complete, and another one begins.
        "rolling.size" => rolling_size: Option<ByteSize>,
        /// A file that is this old is complete, and another one begins.
        "rolling.interval" => rolling_interval: Option<Span>,
    }
}

/// What to do about a position that is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetLost {
    /// Stop.
    Fail,
    /// Read what is there from its start.
    Earliest,
    /// Read what comes from now on.
    Latest,
}

property_choices!(OffsetLost { Fail = "fail", Earliest = "earliest", Latest = "latest" });
