//! Names of the parts of a plan that stay the same when other parts change, and what each part does.
//!
//! A checkpoint keeps the state of an operator under `<statement>.<what it does>`, with a number behind it where a statement does
//! the same several times. So a filter or a second aggregate that is added to a script leaves the other names as they were.

use std::collections::BTreeMap;

use arrow_schema::SchemaRef;
use velo_plan::plan::{Node, NodeId, NodeKind, Plan, TableFeed, TableId};

use crate::checkpoint::NewPlan;

/// The names of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    nodes: Vec<String>,
    sources: Vec<String>,
    sinks: Vec<String>,
    tables: Vec<String>,
}

impl Names {
    /// Names all parts.
    pub fn new(plan: &Plan) -> Self {
        let mut used = BTreeMap::new();
        let nodes: Vec<String> =
            plan.nodes.iter().map(|node| numbered(&mut used, format!("{}.{}", node.owner, word(node)))).collect();
        // One that a query makes is kept by the node that writes it.
        let tables = plan.tables.iter().map(|table| numbered(&mut used, format!("{}.table", table.name)));
        let mut tables: Vec<String> = tables.collect();
        for (node, name) in plan.nodes.iter().zip(&nodes) {
            if let NodeKind::TableSink(table) = node.kind {
                tables[table.0].clone_from(name);
            }
        }
        let mut used = BTreeMap::new();
        let sources = plan.sources.iter().map(|source| numbered(&mut used, source.name.clone())).collect();
        let mut used = BTreeMap::new();
        let sinks = plan.sinks.iter().map(|sink| numbered(&mut used, sink.name.clone())).collect();
        Self { nodes, sources, sinks, tables }
    }

    /// That of a node.
    pub fn node(&self, node: NodeId) -> &str {
        &self.nodes[node.0]
    }

    /// That of what is kept of a table.
    pub fn table(&self, table: TableId) -> &str {
        &self.tables[table.0]
    }

    /// That of a source, by its place in the plan.
    pub fn source(&self, source: usize) -> &str {
        &self.sources[source]
    }

    /// That of a sink, by its place in the plan.
    pub fn sink(&self, sink: usize) -> &str {
        &self.sinks[sink]
    }

    /// What each part does: a state fits a part that does the same.
    pub fn plan(&self, plan: &Plan) -> BTreeMap<String, String> {
        let node = |(at, node): (usize, &Node)| {
            let mut does = format!("{} -> {}", plan.describe(node), columns(&node.schema));
            if keeps_rows(node) {
                let inputs: Vec<String> =
                    node.inputs.iter().map(|input| columns(&plan.nodes[input.0].schema)).collect();
                does.push_str(&format!(", of {}", inputs.join(" and ")));
            }
            (self.nodes[at].clone(), does)
        };
        let loaded = loaded(plan).map(|table| {
            let does = format!("Table {} -> {}", plan.table_text(table), columns(&plan.tables[table.0].schema));
            (self.table(table).to_owned(), does)
        });
        plan.nodes.iter().enumerate().map(node).chain(loaded).collect()
    }

    /// The same with who keeps something, for a comparison with a checkpoint of another plan.
    pub fn new_plan(&self, plan: &Plan) -> NewPlan {
        let stateful = plan.nodes.iter().enumerate().filter(|(_, node)| {
            keeps_rows(node) || matches!(node.kind, NodeKind::Aggregate { .. } | NodeKind::Limit { .. })
        });
        let stateful = stateful.map(|(at, _)| self.nodes[at].clone());
        let made = plan.nodes.iter().filter_map(|node| match node.kind {
            NodeKind::TableSink(table) if !plan.is_settled(table) => Some(table),
            _ => None,
        });
        let tables = made.chain(loaded(plan)).map(|table| self.table(table).to_owned());
        // Rows of scripts and tables are sources too, under the names of their nodes.
        let given = plan.nodes.iter().enumerate();
        let given = given.filter(|(_, node)| matches!(node.kind, NodeKind::Values(_) | NodeKind::TableScan(_)));
        NewPlan {
            does: self.plan(plan),
            stateful: stateful.chain(tables).collect(),
            sources: self.sources.iter().cloned().chain(given.map(|(at, _)| self.nodes[at].clone())).collect(),
            sinks: self.sinks.iter().cloned().collect(),
        }
    }
}

/// The tables over connectors of which checkpoints keep the rows: those that are read and go on changing.
pub fn loaded(plan: &Plan) -> impl Iterator<Item = TableId> + '_ {
    let tables = (0..plan.tables.len()).map(TableId);
    let changing =
        tables.filter(|table| matches!(plan.tables[table.0].feed, TableFeed::Connector(_)) && !plan.is_settled(*table));
    changing.filter(|table| plan.nodes.iter().any(|node| node.kind.reads() == Some(*table)))
}

/// Whether an operator can keep rows as they come in: its state has their columns.
fn keeps_rows(node: &Node) -> bool {
    match &node.kind {
        NodeKind::Over(_)
        | NodeKind::TopN(_)
        | NodeKind::MatchRecognize(_)
        | NodeKind::SetOperation { .. }
        | NodeKind::DistinctOn { .. }
        | NodeKind::LatestByKey(_)
        | NodeKind::Sort(_)
        | NodeKind::WindowLimit { .. }
        | NodeKind::Fold
        | NodeKind::FoldByTime(_)
        | NodeKind::LookupJoin(_)
        | NodeKind::AsOfJoin(_)
        | NodeKind::IntervalJoin(_)
        | NodeKind::WindowJoin(_)
        | NodeKind::ChangelogJoin(_) => true,
        NodeKind::Source(_)
        | NodeKind::Values(_)
        | NodeKind::Filter(_)
        | NodeKind::Project(_)
        | NodeKind::Window(_)
        | NodeKind::Unnest(_)
        | NodeKind::Union
        | NodeKind::Aggregate { .. }
        | NodeKind::Limit { .. }
        | NodeKind::TableScan(_)
        | NodeKind::TableSink(_)
        | NodeKind::Sink(_) => false,
    }
}

fn columns(schema: &SchemaRef) -> String {
    let column = |field: &arrow_schema::FieldRef| {
        let null = if field.is_nullable() { "" } else { " NOT NULL" };
        format!("{} {}{null}", field.name(), velo_core::types::sql_name(field.data_type()))
    };
    let columns: Vec<String> = schema.fields().iter().map(column).collect();
    format!("({})", columns.join(", "))
}

fn numbered(used: &mut BTreeMap<String, usize>, name: String) -> String {
    let count = used.entry(name.clone()).or_insert(0);
    *count += 1;
    if *count == 1 { name } else { format!("{name}-{count}") }
}

fn word(node: &Node) -> &'static str {
    match &node.kind {
        NodeKind::Source(_) => "source",
        NodeKind::Values(_) => "values",
        NodeKind::Filter(_) => "filter",
        NodeKind::Project(_) => "project",
        NodeKind::Window(_) => "window",
        NodeKind::Unnest(_) => "unnest",
        NodeKind::Union => "union",
        NodeKind::Aggregate { .. } => "aggregate",
        NodeKind::Fold => "fold",
        NodeKind::FoldByTime(_) => "fold-by-time",
        NodeKind::LatestByKey(_) => "latest-by-key",
        NodeKind::Over(_) => "over",
        NodeKind::TopN(_) => "top-n",
        NodeKind::MatchRecognize(_) => "match",
        NodeKind::SetOperation { .. } => "set-operation",
        NodeKind::DistinctOn { .. } => "distinct-on",
        NodeKind::Sort(_) => "sort",
        NodeKind::WindowLimit { .. } => "window-limit",
        NodeKind::Limit { .. } => "limit",
        NodeKind::LookupJoin(_) => "lookup-join",
        NodeKind::AsOfJoin(_) => "as-of-join",
        NodeKind::IntervalJoin(_) => "interval-join",
        NodeKind::WindowJoin(_) => "window-join",
        NodeKind::ChangelogJoin(_) => "changelog-join",
        NodeKind::TableScan(_) => "table-scan",
        NodeKind::TableSink(_) => "table-sink",
        NodeKind::Sink(_) => "sink",
    }
}
