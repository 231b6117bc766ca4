//! The slots of an index: small hash tables, the pages, of which one is split at a time as keys come.
//!
//! A slot has the tag, 24 bits of the hash, and a number. Eight slots are a bucket, which is one line of the processor's cache: a key
//! is in the bucket that its tag names, or in the next ones where that was full. Pages lie behind `Arc`: a version is a list of
//! pages, and a change copies those that it touches. Linear hashing says which page is split next, so the whole never grows at once;
//! growing or splitting a page reads nothing but its slots.

use std::sync::Arc;

use prefetch_index::prefetch_index;
use velo_core::error::Result;

/// Bits of a slot that hold the number.
const NUMBER_BITS: u32 = 40;
const NUMBER: u64 = (1 << NUMBER_BITS) - 1;
const TAG_BITS: u32 = 64 - NUMBER_BITS;
/// The lower bits of the hash choose the page; the first so many are the same for all slots of a page and not in the tag.
pub(super) const FIRST_BITS: u32 = 6;
/// A page is split when there are so many keys to each.
pub(super) const KEYS_PER_PAGE: usize = 512;
/// Numbers of a slot are below this.
pub(crate) const NUMBERS: u64 = NUMBER;
/// Slots of a bucket.
const SLOTS: usize = 8;

/// Slots that are read together: tag and number + 1, those in use first; 0 is free.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Bucket([u64; SLOTS]);

impl Bucket {
    #[inline(always)]
    fn is_full(&self) -> bool {
        self.0[SLOTS - 1] != 0
    }

    fn push(&mut self, slot: u64) -> bool {
        match self.0.iter_mut().find(|free| **free == 0) {
            Some(free) => {
                *free = slot;
                true
            }
            None => false,
        }
    }

    /// The slots under a tag, a bit each. All are compared, whichever it is: which one would be nothing to foresee.
    #[inline(always)]
    fn under(&self, tag: u64) -> u32 {
        let wanted = tag << NUMBER_BITS;
        let mut mask = 0;
        for (at, slot) in self.0.iter().enumerate() {
            mask |= u32::from((slot ^ wanted) <= NUMBER) << at;
        }
        // A free slot looks like one of the tag 0.
        if tag == 0 { mask & self.used() } else { mask }
    }

    fn used(&self) -> u32 {
        self.0.iter().enumerate().map(|(at, slot)| u32::from(*slot != 0) << at).sum()
    }

    /// Takes a slot out; the last one takes its place.
    fn take(&mut self, at: usize) {
        let last = self.0.iter().rposition(|slot| *slot != 0).unwrap_or(at);
        self.0[at] = self.0[last];
        self.0[last] = 0;
    }
}

/// Slots by hash.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    /// A page always has a free slot.
    pages: Vec<Arc<[Bucket]>>,
    /// How many slots of each page are in use.
    used: Vec<u16>,
    /// There are between 2^level and twice as many pages.
    level: u32,
    entries: usize,
    buckets: usize,
}

/// The tag of a hash.
#[inline(always)]
fn tag_of(hash: u64) -> u64 {
    (hash >> FIRST_BITS) & ((1 << TAG_BITS) - 1)
}

/// The bucket of a tag in a page of so many.
#[inline(always)]
fn home(tag: u64, buckets: usize) -> usize {
    ((tag * buckets as u64) >> TAG_BITS) as usize
}

#[inline(always)]
fn next(at: usize, buckets: usize) -> usize {
    if at + 1 == buckets { 0 } else { at + 1 }
}

fn put(page: &mut [Bucket], slot: u64) {
    let mut at = home(slot >> NUMBER_BITS, page.len());
    while !page[at].push(slot) {
        at = next(at, page.len());
    }
}

/// What stands in a page for a number under a hash.
pub(super) fn slot(hash: u64, number: u64) -> u64 {
    (tag_of(hash) << NUMBER_BITS) | (number + 1)
}

/// The slot of the number under this hash that is the `same`, or the free one where it would be put. The page has one.
pub(super) fn free_or_same(page: &mut [Bucket], hash: u64, same: impl Fn(u64) -> Result<bool>) -> Result<&mut u64> {
    let tag = tag_of(hash);
    let mut at = home(tag, page.len());
    loop {
        for place in 0..SLOTS {
            let slot = page[at].0[place];
            if slot == 0 || (slot >> NUMBER_BITS == tag && same(Pages::number(slot))?) {
                return Ok(&mut page[at].0[place]);
            }
        }
        at = next(at, page.len());
    }
}

/// The size of a page for so many keys: four of nine slots are in use. Were it more, many a bucket would be full, and what is not in
/// its own bucket costs a second wait for memory.
pub(super) fn page_of(slots: impl Iterator<Item = u64>, keys: usize) -> Arc<[Bucket]> {
    let size = (2 * keys + keys / 4) / SLOTS + 1;
    let mut page: Arc<[Bucket]> = std::iter::repeat_n(Bucket::default(), size).collect();
    let buckets = Arc::make_mut(&mut page);
    slots.for_each(|slot| put(buckets, slot));
    page
}

pub(super) fn slots_of(page: &[Bucket]) -> impl Iterator<Item = u64> + '_ {
    page.iter().flat_map(|bucket| bucket.0).filter(|slot| *slot != 0)
}

impl Pages {
    /// No keys.
    pub(crate) fn new() -> Self {
        let pages = vec![page_of(std::iter::empty(), 0); 1 << FIRST_BITS];
        let used = vec![0; pages.len()];
        Self::new_with(pages, used, FIRST_BITS)
    }

    /// Pages with so many slots in use each, between 2^`level` and twice as many.
    pub(super) fn new_with(pages: Vec<Arc<[Bucket]>>, used: Vec<u16>, level: u32) -> Self {
        let entries = used.iter().map(|used| usize::from(*used)).sum();
        Self { entries, buckets: pages.iter().map(|page| page.len()).sum(), pages, used, level }
    }

    #[inline(always)]
    fn page(&self, hash: u64) -> usize {
        Self::page_among(hash, self.pages.len(), self.level)
    }

    /// The page of a hash where there are so many of them, between 2^`level` and twice as many.
    #[inline(always)]
    pub(super) fn page_among(hash: u64, pages: usize, level: u32) -> usize {
        let wide = (hash & ((2 << level) - 1)) as usize;
        if wide < pages { wide } else { wide & ((1 << level) - 1) }
    }

    /// The number of a slot.
    #[inline(always)]
    pub(super) fn number(slot: u64) -> u64 {
        (slot & NUMBER) - 1
    }

    /// The bucket of each hash, which is asked for, so that it is in the processor's cache when it is looked at.
    #[inline(always)]
    pub(crate) fn places<'a>(&'a self, hashes: &[u64], places: &mut Vec<Place<'a>>) {
        places.clear();
        places.extend(hashes.iter().map(|hash| {
            let place = self.place(*hash);
            prefetch_index(place.page, place.bucket);
            place
        }));
    }

    /// As [`Self::places`], for those who go there later.
    pub(crate) fn touch(&self, hashes: &[u64]) {
        for hash in hashes {
            let place = self.place(*hash);
            prefetch_index(place.page, place.bucket);
        }
    }

    /// As [`Self::touch`], for those who change something there: whether a page is shared stands beside it.
    pub(crate) fn touch_to_change(&self, hashes: &[u64]) {
        let shared = |hash: &u64| Arc::strong_count(&self.pages[self.page(*hash)]);
        std::hint::black_box(hashes.iter().map(shared).fold(0, |sum, shared| sum ^ shared));
        self.touch(hashes);
    }

    #[inline(always)]
    fn place(&self, hash: u64) -> Place<'_> {
        let page = &*self.pages[self.page(hash)];
        Place { page, bucket: home(tag_of(hash), page.len()) }
    }

    /// The numbers under the tag of this hash, most of them of this hash.
    #[inline(always)]
    pub(crate) fn candidates(&self, hash: u64) -> Candidates<'_> {
        self.place(hash).candidates(hash)
    }

    /// Page, bucket and slot of a number.
    fn slot_of(&self, hash: u64, number: u64) -> Option<(usize, usize, usize)> {
        let page = self.page(hash);
        let buckets = &self.pages[page];
        let wanted = slot(hash, number);
        let mut at = home(tag_of(hash), buckets.len());
        loop {
            if let Some(slot) = buckets[at].0.iter().position(|slot| *slot == wanted) {
                return Some((page, at, slot));
            }
            if !buckets[at].is_full() {
                return None;
            }
            at = next(at, buckets.len());
        }
    }

    /// Adds a number under a hash.
    pub(crate) fn insert(&mut self, hash: u64, number: u64) {
        let page = self.page(hash);
        let used = usize::from(self.used[page]) + 1;
        let buckets = &mut self.pages[page];
        if used * 20 > buckets.len() * SLOTS * 11 {
            let grown = page_of(slots_of(buckets), used);
            self.buckets = self.buckets + grown.len() - buckets.len();
            *buckets = grown;
        }
        put(Arc::make_mut(buckets), slot(hash, number));
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
        let moved = slots_of(&old).filter(|slot| slot >> bit & 1 == 1).count();
        let stay = usize::from(self.used[source]) - moved;
        let of = |wanted: u64| slots_of(&old).filter(move |slot| slot >> bit & 1 == wanted);
        let (low, high) = (page_of(of(0), stay), page_of(of(1), moved));
        self.buckets = self.buckets + low.len() + high.len() - old.len();
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
        let Some((page, bucket, place)) = self.slot_of(hash, old) else { return false };
        Arc::make_mut(&mut self.pages[page])[bucket].0[place] = slot(hash, new);
        true
    }

    /// Takes a number away; whether it was there.
    pub(crate) fn remove(&mut self, hash: u64, number: u64) -> bool {
        let Some((page, mut hole, slot)) = self.slot_of(hash, number) else { return false };
        let buckets = Arc::make_mut(&mut self.pages[page]);
        let size = buckets.len();
        let mut was_full = buckets[hole].is_full();
        buckets[hole].take(slot);
        // Where a bucket was full, slots of its own may have gone to the next ones: one of them comes back.
        let mut at = hole;
        while was_full {
            at = next(at, size);
            if at == hole {
                break;
            }
            let full = buckets[at].is_full();
            let comes_back = buckets[at].0.iter().position(|slot| {
                let from = home(slot >> NUMBER_BITS, size);
                // It has passed the hole on its way from where it belongs.
                *slot != 0 && (hole + size - from) % size < (at + size - from) % size
            });
            if let Some(slot) = comes_back {
                let moved = buckets[at].0[slot];
                buckets[hole].push(moved);
                buckets[at].take(slot);
                hole = at;
            }
            was_full = full;
        }
        self.used[page] -= 1;
        self.entries -= 1;
        true
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        // A page has its two counts before it, in a line of their own.
        (self.buckets + self.pages.len()) * size_of::<Bucket>()
            + self.pages.capacity() * size_of::<Arc<[Bucket]>>()
            + self.used.capacity() * size_of::<u16>()
    }
}

/// A bucket of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    page: &'a [Bucket],
    bucket: usize,
}

impl<'a> Place<'a> {
    /// As [`Pages::candidates`], from the bucket of that hash on.
    #[inline(always)]
    pub(crate) fn candidates(self, hash: u64) -> Candidates<'a> {
        let tag = tag_of(hash);
        Candidates { place: self, tag, mask: self.page[self.bucket].under(tag) }
    }
}

/// The numbers under one tag.
#[derive(Debug, Clone)]
pub(crate) struct Candidates<'a> {
    place: Place<'a>,
    tag: u64,
    /// Slots of this bucket that are still to come.
    mask: u32,
}

impl Iterator for Candidates<'_> {
    type Item = u64;

    #[inline(always)]
    fn next(&mut self) -> Option<u64> {
        let Place { page, bucket } = &mut self.place;
        while self.mask == 0 {
            if !page[*bucket].is_full() {
                return None;
            }
            *bucket = next(*bucket, page.len());
            self.mask = page[*bucket].under(self.tag);
        }
        let slot = page[*bucket].0[self.mask.trailing_zeros() as usize % SLOTS];
        self.mask &= self.mask - 1;
        Some(Pages::number(slot))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use velo_testkit::Random;

    use super::*;
    use crate::store::hash;

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
                assert_eq!(pages.pages.iter().map(|page| page.len()).sum::<usize>(), pages.buckets);
                assert!(pages.pages.iter().all(|page| page.iter().any(|bucket| !bucket.is_full())));
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
        assert!(most < 19.0, "{most} bytes a key");
    }
}
