//! `cargo xtask services`: real systems for tests, as plain processes on loopback, with their data under `target/`.

mod command;
mod postgres;
mod python;
mod s3;

pub use command::{Args, run};
pub use postgres::Postgres;
pub use python::python_with;
pub use s3::S3;
