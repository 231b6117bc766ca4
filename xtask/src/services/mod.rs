//! `cargo xtask services`: real systems for tests, as plain processes on loopback, with their data under `target/`.

mod command;
mod postgres;

pub use command::{Args, run};
pub use postgres::Postgres;
