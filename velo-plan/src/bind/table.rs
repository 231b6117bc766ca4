//! CREATE TABLE, over a connector or of a query; and a table as a relation.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion_common::{Column, ScalarValue};
use datafusion_expr::Expr;
use velo_core::properties::Properties;
use velo_core::{schema, types};
use velo_eventtime::LateProperties;
use velo_sql::ast::{Create, Ident, ObjectName};
use velo_sql::{Diagnostic, Span};

use super::declaration::Declared;
use super::scope::{Scope, ScopeColumn};
use super::source::BoundColumns;
use crate::catalog::{BoundSource, BoundTable, Object, OffsetReset, Pairs, Relation, Table, TableProperties};
use crate::codes;
use crate::functions::cast::cast;
use crate::plan::{
    ConnectorFeed, Missing, MissingStrategy, NodeId, NodeKind, Output, TableColumn, TableFeed, TableId, TableNode,
    TableScan, Upkeep,
};
use crate::planner::{Planner, primary_key, visible};

/// How a table is kept up to date.
fn upkeep(bound: &BoundTable) -> Upkeep {
    let BoundTable { properties, retry, breaker, .. } = bound;
    Upkeep {
        refresh: properties.refresh,
        reload: properties.reload,
        publish: properties.publish,
        from_latest: properties.offset_reset == OffsetReset::Latest,
        retry: *retry,
        breaker: breaker.clone(),
    }
}

impl Planner<'_> {
    /// Declares a table over a connector.
    pub(crate) async fn create_table(&mut self, create: &Create, pairs: Pairs) {
        // Mistakes in the columns and in the properties are told at once.
        let bound = self.resolver().table(&pairs);
        let Some(written) = self.written_columns(create) else { return };
        let Some(bound) = bound else { return };
        let upkeep = upkeep(&bound);
        let BoundTable { mut source, properties, .. } = bound;
        let bounded = source.binding.bounded();
        if self.fits_table(&properties, bounded, &pairs).is_none() {
            return;
        }
        let named = primary_key(create).iter().map(|name| name.value.clone()).collect::<Vec<_>>();
        let from_latest = properties.offset_reset == OffsetReset::Latest;
        if let Some(binding) = source.binding.as_table(&named, from_latest) {
            source.binding = binding;
            self.table_that_is_read(create, source, written, &properties, &pairs).await;
            return;
        }
        let Some(columns) = self.columns_over(create, source, written, &pairs).await else { return };
        let names: Vec<String> = visible(&columns.scope).map(|column| column.name.clone()).collect();
        let Some(key) = self.key_columns(primary_key(create), &names) else { return };
        let Some(missing) = self.missing(&properties, &pairs, &columns.scope) else { return };
        self.add_table(&create.name, columns, &key, upkeep, missing);
    }

    /// A table whose rows are those of a stream as they come.
    async fn table_that_is_read(
        &mut self,
        create: &Create,
        source: BoundSource,
        written: Option<Declared>,
        properties: &TableProperties,
        pairs: &Pairs,
    ) {
        for key in ["table.refresh.interval", "table.reload.interval"] {
            if let Some(place) = pairs.place(key) {
                let message = format!("this table is read on as its records come, so it has no '{key}'");
                self.error(Diagnostic::error(codes::PROPERTY, place, message).help("leave it out"));
                return;
            }
        }
        let Some(columns) = self.columns_over(create, source, written, pairs).await else { return };
        let names: Vec<String> = visible(&columns.scope).map(|column| column.name.clone()).collect();
        let Some(key) = self.key_columns(primary_key(create), &names) else { return };
        let mut relation = self.source_relation(columns, &create.name);
        relation.identity = key;
        // What is wrong was told.
        let _ = self.create_query_table(create, &relation, properties, pairs);
    }

    /// A table over a connector that a query binds in place, with the columns that are found in the data.
    pub(super) async fn table_in_place(
        &mut self,
        name: &ObjectName,
        bound: BoundTable,
        pairs: &Pairs,
    ) -> Option<Table> {
        let upkeep = upkeep(&bound);
        let BoundTable { source, properties, .. } = bound;
        self.fits_table(&properties, source.binding.bounded(), pairs)?;
        let otherwise = "CREATE TABLE can declare the columns; here the data must be readable while planning";
        let physical = self.columns_of_data(&source, name, otherwise).await?;
        let columns = self.bound_columns(name, source, physical, &[], pairs)?;
        let missing = self.missing(&properties, pairs, &columns.scope)?;
        Some(self.add_table(name, columns, &[], upkeep, missing))
    }

    /// Adds a table over a connector.
    fn add_table(
        &mut self,
        name: &ObjectName,
        columns: BoundColumns,
        key: &[String],
        upkeep: Upkeep,
        missing: Option<Missing>,
    ) -> Table {
        let key: Vec<usize> = key.iter().filter_map(|name| columns.schema.index_of(name).ok()).collect();
        let feed = ConnectorFeed { source: columns.source, decoded: columns.decoded, outputs: columns.outputs };
        self.plan.tables.push(TableNode {
            name: name.text(),
            feed: TableFeed::Connector(Box::new(feed)),
            schema: columns.schema,
            indexes: if key.is_empty() { vec![] } else { vec![key.clone()] },
            key,
            null_keys: false,
            keeps_versions: false,
            upkeep,
            place: name.span(),
        });
        let table = Table {
            id: TableId(self.plan.tables.len() - 1),
            scope: columns.scope,
            event_time_columns: columns.event_time_columns,
            missing,
            one_row: false,
        };
        self.catalog.add(name, Object::Table(Box::new(table.clone())));
        table
    }

    /// What a table over a connector cannot have.
    fn fits_table(&mut self, properties: &TableProperties, bounded: bool, pairs: &Pairs) -> Option<()> {
        let place = |key: &str| pairs.place(key).unwrap_or(pairs.owner);
        let mistake = if let Some(late) = LateProperties::SPECS.iter().find_map(|spec| pairs.place(spec.key)) {
            Some((
                late,
                "no row comes too late for a table, which takes what is there",
                "leave it out: rows of a stream can be late, and its statement or its query says what happens to them",
            ))
        } else if let Some(compute) = pairs.place("on.compute.error") {
            Some((
                compute,
                "a computed column of a table that fails ends the load: a table without some of its rows would be another one",
                "leave it out, and compute with TRY_CAST or NULLIF what may fail",
            ))
        } else if let Some(idle) = pairs.place("watermark.idle_timeout").filter(|_| bounded) {
            Some((
                idle,
                "this table is read to its end, and nothing of it can be silent",
                "leave it out: it is for tables whose connector goes on giving rows",
            ))
        } else if let Some(drift) = pairs.place("watermark.alignment.max_drift") {
            Some((
                drift,
                "partitions of a table do not wait for each other: it keeps all rows, however far apart they are",
                "leave it out: it is for a stream, whose operators keep what came too early",
            ))
        } else if properties.refresh.is_some_and(|every| every.micros() <= 0) {
            let help = "write how often, such as '30s', or leave it out: then the table is loaded once";
            Some((place("table.refresh.interval"), "a table cannot be refreshed all the time", help))
        } else if properties.reload.is_some_and(|every| every.micros() <= 0) {
            let help = "write how often, such as '1h', or leave it out";
            Some((place("table.reload.interval"), "a table cannot be loaded again all the time", help))
        } else if properties.offset_reset == OffsetReset::Latest && bounded && properties.refresh.is_none() {
            Some((
                place("auto.offset.reset"),
                "this table begins at the end of what is there, and nothing comes behind it, so it would stay empty",
                "leave it out, or add 'table.refresh.interval' = '30s', which asks for what came after the start",
            ))
        } else {
            None
        };
        let Some((place, message, help)) = mistake else { return Some(()) };
        self.error(Diagnostic::error(codes::PROPERTY, place, message).help(help));
        None
    }

    /// What a table says about rows for which it has none.
    fn missing(&mut self, properties: &TableProperties, pairs: &Pairs, scope: &Scope) -> Option<Option<Missing>> {
        use MissingStrategy::{FailFast, UseDefaults, WaitAndRetry};
        let waits = properties.strategy == Some(WaitAndRetry);
        let wrong = |key: &str, message: String, help: &str| {
            Diagnostic::error(codes::PROPERTY, pairs.place(key).unwrap_or(pairs.owner), message).help(help.to_owned())
        };
        for key in ["table.missing.max_retries", "table.missing.retry.delay", "table.missing.then"] {
            if !waits && pairs.place(key).is_some() {
                let message = format!("'{key}' is for rows that wait, and no row waits for this table");
                let help = "add 'table.missing.strategy' = 'wait_and_retry', or leave it out";
                self.error(wrong(key, message, help));
                return None;
            }
        }
        let then = properties.then.filter(|_| waits).unwrap_or(FailFast);
        if then == WaitAndRetry {
            let message = "a row that has waited in vain cannot wait again".to_owned();
            let help = "write 'fail_fast', 'skip_record', 'emit_with_nulls' or 'use_defaults'; 'table.missing.max_retries' has it wait longer";
            self.error(wrong("table.missing.then", message, help));
            return None;
        }
        let uses = properties.strategy == Some(UseDefaults) || then == UseDefaults;
        let defaults = match &properties.defaults {
            Some(_) if !uses && pairs.place("table.missing.defaults").is_some() => {
                let message = "there are defaults, and nothing uses them".to_owned();
                let help = "add 'table.missing.strategy' = 'use_defaults', or leave them out";
                self.error(wrong("table.missing.defaults", message, help));
                return None;
            }
            None if uses => {
                let key = if then == UseDefaults { "table.missing.then" } else { "table.missing.strategy" };
                let message = "missing rows get defaults, and there are none".to_owned();
                self.error(wrong(key, message, "add 'table.missing.defaults' = 'tier=UNKNOWN, limit=0'"));
                return None;
            }
            Some(text) if uses => {
                let place = pairs.place("table.missing.defaults").unwrap_or(pairs.owner);
                self.defaults(text, scope, place)?
            }
            _ => Vec::new(),
        };
        Some(properties.strategy.map(|strategy| Missing {
            strategy,
            then,
            defaults,
            retries: properties.max_retries,
            delay: properties.retry_delay,
        }))
    }

    /// `tier=UNKNOWN, limit=0` as values of the columns' types.
    fn defaults(&mut self, text: &str, scope: &Scope, place: Span) -> Option<Vec<(String, ScalarValue)>> {
        let mut found: Vec<(String, ScalarValue)> = Vec::new();
        for part in parts(text) {
            let Some((name, value)) = part.split_once('=') else {
                let message = format!("'{}' is no default: a column, = and its value are expected", part.trim());
                self.error(
                    Diagnostic::error(codes::PROPERTY, place, message)
                        .help("write 'tier=UNKNOWN, limit=0'; a value with a comma stands in single quotes"),
                );
                return None;
            };
            let (name, value) = (name.trim(), value.trim());
            let ident = Ident::plain(name);
            let exact = visible(scope).find(|column| column.name == name);
            let Some(column) = exact.or_else(|| visible(scope).find(|column| ident.matches(&column.name))) else {
                let names: Vec<&str> = visible(scope).map(|column| column.name.as_str()).collect();
                let message = format!("there is a default for '{name}', and the table has no such column");
                let help = match velo_core::suggest::nearest(name, names.iter().copied()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("the columns are {}", names.join(", ")),
                };
                self.error(Diagnostic::error(codes::UNKNOWN_COLUMN, place, message).help(help));
                return None;
            };
            let quoted = value.len() >= 2 && value.starts_with('\'') && value.ends_with('\'');
            let value = if quoted { value[1..value.len() - 1].replace("''", "'") } else { value.to_owned() };
            let field = &column.field;
            let converted = match !quoted && value.eq_ignore_ascii_case("null") {
                true => ScalarValue::try_from(field.data_type()),
                false => ScalarValue::Utf8(Some(value.clone()))
                    .to_array()
                    .and_then(|array| cast(&array, field.data_type(), false))
                    .and_then(|array| ScalarValue::try_from_array(&array, 0)),
            };
            match converted {
                Ok(_) if found.iter().any(|(other, _)| other == field.name()) => {
                    let message = format!("there are two defaults for '{}'", column.name);
                    self.error(Diagnostic::error(codes::PROPERTY, place, message).help("leave one of them out"));
                    return None;
                }
                Ok(converted) => found.push((field.name().clone(), converted)),
                Err(_) => {
                    let type_name = types::sql_name_of(field);
                    let message = format!("the default '{value}' is no {type_name}, which '{}' is", column.name);
                    self.error(
                        Diagnostic::error(codes::LITERAL, place, message)
                            .help(format!("write a value that CAST('…' AS {type_name}) takes")),
                    );
                    return None;
                }
            }
        }
        Some(found)
    }

    /// The properties of a table among those of CREATE TABLE … AS; what only a connector has is a mistake.
    pub(crate) fn query_table_properties(&mut self, pairs: &Pairs) -> Option<TableProperties> {
        let mut options = self.resolver().options(pairs, &[TableProperties::SPECS]);
        let properties = TableProperties::read(&mut options);
        let errors = options.take_errors();
        let failed = !errors.is_empty();
        self.resolver().report(errors, pairs);
        for key in ["table.refresh.interval", "table.reload.interval", "auto.offset.reset"] {
            if let Some(place) = pairs.place(key) {
                let message = format!("a table of a query follows what the query reads, so it has no '{key}'");
                self.error(
                    Diagnostic::error(codes::PROPERTY, place, message)
                        .help("leave it out; a table over a connector has it in its own CREATE TABLE"),
                );
                return None;
            }
        }
        (!failed).then_some(properties)
    }

    /// Declares a table of a query's rows. The key is the declared one, else that of the query.
    pub(crate) fn create_query_table(
        &mut self,
        create: &Create,
        relation: &Relation,
        properties: &TableProperties,
        pairs: &Pairs,
    ) -> Option<()> {
        if self.is_uncut(relation.node) {
            return None;
        }
        let name = create.name.text();
        let written = Self::written_schema(relation);
        let mut seen = BTreeSet::new();
        if let Some(twice) = written.fields().iter().find(|field| !seen.insert(field.name().as_str())) {
            let message = format!("two columns of the table would be called '{}'", twice.name());
            self.error(
                Diagnostic::error(codes::DUPLICATE_NAME, create.name.span(), message)
                    .help("give one of them another name with AS"),
            );
            return None;
        }
        let known: Vec<String> = visible(&relation.scope)
            .filter(|column| relation.identity.contains(column.field.name()))
            .map(|column| column.name.clone())
            .collect();
        let key = if relation.key.is_empty() { known.clone() } else { relation.key.clone() };
        let same = known.len() == key.len() && key.iter().all(|column| known.contains(column));
        let changing = !self.changes(relation.node).is_append();
        let by_key = (changing && !key.is_empty() && !same).then(|| self.latest_by_key(relation, &key, &name));
        if by_key.is_some() && !self.is_bounded(relation.node) {
            self.kept_under_key(&name, &key, create.name.span());
        }
        let relation = by_key.as_ref().unwrap_or(relation);
        let one_row = self.is_one_row(relation.node);
        let columns: Vec<ScopeColumn> = visible(&relation.scope)
            .zip(written.fields())
            .map(|(column, field)| ScopeColumn {
                relation: Some(name.clone()),
                name: column.name.clone(),
                field: Arc::clone(field),
                hidden: false,
                qualified: false,
            })
            .collect();
        let of_table = visible(&relation.scope)
            .filter(|column| relation.event_time_columns.contains(column.field.name()))
            .map(|column| column.name.clone());
        let event_time_columns: Vec<String> = of_table.collect();
        let mut scope = Scope::of(columns);
        if !event_time_columns.is_empty() || relation.has_event_time() {
            scope.columns.push(ScopeColumn { relation: Some(name.clone()), ..super::select::hidden_event_time() });
        }
        let output = match relation.has_event_time() {
            true => schema::with_event_time(&written),
            false => Arc::clone(&written),
        };
        let missing = self.missing(properties, pairs, &scope)?;
        let mut input = relation.node;
        if self.plan.nodes[input.0].schema.fields() != output.fields() {
            let outputs = visible(&relation.scope).zip(written.fields()).map(|(column, field)| Output {
                expr: Expr::Column(Column::new_unqualified(column.field.name())),
                field: Arc::clone(field),
            });
            input = self.node(NodeKind::Project(outputs.collect()), vec![input], Arc::clone(&output), &name);
        }
        let key: Vec<usize> = key.iter().filter_map(|name| written.index_of(name).ok()).collect();
        let upkeep = Upkeep { publish: properties.publish, ..Upkeep::default() };
        self.plan.tables.push(TableNode {
            name: name.clone(),
            feed: TableFeed::Query(input),
            schema: Arc::clone(&output),
            indexes: if key.is_empty() { vec![] } else { vec![key.clone()] },
            key,
            null_keys: relation.key.is_empty(),
            keeps_versions: false,
            upkeep,
            place: create.name.span(),
        });
        let id = TableId(self.plan.tables.len() - 1);
        self.node(NodeKind::TableSink(id), vec![input], output, &name);
        let table = Table { id, scope, event_time_columns, missing, one_row };
        self.catalog.add(&create.name, Object::Table(Box::new(table)));
        Some(())
    }

    /// Whether a node gives one row at most, whatever it reads.
    pub(super) fn is_one_row(&self, mut node: NodeId) -> bool {
        loop {
            let found = &self.plan.nodes[node.0];
            match &found.kind {
                NodeKind::Aggregate { keys, sets, window, .. } => {
                    return keys.is_empty() && sets.is_empty() && window.is_none();
                }
                NodeKind::Values(rows) => return rows.len() <= 1,
                NodeKind::Limit { count: Some(0 | 1), .. } => return true,
                NodeKind::Project(_)
                | NodeKind::Filter(_)
                | NodeKind::Fold
                | NodeKind::Sort(_)
                | NodeKind::Limit { .. }
                | NodeKind::LatestByKey(_) => node = found.inputs[0],
                _ => return false,
            }
        }
    }

    /// A table as a relation: its content, and then its changes.
    pub(super) fn table_scan(&mut self, table: &Table) -> Relation {
        let node = &self.plan.tables[table.id.0];
        let (name, schema) = (node.name.clone(), Arc::clone(&node.schema));
        let identity = node.key.iter().map(|column| schema.field(*column).name().clone()).collect();
        let columns = schema::visible(&schema)
            .fields()
            .iter()
            .enumerate()
            .map(|(column, field)| TableColumn { column, field: Arc::clone(field) })
            .collect();
        let kind = NodeKind::TableScan(TableScan { table: table.id, columns });
        let node = self.node(kind, vec![], schema, &name);
        let event_time_columns = table.event_time_columns.clone();
        Relation { event_time_columns, identity, ..Relation::new(node, table.scope.clone()) }
    }
}

/// The parts between commas that stand outside quotes.
fn parts(text: &str) -> Vec<&str> {
    let (mut found, mut from, mut quoted) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            ',' if !quoted => {
                found.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(&text[from..]);
    found
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn defaults_are_cut_at_commas_outside_quotes() {
        assert_eq!(parts("tier=UNKNOWN, limit=0"), ["tier=UNKNOWN", " limit=0"]);
        assert_eq!(parts("a='x, y',b=1"), ["a='x, y'", "b=1"]);
        assert_eq!(parts("a="), ["a="]);
    }
}
