//! Sets of positions as bits, shared between versions and copied a segment at a time.

use std::sync::Arc;

/// Positions of one part.
pub(crate) const BITS: usize = 1 << 16;
/// The bits of one part.
pub(crate) type Bits = [u64; BITS / 64];

/// A set of positions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    /// By position / [`BITS`]; nothing where none is marked.
    parts: Vec<Option<Arc<Bits>>>,
    /// How many are marked of each part.
    counts: Vec<u32>,
}

impl Marks {
    /// Marks a position; whether it was not yet.
    pub(crate) fn set(&mut self, position: u64) -> bool {
        let (part, at) = split(position);
        if part >= self.parts.len() {
            self.parts.resize(part + 1, None);
            self.counts.resize(part + 1, 0);
        }
        let bits = Arc::make_mut(self.parts[part].get_or_insert_with(|| Arc::new([0; BITS / 64])));
        let fresh = bits[at / 64] >> (at % 64) & 1 == 0;
        bits[at / 64] |= 1 << (at % 64);
        self.counts[part] += u32::from(fresh);
        fresh
    }

    /// Whether a position is marked.
    pub(crate) fn has(&self, position: u64) -> bool {
        let (part, at) = split(position);
        self.part(part).is_some_and(|bits| bits[at / 64] >> (at % 64) & 1 == 1)
    }

    /// The bits of one part, where one is set.
    pub(crate) fn part(&self, part: usize) -> Option<&Arc<Bits>> {
        self.parts.get(part)?.as_ref()
    }

    /// Takes the marks of `gone` off a part.
    pub(crate) fn clear(&mut self, part: usize, gone: &Bits) {
        let Some(slot) = self.parts.get_mut(part) else { return };
        let Some(bits) = slot else { return };
        let bits = Arc::make_mut(bits);
        let mut left = 0;
        for (word, gone) in bits.iter_mut().zip(gone) {
            self.counts[part] -= (*word & gone).count_ones();
            *word &= !gone;
            left |= *word;
        }
        if left == 0 {
            *slot = None;
        }
    }

    /// How many of a part are marked.
    pub(crate) fn count(&self, part: usize) -> usize {
        self.counts.get(part).copied().unwrap_or(0) as usize
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().flatten().count() * size_of::<Bits>()
            + self.parts.capacity() * size_of::<Option<Arc<Bits>>>()
            + self.counts.capacity() * size_of::<u32>()
    }
}

fn split(position: u64) -> (usize, usize) {
    ((position / BITS as u64) as usize, (position % BITS as u64) as usize)
}

/// How many bits are set.
pub(crate) fn count(bits: &Bits) -> usize {
    bits.iter().map(|word| word.count_ones() as usize).sum()
}
