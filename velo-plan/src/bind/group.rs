//! GROUP BY: keys, windows, aggregates, HAVING.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, ScalarValue};
use datafusion_expr::Expr;
use velo_core::duration::Span as Duration;
use velo_core::{schema, types};
use velo_eventtime::LateStrategy;
use velo_eventtime::late::LateUse;
use velo_sql::ast::{EmitMode, Expr as Ast, ExprKind, Literal, Select, TableWithJoins};
use velo_sql::{Diagnostic, Span};

use super::expr::Typed;
use super::grouping_sets::{GroupKeys, SET, grouping_bits, has_grouping};
use super::over::window_columns_of;
use super::row_window::{BoundOver, RowWindows};
use super::scope::{Scope, ScopeColumn};
use super::select::{Item, WINDOW_END, WINDOW_START, WINDOW_TIME, hidden_event_time, window_columns, with_aliases};
use super::subquery::{self, Correlation, Subqueries};
use crate::catalog::{ChangesPer, OfWindow, Relation};
use crate::codes;
use crate::functions::grouping::grouping_of;
use crate::plan::{AggregateCall, Emission, GroupingSet, NodeKind, Output, SinkId, WindowKind, WindowSpec};
use crate::planner::{Planner, visible};

/// The grouping of one SELECT.
struct Grouping {
    keys: Vec<Typed>,
    sets: Vec<GroupingSet>,
    window: Option<WindowSpec>,
    /// The whole SELECT.
    span: Span,
    /// Its GROUP BY.
    clause: Option<Span>,
    /// Row windows over its result.
    overs: Vec<BoundOver>,
    /// What has to hold of them.
    qualify: Option<Typed>,
}

impl Planner<'_> {
    /// The rest of a SELECT behind its WHERE: a projection, or groups.
    ///
    /// `hidden` are computed behind the select list, for what only its own clauses see.
    pub(super) fn grouped(
        &mut self,
        select: &Select,
        hidden: &[Ast],
        mut input: Relation,
        correlation: Option<&mut Correlation>,
        mut subqueries: Subqueries,
        owner: &str,
    ) -> Option<Relation> {
        input = self.with_side_time(select, input, owner)?;
        let window = self.select_window(select, &input)?;
        let function = input.window.take();
        let mut scope = input.scope.clone();
        if window.is_some() || function.is_some() {
            scope.columns.extend(window_columns());
        }
        let mut aggregates: Vec<AggregateCall> = Vec::new();
        if let Some(window) = window.as_ref().or(function.as_ref()) {
            self.bounds_agree(select, &input, window)?;
        }
        let mut overs = RowWindows { named: select.named_windows.clone().into(), calls: Vec::new() };
        self.named_windows(select, &scope, &aggregates)?;
        let mut items = self.items(select, &scope, &mut aggregates, &mut overs, Some(&mut subqueries))?;
        items.extend(self.hidden_items(hidden, &scope, &items, &mut aggregates)?);
        let GroupKeys { mut keys, sets, by_window } = self.group_keys(select.group_by.as_ref(), &scope, &items)?;
        let having = match &select.having {
            Some(having) => {
                let aliased = with_aliases(&scope, &items);
                self.having(having, &aliased, &mut aggregates, &mut subqueries)?
            }
            None => None,
        };
        let qualify = match &select.qualify {
            Some(qualify) => {
                let aliased = with_aliases(&scope, &items);
                let mut binder = self.binder(&aliased, Ok(&mut aggregates));
                binder.row_windows = Ok(&mut overs);
                binder.subqueries = Err("QUALIFY");
                let condition = binder.condition(qualify, "QUALIFY")?;
                if overs.calls.is_empty() {
                    self.error(
                        Diagnostic::error(
                            codes::MISPLACED_AGGREGATE,
                            qualify.span,
                            "QUALIFY filters by what OVER computes, and nothing is",
                        )
                        .help("use WHERE for rows, HAVING for groups; or write a row window, such as ROW_NUMBER() OVER (…) <= 3"),
                    );
                    return None;
                }
                Some(condition)
            }
            None => None,
        };
        for key in self.session_keys(select, &input)? {
            if !keys.iter().any(|other| other.expr == key.expr) {
                let name = key.span.text(self.script).to_owned();
                self.error(
                    Diagnostic::error(
                        codes::NOT_GROUPED,
                        key.span,
                        format!("the sessions are those of each {name}, which is not grouped by"),
                    )
                    .help(format!("add {name} to GROUP BY, or leave it out here: then the sessions are of all rows")),
                );
                return None;
            }
        }
        let is_grouped = window.is_some() || !aggregates.is_empty() || select.group_by.is_some();
        if let Some(correlation) = correlation {
            let tied = self.tied_items(correlation, &mut keys, (is_grouped, !sets.is_empty()))?;
            items.extend(tied);
            if is_grouped && window.is_none() && select.group_by.is_none() && select.distinct.is_none() {
                self.bare_aggregate(correlation, &mut items, &aggregates, having.as_ref())?;
            }
        }
        self.no_subquery_in_windows(&mut overs.calls)?;
        if !is_grouped {
            if let Some(having) = &select.having {
                self.error(
                    Diagnostic::error(codes::NOT_GROUPED, having.span, "HAVING needs a GROUP BY or an aggregate")
                        .help("use WHERE"),
                );
                return None;
            }
            if let Some(item) = items.iter().find(|item| has_grouping(&item.typed.expr)) {
                self.error(
                    Diagnostic::error(codes::NOT_GROUPED, item.typed.span, "GROUPING needs a GROUP BY")
                        .help("it tells the sets of GROUP BY ROLLUP (…), CUBE (…) or GROUPING SETS (…) apart"),
                );
                return None;
            }
            let windowed = function.is_some() || input.windowed;
            let input = match function {
                Some(window) => {
                    let place = select.from.first().map_or(select.span, TableWithJoins::span);
                    self.windowed_rows(input, window, place, owner)?
                }
                None => input,
            };
            let mut input = input;
            let mut overs = overs.calls;
            for asked in subqueries.take_asked() {
                input = self.place(input, &subqueries, asked, owner)?;
            }
            for typed in
                items.iter_mut().map(|item| &mut item.typed).chain(overs.iter_mut().flat_map(BoundOver::expressions))
            {
                typed.expr = self.retimed(std::mem::take(&mut typed.expr), &input);
            }
            let mut input = self.over(input, overs, true, owner)?;
            if let Some(qualify) = qualify {
                input = self.kept(input, qualify, owner)?;
            }
            return self.project(&input, items, owner).map(|relation| Relation { windowed, ..relation });
        }
        let window = match (window, function) {
            (Some(window), None) => Some(window),
            (None, Some(window)) if by_window => Some(window),
            (None, None) => None,
            (Some(_), Some(_)) => {
                let place = select.time_window.as_ref().map(|window| window.span);
                let place = place.or(select.group_by.as_ref().map(|group_by| group_by.span)).unwrap_or(select.span);
                self.error(
                    Diagnostic::error(codes::WINDOW, place, "a second time window: there is one in FROM already")
                        .help("leave one of them out; a window over windows reads the first as a query in FROM"),
                );
                return None;
            }
            (None, Some(_)) => {
                let place = select.group_by.as_ref().map_or(select.span, |group_by| group_by.span);
                self.error(
                    Diagnostic::error(codes::NOT_GROUPED, place, "the window of FROM is not grouped by")
                        .help("add window_start, window_end to GROUP BY"),
                );
                return None;
            }
        };
        let clause = select.group_by.as_ref().map(|group_by| group_by.span);
        let below = subqueries.take_below(aggregates.iter().flat_map(AggregateCall::expressions));
        for asked in below {
            input = self.place(input, &subqueries, asked, owner)?;
        }
        if window.is_some() && input.timeless.is_some() {
            self.needs_event_time(&input, select.span, "a time window")?;
        }
        for expr in aggregates.iter_mut().flat_map(AggregateCall::expressions_mut) {
            *expr = self.retimed(std::mem::take(expr), &input);
        }
        for key in &mut keys {
            key.expr = self.retimed(std::mem::take(&mut key.expr), &input);
        }
        let grouping = Grouping { keys, sets, window, span: select.span, clause, overs: overs.calls, qualify };
        self.aggregate(input, grouping, aggregates, items, having, subqueries, owner)
    }

    /// A windowing table function whose window nothing groups by: its rows with the window's columns.
    pub(super) fn windowed_rows(
        &mut self,
        input: Relation,
        window: WindowSpec,
        span: Span,
        owner: &str,
    ) -> Option<Relation> {
        if matches!(window.kind, WindowKind::Session { .. }) {
            self.not_yet(
                span,
                "a session without GROUP BY",
                "a session's bounds are known when it has ended: GROUP BY window_start, window_end and aggregate",
            );
            return None;
        }
        let mut fields = self.plan.nodes[input.node.0].schema.fields().to_vec();
        let event_time = fields.pop()?;
        fields.extend(window_columns().map(|column| column.field));
        fields.push(Arc::new(Field::new(WINDOW_TIME, types::TIMESTAMP, false)));
        fields.push(event_time);
        let late = self.query.late.clone().unwrap_or_else(|| input.late.clone());
        self.query.late_used = true;
        if late.strategy != LateStrategy::Drop {
            self.not_yet(
                self.query.late_place.unwrap_or(span),
                "another late.data.strategy than 'drop' for windows without GROUP BY",
                "write 'drop': late rows are dropped and counted; or GROUP BY window_start, window_end",
            );
            return None;
        }
        let window_columns = window_columns_of(&window);
        let of_window = Some(of_window(window.clone()));
        let mut identity = input.identity.clone();
        if !identity.is_empty() {
            // A row comes once for each of its windows.
            identity.extend([WINDOW_START, WINDOW_END].map(str::to_owned));
        }
        let node = self.node(NodeKind::Window(window), vec![input.node], Arc::new(Schema::new(fields)), owner);
        let event_time_columns = vec![WINDOW_TIME.to_owned()];
        let side_times = Vec::new();
        Some(Relation {
            node,
            event_time_columns,
            window_columns,
            identity,
            source: None,
            side_times,
            of_window,
            ..input
        })
    }

    /// Each row once: a GROUP BY over all columns.
    pub(super) fn distinct(&mut self, input: Relation, span: Span, owner: &str) -> Option<Relation> {
        let emission = self.emission(&input, None, None, span)?;
        self.kept_for_ever(&input, span, "every distinct row");
        let columns: Vec<ScopeColumn> = visible(&input.scope).cloned().collect();
        let keys: Vec<Output> = columns
            .iter()
            .map(|column| Output {
                expr: Expr::Column(Column::new_unqualified(column.field.name())),
                field: Arc::clone(&column.field),
            })
            .collect();
        let output = Arc::new(Schema::new(keys.iter().map(|key| Arc::clone(&key.field)).collect::<Vec<_>>()));
        let (sets, aggregates, late) = (vec![], vec![], LateStrategy::Drop);
        let kind = NodeKind::Aggregate { keys, sets, aggregates, window: None, late, emission };
        let node = self.node(kind, vec![input.node], output, owner);
        let identity = columns.iter().map(|column| column.field.name().clone()).collect();
        Some(Relation { key: input.key, identity, ..Relation::new(node, Scope::of(columns)) })
    }

    pub(super) fn group_key(&mut self, expr: &Ast, scope: &Scope, items: &[Item]) -> Option<Typed> {
        let key = match &expr.without_parentheses().kind {
            ExprKind::Literal(Literal::Number(text)) => {
                let at = text.parse::<usize>().ok().and_then(|ordinal| ordinal.checked_sub(1));
                match at.and_then(|at| items.get(at)) {
                    Some(item) => item.typed.clone(),
                    None => {
                        self.error(
                            Diagnostic::error(
                                codes::UNKNOWN_COLUMN,
                                expr.span,
                                format!("there is no column number {text}"),
                            )
                            .help(format!("GROUP BY counts the selected columns, here from 1 to {}", items.len())),
                        );
                        return None;
                    }
                }
            }
            // A column of the input wins over an alias of the select list, as in PostgreSQL.
            ExprKind::Path(name) if name.parts.len() == 1 && scope.resolve(name).is_err() => {
                match items.iter().find(|item| name.parts[0].matches(&item.name)) {
                    Some(item) => item.typed.clone(),
                    None => return self.binder(scope, Err("GROUP BY")).bind(expr),
                }
            }
            _ => self.binder(scope, Err("GROUP BY")).bind(expr)?,
        };
        if key.expr.column_refs().iter().any(|column| column.name().starts_with("$over")) {
            self.error(
                Diagnostic::error(codes::MISPLACED_AGGREGATE, expr.span, "a row window cannot be grouped by")
                    .help("compute it in a query of its own, and read that in FROM"),
            );
            return None;
        }
        if key.expr.column_refs().iter().any(|column| column.name().starts_with(subquery::INNER)) {
            self.error(
                Diagnostic::error(codes::NOT_SUPPORTED, expr.span, "a sub-query cannot stand in GROUP BY")
                    .help("select it in a query of FROM under a name, and name that here"),
            );
            return None;
        }
        if key.expr.column_refs().iter().any(|column| column.name().starts_with("$agg")) {
            self.error(
                Diagnostic::error(codes::MISPLACED_AGGREGATE, expr.span, "an aggregate cannot be grouped by")
                    .help("compute it in a query of its own, and read that in FROM"),
            );
            return None;
        }
        Some(key)
    }

    #[expect(clippy::too_many_arguments, reason = "they are the clauses of one SELECT")]
    fn aggregate(
        &mut self,
        input: Relation,
        grouping: Grouping,
        aggregates: Vec<AggregateCall>,
        items: Vec<Item>,
        having: Option<Typed>,
        mut subqueries: Subqueries,
        owner: &str,
    ) -> Option<Relation> {
        let Grouping { keys, sets, window, span, clause, overs, qualify } = grouping;
        let (late, dead_letters, corrected) = self.late_strategy(&input, window.as_ref(), span)?;
        let emission = self.emission(&input, window.as_ref(), corrected, clause.unwrap_or(span))?;
        if window.is_none() && !keys.is_empty() {
            self.kept_for_ever(&input, clause.unwrap_or(span), "every key");
        }
        let left_out = |at: usize| sets.iter().any(|set| !set.keys[at]);
        let mut outputs: Vec<Output> = keys
            .iter()
            .enumerate()
            .map(|(at, key)| Output {
                expr: key.expr.clone(),
                field: Arc::new(self.marked(
                    Field::new(format!("$key{at}"), key.data_type.clone(), key.nullable || left_out(at)),
                    &key.expr,
                    &input,
                )),
            })
            .collect();
        if !sets.is_empty() {
            // Every set puts its own number here.
            outputs.push(Output {
                expr: Expr::Literal(ScalarValue::Int64(Some(0)), None),
                field: Arc::new(Field::new(SET, DataType::Int64, false)),
            });
        }
        let mut fields: Vec<FieldRef> = outputs.iter().map(|output| Arc::clone(&output.field)).collect();
        fields.extend(aggregates.iter().map(|aggregate| Arc::clone(&aggregate.output)));
        let windowed = window.is_some();
        // A session is of one key, so that no others are in its window.
        let in_windows = windowed && !matches!(window, Some(WindowSpec { kind: WindowKind::Session { .. }, .. }));
        if windowed {
            fields.extend(window_columns().map(|column| column.field));
            fields.push(Arc::new(schema::event_time_field()));
        }
        let window_columns = window.as_ref().map(window_columns_of).unwrap_or_default();
        let of_window = window.clone().map(of_window);
        let output = Arc::new(Schema::new(fields));
        let in_sets = !sets.is_empty();
        let mut identity: Vec<String> = outputs.iter().map(|output| output.field.name().clone()).collect();
        if windowed {
            identity.extend([WINDOW_START, WINDOW_END].map(str::to_owned));
        }
        let kind = NodeKind::Aggregate { keys: outputs, sets, aggregates, window, late, emission };
        let node = self.node(kind, vec![input.node], Arc::clone(&output), owner);
        self.plan.nodes[node.0].dead_letters = dead_letters;
        let mut relation = Relation { identity, window_columns, of_window, ..Relation::new(node, Scope::default()) };
        if windowed {
            relation.scope.columns.push(hidden_event_time());
        }
        for mut asked in subqueries.take_asked() {
            let output = asked.beside(&self.plan.nodes[relation.node.0].schema, &subqueries);
            for typed in asked.expressions_mut() {
                *typed = self.over_groups(typed.clone(), &keys, &output, in_sets)?;
            }
            relation = self.place(relation, &subqueries, asked, owner)?;
        }
        if let Some(having) = having {
            let schema = self.plan.nodes[relation.node.0].schema.clone();
            let condition = self.over_groups(having, &keys, &schema, in_sets)?;
            relation.node = self.node(NodeKind::Filter(condition.expr), vec![relation.node], schema, owner);
        }
        let mut relation = self.over_result(relation, overs, &keys, in_sets, owner)?;
        let output = self.plan.nodes[relation.node.0].schema.clone();
        if let Some(qualify) = qualify {
            let condition = self.over_groups(qualify, &keys, &output, in_sets)?;
            relation = self.kept(relation, condition, owner)?;
        }
        let mut over_groups = Vec::with_capacity(items.len());
        let mut failed = false;
        for item in items {
            match self.over_groups(item.typed, &keys, &output, in_sets) {
                Some(typed) => over_groups.push(Item { typed, ..item }),
                None => failed = true,
            }
        }
        if failed {
            return None;
        }
        self.project(&relation, over_groups, owner).map(|relation| Relation { windowed: in_windows, ..relation })
    }

    /// The rows of a relation for which a condition over its columns holds.
    fn kept(&mut self, relation: Relation, condition: Typed, owner: &str) -> Option<Relation> {
        let (relation, rest) = self.cut(relation, condition.expr, condition.span)?;
        let Some(rest) = rest else { return Some(relation) };
        let schema = self.plan.nodes[relation.node.0].schema.clone();
        let node = self.node(NodeKind::Filter(rest), vec![relation.node], schema, owner);
        Some(Relation { node, ..relation })
    }

    /// Row windows over groups: they see what HAVING leaves.
    fn over_result(
        &mut self,
        relation: Relation,
        mut overs: Vec<BoundOver>,
        keys: &[Typed],
        in_sets: bool,
        owner: &str,
    ) -> Option<Relation> {
        let output = self.plan.nodes[relation.node.0].schema.clone();
        let mut failed = false;
        for typed in overs.iter_mut().flat_map(BoundOver::expressions) {
            match self.over_groups(typed.clone(), keys, &output, in_sets) {
                Some(over_groups) => *typed = over_groups,
                None => failed = true,
            }
        }
        if failed {
            return None;
        }
        self.over(relation, overs, false, owner)
    }

    /// The named windows of a SELECT are right, whether anything uses them or not.
    fn named_windows(&mut self, select: &Select, scope: &Scope, aggregates: &[AggregateCall]) -> Option<()> {
        // What only an unused window aggregates is not computed.
        let mut unused = aggregates.to_vec();
        self.binder(scope, Ok(&mut unused)).check_named(&select.named_windows)
    }

    /// What happens to late rows: what the query says, else what its source says.
    fn late_strategy(
        &mut self,
        input: &Relation,
        window: Option<&WindowSpec>,
        span: Span,
    ) -> Option<(LateStrategy, Option<SinkId>, Option<Duration>)> {
        let late = self.query.late.clone().unwrap_or_else(|| input.late.clone());
        let used = match window.map(|window| window.kind) {
            Some(
                WindowKind::Tumbling { size } | WindowKind::Sliding { size, .. } | WindowKind::Cumulate { size, .. },
            ) => LateUse::Window(size),
            Some(WindowKind::Session { gap }) => LateUse::Session(gap),
            None => return Some((late.strategy, None, None)),
        };
        self.query.late_used = true;
        let span = self.query.late_place.unwrap_or(span);
        if let Err(message) = late.check(used) {
            self.error(Diagnostic::error(codes::CONFLICT, span, message));
            return None;
        }
        if late.strategy != LateStrategy::DeadLetter {
            let corrected = late.strategy == LateStrategy::UpdatePrevious;
            return Some((late.strategy, None, corrected.then(|| late.allowance(used))));
        }
        self.query.letters_used = true;
        let span = self.query.letters_place.unwrap_or(span);
        let own = self.query.properties.dead_letter_sink.clone().or_else(|| input.dead_letter_sink.clone());
        let sink = self.dead_letters(span, own.as_deref())?;
        Some((late.strategy, Some(sink), None))
    }

    /// Warns of state that grows as long as the input goes on.
    pub(super) fn kept_for_ever(&mut self, input: &Relation, span: Span, what: &str) {
        if !self.is_bounded(input.node) && self.query.properties.state_ttl.is_none() {
            self.diagnostics.push(
                Diagnostic::warning(codes::KEPT_STATE, span, format!("{what} is kept as long as the job runs"))
                    .help("that is right where they are few; a WINDOW lets them go, and 'state.ttl' = '1d' what was not touched for a day"),
            );
        }
    }

    /// When the results of a GROUP BY come, or those of another node that is whole at the end of its input only.
    pub(super) fn emission(
        &mut self,
        input: &Relation,
        window: Option<&WindowSpec>,
        corrected: Option<Duration>,
        span: Span,
    ) -> Option<Emission> {
        let early = match (self.query.emit, window) {
            (Some(EmitMode::Changes), _) => true,
            (Some(EmitMode::Final), None) if !self.is_bounded(input.node) => {
                self.error(
                    Diagnostic::error(
                        codes::UNBOUNDED,
                        span,
                        "EMIT FINAL without a window needs an input that ends, and this one does not",
                    )
                    .help("add WINDOW TUMBLING(1m) or another window, or write EMIT CHANGES"),
                );
                return None;
            }
            (_, Some(_)) => false,
            (_, None) => !self.is_bounded(input.node),
        };
        let per_record = self.query.properties.changes_per == ChangesPer::Record;
        Some(Emission {
            early,
            per_record: early && per_record,
            corrected,
            interval: self.emit_interval(early, per_record, span)?,
            idle_close: self.idle_close(input, window),
        })
    }

    /// An expression over the input as one over the groups: keys become their columns, and nothing else of the input is left.
    fn over_groups(&mut self, typed: Typed, keys: &[Typed], output: &Schema, in_sets: bool) -> Option<Typed> {
        let mut no_key = false;
        let replaced = typed.expr.clone().transform_down(|expr| {
            // What comes of a window has the window's time as its event time.
            if matches!(&expr, Expr::Column(column) if column.name() == WINDOW_TIME) {
                return Ok(Transformed::yes(Expr::Column(Column::new_unqualified(schema::EVENT_TIME))));
            }
            if let Some(arguments) = grouping_of(&expr) {
                return Ok(match grouping_bits(arguments, keys, in_sets) {
                    Ok(bits) => Transformed::new(bits, true, TreeNodeRecursion::Jump),
                    Err(_) => {
                        no_key = true;
                        Transformed::new(expr, false, TreeNodeRecursion::Jump)
                    }
                });
            }
            Ok(match keys.iter().position(|key| key.expr == expr) {
                Some(at) => {
                    let column = Expr::Column(Column::new_unqualified(format!("$key{at}")));
                    Transformed::new(column, true, TreeNodeRecursion::Jump)
                }
                None => Transformed::no(expr),
            })
        });
        let Ok(replaced) = replaced else { return None };
        if no_key {
            self.error(
                Diagnostic::error(codes::NOT_GROUPED, typed.span, "GROUPING of something that is not grouped by")
                    .help("its arguments are written as in GROUP BY"),
            );
            return None;
        }
        let columns = replaced.data.column_refs();
        let stray = columns.iter().find(|column| output.index_of(column.name()).is_err()).copied().cloned();
        // A key is NULL in the sets that lack it.
        let is_null = |column: &&Column| output.field_with_name(column.name()).is_ok_and(Field::is_nullable);
        let nullable = typed.nullable
            || (in_sets && columns.iter().any(|column| column.name().starts_with("$key") && is_null(column)));
        if stray.as_ref().is_some_and(|column| column.name().starts_with("$over")) {
            self.error(
                Diagnostic::error(codes::MISPLACED_AGGREGATE, typed.span, "a row window cannot stand here")
                    .help("row windows are computed over what GROUP BY and HAVING leave: read the query in FROM, and write the condition around it"),
            );
            return None;
        }
        if let Some(column) = stray {
            let name = match column.name() {
                schema::EVENT_TIME => "_event_time",
                name => name.trim_start_matches('$'),
            };
            self.error(
                Diagnostic::error(
                    codes::NOT_GROUPED,
                    typed.span,
                    format!("'{name}' is neither grouped by nor aggregated"),
                )
                .help(format!("add it to GROUP BY, or aggregate it, for example MAX({name}) or LAST({name})")),
            );
            return None;
        }
        Some(Typed { expr: replaced.data, nullable, ..typed })
    }
}

/// The window of rows that have its own columns.
fn of_window(window: WindowSpec) -> OfWindow {
    OfWindow { window, start: Some(WINDOW_START.to_owned()), end: Some(WINDOW_END.to_owned()) }
}

pub(super) fn is_window_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if [WINDOW_START, WINDOW_END, WINDOW_TIME].contains(&column.name()))
}
