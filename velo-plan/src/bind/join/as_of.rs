//! ASOF JOIN: each row with the one of the other side that is nearest by event time.

use std::sync::Arc;

use velo_sql::Diagnostic;
use velo_sql::ast::{Call, CallArg, Expr as Ast, ExprKind};

use super::condition::{Both, Times, conjuncts};
use super::sides::{called, relation_of};
use super::{Joining, Paired};
use crate::catalog::{Relation, Table};
use crate::codes;
use crate::plan::{AsOfDirection, AsOfJoin, NodeKind, Side, joined_schema};
use crate::planner::Planner;

/// What to write.
const SPELLING: &str = "write ASOF JOIN b MATCH_CONDITION (a.ts >= b.ts) ON a.k = b.k; with > the times differ, with <= it is the next row, and AND a.ts - b.ts <= INTERVAL '5' SECOND in ON says how far away it may be";

impl Planner<'_> {
    pub(super) fn as_of_join(
        &mut self,
        mut joining: Joining<'_>,
        table: Option<&Table>,
        owner: &str,
    ) -> Option<Relation> {
        let span = joining.span;
        for side in [&joining.left, &joining.right] {
            self.needs_event_time(side, span, "ASOF JOIN")?;
        }
        if !self.changes(joining.right.node).is_append() {
            let message = format!(
                "ASOF JOIN looks for rows that only come, and those of {} change after they came",
                called(&joining.right, Side::Right)
            );
            self.error(Diagnostic::error(codes::UNBOUNDED, span, message).help(
                "JOIN table FOR SYSTEM_TIME AS OF a.ts asks a table with a key for the row that stood at a time",
            ));
            return None;
        }
        let nearest = joining.matching.and_then(nearest);
        if let Some(matching) = joining.matching.filter(|_| nearest.is_none()) {
            let times = Times::of(&joining.left, &joining.right);
            let both = Both { left: &joining.left.scope, right: &joining.right.scope };
            let wrong = conjuncts(matching).into_iter().find(|condition| both.bounds(condition, &times).is_none());
            if let Some(wrong) = wrong {
                return self.no_match(wrong, &joining);
            }
            joining.conditions.extend(conjuncts(matching));
        }
        if let Some((one, other)) = nearest {
            let times = Times::of(&joining.left, &joining.right);
            let both = Both { left: &joining.left.scope, right: &joining.right.scope };
            if !both.are_times(one, other, &times) {
                return self.no_match(joining.matching?, &joining);
            }
        }
        let bounds = self.bounds_of(&mut joining, owner)?;
        let place = bounds.span().unwrap_or(span);
        let (direction, inclusive, tolerance) = match (nearest.is_some(), bounds.lower, bounds.upper) {
            (true, None, None) => (AsOfDirection::Nearest, true, None),
            (_, Some(lower), Some(upper)) if upper > 0 && lower == -upper => {
                (AsOfDirection::Nearest, true, Some(upper))
            }
            (false, lower, Some(upper @ (0 | -1))) if lower.is_none_or(|lower| lower <= upper) => {
                (AsOfDirection::Backward, upper == 0, lower.map(|lower| -lower))
            }
            (false, Some(lower @ (0 | 1)), upper) if upper.is_none_or(|upper| upper >= lower) => {
                (AsOfDirection::Forward, lower == 0, upper)
            }
            (false, None, None) => {
                self.error(
                    Diagnostic::error(codes::ARGUMENTS, span, "ASOF JOIN needs to know which way to look")
                        .help(SPELLING),
                );
                return None;
            }
            _ => {
                self.error(
                    Diagnostic::error(
                        codes::ARGUMENTS,
                        place,
                        "ASOF JOIN looks from the row's own time: back, ahead, or as far both ways",
                    )
                    .help(SPELLING),
                );
                return None;
            }
        };
        let (late, letters) = self.late_of_both(&joining.left, &joining.right, span)?;
        joining.conditions = std::mem::take(&mut joining.others);
        let Paired { join, inputs, left, right } = self.paired(&mut joining, (false, true), owner)?;
        let mut join = AsOfJoin { join, direction, inclusive, tolerance, missing: None, late };
        if let Some(missing) = table.and_then(|table| table.missing.clone()) {
            let mut missing = missing;
            let renamed = |name: &str| {
                let at = joining.right.scope.columns.iter().position(|column| column.field.name() == name)?;
                Some(right.relation.scope.columns.get(at)?.field.name().clone())
            };
            for (name, _) in &mut missing.defaults {
                if let Some(own) = renamed(name) {
                    *name = own;
                }
            }
            if super::lookup::pads(&missing) {
                for column in join.join.columns.iter_mut().filter(|column| column.side == Side::Right) {
                    column.field = Arc::new(column.field.as_ref().clone().with_nullable(true));
                }
            }
            join.missing = Some(missing);
        }
        let schema = joined_schema(&join.join.columns, None, true);
        let columns = join.join.columns.clone();
        let node = self.node(NodeKind::AsOfJoin(Box::new(join)), inputs, schema, owner);
        self.plan.nodes[node.0].dead_letters = letters;
        let kind = joining.kind;
        let mut relation = relation_of(node, &kind, &columns, &left.relation, &right.relation);
        let left = left.relation;
        // One row at most is found, so that a row is known as it was.
        relation.identity = left.identity;
        // The rows go by the time of the left side.
        let time = left.scope.columns.into_iter().filter(|column| column.field.name() == velo_core::schema::EVENT_TIME);
        relation.scope.columns.extend(time);
        let relation = Relation {
            event_time_columns: left.event_time_columns,
            window_columns: left.window_columns,
            side_times: left.side_times,
            of_window: left.of_window,
            source: left.source,
            late: left.late,
            ..relation
        };
        Some(self.with_shared(relation, &kind, &joining.shared, owner))
    }

    /// A condition that is not about the event times of both sides.
    fn no_match(&mut self, wrong: &Ast, joining: &Joining<'_>) -> Option<Relation> {
        let text = wrong.span.text(self.script).to_owned();
        let name = |relation: &Relation| {
            let shown = relation.scope.columns.iter().find(|column| {
                relation.event_time_columns.contains(column.field.name()) && !column.hidden && !column.qualified
            });
            shown.map_or("_event_time".to_owned(), |column| match &column.relation {
                Some(relation) => format!("{relation}.{}", column.name),
                None => column.name.clone(),
            })
        };
        let (left, right) = (name(&joining.left), name(&joining.right));
        self.error(
            Diagnostic::error(
                codes::NOT_EVENT_TIME,
                wrong.span,
                format!("ASOF JOIN goes by the event times of both sides, and '{text}' does not compare them"),
            )
            .help(format!("write MATCH_CONDITION ({left} >= {right}); other conditions belong into ON")),
        );
        None
    }
}

/// The arguments of `NEAREST(a.ts, b.ts)`.
fn nearest(matching: &Ast) -> Option<(&Ast, &Ast)> {
    let ExprKind::Call(call) = &matching.without_parentheses().kind else { return None };
    let Call { name, args, .. } = call.as_ref();
    match args.as_slice() {
        [CallArg::Positional(one), CallArg::Positional(other)] if name.text().eq_ignore_ascii_case("nearest") => {
            Some((one, other))
        }
        _ => None,
    }
}
