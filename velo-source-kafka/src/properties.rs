//! The properties of topics as sources, tables and sinks.

use velo_core::duration::Span;
use velo_core::properties::PropertyValue;
use velo_core::{properties, property_choices};
use velo_eventtime::properties::{choice_or_time, show_time};

properties! {
    /// Which cluster a topic is in.
    pub struct ClusterProperties {
        /// The brokers, `host:port` and more of them behind commas; from one of them all are found. Every other property of librdkafka can
        /// be given beside those listed here (`security.protocol`, `sasl.*`, `ssl.*`, `fetch.*`, `compression.type` …), and is checked by it.
        "bootstrap.servers" | "brokers" => servers: Option<String>,
    }
}

properties! {
    /// Which topic is read, from where and how far.
    pub struct KafkaSourceProperties {
        /// The topic.
        "topic" | "topic.name" => topic: Option<String>,
        /// A regular expression: all topics are read whose whole name it matches, also those that come later.
        "topic.pattern" => pattern: Option<String>,
        /// How long to wait for a topic that is not there yet.
        "topic.wait.timeout" => wait: Option<Span>,
        /// How often it is asked whether there are more partitions, or topics of the pattern.
        "topic.discovery.interval" => discovery: Span = Span(10_000_000),
        /// The consumer group: its committed offsets are where `scan.startup` = `committed` begins. No group is joined: partitions are
        /// assigned by Velo, and others of the group change nothing.
        "group.id" => group: Option<String>,
        /// Where reading begins without a checkpoint: `earliest`, `latest`, `committed` (by the group), or `timestamp:2024-01-31T00:00:00Z`
        /// (also in milliseconds since 1970): the first record that is not older. Resolved once, when the job starts.
        "scan.startup" | "scan.startup.mode" => startup: Option<Startup>,
        /// Where the stream ends: `latest` (the last stable offset when the job starts) or `timestamp:…`; without it it does not.
        "scan.bounded" | "scan.bounded.mode" => bounded: Option<Bounded>,
        /// Where a partition begins for which the group has committed nothing: `earliest` or `latest`. Alone it is another spelling of
        /// `scan.startup`.
        "auto.offset.reset" => reset: Option<Reset>,
        /// Whether records of transactions are read when they are committed (`read_committed`), or at once, and also those that will be
        /// aborted (`read_uncommitted`).
        "isolation.level" => isolation: Isolation = Isolation::Committed,
        /// What happens when a saved position is no longer there, because records were deleted or the topic was made anew: `fail`, or
        /// going on at the start (`earliest`) or behind the end (`latest`) of what is there now.
        "offset.lost" => lost: OffsetLost = OffsetLost::Fail,
        /// Declared columns, separated by commas, that are in the keys of the records: they are read from there, in the form of
        /// `key.format`. One text or bytes column alone is the key's own bytes.
        "key.fields" => key: Option<String>,
        /// Whether the values have the columns of `key.fields` too (`all`), or those are in the keys alone (`except_key`). It says
        /// which columns a value has where these are found by their order or by a schema.
        "value.fields.include" | "value.fields-include" => value_fields: ValueFields = ValueFields::All,
    }
}

properties! {
    /// Which topic is written, and how.
    pub struct KafkaSinkProperties {
        /// The topic.
        "topic" | "topic.name" => topic: Option<String>,
        /// Whether a topic that is not there is made.
        "topic.create" => create: bool,
        /// How many partitions it has then; by default as many as the cluster gives.
        "topic.create.partitions" => partitions: Option<u32>,
        /// How many replicas each of them has; by default as many as the cluster gives.
        "topic.create.replication" => replication: Option<u32>,
        /// Its settings then, as `name=value` with semicolons between them: `cleanup.policy=compact;retention.ms=86400000`.
        "topic.create.settings" => settings: Option<TopicSettings>,
        /// Columns, separated by commas, that are the key of a record; by default the key of the rows, where there is one. Records of one key
        /// go into one partition.
        "key.fields" => key: Option<String>,
        /// Whether the values have the columns of the key too (`all`), or those are in the keys alone (`except_key`).
        "value.fields.include" | "value.fields-include" => value_fields: ValueFields = ValueFields::All,
        /// Columns, separated by commas, that become headers of the records and are not in the values: each has the column's name and
        /// its text, and is left out where that is NULL; a MAP<STRING, STRING> is a header for each of its entries.
        "headers.fields" => headers: Option<String>,
        /// What stands before the job's id in the ids of its transactions.
        "transactional.id.prefix" => prefix: String = "velo".to_owned(),
    }
}

/// Settings of a topic that is made: their names and values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings(pub Vec<(String, String)>);

impl PropertyValue for TopicSettings {
    fn parse(text: &str) -> Result<Self, String> {
        let setting = |setting: &str| match setting.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
            _ => Err(format!("'{setting}' is no setting: write name=value, as in cleanup.policy=compact")),
        };
        let settings = text.split(';').map(str::trim).filter(|setting| !setting.is_empty());
        settings.map(setting).collect::<Result<_, _>>().map(Self)
    }

    fn kind() -> String {
        "`name=value;…`".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(";"))
    }
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Startup {
    /// At the first record.
    Earliest,
    /// Behind the last one.
    Latest,
    /// Where the group has come to.
    Committed,
    /// At the first record that is not older than this, in microseconds since 1970.
    Timestamp(i64),
}

/// Where a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounded {
    /// Behind the last stable record.
    Latest,
    /// At the first record that is not older than this, in microseconds since 1970.
    Timestamp(i64),
}

/// Where a partition begins without a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// At the first record.
    Earliest,
    /// Behind the last one.
    Latest,
}

/// Which records of transactions are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Those that were committed.
    Committed,
    /// All.
    Uncommitted,
}

impl Isolation {
    /// As librdkafka names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::Uncommitted => "read_uncommitted",
        }
    }
}

/// Which columns values have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueFields {
    /// All.
    All,
    /// Those that are not in the key.
    ExceptKey,
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

property_choices!(Reset { Earliest = "earliest", Latest = "latest" });
property_choices!(Isolation { Committed = "read_committed", Uncommitted = "read_uncommitted" });
property_choices!(ValueFields { All = "all", ExceptKey = "except_key" });
property_choices!(OffsetLost { Fail = "fail", Earliest = "earliest", Latest = "latest" });

impl PropertyValue for Startup {
    fn parse(text: &str) -> Result<Self, String> {
        let choices = [
            ("earliest", Self::Earliest),
            ("earliest-offset", Self::Earliest),
            ("latest", Self::Latest),
            ("latest-offset", Self::Latest),
            ("committed", Self::Committed),
            ("group-offsets", Self::Committed),
        ];
        choice_or_time(text, &choices, Self::Timestamp)
    }

    fn kind() -> String {
        "`earliest`, `latest`, `committed` or `timestamp:…`".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(match self {
            Self::Earliest => "earliest".to_owned(),
            Self::Latest => "latest".to_owned(),
            Self::Committed => "committed".to_owned(),
            Self::Timestamp(micros) => show_time(*micros),
        })
    }
}

impl PropertyValue for Bounded {
    fn parse(text: &str) -> Result<Self, String> {
        choice_or_time(text, &[("latest", Self::Latest), ("latest-offset", Self::Latest)], Self::Timestamp)
    }

    fn kind() -> String {
        "`latest` or `timestamp:…`".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(match self {
            Self::Latest => "latest".to_owned(),
            Self::Timestamp(micros) => show_time(*micros),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_words_or_times() {
        assert_eq!(Startup::parse("timestamp:1970-01-01T00:00:01Z"), Ok(Startup::Timestamp(1_000_000)));
        assert_eq!(Startup::parse("group-offsets"), Ok(Startup::Committed));
        assert_eq!(Bounded::parse("latest"), Ok(Bounded::Latest));
        // A stream does not end where it begins.
        assert!(Bounded::parse("earliest").is_err());
    }
}
