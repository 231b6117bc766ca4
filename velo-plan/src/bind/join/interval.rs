//! Two streams whose rows meet when their event times are close: the bounds, and the join by them.

use velo_eventtime::late::LateUse;
use velo_sql::{Diagnostic, Span};

use super::condition::{Both, Bounds, Times};
use super::sides::{Prepared, called, relation_of, with_own_time};
use super::{Joining, Paired};
use crate::catalog::{Relation, SideTime};
use crate::codes;
use crate::plan::{IntervalJoin, JoinKind, NodeKind, Side, joined_schema};
use crate::planner::Planner;

/// Bounds on both sides, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interval {
    pub(super) lower: i64,
    pub(super) upper: i64,
}

impl Planner<'_> {
    /// What a join says about the distance of the sides' times; its conditions lose that.
    pub(super) fn bounds_of(&mut self, joining: &mut Joining<'_>, owner: &str) -> Option<Bounds> {
        let times = Times::of(&joining.left, &joining.right);
        let both = Both { left: &joining.left.scope, right: &joining.right.scope };
        let (mut bounds, others) = both.all_bounds(&joining.conditions, &times);
        for one in &mut joining.shared {
            let place = joining.span;
            let (left, right) = ((Side::Left, one.left.clone()), (Side::Right, one.right.clone()));
            if times.has(left.0, &left.1) && times.has(right.0, &right.1) {
                one.is_time = true;
                bounds.at_least(0);
                bounds.at_most(0);
                bounds.columns.extend([(left.0, left.1, place), (right.0, right.1, place)]);
                bounds.places.push(place);
            }
        }
        if let Some(within) = joining.within {
            let before = self.length(&within.before)?;
            let after = match &within.after {
                Some(after) => self.length(after)?,
                None => before,
            };
            if let Some(place) = [(before, &within.before), (after, within.after.as_ref().unwrap_or(&within.before))]
                .into_iter()
                .find_map(|(micros, ast)| (micros < 0).then_some(ast.span))
            {
                self.error(
                    Diagnostic::error(
                        codes::LITERAL,
                        place,
                        "WITHIN goes back and forth from a row, by lengths above zero",
                    )
                    .help("write WITHIN 5m, or WITHIN (1m, 5m): a minute before the left row, five after it"),
                );
                return None;
            }
            let what = format!("WITHIN of {}", joining.words);
            self.needs_event_time(&joining.left, within.span, &what)?;
            self.needs_event_time(&joining.right, within.span, &what)?;
            let (before, after) = if joining.swapped { (after, before) } else { (before, after) };
            bounds.at_least(-before);
            bounds.at_most(after);
            bounds.places.push(within.span);
        }
        joining.others = others;
        for side in [Side::Left, Side::Right] {
            self.goes_by(joining, side, &bounds, owner)?;
        }
        Some(bounds)
    }

    /// A side goes by the time that its bounds name, which can be that of one side of an earlier join.
    fn goes_by(&mut self, joining: &mut Joining<'_>, side: Side, bounds: &Bounds, owner: &str) -> Option<()> {
        let relation = if side == Side::Left { &joining.left } else { &joining.right };
        let which = |column: &String| {
            let of_join = |time: &SideTime| time.time == *column || time.columns.contains(column);
            match relation.event_time_columns.contains(column) {
                true => None,
                false => relation.side_times.iter().position(of_join),
            }
        };
        let named: Vec<&(Side, String, Span)> = bounds.columns.iter().filter(|(of, ..)| *of == side).collect();
        let Some((_, first, place)) = named.first().copied() else { return Some(()) };
        if let Some((.., other)) = named.iter().copied().find(|(_, column, _)| which(column) != which(first)) {
            let (one, two) = (place.text(self.script).to_owned(), other.text(self.script).to_owned());
            self.error(
                Diagnostic::error(
                    codes::NOT_EVENT_TIME,
                    *other,
                    format!("a join goes by one time of each side, and here are two: '{one}' and '{two}'"),
                )
                .also(*place, "the other")
                .help("bound the join by one of them"),
            );
            return None;
        }
        if which(first).is_some() {
            let (first, place) = (first.clone(), *place);
            let slot = if side == Side::Left { &mut joining.left } else { &mut joining.right };
            let relation = slot.clone();
            *slot = self.by_side_time(relation, &first, place, owner)?;
        }
        Some(())
    }

    /// The bounds of an interval join, where the join has some on both sides; else what it says stays a condition.
    pub(super) fn interval_of(&mut self, joining: &mut Joining<'_>, owner: &str) -> Option<Option<Interval>> {
        let before = (joining.left.clone(), joining.right.clone(), self.plan.nodes.len());
        let bounds = self.bounds_of(joining, owner)?;
        let whole = bounds.span();
        let interval = match (bounds.lower, bounds.upper) {
            (Some(lower), Some(upper)) => Interval { lower, upper },
            (one, other) => {
                // What was measured on one side only, or by other columns, is a condition like any other.
                (joining.left, joining.right) = (before.0, before.1);
                self.plan.nodes.truncate(before.2);
                joining.shared.iter_mut().for_each(|shared| shared.is_time = false);
                joining.one_sided = whole.filter(|_| one.is_some() || other.is_some());
                return self.lacks_time(joining).map(|()| None);
            }
        };
        let place = whole.unwrap_or(joining.span);
        if interval.lower > interval.upper {
            self.error(
                Diagnostic::error(
                    codes::CONFLICT,
                    place,
                    "no two times can meet these bounds: the lower one is above the upper one",
                )
                .help("for example b.ts BETWEEN a.ts - INTERVAL '5' MINUTE AND a.ts + INTERVAL '5' MINUTE"),
            );
            return None;
        }
        self.only_come(
            joining,
            place,
            "a join by time is of",
            "leave the bound out: then changes are joined as they come; or write EMIT FINAL with a WINDOW in that query, so that each row comes once",
        )?;
        Some(Some(interval))
    }

    /// A distance is measured by columns of a side that has no event time: then that is the mistake.
    fn lacks_time(&mut self, joining: &Joining<'_>) -> Option<()> {
        let both = Both { left: &joining.left.scope, right: &joining.right.scope };
        let measured = joining.conditions.iter().find(|condition| both.measures(condition)).map(|found| found.span);
        let Some(place) = measured.filter(|_| joining.one_sided.is_none()) else { return Some(()) };
        for side in [&joining.left, &joining.right] {
            self.needs_event_time(side, place, "a join by time")?;
        }
        Some(())
    }

    /// What happens to rows of either side that are late.
    pub(super) fn late_of_both(
        &mut self,
        left: &Relation,
        right: &Relation,
        span: Span,
    ) -> Option<(velo_eventtime::LateStrategy, Option<crate::plan::SinkId>)> {
        let own = left.late != velo_eventtime::LateProperties::default();
        let says = if own { left } else { right };
        if self.query.late.is_none()
            && let Err(message) = right.late.check(LateUse::Other)
        {
            self.error(Diagnostic::error(codes::CONFLICT, span, message));
            return None;
        }
        self.late_rows(says, span)
    }

    /// Pairs of rows whose times are close.
    pub(super) fn interval_join(
        &mut self,
        mut joining: Joining<'_>,
        interval: Interval,
        owner: &str,
    ) -> Option<Relation> {
        let span = joining.span;
        let (late, letters) = self.late_of_both(&joining.left, &joining.right, span)?;
        joining.conditions = std::mem::take(&mut joining.others);
        let Paired { join, inputs, left, right } = self.paired(&mut joining, (true, true), owner)?;
        let schema = joined_schema(&join.columns, None, true);
        let columns = join.columns.clone();
        let held_back = interval.upper.max(interval.lower.saturating_neg()).max(0);
        let node = IntervalJoin { join, lower: interval.lower, upper: interval.upper, held_back, late };
        let node = self.node(NodeKind::IntervalJoin(Box::new(node)), inputs, schema, owner);
        self.plan.nodes[node.0].dead_letters = letters;
        let kind = joining.kind;
        let relation = relation_of(node, &kind, &columns, &left.relation, &right.relation);
        let relation = Relation { side_times: side_times(&kind, &left, &right), ..with_own_time(relation) };
        Some(self.with_shared(relation, &kind, &joining.shared, owner))
    }
}

/// The times of both sides behind a join by time.
fn side_times(kind: &JoinKind, left: &Prepared, right: &Prepared) -> Vec<SideTime> {
    let mut found = Vec::new();
    let one = matches!(kind, JoinKind::Semi | JoinKind::Anti);
    let sides = [(left, kind.keeps_right(), right, Side::Right), (right, kind.keeps_left(), left, Side::Left)];
    for (side, padded, other, place) in sides.into_iter().take(if one { 1 } else { 2 }) {
        let missing = padded.then(|| called(&other.relation, place));
        if let Some(time) = &side.time {
            let columns = side.relation.event_time_columns.clone();
            found.push(SideTime { columns, time: time.clone(), missing: missing.clone() });
        }
        found.extend(
            side.relation
                .side_times
                .iter()
                .map(|inner| SideTime { missing: inner.missing.clone().or_else(|| missing.clone()), ..inner.clone() }),
        );
    }
    found
}
