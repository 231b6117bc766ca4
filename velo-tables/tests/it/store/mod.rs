//! What a table holds, finds, tells its followers and saves.

mod errors;
mod follow;
mod keyed;
mod keyless;
mod memory;
mod readers;
mod reload;
mod rows;
mod snapshot;
mod versions;
