//! Event time as microseconds since 1970-01-01T00:00:00Z, watermarks, and the calendar without a time zone.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Microseconds in one second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in one day.
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// No more records with an event time below this are expected (microseconds since 1970-01-01T00:00:00Z).
///
/// [`Watermark::END`] is the end of a bounded input; [`Watermark::NONE`] is the state before the first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Watermark(pub i64);

impl Watermark {
    /// +∞: the input has ended.
    pub const END: Self = Self(i64::MAX);
    /// Nothing is known yet.
    pub const NONE: Self = Self(i64::MIN);
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::END => f.write_str("+∞"),
            Self::NONE => f.write_str("none"),
            Self(micros) => f.write_str(&iso8601(micros)),
        }
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
///
/// The algorithm counts years from March, so that the leap day is the last of its year (Hinnant, "chrono-compatible low-level
/// date algorithms").
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date (year, month, day) that is `days` after 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = ((month_from_march + 2) % 12 + 1) as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The day of month limit of `month` in `year`.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

const DIGIT_PAIRS: &[u8; 200] =
    b"0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

fn push_two(out: &mut Vec<u8>, value: u32) {
    let at = value as usize * 2;
    out.extend_from_slice(&DIGIT_PAIRS[at..at + 2]);
}

/// Appends `YYYY-MM-DD` (years outside 0 to 9999 with their sign, as ISO 8601 has them).
pub fn push_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil_from_days(days);
    if (0..=9999).contains(&year) {
        push_two(out, (year / 100) as u32);
        push_two(out, (year % 100) as u32);
    } else {
        out.extend_from_slice(format!("{year:+05}").as_bytes());
    }
    out.push(b'-');
    push_two(out, month);
    out.push(b'-');
    push_two(out, day);
}

/// Appends `HH:MM:SS` and as many of 0, 3, 6 or 9 fractional digits as `nanos_of_day` needs.
pub fn push_time_of_day(out: &mut Vec<u8>, nanos_of_day: i64) {
    let seconds = (nanos_of_day / 1_000_000_000) as u32;
    let nanos = (nanos_of_day % 1_000_000_000) as u32;
    push_two(out, seconds / 3600);
    out.push(b':');
    push_two(out, seconds / 60 % 60);
    out.push(b':');
    push_two(out, seconds % 60);
    if nanos == 0 {
        return;
    }
    let (value, digits) = if nanos.is_multiple_of(1_000_000) {
        (nanos / 1_000_000, 3)
    } else if nanos.is_multiple_of(1_000) {
        (nanos / 1_000, 6)
    } else {
        (nanos, 9)
    };
    out.extend_from_slice(format!(".{value:0digits$}").as_bytes());
}

/// Appends a timestamp in microseconds as ISO 8601 with `Z`.
pub fn push_iso8601(out: &mut Vec<u8>, micros: i64) {
    push_date(out, micros.div_euclid(MICROS_PER_DAY));
    out.push(b'T');
    push_time_of_day(out, micros.rem_euclid(MICROS_PER_DAY) * 1_000);
    out.push(b'Z');
}

/// Appends a timestamp in nanoseconds as ISO 8601 with `Z`.
pub fn push_iso8601_nanos(out: &mut Vec<u8>, nanos: i64) {
    let day = MICROS_PER_DAY * 1_000;
    push_date(out, nanos.div_euclid(day));
    out.push(b'T');
    push_time_of_day(out, nanos.rem_euclid(day));
    out.push(b'Z');
}

/// A timestamp in microseconds as ISO 8601 with `Z`.
pub fn iso8601(micros: i64) -> String {
    let mut out = Vec::with_capacity(32);
    push_iso8601(&mut out, micros);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_round_trip() {
        for days in (-1_000_000..1_000_000).step_by(997) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            assert!(day >= 1 && day <= days_in_month(year, month));
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(days_from_civil(2024, 2, 29), 19_782);
    }

    #[test]
    fn digits_as_needed() {
        assert_eq!(iso8601(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso8601(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(iso8601(1_704_067_200_120_000), "2024-01-01T00:00:00.120Z");
        assert_eq!(iso8601(-62_167_219_200_000_000 - 1_000_000), "-0001-12-31T23:59:59Z");
    }
}
