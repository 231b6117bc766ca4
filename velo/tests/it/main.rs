//! The command as a user meets it: what it prints, where, and its exit code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod checkpoints;
mod commands;
mod dlq;
mod mistakes;
mod no_room;
mod outputs;
mod scenarios;
#[cfg(unix)]
mod stopping;
mod support;
