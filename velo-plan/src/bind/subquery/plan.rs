//! A sub-query planned: where its rows are, and what its columns are called there.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{FieldRef, Schema};
use datafusion_expr::{Expr, Operator};
use velo_core::schema;
use velo_sql::ast::visit::Visitor;
use velo_sql::ast::{Expr as Ast, ExprKind, Literal, Query, Select, SelectItem, SetExpr};
use velo_sql::{Diagnostic, Span};

use super::correlate::{Bare, Correlation};
use super::find::{self, Form, Found, Names, has_subquery};
use super::{INNER, Pair, Planned, Rows, Subqueries, as_outer, column, columns_of, of_outer, renamed};
use crate::bind::expr::Typed;
use crate::bind::join::conjuncts;
use crate::bind::row_window::RowWindows;
use crate::bind::scope::{Scope, ScopeColumn, unique};
use crate::catalog::{Pairs, Relation, Table};
use crate::codes;
use crate::plan::{NodeId, NodeKind, Output, TableColumn, TableFeed, TableId, TableNode, Upkeep};
use crate::planner::{Planner, visible};

impl Planner<'_> {
    /// Plans the sub-queries of expressions over a relation.
    pub(in crate::bind) async fn subqueries(
        &mut self,
        outer: &Relation,
        exprs: &[&Ast],
        pairs: &mut Pairs,
        owner: &str,
    ) -> Option<Subqueries> {
        let mut all = Subqueries::default();
        let mut failed = false;
        for expr in exprs {
            let mut found = find::Subqueries::default();
            found.expr(expr);
            let kept = matches!(expr.without_parentheses().kind, ExprKind::InSubquery { negated: false, .. });
            for (at, found) in found.0.iter().enumerate() {
                self.query.outer.push(as_outer(&outer.scope));
                let emit = self.query.emit.take();
                let planned = Box::pin(self.subquery(found, at == 0 && kept, outer, pairs, owner)).await;
                self.query.emit = emit;
                self.query.outer.pop();
                match planned {
                    Some(planned) => all.planned.push(planned),
                    None => failed = true,
                }
            }
        }
        (!failed).then_some(all)
    }

    /// Plans one. `kept`: it only decides which rows are kept, so that false and unknown are one.
    async fn subquery(
        &mut self,
        found: &Found,
        kept: bool,
        outer: &Relation,
        pairs: &mut Pairs,
        owner: &str,
    ) -> Option<Planned> {
        self.query.subqueries += 1;
        let number = self.query.subqueries;
        let span = found.query.span;
        if let Some(emit) = &found.query.emit {
            self.error(
                Diagnostic::error(codes::ARGUMENTS, emit.span, "EMIT belongs to the outer query")
                    .help("leave it out: a sub-query gives the rows that stand"),
            );
            return None;
        }
        let (query, first) = self.simplified(&found.query, found.form);
        let select = match (&query.body, &query.with) {
            (SetExpr::Select(select), None) if query.limit.is_none() && query.offset.is_none() && !first => {
                Some(select)
            }
            _ => None,
        };
        if let Some(select) = select {
            if self.is_computed(select) {
                let values = self.selected(select, &Scope::default())?;
                let values = values.into_iter().map(of_outer).collect();
                let rows = Rows::Outer;
                let (pairs, conditions) = (Vec::new(), Vec::new());
                return Some(Planned { span, number, rows, values, pairs, conditions, always: true, missing: None });
            }
            if let Some(table) = self.looked_up_directly(select, found.form, kept, outer, pairs)
                && let Some(planned) = self.of_table(select, (found.form, span), number, &table)?
            {
                return Some(planned);
            }
        }
        let mut tie = match &query.body {
            SetExpr::Select(select) => Some(Correlation::of(select.span)),
            _ => None,
        };
        let query = match &mut tie {
            Some(tie) if first => {
                tie.first_by = Some(query.order_by.clone());
                Query { order_by: Vec::new(), limit: None, ..query }
            }
            _ => query,
        };
        if let Some(tie) = &mut tie {
            tie.limited = query.limit.as_ref().or(query.offset.as_ref()).map(|limit| limit.span);
        }
        let outer_tie = std::mem::replace(&mut self.query.correlation, tie);
        self.query.correlated = None;
        let relation = Box::pin(self.query(&query, pairs, owner)).await;
        self.query.correlation = outer_tie;
        let tie = self.query.correlated.take().unwrap_or_default();
        let relation = relation?;
        if self.is_uncut(relation.node) {
            return None;
        }
        self.of_query(&query, span, number, relation, tie, outer, owner)
    }

    /// The query without what changes nothing of what is asked of it, and whether only its first row is asked for.
    fn simplified(&self, query: &Query, form: Form) -> (Query, bool) {
        let mut query = query.clone();
        while let Query { body: SetExpr::Query(inner), with: None, limit: None, offset: None, .. } = &query
            && query.order_by.is_empty()
        {
            query = Query { span: query.span, ..inner.as_ref().clone() };
        }
        let number = |limit: &Ast| match &limit.without_parentheses().kind {
            ExprKind::Literal(Literal::Number(text)) => text.parse::<u64>().ok(),
            _ => None,
        };
        let limit = query.limit.as_ref().map(number);
        if form == Form::Exists && query.offset.is_none() && matches!(limit, Some(Some(1..))) {
            query.limit = None;
        }
        let plain = match &query.body {
            SetExpr::Select(select) => select.distinct.is_none() && select.qualify.is_none(),
            _ => false,
        };
        let first = plain && query.limit.is_some() && query.offset.is_none() && limit == Some(Some(1));
        (query, first && form != Form::Exists)
    }

    /// Whether a SELECT only computes something of the outer row.
    fn is_computed(&self, select: &Select) -> bool {
        select.from.is_empty() && select.selection.is_none() && select.distinct.is_none() && self.is_plain(select)
    }

    /// Whether a SELECT has no clause but FROM and WHERE, and gives a row for each of them.
    fn is_plain(&self, select: &Select) -> bool {
        let clauses = select.group_by.is_some()
            || select.having.is_some()
            || select.qualify.is_some()
            || select.time_window.is_some()
            || !select.named_windows.is_empty();
        let aggregates = |names: &Names| {
            names.over || names.calls.iter().any(|name| name == "delta" || self.functions.is_aggregate(name))
        };
        let plain = |item: &SelectItem| match item {
            SelectItem::Expr { expr, .. } => !has_subquery(expr) && !aggregates(&Names::of(expr)),
            _ => true,
        };
        !clauses && select.items.iter().all(plain)
    }

    /// The table that a sub-query is looked up in as it is.
    fn looked_up_directly(
        &self,
        select: &Select,
        form: Form,
        kept: bool,
        outer: &Relation,
        pairs: &Pairs,
    ) -> Option<Table> {
        let [from] = select.from.as_slice() else { return None };
        let distinct = select.distinct.as_ref().is_some_and(|distinct| form == Form::Value || !distinct.on.is_empty());
        let in_condition = select.selection.as_ref().is_some_and(has_subquery);
        if !from.joins.is_empty() || distinct || in_condition || !self.is_plain(select) {
            return None;
        }
        if matches!(&from.relation.kind, velo_sql::ast::RelationKind::Named { as_of: Some(_), .. }) {
            return None;
        }
        let table = self.table_of(&from.relation, pairs)?;
        // A table that changes takes back what it made of another one's rows.
        if self.is_of_tables(outer.node) && !self.plan.is_settled(table.id) {
            return None;
        }
        // Where it matters whether a value is unknown, all rows are asked; those of a condition are a table of their own.
        let free = select.selection.as_ref().is_some_and(|condition| {
            conjuncts(condition).iter().all(|condition| !self.names_outer(condition, &table.scope))
        });
        let asks_all = matches!(form, Form::Member | Form::Compared) && !kept;
        (!(asks_all && free)).then_some(table)
    }

    /// What a SELECT computes over its rows and those of the outer query.
    fn selected(&mut self, select: &Select, scope: &Scope) -> Option<Vec<Typed>> {
        if let [SelectItem::Expr { expr, .. }] = select.items.as_slice() {
            let mut binder = self.binder(scope, Err("a sub-query"));
            binder.correlates = true;
            return Some(vec![binder.bind(expr)?]);
        }
        let items = self.items(select, scope, &mut Vec::new(), &mut RowWindows::default(), None)?;
        Some(items.into_iter().map(|item| item.typed).collect())
    }

    /// A sub-query that is looked up in its table; none where that cannot be done.
    fn of_table(
        &mut self,
        select: &Select,
        (form, span): (Form, Span),
        number: usize,
        table: &Table,
    ) -> Option<Option<Planned>> {
        let item = &select.from[0].relation;
        let schema = Arc::clone(&self.plan.tables[table.id.0].schema);
        let columns = table_columns(&schema, number);
        let called = match (&item.alias, &item.kind) {
            (Some(alias), _) => Some(alias.name.value.clone()),
            (None, velo_sql::ast::RelationKind::Named { name, .. }) => name.parts.last().map(|part| part.value.clone()),
            _ => None,
        };
        let field = |name: &str| {
            let column = columns.iter().find(|column| schema.field(column.column).name() == name)?;
            Some(Arc::clone(&column.field))
        };
        let scope = table.scope.columns.iter().filter_map(|column| {
            Some(ScopeColumn { relation: called.clone(), field: field(column.field.name())?, ..column.clone() })
        });
        let mut relation = Relation::new(NodeId(0), Scope::of(scope.collect()));
        let names = item.alias.as_ref().map(|alias| alias.columns.as_slice()).unwrap_or_default();
        self.name_columns(&mut relation, names)?;
        let scope = relation.scope;
        let mut tie = Correlation::of(select.span);
        let mut conditions = Vec::new();
        let mut failed = false;
        for condition in select.selection.iter().flat_map(conjuncts) {
            if self.names_outer(condition, &scope) {
                failed |= self.correlate(&mut tie, &[condition], &scope).is_none();
                continue;
            }
            match self.binder(&scope, Err("WHERE")).condition(condition, "WHERE") {
                Some(typed) => conditions.push(typed),
                None => failed = true,
            }
        }
        let values = self.selected(select, &scope);
        if failed {
            return None;
        }
        let values = values?;
        let is_column = |typed: &Typed| matches!(typed.expr, Expr::Column(_));
        let keyed = tie.pairs.iter().any(|pair| is_column(&pair.inner));
        let of_outer_row = values.iter().flat_map(|typed| columns_of(&typed.expr)).any(|name| super::is_outer(&name));
        // A row is there where its key is.
        let found = tie.pairs.iter().find(|pair| is_column(&pair.inner)).map(|pair| pair.inner.expr.clone());
        let computed = form != Form::Exists && values.iter().any(|typed| !is_column(typed));
        let sure = found.is_some() || !(computed && form == Form::Value);
        let better = (!tie.pairs.is_empty() && !keyed) || (computed && form == Form::Member);
        if !sure || (better && !of_outer_row) {
            if of_outer_row {
                self.error(
                    Diagnostic::error(
                        codes::NOT_SUPPORTED,
                        values[0].span,
                        "a sub-query that computes with columns of both queries cannot run yet where no column of its table is equal to one of the outer query",
                    )
                    .help("select the column of the table alone, and compute outside of the sub-query"),
                );
                return None;
            }
            return Some(None);
        }
        let missing = (computed && form == Form::Value).then(|| {
            Some((found?, Expr::Literal(datafusion_common::ScalarValue::try_from(&values[0].data_type).ok()?, None)))
        });
        conditions.extend(tie.conditions);
        Some(Some(Planned {
            span,
            number,
            rows: Rows::Table { table: table.id, columns, one: table.one_row },
            values: values.into_iter().map(of_outer).collect(),
            pairs: tie.pairs.into_iter().map(own_names).collect(),
            conditions: conditions.into_iter().map(of_outer).collect(),
            always: false,
            missing: missing.flatten(),
        }))
    }

    /// A sub-query whose rows are those of a relation: a table of its own, or a stream.
    #[expect(clippy::too_many_arguments, reason = "they are what is known of one sub-query")]
    fn of_query(
        &mut self,
        query: &Query,
        span: Span,
        number: usize,
        relation: Relation,
        tie: Correlation,
        outer: &Relation,
        owner: &str,
    ) -> Option<Planned> {
        let bounded = self.is_bounded(relation.node);
        let relation = if bounded { self.folded(relation, owner) } else { relation };
        let (relation, names) = self.named_for_itself(relation, &tie, owner);
        let one = self.is_one_row(relation.node);
        let settled = bounded || !self.is_of_tables(outer.node);
        let rows = match !self.reads_stream(relation.node) && settled {
            true => self.own_table(&relation, span, number, one, owner),
            false => {
                let columns = table_columns(&self.plan.nodes[relation.node.0].schema, number);
                let fields = columns.into_iter().map(|column| column.field).collect();
                Rows::Stream(fields, Box::new(relation.clone()))
            }
        };
        let schema = Arc::clone(&self.plan.nodes[relation.node.0].schema);
        let items = match &query.body {
            SetExpr::Select(select) => select.items.as_slice(),
            _ => &[],
        };
        let typed = |at: usize, place: Span| {
            let field = schema.field_with_name(names.get(at)?).ok()?;
            Some(Typed {
                expr: column(&own_name(number, field.name())),
                data_type: field.data_type().clone(),
                nullable: field.is_nullable(),
                unknown: false,
                span: place,
            })
        };
        let (selected, read, sign) = tie.places(names.len());
        let place = |at: usize| match items.get(at) {
            Some(SelectItem::Expr { expr, .. }) if items.len() == selected => expr.span,
            _ => span,
        };
        let values = (0..selected).map(|at| typed(at, place(at))).collect::<Option<Vec<_>>>()?;
        let mut pairs = Vec::with_capacity(tie.pairs.len());
        for (at, pair) in tie.pairs.iter().enumerate() {
            let inner = typed(selected + at, pair.inner.span)?;
            let outer = of_outer(pair.outer.clone());
            let (place, scope) = (pair.whole.span, Scope::default());
            let sides = (outer.clone(), inner.clone());
            let whole = self.binder(&scope, Err("WHERE")).compare(Operator::Eq, sides.0, sides.1, place, place)?;
            pairs.push(Pair { outer, inner, whole });
        }
        let conditions = tie.conditions.iter().map(|condition| {
            let name = |name: &str| tie.read_at(name).map(|at| own_name(number, &names[read + at]));
            of_outer(Typed { expr: renamed(&condition.expr, &name), ..condition.clone() })
        });
        let conditions = conditions.collect();
        let missing = match &tie.bare {
            Some(Bare { missing: Some(missing) }) => Some((typed(sign, span)?.expr, missing.clone())),
            _ => None,
        };
        let always = missing.is_some();
        Some(Planned { span, number, rows, values, pairs, conditions, always, missing })
    }

    /// The columns of a sub-query under names that say what they are; returns the names, in their order.
    fn named_for_itself(&mut self, relation: Relation, tie: &Correlation, owner: &str) -> (Relation, Vec<String>) {
        let mut taken = BTreeSet::new();
        let columns: Vec<ScopeColumn> = visible(&relation.scope).cloned().collect();
        let (keys, read, _) = tie.places(columns.len());
        let mut outputs = Vec::with_capacity(columns.len());
        let mut identity = relation.identity.clone();
        for (at, known) in columns.iter().enumerate() {
            let own = match (keys..read).contains(&at) {
                true => tie.key_name(at - keys, self.script),
                false => known.name.trim_start_matches('$').to_owned(),
            };
            let name = unique(&own, &mut taken);
            for part in identity.iter_mut().filter(|part| *part == known.field.name()) {
                part.clone_from(&name);
            }
            let field: FieldRef = Arc::new(known.field.as_ref().clone().with_name(&name));
            outputs.push(Output { expr: column(known.field.name()), field });
        }
        let names: Vec<String> = outputs.iter().map(|output| output.field.name().clone()).collect();
        // What it is known by has to be there.
        if !identity.iter().all(|name| names.contains(name)) {
            identity.clear();
        }
        let own = Arc::new(Schema::new(outputs.iter().map(|output| Arc::clone(&output.field)).collect::<Vec<_>>()));
        let input = Arc::clone(&self.plan.nodes[relation.node.0].schema);
        let schema = match schema::event_time_index(&input) {
            Some(_) => schema::with_event_time(&own),
            None => own,
        };
        let same = |output: &Output| matches!(&output.expr, Expr::Column(known) if known.name() == output.field.name());
        let node = match outputs.iter().all(same) && schema == input {
            true => relation.node,
            false => self.node(NodeKind::Project(outputs), vec![relation.node], schema, owner),
        };
        (Relation { node, identity, ..relation }, names)
    }

    /// Whether rows of a stream are among those of a node.
    pub(super) fn reads_stream(&self, node: NodeId) -> bool {
        let is_stream = |node: &NodeId| matches!(self.plan.nodes[node.0].kind, NodeKind::Source(_));
        self.plan.upstream(node).iter().any(is_stream)
    }

    /// A table that holds the rows of a sub-query.
    fn own_table(&mut self, relation: &Relation, place: Span, number: usize, one: bool, owner: &str) -> Rows {
        let schema = Arc::clone(&self.plan.nodes[relation.node.0].schema);
        let key: Vec<usize> = relation.identity.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let publish = self.query_table_properties(&Pairs::default()).map(|properties| properties.publish);
        let upkeep = Upkeep { publish: publish.unwrap_or(velo_core::duration::Span(100_000)), ..Upkeep::default() };
        self.plan.tables.push(TableNode {
            name: format!("sub-query {number} of {owner}"),
            feed: TableFeed::Query(relation.node),
            schema: Arc::clone(&schema),
            indexes: if key.is_empty() { vec![] } else { vec![key.clone()] },
            key,
            null_keys: true,
            keeps_versions: false,
            upkeep,
            place,
        });
        let table = TableId(self.plan.tables.len() - 1);
        self.node(NodeKind::TableSink(table), vec![relation.node], Arc::clone(&schema), owner);
        Rows::Table { table, columns: table_columns(&schema, number), one }
    }
}

/// The name of a column of a sub-query beside those of the outer query.
pub(super) fn own_name(number: usize, name: &str) -> String {
    format!("{INNER}{number}.{name}")
}

fn table_columns(schema: &Schema, number: usize) -> Vec<TableColumn> {
    let renamed = |field: &FieldRef| Arc::new(field.as_ref().clone().with_name(own_name(number, field.name())));
    let fields = schema.fields().iter().enumerate();
    fields.map(|(column, field)| TableColumn { column, field: renamed(field) }).collect()
}

fn own_names(pair: Pair) -> Pair {
    Pair { outer: of_outer(pair.outer), inner: pair.inner, whole: of_outer(pair.whole) }
}
