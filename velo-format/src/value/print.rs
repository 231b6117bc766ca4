//! Values as text: digits eight at a time, and the last date kept.

use std::io::Write;

use velo_core::decimal;
use velo_core::time::push_date;

use super::words::{POWERS, eight_digits};

const SECONDS_PER_DAY: i64 = 86_400;

/// What eight digits hold.
const EIGHT: u64 = 100_000_000;

/// Where text goes.
pub(crate) trait Out {
    /// Appends the first `count` bytes of a word, at most eight.
    fn word(&mut self, word: u64, count: usize);

    /// Appends a byte.
    fn byte(&mut self, byte: u8);

    /// Appends bytes.
    fn bytes(&mut self, bytes: &[u8]);
}

impl Out for Vec<u8> {
    #[inline(always)]
    fn word(&mut self, word: u64, count: usize) {
        // All are appended and some taken away again, which is cheaper than a copy of unknown length.
        let end = self.len() + count;
        self.extend_from_slice(&word.to_le_bytes());
        self.truncate(end);
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.push(byte);
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// A place in a block that is long enough. The place stays in a register where the length of a `Vec` would be stored and loaded
/// for every few bytes, which is what would bound the writer.
#[derive(Debug)]
pub(crate) struct Cell<'a> {
    pub(crate) block: &'a mut [u8],
    pub(crate) at: usize,
}

impl Cell<'_> {
    /// How many bytes can still be appended.
    #[inline(always)]
    pub(crate) fn room(&self) -> usize {
        self.block.len() - self.at
    }
}

impl Out for Cell<'_> {
    #[inline(always)]
    fn word(&mut self, word: u64, count: usize) {
        self.block[self.at..self.at + 8].copy_from_slice(&word.to_le_bytes());
        self.at += count;
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        self.block[self.at] = byte;
        self.at += 1;
    }

    #[inline(always)]
    fn bytes(&mut self, bytes: &[u8]) {
        self.block[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

/// Appends a whole number below 10^8.
#[inline(always)]
fn push_short(out: &mut impl Out, value: u64) {
    // The count does not wait for the digits, so that what comes behind the number does not either.
    let bits = 64 - (value | 1).leading_zeros() as usize;
    let tenth = (bits * 1233) >> 12;
    let count = tenth + usize::from(value >= POWERS[tenth & 15] || value == 0);
    out.word(eight_digits(value) >> (((8 - count) * 8) & 63), count);
}

/// Appends a whole number: at most twenty bytes.
#[inline(always)]
pub(crate) fn push_u64(out: &mut impl Out, value: u64) {
    if value < EIGHT {
        return push_short(out, value);
    }
    let high = value / EIGHT;
    if high < EIGHT {
        push_short(out, high);
    } else {
        push_short(out, high / EIGHT);
        out.word(eight_digits(high % EIGHT), 8);
    }
    out.word(eight_digits(value % EIGHT), 8);
}

/// Appends a whole number with its sign.
#[inline(always)]
pub(crate) fn push_i64(out: &mut impl Out, value: i64) {
    if value < 0 {
        out.byte(b'-');
    }
    push_u64(out, value.unsigned_abs());
}

/// Appends units of 10^-scale with all digits of the scale.
#[inline]
pub(crate) fn push_decimal(out: &mut Vec<u8>, value: i128, scale: i8) {
    if !push_short_decimal(out, value, scale) {
        decimal::push_i128(out, value, scale);
    }
}

/// As [`push_decimal`], where the value fits in 64 bits and the scale is 1 to 16: at most 22 bytes. Else nothing, and `false`.
#[inline(always)]
pub(crate) fn push_short_decimal(out: &mut impl Out, value: i128, scale: i8) -> bool {
    let (Ok(small), 1..=16) = (u64::try_from(value.unsigned_abs()), scale) else { return false };
    if value < 0 {
        out.byte(b'-');
    }
    let scale = scale as usize;
    // Divisions by constants for the scales that most have.
    let (whole, mut fraction) = match scale {
        2 => (small / 100, small % 100),
        4 => (small / 10_000, small % 10_000),
        6 => (small / 1_000_000, small % 1_000_000),
        8 => (small / EIGHT, small % EIGHT),
        _ => (small / POWERS[scale], small % POWERS[scale]),
    };
    push_u64(out, whole);
    out.byte(b'.');
    let mut digits = scale;
    if digits > 8 {
        digits -= 8;
        out.word(eight_digits(fraction / EIGHT) >> ((8 - digits) * 8), digits);
        (fraction, digits) = (fraction % EIGHT, 8);
    }
    out.word(eight_digits(fraction) >> ((8 - digits) * 8), digits);
    true
}

/// The date and the second that were written last: the next value mostly has the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct PrintedDate {
    days: i64,
    text: Vec<u8>,
    second: i64,
    /// `YYYY-MM-DDTHH:MM:SS` of that second, if its year has four digits.
    second_text: Option<[u8; 19]>,
}

impl PrintedDate {
    /// Appends a date: at most 13 bytes.
    #[inline(always)]
    pub(crate) fn push(&mut self, out: &mut impl Out, days: i64) {
        if self.days != days || self.text.is_empty() {
            self.text.clear();
            push_date(&mut self.text, days);
            self.days = days;
        }
        match self.text.first_chunk::<10>() {
            Some(ten) if self.text.len() == 10 => out.bytes(ten),
            _ => out.bytes(&self.text),
        }
    }
}

/// Appends `HH:MM:SS` and as many of 0, 3, 6 or 9 digits as `nanos` needs.
#[inline(always)]
pub(crate) fn push_clock(out: &mut impl Out, second_of_day: i64, nanos: i64) {
    let (seconds, nanos) = (second_of_day as u64, nanos as u64);
    // `HH0MM0SS`, with the zeros between made colons.
    let clock = eight_digits(seconds / 3600 * 1_000_000 + seconds / 60 % 60 * 1_000 + seconds % 60);
    out.word(clock | 0x0000_0A00_000A_0000, 8);
    push_fraction(out, nanos);
}

/// Appends a point and 3, 6 or 9 digits, or nothing for zero.
#[inline(always)]
fn push_fraction(out: &mut impl Out, nanos: u64) {
    if nanos == 0 {
        return;
    }
    out.byte(b'.');
    let digits = if nanos.is_multiple_of(1_000_000) { 3 } else { 6 };
    out.word(eight_digits(nanos / 1_000) >> 16, digits);
    if !nanos.is_multiple_of(1_000) {
        out.word(eight_digits(nanos % 1_000) >> 40, 3);
    }
}

/// Appends a timestamp in units of 10^-digits seconds (0, 3, 6 or 9) as ISO 8601 with `Z`: at most 33
/// bytes.
#[inline(always)]
pub(crate) fn push_iso8601(out: &mut impl Out, value: i64, digits: u8, dates: &mut PrintedDate) {
    // Each unit gets divisions by constants.
    let (second, nanos) = match digits {
        9 => (value.div_euclid(1_000_000_000), value.rem_euclid(1_000_000_000)),
        6 => (value.div_euclid(1_000_000), value.rem_euclid(1_000_000) * 1_000),
        3 => (value.div_euclid(1_000), value.rem_euclid(1_000) * 1_000_000),
        _ => (value, 0),
    };
    match &dates.second_text {
        Some(text) if dates.second == second => out.bytes(text),
        _ => push_second(out, second, dates),
    }
    push_fraction(out, nanos as u64);
    out.byte(b'Z');
}

#[inline(never)]
fn push_second(out: &mut impl Out, second: i64, dates: &mut PrintedDate) {
    let mut text = Vec::with_capacity(24);
    dates.push(&mut text, second.div_euclid(SECONDS_PER_DAY));
    text.push(b'T');
    push_clock(&mut text, second.rem_euclid(SECONDS_PER_DAY), 0);
    dates.second = second;
    dates.second_text = text.first_chunk().copied().filter(|_| text.len() == 19);
    out.bytes(&text);
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
            for value in [0, 1, -1, 9, 10, 12345, -100_000, i128::from(u64::MAX), i128::from(u64::MAX) + 1, -(1 << 100)]
            {
                assert_eq!(
                    text(|out| push_decimal(out, value, scale)),
                    decimal::to_text_i128(value, scale),
                    "{value} {scale}"
                );
            }
        }
    }

    #[test]
    fn timestamps_equal_the_general_way() {
        let mut dates = PrintedDate::default();
        for micros in
            [0, -1, 1, 1_000, 1_704_067_200_120_000, 1_704_067_200_000_001, -62_167_219_200_000_001, i64::MAX, i64::MIN]
        {
            for _ in 0..2 {
                assert_eq!(text(|out| push_iso8601(out, micros, 6, &mut dates)), velo_core::time::iso8601(micros));
            }
        }
        assert_eq!(text(|out| push_iso8601(out, 1, 9, &mut dates)), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(text(|out| push_iso8601(out, -1, 3, &mut dates)), "1969-12-31T23:59:59.999Z");
        assert_eq!(text(|out| push_iso8601(out, 60, 0, &mut dates)), "1970-01-01T00:01:00Z");
    }
}
