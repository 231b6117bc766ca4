//! Files read, followed and written through the connector, as the runtime does it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics with the reason")]

mod conformance;
mod epochs;
mod harness;
mod parquet;
mod resume;
mod sink;
mod source;
mod table;
mod watch;
