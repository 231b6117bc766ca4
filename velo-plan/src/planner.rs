//! A script as one plan: statement by statement, all mistakes at once.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use datafusion_common::Column;
use datafusion_expr::Expr;
use velo_core::connector::{ChangelogMode, Guarantee, Registry};
use velo_core::properties::{Properties, secrets};
use velo_core::{schema, types};
use velo_eventtime::LateProperties;
use velo_sql::ast::{Create, Ident, ObjectKind, ObjectName, Query, SelectStatement, Statement, StatementKind};
use velo_sql::{Diagnostic, Span, parse_script};

use crate::bind::{Scope, ScopeColumn};
use crate::catalog::{
    BoundSink, Catalog, Changelog, Delivery, JobProperties, Object, Pairs, QueryProperties, Relation, Resolver,
    all_specs,
};
use crate::codes;
use crate::functions::Functions;
use crate::functions::cast::{CastFunction, can_cast};
use crate::plan::{Node, NodeId, NodeKind, Output, Plan, SinkId, SinkNode};
use crate::rules;

/// Gives the value of a variable, where it has one.
pub type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What planning may use.
pub struct PlanContext {
    /// The connectors of this build.
    pub registry: Registry,
    /// The functions.
    pub functions: Functions,
    /// Gives the value of `${NAME}`.
    pub lookup: Lookup,
    /// The folder that relative paths are relative to.
    pub folder: PathBuf,
    /// Whether the optimiser runs; results are the same without it.
    pub optimise: bool,
}

/// What became of a script.
#[derive(Debug, Default)]
pub struct PlannedScript {
    /// The plan; not to be run where there are errors.
    pub plan: Plan,
    /// What the script named.
    pub catalog: Catalog,
    /// What it says about the job.
    pub job: JobProperties,
    /// The job's name, where a comment gives one.
    pub name: Option<String>,
    /// What its SHOW, DESCRIBE and EXPLAIN say.
    pub shown: Vec<Shown>,
    /// The sinks of its EXPLAIN ANALYZE statements: what they get is counted and thrown away.
    pub analyzed: Vec<Analyzed>,
    /// The mistakes and warnings, by place.
    pub diagnostics: Vec<Diagnostic>,
}

/// What a statement that only tells has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The statement in short.
    pub title: String,
    /// The columns' names; none for plain text.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// A statement of EXPLAIN ANALYZE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Analyzed {
    /// Its sink.
    pub sink: SinkId,
}

impl PlannedScript {
    /// Whether it can run.
    pub fn is_runnable(&self) -> bool {
        !self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Plans a script. Does no I/O but what schema inference needs.
pub async fn plan_script(script: &str, context: &PlanContext) -> PlannedScript {
    let parsed = parse_script(script);
    let mut planner = Planner {
        context,
        script,
        plan: Plan::default(),
        catalog: Catalog::default(),
        diagnostics: parsed.diagnostics.clone(),
        settings: Vec::new(),
        query: QueryContext::default(),
        lookup: Box::new(|name| (context.lookup)(name)),
        name: None,
        dead_letter_sinks: Vec::new(),
        statements: &parsed.statements,
        shown: Vec::new(),
        analyzed: Vec::new(),
    };
    for statement in &parsed.statements {
        planner.statement(statement).await;
    }
    let job = planner.job_properties();
    planner.settle_dead_letters();
    let Planner { mut plan, catalog, mut diagnostics, name, shown, analyzed, .. } = planner;
    rules::apply(&mut plan, context);
    diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span.start);
    PlannedScript { plan, catalog, job, name, shown, analyzed, diagnostics }
}

/// A script in the middle of planning.
pub(crate) struct Planner<'a> {
    pub(crate) context: &'a PlanContext,
    pub(crate) script: &'a str,
    pub(crate) plan: Plan,
    pub(crate) catalog: Catalog,
    pub(crate) diagnostics: Vec<Diagnostic>,
    settings: Vec<(String, String, Span, Span)>,
    pub(crate) query: QueryContext,
    /// Gives the value of `${NAME}`: the environment, then the file of secrets.
    lookup: Box<dyn Fn(&str) -> Option<String> + Send + Sync + 'a>,
    name: Option<String>,
    dead_letter_sinks: Vec<(String, SinkId)>,
    statements: &'a [Statement],
    pub(crate) shown: Vec<Shown>,
    pub(crate) analyzed: Vec<Analyzed>,
}

/// What holds for the statement that is being planned.
#[derive(Debug, Default)]
pub(crate) struct QueryContext {
    /// What it says about itself.
    pub(crate) properties: QueryProperties,
    /// What it says about late rows; else its sources decide.
    pub(crate) late: Option<LateProperties>,
    /// Time and watermark properties that it gives to the sources which it binds itself.
    pub(crate) time: Pairs,
    /// Whether a source took them.
    pub(crate) time_used: bool,
    /// The queries of WITH, innermost last.
    pub(crate) ctes: Vec<(Ident, Relation)>,
}

impl Planner<'_> {
    pub(crate) fn error(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    pub(crate) fn resolver(&mut self) -> Resolver<'_> {
        Resolver {
            registry: &self.context.registry,
            lookup: &*self.lookup,
            folder: &self.context.folder,
            settings: &self.settings,
            diagnostics: &mut self.diagnostics,
        }
    }

    pub(crate) fn not_yet(&mut self, span: Span, what: &str, help: &str) {
        self.error(
            Diagnostic::error(codes::NOT_SUPPORTED, span, format!("{what} cannot run yet")).help(help.to_owned()),
        );
    }

    pub(crate) async fn statement(&mut self, statement: &Statement) {
        let span = statement.span;
        for annotation in &statement.annotations {
            if matches!(annotation.name.as_str(), "name" | "app" | "application") && self.name.is_none() {
                self.name = Some(annotation.value.clone());
            }
        }
        self.query = QueryContext::default();
        match &statement.kind {
            StatementKind::Create(create) => self.create(create).await,
            StatementKind::Insert(insert) => {
                if !insert.columns.is_empty() {
                    return self.not_yet(span, "INSERT with a column list", "select the columns in the sink's order");
                }
                self.insert(&insert.into, &insert.query, Pairs::new(&insert.properties.entries, span)).await;
            }
            StatementKind::Select(select) => self.select_statement(select, span).await,
            StatementKind::Set { key, value } => self.set(&key.text, &value.text, key.span, value.span),
            StatementKind::CreateFunction(_) => {
                self.not_yet(span, "CREATE FUNCTION", "it comes with the issue on every function");
            }
            StatementKind::StartJob(_)
            | StatementKind::StopJob { .. }
            | StatementKind::PauseJob(_)
            | StatementKind::ResumeJob(_) => self.not_yet(span, "a job statement", "jobs by name come with the server"),
            StatementKind::Explain(explain) => self.explain(explain, self.script).await,
            StatementKind::Describe(name) => self.describe(name),
            StatementKind::Show(show) => self.show(show, span, self.statements),
            StatementKind::Drop(drop) => self.drop_object(drop, span),
        }
    }

    /// SET: a default for the statements after it. The key must be one that the planner knows.
    fn set(&mut self, key: &str, value: &str, key_span: Span, value_span: Span) {
        let specs = all_specs();
        let known: Vec<_> = specs.iter().flat_map(|(_, specs)| specs.iter()).collect();
        if !known.iter().any(|spec| spec.names(key)) {
            let names = known.iter().map(|spec| spec.key);
            let mut diagnostic = Diagnostic::error(codes::PROPERTY, key_span, format!("there is no setting '{key}'"));
            diagnostic = match velo_sql::diagnostic::suggest::nearest(key, names) {
                Some(near) => diagnostic.help(format!("did you mean '{near}'?")),
                None => diagnostic.help("`velo properties` lists them; properties of one connector belong into WITH"),
            };
            return self.error(diagnostic);
        }
        if key.eq_ignore_ascii_case("secrets.file") {
            return self.secrets(value, value_span);
        }
        self.settings.retain(|(other, ..)| !other.eq_ignore_ascii_case(key));
        self.settings.push((key.to_owned(), value.to_owned(), key_span, value_span));
    }

    fn secrets(&mut self, file: &str, span: Span) {
        match secrets::load(&self.context.folder.join(file)) {
            Ok(secrets) => {
                let context = self.context;
                self.lookup = Box::new(move |name| {
                    (context.lookup)(name).or_else(|| secrets.get(name).map(|secret| secret.expose().to_owned()))
                });
            }
            Err(message) => self.error(Diagnostic::error(codes::PROPERTY, span, message)),
        }
    }

    fn job_properties(&mut self) -> JobProperties {
        let none = Pairs::default();
        let mut options = self.resolver().options(&none, &[JobProperties::SPECS]);
        let job = JobProperties::read(&mut options);
        let errors = options.take_errors();
        self.resolver().report(errors, &none);
        job
    }

    /// Takes what a statement says about itself out of its properties.
    fn query_properties(&mut self, pairs: &mut Pairs) {
        let is_late = |key: &str| LateProperties::SPECS.iter().any(|spec| spec.names(key));
        let own = pairs.take_where(|key| QueryProperties::SPECS.iter().any(|spec| spec.names(key)) || is_late(key));
        let mut options = self.resolver().options(&own, &[QueryProperties::SPECS, LateProperties::SPECS]);
        let late_given = LateProperties::SPECS.iter().any(|spec| options.get(spec.key).is_some());
        self.query.properties = QueryProperties::read(&mut options);
        let late = LateProperties::read(&mut options);
        self.query.late = late_given.then_some(late);
        let errors = options.take_errors();
        self.resolver().report(errors, &own);
        self.query.time = pairs.take_where(|key| key.starts_with("event.time.") || key.starts_with("watermark."));
    }

    async fn create(&mut self, create: &Create) {
        if let Some(first) = self.catalog.place(&create.name) {
            if create.if_not_exists {
                return;
            }
            if !create.or_replace {
                self.error(
                    Diagnostic::error(
                        codes::DUPLICATE_NAME,
                        create.name.span(),
                        format!("'{}' is there already", create.name.text()),
                    )
                    .also(first, "it was created here")
                    .help("choose another name, or write CREATE OR REPLACE"),
                );
                return;
            }
        }
        let pairs = Pairs::new(&create.properties.entries, create.name.span());
        match (create.kind, &create.query) {
            (ObjectKind::Table, _) => {
                self.not_yet(
                    create.name.span(),
                    "CREATE TABLE",
                    "reference tables come with the issue on tables and joins",
                );
            }
            (ObjectKind::Sink, None) => self.create_sink(create, &pairs),
            (ObjectKind::Stream, None) => self.create_source(create, pairs).await,
            (_, Some(query)) => self.create_as(create, query, pairs).await,
            (ObjectKind::View, None) => {}
        }
    }

    fn create_sink(&mut self, create: &Create, pairs: &Pairs) {
        let declared = match create.schema.as_ref().filter(|schema| !schema.columns.is_empty()) {
            Some(written) => match self.declared(written) {
                Some(columns) => Some(columns.physical),
                None => return,
            },
            None => None,
        };
        if let Some(sink) = self.resolver().sink(pairs) {
            let sink = BoundSink { declared, key: primary_key(create), ..sink };
            self.catalog.add(&create.name, Object::Sink(Box::new(sink)));
        }
    }

    async fn create_as(&mut self, create: &Create, query: &Query, mut pairs: Pairs) {
        let name = create.name.text();
        let own = pairs.take_prefixed(&name, create.name.span());
        self.query_properties(&mut pairs);
        let Some(relation) = self.query(query, &mut pairs, &name).await else { return };
        let into = create.into.as_ref().map(|into| (into, pairs.take_prefixed(&into.text(), into.span())));
        let sink_pairs = if own.pairs.is_empty() && pairs.has("connector") { std::mem::take(&mut pairs) } else { own };
        self.leftovers(&pairs);
        if create.kind != ObjectKind::View
            && !sink_pairs.pairs.is_empty()
            && let Some(sink) = self.resolver().sink(&sink_pairs)
        {
            self.write(&relation, &name, sink, create.name.span());
        }
        if let Some((into, own)) = into {
            self.write_into(&relation, into, own);
        }
        self.catalog.add(&create.name, Object::Relation { relation, writable: None });
    }

    async fn insert(&mut self, into: &ObjectName, query: &Query, mut pairs: Pairs) {
        let own = pairs.take_prefixed(&into.text(), into.span());
        self.query_properties(&mut pairs);
        let relation = self.query(query, &mut pairs, &into.text()).await;
        self.leftovers(&pairs);
        if let Some(relation) = relation {
            self.write_into(&relation, into, own);
        }
    }

    /// Writes to a sink or stream by its name, or to one that is bound in place.
    fn write_into(&mut self, relation: &Relation, into: &ObjectName, own: Pairs) {
        let sink = match self.catalog.get(into).cloned() {
            Some(Object::Sink(sink)) => Some(*sink),
            Some(Object::Relation { writable: Some(writable), .. }) => self
                .resolver()
                .sink(&writable.pairs)
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
            None if !own.pairs.is_empty() => self.resolver().sink(&own),
            None => {
                let diagnostic = self.unknown_relation(into);
                self.error(diagnostic);
                None
            }
        };
        if let Some(sink) = sink {
            self.write(relation, &into.text(), sink, into.span());
        }
    }

    async fn select_statement(&mut self, select: &SelectStatement, span: Span) {
        let mut pairs = Pairs::new(&select.properties.entries, span);
        if let Some(into) = &select.into {
            return self.insert(into, &select.query, pairs).await;
        }
        self.query_properties(&mut pairs);
        let relation = self.query(&select.query, &mut pairs, "select").await;
        self.leftovers(&pairs);
        let Some(relation) = relation else { return };
        self.terminal(&relation);
    }

    /// What nothing has taken from a statement's properties is a mistake.
    fn leftovers(&mut self, pairs: &Pairs) {
        let specs = all_specs();
        for (key, _, key_span, _) in &pairs.pairs {
            let names = specs.iter().flat_map(|(_, specs)| specs.iter()).map(|spec| spec.key);
            let mut diagnostic =
                Diagnostic::error(codes::PROPERTY, *key_span, format!("this query has no property '{key}'"));
            diagnostic = match velo_sql::diagnostic::suggest::nearest(key, names) {
                Some(near) => diagnostic.help(format!("did you mean '{near}'?")),
                None => diagnostic
                    .help("a property of a source or sink is prefixed with its name; `velo properties` lists them all"),
            };
            self.diagnostics.push(diagnostic);
        }
        let time = std::mem::take(&mut self.query.time);
        for (key, _, key_span, _) in time.pairs.iter().filter(|_| !self.query.time_used) {
            self.diagnostics.push(
                Diagnostic::error(
                    codes::PROPERTY,
                    *key_span,
                    format!("'{key}' belongs to a source, and this query binds none itself"),
                )
                .help("write it into the WITH clause of the stream's CREATE STREAM"),
            );
        }
    }

    pub(crate) fn unknown_relation(&self, name: &ObjectName) -> Diagnostic {
        let diagnostic = Diagnostic::error(
            codes::UNKNOWN_RELATION,
            name.span(),
            format!("there is no stream, table or view '{}'", name.text()),
        );
        match self.catalog.nearest(name) {
            Some(near) => diagnostic.help(format!("did you mean {near}?")),
            None => diagnostic.help("CREATE STREAM … WITH (connector = …) declares one; it must stand before its use"),
        }
    }

    /// Adds a node.
    pub(crate) fn node(&mut self, kind: NodeKind, inputs: Vec<NodeId>, schema: SchemaRef, owner: &str) -> NodeId {
        let bounded = match &kind {
            NodeKind::Source(id) => self.plan.sources[id.0].binding.bounded(),
            _ => inputs.iter().all(|input| self.plan.nodes[input.0].bounded),
        };
        let parallelism = self.query.properties.parallelism;
        self.plan.nodes.push(Node {
            kind,
            inputs,
            schema,
            bounded,
            owner: owner.to_owned(),
            dead_letters: None,
            parallelism,
        });
        NodeId(self.plan.nodes.len() - 1)
    }

    /// Whether a node's rows end.
    pub(crate) fn is_bounded(&self, node: NodeId) -> bool {
        self.plan.nodes[node.0].bounded
    }

    /// The visible columns of a relation as they are written: under their own names.
    fn written_schema(relation: &Relation) -> SchemaRef {
        let fields: Vec<Field> =
            visible(&relation.scope).map(|column| column.field.as_ref().clone().with_name(&column.name)).collect();
        Arc::new(Schema::new(fields))
    }

    fn terminal(&mut self, relation: &Relation) {
        let sink = SinkNode {
            name: "terminal".to_owned(),
            binding: None,
            schema: Self::written_schema(relation),
            key: vec![],
            mode: ChangelogMode::Full,
            guarantee: Guarantee::AtLeastOnce,
            bounded: self.is_bounded(relation.node),
            flush: velo_core::duration::Span(10_000),
        };
        self.sink_node(relation, sink);
    }

    /// Writes a relation to a sink.
    fn write(&mut self, relation: &Relation, name: &str, sink: BoundSink, span: Span) {
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
        if let Some(mode) = sink.common.changelog
            && mode != Changelog::Append
        {
            self.not_yet(
                span,
                "this changelog.mode",
                "the rows of this query never change: leave it out, or write 'append'",
            );
            return;
        }
        let bounded = self.is_bounded(relation.node);
        let guarantee = match sink.common.delivery {
            Some(Delivery::ExactlyOnce) => Guarantee::ExactlyOnce,
            Some(Delivery::AtLeastOnce) => Guarantee::AtLeastOnce,
            None if bounded => Guarantee::ExactlyOnce,
            None => Guarantee::AtLeastOnce,
        };
        if guarantee == Guarantee::ExactlyOnce && !bounded {
            self.not_yet(
                span,
                "exactly-once delivery of an unbounded input, which needs checkpoints,",
                "set 'delivery.guarantee' = 'at_least_once', or read a bounded input",
            );
            return;
        }
        let key = if sink.key.is_empty() { &relation.key } else { &sink.key };
        let key = key.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let node = SinkNode {
            name: name.to_owned(),
            binding: Some(sink.binding),
            schema,
            key,
            mode: ChangelogMode::Append,
            guarantee,
            bounded,
            flush: velo_core::duration::Span(10_000),
        };
        self.sink_node(relation, node);
    }

    /// The columns of a relation in the types and under the names that a sink was declared with, by position.
    fn fit(&mut self, relation: &Relation, declared: &SchemaRef, name: &str, span: Span) -> Option<Relation> {
        let columns: Vec<_> = visible(&relation.scope).cloned().collect();
        if columns.len() != declared.fields().len() {
            let message =
                format!("the query gives {} columns, and '{name}' has {}", columns.len(), declared.fields().len());
            let names: Vec<&str> = declared.fields().iter().map(|field| field.name().as_str()).collect();
            self.error(Diagnostic::error(codes::SINK, span, message).help(format!("select {}", names.join(", "))));
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
            })
            .collect();
        if relation.has_event_time() {
            output = schema::with_event_time(&output);
            scope.push(crate::bind::hidden_event_time());
        }
        let node = self.node(NodeKind::Project(outputs), vec![relation.node], output, name);
        Some(Relation { key: relation.key.clone(), ..Relation::new(node, Scope::of(scope)) })
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
            bounded: false,
            flush: velo_core::duration::Span(10_000),
        });
        let id = SinkId(self.plan.sinks.len() - 1);
        self.node(NodeKind::Sink(id), vec![], schema, &name);
        self.dead_letter_sinks.push((name, id));
        Some(id)
    }

    /// Dead letters go out with the other rows: once at the end where every input ends, else at once.
    fn settle_dead_letters(&mut self) {
        let bounded = self.plan.sources.iter().all(|source| source.binding.bounded());
        for (_, id) in &self.dead_letter_sinks {
            let sink = &mut self.plan.sinks[id.0];
            sink.bounded = bounded;
            sink.guarantee = if bounded { Guarantee::ExactlyOnce } else { Guarantee::AtLeastOnce };
        }
    }

    fn sink_node(&mut self, relation: &Relation, sink: SinkNode) {
        let owner = sink.name.clone();
        let schema = self.plan.nodes[relation.node.0].schema.clone();
        self.plan.sinks.push(sink);
        let id = SinkId(self.plan.sinks.len() - 1);
        self.node(NodeKind::Sink(id), vec![relation.node], schema::visible(&schema), &owner);
    }
}

/// The declared key of a stream or sink.
pub(crate) fn primary_key(create: &Create) -> Vec<String> {
    let key = create.schema.as_ref().and_then(|schema| schema.primary_key.as_ref());
    key.map(|key| key.columns.iter().map(|column| column.value.clone()).collect()).unwrap_or_default()
}

/// The columns that `*` gives.
pub(crate) fn visible(scope: &Scope) -> impl Iterator<Item = &crate::bind::ScopeColumn> {
    scope.columns.iter().filter(|column| !column.hidden)
}
