//! DECIMAL from a whole number in base64 and its scale, as Kafka Connect writes them.

use arrow_buffer::i256;
use velo_core::decimal::{divide_i256, power_i256};

use super::{Column, ValueError, Values, base64};

/// The widest number that is read, in bytes.
const WIDTH: usize = 32;

/// The number that `bytes` are, big-endian in two's complement.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<i256, ValueError> {
    let Some(first) = bytes.first() else { return Err(ValueError::Syntax) };
    if bytes.len() > WIDTH {
        return Err(ValueError::OutOfRange);
    }
    let mut wide = [if *first < 0x80 { 0 } else { 0xFF }; WIDTH];
    wide[WIDTH - bytes.len()..].copy_from_slice(bytes);
    Ok(i256::from_be_bytes(wide))
}

/// `value` units of 10^-`sent` as one of a DECIMAL(precision, scale): digits beyond the scale are rounded half away from zero.
pub(crate) fn fitted(value: i256, sent: i32, precision: u8, scale: i8) -> Result<i256, ValueError> {
    if value == i256::ZERO {
        return Ok(value);
    }
    let added = i32::from(scale).saturating_sub(sent);
    let digits = u8::try_from(added.unsigned_abs()).unwrap_or(u8::MAX);
    let scaled = match (added, digits) {
        (0, _) => value,
        (1.., ..=76) => value.checked_mul(power_i256(digits)).ok_or(ValueError::OutOfRange)?,
        (1.., _) => return Err(ValueError::OutOfRange),
        (_, ..=76) => divide_i256(value, power_i256(digits)).ok_or(ValueError::OutOfRange)?,
        // No number of 32 bytes has so many digits.
        (_, _) => i256::ZERO,
    };
    let limit = power_i256(precision);
    if scaled >= limit || scaled <= limit.wrapping_neg() {
        return Err(ValueError::OutOfRange);
    }
    Ok(scaled)
}

/// The value of `text`, in units of 10^-`sent`, as one of a DECIMAL(precision, scale).
pub(super) fn decimal256(text: &[u8], sent: i32, precision: u8, scale: i8) -> Result<i256, ValueError> {
    let mut bytes = Vec::with_capacity(WIDTH);
    base64::decode(text, &mut bytes)?;
    fitted(from_bytes(&bytes)?, sent, precision, scale)
}

/// The same for at most 38 digits.
pub(super) fn decimal128(text: &[u8], sent: i32, precision: u8, scale: i8) -> Result<i128, ValueError> {
    decimal256(text, sent, precision, scale)?.to_i128().ok_or(ValueError::OutOfRange)
}

impl Column {
    /// Appends a DECIMAL that was sent in units of 10^-`sent`.
    pub(crate) fn push_unscaled(&mut self, text: &[u8], sent: i32) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Unscaled128 { values, precision, scale, .. } => {
                values.push(decimal128(text, sent, *precision, *scale)?);
            }
            Values::Unscaled256 { values, precision, scale, .. } => {
                values.push(decimal256(text, sent, *precision, *scale)?);
            }
            _ => return Err(ValueError::Conflict),
        }
        Ok(())
    }

    /// From now on the text of a DECIMAL is digits (`None`), or the base64 of a number of units of 10^-`sent`. Other columns stay
    /// as they are.
    pub(crate) fn set_unscaled(&mut self, sent: Option<i32>) {
        // An empty column of another kind takes the place of the values for a moment.
        let values = std::mem::replace(&mut self.values, Values::Boolean(Vec::new()));
        self.values = match (values, sent) {
            (Values::Decimal128 { values, precision, scale }, Some(sent))
            | (Values::Unscaled128 { values, precision, scale, .. }, Some(sent)) => {
                Values::Unscaled128 { values, precision, scale, sent }
            }
            (Values::Unscaled128 { values, precision, scale, .. }, None) => {
                Values::Decimal128 { values, precision, scale }
            }
            (Values::Decimal256 { values, precision, scale }, Some(sent))
            | (Values::Unscaled256 { values, precision, scale, .. }, Some(sent)) => {
                Values::Unscaled256 { values, precision, scale, sent }
            }
            (Values::Unscaled256 { values, precision, scale, .. }, None) => {
                Values::Decimal256 { values, precision, scale }
            }
            (other, _) => other,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_with_their_scale() {
        // 1234567 units of 10^-4; -1; 346.
        assert_eq!(decimal128(b"EtaH", 4, 18, 4), Ok(1_234_567));
        assert_eq!(decimal128(b"EtaH", 4, 18, 2), Ok(12_346), "half away from zero");
        assert_eq!(decimal128(b"EtaH", 4, 18, 6), Ok(123_456_700));
        assert_eq!(decimal128(b"/w==", 2, 18, 2), Ok(-1));
        assert_eq!(decimal128(b"/w==", 3, 18, 2), Ok(0));
        assert_eq!(decimal128(b"AVo=", 0, 5, 2), Ok(34_600));
        assert_eq!(decimal128(b"AVo=", 0, 4, 2), Err(ValueError::OutOfRange));
        assert_eq!(decimal128(b"AA==", 200, 4, 2), Ok(0));
        assert_eq!(decimal128(b"AQ==", 200, 4, 2), Ok(0));
        assert_eq!(decimal128(b"AQ==", -200, 4, 2), Err(ValueError::OutOfRange));
        assert_eq!(decimal128(b"", 0, 4, 2), Err(ValueError::Syntax));
        assert_eq!(decimal128(b"12.5", 0, 4, 2), Err(ValueError::Syntax));
    }
}
