//! A script as one plan: statement by statement, all mistakes at once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow_schema::SchemaRef;
use velo_core::connector::Registry;
use velo_core::properties::{Properties, interpolate, secrets};
use velo_eventtime::{LateProperties, LateStrategy};
use velo_sql::ast::{Create, EmitMode, Ident, ObjectName, Statement, StatementKind};
use velo_sql::{Diagnostic, Span, parse_script};

use crate::bind::{Correlation, Scope, Timers, Uncut, forgotten_at_once};
use crate::catalog::{
    Catalog, HistoryProperties, JobProperties, Object, Pairs, QueryProperties, RecoveryProperties, Relation, Resolver,
    all_specs, check_setting,
};
use crate::codes;
use crate::functions::Functions;
use crate::job_wide::{says_where_checkpoints_lie, wrong_recovery};
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

impl PlanContext {
    /// Plans with these connectors, and paths relative to this folder: optimised, for what is written and shown, where no `${NAME}` has
    /// a value.
    pub fn new(registry: Registry, folder: impl Into<PathBuf>) -> Self {
        Self {
            registry,
            functions: Functions::new(),
            lookup: Box::new(|_| None),
            folder: folder.into(),
            optimise: true,
            roots: Roots::Sinks,
        }
    }
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
    /// What it says about checkpoints and restarts.
    pub recovery: RecoveryProperties,
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
        has_checkpoints: says_where_checkpoints_lie(&parsed.statements),
        job_wide: Vec::new(),
    };
    for name in unread_names(script, &parsed.statements) {
        // A statement that cannot be read declares something all the same.
        planner.catalog.add(&ObjectName { parts: vec![Ident::plain(name)] }, Object::Broken);
    }
    planner.statements().await;
    let (job, recovery) = (planner.job_properties(), planner.recovery_properties());
    planner.settle_dead_letters();
    planner.settle_commit_point();
    planner.settle_uncut();
    planner.order_tables();
    planner.optimise();
    let Planner { plan, catalog, mut diagnostics, name, shown, analyzed, .. } = planner;
    diagnostics.sort_by_key(|diagnostic| diagnostic.primary.span.start);
    // A setting or a declaration that several statements read is wrong once.
    diagnostics.dedup_by(|one, other| one == other && one.primary.span.same_place(other.primary.span));
    PlannedScript { plan, catalog, job, recovery, name, shown, analyzed, diagnostics }
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
    pub(crate) lookup: ScopedLookup<'a>,
    name: Option<String>,
    pub(crate) dead_letter_sinks: Vec<(String, SinkId)>,
    /// Row numbers that run only where a condition keeps the first of them.
    pub(crate) uncut: Vec<Uncut>,
    pub(crate) statements: &'a [Statement],
    pub(crate) shown: Vec<Shown>,
    pub(crate) analyzed: Vec<Analyzed>,
    /// The statement that is being planned, for what is found out about it when all are.
    pub(crate) place: Span,
    /// The statements of the sinks.
    pub(crate) sink_places: BTreeMap<SinkId, Span>,
    /// Whether the job has a `checkpoint.dir`, wherever the script says so.
    pub(crate) has_checkpoints: bool,
    /// What statements say in their WITH that belongs to the job.
    pub(crate) job_wide: Vec<(String, String, Span, Span)>,
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
    /// Where it says what becomes of rows on which an expression fails.
    pub(crate) compute_place: Option<Span>,
    /// The sink of those rows, once something that could fail was planned.
    pub(crate) compute_letters: Option<Option<SinkId>>,
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
            diagnostic = match velo_core::suggest::nearest(key, names) {
                Some(near) => diagnostic.help(format!("did you mean '{near}'?")),
                None => diagnostic.help("`velo properties` lists them; properties of one connector belong into WITH"),
            };
            return self.error(diagnostic);
        }
        if HistoryProperties::SPECS.iter().any(|spec| spec.names(key)) {
            let message = format!("'{key}' is no setting: a history is of one stream");
            return self.error(
                Diagnostic::error(codes::PROPERTY, key_span, message)
                    .help("write it into the WITH of its CREATE STREAM"),
            );
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
        if let Some(error) = wrong_recovery(key, &known) {
            return self.error(error.at(value_span));
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

    /// Takes what a statement says about itself out of its properties.
    pub(crate) fn query_properties(&mut self, pairs: &mut Pairs) {
        self.take_job_wide(pairs);
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
        self.query.compute_place = own.place("on.compute.error");
        self.query.timers = Timers::read(&own);
        let errors = options.take_errors();
        self.resolver().report(errors, &own);
        self.query.time = pairs.take_where(|key| key.starts_with("event.time.") || key.starts_with("watermark."));
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
        let on_compute_error = self.on_compute_error(&kind);
        self.plan.nodes.push(Node {
            kind,
            inputs,
            schema,
            bounded,
            changes,
            owner: owner.to_owned(),
            dead_letters: None,
            on_compute_error,
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
