//! All functions: those of the library, and ours where it has none or other rules.

mod aggregates;
pub mod arithmetic;
pub mod cast;
pub(crate) mod grouping;
mod registry;
mod time;

pub use registry::Functions;
