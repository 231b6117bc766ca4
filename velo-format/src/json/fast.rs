//! Values of the forms that most have, read knowing their column. `None` says nothing: the general way reads the value then.

use super::cursor::Cursor;
use crate::value::words::{before, load, string_marks};
use crate::value::{
    Column, TextKind, TimestampFormat, Values, digit_run, push_bytes, short_decimal, short_iso8601, signed,
};

/// Appends the text from `at` up to its closing quote to `out`; gives where the quote is.
#[inline(always)]
fn copy_string(bytes: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
    let start = out.len();
    loop {
        let Some(word) = load(bytes, at) else {
            out.truncate(start);
            return None;
        };
        // A whole word is appended, and what is behind the end taken away again: cheaper than a copy of unknown length.
        out.extend_from_slice(&word.to_le_bytes());
        let marks = string_marks(word);
        if marks != 0 {
            let count = before(marks);
            at += count;
            if (word >> (count * 8)) as u8 != b'"' {
                out.truncate(start);
                return None;
            }
            out.truncate(out.len() - 8 + count);
            return Some(at);
        }
        at += 8;
    }
}

/// Where the closing quote of the string from `at` is, if there are neither escapes nor other characters than ASCII in it.
#[inline(always)]
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let word = load(bytes, at)?;
        let marks = string_marks(word);
        if marks != 0 {
            let count = before(marks);
            return ((word >> (count * 8)) as u8 == b'"').then_some(at + count);
        }
        at += 8;
    }
}

/// A whole number without point and exponent: sign, magnitude and end.
#[inline(always)]
fn whole(bytes: &[u8], at: usize) -> Option<(bool, u64, usize)> {
    let negative = bytes.get(at) == Some(&b'-');
    let (magnitude, end) = digit_run(bytes, at + usize::from(negative))?;
    (!matches!(bytes.get(end), Some(b'.' | b'e' | b'E'))).then_some((negative, magnitude, end))
}

/// A number's value into its column; gives its end.
#[inline(always)]
fn number_into(column: &mut Column, bytes: &[u8], at: usize) -> Option<usize> {
    match &mut column.values {
        Values::Int64(values) => {
            let (negative, magnitude, end) = whole(bytes, at)?;
            // Eighteen digits fit.
            let value = magnitude as i64;
            values.push(if negative { -value } else { value });
            Some(end)
        }
        Values::Int32(values) => {
            let (negative, magnitude, end) = whole(bytes, at)?;
            let value = signed(negative, magnitude, i32::MIN.into(), i32::MAX.into()).ok()?;
            values.push(value as i32);
            Some(end)
        }
        Values::Decimal128 { values, precision, scale } => {
            let (value, end) = short_decimal(bytes, at, *scale)?;
            let value = i128::from(value);
            if value.abs() >= velo_core::decimal::POWERS[usize::from(*precision).min(38)] {
                return None;
            }
            values.push(value);
            Some(end)
        }
        Values::Float64(values) => {
            let (value, end) = short_decimal(bytes, at, 7)?;
            // Fourteen digits and 10^7 are exact as floats, so that the quotient is rounded once. Zero may be negative.
            if value == 0 {
                return None;
            }
            values.push(value as f64 / 1e7);
            Some(end)
        }
        _ => None,
    }
}

/// The string from `at` (behind its quote) into its column, or over it; gives where it ends, behind its closing quote.
#[inline(always)]
pub(super) fn string(column: Option<&mut Column>, bytes: &[u8], at: usize) -> Option<usize> {
    let Some(column) = column else { return string_end(bytes, at).map(|end| end + 1) };
    if let Values::Text { ends, bytes: out, kind: TextKind::Plain | TextKind::Raw } = &mut column.values {
        let end = copy_string(bytes, at, out)?;
        ends.push(out.len() as i32);
        return Some(end + 1);
    }
    if let Some(end) = number_into(column, bytes, at) {
        if bytes.get(end) == Some(&b'"') {
            return Some(end + 1);
        }
        column.truncate(column.len() - 1);
    } else if let Values::Timestamp { values, digits: 6 } = &mut column.values
        && let TimestampFormat::Iso8601 = column.timestamp
        && let Some((value, end)) = short_iso8601(bytes, at, &mut column.dates)
        && bytes.get(end) == Some(&b'"')
    {
        values.push(value);
        return Some(end + 1);
    }
    let end = string_end(bytes, at)?;
    column.push_text(&bytes[at..end]).ok()?;
    Some(end + 1)
}

/// The number at `at` into its column, or over it; gives where it ends.
#[inline(always)]
pub(super) fn number(column: Option<&mut Column>, bytes: &[u8], at: usize) -> Option<usize> {
    let mut cursor = Cursor::new(bytes, at, true);
    let Some(column) = column else {
        cursor.number().ok()?;
        return Some(cursor.at);
    };
    if let Some(end) = number_into(column, bytes, at) {
        return Some(end);
    }
    let text = cursor.number().ok()?;
    if let Values::Text { ends, bytes: out, kind: TextKind::Plain | TextKind::Raw } = &mut column.values {
        push_bytes(ends, out, text);
    } else {
        column.push_number(text).ok()?;
    }
    Some(cursor.at)
}
