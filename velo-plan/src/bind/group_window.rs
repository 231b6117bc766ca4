//! The time window of a SELECT: where it is written, and that all its parts agree.

use velo_sql::ast::visit::{Visitor, walk_expr};
use velo_sql::ast::{
    Call, CallArg, Expr as Ast, ExprKind, GroupByItem, Query, Select, SelectItem, TimeWindowKind, WindowArg,
};
use velo_sql::{Diagnostic, Span};

use super::call::{window_bound, window_kind};
use super::expr::Typed;
use crate::catalog::Relation;
use crate::codes;
use crate::plan::WindowSpec;
use crate::planner::Planner;

impl Planner<'_> {
    /// The input of a SELECT whose window goes by the time of one side of a join.
    pub(super) fn with_side_time(&mut self, select: &Select, mut input: Relation, owner: &str) -> Option<Relation> {
        if input.side_times.is_empty() {
            return Some(input);
        }
        let clause = select.time_window.iter().map(|window| window.args.clone());
        let items = select.group_by.iter().flat_map(|group_by| &group_by.items);
        let calls = items.filter_map(|item| match item {
            GroupByItem::Expr(expr) => window_call(expr).map(|(_, call)| window_args(call)),
            _ => None,
        });
        for args in clause.chain(calls) {
            let column = args.iter().find_map(|arg| match &arg.value.without_parentheses().kind {
                ExprKind::Path(name) => Some(name.clone()),
                _ => None,
            });
            if let Some(column) = column {
                input = self.with_time_argument(input, &column, owner)?;
            }
        }
        Some(input)
    }

    /// The window of a SELECT: its WINDOW clause, or a function in GROUP BY.
    pub(super) fn select_window(&mut self, select: &Select, input: &Relation) -> Option<Option<WindowSpec>> {
        let mut found = match &select.time_window {
            Some(window) => Some((self.window(window.kind, &window.args, window.span, input, false)?, window.span)),
            None => None,
        };
        for item in select.group_by.iter().flat_map(|group_by| &group_by.items) {
            let GroupByItem::Expr(expr) = item else { continue };
            let Some((kind, call)) = window_call(expr) else { continue };
            let window = self.window(kind, &window_args(call), expr.span, input, true)?;
            if let Some((_, first)) = &found {
                self.error(
                    Diagnostic::error(codes::WINDOW, expr.span, "a second time window in one GROUP BY")
                        .also(*first, "the first")
                        .help("leave one of them out; a window over windows reads the first as a query in FROM"),
                );
                return None;
            }
            found = Some((window, expr.span));
        }
        Some(found.map(|(window, _)| window))
    }

    /// What the sessions are of each: PARTITION BY in FROM, and what follows the gap in `SESSION(ts, gap, key)`.
    pub(super) fn session_keys(&mut self, select: &Select, input: &Relation) -> Option<Vec<Typed>> {
        let mut keys = input.session_keys.clone();
        let calls = select.group_by.iter().flat_map(|group_by| &group_by.items).filter_map(|item| match item {
            GroupByItem::Expr(expr) => window_call(expr),
            _ => None,
        });
        let calls = calls.map(|(kind, call)| (kind, window_args(call)));
        let clause = select.time_window.iter().map(|window| (window.kind, window.args.clone()));
        for (_, args) in calls.chain(clause).filter(|(kind, _)| *kind == TimeWindowKind::Session) {
            let columns = args.iter().filter(|arg| matches!(arg.value.without_parentheses().kind, ExprKind::Path(_)));
            for key in columns.skip(1) {
                keys.push(self.binder(&input.scope, Err("SESSION")).bind(&key.value)?);
            }
        }
        Some(keys)
    }

    /// The arguments of `TUMBLE_START(…)` and its like say again which window it is; another one is a mistake.
    pub(super) fn bounds_agree(&mut self, select: &Select, input: &Relation, window: &WindowSpec) -> Option<()> {
        let mut bounds = Bounds::default();
        for item in &select.items {
            if let SelectItem::Expr { expr, .. } = item {
                bounds.expr(expr);
            }
        }
        select.having.iter().for_each(|having| bounds.expr(having));
        for (kind, call, span) in bounds.0.into_iter().filter(|(_, call, _)| !call.args.is_empty()) {
            let said = self.window(kind, &window_args(&call), span, input, true)?;
            if said != *window {
                let name = call.name.text();
                self.error(
                    Diagnostic::error(codes::WINDOW, span, format!("{said} is not the window here, which is {window}"))
                        .help(format!("write {name}() without arguments, or with the same ones")),
                );
                return None;
            }
        }
        Some(())
    }
}

/// The calls of `TUMBLE_START(…)` and its like in an expression, each with its kind of window and its place.
#[derive(Default)]
struct Bounds(Vec<(TimeWindowKind, Call, Span)>);

impl Visitor for Bounds {
    fn query(&mut self, _: &Query) {
        // A sub-query has windows of its own.
    }

    fn expr(&mut self, expr: &Ast) {
        if let ExprKind::Call(call) = &expr.kind
            && let Some((kind, _)) = window_bound(&call.name.text().to_lowercase())
        {
            self.0.push((kind, call.as_ref().clone(), expr.span));
        }
        walk_expr(self, expr);
    }
}

/// The arguments of a window that is written as a call.
fn window_args(call: &Call) -> Vec<WindowArg> {
    let args = call.args.iter().filter_map(|arg| match arg {
        CallArg::Positional(value) => Some(WindowArg { name: None, value: value.clone(), span: value.span }),
        CallArg::Named { name, value } => {
            Some(WindowArg { name: Some(name.clone()), value: value.clone(), span: arg.span() })
        }
        CallArg::Wildcard(_) => None,
    });
    args.collect()
}

/// `TUMBLE(ts, …)` and its like as an item of GROUP BY.
pub(super) fn window_call(expr: &Ast) -> Option<(TimeWindowKind, &Call)> {
    let ExprKind::Call(call) = &expr.without_parentheses().kind else { return None };
    let kind = window_kind(&call.name.text().to_lowercase())?;
    call.over.is_none().then_some((kind, call.as_ref()))
}
