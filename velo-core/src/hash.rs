//! What hashes of keys are made of. They are saved nowhere, so they may change between releases.
//!
//! Keys are hashed for tables in memory alone, whose place nobody outside learns: what counts is that a short key costs no call.

/// Odd constants with many bits set, from the digits of π.
pub const K0: u64 = 0x243f_6a88_85a3_08d3;
/// Another.
pub const K1: u64 = 0x1319_8a2e_0370_7345;
/// Another.
pub const K2: u64 = 0xa409_3822_299f_31d1;

/// Multiplies to 128 bits and folds.
#[inline(always)]
pub fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The first eight bytes, of which there are as many at least, as a word.
#[inline(always)]
pub fn eight(bytes: &[u8]) -> u64 {
    let mut word = [0_u8; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(word)
}

/// The first four bytes, of which there are as many at least, as a word.
#[inline(always)]
pub fn four(bytes: &[u8]) -> u64 {
    let mut word = [0_u8; 4];
    word.copy_from_slice(&bytes[..4]);
    u64::from(u32::from_le_bytes(word))
}

/// A number as one word. Both zeros of a floating-point type are one key, and all NaNs are.
pub trait Word: Copy + PartialEq {
    /// The word: equal for equal keys.
    fn word(self) -> u64;

    /// A number of this word.
    fn of_word(word: u64) -> Self;
}

macro_rules! integers {
    ($($native:ty),*) => {$(
        impl Word for $native {
            #[inline(always)]
            fn word(self) -> u64 {
                self as u64
            }

            #[inline(always)]
            fn of_word(word: u64) -> Self {
                word as Self
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! floats {
    ($($native:ty),*) => {$(
        impl Word for $native {
            #[inline(always)]
            fn word(self) -> u64 {
                let canonical = if self.is_nan() { Self::NAN } else { self + 0.0 };
                u64::from(canonical.to_bits())
            }

            #[inline(always)]
            fn of_word(word: u64) -> Self {
                Self::from_bits(word as _)
            }
        }
    )*};
}

floats!(f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_are_equal_words() {
        assert_eq!(i16::of_word((-5_i16).word()), -5);
        assert_eq!(f32::of_word(1.5_f32.word()), 1.5);
        assert_eq!((-0.0_f64).word(), 0.0_f64.word());
        assert_eq!(f64::NAN.word(), (-f64::NAN).word());
        assert_ne!(1.0_f64.word(), 2.0_f64.word());
    }
}
