//! Nodes that nobody reads do not run: those of a view that nobody asks, and those in whose place others stand.

use std::collections::BTreeSet;

use crate::plan::{NodeId, NodeKind, Plan, SinkId, TableFeed, TableId};
use crate::planner::Roots;

/// Takes out what is not read for `roots`.
pub(super) fn run(plan: &mut Plan, roots: Roots) {
    let mut read = vec![false; plan.nodes.len()];
    let mut tables = BTreeSet::new();
    // Consumers stand behind their inputs, and readers of a table behind what feeds it.
    for at in (0..plan.nodes.len()).rev() {
        read[at] |= match plan.nodes[at].kind {
            // One without an input is for dead letters, of which there are some or not.
            NodeKind::Sink(_) => roots == Roots::Sinks && !plan.nodes[at].inputs.is_empty(),
            NodeKind::TableSink(table) => roots == Roots::Tables || tables.contains(&table),
            _ => false,
        };
        if read[at] {
            tables.extend(plan.nodes[at].kind.reads());
            plan.nodes[at].inputs.iter().for_each(|input| read[input.0] = true);
        }
    }
    let letters = letter_sinks(plan, &read, |table| roots == Roots::Tables || tables.contains(&table));
    for (node, read) in plan.nodes.iter().zip(&mut read).filter(|(node, _)| node.inputs.is_empty()) {
        *read |= matches!(node.kind, NodeKind::Sink(sink) if letters.contains(&sink));
    }
    let mut next = 0;
    let number = |read: &bool| {
        let number = next;
        next += usize::from(*read);
        number
    };
    let numbers: Vec<usize> = read.iter().map(number).collect();
    let mut stays = read.into_iter();
    plan.nodes.retain(|_| stays.next().unwrap_or(true));
    for input in plan.nodes.iter_mut().flat_map(|node| &mut node.inputs) {
        *input = NodeId(numbers[input.0]);
    }
    for table in &mut plan.tables {
        // The number of one that is not read means nothing.
        if let TableFeed::Query(node) = &mut table.feed {
            *node = NodeId(numbers.get(node.0).copied().unwrap_or_default());
        }
    }
}

/// The sinks of the records and rows that are given up by what is read: one to which nothing could come would wait for it in vain.
fn letter_sinks(plan: &Plan, read: &[bool], is_loaded: impl Fn(TableId) -> bool) -> BTreeSet<SinkId> {
    let read = plan.nodes.iter().zip(read).filter(|(_, read)| **read).map(|(node, _)| node);
    let of_nodes = read.flat_map(|node| {
        let of_source = match node.kind {
            NodeKind::Source(source) => plan.sources[source.0].dead_letters,
            _ => None,
        };
        [node.dead_letters, node.on_compute_error.sink, of_source]
    });
    let loaded = plan.tables.iter().enumerate().filter(|(at, _)| is_loaded(TableId(*at)));
    let of_tables = loaded.map(|(_, table)| match &table.feed {
        TableFeed::Connector(feed) => feed.source.dead_letters,
        TableFeed::Query(_) => None,
    });
    of_nodes.chain(of_tables).flatten().collect()
}
