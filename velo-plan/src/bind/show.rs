//! Statements that only tell: SHOW, DESCRIBE, EXPLAIN; and DROP, which makes a name free again.

use velo_core::types;
use velo_sql::ast::{
    DropKind, DropStatement, Explain, ExplainFormat, ObjectKind, ObjectName, Show, ShowList, Statement, StatementKind,
};
use velo_sql::{Diagnostic, Span};

use crate::catalog::{Object, all_specs};
use crate::codes;
use crate::plan::{SinkId, TableFeed};
use crate::planner::{Analyzed, NO_JOBS, Planner, Shown, visible};

impl Planner<'_> {
    /// EXPLAIN: the statement is planned and taken back; with ANALYZE it stays, runs, and its counters are told.
    pub(crate) async fn explain(&mut self, explain: &Explain, span: Span, script: &str) {
        let format = explain.format.unwrap_or(ExplainFormat::Text);
        if explain.analyze && explain.format.is_some() {
            let words = Span::new(span.start, explain.statement.span.start);
            let place = Span::new(span.start, span.start + words.text(script).trim_end().len() as u32);
            return self.not_yet(
                place,
                "FORMAT of EXPLAIN ANALYZE",
                "leave one of the two out: what was counted is text",
            );
        }
        let explained = match &explain.statement.kind {
            StatementKind::Select(_) | StatementKind::Insert(_) => true,
            StatementKind::Create(create) => create.query.is_some(),
            _ => false,
        };
        if !explained {
            let first = explain.statement.span;
            return self.not_yet(
                first,
                "EXPLAIN of a statement without a query",
                "it explains SELECT, INSERT and CREATE … AS; DESCRIBE tells the columns of a stream",
            );
        }
        if explain.analyze {
            let sinks = self.plan.sinks.len();
            Box::pin(self.statement(&explain.statement)).await;
            for sink in sinks..self.plan.sinks.len() {
                self.analyzed.push(Analyzed { sink: SinkId(sink) });
            }
            return;
        }
        let (before, names, letters) = (self.plan.clone(), self.catalog.clone(), self.dead_letter_sinks.clone());
        let (first, sinks) = (self.plan.nodes.len(), self.plan.sinks.len());
        Box::pin(self.statement(&explain.statement)).await;
        if let StatementKind::Create(create) = &explain.statement.kind
            && self.plan.sinks.len() == sinks
        {
            // What only a later statement would read is shown as a SELECT of it reads it.
            let read = match self.catalog.get(&create.name).cloned() {
                Some(Object::Relation { relation, .. }) => Some(relation),
                Some(Object::Table(table)) => Some(self.table_scan(&table)),
                _ => None,
            };
            if let Some(relation) = read {
                self.terminal(&relation);
            }
        }
        self.settle_dead_letters();
        self.forget_uncut(first);
        self.optimise();
        let text = match format {
            ExplainFormat::Text => self.plan.text_from(SinkId(sinks)),
            ExplainFormat::Dot => self.plan.dot(),
            ExplainFormat::Json => self.plan.json().to_string(),
        };
        let title = explain.statement.span.text(script).lines().next().unwrap_or_default().to_owned();
        self.plan = before;
        self.catalog = names;
        self.dead_letter_sinks = letters;
        self.shown.push(Shown {
            title: format!("EXPLAIN {title}"),
            header: vec![],
            rows: text.lines().map(|line| vec![line.to_owned()]).collect(),
        });
    }

    /// DESCRIBE: the columns of a stream, table or view.
    pub(crate) fn describe(&mut self, name: &ObjectName) {
        let rows = match self.catalog.get(name) {
            Some(Object::Table(table)) => {
                let node = &self.plan.tables[table.id.0];
                let key: Vec<&str> = node.key.iter().map(|at| node.schema.field(*at).name().as_str()).collect();
                visible(&table.scope)
                    .map(|column| {
                        let mut notes = Vec::new();
                        if key.contains(&column.field.name().as_str()) {
                            notes.push("key");
                        }
                        if table.event_time_columns.contains(column.field.name()) {
                            notes.push("event time");
                        }
                        let null = if column.field.is_nullable() { "" } else { "NOT NULL" };
                        let type_name = types::sql_name_of(&column.field);
                        vec![column.name.clone(), type_name, null.to_owned(), notes.join(", ")]
                    })
                    .collect()
            }
            Some(Object::Relation { relation, .. }) => {
                let times = &relation.event_time_columns;
                let source =
                    relation.source.map(|id| &self.plan.sources[id.0]).filter(|source| source.history.is_some());
                let reads = source.map(|source| vec!["reads".to_owned(), source.reads(), String::new(), String::new()]);
                visible(&relation.scope)
                    .map(|column| {
                        let note = if times.contains(column.field.name()) { "event time" } else { "" };
                        let null = if column.field.is_nullable() { "" } else { "NOT NULL" };
                        vec![column.name.clone(), types::sql_name_of(&column.field), null.to_owned(), note.to_owned()]
                    })
                    .chain(reads)
                    .collect()
            }
            Some(Object::Sink(sink)) => {
                vec![vec!["writes".to_owned(), sink.binding.describe(), String::new(), String::new()]]
            }
            Some(Object::Broken) => return,
            None => {
                let diagnostic = self.unknown_relation(name);
                return self.error(diagnostic);
            }
        };
        let header = ["column", "type", "null", "note"].map(str::to_owned).to_vec();
        self.shown.push(Shown { title: format!("DESCRIBE {}", name.text()), header, rows });
    }

    /// SHOW and LIST.
    pub(crate) fn show(&mut self, show: &Show, span: Span, statements: &[Statement]) {
        let Show::List { what, like } = show else { return self.show_one(show, span, statements) };
        let header = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (title, header, rows): (&str, Vec<String>, Vec<Vec<String>>) = match what {
            ShowList::Streams | ShowList::Views => {
                let rows = self.catalog.names().filter_map(|(name, object)| match object {
                    Object::Relation { writable, .. } if writable.is_some() == (*what == ShowList::Streams) => {
                        Some(vec![name.to_owned()])
                    }
                    _ => None,
                });
                let title = if *what == ShowList::Streams { "SHOW STREAMS" } else { "SHOW VIEWS" };
                (title, header(&["name"]), rows.collect())
            }
            ShowList::Sinks => {
                let rows = self.catalog.names().filter_map(|(name, object)| match object {
                    Object::Sink(sink) => Some(vec![name.to_owned(), sink.binding.describe()]),
                    Object::Relation { .. } | Object::Table(_) | Object::Broken => None,
                });
                ("SHOW SINKS", header(&["name", "writes"]), rows.collect())
            }
            ShowList::Functions => {
                let reference = self.functions.reference();
                let known = self.functions.names().map(|(name, at)| (name, reference[at].kind.name()));
                let own = self.functions.users().map(|(name, _)| (name, "of this script"));
                let mut rows: Vec<Vec<String>> =
                    known.chain(own).map(|(name, kind)| vec![name.to_owned(), kind.to_owned()]).collect();
                rows.sort();
                ("SHOW FUNCTIONS", header(&["name", "kind"]), rows)
            }
            ShowList::Properties => {
                let rows = all_specs().into_iter().flat_map(|(owner, specs)| {
                    specs.iter().map(move |spec| {
                        vec![spec.key.to_owned(), owner.to_owned(), (spec.kind)(), (spec.default)().unwrap_or_default()]
                    })
                });
                ("SHOW PROPERTIES", header(&["key", "of", "kind", "default"]), rows.collect())
            }
            ShowList::Tables => {
                let rows = self.catalog.names().filter_map(|(name, object)| match object {
                    Object::Table(table) => {
                        let node = &self.plan.tables[table.id.0];
                        let key: Vec<&str> = node.key.iter().map(|at| node.schema.field(*at).name().as_str()).collect();
                        let from = match &node.feed {
                            TableFeed::Connector(feed) => feed.source.binding.describe(),
                            TableFeed::Query(_) => "a query".to_owned(),
                        };
                        Some(vec![name.to_owned(), key.join(", "), from])
                    }
                    _ => None,
                });
                ("SHOW TABLES", header(&["name", "key", "from"]), rows.collect())
            }
            ShowList::Jobs => return self.not_yet(span, "SHOW JOBS", NO_JOBS),
            ShowList::Topics => {
                return self.not_yet(
                    span,
                    "SHOW TOPICS",
                    "it is not built yet: the tools of the broker list its topics",
                );
            }
        };
        let rows =
            rows.into_iter().filter(|row| like.as_ref().is_none_or(|pattern| matches_like(&row[0], pattern))).collect();
        self.shown.push(Shown { title: title.to_owned(), header, rows });
    }

    fn show_one(&mut self, show: &Show, span: Span, statements: &[Statement]) {
        let Show::Create { name, .. } = show else {
            let what = if matches!(show, Show::Status(_)) { "SHOW STATUS" } else { "SHOW METRICS" };
            return self.not_yet(
                span,
                what,
                "jobs by name are not built yet: EXPLAIN ANALYZE runs a query and counts what it does",
            );
        };
        let created = statements.iter().find(|statement| match &statement.kind {
            velo_sql::ast::StatementKind::Create(create) => create.name.text().eq_ignore_ascii_case(&name.text()),
            _ => false,
        });
        match created {
            Some(statement) => {
                let text = velo_sql::print_statement(statement);
                let rows = text.lines().map(|line| vec![line.to_owned()]).collect();
                self.shown.push(Shown { title: format!("SHOW CREATE {}", name.text()), header: vec![], rows });
            }
            None => {
                let diagnostic = self.unknown_relation(name);
                self.error(diagnostic);
            }
        }
    }

    /// DROP: the name is free again; what was planned with it stays.
    pub(crate) fn drop_object(&mut self, drop: &DropStatement, span: Span) {
        let DropKind::Object(kind) = drop.kind else {
            return match drop.kind {
                DropKind::Job => self.not_yet(span, "DROP JOB", NO_JOBS),
                _ => self.drop_function(drop),
            };
        };
        let is = match self.catalog.get(&drop.name) {
            None if drop.if_exists => return,
            None => {
                let message = format!("there is nothing called '{}' to drop", drop.name.text());
                let diagnostic = Diagnostic::error(codes::UNKNOWN_RELATION, drop.name.span(), message);
                let help = match self.catalog.nearest(&drop.name) {
                    Some(near) => format!("did you mean {near}?"),
                    None => "leave it out, or write IF EXISTS before the name".to_owned(),
                };
                return self.error(diagnostic.help(help));
            }
            Some(Object::Broken) => None,
            Some(Object::Sink(_)) => Some("SINK"),
            Some(Object::Table(_)) => Some("TABLE"),
            Some(Object::Relation { writable: Some(_), .. }) => Some("STREAM"),
            // CREATE STREAM … AS names a query as a view does.
            Some(Object::Relation { .. }) if kind == ObjectKind::Stream => Some("STREAM"),
            Some(Object::Relation { .. }) => Some("VIEW"),
        };
        let word = match kind {
            ObjectKind::Stream => "STREAM",
            ObjectKind::Table => "TABLE",
            ObjectKind::Sink => "SINK",
            ObjectKind::View => "VIEW",
        };
        if let Some(is) = is.filter(|is| *is != word) {
            let name = drop.name.text();
            let message = format!("'{name}' is a {is}, not a {word}");
            return self.error(
                Diagnostic::error(codes::UNKNOWN_RELATION, drop.name.span(), message)
                    .help(format!("write DROP {is} {name}")),
            );
        }
        self.catalog.remove(&drop.name);
    }
}

/// Whether a name matches a LIKE pattern, without regard to case.
fn matches_like(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<char>, Vec<char>) =
        (name.to_lowercase().chars().collect(), pattern.to_lowercase().chars().collect());
    // Which beginnings of the name the pattern so far matches.
    let mut reach = vec![false; name.len() + 1];
    reach[0] = true;
    for mark in pattern {
        let mut next = vec![false; name.len() + 1];
        match mark {
            '%' => {
                let mut any = false;
                for at in 0..=name.len() {
                    any |= reach[at];
                    next[at] = any;
                }
            }
            _ => {
                for at in 0..name.len() {
                    next[at + 1] = reach[at] && (mark == '_' || mark == name[at]);
                }
            }
        }
        reach = next;
    }
    reach[name.len()]
}

#[cfg(test)]
mod tests {
    use super::matches_like;

    #[test]
    fn like_patterns() {
        assert!(matches_like("trades_in", "trades%"));
        assert!(matches_like("Trades", "t_ades"));
        assert!(!matches_like("trades", "trade"));
        assert!(matches_like("", "%"));
    }
}
