//! DISTINCT ON: the first row of each key, by the ORDER BY behind it.

use std::sync::Arc;

use arrow_schema::Schema;
use datafusion_common::Column;
use datafusion_expr::Expr;
use velo_core::schema;
use velo_sql::Diagnostic;
use velo_sql::ast::{Distinct, EmitMode, Expr as Ast, ExprKind, Ident, Literal, OrderByItem, Select};

use super::query::sort_key;
use super::scope::{Scope, ScopeColumn};
use super::select::{Item, with_aliases};
use crate::catalog::{ChangesPer, Relation};
use crate::codes;
use crate::plan::{AggregateCall, Emission, NodeKind, Output, SortKey, TopN};
use crate::planner::{Planner, visible};

/// What DISTINCT ON and its order go by, which need not be selected.
pub(super) fn hidden(select: &Select, order: &[OrderByItem]) -> Vec<Ast> {
    let on = select.distinct.iter().flat_map(|distinct| &distinct.on);
    match on.clone().next() {
        Some(_) => on.chain(order.iter().map(|item| &item.expr)).cloned().collect(),
        None => Vec::new(),
    }
}

fn named<'a>(items: &'a [Item], name: &Ident) -> Option<&'a Item> {
    items.iter().find(|item| item.aliased && name.matches(&item.name))
}

/// What a column is made from.
fn computed<'a>(outputs: &'a [Output], column: &ScopeColumn) -> Option<&'a Expr> {
    outputs.iter().find(|output| output.field.name() == column.field.name()).map(|output| &output.expr)
}

impl Planner<'_> {
    /// Expressions behind the select list: ordinals and aliases of it, columns of the input, or anything over them.
    pub(super) fn hidden_items(
        &mut self,
        exprs: &[Ast],
        scope: &Scope,
        items: &[Item],
        aggregates: &mut Vec<AggregateCall>,
    ) -> Option<Vec<Item>> {
        let known = with_aliases(scope, items);
        let mut found = Vec::with_capacity(exprs.len());
        let mut failed = false;
        for (at, expr) in exprs.iter().enumerate() {
            let typed = match &expr.without_parentheses().kind {
                ExprKind::Literal(Literal::Number(text)) => {
                    let place = text.parse::<usize>().ok().and_then(|ordinal| ordinal.checked_sub(1));
                    let item = place.and_then(|place| items.get(place)).map(|item| item.typed.clone());
                    if item.is_none() {
                        self.error(
                            Diagnostic::error(
                                codes::UNKNOWN_COLUMN,
                                expr.span,
                                format!("there is no column number {text}"),
                            )
                            .help(format!("the selected columns are counted, here from 1 to {}", items.len())),
                        );
                    }
                    item
                }
                // A name of the select list stands before a column of the input, as in the ORDER BY of PostgreSQL.
                ExprKind::Path(name) if name.parts.len() == 1 && named(items, &name.parts[0]).is_some() => {
                    named(items, &name.parts[0]).map(|item| item.typed.clone())
                }
                _ => self.binder(&known, Ok(&mut *aggregates)).bind(expr),
            };
            match typed {
                Some(typed) => found.push(Item { typed, name: format!("$hidden{at}"), aliased: false, key: false }),
                None => failed = true,
            }
        }
        (!failed).then_some(found)
    }

    /// One row of `relation` for each key; its last columns are the keys and the order, which are taken off again.
    pub(super) fn distinct_on(
        &mut self,
        relation: Relation,
        distinct: &Distinct,
        order: &[OrderByItem],
        owner: &str,
    ) -> Option<Relation> {
        let bounded = self.is_bounded(relation.node);
        if !bounded && self.query.emit == Some(EmitMode::Final) {
            self.error(
                Diagnostic::error(
                    codes::UNBOUNDED,
                    distinct.span,
                    "EMIT FINAL of DISTINCT ON needs an input that ends, and this one does not",
                )
                .help("write EMIT CHANGES; with GROUP BY and a WINDOW, FIRST(x) and LAST(x) are of each window"),
            );
            return None;
        }
        let early = !bounded || self.query.emit == Some(EmitMode::Changes);
        let columns: Vec<ScopeColumn> = visible(&relation.scope).cloned().collect();
        let own = columns.len().checked_sub(distinct.on.len() + order.len())?;
        let (shown, hidden) = columns.split_at(own);
        let (on, by) = hidden.split_at(distinct.on.len());
        self.order_begins_with(&relation, on, by, order)?;
        let known = if early { self.shown_keys(&relation, on, shown) } else { relation.identity.clone() };
        let relation = if early { relation } else { self.folded(relation, owner) };
        let expr = |column: &ScopeColumn| Expr::Column(Column::new_unqualified(column.field.name()));
        let keys: Vec<Expr> = on.iter().map(expr).collect();
        let order: Vec<SortKey> = order.iter().zip(by).map(|(item, column)| sort_key(item, expr(column))).collect();
        let full = self.plan.nodes[relation.node.0].schema.clone();
        let node = if early {
            let append = self.changes(relation.node).is_append();
            self.kept_for_ever(
                &relation,
                distinct.span,
                if append { "the first row of every key" } else { "every row" },
            );
            let per_record = self.query.properties.changes_per == ChangesPer::Record;
            let mut top = TopN {
                partition_by: keys,
                order_by: order,
                limit: Some(1),
                rank: None,
                per_window: false,
                emission: Emission { early, per_record, ..Emission::default() },
                late: None,
            };
            top.emission.interval = self.top_interval(&top, distinct.span, "DISTINCT ON")?;
            self.node(NodeKind::TopN(top), vec![relation.node], full, owner)
        } else {
            let sorted = !order.is_empty();
            let node = self.node(
                NodeKind::DistinctOn { keys, order: order.clone() },
                vec![relation.node],
                full.clone(),
                owner,
            );
            if sorted { self.node(NodeKind::Sort(order), vec![node], full, owner) } else { node }
        };
        let outputs: Vec<Output> =
            shown.iter().map(|column| Output { expr: expr(column), field: Arc::clone(&column.field) }).collect();
        let mut output =
            Arc::new(Schema::new(outputs.iter().map(|output| Arc::clone(&output.field)).collect::<Vec<_>>()));
        let mut scope: Vec<ScopeColumn> = shown.to_vec();
        if relation.has_event_time() {
            output = schema::with_event_time(&output);
            scope.push(super::select::hidden_event_time());
        }
        let node = self.node(NodeKind::Project(outputs), vec![node], output, owner);
        let is_shown = |name: &String| shown.iter().any(|column| column.field.name() == name);
        Some(Relation {
            node,
            scope: Scope::of(scope),
            event_time_columns: relation.event_time_columns.iter().filter(|name| is_shown(name)).cloned().collect(),
            windowed: false,
            identity: known,
            ..relation
        })
    }

    /// The selected columns that are the keys; none where a key is not selected.
    fn shown_keys(&self, relation: &Relation, on: &[ScopeColumn], shown: &[ScopeColumn]) -> Vec<String> {
        let NodeKind::Project(outputs) = &self.plan.nodes[relation.node.0].kind else { return Vec::new() };
        let computed = |column: &ScopeColumn| computed(outputs, column);
        let key = |key: &ScopeColumn| {
            let same = |column: &&ScopeColumn| computed(column).is_some() && computed(column) == computed(key);
            shown.iter().find(same).map(|column| column.field.name().clone())
        };
        on.iter().map(key).collect::<Option<_>>().unwrap_or_default()
    }

    /// As in PostgreSQL, the order begins with the columns of ON, in any order of their own.
    fn order_begins_with(
        &mut self,
        relation: &Relation,
        on: &[ScopeColumn],
        by: &[ScopeColumn],
        order: &[OrderByItem],
    ) -> Option<()> {
        let NodeKind::Project(outputs) = &self.plan.nodes[relation.node.0].kind else { return Some(()) };
        let computed = |column: &ScopeColumn| computed(outputs, column).cloned();
        let on: Vec<Option<Expr>> = on.iter().map(computed).collect();
        let mut left = on.clone();
        for (item, column) in order.iter().zip(by) {
            if left.is_empty() {
                break;
            }
            let expr = computed(column);
            if !on.contains(&expr) {
                self.error(
                    Diagnostic::error(
                        codes::ARGUMENTS,
                        item.expr.span,
                        "the ORDER BY of DISTINCT ON begins with something that is not in ON (…)",
                    )
                    .help("order by the expressions of ON first, and then by what decides which of their rows is the first"),
                );
                return None;
            }
            left.retain(|other| *other != expr);
        }
        Some(())
    }
}
