//! Dates and times from text: ISO 8601 by its layout, with the last date kept.
//!
//! A zone is `Z`, an offset or none (UTC). Digits finer than the type are floored, also before 1970. A leap second (`:60`) and
//! `24:00` are refused.

use velo_core::time::{MICROS_PER_DAY, days_from_civil, days_in_month};

use super::pattern::Pattern;
use super::print::{PrintedDate, push_iso8601};
use super::words::{POWERS, before, load, no_digits};
use crate::error::ValueError;

/// `timestamp.format`: how TIMESTAMP columns are read and written.
#[derive(Debug, Clone, Default)]
pub enum TimestampFormat {
    /// ISO 8601; a bare number is a type conflict.
    #[default]
    Iso8601,
    /// A number of such units since 1970, bare or in quotes; a fraction is allowed and floored.
    Epoch(EpochUnit),
    /// A bare number of such units since 1970, or ISO 8601 in quotes. Printed as ISO 8601.
    Either(EpochUnit),
    /// By a pattern; a bare number is a type conflict.
    Pattern(Pattern),
}

/// The unit of an epoch number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl EpochUnit {
    /// How many digits a second has in this unit.
    pub fn digits(self) -> u8 {
        match self {
            Self::Seconds => 0,
            Self::Millis => 3,
            Self::Micros => 6,
            Self::Nanos => 9,
        }
    }
}

impl TimestampFormat {
    /// The format that `text` names, or the pattern that it is.
    ///
    /// # Errors
    ///
    /// Where it is neither.
    pub fn from_text(text: &str) -> Result<Self, String> {
        Ok(match text.trim().to_ascii_lowercase().as_str() {
            "iso8601" => Self::Iso8601,
            "epoch_seconds" | "epoch" => Self::Epoch(EpochUnit::Seconds),
            "epoch_millis" => Self::Epoch(EpochUnit::Millis),
            "epoch_micros" => Self::Epoch(EpochUnit::Micros),
            "epoch_nanos" => Self::Epoch(EpochUnit::Nanos),
            _ => Self::Pattern(Pattern::new(text)?),
        })
    }

    /// Whether a bare number is a time.
    pub(crate) fn numbers(&self) -> bool {
        match self {
            Self::Iso8601 | Self::Pattern(_) => false,
            Self::Epoch(_) | Self::Either(_) => true,
        }
    }

    /// A text in units of 10^-digits seconds (6 for TIMESTAMP, 9 for TIMESTAMP(9)), floored.
    #[inline]
    pub(crate) fn parse(&self, text: &[u8], digits: u8, dates: &mut LastDate) -> Result<i64, ValueError> {
        match self {
            Self::Iso8601 => iso8601(text, digits, dates),
            Self::Epoch(unit) => epoch(text, *unit, digits),
            // Five digits and more without a dash behind them are no year of a date.
            Self::Either(unit) => iso8601(text, digits, dates).or_else(|failed| match epoch(text, *unit, digits) {
                Err(ValueError::Syntax) => Err(failed),
                read => read,
            }),
            Self::Pattern(pattern) => {
                let text = std::str::from_utf8(text).map_err(|_| ValueError::Syntax)?;
                let nanos = pattern.nanos(text)?;
                let divisor = 10_i128.pow(u32::from(9 - digits.min(9)));
                i64::try_from(nanos.div_euclid(divisor)).map_err(|_| ValueError::OutOfRange)
            }
        }
    }

    /// Appends the text of a time in units of 10^-digits seconds (0, 3, 6 or 9), without quotes.
    #[inline]
    pub(crate) fn print(&self, value: i64, digits: u8, out: &mut Vec<u8>, dates: &mut PrintedDate) {
        if let Self::Iso8601 | Self::Either(_) = self {
            return push_iso8601(out, value, digits, dates);
        }
        let nanos = i128::from(value) * 10_i128.pow(u32::from(9 - digits.min(9)));
        match self {
            Self::Epoch(unit) => {
                // Digits finer than the unit are written as a fraction, so that nothing is lost.
                let scale = 9 - unit.digits();
                let divisor = 10_i128.pow(u32::from(scale));
                if nanos % divisor == 0 {
                    velo_core::decimal::push_i128(out, nanos / divisor, 0);
                } else {
                    velo_core::decimal::push_i128(out, nanos, scale as i8);
                    while out.last() == Some(&b'0') {
                        out.pop();
                    }
                }
            }
            Self::Pattern(pattern) => pattern.print(nanos, out),
            // Written above.
            Self::Iso8601 | Self::Either(_) => {}
        }
    }
}

/// The date that was parsed last: most texts in a row have the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LastDate {
    text: [u8; 10],
    days: i64,
}

impl Default for LastDate {
    fn default() -> Self {
        Self { text: *b"1970-01-01", days: 0 }
    }
}

fn epoch(text: &[u8], unit: EpochUnit, digits: u8) -> Result<i64, ValueError> {
    let unit = unit.digits();
    let plain = matches!(text, [b'-' | b'0'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit)) && text != b"-";
    if plain && text.len() < 20 {
        let (negative, magnitude) = super::number::whole(text)?;
        let value = super::number::signed(negative, magnitude, i64::MIN, i64::MAX)?;
        return if unit <= digits {
            value.checked_mul(10_i64.pow(u32::from(digits - unit))).ok_or(ValueError::OutOfRange)
        } else {
            Ok(value.div_euclid(10_i64.pow(u32::from(unit - digits))))
        };
    }
    // The digits are kept to the attosecond and then floored.
    let kept = 18_i8 - unit as i8;
    let exact = velo_core::decimal::parse_i128(text, 38, kept)?;
    let floored = exact.div_euclid(10_i128.pow(u32::from(18 - digits)));
    i64::try_from(floored).map_err(|_| ValueError::OutOfRange)
}

#[inline]
fn two(text: &[u8], at: usize) -> Option<u32> {
    let (tens, ones) = (text.get(at)?.wrapping_sub(b'0'), text.get(at + 1)?.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

fn ten_byte_date(text: &[u8; 10]) -> Option<i64> {
    let year = i64::from(two(text, 0)? * 100 + two(text, 2)?);
    valid_date(year, text[4], two(text, 5)?, text[7], two(text, 8)?)
}

fn valid_date(year: i64, first: u8, month: u32, second: u8, day: u32) -> Option<i64> {
    let valid =
        first == b'-' && second == b'-' && (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    valid.then(|| days_from_civil(year, month, day))
}

/// A date at the front of `text`: days since 1970 and its length. Years outside 0 to 9999 have a sign.
#[inline]
fn date_prefix(text: &[u8], dates: &mut LastDate) -> Option<(i64, usize)> {
    let ten = text.first_chunk::<10>()?;
    if *ten == dates.text {
        return Some((dates.days, 10));
    }
    if matches!(ten[0], b'+' | b'-') {
        let dash = 1 + text[1..].iter().position(|byte| *byte == b'-')?;
        if !(5..=7).contains(&dash) || !text[1..dash].iter().all(u8::is_ascii_digit) {
            return None;
        }
        let year = text[1..dash].iter().fold(0_i64, |year, digit| year * 10 + i64::from(digit - b'0'));
        let year = if ten[0] == b'-' { -year } else { year };
        let days = valid_date(year, b'-', two(text, dash + 1)?, *text.get(dash + 3)?, two(text, dash + 4)?)?;
        return Some((days, dash + 6));
    }
    let days = ten_byte_date(ten)?;
    *dates = LastDate { text: *ten, days };
    Some((days, 10))
}

/// A time of day at `at`: units of 10^-digits seconds since midnight, and its end.
#[inline]
fn time_prefix(text: &[u8], mut at: usize, digits: u8) -> Option<(i64, usize)> {
    let (hour, minute) = (two(text, at)?, two(text, at + 3)?);
    if *text.get(at + 2)? != b':' || hour > 23 || minute > 59 {
        return None;
    }
    at += 5;
    let mut second = 0;
    let (mut fraction, mut places) = (0_i64, 0);
    if text.get(at) == Some(&b':') {
        second = two(text, at + 1)?;
        if second > 59 {
            return None;
        }
        at += 3;
        if matches!(text.get(at), Some(b'.' | b',')) {
            at += 1;
            let from = at;
            while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
                if places < digits {
                    fraction = fraction * 10 + i64::from(digit);
                    places += 1;
                }
                at += 1;
            }
            if at == from {
                return None;
            }
        }
    }
    while places < digits {
        fraction *= 10;
        places += 1;
    }
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    Some((seconds * if digits == 9 { 1_000_000_000 } else { 1_000_000 } + fraction, at))
}

/// A zone at `at` that ends the text: seconds east of UTC.
fn zone(text: &[u8], at: usize) -> Option<i64> {
    match &text[at..] {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let (hours, minutes) = match rest.len() {
                2 => (two(rest, 0)?, 0),
                4 => (two(rest, 0)?, two(rest, 2)?),
                5 if rest[2] == b':' => (two(rest, 0)?, two(rest, 3)?),
                _ => return None,
            };
            if hours > 18 || minutes > 59 {
                return None;
            }
            let seconds = i64::from(hours * 3600 + minutes * 60);
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Days since 1970, the time of day in units of 10^-digits seconds, and seconds east of UTC.
#[inline]
fn date_and_time(text: &[u8], digits: u8, dates: &mut LastDate) -> Option<(i64, i64, i64)> {
    let (days, at) = date_prefix(text, dates)?;
    if at == text.len() {
        return Some((days, 0, 0));
    }
    if !matches!(text[at], b'T' | b't' | b' ') {
        return None;
    }
    let (clock, at) = time_prefix(text, at + 1, digits)?;
    Some((days, clock, zone(text, at)?))
}

/// An ISO 8601 timestamp in units of 10^-digits seconds (6 or 9). A date alone is its midnight.
#[inline]
pub(crate) fn iso8601(text: &[u8], digits: u8, dates: &mut LastDate) -> Result<i64, ValueError> {
    let (days, clock, offset) = date_and_time(text, digits, dates).ok_or(ValueError::Syntax)?;
    let second = if digits == 9 { 1_000_000_000 } else { 1_000_000 };
    // Years have at most six digits, so microseconds always fit; nanoseconds do from 1677 to 2262.
    if digits == 9 {
        let day = i128::from(MICROS_PER_DAY) * 1_000;
        let value = i128::from(days) * day + i128::from(clock) - i128::from(offset) * i128::from(second);
        return i64::try_from(value).map_err(|_| ValueError::OutOfRange);
    }
    days.checked_mul(MICROS_PER_DAY)
        .and_then(|value| value.checked_add(clock - offset * second))
        .ok_or(ValueError::OutOfRange)
}

/// A timestamp at `at` of the layout that most have, `2024-01-31T09:30:00Z` with up to seven digits of a fraction, in
/// microseconds, and its end. `None` says nothing about other layouts.
#[inline]
pub(crate) fn short_iso8601(bytes: &[u8], at: usize, dates: &mut LastDate) -> Option<(i64, usize)> {
    let date = bytes.get(at..)?.first_chunk::<10>()?;
    if *date != dates.text {
        *dates = LastDate { text: *date, days: ten_byte_date(date)? };
    }
    if !matches!(bytes.get(at + 10), Some(b'T' | b' ')) {
        return None;
    }
    // `HH:MM:SS` as a word: the colons are compared, the digits checked and taken together.
    let clock = load(bytes, at + 11)?;
    if clock & 0x0000_FF00_00FF_0000 != 0x0000_3A00_003A_0000 {
        return None;
    }
    let digits = (clock & 0xFFFF_00FF_FF00_FFFF) ^ 0x3030_0030_3000_3030;
    if no_digits(digits ^ 0x3030_3030_3030_3030) != 0 {
        return None;
    }
    let two = |from: u32| ((digits >> from) & 0xFF) * 10 + ((digits >> (from + 8)) & 0xFF);
    let (hours, minutes, seconds) = (two(0), two(24), two(48));
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let (fraction, end) = match bytes.get(at + 19)? {
        b'Z' => (0, at + 19),
        b'.' => {
            let word = load(bytes, at + 20)?;
            let count = before(no_digits(word));
            let value = match count {
                1..=6 => super::words::digits(word, count) * POWERS[6 - count],
                7 => super::words::digits(word, 6),
                _ => return None,
            };
            (value, at + 20 + count)
        }
        _ => return None,
    };
    if bytes.get(end) != Some(&b'Z') {
        return None;
    }
    // Four-digit years: far from the limits.
    let micros = (hours * 3600 + minutes * 60 + seconds) * 1_000_000 + fraction;
    Some((dates.days * MICROS_PER_DAY + micros as i64, end + 1))
}

/// A date as days since 1970.
pub(crate) fn date(text: &[u8], dates: &mut LastDate) -> Result<i32, ValueError> {
    let (days, end) = date_prefix(text, dates).ok_or(ValueError::Syntax)?;
    if end != text.len() {
        return Err(ValueError::Syntax);
    }
    i32::try_from(days).map_err(|_| ValueError::OutOfRange)
}

/// A time of day in microseconds since midnight.
pub(crate) fn time(text: &[u8]) -> Result<i64, ValueError> {
    match time_prefix(text, 0, 6) {
        Some((micros, end)) if end == text.len() => Ok(micros),
        _ => Err(ValueError::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Result<i64, ValueError> {
        iso8601(text.as_bytes(), 6, &mut LastDate::default())
    }

    #[test]
    fn layouts() {
        let noon = 1_706_702_400_000_000;
        for (text, expected) in [
            ("2024-01-31T12:00:00Z", Ok(noon)),
            ("2024-01-31 12:00:00", Ok(noon)),
            ("2024-01-31t12:00z", Ok(noon)),
            ("2024-01-31T14:30:00+02:30", Ok(noon)),
            ("2024-01-31T10:00:00-0200", Ok(noon)),
            ("2024-01-31T13:00+01", Ok(noon)),
            ("2024-01-31T12:00:00.1234567899Z", Ok(noon + 123_456)),
            ("2024-01-31T12:00:00,5", Ok(noon + 500_000)),
            ("2024-01-31", Ok(noon - 43_200_000_000)),
            ("1969-12-31T23:59:59.9999999Z", Ok(-1)),
            ("-0001-12-31T23:59:59Z", Ok(-62_167_219_200_000_000 - 1_000_000)),
            ("+10000-01-01T00:00:00Z", Ok(253_402_300_800_000_000)),
            ("2023-02-29T00:00:00Z", Err(ValueError::Syntax)),
            ("2024-01-31T24:00:00Z", Err(ValueError::Syntax)),
            ("2024-01-31T23:59:60Z", Err(ValueError::Syntax)),
            ("2024-01-31T12:00:00.Z", Err(ValueError::Syntax)),
            ("2024-01-31T12:00:00 Z", Err(ValueError::Syntax)),
            ("2024-01-31T", Err(ValueError::Syntax)),
            ("2024/01/31", Err(ValueError::Syntax)),
            ("1704067200123", Err(ValueError::Syntax)),
            ("", Err(ValueError::Syntax)),
        ] {
            assert_eq!(micros(text), expected, "{text}");
        }
        let nanos = |text: &str| iso8601(text.as_bytes(), 9, &mut LastDate::default());
        assert_eq!(nanos("1969-12-31T23:59:59.9999999999Z"), Ok(-1));
        assert_eq!(nanos("2263-01-01T00:00:00Z"), Err(ValueError::OutOfRange));
    }

    #[test]
    fn the_short_way_says_the_same() {
        let letters = b"0123456789-T:. Z+x";
        let mut random = crate::fuzz::Random::new(11);
        let mut short = 0;
        for round in 0..20_000 {
            let text = velo_core::time::iso8601(random.below(4_000_000_000_000_000) as i64);
            let mut text = if round % 3 == 0 { text[..19].to_owned() + "Z" } else { text }.into_bytes();
            for _ in 0..random.below(3) {
                let at = random.below(text.len() as u64) as usize;
                text[at] = letters[random.below(letters.len() as u64) as usize];
            }
            let padded = [&text[..], b"\"          "].concat();
            if let Some((value, end)) = short_iso8601(&padded, 0, &mut LastDate::default()) {
                assert_eq!(
                    iso8601(&text[..end], 6, &mut LastDate::default()),
                    Ok(value),
                    "{}",
                    String::from_utf8_lossy(&text)
                );
                short += 1;
            }
        }
        assert!(short > 5_000, "{short}");
    }

    #[test]
    fn the_last_date_is_only_a_short_cut() {
        let mut dates = LastDate::default();
        for text in ["2024-01-31", "2024-01-31", "2024-02-01", "2024-01-31"] {
            assert_eq!(date(text.as_bytes(), &mut dates), date(text.as_bytes(), &mut LastDate::default()));
        }
        assert_eq!(date(b"2024-02-30", &mut dates), Err(ValueError::Syntax));
        assert_eq!(date(&[0; 10], &mut LastDate::default()), Err(ValueError::Syntax));
    }

    #[test]
    fn epochs_are_floored_and_checked() {
        let parse = |text: &str, unit| epoch(text.as_bytes(), unit, 6);
        assert_eq!(parse("-1", EpochUnit::Millis), Ok(-1_000));
        assert_eq!(parse("-1", EpochUnit::Nanos), Ok(-1));
        assert_eq!(parse("-2208988800", EpochUnit::Seconds), Ok(-2_208_988_800_000_000));
        assert_eq!(parse("1.5", EpochUnit::Seconds), Ok(1_500_000));
        assert_eq!(parse("-0.0000001", EpochUnit::Seconds), Ok(-1));
        assert_eq!(parse("-9223372036854775808", EpochUnit::Millis), Err(ValueError::OutOfRange));
        assert_eq!(parse("x", EpochUnit::Millis), Err(ValueError::Syntax));
        assert_eq!(parse("", EpochUnit::Millis), Err(ValueError::Syntax));
    }

    #[test]
    fn times_of_day() {
        assert_eq!(time(b"09:30:00.25"), Ok(34_200_250_000));
        assert_eq!(time(b"09:30"), Ok(34_200_000_000));
        assert_eq!(time(b"9:30"), Err(ValueError::Syntax));
        assert_eq!(time(b"09:30:00Z"), Err(ValueError::Syntax));
    }

    #[test]
    fn printing_epochs_loses_nothing() {
        let print = |format: TimestampFormat, value| {
            let mut out = Vec::new();
            format.print(value, 6, &mut out, &mut PrintedDate::default());
            String::from_utf8(out).unwrap()
        };
        assert_eq!(print(TimestampFormat::Epoch(EpochUnit::Millis), 1_500), "1.5");
        assert_eq!(print(TimestampFormat::Epoch(EpochUnit::Millis), -2_000), "-2");
        assert_eq!(print(TimestampFormat::Iso8601, 0), "1970-01-01T00:00:00Z");
        assert_eq!(print(TimestampFormat::Iso8601, i64::MAX - 775_807), "+294247-01-10T04:00:54Z");
        assert_eq!(print(TimestampFormat::Epoch(EpochUnit::Seconds), 0), "0");
    }
}
