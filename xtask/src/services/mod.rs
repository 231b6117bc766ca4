//! `cargo xtask services`: real systems for tests, as plain processes on loopback, with their data under `target/`.

mod apt;
mod command;
mod daemon;
mod java;
mod kafka;
mod postgres;
mod python;
mod registry;
mod s3;

pub use apt::libraries;
pub use command::{Args, run};
pub use kafka::{Brokers, Kafka};
pub use postgres::Postgres;
pub use python::python_with;
pub use registry::Registry;
pub use s3::S3;
