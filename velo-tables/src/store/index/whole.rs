//! The slots of an index over rows that are all there: each page is made once, of its size, and ranges of pages on several threads.

use std::ops::Range;
use std::sync::Arc;

use velo_core::error::Result;

use super::pages::{Bucket, FIRST_BITS, KEYS_PER_PAGE, Pages, free_or_same, page_of, slot, slots_of};

/// How many pages there are for a number of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pages: usize,
    level: u32,
}

/// The pages of a range.
#[derive(Debug)]
pub(crate) struct Part {
    pages: Vec<Arc<[Bucket]>>,
    used: Vec<u16>,
    /// Rows whose key a later one has.
    pub(crate) replaced: Vec<u64>,
}

impl Layout {
    /// For so many rows.
    pub(crate) fn new(rows: usize) -> Self {
        let pages = rows.div_ceil(KEYS_PER_PAGE).max(1 << FIRST_BITS);
        Self { pages, level: pages.ilog2() }
    }

    /// Ranges of pages with at most about so many rows each.
    pub(crate) fn ranges(self, rows: usize) -> impl Iterator<Item = Range<usize>> {
        let pages = (rows / KEYS_PER_PAGE).max(1);
        (0..self.pages).step_by(pages).map(move |from| from..self.pages.min(from + pages))
    }

    #[inline(always)]
    fn page(self, hash: u64) -> usize {
        Pages::page_among(hash, self.pages, self.level)
    }

    /// Makes a range of pages. The hash of the row at each position is at its place; of rows with one key, which `same` finds among
    /// those of one hash, the last stands.
    pub(crate) fn part(
        self,
        range: Range<usize>,
        hashes: &[u64],
        same: impl Fn(u64, u64) -> Result<bool>,
    ) -> Result<Part> {
        let mut part = Part { pages: Vec::with_capacity(range.len()), used: Vec::new(), replaced: Vec::new() };
        // The rows of each page, one page behind the other, in the order of their positions.
        let mut ends = vec![0_usize; range.len() + 1];
        let of_range = |hash: u64| self.page(hash).checked_sub(range.start).filter(|page| *page < range.len());
        for page in hashes.iter().filter_map(|hash| of_range(*hash)) {
            ends[page + 1] += 1;
        }
        (1..ends.len()).for_each(|page| ends[page] += ends[page - 1]);
        let mut rows = vec![(0, 0); ends[range.len()]];
        for (position, hash) in hashes.iter().enumerate() {
            if let Some(page) = of_range(*hash) {
                rows[ends[page]] = (*hash, position as u64);
                ends[page] += 1;
            }
        }
        let same = |a: u64, b: u64| Ok(hashes[a as usize] == hashes[b as usize] && same(a, b)?);
        let mut from = 0;
        for end in &ends[..range.len()] {
            let (page, used) = page_with(&rows[from..*end], same, &mut part.replaced)?;
            part.pages.push(page);
            part.used.push(used);
            from = *end;
        }
        Ok(part)
    }
}

/// One page of rows, each with its hash and position, and how many of them stand.
fn page_with(
    rows: &[(u64, u64)],
    same: impl Fn(u64, u64) -> Result<bool>,
    replaced: &mut Vec<u64>,
) -> Result<(Arc<[Bucket]>, u16)> {
    // More keys are rare in one page; more rows may be those of few keys.
    let mut room = rows.len().min(4 * KEYS_PER_PAGE);
    let mut page = page_of(std::iter::empty(), room);
    let mut used = 0;
    for (hash, position) in rows {
        if used == room {
            room *= 2;
            page = page_of(slots_of(&page), room);
        }
        let place = free_or_same(Arc::make_mut(&mut page), *hash, |other| same(other, *position))?;
        match std::mem::replace(place, slot(*hash, *position)) {
            0 => used += 1,
            old => replaced.push(Pages::number(old)),
        }
    }
    if used < room {
        page = page_of(slots_of(&page), used);
    }
    Ok((page, used as u16))
}

impl Pages {
    /// All parts of a layout, in their order.
    pub(crate) fn of_parts(layout: Layout, parts: Vec<Part>) -> Self {
        let (mut pages, mut used) = (Vec::with_capacity(layout.pages), Vec::with_capacity(layout.pages));
        for part in parts {
            pages.extend(part.pages);
            used.extend(part.used);
        }
        Self::new_with(pages, used, layout.level)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use velo_testkit::Random;

    use super::*;
    use crate::store::hash;

    #[test]
    fn equals_a_map_of_the_last_rows() {
        let mut random = Random::new(3);
        for (keys, rows) in [(1, 0), (1, 1), (1, 100_000), (50, 3_000), (30_000, 60_000), (1 << 40, 70_000)] {
            let of_row: Vec<u64> = (0..rows).map(|_| random.below(keys)).collect();
            let hashes: Vec<u64> = of_row.iter().map(|key| hash::of_word(*key)).collect();
            let layout = Layout::new(rows);
            let same = |a: u64, b: u64| Ok(of_row[a as usize] == of_row[b as usize]);
            let parts: Vec<_> = layout.ranges(5_000).map(|range| layout.part(range, &hashes, same).unwrap()).collect();
            let replaced: usize = parts.iter().map(|part| part.replaced.len()).sum();
            let mut pages = Pages::of_parts(layout, parts);
            let mut last = HashMap::new();
            for (position, key) in of_row.iter().enumerate() {
                last.insert(*key, position as u64);
            }
            assert_eq!(replaced, rows - last.len());
            for (key, position) in &last {
                let found: Vec<u64> = pages.candidates(hash::of_word(*key)).collect();
                assert!(found.contains(position) && found.iter().all(|found| last[&of_row[*found as usize]] == *found));
            }
            // Grows and shrinks as one that has grown.
            for (key, position) in last {
                assert!(pages.remove(hash::of_word(key), position));
                pages.insert(hash::of_word(key), position + 1);
                assert!(pages.remove(hash::of_word(key), position + 1));
            }
        }
    }
}
