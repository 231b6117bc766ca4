//! Where rows go: sinks by name, the terminal, dead letters.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use datafusion_common::Column;
use datafusion_expr::Expr;
use velo_core::connector::{ChangelogMode, Envelopes, Guarantee};
use velo_core::{schema, types};
use velo_sql::ast::{Create, Ident, ObjectName};
use velo_sql::{Diagnostic, Span};

use super::scope::{Scope, ScopeColumn};
use super::select::hidden_event_time;
use crate::catalog::{BoundSink, Changelog, Delivery, Object, Pairs, Relation};
use crate::codes;
use crate::functions::cast::{CastFunction, can_cast};
use crate::plan::{Changes, NodeKind, Output, SinkId, SinkNode, TableId};
use crate::planner::{Planner, primary_key, visible};

impl Planner<'_> {
    pub(crate) fn create_sink(&mut self, create: &Create, pairs: &Pairs) {
        if let Some(schema) = &create.schema {
            let made = schema.columns.iter().find(|column| column.computed.is_some() || column.metadata.is_some());
            if let Some(column) = made {
                return self.not_yet(
                    column.span,
                    "a column of a sink that is computed or metadata",
                    "a sink takes what the query gives: compute the column in the query",
                );
            }
            if let Some(watermark) = schema.watermarks.first() {
                return self.error(
                    Diagnostic::error(codes::SINK, watermark.span, "a sink has no watermark")
                        .help("leave it out: a watermark belongs to the stream that is read"),
                );
            }
        }
        let sink = self.resolver().sink(pairs);
        let declared = match create.schema.as_ref().filter(|schema| !schema.columns.is_empty()) {
            Some(written) => match self.declared(written) {
                Some(columns) => Some(columns.physical),
                None => return,
            },
            None => None,
        };
        let key = primary_key(create);
        if let Some(declared) = &declared {
            let names: Vec<String> = declared.fields().iter().map(|field| field.name().clone()).collect();
            if self.key_columns(key, &names).is_none() {
                return;
            }
        }
        if let Some(sink) = sink {
            let sink = BoundSink { declared, key: key.to_vec(), ..sink };
            self.catalog.add(&create.name, Object::Sink(Box::new(sink)));
        }
    }

    /// Writes to a sink or stream by its name, or to one that is bound in place.
    pub(crate) fn write_into(&mut self, relation: &Relation, into: &ObjectName, own: Pairs) {
        if let (Some(place), Some((_, _, key, _))) = (self.catalog.place(into), own.pairs.first()) {
            self.error(
                Diagnostic::error(
                    codes::CONFLICT,
                    *key,
                    format!("'{}' is declared already, and bound here again", into.text()),
                )
                .also(place, "declared here")
                .help("give the properties in one of the two places"),
            );
            return;
        }
        let sink = match self.catalog.get(into).cloned() {
            Some(Object::Sink(sink)) => Some(*sink),
            Some(Object::Relation { writable: Some(writable), .. }) => self
                .resolver()
                .sink_of_stream(&Pairs { owner: into.span(), ..writable.pairs.clone() })
                .map(|sink| BoundSink { declared: Some(writable.declared), key: writable.key, ..sink }),
            Some(Object::Relation { writable: None, .. }) => {
                self.error(
                    Diagnostic::error(
                        codes::SINK,
                        into.span(),
                        format!("'{}' has no connector to write to", into.text()),
                    )
                    .help("CREATE SINK … WITH (connector = …) makes one that does"),
                );
                None
            }
            Some(Object::Table(_)) => {
                self.error(
                    Diagnostic::error(
                        codes::SINK,
                        into.span(),
                        format!("'{}' is a table, whose rows come from its own statement alone", into.text()),
                    )
                    .help("CREATE TABLE … AS fills a table from a query; CREATE SINK … WITH (connector = …) makes something to write to"),
                );
                None
            }
            Some(Object::Broken) => None,
            None if !own.pairs.is_empty() => self.resolver().sink(&own),
            None => {
                let diagnostic = self.unknown_sink(into);
                self.error(diagnostic);
                None
            }
        };
        if let Some(sink) = sink {
            self.write(relation, &into.text(), sink, into.span());
        }
    }

    /// The visible columns of a relation as they are written: under their own names.
    pub(super) fn written_schema(relation: &Relation) -> SchemaRef {
        let fields: Vec<Field> =
            visible(&relation.scope).map(|column| column.field.as_ref().clone().with_name(&column.name)).collect();
        Arc::new(Schema::new(fields))
    }

    pub(crate) fn terminal(&mut self, relation: &Relation) {
        if self.is_uncut(relation.node) {
            return;
        }
        let sink = SinkNode {
            name: "terminal".to_owned(),
            binding: None,
            schema: Self::written_schema(relation),
            key: vec![],
            mode: if self.changes(relation.node).is_append() { ChangelogMode::Append } else { ChangelogMode::Full },
            guarantee: Guarantee::AtLeastOnce,
            transactions: false,
            bounded: self.is_bounded(relation.node),
            flush: velo_core::duration::Span(10_000),
        };
        self.sink_node(relation, sink);
    }

    /// Writes a relation to a sink.
    pub(crate) fn write(&mut self, relation: &Relation, name: &str, sink: BoundSink, span: Span) {
        if self.is_uncut(relation.node) {
            return;
        }
        if self.is_written_already(&sink, span) {
            return;
        }
        let fitted = match &sink.declared {
            Some(declared) => match self.fit(relation, declared, name, span) {
                Some(fitted) => fitted,
                None => return,
            },
            None => relation.clone(),
        };
        let relation = &fitted;
        let schema = Self::written_schema(relation);
        let mut seen = BTreeSet::new();
        if let Some(twice) = schema.fields().iter().find(|field| !seen.insert(field.name().as_str())) {
            self.error(
                Diagnostic::error(
                    codes::SINK,
                    span,
                    format!("two columns of the output are called '{}'", twice.name()),
                )
                .help("give one of them another name with AS"),
            );
            return;
        }
        let bounded = self.is_bounded(relation.node);
        let guarantee = match sink.common.delivery {
            Some(Delivery::ExactlyOnce) => Guarantee::ExactlyOnce,
            Some(Delivery::AtLeastOnce) => Guarantee::AtLeastOnce,
            None => self.default_guarantee(bounded, sink.transactions, sink.binding.transactional().is_some()),
        };
        // A transaction is the commit point of a checkpoint, also where all inputs end.
        let by_checkpoints = !bounded || sink.binding.transactional().is_some();
        if guarantee == Guarantee::ExactlyOnce && by_checkpoints {
            let wrong = match (sink.transactions, self.has_checkpoints) {
                (false, _) => Some((
                    format!("{} shows each row at once, so a restart may repeat some", sink.binding.describe()),
                    "leave 'delivery.guarantee' out, or write to a sink that can take rows back, such as a file",
                )),
                (true, false) => Some((
                    match bounded {
                        false => "exactly-once delivery of an input that does not end needs checkpoints".to_owned(),
                        true => format!("exactly-once delivery to {} needs checkpoints", sink.binding.describe()),
                    },
                    "say where they lie: SET 'checkpoint.dir' = '…'; or set 'delivery.guarantee' = 'at_least_once'",
                )),
                (true, true) => None,
            };
            if let Some((message, help)) = wrong {
                self.error(Diagnostic::error(codes::SINK, span, message).help(help));
                return;
            }
        }
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let known: Vec<String> = visible(&relation.scope)
            .filter(|column| relation.identity.contains(column.field.name()))
            .map(|column| column.name.clone())
            .collect();
        let by_connector = sink.binding.key_columns();
        let key = match sink.key.as_slice() {
            // Under which key rows replace each other is what the system goes by.
            [] if !by_connector.is_empty() => match self.keys_among(&by_connector, &names, name, span) {
                Some(key) => key,
                None => return,
            },
            [] if relation.key.is_empty() => known.clone(),
            [] => relation.key.clone(),
            declared => match self.key_columns(declared, &names) {
                Some(key) => key,
                None => return,
            },
        };
        let Some(mode) = self.changelog_mode(relation, &sink, &key, &known, name, span) else { return };
        let same = known.len() == key.len() && key.iter().all(|column| known.contains(column));
        let by_key = (mode == ChangelogMode::Upsert && !self.changes(relation.node).is_append() && !same)
            .then(|| self.latest_by_key(relation, &key, name));
        let relation = by_key.as_ref().unwrap_or(relation);
        let key = key.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let node = SinkNode {
            name: name.to_owned(),
            binding: Some(sink.binding),
            schema,
            key,
            mode,
            guarantee,
            transactions: sink.transactions,
            bounded,
            flush: velo_core::duration::Span(10_000),
        };
        self.sink_node(relation, node);
    }

    /// The columns of a key that the properties of a sink name.
    fn keys_among(&mut self, key: &[String], names: &[String], sink: &str, span: Span) -> Option<Vec<String>> {
        let mut found = Vec::with_capacity(key.len());
        for wanted in key {
            let exact = names.iter().find(|name| *name == wanted);
            match exact.or_else(|| names.iter().find(|name| name.eq_ignore_ascii_case(wanted))) {
                Some(name) => found.push(name.clone()),
                None => {
                    let message = format!("the key of '{sink}' has the column '{wanted}', and its rows have not");
                    let mut diagnostic = Diagnostic::error(codes::SINK, span, message);
                    diagnostic = match velo_core::suggest::nearest(wanted, names.iter().map(String::as_str)) {
                        Some(near) => diagnostic.help(format!("did you mean '{near}'?")),
                        None => diagnostic.help(format!("its columns are {}", names.join(", "))),
                    };
                    self.error(diagnostic);
                    return None;
                }
            }
        }
        Some(found)
    }

    /// The latest row under each key of a sink.
    pub(super) fn latest_by_key(&mut self, relation: &Relation, key: &[String], owner: &str) -> Relation {
        let columns = visible(&relation.scope).filter(|column| key.contains(&column.name));
        let key = columns.map(|column| column.field.name().clone()).collect();
        let schema = self.plan.nodes[relation.node.0].schema.clone();
        let node = self.node(NodeKind::LatestByKey(key), vec![relation.node], schema, owner);
        Relation { node, ..relation.clone() }
    }

    /// Warns of what stays under a key that is not that of the rows.
    pub(super) fn kept_under_key(&mut self, name: &str, key: &[String], span: Span) {
        if self.query.properties.state_ttl.is_some() {
            return;
        }
        let key = key.join(", ");
        self.diagnostics.push(
            Diagnostic::warning(
                codes::KEPT_STATE,
                span,
                format!("all rows are kept under the key of '{name}', which is {key} and not that of the query"),
            )
            .help("so that a row which goes uncovers the one below; with the query's own key nothing needs to be kept, and 'state.ttl' = '1d' lets go what was not touched for a day"),
        );
    }

    /// How the changes of a relation are written.
    fn changelog_mode(
        &mut self,
        relation: &Relation,
        sink: &BoundSink,
        key: &[String],
        known: &[String],
        name: &str,
        span: Span,
    ) -> Option<ChangelogMode> {
        let changes = self.changes(relation.node);
        let refuse = |planner: &mut Self, message: String, help: &str| {
            planner.error(Diagnostic::error(codes::SINK, span, message).help(help));
            None
        };
        let by_key = |planner: &mut Self| {
            let same = known.len() == key.len() && key.iter().all(|column| known.contains(column));
            if changes.is_append() || same {
                return Some(ChangelogMode::Upsert);
            }
            if !sink.replaces {
                return refuse(
                    planner,
                    format!(
                        "the key of '{name}' is not that of the query, so that a row can leave its key, and '{name}' cannot delete by key"
                    ),
                    "leave the key out, make it the columns of GROUP BY (with the window in a windowed query), or write 'changelog.mode' = 'full'",
                );
            }
            planner.kept_under_key(name, key, span);
            Some(ChangelogMode::Upsert)
        };
        let envelopes = sink.binding.envelopes();
        match sink.common.changelog {
            None | Some(Changelog::Debezium) if envelopes == Envelopes::Always => Some(ChangelogMode::Debezium),
            Some(Changelog::Upsert | Changelog::Full) if envelopes == Envelopes::Always => refuse(
                self,
                format!(
                    "'{name}' writes Debezium's envelopes, as its format says, and 'changelog.mode' is to be another one"
                ),
                "leave 'changelog.mode' out, or write another format",
            ),
            Some(Changelog::Append) if !changes.is_append() => refuse(
                self,
                format!("the rows of this query change, and '{name}' is to take inserts only"),
                "write 'changelog.mode' = 'full' for all changes with a column _op, or EMIT FINAL for results that come once",
            ),
            Some(Changelog::Append) => Some(ChangelogMode::Append),
            Some(Changelog::Full) => Some(ChangelogMode::Full),
            Some(Changelog::Debezium) if envelopes == Envelopes::Never => refuse(
                self,
                format!("'{name}' cannot write Debezium's envelopes"),
                "topics have them in the formats json and avro; write 'changelog.mode' = 'full' for all changes with a column _op",
            ),
            Some(Changelog::Debezium) => Some(ChangelogMode::Debezium),
            Some(Changelog::Upsert) if key.is_empty() => refuse(
                self,
                format!("'changelog.mode' = 'upsert' of '{name}' needs a key, and there is none"),
                "mark it with PRIMARY KEY behind a column of the SELECT, or declare the sink with PRIMARY KEY (…)",
            ),
            Some(Changelog::Upsert) if changes == Changes::Deletes && !sink.replaces => refuse(
                self,
                format!("rows of this query can be deleted, and '{name}' cannot delete by key"),
                "write 'changelog.mode' = 'full'",
            ),
            Some(Changelog::Upsert) => by_key(self),
            None if changes.is_append() => Some(ChangelogMode::Append),
            None if !key.is_empty() && (sink.replaces || changes == Changes::Updates) => by_key(self),
            None => refuse(
                self,
                format!("the rows of this query change, and '{name}' takes inserts only"),
                "write 'changelog.mode' = 'full' for all changes with a column _op, select the columns of GROUP BY so that there is a key for 'upsert', or EMIT FINAL for results that come once",
            ),
        }
    }

    /// The columns of a relation in the types and under the names that a sink was declared with, by position.
    fn fit(&mut self, relation: &Relation, declared: &SchemaRef, name: &str, span: Span) -> Option<Relation> {
        let columns: Vec<_> = visible(&relation.scope).cloned().collect();
        if columns.len() != declared.fields().len() {
            let given = match columns.len() {
                1 => "one column".to_owned(),
                count => format!("{count} columns"),
            };
            let message = format!("the query gives {given}, and '{name}' has {}", declared.fields().len());
            let names: Vec<&str> = declared.fields().iter().map(|field| field.name().as_str()).collect();
            self.error(
                Diagnostic::error(codes::SINK, span, message).help(format!("its columns are {}", names.join(", "))),
            );
            return None;
        }
        let mut outputs = Vec::with_capacity(columns.len());
        for (column, field) in columns.iter().zip(declared.fields()) {
            if !can_cast(column.field.data_type(), field.data_type()) {
                let message = format!(
                    "the column '{}' is a {} and cannot become the {} '{}' of '{name}'",
                    column.name,
                    types::sql_name_of(&column.field),
                    types::sql_name_of(field),
                    field.name()
                );
                self.error(Diagnostic::error(codes::SINK, span, message));
                return None;
            }
            let expr = Expr::Column(Column::new_unqualified(column.field.name()));
            let same = column.field.data_type() == field.data_type();
            let expr = if same { expr } else { CastFunction::call(expr, field.data_type().clone(), false) };
            outputs.push(Output { expr, field: Arc::clone(field) });
        }
        let mut output = Arc::clone(declared);
        let mut scope: Vec<ScopeColumn> = declared
            .fields()
            .iter()
            .map(|field| ScopeColumn {
                relation: None,
                name: field.name().clone(),
                field: Arc::clone(field),
                hidden: false,
                qualified: false,
            })
            .collect();
        if relation.has_event_time() {
            output = schema::with_event_time(&output);
            scope.push(hidden_event_time());
        }
        let node = self.node(NodeKind::Project(outputs), vec![relation.node], output, name);
        // The key has the sink's names from here on.
        let named = columns.iter().zip(declared.fields());
        let key =
            named.filter(|(column, _)| relation.key.contains(&column.name)).map(|(_, field)| field.name().clone());
        let known = columns.iter().zip(declared.fields());
        let known = known
            .filter(|(column, _)| relation.identity.contains(column.field.name()))
            .map(|(_, field)| field.name().clone());
        let (key, identity) = (key.collect(), known.collect());
        Some(Relation { key, identity, ..Relation::new(node, Scope::of(scope)) })
    }

    /// The sink for the rows that cannot be used: one per name, with columns of its own.
    pub(crate) fn dead_letters(&mut self, span: Span, own: Option<&str>) -> Option<SinkId> {
        let setting = self.settings.iter().find(|(key, ..)| key.eq_ignore_ascii_case("dead.letter.sink"));
        let name = own.map(str::to_owned).or_else(|| setting.map(|(_, value, ..)| value.clone()));
        let Some(name) = name else {
            self.error(
                Diagnostic::error(codes::PROPERTY, span, "a policy is 'dead_letter', and nothing says where dead letters go")
                    .help("CREATE SINK bad WITH (connector = 'file', path = 'bad.jsonl', format = 'json'), and 'dead.letter.sink' = 'bad'"),
            );
            return None;
        };
        if let Some((_, id)) = self.dead_letter_sinks.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            return Some(*id);
        }
        let object = ObjectName { parts: vec![Ident::plain(&name)] };
        if let Some(Object::Broken) = self.catalog.get(&object) {
            return None;
        }
        let Some(Object::Sink(sink)) = self.catalog.get(&object).cloned() else {
            self.error(
                Diagnostic::error(
                    codes::UNKNOWN_RELATION,
                    span,
                    format!("there is no sink '{name}' for the dead letters"),
                )
                .help("CREATE SINK must stand before the statement whose records go there"),
            );
            return None;
        };
        let schema = velo_core::dead_letter::schema();
        self.plan.sinks.push(SinkNode {
            name: name.clone(),
            binding: Some(sink.binding),
            schema: Arc::clone(&schema),
            key: vec![],
            mode: ChangelogMode::Append,
            guarantee: Guarantee::AtLeastOnce,
            transactions: sink.transactions,
            bounded: false,
            flush: velo_core::duration::Span(10_000),
        });
        let id = SinkId(self.plan.sinks.len() - 1);
        self.node(NodeKind::Sink(id), vec![], schema, &name);
        self.dead_letter_sinks.push((name, id));
        Some(id)
    }

    /// Dead letters go out under the same guarantee as the other rows, and have their sink for themselves.
    pub(crate) fn settle_dead_letters(&mut self) {
        for (name, id) in self.dead_letter_sinks.clone() {
            let sinks = self.plan.sinks.iter().enumerate();
            let mut others = sinks.filter(|(at, sink)| *at != id.0 && sink.name.eq_ignore_ascii_case(&name));
            if let Some(place) = others.find_map(|(at, _)| self.sink_places.get(&SinkId(at)).copied()) {
                self.error(
                    Diagnostic::error(
                        codes::CONFLICT,
                        place,
                        format!("'{name}' gets dead letters, which have columns of their own, and the rows of this statement"),
                    )
                    .help("CREATE SINK another one, with a path of its own, for the one or the other"),
                );
            }
        }
        let sources = self.plan.sources.iter().all(|source| source.binding.bounded());
        let bounded = sources && (0..self.plan.tables.len()).all(|table| self.plan.is_settled(TableId(table)));
        for (_, id) in &self.dead_letter_sinks {
            let sink = &self.plan.sinks[id.0];
            let by_checkpoints = sink.binding.as_ref().is_some_and(|binding| binding.transactional().is_some());
            let guarantee = self.default_guarantee(bounded, sink.transactions, by_checkpoints);
            let sink = &mut self.plan.sinks[id.0];
            (sink.bounded, sink.guarantee) = (bounded, guarantee);
        }
    }

    /// Whether another statement writes what has one writer at a time. That is told.
    fn is_written_already(&mut self, sink: &BoundSink, span: Span) -> bool {
        let Some(what) = sink.binding.has_one_writer() else { return false };
        let writes_it = |sink: &SinkNode| sink.binding.as_ref().and_then(|binding| binding.has_one_writer());
        // Of dead letters that is told where they are settled.
        let of_rows = |at: usize| !self.dead_letter_sinks.iter().any(|(_, id)| id.0 == at);
        let mut sinks = self.plan.sinks.iter().enumerate();
        let other = sinks.find(|(at, sink)| of_rows(*at) && writes_it(sink).as_deref() == Some(&*what));
        let Some((at, _)) = other else { return false };
        let mut error = Diagnostic::error(
            codes::CONFLICT,
            span,
            format!("two statements write {what}, and the rows of one would take the place of the other's"),
        )
        .help("write both by one statement: INSERT INTO … SELECT … UNION ALL SELECT …; or CREATE SINK another one, with a path of its own");
        if let Some(place) = self.sink_places.get(&SinkId(at)).copied() {
            error = error.also(place, "the other one");
        }
        self.error(error);
        true
    }

    /// All that is to be exactly once in systems whose commit is the commit point of a checkpoint is in one of them: two cannot commit
    /// at once.
    pub(crate) fn settle_commit_point(&mut self) {
        let systems = self.plan.sinks.iter().enumerate();
        let mut systems = systems.filter_map(|(at, sink)| Some((at, sink.commits_in()?.name())));
        let Some((first, one)) = systems.next() else { return };
        let Some((second, two)) = systems.find(|(_, system)| *system != one) else { return };
        let name = |at: usize| format!("'{}'", self.plan.sinks[at].name);
        let place = |at: usize| self.sink_places.get(&SinkId(at)).copied();
        let mut error = Diagnostic::error(
            codes::CONFLICT,
            place(second).unwrap_or(self.place),
            format!(
                "{} is to be exactly once in {two}, and {} in {one}, which cannot commit together",
                name(second),
                name(first)
            ),
        )
        .help("make a script of each, or let one of them be 'delivery.guarantee' = 'at_least_once'");
        if let Some(place) = place(first) {
            error = error.also(place, "the other one");
        }
        self.error(error);
    }

    /// What is promised where the script says nothing: what the sink and the job can.
    fn default_guarantee(&self, bounded: bool, transactions: bool, by_checkpoints: bool) -> Guarantee {
        match (bounded && !by_checkpoints) || (transactions && self.has_checkpoints) {
            true => Guarantee::ExactlyOnce,
            false => Guarantee::AtLeastOnce,
        }
    }

    fn sink_node(&mut self, relation: &Relation, sink: SinkNode) {
        let owner = sink.name.clone();
        let schema = self.plan.nodes[relation.node.0].schema.clone();
        self.plan.sinks.push(sink);
        let id = SinkId(self.plan.sinks.len() - 1);
        self.sink_is_here(id);
        self.node(NodeKind::Sink(id), vec![relation.node], schema::visible(&schema), &owner);
    }
}
