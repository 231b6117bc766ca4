//! Times as the rows of a text write them.

use arrow_array::types::IntervalMonthDayNano;
use arrow_schema::TimeUnit;

use crate::{decimal, time};

/// A timestamp in the column's unit. A bare number is epoch milliseconds, as an event time without a format is.
pub(super) fn parse_timestamp(text: &str, unit: TimeUnit) -> Result<i64, String> {
    let nanos = match text.parse::<i64>() {
        Ok(millis) => Some(i128::from(millis) * 1_000_000),
        Err(_) => parse_iso8601(text).or_else(|| parse_time(text).map(i128::from)),
    };
    let nanos =
        nanos.ok_or_else(|| format!("'{text}' is no timestamp such as 2024-01-31T10:00:00Z, 10:00:00 or 59000"))?;
    let divisor = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    if nanos % divisor != 0 {
        return Err(format!("'{text}' has more digits than the column's type holds"));
    }
    i64::try_from(nanos / divisor).map_err(|_| format!("'{text}' is out of range"))
}

/// Nanoseconds since 1970: a date, `T` or a blank, a time, and `Z`, an offset or nothing (UTC).
pub(super) fn parse_iso8601(text: &str) -> Option<i128> {
    let at = text.find(['T', ' '])?;
    let days = parse_date(&text[..at])?;
    let rest = &text[at + 1..];
    let (clock, offset_minutes) = if let Some(clock) = rest.strip_suffix('Z') {
        (clock, 0)
    } else if let Some(at) = rest.find(['+', '-']) {
        let (hours, minutes) = rest[at + 1..].split_once(':')?;
        let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
        (&rest[..at], if rest.as_bytes()[at] == b'-' { -minutes } else { minutes })
    } else {
        (rest, 0)
    };
    let nanos = i128::from(parse_time(clock)?) - i128::from(offset_minutes) * 60_000_000_000;
    Some(i128::from(days) * i128::from(time::MICROS_PER_DAY) * 1_000 + nanos)
}

/// Days since 1970 of `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    let (sign, unsigned) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { -1 } else { 1 }, rest),
        None => (1, text),
    };
    let mut parts = unsigned.splitn(3, '-');
    let mut part = || parts.next().filter(|part| part.len() >= 2)?.parse::<u32>().ok();
    let (year, month, day) = (sign * i64::from(part()?), part()?, part()?);
    let valid = (1..=12).contains(&month) && (1..=time::days_in_month(year, month)).contains(&day);
    valid.then(|| time::days_from_civil(year, month, day))
}

/// Nanoseconds since midnight of `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.splitn(3, ':');
    let mut part = |limit: i64| parts.next()?.parse::<i64>().ok().filter(|part| (0..limit).contains(part));
    let minutes = part(24)? * 60 + part(60)?;
    let seconds = if clock.matches(':').count() == 2 { part(60)? } else { 0 };
    if fraction.len() > 9 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse::<i64>().ok()?;
    Some((minutes * 60 + seconds) * 1_000_000_000 + nanos)
}

pub(super) fn parse_interval(text: &str) -> Option<IntervalMonthDayNano> {
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => (-1, body),
        None => (1, text),
    };
    let mut rest = body.strip_prefix('P').filter(|rest| !rest.is_empty())?;
    let (mut months, mut days, mut nanos, mut in_time) = (0_i32, 0_i32, 0_i64, false);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            (rest, in_time) = (after, true);
            continue;
        }
        let at = rest.find(|next: char| next.is_ascii_alphabetic())?;
        let (number, unit) = (&rest[..at], rest.as_bytes()[at]);
        rest = &rest[at + 1..];
        match (unit, in_time) {
            (b'Y', false) => months = months.checked_add(number.parse::<i32>().ok()?.checked_mul(12)?)?,
            (b'M', false) => months = months.checked_add(number.parse().ok()?)?,
            (b'W', false) => days = days.checked_add(number.parse::<i32>().ok()?.checked_mul(7)?)?,
            (b'D', false) => days = days.checked_add(number.parse().ok()?)?,
            (b'H', true) => nanos = nanos.checked_add(number.parse::<i64>().ok()?.checked_mul(3_600_000_000_000)?)?,
            (b'M', true) => nanos = nanos.checked_add(number.parse::<i64>().ok()?.checked_mul(60_000_000_000)?)?,
            (b'S', true) => {
                let seconds = decimal::parse_i128(number.as_bytes(), 19, 9).ok()?;
                nanos = nanos.checked_add(i64::try_from(seconds).ok()?)?;
            }
            _ => return None,
        }
    }
    Some(IntervalMonthDayNano::new(sign * months, sign * days, i64::from(sign) * nanos))
}
