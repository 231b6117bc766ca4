//! The values of constants: what stands between quotes, amounts with units.

use crate::ast::{Interval, IntervalPart, IntervalUnit};

/// The text of a quoted token: quotes off, doubled ones single.
pub(crate) fn unquote(token: &str) -> String {
    let Some(quote) = token.chars().next() else { return String::new() };
    let inner = token.strip_prefix(quote).unwrap_or(token);
    let inner = inner.strip_suffix(quote).unwrap_or(inner);
    let doubled: String = [quote, quote].iter().collect();
    inner.replace(&doubled, quote.encode_utf8(&mut [0; 4]))
}

/// The text of `E'…'`: C escapes undone.
pub(crate) fn unescape(token: &str) -> String {
    let text = unquote(token.get(1..).unwrap_or(""));
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('0') => out.push('\0'),
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}

/// The unit that a word or abbreviation names, in any letter case.
pub(crate) fn unit(word: &str) -> Option<IntervalUnit> {
    use IntervalUnit::*;
    Some(match word.to_lowercase().as_str() {
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => Nanosecond,
        "us" | "µs" | "μs" | "micro" | "micros" | "microsecond" | "microseconds" => Microsecond,
        "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => Millisecond,
        "s" | "sec" | "secs" | "second" | "seconds" => Second,
        "m" | "min" | "mins" | "minute" | "minutes" => Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" => Hour,
        "d" | "day" | "days" => Day,
        "w" | "week" | "weeks" => Week,
        "mon" | "mons" | "month" | "months" => Month,
        "quarter" | "quarters" => Quarter,
        "y" | "yr" | "yrs" | "year" | "years" => Year,
        _ => return None,
    })
}

/// A duration without quotes: `1m`, `1h30m`, `1.5s`; `None` where it is none.
pub(crate) fn bare_duration(text: &str) -> Option<Interval> {
    let parts = amounts(text)?;
    (!parts.is_empty()).then_some(Interval { negative: false, parts, bare: true })
}

/// Amounts with their units one after the other: `1 day 2 hours`, `1h30m`, `-5 minutes`; `1 day 02:03:04` too.
pub(crate) fn amounts(text: &str) -> Option<Vec<IntervalPart>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let signed = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        let digits = signed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(signed.len());
        let sign = rest.len() - signed.len();
        let (amount, after) = rest.split_at(sign + digits);
        if !is_number(&amount[sign..]) {
            return None;
        }
        if after.starts_with(':') {
            let clock = rest.find(char::is_whitespace).unwrap_or(rest.len());
            parts.extend(clock_parts(&rest[..clock])?);
            rest = rest[clock..].trim_start();
            continue;
        }
        let after = after.trim_start();
        let word = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        parts.push(IntervalPart { amount: amount.trim_start_matches('+').to_owned(), unit: unit(&after[..word])? });
        rest = after[word..].trim_start();
    }
    Some(parts)
}

/// `02:03:04.5`, `02:03`: hours, minutes, seconds.
pub(crate) fn clock_parts(text: &str) -> Option<Vec<IntervalPart>> {
    let units = [IntervalUnit::Hour, IntervalUnit::Minute, IntervalUnit::Second];
    let fields: Vec<&str> = text.split(':').collect();
    if !(2..=3).contains(&fields.len()) {
        return None;
    }
    split_fields(&fields, &units)
}

/// Fields with their units; a sign before the first counts for all.
pub(crate) fn split_fields(fields: &[&str], units: &[IntervalUnit]) -> Option<Vec<IntervalPart>> {
    let negative = fields.first()?.starts_with('-');
    let mut parts = Vec::new();
    for (field, unit) in fields.iter().zip(units) {
        let digits = field.trim_start_matches(['-', '+']);
        if !is_number(digits) {
            return None;
        }
        let amount = if negative { format!("-{digits}") } else { digits.to_owned() };
        parts.push(IntervalPart { amount, unit: *unit });
    }
    Some(parts)
}

/// Whether a text is digits with at most one point among them.
pub(crate) fn is_number(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.bytes().filter(|byte| *byte == b'.').count() <= 1
}
