//! The common forms of the common types, read eight bytes at a time.
//!
//! Everything here only ever says "not this one": a row whose field has another form is left to [`super::column`], which knows
//! all forms. So nothing here decides what a text means; the tests compare both.

use memchr::{memchr, memchr2};
use velo_core::decimal::POWERS as WIDE_POWERS;
use velo_core::time::{MICROS_PER_DAY, MICROS_PER_SECOND, days_from_civil, days_in_month};

use super::column::Fields;
use crate::value::words::{POWERS, before, digits, load, no_digits};
use crate::value::{Column, EpochUnit, TextKind, TimestampFormat, Values, digit_run};

/// One column's fields in a block.
pub(super) struct Fast<'a> {
    bytes: &'a [u8],
    starts: &'a [u32],
    ends: &'a [u32],
    lines: usize,
    fields: usize,
    place: usize,
    /// The quote, where a field can have one.
    quote: Option<u8>,
    escape: Option<u8>,
    nulls: &'a [Vec<u8>],
    /// Texts that mean NULL do not look like numbers or times.
    numbers: bool,
    utf8: bool,
    date: LastDate,
}

/// The date met last.
#[derive(Default)]
struct LastDate {
    text: [u8; 10],
    micros: i64,
}

impl<'a> Fast<'a> {
    pub(super) fn new(fields: &Fields<'a>, place: usize) -> Self {
        let (rows, dialect) = (fields.rows, fields.dialect);
        let wordy = |null: &Vec<u8>| null.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'\\');
        Self {
            bytes: fields.bytes,
            starts: &rows.starts,
            ends: &rows.ends,
            lines: rows.starts.len(),
            fields: rows.fields,
            place,
            quote: dialect.quote.filter(|_| fields.quotes),
            escape: dialect.escape,
            nulls: &dialect.nulls,
            numbers: dialect.nulls.iter().all(wordy),
            utf8: fields.utf8,
            date: LastDate::default(),
        }
    }

    /// Appends fields from `row` on, and gives the first row that has another form.
    pub(super) fn run(&mut self, column: &mut Column, row: usize) -> usize {
        let (bytes, numbers) = (self.bytes, self.numbers);
        let nullable = column.field().is_nullable();
        let nulls = nullable.then_some(&mut column.nulls);
        match &mut column.values {
            Values::Int64(values) if numbers => {
                self.each(row, values, nulls, |values, start, end| match whole(bytes, start) {
                    Some((value, at)) if at == end => {
                        values.push(value);
                        true
                    }
                    _ => false,
                })
            }
            Values::Decimal128 { values, precision, scale } if numbers => {
                let Ok(places @ 0..=10) = usize::try_from(*scale) else { return row };
                // A column of 19 digits or more holds all values of the fast form.
                let limit = WIDE_POWERS[usize::from(*precision).min(18)] as u64;
                self.each(row, values, nulls, |values, start, end| match decimal(bytes, start, places) {
                    Some((value, at)) if at == end && value.unsigned_abs() < limit => {
                        values.push(i128::from(value));
                        true
                    }
                    _ => false,
                })
            }
            Values::Float64(values) if numbers => {
                self.each(row, values, nulls, |values, start, end| match decimal(bytes, start, 7) {
                    // Both are exact below 2^53, and so the quotient is the nearest number.
                    Some((value, at)) if at == end && value != 0 && value.unsigned_abs() < 1 << 53 => {
                        values.push(value as f64 / 1e7);
                        true
                    }
                    _ => false,
                })
            }
            Values::Boolean(values) if self.nulls.is_empty() => {
                self.each(row, values, nulls, |values, start, end| match truth(bytes, start, end) {
                    Some(value) => {
                        values.push(value);
                        true
                    }
                    None => false,
                })
            }
            Values::Timestamp { values, digits: 6 } if numbers => match &column.timestamp {
                TimestampFormat::Iso8601 => {
                    let mut date = std::mem::take(&mut self.date);
                    let row = self.each(row, values, nulls, |values, start, end| {
                        match iso8601(bytes, start, end, &mut date) {
                            Some(value) => {
                                values.push(value);
                                true
                            }
                            None => false,
                        }
                    });
                    self.date = date;
                    row
                }
                TimestampFormat::Epoch(unit) if *unit != EpochUnit::Nanos => {
                    let factor = POWERS[usize::from(6 - unit.digits())] as i64;
                    self.each(row, values, nulls, |values, start, end| match whole(bytes, start) {
                        Some((value, at)) if at == end => {
                            value.checked_mul(factor).map(|value| values.push(value)).is_some()
                        }
                        _ => false,
                    })
                }
                _ => row,
            },
            Values::Text { ends, bytes: out, kind } if self.utf8 && *kind != TextKind::Json => {
                self.texts(row, ends, out, nulls)
            }
            _ => row,
        }
    }

    /// Where the field of a row starts and ends, without the carriage return of the line end.
    #[inline(always)]
    fn span(&self, row: usize, record: &[u32]) -> (usize, usize) {
        let start = match self.place {
            0 => self.starts[row] as usize,
            place => record[place - 1] as usize + 1,
        };
        let end = record[self.place] as usize;
        let carriage = self.place + 1 == self.fields && end > start && self.bytes[end - 1] == b'\r';
        (start, end - usize::from(carriage))
    }

    /// Calls `push` with the start and end of each field, without its quotes, as long as it takes them; an empty unquoted field
    /// is NULL.
    #[inline(always)]
    fn each<T: Copy + Default>(
        &self,
        from: usize,
        values: &mut Vec<T>,
        mut nulls: Option<&mut Vec<u32>>,
        mut push: impl FnMut(&mut Vec<T>, usize, usize) -> bool,
    ) -> usize {
        values.reserve(self.lines - from);
        let records = self.ends[from * self.fields..].chunks_exact(self.fields);
        for (row, record) in (from..self.lines).zip(records) {
            let (mut start, mut end) = self.span(row, record);
            if start == end {
                let Some(nulls) = &mut nulls else { return row };
                nulls.push(values.len() as u32);
                values.push(T::default());
                continue;
            }
            if let Some(quote) = self.quote
                && self.bytes[start] == quote
            {
                // Quotes within would end the number or time early.
                start += 1;
                end = end.saturating_sub(1).max(start);
            }
            if !push(values, start, end) {
                return row;
            }
        }
        self.lines
    }

    #[inline(never)]
    fn texts(&self, from: usize, ends: &mut Vec<i32>, out: &mut Vec<u8>, mut nulls: Option<&mut Vec<u32>>) -> usize {
        ends.reserve(self.lines - from);
        let records = self.ends[from * self.fields..].chunks_exact(self.fields);
        for (row, record) in (from..self.lines).zip(records) {
            let (mut start, mut end) = self.span(row, record);
            if let Some(quote) = self.quote
                && start < end
                && self.bytes[start] == quote
            {
                start += 1;
                end = end.saturating_sub(1).max(start);
                let inner = &self.bytes[start..end];
                let special = match self.escape {
                    Some(escape) => memchr2(quote, escape, inner),
                    None => memchr(quote, inner),
                };
                if special.is_some() {
                    return row;
                }
            } else if start == end {
                let Some(nulls) = &mut nulls else { return row };
                nulls.push(ends.len() as u32);
                ends.push(out.len() as i32);
                continue;
            } else if !self.nulls.is_empty() && self.nulls.iter().any(|null| null[..] == self.bytes[start..end]) {
                return row;
            }
            let length = end - start;
            let before = out.len();
            match self.bytes.get(start..).and_then(|rest| rest.first_chunk::<16>()) {
                // Sixteen bytes are copied faster than fewer of a number that varies.
                Some(chunk) if length <= 16 => {
                    out.extend_from_slice(chunk);
                    out.truncate(before + length);
                }
                _ => out.extend_from_slice(&self.bytes[start..end]),
            }
            // `Column::finish` refuses columns of over two gibibytes, whose ends would have wrapped.
            ends.push(out.len() as i32);
        }
        self.lines
    }
}

/// A whole number of at most 18 digits at `at`, and its end.
#[inline(always)]
fn whole(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = bytes.get(at) == Some(&b'-');
    let (value, end) = digit_run(bytes, at + usize::from(negative))?;
    // Eighteen digits fit.
    let value = value as i64;
    Some((if negative { -value } else { value }, end))
}

/// A decimal at `at` of at most eight digits before and behind its point, none of them to round, in units of 10^-places (at
/// most 10), and its end.
#[inline(always)]
fn decimal(bytes: &[u8], at: usize, places: usize) -> Option<(i64, usize)> {
    let negative = bytes.get(at) == Some(&b'-');
    let at = at + usize::from(negative);
    let word = load(bytes, at)?;
    let count = before(no_digits(word));
    if count == 0 {
        return None;
    }
    let whole = digits(word, count) * POWERS[places];
    let at = at + count;
    let (value, end) = if bytes.get(at) == Some(&b'.') {
        let word = load(bytes, at + 1)?;
        let count = before(no_digits(word));
        if count == 0 || count > places {
            return None;
        }
        (whole + digits(word, count) * POWERS[places - count], at + 1 + count)
    } else {
        (whole, at)
    };
    // Below 10^18 + 10^10.
    let value = value as i64;
    Some((if negative { -value } else { value }, end))
}

/// `true` or `false`.
#[inline(always)]
fn truth(bytes: &[u8], start: usize, end: usize) -> Option<bool> {
    const TRUE: u64 = u64::from_le_bytes(*b"true\0\0\0\0");
    const FALSE: u64 = u64::from_le_bytes(*b"false\0\0\0");
    let word = load(bytes, start)?;
    let length = end - start;
    let yes = length == 4 && word & 0xFFFF_FFFF == TRUE;
    let no = length == 5 && word & 0xFF_FFFF_FFFF == FALSE;
    (yes | no).then_some(yes)
}

/// `2024-01-31T09:30:00.123456Z` in microseconds; the fraction and the `Z` may be missing.
#[inline(always)]
fn iso8601(bytes: &[u8], start: usize, end: usize, last: &mut LastDate) -> Option<i64> {
    if end < start + 19 {
        return None;
    }
    let date = bytes.get(start..)?.first_chunk::<10>()?;
    if *date != last.text {
        let micros = calendar(date)? * MICROS_PER_DAY;
        *last = LastDate { text: *date, micros };
    }
    if !matches!(bytes.get(start + 10), Some(b'T' | b' ')) {
        return None;
    }
    // Digits become their values and colons 0; any other byte sets the highest bit of a byte.
    let clock = load(bytes, start + 11)? ^ u64::from_le_bytes(*b"00:00:00");
    if (clock.wrapping_add(0x7676_7F76_767F_7676) | clock) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pair = |at: u32| ((clock >> (at * 8)) & 0xFF) as i64 * 10 + ((clock >> (at * 8 + 8)) & 0xFF) as i64;
    let (hours, minutes, seconds) = (pair(0), pair(3), pair(6));
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let mut at = start + 19;
    let mut fraction = 0;
    if at < end && bytes[at] == b'.' {
        let word = load(bytes, at + 1)?;
        let count = before(no_digits(word));
        if count == 0 || count > 6 {
            return None;
        }
        fraction = (digits(word, count) * POWERS[6 - count]) as i64;
        at += 1 + count;
    }
    if at < end && bytes[at] == b'Z' {
        at += 1;
    }
    (at == end).then(|| last.micros + (hours * 3600 + minutes * 60 + seconds) * MICROS_PER_SECOND + fraction)
}

#[cold]
fn calendar(text: &[u8; 10]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| {
        text[range]
            .iter()
            .try_fold(0_u32, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
    };
    let (year, month, day) = (i64::from(number(0..4)?), number(5..7)?, number(8..10)?);
    let valid = text[4] == b'-'
        && text[7] == b'-'
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day);
    valid.then(|| days_from_civil(year, month, day))
}
