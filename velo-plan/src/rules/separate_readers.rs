//! A source is read once by the statements that start together; a statement that waits for a table which is fed, directly or
//! through other tables, by the same source gets a reader of its own.
//!
//! Nodes that are connected start together, when all tables that one of them reads are ready. So the connected parts of a plan
//! must have an order in which each comes behind those that feed its tables. Where there is none, the statements of such parts
//! are told apart by how many tables lie one behind the other before they can start, and those that start later get copies of
//! what they share with others.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Node, NodeId, NodeKind, Plan, SinkId, SourceId, TableFeed, TableId};

/// A statement, by what it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statement {
    /// A sink.
    Sink(SinkId),
    /// A table.
    Table(TableId),
}

/// A source that would have to be read twice, and cannot be.
#[derive(Debug, Clone)]
pub(crate) struct ReadTwice {
    /// Its name.
    pub(crate) source: String,
    /// The statement that reads it first.
    pub(crate) first: Statement,
    /// The one that waits for what the first one feeds.
    pub(crate) waiting: Statement,
}

/// How many tables lie before a statement; none where the plan is as it should be there.
type Group = Option<usize>;

/// Gives statements readers of their own, and returns the sources that cannot be read so.
pub(super) fn run(plan: &mut Plan) -> Vec<ReadTwice> {
    let parts = parts(&plan.nodes);
    let sinks: BTreeMap<TableId, usize> = (0..plan.nodes.len())
        .filter_map(|at| match plan.nodes[at].kind {
            NodeKind::TableSink(table) => Some((table, at)),
            _ => None,
        })
        .collect();
    let circular = circular(plan, &parts, &sinks);
    if circular.is_empty() {
        return Vec::new();
    }
    let statements = statements(plan, &sinks);
    // Per node the groups that use it, each with a statement of it.
    let mut used: Vec<BTreeMap<Group, Statement>> = vec![BTreeMap::new(); plan.nodes.len()];
    for statement in &statements {
        let group = circular.contains(&parts[statement.root]).then_some(statement.before);
        for node in &statement.nodes {
            used[*node].entry(group).or_insert(statement.is);
        }
    }
    let problems = read_twice(plan, &used);
    copy(plan, &used);
    problems
}

/// What a statement writes, and all that it is made of.
struct Made {
    root: usize,
    is: Statement,
    nodes: BTreeSet<usize>,
    /// How many tables lie one behind the other before it.
    before: usize,
}

/// The number of the connected part that each node is of.
fn parts(nodes: &[Node]) -> Vec<usize> {
    let mut part: Vec<usize> = (0..nodes.len()).collect();
    fn of(part: &mut [usize], mut at: usize) -> usize {
        while part[at] != at {
            part[at] = part[part[at]];
            at = part[at];
        }
        at
    }
    for (at, node) in nodes.iter().enumerate() {
        for input in &node.inputs {
            let (one, other) = (of(&mut part, at), of(&mut part, input.0));
            part[one.max(other)] = one.min(other);
        }
    }
    (0..nodes.len()).map(|at| of(&mut part, at)).collect()
}

/// The parts that would have to be ready before themselves.
fn circular(plan: &Plan, parts: &[usize], sinks: &BTreeMap<TableId, usize>) -> BTreeSet<usize> {
    let mut after: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (at, node) in plan.nodes.iter().enumerate() {
        if let Some(sink) = node.kind.reads().and_then(|table| sinks.get(&table)) {
            after.entry(parts[*sink]).or_default().insert(parts[at]);
        }
    }
    let reaches_itself = |start: &usize| {
        let (mut open, mut seen) = (vec![*start], BTreeSet::new());
        while let Some(part) = open.pop() {
            for next in after.get(&part).into_iter().flatten() {
                if next == start {
                    return true;
                }
                if seen.insert(*next) {
                    open.push(*next);
                }
            }
        }
        false
    };
    after.keys().copied().filter(reaches_itself).collect()
}

/// All statements, those that others wait for before them.
fn statements(plan: &Plan, sinks: &BTreeMap<TableId, usize>) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    for (root, node) in plan.nodes.iter().enumerate() {
        let is = match node.kind {
            NodeKind::Sink(sink) if !node.inputs.is_empty() => Statement::Sink(sink),
            NodeKind::TableSink(table) => Statement::Table(table),
            _ => continue,
        };
        let nodes: BTreeSet<usize> = plan.upstream(NodeId(root)).into_iter().map(|node| node.0).collect();
        // A table's sink stands before whoever reads the table.
        let tables = nodes.iter().filter_map(|at| sinks.get(&plan.nodes[*at].kind.reads()?));
        let before = tables.filter_map(|sink| made.iter().find(|made| made.root == *sink)).map(|made| made.before + 1);
        let before = before.max().unwrap_or(0);
        made.push(Made { root, is, nodes, before });
    }
    made
}

fn read_twice(plan: &Plan, used: &[BTreeMap<Group, Statement>]) -> Vec<ReadTwice> {
    let mut found = Vec::new();
    for (node, used) in plan.nodes.iter().zip(used) {
        let NodeKind::Source(id) = node.kind else { continue };
        let source = &plan.sources[id.0];
        let mut statements = used.values();
        let Some(first) = statements.next().filter(|_| !source.replays) else { continue };
        found.extend(statements.map(|waiting| ReadTwice {
            source: source.name.clone(),
            first: *first,
            waiting: *waiting,
        }));
    }
    found
}

/// Writes the plan anew: each node once for each group that uses it.
fn copy(plan: &mut Plan, used: &[BTreeMap<Group, Statement>]) {
    let groups =
        |at: usize| -> Vec<Group> { if used[at].is_empty() { vec![None] } else { used[at].keys().copied().collect() } };
    let mut readers: Vec<Vec<Group>> = vec![vec![None]; plan.sources.len()];
    for (at, node) in plan.nodes.iter().enumerate() {
        if let NodeKind::Source(id) = node.kind {
            readers[id.0] = groups(at);
        }
    }
    let mut sources = Vec::with_capacity(plan.sources.len());
    let mut source_of: BTreeMap<(usize, Group), SourceId> = BTreeMap::new();
    for (at, source) in plan.sources.iter().enumerate() {
        for group in &readers[at] {
            source_of.insert((at, *group), SourceId(sources.len()));
            sources.push(source.clone());
        }
    }
    let mut nodes: Vec<Node> = Vec::with_capacity(plan.nodes.len());
    let mut node_of: BTreeMap<(usize, Group), NodeId> = BTreeMap::new();
    for (at, node) in plan.nodes.iter().enumerate() {
        for group in groups(at) {
            let mut node = node.clone();
            for input in &mut node.inputs {
                if let Some(same) = node_of.get(&(input.0, group)) {
                    *input = *same;
                }
            }
            if let NodeKind::Source(id) = &mut node.kind
                && let Some(same) = source_of.get(&(id.0, group))
            {
                *id = *same;
            }
            if let NodeKind::TableSink(table) = node.kind
                && let TableFeed::Query(feed) = &mut plan.tables[table.0].feed
            {
                *feed = node.inputs[0];
            }
            node_of.insert((at, group), NodeId(nodes.len()));
            nodes.push(node);
        }
    }
    (plan.nodes, plan.sources) = (nodes, sources);
}
