//! What tests of operators share.

mod harness;
mod random;

pub use harness::{Harness, rows_as_text};
pub use random::Random;
