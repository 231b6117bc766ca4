//! Reference tables: loaded in the order of their dependencies, and looked up by whole batches of keys.
//!
//! [`Tables`] loads them: [`TableGraph`] is their order, a [`Gate`] is passed when they are ready, [`Events`] and [`TableStatus`] tell how far
//! they are, [`TableHealth`] how they are doing. What a table is made of is said by a [`TableSpec`].

mod board;
mod events;
mod graph;
mod load;
mod loader;
mod progress;
mod readiness;
mod refresh;
mod spec;
mod status;

pub use events::{Events, TableEvent};
pub use graph::{CycleTable, Declared, GraphError, TableGraph, TableNumber};
pub use loader::{LoadSettings, Tables};
pub use readiness::{Gate, NotReady, described};
pub use spec::{DeadLetters, Feed, OnBad, Prepare, Prepared, Reload, SourceFeed, TableSource, TableSpec, Upkeep};
pub use status::{Condition, Summary, TableHealth, TableState, TableStatus};
