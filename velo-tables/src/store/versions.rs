//! The versions of each key by event time: which row was the newest at a time, in whatever order they came.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use velo_core::error::Result;
use velo_core::lookup::TableRow;

use crate::store::index::{CHUNK, KeyColumns, Keys, Paged, Pages};
use crate::store::segments::Segments;

/// A row, or the end of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// Its event time in microseconds.
    pub(crate) time: i64,
    /// Twice its position; one more where it is a delete.
    mark: u64,
}

impl Version {
    fn new(time: i64, position: u64, gone: bool) -> Self {
        Self { time, mark: position * 2 + u64::from(gone) }
    }

    /// The position of the row, or of the delete.
    pub(crate) fn position(self) -> u64 {
        self.mark / 2
    }

    /// Whether there is no row from here on.
    pub(crate) fn gone(self) -> bool {
        self.mark % 2 == 1
    }
}

/// The versions of all keys.
#[derive(Debug, Clone)]
pub(crate) struct Histories {
    keys: Arc<KeyColumns>,
    /// From a key's hash to the number of its history.
    pages: Pages,
    /// By number: ascending by time, one version for each time, none empty but those that are free.
    lists: Paged<Arc<Vec<Version>>>,
    free: Vec<u64>,
    bytes: usize,
}

/// When which history has something to forget: kept by the writer alone.
#[derive(Debug, Default)]
pub(crate) struct Due {
    heap: BinaryHeap<Reverse<(i64, u64)>>,
}

fn bytes_of(list: &Vec<Version>) -> usize {
    // The list, its two counts and its three words.
    list.capacity() * size_of::<Version>() + 5 * size_of::<usize>()
}

impl Histories {
    /// Of no rows.
    pub(crate) fn new(keys: Arc<KeyColumns>) -> Self {
        Self { keys, pages: Pages::new(), lists: Paged::default(), free: Vec::new(), bytes: 0 }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.bytes() + self.lists.bytes() + self.bytes + self.free.capacity() * size_of::<u64>()
    }

    /// Adds the version that lies at `position`; of equal times the later one stands. Gives the position of the version that it
    /// took the place of.
    pub(crate) fn insert(
        &mut self,
        segments: &Segments,
        hash: u64,
        position: u64,
        (time, gone): (i64, bool),
        due: &mut Due,
    ) -> Result<Option<u64>> {
        let version = Version::new(time, position, gone);
        let mut number = None;
        for candidate in self.pages.candidates(hash) {
            if self.keys.same((segments, self.first(candidate)), (segments, position))? {
                number = Some(candidate);
                break;
            }
        }
        let Some(number) = number else {
            let list = vec![version];
            self.bytes += bytes_of(&list);
            let number = match self.free.pop() {
                Some(number) => {
                    *self.lists.get_mut(number) = Arc::new(list);
                    number
                }
                None => self.lists.push(Arc::new(list)),
            };
            self.pages.insert(hash, number);
            if gone {
                due.heap.push(Reverse((time, number)));
            }
            return Ok(None);
        };
        // Before a copy, which takes what it needs.
        let before = bytes_of(self.lists.get(number));
        let list = Arc::make_mut(self.lists.get_mut(number));
        let at = list.partition_point(|other| other.time <= time);
        let replaced = match at.checked_sub(1).and_then(|last| list.get_mut(last)) {
            Some(last) if last.time == time => {
                let replaced = last.position();
                *last = version;
                Some(replaced)
            }
            _ => {
                list.insert(at, version);
                None
            }
        };
        // A version ends the one before it, and a delete can go itself when nothing is before it.
        due.heap.push(Reverse((time, number)));
        if at == 0
            && let Some(next) = list.get(1)
        {
            due.heap.push(Reverse((next.time, number)));
        }
        self.bytes = self.bytes + bytes_of(list) - before;
        Ok(replaced)
    }

    /// A position under which the key of a history can be read.
    fn first(&self, number: u64) -> u64 {
        self.lists.get(number).first().map_or(0, |version| version.position())
    }

    /// Forgets what nobody can ask for who asks for no time before `time`: of each key the newest version not after it stays, unless it is a
    /// delete. Gives the positions that were forgotten.
    pub(crate) fn forget_before(
        &mut self,
        segments: &Segments,
        time: i64,
        due: &mut Due,
        forgotten: &mut Vec<u64>,
    ) -> Result<()> {
        let mut emptied = Vec::new();
        while let Some(Reverse((at, number))) = due.heap.peek().copied()
            && at <= time
        {
            due.heap.pop();
            let list = self.lists.get(number);
            let newest = list.partition_point(|version| version.time <= time);
            // Nothing where another entry of the queue has seen to it.
            let Some(newest) = newest.checked_sub(1) else { continue };
            let upto = newest + usize::from(list[newest].gone());
            if upto == 0 {
                continue;
            }
            let key = list[0].position();
            let before = bytes_of(self.lists.get(number));
            let list = Arc::make_mut(self.lists.get_mut(number));
            forgotten.extend(list.drain(..upto).map(Version::position));
            if list.capacity() > 4 * list.len() + 4 {
                list.shrink_to_fit();
            }
            let empty = list.is_empty();
            self.bytes = self.bytes + bytes_of(list) - before;
            if empty {
                self.bytes -= bytes_of(list);
                emptied.push((number, key));
            }
        }
        for keys in emptied.chunks(CHUNK) {
            let positions: Vec<u64> = keys.iter().map(|(_, position)| *position).collect();
            let rows = segments.rows(&positions).map_err(crate::store::index::failed)?;
            let columns = self.keys.of(&rows);
            let hashed = self.keys.keys(&columns)?;
            for ((number, _), hash) in keys.iter().zip(&hashed.hashes) {
                self.pages.remove(*hash, *number);
                self.free.push(*number);
            }
        }
        Ok(())
    }

    /// Every history that is not free.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[Version]> {
        self.lists.iter().map(|list| list.as_slice()).filter(|list| !list.is_empty())
    }

    /// The row of each key that was the newest at its time.
    pub(crate) fn find(
        &self,
        segments: &Segments,
        keys: &Keys<'_>,
        times: &[i64],
        found: &mut Vec<TableRow>,
    ) -> Result<()> {
        found.clear();
        found.resize(keys.hashes.len(), TableRow::NONE);
        let (mut places, mut pairs, mut addresses, mut equal) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for from in (0..keys.hashes.len()).step_by(CHUNK) {
            let hashes = &keys.hashes[from..keys.hashes.len().min(from + CHUNK)];
            pairs.clear();
            self.pages.places(hashes, &mut places);
            for (at, (hash, place)) in hashes.iter().zip(&places).enumerate() {
                if keys.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(from + at)) {
                    pairs.extend(place.candidates(*hash).map(|number| (from + at, number)));
                }
            }
            addresses.clear();
            addresses.extend(pairs.iter().map(|(_, number)| segments.address(self.first(*number))));
            equal.clear();
            equal.resize(pairs.len(), true);
            self.keys.compare(keys, |at| pairs[at].0, segments, &addresses, &mut equal)?;
            for ((key, number), _) in pairs.iter().zip(&equal).filter(|(_, equal)| **equal) {
                let list = self.lists.get(*number);
                let newest = list.partition_point(|version| version.time <= times[*key]);
                if let Some(version) = newest.checked_sub(1).map(|at| list[at])
                    && !version.gone()
                {
                    found[*key] = TableRow(version.position());
                }
            }
        }
        Ok(())
    }
}
