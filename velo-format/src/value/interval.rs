//! INTERVAL as an ISO 8601 duration: `P1Y2M3DT4H5M6.789S`.

use arrow_buffer::IntervalMonthDayNano;
use velo_core::decimal;

use crate::error::ValueError;

const HOUR: i64 = 3_600_000_000_000;
const MINUTE: i64 = 60_000_000_000;

/// An interval from text; a minus sign may stand before the `P` or before any number. Weeks count as seven days.
pub(crate) fn parse(text: &[u8]) -> Result<IntervalMonthDayNano, ValueError> {
    let (negative, body) = match text {
        [b'-', body @ ..] => (true, body),
        body => (false, body),
    };
    let [b'P', rest @ ..] = body else { return Err(ValueError::Syntax) };
    let (mut months, mut days, mut nanos) = (0_i64, 0_i64, 0_i128);
    let (mut rest, mut in_time, mut parts) = (rest, false, 0);
    while !rest.is_empty() {
        if let ([b'T', after @ ..], false) = (rest, in_time) {
            (rest, in_time, parts) = (after, true, 0);
            continue;
        }
        let at = rest.iter().position(u8::is_ascii_alphabetic).ok_or(ValueError::Syntax)?;
        let (number, unit) = (&rest[..at], rest[at]);
        rest = &rest[at + 1..];
        parts += 1;
        let count = || -> Result<i64, ValueError> {
            // Ten digits: what fits in the 32 bits of months and days has no more.
            Ok(decimal::parse_i128(number, 12, 0).map(|value| value as i64)?)
        };
        if number.contains(&b'.') && unit != b'S' {
            return Err(ValueError::Syntax);
        }
        match (unit, in_time) {
            (b'Y', false) => months += count()? * 12,
            (b'M', false) => months += count()?,
            (b'W', false) => days += count()? * 7,
            (b'D', false) => days += count()?,
            (b'H', true) => nanos += i128::from(count()?) * i128::from(HOUR),
            (b'M', true) => nanos += i128::from(count()?) * i128::from(MINUTE),
            (b'S', true) => nanos += decimal::parse_i128(number, 20, 9)?,
            _ => return Err(ValueError::Syntax),
        }
    }
    if parts == 0 {
        return Err(ValueError::Syntax);
    }
    let sign = if negative { -1 } else { 1 };
    let small = |value: i64| i32::try_from(value * sign).map_err(|_| ValueError::OutOfRange);
    let nanos = i64::try_from(nanos * i128::from(sign)).map_err(|_| ValueError::OutOfRange)?;
    Ok(IntervalMonthDayNano::new(small(months)?, small(days)?, nanos))
}

/// Appends an interval; a negative part has its own sign, and an empty one is `PT0S`.
pub(crate) fn print(value: IntervalMonthDayNano, out: &mut Vec<u8>) {
    let part = |amount: i64, unit: u8, out: &mut Vec<u8>| {
        if amount != 0 {
            out.extend_from_slice(amount.to_string().as_bytes());
            out.push(unit);
        }
    };
    let start = out.len();
    out.push(b'P');
    part(i64::from(value.months / 12), b'Y', out);
    part(i64::from(value.months % 12), b'M', out);
    part(i64::from(value.days), b'D', out);
    if value.nanoseconds == 0 && out.len() > start + 1 {
        return;
    }
    out.push(b'T');
    let in_time = out.len();
    part(value.nanoseconds / HOUR, b'H', out);
    part(value.nanoseconds % HOUR / MINUTE, b'M', out);
    let rest = value.nanoseconds % MINUTE;
    if rest != 0 || out.len() == in_time {
        decimal::push_i128(out, i128::from(rest), 9);
        while out.last() == Some(&b'0') {
            out.pop();
        }
        if out.last() == Some(&b'.') {
            out.pop();
        }
        out.push(b'S');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for (months, days, nanos, text) in [
            (14, 3, 4 * HOUR + 5 * MINUTE + 6_789_000_000, "P1Y2M3DT4H5M6.789S"),
            (0, 0, 0, "PT0S"),
            (-1, 0, 0, "P-1M"),
            (0, 1, -1, "P1DT-0.000000001S"),
            (0, 0, 10_000_000_000, "PT10S"),
            (0, 0, i64::MIN, "PT-2562047H-47M-16.854775808S"),
        ] {
            let value = IntervalMonthDayNano::new(months, days, nanos);
            let mut out = Vec::new();
            print(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
            assert_eq!(parse(text.as_bytes()), Ok(value), "{text}");
        }
    }

    #[test]
    fn other_forms() {
        assert_eq!(parse(b"-P1DT2H"), Ok(IntervalMonthDayNano::new(0, -1, -2 * HOUR)));
        assert_eq!(parse(b"P2W"), Ok(IntervalMonthDayNano::new(0, 14, 0)));
        for bad in ["", "P", "PT", "P1DT", "1D", "P1H", "PT1D", "P1", "P1.5D", "PTT1S", "PxD", "P1e400Y"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(parse(b"P999999999999M"), Err(ValueError::OutOfRange));
    }
}
