//! The clauses of a SELECT where sub-queries stand, and those where they cannot.

use std::borrow::Cow;

use datafusion_expr::Expr;
use velo_sql::Diagnostic;
use velo_sql::ast::{Expr as Ast, GroupByItem, Select, SelectItem};

use super::{Correlation, INNER, Subqueries, columns_of, has_subquery};
use crate::bind::expr::Typed;
use crate::bind::group_window::window_call;
use crate::bind::join::conjuncts;
use crate::bind::row_window::BoundOver;
use crate::bind::scope::Scope;
use crate::bind::select::window_columns;
use crate::catalog::{Pairs, Relation};
use crate::codes;
use crate::plan::AggregateCall;
use crate::planner::Planner;

impl Planner<'_> {
    /// The sub-queries of the select list and of HAVING.
    pub(in crate::bind) async fn selected_subqueries(
        &mut self,
        select: &Select,
        input: &Relation,
        pairs: &mut Pairs,
        owner: &str,
    ) -> Option<Subqueries> {
        let items = select.items.iter().filter_map(|item| match item {
            SelectItem::Expr { expr, .. } => Some(expr),
            _ => None,
        });
        let having = select.having.iter().flat_map(conjuncts);
        let asking: Vec<&Ast> = items.chain(having).filter(|expr| has_subquery(expr)).collect();
        if asking.is_empty() {
            return Some(Subqueries::default());
        }
        let groups = select.group_by.iter().flat_map(|group_by| &group_by.items);
        let mut in_window =
            groups.filter(|item| matches!(item, GroupByItem::Expr(expr) if window_call(expr).is_some()));
        let outer = match select.time_window.is_some() || in_window.next().is_some() {
            true => {
                let mut scope = input.scope.clone();
                scope.columns.extend(window_columns());
                Cow::Owned(Relation { scope, ..input.clone() })
            }
            false => Cow::Borrowed(input),
        };
        self.subqueries(&outer, &asking, pairs, owner).await
    }

    /// HAVING: what keeps groups by whether a sub-query has rows becomes a join of its own, and the rest a condition.
    pub(in crate::bind) fn having(
        &mut self,
        having: &Ast,
        scope: &Scope,
        aggregates: &mut Vec<AggregateCall>,
        subqueries: &mut Subqueries,
    ) -> Option<Option<Typed>> {
        let conditions = match has_subquery(having) {
            true => conjuncts(having),
            false => vec![having],
        };
        let mut rest: Vec<Typed> = Vec::with_capacity(conditions.len());
        for condition in conditions {
            let mut binder = self.binder(scope, Ok(&mut *aggregates));
            binder.row_windows = Err("HAVING");
            binder.subqueries = Ok(&mut *subqueries);
            match binder.keeps_rows(condition) {
                Some(kept) => kept?,
                None => rest.push(binder.condition(condition, "HAVING")?),
            }
        }
        Some(rest.into_iter().reduce(|one, other| Typed {
            expr: Expr::and(one.expr, other.expr),
            nullable: one.nullable || other.nullable,
            span: one.span.to(other.span),
            ..one
        }))
    }

    /// What OVER computes cannot read a sub-query.
    pub(in crate::bind) fn no_subquery_in_windows(&mut self, overs: &mut [BoundOver]) -> Option<()> {
        let reads = |typed: &&mut Typed| columns_of(&typed.expr).iter().any(|name| name.starts_with(INNER));
        let Some(place) = overs.iter_mut().flat_map(BoundOver::expressions).find(reads).map(|typed| typed.span) else {
            return Some(());
        };
        self.error(
            Diagnostic::error(codes::NOT_SUPPORTED, place, "a sub-query cannot stand in a row window")
                .help("compute it in a query of FROM, and read its column here"),
        );
        None
    }

    /// The clauses of the SELECT of a sub-query that is tied to the outer query: those that would be of all its rows are
    /// mistakes, and its first row becomes that of each outer one.
    pub(in crate::bind) fn tied_clauses(&mut self, select: &Select, tie: &Correlation) -> Option<Option<Select>> {
        let distinct = select.distinct.as_ref().filter(|distinct| !distinct.on.is_empty());
        let mistake = match (tie.is_tied(), tie.limited, distinct) {
            (true, Some(place), _) => {
                Some((place, "LIMIT and OFFSET", "only LIMIT 1 goes, and gives the first row of each"))
            }
            (true, None, Some(distinct)) => {
                Some((distinct.span, "DISTINCT ON", "write ORDER BY and LIMIT 1, which give the first row of each"))
            }
            _ => None,
        };
        if let Some((place, what, help)) = mistake {
            let message = format!("{what} beside a column of the outer query cannot run yet in a sub-query");
            self.error(Diagnostic::error(codes::NOT_SUPPORTED, place, message).help(help));
            return None;
        }
        if let (Some(_), Some(condition)) = (&tie.first_by, tie.conditions.first()) {
            self.error(
                Diagnostic::error(
                    codes::NOT_SUPPORTED,
                    condition.span,
                    "the first row among those that are compared with a column of the outer query in another way than by an equality cannot run yet",
                )
                .help("ASOF JOIN finds the nearest earlier row; a join with this condition and QUALIFY ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) = 1 finds any first one"),
            );
            return None;
        }
        Some(self.first_rows(select, tie))
    }
}
