//! Made-up rows: the sources `datagen` and `nexmark`, and the sinks `print` and `blackhole`.
//!
//! A [`generator::Generator`] makes rows out of their numbers and a seed, and of nothing else: so a source can go on at any
//! row, chunks can be made by several workers at once, and the rows are the same whatever the batches are. [`stream`] and
//! [`table`] are what the runtime reads; [`datagen`] and [`nexmark`] are two generators with their connectors.

mod blackhole;
mod datagen;
mod generator;
mod nexmark;
mod print;
pub mod properties;
mod random;
mod stream;
mod table;

use std::sync::Arc;

use velo_core::connector::Connector;

pub use blackhole::BlackholeConnector;
pub use datagen::DatagenConnector;
pub use nexmark::NexmarkConnector;
pub use print::PrintConnector;

/// The connectors of this crate.
pub fn connectors() -> [Arc<dyn Connector>; 4] {
    [Arc::new(BlackholeConnector), Arc::new(DatagenConnector), Arc::new(NexmarkConnector), Arc::new(PrintConnector)]
}
