//! Keys as dense numbers: a table that gives each distinct key of the rows it sees the next number, and gives keys back.

mod columns;

use arrow_array::ArrayRef;
use arrow_row::RowConverter;
use arrow_schema::DataType;

use super::words::{hash, hash_rest};
use crate::error::{ExecError, Result};

/// One key: its first 16 bytes, its length and its owner, and where the whole key lies if it is longer.
#[derive(Debug, Clone, Copy)]
struct Entry {
    a: u64,
    b: u64,
    /// The length in the lower half ([`NULL`] for a null), the owner in the upper.
    meta: u64,
    offset: u64,
}

/// A key that is looked for.
#[derive(Debug, Clone, Copy)]
struct Key<'a> {
    a: u64,
    b: u64,
    meta: u64,
    /// The whole key, where it can be longer than its two words.
    bytes: &'a [u8],
}

impl Key<'_> {
    fn null(owner: u32) -> Self {
        Self { a: 0, b: 0, meta: meta(NULL, owner), bytes: &[] }
    }

    /// The hash, of which the lower bits choose the slot.
    #[inline(always)]
    fn tag(&self) -> u32 {
        let mut hashed = hash(self.a, self.b, self.meta);
        if self.bytes.len() > INLINE {
            hashed ^= hash_rest(&self.bytes[INLINE..]);
        }
        (hashed >> 32) as u32
    }
}

/// A table has so many slots at least.
const LEAST: usize = 64;
/// A table of up to so many slots lies in the processor's caches.
const CACHED: usize = 1 << 16;
/// The length that stands for a null.
const NULL: u32 = u32::MAX;
/// Keys of up to this many bytes lie in their entry.
const INLINE: usize = 16;

/// How keys are laid out.
#[derive(Debug)]
enum Form {
    /// There are no key columns: one key.
    Empty,
    /// One column of text or bytes.
    Bytes(DataType),
    /// One column of numbers, times or booleans.
    Fixed(DataType),
    /// Anything else: rows of the library's comparable form.
    Rows(RowConverter),
}

/// Gives each distinct key a number, counting from 0 in the order in which keys are first seen.
///
/// Nulls are equal to each other. The hash is not saved anywhere: a checkpoint holds keys as columns.
#[derive(Debug)]
pub struct KeyTable {
    form: Form,
    /// Hash in the upper, number + 1 in the lower half; 0 is free. The lower bits of the hash choose the slot.
    slots: Vec<u64>,
    entries: Vec<Entry>,
    arena: Vec<u8>,
    /// Whether the one key of a table without key columns was seen.
    seen: bool,
}

impl KeyTable {
    /// An empty table for key columns of these types.
    pub fn new(types: &[DataType]) -> Result<Self> {
        Ok(Self { form: Form::of(types)?, slots: vec![0; LEAST], entries: Vec::new(), arena: Vec::new(), seen: false })
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        if matches!(self.form, Form::Empty) { usize::from(self.seen) } else { self.entries.len() }
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.arena.clear();
        self.seen = false;
        self.slots = vec![0; LEAST];
    }

    /// Makes room for so many more keys, so that their slots are not placed anew while they come.
    pub fn reserve(&mut self, keys: usize) {
        if matches!(self.form, Form::Empty) {
            return;
        }
        self.entries.reserve(keys);
        let slots = slots_for(self.entries.len().saturating_add(keys));
        if slots > self.slots.len() {
            self.resize(slots);
        }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<u64>() + self.entries.capacity() * size_of::<Entry>() + self.arena.capacity()
    }

    /// The number of each of `rows` rows' key, into `ids`.
    pub fn intern(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<u32>) -> Result<()> {
        self.intern_of(columns, rows, None, ids)
    }

    /// As [`Self::intern`], for keys that belong to an owner each: equal keys of different owners are different.
    pub fn intern_of(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        owners: Option<&[u32]>,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        ids.clear();
        ids.reserve(rows);
        let form = std::mem::replace(&mut self.form, Form::Empty);
        let result = self.intern_as(&form, columns, rows, owners, ids);
        self.form = form;
        result
    }

    #[inline(always)]
    fn intern_rows<'a>(&mut self, rows: usize, ids: &mut Vec<u32>, key: impl Fn(usize) -> Key<'a>) -> Result<()> {
        let mut from = 0;
        while from < rows && self.slots.len() <= CACHED {
            let key = key(from);
            let tag = key.tag();
            let slot = self.slots[tag as usize & (self.slots.len() - 1)];
            let id = if slot != 0 && (slot >> 32) as u32 == tag && self.is(slot as u32 - 1, &key) {
                slot as u32 - 1
            } else {
                self.find(&key, tag)?
            };
            ids.push(id);
            from += 1;
        }
        if from < rows { self.intern_chunks(from, rows, ids, key) } else { Ok(()) }
    }

    /// In chunks: first all hashes, then all slots, then the comparisons. So the processor waits for many slots at once where
    /// the table is larger than its caches, instead of for one after the other.
    fn intern_chunks<'a>(
        &mut self,
        mut from: usize,
        rows: usize,
        ids: &mut Vec<u32>,
        key: impl Fn(usize) -> Key<'a>,
    ) -> Result<()> {
        const CHUNK: usize = 64;
        let (mut tags, mut found) = ([0_u32; CHUNK], [0_u64; CHUNK]);
        while from < rows {
            let count = CHUNK.min(rows - from);
            for (at, tag) in tags[..count].iter_mut().enumerate() {
                *tag = key(from + at).tag();
            }
            let (slots, mask) = (self.slots.as_slice(), self.slots.len() - 1);
            for (slot, tag) in found.iter_mut().zip(&tags[..count]) {
                *slot = slots[*tag as usize & mask];
            }
            for (at, (tag, slot)) in tags[..count].iter().zip(&found).enumerate() {
                let (key, tag, slot) = (key(from + at), *tag, *slot);
                // A slot that was read before a key of this chunk moved it still names the same key.
                let id = if slot != 0 && (slot >> 32) as u32 == tag && self.is(slot as u32 - 1, &key) {
                    slot as u32 - 1
                } else {
                    self.find(&key, tag)?
                };
                ids.push(id);
            }
            from += count;
        }
        Ok(())
    }

    /// Whether the key with this number is `key`.
    #[inline(always)]
    fn is(&self, id: u32, key: &Key<'_>) -> bool {
        let entry = &self.entries[id as usize];
        entry.a == key.a
            && entry.b == key.b
            && entry.meta == key.meta
            && (key.bytes.len() <= INLINE || self.rest_equals(entry, key.bytes))
    }

    /// The number of one key.
    #[inline(never)]
    fn find(&mut self, key: &Key<'_>, tag: u32) -> Result<u32> {
        let mask = self.slots.len() - 1;
        let mut at = tag as usize;
        loop {
            let slot = self.slots[at & mask];
            if slot == 0 {
                let entry = Entry { a: key.a, b: key.b, meta: key.meta, offset: 0 };
                return self.insert(tag, entry, key.bytes);
            }
            if (slot >> 32) as u32 == tag && self.is(slot as u32 - 1, key) {
                return Ok(slot as u32 - 1);
            }
            at += 1;
        }
    }

    fn rest_equals(&self, entry: &Entry, bytes: &[u8]) -> bool {
        let offset = entry.offset as usize;
        self.arena.get(offset..offset + bytes.len()).is_some_and(|known| known == bytes)
    }

    fn insert(&mut self, tag: u32, mut entry: Entry, bytes: &[u8]) -> Result<u32> {
        let id = u32::try_from(self.entries.len()).ok().filter(|id| *id < u32::MAX - 1);
        let id = id.ok_or_else(|| ExecError::Internal("more than four billion keys in one table".to_owned()))?;
        if bytes.len() > INLINE {
            entry.offset = self.arena.len() as u64;
            self.arena.extend_from_slice(bytes);
        }
        self.entries.push(entry);
        // Rather empty while it is small, so that the first slot is the right one; at most half full later.
        if self.entries.len() * room(self.slots.len()) > self.slots.len() {
            self.resize(self.slots.len() * 2);
        }
        place(&mut self.slots, (u64::from(tag) << 32) | u64::from(id + 1));
        Ok(id)
    }

    fn resize(&mut self, slots: usize) {
        let mut slots = vec![0; slots];
        for slot in self.slots.iter().filter(|slot| **slot != 0) {
            place(&mut slots, *slot);
        }
        self.slots = slots;
    }

    /// Gives a key another number, the next one, as if it had not been seen: its old number stands for nothing any more, and
    /// goes with the next [`KeyTable::retain`]. Not for a table without key columns.
    pub fn renew(&mut self, id: u32) -> Result<u32> {
        let entry = self.entries[id as usize];
        let new = u32::try_from(self.entries.len()).ok().filter(|id| *id < u32::MAX - 1);
        let new = new.ok_or_else(|| ExecError::Internal("more than four billion keys in one table".to_owned()))?;
        let length = entry.meta as u32;
        let from = entry.offset as usize;
        let bytes =
            if length != NULL && length as usize > INLINE { &self.arena[from..from + length as usize] } else { &[] };
        let tag = Key { a: entry.a, b: entry.b, meta: entry.meta, bytes }.tag();
        let mask = self.slots.len() - 1;
        let mut at = tag as usize;
        // Every key that was not renewed has a slot.
        while self.slots[at & mask] as u32 != id + 1 {
            if self.slots[at & mask] == 0 {
                return Err(ExecError::Internal("a key was renewed twice".to_owned()));
            }
            at += 1;
        }
        self.slots[at & mask] = (u64::from(tag) << 32) | u64::from(new + 1);
        self.entries.push(entry);
        Ok(new)
    }

    /// The owner of a key, for a table filled by [`Self::intern_of`].
    pub fn owner(&self, id: u32) -> u32 {
        (self.entries[id as usize].meta >> 32) as u32
    }

    /// Keeps the keys for which `live` is true and numbers them anew, in the same order. The answer has each old key's new
    /// number, or [`KeyTable::DEAD`].
    pub fn retain(&mut self, live: &[bool]) -> Vec<u32> {
        if matches!(self.form, Form::Empty) {
            self.seen &= live.first().is_some_and(|live| *live);
            return vec![if self.seen { 0 } else { Self::DEAD }];
        }
        let mut renumbered = vec![Self::DEAD; self.entries.len()];
        let mut entries = Vec::new();
        let mut arena = Vec::new();
        for (id, entry) in self.entries.iter().enumerate() {
            if !live.get(id).copied().unwrap_or(false) {
                continue;
            }
            renumbered[id] = entries.len() as u32;
            let mut entry = *entry;
            let length = entry.meta as u32;
            if length != NULL && length as usize > INLINE {
                let offset = entry.offset as usize;
                entry.offset = arena.len() as u64;
                arena.extend_from_slice(&self.arena[offset..offset + length as usize]);
            }
            entries.push(entry);
        }
        let mut slots = vec![0; slots_for(entries.len())];
        for slot in self.slots.iter().filter(|slot| **slot != 0) {
            let id = renumbered[(*slot as u32 - 1) as usize];
            if id != Self::DEAD {
                place(&mut slots, (*slot & !u64::from(u32::MAX)) | u64::from(id + 1));
            }
        }
        (self.slots, self.entries, self.arena) = (slots, entries, arena);
        renumbered
    }

    /// Stands for no number.
    pub const DEAD: u32 = u32::MAX;
}

fn meta(length: u32, owner: u32) -> u64 {
    u64::from(length) | (u64::from(owner) << 32)
}

/// How many slots there are at least for each key, in a table of so many.
fn room(slots: usize) -> usize {
    if slots <= CACHED { 4 } else { 2 }
}

/// How many slots a table of so many keys has.
fn slots_for(keys: usize) -> usize {
    let mut slots = LEAST;
    while keys > slots / room(slots) {
        slots *= 2;
    }
    slots
}

/// Puts a slot where its hash says, or behind.
fn place(slots: &mut [u64], slot: u64) {
    let mask = slots.len() - 1;
    let mut at = (slot >> 32) as usize;
    while slots[at & mask] != 0 {
        at += 1;
    }
    slots[at & mask] = slot;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::{Decimal128Array, Float64Array, Int64Array, StringArray};

    use super::*;
    use crate::testing::Random;

    fn interned(table: &mut KeyTable, columns: &[ArrayRef]) -> Vec<u32> {
        let mut ids = Vec::new();
        table.intern(columns, columns[0].len(), &mut ids).unwrap();
        ids
    }

    #[test]
    fn text_of_every_length_with_nulls() {
        let mut random = Random::new(7);
        let mut table = KeyTable::new(&[DataType::Utf8]).unwrap();
        let mut naive: Vec<Option<String>> = Vec::new();
        for _ in 0..50 {
            let values = (0..200)
                .map(|_| {
                    let length = random.below(40) as usize;
                    (length != 39)
                        .then(|| format!("{:>length$}", random.below(9)).chars().take(length).collect::<String>())
                })
                .collect::<Vec<_>>();
            let ids = interned(&mut table, &[Arc::new(StringArray::from(values.clone()))]);
            for (value, id) in values.iter().zip(ids) {
                let expected = naive.iter().position(|known| known == value).unwrap_or_else(|| {
                    naive.push(value.clone());
                    naive.len() - 1
                });
                assert_eq!(id as usize, expected);
            }
        }
        let all = (0..table.len() as u32).collect::<Vec<_>>();
        assert_eq!(table.keys(&all).unwrap()[0].as_string::<i32>(), &StringArray::from(naive));
    }

    #[test]
    fn dead_keys_go_and_the_rest_are_still_found() {
        let mut table = KeyTable::new(&[DataType::Utf8]).unwrap();
        let name = |n: u32| format!("key number {n:08} of many");
        let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..5_000).map(name)));
        interned(&mut table, &[Arc::clone(&names)]);
        let live = (0..5_000).map(|n| n % 3 == 0).collect::<Vec<_>>();
        let renumbered = table.retain(&live);
        assert_eq!(table.len(), 1_667);
        assert_eq!(renumbered[3], 1);
        assert_eq!(renumbered[4], KeyTable::DEAD);
        let again = interned(&mut table, &[names]);
        assert_eq!(again[3], 1);
        assert_eq!(again[4], 1_669);
        assert_eq!(table.len(), 5_000);
        assert_eq!(table.keys(&[1]).unwrap()[0].as_string::<i32>().value(0), name(3));
    }

    #[test]
    fn fixed_width_and_several_columns() {
        let decimals: ArrayRef = Arc::new(
            Decimal128Array::from(vec![Some(5), None, Some(-5), Some(5)]).with_precision_and_scale(18, 4).unwrap(),
        );
        let mut table = KeyTable::new(&[DataType::Decimal128(18, 4)]).unwrap();
        assert_eq!(interned(&mut table, &[Arc::clone(&decimals)]), [0, 1, 2, 0]);
        assert_eq!(&table.keys(&[0, 1, 2, 0]).unwrap()[0], &decimals);

        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        assert_eq!(interned(&mut KeyTable::new(&[DataType::Float64]).unwrap(), &[floats]), [0, 0, 1, 1]);

        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(1), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "", "b", ""]));
        let mut table = KeyTable::new(&[DataType::Int64, DataType::Utf8]).unwrap();
        assert_eq!(interned(&mut table, &[Arc::clone(&numbers), Arc::clone(&texts)]), [0, 1, 2, 1]);
        let back = table.keys(&[0, 1, 2, 1]).unwrap();
        assert_eq!((&back[0], &back[1]), (&numbers, &texts));
    }

    #[test]
    fn equal_keys_of_two_owners_are_two() {
        let mut table = KeyTable::new(&[DataType::Int64]).unwrap();
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 1, 2]));
        let mut ids = Vec::new();
        table.intern_of(&[values], 4, Some(&[0, 7, 0, 7]), &mut ids).unwrap();
        assert_eq!(ids, [0, 1, 0, 2]);
        assert_eq!(table.owner(2), 7);
    }

    #[test]
    fn a_renewed_key_has_another_number() {
        let mut table = KeyTable::new(&[DataType::Utf8]).unwrap();
        let long = "a key that is longer than sixteen bytes";
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some(long), None]));
        assert_eq!(interned(&mut table, &[Arc::clone(&names)]), [0, 1, 2]);
        assert_eq!((table.renew(1).unwrap(), table.renew(2).unwrap(), table.renew(3).unwrap()), (3, 4, 5));
        assert!(table.renew(1).is_err());
        assert_eq!(interned(&mut table, &[Arc::clone(&names)]), [0, 5, 4]);
        // More keys, so that the slots are placed anew.
        let more: ArrayRef = Arc::new(StringArray::from_iter_values((0..5_000).map(|n| format!("more {n}"))));
        interned(&mut table, &[more]);
        assert_eq!(interned(&mut table, &[Arc::clone(&names)]), [0, 5, 4]);
        let live = (0..table.len()).map(|id| !(1..4).contains(&id)).collect::<Vec<_>>();
        table.retain(&live);
        assert_eq!(interned(&mut table, &[Arc::clone(&names)]), [0, 2, 1]);
        assert_eq!(&table.keys(&[0, 2, 1]).unwrap()[0], &names);
    }

    #[test]
    fn room_that_was_made_is_enough() {
        let names = |from: u32| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((from..from + 50_000).map(|n| format!("key {n}"))))
        };
        let (mut reserved, mut other) =
            (KeyTable::new(&[DataType::Utf8]).unwrap(), KeyTable::new(&[DataType::Utf8]).unwrap());
        assert_eq!(interned(&mut reserved, &[names(0)]), interned(&mut other, &[names(0)]));
        // The keys that are there are still found, and those that come.
        reserved.reserve(100_000);
        let slots = reserved.slots.len();
        for from in [50_000, 25_000, 100_000] {
            assert_eq!(interned(&mut reserved, &[names(from)]), interned(&mut other, &[names(from)]));
        }
        assert_eq!((reserved.slots.len(), reserved.len()), (slots, 150_000));
        assert_eq!(other.slots.len(), slots, "as many as without");
        reserved.reserve(0);
        assert_eq!(reserved.slots.len(), slots);
    }

    #[test]
    fn no_key_columns_are_one_key() {
        let mut table = KeyTable::new(&[]).unwrap();
        assert!(table.is_empty());
        let mut ids = Vec::new();
        table.intern(&[], 3, &mut ids).unwrap();
        assert_eq!((ids, table.len()), (vec![0, 0, 0], 1));
    }
}
