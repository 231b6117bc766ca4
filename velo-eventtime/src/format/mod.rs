//! How text and numbers become times.

use std::fmt;

use crate::error::TimeError;
use crate::zone::Zone;

/// A checked `event.time.format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A number is epoch milliseconds, text is ISO 8601.
    Auto,
    /// Milliseconds.
    EpochMillis,
    /// Seconds.
    EpochSeconds,
    /// Microseconds.
    EpochMicros,
    /// Nanoseconds.
    EpochNanos,
    /// ISO 8601.
    Iso8601,
    /// A chrono pattern.
    Pattern(String),
}

impl Format {
    /// The format that `text` names.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::Pattern(text.to_owned()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Reads many timestamps.
#[derive(Debug)]
pub struct TimestampParser;

/// ISO 8601 text as microseconds.
pub fn parse_timestamp(_text: &str, _zone: impl Into<Zone>) -> Result<i64, TimeError> {
    Err(TimeError::out_of_range())
}

/// ISO 8601 text as nanoseconds.
pub fn parse_timestamp_nanos(_text: &str, _zone: impl Into<Zone>) -> Result<i64, TimeError> {
    Err(TimeError::out_of_range())
}

/// A date as days since 1970-01-01.
pub fn parse_date(_text: &str) -> Result<i32, TimeError> {
    Err(TimeError::out_of_range())
}
