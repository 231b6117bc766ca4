//! Finding separators 64 bytes at a time, without branches per byte.
//!
//! A block is compared bytewise with both separators (which the compiler turns into vector compares), and the 64 results are
//! gathered into the bits of one word by multiplication. The cost per record is then that of its set bits.

/// Bytes per block.
pub(super) const BLOCK: usize = 64;

/// One bit for each byte of `block` that equals one of `wanted`; bit 0 is byte 0.
#[inline(always)]
pub(super) fn mask<const N: usize>(block: &[u8; BLOCK], wanted: [u8; N]) -> u64 {
    let mut hits = [0_u8; BLOCK];
    for (hit, byte) in hits.iter_mut().zip(block) {
        let mut any = 0;
        for one in wanted {
            any |= u8::from(*byte == one);
        }
        *hit = any;
    }
    let mut mask = 0_u64;
    for (at, word) in hits.as_chunks::<8>().0.iter().enumerate() {
        // Each byte is 0 or 1; the multiplication moves byte i's bit to bit 56 + i, without carries.
        let bits = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= bits << (at * 8);
    }
    mask
}

/// Walks the separators (and quotes) of a text in order. The end of the text counts as one.
#[derive(Clone)]
pub(super) struct Separators<'a> {
    bytes: &'a [u8],
    wanted: [u8; 3],
    /// The third of them is wanted as well.
    third: bool,
    /// The block whose bits `mask` holds.
    block: usize,
    mask: u64,
}

impl<'a> Separators<'a> {
    /// The separators of `bytes`: two bytes and, where there is one, a quote.
    pub(super) fn new(bytes: &'a [u8], first: u8, second: u8, quote: Option<u8>) -> Self {
        Self::at(bytes, first, second, quote, 0)
    }

    /// The same from `at` on.
    pub(super) fn at(bytes: &'a [u8], first: u8, second: u8, quote: Option<u8>, at: usize) -> Self {
        let wanted = [first, second, quote.unwrap_or(second)];
        let mut new = Self { bytes, wanted, third: quote.is_some(), block: 0, mask: 0 };
        new.seek(at);
        new
    }

    /// Goes on with the separators at or behind `at`.
    #[inline]
    pub(super) fn seek(&mut self, at: usize) {
        self.load(at / BLOCK);
        self.mask &= !0 << (at % BLOCK);
    }

    /// The next separator's position; the text's length at its end, and from then on.
    #[inline(always)]
    pub(super) fn next(&mut self) -> usize {
        while self.mask == 0 {
            if (self.block + 1) * BLOCK > self.bytes.len() {
                return self.bytes.len();
            }
            self.load(self.block + 1);
        }
        let bit = self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        self.block * BLOCK + bit
    }

    #[inline]
    fn load(&mut self, block: usize) {
        self.block = block;
        let start = block * BLOCK;
        self.mask = match self.bytes.get(start..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
            Some(whole) => self.mask_of(whole),
            None => self.last(start),
        };
    }

    #[inline(always)]
    fn mask_of(&self, block: &[u8; BLOCK]) -> u64 {
        let [first, second, third] = self.wanted;
        if self.third { mask(block, [first, second, third]) } else { mask(block, [first, second]) }
    }

    #[cold]
    fn last(&self, start: usize) -> u64 {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let mut padded = [0_u8; BLOCK];
        padded[..rest.len()].copy_from_slice(rest);
        self.mask_of(&padded) & ((1_u64 << rest.len()) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_separator_once() {
        for length in 0..200_usize {
            let bytes: Vec<u8> = (0..length).map(|at| b"ab,cdefg\n,\0\xff"[(at * at + at / 3) % 12]).collect();
            for from in 0..=length {
                for quote in [None, Some(b'g')] {
                    let wanted = |at: &usize| matches!(bytes[*at], b',' | b'\n') || Some(bytes[*at]) == quote;
                    let expected: Vec<usize> = (from..length).filter(wanted).chain([length, length]).collect();
                    let mut separators = Separators::new(&bytes, b',', b'\n', quote);
                    separators.seek(from);
                    let found: Vec<usize> = expected.iter().map(|_| separators.next()).collect();
                    assert_eq!(found, expected, "length {length} from {from}");
                }
            }
        }
    }
}
