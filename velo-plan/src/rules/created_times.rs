//! Records' own times that are event times though the script does not say so: where something goes by them, they must be those at which
//! the records were created.
//!
//! A time at which a broker appended a record is another thing, by which windows would be those of arrival: who wants that says so.

use std::collections::BTreeSet;

use datafusion_expr::Expr;
use velo_core::duration::Span;
use velo_core::schema::EVENT_TIME;

use crate::plan::{AggregateCall, AggregateKind, NodeKind, Plan, SourceId};

/// Has the sources whose event times something goes by give no other records, and asks nothing of the times of the others.
pub(super) fn run(plan: &mut Plan) {
    let mut reads: Vec<BTreeSet<SourceId>> = Vec::with_capacity(plan.nodes.len());
    let mut tables = vec![BTreeSet::<SourceId>::new(); plan.tables.len()];
    let mut gone_by: BTreeSet<SourceId> = BTreeSet::new();
    for node in &plan.nodes {
        let mut sources: BTreeSet<SourceId> =
            node.inputs.iter().flat_map(|input| reads[input.0].iter().copied()).collect();
        match &node.kind {
            NodeKind::Source(source) => drop(sources.insert(*source)),
            NodeKind::TableSink(table) => tables[table.0].clone_from(&sources),
            NodeKind::TableScan(scan) => sources.clone_from(&tables[scan.table.0]),
            NodeKind::LookupJoin(join) if join.as_of => gone_by.extend(tables[join.table.0].iter().copied()),
            _ => {}
        }
        if goes_by_time(&node.kind) || node.state_ttl.is_some_and(|ttl| !ttl.by_clock) {
            gone_by.extend(&sources);
        }
        reads.push(sources);
    }
    for (at, source) in plan.sources.iter_mut().enumerate() {
        let Some(time) = source.event_time.as_mut().filter(|time| time.by_default) else { continue };
        if !gone_by.contains(&SourceId(at)) {
            // Nobody asks for it, so that a record from the future is as good as any.
            time.watermark.max_future_skew = Span(0);
        } else if let Some(binding) = source.binding.by_created_times() {
            source.binding = binding;
        }
    }
}

/// Whether an aggregate depends on the order of its rows, which is that of their times.
fn by_order(call: &AggregateCall) -> bool {
    match call.kind {
        AggregateKind::Count
        | AggregateKind::Sum
        | AggregateKind::Avg
        | AggregateKind::Min
        | AggregateKind::Max
        | AggregateKind::BoolAnd
        | AggregateKind::BoolOr => call
            .arguments
            .iter()
            .any(|argument| argument.column_refs().iter().any(|column| column.name() == EVENT_TIME)),
        AggregateKind::First
        | AggregateKind::Last
        | AggregateKind::ArgMin
        | AggregateKind::ArgMax
        | AggregateKind::Library(_) => true,
    }
}

/// Whether what a node gives depends on the event times of its rows.
fn goes_by_time(kind: &NodeKind) -> bool {
    let reads = |expr: &Expr| expr.column_refs().iter().any(|column| column.name() == EVENT_TIME);
    match kind {
        NodeKind::Source(_)
        | NodeKind::Values(_)
        | NodeKind::Unnest(_)
        | NodeKind::Union
        | NodeKind::LatestByKey(_)
        | NodeKind::Limit { .. }
        | NodeKind::TableScan(_)
        | NodeKind::Sink(_)
        | NodeKind::TableSink(_) => false,
        NodeKind::Filter(condition) => reads(condition),
        // One that hands it on under its own name does nothing with it.
        NodeKind::Project(outputs) => {
            outputs.iter().any(|output| output.field.name() != EVENT_TIME && reads(&output.expr))
        }
        NodeKind::Aggregate { window, aggregates, .. } => window.is_some() || aggregates.iter().any(by_order),
        NodeKind::LookupJoin(join) => join.as_of,
        // Joins without a bound of time, and sets, go by nothing but the rows.
        NodeKind::ChangelogJoin(_) => false,
        NodeKind::Window(_)
        | NodeKind::Fold
        | NodeKind::FoldByTime(_)
        | NodeKind::Over(_)
        | NodeKind::TopN(_)
        | NodeKind::MatchRecognize(_)
        | NodeKind::SetOperation { .. }
        | NodeKind::DistinctOn { .. }
        | NodeKind::Sort(_)
        | NodeKind::WindowLimit { .. }
        | NodeKind::IntervalJoin(_)
        | NodeKind::AsOfJoin(_)
        | NodeKind::WindowJoin(_) => true,
    }
}
