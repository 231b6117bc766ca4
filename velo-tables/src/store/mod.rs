//! What a table holds: segments of columns that never change, indexes over them, versions that readers take and a writer publishes.

mod apply;
mod first;
mod follow;
mod gather;
mod hash;
mod index;
mod lookup;
mod marks;
mod merge;
mod ops;
mod reload;
mod segments;
mod snapshot;
mod state;
mod table;
mod versions;
mod writer;

pub use table::{StoreSpec, Table, TableCounters, TableCounts, table};
pub use writer::Writer;
