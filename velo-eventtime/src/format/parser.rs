//! Reads values by a format, one after the other.

use velo_core::time::MICROS_PER_SECOND;

use super::Format;
use super::epoch::{EpochError, is_number, scaled};
use super::iso8601::{Dates, Tail, Written, fixed, read, read_date};
use super::pattern::shift;
use crate::error::{EventTimeErrorKind, TimeError};
use crate::zone::{Offsets, Zone};

/// Reads many values by one format, and remembers the last date and the offsets of the zone that were used.
#[derive(Debug, Clone)]
pub struct TimestampParser {
    format: Format,
    dates: Dates,
    offsets: Offsets,
}

impl TimestampParser {
    /// A parser; `zone` is for values without an offset.
    pub fn new(format: Format, zone: impl Into<Zone>) -> Self {
        Self { format, dates: Dates::new(), offsets: Offsets::new(zone.into()) }
    }

    /// A parser of ISO 8601.
    pub fn iso8601(zone: impl Into<Zone>) -> Self {
        Self::new(Format::Iso8601, zone)
    }

    /// The format.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// `text` as microseconds since 1970-01-01T00:00:00Z, floored.
    #[inline]
    pub fn micros(&mut self, text: &str) -> Result<i64, TimeError> {
        let bytes = text.as_bytes();
        let quick = match &self.format {
            Format::Iso8601 | Format::Auto => fixed(bytes, &mut self.dates).map(|(micros, _, tail)| match tail {
                Tail::Local => (micros, None),
                Tail::Zulu => (micros, Some(0)),
                Tail::Offset(offset) => (micros, Some(offset)),
            }),
            Format::Pattern(pattern) => pattern.quick(bytes, &mut self.dates),
            Format::EpochSeconds => return self.number(bytes, 6),
            Format::EpochMillis => return self.number(bytes, 3),
            Format::EpochMicros => return self.number(bytes, 0),
            Format::EpochNanos => return self.number(bytes, -3),
        };
        match quick {
            Some((micros, Some(0))) => Ok(micros),
            Some((micros, Some(offset))) => shift(micros, i64::from(offset)),
            Some((micros, None)) => {
                let offset = self.offsets.of_local(micros.div_euclid(MICROS_PER_SECOND))?;
                shift(micros, offset)
            }
            None => self.slow(text, 3, 1_000),
        }
    }

    /// `text` as nanoseconds since 1970-01-01T00:00:00Z, floored.
    pub fn nanos(&mut self, text: &str) -> Result<i64, TimeError> {
        match &self.format {
            Format::EpochSeconds => self.number(text.as_bytes(), 9),
            Format::EpochMillis => self.number(text.as_bytes(), 6),
            Format::EpochMicros => self.number(text.as_bytes(), 3),
            Format::EpochNanos => self.number(text.as_bytes(), 0),
            _ => self.slow(text, 6, 1),
        }
    }

    /// The general way; `power` is that of a millisecond, `unit` the nanoseconds of the result's unit.
    #[inline(never)]
    fn slow(&mut self, text: &str, power: i32, unit: i64) -> Result<i64, TimeError> {
        let bytes = text.as_bytes();
        let written = match &self.format {
            Format::Pattern(pattern) => pattern.read(text)?,
            Format::Auto => {
                match scaled(bytes, power) {
                    Ok(value) => return Ok(value),
                    Err(EpochError::Range) => return Err(TimeError::out_of_range()),
                    Err(EpochError::Syntax) => {}
                }
                read(bytes).map_err(|error| match error.kind {
                    EventTimeErrorKind::ParseError => TimeError::new(
                        EventTimeErrorKind::AutoDetectFailed,
                        "is neither a number nor ISO 8601; set event.time.format",
                    ),
                    _ => error,
                })?
            }
            _ => read(bytes).map_err(|error| match error.kind {
                EventTimeErrorKind::ParseError if is_number(bytes) => TimeError::mismatch("is a number"),
                _ => error,
            })?,
        };
        let Written { seconds, nanos, offset } = written;
        let offset = match offset {
            Some(offset) => i64::from(offset),
            None => self.offsets.of_local(seconds)?,
        };
        let total = i128::from(seconds - offset) * 1_000_000_000 + i128::from(nanos);
        i64::try_from(total.div_euclid(i128::from(unit))).map_err(|_| TimeError::out_of_range())
    }

    fn number(&self, text: &[u8], power: i32) -> Result<i64, TimeError> {
        scaled(text, power).map_err(|error| match error {
            EpochError::Range => TimeError::out_of_range(),
            EpochError::Syntax => match text.trim_ascii() {
                b"true" | b"false" => TimeError::mismatch("is a boolean"),
                [b'{', .., b'}'] => TimeError::mismatch("is an object"),
                [b'[', .., b']'] => TimeError::mismatch("is an array"),
                _ => TimeError::syntax("is no number"),
            },
        })
    }

    /// Midnight, in the zone, of a date in days since 1970-01-01, as microseconds.
    pub(crate) fn midnight(&mut self, days: i64) -> Result<i64, TimeError> {
        let seconds = days.checked_mul(86_400).ok_or_else(TimeError::out_of_range)?;
        let offset = self.offsets.of_local(seconds)?;
        (seconds - offset).checked_mul(MICROS_PER_SECOND).ok_or_else(TimeError::out_of_range)
    }
}

/// ISO 8601 text as microseconds since 1970-01-01T00:00:00Z, floored: `CAST(text AS TIMESTAMP)` and literals. `zone` is for
/// text without an offset.
pub fn parse_timestamp(text: &str, zone: impl Into<Zone>) -> Result<i64, TimeError> {
    TimestampParser::iso8601(zone).micros(text)
}

/// As [`parse_timestamp`], in nanoseconds: `TIMESTAMP(9)`.
pub fn parse_timestamp_nanos(text: &str, zone: impl Into<Zone>) -> Result<i64, TimeError> {
    TimestampParser::iso8601(zone).nanos(text)
}

/// A calendar date such as `2024-01-31`, as days since 1970-01-01: `CAST(text AS DATE)` and literals.
pub fn parse_date(text: &str) -> Result<i32, TimeError> {
    i32::try_from(read_date(text.as_bytes())?).map_err(|_| TimeError::out_of_range())
}
