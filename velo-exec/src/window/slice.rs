//! The state of one slice, or of one window.

use std::sync::Arc;

use arrow_array::ArrayRef;

use super::id_map::IdMap;
use crate::aggregate::{AggregatePlan, AggregateSet, Inputs, RowOrder};
use crate::error::Result;

/// Aggregates of the keys that have rows in a slice.
#[derive(Debug)]
pub struct SliceState {
    set: AggregateSet,
    /// By group: the key's number.
    keys: Vec<u32>,
    map: IdMap,
    /// How many rows went in.
    rows: u64,
    groups: Vec<u32>,
}

impl SliceState {
    /// A slice without rows.
    pub fn new(plan: &Arc<AggregatePlan>) -> Result<Self> {
        let set = AggregateSet::new(plan)?;
        Ok(Self { set, keys: Vec::new(), map: IdMap::default(), rows: 0, groups: Vec::new() })
    }

    /// The numbers of its keys, by group.
    pub fn keys(&self) -> &[u32] {
        &self.keys
    }

    /// How many rows went in.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The aggregates, by group.
    pub fn set(&mut self) -> &mut AggregateSet {
        &mut self.set
    }

    /// Takes rows of keys with these numbers; `keys` is the number of keys that there are.
    pub fn update(&mut self, ids: &[u32], keys: usize, inputs: &Inputs, order: &RowOrder) -> Result<()> {
        self.rows += ids.len() as u64;
        self.find(ids, keys);
        self.set.update(&self.groups, self.keys.len(), inputs, order)
    }

    /// Takes states of keys with these numbers, which stand for `rows` rows.
    pub fn merge(&mut self, ids: &[u32], keys: usize, state: &[ArrayRef], rows: u64) -> Result<()> {
        self.rows += rows;
        self.find(ids, keys);
        self.set.merge(&self.groups, self.keys.len(), state)
    }

    fn find(&mut self, ids: &[u32], keys: usize) {
        self.groups.clear();
        self.groups.reserve(ids.len());
        for id in ids {
            let fresh = self.keys.len() as u32;
            let (group, new) = self.map.get_or(*id, fresh, keys);
            if new {
                self.keys.push(*id);
            }
            self.groups.push(group);
        }
    }

    /// The states of all groups, with the numbers of their keys.
    pub fn seal(mut self) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
        let all = (0..self.keys.len() as u32).collect::<Vec<_>>();
        let state = self.set.state(&all, true)?;
        Ok((self.keys, state))
    }

    /// Changes the numbers of keys to those of a rebuilt key table.
    pub fn renumber(&mut self, renumbered: &[u32], keys: usize) {
        self.map.clear();
        for (group, key) in self.keys.iter_mut().enumerate() {
            *key = renumbered[*key as usize];
            self.map.get_or(*key, group as u32, keys);
        }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.set.memory() + self.keys.capacity() * 4 + self.map.memory()
    }
}
