//! Connectors with declared columns over them: what CREATE STREAM and CREATE TABLE have in common, and the stream.

use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema, SchemaRef};
use datafusion_common::Column;
use datafusion_expr::Expr;
use velo_core::properties::{PropertyError, PropertyValue};
use velo_core::{ConnectorError, schema, types};
use velo_eventtime::{LateProperties, OnError};
use velo_sql::ast::{Create, ObjectName};
use velo_sql::{Diagnostic, Span};

use super::declaration::{Declared, DeclaredColumn, typed_column};
use super::expr::Typed;
use super::scope::{Scope, ScopeColumn};
use super::select::{hidden_event_time, marked};
use crate::catalog::{BoundHistory, BoundSource, Changelog, Object, Pairs, Relation, ThenLive, Writable};
use crate::codes;
use crate::plan::{HistoryNode, NodeKind, OnComputeError, Output, SourceId, SourceNode, SourceTime, TimeOrigin};
use crate::planner::{Planner, no_tasks, primary_key, visible};

/// A connector with its columns.
pub(super) struct BoundColumns {
    /// What reads it.
    pub(super) source: SourceNode,
    /// What it decodes, with the event time.
    pub(super) decoded: SchemaRef,
    /// What makes the declared columns of the decoded ones; none where they are the same.
    pub(super) outputs: Option<Vec<Output>>,
    /// What comes out, with the event time.
    pub(super) schema: SchemaRef,
    /// The columns that come out; the fields have the names that they are declared with.
    pub(super) scope: Scope,
    /// Those that are the event time under a name of their own.
    pub(super) event_time_columns: Vec<String>,
    /// What happens to late rows.
    late: LateProperties,
    /// Where dead letters go.
    dead_letter_sink: Option<String>,
    /// What becomes of rows on which a computed column fails.
    on_compute_error: OnComputeError,
}

impl Planner<'_> {
    /// Declares a stream over a connector.
    pub(crate) async fn create_source(&mut self, create: &Create, pairs: Pairs) {
        // Mistakes in the columns and in the properties are told at once.
        let source = self.resolver().source(&pairs);
        let Some(written) = self.written_columns(create) else { return };
        let Some(source) = source else { return };
        let Some(columns) = self.columns_over(create, source, written, &pairs).await else { return };
        let key = primary_key(create);
        let names: Vec<String> = visible(&columns.scope).map(|column| column.name.clone()).collect();
        let Some(known) = self.key_columns(key, &names) else { return };
        let declared = Arc::clone(&columns.source.declared);
        let mut relation = self.source_relation(columns, &create.name);
        // The columns of a source have in the plan the names that they have here.
        relation.identity = known;
        let writable = Some(Writable { pairs, declared, key: key.to_vec() });
        self.catalog.add(&create.name, Object::Relation { relation, writable });
    }

    /// The columns that a statement declares, where it does.
    pub(super) fn written_columns(&mut self, create: &Create) -> Option<Option<Declared>> {
        match create.schema.as_ref().filter(|schema| !schema.columns.is_empty()) {
            Some(written) => self.declared(written).map(Some),
            None => Some(None),
        }
    }

    /// The columns of a statement over its connector.
    pub(super) async fn columns_over(
        &mut self,
        create: &Create,
        mut source: BoundSource,
        written: Option<Declared>,
        pairs: &Pairs,
    ) -> Option<BoundColumns> {
        if let Some(place) = pairs.place("decode.parallelism")
            && source.common.decode_parallelism == Some(0)
        {
            self.error(no_tasks(place));
            return None;
        }
        match create.schema.as_ref().map(|schema| schema.watermarks.as_slice()).unwrap_or_default() {
            [] => {}
            [watermark] => self.watermark_clause(watermark, &mut source, pairs)?,
            [first, second, ..] => {
                self.error(
                    Diagnostic::error(codes::CONFLICT, second.span, "a stream has one event time and one watermark")
                        .also(first.span, "the first")
                        .help("leave one of them out"),
                );
                return None;
            }
        }
        let Declared { physical, columns } = match written {
            Some(declared) => declared,
            None => {
                let otherwise = "declare the columns, or make the data readable while planning";
                let physical = self.columns_of_data(&source, &create.name, otherwise).await?;
                Declared { physical, columns: vec![] }
            }
        };
        self.bound_columns(&create.name, source, physical, &columns, pairs)
    }

    /// The columns that a connector finds in its data; `otherwise` is what can be done where it does not.
    pub(super) async fn columns_of_data(
        &mut self,
        source: &BoundSource,
        name: &ObjectName,
        otherwise: &str,
    ) -> Option<SchemaRef> {
        match source.binding.infer_schema().await {
            Ok(columns) => Some(columns),
            Err(error) => {
                let advice = error.advice.clone();
                let told = ConnectorError { advice: None, ..error }.to_string();
                let diagnostic = Diagnostic::error(codes::CONNECTOR, name.span(), told);
                // What the connector advises is nearer to what went wrong.
                let help = advice.into_iter().chain([otherwise.to_owned()]);
                self.error(help.fold(diagnostic, Diagnostic::help));
                None
            }
        }
    }

    /// A connector with its columns, computed ones included.
    pub(super) fn bound_columns(
        &mut self,
        name: &ObjectName,
        source: BoundSource,
        physical: SchemaRef,
        columns: &[DeclaredColumn],
        pairs: &Pairs,
    ) -> Option<BoundColumns> {
        let changelog = self.source_changelog(&source, pairs)?;
        let mut wrong = source.binding.check_columns(&physical);
        for error in source.history.iter().flat_map(|history| history.binding.check_columns(&physical)) {
            wrong.push(PropertyError { key: format!("history.{}", error.key), ..error });
        }
        if !wrong.is_empty() {
            self.resolver().report(wrong, pairs);
            return None;
        }
        let system: Vec<FieldRef> = source.system_columns().into_iter().map(Arc::new).collect();
        let called = name.parts.last().map(|part| part.value.clone());
        let column_of = |field: &FieldRef, hidden: bool| ScopeColumn {
            relation: called.clone(),
            name: field.name().clone(),
            field: Arc::clone(field),
            hidden,
            qualified: false,
        };
        let mut scope: Vec<ScopeColumn> = physical.fields().iter().map(|field| column_of(field, false)).collect();
        scope.extend(system.iter().map(|field| column_of(field, true)));
        let computed = self.computed_columns(columns, &Scope::of(scope.clone()))?;
        let event_time = match self.source_time(name, &source, &physical, &computed, pairs) {
            Ok(event_time) => event_time,
            Err(diagnostic) => {
                self.error(*diagnostic);
                return None;
            }
        };
        let history = self.history_node(source.history.as_ref(), event_time.as_ref(), changelog, pairs)?;
        let dead_letter = source.common.on_error == OnError::DeadLetter
            || event_time.as_ref().is_some_and(|time| time.on_error == OnError::DeadLetter);
        let dead_letters = match dead_letter {
            true => {
                let places = ["dead.letter.sink", "on.error", "event.time.on.error"];
                let place = places.iter().find_map(|key| pairs.place(key)).unwrap_or(pairs.owner);
                Some(self.dead_letters(place, source.common.dead_letter_sink.as_deref())?)
            }
            false => None,
        };
        let on_compute_error = self.of_computed(&source, &computed, pairs)?;
        let own_column = match event_time.as_ref().map(|time| &time.from) {
            Some(TimeOrigin::Field { column: Some(column), .. }) => Some(physical.field(*column).name().clone()),
            _ => None,
        };
        let mut fields: Vec<FieldRef> = physical.fields().iter().chain(&system).cloned().collect();
        if event_time.is_some() {
            fields.push(Arc::new(schema::event_time_field()));
            scope.push(ScopeColumn { relation: called.clone(), ..hidden_event_time() });
        }
        let computed_time = match event_time.as_ref().map(|time| &time.from) {
            Some(TimeOrigin::Computed(_)) => source.event_time.field.as_ref().map(|path| path.first().to_owned()),
            _ => None,
        };
        let node = SourceNode {
            name: name.text(),
            binding: source.binding,
            history,
            used: (0..physical.fields().len()).collect(),
            declared: physical,
            system,
            event_time,
            on_error: source.common.on_error,
            dead_letters,
            decode_parallelism: source.common.decode_parallelism,
            changelog,
            replays: source.replays,
            sees_deletes: source.sees_deletes,
        };
        let decoded = Arc::new(Schema::new(fields));
        let bound = BoundColumns {
            source: node,
            schema: Arc::clone(&decoded),
            decoded,
            outputs: None,
            scope: Scope::of(scope),
            event_time_columns: own_column.into_iter().collect(),
            late: source.late,
            dead_letter_sink: source.common.dead_letter_sink,
            on_compute_error,
        };
        Some(match computed.is_empty() {
            true => bound,
            false => with_computed(bound, computed, computed_time.as_deref(), &name.text()),
        })
    }

    /// A source read directly, as a relation.
    pub(super) fn source_relation(&mut self, columns: BoundColumns, name: &ObjectName) -> Relation {
        self.plan.sources.push(columns.source);
        let id = SourceId(self.plan.sources.len() - 1);
        let mut node = self.node(NodeKind::Source(id), vec![], columns.decoded, &name.text());
        if let Some(outputs) = columns.outputs {
            node = self.node(NodeKind::Project(outputs), vec![node], columns.schema, &name.text());
            self.plan.nodes[node.0].on_compute_error = columns.on_compute_error;
        }
        Relation {
            event_time_columns: columns.event_time_columns,
            source: Some(id),
            late: columns.late,
            dead_letter_sink: columns.dead_letter_sink,
            ..Relation::new(node, columns.scope)
        }
    }

    /// The history of a source in the plan, with the time at which what comes live takes over.
    fn history_node(
        &mut self,
        history: Option<&BoundHistory>,
        time: Option<&SourceTime>,
        changelog: bool,
        pairs: &Pairs,
    ) -> Option<Option<HistoryNode>> {
        let Some(history) = history else { return Some(None) };
        let binding = Arc::clone(&history.binding);
        let ThenLive::Timestamp(until) = history.then_live else {
            return Some(Some(HistoryNode { binding, until: None }));
        };
        let (message, help) = match time.map(|time| &time.from) {
            None => (
                "the event time says which rows are taken from the history and which from what comes live, and this stream has none",
                "add 'event.time.field' = '…', or leave 'history.then.live' out",
            ),
            Some(TimeOrigin::Arrival) => (
                "the event time says which rows are taken from the history and which from what comes live, and here all arrive now",
                "name a field instead of the arrival: 'event.time.field' = '…'",
            ),
            Some(_) if changelog => (
                "a change and what it changes can be on both sides of a time, and rows of this stream change",
                "have what comes live begin where the history ends, and leave 'history.then.live' out",
            ),
            Some(_) => return Some(Some(HistoryNode { binding, until: Some(until) })),
        };
        let place = pairs.place("history.then.live").unwrap_or(pairs.owner);
        self.error(Diagnostic::error(codes::CONFLICT, place, message).help(help));
        None
    }

    /// Whether the rows of a source are changes: by its format, or as `changelog.mode` says.
    fn source_changelog(&mut self, source: &BoundSource, pairs: &Pairs) -> Option<bool> {
        let place = pairs.place("changelog.mode").unwrap_or(pairs.owner);
        match (source.common.changelog, source.binding.gives_kinds()) {
            (None | Some(Changelog::Debezium), true) => Some(true),
            (None | Some(Changelog::Append), false) => Some(false),
            (Some(Changelog::Full), false) => Some(true),
            (Some(mode), true) => {
                let written = mode.show().unwrap_or_default();
                let message = format!(
                    "the records say by themselves what happened to a row, and 'changelog.mode' is '{written}'"
                );
                self.error(
                    Diagnostic::error(codes::CONFLICT, place, message)
                        .help("leave 'changelog.mode' out; 'format' = 'json' reads records without envelopes"),
                );
                None
            }
            (mode, false) => {
                let written = mode.and_then(|mode| mode.show()).unwrap_or_default();
                self.not_yet(
                    place,
                    &format!("'changelog.mode' = '{written}' of a source"),
                    "write 'full' for records with their kind in a field _op, or 'format' = 'debezium_json' for Debezium's envelopes",
                );
                None
            }
        }
    }
}

/// The declared columns as a projection over the decoded ones.
fn with_computed(source: BoundColumns, columns: Vec<(String, Typed)>, time: Option<&str>, owner: &str) -> BoundColumns {
    let mut event_time_columns = source.event_time_columns.clone();
    let mut outputs = Vec::with_capacity(columns.len());
    let mut scope = Vec::with_capacity(columns.len() + 1);
    for (name, typed) in columns {
        let is_time = time == Some(name.as_str());
        if is_time {
            event_time_columns.push(name.clone());
        }
        // The computed event time was computed when the row was read.
        let expr = if is_time && typed.data_type == types::TIMESTAMP {
            Expr::Column(Column::new_unqualified(schema::EVENT_TIME))
        } else {
            typed.expr
        };
        let field = Field::new(&name, typed.data_type, typed.nullable && !is_time);
        let field: FieldRef = Arc::new(marked(field, &expr, &source.decoded));
        scope.push(ScopeColumn {
            relation: Some(owner.to_owned()),
            name,
            field: Arc::clone(&field),
            hidden: false,
            qualified: false,
        });
        outputs.push(Output { expr, field });
    }
    // System columns can still be named behind the projection.
    for column in source.scope.columns.iter().filter(|column| column.hidden && column.name != "_event_time") {
        outputs
            .push(Output { expr: typed_column(&column.field, Span::default()).expr, field: Arc::clone(&column.field) });
        scope.push(column.clone());
    }
    let mut output = Arc::new(Schema::new(outputs.iter().map(|output| Arc::clone(&output.field)).collect::<Vec<_>>()));
    if source.source.event_time.is_some() {
        output = schema::with_event_time(&output);
        scope.push(ScopeColumn { relation: Some(owner.to_owned()), ..hidden_event_time() });
    }
    BoundColumns { outputs: Some(outputs), schema: output, scope: Scope::of(scope), event_time_columns, ..source }
}
