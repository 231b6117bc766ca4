//! Eight bytes at a time: where a run of digits ends, what it is worth, and where a text has a byte of interest.
//!
//! A word is eight bytes read little-endian, so its lowest byte is the first. All masks mark bytes by their highest bit, and
//! only the lowest mark of a mask is exact.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Powers of ten that fit in a `u64`.
pub(crate) const POWERS: [u64; 20] = {
    let mut powers = [1_u64; 20];
    let mut at = 1;
    while at < 20 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// The eight bytes at `at`, if there are so many.
#[inline(always)]
pub(crate) fn load(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<8>()?))
}

/// How many bytes come before the lowest mark; 8 without one.
#[inline(always)]
pub(crate) fn before(mask: u64) -> usize {
    (mask.trailing_zeros() / 8) as usize
}

/// Marks the bytes that are no digits.
#[inline(always)]
pub(crate) fn no_digits(word: u64) -> u64 {
    let zeroed = word ^ ZEROS;
    (zeroed.wrapping_add(0x7676_7676_7676_7676) | zeroed) & HIGH
}

/// What the first `count` bytes, all digits, are worth; `count` is 1 to 8.
#[inline(always)]
pub(crate) fn digits(word: u64, count: usize) -> u64 {
    // The digits move to the end of the word, and zeros come before them.
    let aligned = (word ^ ZEROS) << ((64 - count * 8) & 63);
    let pairs = (aligned.wrapping_mul(10).wrapping_add(aligned >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    (fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) & 0xFFFF_FFFF
}

/// The eight digits of a value below 10^8, zeros in front included, as text: the first is the lowest byte.
#[inline(always)]
pub(crate) fn eight_digits(value: u64) -> u64 {
    // Halves of four digits, then pairs, then digits, each divided by a multiplication that is exact for so small values.
    let halves = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = (halves.wrapping_mul(10_486) >> 20) & 0x0000_007F_0000_007F;
    let pairs = hundreds | (halves - hundreds * 100) << 16;
    let tens = (pairs.wrapping_mul(103) >> 10) & 0x000F_000F_000F_000F;
    (tens | (pairs - tens * 10) << 8) | ZEROS
}

/// Marks quotes, backslashes, control characters and bytes that are no ASCII: where a JSON string ends or needs care.
#[inline(always)]
pub(crate) fn string_marks(word: u64) -> u64 {
    let quote = (word ^ 0x2222_2222_2222_2222).wrapping_sub(ONES);
    let backslash = (word ^ 0x5C5C_5C5C_5C5C_5C5C).wrapping_sub(ONES);
    let control = word.wrapping_sub(0x2020_2020_2020_2020);
    (quote | backslash | control | word) & HIGH
}

/// Marks quotes, backslashes and control characters: what a JSON string must escape.
#[inline(always)]
pub(crate) fn output_marks(word: u64) -> u64 {
    let quote = (word ^ 0x2222_2222_2222_2222).wrapping_sub(ONES);
    let backslash = (word ^ 0x5C5C_5C5C_5C5C_5C5C).wrapping_sub(ONES);
    let control = word.wrapping_sub(0x2020_2020_2020_2020);
    (quote | backslash | control) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digit_runs() {
        for text in ["1,345678", "12345678", "0000042}", "9.999999", "7\u{7f}\u{1}00000"] {
            let word = load(text.as_bytes(), 0).unwrap();
            let count = text.bytes().take_while(u8::is_ascii_digit).count();
            assert_eq!(before(no_digits(word)), count, "{text}");
            assert_eq!(digits(word, count), text[..count].parse::<u64>().unwrap(), "{text}");
        }
        assert_eq!(before(no_digits(u64::from_le_bytes(*b"12\xff45678"))), 2);
        for byte in 0..=255_u8 {
            let word = u64::from_le_bytes([b'0', b'9', byte, 0xff, 0x00, b'1', b'/', b':']);
            assert_eq!(before(no_digits(word)), if byte.is_ascii_digit() { 3 } else { 2 }, "{byte}");
        }
    }

    #[test]
    fn digits_as_text() {
        for value in (0..100_000_000).step_by(997).chain([9, 10, 99, 100, 9_999, 10_000, 99_999_999]) {
            assert_eq!(eight_digits(value).to_le_bytes(), *format!("{value:08}").as_bytes());
        }
    }

    #[test]
    fn string_ends() {
        for byte in 0..=255_u8 {
            let word = u64::from_le_bytes([b'a', b' ', 0x7f, byte, b'"', 0, 0xff, b'\\']);
            let special = !(0x20..0x80).contains(&byte) || matches!(byte, b'"' | b'\\');
            assert_eq!(before(string_marks(word)), if special { 3 } else { 4 }, "{byte}");
        }
        for byte in 0..=255_u8 {
            let word = u64::from_le_bytes([b'a', b' ', 0xff, byte, b'"', 0, 0xff, b'\\']);
            let special = byte < 0x20 || matches!(byte, b'"' | b'\\');
            assert_eq!(before(output_marks(word)), if special { 3 } else { 4 }, "{byte}");
        }
        assert_eq!(string_marks(u64::from_le_bytes(*b"abcdefg!")), 0);
    }
}
