//! Logical types of fixed length.

use arrow_buffer::IntervalMonthDayNano;

use super::cursor::problem;
use crate::json::cursor::Outcome;

/// Milliseconds as nanoseconds.
const MILLIS: i64 = 1_000_000;

/// Appends sixteen bytes as a UUID: `2c0a7e3c-…`.
pub(super) fn push_uuid(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// The twelve bytes of a duration: months, days and milliseconds, each 32 bits without sign, little-endian.
pub(super) fn duration(bytes: &[u8]) -> Outcome<IntervalMonthDayNano> {
    let part = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    match (i32::try_from(part(0)), i32::try_from(part(4))) {
        (Ok(months), Ok(days)) => Ok(IntervalMonthDayNano::new(months, days, i64::from(part(8)) * MILLIS)),
        _ => Err(problem(format!("a duration of {} months and {} days is too long", part(0), part(4)))),
    }
}
