//! Queries: FROM, WHERE, GROUP BY with windows, HAVING, the select list.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema};
use datafusion_common::Column;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_expr::Expr;
use velo_core::{schema, types};
use velo_sql::ast::{
    EmitMode, Expr as Ast, ExprKind, GroupByItem, Ident, Literal, Query, Relation as FromItem, RelationKind, Select,
    SelectItem, SetExpr,
};
use velo_sql::{Diagnostic, Span};

use super::expr::{ExprBinder, Typed};
use super::scope::{Scope, ScopeColumn};
use crate::catalog::{Object, Pairs, Relation};
use crate::codes;
use crate::plan::{AggregateCall, NodeKind, Output, WindowSpec};
use crate::planner::{Planner, visible};

/// The window's start and end as columns of an aggregate's output.
const WINDOW_START: &str = "$window_start";
const WINDOW_END: &str = "$window_end";

/// A bound select item: what it computes and its name.
struct Item {
    typed: Typed,
    name: String,
}

impl Planner<'_> {
    fn not_yet(&mut self, span: Span, what: &str, help: &str) {
        self.error(Diagnostic::error(codes::NOT_SUPPORTED, span, format!("{what} cannot run yet")).help(help.to_owned()));
    }

    /// Binds a query; properties of its sources, by their prefix, are taken out of `pairs`.
    pub(crate) async fn query(&mut self, query: &Query, pairs: &mut Pairs, owner: &str) -> Option<Relation> {
        if let Some(with) = &query.with {
            self.not_yet(with.span, "WITH", "name the query in a view");
            return None;
        }
        if let Some(first) = query.order_by.first() {
            self.not_yet(first.span, "ORDER BY", "ordering comes with the issue on changing results");
            return None;
        }
        if let Some(limit) = query.limit.as_ref().or(query.offset.as_ref()) {
            self.not_yet(limit.span, "LIMIT", "limits come with the issue on changing results");
            return None;
        }
        let select = match &query.body {
            SetExpr::Select(select) => select,
            other => {
                self.not_yet(other.span(), "this kind of query", "UNION ALL, VALUES and the others come next");
                return None;
            }
        };
        let relation = self.select(select, pairs, owner).await?;
        if let Some(emit) = &query.emit
            && emit.mode == EmitMode::Changes
            && select.time_window.is_some()
        {
            self.not_yet(emit.span, "EMIT CHANGES of a window", "early results come with the issue on changing results");
            return None;
        }
        Some(relation)
    }

    async fn from(&mut self, item: &FromItem, pairs: &mut Pairs, owner: &str) -> Option<Relation> {
        let mut relation = match &item.kind {
            RelationKind::Named { name, properties, as_of } => {
                if let Some(as_of) = as_of {
                    self.not_yet(as_of.span, "FOR SYSTEM_TIME AS OF", "it comes with reference tables and joins");
                    return None;
                }
                let mut own = pairs.take_prefixed(&name.text(), name.span());
                own.pairs.extend(Pairs::new(&properties.entries, name.span()).pairs);
                match self.catalog.get(name) {
                    Some(Object::Relation { relation, .. }) => relation.clone(),
                    Some(Object::Sink(_)) => {
                        self.error(
                            Diagnostic::error(codes::UNKNOWN_RELATION, name.span(), format!("'{}' is a sink and cannot be read", name.text()))
                                .help("declare it as a STREAM to read and write it"),
                        );
                        return None;
                    }
                    None if own.pairs.is_empty() => {
                        let diagnostic = self.unknown_relation(name);
                        self.error(diagnostic);
                        return None;
                    }
                    None => self.bound_in_place(name, own).await?,
                }
            }
            RelationKind::Derived { query, lateral: false } => Box::pin(self.query(query, pairs, owner)).await?,
            _ => {
                self.not_yet(item.span, "this kind of relation", "table functions and patterns come with later issues");
                return None;
            }
        };
        if let Some(alias) = &item.alias {
            for column in &mut relation.scope.columns {
                column.relation = Some(alias.name.value.clone());
            }
            rename(&mut relation.scope, &alias.columns);
        }
        Some(relation)
    }

    async fn bound_in_place(&mut self, name: &velo_sql::ast::ObjectName, own: Pairs) -> Option<Relation> {
        let source = self.resolver().source(&own)?;
        let declared = match source.binding.infer_schema().await {
            Ok(schema) => schema,
            Err(error) => {
                self.error(Diagnostic::error(codes::CONNECTOR, name.span(), error.to_string()));
                return None;
            }
        };
        let relation = self.source_relation(name, source, declared, &own)?;
        self.catalog.add(name, Object::Relation { relation: relation.clone(), writable: None });
        Some(relation)
    }

    async fn select(&mut self, select: &Select, pairs: &mut Pairs, owner: &str) -> Option<Relation> {
        if let Some(distinct) = &select.distinct {
            self.not_yet(distinct.span, "DISTINCT", "it comes with the issue on changing results");
            return None;
        }
        let input = match select.from.as_slice() {
            [one] if one.joins.is_empty() => self.from(&one.relation, pairs, owner).await?,
            [] => {
                self.not_yet(select.span, "SELECT without FROM", "it comes with VALUES");
                return None;
            }
            _ => {
                self.not_yet(select.span, "a join", "joins come with reference tables");
                return None;
            }
        };
        let input = self.filter(input, select.selection.as_ref(), owner)?;
        let window = match &select.time_window {
            Some(window) => Some(self.window_clause(window, &input)?),
            None => None,
        };
        let mut scope = input.scope.clone();
        if window.is_some() {
            scope.columns.extend(window_columns());
        }
        let mut aggregates: Vec<AggregateCall> = Vec::new();
        let items = self.items(select, &scope, &mut aggregates)?;
        let keys = self.group_keys(select, &input.scope, &items)?;
        let having = match &select.having {
            Some(having) => {
                let aliased = with_aliases(&scope, &items);
                let mut binder = self.binder(&aliased, Ok(&mut aggregates));
                Some(binder.condition(having, "HAVING")?)
            }
            None => None,
        };
        let grouped = window.is_some() || !keys.is_empty() || !aggregates.is_empty() || select.group_by.is_some();
        if !grouped {
            if let Some(having) = &select.having {
                self.error(Diagnostic::error(codes::NOT_GROUPED, having.span, "HAVING needs a GROUP BY or an aggregate").help("use WHERE"));
                return None;
            }
            return Some(self.project(&input, items, owner));
        }
        self.aggregate(select, input, keys, aggregates, window, items, having, owner)
    }

    fn binder<'b>(&'b mut self, scope: &'b Scope, aggregates: Result<&'b mut Vec<AggregateCall>, &'static str>) -> ExprBinder<'b> {
        ExprBinder {
            scope,
            functions: &self.context.functions,
            script: self.script,
            diagnostics: &mut self.diagnostics,
            aggregates,
            named: Vec::new(),
        }
    }

    fn filter(&mut self, input: Relation, condition: Option<&Ast>, owner: &str) -> Option<Relation> {
        let Some(condition) = condition else { return Some(input) };
        let bound = self.binder(&input.scope, Err("WHERE")).condition(condition, "WHERE")?;
        let schema = self.plan.nodes[input.node.0].schema.clone();
        let node = self.node(NodeKind::Filter(bound.expr), vec![input.node], schema, owner);
        Some(Relation { node, ..input })
    }

    /// The select list with `*` written out; all mistakes in it are found.
    fn items(&mut self, select: &Select, scope: &Scope, aggregates: &mut Vec<AggregateCall>) -> Option<Vec<Item>> {
        let mut items = Vec::new();
        let mut failed = false;
        for item in &select.items {
            match item {
                SelectItem::Expr { expr, alias, .. } => {
                    let bound = self.binder(scope, Ok(&mut *aggregates)).bind(expr);
                    match bound {
                        Some(typed) => items.push(Item { typed, name: name_of(expr, alias.as_ref(), self.script) }),
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

    fn star(&mut self, scope: &Scope, relation: Option<&Ident>, except: &[Ident], span: Span, items: &mut Vec<Item>) -> bool {
        let of_relation: Vec<&ScopeColumn> = visible(scope)
            .filter(|column| match (relation, &column.relation) {
                (None, _) => true,
                (Some(wanted), Some(have)) => wanted.matches(have),
                (Some(_), None) => false,
            })
            .collect();
        if of_relation.is_empty() {
            let name = relation.map_or("*".to_owned(), |relation| format!("{}.*", relation.value));
            self.error(Diagnostic::error(codes::UNKNOWN_RELATION, span, format!("{name} has no columns")));
            return false;
        }
        for left_out in except {
            if !of_relation.iter().any(|column| left_out.matches(&column.name)) {
                let message = format!("there is no column '{}' to leave out", left_out.value);
                self.error(Diagnostic::error(codes::UNKNOWN_COLUMN, left_out.span, message));
                return false;
            }
        }
        for column in of_relation {
            if except.iter().any(|left_out| left_out.matches(&column.name)) {
                continue;
            }
            let typed = Typed {
                expr: Expr::Column(Column::new_unqualified(column.field.name())),
                data_type: column.field.data_type().clone(),
                nullable: column.field.is_nullable(),
                unknown: false,
                span,
            };
            items.push(Item { typed, name: column.name.clone() });
        }
        true
    }

    /// The grouping keys: expressions over the input, ordinals and aliases of the select list.
    fn group_keys(&mut self, select: &Select, scope: &Scope, items: &[Item]) -> Option<Vec<Typed>> {
        let mut keys: Vec<Typed> = Vec::new();
        let Some(group_by) = &select.group_by else { return Some(keys) };
        let mut failed = false;
        for item in &group_by.items {
            let expr = match item {
                GroupByItem::Expr(expr) => expr,
                GroupByItem::Empty(_) => continue,
                GroupByItem::GroupingSets { span, .. } | GroupByItem::Rollup { span, .. } | GroupByItem::Cube { span, .. } => {
                    self.not_yet(*span, "GROUPING SETS, ROLLUP and CUBE", "they come with the issue on changing results");
                    failed = true;
                    continue;
                }
            };
            match self.group_key(expr, scope, items) {
                Some(key) if !keys.iter().any(|other| other.expr == key.expr) => keys.push(key),
                Some(_) => {}
                None => failed = true,
            }
        }
        (!failed).then_some(keys)
    }

    fn group_key(&mut self, expr: &Ast, scope: &Scope, items: &[Item]) -> Option<Typed> {
        match &expr.without_parentheses().kind {
            ExprKind::Literal(Literal::Number(text)) => {
                let at = text.parse::<usize>().ok().and_then(|ordinal| ordinal.checked_sub(1));
                match at.and_then(|at| items.get(at)) {
                    Some(item) => Some(item.typed.clone()),
                    None => {
                        let message = format!("GROUP BY {text}: the select list has {} items", items.len());
                        self.error(Diagnostic::error(codes::NOT_GROUPED, expr.span, message));
                        None
                    }
                }
            }
            // A column of the input wins over an alias of the select list, as in PostgreSQL.
            ExprKind::Path(name) if name.parts.len() == 1 && scope.resolve(name).is_err() => {
                let alias = items.iter().find(|item| name.parts[0].matches(&item.name));
                match alias {
                    Some(item) => Some(item.typed.clone()),
                    None => self.binder(scope, Err("GROUP BY")).bind(expr),
                }
            }
            _ => self.binder(scope, Err("GROUP BY")).bind(expr),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one select, used once")]
    fn aggregate(
        &mut self,
        select: &Select,
        input: Relation,
        keys: Vec<Typed>,
        aggregates: Vec<AggregateCall>,
        window: Option<WindowSpec>,
        items: Vec<Item>,
        having: Option<Typed>,
        owner: &str,
    ) -> Option<Relation> {
        if window.is_none() && !self.plan.nodes[input.node.0].bounded {
            self.not_yet(select.span, "a GROUP BY without a window over an unbounded input", "add WINDOW TUMBLING(1m); changing results come later");
            return None;
        }
        let outputs: Vec<Output> = keys
            .iter()
            .enumerate()
            .map(|(at, key)| Output {
                expr: key.expr.clone(),
                field: Arc::new(Field::new(format!("$key{at}"), key.data_type.clone(), key.nullable)),
            })
            .collect();
        let mut fields: Vec<FieldRef> = outputs.iter().map(|output| Arc::clone(&output.field)).collect();
        fields.extend(aggregates.iter().map(|aggregate| Arc::clone(&aggregate.output)));
        if window.is_some() {
            fields.extend(window_columns().map(|column| column.field));
            fields.push(Arc::new(schema::event_time_field()));
        }
        let known: BTreeSet<String> = fields.iter().map(|field| field.name().clone()).collect();
        let windowed = window.is_some();
        let late = input.source.map_or_else(Default::default, |_| velo_eventtime::LateStrategy::default());
        let kind = NodeKind::Aggregate { keys: outputs, aggregates, window, late };
        let node = self.node(kind, vec![input.node], Arc::new(Schema::new(fields)), owner);
        let mut relation = Relation { node, scope: Scope::default(), event_time_columns: vec![], source: None };
        if let Some(having) = having {
            let condition = self.over_groups(having, &keys, &known)?;
            let schema = self.plan.nodes[node.0].schema.clone();
            relation.node = self.node(NodeKind::Filter(condition.expr), vec![node], schema, owner);
        }
        let mut over_groups = Vec::with_capacity(items.len());
        let mut failed = false;
        for item in items {
            match self.over_groups(item.typed, &keys, &known) {
                Some(typed) => over_groups.push(Item { typed, name: item.name }),
                None => failed = true,
            }
        }
        if failed {
            return None;
        }
        if windowed {
            relation.scope.columns.push(hidden_event_time());
        }
        Some(self.project(&relation, over_groups, owner))
    }

    /// An expression over the input as one over the groups: keys become their columns, and nothing else of the input is left.
    fn over_groups(&mut self, typed: Typed, keys: &[Typed], known: &BTreeSet<String>) -> Option<Typed> {
        let replaced = typed.expr.clone().transform_down(|expr| {
            Ok(match keys.iter().position(|key| key.expr == expr) {
                Some(at) => {
                    let column = Expr::Column(Column::new_unqualified(format!("$key{at}")));
                    Transformed::new(column, true, TreeNodeRecursion::Jump)
                }
                None => Transformed::no(expr),
            })
        });
        let Ok(replaced) = replaced else { return None };
        let stray = replaced.data.column_refs().into_iter().find(|column| !known.contains(column.name())).cloned();
        if let Some(column) = stray {
            self.error(
                Diagnostic::error(codes::NOT_GROUPED, typed.span, format!("'{}' is neither grouped by nor aggregated", column.name()))
                    .help(format!("add it to GROUP BY, or aggregate it, for example MAX({0}) or LAST({0})", column.name())),
            );
            return None;
        }
        Some(Typed { expr: replaced.data, ..typed })
    }

    /// The select list as a projection.
    fn project(&mut self, input: &Relation, items: Vec<Item>, owner: &str) -> Relation {
        let timed = input.scope.columns.iter().any(|column| column.field.name() == schema::EVENT_TIME);
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut outputs = Vec::with_capacity(items.len());
        let mut columns = Vec::with_capacity(items.len() + 1);
        let mut event_time_columns = Vec::new();
        for item in items {
            // Output names may repeat on the terminal; inside the plan they are unique.
            let mut unique = item.name.clone();
            let mut count = 1;
            while !names.insert(unique.clone()) {
                count += 1;
                unique = format!("{}#{count}", item.name);
            }
            let field: FieldRef = Arc::new(Field::new(&unique, item.typed.data_type.clone(), item.typed.nullable));
            if let Expr::Column(column) = &item.typed.expr
                && (column.name() == schema::EVENT_TIME || input.event_time_columns.iter().any(|name| name == column.name()))
            {
                event_time_columns.push(unique);
            }
            columns.push(ScopeColumn { relation: None, name: item.name, field: Arc::clone(&field), hidden: false });
            outputs.push(Output { expr: item.typed.expr, field });
        }
        let mut schema = Arc::new(Schema::new(outputs.iter().map(|output| Arc::clone(&output.field)).collect::<Vec<_>>()));
        if timed {
            columns.push(hidden_event_time());
            schema = schema::with_event_time(&schema);
        }
        for column in &mut columns {
            column.relation = Some(owner.to_owned());
        }
        let node = self.node(NodeKind::Project(outputs), vec![input.node], schema, owner);
        Relation { node, scope: Scope { columns }, event_time_columns, source: None }
    }
}

fn window_columns() -> impl Iterator<Item = ScopeColumn> {
    [("_window_start", WINDOW_START), ("_window_end", WINDOW_END)].into_iter().map(|(name, column)| ScopeColumn {
        relation: None,
        name: name.to_owned(),
        field: Arc::new(Field::new(column, types::TIMESTAMP, false)),
        hidden: true,
    })
}

fn hidden_event_time() -> ScopeColumn {
    ScopeColumn {
        relation: None,
        name: "_event_time".to_owned(),
        field: Arc::new(schema::event_time_field()),
        hidden: true,
    }
}

/// The select list's aliases can be named in HAVING too, where no column has the name.
fn with_aliases(scope: &Scope, items: &[Item]) -> Scope {
    let mut with = scope.clone();
    for item in items {
        let taken = with.columns.iter().any(|column| column.name.eq_ignore_ascii_case(&item.name));
        if !taken && let Expr::Column(column) = &item.typed.expr {
            with.columns.push(ScopeColumn {
                relation: None,
                name: item.name.clone(),
                field: Arc::new(Field::new(column.name(), item.typed.data_type.clone(), item.typed.nullable)),
                hidden: true,
            });
        }
    }
    with
}

fn rename(scope: &mut Scope, names: &[Ident]) {
    for (column, name) in scope.columns.iter_mut().filter(|column| !column.hidden).zip(names) {
        column.name.clone_from(&name.value);
    }
}

/// An unnamed expression is named by its text; a column by its own name.
fn name_of(expr: &Ast, alias: Option<&Ident>, script: &str) -> String {
    match (alias, &expr.without_parentheses().kind) {
        (Some(alias), _) => alias.value.clone(),
        (None, ExprKind::Path(name)) => name.last().map(|part| part.value.clone()).unwrap_or_default(),
        (None, _) => expr.span.text(script).split_whitespace().collect::<Vec<_>>().join(" "),
    }
}
