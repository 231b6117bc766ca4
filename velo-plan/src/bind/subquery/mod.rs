//! Sub-queries in expressions: each becomes a join below the node that evaluates the expression, which reads the join's column.
//!
//! A sub-query is planned before the expression is bound ([`plan`]): its rows are those of a table, or of a stream that changes
//! the answer as long as it goes on, and equalities with columns of the outer query become keys ([`correlate`]). What the
//! expression asks of these rows ([`test`]) decides the kind of the join, which [`place`] puts under the expression.

mod clauses;
mod correlate;
mod find;
mod place;
mod plan;
mod test;

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema};
use datafusion_common::Column;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::Expr;
use velo_sql::Span;
use velo_sql::ast::Expr as Ast;

pub(crate) use correlate::Correlation;
pub(super) use find::has_subquery;

use super::expr::Typed;
use super::scope::Scope;
use crate::catalog::{Pairs, Relation};
use crate::plan::{JoinKind, NodeKind, TableColumn, TableId};
use crate::planner::Planner;

/// How the plan columns of sub-queries begin; no name of a script does.
pub(super) const INNER: &str = "$sub";
/// How columns of the outer query begin while a sub-query is bound.
pub(super) const OUTER: &str = "$outer.";

/// A sub-query whose rows can be asked for.
#[derive(Debug)]
pub struct Planned {
    /// The query.
    span: Span,
    /// Its number, which its columns begin with.
    number: usize,
    rows: Rows,
    /// What it selects, over its own columns.
    values: Vec<Typed>,
    /// What a row must have in common with that of the outer query.
    pairs: Vec<Pair>,
    /// What else must hold of both.
    conditions: Vec<Typed>,
    /// Whether there is exactly one row for every outer row, as of an aggregate without GROUP BY.
    always: bool,
    /// Of such one: a column of its rows that is never NULL, and what it gives where there is none.
    missing: Option<(Expr, Expr)>,
}

/// Where the rows of a sub-query are.
#[derive(Debug)]
enum Rows {
    /// In a table; its columns under their names here.
    Table { table: TableId, columns: Vec<TableColumn>, one: bool },
    /// They come, and may change; their columns under their names here.
    Stream(Vec<FieldRef>, Box<Relation>),
    /// There is one, computed of the outer row.
    Outer,
}

/// An equality between the outer query and the sub-query.
#[derive(Debug, Clone)]
struct Pair {
    outer: Typed,
    inner: Typed,
    /// The comparison as a condition.
    whole: Typed,
}

/// The sub-queries of a SELECT, and what its expressions ask of them.
#[derive(Debug, Default)]
pub struct Subqueries {
    planned: Vec<Planned>,
    pub(super) asked: Vec<Asked>,
}

/// A join that an expression reads.
#[derive(Debug)]
pub struct Asked {
    /// Which sub-query.
    planned: usize,
    kind: JoinKind,
    pairs: Vec<Pair>,
    conditions: Vec<Typed>,
    /// The place of the membership among the pairs.
    member: Option<usize>,
    /// The columns of the sub-query that come out.
    out: Vec<String>,
    /// The column of the truth.
    mark: Option<FieldRef>,
    span: Span,
}

impl Asked {
    /// What it reads of the outer query, to be changed.
    pub(super) fn expressions_mut(&mut self) -> impl Iterator<Item = &mut Typed> {
        self.pairs.iter_mut().flat_map(|pair| [&mut pair.outer, &mut pair.whole]).chain(&mut self.conditions)
    }

    /// A schema with the columns of the sub-query beside its own.
    pub(super) fn beside(&self, schema: &Schema, subqueries: &Subqueries) -> Schema {
        let planned = &subqueries.planned[self.planned];
        let of_rows: Vec<FieldRef> = match &planned.rows {
            Rows::Table { columns, .. } => columns.iter().map(|column| Arc::clone(&column.field)).collect(),
            Rows::Stream(fields, _) => fields.clone(),
            Rows::Outer => Vec::new(),
        };
        Schema::new(schema.fields().iter().cloned().chain(of_rows).collect::<Vec<_>>())
    }

    /// The plan columns that it gives.
    fn gives(&self, column: &str) -> bool {
        self.out.iter().any(|out| out == column) || self.mark.as_ref().is_some_and(|mark| mark.name() == column)
    }
}

impl Subqueries {
    /// Takes what has been asked since.
    pub(super) fn take_asked(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.asked)
    }

    /// The joins that these expressions read, directly or through others, and the other ones.
    pub(super) fn take_below<'e>(&mut self, exprs: impl Iterator<Item = &'e Expr>) -> Vec<Asked> {
        let mut read: Vec<String> = exprs.flat_map(columns_of).collect();
        let mut below = Vec::new();
        // What one reads of another stands before it.
        for mut asked in std::mem::take(&mut self.asked).into_iter().rev() {
            if read.iter().any(|column| asked.gives(column)) {
                read.extend(asked.expressions_mut().flat_map(|typed| columns_of(&typed.expr)));
                below.push(asked);
            } else {
                self.asked.push(asked);
            }
        }
        self.asked.reverse();
        below.reverse();
        below
    }
}

impl Planner<'_> {
    /// The rows of a relation for which WHERE holds. Of the WHERE of a sub-query, what speaks of the outer query is kept in
    /// `correlation` instead.
    pub(super) async fn where_holds(
        &mut self,
        input: Relation,
        condition: Option<&Ast>,
        correlation: Option<&mut Correlation>,
        pairs: &mut Pairs,
        owner: &str,
    ) -> Option<Relation> {
        let Some(condition) = condition else { return Some(input) };
        if correlation.is_none() && !has_subquery(condition) {
            return self.filter(input, Some(condition), "WHERE", owner);
        }
        let (mut plain, mut asking, mut correlated) = (Vec::new(), Vec::new(), Vec::new());
        for conjunct in super::join::conjuncts(condition) {
            let of_outer = correlation.is_some() && self.names_outer(conjunct, &input.scope);
            match (of_outer, has_subquery(conjunct)) {
                (true, _) => correlated.push(conjunct),
                (false, true) => asking.push(conjunct),
                (false, false) => plain.push(conjunct.clone()),
            }
        }
        if let Some(correlation) = correlation {
            self.correlate(correlation, &correlated, &input.scope)?;
        }
        let plain = match plain.len() {
            0 | 1 => plain.pop(),
            last => {
                let span = plain[0].span.to(plain[last - 1].span);
                Some(Ast { kind: velo_sql::ast::ExprKind::And(plain), span })
            }
        };
        let mut input = self.filter(input, plain.as_ref(), "WHERE", owner)?;
        if asking.is_empty() {
            return Some(input);
        }
        let mut subqueries = self.subqueries(&input, &asking, pairs, owner).await?;
        for conjunct in asking {
            let scope = input.scope.clone();
            let mut binder = self.binder(&scope, Err("WHERE"));
            binder.subqueries = Ok(&mut subqueries);
            let condition = match binder.keeps_rows(conjunct) {
                Some(kept) => {
                    kept?;
                    None
                }
                None => Some(binder.condition(conjunct, "WHERE")?),
            };
            for asked in subqueries.take_asked() {
                input = self.place(input, &subqueries, asked, owner)?;
            }
            let Some(condition) = condition else { continue };
            let expr = self.retimed(condition.expr, &input);
            let schema = self.plan.nodes[input.node.0].schema.clone();
            let node = self.node(NodeKind::Filter(expr), vec![input.node], schema, owner);
            input = Relation { node, ..input };
        }
        Some(input)
    }
}

/// The names of the columns of an expression.
fn columns_of(expr: &Expr) -> Vec<String> {
    expr.column_refs().into_iter().map(|column| column.name().to_owned()).collect()
}

/// An expression with its columns under other names.
fn renamed(expr: &Expr, name: &dyn Fn(&str) -> Option<String>) -> Expr {
    let renamed = expr.clone().transform(|expr| {
        Ok(match &expr {
            Expr::Column(column) => match name(column.name()) {
                Some(name) => Transformed::yes(Expr::Column(Column::new_unqualified(name))),
                None => Transformed::no(expr),
            },
            _ => Transformed::no(expr),
        })
    });
    // The closure never fails, so neither does the walk.
    renamed.map(|renamed| renamed.data).unwrap_or_else(|_| expr.clone())
}

/// A scope as the outer one of a sub-query sees it: its columns cannot be taken for those inside.
fn as_outer(scope: &Scope) -> Scope {
    let columns = scope.columns.iter().map(|column| super::scope::ScopeColumn {
        field: Arc::new(column.field.as_ref().clone().with_name(format!("{OUTER}{}", column.field.name()))),
        ..column.clone()
    });
    Scope::of(columns.collect())
}

/// The columns of the outer query under their own names.
fn of_outer(typed: Typed) -> Typed {
    let expr = renamed(&typed.expr, &|name| name.strip_prefix(OUTER).map(str::to_owned));
    Typed { expr, ..typed }
}

fn is_outer(name: &str) -> bool {
    name.starts_with(OUTER)
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}
