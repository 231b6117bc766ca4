//! Rules of the house that no compiler checks, one file each. `cargo xtask tidy` and a test run the same function, so that
//! `cargo test` alone tells the truth.

mod arrow;
mod banned;
mod command;
mod finding;
mod headers;
mod includes;
mod layers;
mod manifests;
mod paths;
mod size;
mod source;
mod tree;

pub use command::{Args, run};
#[cfg(test)]
pub use source::Source;
pub use tree::Tree;
