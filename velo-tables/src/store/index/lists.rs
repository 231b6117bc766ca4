//! The rows of a key that has many, and vectors that versions share a page at a time.

use std::sync::Arc;

/// Elements of one page.
const PAGE: usize = 256;
/// Positions of one part of a list.
const PART: usize = 512;

/// A vector of which a change copies one page.
#[derive(Debug, Clone)]
pub(crate) struct Paged<T> {
    pages: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<T: Clone> Paged<T> {
    /// The element of a number that was given.
    #[inline(always)]
    pub(crate) fn get(&self, number: u64) -> &T {
        &self.pages[number as usize / PAGE][number as usize % PAGE]
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, number: u64) -> &mut T {
        &mut Arc::make_mut(&mut self.pages[number as usize / PAGE])[number as usize % PAGE]
    }

    /// Adds an element, and gives its number.
    pub(crate) fn push(&mut self, element: T) -> u64 {
        if self.len.is_multiple_of(PAGE) {
            self.pages.push(Arc::new(Vec::with_capacity(PAGE)));
        }
        if let Some(page) = self.pages.last_mut() {
            Arc::make_mut(page).push(element);
        }
        self.len += 1;
        self.len as u64 - 1
    }

    /// All elements.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter())
    }

    /// Bytes of the pages, without what the elements hold elsewhere.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.len() * (PAGE * size_of::<T>() + 5 * size_of::<usize>())
            + self.pages.capacity() * size_of::<Arc<Vec<T>>>()
    }
}

/// Positions in ascending order, in parts that versions share.
#[derive(Debug, Clone, Default)]
pub(crate) struct List {
    parts: Vec<Arc<Vec<u64>>>,
}

impl List {
    /// Of positions in ascending order.
    pub(crate) fn new(positions: Vec<u64>) -> Self {
        Self { parts: vec![Arc::new(positions)] }
    }

    /// The first. A list that is in an index has one.
    pub(crate) fn first(&self) -> u64 {
        self.parts.first().and_then(|part| part.first()).copied().unwrap_or(0)
    }

    /// The last.
    pub(crate) fn last(&self) -> u64 {
        self.parts.last().and_then(|part| part.last()).copied().unwrap_or(0)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.parts.iter().flat_map(|part| part.iter().copied())
    }

    fn part_of(&self, position: u64) -> usize {
        self.parts.partition_point(|part| part.last().is_some_and(|last| *last < position))
    }

    /// Whether a position is in it.
    pub(crate) fn has(&self, position: u64) -> bool {
        self.parts.get(self.part_of(position)).is_some_and(|part| part.binary_search(&position).is_ok())
    }

    /// Adds a position, which is mostly the last.
    pub(crate) fn insert(&mut self, position: u64) {
        let at = self.part_of(position).min(self.parts.len().saturating_sub(1));
        let Some(part) = self.parts.get_mut(at) else {
            self.parts.push(Arc::new(vec![position]));
            return;
        };
        if part.len() < PART {
            let part = Arc::make_mut(part);
            part.insert(part.partition_point(|other| *other < position), position);
        } else if part.last().is_some_and(|last| *last < position) {
            self.parts.insert(at + 1, Arc::new(vec![position]));
        } else {
            let mut lower = part.to_vec();
            let upper = lower.split_off(PART / 2);
            self.parts[at] = Arc::new(lower);
            self.parts.insert(at + 1, Arc::new(upper));
            self.insert(position);
        }
    }

    /// Takes a position away.
    pub(crate) fn remove(&mut self, position: u64) {
        let at = self.part_of(position);
        let Some(part) = self.parts.get_mut(at) else { return };
        if let Ok(place) = part.binary_search(&position) {
            let part = Arc::make_mut(part);
            part.remove(place);
            if part.is_empty() {
                self.parts.remove(at);
            }
        }
    }

    /// Bytes of memory beside the list itself.
    pub(crate) fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| part.capacity() * size_of::<u64>() + 5 * size_of::<usize>());
        self.parts.len() * size_of::<Arc<Vec<u64>>>() + parts.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use velo_testkit::Random;

    use super::*;

    #[test]
    fn a_list_equals_a_set() {
        let mut random = Random::new(5);
        let (mut list, mut naive) = (List::default(), BTreeSet::new());
        for step in 0..50_000 {
            let position = random.below(3_000);
            let add = if step < 30_000 { random.chance(3, 5) } else { random.chance(1, 5) };
            if !add {
                naive.remove(&position);
                list.remove(position);
            } else if naive.insert(position) {
                list.insert(position);
            }
            assert_eq!(list.has(position), naive.contains(&position));
            assert_eq!(list.is_empty(), naive.is_empty());
        }
        assert!(list.iter().eq(naive.iter().copied()));
        assert_eq!((list.first(), list.last()), (*naive.first().unwrap(), *naive.last().unwrap()));
    }
}
