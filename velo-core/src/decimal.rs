//! Exact decimals: text to scaled integer and back, with the one rounding of Velo (half away from zero).

use arrow_buffer::i256;

/// Powers of ten that fit in an `i128`.
pub const POWERS: [i128; 39] = {
    let mut powers = [1_i128; 39];
    let mut at = 1;
    while at < 39 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// Why a text is no decimal of the wanted type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalError {
    /// It is no number.
    Syntax,
    /// It has more digits before the point than the type holds.
    Overflow,
}

/// The digits of a number's text: sign, digits without the point, and where the point was, exponent included.
struct Parsed<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

fn split(text: &[u8]) -> Option<Parsed<'_>> {
    let (negative, rest) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&rest[..at], parse_exponent(&rest[at + 1..])?),
        None => (rest, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|b| *b == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &mantissa[..0]),
    };
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    Some(Parsed { negative, whole, fraction, exponent })
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Beyond a million the number is zero or an overflow whatever the digits are.
    let value = digits.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(if negative { -value } else { value })
}

/// Calls `digit` for every digit that stays at `scale`, and tells whether the first one cut off rounds up.
fn walk(
    parsed: &Parsed<'_>,
    scale: i8,
    mut digit: impl FnMut(u8) -> Result<(), DecimalError>,
) -> Result<bool, DecimalError> {
    // The digit at index i (over whole then fraction) has the weight 10^(whole.len() - 1 - i + exponent).
    let total = parsed.whole.len() + parsed.fraction.len();
    let kept = parsed.whole.len() as i64 + parsed.exponent + i64::from(scale);
    let at = |index: usize| {
        if index < parsed.whole.len() { parsed.whole[index] } else { parsed.fraction[index - parsed.whole.len()] }
    };
    let mut significant = false;
    for index in 0..kept.clamp(0, total as i64) as usize {
        let value = at(index) - b'0';
        significant |= value != 0;
        digit(value)?;
    }
    if significant {
        for _ in total as i64..kept {
            digit(0)?;
        }
    }
    Ok((0..total as i64).contains(&kept) && at(kept as usize) >= b'5')
}

/// The number that `text` writes, as an integer of units of 10^-scale, rounded half away from zero.
///
/// Accepts a sign, digits with or without a point, and an exponent. Errors when it is no number, or when the result has more
/// than `precision` digits.
pub fn parse_i128(text: &[u8], precision: u8, scale: i8) -> Result<i128, DecimalError> {
    let parsed = split(text).ok_or(DecimalError::Syntax)?;
    let mut value: i128 = 0;
    let up = walk(&parsed, scale, |digit| {
        value = value
            .checked_mul(10)
            .and_then(|shifted| shifted.checked_add(i128::from(digit)))
            .ok_or(DecimalError::Overflow)?;
        Ok(())
    })?;
    if up {
        value = value.checked_add(1).ok_or(DecimalError::Overflow)?;
    }
    if value >= POWERS[usize::from(precision.min(38))] {
        return Err(DecimalError::Overflow);
    }
    Ok(if parsed.negative { -value } else { value })
}

/// As [`parse_i128`], for decimals of up to 76 digits.
pub fn parse_i256(text: &[u8], precision: u8, scale: i8) -> Result<i256, DecimalError> {
    let parsed = split(text).ok_or(DecimalError::Syntax)?;
    let ten = i256::from_i128(10);
    let mut value = i256::ZERO;
    let up = walk(&parsed, scale, |digit| {
        value = value
            .checked_mul(ten)
            .and_then(|shifted| shifted.checked_add(i256::from_i128(i128::from(digit))))
            .ok_or(DecimalError::Overflow)?;
        Ok(())
    })?;
    if up {
        value = value.checked_add(i256::ONE).ok_or(DecimalError::Overflow)?;
    }
    if value >= power_i256(precision) {
        return Err(DecimalError::Overflow);
    }
    Ok(if parsed.negative { value.wrapping_neg() } else { value })
}

/// 10^exponent, for exponents up to 76.
pub fn power_i256(exponent: u8) -> i256 {
    let exponent = usize::from(exponent.min(76));
    if exponent <= 38 {
        return i256::from_i128(POWERS[exponent]);
    }
    i256::from_i128(POWERS[38]).wrapping_mul(i256::from_i128(POWERS[exponent - 38]))
}

/// `value / 10^digits`, rounded half away from zero.
pub fn round_i128(value: i128, digits: u32) -> i128 {
    let Some(divisor) = POWERS.get(digits as usize) else { return 0 };
    let quotient = value / divisor;
    let rest = (value % divisor).unsigned_abs();
    if rest >= divisor.unsigned_abs().div_ceil(2) && *divisor > 1 { quotient + value.signum() } else { quotient }
}

/// `numerator / denominator`, rounded half away from zero; `None` for a zero denominator.
pub fn divide_i256(numerator: i256, denominator: i256) -> Option<i256> {
    let quotient = numerator.checked_div(denominator)?;
    let rest = numerator.checked_rem(denominator)?;
    if rest == i256::ZERO {
        return Some(quotient);
    }
    let twice = rest.wrapping_abs().checked_mul(i256::from_i128(2));
    let up = twice.is_none_or(|twice| twice >= denominator.wrapping_abs());
    let negative = numerator.is_negative() != denominator.is_negative();
    Some(match (up, negative) {
        (false, _) => quotient,
        (true, false) => quotient.wrapping_add(i256::ONE),
        (true, true) => quotient.wrapping_sub(i256::ONE),
    })
}

/// Appends `value` units of 10^-scale as a plain number with all digits of its scale: `1.1450`, `-0.05`, `12`.
pub fn push_i128(out: &mut Vec<u8>, value: i128, scale: i8) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [0_u8; 40];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    // Most values fit in 64 bits, where division is many times cheaper.
    while rest > u128::from(u64::MAX) {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut rest = rest as u64;
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    push_digits(out, &digits[at..], scale);
}

/// As [`push_i128`], for decimals of up to 76 digits.
pub fn push_i256(out: &mut Vec<u8>, value: i256, scale: i8) {
    let text = value.to_string();
    let digits = text.strip_prefix('-').unwrap_or(&text);
    if digits.len() != text.len() {
        out.push(b'-');
    }
    push_digits(out, digits.trim_start_matches('0').as_bytes(), scale);
}

/// Places the point into digits without leading zeros.
fn push_digits(out: &mut Vec<u8>, digits: &[u8], scale: i8) {
    if scale <= 0 {
        if digits.is_empty() {
            out.push(b'0');
        } else {
            out.extend_from_slice(digits);
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
        return;
    }
    let scale = usize::from(scale.unsigned_abs());
    let whole = digits.len().saturating_sub(scale);
    if whole == 0 {
        out.push(b'0');
    }
    out.extend_from_slice(&digits[..whole]);
    out.push(b'.');
    out.resize(out.len() + scale.saturating_sub(digits.len()), b'0');
    out.extend_from_slice(&digits[whole..]);
}

/// `value` units of 10^-scale as text.
pub fn to_text_i128(value: i128, scale: i8) -> String {
    let mut out = Vec::with_capacity(24);
    push_i128(&mut out, value, scale);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str, scale: i8) -> String {
        to_text_i128(parse_i128(text.as_bytes(), 38, scale).unwrap(), scale)
    }

    #[test]
    fn exact_and_rounded_half_away() {
        for (text, scale, expected) in [
            ("0.1", 4, "0.1000"),
            ("1e2", 4, "100.0000"),
            ("1.5e-3", 4, "0.0015"),
            ("123456789012345678901234567890.12", 2, "123456789012345678901234567890.12"),
            ("12.34565", 4, "12.3457"),
            ("-12.34565", 4, "-12.3457"),
            ("12.34564999", 4, "12.3456"),
            ("0.00005", 4, "0.0001"),
            ("-0.00004", 4, "0.0000"),
            ("9.99", 0, "10"),
            ("5", 0, "5"),
            (".5", 0, "1"),
            ("1e-400", 2, "0.00"),
            ("0e400", 2, "0.00"),
            ("0.05", -1, "0"),
            ("15", -1, "20"),
        ] {
            assert_eq!(round_trip(text, scale), expected, "{text} at {scale}");
            let wide = parse_i256(text.as_bytes(), 76, scale).unwrap();
            let mut out = Vec::new();
            push_i256(&mut out, wide, scale);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text} at {scale}, wide");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert_eq!(parse_i128(b"100", 4, 2), Err(DecimalError::Overflow));
        assert_eq!(parse_i128(b"99.995", 4, 2), Err(DecimalError::Overflow));
        assert_eq!(parse_i128(b"1e400", 38, 0), Err(DecimalError::Overflow));
        for bad in ["", "-", ".", "1.2.3", "1e", "0x10", " 1", "1_0", "NaN"] {
            assert_eq!(parse_i128(bad.as_bytes(), 38, 2), Err(DecimalError::Syntax), "{bad}");
        }
    }

    #[test]
    fn division_rounds_half_away() {
        let of = |a: i128, b: i128| divide_i256(i256::from_i128(a), i256::from_i128(b)).and_then(i256::to_i128);
        assert_eq!(of(5, 2), Some(3));
        assert_eq!(of(-5, 2), Some(-3));
        assert_eq!(of(4, 3), Some(1));
        assert_eq!(of(1, 0), None);
        assert_eq!(round_i128(15, 1), 2);
        assert_eq!(round_i128(-15, 1), -2);
        assert_eq!(round_i128(14, 1), 1);
        assert_eq!(round_i128(7, 0), 7);
    }
}
