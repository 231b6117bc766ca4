//! Benches through the real binary, beside DuckDB and beside an earlier revision, in the same run: machines are noisy, so
//! ratios count.

mod base;
mod command;
mod data;
mod decoder;
mod duckdb;
mod figures;
mod latency;
mod nexmark;
mod output;
mod scale;
mod task;
mod timed;

pub use command::{Args, run};
