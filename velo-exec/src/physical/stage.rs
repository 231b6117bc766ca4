//! The stages of a job.
//!
//! A stage is a run of operators without an exchange; it runs as one task, or as several that share the keys.

use std::collections::BTreeSet;

use velo_core::duration::Span;
use velo_eventtime::OnError;
use velo_plan::plan::{NodeId, Plan, SinkId, SourceId, TableId};

use super::Names;
use super::exchange::in_steps;

/// The stages of a job, inputs before their consumers.
#[derive(Debug, Default)]
pub struct Stages {
    /// The stages.
    pub stages: Vec<Stage>,
}

/// What must be ready before anything flows into a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Awaited {
    /// The tables.
    pub tables: BTreeSet<TableId>,
    /// How long they are waited for, counted from the last progress of any of them.
    pub timeout: Option<Span>,
}

/// A run of operators.
#[derive(Debug)]
pub struct Stage {
    /// Where it gets its elements.
    pub kind: StageKind,
    /// The nodes whose operators it runs, in order, each with the step it does.
    pub(super) steps: Vec<Step>,
    /// How many tasks run it.
    pub tasks: usize,
    /// The stages that take its output.
    pub destinations: Vec<Destination>,
    /// The sinks of the rows that it gives up.
    pub dead_letters: BTreeSet<SinkId>,
}

/// Where a stage gets its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageKind {
    /// From a source.
    Source(SourceId),
    /// Rows that stand in the script.
    Values(NodeId),
    /// The content of a table and its changes.
    TableScan(NodeId),
    /// From other stages.
    Operators,
    /// From other stages, for a sink.
    Sink(SinkId),
    /// From other stages, for a table.
    Table(TableId),
}

/// Which input of which stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageInput {
    /// The stage.
    pub stage: usize,
    /// The input of its first operator.
    pub input: usize,
}

/// A consumer of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The stage.
    pub input: StageInput,
    /// The places of the key columns by which rows are exchanged; empty: no exchange.
    pub key: Vec<usize>,
}

/// An operator of a stage.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Whole(NodeId),
    Partial(NodeId),
    Final(NodeId),
    /// Closes quiet windows, before the node's own step.
    IdleClose(NodeId),
    /// Holds the node's changes together, behind its own step.
    EmitInterval(NodeId),
}

impl Stages {
    /// For each stage the tables that must be ready before anything flows into it: those that any stage reads which it is
    /// connected with, in whatever direction. Dead letters connect nothing.
    pub fn awaited(&self, plan: &Plan) -> Vec<Awaited> {
        let of = self.connected();
        let mut awaited = vec![Awaited::default(); self.stages.len()];
        for (at, stage) in self.stages.iter().enumerate() {
            let scanned = match stage.kind {
                StageKind::TableScan(node) => Some(node),
                _ => None,
            };
            let awaited = &mut awaited[of[at]];
            for node in stage.steps.iter().map(Step::node).chain(scanned).map(|node| &plan.nodes[node.0]) {
                awaited.tables.extend(node.kind.reads());
                awaited.timeout = awaited.timeout.max(node.table_wait);
            }
        }
        of.into_iter().map(|part| awaited[part].clone()).collect()
    }

    /// For each stage whether it only makes the content of tables: nothing that it reads becomes visible, and a job without checkpoints does
    /// not wait for its end to commit.
    pub fn makes_tables(&self) -> Vec<bool> {
        let mut only = vec![false; self.stages.len()];
        // Consumers stand behind their inputs.
        for (at, stage) in self.stages.iter().enumerate().rev() {
            only[at] = match stage.kind {
                StageKind::Table(_) => true,
                _ => {
                    let mut consumers = stage.destinations.iter().map(|destination| only[destination.input.stage]);
                    consumers.len() > 0 && consumers.all(|only| only)
                }
            };
        }
        only
    }

    /// Whether anything becomes visible.
    pub fn has_sinks(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage.kind, StageKind::Sink(_)))
    }

    /// The stage of a sink.
    pub fn sink(&self, sink: SinkId) -> Option<usize> {
        self.stages.iter().position(|stage| stage.kind == StageKind::Sink(sink))
    }
}

impl Step {
    pub(super) fn node(&self) -> NodeId {
        let (Self::Whole(id) | Self::Partial(id) | Self::Final(id) | Self::IdleClose(id) | Self::EmitInterval(id)) =
            self;
        *id
    }

    /// Whether rows on which an expression fails are given up, and then whether they go to the dead letters.
    pub(super) fn gives_up(&self, plan: &Plan) -> Option<bool> {
        let policy = plan.nodes[self.node().0].on_compute_error.policy;
        // The second of two steps computes nothing of rows, and takes up what was counted where both were one.
        let computes = matches!(self, Self::Whole(_) | Self::Partial(_) | Self::Final(_));
        (computes && policy != OnError::Fail).then_some(policy == OnError::DeadLetter)
    }

    /// The name of its operator's state.
    pub(super) fn name(&self, names: &Names) -> String {
        let node = names.node(self.node());
        match self {
            // Whether a node runs whole or in two steps is a matter of parallelism, and its state is the same.
            Self::Whole(_) | Self::Final(_) => node.to_owned(),
            Self::Partial(_) => format!("{node}.first-step"),
            Self::IdleClose(_) => format!("{node}.idle-close"),
            Self::EmitInterval(_) => format!("{node}.emit-interval"),
        }
    }

    /// The state of the first of two steps, which a node that runs whole takes up too.
    pub(super) fn absorbs(&self, plan: &Plan, names: &Names) -> Option<String> {
        let both = matches!(self, Self::Whole(_)) && in_steps(plan, &plan.nodes[self.node().0]);
        both.then(|| Self::Partial(self.node()).name(names))
    }
}
