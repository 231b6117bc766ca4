//! A script as one plan: statement by statement, all mistakes at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use velo_core::connector::{ChangelogMode, Guarantee, Registry};
use velo_core::schema;
use velo_sql::ast::{Create, ObjectKind, ObjectName, Query, SelectStatement, Statement, StatementKind};
use velo_sql::{Diagnostic, Span, parse_script};

use crate::bind::Scope;
use crate::catalog::{BoundSink, Catalog, Delivery, Object, Pairs, Relation, Resolver};
use crate::codes;
use crate::functions::Functions;
use crate::plan::{Node, NodeId, NodeKind, Plan, SinkId, SinkNode};

/// What planning may use.
pub struct PlanContext {
    /// The connectors of this build.
    pub registry: Registry,
    /// The functions.
    pub functions: Functions,
    /// Gives the value of `${NAME}`.
    pub lookup: Box<dyn Fn(&str) -> Option<String> + Send + Sync>,
    /// The folder that relative paths are relative to.
    pub folder: PathBuf,
}

/// What became of a script.
#[derive(Debug, Default)]
pub struct PlannedScript {
    /// The plan; not to be run where there are errors.
    pub plan: Plan,
    /// What the script named.
    pub catalog: Catalog,
    /// The mistakes and warnings, by place.
    pub diagnostics: Vec<Diagnostic>,
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
        diagnostics: parsed.diagnostics,
        settings: BTreeMap::new(),
    };
    for statement in &parsed.statements {
        planner.statement(statement).await;
    }
    let Planner { plan, catalog, mut diagnostics, .. } = planner;
    diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span.start);
    PlannedScript { plan, catalog, diagnostics }
}

/// A script in the middle of planning.
pub(crate) struct Planner<'a> {
    pub(crate) context: &'a PlanContext,
    pub(crate) script: &'a str,
    pub(crate) plan: Plan,
    pub(crate) catalog: Catalog,
    pub(crate) diagnostics: Vec<Diagnostic>,
    settings: BTreeMap<String, (String, Span)>,
}

impl Planner<'_> {
    pub(crate) fn error(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    pub(crate) fn resolver(&mut self) -> Resolver<'_> {
        Resolver {
            registry: &self.context.registry,
            lookup: self.context.lookup.as_ref(),
            diagnostics: &mut self.diagnostics,
        }
    }

    fn later(&mut self, span: Span, what: &str, when: &str) {
        self.error(Diagnostic::error(codes::NOT_SUPPORTED, span, format!("{what} cannot run yet")).help(when.to_owned()));
    }

    async fn statement(&mut self, statement: &Statement) {
        let span = statement.span;
        match &statement.kind {
            StatementKind::Create(create) => self.create(create, span).await,
            StatementKind::Insert(insert) => {
                if !insert.columns.is_empty() {
                    return self.later(span, "INSERT with a column list", "select the columns in the sink's order");
                }
                self.insert(&insert.into, &insert.query, Pairs::new(&insert.properties.entries, span)).await;
            }
            StatementKind::Select(select) => self.select_statement(select, span).await,
            StatementKind::Set { key, value } => {
                self.settings.insert(key.text.to_lowercase(), (value.text.clone(), key.span));
            }
            StatementKind::CreateFunction(_) => {
                self.later(span, "CREATE FUNCTION", "it comes with the issue on every function");
            }
            StatementKind::StartJob(_)
            | StatementKind::StopJob { .. }
            | StatementKind::PauseJob(_)
            | StatementKind::ResumeJob(_) => self.later(span, "a job statement", "jobs by name come with the server"),
            StatementKind::Explain(_) | StatementKind::Describe(_) | StatementKind::Show(_) | StatementKind::Drop(_) => {
                self.later(span, "this statement", "it belongs to the interactive shell");
            }
        }
    }

    async fn create(&mut self, create: &Create, span: Span) {
        if let Some(first) = self.catalog.place(&create.name) {
            if create.if_not_exists {
                return;
            }
            if !create.or_replace {
                self.error(
                    Diagnostic::error(codes::DUPLICATE_NAME, create.name.span(), format!("'{}' is there already", create.name.text()))
                        .also(first, "it was created here")
                        .help("choose another name, or write CREATE OR REPLACE"),
                );
                return;
            }
        }
        let pairs = Pairs::new(&create.properties.entries, create.name.span());
        match (create.kind, &create.query) {
            (ObjectKind::Table, _) => self.later(span, "CREATE TABLE", "reference tables come with the issue on tables and joins"),
            (ObjectKind::Sink, None) => {
                if let Some(sink) = self.resolver().sink(&pairs) {
                    self.catalog.add(&create.name, Object::Sink(Box::new(sink)));
                }
            }
            (ObjectKind::Stream, None) => self.create_source(create, pairs).await,
            (_, Some(query)) => self.create_as(create, query, pairs).await,
            (ObjectKind::View, None) => {}
        }
    }

    async fn create_as(&mut self, create: &Create, query: &Query, mut pairs: Pairs) {
        let name = create.name.text();
        let own = pairs.take_prefixed(&name, create.name.span());
        let Some(relation) = self.query(query, &mut pairs, &name).await else { return };
        let sink_pairs = if own.pairs.is_empty() && pairs.has("connector") { std::mem::take(&mut pairs) } else { own };
        self.leftovers(&pairs, "this query");
        if create.kind != ObjectKind::View && !sink_pairs.pairs.is_empty() {
            if let Some(sink) = self.resolver().sink(&sink_pairs) {
                self.write(&relation, &name, sink, create.name.span());
            }
        }
        self.catalog.add(&create.name, Object::Relation { relation, writable: None });
    }

    async fn insert(&mut self, into: &ObjectName, query: &Query, mut pairs: Pairs) {
        let own = pairs.take_prefixed(&into.text(), into.span());
        let relation = self.query(query, &mut pairs, &into.text()).await;
        self.leftovers(&pairs, "this query");
        let sink = match self.catalog.get(into).cloned() {
            Some(Object::Sink(sink)) => Some(*sink),
            Some(Object::Relation { writable: Some(pairs), .. }) => self.resolver().sink(&pairs),
            Some(Object::Relation { writable: None, .. }) => {
                self.error(
                    Diagnostic::error(codes::SINK, into.span(), format!("'{}' has no connector to write to", into.text()))
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
        if let (Some(relation), Some(sink)) = (relation, sink) {
            self.write(&relation, &into.text(), sink, into.span());
        }
    }

    async fn select_statement(&mut self, select: &SelectStatement, span: Span) {
        let mut pairs = Pairs::new(&select.properties.entries, span);
        if let Some(into) = &select.into {
            return Box::pin(self.insert(into, &select.query, pairs)).await;
        }
        let relation = self.query(&select.query, &mut pairs, "select").await;
        self.leftovers(&pairs, "this query");
        let Some(relation) = relation else { return };
        self.terminal(&relation);
    }

    fn leftovers(&mut self, pairs: &Pairs, owner: &str) {
        for (key, _, key_span, _) in &pairs.pairs {
            self.diagnostics.push(
                Diagnostic::error(codes::PROPERTY, *key_span, format!("{owner} has no property '{key}'"))
                    .help("a property of a source or sink is prefixed with its name; `velo properties` lists them all"),
            );
        }
    }

    pub(crate) fn unknown_relation(&self, name: &ObjectName) -> Diagnostic {
        let diagnostic =
            Diagnostic::error(codes::UNKNOWN_RELATION, name.span(), format!("there is no stream, table or view '{}'", name.text()));
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
        self.plan.nodes.push(Node { kind, inputs, schema, bounded, owner: owner.to_owned() });
        NodeId(self.plan.nodes.len() - 1)
    }

    /// The visible columns of a relation as they are written: under their own names.
    fn written_schema(relation: &Relation) -> SchemaRef {
        let fields: Vec<Field> = visible(&relation.scope)
            .map(|column| column.field.as_ref().clone().with_name(&column.name))
            .collect();
        Arc::new(Schema::new(fields))
    }

    fn terminal(&mut self, relation: &Relation) {
        let written = Self::written_schema(relation);
        let sink = SinkNode {
            name: "terminal".to_owned(),
            binding: None,
            schema: written,
            key: vec![],
            mode: ChangelogMode::Full,
            guarantee: Guarantee::AtLeastOnce,
            bounded: self.plan.nodes[relation.node.0].bounded,
            flush: velo_core::duration::Span(10_000),
        };
        self.sink_node(relation, sink);
    }

    /// Writes a relation to a sink.
    fn write(&mut self, relation: &Relation, name: &str, sink: BoundSink, span: Span) {
        let schema = Self::written_schema(relation);
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, field) in schema.fields().iter().enumerate() {
            if seen.insert(field.name(), at).is_some() {
                self.error(
                    Diagnostic::error(codes::SINK, span, format!("two columns of the output are called '{}'", field.name()))
                        .help("give one of them another name with AS"),
                );
                return;
            }
        }
        let bounded = self.plan.nodes[relation.node.0].bounded;
        let guarantee = match sink.common.delivery {
            Some(Delivery::ExactlyOnce) => Guarantee::ExactlyOnce,
            Some(Delivery::AtLeastOnce) => Guarantee::AtLeastOnce,
            None if bounded => Guarantee::ExactlyOnce,
            None => Guarantee::AtLeastOnce,
        };
        if guarantee == Guarantee::ExactlyOnce && !bounded {
            self.error(
                Diagnostic::error(codes::NOT_SUPPORTED, span, "exactly-once delivery of an unbounded input needs checkpoints, which cannot run yet")
                    .help("set 'delivery.guarantee' = 'at_least_once', or read a bounded input"),
            );
            return;
        }
        let node = SinkNode {
            name: name.to_owned(),
            binding: Some(sink.binding),
            schema,
            key: vec![],
            mode: ChangelogMode::Append,
            guarantee,
            bounded,
            flush: velo_core::duration::Span(10_000),
        };
        self.sink_node(relation, node);
    }

    fn sink_node(&mut self, relation: &Relation, sink: SinkNode) {
        let owner = sink.name.clone();
        let schema = self.plan.nodes[relation.node.0].schema.clone();
        self.plan.sinks.push(sink);
        let id = SinkId(self.plan.sinks.len() - 1);
        self.node(NodeKind::Sink(id), vec![relation.node], schema::visible(&schema), &owner);
    }
}

/// The columns that `*` gives.
pub(crate) fn visible(scope: &Scope) -> impl Iterator<Item = &crate::bind::ScopeColumn> {
    scope.columns.iter().filter(|column| !column.hidden)
}
