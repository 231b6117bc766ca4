//! Columns of sources that nothing uses are not decoded, and system columns only where they are named.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{FieldRef, Schema, SchemaRef};
use datafusion_expr::Expr;
use velo_core::schema;

use crate::bind::{WINDOW_END, WINDOW_START, WINDOW_TIME};
use crate::plan::{
    Changes, Join, NodeKind, Output, Plan, RowWindow, SortKey, SourceNode, TableColumn, TableFeed, TableNode,
    TimeOrigin, Unnest, UnnestItem, joined_schema,
};
use crate::planner::Roots;

/// Finds what every source must give, and narrows the schemas of the nodes that pass columns on.
pub(super) fn run(plan: &mut Plan, roots: Roots) {
    let mut needed: Vec<BTreeSet<String>> = vec![BTreeSet::new(); plan.nodes.len()];
    // Per table the places of the columns that are read. Its readers stand behind what feeds it.
    let of_table = |table: &TableNode| match roots {
        Roots::Sinks => table.key.iter().chain(table.indexes.iter().flatten()).copied().collect(),
        Roots::Tables => {
            (0..schema::visible(&table.schema).fields().len()).filter(|at| !is_system(table, *at)).collect()
        }
    };
    let mut of_tables: Vec<BTreeSet<usize>> = plan.tables.iter().map(of_table).collect();
    for at in (0..plan.nodes.len()).rev() {
        let node = &plan.nodes[at];
        let own = std::mem::take(&mut needed[at]);
        let of_input: BTreeSet<String> = match &node.kind {
            NodeKind::Source(_) | NodeKind::Values(_) => {
                needed[at] = own;
                continue;
            }
            NodeKind::TableScan(scan) => {
                of_tables[scan.table.0].extend(read(&scan.columns, &own));
                needed[at] = own;
                continue;
            }
            NodeKind::LookupJoin(join) => {
                let mut used = own.clone();
                used.extend(columns_of(&join.condition));
                of_tables[join.table.0].extend(read(&join.table_columns, &used));
                used.extend(columns_of(&join.keys));
                needed[at] = own;
                used
            }
            kind @ (NodeKind::IntervalJoin(_)
            | NodeKind::AsOfJoin(_)
            | NodeKind::WindowJoin(_)
            | NodeKind::ChangelogJoin(_)) => {
                let used = used_by(kind);
                needed[at] = own.clone();
                own.into_iter().chain(used).collect()
            }
            NodeKind::TableSink(table) => {
                let schema = &plan.tables[table.0].schema;
                of_tables[table.0].iter().map(|column| schema.field(*column).name().clone()).collect()
            }
            NodeKind::Unnest(unnest) => {
                let made: BTreeSet<&str> = made_by(unnest).collect();
                let passed = own.iter().filter(|name| !made.contains(name.as_str())).cloned();
                let of_input = passed.chain(columns_of(unnest.items.iter().flat_map(UnnestItem::exprs))).collect();
                needed[at] = own;
                of_input
            }
            NodeKind::Filter(condition) => own.into_iter().chain(columns_of([condition])).collect(),
            NodeKind::Sort(keys) | NodeKind::WindowLimit { order: keys, .. } => {
                own.into_iter().chain(columns_of(keys.iter().map(|SortKey { expr, .. }| expr))).collect()
            }
            NodeKind::Limit { .. } => own,
            // A row is known by all of its columns.
            NodeKind::Fold | NodeKind::FoldByTime(_) | NodeKind::LatestByKey(_) => {
                node.schema.fields().iter().map(|field| field.name().clone()).collect()
            }
            NodeKind::DistinctOn { keys, order } => {
                let order = order.iter().map(|SortKey { expr, .. }| expr);
                own.into_iter().chain(columns_of(keys.iter().chain(order))).collect()
            }
            // Rows are compared whole.
            NodeKind::SetOperation { .. } => {
                let input = &plan.nodes[node.inputs[0].0].schema;
                input.fields().iter().map(|field| field.name().clone()).collect()
            }
            NodeKind::Window(_) => {
                needed[at] = own.clone();
                own
            }
            NodeKind::Project(outputs) => {
                let used = outputs.iter().filter(|output| is_used(output, &own));
                let of_input = columns_of(used.map(|output| &output.expr)).collect();
                needed[at] = own;
                of_input
            }
            NodeKind::Over(over) => {
                // A call that nothing reads is not computed.
                let used = over.calls.iter().filter(|call| own.contains(call.output.name()));
                let of_calls = used.flat_map(|call| {
                    let of_window = over.windows.get(call.window).into_iter().flat_map(RowWindow::expressions);
                    call.expressions().chain(of_window)
                });
                // A buffer that must be full decides which rows come out, whoever reads its calls.
                let full = over.windows.iter().filter(|window| window.buffer.is_some_and(|buffer| buffer.when_full));
                let of_input = columns_of(of_calls.chain(full.flat_map(RowWindow::expressions)));
                let of_input = of_input.chain(own.iter().cloned()).collect();
                needed[at] = own;
                of_input
            }
            NodeKind::TopN(top) => {
                let passed =
                    own.iter().filter(|name| top.rank.as_ref().is_none_or(|rank| rank.name() != *name)).cloned();
                let of_input = passed.chain(columns_of(top.expressions())).collect();
                needed[at] = own;
                of_input
            }
            NodeKind::MatchRecognize(matching) => {
                // A measure that nothing reads is not computed.
                let mut matching = matching.clone();
                matching.keep_measures(|name| own.contains(name));
                needed[at] = own;
                columns_of(matching.expressions()).collect()
            }
            NodeKind::Aggregate { keys, aggregates, .. } => {
                let inputs = aggregates.iter().flat_map(|aggregate| {
                    let order = aggregate.order_by.iter().map(|SortKey { expr, .. }| expr);
                    aggregate.arguments.iter().chain(&aggregate.filter).chain(order)
                });
                columns_of(keys.iter().map(|key| &key.expr).chain(inputs)).collect()
            }
            // Their inputs are projections, which give exactly what they are made of.
            NodeKind::Union | NodeKind::Sink(_) => {
                node.schema.fields().iter().map(|field| field.name().clone()).collect()
            }
        };
        for input in &plan.nodes[at].inputs.clone() {
            needed[input.0].extend(of_input.iter().cloned());
        }
    }
    for (table, used) in plan.tables.iter_mut().zip(&of_tables) {
        narrow_table(table, used);
    }
    let place_of = |table: usize, column: usize| of_tables[table].iter().take_while(|used| **used < column).count();
    for (at, needed) in needed.iter_mut().enumerate() {
        let full = Arc::clone(&plan.nodes[at].schema);
        match plan.nodes[at].kind {
            NodeKind::Source(id) => {
                plan.nodes[at].schema = narrow_source(&mut plan.sources[id.0], &full, needed);
            }
            NodeKind::TableScan(ref mut scan) => {
                scan.columns.retain(|column| needed.contains(column.field.name()));
                scan.columns.iter_mut().for_each(|column| column.column = place_of(scan.table.0, column.column));
                plan.nodes[at].schema = narrow(&full, needed);
            }
            NodeKind::LookupJoin(ref mut join) => {
                let condition: BTreeSet<String> = columns_of(&join.condition).collect();
                let used = |column: &TableColumn| {
                    let name = column.field.name();
                    needed.contains(name) || condition.contains(name)
                };
                join.table_columns.retain(used);
                if let Some(missing) = &mut join.missing {
                    let read = |name: &str| join.table_columns.iter().any(|column| column.field.name() == name);
                    missing.defaults.retain(|(name, _)| read(name));
                }
                join.table_columns.iter_mut().for_each(|column| column.column = place_of(join.table.0, column.column));
                join.columns.retain(|column| needed.contains(column.field.name()));
                plan.nodes[at].schema =
                    joined_schema(&join.columns, join.kind.mark(), schema::event_time_index(&full).is_some());
            }
            NodeKind::AsOfJoin(ref mut join) => {
                let narrowed = narrow_join(&mut join.join, &full, needed);
                if let Some(missing) = &mut join.missing {
                    let comes = |name: &str| join.join.columns.iter().any(|column| column.field.name() == name);
                    missing.defaults.retain(|(name, _)| comes(name));
                }
                plan.nodes[at].schema = narrowed;
            }
            NodeKind::IntervalJoin(_) | NodeKind::WindowJoin(_) | NodeKind::ChangelogJoin(_) => {
                if let Some(join) = plan.nodes[at].kind.join_mut() {
                    plan.nodes[at].schema = narrow_join(join, &full, needed);
                }
            }
            NodeKind::TableSink(_) => {
                let input = plan.nodes[at].inputs[0];
                plan.nodes[at].schema = plan.nodes[input.0].schema.clone();
            }
            // A view may give more than its readers take.
            NodeKind::Project(ref mut outputs) => {
                outputs.retain(|output| is_used(output, needed));
                plan.nodes[at].schema = narrow(&full, needed);
            }
            // What is only unnested goes no further.
            NodeKind::Unnest(_) => plan.nodes[at].schema = narrow(&full, needed),
            NodeKind::Over(ref mut over) => {
                over.calls.retain(|call| needed.contains(call.output.name()));
                over.drop_unused_windows();
                let results: Vec<_> = over.calls.iter().map(|call| Arc::clone(&call.output)).collect();
                let input = plan.nodes[at].inputs[0];
                plan.nodes[at].schema = with_results(&plan.nodes[input.0].schema, results);
            }
            NodeKind::TopN(ref mut top) => {
                // Without its number a row changes only where it comes or goes.
                top.rank = top.rank.take().filter(|rank| needed.contains(rank.name()));
                let results = top.rank.iter().cloned().collect();
                let input = plan.nodes[at].inputs[0];
                plan.nodes[at].schema = with_results(&plan.nodes[input.0].schema, results);
            }
            NodeKind::MatchRecognize(ref mut matching) => {
                matching.keep_measures(|name| needed.contains(name));
                let outputs = matching.partition_by.iter().chain(&matching.measures);
                let visible = Schema::new(outputs.map(|output| Arc::clone(&output.field)).collect::<Vec<_>>());
                plan.nodes[at].schema = schema::with_event_time(&visible);
            }
            NodeKind::Window(_) => {
                // The window's own columns stand behind the input's.
                let input = plan.nodes[at].inputs[0];
                let own: BTreeSet<String> = [WINDOW_START, WINDOW_END, WINDOW_TIME].map(str::to_owned).into();
                let of_input: BTreeSet<String> =
                    plan.nodes[input.0].schema.fields().iter().map(|field| field.name().clone()).collect();
                plan.nodes[at].schema = narrow(&full, &own.union(&of_input).cloned().collect());
            }
            NodeKind::Filter(_)
            | NodeKind::Sort(_)
            | NodeKind::Limit { .. }
            | NodeKind::WindowLimit { .. }
            | NodeKind::DistinctOn { .. } => {
                let input = plan.nodes[at].inputs[0];
                plan.nodes[at].schema = plan.nodes[input.0].schema.clone();
            }
            _ => {}
        }
    }
    // Rows whose rank nothing reads change in other ways.
    for at in 0..plan.nodes.len() {
        plan.nodes[at].changes = Changes::within(plan, &plan.nodes[at].kind, &plan.nodes[at].inputs);
    }
}

/// Whether an output of a projection is needed; another event time for its rows always is.
fn is_used(output: &Output, needed: &BTreeSet<String>) -> bool {
    output.field.name() == schema::EVENT_TIME || needed.contains(output.field.name())
}

/// Whether a column of a table is one that its source adds to the declared ones.
fn is_system(table: &TableNode, column: usize) -> bool {
    let name = table.schema.field(column).name();
    match &table.feed {
        TableFeed::Connector(feed) => feed.source.system.iter().any(|field| field.name() == name),
        TableFeed::Query(_) => false,
    }
}

/// The places of the columns of a table whose names are used.
fn read<'a>(columns: &'a [TableColumn], used: &'a BTreeSet<String>) -> impl Iterator<Item = usize> + 'a {
    columns.iter().filter(|column| used.contains(column.field.name())).map(|column| column.column)
}

/// What a join needs of its inputs, whose columns have different names.
fn used_by(kind: &NodeKind) -> Vec<String> {
    let expressions = kind.join().into_iter().flat_map(Join::expressions);
    let windows = match kind {
        NodeKind::WindowJoin(join) => Some(join.windows().map(str::to_owned)),
        _ => None,
    };
    columns_of(expressions).chain(windows.into_iter().flatten()).collect()
}

fn narrow_join(join: &mut Join, full: &SchemaRef, needed: &BTreeSet<String>) -> SchemaRef {
    join.columns.retain(|column| needed.contains(column.field.name()));
    joined_schema(&join.columns, join.kind.mark(), schema::event_time_index(full).is_some())
}

/// Narrows what a source decodes to what is needed, and what it needs itself.
fn narrow_source(source: &mut SourceNode, full: &SchemaRef, needed: &mut BTreeSet<String>) -> SchemaRef {
    let computed: BTreeSet<String> = match source.event_time.as_ref().map(|time| &time.from) {
        Some(TimeOrigin::Computed(expr)) => columns_of([expr]).collect(),
        _ => BTreeSet::new(),
    };
    source.used = (0..source.declared.fields().len())
        .filter(|column| {
            let name = source.declared.field(*column).name();
            needed.contains(name) || computed.contains(name)
        })
        .collect();
    let record_time = matches!(&source.event_time, Some(time) if matches!(time.from, TimeOrigin::Record));
    source.system.retain(|field| needed.contains(field.name()) || (record_time && field.name() == "_timestamp"));
    needed.extend(computed);
    if record_time {
        needed.insert("_timestamp".to_owned());
    }
    narrow(full, needed)
}

/// Keeps the columns of a table that are read.
fn narrow_table(table: &mut TableNode, used: &BTreeSet<usize>) {
    let place = |column: &mut usize| *column = used.iter().take_while(|used| **used < *column).count();
    table.key.iter_mut().chain(table.indexes.iter_mut().flatten()).for_each(place);
    let names: BTreeSet<String> = used.iter().map(|column| table.schema.field(*column).name().clone()).collect();
    table.schema = narrow(&table.schema, &names);
    if let TableFeed::Connector(feed) = &mut table.feed {
        let mut needed: BTreeSet<String> = match &mut feed.outputs {
            None => names,
            Some(outputs) => {
                outputs.retain(|output| names.contains(output.field.name()));
                columns_of(outputs.iter().map(|output| &output.expr)).collect()
            }
        };
        feed.decoded = narrow_source(&mut feed.source, &feed.decoded, &mut needed);
    }
}

/// The names of the columns that elements become.
fn made_by(unnest: &Unnest) -> impl Iterator<Item = &str> {
    let fields = unnest.items.iter().flat_map(|item| &item.fields).chain(&unnest.ordinality);
    fields.map(|field| field.name().as_str())
}

/// The columns that are needed, in their order; the hidden event time stays.
fn narrow(full: &SchemaRef, needed: &BTreeSet<String>) -> SchemaRef {
    let fields: Vec<_> = full
        .fields()
        .iter()
        .filter(|field| field.name() == schema::EVENT_TIME || needed.contains(field.name()))
        .cloned()
        .collect();
    Arc::new(Schema::new(fields))
}

/// The input's columns with the results behind them; the hidden event time stays last.
pub(crate) fn with_results(input: &SchemaRef, results: Vec<FieldRef>) -> SchemaRef {
    let mut fields = schema::visible(input).fields().to_vec();
    fields.extend(results);
    let visible = Schema::new(fields);
    match schema::event_time_index(input) {
        Some(_) => schema::with_event_time(&visible),
        None => Arc::new(visible),
    }
}

fn columns_of<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> impl Iterator<Item = String> {
    exprs
        .into_iter()
        .flat_map(|expr| expr.column_refs().into_iter().map(|column| column.name().to_owned()).collect::<Vec<_>>())
}
