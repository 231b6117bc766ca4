//! The demo: bars that Velo makes from real ticks, beside the bars that the vendor of the ticks publishes.

mod bars;
mod command;
mod compare;

pub use command::{Args, run};
