//! Numbers from text: whole numbers, exact decimals, binary floats.

use velo_core::decimal;
use velo_core::decimal::DecimalError;

use super::words::{POWERS, before, digits, load, no_digits};
use crate::error::ValueError;

impl From<DecimalError> for ValueError {
    fn from(error: DecimalError) -> Self {
        match error {
            DecimalError::Syntax => Self::Syntax,
            DecimalError::Overflow => Self::OutOfRange,
        }
    }
}

/// A whole number as sign and magnitude. `1.0` and `1e2` are whole numbers, `1.5` is not; a sign is allowed, also `+`.
pub(crate) fn whole(text: &[u8]) -> Result<(bool, u64), ValueError> {
    let (negative, body) = match text {
        [b'-', body @ ..] => (true, body),
        [b'+', body @ ..] => (false, body),
        body => (false, body),
    };
    if body.is_empty() || body.len() > 19 {
        return whole_of_any_form(text);
    }
    let mut value = 0_u64;
    for byte in body {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return whole_of_any_form(text);
        }
        // Nineteen digits fit.
        value = value * 10 + u64::from(digit);
    }
    Ok((negative, value))
}

/// With a point, an exponent, or more digits than 19.
#[cold]
fn whole_of_any_form(text: &[u8]) -> Result<(bool, u64), ValueError> {
    // What is no number at all is told apart first; 76 digits are more than any integer has.
    match decimal::parse_i256(text, 76, 0) {
        Err(DecimalError::Syntax) => return Err(ValueError::Syntax),
        Err(DecimalError::Overflow) => return Err(ValueError::OutOfRange),
        Ok(_) => {}
    }
    let negative = text.first() == Some(&b'-');
    let at = text.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
    let (mantissa, exponent) = (&text[..at], text.get(at + 1..).unwrap_or_default());
    let mut digits: Vec<u8> = mantissa.iter().copied().filter(u8::is_ascii_digit).collect();
    let fraction = mantissa.iter().position(|byte| *byte == b'.').map_or(0, |at| mantissa.len() - at - 1);
    while digits.first() == Some(&b'0') {
        digits.remove(0);
    }
    if digits.is_empty() {
        return Ok((negative, 0));
    }
    let exponent = match exponent {
        [] => 0,
        [b'+', rest @ ..] => small(rest),
        [b'-', rest @ ..] => -small(rest),
        rest => small(rest),
    };
    let mut shift = exponent - fraction as i64;
    while digits.last() == Some(&b'0') {
        digits.pop();
        shift += 1;
    }
    if shift < 0 {
        return Err(ValueError::Fraction);
    }
    if digits.len() as i64 + shift > 20 {
        return Err(ValueError::OutOfRange);
    }
    digits.resize(digits.len() + shift as usize, b'0');
    let mut value = 0_u64;
    for digit in digits {
        let shifted = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0')));
        value = shifted.ok_or(ValueError::OutOfRange)?;
    }
    Ok((negative, value))
}

/// An exponent's digits; beyond a million they all mean the same.
fn small(digits: &[u8]) -> i64 {
    digits.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit.wrapping_sub(b'0'))).min(1_000_000))
}

/// A signed integer type's value of sign and magnitude, if it fits.
#[inline]
pub(crate) fn signed(negative: bool, magnitude: u64, min: i64, max: i64) -> Result<i64, ValueError> {
    let value = if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
    value.filter(|value| (min..=max).contains(value)).ok_or(ValueError::OutOfRange)
}

/// An unsigned integer type's value of sign and magnitude, if it fits.
#[inline]
pub(crate) fn unsigned(negative: bool, magnitude: u64, max: u64) -> Result<u64, ValueError> {
    if (negative && magnitude != 0) || magnitude > max { Err(ValueError::OutOfRange) } else { Ok(magnitude) }
}

/// A decimal in units of 10^-scale, exact, rounded half away from zero.
pub(crate) fn decimal128(text: &[u8], precision: u8, scale: i8) -> Result<i128, ValueError> {
    if let Some((value, end)) = short_decimal(text, 0, scale)
        && end == text.len()
        && i128::from(value.unsigned_abs()) < decimal::POWERS[usize::from(precision.min(38))]
    {
        return Ok(i128::from(value));
    }
    decimal_bytewise(text, precision, scale)
}

/// Up to 18 digits without an exponent and without digits to round; all else goes to the exact walk.
fn decimal_bytewise(text: &[u8], precision: u8, scale: i8) -> Result<i128, ValueError> {
    let (negative, body) = match text {
        [b'-', body @ ..] => (true, body),
        body => (false, body),
    };
    let places = usize::try_from(scale).unwrap_or(usize::MAX);
    if body.len() < 2 || body.len() > 19 || places > 18 {
        return Ok(decimal::parse_i128(text, precision, scale)?);
    }
    let (mut value, mut point) = (0_u64, None);
    for (at, byte) in body.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 && at < 18 {
            value = value * 10 + u64::from(digit);
        } else if *byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return Ok(decimal::parse_i128(text, precision, scale)?);
        }
    }
    let fraction = point.map_or(0, |at| body.len() - at - 1);
    if fraction > places {
        return Ok(decimal::parse_i128(text, precision, scale)?);
    }
    let value = i128::from(value) * decimal::POWERS[places - fraction];
    if value >= decimal::POWERS[usize::from(precision.min(38))] {
        return Err(ValueError::OutOfRange);
    }
    Ok(if negative { -value } else { value })
}

/// A decimal at `at` of the form most have: at most seven digits before and after the point, none to round. Gives its value in
/// units of 10^-scale and where it ends. `None` says nothing about other forms.
#[inline(always)]
pub(crate) fn short_decimal(bytes: &[u8], at: usize, scale: i8) -> Option<(i64, usize)> {
    let places = usize::try_from(scale).ok()?;
    let negative = bytes.get(at) == Some(&b'-');
    let at = at + usize::from(negative);
    let word = load(bytes, at)?;
    let count = before(no_digits(word));
    // A leading zero is left to those who know whether it is allowed.
    if count == 0 || count == 8 || (count > 1 && word & 0xFF == u64::from(b'0')) || places > 11 {
        return None;
    }
    let whole = digits(word, count);
    let next = (word >> (count * 8)) as u8;
    let (value, end) = if next == b'.' {
        let from = at + count + 1;
        let word = load(bytes, from)?;
        let fraction = before(no_digits(word));
        if fraction == 0 || fraction == 8 || fraction > places {
            return None;
        }
        let next = (word >> (fraction * 8)) as u8;
        if matches!(next, b'e' | b'E') {
            return None;
        }
        (whole * POWERS[places] + digits(word, fraction) * POWERS[places - fraction], from + fraction)
    } else if matches!(next, b'e' | b'E') {
        return None;
    } else {
        (whole * POWERS[places], at + count)
    };
    // Seven digits and eleven places are at most 10^18.
    let value = value as i64;
    Some((if negative { -value } else { value }, end))
}

/// A run of digits at `at`, of at most 18: its value and its end. `None` says nothing about other forms.
#[inline(always)]
pub(crate) fn digit_run(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let word = load(bytes, at)?;
    let count = before(no_digits(word));
    if count == 0 || (count > 1 && word & 0xFF == u64::from(b'0')) {
        return None;
    }
    let value = digits(word, count);
    if count < 8 {
        return Some((value, at + count));
    }
    let word = load(bytes, at + 8)?;
    let count = before(no_digits(word));
    if count == 0 {
        return Some((value, at + 8));
    }
    let value = value * POWERS[count] + digits(word, count);
    if count < 8 {
        return Some((value, at + 8 + count));
    }
    let (mut value, mut at) = (value, at + 16);
    for _ in 0..2 {
        let digit = bytes.get(at)?.wrapping_sub(b'0');
        if digit > 9 {
            return Some((value, at));
        }
        value = value * 10 + u64::from(digit);
        at += 1;
    }
    if bytes.get(at)?.is_ascii_digit() { None } else { Some((value, at)) }
}

/// A binary float: digits, or `NaN`, `Infinity`, `-Infinity`. A number too large for the type is out of range.
pub(crate) fn float(text: &[u8]) -> Result<f64, ValueError> {
    let text = std::str::from_utf8(text).map_err(|_| ValueError::Syntax)?;
    let value: f64 = text.parse().map_err(|_| ValueError::Syntax)?;
    if value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(ValueError::OutOfRange);
    }
    Ok(value)
}

/// As [`float`], rounded once to the smaller type.
pub(crate) fn float32(text: &[u8]) -> Result<f32, ValueError> {
    let text = std::str::from_utf8(text).map_err(|_| ValueError::Syntax)?;
    let value: f32 = text.parse().map_err(|_| ValueError::Syntax)?;
    if value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(ValueError::OutOfRange);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        for (text, expected) in [
            ("0", Ok((false, 0))),
            ("-0", Ok((true, 0))),
            ("+7", Ok((false, 7))),
            ("007", Ok((false, 7))),
            ("1.0", Ok((false, 1))),
            ("1e2", Ok((false, 100))),
            ("12.50e1", Ok((false, 125))),
            ("18446744073709551615", Ok((false, u64::MAX))),
            ("18446744073709551616", Err(ValueError::OutOfRange)),
            ("1e400", Err(ValueError::OutOfRange)),
            ("0e400", Ok((false, 0))),
            ("1.5", Err(ValueError::Fraction)),
            ("1e-1", Err(ValueError::Fraction)),
            ("1e-400", Err(ValueError::Fraction)),
            ("", Err(ValueError::Syntax)),
            ("-", Err(ValueError::Syntax)),
            ("1x", Err(ValueError::Syntax)),
            (" 1", Err(ValueError::Syntax)),
            ("1e", Err(ValueError::Syntax)),
        ] {
            assert_eq!(whole(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(signed(true, 1 << 63, i64::MIN, i64::MAX), Ok(i64::MIN));
        assert_eq!(signed(false, 1 << 63, i64::MIN, i64::MAX), Err(ValueError::OutOfRange));
        assert_eq!(signed(true, 129, -128, 127), Err(ValueError::OutOfRange));
        assert_eq!(unsigned(true, 0, 255), Ok(0));
        assert_eq!(unsigned(true, 1, 255), Err(ValueError::OutOfRange));
    }

    #[test]
    fn decimals_equal_the_exact_walk() {
        let parts = ["", "0", "1", "7", "00", "12", "1234567", "12345678", "999999999", "123456789012345678", "5"];
        for sign in ["", "-", "+"] {
            for whole in parts {
                for fraction in parts {
                    for tail in ["", "e1", "E-2", "x"] {
                        for text in
                            [format!("{sign}{whole}.{fraction}{tail}"), format!("{sign}{whole}{fraction}{tail}")]
                        {
                            for (precision, scale) in [(18, 4), (38, 2), (9, 0), (5, 5), (38, 12), (10, -2), (38, 20)] {
                                let exact =
                                    decimal::parse_i128(text.as_bytes(), precision, scale).map_err(ValueError::from);
                                assert_eq!(
                                    decimal128(text.as_bytes(), precision, scale),
                                    exact,
                                    "{text} {precision} {scale}"
                                );
                                let padded = format!("{text}          ");
                                assert_eq!(decimal128(text.as_bytes(), precision, scale), exact, "{text}");
                                if let Some((value, end)) = short_decimal(padded.as_bytes(), 0, scale) {
                                    let exact = decimal::parse_i128(&padded.as_bytes()[..end], 38, scale);
                                    assert_eq!(exact, Ok(i128::from(value)), "{text}");
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn runs_of_digits() {
        for length in 1..25_usize {
            let text = "123456789012345678901234567890"[..length].to_owned();
            let padded = format!("{text},               ");
            let expected = (length <= 18).then(|| (text.parse::<u64>().unwrap(), length));
            assert_eq!(digit_run(padded.as_bytes(), 0), expected, "{text}");
        }
        assert_eq!(digit_run(b"0,       ", 0), Some((0, 1)));
        assert_eq!(digit_run(b"01,      ", 0), None);
        assert_eq!(digit_run(b"x1,      ", 0), None);
    }

    #[test]
    fn floats() {
        assert_eq!(float(b"1e400"), Err(ValueError::OutOfRange));
        assert_eq!(float(b"-Infinity"), Ok(f64::NEG_INFINITY));
        assert!(float(b"NaN").unwrap().is_nan());
        assert_eq!(float32(b"1e39"), Err(ValueError::OutOfRange));
        assert_eq!(float(b"1_0"), Err(ValueError::Syntax));
    }
}
