//! A bound for the memory of a job's state: what does not fit goes to disk.
//!
//! A [`MemoryPool`] counts what the operators of a job keep. Where that comes near `max.memory.mb`, an operator that goes by key is
//! cut into *shards*, each with a range of the key groups and an operator of its own ([`Spilling`]): as many as there is room for stay
//! in memory, the others lie on disk as the tables that a checkpoint would have of them. Rows for a shard on disk wait in its
//! queue, which goes to disk too where it is long, until it is the shard's turn. This is the hybrid hash algorithm of DeWitt and
//! others ("Implementation Techniques for Main Memory Database Systems", 1984), with checkpoints for its partitions: so whatever can be
//! saved and shared out anew can be spilled, with the same results.

mod counters;
mod file;
mod memory;
mod operator;
mod queue;
mod shards;
mod tables;

pub use file::{SpillFile, SpillFolder, SpillReader, SpillWriter};
pub use memory::{MemoryPool, MemoryUse};
pub use operator::{KeysOf, Spilling};
pub(crate) use tables::{SpillTables, Tables};
