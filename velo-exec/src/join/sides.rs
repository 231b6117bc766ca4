//! The rows of one side of a join of changing inputs: each distinct row once, with how often it is there and how many partners
//! it has.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::SchemaRef;
use velo_core::{Batch, schema};

use super::kept::{KeptRows, RowRef};
use super::keys::NO_KEY;
use crate::error::{ExecError, Result};
use crate::state::{KeyTable, Ttl, is_sparse, keep};

/// A row, as often as it is there. Of rows that only come each is one of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// Where its values lie.
    pub(crate) row: RowRef,
    /// How often it is there; less than zero where it was taken before it came, zero where it is no row.
    pub(crate) count: i64,
    /// Rows of the other side that it pairs with.
    pub(crate) matches: i64,
    /// Rows of the other side of which nobody knows whether they equal it, because of a NULL.
    pub(crate) unknown: i64,
    pub(crate) key: u32,
    /// The number of its other keys, where the join asks for a membership.
    pub(crate) group: u32,
    /// The number of the whole row, where rows can be taken back.
    identity: u32,
    /// Its place among the rows of its key, or among those with a NULL of its group.
    place: u32,
    /// Its place among the rows of its group.
    group_place: u32,
}

/// By number: lists of rows.
type Lists = Vec<Vec<u32>>;

/// One side.
#[derive(Debug)]
pub(crate) struct HeldSide {
    pub(crate) rows: KeptRows,
    held: Vec<Held>,
    free: Vec<u32>,
    pub(crate) by_key: Lists,
    /// Where the join asks for a membership: by group, all rows, and those whose member is NULL.
    pub(crate) by_group: Lists,
    pub(crate) nulls: Lists,
    membership: bool,
    /// Whole rows, where they can be taken back, and by their numbers the rows that are held.
    identities: Option<KeyTable>,
    of_identity: Vec<u32>,
    pub(crate) ttl: Option<Ttl>,
}

/// Numbers of a row that comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) key: u32,
    pub(crate) group: u32,
    pub(crate) identity: u32,
}

impl HeldSide {
    /// No rows yet of an input with these columns.
    pub(crate) fn new(
        rows: KeptRows,
        input: &SchemaRef,
        retracts: bool,
        membership: bool,
        ttl: Option<Ttl>,
    ) -> Result<Self> {
        let visible = schema::visible(input);
        let types = visible.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        Ok(Self {
            rows,
            held: Vec::new(),
            free: Vec::new(),
            by_key: Lists::new(),
            by_group: Lists::new(),
            nulls: Lists::new(),
            membership,
            identities: retracts.then(|| KeyTable::new(&types)).transpose()?,
            of_identity: Vec::new(),
            ttl,
        })
    }

    /// The numbers of whole rows, where they can be taken back.
    pub(crate) fn identify(&mut self, batch: &Batch, ids: &mut Vec<u32>) -> Result<()> {
        ids.clear();
        let Some(identities) = &mut self.identities else {
            ids.resize(batch.rows(), KeyTable::DEAD);
            return Ok(());
        };
        let columns = batch.columns.columns();
        let visible = schema::event_time_index(batch.columns.schema_ref()).unwrap_or(columns.len());
        identities.intern(&columns[..visible], batch.rows(), ids)?;
        self.of_identity.resize(identities.len(), KeyTable::DEAD);
        Ok(())
    }

    /// The row that is held under a whole row's number.
    pub(crate) fn of_identity(&self, identity: u32) -> Option<u32> {
        self.of_identity.get(identity as usize).copied().filter(|held| *held != KeyTable::DEAD)
    }

    pub(crate) fn get(&self, held: u32) -> &Held {
        &self.held[held as usize]
    }

    pub(crate) fn get_mut(&mut self, held: u32) -> &mut Held {
        &mut self.held[held as usize]
    }

    /// There are so many keys, and so many groups.
    pub(crate) fn resize(&mut self, keys: usize, groups: usize) {
        self.by_key.resize_with(keys, Vec::new);
        if self.membership {
            self.by_group.resize_with(groups, Vec::new);
            self.nulls.resize_with(groups, Vec::new);
        }
    }

    /// Holds a row, `count` times; its number.
    pub(crate) fn insert(&mut self, row: RowRef, numbers: Numbers, count: i64) -> Result<u32> {
        let mut new = Held {
            row,
            count,
            matches: 0,
            unknown: 0,
            key: numbers.key,
            group: numbers.group,
            identity: numbers.identity,
            place: 0,
            group_place: 0,
        };
        let many = || ExecError::Internal("a join holds more than four billion rows".to_owned());
        let number = match self.free.pop() {
            Some(number) => number,
            None => u32::try_from(self.held.len()).ok().filter(|number| *number < NO_KEY).ok_or_else(many)?,
        };
        if let Some((list, group)) = self.lists(&new) {
            new.place = list.len() as u32;
            list.push(number);
            if let Some(group) = group {
                new.group_place = group.len() as u32;
                group.push(number);
            }
        }
        if let Some(of_identity) = self.of_identity.get_mut(numbers.identity as usize) {
            *of_identity = number;
        }
        self.rows.set_owner(row, number);
        match self.held.get_mut(number as usize) {
            Some(place) => *place = new,
            None => self.held.push(new),
        }
        Ok(number)
    }

    /// The lists that a row belongs to: that of its key or of the NULLs of its group, and that of its group.
    fn lists(&mut self, held: &Held) -> Option<(&mut Vec<u32>, Option<&mut Vec<u32>>)> {
        let group = (self.membership && held.group != NO_KEY).then_some(held.group as usize);
        if held.key != NO_KEY {
            let of_group = group.and_then(|group| self.by_group.get_mut(group));
            return Some((&mut self.by_key[held.key as usize], of_group));
        }
        let group = group?;
        Some((&mut self.nulls[group], self.by_group.get_mut(group)))
    }

    /// A row is there no more. Its values can be read until the side is compacted.
    pub(crate) fn remove(&mut self, number: u32) {
        let gone = self.held[number as usize];
        let mut others = [None, None];
        if let Some((list, group)) = self.lists(&gone) {
            list.swap_remove(gone.place as usize);
            others[0] = list.get(gone.place as usize).copied();
            if let Some(group) = group {
                group.swap_remove(gone.group_place as usize);
                others[1] = group.get(gone.group_place as usize).copied();
            }
        }
        if let Some(other) = others[0] {
            self.held[other as usize].place = gone.place;
        }
        if let Some(other) = others[1] {
            self.held[other as usize].group_place = gone.group_place;
        }
        if let Some(of_identity) = self.of_identity.get_mut(gone.identity as usize) {
            *of_identity = KeyTable::DEAD;
        }
        if let Some(ttl) = &mut self.ttl {
            ttl.forget(number);
        }
        self.rows.release(gone.row);
        self.held[number as usize].count = 0;
        self.free.push(number);
    }

    /// The numbers of the rows that are held.
    pub(crate) fn alive(&self) -> Vec<u32> {
        let alive = self.held.iter().enumerate().filter(|(_, held)| held.count != 0);
        alive.map(|(number, _)| number as u32).collect()
    }

    /// The columns that are kept of some rows.
    pub(crate) fn kept(&self, numbers: &[u32]) -> Result<Vec<ArrayRef>> {
        let rows = numbers.iter().map(|number| self.get(*number).row).collect::<Vec<_>>();
        self.rows.columns(&rows)
    }

    /// All columns of the input of some rows, where they can be taken back; `kept` are those that are kept, the event time
    /// last, and `places` their places.
    pub(crate) fn whole(
        &self,
        numbers: &[u32],
        input: &SchemaRef,
        kept: &[ArrayRef],
        places: &[usize],
    ) -> Result<Option<Vec<ArrayRef>>> {
        let Some(identities) = &self.identities else { return Ok(None) };
        let ids = numbers.iter().map(|number| self.get(*number).identity).collect::<Vec<_>>();
        let mut columns = identities.keys(&ids)?;
        if schema::event_time_index(input).is_some() {
            columns.extend(kept.last().map(Arc::clone));
        }
        // What is shown is what came, also where other values of the key table are equal to it.
        for (place, column) in places.iter().zip(kept) {
            columns[*place] = Arc::clone(column);
        }
        Ok(Some(columns))
    }

    /// How many rows are held, equal ones once.
    pub(crate) fn len(&self) -> usize {
        self.held.len() - self.free.len()
    }

    /// Gives back the memory of rows that are gone.
    pub(crate) fn compact(&mut self) -> Result<()> {
        self.rows.collect();
        if self.rows.is_scattered() {
            let held = &mut self.held;
            self.rows.compact(|moved| {
                if let Some(held) = held.get_mut(moved.owner as usize) {
                    held.row = moved.to;
                }
            })?;
        }
        let alive = self.len();
        if let Some(identities) = self.identities.as_mut().filter(|_| is_sparse(alive, self.of_identity.len())) {
            let stays = self.of_identity.iter().map(|held| *held != KeyTable::DEAD).collect::<Vec<_>>();
            let numbers = identities.retain(&stays);
            keep(&mut self.of_identity, &stays);
            for held in self.of_identity.iter() {
                let identity = &mut self.held[*held as usize].identity;
                *identity = numbers[*identity as usize];
            }
        }
        Ok(())
    }

    /// Keys have other numbers now.
    pub(crate) fn renumber_keys(&mut self, numbers: &[u32], stays: &[bool]) {
        keep(&mut self.by_key, stays);
        for held in self.by_key.iter().flatten() {
            let key = &mut self.held[*held as usize].key;
            *key = numbers[*key as usize];
        }
    }

    /// Groups have other numbers now.
    pub(crate) fn renumber_groups(&mut self, numbers: &[u32], stays: &[bool]) {
        keep(&mut self.by_group, stays);
        keep(&mut self.nulls, stays);
        for held in self.by_group.iter().flatten() {
            let group = &mut self.held[*held as usize].group;
            *group = numbers[*group as usize];
        }
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let lists = [&self.by_key, &self.by_group, &self.nulls].into_iter().flatten();
        let lists = lists.map(|list| size_of::<Vec<u32>>() + list.capacity() * 4).sum::<usize>();
        let identities = self.identities.as_ref().map_or(0, KeyTable::memory) + self.of_identity.capacity() * 4;
        let ttl = self.ttl.as_ref().map_or(0, Ttl::memory);
        self.rows.memory() + self.held.capacity() * size_of::<Held>() + lists + identities + ttl
    }
}
