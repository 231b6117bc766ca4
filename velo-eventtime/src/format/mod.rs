//! How text and numbers become times.
//!
//! A [`Format`] is checked when the statement is planned; a [`TimestampParser`] reads many values by it and remembers the
//! last date and the offsets of its zone. [`parse_timestamp`] and [`parse_date`] read single literals. Digits finer than the
//! type are floored, also before 1970.

mod epoch;
mod iso8601;
mod java;
mod parser;
mod pattern;

use std::fmt;

pub use parser::{TimestampParser, parse_date, parse_timestamp, parse_timestamp_nanos};
pub use pattern::Pattern;

pub(crate) use epoch::{EpochError, scale, scale_wide, scaled};

/// A checked `event.time.format` (or `timestamp.format`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A number is epoch milliseconds, text is ISO 8601.
    Auto,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    EpochMillis,
    /// Seconds since 1970-01-01T00:00:00Z.
    EpochSeconds,
    /// Microseconds since 1970-01-01T00:00:00Z.
    EpochMicros,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    EpochNanos,
    /// ISO 8601 and RFC 3339: `Z`, an offset or none, a `T` or a space, any number of fractional digits.
    Iso8601,
    /// A pattern in chrono's notation.
    Pattern(Pattern),
}

/// The names of formats; the first of each is the one shown.
const NAMES: &[(&str, Format)] = &[
    ("auto", Format::Auto),
    ("epoch_millis", Format::EpochMillis),
    ("epoch_seconds", Format::EpochSeconds),
    ("epoch", Format::EpochSeconds),
    ("epoch_micros", Format::EpochMicros),
    ("epoch_nanos", Format::EpochNanos),
    ("iso8601", Format::Iso8601),
];

/// Names that are known elsewhere, and what to write here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("iso", "iso8601"),
    ("iso-8601", "iso8601"),
    ("iso_8601", "iso8601"),
    ("rfc3339", "iso8601"),
    ("rfc-3339", "iso8601"),
    ("epoch_ms", "epoch_millis"),
    ("epoch_milliseconds", "epoch_millis"),
    ("unix", "epoch_seconds"),
    ("unix_seconds", "epoch_seconds"),
    ("unix_timestamp", "epoch_seconds"),
    ("unix_ms", "epoch_millis"),
    ("unix_millis", "epoch_millis"),
    ("epoch_s", "epoch_seconds"),
    ("epoch_us", "epoch_micros"),
    ("epoch_microseconds", "epoch_micros"),
    ("epoch_ns", "epoch_nanos"),
    ("epoch_nanoseconds", "epoch_nanos"),
    ("millis", "epoch_millis"),
    ("seconds", "epoch_seconds"),
];

impl Format {
    /// The format that `text` names, without regard to case, or the pattern that it is. The error says what to write; a Java
    /// pattern is answered with chrono's.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.trim();
        if let Some((_, format)) = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Ok(format.clone());
        }
        if text.contains('%') {
            // Chrono reads no sign in front of `%s`; as epoch seconds times before 1970 are read as well.
            return match text {
                "%s" | "%s%.f" | "%s.%f" | "%s%.3f" | "%s%.6f" | "%s%.9f" => Ok(Self::EpochSeconds),
                _ => Pattern::parse(text).map(Self::Pattern),
            };
        }
        if let Some(chrono) = java::translate(text) {
            return Err(format!("'{text}' is a pattern in Java's notation: write '{chrono}'"));
        }
        if let Some((_, known)) = ELSEWHERE.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(format!("'{text}' is no format: write {known}"));
        }
        let near = velo_core::suggest::nearest(name, NAMES.iter().map(|(known, _)| *known));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
        Err(format!(
            "'{text}' is no format: write epoch_millis, epoch_seconds, epoch_micros, epoch_nanos, iso8601, or a pattern such as \
             %Y-%m-%d %H:%M:%S{hint}"
        ))
    }

    /// What a value should look like, for messages.
    pub fn expected(&self) -> String {
        match self {
            Self::Auto => "epoch milliseconds or ISO 8601 such as 2024-01-31T10:00:00Z".to_owned(),
            Self::EpochMillis => "epoch milliseconds".to_owned(),
            Self::EpochSeconds => "epoch seconds".to_owned(),
            Self::EpochMicros => "epoch microseconds".to_owned(),
            Self::EpochNanos => "epoch nanoseconds".to_owned(),
            Self::Iso8601 => "ISO 8601 such as 2024-01-31T10:00:00Z".to_owned(),
            Self::Pattern(pattern) => format!("the pattern '{}'", pattern.text()),
        }
    }

    /// The power of ten from the unit of a number to microseconds; `None` where a number is no time.
    pub(crate) fn power(&self) -> Option<i32> {
        match self {
            Self::EpochSeconds => Some(6),
            Self::EpochMillis | Self::Auto => Some(3),
            Self::EpochMicros => Some(0),
            Self::EpochNanos => Some(-3),
            Self::Iso8601 | Self::Pattern(_) => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(pattern) => f.write_str(pattern.text()),
            named => f.write_str(NAMES.iter().find(|(_, format)| format == named).map_or("", |(name, _)| name)),
        }
    }
}
