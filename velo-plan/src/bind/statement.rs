//! Statements that say what runs: CREATE, INSERT, SELECT.

use velo_core::properties::Properties;
use velo_eventtime::OnError;
use velo_sql::ast::{Create, EmitMode, Ident, ObjectKind, ObjectName, Query, SelectStatement, TableSchema};
use velo_sql::{Diagnostic, Span};

use crate::catalog::{Object, Pairs, Relation, TableProperties, all_specs};
use crate::codes;
use crate::planner::{Planner, visible};

impl Planner<'_> {
    /// CREATE of anything but a function.
    pub(crate) async fn create(&mut self, create: &Create) {
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
        self.letters_taken();
        self.timers_taken();
    }

    /// INSERT INTO, and SELECT … INTO.
    pub(crate) async fn insert(&mut self, into: &ObjectName, query: &Query, mut pairs: Pairs) {
        let own = pairs.take_prefixed(&into.text(), into.span());
        self.query_properties(&mut pairs);
        let relation = self.query(query, &mut pairs, &into.text()).await;
        self.leftovers(&pairs);
        if let Some(relation) = relation {
            let relation = self.settled(relation, query, &into.text());
            self.late_taken();
            self.write_into(&relation, into, own);
            self.letters_taken();
            self.timers_taken();
        }
    }

    /// A SELECT whose rows go to the terminal, or INTO a sink.
    pub(crate) async fn select_statement(&mut self, select: &SelectStatement, span: Span) {
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
        self.letters_taken();
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
    }

    /// The same of what it says about rows that it gives up.
    fn letters_taken(&mut self) {
        let said = self.query.compute_place.filter(|_| self.query.properties.on_compute_error != OnError::Fail);
        if let Some(place) = said.filter(|_| self.query.compute_letters.is_none()) {
            self.error(
                Diagnostic::error(codes::PROPERTY, place, "this query computes nothing of its rows that could fail")
                    .help("leave it out, or say it where the expression stands; of records that cannot be decoded the stream's 'on.error' says it"),
            );
        }
        if let Some(place) = self.query.letters_place.filter(|_| !self.query.letters_used) {
            self.error(
                Diagnostic::error(codes::PROPERTY, place, "nothing of this query goes to the dead letters")
                    .help("'late.data.strategy' = 'dead_letter' sends late rows there, 'on.compute.error' = 'dead_letter' rows that cannot be computed; of bad records the stream's own WITH says it"),
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
            diagnostic = match velo_core::suggest::nearest(key, names) {
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

    /// What a statement gives: where every input ends and it does not ask for the changes, the rows that are there at the end.
    fn settled(&mut self, relation: Relation, query: &Query, owner: &str) -> Relation {
        let asked = query.emit.as_ref().is_some_and(|emit| emit.mode == EmitMode::Changes);
        if asked || !self.is_bounded(relation.node) { relation } else { self.folded(relation, owner) }
    }
}
