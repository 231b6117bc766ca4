//! Nodes to stages.
//!
//! A stage is a run of operators without an exchange; it runs as one task, or as several that share the keys. A node joins the
//! stage of its input where it is that stage's only consumer and needs no exchange.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion_expr::Expr;
use velo_core::duration::Span;
use velo_core::lookup::TableReader;
use velo_eventtime::OnError;
use velo_plan::plan::{
    self, Emission, JoinKind, Node, NodeId, NodeKind, Over, Plan, SinkId, SourceId, TableId, WindowKind,
};

use super::Names;
use super::shared_by::{exchanged_keys, keeps_rows, shared_by, shared_with_input};
use crate::error::{ExecError, Result};
use crate::operator::{
    AsOfJoin, ChangelogJoin, DistinctOn, EmitInterval, FilterProject, Fold, FoldByTime, GivesUp, GroupFinal,
    GroupPartial, GroupSpec, IdleClose, IntervalJoin, JoinSpec, LatestByKey, Limit, LookupJoin, LookupSpec,
    MatchRecognize, MatchSpec, Operator, Over as OverOperator, OverSpec, SetOperation, Sort, TopN, TopNSpec, Unnest,
    WindowAssign, WindowFinal, WindowJoin, WindowLimit, WindowPartial, aggregate, shared_keys, shared_partition,
};
use crate::runtime::{Chain, CountedByRow, JobProgress, LetterSinks, Member};

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
    steps: Vec<Step>,
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

#[derive(Debug, Clone)]
enum Step {
    Whole(NodeId),
    Partial(NodeId),
    Final(NodeId),
    /// Closes quiet windows, before the node's own step.
    IdleClose(NodeId),
    /// Holds the node's changes together, behind its own step.
    EmitInterval(NodeId),
}

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
    /// For each stage the tables that must be ready before anything flows into it: those that any stage reads which it is
    /// connected with, in whatever direction. Dead letters connect nothing.
    pub fn awaited(&self, plan: &Plan) -> Vec<Awaited> {
        let mut of: Vec<usize> = (0..self.stages.len()).collect();
        for (at, stage) in self.stages.iter().enumerate() {
            for destination in &stage.destinations {
                let (one, other) = (of[at], of[destination.input.stage]);
                of.iter_mut().filter(|part| **part == other).for_each(|part| *part = one);
            }
        }
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

    /// For each stage whether it only makes the content of tables: it runs anew at every start, as tables over connectors are loaded
    /// anew, and takes no part in checkpoints.
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

    /// What of the plan cannot be in a checkpoint yet, where there is something: the table.
    pub fn unsaved(&self, plan: &Plan) -> Option<TableId> {
        let only = self.makes_tables();
        self.stages.iter().enumerate().find_map(|(at, stage)| match stage.kind {
            // A table that goes on changing has a content that only its rows have made.
            StageKind::Table(table) if !plan.is_settled(table) => Some(table),
            StageKind::TableScan(node) => match &plan.nodes[node.0].kind {
                // What was given of it is told by the number of rows, so these must be the same ones again.
                NodeKind::TableScan(scan) if !only[at] && !plan.is_settled(scan.table) => Some(scan.table),
                _ => None,
            },
            // Its rows are read once, and a table begins anew where a sink goes on.
            _ if !only[at] => {
                stage.destinations.iter().find_map(|destination| match self.stages[destination.input.stage].kind {
                    StageKind::Table(table) => Some(table),
                    _ => None,
                })
            }
            _ => None,
        })
    }

    /// The stage of a sink.
    pub fn sink(&self, sink: SinkId) -> Option<usize> {
        self.stages.iter().position(|stage| stage.kind == StageKind::Sink(sink))
    }

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

/// How the changes of a node are held together: for how long, the columns by which there is one row at a time, and whether the
/// rows of these have one event time.
fn held_together(node: &Node) -> Result<Option<(Span, Vec<usize>, bool)>> {
    Ok(match &node.kind {
        NodeKind::Aggregate {
            keys, aggregates, window, emission: Emission { interval: Some(interval), .. }, ..
        } => {
            let bounds = keys.len() + aggregates.len();
            let bounds = bounds..bounds + if window.is_some() { 2 } else { 0 };
            Some((*interval, (0..keys.len()).chain(bounds).collect(), window.is_some()))
        }
        NodeKind::TopN(top) => match top.emission.interval {
            Some(interval) => {
                let several = || ExecError::Internal("a Top-N of several rows is not held together".to_owned());
                let names = top.row_key().ok_or_else(several)?.into_iter();
                let key = names.map(|name| node.schema.index_of(name)).collect::<Result<_, _>>()?;
                Some((interval, key, top.per_window))
            }
            None => None,
        },
        _ => None,
    })
}

/// Whether the states of an aggregate are exchanged, by all its keys, and not its rows.
pub(super) fn in_steps(plan: &Plan, node: &Node) -> bool {
    let NodeKind::Aggregate { window, emission, .. } = &node.kind else { return false };
    let changing = emission.changes() || !plan.nodes[node.inputs[0].0].changes.is_append();
    !changing
        && match window.as_ref().map(|window| window.kind) {
            None => node.bounded,
            Some(WindowKind::Session { .. }) => false,
            Some(_) => true,
        }
}

/// The places of the input's columns by which rows can be exchanged for a node, so that each key is in one task; none where
/// there are no such columns.
pub(super) fn exchanged_by(plan: &Plan, node: &Node) -> Result<Option<Vec<usize>>> {
    Ok(match &node.kind {
        NodeKind::Aggregate { keys, sets, .. } => {
            // Of grouping sets the keys that all of them have.
            columns_of(plan, node, shared_keys(keys.len(), sets).into_iter().map(|at| &keys[at].expr))
        }
        NodeKind::Over(over) => over_columns(plan, node, over),
        NodeKind::TopN(top) => columns_of(plan, node, top.partition_by.iter()),
        NodeKind::MatchRecognize(matching) => columns_of(plan, node, matching.partition_by.iter().map(|key| &key.expr)),
        NodeKind::SetOperation { .. } => Some((0..node.schema.fields().len()).collect()),
        NodeKind::DistinctOn { keys, .. } => columns_of(plan, node, keys.iter()),
        NodeKind::LatestByKey(key) => {
            let input = &plan.nodes[node.inputs[0].0].schema;
            Some(key.iter().map(|name| input.index_of(name)).collect::<Result<_, _>>()?)
        }
        _ => None,
    })
}

/// The places of expressions in the input of a node, where all of them are columns of it and there are some.
fn columns_of<'a>(plan: &Plan, node: &Node, exprs: impl Iterator<Item = &'a Expr>) -> Option<Vec<usize>> {
    columns_in(&plan.nodes[node.inputs[0].0].schema, exprs)
}

/// The same in the columns of any schema.
pub(super) fn columns_in<'a>(input: &SchemaRef, exprs: impl Iterator<Item = &'a Expr>) -> Option<Vec<usize>> {
    let place = |expr: &Expr| match expr {
        Expr::Column(column) => input.index_of(column.name()).ok(),
        _ => None,
    };
    exprs.map(place).collect::<Option<Vec<_>>>().filter(|places| !places.is_empty())
}

/// The places of the columns that all windows are partitioned by.
fn over_columns(plan: &Plan, node: &Node, over: &Over) -> Option<Vec<usize>> {
    let input = &plan.nodes[node.inputs[0].0].schema;
    Some(shared_partition(over, input)).filter(|columns| !columns.is_empty())
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

    /// The operators of one task of the stage, which read some of `tables`; `progress` counts what comes out of each node, what
    /// comes late, and what a table lacks. Of a source those that [`Stage::chain_by_row`] has are left out.
    pub fn chain(
        &self,
        plan: &Plan,
        names: &Names,
        tables: &[Arc<dyn TableReader>],
        progress: &JobProgress,
    ) -> Result<Chain> {
        self.chain_of(self.in_order(plan), plan, names, tables, progress, true)
    }

    /// The first operators of a source's stage, for one of its workers: they keep nothing, so that each batch may go through
    /// another copy of them.
    pub fn chain_by_row(
        &self,
        plan: &Plan,
        names: &Names,
        tables: &[Arc<dyn TableReader>],
        progress: &JobProgress,
    ) -> Result<Chain> {
        self.chain_of(self.by_row(plan), plan, names, tables, progress, false)
    }

    /// The counters of the operators of [`Stage::chain_by_row`] that have some, in their order, each with the operator's name: the
    /// source's task counts when a chunk has its turn.
    pub fn counted_by_row(&self, plan: &Plan, names: &Names, progress: &JobProgress) -> CountedByRow {
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

    fn chain_of(
        &self,
        steps: &[Step],
        plan: &Plan,
        names: &Names,
        tables: &[Arc<dyn TableReader>],
        progress: &JobProgress,
        counts: bool,
    ) -> Result<Chain> {
        let mut operators = Vec::with_capacity(steps.len());
        for step in steps {
            let held = held_together(&plan.nodes[step.node().0])?.is_some();
            let counter = match step {
                // What goes from the first step to the second is no row of the node.
                Step::Partial(_) | Step::IdleClose(_) => Arc::default(),
                Step::Whole(_) if held => Arc::default(),
                Step::Whole(id) | Step::Final(id) | Step::EmitInterval(id) => {
                    progress.nodes.get(id.0).cloned().unwrap_or_default()
                }
            };
            let node = &plan.nodes[step.node().0];
            let operator = GivesUp::around(step.operator(plan, tables)?, step.gives_up(plan));
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
                letters: LetterSinks { late: node.dead_letters, compute: node.on_compute_error.sink },
            });
        }
        Ok(Chain::of(operators))
    }
}

impl Step {
    fn node(&self) -> NodeId {
        let (Self::Whole(id) | Self::Partial(id) | Self::Final(id) | Self::IdleClose(id) | Self::EmitInterval(id)) =
            self;
        *id
    }

    /// Whether rows on which an expression fails are given up, and then whether they go to the dead letters.
    fn gives_up(&self, plan: &Plan) -> Option<bool> {
        let policy = plan.nodes[self.node().0].on_compute_error.policy;
        // The second of two steps computes nothing of rows, and takes up what was counted where both were one.
        let computes = matches!(self, Self::Whole(_) | Self::Partial(_) | Self::Final(_));
        (computes && policy != OnError::Fail).then_some(policy == OnError::DeadLetter)
    }

    /// The name of its operator's state.
    fn name(&self, names: &Names) -> String {
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
    fn absorbs(&self, plan: &Plan, names: &Names) -> Option<String> {
        let both = matches!(self, Self::Whole(_)) && in_steps(plan, &plan.nodes[self.node().0]);
        both.then(|| Self::Partial(self.node()).name(names))
    }

    fn operator(&self, plan: &Plan, tables: &[Arc<dyn TableReader>]) -> Result<Box<dyn Operator>> {
        let node = &plan.nodes[self.node().0];
        let input: SchemaRef = plan.nodes[node.inputs[0].0].schema.clone();
        Ok(match (&node.kind, self) {
            (_, Self::EmitInterval(_)) => {
                let nothing = || ExecError::Internal("nothing is held together".to_owned());
                let (interval, key, windowed) = held_together(node)?.ok_or_else(nothing)?;
                let held = EmitInterval::new(interval, key, windowed, node.schema.clone())?;
                Box::new(held.shared_by(shared_by(plan, self.node())?))
            }
            (NodeKind::Filter(condition), _) => Box::new(FilterProject::filter(condition, &input, &node.owner)?),
            (NodeKind::Project(outputs), _) => {
                Box::new(FilterProject::project(outputs, &input, node.schema.clone(), &node.owner)?)
            }
            (NodeKind::Window(window), _) => Box::new(WindowAssign::new(window, node.schema.clone())?),
            (NodeKind::LookupJoin(join), _) => Box::new(LookupJoin::new(lookup_spec(plan, node, join, tables)?)?),
            (NodeKind::Unnest(unnest), _) => Box::new(Unnest::new(unnest, &input, node.schema.clone(), &node.owner)?),
            (NodeKind::Over(over), _) => {
                let spec = OverSpec { over: over.clone(), output: node.schema.clone(), statement: node.owner.clone() };
                Box::new(OverOperator::new(&spec, &input)?)
            }
            (NodeKind::TopN(top), _) => {
                let spec = TopNSpec {
                    top: top.clone(),
                    retracts: !plan.nodes[node.inputs[0].0].changes.is_append(),
                    ttl: node.state_ttl,
                    output: node.schema.clone(),
                    statement: node.owner.clone(),
                };
                Box::new(TopN::new(&spec, &input)?)
            }
            (NodeKind::MatchRecognize(matching), _) => {
                let (matching, output) = (matching.as_ref().clone(), node.schema.clone());
                let spec = MatchSpec { matching, output, statement: node.owner.clone() };
                Box::new(MatchRecognize::new(&spec, &input)?)
            }
            (NodeKind::AsOfJoin(join), _) => Box::new(AsOfJoin::new(&join_spec(plan, node, join.as_ref())?)?),
            (NodeKind::ChangelogJoin(join), _) => Box::new(ChangelogJoin::new(&join_spec(plan, node, join.as_ref())?)?),
            (NodeKind::IntervalJoin(join), _) => Box::new(IntervalJoin::new(&join_spec(plan, node, join.as_ref())?)?),
            (NodeKind::WindowJoin(join), _) => Box::new(WindowJoin::new(&join_spec(plan, node, join.as_ref())?)?),
            (NodeKind::SetOperation { kind, all, emission }, _) => {
                Box::new(SetOperation::new(*kind, *all, *emission, node.state_ttl, node.schema.clone())?)
            }
            (NodeKind::DistinctOn { keys, order }, _) => Box::new(DistinctOn::new(keys, order, input, &node.owner)?),
            (NodeKind::WindowLimit { order, skip, count }, _) => {
                Box::new(WindowLimit::new(order, *skip, *count, input, &node.owner)?)
            }
            (NodeKind::Sort(keys), _) => Box::new(Sort::new(keys, input, &node.owner)?),
            (NodeKind::LatestByKey(key), _) => Box::new(LatestByKey::new(key, node.state_ttl, input)?),
            (NodeKind::Fold, _) => Box::new(Fold::new(input)?),
            (NodeKind::FoldByTime(late), _) => {
                let fold = FoldByTime::new(input, *late, &node.owner)?;
                Box::new(fold.shared_by(shared_with_input(plan, node)?))
            }
            (NodeKind::Limit { skip, count }, _) => Box::new(Limit::new(*skip, *count)),
            (
                NodeKind::Aggregate {
                    window: Some(window), emission: Emission { idle_close: Some(after), .. }, ..
                },
                Self::IdleClose(_),
            ) => Box::new(IdleClose::new(*after, window)?),
            (NodeKind::Aggregate { .. }, Self::Whole(_)) => aggregate(&group_spec(plan, node)?, &input)?,
            (NodeKind::Aggregate { window: None, .. }, Self::Partial(_)) => {
                Box::new(GroupPartial::new(&group_spec(plan, node)?, &input)?)
            }
            (NodeKind::Aggregate { window: None, .. }, Self::Final(_)) => {
                Box::new(GroupFinal::new(&group_spec(plan, node)?, &input)?)
            }
            (NodeKind::Aggregate { .. }, Self::Partial(_)) => {
                Box::new(WindowPartial::new(&group_spec(plan, node)?, &input)?)
            }
            (NodeKind::Aggregate { .. }, Self::Final(_)) => {
                Box::new(WindowFinal::new(&group_spec(plan, node)?, &input)?)
            }
            (other, _) => return Err(ExecError::Internal(format!("{other:?} is no operator"))),
        })
    }
}

fn lookup_spec(
    plan: &Plan,
    node: &Node,
    join: &plan::LookupJoin,
    tables: &[Arc<dyn TableReader>],
) -> Result<LookupSpec> {
    let (of_plan, input) = (&plan.tables[join.table.0], node.inputs[0]);
    let lacks = || ExecError::Internal(format!("the table {} is not there", of_plan.name));
    let columns = join.index.map(|index| of_plan.indexes[index.0].as_slice()).unwrap_or_default();
    let membership = match &join.kind {
        JoinKind::Mark(mark) => mark.membership,
        _ => None,
    };
    Ok(LookupSpec {
        join: join.clone(),
        table: tables.get(join.table.0).cloned().ok_or_else(lacks)?,
        key_names: columns.iter().map(|column| of_plan.schema.field(*column).name().clone()).collect(),
        member: membership.and_then(|at| columns.get(at).copied()),
        settled: plan.is_settled(join.table),
        retracts: !plan.nodes[input.0].changes.is_append(),
        ttl: node.state_ttl,
        shared_by: shared_with_input(plan, node)?.unwrap_or_default(),
        input: plan.nodes[input.0].schema.clone(),
        output: node.schema.clone(),
        statement: node.owner.clone(),
    })
}

/// What the operator of a join is made from.
fn join_spec<N: Clone>(plan: &Plan, node: &Node, join: &N) -> Result<JoinSpec<N>> {
    let &[left, right] = node.inputs.as_slice() else {
        return Err(ExecError::Internal("a join has two inputs".to_owned()));
    };
    let [left, right] = [left, right].map(|input| &plan.nodes[input.0]);
    Ok(JoinSpec {
        join: join.clone(),
        left: left.schema.clone(),
        right: right.schema.clone(),
        output: node.schema.clone(),
        statement: node.owner.clone(),
        ttl: node.state_ttl,
        retracts: [left, right].map(|input| !input.changes.is_append()),
    })
}

fn group_spec(plan: &Plan, node: &Node) -> Result<GroupSpec> {
    match &node.kind {
        NodeKind::Aggregate { keys, sets, aggregates, window, late, emission } => Ok(GroupSpec {
            keys: keys.clone(),
            sets: sets.clone(),
            aggregates: aggregates.clone(),
            window: window.clone(),
            late: *late,
            emission: *emission,
            ttl: node.state_ttl,
            retracts: !plan.nodes[node.inputs[0].0].changes.is_append(),
            output: node.schema.clone(),
            statement: node.owner.clone(),
        }),
        other => Err(ExecError::Internal(format!("{other:?} is no aggregate"))),
    }
}
