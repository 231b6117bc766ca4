//! FROM: streams by name, queries, windowing table functions.

use std::sync::Arc;

use arrow_schema::Field;
use velo_core::types;
use velo_sql::Diagnostic;
use velo_sql::ast::{ObjectName, Relation as FromItem, RelationKind, TimeWindowKind, WindowInput, WindowTableFunction};

use super::scope::{Scope, ScopeColumn};
use super::select::{WINDOW_END, WINDOW_START, WINDOW_TIME};
use crate::catalog::{Object, Pairs, Relation};
use crate::codes;
use crate::planner::Planner;

impl Planner<'_> {
    /// One item of FROM that stands alone or first.
    pub(crate) async fn from(&mut self, item: &FromItem, pairs: &mut Pairs, owner: &str) -> Option<Relation> {
        let mut relation = match &item.kind {
            RelationKind::Named { name, properties, as_of } => {
                if let Some(as_of) = as_of {
                    self.error(
                        Diagnostic::error(
                            codes::ARGUMENTS,
                            as_of.span,
                            "FOR SYSTEM_TIME AS OF belongs to a table on the right side of a join",
                        )
                        .help("write FROM stream s JOIN table FOR SYSTEM_TIME AS OF s.ts AS t ON …; leave it out to read the rows as they come"),
                    );
                    return None;
                }
                let mut own = pairs.take_prefixed(&name.text(), name.span());
                own.pairs.extend(Pairs::new(&properties.entries, name.span()).pairs);
                self.named(name, own).await?
            }
            // Nothing stands before it that LATERAL could let it see.
            RelationKind::Derived { query, .. } => Box::pin(self.query(query, pairs, owner)).await?,
            RelationKind::Nested(inner) => Box::pin(self.table(inner, pairs, owner)).await?,
            RelationKind::WindowFunction(function) => self.window_function(function, pairs, owner).await?,
            RelationKind::MatchRecognize(matching) => Box::pin(self.match_recognize(matching, pairs, owner)).await?,
            // Their columns have their names already.
            RelationKind::Unnest { .. } | RelationKind::Function { .. } => return self.alone(item, owner),
        };
        if let Some(alias) = &item.alias {
            // Only the names of the relations inside told these apart.
            relation.scope.columns.retain(|column| !column.qualified);
            for column in &mut relation.scope.columns {
                column.relation = Some(alias.name.value.clone());
            }
            self.name_columns(&mut relation, &alias.columns)?;
        }
        Some(relation)
    }

    /// A relation by its name, or one that is bound in place.
    async fn named(&mut self, name: &ObjectName, own: Pairs) -> Option<Relation> {
        if let [single] = name.parts.as_slice()
            && let Some((cte, relation)) = self.query.ctes.iter().rev().find(|(cte, _)| single.matches(&cte.value))
        {
            if let Some((_, _, place, _)) = own.pairs.first() {
                let message = format!("'{}' is a query of WITH, and bound here again", cte.value);
                let diagnostic = Diagnostic::error(codes::CONFLICT, *place, message).also(cte.span, "declared here");
                self.error(diagnostic.help("give the stream that is bound here another name"));
                return None;
            }
            let mut relation = relation.clone();
            for column in &mut relation.scope.columns {
                column.relation = Some(single.value.clone());
            }
            return Some(relation);
        }
        match self.catalog.get(name) {
            Some(Object::Relation { relation, .. }) if own.pairs.is_empty() => {
                let mut relation = relation.clone();
                let called = name.parts.last().map(|part| part.value.clone());
                for column in &mut relation.scope.columns {
                    column.relation.clone_from(&called);
                }
                Some(relation)
            }
            Some(Object::Table(table)) if own.pairs.is_empty() => {
                let table = table.clone();
                let mut relation = self.table_scan(&table);
                let called = name.parts.last().map(|part| part.value.clone());
                for column in &mut relation.scope.columns {
                    column.relation.clone_from(&called);
                }
                Some(relation)
            }
            Some(Object::Broken) => None,
            Some(Object::Relation { .. } | Object::Table(_)) => {
                let place = self.catalog.place(name).unwrap_or(name.span());
                self.error(
                    Diagnostic::error(
                        codes::CONFLICT,
                        own.pairs[0].2,
                        format!("'{}' is declared already, and bound here again", name.text()),
                    )
                    .also(place, "declared here")
                    .help("give the properties in one of the two places"),
                );
                None
            }
            Some(Object::Sink(_)) => {
                self.error(
                    Diagnostic::error(
                        codes::UNKNOWN_RELATION,
                        name.span(),
                        format!("'{}' is a sink and cannot be read", name.text()),
                    )
                    .help("declare it as a STREAM to read and write it"),
                );
                None
            }
            None if own.pairs.is_empty() => {
                let diagnostic = self.unknown_relation(name);
                self.error(diagnostic);
                None
            }
            None => self.bound_in_place(name, own).await,
        }
    }

    async fn bound_in_place(&mut self, name: &ObjectName, mut own: Pairs) -> Option<Relation> {
        own.pairs.extend(self.query.time.pairs.iter().cloned());
        self.query.time_used = true;
        let source = self.resolver().source(&own)?;
        let otherwise = "CREATE STREAM can declare the columns; here the data must be readable while planning";
        let declared = self.columns_of_data(&source, name, otherwise).await?;
        let columns = self.bound_columns(name, source, declared, &[], &own)?;
        let relation = self.source_relation(columns, name);
        self.catalog.add(name, Object::Relation { relation: relation.clone(), writable: None });
        Some(relation)
    }

    /// TUMBLE(TABLE t, DESCRIPTOR(ts), …): the relation with its window, which a GROUP BY takes.
    async fn window_function(
        &mut self,
        function: &WindowTableFunction,
        pairs: &mut Pairs,
        owner: &str,
    ) -> Option<Relation> {
        let input = match &function.input {
            WindowInput::Table(name) => {
                let own = pairs.take_prefixed(&name.text(), name.span());
                self.named(name, own).await?
            }
            WindowInput::Query(query) => Box::pin(self.query(query, pairs, owner)).await?,
        };
        if let Some(order) = function.order_by.first() {
            self.not_yet(order.span, "ORDER BY of a window's table", "leave it out: windows go by event time");
            return None;
        }
        if let Some(partition) = function.partition_by.first()
            && function.kind != TimeWindowKind::Session
        {
            self.not_yet(
                partition.span,
                "PARTITION BY of this window",
                "only sessions have one; GROUP BY the column instead",
            );
            return None;
        }
        let session_keys = self.binder(&input.scope, Err("PARTITION BY")).bind_all(&function.partition_by)?;
        let mut input = input;
        for column in &function.descriptor {
            let name = ObjectName { parts: vec![column.clone()] };
            input = self.with_time_argument(input, &name, owner)?;
            self.must_be_event_time(&name, &input)?;
        }
        let window = self.window(function.kind, &function.args, function.span, &input, true)?;
        let mut scope = Scope::of(input.scope.columns.clone());
        let columns = [("window_start", WINDOW_START), ("window_end", WINDOW_END), ("window_time", WINDOW_TIME)];
        for (name, column) in columns {
            scope.columns.push(ScopeColumn {
                relation: None,
                name: name.to_owned(),
                field: Arc::new(Field::new(column, types::TIMESTAMP, false)),
                hidden: false,
                qualified: false,
            });
        }
        Some(Relation { scope, window: Some(window), session_keys, ..input })
    }
}
