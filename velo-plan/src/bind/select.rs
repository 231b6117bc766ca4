//! One SELECT: WHERE, the select list, and its projection.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema};
use datafusion_expr::Expr;
use velo_core::suggest::nearest;
use velo_core::{schema, types};
use velo_sql::ast::{Expr as Ast, ExprKind, Ident, OrderByItem, Select, SelectItem};
use velo_sql::{Diagnostic, Span};

use super::expr::{ExprBinder, Typed};
use super::join::Wheres;
use super::query::column_of;
use super::row_window::RowWindows;
use super::scope::{Scope, ScopeColumn, unique};
use super::subquery::Subqueries;
use crate::catalog::{OfWindow, Pairs, Ranked, Relation, SideTime};
use crate::codes;
use crate::functions::json::gives_json;
use crate::plan::{AggregateCall, NodeKind, Output};
use crate::planner::{Planner, visible};

/// The window's start and end as columns of an aggregate's output.
pub(crate) const WINDOW_START: &str = "$window_start";
/// See [`WINDOW_START`].
pub(crate) const WINDOW_END: &str = "$window_end";
/// The event time of what comes of a window: its end less one microsecond.
pub(crate) const WINDOW_TIME: &str = "$window_time";

/// A bound select item: what it computes and its name.
pub(super) struct Item {
    pub(super) typed: Typed,
    pub(super) name: String,
    /// Whether the name is an alias.
    pub(super) aliased: bool,
    /// Marked PRIMARY KEY.
    pub(super) key: bool,
}

impl Planner<'_> {
    pub(super) fn binder<'b>(
        &'b mut self,
        scope: &'b Scope,
        aggregates: Result<&'b mut Vec<AggregateCall>, &'static str>,
    ) -> ExprBinder<'b> {
        let place = aggregates.as_ref().err().copied().unwrap_or("this clause");
        ExprBinder {
            scope,
            functions: &self.functions,
            script: self.script,
            diagnostics: &mut self.diagnostics,
            aggregates,
            row_windows: Err(place),
            matching: None,
            subqueries: Err(place),
            outer: &self.query.outer,
            correlates: false,
        }
    }

    /// Binds one SELECT; `order` is the ORDER BY behind it, where DISTINCT ON goes by it.
    pub(super) async fn select(
        &mut self,
        select: &Select,
        order: &[OrderByItem],
        pairs: &mut Pairs,
        owner: &str,
    ) -> Option<Relation> {
        let mut wheres = Wheres::of(select.selection.as_ref());
        let input = self.relations(select, &mut wheres, pairs, owner).await?;
        let mut correlation = self.query.correlation.take_if(|correlation| correlation.is_of(select));
        let rest = wheres.rest();
        let input = self.where_holds(input, rest.as_deref(), correlation.as_mut(), pairs, owner).await?;
        let first = match &correlation {
            Some(correlation) => self.tied_clauses(select, correlation)?,
            None => None,
        };
        let select = first.as_ref().unwrap_or(select);
        let subqueries = self.selected_subqueries(select, &input, pairs, owner).await?;
        let hidden = super::distinct_on::hidden(select, order);
        let relation = self.grouped(select, &hidden, input, correlation.as_mut(), subqueries, owner)?;
        let relation = match &select.distinct {
            Some(distinct) if !distinct.on.is_empty() => self.distinct_on(relation, distinct, order, owner)?,
            Some(distinct) => self.distinct(relation, distinct.span, owner)?,
            None => relation,
        };
        if correlation.is_some() {
            self.query.correlated = correlation;
        }
        Some(relation)
    }

    pub(super) fn filter(
        &mut self,
        input: Relation,
        condition: Option<&Ast>,
        clause: &'static str,
        owner: &str,
    ) -> Option<Relation> {
        let Some(condition) = condition else { return Some(input) };
        let bound = self.binder(&input.scope, Err(clause)).condition(condition, clause)?;
        if input.window.is_some() && bound.expr.column_refs().iter().any(|column| column.name().starts_with("$window_"))
        {
            self.not_yet(
                condition.span,
                "a condition on the window beside its rows",
                "with GROUP BY write it into HAVING; without, read the query in FROM, and write WHERE around it",
            );
            return None;
        }
        let (input, rest) = self.cut(input, bound.expr, condition.span)?;
        let Some(rest) = rest else { return Some(input) };
        let schema = self.plan.nodes[input.node.0].schema.clone();
        let node = self.node(NodeKind::Filter(rest), vec![input.node], schema, owner);
        Some(Relation { node, ..input })
    }

    /// The select list with `*` written out; all mistakes in it are found.
    pub(super) fn items(
        &mut self,
        select: &Select,
        scope: &Scope,
        aggregates: &mut Vec<AggregateCall>,
        row_windows: &mut RowWindows,
        mut subqueries: Option<&mut Subqueries>,
    ) -> Option<Vec<Item>> {
        let mut items: Vec<Item> = Vec::new();
        let mut failed = false;
        for item in &select.items {
            match item {
                SelectItem::Expr { expr, alias, primary_key } => {
                    // An alias can be used by the items behind it, where no column has its name.
                    let known = with_aliases(scope, &items);
                    let mut binder = self.binder(&known, Ok(&mut *aggregates));
                    binder.row_windows = Ok(&mut *row_windows);
                    if let Some(subqueries) = &mut subqueries {
                        binder.subqueries = Ok(&mut **subqueries);
                    }
                    let bound = binder.bind(expr);
                    if let Some(alias) = alias.as_ref().filter(|alias| alias.value.starts_with('$')) {
                        let message = format!("the name '{}' begins with $", alias.value);
                        self.error(
                            Diagnostic::error(codes::DUPLICATE_NAME, alias.span, message)
                                .help("choose another one: such names are Velo's own"),
                        );
                        failed = true;
                        continue;
                    }
                    match bound {
                        Some(typed) => {
                            let name = name_of(expr, alias.as_ref(), &known, self.script);
                            items.push(Item { typed, name, aliased: alias.is_some(), key: primary_key.is_some() });
                        }
                        None => failed = true,
                    }
                }
                SelectItem::Wildcard { except, span } => failed |= !self.star(scope, None, except, *span, &mut items),
                SelectItem::QualifiedWildcard { name, except, span } => {
                    failed |= !self.star(scope, name.last(), except, *span, &mut items);
                }
            }
        }
        (!failed).then_some(items)
    }

    fn star(
        &mut self,
        scope: &Scope,
        relation: Option<&Ident>,
        except: &[Ident],
        span: Span,
        items: &mut Vec<Item>,
    ) -> bool {
        let of_relation: Vec<&ScopeColumn> = scope
            .columns
            .iter()
            .filter(|column| !column.hidden)
            .filter(|column| match (relation, &column.relation) {
                (None, _) => !column.qualified,
                (Some(wanted), Some(have)) => wanted.matches(have),
                (Some(_), None) => false,
            })
            .collect();
        if of_relation.is_empty() && relation.is_none() {
            self.error(
                Diagnostic::error(codes::UNKNOWN_COLUMN, span, "there are no columns that * could stand for")
                    .help("write FROM and what is read"),
            );
            return false;
        }
        if of_relation.is_empty() {
            let name = relation.map_or("*", |relation| relation.value.as_str());
            let mut known: Vec<&str> = visible(scope).filter_map(|column| column.relation.as_deref()).collect();
            known.dedup();
            self.error(
                Diagnostic::error(codes::UNKNOWN_RELATION, span, format!("nothing in FROM is called '{name}'"))
                    .help(format!("what can stand before .* is {}", known.join(", "))),
            );
            return false;
        }
        for left_out in except {
            if !of_relation.iter().any(|column| left_out.matches(&column.name)) {
                let message = format!("there is no column '{}' to leave out", left_out.value);
                let names: Vec<&str> = of_relation.iter().map(|column| column.name.as_str()).collect();
                let help = match nearest(&left_out.value, names.iter().copied()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("the columns are {}", names.join(", ")),
                };
                self.error(Diagnostic::error(codes::UNKNOWN_COLUMN, left_out.span, message).help(help));
                return false;
            }
        }
        if of_relation.iter().all(|column| except.iter().any(|left_out| left_out.matches(&column.name))) {
            self.error(
                Diagnostic::error(codes::UNKNOWN_COLUMN, span, "EXCEPT leaves no column")
                    .help("keep one of them, or select something else"),
            );
            return false;
        }
        for column in of_relation {
            if !except.iter().any(|left_out| left_out.matches(&column.name)) {
                items.push(Item {
                    typed: column_of(column, span),
                    name: column.name.clone(),
                    aliased: false,
                    key: false,
                });
            }
        }
        true
    }

    /// See [`marked`]; the expression is over a relation.
    pub(super) fn marked(&self, field: Field, expr: &Expr, input: &Relation) -> Field {
        marked(field, expr, &self.plan.nodes[input.node.0].schema)
    }

    /// The select list as a projection.
    pub(super) fn project(&mut self, input: &Relation, items: Vec<Item>, owner: &str) -> Option<Relation> {
        let timed = input.has_event_time();
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut outputs = Vec::with_capacity(items.len());
        let mut columns = Vec::with_capacity(items.len() + 1);
        let mut event_time_columns = Vec::new();
        let mut window_columns = Vec::new();
        let mut key = Vec::new();
        let mut side_times: Vec<SideTime> = Vec::new();
        let mut of_window = input.of_window.as_ref().map(|of| OfWindow { start: None, end: None, ..of.clone() });
        for item in items {
            let is_time = matches!(&item.typed.expr, Expr::Column(column)
                if column.name() == schema::EVENT_TIME || input.event_time_columns.iter().any(|name| name == column.name()));
            if item.aliased && item.name.eq_ignore_ascii_case("_event_time") {
                if is_time {
                    continue;
                }
                self.not_yet(
                    item.typed.span,
                    "another event time for the output",
                    "`AS _event_time` names the event time itself; give another time a name of its own",
                );
                return None;
            }
            // Output names may repeat on the terminal; inside the plan they are unique.
            let unique = unique(&item.name, &mut names);
            let field = Field::new(&unique, item.typed.data_type.clone(), item.typed.nullable);
            let field: FieldRef = Arc::new(self.marked(field, &item.typed.expr, input));
            if let Expr::Column(column) = &item.typed.expr
                && input.window_columns.iter().any(|name| name == column.name())
            {
                window_columns.push(unique.clone());
            }
            if let Expr::Column(column) = &item.typed.expr {
                let is = |bound: &Option<String>| bound.as_deref() == Some(column.name());
                if let (Some(now), Some(before)) = (&mut of_window, &input.of_window) {
                    if is(&before.start) {
                        now.start.get_or_insert_with(|| unique.clone());
                    }
                    if is(&before.end) {
                        now.end.get_or_insert_with(|| unique.clone());
                    }
                }
                if let Some(side) = side_time(input, column.name()).filter(|_| !is_time)
                    && item.typed.data_type == types::TIMESTAMP
                {
                    side_times.push(SideTime {
                        columns: vec![unique.clone()],
                        time: unique.clone(),
                        missing: side.missing.clone(),
                    });
                }
            }
            if is_time {
                event_time_columns.push(unique);
            }
            if item.key {
                key.push(item.name.clone());
            }
            columns.push(ScopeColumn {
                relation: Some(owner.to_owned()),
                name: item.name,
                field: Arc::clone(&field),
                hidden: false,
                qualified: false,
            });
            outputs.push(Output { expr: item.typed.expr, field });
        }
        let mut output =
            Arc::new(Schema::new(outputs.iter().map(|output| Arc::clone(&output.field)).collect::<Vec<_>>()));
        if timed {
            columns.push(hidden_event_time());
            output = schema::with_event_time(&output);
        }
        let unread = |ranked: &&Ranked| {
            !outputs.iter().any(|output| output.expr.column_refs().iter().any(|read| read.name() == ranked.column))
        };
        let known = input.ranked.as_ref().filter(unread).map_or(&input.identity, |ranked| &ranked.identity);
        let identity = identity(known, &outputs);
        let node = self.node(NodeKind::Project(outputs), vec![input.node], output, owner);
        Some(Relation {
            identity,
            event_time_columns,
            window_columns,
            late: input.late.clone(),
            dead_letter_sink: input.dead_letter_sink.clone(),
            key,
            side_times,
            of_window: of_window.filter(|of| of.start.is_some() || of.end.is_some()),
            timeless: input.timeless,
            ..Relation::new(node, Scope::of(columns))
        })
    }
}

/// A column that only passes stays what it is, also where its type alone does not say so: JSON is text with a mark.
pub(super) fn marked(field: Field, expr: &Expr, input: &Schema) -> Field {
    if gives_json(expr) {
        return types::json_field(field.name(), field.is_nullable());
    }
    let Expr::Column(column) = expr else { return field };
    match input.field_with_name(column.name()) {
        Ok(passed) => field.with_metadata(passed.metadata().clone()),
        Err(_) => field,
    }
}

/// The side of an earlier join whose time a column is.
fn side_time<'a>(input: &'a Relation, column: &str) -> Option<&'a SideTime> {
    input.side_times.iter().find(|side| side.time == column || side.columns.iter().any(|name| name == column))
}

/// What rows are known by behind a projection: all of it has to come through, of a window its start or its end.
pub(super) fn identity(input: &[String], outputs: &[Output]) -> Vec<String> {
    let mut found = Vec::with_capacity(input.len());
    let (mut bounds, mut kept) = (0, 0);
    for column in input {
        let output = outputs.iter().find(|output| matches!(&output.expr, Expr::Column(same) if same.name() == column));
        let bound = [WINDOW_START, WINDOW_END].contains(&column.as_str());
        bounds += usize::from(bound);
        match output {
            Some(output) => {
                kept += usize::from(bound);
                found.push(output.field.name().clone());
            }
            None if bound => {}
            None => return Vec::new(),
        }
    }
    if bounds > 0 && kept == 0 { Vec::new() } else { found }
}

/// The window's start and end as system columns.
pub(super) fn window_columns() -> impl Iterator<Item = ScopeColumn> {
    [("_window_start", WINDOW_START), ("_window_end", WINDOW_END)].into_iter().map(|(name, column)| ScopeColumn {
        relation: None,
        name: name.to_owned(),
        field: Arc::new(Field::new(column, types::TIMESTAMP, false)),
        hidden: true,
        qualified: false,
    })
}

/// The event time as a system column.
pub(crate) fn hidden_event_time() -> ScopeColumn {
    ScopeColumn {
        relation: None,
        name: "_event_time".to_owned(),
        field: Arc::new(schema::event_time_field()),
        hidden: true,
        qualified: false,
    }
}

/// The scope with the aliases of items that are columns, where no column has the name.
pub(super) fn with_aliases(scope: &Scope, items: &[Item]) -> Scope {
    let mut with = scope.clone();
    for item in items {
        let taken = with.columns.iter().any(|column| column.name.eq_ignore_ascii_case(&item.name));
        if !taken {
            with.aliases.push((item.name.clone(), item.typed.clone()));
        }
    }
    with
}

/// An unnamed expression is named by its text; a column by its own name, in the spelling of its declaration.
fn name_of(expr: &Ast, alias: Option<&Ident>, scope: &Scope, script: &str) -> String {
    match (alias, &expr.without_parentheses().kind) {
        (Some(alias), _) => alias.value.clone(),
        (None, ExprKind::Path(name)) => match scope.resolve(name) {
            Ok(resolved) if resolved.fields.is_empty() => resolved.column.name.clone(),
            _ => name.last().map(|part| part.value.clone()).unwrap_or_default(),
        },
        (None, _) => expr.span.text(script).split_whitespace().collect::<Vec<_>>().join(" "),
    }
}
