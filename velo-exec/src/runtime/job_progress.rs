//! What a job counts while it runs.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use velo_core::progress::Progress;
use velo_plan::plan::{NodeId, NodeKind, Plan};

use crate::ComputeErrors;
use crate::lookup::MissingCounters;
use crate::window::LateCounters;

/// The counters of late rows of all operators, each with its node.
pub type LateByNode = Arc<Mutex<Vec<(NodeId, Arc<LateCounters>)>>>;

/// The counters of rows that a table lacked, each with the node of the join.
pub type MissingByNode = Arc<Mutex<Vec<(NodeId, Arc<MissingCounters>)>>>;

/// The counters of rows on which an expression failed, each with the node that computes it.
pub type ComputeErrorsByNode = Arc<Mutex<Vec<(NodeId, Arc<ComputeErrors>)>>>;

/// What a job counts while it runs.
#[derive(Debug, Default, Clone)]
pub struct JobProgress {
    /// Per source, in the plan's order.
    pub sources: Vec<Arc<Progress>>,
    /// Per sink, in the plan's order.
    pub sinks: Vec<Arc<Progress>>,
    /// Rows that have come out of each operator, by its node.
    pub nodes: Vec<Arc<AtomicU64>>,
    /// Late rows that operators met, each with the statement it belongs to.
    pub late: LateByNode,
    /// Per table, in the plan's order.
    pub tables: Vec<Arc<Progress>>,
    /// Rows that tables lacked.
    pub missing: MissingByNode,
    /// Rows on which an expression failed and that were given up.
    pub compute_errors: ComputeErrorsByNode,
    /// Rows in windows that had not fired when the job was stopped.
    pub held: Arc<AtomicU64>,
}

impl JobProgress {
    /// Counters for `plan`.
    pub fn new(plan: &Plan) -> Self {
        Self {
            sources: plan.sources.iter().map(|_| Arc::new(Progress::new())).collect(),
            sinks: plan.sinks.iter().map(|_| Arc::new(Progress::new())).collect(),
            nodes: plan.nodes.iter().map(|_| Arc::default()).collect(),
            late: Arc::default(),
            tables: plan.tables.iter().map(|_| Arc::new(Progress::new())).collect(),
            missing: Arc::default(),
            compute_errors: Arc::default(),
            held: Arc::default(),
        }
    }

    /// Forgets the operators of a run before this one.
    pub(super) fn begin(&self) {
        // Nothing panics while it holds a lock, so none is ever poisoned.
        if let (Ok(mut late), Ok(mut missing)) = (self.late.lock(), self.missing.lock()) {
            late.clear();
            missing.clear();
        }
        if let Ok(mut compute_errors) = self.compute_errors.lock() {
            compute_errors.clear();
        }
    }

    /// Shows what an operator of a node counts of rows that come late.
    pub(crate) fn counts_late(&self, node: NodeId, late: Arc<LateCounters>) {
        added(&self.late, node, late);
    }

    /// The same of rows that a table lacked.
    pub(crate) fn counts_missing(&self, node: NodeId, missing: Arc<MissingCounters>) -> Arc<MissingCounters> {
        added(&self.missing, node, missing)
    }

    /// The same of rows on which an expression failed.
    pub(crate) fn counts_errors(&self, node: NodeId, errors: Arc<ComputeErrors>) -> Arc<ComputeErrors> {
        added(&self.compute_errors, node, errors)
    }

    /// Rows that came too late for all their windows, by the statement that met them.
    pub fn late_rows(&self, plan: &Plan) -> BTreeMap<String, u64> {
        let owner = |node: NodeId| Some(plan.nodes[node.0].owner.clone());
        rows_by_name(&self.late, owner, LateCounters::rows)
    }

    /// Rows that each table lacked, by its name.
    pub fn missing_rows(&self, plan: &Plan) -> BTreeMap<String, u64> {
        let table = |node: NodeId| plan.looks_in(node).map(|table| plan.tables[table.0].name.clone());
        rows_by_name(&self.missing, table, MissingCounters::rows)
    }

    /// Rows on which an expression failed and that were given up, by the statement that computes it. Of a join also pairs of rows on
    /// which its condition fails.
    pub fn compute_errors(&self, plan: &Plan) -> BTreeMap<String, u64> {
        let owner = |node: NodeId| Some(plan.nodes[node.0].owner.clone());
        rows_by_name(&self.compute_errors, owner, ComputeErrors::rows)
    }

    /// Rows that have come out of a node.
    pub fn rows_of(&self, plan: &Plan, node: NodeId) -> u64 {
        match &plan.nodes[node.0].kind {
            NodeKind::Source(id) => Progress::get(&self.sources[id.0].delivered),
            NodeKind::Sink(id) => Progress::get(&self.sinks[id.0].delivered),
            NodeKind::TableSink(id) => Progress::get(&self.tables[id.0].delivered),
            NodeKind::Union => plan.nodes[node.0].inputs.iter().map(|input| self.rows_of(plan, *input)).sum(),
            _ => Progress::get(&self.nodes[node.0]),
        }
    }
}

/// Adds the counters of a node, and gives them back.
fn added<T>(all: &Mutex<Vec<(NodeId, Arc<T>)>>, node: NodeId, counters: Arc<T>) -> Arc<T> {
    // Nothing panics while it holds the lock, so it is never poisoned.
    if let Ok(mut all) = all.lock() {
        all.push((node, Arc::clone(&counters)));
    }
    counters
}

/// The rows that operators counted, by the names of their nodes, where there are some.
fn rows_by_name<T>(
    counted: &Mutex<Vec<(NodeId, Arc<T>)>>,
    name: impl Fn(NodeId) -> Option<String>,
    rows: impl Fn(&T) -> u64,
) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    // Nothing panics while it holds the lock, so it is never poisoned.
    if let Ok(counted) = counted.lock() {
        for (node, counters) in counted.iter() {
            if let Some(name) = name(*node) {
                *found.entry(name).or_insert(0) += rows(counters);
            }
        }
    }
    found.retain(|_, rows| *rows > 0);
    found
}
