//! Reference tables: loaded in the order of their dependencies, and looked up by whole batches of keys.
//!
//! [`Tables`] loads them: [`TableGraph`] is their order, a [`Gate`] is passed when they are ready, [`Events`] and [`TableStatus`] tell how far
//! they are, [`TableHealth`] how they are doing. What is loaded, and how it is kept up to date, is said by a [`TableSpec`].
//!
//! [`table()`] makes one: a [`Table`] for those who read it and a [`Writer`] for the one who writes it. [`save`] and [`load`] keep it over a
//! restart.

mod apply;
mod board;
mod events;
mod follow;
mod graph;
mod hash;
mod index;
mod load;
mod loader;
mod lookup;
mod marks;
mod merge;
mod ops;
mod progress;
mod readiness;
mod refresh;
mod reload;
mod segments;
mod snapshot;
mod spec;
mod state;
mod status;
mod table;
mod versions;
mod writer;

pub use events::{Events, TableEvent};
pub use graph::{CycleTable, Declared, GraphError, TableGraph, TableNumber};
pub use loader::{LoadSettings, Tables};
pub use readiness::{Gate, NotReady, described};
pub use snapshot::{Saved, load, save};
pub use spec::{DeadLetters, Feed, OnBad, Prepare, Prepared, Reload, SourceFeed, TableSource, TableSpec, Upkeep};
pub use status::{Condition, Summary, TableHealth, TableState, TableStatus};
pub use table::{StoreSpec, Table, TableCounters, TableCounts, table};
pub use writer::Writer;
