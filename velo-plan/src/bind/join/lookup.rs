//! A stream with a table: each row with what the table has under its key, as it is or as it was at the row's time.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{DataType, FieldRef};
use datafusion_expr::Expr;
use velo_core::schema;
use velo_eventtime::LateStrategy;
use velo_sql::Diagnostic;
use velo_sql::ast::{Expr as Ast, ExprKind, JoinConstraint, JoinKind as AstKind, Relation as FromItem, RelationKind};

use super::condition::{Both, Condition, Equality, Wheres, conjuncts, side};
use super::sides::{is_literal_true, own_name, scope_of};
use super::{Written, combined, qualified};
use crate::bind::query::column_of;
use crate::bind::scope::{Scope, ScopeColumn};
use crate::catalog::{Relation, Table};
use crate::codes;
use crate::functions::cast::CastFunction;
use crate::plan::{
    JoinColumn, JoinKind, LookupJoin, Missing, MissingStrategy, NodeKind, Side, SinkId, TableColumn, TableId,
    joined_schema,
};
use crate::planner::Planner;

/// A table as the right side of a join.
struct Looked {
    table: Table,
    /// Its columns with names of their own, as they can be named.
    relation: Relation,
    columns: Vec<TableColumn>,
}

/// What is looked up under which index, and the conditions that remain.
struct Keys {
    keys: Vec<Expr>,
    columns: Vec<usize>,
    rest: Vec<crate::bind::Typed>,
}

impl Planner<'_> {
    pub(super) fn lookup<'a>(
        &mut self,
        left: Relation,
        (table, item): (Table, &FromItem),
        as_of: Option<&Ast>,
        written: Written<'a>,
        wheres: Option<&mut Wheres<'a>>,
        owner: &str,
    ) -> Option<Relation> {
        let span = written.span;
        let kind = written.plan_kind().0;
        let (left, late) = match as_of {
            Some(as_of) => {
                let left = self.asked_as_of(left, &table, as_of, owner)?;
                let late = self.late_rows(&left, as_of.span)?;
                (left, late)
            }
            None => (left, (LateStrategy::Drop, None)),
        };
        if let Some(within) = written.within {
            self.error(
                Diagnostic::error(codes::ARGUMENTS, within.span, "WITHIN is for two streams, and here is a table")
                    .help("leave it out: a table has the row that stands; FOR SYSTEM_TIME AS OF asks for the one of a time"),
            );
            return None;
        }
        if let Some(matching) = written.matching {
            self.error(
                Diagnostic::error(codes::ARGUMENTS, matching.span, "MATCH_CONDITION belongs to ASOF JOIN")
                    .help("write ASOF JOIN for the nearest row, or the condition into ON"),
            );
            return None;
        }
        let looked = self.looked_up(&left, table, item)?;
        self.names_differ(&left.scope, &looked.relation.scope, item.span)?;
        let mut conditions = match written.constraint {
            JoinConstraint::On(condition) => conjuncts(condition),
            JoinConstraint::None if written.kind != AstKind::Cross => {
                self.error(
                    Diagnostic::error(codes::ARGUMENTS, span, format!("{} needs its condition", written.words())).help(
                        "write ON and the equality of a column of each side, or ON TRUE for every row of the table",
                    ),
                );
                return None;
            }
            _ => Vec::new(),
        };
        if written.kind == AstKind::Cross
            && let Some(wheres) = wheres
        {
            let both = Both { left: &left.scope, right: &looked.relation.scope };
            conditions.extend(wheres.take(|condition| both.is_equality(condition)));
        }
        // A comma and an equality in WHERE are a JOIN in another spelling.
        let crossed = written.kind == AstKind::Cross && (!written.comma || conditions.is_empty());
        let shared = self.shared(&left.scope, &looked.relation.scope, &written)?;
        let scope = combined(&left, &looked.relation);
        let of_right: BTreeSet<String> = looked.columns.iter().map(|column| column.field.name().clone()).collect();
        let mut condition = self.join_condition(&conditions, &scope, &of_right, true)?;
        for one in &shared {
            let found = |scope: &Scope, name: &str| {
                scope.columns.iter().find(|column| column.field.name() == name && !column.hidden).cloned()
            };
            let (of_left, of_table) = (found(&left.scope, &one.left)?, found(&looked.relation.scope, &one.right)?);
            let names = (qualified(&of_left), qualified(&of_table));
            let sides = (column_of(&of_left, span), column_of(&of_table, span));
            condition.equalities.push(self.shared_equality(sides, names, span, &scope)?);
        }
        condition.others.retain(|typed| !is_literal_true(&typed.expr));
        let Keys { keys, columns, rest } = self.lookup_keys(condition, &looked, &of_right)?;
        let in_window = |expr: &Expr| expr.column_refs().iter().any(|column| column.name().starts_with("$window_"));
        if let Some(place) = rest.iter().find(|typed| in_window(&typed.expr)).map(|typed| typed.span)
            && left.window.is_some()
        {
            self.not_yet(
                place,
                "a condition on the window beside its rows",
                "read the windowing function in a query of FROM, and join that",
            );
            return None;
        }
        if keys.is_empty() && !looked.table.one_row {
            let place = match written.constraint {
                JoinConstraint::On(condition) => condition.span,
                _ => span,
            };
            let name = &self.plan.tables[looked.table.id.0].name;
            self.diagnostics.push(
                Diagnostic::warning(codes::EVERY_PAIR, place, format!("every row meets every row of '{name}'"))
                    .help("that is right where the table has a few rows; the equality of a column of each side finds the right one at once"),
            );
        }
        let missing = self.missing_of(&looked, &kind, crossed);
        let relation =
            self.looked_up_join(left, looked, kind, (keys, columns), rest, missing, as_of.is_some(), late, owner);
        let kind = written.plan_kind().0;
        Some(self.with_shared(relation, &kind, &shared, owner))
    }

    /// The stream as AS OF asks for it: by its event time; the table must keep its versions.
    fn asked_as_of(&mut self, left: Relation, table: &Table, as_of: &Ast, owner: &str) -> Option<Relation> {
        let ExprKind::Path(name) = &as_of.without_parentheses().kind else {
            self.error(
                Diagnostic::error(codes::NOT_EVENT_TIME, as_of.span, "AS OF goes by the event time of the stream")
                    .help("name the stream's event-time column, as in FOR SYSTEM_TIME AS OF s.ts; or leave it out to join the table as it is"),
            );
            return None;
        };
        self.needs_event_time(&left, as_of.span, "FOR SYSTEM_TIME AS OF")?;
        let left = self.with_time_argument(left, name, owner)?;
        let column = match left.scope.resolve(name) {
            Ok(found) => found.column.field.name().clone(),
            Err(diagnostic) => {
                self.error(diagnostic);
                return None;
            }
        };
        if column != schema::EVENT_TIME && !left.event_time_columns.contains(&column) {
            let time = left.scope.columns.iter().find(|column| left.event_time_columns.contains(column.field.name()));
            let time = time.map_or("_event_time".to_owned(), qualified);
            let message = format!("'{}' is not the event time, and rows are asked for as of that", name.text());
            self.error(
                Diagnostic::error(codes::NOT_EVENT_TIME, as_of.span, message)
                    .help(format!("write FOR SYSTEM_TIME AS OF {time}; or leave it out to join the table as it is")),
            );
            return None;
        }
        let node = &self.plan.tables[table.id.0];
        let (called, place) = (node.name.clone(), node.place);
        let lacks = match (node.key.is_empty(), table.has_event_time()) {
            (false, true) => {
                self.plan.tables[table.id.0].keeps_versions = true;
                return Some(left);
            }
            (true, true) => "a PRIMARY KEY, by which its rows replace each other",
            (false, false) => "an event time, which says since when a row holds",
            (true, false) => {
                "a PRIMARY KEY, by which its rows replace each other, and an event time, since when they hold"
            }
        };
        self.error(
            Diagnostic::error(
                codes::EVENT_TIME_MISSING,
                as_of.span,
                format!("what was in '{called}' at a time is not known: it needs {lacks}"),
            )
            .also(place, "the table")
            .help("declare PRIMARY KEY (…) and WATERMARK FOR ts AS ts - INTERVAL '5' SECOND in its CREATE TABLE; ASOF JOIN finds the nearest earlier row without a key"),
        );
        None
    }

    /// The columns of a table beside those of the left side.
    fn looked_up(&mut self, left: &Relation, table: Table, item: &FromItem) -> Option<Looked> {
        let schema = Arc::clone(&self.plan.tables[table.id.0].schema);
        let called = match (&item.alias, &item.kind) {
            (Some(alias), _) => Some(alias.name.value.clone()),
            (None, RelationKind::Named { name, .. }) => name.parts.last().map(|part| part.value.clone()),
            _ => None,
        };
        let of_left = self.plan.nodes[left.node.0].schema.fields().iter().map(|field| field.name().clone());
        let named = left.scope.columns.iter().map(|column| column.field.name().clone());
        let mut taken: BTreeSet<String> = of_left.chain(named).collect();
        let mut columns = Vec::with_capacity(schema.fields().len());
        let mut fields: Vec<(String, FieldRef)> = Vec::with_capacity(schema.fields().len());
        for (column, field) in schema.fields().iter().enumerate() {
            let name = own_name(field.name(), &mut taken);
            let renamed: FieldRef = Arc::new(field.as_ref().clone().with_name(name));
            fields.push((field.name().clone(), Arc::clone(&renamed)));
            columns.push(TableColumn { column, field: renamed });
        }
        let field = |name: &str| fields.iter().find(|(old, _)| old == name).map(|(_, field)| Arc::clone(field));
        let scope = table.scope.columns.iter().filter_map(|column| {
            Some(ScopeColumn { relation: called.clone(), field: field(column.field.name())?, ..column.clone() })
        });
        let scope = Scope::of(scope.collect());
        let mut relation = Relation::new(left.node, scope);
        let names = item.alias.as_ref().map(|alias| alias.columns.as_slice()).unwrap_or_default();
        self.name_columns(&mut relation, names)?;
        let key = &self.plan.tables[table.id.0].key;
        relation.identity = key.iter().map(|at| fields[*at].1.name().clone()).collect();
        // Unqualified, the event time is that of the stream.
        for column in &mut relation.scope.columns {
            column.qualified |=
                column.hidden && column.name.eq_ignore_ascii_case("_event_time") && left.has_event_time();
        }
        Some(Looked { table, relation, columns })
    }

    /// The equalities that are looked up: by the primary key where all of it is there, else by all plain columns.
    fn lookup_keys(&mut self, condition: Condition, looked: &Looked, of_right: &BTreeSet<String>) -> Option<Keys> {
        let Condition { equalities, mut others } = condition;
        let column_at = |equality: &Equality| match &equality.right.expr {
            Expr::Column(column) => {
                let found = looked.columns.iter().find(|known| known.field.name() == column.name());
                found.map(|found| found.column)
            }
            _ => None,
        };
        if let Some(computed) = equalities.iter().find(|equality| column_at(equality).is_none())
            && !equalities.iter().any(|equality| column_at(equality).is_some())
        {
            let text = computed.right.span.text(self.script).to_owned();
            let name = self.plan.tables[looked.table.id.0].name.clone();
            self.error(
                Diagnostic::error(
                    codes::ARGUMENTS,
                    computed.right.span,
                    format!("rows of a table are looked up by its columns, and '{text}' is computed of them"),
                )
                .help(format!(
                    "make it a column: CREATE TABLE keyed AS SELECT *, {text} AS k FROM {name}, and join keyed by k"
                )),
            );
            return None;
        }
        let key = self.plan.tables[looked.table.id.0].key.clone();
        let of_column = |column: usize| equalities.iter().position(|equality| column_at(equality) == Some(column));
        let by_key: Option<Vec<usize>> = key.iter().map(|column| of_column(*column)).collect();
        let chosen = match by_key.filter(|_| !key.is_empty()) {
            Some(chosen) => chosen,
            None => {
                let mut columns: Vec<usize> = equalities.iter().filter_map(column_at).collect();
                columns.sort_unstable();
                columns.dedup();
                columns.iter().filter_map(|column| of_column(*column)).collect()
            }
        };
        let (mut keys, mut columns) = (Vec::with_capacity(chosen.len()), Vec::with_capacity(chosen.len()));
        for at in &chosen {
            let equality = &equalities[*at];
            let (left, to) = (&equality.left, &equality.right.data_type);
            columns.push(column_at(equality)?);
            if left.data_type == *to {
                keys.push(left.expr.clone());
                continue;
            }
            // What does not fit into the column's type is in no row of the table.
            keys.push(CastFunction::call(left.expr.clone(), to.clone(), true));
            if loses(&left.data_type, to) {
                others.push(equality.whole.clone());
            }
        }
        let rest = equalities.iter().enumerate().filter(|(at, _)| !chosen.contains(at));
        others.extend(rest.map(|(_, equality)| equality.whole.clone()));
        debug_assert!(keys.iter().all(|key| side(key, of_right) != Some(Side::Right)));
        Some(Keys { keys, columns, rest: others })
    }

    /// What happens to rows for which the table has none: what the table says, else what the join does.
    fn missing_of(&self, looked: &Looked, kind: &JoinKind, crossed: bool) -> Option<Missing> {
        let strategy = match kind {
            _ if crossed => return None,
            JoinKind::Inner => MissingStrategy::SkipRecord,
            JoinKind::Left => MissingStrategy::EmitWithNulls,
            _ => return None,
        };
        let usual = || Missing {
            strategy,
            then: MissingStrategy::FailFast,
            defaults: Vec::new(),
            retries: 0,
            delay: velo_core::duration::Span(0),
        };
        let mut missing = looked.table.missing.clone().unwrap_or_else(usual);
        let schema = &self.plan.tables[looked.table.id.0].schema;
        for (name, _) in &mut missing.defaults {
            if let Some(column) = looked.columns.iter().find(|column| schema.field(column.column).name() == name) {
                name.clone_from(column.field.name());
            }
        }
        Some(missing)
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of one node")]
    fn looked_up_join(
        &mut self,
        left: Relation,
        looked: Looked,
        kind: JoinKind,
        (keys, columns): (Vec<Expr>, Vec<usize>),
        rest: Vec<crate::bind::Typed>,
        missing: Option<Missing>,
        as_of: bool,
        (late, letters): (LateStrategy, Option<SinkId>),
        owner: &str,
    ) -> Relation {
        let id: TableId = looked.table.id;
        let index = (!keys.is_empty()).then(|| self.plan.tables[id.0].index(&columns));
        let node = &self.plan.tables[id.0];
        let single = (!node.key.is_empty() && columns == node.key) || (keys.is_empty() && looked.table.one_row);
        let input = Arc::clone(&self.plan.nodes[left.node.0].schema);
        let padded = kind.keeps_left() || missing.as_ref().is_some_and(pads);
        let own = schema::visible(&input);
        let mut output: Vec<JoinColumn> =
            own.fields().iter().map(|field| JoinColumn { side: Side::Left, field: Arc::clone(field) }).collect();
        let one = matches!(kind, JoinKind::Semi | JoinKind::Anti);
        if !one {
            output.extend(looked.columns.iter().map(|column| {
                let nullable = padded || column.field.is_nullable();
                JoinColumn { side: Side::Right, field: Arc::new(column.field.as_ref().clone().with_nullable(nullable)) }
            }));
        }
        let schema = joined_schema(&output, None, schema::event_time_index(&input).is_some());
        let join = LookupJoin {
            table: id,
            kind,
            keys,
            index,
            others: None,
            condition: Condition::rest(rest),
            table_columns: looked.columns,
            columns: output,
            as_of,
            missing,
            late,
        };
        let of_table = scope_of(&join.columns, &Relation::new(left.node, Scope::default()), Some(&looked.relation));
        let node = self.node(NodeKind::LookupJoin(Box::new(join)), vec![left.node], schema, owner);
        self.plan.nodes[node.0].dead_letters = letters;
        let mut scope = left.scope.clone();
        if !one {
            scope.columns.extend(of_table.columns);
        }
        let known = left.identity.is_empty() || (!single && !one && looked.relation.identity.is_empty());
        let identity = match (known, single || one) {
            (true, _) => Vec::new(),
            (false, true) => left.identity.clone(),
            (false, false) => left.identity.iter().chain(&looked.relation.identity).cloned().collect(),
        };
        Relation { node, scope, identity, ranked: None, key: Vec::new(), ..left }
    }
}

/// Whether rows come with NULLs in the table's columns.
pub(super) fn pads(missing: &Missing) -> bool {
    let with_nulls =
        |strategy: MissingStrategy| matches!(strategy, MissingStrategy::UseDefaults | MissingStrategy::EmitWithNulls);
    let waits = missing.waits();
    with_nulls(missing.strategy) || (waits && with_nulls(missing.then))
}

/// Whether different values can become one.
pub(in crate::bind) fn loses(from: &DataType, to: &DataType) -> bool {
    let scale = |data_type: &DataType| match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    };
    let time = |data_type: &DataType| match data_type {
        DataType::Timestamp(arrow_schema::TimeUnit::Nanosecond, _) => 2,
        DataType::Timestamp(..) => 1,
        _ => 0,
    };
    scale(from) > scale(to) || time(from) > time(to)
}
