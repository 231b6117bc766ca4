//! Random bits as a function of a seed, a name and a number: any row can be made without those before it.

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of SplitMix64: every bit of the input moves about half of those of the output.
#[inline]
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Random bits by number, for one purpose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bits(u64);

impl Bits {
    /// The bits that `name` is for under `seed`.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let named =
            name.bytes().fold(mix(seed.wrapping_add(STEP)), |key, byte| mix(key.wrapping_add(u64::from(byte) + 1)));
        Self(named)
    }

    /// The bits of `number`.
    #[inline]
    pub(crate) fn of(self, number: u64) -> u64 {
        mix(self.0.wrapping_add(number.wrapping_mul(STEP)))
    }

    /// Any number of bits for `number`.
    #[inline]
    pub(crate) fn draws(self, number: u64) -> Draws {
        Draws(self.of(number))
    }
}

/// One draw after the other.
#[derive(Debug, Clone)]
pub(crate) struct Draws(u64);

impl Draws {
    /// The next 64 bits.
    #[inline]
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `limit`; 0 where that is 0.
    #[inline]
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        below(self.bits(), limit)
    }
}

/// A number below `limit` made of `bits`; 0 where that is 0.
#[inline]
pub(crate) fn below(bits: u64, limit: u64) -> u64 {
    ((u128::from(bits) * u128::from(limit)) >> 64) as u64
}

/// A number from 0 up to but not including 1 made of `bits`.
#[inline]
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_even_and_their_own() {
        let (one, other) = (Bits::new(7, "price"), Bits::new(7, "size"));
        let mut counts = [0_u32; 10];
        for number in 0..100_000 {
            counts[below(one.of(number), 10) as usize] += 1;
            assert_ne!(one.of(number), other.of(number));
            assert!((0.0..1.0).contains(&unit(one.of(number))));
        }
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 400), "{counts:?}");
        assert_ne!(Bits::new(7, "price").of(0), Bits::new(8, "price").of(0));
        assert_eq!(below(u64::MAX, 0), 0);
    }

    /// Saved positions and expected outputs depend on them.
    #[test]
    fn bits_never_change() {
        assert_eq!([0, 1, u64::MAX].map(|number| Bits::new(0, "a").of(number)), PINNED);
        let mut draws = Bits::new(1, "b").draws(2);
        assert_eq!((draws.below(1_000), draws.below(1_000)), PINNED_DRAWS);
    }

    const PINNED: [u64; 3] = [13_114_844_612_711_621_316, 3_645_878_055_751_149_695, 2_851_461_712_178_249_116];
    const PINNED_DRAWS: (u64, u64) = (34, 20);
}
