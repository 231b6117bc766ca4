//! A script as one plan: statement by statement, all mistakes at once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow_schema::SchemaRef;
use velo_core::connector::Registry;
use velo_core::properties::{Properties, interpolate, secrets};
use velo_eventtime::{LateProperties, LateStrategy};
use velo_sql::ast::{
    Create, EmitMode, Ident, ObjectKind, ObjectName, Query, SelectStatement, Statement, StatementKind, TableSchema,
};
use velo_sql::{Diagnostic, Span, parse_script};

use crate::bind::{Correlation, Scope, Timers, Uncut, forgotten_at_once};
use crate::catalog::{
    Catalog, JobProperties, Object, Pairs, QueryProperties, Relation, Resolver, TableProperties, all_specs,
    check_setting,
};
use crate::codes;
use crate::functions::Functions;
use crate::plan::{Changes, Node, NodeId, NodeKind, Plan, SinkId};

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
    /// What the plan is for.
    pub roots: Roots,
}

/// What a plan is for: nothing is in it that these do not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Roots {
    /// What is written and shown.
    #[default]
    Sinks,
    /// All tables of the script, also those that nothing reads, and no statement that only reads them.
    Tables,
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
        functions: context.functions.clone(),
        script,
        plan: Plan::default(),
        catalog: Catalog::default(),
        diagnostics: parsed.diagnostics.clone(),
        settings: Vec::new(),
        query: QueryContext::default(),
        lookup: Box::new(|name| (context.lookup)(name)),
        name: None,
        dead_letter_sinks: Vec::new(),
        uncut: Vec::new(),
        statements: &parsed.statements,
        shown: Vec::new(),
        analyzed: Vec::new(),
        place: Span::default(),
        sink_places: BTreeMap::new(),
    };
    for name in unread_names(script, &parsed.statements) {
        // A statement that cannot be read declares something all the same.
        planner.catalog.add(&ObjectName { parts: vec![Ident::plain(name)] }, Object::Broken);
    }
    planner.statements().await;
    let job = planner.job_properties();
    planner.settle_dead_letters();
    planner.settle_uncut();
    planner.order_tables();
    planner.optimise();
    let Planner { plan, catalog, mut diagnostics, name, shown, analyzed, .. } = planner;
    diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span.start);
    // A setting or a declaration that several statements read is wrong once.
    diagnostics.dedup_by(|one, other| one == other && one.primary.span.same_place(other.primary.span));
    PlannedScript { plan, catalog, job, name, shown, analyzed, diagnostics }
}

/// A [`Lookup`] that may borrow from the context.
type ScopedLookup<'a> = Box<dyn Fn(&str) -> Option<String> + Send + Sync + 'a>;

/// What to do without jobs that have names.
pub(crate) const NO_JOBS: &str =
    "jobs by name are not built yet: a script is one job, and runs as long as `velo run` does";

/// A script in the middle of planning.
pub(crate) struct Planner<'a> {
    pub(crate) context: &'a PlanContext,
    /// Those of the context, and those that the script creates.
    pub(crate) functions: Functions,
    pub(crate) script: &'a str,
    pub(crate) plan: Plan,
    pub(crate) catalog: Catalog,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) settings: Vec<(String, String, Span, Span)>,
    pub(crate) query: QueryContext,
    /// Gives the value of `${NAME}`: the environment, then the file of secrets.
    lookup: ScopedLookup<'a>,
    name: Option<String>,
    pub(crate) dead_letter_sinks: Vec<(String, SinkId)>,
    /// Row numbers that run only where a condition keeps the first of them.
    pub(crate) uncut: Vec<Uncut>,
    pub(crate) statements: &'a [Statement],
    pub(crate) shown: Vec<Shown>,
    pub(crate) analyzed: Vec<Analyzed>,
    /// The statement that is being planned, for what is found out about it when all are.
    place: Span,
    /// The statements of the sinks.
    pub(crate) sink_places: BTreeMap<SinkId, Span>,
}

/// What holds for the statement that is being planned.
#[derive(Debug, Default)]
pub(crate) struct QueryContext {
    /// What it says about itself.
    pub(crate) properties: QueryProperties,
    /// What it says about late rows; else its sources decide.
    pub(crate) late: Option<LateProperties>,
    /// Where it says that.
    pub(crate) late_place: Option<Span>,
    /// Whether a window took it.
    pub(crate) late_used: bool,
    /// Where it says where its dead letters go.
    pub(crate) letters_place: Option<Span>,
    /// Whether it has any.
    pub(crate) letters_used: bool,
    /// Time and watermark properties that it gives to the sources which it binds itself.
    pub(crate) time: Pairs,
    /// Whether a source took them.
    pub(crate) time_used: bool,
    /// The queries of WITH, innermost last.
    pub(crate) ctes: Vec<(Ident, Relation)>,
    /// The EMIT of the innermost query that has one.
    pub(crate) emit: Option<EmitMode>,
    /// What it says that goes by a clock.
    pub(crate) timers: Timers,
    /// What the queries around a sub-query can name, the innermost last.
    pub(crate) outer: Vec<Scope>,
    /// What ties the SELECT of the sub-query that is planned next to the outer query.
    pub(crate) correlation: Option<Correlation>,
    /// The same when its SELECT is planned.
    pub(crate) correlated: Option<Correlation>,
    /// How many sub-queries it has.
    pub(crate) subqueries: usize,
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
        self.place = match &statement.kind {
            StatementKind::Create(create) => create.name.span(),
            StatementKind::Insert(insert) => insert.into.span(),
            _ => span,
        };
        match &statement.kind {
            StatementKind::Create(create) => self.create(create).await,
            StatementKind::Insert(insert) => {
                if let (Some(first), Some(last)) = (insert.columns.first(), insert.columns.last()) {
                    return self.not_yet(
                        first.span.to(last.span),
                        "INSERT with a column list",
                        "leave it out, and select the columns in the order of the sink",
                    );
                }
                self.insert(&insert.into, &insert.query, Pairs::new(&insert.properties.entries, span)).await;
            }
            StatementKind::Select(select) => self.select_statement(select, span).await,
            StatementKind::Set { key, value } => self.set(&key.text, &value.text, key.span, value.span),
            StatementKind::CreateFunction(function) => self.create_function(function),
            StatementKind::StartJob(_) => self.not_yet(span, "START JOB", NO_JOBS),
            StatementKind::StopJob { .. } => self.not_yet(span, "STOP JOB", NO_JOBS),
            StatementKind::PauseJob(_) => self.not_yet(span, "PAUSE JOB", NO_JOBS),
            StatementKind::ResumeJob(_) => self.not_yet(span, "RESUME JOB", NO_JOBS),
            StatementKind::Explain(explain) => self.explain(explain, span, self.script).await,
            StatementKind::Describe(name) => self.describe(name),
            StatementKind::Show(show) => self.show(show, span, self.statements),
            StatementKind::Drop(drop) => self.drop_object(drop, span),
        }
    }

    /// SET: a default for the statements after it. The key must be one that the planner knows.
    pub(crate) fn set(&mut self, key: &str, value: &str, key_span: Span, value_span: Span) {
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
        let known = match interpolate(value, &*self.lookup) {
            Ok(known) => known,
            Err(message) => return self.error(Diagnostic::error(codes::PROPERTY, value_span, message)),
        };
        if key.eq_ignore_ascii_case("secrets.file") {
            return self.secrets(&known, value_span);
        }
        if let Some(error) = check_setting(key, &known) {
            return self.error(Diagnostic::error(codes::PROPERTY, key_span.to(value_span), error.message));
        }
        if ["parallelism", "decode.parallelism"].iter().any(|word| key.eq_ignore_ascii_case(word))
            && known.trim() == "0"
        {
            return self.error(no_tasks(value_span));
        }
        if key.eq_ignore_ascii_case("table.load.parallelism") && known.trim() == "0" {
            return self.error(
                Diagnostic::error(codes::PROPERTY, value_span, "no table at all could load")
                    .help("write at least 1, or leave it out: then there are four at a time"),
            );
        }
        if key.eq_ignore_ascii_case("state.ttl") && known.parse() == Ok(velo_core::duration::Span(0)) {
            return self.error(forgotten_at_once(value_span));
        }
        if key.eq_ignore_ascii_case("batch.rows") && known.trim() == "0" {
            return self.error(
                Diagnostic::error(codes::PROPERTY, value_span, "a batch has at least one row")
                    .help("leave it out: 8192 is a good size"),
            );
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
        self.query.late_place =
            own.pairs.iter().find(|(key, ..)| is_late(&key.to_lowercase())).map(|(_, _, key, value)| key.to(*value));
        if self.query.properties.parallelism == Some(0)
            && let Some(place) = own.place("parallelism")
        {
            self.error(no_tasks(place));
        }
        self.query.letters_place = own.place("dead.letter.sink");
        self.query.timers = Timers::read(&own);
        let errors = options.take_errors();
        self.resolver().report(errors, &own);
        self.query.time = pairs.take_where(|key| key.starts_with("event.time.") || key.starts_with("watermark."));
    }

    async fn create(&mut self, create: &Create) {
        let broken = matches!(self.catalog.get(&create.name), Some(Object::Broken));
        if let Some(first) = self.catalog.place(&create.name).filter(|_| !broken) {
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
        // Until the statement turns out right: a later use of the name is no mistake of its own. What it replaces can be read by
        // it.
        let replaced = self.catalog.place(&create.name).filter(|_| create.or_replace && !broken);
        if replaced.is_none() {
            self.catalog.add(&create.name, Object::Broken);
        }
        match (create.kind, &create.query) {
            (ObjectKind::Table, None) => self.create_table(create, pairs).await,
            (ObjectKind::Sink, None) => self.create_sink(create, &pairs),
            (ObjectKind::Stream, None) => self.create_source(create, pairs).await,
            (_, Some(query)) => self.create_as(create, query, pairs).await,
            (ObjectKind::View, None) => {}
        }
        if replaced.is_some() && self.catalog.place(&create.name) == replaced {
            self.catalog.add(&create.name, Object::Broken);
        }
    }

    async fn create_as(&mut self, create: &Create, query: &Query, mut pairs: Pairs) {
        let name = create.name.text();
        let mut own = pairs.take_prefixed(&name, create.name.span());
        let table = match create.kind {
            ObjectKind::Table => {
                let is_own = |key: &str| TableProperties::SPECS.iter().any(|spec| spec.names(key));
                let mut of_table = own.take_where(is_own);
                of_table.pairs.extend(pairs.take_where(is_own).pairs);
                let Some(properties) = self.query_table_properties(&of_table) else { return };
                Some((properties, of_table))
            }
            _ => None,
        };
        self.query_properties(&mut pairs);
        let Some(relation) = self.query(query, &mut pairs, &name).await else { return };
        let mut relation = self.settled(relation, query, &name);
        self.late_taken();
        if let Some(schema) = &create.schema
            && self.name_created(schema, &mut relation).is_none()
        {
            return;
        }
        let into = create.into.as_ref().map(|into| (into, pairs.take_prefixed(&into.text(), into.span())));
        let binds = pairs.has("connector") || pairs.has("type");
        let sink_pairs = if own.pairs.is_empty() && binds { std::mem::take(&mut pairs) } else { own };
        self.leftovers(&pairs);
        if create.kind == ObjectKind::View
            && let Some((key, _, place, _)) = sink_pairs.pairs.first()
        {
            self.error(
                Diagnostic::error(codes::PROPERTY, *place, format!("a view writes nothing, so it has no '{key}'"))
                    .help("CREATE STREAM … AS writes what it names; INSERT INTO a sink writes what a view gives"),
            );
            return;
        }
        if create.kind != ObjectKind::View
            && !sink_pairs.pairs.is_empty()
            && let Some(sink) = self.resolver().sink(&sink_pairs)
        {
            self.write(&relation, &name, sink, create.name.span());
        }
        if let Some((into, own)) = into {
            self.write_into(&relation, into, own);
        }
        match table {
            Some((properties, of_table)) => {
                self.create_query_table(create, &relation, &properties, &of_table);
            }
            None => self.catalog.add(&create.name, Object::Relation { relation, writable: None }),
        }
        self.timers_taken();
    }

    async fn insert(&mut self, into: &ObjectName, query: &Query, mut pairs: Pairs) {
        let own = pairs.take_prefixed(&into.text(), into.span());
        self.query_properties(&mut pairs);
        let relation = self.query(query, &mut pairs, &into.text()).await;
        self.leftovers(&pairs);
        if let Some(relation) = relation {
            let relation = self.settled(relation, query, &into.text());
            self.late_taken();
            self.write_into(&relation, into, own);
            self.timers_taken();
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
        let relation = self.settled(relation, &select.query, "select");
        self.late_taken();
        self.terminal(&relation);
        self.timers_taken();
    }

    /// The names and the key in the parentheses of CREATE … AS.
    fn name_created(&mut self, schema: &TableSchema, relation: &mut Relation) -> Option<()> {
        let typed = schema.columns.iter().find(|column| {
            column.data_type.is_some()
                || column.computed.is_some()
                || column.default.is_some()
                || column.metadata.is_some()
                || column.not_null
        });
        if let Some(column) = typed {
            self.not_yet(
                column.span,
                "more than a name for a column of CREATE … AS",
                "the query gives the types: write the name alone, and CAST in the query",
            );
            return None;
        }
        if let Some(watermark) = schema.watermarks.first() {
            self.not_yet(watermark.span, "WATERMARK in CREATE … AS", "the event time is that of what the query reads");
            return None;
        }
        let names: Vec<Ident> = schema.columns.iter().map(|column| column.name.clone()).collect();
        self.name_columns(relation, &names)?;
        if let Some(key) = &schema.primary_key {
            let names: Vec<String> = visible(&relation.scope).map(|column| column.name.clone()).collect();
            relation.key = self.key_columns(&key.columns, &names)?;
        }
        Some(())
    }

    /// The columns of a PRIMARY KEY in the spelling of `names`.
    pub(crate) fn key_columns(&mut self, key: &[Ident], names: &[String]) -> Option<Vec<String>> {
        let mut found = Vec::with_capacity(key.len());
        for column in key {
            let exact = names.iter().find(|name| **name == column.value);
            match exact.or_else(|| names.iter().find(|name| column.matches(name))) {
                Some(name) => found.push(name.clone()),
                None => {
                    let message = format!("the key names '{}', and there is no such column", column.value);
                    self.error(
                        Diagnostic::error(codes::UNKNOWN_COLUMN, column.span, message)
                            .help(format!("the columns are {}", names.join(", "))),
                    );
                    return None;
                }
            }
        }
        Some(found)
    }

    /// What a statement says about late rows is for its windows; without one it says nothing.
    fn late_taken(&mut self) {
        if let Some(place) = self.query.late_place.filter(|_| !self.query.late_used) {
            self.error(
                Diagnostic::error(codes::PROPERTY, place, "rows are late for a window, and this query has none")
                    .help("leave it out, or add WINDOW TUMBLING(1m) or another window"),
            );
        }
        if let Some(place) = self.query.letters_place.filter(|_| !self.query.letters_used) {
            self.error(
                Diagnostic::error(codes::PROPERTY, place, "nothing of this query goes to the dead letters")
                    .help("'late.data.strategy' = 'dead_letter' sends late rows there; of bad records the stream's own WITH says it"),
            );
        }
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

    /// Nothing of this name can be written to.
    pub(crate) fn unknown_sink(&self, name: &ObjectName) -> Diagnostic {
        let message = format!("there is no sink or stream '{}'", name.text());
        let diagnostic = Diagnostic::error(codes::UNKNOWN_RELATION, name.span(), message);
        match self.catalog.nearest(name) {
            Some(near) => diagnostic.help(format!("did you mean {near}?")),
            None => diagnostic.help("CREATE SINK … WITH (connector = …) declares one; it must stand before its use"),
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
            NodeKind::TableScan(scan) => self.plan.is_settled(scan.table),
            _ => inputs.iter().all(|input| self.plan.nodes[input.0].bounded),
        };
        let parallelism = self.query.properties.parallelism;
        let changes = Changes::within(&self.plan, &kind, &inputs);
        let kind = self.paced(kind, changes);
        let state_ttl = self.state_ttl(&kind, &inputs, bounded);
        let table_wait = self.table_wait(&kind);
        self.plan.nodes.push(Node {
            kind,
            inputs,
            schema,
            bounded,
            changes,
            owner: owner.to_owned(),
            dead_letters: None,
            parallelism,
            state_ttl,
            table_wait,
        });
        NodeId(self.plan.nodes.len() - 1)
    }

    /// The place of a sink is that of the statement which writes it.
    pub(crate) fn sink_is_here(&mut self, sink: SinkId) {
        self.sink_places.insert(sink, self.place);
    }

    /// Whether a node's rows can change after they came.
    pub(crate) fn changes(&self, node: NodeId) -> Changes {
        self.plan.nodes[node.0].changes
    }

    /// The rows that are there at the end, where those of a relation change.
    pub(crate) fn folded(&mut self, relation: Relation, owner: &str) -> Relation {
        if self.changes(relation.node).is_append() {
            return relation;
        }
        let schema = self.plan.nodes[relation.node.0].schema.clone();
        let node = self.node(NodeKind::Fold, vec![relation.node], schema, owner);
        Relation { node, ..relation }
    }

    /// The rows of a changing relation with an event time that are there when the watermark has passed them: they come once. Late
    /// rows meet `late`, with their sink.
    pub(crate) fn folded_by_time(
        &mut self,
        relation: Relation,
        (late, letters): (LateStrategy, Option<SinkId>),
        owner: &str,
    ) -> Relation {
        let schema = self.plan.nodes[relation.node.0].schema.clone();
        let node = self.node(NodeKind::FoldByTime(late), vec![relation.node], schema, owner);
        self.plan.nodes[node.0].dead_letters = letters;
        Relation { node, ..relation }
    }

    /// What a statement gives: where every input ends and it does not ask for the changes, the rows that are there at the end.
    fn settled(&mut self, relation: Relation, query: &Query, owner: &str) -> Relation {
        let asked = query.emit.as_ref().is_some_and(|emit| emit.mode == EmitMode::Changes);
        if asked || !self.is_bounded(relation.node) { relation } else { self.folded(relation, owner) }
    }

    /// Whether a node's rows end.
    pub(crate) fn is_bounded(&self, node: NodeId) -> bool {
        self.plan.nodes[node.0].bounded
    }
}

/// A number of tasks that is zero.
pub(crate) fn no_tasks(place: Span) -> Diagnostic {
    Diagnostic::error(codes::PROPERTY, place, "no task at all cannot do it")
        .help("write at least 1, or leave it out: then there is one for each core")
}

/// The names that CREATE statements declare which could not be read.
fn unread_names(script: &str, read: &[Statement]) -> Vec<String> {
    let in_statement = |at: usize| read.iter().any(|statement| statement.span.range().contains(&at));
    let mut words = Vec::new();
    let mut from = None;
    for (at, c) in script.char_indices().chain(std::iter::once((script.len(), ' '))) {
        let part = c.is_alphanumeric() || c == '_';
        match (part, from) {
            (true, None) => from = Some(at),
            (false, Some(start)) => {
                words.push((start, &script[start..at]));
                from = None;
            }
            _ => {}
        }
    }
    let is = |at: usize, word: &str| {
        words.get(at).is_some_and(|(_, found): &(usize, &str)| found.eq_ignore_ascii_case(word))
    };
    let mut names = Vec::new();
    for at in 0..words.len() {
        if !is(at, "CREATE") || in_statement(words[at].0) {
            continue;
        }
        let kind = if is(at + 1, "OR") && is(at + 2, "REPLACE") { at + 3 } else { at + 1 };
        if ["STREAM", "TABLE", "SINK", "VIEW"].iter().any(|word| is(kind, word)) {
            let name = if is(kind + 1, "IF") { kind + 4 } else { kind + 1 };
            names.extend(words.get(name).map(|(_, name)| (*name).to_owned()));
        }
    }
    names
}

/// The key in the declaration of a stream or sink.
pub(crate) fn primary_key(create: &Create) -> &[Ident] {
    let key = create.schema.as_ref().and_then(|schema| schema.primary_key.as_ref());
    key.map(|key| key.columns.as_slice()).unwrap_or_default()
}

/// The columns that `*` gives.
pub(crate) fn visible(scope: &Scope) -> impl Iterator<Item = &crate::bind::ScopeColumn> {
    scope.columns.iter().filter(|column| !column.hidden && !column.qualified)
}
