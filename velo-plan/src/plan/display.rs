//! A plan as text: a tree per sink, indented, with what matters for event time and delivery at each node.

use std::collections::BTreeSet;

use velo_core::connector::{ChangelogMode, Guarantee};
use velo_core::schema;
use velo_eventtime::{LateStrategy, OnError, WatermarkStrategy};

use super::aggregate::Emission;
use super::changes::Changes;
use super::expr_text::expr_text;
use super::node::{
    GroupingSet, Node, NodeId, NodeKind, Output, Plan, SetKind, SinkId, SourceNode, TimeOrigin, Unnest, UnnestOf,
};
use super::over::sort_text;
use super::table::{TableFeed, TableId};

impl Plan {
    /// The whole plan as an indented tree, from each sink down to the sources.
    pub fn text(&self) -> String {
        self.text_from(SinkId(0))
    }

    /// The trees of the sinks from `first` on.
    pub(crate) fn text_from(&self, first: SinkId) -> String {
        let mut out = String::new();
        let mut shown = BTreeSet::new();
        let is_shown = |node: &Node| matches!(node.kind, NodeKind::Sink(id) if id >= first);
        for (at, node) in self.nodes.iter().enumerate() {
            if is_shown(node) && !node.inputs.is_empty() {
                self.tree(&mut out, NodeId(at), 0, &mut shown);
            }
        }
        self.read_tables(&mut out, &mut shown);
        for node in self.nodes.iter().filter(|node| is_shown(node) && node.inputs.is_empty()) {
            out.push_str(&format!("Dead letters → {}\n", self.describe(node)));
        }
        out
    }

    /// The tables that what was shown reads, and the trees of those that are made by a query.
    fn read_tables(&self, out: &mut String, shown: &mut BTreeSet<NodeId>) {
        let mut told = BTreeSet::new();
        loop {
            let reads: BTreeSet<TableId> = shown.iter().filter_map(|id| self.nodes[id.0].kind.reads()).collect();
            let Some(table) = reads.into_iter().find(|table| told.insert(*table)) else { return };
            let sink = |node: &Node| matches!(node.kind, NodeKind::TableSink(id) if id == table);
            match self.nodes.iter().position(sink) {
                Some(at) => self.tree(out, NodeId(at), 0, shown),
                None => out.push_str(&format!("Table {}\n", self.table_text(table))),
            }
        }
    }

    /// One line per node that `sink` is made of, the sink first, each with its depth.
    pub fn lines_of(&self, sink: SinkId) -> Vec<(NodeId, usize)> {
        let root = self.nodes.iter().position(|node| matches!(node.kind, NodeKind::Sink(id) if id == sink));
        let mut lines = Vec::new();
        let mut waiting: Vec<(NodeId, usize)> = root.map(|at| (NodeId(at), 0)).into_iter().collect();
        while let Some((id, depth)) = waiting.pop() {
            lines.push((id, depth));
            waiting.extend(self.nodes[id.0].inputs.iter().rev().map(|input| (*input, depth + 1)));
        }
        lines
    }

    fn tree(&self, out: &mut String, id: NodeId, depth: usize, shown: &mut BTreeSet<NodeId>) {
        let node = &self.nodes[id.0];
        out.push_str(&"  ".repeat(depth));
        out.push_str(&self.describe(node));
        // No part of what a node does with the rows that it can use: a job goes on from its checkpoint under another policy.
        out.push_str(match node.on_compute_error.policy {
            OnError::Fail => "",
            OnError::Skip => "; rows that fail are left out",
            OnError::DeadLetter => "; rows that fail go to the dead letters",
        });
        if !shown.insert(id) {
            // A source or view that several statements read is read once; its inputs stand above.
            out.push_str(" (shared, see above)\n");
            return;
        }
        out.push('\n');
        for input in &node.inputs {
            self.tree(out, *input, depth + 1, shown);
        }
    }

    /// One node in one line.
    pub fn describe(&self, node: &Node) -> String {
        let mut text = self.describe_kind(node);
        if let Some(ttl) = node.state_ttl {
            let by = if ttl.by_clock { "clock (results depend on when it runs)" } else { "watermark" };
            text.push_str(&format!("; forgotten after {} by the {by}", ttl.after));
        }
        match (node.changes, &node.kind) {
            (Changes::Append, _) => text,
            (_, NodeKind::Sink(id)) => format!("{text}, {}", mode_text(self.sinks[id.0].mode)),
            (changes, _) => format!("{text} [{}]", changes.symbols()),
        }
    }

    fn describe_kind(&self, node: &Node) -> String {
        match &node.kind {
            NodeKind::Source(id) => source_text(&self.sources[id.0]),
            NodeKind::Filter(condition) => format!("Filter {}", expr_text(condition)),
            NodeKind::Project(outputs) => {
                let items: Vec<String> = outputs
                    .iter()
                    .map(|output| {
                        let text = expr_text(&output.expr);
                        if text == *output.field.name() { text } else { format!("{text} AS {}", output.field.name()) }
                    })
                    .collect();
                format!("Project {}", items.join(", "))
            }
            NodeKind::Window(window) => format!("Window {window}"),
            NodeKind::Values(rows) => match rows.as_slice() {
                [one] if one.is_empty() => "Values: one row".to_owned(),
                [one] => format!("Values: one row of {}", columns(one.len())),
                rows => format!("Values: {} rows of {}", rows.len(), columns(node.schema.fields().len())),
            },
            NodeKind::Unnest(unnest) => unnest_text(unnest),
            NodeKind::Union => "Union".to_owned(),
            NodeKind::Aggregate { keys, sets, aggregates, window, late, emission } => {
                let mut text = "Aggregate".to_owned();
                let own = if sets.is_empty() { keys.as_slice() } else { &keys[..keys.len().saturating_sub(1)] };
                if !own.is_empty() {
                    let keys: Vec<String> =
                        own.iter().map(|key| format!("{} = {}", key.field.name(), expr_text(&key.expr))).collect();
                    text.push_str(&format!(" by {}", keys.join(", ")));
                }
                if !sets.is_empty() {
                    let sets: Vec<String> = sets.iter().map(|set| set_text(set, own)).collect();
                    text.push_str(&format!(" in the sets {}", sets.join(", ")));
                }
                match window {
                    Some(window) => text.push_str(&format!(" {window}")),
                    None if emission.early => {}
                    None => text.push_str(" at the end"),
                }
                let calls: Vec<String> =
                    aggregates.iter().map(|call| format!("{} = {}", call.output.name(), call.text)).collect();
                if !calls.is_empty() {
                    text.push_str(&format!(": {}", calls.join(", ")));
                }
                if emission.early {
                    text.push_str(if emission.per_record { "; changes per record" } else { "; changes per batch" });
                }
                if let Some(interval) = emission.interval {
                    text.push_str(&format!(" and at most every {interval}"));
                }
                if let Some(corrected) = emission.corrected {
                    text.push_str(&format!("; corrected for {corrected}"));
                }
                if window.is_some() {
                    text.push_str(match late {
                        LateStrategy::Drop => "; late rows are dropped",
                        LateStrategy::DeadLetter => "; late rows go to the dead letters",
                        LateStrategy::IncludeInNextWindow => "; late rows count in the next window",
                        LateStrategy::UpdatePrevious => "; late rows correct their window",
                    });
                }
                if let Some(after) = emission.idle_close {
                    let what = "quiet windows close after";
                    text.push_str(&format!("; {what} {after} by the clock (results depend on when it runs)"));
                }
                text
            }
            NodeKind::Fold => "Fold changes at the end".to_owned(),
            NodeKind::FoldByTime(late) => {
                let late = if *late == LateStrategy::DeadLetter { "go to the dead letters" } else { "are dropped" };
                format!("Fold changes until the watermark has passed their rows; late rows {late}")
            }
            NodeKind::LatestByKey(key) => format!("Latest row by {}", key.join(", ")),
            NodeKind::Over(over) => {
                let expires =
                    over.windows.iter().any(|window| window.buffer.is_some_and(|buffer| buffer.expire.is_some()));
                match expires && schema::event_time_index(&node.schema).is_none() {
                    true => format!("{over}; buffers expire by the clock (results depend on when it runs)"),
                    false => over.to_string(),
                }
            }
            NodeKind::TopN(top) => top.to_string(),
            NodeKind::MatchRecognize(matching) => matching.to_string(),
            NodeKind::SetOperation { kind, all, emission } => {
                let word = match kind {
                    SetKind::Except => "Except",
                    SetKind::Intersect => "Intersect",
                };
                let all = if *all { " all" } else { "" };
                let when = match emission {
                    Emission { early: false, .. } => " at the end",
                    Emission { per_record: true, .. } => "; changes per record",
                    Emission { .. } => "; changes per batch",
                };
                format!("{word}{all}{when}")
            }
            NodeKind::DistinctOn { keys, order } => {
                let keys: Vec<String> = keys.iter().map(expr_text).collect();
                let order = if order.is_empty() { String::new() } else { format!(" by {}", sort_text(order)) };
                format!("First row{order} of each {} at the end", keys.join(", "))
            }
            NodeKind::Sort(keys) => format!("Sort {}", sort_text(keys)),
            NodeKind::WindowLimit { order, skip, count } => {
                let order = if order.is_empty() { String::new() } else { format!(" by {}", sort_text(order)) };
                match (count, skip) {
                    (Some(count), 0) => format!("First {count} of each window{order}"),
                    (Some(count), skip) => format!("First {count} after {skip} of each window{order}"),
                    (None, 0) => format!("Sort each window{order}"),
                    (None, skip) => format!("All after {skip} of each window{order}"),
                }
            }
            NodeKind::Limit { skip, count } => match count {
                Some(count) => format!("Limit {count} after {skip}"),
                None => format!("Limit all after {skip}"),
            },
            NodeKind::LookupJoin(join) => {
                let table = &self.tables[join.table.0];
                let key = join.index.map(|index| table.indexes[index.0].as_slice()).unwrap_or_default();
                let key: Vec<&str> = key.iter().map(|column| table.schema.field(*column).name().as_str()).collect();
                join.text(&table.name, &key)
            }
            NodeKind::IntervalJoin(join) => join.to_string(),
            NodeKind::AsOfJoin(join) => join.to_string(),
            NodeKind::WindowJoin(join) => join.to_string(),
            NodeKind::ChangelogJoin(join) => join.to_string(),
            NodeKind::TableScan(scan) => {
                let columns: Vec<&str> = scan.columns.iter().map(|column| column.field.name().as_str()).collect();
                let then = if self.is_settled(scan.table) { "" } else { ", then its changes" };
                format!("Content of the table {}{then} ({})", self.tables[scan.table.0].name, columns.join(", "))
            }
            NodeKind::TableSink(id) => format!("Table {}", self.table_text(*id)),
            NodeKind::Sink(id) => {
                let sink = &self.sinks[id.0];
                let to = sink.binding.as_ref().map_or("terminal".to_owned(), |binding| binding.describe());
                let when = match (sink.guarantee, sink.bounded) {
                    (Guarantee::ExactlyOnce, true) => "exactly once, visible at the end",
                    (Guarantee::ExactlyOnce, false) => "exactly once, visible at checkpoints",
                    (Guarantee::AtLeastOnce, _) => "at least once, visible at once",
                };
                let columns: Vec<&str> = sink.schema.fields().iter().map(|field| field.name().as_str()).collect();
                format!("Sink {} → {to} ({}), {when}", sink.name, columns.join(", "))
            }
        }
    }

    /// A table in one line: its name, its key, where its rows come from and how it is kept.
    pub fn table_text(&self, id: TableId) -> String {
        let table = &self.tables[id.0];
        let visible = schema::visible(&table.schema);
        let columns: Vec<&str> = visible.fields().iter().map(|field| field.name().as_str()).collect();
        let mut text = table.name.clone();
        if let TableFeed::Connector(feed) = &table.feed {
            text.push_str(&format!(" ← {}", feed.source.binding.describe()));
        }
        text.push_str(&format!(" ({})", columns.join(", ")));
        if !table.key.is_empty() {
            let key: Vec<&str> = table.key.iter().map(|column| table.schema.field(*column).name().as_str()).collect();
            text.push_str(&format!(", key {}", key.join(", ")));
        }
        if let Some(interval) = table.upkeep.refresh {
            text.push_str(&format!(", refreshed every {interval}"));
        }
        if let Some(interval) = table.upkeep.reload {
            text.push_str(&format!(", loaded again every {interval}"));
        }
        if table.misses_deletes() {
            text.push_str(", deletes: not seen");
        }
        if table.keeps_versions {
            text.push_str(", with its versions");
        }
        text
    }

    /// The plan in Graphviz's language.
    pub fn dot(&self) -> String {
        let mut out = "digraph plan {\n  rankdir = LR;\n  node [shape = box, fontname = monospace];\n".to_owned();
        for (at, node) in self.nodes.iter().enumerate() {
            let label = self.describe(node).replace('\\', "\\\\").replace('"', "\\\"");
            out.push_str(&format!("  n{at} [label = \"{label}\"];\n"));
        }
        for (at, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                out.push_str(&format!("  n{} -> n{at};\n", input.0));
            }
        }
        out.push_str("}\n");
        out
    }
}

/// `changelog.mode`, as it is written.
fn mode_text(mode: ChangelogMode) -> &'static str {
    match mode {
        ChangelogMode::Append => "append",
        ChangelogMode::Upsert => "upsert",
        ChangelogMode::Full => "full",
        ChangelogMode::Debezium => "debezium",
    }
}

fn columns(count: usize) -> String {
    if count == 1 { "one column".to_owned() } else { format!("{count} columns") }
}

fn set_text(set: &GroupingSet, keys: &[Output]) -> String {
    let counted = keys.iter().zip(&set.keys).filter(|(_, counts)| **counts);
    let names: Vec<&str> = counted.map(|(key, _)| key.field.name().as_str()).collect();
    format!("({})", names.join(", "))
}

fn unnest_text(unnest: &Unnest) -> String {
    let items: Vec<String> = unnest
        .items
        .iter()
        .map(|item| {
            let exprs: Vec<String> = item.exprs().into_iter().map(expr_text).collect();
            let of = match &item.of {
                UnnestOf::Collection(_) => exprs.join(", "),
                UnnestOf::Series { .. } => format!("GENERATE_SERIES({})", exprs.join(", ")),
            };
            let names: Vec<&str> = item.fields.iter().map(|field| field.name().as_str()).collect();
            format!("{of} AS {}", names.join(", "))
        })
        .collect();
    let mut text = format!("Unnest {}", items.join(" beside "));
    if let Some(ordinality) = &unnest.ordinality {
        text.push_str(&format!(" counted by {}", ordinality.name()));
    }
    if unnest.outer {
        text.push_str("; rows without elements once");
    }
    text
}

fn source_text(source: &SourceNode) -> String {
    let columns: Vec<&str> = source
        .used
        .iter()
        .map(|at| source.declared.field(*at).name().as_str())
        .chain(source.system.iter().map(|field| field.name().as_str()))
        .collect();
    let ends = if source.binding.bounded() { "ends" } else { "does not end" };
    let mut text = format!("Source {} ← {} ({}), {ends}", source.name, source.reads(), columns.join(", "));
    if let Some(time) = &source.event_time {
        let from = match &time.from {
            TimeOrigin::Field { extractor, .. } => {
                format!("{} as {} in {}", extractor.field(), extractor.format(), extractor.zone())
            }
            TimeOrigin::Computed(expr) => expr_text(expr),
            TimeOrigin::Record => "the record's own".to_owned(),
            TimeOrigin::Arrival => "arrival (results depend on when it runs)".to_owned(),
        };
        let watermark = match time.watermark.strategy {
            WatermarkStrategy::BoundedOutOfOrderness => format!("{} behind", time.watermark.max_out_of_orderness),
            WatermarkStrategy::Ascending => "ascending".to_owned(),
            WatermarkStrategy::Punctuated => "punctuated".to_owned(),
        };
        text.push_str(&format!("; event time {from}, watermark {watermark}"));
        if time.watermark.max_drift.micros() > 0 {
            text.push_str(&format!(", partitions at most {} apart", time.watermark.max_drift));
        }
    }
    text
}
