//! Values as text: digits eight at a time, and the last date kept.

use std::io::Write;

use velo_core::decimal;
use velo_core::time::push_date;

use super::words::{POWERS, before, eight_digits};

const SECONDS_PER_DAY: i64 = 86_400;

/// What eight digits hold.
const EIGHT: u64 = 100_000_000;

/// Appends the first `count` bytes of a word: all are appended and some taken away again, which is cheaper than a copy of
/// unknown length.
#[inline(always)]
fn push_bytes(out: &mut Vec<u8>, word: u64, count: usize) {
    let end = out.len() + count;
    out.extend_from_slice(&word.to_le_bytes());
    out.truncate(end);
}

/// Appends a whole number.
#[inline]
pub(crate) fn push_u64(out: &mut Vec<u8>, value: u64) {
    if value >= EIGHT {
        push_u64(out, value / EIGHT);
        return push_bytes(out, eight_digits(value % EIGHT), 8);
    }
    let word = eight_digits(value);
    // Zeros in front are left out, but for the last digit.
    let zeros = before((word ^ 0x3030_3030_3030_3030) | 1 << 56);
    push_bytes(out, word >> (zeros * 8), 8 - zeros);
}

/// Appends a whole number with its sign.
#[inline]
pub(crate) fn push_i64(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_u64(out, value.unsigned_abs());
}

/// Appends units of 10^-scale with all digits of the scale.
#[inline]
pub(crate) fn push_decimal(out: &mut Vec<u8>, value: i128, scale: i8) {
    let (Ok(small), 1..=16) = (u64::try_from(value.unsigned_abs()), scale) else {
        return decimal::push_i128(out, value, scale);
    };
    if value < 0 {
        out.push(b'-');
    }
    let scale = scale as usize;
    let unit = POWERS[scale];
    push_u64(out, small / unit);
    out.push(b'.');
    let (mut fraction, mut digits) = (small % unit, scale);
    if digits > 8 {
        digits -= 8;
        push_bytes(out, eight_digits(fraction / EIGHT) >> ((8 - digits) * 8), digits);
        (fraction, digits) = (fraction % EIGHT, 8);
    }
    push_bytes(out, eight_digits(fraction) >> ((8 - digits) * 8), digits);
}

/// The date that was written last.
#[derive(Debug, Clone, Default)]
pub(crate) struct PrintedDate {
    days: i64,
    text: Vec<u8>,
}

impl PrintedDate {
    /// Appends a date.
    #[inline]
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, days: i64) {
        if self.days != days || self.text.is_empty() {
            self.text.clear();
            push_date(&mut self.text, days);
            self.days = days;
        }
        match self.text.first_chunk::<10>() {
            Some(ten) if self.text.len() == 10 => out.extend_from_slice(ten),
            _ => out.extend_from_slice(&self.text),
        }
    }
}

/// Appends `HH:MM:SS` and as many of 0, 3, 6 or 9 digits as `nanos` needs.
#[inline]
pub(crate) fn push_clock(out: &mut Vec<u8>, second_of_day: i64, nanos: i64) {
    let (seconds, nanos) = (second_of_day as u64, nanos as u64);
    // `HH0MM0SS`, with the zeros between made colons.
    let clock = eight_digits(seconds / 3600 * 1_000_000 + seconds / 60 % 60 * 1_000 + seconds % 60);
    push_bytes(out, clock | 0x0000_0A00_000A_0000, 8);
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    let digits = if nanos % 1_000_000 == 0 { 3 } else { 6 };
    push_bytes(out, eight_digits(nanos / 1_000) >> 16, digits);
    if nanos % 1_000 != 0 {
        push_bytes(out, eight_digits(nanos % 1_000) >> 40, 3);
    }
}

/// Appends a timestamp in units of 10^-digits seconds (0, 3, 6 or 9) as ISO 8601 with `Z`.
#[inline]
pub(crate) fn push_iso8601(out: &mut Vec<u8>, value: i64, digits: u8, dates: &mut PrintedDate) {
    // Each unit gets divisions by constants.
    let (seconds, nanos) = match digits {
        9 => (value.div_euclid(1_000_000_000), value.rem_euclid(1_000_000_000)),
        6 => (value.div_euclid(1_000_000), value.rem_euclid(1_000_000) * 1_000),
        3 => (value.div_euclid(1_000), value.rem_euclid(1_000) * 1_000_000),
        _ => (value, 0),
    };
    dates.push(out, seconds.div_euclid(SECONDS_PER_DAY));
    out.push(b'T');
    push_clock(out, seconds.rem_euclid(SECONDS_PER_DAY), nanos);
    out.push(b'Z');
}

/// Appends a float so that it reads back as the same, or `NaN`, `Infinity`, `-Infinity`.
pub(crate) fn push_f64(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{value:?}");
    } else {
        push_not_finite(out, value);
    }
}

/// As [`push_f64`], with the fewer digits of the smaller type.
pub(crate) fn push_f32(out: &mut Vec<u8>, value: f32) {
    if value.is_finite() {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{value:?}");
    } else {
        push_not_finite(out, value.into());
    }
}

#[cold]
fn push_not_finite(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(match value {
        f64::INFINITY => b"Infinity",
        f64::NEG_INFINITY => b"-Infinity",
        _ => b"NaN",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn whole_numbers() {
        let mut value = 1_u64;
        for _ in 0..20 {
            for value in [value - 1, value, value + 1, value.wrapping_mul(7)] {
                assert_eq!(text(|out| push_u64(out, value)), value.to_string());
            }
            value = value.wrapping_mul(10);
        }
        assert_eq!(text(|out| push_i64(out, i64::MIN)), i64::MIN.to_string());
        assert_eq!(text(|out| push_u64(out, u64::MAX)), u64::MAX.to_string());
    }

    #[test]
    fn decimals_equal_the_general_way() {
        for scale in [-2, 0, 1, 4, 7, 8, 9, 15, 16, 17, 18, 19, 30] {
            for value in [0, 1, -1, 9, 10, 12345, -100_000, i128::from(u64::MAX), i128::from(u64::MAX) + 1, -(1 << 100)] {
                assert_eq!(text(|out| push_decimal(out, value, scale)), decimal::to_text_i128(value, scale), "{value} {scale}");
            }
        }
    }

    #[test]
    fn timestamps_equal_the_general_way() {
        let mut dates = PrintedDate::default();
        for micros in [0, -1, 1, 1_000, 1_704_067_200_120_000, 1_704_067_200_000_001, -62_167_219_200_000_001, i64::MAX, i64::MIN] {
            for _ in 0..2 {
                assert_eq!(text(|out| push_iso8601(out, micros, 6, &mut dates)), velo_core::time::iso8601(micros));
            }
        }
        assert_eq!(text(|out| push_iso8601(out, 1, 9, &mut dates)), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(text(|out| push_iso8601(out, -1, 3, &mut dates)), "1969-12-31T23:59:59.999Z");
        assert_eq!(text(|out| push_iso8601(out, 60, 0, &mut dates)), "1970-01-01T00:01:00Z");
    }
}
