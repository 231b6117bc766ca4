//! CREATE STREAM over a connector: columns, computed columns, event time, watermark.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::Column;
use datafusion_expr::Expr;
use velo_core::properties::PropertyValue;
use velo_core::{schema, types};
use velo_eventtime::{EventTimeSource, Extractor, FieldPath, Format, OnError, WatermarkStrategy};
use velo_sql::ast::{BinaryOp, ColumnDef, Create, ExprKind, Literal, ObjectName, TableSchema, WatermarkDef};
use velo_sql::{Diagnostic, Span};

use super::expr::{Typed, article};
use super::literal;
use super::scope::{Scope, ScopeColumn};
use super::select::hidden_event_time;
use super::types::{arrow_type, field_of};
use crate::catalog::{BoundSource, Changelog, Object, Pairs, Relation, Writable};
use crate::codes;
use crate::plan::{NodeKind, Output, Punctuation, SourceId, SourceNode, SourceTime, TimeOrigin};
use crate::planner::{Planner, no_tasks, primary_key, visible};

/// The columns of a declaration: what the connector gives, and how the declared columns come of it.
pub(crate) struct Declared {
    /// The columns that are in the data.
    pub(crate) physical: SchemaRef,
    /// All columns in their order, where one of them is not simply in the data.
    columns: Vec<DeclaredColumn>,
}

/// A column of a declaration.
pub(super) enum DeclaredColumn {
    Physical(FieldRef),
    /// `name [type] AS expr`
    Computed(ColumnDef),
    /// `name type METADATA FROM 'key'`: a system column under another name.
    Metadata(ColumnDef, String),
}

impl Planner<'_> {
    /// Declares a stream over a connector.
    pub(crate) async fn create_source(&mut self, create: &Create, pairs: Pairs) {
        // Mistakes in the columns and in the properties are told at once.
        let source = self.resolver().source(&pairs);
        let written = create.schema.as_ref().filter(|schema| !schema.columns.is_empty());
        let written = written.map(|written| self.declared(written));
        let (Some(mut source), None | Some(Some(_))) = (source, &written) else { return };
        if let Some(place) = pairs.place("decode.parallelism")
            && source.common.decode_parallelism == Some(0)
        {
            return self.error(no_tasks(place));
        }
        match create.schema.as_ref().map(|schema| schema.watermarks.as_slice()).unwrap_or_default() {
            [] => {}
            [watermark] => {
                if self.watermark_clause(watermark, &mut source, &pairs).is_none() {
                    return;
                }
            }
            [first, second, ..] => {
                self.error(
                    Diagnostic::error(codes::CONFLICT, second.span, "a stream has one event time and one watermark")
                        .also(first.span, "the first")
                        .help("leave one of them out"),
                );
                return;
            }
        }
        let declared = match written.flatten() {
            Some(declared) => declared,
            None => match source.binding.infer_schema().await {
                Ok(physical) => Declared { physical, columns: vec![] },
                Err(error) => {
                    self.error(
                        Diagnostic::error(codes::CONNECTOR, create.name.span(), error.to_string())
                            .help("declare the columns, or make the data readable while planning"),
                    );
                    return;
                }
            },
        };
        let Declared { physical, columns } = declared;
        let relation = self.source_relation(&create.name, source, Arc::clone(&physical), &columns, &pairs);
        if let Some(mut relation) = relation {
            let key = primary_key(create);
            let names: Vec<String> = visible(&relation.scope).map(|column| column.name.clone()).collect();
            let Some(known) = self.key_columns(key, &names) else { return };
            // The columns of a source have in the plan the names that they have here.
            relation.identity = known;
            let writable = Some(Writable { pairs, declared: physical, key: key.to_vec() });
            self.catalog.add(&create.name, Object::Relation { relation, writable });
        }
    }

    /// The columns of a declaration; all mistakes in them are found.
    pub(crate) fn declared(&mut self, written: &TableSchema) -> Option<Declared> {
        let mut names: Vec<&str> = Vec::with_capacity(written.columns.len());
        let mut columns = Vec::with_capacity(written.columns.len());
        let mut failed = false;
        for column in &written.columns {
            let name = &column.name.value;
            if names.contains(&name.as_str()) || name.starts_with('$') {
                let (message, help) = match name.starts_with('$') {
                    true => {
                        (format!("the name '{name}' begins with $"), "choose another one: such names are Velo's own")
                    }
                    false => (format!("the column '{name}' is there already"), "give one of them another name"),
                };
                self.error(Diagnostic::error(codes::DUPLICATE_NAME, column.name.span, message).help(help));
                failed = true;
                continue;
            }
            names.push(name);
            if let Some(default) = &column.default {
                self.not_yet(default.span, "DEFAULT", "write COALESCE(column, value) where the column is used");
                failed = true;
            } else if column.computed.is_some() {
                columns.push(DeclaredColumn::Computed(column.clone()));
            } else if let Some(metadata) = &column.metadata {
                let key = metadata.key.clone().unwrap_or_else(|| name.clone());
                columns.push(DeclaredColumn::Metadata(column.clone(), format!("_{}", key.trim_start_matches('_'))));
            } else if let Some(data_type) = &column.data_type {
                match field_of(name, data_type, !column.not_null) {
                    Ok(field) => columns.push(DeclaredColumn::Physical(Arc::new(field))),
                    Err(diagnostic) => {
                        self.error(diagnostic);
                        failed = true;
                    }
                }
            } else {
                self.error(
                    Diagnostic::error(codes::TYPE_MISMATCH, column.span, format!("the column '{name}' has no type"))
                        .help("write its type behind its name: STRING, BIGINT, DECIMAL(18,4), …"),
                );
                failed = true;
            }
        }
        if failed {
            return None;
        }
        let physical: Vec<FieldRef> = columns
            .iter()
            .filter_map(|column| match column {
                DeclaredColumn::Physical(field) => Some(Arc::clone(field)),
                _ => None,
            })
            .collect();
        let plain = physical.len() == columns.len();
        Some(Declared { physical: Arc::new(Schema::new(physical)), columns: if plain { vec![] } else { columns } })
    }

    /// `WATERMARK FOR ts AS ts - INTERVAL '5' SECOND` is the properties in another spelling.
    fn watermark_clause(&mut self, clause: &WatermarkDef, source: &mut BoundSource, pairs: &Pairs) -> Option<()> {
        let column = clause.column.text();
        match column.parse() {
            Ok(path) if source.event_time.field.is_none() => source.event_time.field = Some(path),
            Ok(path) if source.event_time.field.as_ref() == Some(&path) => {}
            Ok(_) => {
                self.error(
                    Diagnostic::error(
                        codes::CONFLICT,
                        clause.span,
                        "WATERMARK FOR and 'event.time.field' name different fields",
                    )
                    .help("leave one of them out"),
                );
                return None;
            }
            Err(message) => {
                self.error(Diagnostic::error(codes::PROPERTY, clause.span, message));
                return None;
            }
        }
        source.timed = true;
        let Some(expr) = &clause.expr else { return Some(()) };
        let bound = match &expr.without_parentheses().kind {
            ExprKind::Path(name) if same_column(name, &column) => Some(0),
            ExprKind::Binary { left, op: BinaryOp::Subtract, right, .. } => {
                match (&left.without_parentheses().kind, &right.without_parentheses().kind) {
                    (ExprKind::Path(name), ExprKind::Literal(Literal::Interval(interval)))
                        if same_column(name, &column) =>
                    {
                        match literal::micros(interval, right.span) {
                            Ok(micros) => Some(micros),
                            Err(diagnostic) => {
                                self.error(diagnostic);
                                return None;
                            }
                        }
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        let Some(micros) = bound.filter(|micros| *micros >= 0) else {
            self.not_yet(
                expr.span,
                "another watermark than the column, or the column less an interval,",
                &format!("write WATERMARK FOR {column} AS {column} - INTERVAL '5' SECOND"),
            );
            return None;
        };
        let bound = velo_core::duration::Span(micros);
        if let Some(place) = pairs.place("watermark.max_out_of_orderness")
            && source.watermark.max_out_of_orderness != bound
        {
            self.error(
                Diagnostic::error(
                    codes::CONFLICT,
                    expr.span,
                    "WATERMARK FOR and 'watermark.max_out_of_orderness' say different lengths",
                )
                .also(place, "the other")
                .help("leave one of them out"),
            );
            return None;
        }
        source.watermark.max_out_of_orderness = bound;
        Some(())
    }

    /// A source read directly, as a relation.
    pub(super) fn source_relation(
        &mut self,
        name: &ObjectName,
        source: BoundSource,
        physical: SchemaRef,
        columns: &[DeclaredColumn],
        pairs: &Pairs,
    ) -> Option<Relation> {
        let changelog = self.source_changelog(&source, pairs)?;
        let wrong = source.binding.check_columns(&physical);
        if !wrong.is_empty() {
            self.resolver().report(wrong, pairs);
            return None;
        }
        let system: Vec<FieldRef> = source.binding.system_columns().into_iter().map(Arc::new).collect();
        let called = name.parts.last().map(|part| part.value.clone());
        let column_of = |field: &FieldRef, hidden: bool| ScopeColumn {
            relation: called.clone(),
            name: field.name().clone(),
            field: Arc::clone(field),
            hidden,
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
        self.plan.sources.push(SourceNode {
            name: name.text(),
            binding: source.binding,
            used: (0..physical.fields().len()).collect(),
            declared: physical,
            system,
            event_time,
            on_error: source.common.on_error,
            dead_letters,
            decode_parallelism: source.common.decode_parallelism,
            changelog,
        });
        let id = SourceId(self.plan.sources.len() - 1);
        let node = self.node(NodeKind::Source(id), vec![], Arc::new(Schema::new(fields)), &name.text());
        let mut relation = Relation {
            event_time_columns: own_column.into_iter().collect(),
            source: Some(id),
            late: source.late,
            dead_letter_sink: source.common.dead_letter_sink,
            ..Relation::new(node, Scope::of(scope))
        };
        if !computed.is_empty() {
            relation = self.with_computed(relation, computed, computed_time.as_deref(), &name.text());
        }
        Some(relation)
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

    /// Binds the declared columns over what is in the data; empty where they are simply that.
    fn computed_columns(&mut self, columns: &[DeclaredColumn], scope: &Scope) -> Option<Vec<(String, Typed)>> {
        let mut bound: Vec<(String, Typed)> = Vec::with_capacity(columns.len());
        let mut failed = false;
        for column in columns {
            let one = match column {
                DeclaredColumn::Physical(field) => Some((field.name().clone(), typed_column(field, Span::default()))),
                DeclaredColumn::Computed(column) => {
                    self.computed(column, scope).map(|typed| (column.name.value.clone(), typed))
                }
                DeclaredColumn::Metadata(column, key) => {
                    self.metadata(column, key, scope).map(|typed| (column.name.value.clone(), typed))
                }
            };
            match one {
                Some(one) => bound.push(one),
                None => failed = true,
            }
        }
        (!failed).then_some(bound)
    }

    fn computed(&mut self, column: &ColumnDef, scope: &Scope) -> Option<Typed> {
        let expr = column.computed.as_ref()?;
        let mut binder = self.binder(scope, Err("a computed column"));
        let typed = binder.bind(expr)?;
        match &column.data_type {
            None => Some(typed),
            Some(written) => match arrow_type(written) {
                Ok(to) => binder.cast(typed, &to, false, expr.span),
                Err(diagnostic) => {
                    self.error(diagnostic);
                    None
                }
            },
        }
    }

    fn metadata(&mut self, column: &ColumnDef, key: &str, scope: &Scope) -> Option<Typed> {
        let found = scope.columns.iter().find(|candidate| candidate.hidden && candidate.name.eq_ignore_ascii_case(key));
        let Some(found) = found else {
            let known: Vec<&str> = scope
                .columns
                .iter()
                .filter(|column| column.hidden)
                .map(|column| column.name.trim_start_matches('_'))
                .collect();
            let message = format!("this connector has no metadata '{}'", key.trim_start_matches('_'));
            let help = match known.as_slice() {
                [] => "it has none at all: leave the column out".to_owned(),
                known => format!("it has {}", known.join(", ")),
            };
            self.error(Diagnostic::error(codes::UNKNOWN_COLUMN, column.span, message).help(help));
            return None;
        };
        let typed = typed_column(&found.field, column.span);
        match &column.data_type {
            None => Some(typed),
            Some(written) => match arrow_type(written) {
                Ok(to) => self.binder(scope, Err("metadata")).cast(typed, &to, false, column.span),
                Err(diagnostic) => {
                    self.error(diagnostic);
                    None
                }
            },
        }
    }

    /// The declared columns as a projection over the source.
    fn with_computed(
        &mut self,
        source: Relation,
        columns: Vec<(String, Typed)>,
        time: Option<&str>,
        owner: &str,
    ) -> Relation {
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
            let field: FieldRef = Arc::new(self.marked(field, &expr, &source));
            scope.push(ScopeColumn {
                relation: Some(owner.to_owned()),
                name,
                field: Arc::clone(&field),
                hidden: false,
            });
            outputs.push(Output { expr, field });
        }
        // System columns can still be named behind the projection.
        for column in source.scope.columns.iter().filter(|column| column.hidden && column.name != "_event_time") {
            outputs.push(Output {
                expr: typed_column(&column.field, Span::default()).expr,
                field: Arc::clone(&column.field),
            });
            scope.push(column.clone());
        }
        let mut output =
            Arc::new(Schema::new(outputs.iter().map(|output| Arc::clone(&output.field)).collect::<Vec<_>>()));
        if source.has_event_time() {
            output = schema::with_event_time(&output);
            scope.push(ScopeColumn { relation: Some(owner.to_owned()), ..hidden_event_time() });
        }
        let node = self.node(NodeKind::Project(outputs), vec![source.node], output, owner);
        Relation { node, scope: Scope::of(scope), event_time_columns, ..source }
    }

    fn source_time(
        &self,
        name: &ObjectName,
        source: &BoundSource,
        physical: &SchemaRef,
        computed: &[(String, Typed)],
        pairs: &Pairs,
    ) -> Result<Option<SourceTime>, Box<Diagnostic>> {
        let properties = &source.event_time;
        let extractor = |path: &FieldPath| {
            let format = properties.format.as_ref().map_or(Format::Auto, |format| format.format().clone());
            Arc::new(Extractor::new(&name.text(), &path.to_string(), format, properties.zone))
        };
        let place = |key: &str| pairs.place(key).unwrap_or(pairs.owner);
        let punctuated = source.watermark.strategy == WatermarkStrategy::Punctuated;
        let punctuation = match &source.watermark.punctuation_field {
            Some(path) if punctuated => Some(Punctuation { path: path.parts().to_vec(), extractor: extractor(path) }),
            None if !punctuated => None,
            None => {
                return Err(Box::new(
                    Diagnostic::error(
                        codes::PROPERTY,
                        place("watermark.strategy"),
                        "a punctuated watermark needs the field that says it",
                    )
                    .help("add 'watermark.punctuation.field' = '…'"),
                ));
            }
            Some(_) => {
                return Err(Box::new(
                    Diagnostic::error(
                        codes::CONFLICT,
                        place("watermark.punctuation.field"),
                        "only the strategy 'punctuated' goes by a field that says the watermark",
                    )
                    .help("add 'watermark.strategy' = 'punctuated', or leave the field out"),
                ));
            }
        };
        let time = |from: TimeOrigin| {
            let watermark = source.watermark.clone();
            Ok(Some(SourceTime { from, on_error: properties.on_error, watermark, punctuation: punctuation.clone() }))
        };
        match (properties.source, &properties.field) {
            (Some(EventTimeSource::Arrival | EventTimeSource::Record), Some(field)) => Err(Box::new(
                Diagnostic::error(
                    codes::CONFLICT,
                    place("event.time.source"),
                    format!("the event time is the field '{field}', and 'event.time.source' says that it is none"),
                )
                .help("leave one of them out"),
            )),
            (Some(EventTimeSource::Arrival), _) => time(TimeOrigin::Arrival),
            (Some(EventTimeSource::Record), _) => {
                if source.binding.system_columns().iter().any(|field| field.name() == "_timestamp") {
                    return time(TimeOrigin::Record);
                }
                Err(Box::new(
                    Diagnostic::error(
                        codes::PROPERTY,
                        place("event.time.source"),
                        "the records of this connector have no time of their own",
                    )
                    .help("name a field: 'event.time.field' = '…'"),
                ))
            }
            (_, Some(path)) => {
                let column = (!path.is_nested()).then(|| declared_column(physical, path.first())).flatten();
                let is_computed = |(name, typed): &&(String, Typed)| {
                    name.eq_ignore_ascii_case(path.first())
                        && !matches!(&typed.expr, Expr::Column(c) if c.name() == name.as_str())
                };
                if let Some((_, typed)) = computed.iter().find(is_computed).filter(|_| !path.is_nested()) {
                    if !matches!(typed.data_type, DataType::Timestamp(..)) {
                        let message = format!("the computed event time is a {}", types::sql_name(&typed.data_type));
                        return Err(Box::new(
                            Diagnostic::error(codes::TYPE_MISMATCH, typed.span, message)
                                .help("compute a TIMESTAMP, for example with TO_TIMESTAMP(…)"),
                        ));
                    }
                    return time(TimeOrigin::Computed(typed.expr.clone()));
                }
                if let Some(column) = column {
                    self.time_type(physical.field(column), pairs)?;
                }
                time(TimeOrigin::Field { path: path.parts().to_vec(), column, extractor: extractor(path) })
            }
            (_, None) if source.timed => Err(Box::new(
                Diagnostic::error(
                    codes::EVENT_TIME_MISSING,
                    pairs.owner,
                    "properties of event time are given, and not which field it is",
                )
                .help("add 'event.time.field' = '…'"),
            )),
            _ => Ok(None),
        }
    }

    fn time_type(&self, field: &Field, pairs: &Pairs) -> Result<(), Box<Diagnostic>> {
        let usable = field.data_type().is_integer()
            || matches!(
                field.data_type(),
                DataType::Utf8
                    | DataType::Timestamp(..)
                    | DataType::Date32
                    | DataType::Decimal128(..)
                    | DataType::Float64
            );
        if usable {
            return Ok(());
        }
        let message = format!("'{}' is {} and cannot be an event time", field.name(), article(field.data_type()));
        Err(Box::new(
            Diagnostic::error(codes::TYPE_MISMATCH, pairs.place("event.time.field").unwrap_or(pairs.owner), message)
                .help("an event time is a number, a text or a TIMESTAMP"),
        ))
    }
}

fn typed_column(field: &FieldRef, span: Span) -> Typed {
    Typed {
        expr: Expr::Column(Column::new_unqualified(field.name())),
        data_type: field.data_type().clone(),
        nullable: field.is_nullable(),
        unknown: false,
        span,
    }
}

fn same_column(name: &ObjectName, column: &str) -> bool {
    name.text().eq_ignore_ascii_case(column)
}

/// The declared column called `name`: the exact spelling, else one that differs in case only.
fn declared_column(declared: &Schema, name: &str) -> Option<usize> {
    let fields = declared.fields();
    fields
        .iter()
        .position(|field| field.name() == name)
        .or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(name)))
}
