//! Hashes of values: what chooses the slot of a key.

use velo_core::hash::{K0, K1, K2, eight, fold, four};

/// What a NULL counts as, where NULLs are equal.
pub(crate) const NULL: u64 = 0x082e_fa98_ec4e_6c89;

/// The hash of a number.
#[inline(always)]
pub(crate) fn of_word(word: u64) -> u64 {
    fold(word ^ K0, K1)
}

/// The hash of a number of 128 bits.
#[inline(always)]
pub(crate) fn of_wide(wide: i128) -> u64 {
    fold((wide as u64) ^ K0, ((wide >> 64) as u64) ^ K1)
}

/// The hash of several columns: of what came before, and of the next.
#[inline(always)]
pub(crate) fn and(before: u64, next: u64) -> u64 {
    fold(before ^ K2, next ^ K0)
}

/// Up to 16 bytes as two words, which overlap where there are fewer; with the length they say it all.
#[inline(always)]
fn ends(bytes: &[u8]) -> (u64, u64) {
    let length = bytes.len();
    match length {
        8.. => (eight(bytes), eight(&bytes[length - 8..])),
        4..8 => (four(bytes), four(&bytes[length - 4..])),
        0 => (0, 0),
        1..4 => {
            let middle = u64::from(bytes[length / 2]) << 8;
            (u64::from(bytes[0]) | middle | (u64::from(bytes[length - 1]) << 16), 0)
        }
    }
}

/// Whether bytes are the same. Short ones are compared as the words that they end in, without a call.
#[inline(always)]
pub(crate) fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && if a.len() <= 16 { ends(a) == ends(b) } else { a == b }
}

/// The hash of bytes.
#[inline(always)]
pub(crate) fn of_bytes(bytes: &[u8]) -> u64 {
    let mut sum = K2 ^ bytes.len() as u64;
    let mut rest = bytes;
    while rest.len() > 16 {
        sum = fold(eight(rest) ^ K0 ^ sum, eight(&rest[8..]) ^ K1);
        rest = &rest[16..];
    }
    let (a, b) = ends(rest);
    fold(fold(a ^ K0, b ^ K1) ^ sum, K2)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn prefixes_and_neighbours_differ() {
        let text = b"abababababababababababababababababababab";
        let mut seen = HashSet::new();
        for length in 0..=text.len() {
            assert!(seen.insert(of_bytes(&text[..length])), "{length}");
        }
        for length in 0..text.len() {
            let mut other = text[..length].to_vec();
            assert!(same_bytes(&text[..length], &other) && !same_bytes(&text[..length + 1], &other), "{length}");
            for at in 0..length {
                other[at] ^= 1;
                assert!(!same_bytes(&text[..length], &other), "{length} {at}");
                other[at] ^= 1;
            }
        }
        // The lower bits choose the page: neighbours must not meet there.
        let pages: HashSet<_> = (0..1_000_u64).map(|number| of_word(number) & 0xffff).collect();
        assert!(pages.len() > 950, "{}", pages.len());
    }
}
