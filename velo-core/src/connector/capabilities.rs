//! What a connector can do, read by the planner and by the conformance suite.

/// Plain facts about one external system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// It can be read as a stream or a table.
    pub source: bool,
    /// It can be written.
    pub sink: bool,
    /// Its sink can replace and delete rows by key.
    pub changelog: bool,
    /// Its sink can make an epoch visible at once and only once.
    pub transactions: bool,
    /// Its table can be loaded from an offset on.
    pub incremental: bool,
    /// Its table sees deletes.
    pub deletes: bool,
    /// Its stream can be read again from a saved position.
    pub replay: bool,
    /// Its rows have an order of their own within a partition (else `position` is the order of arrival).
    pub ordered: bool,
    /// The records carry a time of the system's own (`event.time.source` = `record`).
    pub record_time: bool,
}
