//! Operators at work: chains that are stepped, and the tasks that drive them.

mod chain;

pub use chain::Chain;
