//! Passes over a plan, in order.

mod created_times;
mod drop_unread;
pub(crate) mod fold_constants;
mod plain_projections;
mod prune_columns;
mod separate_readers;

pub(crate) use prune_columns::with_results;
pub(crate) use separate_readers::{ReadTwice, Statement};

use crate::plan::Plan;
use crate::planner::PlanContext;

/// Runs the passes. Pruning and the separation of readers are no optimisation but part of what a plan means: what nothing uses is
/// neither read nor decoded, and nothing waits for itself, with or without the optimiser. Returns the sources that would have to be
/// read twice, and cannot be.
pub(crate) fn apply(plan: &mut Plan, context: &PlanContext) -> Vec<ReadTwice> {
    drop_unread::run(plan, context.roots);
    created_times::run(plan);
    let read_twice = separate_readers::run(plan);
    if context.optimise {
        fold_constants::run(plan);
    }
    prune_columns::run(plan, context.roots);
    plain_projections::run(plan, context.roots);
    read_twice
}
