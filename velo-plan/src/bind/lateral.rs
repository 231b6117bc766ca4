//! What stands in FROM beside the relations before it and is computed from their rows: UNNEST, table functions, LATERAL.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema};
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::Expr;
use velo_core::{schema, types};
use velo_sql::ast::{
    CallArg, Expr as Ast, ExprKind, Join, JoinConstraint, JoinKind, Literal, ObjectName, Query, Relation as FromItem,
    RelationKind, Select, SetExpr, TableAlias, TableWithJoins,
};
use velo_sql::{Diagnostic, Span};

use super::expr::{Typed, article};
use super::join::{Wheres, Written, anonymous};
use super::row_window::RowWindows;
use super::scope::{Scope, ScopeColumn, unique};
use crate::catalog::{Pairs, Relation};
use crate::codes;
use crate::plan::{NodeKind, Output, Unnest, UnnestItem, UnnestOf};
use crate::planner::Planner;
use crate::rules::fold_constants::fold;

/// Columns that elements become, each with the name that a query can use.
struct Elements {
    items: Vec<UnnestItem>,
    ordinality: Option<FieldRef>,
    /// Names by column, the ordinality's last.
    names: Vec<String>,
}

impl Planner<'_> {
    /// The FROM of a SELECT, from left to right. Joins may take conditions of its WHERE.
    pub(super) async fn relations<'a>(
        &mut self,
        select: &'a Select,
        wheres: &mut Wheres<'a>,
        pairs: &mut Pairs,
        owner: &str,
    ) -> Option<Relation> {
        let mut left: Option<Relation> = None;
        for (at, table) in select.from.iter().enumerate() {
            // What a later join keeps of rows without a partner is not for WHERE to leave out before.
            let later = select.from[at + 1..].iter().flat_map(|table| &table.joins);
            let free = !later.into_iter().any(keeps_right);
            left = Some(match left {
                None => self.joined_table(table, free.then_some(&mut *wheres), pairs, owner).await?,
                Some(left) if is_lateral(&table.relation.kind) => {
                    let left = self.beside(left, &table.relation, false, table.relation.span, owner)?;
                    self.joins(left, &table.joins, free.then_some(&mut *wheres), pairs, owner).await?
                }
                Some(left) => {
                    let own = free && !table.joins.iter().any(keeps_right);
                    let written = Written::comma(&table.relation);
                    let left = self.join(left, written, own.then_some(&mut *wheres), pairs, owner).await?;
                    self.joins(left, &table.joins, free.then_some(&mut *wheres), pairs, owner).await?
                }
            });
        }
        Some(match left {
            Some(relation) => relation,
            None => self.one_row(owner),
        })
    }

    /// A relation and what is joined to it.
    pub(super) async fn table(&mut self, table: &TableWithJoins, pairs: &mut Pairs, owner: &str) -> Option<Relation> {
        self.joined_table(table, None, pairs, owner).await
    }

    async fn joined_table<'a>(
        &mut self,
        table: &'a TableWithJoins,
        wheres: Option<&mut Wheres<'a>>,
        pairs: &mut Pairs,
        owner: &str,
    ) -> Option<Relation> {
        let first = Box::pin(self.from(&table.relation, pairs, owner)).await?;
        let first = if table.joins.is_empty() { first } else { anonymous(&table.relation, first) };
        self.joins(first, &table.joins, wheres, pairs, owner).await
    }

    async fn joins<'a>(
        &mut self,
        mut left: Relation,
        joins: &'a [Join],
        mut wheres: Option<&mut Wheres<'a>>,
        pairs: &mut Pairs,
        owner: &str,
    ) -> Option<Relation> {
        for (at, join) in joins.iter().enumerate() {
            if is_lateral(&join.relation.kind) {
                left = self.lateral_join(left, join, owner)?;
                continue;
            }
            let free = !joins[at + 1..].iter().any(keeps_right);
            let wheres = wheres.as_deref_mut().filter(|_| free);
            left = Box::pin(self.join(left, Written::join(join), wheres, pairs, owner)).await?;
        }
        Some(left)
    }

    /// Joins with what is computed from the rows before it.
    fn lateral_joins(&mut self, mut left: Relation, joins: &[Join], owner: &str) -> Option<Relation> {
        for join in joins {
            left = self.lateral_join(left, join, owner)?;
        }
        Some(left)
    }

    fn lateral_join(&mut self, left: Relation, join: &Join, owner: &str) -> Option<Relation> {
        let by_time = join.within.as_ref().map(|within| within.span);
        if let Some(place) = by_time.or(join.match_condition.as_ref().map(|matching| matching.span)) {
            self.error(
                Diagnostic::error(
                    codes::ARGUMENTS,
                    place,
                    "what is computed from a row has no other time than the row",
                )
                .help("leave it out: it is for two streams"),
            );
            return None;
        }
        let outer = match join.kind {
            JoinKind::Cross | JoinKind::Inner => false,
            JoinKind::Left => true,
            _ => {
                self.error(
                    Diagnostic::error(
                        codes::ARGUMENTS,
                        join.span,
                        "what is computed from the rows before it has no rows of its own to keep",
                    )
                    .help("write CROSS JOIN, or LEFT JOIN … ON TRUE to keep rows without elements"),
                );
                return None;
            }
        };
        let condition = match &join.constraint {
            JoinConstraint::None if outer => {
                self.error(
                    Diagnostic::error(codes::ARGUMENTS, join.span, "LEFT JOIN needs its condition")
                        .help("write ON TRUE"),
                );
                return None;
            }
            JoinConstraint::None => None,
            JoinConstraint::On(condition) if is_true(condition) => None,
            JoinConstraint::On(condition) if outer => {
                self.not_yet(
                    condition.span,
                    "a condition on the elements of a LEFT JOIN",
                    "write ON TRUE, and the condition into WHERE, which also leaves out the rows without elements",
                );
                return None;
            }
            JoinConstraint::On(condition) => Some(condition),
            JoinConstraint::Using(_) | JoinConstraint::Natural => {
                self.error(
                    Diagnostic::error(codes::ARGUMENTS, join.span, "elements have no column in common with their row")
                        .help("write CROSS JOIN, or JOIN … ON and a condition"),
                );
                return None;
            }
        };
        let relation = self.beside(left, &join.relation, outer, join.span, owner)?;
        self.filter(relation, condition, "ON", owner)
    }

    /// One item of FROM behind others.
    fn beside(&mut self, left: Relation, item: &FromItem, outer: bool, span: Span, owner: &str) -> Option<Relation> {
        match &item.kind {
            RelationKind::Unnest { args, ordinality, .. } => {
                let elements = self.unnested(&left, args, *ordinality, item.alias.as_ref())?;
                self.unnest(left, elements, item.alias.as_ref(), outer, owner)
            }
            RelationKind::Function { name, args, ordinality, .. } => {
                let elements = self.series(&left, name, args, *ordinality, item)?;
                self.unnest(left, elements, item.alias.as_ref(), outer, owner)
            }
            RelationKind::Derived { lateral: true, query } => {
                self.lateral_query(left, query, item.alias.as_ref(), outer, owner)
            }
            _ => {
                self.not_yet(
                    span,
                    "a join in a LATERAL query",
                    "it can select from UNNEST(…) of columns of the row; join the relation outside of it",
                );
                None
            }
        }
    }

    /// UNNEST or a table function that nothing stands before.
    pub(super) fn alone(&mut self, item: &FromItem, owner: &str) -> Option<Relation> {
        let one = self.one_row(owner);
        self.beside(one, item, false, item.span, owner)
    }

    fn unnested(
        &mut self,
        left: &Relation,
        args: &[Ast],
        ordinality: bool,
        alias: Option<&TableAlias>,
    ) -> Option<Elements> {
        let bound = self.binder(&left.scope, Err("UNNEST")).bind_all(args)?;
        let mut items: Vec<UnnestItem> = Vec::with_capacity(bound.len());
        let mut names = Vec::new();
        // Side by side the shorter ones end in nulls.
        let padded = bound.len() > 1;
        for Typed { expr, data_type, span, .. } in bound {
            self.window_is_no_column(left, &expr, span)?;
            let columns: Vec<(String, FieldRef)> = match &data_type {
                DataType::List(element) => match element.data_type() {
                    DataType::Struct(fields) => fields
                        .iter()
                        .map(|field| {
                            let nullable = field.is_nullable() || element.is_nullable();
                            (field.name().clone(), Arc::new(field.as_ref().clone().with_nullable(nullable)))
                        })
                        .collect(),
                    _ => vec![("unnest".to_owned(), Arc::clone(element))],
                },
                DataType::Map(entries, _) => match entries.data_type() {
                    DataType::Struct(fields) => {
                        let names = ["key".to_owned(), "value".to_owned()];
                        names.into_iter().zip(fields.iter().cloned()).collect()
                    }
                    _ => return None,
                },
                other => {
                    let message = format!("UNNEST takes apart arrays and maps, and this is {}", article(other));
                    self.error(Diagnostic::error(codes::TYPE_MISMATCH, span, message).help(
                        "ARRAY[…] makes an array of values; a column is declared as ARRAY<type> or MAP<type, type>",
                    ));
                    return None;
                }
            };
            let mut fields = Vec::with_capacity(columns.len());
            for (name, field) in columns {
                let nullable = field.is_nullable() || padded;
                fields.push(Arc::new(field.as_ref().clone().with_nullable(nullable)));
                names.push(name);
            }
            items.push(UnnestItem { of: UnnestOf::Collection(expr), fields });
        }
        Some(named(items, names, ordinality, alias))
    }

    /// `generate_series(start, stop [, step])`.
    fn series(
        &mut self,
        left: &Relation,
        name: &ObjectName,
        args: &[CallArg],
        ordinality: bool,
        item: &FromItem,
    ) -> Option<Elements> {
        let called = name.text();
        if !called.eq_ignore_ascii_case("generate_series") {
            self.error(
                Diagnostic::error(codes::UNKNOWN_FUNCTION, name.span(), format!("there is no table function '{called}'"))
                    .help("those that there are: UNNEST, GENERATE_SERIES, and TUMBLE, HOP, CUMULATE and SESSION around a stream"),
            );
            return None;
        }
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                CallArg::Positional(value) => values.push(value.clone()),
                other => {
                    self.error(
                        Diagnostic::error(
                            codes::ARGUMENTS,
                            other.span(),
                            "GENERATE_SERIES takes its arguments by position",
                        )
                        .help("write GENERATE_SERIES(start, stop), or with a step as third argument"),
                    );
                    return None;
                }
            }
        }
        let bound = self.binder(&left.scope, Err("GENERATE_SERIES")).bind_all(&values)?;
        for value in &bound {
            self.window_is_no_column(left, &value.expr, value.span)?;
        }
        let (start, stop, step) = match bound.as_slice() {
            [start, stop] => (start.clone(), stop.clone(), None),
            [start, stop, step] => (start.clone(), stop.clone(), Some(step.clone())),
            other => {
                let message = format!("GENERATE_SERIES takes two or three arguments, not {}", other.len());
                self.error(
                    Diagnostic::error(codes::ARGUMENTS, item.span, message)
                        .help("write GENERATE_SERIES(1, 10), or with a step as third argument"),
                );
                return None;
            }
        };
        let (of, data_type) = self.series_of(start, stop, step, item.span, &left.scope)?;
        let field = Arc::new(Field::new("generate_series", data_type, false));
        Some(named(
            vec![UnnestItem { of, fields: vec![field] }],
            vec!["generate_series".to_owned()],
            ordinality,
            item.alias.as_ref(),
        ))
    }

    /// The series with its arguments in one type, and the type of its values.
    fn series_of(
        &mut self,
        start: Typed,
        stop: Typed,
        step: Option<Typed>,
        span: Span,
        scope: &Scope,
    ) -> Option<(UnnestOf, DataType)> {
        let number = |typed: &Typed| typed.data_type.is_integer() || typed.data_type == DataType::Null;
        let by_interval = matches!(step.as_ref().map(|step| &step.data_type), Some(DataType::Interval(_)));
        let time = |typed: &Typed| {
            matches!(typed.data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Null) || typed.unknown
        };
        if by_interval && time(&start) && time(&stop) {
            let step = step?;
            let zero = |value: &ScalarValue| {
                matches!(value, ScalarValue::IntervalMonthDayNano(Some(step))
                    if (step.months, step.days, step.nanoseconds) == (0, 0, 0))
            };
            self.no_zero_step(&step, zero)?;
            let mut binder = self.binder(scope, Err("GENERATE_SERIES"));
            let (start_at, stop_at) = (start.span, stop.span);
            let start = binder.cast(start, &types::TIMESTAMP, false, start_at)?.expr;
            let stop = binder.cast(stop, &types::TIMESTAMP, false, stop_at)?.expr;
            return Some((UnnestOf::Series { start, stop, step: step.expr }, types::TIMESTAMP));
        }
        if number(&start) && number(&stop) && step.as_ref().is_none_or(number) {
            let small = |typed: &Typed| {
                matches!(
                    typed.data_type,
                    DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16
                )
            };
            let data_type = if small(&start) && small(&stop) { DataType::Int32 } else { DataType::Int64 };
            let mut binder = self.binder(scope, Err("GENERATE_SERIES"));
            let (start_at, stop_at) = (start.span, stop.span);
            let start = binder.cast(start, &DataType::Int64, false, start_at)?.expr;
            let stop = binder.cast(stop, &DataType::Int64, false, stop_at)?.expr;
            let step = match step {
                Some(step) => {
                    let at = step.span;
                    let step = binder.cast(step, &DataType::Int64, false, at)?;
                    self.no_zero_step(&step, |value| *value == ScalarValue::Int64(Some(0)))?;
                    step.expr
                }
                None => Expr::Literal(ScalarValue::Int64(Some(1)), None),
            };
            return Some((UnnestOf::Series { start, stop, step }, data_type));
        }
        let given: Vec<String> = [Some(&start), Some(&stop), step.as_ref()]
            .into_iter()
            .flatten()
            .map(|typed| types::sql_name(&typed.data_type))
            .collect();
        self.error(
            Diagnostic::error(codes::ARGUMENTS, span, format!("there is no GENERATE_SERIES({})", given.join(", "))).help(
                "it takes whole numbers, or timestamps with an interval as step: GENERATE_SERIES(start, stop, INTERVAL '1' HOUR)",
            ),
        );
        None
    }

    /// A series whose step is zero has no end.
    fn no_zero_step(&mut self, step: &Typed, is_zero: impl Fn(&ScalarValue) -> bool) -> Option<()> {
        let mut folded = step.expr.clone();
        fold(&mut folded);
        if !matches!(&folded, Expr::Literal(value, _) if is_zero(value)) {
            return Some(());
        }
        self.error(
            Diagnostic::error(codes::ARGUMENTS, step.span, "a series whose step is zero never ends")
                .help("write a step that is larger or smaller than zero"),
        );
        None
    }

    /// The columns of a windowing table function are made behind everything else of FROM.
    fn window_is_no_column(&mut self, left: &Relation, expr: &Expr, span: Span) -> Option<()> {
        if left.window.is_none() || !expr.column_refs().iter().any(|column| column.name().starts_with("$window_")) {
            return Some(());
        }
        self.not_yet(span, "an element of the window", "read the windows in a query of their own in FROM");
        None
    }

    /// `left`, each row once per element.
    fn unnest(
        &mut self,
        left: Relation,
        elements: Elements,
        alias: Option<&TableAlias>,
        outer: bool,
        owner: &str,
    ) -> Option<Relation> {
        let Elements { mut items, mut ordinality, names } = elements;
        let input = self.plan.nodes[left.node.0].schema.clone();
        let mut taken: BTreeSet<String> = input.fields().iter().map(|field| field.name().clone()).collect();
        let mut made: Vec<FieldRef> = Vec::with_capacity(names.len());
        let slots = items.iter_mut().flat_map(|item| &mut item.fields).chain(&mut ordinality);
        for (field, name) in slots.zip(&names) {
            let nullable = field.is_nullable() || outer;
            let unique = plan_name(name, &mut taken);
            *field = Arc::new(field.as_ref().clone().with_name(unique).with_nullable(nullable));
            made.push(Arc::clone(field));
        }
        let relation = alias.map(|alias| alias.name.value.clone());
        let columns = made.iter().zip(names).map(|(field, name)| ScopeColumn {
            relation: relation.clone(),
            name,
            field: Arc::clone(field),
            hidden: false,
            qualified: false,
        });
        let mut scope = left.scope.clone();
        scope.columns.extend(columns);
        let output = behind(&input, made);
        let kind = NodeKind::Unnest(Unnest { items, ordinality, outer });
        let node = self.node(kind, vec![left.node], output, owner);
        // Several rows come of one, so that nothing tells them apart.
        let mut relation = Relation { node, scope, identity: vec![], ..left };
        self.name_last(&mut relation, alias)?;
        Some(relation)
    }

    /// More names than columns are a mistake; the others have been given already.
    fn name_last(&mut self, relation: &mut Relation, alias: Option<&TableAlias>) -> Option<()> {
        let Some(alias) = alias.filter(|alias| !alias.columns.is_empty()) else { return Some(()) };
        let own = relation.scope.columns.iter().filter(|column| column.relation.as_ref() == Some(&alias.name.value));
        let mut own = Relation { scope: Scope::of(own.cloned().collect()), ..relation.clone() };
        self.name_columns(&mut own, &alias.columns)
    }

    /// `LATERAL (SELECT … )`: what it computes from the row before it, and from that row's elements.
    fn lateral_query(
        &mut self,
        left: Relation,
        query: &Query,
        alias: Option<&TableAlias>,
        outer: bool,
        owner: &str,
    ) -> Option<Relation> {
        let select = match &query.body {
            SetExpr::Select(select) if is_plain(query, select) => select,
            _ => {
                self.not_yet(
                    query.span,
                    "this LATERAL query",
                    "it can select from UNNEST(…) of columns of the row, with WHERE; GROUP BY, ORDER BY and LIMIT stand around it",
                );
                return None;
            }
        };
        if let Some(condition) = select.selection.as_ref().filter(|_| outer) {
            self.not_yet(
                condition.span,
                "WHERE in a LATERAL query that LEFT JOIN keeps rows for",
                "write CROSS JOIN LATERAL, or leave WHERE out",
            );
            return None;
        }
        let before = left.scope.columns.len();
        let mut relation = left;
        for table in &select.from {
            relation = self.beside(relation, &table.relation, outer, table.relation.span, owner)?;
            relation = self.lateral_joins(relation, &table.joins, owner)?;
        }
        // What the query itself reads stands before what it only sees, and `*` is the former.
        let shown: Vec<bool> = relation.scope.columns.iter().map(|column| column.hidden).collect();
        relation.scope.columns.iter_mut().take(before).for_each(|column| column.hidden = true);
        let relation = self.filter(relation, select.selection.as_ref(), "WHERE", owner)?;
        let mut aggregates = Vec::new();
        let mut overs = RowWindows { named: select.named_windows.clone().into(), ..RowWindows::default() };
        let items = self.items(select, &relation.scope, &mut aggregates, &mut overs, None)?;
        if let Some(span) = overs.first_place() {
            self.not_yet(
                span,
                "a row window in a LATERAL query",
                "join UNNEST(…) to the stream, and write OVER in the query around it",
            );
            return None;
        }
        if let Some(aggregate) = aggregates.first() {
            let item = items.iter().find(|item| {
                item.typed.expr.column_refs().iter().any(|column| column.name() == aggregate.output.name())
            });
            let span = item.map_or(select.span, |item| item.typed.span);
            self.not_yet(
                span,
                "an aggregate in a LATERAL query",
                "join UNNEST(…) to the stream, and GROUP BY in the query around it",
            );
            return None;
        }
        let input = self.plan.nodes[relation.node.0].schema.clone();
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let mut outputs = Vec::new();
        for field in input.fields().iter().filter(|field| field.name() != schema::EVENT_TIME) {
            taken.insert(field.name().clone());
            let expr = Expr::Column(Column::new_unqualified(field.name()));
            outputs.push(Output { expr, field: Arc::clone(field) });
        }
        let mut scope = relation.scope.clone();
        scope.columns.truncate(before);
        scope.columns.iter_mut().zip(shown).for_each(|(column, hidden)| column.hidden = hidden);
        for (at, item) in items.into_iter().enumerate() {
            let given = alias.and_then(|alias| alias.columns.get(at)).map(|name| name.value.clone());
            let name = given.unwrap_or(item.name);
            let field = Field::new(plan_name(&name, &mut taken), item.typed.data_type, item.typed.nullable);
            let field = Arc::new(self.marked(field, &item.typed.expr, &relation));
            scope.columns.push(ScopeColumn {
                relation: alias.map(|alias| alias.name.value.clone()),
                name,
                field: Arc::clone(&field),
                hidden: false,
                qualified: false,
            });
            outputs.push(Output { expr: item.typed.expr, field });
        }
        let fields: Vec<FieldRef> = outputs.iter().map(|output| Arc::clone(&output.field)).collect();
        let mut output = Arc::new(Schema::new(fields));
        if schema::event_time_index(&input).is_some() {
            output = schema::with_event_time(&output);
        }
        let node = self.node(NodeKind::Project(outputs), vec![relation.node], output, owner);
        let mut relation = Relation { node, scope, ..relation };
        self.name_last(&mut relation, alias)?;
        Some(relation)
    }
}

/// Whether a join keeps rows of its right side that have no partner, or only these.
fn keeps_right(join: &Join) -> bool {
    matches!(join.kind, JoinKind::Right | JoinKind::Full | JoinKind::RightSemi | JoinKind::RightAnti)
}

/// Whether a relation is computed from the rows before it.
fn is_lateral(kind: &RelationKind) -> bool {
    matches!(
        kind,
        RelationKind::Unnest { .. } | RelationKind::Function { .. } | RelationKind::Derived { lateral: true, .. }
    )
}

/// Whether a query has nothing but a select list, UNNEST and WHERE.
fn is_plain(query: &Query, select: &Select) -> bool {
    let lateral = |table: &TableWithJoins| {
        is_lateral(&table.relation.kind) && table.joins.iter().all(|join| is_lateral(&join.relation.kind))
    };
    query.with.is_none()
        && query.order_by.is_empty()
        && query.limit.is_none()
        && query.offset.is_none()
        && query.emit.is_none()
        && select.distinct.is_none()
        && select.group_by.is_none()
        && select.time_window.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && select.named_windows.is_empty()
        && select.from.iter().all(lateral)
}

fn is_true(condition: &Ast) -> bool {
    matches!(&condition.without_parentheses().kind, ExprKind::Literal(Literal::Boolean(true)))
}

/// The names of elements: those of the alias first; a single column without one has the alias itself, as in PostgreSQL.
fn named(items: Vec<UnnestItem>, mut names: Vec<String>, ordinality: bool, alias: Option<&TableAlias>) -> Elements {
    if let (Some(alias), [only]) = (alias, names.as_mut_slice())
        && alias.columns.is_empty()
        && ["unnest", "generate_series"].contains(&only.as_str())
    {
        only.clone_from(&alias.name.value);
    }
    let ordinality = ordinality.then(|| Arc::new(Field::new("ordinality", DataType::Int64, false)));
    names.extend(ordinality.iter().map(|field| field.name().clone()));
    for (name, given) in names.iter_mut().zip(alias.into_iter().flat_map(|alias| &alias.columns)) {
        name.clone_from(&given.value);
    }
    Elements { items, ordinality, names }
}

/// A name that no other column of the plan has; those that begin with $ are the plan's own.
fn plan_name(name: &str, taken: &mut BTreeSet<String>) -> String {
    unique(name.trim_start_matches('$'), taken)
}

/// The columns of a schema with others behind them, and its event time last.
fn behind(input: &Schema, made: Vec<FieldRef>) -> Arc<Schema> {
    let mut fields = input.fields().to_vec();
    let event_time = schema::event_time_index(input).map(|at| fields.remove(at));
    fields.extend(made);
    fields.extend(event_time);
    Arc::new(Schema::new(fields))
}
