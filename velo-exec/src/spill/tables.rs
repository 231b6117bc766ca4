//! The tables of a state on disk, one set for each shard.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};

use super::{MemoryPool, SpillWriter};
use crate::checkpoint::Chunk;
use crate::checkpoint::state::key_groups;
use crate::error::{ExecError, Result};
use crate::state::{KEY_GROUPS, shared_out};

/// Which shard has each key group.
pub(crate) type Owners = [u16; KEY_GROUPS];

/// Takes the tables that an operator saves, and shares their rows out among shards.
#[derive(Debug)]
pub(crate) struct SpillTables {
    pool: Arc<MemoryPool>,
    owners: Box<Owners>,
    files: BTreeMap<(usize, String), SpillWriter>,
    /// The first thing that went wrong: who saves is not stopped by it.
    failed: Option<ExecError>,
}

/// The tables of one shard.
pub(crate) type Tables = BTreeMap<String, Vec<Chunk>>;

impl SpillTables {
    /// For shards that have the key groups as `owners` says.
    pub(crate) fn new(pool: &Arc<MemoryPool>, owners: &Owners) -> Self {
        let owners = Box::new(*owners);
        Self { pool: Arc::clone(pool), owners, files: BTreeMap::new(), failed: None }
    }

    /// For one that has all.
    pub(crate) fn whole(pool: &Arc<MemoryPool>) -> Self {
        Self::new(pool, &[0; KEY_GROUPS])
    }

    /// Takes rows of a table, with their key groups last; those without are the first shard's.
    pub(crate) fn take(&mut self, table: &str, rows: &RecordBatch) {
        if self.failed.is_none() {
            self.failed = self.try_take(table, rows).err();
        }
    }

    fn try_take(&mut self, table: &str, rows: &RecordBatch) -> Result<()> {
        let Some(groups) = key_groups(table, rows)? else { return self.write(0, table, rows) };
        let (first, last) = (self.owners[0], self.owners[KEY_GROUPS - 1]);
        if first == last && self.owners.iter().all(|owner| *owner == first) {
            return self.write(usize::from(first), table, rows);
        }
        for (shard, places) in places_of(groups.values(), &self.owners) {
            self.write(shard, table, &arrow_select::take::take_record_batch(rows, &places)?)?;
        }
        Ok(())
    }

    fn write(&mut self, shard: usize, table: &str, rows: &RecordBatch) -> Result<()> {
        let file = match self.files.entry((shard, table.to_owned())) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => new.insert(self.pool.folder().create()?),
        };
        file.write(rows)
    }

    /// The tables of each shard that has some.
    ///
    /// # Errors
    ///
    /// [`ExecError::Spill`] where something could not be written.
    pub(crate) fn finish(self) -> Result<BTreeMap<usize, Tables>> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let mut tables: BTreeMap<usize, Tables> = BTreeMap::new();
        for ((shard, table), file) in self.files {
            let file = Chunk::Spilled(Arc::new(file.finish()?));
            tables.entry(shard).or_default().entry(table).or_default().push(file);
        }
        Ok(tables)
    }
}

/// The rows of each shard, by their key groups, in their order.
pub(super) fn places_of(groups: &[u8], owners: &Owners) -> Vec<(usize, UInt32Array)> {
    let shards = owners.iter().map(|owner| usize::from(*owner) + 1).max().unwrap_or(0);
    let of = shared_out(groups, shards, |group| usize::from(owners[usize::from(group)]));
    let some = of.into_iter().enumerate().filter(|(_, places)| !places.is_empty());
    some.map(|(shard, places)| (shard, UInt32Array::from(places))).collect()
}
