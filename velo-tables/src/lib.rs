//! Reference tables: loaded in the order of their dependencies, and looked up by whole batches of keys.
//!
//! [`Tables`] loads them: [`TableGraph`] is their order, a [`Gate`] is passed when they are ready, [`Events`] and [`TableStatus`] tell how far
//! they are, [`TableHealth`] how they are doing. What is loaded, and how it is kept up to date, is said by a [`TableSpec`].
//!
//! [`table()`] makes one: a [`Table`] for those who read it and a [`Writer`] for the one who writes it, which takes up what a checkpoint kept
//! ([`Writer::restore`]).

mod loading;
mod store;

pub use loading::{
    Condition, CycleTable, DeadLetters, Declared, Events, Feed, Gate, GraphError, LoadSettings, NotReady, OnBad,
    Prepare, Prepared, Reload, SourceFeed, Summary, TableEvent, TableGraph, TableHealth, TableNumber, TableSource,
    TableSpec, TableState, TableStatus, Tables, Upkeep, described,
};
pub use store::{StoreSpec, Table, TableCounters, TableCounts, Writer, table};
