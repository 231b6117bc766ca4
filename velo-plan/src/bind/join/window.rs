//! Two windowed streams whose rows meet in the same window.

use std::collections::BTreeSet;

use velo_sql::Diagnostic;
use velo_sql::ast::{BinaryOp, ExprKind};

use super::condition::Both;
use super::sides::{relation_of, with_own_time};
use super::{Joining, Paired};
use crate::catalog::{OfWindow, Relation};
use crate::codes;
use crate::plan::{JoinKind, NodeKind, Side, WindowJoin, WindowKind, joined_schema};
use crate::planner::Planner;

/// The columns with the bounds of one window on both sides.
pub(super) struct CommonWindow {
    left: [String; 2],
    right: [String; 2],
    /// The places of the equalities among the conditions and the shared columns.
    conditions: BTreeSet<usize>,
    shared: BTreeSet<usize>,
}

impl Planner<'_> {
    /// The window by which both sides are joined, if they are.
    pub(super) fn common_window(&mut self, joining: &Joining<'_>) -> Option<Option<CommonWindow>> {
        let (Some(left), Some(right)) = (&joining.left.of_window, &joining.right.of_window) else { return Some(None) };
        let both = Both { left: &joining.left.scope, right: &joining.right.scope };
        let bound = |of: &OfWindow, column: &str| {
            let is = |bound: &Option<String>| bound.as_deref() == Some(column);
            if is(&of.start) { Some(0) } else { is(&of.end).then_some(1) }
        };
        let mut met = [false; 2];
        let mut found = CommonWindow {
            left: Default::default(),
            right: Default::default(),
            conditions: BTreeSet::new(),
            shared: BTreeSet::new(),
        };
        let mut place = joining.span;
        for (at, condition) in joining.conditions.iter().enumerate() {
            let ExprKind::Binary { left: one, op: BinaryOp::Equal, right: other, .. } = &condition.kind else {
                continue;
            };
            let name = |expr: &velo_sql::ast::Expr| match &expr.without_parentheses().kind {
                ExprKind::Path(name) => both.side_of(name),
                _ => None,
            };
            let (Some(one), Some(other)) = (name(one), name(other)) else { continue };
            let (one, other) = if one.0 == Side::Left { (one, other) } else { (other, one) };
            if one.0 == other.0 {
                continue;
            }
            if let (Some(which), Some(same)) = (bound(left, &one.1), bound(right, &other.1))
                && which == same
            {
                met[which] = true;
                place = condition.span;
                found.conditions.insert(at);
            }
        }
        for (at, shared) in joining.shared.iter().enumerate() {
            if let (Some(which), Some(same)) = (bound(left, &shared.left), bound(right, &shared.right))
                && which == same
            {
                met[which] = true;
                found.shared.insert(at);
            }
        }
        if met == [false; 2] {
            return Some(None);
        }
        if left.window != right.window {
            self.error(
                Diagnostic::error(
                    codes::WINDOW,
                    place,
                    format!(
                        "rows meet in the same window, and the windows differ: {} and {}",
                        left.window, right.window
                    ),
                )
                .help("give both sides windows of the same kind, size and offset"),
            );
            return None;
        }
        let fixed = match left.window.kind {
            WindowKind::Tumbling { .. } | WindowKind::Sliding { .. } => true,
            WindowKind::Cumulate { .. } => false,
            WindowKind::Session { .. } => {
                self.not_yet(
                    place,
                    "a join of sessions by their bounds",
                    "sessions of two streams hardly ever have the same bounds; join by time, or by windows of one length",
                );
                return None;
            }
        };
        let bounds = |of: &OfWindow| Some([of.start.clone()?, of.end.clone()?]);
        let (Some(of_left), Some(of_right)) = (bounds(left), bounds(right)) else {
            self.error(
                Diagnostic::error(
                    codes::WINDOW,
                    place,
                    "a join of windows needs their start and their end on both sides",
                )
                .help("select window_start and window_end in the queries that are joined"),
            );
            return None;
        };
        // One bound of a window of one length says the other one.
        if !fixed && met != [true; 2] {
            self.error(
                Diagnostic::error(
                    codes::WINDOW,
                    place,
                    "windows of several lengths are the same by their start and their end",
                )
                .help("write a.window_start = b.window_start AND a.window_end = b.window_end"),
            );
            return None;
        }
        self.only_come(
            joining,
            place,
            "a join of windows is of",
            "write EMIT FINAL in the windowed query: then each window gives its rows once",
        )?;
        (found.left, found.right) = (of_left, of_right);
        Some(Some(found))
    }

    /// Pairs of rows of the same window.
    pub(super) fn window_join(
        &mut self,
        mut joining: Joining<'_>,
        window: CommonWindow,
        owner: &str,
    ) -> Option<Relation> {
        let (late, letters) = self.late_of_both(&joining.left, &joining.right, joining.span)?;
        let kept = |at: &usize| !window.conditions.contains(at);
        joining.conditions = (0..joining.conditions.len()).filter(kept).map(|at| joining.conditions[at]).collect();
        for (at, shared) in joining.shared.iter_mut().enumerate() {
            shared.is_time = window.shared.contains(&at);
        }
        let Paired { join, inputs, left, right } = self.paired(&mut joining, (true, true), owner)?;
        let schema = joined_schema(&join.columns, None, true);
        let columns = join.columns.clone();
        // The bounds have the names that the sides were given.
        let bounds = |relation: &Relation| {
            let of = relation.of_window.clone()?;
            Some([of.start?, of.end?])
        };
        let (left_window, right_window) = (bounds(&left.relation)?, bounds(&right.relation)?);
        let node = WindowJoin { join, left_window, right_window, late };
        let node = self.node(NodeKind::WindowJoin(Box::new(node)), inputs, schema, owner);
        self.plan.nodes[node.0].dead_letters = letters;
        let kind = joining.kind;
        let mut relation = with_own_time(relation_of(node, &kind, &columns, &left.relation, &right.relation));
        let one = matches!(kind, JoinKind::Semi | JoinKind::Anti);
        // What a side says about the window is there where its row is.
        let there = [(&left.relation, !kind.keeps_right()), (&right.relation, !kind.keeps_left() && !one)];
        for (side, _) in there.iter().filter(|(_, there)| *there) {
            relation.event_time_columns.extend(side.event_time_columns.iter().cloned());
            relation.window_columns.extend(side.window_columns.iter().cloned());
            relation.of_window = relation.of_window.or_else(|| side.of_window.clone());
        }
        relation.windowed = true;
        Some(self.with_shared(relation, &kind, &joining.shared, owner))
    }
}
