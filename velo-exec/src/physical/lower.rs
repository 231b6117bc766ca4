//! Nodes to stages. A node joins the stage of its input where it is that stage's only consumer and needs no exchange.

use std::collections::BTreeSet;

use velo_plan::plan::{Node, NodeId, NodeKind, Plan};

use super::exchange::{columns_in, exchanged_by, held_together, in_steps};
use super::shared_by::{exchanged_keys, keeps_rows, shared_with_input};
use super::stage::{Destination, Stage, StageInput, StageKind, Stages, Step};
use crate::error::{ExecError, Result};

/// Decides the stages of `plan` for a parallelism.
pub fn lower(plan: &Plan, parallelism: usize) -> Result<Stages> {
    let mut consumers = vec![0_usize; plan.nodes.len()];
    for node in &plan.nodes {
        for input in &node.inputs {
            consumers[input.0] += 1;
        }
    }
    let mut stages = Stages::default();
    // The stage whose output is the node's.
    let mut home: Vec<usize> = Vec::with_capacity(plan.nodes.len());
    for (at, node) in plan.nodes.iter().enumerate() {
        let id = NodeId(at);
        let stage = match &node.kind {
            NodeKind::Source(source) => stages.push(StageKind::Source(*source), vec![], 1),
            NodeKind::Values(_) => stages.push(StageKind::Values(id), vec![], 1),
            NodeKind::TableScan(_) => stages.push(StageKind::TableScan(id), vec![], 1),
            NodeKind::TableSink(table) => {
                let stage = stages.push(StageKind::Table(*table), vec![], 1);
                stages.connect(home[node.inputs[0].0], stage, vec![]);
                stage
            }
            NodeKind::IntervalJoin(_)
            | NodeKind::AsOfJoin(_)
            | NodeKind::WindowJoin(_)
            | NodeKind::ChangelogJoin(_) => stages.join(&home, plan, node, id, parallelism)?,
            NodeKind::Sink(sink) => {
                let stage = stages.push(StageKind::Sink(*sink), vec![], 1);
                // A sink of dead letters has no input of its own.
                if let Some(input) = node.inputs.first() {
                    stages.connect(home[input.0], stage, vec![]);
                }
                stage
            }
            NodeKind::Union => {
                let stage = stages.push(StageKind::Operators, vec![], 1);
                for input in &node.inputs {
                    stages.connect(home[input.0], stage, vec![]);
                }
                stage
            }
            NodeKind::Aggregate { keys, emission, .. } => {
                let input = node.inputs[0].0;
                let others = (home[input], consumers[input]);
                if emission.idle_close.is_some() {
                    // A window is quiet when nothing comes to it from any input, so one task decides that.
                    home[input] = stages.in_one_task(&home, node, &consumers, Step::IdleClose(id));
                    consumers[input] = 1;
                }
                let parallelism = node.parallelism.unwrap_or(parallelism);
                let stage = if parallelism > 1 && !keys.is_empty() && in_steps(plan, node) {
                    let input = stages.extend(&home, node, &consumers);
                    stages.stages[input].steps.push(Step::Partial(id));
                    let last = stages.push(StageKind::Operators, vec![Step::Final(id)], parallelism);
                    stages.connect(input, last, (0..keys.len()).collect());
                    last
                } else {
                    // What a session becomes depends on all its rows, so rows and not states are exchanged.
                    stages.by_key(&home, node, id, parallelism, exchanged_by(plan, node)?, &consumers)
                };
                // Who else reads that input does so as before.
                (home[input], consumers[input]) = others;
                if held_together(node)?.is_some() {
                    stages.stages[stage].steps.push(Step::EmitInterval(id));
                }
                stage
            }
            NodeKind::Over(_)
            | NodeKind::TopN(_)
            | NodeKind::MatchRecognize(_)
            | NodeKind::SetOperation { .. }
            | NodeKind::DistinctOn { .. }
            | NodeKind::LatestByKey(_) => {
                let parallelism = node.parallelism.unwrap_or(parallelism);
                let stage = stages.by_key(&home, node, id, parallelism, exchanged_by(plan, node)?, &consumers);
                if held_together(node)?.is_some() {
                    stages.stages[stage].steps.push(Step::EmitInterval(id));
                }
                stage
            }
            NodeKind::Sort(_) | NodeKind::Limit { .. } | NodeKind::Fold | NodeKind::WindowLimit { .. } => {
                stages.in_one_task(&home, node, &consumers, Step::Whole(id))
            }
            // Its rows do not have the columns any more by which several tasks could find them again after a restart.
            NodeKind::FoldByTime(_) if shared_with_input(plan, node)?.is_none() => {
                stages.in_one_task(&home, node, &consumers, Step::Whole(id))
            }
            NodeKind::LookupJoin(join) if keeps_rows(plan, node, join) && shared_with_input(plan, node)?.is_none() => {
                stages.in_one_task(&home, node, &consumers, Step::Whole(id))
            }
            // A row and what takes it back come from one task, which can fold them.
            NodeKind::Filter(_)
            | NodeKind::LookupJoin(_)
            | NodeKind::Project(_)
            | NodeKind::Window(_)
            | NodeKind::Unnest(_)
            | NodeKind::FoldByTime(_) => {
                let input = stages.extend(&home, node, &consumers);
                stages.stages[input].steps.push(Step::Whole(id));
                input
            }
        };
        home.push(stage);
    }
    for stage in &mut stages.stages {
        let of_source = match stage.kind {
            StageKind::Source(source) => plan.sources[source.0].dead_letters,
            _ => None,
        };
        let nodes = stage.steps.iter().map(|step| &plan.nodes[step.node().0]);
        let of_steps = nodes.flat_map(|node| [node.dead_letters, node.on_compute_error.sink]);
        stage.dead_letters = of_steps.chain([of_source]).flatten().collect();
    }
    Ok(stages)
}

impl Stages {
    fn push(&mut self, kind: StageKind, steps: Vec<Step>, tasks: usize) -> usize {
        self.stages.push(Stage { kind, steps, tasks, destinations: vec![], dead_letters: BTreeSet::new() });
        self.stages.len() - 1
    }

    fn connect(&mut self, from: usize, to: usize, key: Vec<usize>) {
        self.connect_input(from, to, 0, key);
    }

    fn connect_input(&mut self, from: usize, to: usize, input: usize, key: Vec<usize>) {
        self.stages[from].destinations.push(Destination { input: StageInput { stage: to, input }, key });
    }

    /// A stage of its own with two inputs, both exchanged by the keys where these are columns; else one task.
    fn join(&mut self, home: &[usize], plan: &Plan, node: &Node, id: NodeId, parallelism: usize) -> Result<usize> {
        let (&[left, right], Some(join)) = (node.inputs.as_slice(), node.kind.join()) else {
            return Err(ExecError::Internal("a join has two inputs".to_owned()));
        };
        let of_left = columns_in(&plan.nodes[left.0].schema, exchanged_keys(join).map(|key| &key.left));
        let of_right = columns_in(&plan.nodes[right.0].schema, exchanged_keys(join).map(|key| &key.right));
        let parallelism = node.parallelism.unwrap_or(parallelism);
        let keys = of_left.zip(of_right).filter(|_| parallelism > 1);
        let stage =
            self.push(StageKind::Operators, vec![Step::Whole(id)], if keys.is_some() { parallelism } else { 1 });
        let (of_left, of_right) = keys.unwrap_or_default();
        self.connect_input(home[left.0], stage, 0, of_left);
        self.connect_input(home[right.0], stage, 1, of_right);
        Ok(stage)
    }

    /// Puts a step that must see all rows where one task does.
    fn in_one_task(&mut self, home: &[usize], node: &Node, consumers: &[usize], step: Step) -> usize {
        let input = self.extend(home, node, consumers);
        let stage = if self.stages[input].tasks == 1 {
            input
        } else {
            let single = self.push(StageKind::Operators, vec![], 1);
            self.connect(input, single, vec![]);
            single
        };
        self.stages[stage].steps.push(step);
        stage
    }

    /// Puts a step that must see all rows of a key where one task does: several where rows can be exchanged by these columns.
    fn by_key(
        &mut self,
        home: &[usize],
        node: &Node,
        id: NodeId,
        parallelism: usize,
        columns: Option<Vec<usize>>,
        consumers: &[usize],
    ) -> usize {
        match columns.filter(|_| parallelism > 1) {
            Some(columns) => {
                let stage = self.push(StageKind::Operators, vec![Step::Whole(id)], parallelism);
                self.connect(home[node.inputs[0].0], stage, columns);
                stage
            }
            None => self.in_one_task(home, node, consumers, Step::Whole(id)),
        }
    }

    /// The stage that the only input's consumer can join: the input's own, unless others read it too.
    fn extend(&mut self, home: &[usize], node: &Node, consumers: &[usize]) -> usize {
        let input = node.inputs[0];
        let from = home[input.0];
        if consumers[input.0] == 1 {
            return from;
        }
        let stage = self.push(StageKind::Operators, vec![], 1);
        self.connect(from, stage, vec![]);
        stage
    }
}
