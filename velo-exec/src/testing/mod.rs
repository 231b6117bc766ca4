//! What tests of operators share.

mod random;

pub use random::Random;
