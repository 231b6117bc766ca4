//! Values as written.

use arrow_buffer::IntervalMonthDayNano;
use datafusion_common::ScalarValue;
use velo_core::{decimal, types};
use velo_sql::ast::{Interval, IntervalUnit, Literal, TimeLiteralKind};
use velo_sql::{Diagnostic, Span};

use crate::codes;

fn bad(span: Span, message: String) -> Diagnostic {
    Diagnostic::error(codes::LITERAL, span, message)
}

/// The value that a literal writes.
pub fn scalar(literal: &Literal, span: Span) -> Result<ScalarValue, Diagnostic> {
    Ok(match literal {
        Literal::Null => ScalarValue::Null,
        Literal::Boolean(value) => ScalarValue::Boolean(Some(*value)),
        Literal::Number(text) => number(text, span)?,
        Literal::String(text) => ScalarValue::Utf8(Some(text.clone())),
        Literal::Bytes(digits) => ScalarValue::Binary(Some(bytes(digits, span)?)),
        Literal::Interval(interval) => ScalarValue::IntervalMonthDayNano(Some(month_day_nano(interval, span)?)),
        Literal::Time { kind, text } => time(*kind, text, span)?,
    })
}

/// Digits alone are an INT or BIGINT (a DECIMAL where they are more), with a point a DECIMAL, with an exponent a DOUBLE.
fn number(text: &str, span: Span) -> Result<ScalarValue, Diagnostic> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if plain.contains(['e', 'E']) {
        return match plain.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(ScalarValue::Float64(Some(value))),
            _ => Err(bad(span, format!("{text} is out of the range of DOUBLE"))),
        };
    }
    let scale = plain.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if scale == 0 && !plain.contains('.') {
        if let Ok(value) = plain.parse::<i32>() {
            return Ok(ScalarValue::Int32(Some(value)));
        }
        if let Ok(value) = plain.parse::<i64>() {
            return Ok(ScalarValue::Int64(Some(value)));
        }
    }
    let digits = plain.bytes().filter(u8::is_ascii_digit).count().max(1);
    let too_many = || bad(span, format!("{text} has more than {} digits", types::DECIMAL_DIGITS));
    let precision = u8::try_from(digits).ok().filter(|p| *p <= types::DECIMAL_DIGITS).ok_or_else(too_many)?;
    let scale = i8::try_from(scale).map_err(|_| too_many())?;
    if precision <= types::DECIMAL128_DIGITS {
        let value = decimal::parse_i128(plain.as_bytes(), precision, scale).map_err(|_| too_many())?;
        return Ok(ScalarValue::Decimal128(Some(value), precision, scale));
    }
    let value = decimal::parse_i256(plain.as_bytes(), precision, scale).map_err(|_| too_many())?;
    Ok(ScalarValue::Decimal256(Some(value), precision, scale))
}

fn bytes(digits: &str, span: Span) -> Result<Vec<u8>, Diagnostic> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            std::str::from_utf8(pair).ok().filter(|p| p.len() == 2).and_then(|p| u8::from_str_radix(p, 16).ok())
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| bad(span, format!("'{digits}' is not an even number of hexadecimal digits")))
}

fn time(kind: TimeLiteralKind, text: &str, span: Span) -> Result<ScalarValue, Diagnostic> {
    let (value, expected) = match kind {
        TimeLiteralKind::Date => (
            velo_eventtime::parse_date(text).ok().map(|days| ScalarValue::Date32(Some(days))),
            "a date such as 2024-01-31",
        ),
        TimeLiteralKind::Timestamp => (
            velo_eventtime::parse_timestamp(text, chrono_tz::UTC)
                .ok()
                .map(|micros| ScalarValue::TimestampMicrosecond(Some(micros), None)),
            "a timestamp such as 2024-01-31 09:30:00",
        ),
        TimeLiteralKind::Time => (
            velo_eventtime::parse_timestamp(&format!("1970-01-01 {text}"), chrono_tz::UTC)
                .ok()
                .map(|micros| ScalarValue::Time64Microsecond(Some(micros))),
            "a time such as 09:30:00",
        ),
    };
    value.ok_or_else(|| bad(span, format!("'{text}' is not {expected}")))
}

/// Nanoseconds of the units of fixed length; `None` for those that count in months or days.
fn unit_nanos(unit: IntervalUnit) -> Option<i64> {
    Some(match unit {
        IntervalUnit::Nanosecond => 1,
        IntervalUnit::Microsecond => 1_000,
        IntervalUnit::Millisecond => 1_000_000,
        IntervalUnit::Second => 1_000_000_000,
        IntervalUnit::Minute => 60_000_000_000,
        IntervalUnit::Hour => 3_600_000_000_000,
        IntervalUnit::Day | IntervalUnit::Week | IntervalUnit::Month | IntervalUnit::Quarter | IntervalUnit::Year => {
            return None;
        }
    })
}

/// An interval in its three parts.
pub fn month_day_nano(interval: &Interval, span: Span) -> Result<IntervalMonthDayNano, Diagnostic> {
    let (mut months, mut days, mut nanos) = (0_i64, 0_i64, 0_i128);
    for part in &interval.parts {
        let amount = part.amount.as_str();
        let whole =
            || amount.parse::<i64>().map_err(|_| bad(span, format!("'{amount}' is no whole number of months or days")));
        match (unit_nanos(part.unit), part.unit) {
            (Some(unit), _) => {
                let billionths = decimal::parse_i128(amount.as_bytes(), types::DECIMAL128_DIGITS, 9)
                    .map_err(|_| bad(span, format!("'{amount}' is no number")))?;
                nanos += billionths * i128::from(unit) / 1_000_000_000;
            }
            (None, IntervalUnit::Day) => days += whole()?,
            (None, IntervalUnit::Week) => days += 7 * whole()?,
            (None, IntervalUnit::Month) => months += whole()?,
            (None, IntervalUnit::Quarter) => months += 3 * whole()?,
            (None, _) => months += 12 * whole()?,
        }
    }
    let sign = if interval.negative { -1 } else { 1 };
    let out_of_range = || bad(span, "this interval is out of range".to_owned());
    Ok(IntervalMonthDayNano {
        months: i32::try_from(sign * months).map_err(|_| out_of_range())?,
        days: i32::try_from(sign * days).map_err(|_| out_of_range())?,
        nanoseconds: i64::try_from(i128::from(sign) * nanos).map_err(|_| out_of_range())?,
    })
}

/// The length of an interval in microseconds, days counting 24 hours; months have no fixed length.
pub fn micros(interval: &Interval, span: Span) -> Result<i64, Diagnostic> {
    let parts = month_day_nano(interval, span)?;
    if parts.months != 0 {
        return Err(
            bad(span, "a month has no fixed length".to_owned()).help("write days, or group by DATE_TRUNC('month', …)")
        );
    }
    if parts.nanoseconds % 1_000 != 0 {
        return Err(bad(span, "event time counts in microseconds".to_owned()));
    }
    i64::from(parts.days)
        .checked_mul(velo_core::time::MICROS_PER_DAY)
        .and_then(|days| days.checked_add(parts.nanoseconds / 1_000))
        .ok_or_else(|| bad(span, "this interval is out of range".to_owned()))
}
