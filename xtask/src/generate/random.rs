//! A small seeded generator of numbers (splitmix64), and choosing by weight. Integers throughout, so that a seed means the
//! same bytes everywhere.

/// splitmix64: one addition and three mixing steps a number.
pub struct Random {
    state: u64,
}

impl Random {
    /// Any seed is a good one.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `limit`, taken from the upper bits.
    pub fn below(&mut self, limit: u32) -> u32 {
        scale(self.next(), limit)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = u32::try_from(high - low + 1).unwrap_or(u32::MAX);
        low + i64::from(self.below(width))
    }
}

/// The upper half of `bits` as a fraction of `limit`.
fn scale(bits: u64, limit: u32) -> u32 {
    let product = (bits >> 32) * u64::from(limit);
    u32::try_from(product >> 32).unwrap_or_default()
}

/// Chooses an index by weight in constant time (Walker's alias method).
pub struct Choice {
    /// Per slot: below which 32-bit number the slot itself is meant, and which index otherwise.
    slots: Vec<(u32, u32)>,
}

impl Choice {
    /// Weights by Zipf's law: the k-th of `count` is chosen in proportion to 1/k.
    pub fn zipf(count: u32) -> Self {
        let weights = (1..=u64::from(count)).map(|rank| (1 << 40) / rank).collect();
        Self::new(weights)
    }

    fn new(weights: Vec<u64>) -> Self {
        let count = weights.len() as u64;
        let total: u64 = weights.iter().sum();
        // Scaled so that an average slot weighs `total`.
        let mut left: Vec<u128> = weights.iter().map(|weight| u128::from(*weight) * u128::from(count)).collect();
        let total = u128::from(total);
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..left.len()).partition(|index| weight(&left, *index) < total);
        let mut slots: Vec<(u32, u32)> = (0..left.len()).map(|index| (u32::MAX, to_u32(index))).collect();
        while let (Some(poor), Some(rich)) = (small.pop(), large.pop()) {
            let own = weight(&left, poor);
            let below = u32::try_from((own << 32) / total).unwrap_or(u32::MAX);
            if let Some(slot) = slots.get_mut(poor) {
                *slot = (below, to_u32(rich));
            }
            let rest = weight(&left, rich) - (total - own);
            if let Some(weight) = left.get_mut(rich) {
                *weight = rest;
            }
            if rest < total { small.push(rich) } else { large.push(rich) }
        }
        Self { slots }
    }

    /// An index.
    pub fn pick(&self, random: &mut Random) -> u32 {
        let bits = random.next();
        let index = scale(bits, to_u32(self.slots.len()));
        let (below, other) = self.slots.get(index as usize).copied().unwrap_or_default();
        let coin = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        if coin < below { index } else { other }
    }
}

fn weight(weights: &[u128], index: usize) -> u128 {
    weights.get(index).copied().unwrap_or_default()
}

fn to_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_numbers_of_splitmix64() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut random = Random::new(1);
        let numbers: Vec<_> = (0..1000).map(|_| random.between(-3, 3)).collect();
        assert_eq!(numbers.iter().min(), Some(&-3));
        assert_eq!(numbers.iter().max(), Some(&3));
    }

    #[test]
    fn zipf_prefers_the_first_in_proportion() {
        let (choice, mut random) = (Choice::zipf(4), Random::new(2));
        let mut counts = [0_u32; 4];
        for _ in 0..100_000 {
            counts[choice.pick(&mut random) as usize] += 1;
        }
        for (count, expected) in counts.iter().zip([48_000, 24_000, 16_000, 12_000]) {
            assert!(count.abs_diff(expected) < 600, "{counts:?}");
        }
    }
}
