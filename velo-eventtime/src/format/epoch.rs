//! Numbers since 1970-01-01T00:00:00Z, in a given unit: never guessed, floored towards the past.

/// Why a text is no epoch number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EpochError {
    /// It is no number.
    Syntax,
    /// It is out of the range of 64 bits.
    Range,
}

/// Powers of ten that fit in an `i64`.
const POWERS: [i64; 19] = {
    let mut powers = [1_i64; 19];
    let mut at = 1;
    while at < 19 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// `text` times 10^power, floored. Accepts a sign, digits with or without a point, an exponent, and spaces around.
pub(crate) fn scaled(text: &[u8], power: i32) -> Result<i64, EpochError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if !digits.is_empty() && digits.len() <= 18 {
        let mut value = 0_i64;
        let mut plain = true;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            plain &= digit <= 9;
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        }
        if plain {
            return scale(if negative { -value } else { value }, power);
        }
    }
    general(text.trim_ascii(), power)
}

/// `value` times 10^power, floored.
#[inline]
pub(crate) fn scale(value: i64, power: i32) -> Result<i64, EpochError> {
    let factor = POWERS.get(power.unsigned_abs() as usize).ok_or(EpochError::Range)?;
    if power >= 0 { value.checked_mul(*factor).ok_or(EpochError::Range) } else { Ok(value.div_euclid(*factor)) }
}

/// `value` times 10^power, floored, for wide values.
pub(crate) fn scale_wide(value: i128, power: i32) -> Result<i64, EpochError> {
    let factor = velo_core::decimal::POWERS.get(power.unsigned_abs() as usize);
    let scaled = match (factor, power >= 0) {
        (Some(factor), true) => value.checked_mul(*factor).ok_or(EpochError::Range)?,
        (Some(factor), false) => value.div_euclid(*factor),
        (None, true) if value != 0 => return Err(EpochError::Range),
        (None, _) => i128::from(value.signum().min(0) as i8),
    };
    i64::try_from(scaled).map_err(|_| EpochError::Range)
}

/// Whether the text is a number.
pub(crate) fn is_number(text: &[u8]) -> bool {
    split(text.trim_ascii()).is_some()
}

struct Number<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

fn split(text: &[u8]) -> Option<Number<'_>> {
    let (negative, rest) = sign(text);
    let (mantissa, exponent) = match rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => {
            let (negative, digits) = sign(&rest[at + 1..]);
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return None;
            }
            // Beyond a million the number is out of range or below one unit whatever the digits are.
            let value = digits.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1_000_000));
            (&rest[..at], if negative { -value } else { value })
        }
        None => (rest, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
        None => (mantissa, &mantissa[..0]),
    };
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    ((!whole.is_empty() || !fraction.is_empty()) && digits(whole) && digits(fraction)).then_some(Number {
        negative,
        whole,
        fraction,
        exponent,
    })
}

#[cold]
fn general(text: &[u8], power: i32) -> Result<i64, EpochError> {
    let number = split(text).ok_or(EpochError::Syntax)?;
    // Digits (of whole, then fraction) that stand before the point after scaling.
    let kept = number.whole.len() as i64 + number.exponent + i64::from(power);
    let mut value: i128 = 0;
    let mut rest = false;
    for (at, byte) in number.whole.iter().chain(number.fraction).enumerate() {
        if (at as i64) < kept {
            value =
                value.checked_mul(10).and_then(|v| v.checked_add(i128::from(byte - b'0'))).ok_or(EpochError::Range)?;
        } else {
            rest |= *byte != b'0';
        }
    }
    let digits = (number.whole.len() + number.fraction.len()) as i64;
    if value != 0 && kept > digits {
        let factor = usize::try_from(kept - digits).ok().and_then(|zeros| velo_core::decimal::POWERS.get(zeros));
        value = factor.and_then(|factor| value.checked_mul(*factor)).ok_or(EpochError::Range)?;
    }
    let floored = if number.negative { -value - i128::from(rest) } else { value };
    i64::try_from(floored).map_err(|_| EpochError::Range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floored_in_every_unit() {
        for (text, power, expected) in [
            ("1", 6, 1_000_000),
            ("-1", 3, -1_000),
            ("-1", -3, -1),
            ("-1000", -3, -1),
            ("-1001", -3, -2),
            ("1999", -3, 1),
            ("1.5", 3, 1_500),
            ("-1.5", 3, -1_500),
            ("-0.0001", 3, -1),
            ("0.0009", 3, 0),
            ("-2208988800", 6, -2_208_988_800_000_000),
            ("1704067200.123456789", 6, 1_704_067_200_123_456),
            ("-1704067200.1234561", 6, -1_704_067_200_123_457),
            ("1.7040672e12", 3, 1_704_067_200_000_000),
            ("17040672E+5", 3, 1_704_067_200_000_000),
            ("1e-400", 6, 0),
            ("-1e-400", 6, -1),
            ("0e999999999999", 6, 0),
            ("+5", 0, 5),
            (".5", 6, 500_000),
            ("5.", 6, 5_000_000),
            (" 7 ", 0, 7),
            ("000000000000000000000000000000000000000000001", 0, 1),
            ("9223372036854775807", 0, i64::MAX),
            ("-9223372036854775808", 0, i64::MIN),
            ("-9223372036854775808000", -3, i64::MIN),
        ] {
            assert_eq!(scaled(text.as_bytes(), power), Ok(expected), "{text} × 10^{power}");
        }
        for (text, power) in [
            ("9223372036854775808", 0),
            ("-9223372036854775808", 3),
            ("1e400", 0),
            ("99999999999999999999999999999999999999999999999999", 0),
            ("1e30", 6),
        ] {
            assert_eq!(scaled(text.as_bytes(), power), Err(EpochError::Range), "{text}");
        }
        for text in ["", "-", "+", ".", "1.2.3", "1e", "e5", "0x10", "1_0", "NaN", "1 2", "--1", "∞"] {
            assert_eq!(scaled(text.as_bytes(), 3), Err(EpochError::Syntax), "{text}");
            assert!(!is_number(text.as_bytes()));
        }
        assert_eq!(scale_wide(-1, -39), Ok(-1));
        assert_eq!(scale_wide(5, -39), Ok(0));
        assert_eq!(scale_wide(5, 39), Err(EpochError::Range));
    }
}
