//! The command as a user meets it: what it prints, where, and its exit code.

mod commands;
mod mistakes;
mod outputs;
mod scenarios;
#[cfg(unix)]
mod stopping;
mod support;
