//! Tests of the crate through its public face.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on panics with the reason, and says by which seed it ran"
)]

mod checkpoints;
mod compute_errors;
mod failing;
mod function_examples;
mod idle;
mod nexmark;
mod postgres;
mod postgres_recorded;
mod scenarios;
mod stopping;
mod support;
mod timers;

use std::path::Path;

use velo_core::connector::Registry;
use velo_job::scenario::Runner;
use velo_job::{PlanContext, Roots};
use velo_plan::functions::Functions;

/// What scripts are planned with: the file connector and the generators.
fn context(folder: &Path) -> PlanContext {
    let mut registry = Registry::new();
    registry.add(velo_source_file::connector());
    for connector in velo_source_gen::connectors() {
        registry.add(connector);
    }
    PlanContext {
        registry,
        functions: Functions::new(),
        lookup: Box::new(|_| None),
        folder: folder.to_owned(),
        optimise: true,
        roots: Roots::Sinks,
    }
}

/// A runner of scenarios.
fn runner() -> Runner {
    Runner::new(context)
}
