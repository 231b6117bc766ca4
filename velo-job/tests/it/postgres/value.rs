//! Whether two values are the same, whatever the two sides call their types and write them.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type, Float32Type, Float64Type, IntervalMonthDayNanoType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use velo_core::{decimal, table_text};

/// A value of Velo as PostgreSQL would write it; `None` is NULL.
pub fn text(array: &dyn Array, row: usize) -> Option<String> {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return None;
    }
    Some(match array.data_type() {
        DataType::Boolean => if array.as_boolean().value(row) { "t" } else { "f" }.to_owned(),
        DataType::Decimal128(_, scale) => {
            decimal::to_text_i128(array.as_primitive::<Decimal128Type>().value(row), *scale)
        }
        DataType::Decimal256(_, scale) => {
            let mut out = Vec::new();
            decimal::push_i256(&mut out, array.as_primitive::<Decimal256Type>().value(row), *scale);
            String::from_utf8_lossy(&out).into_owned()
        }
        DataType::Float32 => float(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Utf8View => array.as_string_view().value(row).to_owned(),
        DataType::Binary => format!("\\x{}", hex(array.as_binary::<i32>().value(row))),
        DataType::Timestamp(..) => {
            table_text::value_text(array, row).unwrap_or_default().replace('T', " ").trim_end_matches('Z').to_owned()
        }
        DataType::Interval(_) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            format!("{} {} {}", value.months, value.days, value.nanoseconds / 1_000)
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let items: Vec<String> = (0..items.len()).map(|at| item(text(items.as_ref(), at))).collect();
            format!("{{{}}}", items.join(","))
        }
        _ => table_text::value_text(array, row).unwrap_or_default(),
    })
}

fn float(value: f64) -> String {
    if value.is_infinite() { if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned() } else { value.to_string() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An element of an array, in quotes where PostgreSQL puts them.
fn item(text: Option<String>) -> String {
    let Some(text) = text else { return "NULL".to_owned() };
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(|c: char| "{},\"\\".contains(c) || c.is_ascii_whitespace());
    if plain { text } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}

/// Whether Velo's value is that of PostgreSQL, which has the type `kind` and the text `theirs`.
pub fn same(ours: &ArrayRef, kind: &str, theirs: Option<&str>) -> bool {
    let (Some(our_text), Some(theirs)) = (text(ours.as_ref(), 0), theirs) else {
        return text(ours.as_ref(), 0).is_none() && theirs.is_none();
    };
    let float = matches!(ours.data_type(), DataType::Float32 | DataType::Float64);
    match kind {
        "double precision" | "real" => near(&our_text, theirs, 1e-12),
        "numeric" if float => near(&our_text, theirs, 1e-12),
        "numeric" | "integer" | "bigint" | "smallint" => !float && equal_decimals(&our_text, theirs),
        "interval" => our_text == interval(theirs),
        "timestamp without time zone" | "timestamp with time zone" | "time without time zone" => {
            fraction(&our_text) == fraction(theirs.trim_end_matches("+00"))
        }
        "json" | "jsonb" => json(&our_text).is_some() && json(&our_text) == json(theirs),
        _ => our_text == theirs,
    }
}

fn json(text: &str) -> Option<serde_json::Value> {
    serde_json::from_str(text).ok()
}

fn near(ours: &str, theirs: &str, relative: f64) -> bool {
    let (Ok(ours), Ok(theirs)) = (ours.parse::<f64>(), theirs.parse::<f64>()) else { return false };
    ours == theirs
        || (ours.is_nan() && theirs.is_nan())
        || (ours - theirs).abs() <= relative * ours.abs().max(theirs.abs()).max(f64::MIN_POSITIVE)
}

/// A time without the zeros behind its fraction, which the sides write differently.
fn fraction(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Equal when both are rounded to the smaller scale, half away from zero.
pub fn equal_decimals(one: &str, other: &str) -> bool {
    let scale = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let to = scale(one).min(scale(other));
    match (rounded(one, to), rounded(other, to)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// The digits of a number rounded to `scale`, with its sign; zero has none.
fn rounded(text: &str, scale: usize) -> Option<(bool, String)> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) || whole.is_empty() {
        return None;
    }
    let kept = &fraction[..scale.min(fraction.len())];
    let mut number: Vec<u8> = std::iter::once(b'0').chain(whole.bytes()).chain(kept.bytes()).collect();
    number.resize(number.len() + scale - kept.len(), b'0');
    if fraction.as_bytes().get(scale).is_some_and(|next| *next >= b'5') {
        for digit in number.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
    }
    let number = String::from_utf8(number).ok()?.trim_start_matches('0').to_owned();
    Some((negative && !number.is_empty(), number))
}

/// Months, days and microseconds of an interval in ISO 8601's notation.
fn interval(text: &str) -> String {
    let (mut months, mut days, mut micros) = (0_i64, 0_i64, 0_i64);
    let (mut number, mut time) = (String::new(), false);
    for letter in text.chars().skip(1) {
        let whole = |number: &str| number.parse::<i64>().unwrap_or_default();
        match (letter, time) {
            ('T', _) => time = true,
            ('Y', _) => months += 12 * whole(&number),
            ('M', false) => months += whole(&number),
            ('D', _) => days += whole(&number),
            ('H', _) => micros += 3_600_000_000 * whole(&number),
            ('M', true) => micros += 60_000_000 * whole(&number),
            ('S', _) => {
                let value = decimal::parse_i128(number.as_bytes(), 38, 6).unwrap_or_default();
                micros += i64::try_from(value).unwrap_or_default();
            }
            (other, _) => {
                number.push(other);
                continue;
            }
        }
        number.clear();
    }
    format!("{months} {days} {micros}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_compared_at_the_smaller_scale() {
        assert!(equal_decimals("1.005", "1.01"));
        assert!(equal_decimals("-0.001", "0"));
        assert!(equal_decimals("99.995", "100.00"));
        assert!(!equal_decimals("1.004", "1.01"));
        assert!(equal_decimals("7", "7.0000"));
    }

    #[test]
    fn intervals_are_read() {
        assert_eq!(interval("P1Y2M3DT4H5M6.7S"), "14 3 14706700000");
        assert_eq!(interval("P-1DT-0.5S"), "0 -1 -500000");
        assert_eq!(interval("PT0S"), "0 0 0");
    }
}
