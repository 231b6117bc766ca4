//! `cargo xtask services`: real systems for tests, as plain processes on loopback, with their data under `target/`.

mod command;
mod postgres;
mod python;

pub use command::{Args, run};
pub use postgres::Postgres;
pub use python::python_with;
