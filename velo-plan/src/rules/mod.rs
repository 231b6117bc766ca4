//! Passes over a plan, in order.

mod drop_unread;
pub(crate) mod fold_constants;
mod prune_columns;

pub(crate) use prune_columns::{joined, with_results};

use crate::plan::Plan;
use crate::planner::PlanContext;

/// Runs the passes. Pruning is no optimisation but part of what a plan means: what nothing uses is neither read nor decoded, with
/// or without the optimiser.
pub(crate) fn apply(plan: &mut Plan, context: &PlanContext) {
    drop_unread::run(plan);
    if context.optimise {
        fold_constants::run(plan);
    }
    prune_columns::run(plan);
}
