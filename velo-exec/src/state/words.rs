//! Values as two 64-bit words, and a hash over them.
//!
//! Text of up to 16 bytes and every number fit in two words, so that a key is compared by three integer comparisons and
//! without a call. Only longer text lies in an arena.

use velo_core::hash::{K0, K1, K2, Word, eight, fold, four};

/// A hash of two words and what goes with them.
#[inline(always)]
pub(super) fn hash(a: u64, b: u64, meta: u64) -> u64 {
    fold(fold(a ^ K0, b ^ K1) ^ meta, K2)
}

/// A hash of the bytes behind the first 16.
pub(super) fn hash_rest(rest: &[u8]) -> u64 {
    let mut chunks = rest.chunks_exact(16);
    let mut sum = K1;
    for chunk in &mut chunks {
        let (a, b) = of_bytes(chunk);
        sum = fold(a ^ K0 ^ sum, b ^ K1);
    }
    let (a, b) = of_bytes(chunks.remainder());
    fold(a ^ K0 ^ sum, b ^ K1 ^ (rest.len() as u64))
}

/// The first 16 bytes, with zeros behind the end.
#[inline(always)]
pub(super) fn of_bytes(bytes: &[u8]) -> (u64, u64) {
    let length = bytes.len();
    match length {
        16.. => (eight(bytes), eight(&bytes[8..])),
        // The last eight bytes overlap the first; what overlaps is shifted out.
        9..16 => (eight(bytes), eight(&bytes[length - 8..]) >> (8 * (16 - length))),
        8 => (eight(bytes), 0),
        5..8 => (four(bytes) | ((four(&bytes[length - 4..]) >> (8 * (8 - length))) << 32), 0),
        4 => (four(bytes), 0),
        0 => (0, 0),
        // The middle byte of three, or one of the ends again.
        1..4 => {
            let middle = u64::from(bytes[length / 2]) << (8 * (length / 2));
            let last = u64::from(bytes[length - 1]) << (8 * (length - 1));
            (u64::from(bytes[0]) | middle | last, 0)
        }
    }
}

/// A fixed-width value as two words, and back.
pub(super) trait Words: Copy {
    fn to_words(self) -> (u64, u64);
    fn from_words(a: u64, b: u64) -> Self;
}

macro_rules! one_word {
    ($($native:ty),*) => {$(
        impl Words for $native {
            #[inline(always)]
            fn to_words(self) -> (u64, u64) {
                (self.word(), 0)
            }
            fn from_words(a: u64, _: u64) -> Self {
                Self::of_word(a)
            }
        }
    )*};
}

one_word!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

impl Words for i128 {
    #[inline(always)]
    fn to_words(self) -> (u64, u64) {
        (self as u64, (self >> 64) as u64)
    }
    fn from_words(a: u64, b: u64) -> Self {
        (i128::from(b as i64) << 64) | i128::from(a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_padded_with_zeros() {
        let text = b"abcdefghijklmnopqrst";
        for length in 0..=text.len() {
            let (a, b) = of_bytes(&text[..length]);
            let mut expected = [0_u8; 16];
            let kept = length.min(16);
            expected[..kept].copy_from_slice(&text[..kept]);
            assert_eq!(a.to_le_bytes(), expected[..8], "{length}");
            assert_eq!(b.to_le_bytes(), expected[8..], "{length}");
        }
    }

    #[test]
    fn numbers_round_trip() {
        for value in [0_i128, -1, i128::MAX, i128::MIN, 1 << 70] {
            let (a, b) = value.to_words();
            assert_eq!(i128::from_words(a, b), value);
        }
        let (a, b) = (-5_i16).to_words();
        assert_eq!(i16::from_words(a, b), -5);
    }
}
