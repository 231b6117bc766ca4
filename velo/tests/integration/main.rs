//! The command against real services: `cargo xtask integration` starts those and says where they are.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod kafka;
mod kafka_cluster;
mod proxy;
mod registry;
mod s3;
mod server;
#[path = "../it/support.rs"]
#[allow(dead_code, reason = "these tests need less of it")]
mod support;
