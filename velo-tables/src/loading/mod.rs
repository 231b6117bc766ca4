//! How tables come to be: their order, their loads and refreshes, the gate before them, and how far they are.

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
