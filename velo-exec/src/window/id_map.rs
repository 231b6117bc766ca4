//! Key numbers to the groups of one slice.

/// Key number to group. Dense where that costs no more than a few bytes for each group, else a small hash table: a slice with
/// ten of a million keys must not take four megabytes.
#[derive(Debug, Default)]
pub(super) struct IdMap {
    /// By key number; [`NONE`] where there is no group. Empty while the table is used.
    dense: Vec<u32>,
    /// Key in the upper, group + 1 in the lower half; 0 is free.
    slots: Vec<u64>,
    len: usize,
}

const NONE: u32 = u32::MAX;
/// So many key numbers are always dense.
const SMALL: usize = 4_096;
/// Above that, the table turns dense when it has one group for so many numbers.
const SPARSE: usize = 16;

impl IdMap {
    /// The group of `key`, which becomes `fresh` where it has none; `keys` is the number of keys there are. Also whether it
    /// was new.
    #[inline(always)]
    pub(super) fn get_or(&mut self, key: u32, fresh: u32, keys: usize) -> (u32, bool) {
        match self.dense.get_mut(key as usize) {
            Some(group) if *group != NONE => (*group, false),
            Some(group) => {
                *group = fresh;
                self.len += 1;
                (fresh, true)
            }
            None => self.miss(key, fresh, keys),
        }
    }

    #[inline(never)]
    fn miss(&mut self, key: u32, fresh: u32, keys: usize) -> (u32, bool) {
        if keys <= SMALL || self.len * SPARSE >= keys {
            self.make_dense(keys.max(key as usize + 1));
            return self.get_or(key, fresh, keys);
        }
        if !self.dense.is_empty() {
            // There are many more keys than before; what is here turns into a table.
            let groups = std::mem::take(&mut self.dense);
            self.slots = vec![0; (self.len * 2 + 2).next_power_of_two()];
            for (known, group) in groups.iter().enumerate().filter(|(_, group)| **group != NONE) {
                put(&mut self.slots, known as u32, *group);
            }
        }
        if (self.len + 1) * 2 > self.slots.len() {
            let slots = std::mem::take(&mut self.slots);
            self.slots = vec![0; ((self.len + 1) * 4).next_power_of_two()];
            for slot in slots.into_iter().filter(|slot| *slot != 0) {
                put(&mut self.slots, (slot >> 32) as u32, slot as u32 - 1);
            }
        }
        let mask = self.slots.len() - 1;
        let mut at = spread(key, mask);
        loop {
            let slot = self.slots[at & mask];
            if slot == 0 {
                self.slots[at & mask] = (u64::from(key) << 32) | u64::from(fresh + 1);
                self.len += 1;
                return (fresh, true);
            }
            if (slot >> 32) as u32 == key {
                return (slot as u32 - 1, false);
            }
            at += 1;
        }
    }

    fn make_dense(&mut self, keys: usize) {
        self.dense.resize(keys, NONE);
        for slot in std::mem::take(&mut self.slots).into_iter().filter(|slot| *slot != 0) {
            self.dense[(slot >> 32) as usize] = slot as u32 - 1;
        }
    }

    pub(super) fn clear(&mut self) {
        self.dense.clear();
        self.slots.clear();
        self.len = 0;
    }

    pub(super) fn memory(&self) -> usize {
        self.dense.capacity() * 4 + self.slots.capacity() * 8
    }
}

fn spread(key: u32, mask: usize) -> usize {
    (u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask
}

fn put(slots: &mut [u64], key: u32, group: u32) {
    let mask = slots.len() - 1;
    let mut at = spread(key, mask);
    while slots[at & mask] != 0 {
        at += 1;
    }
    slots[at & mask] = (u64::from(key) << 32) | u64::from(group + 1);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::testing::Random;

    #[test]
    fn equals_a_map() {
        let mut random = Random::new(3);
        for keys in [1, 100, 5_000, 1_000_000] {
            let (mut map, mut naive) = (IdMap::default(), HashMap::new());
            let mut grown = 1;
            for _ in 0..20_000 {
                grown = (grown + random.below(keys) as usize / 50 + 1).min(keys as usize);
                let key = random.below(grown as u64) as u32;
                let fresh = naive.len() as u32;
                let expected = *naive.entry(key).or_insert(fresh);
                assert_eq!(map.get_or(key, fresh, grown), (expected, expected == fresh));
            }
        }
    }
}
