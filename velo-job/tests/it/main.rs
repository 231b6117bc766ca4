//! Tests of the crate through its public face.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on panics with the reason, and says by which seed it ran"
)]

mod alignment;
mod cases;
mod checkpoint_tables;
mod checkpoints;
mod compute_errors;
mod context;
mod failing;
mod function_examples;
mod history;
mod idle;
mod memory;
mod nexmark;
mod postgres;
mod postgres_recorded;
mod scenarios;
mod stopping;
mod support;
mod timers;

use velo_job::scenario::Runner;

use self::context::context;

/// A runner of scenarios.
fn runner() -> Runner {
    Runner::new(context)
}
