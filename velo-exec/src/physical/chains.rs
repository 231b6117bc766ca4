//! The operators of a stage as chains, one for each task.

use std::collections::BTreeSet;
use std::sync::Arc;

use velo_core::lookup::TableReader;
use velo_plan::plan::{Plan, TableId};

use super::Names;
use super::exchange::{held_together, spilled_by};
use super::stage::{Stage, StageKind, Step};
use crate::error::Result;
use crate::operator::{GivesUp, Operator};
use crate::runtime::{Chain, CountedByRow, JobProgress, LetterSinks, Member};
use crate::spill::{MemoryPool, MemoryUse, Spilling};

/// What the operators of a job are made from, and where they tell what they count.
#[derive(Clone, Copy)]
pub struct ChainContext<'a> {
    /// What they do.
    pub plan: &'a Arc<Plan>,
    /// The names under which checkpoints keep what they keep.
    pub names: &'a Names,
    /// The tables that they read, by their places in the plan.
    pub tables: &'a [Arc<dyn TableReader>],
    /// Counts what comes out of each node, what comes late, and what a table lacks.
    pub progress: &'a JobProgress,
    /// How much memory they may take.
    pub memory: &'a Arc<MemoryPool>,
}

impl Stage {
    /// Its first steps that go by the row, which the workers of its source do.
    fn by_row(&self, plan: &Plan) -> &[Step] {
        let steps = match self.kind {
            StageKind::Source(_) => self.steps.iter().take_while(|step| plan.goes_by_row(step.node())).count(),
            _ => 0,
        };
        &self.steps[..steps]
    }

    /// The steps behind them.
    fn in_order(&self, plan: &Plan) -> &[Step] {
        &self.steps[self.by_row(plan).len()..]
    }

    /// The tables that the operators of its chain look rows up in.
    pub fn looks_up(&self, plan: &Plan) -> BTreeSet<TableId> {
        self.in_order(plan).iter().filter_map(|step| plan.nodes[step.node().0].kind.reads()).collect()
    }

    /// The operators of one task of the stage; of a source those that [`Stage::chain_by_row`] has are left out.
    pub fn chain(&self, context: ChainContext<'_>) -> Result<Chain> {
        chain_of(self.in_order(context.plan), context, true)
    }

    /// The first operators of a source's stage, for one of its workers: they keep nothing, so that each batch may go through
    /// another copy of them.
    pub fn chain_by_row(&self, context: ChainContext<'_>) -> Result<Chain> {
        chain_of(self.by_row(context.plan), context, false)
    }

    /// The counters of the operators of [`Stage::chain_by_row`] that have some, in their order, each with the operator's name: the
    /// source's task counts when a chunk has its turn.
    pub fn counted_by_row(&self, context: ChainContext<'_>) -> CountedByRow {
        let ChainContext { plan, names, progress, .. } = context;
        let mut counted = CountedByRow::default();
        for step in self.by_row(plan) {
            if plan.nodes[step.node().0].kind.reads().is_some() {
                counted.missing.push((step.name(names), progress.counts_missing(step.node(), Arc::default())));
            }
            if step.gives_up(plan).is_some() {
                counted.compute_errors.push((step.name(names), progress.counts_errors(step.node(), Arc::default())));
            }
        }
        counted
    }
}

fn chain_of(steps: &[Step], context: ChainContext<'_>, counts: bool) -> Result<Chain> {
    let ChainContext { plan, names, progress, .. } = context;
    let mut operators = Vec::with_capacity(steps.len());
    for step in steps {
        let node = &plan.nodes[step.node().0];
        let held = held_together(node)?.is_some();
        let counter = match step {
            // What goes from the first step to the second is no row of the node.
            Step::Partial(_) | Step::IdleClose(_) => Arc::default(),
            Step::Whole(_) if held => Arc::default(),
            Step::Whole(id) | Step::Final(id) | Step::EmitInterval(id) => {
                progress.nodes.get(id.0).cloned().unwrap_or_default()
            }
        };
        let (operator, memory) = operator(step, context)?;
        operator.late().into_iter().for_each(|late| progress.counts_late(step.node(), late));
        if let Some(missing) = operator.missing().filter(|_| counts) {
            progress.counts_missing(step.node(), missing);
        }
        if let Some(errors) = operator.compute_errors().filter(|_| counts) {
            progress.counts_errors(step.node(), errors);
        }
        operators.push(Member {
            description: plan.describe(node),
            name: Some(step.name(names)),
            absorbs: step.absorbs(plan, names),
            operator,
            rows: counter,
            memory,
            letters: LetterSinks { late: node.dead_letters, compute: node.on_compute_error.sink },
        });
    }
    Ok(Chain::of(operators))
}

/// The operator of a step, and where it tells how much memory it takes, unless it does so itself.
fn operator(step: &Step, context: ChainContext<'_>) -> Result<(Box<dyn Operator>, Option<MemoryUse>)> {
    let ChainContext { plan, tables, memory, .. } = context;
    let gives_up = step.gives_up(plan);
    if !memory.is_bounded() {
        return Ok((GivesUp::around(step.operator(plan, tables)?, gives_up), None));
    }
    let uses = MemoryUse::new(memory, &plan.nodes[step.node().0].owner);
    let Some(keys) = spilled_by(plan, step)? else {
        let mut operator = step.operator(plan, tables)?;
        let uses = operator.bound(uses);
        return Ok((GivesUp::around(operator, gives_up), uses));
    };
    let (plan, step) = (Arc::clone(plan), step.clone());
    // What goes by key reads no table.
    let make = move || Ok(GivesUp::around(step.operator(&plan, &[])?, gives_up));
    Ok((Box::new(Spilling::new(Box::new(make), keys, uses)?), None))
}
