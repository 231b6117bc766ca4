//! Finding separators 64 bytes at a time, without branches per byte.
//!
//! A block is compared bytewise with both separators (which the compiler turns into vector compares), and the 64 results are
//! gathered into the bits of one word by multiplication. The cost per record is then that of its set bits.

/// Bytes per block.
pub(super) const BLOCK: usize = 64;

/// One bit for each byte of `block` that equals `first` or `second`; bit 0 is byte 0.
#[inline]
pub(super) fn mask(block: &[u8; BLOCK], first: u8, second: u8) -> u64 {
    let mut hits = [0_u8; BLOCK];
    for (hit, byte) in hits.iter_mut().zip(block) {
        *hit = u8::from(*byte == first) | u8::from(*byte == second);
    }
    let mut mask = 0_u64;
    for (at, word) in hits.as_chunks::<8>().0.iter().enumerate() {
        // Each byte is 0 or 1; the multiplication moves byte i's bit to bit 56 + i, without carries.
        let bits = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= bits << (at * 8);
    }
    mask
}

/// Walks the separators of a text in order. The end of the text counts as one.
pub(super) struct Separators<'a> {
    bytes: &'a [u8],
    first: u8,
    second: u8,
    /// The block whose bits `mask` holds.
    block: usize,
    mask: u64,
}

impl<'a> Separators<'a> {
    /// The separators of `bytes` at or behind `from`.
    pub(super) fn new(bytes: &'a [u8], first: u8, second: u8, from: usize) -> Self {
        let mut new = Self { bytes, first, second, block: 0, mask: 0 };
        new.seek(from);
        new
    }

    /// Goes on with the separators at or behind `at`.
    #[inline]
    pub(super) fn seek(&mut self, at: usize) {
        let block = at / BLOCK;
        if block != self.block || self.mask == 0 {
            self.load(block);
        }
        self.mask &= !0 << (at % BLOCK);
    }

    /// The next separator's position; the text's length at its end, and from then on.
    #[inline]
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
            Some(whole) => mask(whole, self.first, self.second),
            None => self.last(start),
        };
    }

    #[cold]
    fn last(&self, start: usize) -> u64 {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let mut padded = [0_u8; BLOCK];
        padded[..rest.len()].copy_from_slice(rest);
        mask(&padded, self.first, self.second) & ((1_u64 << rest.len()) - 1)
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
                let expected: Vec<usize> =
                    (from..length).filter(|at| matches!(bytes[*at], b',' | b'\n')).chain([length, length]).collect();
                let mut separators = Separators::new(&bytes, b',', b'\n', from);
                let found: Vec<usize> = expected.iter().map(|_| separators.next()).collect();
                assert_eq!(found, expected, "length {length} from {from}");
                let mut moved = Separators::new(&bytes, b',', b'\n', 0);
                moved.seek(from);
                assert_eq!(moved.next(), expected[0], "length {length} to {from}");
            }
        }
    }
}
