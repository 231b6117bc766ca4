//! Made-up rows for benches: the same seed gives the same bytes, on any machine.

mod command;
mod digits;
mod orders;
mod random;
mod stations;
mod trades;

pub use command::{Args, SEED, What, run, write};
