//! All functions: those of the library, and ours where it has none or other rules.

pub mod arithmetic;
pub mod cast;
mod registry;

pub use registry::Functions;
