//! Bodies of the fuzz targets, and the random numbers that tests of this crate use.
//!
//! Each body takes arbitrary bytes and panics only where Velo is wrong. The fuzz targets call them; so does a test, with
//! random bytes, on every run.

use arrow_array::StringArray;
use velo_core::Place;

use crate::extract::Extractor;
use crate::format::{Format, TimestampParser, parse_date, parse_timestamp, parse_timestamp_nanos};
use crate::zone::Zone;

/// A small reproducible generator (xorshift64*), for tests and benches.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator; equal seeds give equal numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so an iterator would only add an Option")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// Text as a value of `format`: no panic, and the column gives what the value alone gives.
pub fn value(format: &Format, zone: Zone, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let alone = TimestampParser::new(format.clone(), zone).micros(&text);
    let place = |row: usize| Place::Row { source: "fuzz".to_owned(), row: row as u64 };
    let column = StringArray::from(vec![text.as_ref()]);
    let extracted = Extractor::new("fuzz", "ts", format.clone(), zone).extract(&column, &place, None);
    match (&alone, extracted.errors.first()) {
        (Ok(micros), None) => assert_eq!(extracted.times.value(0), *micros),
        (Err(_), Some((0, error))) => assert!(!error.to_string().is_empty()),
        // A column's times have a smaller range, so that the difference of two never overflows.
        (Ok(micros), Some(_)) => assert!(micros.unsigned_abs() > 1 << 62),
        other => panic!("'{text}' gives {other:?}"),
    }
    if let (Ok(micros), Ok(nanos)) = (alone, TimestampParser::new(format.clone(), zone).nanos(&text)) {
        assert_eq!(nanos.div_euclid(1_000), micros, "'{text}'");
    }
}

/// Text as a format: it is refused, or what it is shown as is the same format again.
pub fn format(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(format) = Format::parse(&text) {
        assert_eq!(Format::parse(&format.to_string()).as_ref(), Ok(&format), "'{text}'");
        value(&format, Zone::UTC, b"2024-01-31T10:00:00Z");
    }
}

/// Text as a timestamp or date literal.
pub fn literal(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(micros) = parse_timestamp(&text, Zone::UTC) {
        assert_eq!(parse_timestamp(&velo_core::time::iso8601(micros), Zone::UTC), Ok(micros), "'{text}'");
    }
    let _ = parse_timestamp_nanos(&text, Zone::UTC);
    if let Ok(days) = parse_date(&text) {
        let mut shown = Vec::new();
        velo_core::time::push_date(&mut shown, i64::from(days));
        assert_eq!(parse_date(&String::from_utf8_lossy(&shown)), Ok(days), "'{text}'");
    }
}
