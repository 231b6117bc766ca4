//! Passes over a plan, in order.

mod drop_replaced;
pub(crate) mod fold_constants;
mod prune_columns;

pub(crate) use prune_columns::with_results;

use crate::plan::{NodeId, Plan};
use crate::planner::PlanContext;

/// Runs the passes. Pruning is no optimisation but part of what a plan means: columns that nothing uses are not decoded, with
/// or without the optimiser.
pub(crate) fn apply(plan: &mut Plan, replaced: Vec<NodeId>, context: &PlanContext) {
    drop_replaced::run(plan, replaced);
    if context.optimise {
        fold_constants::run(plan);
    }
    prune_columns::run(plan);
}
