//! The properties of event time, watermarks and late data.

use velo_core::duration::Span;
use velo_core::properties::PropertyValue;
use velo_core::{properties, property_choices};

use crate::field_path::FieldPath;
use crate::format::Format;
use crate::zone::Zone;

properties! {
    /// Where a row's event time comes from and how it is read.
    pub struct EventTimeProperties {
        /// The field that holds the event time, dotted for nested ones (`payload.ts`); it need not be declared as a column.
        "event.time.field" => field: Option<FieldPath>,
        /// Where the event time comes from: `field`, `record` (the Kafka record's own timestamp, the object's
        /// last-modified) or `arrival` (processing time, chosen knowingly).
        "event.time.source" => source: Option<EventTimeSource>,
        /// How the field is read: `epoch_millis`, `epoch_seconds` or `epoch`, `epoch_micros`, `epoch_nanos`, `iso8601`, or a
        /// chrono pattern such as `%Y-%m-%d %H:%M:%S%.3f`. Without it an integer is epoch milliseconds, a string is ISO 8601
        /// and a typed timestamp is itself.
        "event.time.format" => format: Option<TimeFormatText>,
        /// The IANA time zone of values that have no offset.
        "event.time.zone" => zone: Zone,
        /// What happens to a record without a usable event time.
        "event.time.on.error" => on_error: OnError,
    }
}

properties! {
    /// How watermarks follow the event times.
    pub struct WatermarkProperties {
        /// How the watermark is derived from what was seen.
        "watermark.strategy" => strategy: WatermarkStrategy,
        /// How far records may be out of order: the watermark is the highest event time less this.
        "watermark.max_out_of_orderness" => max_out_of_orderness: Span = Span(5_000_000),
        /// The field whose value is the watermark (strategy `punctuated`).
        "watermark.punctuation.field" => punctuation_field: Option<FieldPath>,
        /// After how long a silent partition no longer holds the watermark back; `0` turns it off.
        "watermark.idle_timeout" => idle_timeout: Span = Span(60_000_000),
        /// A record further than this ahead of the clock when it was read does not move the watermark; it is counted and
        /// treated under `event.time.on.error`. `0` turns it off.
        "watermark.max_future_skew" => max_future_skew: Span = Span(86_400_000_000),
        /// A partition whose watermark is further than this ahead of the slowest partition of its stream is paused until that has
        /// caught up, has become idle, or has ended: what operators keep for rows that came too early stays small. `0` turns it
        /// off.
        "watermark.alignment.max_drift" => max_drift: Span = Span(0),
    }
}

properties! {
    /// What happens to a row that is late for all its windows.
    pub struct LateProperties {
        /// What happens to a row that is late for all its windows.
        "late.data.strategy" => strategy: LateStrategy,
        /// How long after its end a window can still be corrected (strategy `update_previous` alone). Without it one window
        /// size, for sessions the gap.
        "allowed.lateness" => allowed_lateness: Option<Span>,
    }
}

/// Where the event time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventTimeSource {
    /// A field of the record.
    Field,
    /// The record's own timestamp (Kafka), the object's last-modified.
    Record,
    /// Processing time.
    Arrival,
}

property_choices!(EventTimeSource { Field = "field", Record = "record", Arrival = "arrival" });

/// What happens to a record without a usable event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnError {
    /// The job fails.
    #[default]
    Fail,
    /// The record is left out and counted.
    Skip,
    /// The record goes to the dead letters.
    DeadLetter,
}

property_choices!(OnError { Fail = "fail", Skip = "skip", DeadLetter = "dead_letter" });

/// How the watermark is derived from what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WatermarkStrategy {
    /// The highest event time less a bound.
    #[default]
    BoundedOutOfOrderness,
    /// The highest event time: records come in order, equal times included.
    Ascending,
    /// The value of a field.
    Punctuated,
}

property_choices!(WatermarkStrategy {
    BoundedOutOfOrderness = "bounded_out_of_orderness",
    Ascending = "ascending" | "ascending_timestamps",
    Punctuated = "punctuated",
});

/// What happens to a row that is late for all its windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LateStrategy {
    /// It is dropped and counted.
    #[default]
    Drop,
    /// It goes to the dead letters with the window, the watermark and how late it was.
    DeadLetter,
    /// It counts in the earliest window whose end is after its partition's watermark.
    IncludeInNextWindow,
    /// It is added to its windows while `allowed.lateness` lasts.
    UpdatePrevious,
}

property_choices!(LateStrategy {
    Drop = "drop",
    DeadLetter = "dead_letter",
    IncludeInNextWindow = "include_in_next_window" | "include_in_next",
    UpdatePrevious = "update_previous" | "update_previous_window",
});

/// The value of `event.time.format` or `timestamp.format`: its text, and the format that it was checked to be.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeFormatText {
    text: String,
    format: Format,
}

impl TimeFormatText {
    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The format.
    pub fn format(&self) -> &Format {
        &self.format
    }
}

impl PropertyValue for TimeFormatText {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned(), format: Format::parse(text)? })
    }

    fn kind() -> String {
        "`epoch_millis`, `epoch_seconds`, `epoch_micros`, `epoch_nanos`, `iso8601` or a chrono pattern".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(self.text.clone())
    }
}

impl PropertyValue for FieldPath {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn kind() -> String {
        "field name, dotted for nested ones".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl PropertyValue for Zone {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn kind() -> String {
        "IANA time zone".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Reads a property that is one of some words, or a time: `timestamp:2024-01-31T00:00:00Z`, also in milliseconds since 1970; `time` makes
/// its value of the microseconds.
///
/// # Errors
///
/// What the words are, or what is wrong with the time.
pub fn choice_or_time<T: Copy>(text: &str, choices: &[(&str, T)], time: impl FnOnce(i64) -> T) -> Result<T, String> {
    const WORD: &str = "timestamp:";
    match text.split_at_checked(WORD.len()) {
        Some((word, written)) if word.eq_ignore_ascii_case(WORD) => {
            let written = written.trim();
            let micros = match written.parse::<i64>() {
                Ok(millis) => millis.checked_mul(1_000).ok_or_else(|| format!("'{written}' is beyond every time")),
                Err(_) => crate::format::parse_timestamp(written, Zone::UTC).map_err(|_| {
                    format!("'{written}' is neither a time such as 2024-01-31T00:00:00Z nor milliseconds since 1970")
                }),
            };
            micros.map(time)
        }
        _ => velo_core::properties::choice(text, choices)
            .map_err(|message| format!("{message}; or timestamp:2024-01-31T00:00:00Z")),
    }
}

/// The time that [`choice_or_time`] reads, as it is written.
pub fn show_time(micros: i64) -> String {
    format!("timestamp:{}", velo_core::time::iso8601(micros))
}

#[cfg(test)]
mod tests {
    use velo_core::properties::{Options, Properties};

    use super::*;

    #[test]
    fn a_word_or_a_time_is_read() {
        let shown = show_time(1_706_659_200_000_000);
        let read = |text| choice_or_time(text, &[("earliest", 0), ("latest", 1)], |micros| micros);
        assert_eq!(read("Latest"), Ok(1));
        for same in ["timestamp:2024-01-31T00:00:00Z", "Timestamp: 1706659200000", &shown] {
            assert_eq!(read(same), Ok(1_706_659_200_000_000), "{same}");
        }
        let wrong = |text| read(text).unwrap_err();
        assert!(wrong("earlist").contains("did you mean 'earliest'?"));
        assert!(wrong("yesterday").ends_with("; or timestamp:2024-01-31T00:00:00Z"));
        assert!(wrong("timestamp:soon").contains("'soon' is neither a time"));
        assert_eq!(wrong("timestamp:9223372036854775807"), "'9223372036854775807' is beyond every time");
    }

    #[test]
    fn defaults_are_those_of_the_table() {
        let event_time = EventTimeProperties::default();
        assert_eq!((event_time.field, event_time.source, event_time.format), (None, None, None));
        assert_eq!(event_time.zone.to_string(), "UTC");
        assert_eq!(event_time.on_error, OnError::Fail);
        let watermark = WatermarkProperties::default();
        assert_eq!(watermark.strategy, WatermarkStrategy::BoundedOutOfOrderness);
        assert_eq!(watermark.max_out_of_orderness.to_string(), "5s");
        assert_eq!(watermark.idle_timeout.to_string(), "1m");
        assert_eq!(watermark.max_future_skew.to_string(), "1d");
        assert_eq!(watermark.max_drift, Span(0));
        assert_eq!(LateProperties::default(), LateProperties { strategy: LateStrategy::Drop, allowed_lateness: None });
    }

    #[test]
    fn all_spellings() {
        for (text, expected) in [
            ("drop", LateStrategy::Drop),
            ("dead_letter", LateStrategy::DeadLetter),
            ("include_in_next_window", LateStrategy::IncludeInNextWindow),
            ("include_in_next", LateStrategy::IncludeInNextWindow),
            ("update_previous", LateStrategy::UpdatePrevious),
            ("UPDATE_PREVIOUS_WINDOW", LateStrategy::UpdatePrevious),
        ] {
            assert_eq!(LateStrategy::parse(text), Ok(expected));
        }
        assert_eq!(WatermarkStrategy::parse("ascending_timestamps"), Ok(WatermarkStrategy::Ascending));
        assert!(WatermarkStrategy::parse("ascendin").unwrap_err().contains("did you mean 'ascending'?"));
    }

    #[test]
    fn mistakes_are_found_when_read() {
        let mut options = Options::from_pairs([
            ("event.time.field", "payload..ts"),
            ("event.time.format", "yyyy-MM-dd"),
            ("event.time.zone", "America/New_Yrok"),
        ]);
        EventTimeProperties::read(&mut options);
        let errors = options.finish("a file source", EventTimeProperties::SPECS);
        let messages = errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("\n");
        expect_test::expect![[r#"
            'event.time.field': 'payload..ts' is no field: write a name, with dots for nested fields, such as payload.ts
            'event.time.format': 'yyyy-MM-dd' is a pattern in Java's notation: write '%Y-%m-%d'
            'event.time.zone': 'America/New_Yrok' is no IANA time zone such as Europe/Berlin or UTC; did you mean 'America/New_York'?"#]].assert_eq(&messages);
    }
}
