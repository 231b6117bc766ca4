//! Times whose text follows a pattern that the user wrote (`timestamp.format` = `%d.%m.%Y %H:%M`).

use std::sync::{Arc, Mutex, PoisonError};

use velo_eventtime::{Format as TimeFormat, TimestampParser};

use crate::error::ValueError;

/// A pattern of chrono, which [`velo_eventtime`] reads, as it does event times.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: Arc<str>,
    /// It keeps what it read last.
    parser: Arc<Mutex<TimestampParser>>,
}

impl Pattern {
    /// # Errors
    ///
    /// Where the text is no pattern, with the one that may be meant.
    pub fn new(text: &str) -> Result<Self, String> {
        let parser = TimestampParser::new(TimeFormat::parse(text)?, chrono_tz::UTC);
        Ok(Self { text: text.into(), parser: Arc::new(Mutex::new(parser)) })
    }

    /// Nanoseconds since 1970 of a text.
    pub(crate) fn nanos(&self, text: &str) -> Result<i128, ValueError> {
        // A panic of another worker leaves nothing but caches behind.
        let mut parser = self.parser.lock().unwrap_or_else(PoisonError::into_inner);
        let nanos = parser.nanos(text).map(i128::from);
        // Nanoseconds end in 2262.
        nanos.or_else(|_| parser.micros(text).map(|micros| i128::from(micros) * 1_000)).map_err(|_| ValueError::Syntax)
    }

    /// Appends the text of nanoseconds since 1970.
    pub(crate) fn print(&self, nanos: i128, out: &mut Vec<u8>) {
        let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        let rest = nanos.rem_euclid(1_000_000_000) as u32;
        match chrono::DateTime::from_timestamp(seconds, rest) {
            Some(time) => out.extend_from_slice(time.format(&self.text).to_string().as_bytes()),
            // Beyond the years that chrono knows.
            None => velo_core::time::push_iso8601(out, i64::try_from(nanos / 1_000).unwrap_or(i64::MAX)),
        }
    }
}
