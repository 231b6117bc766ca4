//! Numbers as text, appended to bytes: formatting machinery would be most of a generator's time.

/// Appends a number in decimal.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    push_padded(out, number, 1);
}

/// Appends a number with at least `width` digits, zeros in front; up to twenty.
pub fn push_padded(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        if number == 0 && used >= width {
            break;
        }
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        used += 1;
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// Appends a number of units with `places` digits behind the point: 1234567 and 4 give 123.4567.
pub fn push_decimal(out: &mut Vec<u8>, units: u64, places: u32) {
    let one = 10_u64.pow(places);
    push_number(out, units / one);
    out.push(b'.');
    push_padded(out, units % one, places as usize);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_library_writes_them() {
        for number in [0, 7, 10, 1_704_067_200_123, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn padded_and_with_a_point() {
        let mut out = Vec::new();
        push_padded(&mut out, 42, 4);
        out.push(b' ');
        push_decimal(&mut out, 50_012, 4);
        out.push(b' ');
        push_decimal(&mut out, 3, 1);
        assert_eq!(String::from_utf8(out).unwrap(), "0042 5.0012 0.3");
    }
}
