//! From keys to rows: an index over one or several columns, unique or not, and the search of a whole batch in it.
//!
//! A batch is searched in rounds: all first slots are read, then the slots under each key's tag, then the keys of the rows that
//! those name, a column at a time; so reads that miss the cache overlap. What was another key under the same tag goes on in
//! the next round.

mod keys;
mod lists;
mod pages;
mod whole;

use std::sync::Arc;

use velo_core::error::Result;
use velo_core::lookup::{Matches, TableRow};

pub(crate) use keys::{KeyColumns, Keys, failed, nulls_of};
pub(crate) use lists::{List, Paged};
pub(crate) use pages::{NUMBERS, Pages, Place};
pub(crate) use whole::{Layout, Part};

use crate::store::segments::{Address, Segments};

/// So many keys are searched at a time, and values gathered: what is asked for ahead finds room in the nearest cache.
pub(crate) const CHUNK: usize = 128;
/// A key with more rows than this has them in a list of their own.
const FEW: usize = 8;
/// Numbers of slots from here on are those of lists.
pub(crate) const LISTS: u64 = NUMBERS / 2;

/// An index over columns.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    pub(crate) keys: Arc<KeyColumns>,
    pages: Pages,
    /// The rows of keys that have many.
    lists: Paged<List>,
    free: Vec<u64>,
    /// Rows with a NULL among their columns. They are in the pages where NULLs are equal.
    pub(crate) nulls: u64,
    /// Rows whose key another row has too, but for one of each key.
    repeats: u64,
    /// Bytes of the lists.
    listed: usize,
}

impl Index {
    /// Of no rows.
    pub(crate) fn new(keys: Arc<KeyColumns>) -> Self {
        Self { keys, pages: Pages::new(), lists: Paged::default(), free: Vec::new(), nulls: 0, repeats: 0, listed: 0 }
    }

    /// Of rows that are all there, each key having one.
    pub(crate) fn of_parts(keys: Arc<KeyColumns>, layout: Layout, parts: Vec<Part>) -> Self {
        Self { pages: Pages::of_parts(layout, parts), ..Self::new(keys) }
    }

    /// Whether each key has one row at most.
    pub(crate) fn is_unique(&self) -> bool {
        self.repeats == 0
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.bytes() + self.lists.bytes() + self.listed + self.free.capacity() * size_of::<u64>()
    }

    /// Reads the first slots of these hashes ahead.
    pub(crate) fn touch(&self, hashes: &[u64]) {
        self.pages.touch(hashes);
    }

    /// Reads ahead what is read and written where keys of these hashes are put or taken away.
    pub(crate) fn touch_to_change(&self, hashes: &[u64]) {
        self.pages.touch_to_change(hashes);
    }

    /// Of a unique index: the position under the key of the row at `position`, which is not in it. `found` is what the search
    /// of the whole batch gave for that key, before the rows from `fresh` on went in.
    pub(crate) fn current(
        &self,
        segments: &Segments,
        hash: u64,
        position: u64,
        found: Option<u64>,
        fresh: u64,
    ) -> Result<Option<u64>> {
        for candidate in self.pages.candidates(hash) {
            let same = found == Some(candidate)
                || (candidate >= fresh && self.keys.same((segments, candidate), (segments, position))?);
            if same {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    /// Of a unique index: adds a row whose key has none.
    pub(crate) fn insert_new(&mut self, hash: u64, position: u64) {
        self.pages.insert(hash, position);
    }

    /// Of a unique index: puts a row in the place of another one with the same key.
    pub(crate) fn replace(&mut self, hash: u64, old: u64, new: u64) {
        self.pages.replace(hash, old, new);
    }

    /// Of a unique index: takes a row away.
    pub(crate) fn take(&mut self, hash: u64, position: u64) {
        self.pages.remove(hash, position);
    }

    /// Adds a row.
    pub(crate) fn insert(&mut self, segments: &Segments, hash: u64, position: u64) -> Result<()> {
        let (mut under_tag, mut repeated) = (0, false);
        for candidate in self.pages.candidates(hash) {
            if candidate >= LISTS {
                let list = candidate - LISTS;
                if self.keys.same((segments, self.lists.get(list).first()), (segments, position))? {
                    // Before a copy, which takes what it needs.
                    self.listed -= self.lists.get(list).bytes();
                    let list = self.lists.get_mut(list);
                    list.insert(position);
                    self.listed += list.bytes();
                    self.repeats += 1;
                    return Ok(());
                }
                continue;
            }
            under_tag += 1;
            repeated = repeated || self.keys.same((segments, candidate), (segments, position))?;
        }
        self.repeats += u64::from(repeated);
        if under_tag >= FEW {
            let mut same = Vec::with_capacity(under_tag + 1);
            for candidate in self.pages.candidates(hash).filter(|candidate| *candidate < LISTS) {
                if self.keys.same((segments, candidate), (segments, position))? {
                    same.push(candidate);
                }
            }
            if same.len() >= FEW {
                for candidate in &same {
                    self.pages.remove(hash, *candidate);
                }
                same.push(position);
                same.sort_unstable();
                let list = List::new(same);
                self.listed += list.bytes();
                let number = match self.free.pop() {
                    Some(number) => {
                        *self.lists.get_mut(number) = list;
                        number
                    }
                    None => self.lists.push(list),
                };
                self.pages.insert(hash, LISTS + number);
                return Ok(());
            }
        }
        self.pages.insert(hash, position);
        Ok(())
    }

    /// Takes a row away, which is still among the segments.
    pub(crate) fn remove(&mut self, segments: &Segments, hash: u64, position: u64) -> Result<()> {
        if self.pages.remove(hash, position) {
            if self.repeats > 0 {
                for candidate in self.pages.candidates(hash).filter(|candidate| *candidate < LISTS) {
                    if self.keys.same((segments, candidate), (segments, position))? {
                        self.repeats -= 1;
                        break;
                    }
                }
            }
            return Ok(());
        }
        let number = self.pages.candidates(hash).filter(|candidate| *candidate >= LISTS).map(|number| number - LISTS);
        if let Some(number) = { number }.find(|number| self.lists.get(*number).has(position)) {
            self.listed -= self.lists.get(number).bytes();
            let list = self.lists.get_mut(number);
            list.remove(position);
            self.listed += list.bytes();
            if list.is_empty() {
                self.pages.remove(hash, LISTS + number);
                self.free.push(number);
            } else {
                self.repeats -= 1;
            }
        }
        Ok(())
    }

    /// The first row with the key of a row of `other`, whose hash this is.
    pub(crate) fn first_same(&self, segments: &Segments, hash: u64, other: (&Segments, u64)) -> Result<Option<u64>> {
        let mut first: Option<u64> = None;
        for candidate in self.pages.candidates(hash) {
            let row = if candidate >= LISTS { self.lists.get(candidate - LISTS).first() } else { candidate };
            if first.is_none_or(|first| row < first) && self.keys.same((segments, row), other)? {
                first = Some(row);
            }
        }
        Ok(first)
    }

    /// The last row of each key, or [`TableRow::NONE`].
    pub(crate) fn find_last(&self, segments: &Segments, keys: &Keys<'_>, found: &mut Vec<TableRow>) -> Result<()> {
        found.clear();
        if !self.is_unique() {
            let mut matches = Matches::default();
            found.resize(keys.hashes.len(), TableRow::NONE);
            self.find_pairs(segments, keys, &mut matches, true)?;
            for (key, row) in matches.keys.iter().zip(&matches.rows) {
                found[*key as usize] = *row;
            }
            return Ok(());
        }
        found.reserve(keys.hashes.len());
        let mut search = Search::default();
        for from in (0..keys.hashes.len()).step_by(CHUNK) {
            self.search_chunk(segments, keys, from, &mut search, found)?;
        }
        Ok(())
    }

    /// One chunk of keys, of which each has one row at most.
    fn search_chunk<'a>(
        &'a self,
        segments: &Segments,
        keys: &Keys<'_>,
        from: usize,
        search: &mut Search<'a>,
        found: &mut Vec<TableRow>,
    ) -> Result<()> {
        let hashes = &keys.hashes[from..keys.hashes.len().min(from + CHUNK)];
        let Search { places, addresses, equal, pending } = search;
        self.pages.places(hashes, places);
        for (at, (hash, place)) in hashes.iter().zip(places.iter()).enumerate() {
            let sought = keys.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(from + at));
            let candidate = if sought { place.candidates(*hash).next() } else { None };
            found.push(candidate.map_or(TableRow::NONE, |number| TableRow(self.row_of(number))));
        }
        segments.addresses(&found[from..], addresses);
        equal.clear();
        equal.extend(found[from..].iter().map(|row| row.is_some()));
        self.keys.compare(keys, |at| from + at, segments, addresses, equal)?;
        // Another key under the same tag: the search goes on behind it.
        pending.clear();
        let others = equal.iter().enumerate().filter(|(at, equal)| !**equal && found[from + at].is_some());
        pending.extend(others.map(|(at, _)| (from + at) as u32));
        let mut round = 0;
        while !pending.is_empty() {
            round += 1;
            addresses.clear();
            equal.clear();
            for key in pending.iter() {
                let at = *key as usize;
                let candidate = self.pages.candidates(keys.hashes[at]).nth(round).map(|number| self.row_of(number));
                equal.push(candidate.is_some());
                addresses.push(candidate.map_or((0, 0), |position| segments.address(position)));
                found[at] = candidate.map_or(TableRow::NONE, TableRow);
            }
            self.keys.compare(keys, |at| pending[at] as usize, segments, addresses, equal)?;
            let mut at = 0;
            pending.retain(|key| {
                at += 1;
                !equal[at - 1] && found[*key as usize].is_some()
            });
        }
        Ok(())
    }

    /// The row that stands for a slot: of a list its first.
    #[inline(always)]
    fn row_of(&self, number: u64) -> u64 {
        if number >= LISTS { self.lists.get(number - LISTS).first() } else { number }
    }

    /// All rows of each key; `matches` is emptied first.
    pub(crate) fn find(&self, segments: &Segments, keys: &Keys<'_>, matches: &mut Matches) -> Result<()> {
        matches.clear();
        self.find_pairs(segments, keys, matches, false)
    }

    fn find_pairs(&self, segments: &Segments, keys: &Keys<'_>, matches: &mut Matches, last: bool) -> Result<()> {
        let (mut places, mut pairs, mut addresses, mut equal) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for from in (0..keys.hashes.len()).step_by(CHUNK) {
            let hashes = &keys.hashes[from..keys.hashes.len().min(from + CHUNK)];
            pairs.clear();
            self.pages.places(hashes, &mut places);
            for (at, (hash, place)) in hashes.iter().zip(&places).enumerate() {
                if keys.nulls.as_ref().is_some_and(|nulls| nulls.is_null(from + at)) {
                    continue;
                }
                pairs.extend(place.candidates(*hash).map(|number| ((from + at) as u32, number)));
            }
            addresses.clear();
            addresses.extend(pairs.iter().map(|(_, number)| segments.address(self.row_of(*number))));
            equal.clear();
            equal.resize(pairs.len(), true);
            self.keys.compare(keys, |at| pairs[at].0 as usize, segments, &addresses, &mut equal)?;
            let mut begin = (u32::MAX, 0);
            for ((key, number), _) in pairs.iter().zip(&equal).filter(|(_, equal)| **equal) {
                if begin.0 != *key {
                    begin = (*key, matches.rows.len());
                }
                if *number >= LISTS {
                    let list = self.lists.get(*number - LISTS);
                    match last {
                        true => matches.rows.push(TableRow(list.last())),
                        false => matches.rows.extend(list.iter().map(TableRow)),
                    }
                } else {
                    // In the order in which they came, which is that of the positions.
                    let mut at = matches.rows.len();
                    while at > begin.1 && matches.rows[at - 1].0 > *number {
                        at -= 1;
                    }
                    matches.rows.insert(at, TableRow(*number));
                }
                matches.keys.resize(matches.rows.len(), *key);
            }
        }
        Ok(())
    }
}

/// What a search uses again for the next chunk.
#[derive(Debug, Default)]
struct Search<'a> {
    places: Vec<Place<'a>>,
    addresses: Vec<Address>,
    equal: Vec<bool>,
    pending: Vec<u32>,
}
