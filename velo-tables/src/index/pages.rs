//! The slots of an index: small hash tables, the pages, of which one is split at a time as keys come.
//!
//! A slot has the tag, 24 bits of the hash, and a number. Pages lie behind `Arc`: a version is a list of pages, and a change
//! copies those that it touches. Linear hashing says which page is split next, so the whole never grows at once; within a
//! page the tag says where to look first, so that growing or splitting one reads nothing but its slots.

use std::sync::Arc;

/// Bits of a slot that hold the number.
const NUMBER_BITS: u32 = 40;
const NUMBER: u64 = (1 << NUMBER_BITS) - 1;
const TAG_BITS: u32 = 64 - NUMBER_BITS;
/// The lower bits of the hash choose the page; the first so many are the same for all slots of a page and not in the tag.
const FIRST_BITS: u32 = 6;
/// A page is split when there are so many keys to each.
const KEYS_PER_PAGE: usize = 512;
/// Numbers of a slot are below this.
pub(crate) const NUMBERS: u64 = NUMBER;

/// Slots by hash.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    /// A slot is tag and number + 1; 0 is free. A page always has a free slot.
    pages: Vec<Arc<[u64]>>,
    /// How many slots of each page are in use.
    used: Vec<u16>,
    /// There are between 2^level and twice as many pages.
    level: u32,
    entries: usize,
    slots: usize,
}

/// The tag of a hash.
#[inline(always)]
fn tag_of(hash: u64) -> u64 {
    (hash >> FIRST_BITS) & ((1 << TAG_BITS) - 1)
}

/// Where to look first in a page of so many slots.
#[inline(always)]
fn home(tag: u64, slots: usize) -> usize {
    ((tag * slots as u64) >> TAG_BITS) as usize
}

fn put(page: &mut [u64], slot: u64) {
    let mut at = home(slot >> NUMBER_BITS, page.len());
    while page[at] != 0 {
        at = next(at, page.len());
    }
    page[at] = slot;
}

#[inline(always)]
fn next(at: usize, slots: usize) -> usize {
    if at + 1 == slots { 0 } else { at + 1 }
}

/// The size of a page for so many keys: two of three slots are in use.
fn size_for(keys: usize) -> usize {
    keys + keys / 2 + 2
}

fn page_of(slots: impl Iterator<Item = u64>, keys: usize) -> Arc<[u64]> {
    let mut page: Arc<[u64]> = std::iter::repeat_n(0, size_for(keys)).collect();
    if let Some(page) = Arc::get_mut(&mut page) {
        slots.for_each(|slot| put(page, slot));
    }
    page
}

impl Pages {
    /// No keys.
    pub(crate) fn new() -> Self {
        let pages = vec![page_of(std::iter::empty(), 0); 1 << FIRST_BITS];
        let slots = pages.iter().map(|page| page.len()).sum();
        Self { used: vec![0; pages.len()], pages, level: FIRST_BITS, entries: 0, slots }
    }

    #[inline(always)]
    fn page(&self, hash: u64) -> usize {
        let wide = (hash & ((2 << self.level) - 1)) as usize;
        if wide < self.pages.len() { wide } else { wide & ((1 << self.level) - 1) }
    }

    /// Reads the first slot of each hash, so that it is in the processor's cache when it is looked at: reads that wait for
    /// nothing overlap.
    #[inline(always)]
    pub(crate) fn touch(&self, hashes: &[u64]) {
        let mut sum = 0;
        for hash in hashes {
            let page = &self.pages[self.page(*hash)];
            sum ^= page[home(tag_of(*hash), page.len())];
        }
        std::hint::black_box(sum);
    }

    /// The numbers under the tag of this hash, most of them of this hash.
    #[inline(always)]
    pub(crate) fn candidates(&self, hash: u64) -> Candidates<'_> {
        let page = &self.pages[self.page(hash)];
        let tag = tag_of(hash);
        Candidates { page, tag, at: home(tag, page.len()) }
    }

    /// As [`Self::candidates`], going on behind what [`Candidates::place`] said.
    #[inline(always)]
    pub(crate) fn candidates_from(&self, hash: u64, place: u32) -> Candidates<'_> {
        Candidates { page: &self.pages[self.page(hash)], tag: tag_of(hash), at: place as usize }
    }

    fn slot_of(&self, hash: u64, number: u64) -> Option<(usize, usize)> {
        let page = self.page(hash);
        let slots = &self.pages[page];
        let wanted = (tag_of(hash) << NUMBER_BITS) | (number + 1);
        let mut at = home(tag_of(hash), slots.len());
        while slots[at] != 0 {
            if slots[at] == wanted {
                return Some((page, at));
            }
            at = next(at, slots.len());
        }
        None
    }

    /// Adds a number under a hash.
    pub(crate) fn insert(&mut self, hash: u64, number: u64) {
        let page = self.page(hash);
        let used = usize::from(self.used[page]) + 1;
        let slots = &mut self.pages[page];
        if used * 5 > slots.len() * 4 {
            let grown = page_of(slots.iter().copied().filter(|slot| *slot != 0), used);
            self.slots = self.slots + grown.len() - slots.len();
            *slots = grown;
        }
        put(Arc::make_mut(slots), (tag_of(hash) << NUMBER_BITS) | (number + 1));
        self.used[page] += 1;
        self.entries += 1;
        if self.entries > KEYS_PER_PAGE * self.pages.len() {
            self.split();
        }
    }

    /// Splits the page whose turn it is.
    fn split(&mut self) {
        let source = self.pages.len() - (1 << self.level);
        let bit = NUMBER_BITS + self.level - FIRST_BITS;
        let old = Arc::clone(&self.pages[source]);
        let moved = old.iter().filter(|slot| **slot >> bit & 1 == 1).count();
        let stay = usize::from(self.used[source]) - moved;
        let of = |wanted: u64| old.iter().copied().filter(move |slot| *slot != 0 && *slot >> bit & 1 == wanted);
        let (low, high) = (page_of(of(0), stay), page_of(of(1), moved));
        self.slots = self.slots + low.len() + high.len() - old.len();
        self.pages[source] = low;
        self.pages.push(high);
        self.used[source] = stay as u16;
        self.used.push(moved as u16);
        if self.pages.len() == 2 << self.level {
            self.level += 1;
        }
    }

    /// Puts `new` in the place of `old`; whether that was there.
    pub(crate) fn replace(&mut self, hash: u64, old: u64, new: u64) -> bool {
        let Some((page, at)) = self.slot_of(hash, old) else { return false };
        Arc::make_mut(&mut self.pages[page])[at] = (tag_of(hash) << NUMBER_BITS) | (new + 1);
        true
    }

    /// Takes a number away; whether it was there.
    pub(crate) fn remove(&mut self, hash: u64, number: u64) -> bool {
        let Some((page, mut free)) = self.slot_of(hash, number) else { return false };
        let slots = Arc::make_mut(&mut self.pages[page]);
        let size = slots.len();
        // What follows moves up, unless that would be before the place where it is first looked for.
        let mut at = next(free, size);
        while slots[at] != 0 {
            let from = home(slots[at] >> NUMBER_BITS, size);
            let (to_free, to_at) = ((free + size - from) % size, (at + size - from) % size);
            if to_free <= to_at {
                slots[free] = slots[at];
                free = at;
            }
            at = next(at, size);
        }
        slots[free] = 0;
        self.used[page] -= 1;
        self.entries -= 1;
        true
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        // A page has its two counts before it.
        self.slots * size_of::<u64>()
            + self.pages.len() * 2 * size_of::<usize>()
            + self.pages.capacity() * size_of::<Arc<[u64]>>()
            + self.used.capacity() * size_of::<u16>()
    }
}

/// The numbers under one tag.
#[derive(Debug)]
pub(crate) struct Candidates<'a> {
    page: &'a [u64],
    tag: u64,
    at: usize,
}

impl Candidates<'_> {
    /// Where the search goes on.
    #[inline(always)]
    pub(crate) fn place(&self) -> u32 {
        self.at as u32
    }
}

impl Iterator for Candidates<'_> {
    type Item = u64;

    #[inline(always)]
    fn next(&mut self) -> Option<u64> {
        loop {
            let slot = self.page[self.at];
            if slot == 0 {
                return None;
            }
            self.at = next(self.at, self.page.len());
            if slot >> NUMBER_BITS == self.tag {
                return Some((slot & NUMBER) - 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use velo_testkit::Random;

    use super::*;
    use crate::hash;

    #[test]
    fn equals_a_set_while_a_copy_stays_as_it_was() {
        let mut random = Random::new(7);
        for range in [10, 3_000, 200_000] {
            let (mut pages, mut naive) = (Pages::new(), BTreeSet::new());
            let mut copy: Option<(Pages, BTreeSet<u64>)> = None;
            for step in 0..200_000 {
                let number = random.below(range);
                let hash = hash::of_word(number);
                if random.chance(2, 5) {
                    assert_eq!(pages.remove(hash, number), naive.remove(&number));
                } else if naive.insert(number) {
                    pages.insert(hash, number);
                }
                if step == 100_000 {
                    copy = Some((pages.clone(), naive.clone()));
                }
            }
            let (copied, copied_naive) = copy.unwrap();
            for (pages, naive) in [(&pages, &naive), (&copied, &copied_naive)] {
                assert_eq!(pages.entries, naive.len());
                for number in 0..range {
                    let found = pages.candidates(hash::of_word(number)).any(|candidate| candidate == number);
                    assert_eq!(found, naive.contains(&number), "{number}");
                }
                let slots: usize = pages.pages.iter().map(|page| page.len()).sum();
                assert_eq!(slots, pages.slots);
                assert!(pages.pages.iter().all(|page| page.contains(&0)));
            }
        }
    }

    #[test]
    fn a_key_costs_little() {
        let mut pages = Pages::new();
        let mut most = 0.0_f64;
        for number in 0..1_000_000 {
            pages.insert(hash::of_word(number), number);
            if number > 100_000 && number % 1_000 == 0 {
                most = most.max(pages.bytes() as f64 / number as f64);
            }
        }
        assert!(most < 13.5, "{most} bytes a key");
    }
}
