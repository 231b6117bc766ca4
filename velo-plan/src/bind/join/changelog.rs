//! Two relations joined as results that change: everything is kept, and what comes changes what was said.

use velo_sql::Diagnostic;

use super::sides::{called, relation_of};
use super::{Joining, Paired};
use crate::catalog::Relation;
use crate::codes;
use crate::plan::{ChangelogJoin, JoinKey, JoinKind, NodeKind, Side, joined_schema};
use crate::planner::Planner;

impl Planner<'_> {
    /// The join of everything that came with everything; `with_table`: its right side is a table by its name.
    pub(super) fn changelog_join(
        &mut self,
        mut joining: Joining<'_>,
        with_table: bool,
        owner: &str,
    ) -> Option<Relation> {
        let span = joining.span;
        let Paired { join, inputs, left, right } = self.paired(&mut joining, (true, true), owner)?;
        self.warn_of_state(&joining, &join.keys, &right.relation, with_table);
        let schema = joined_schema(&join.columns, None, false);
        let columns = join.columns.clone();
        let node = self.node(NodeKind::ChangelogJoin(Box::new(ChangelogJoin { join })), inputs, schema, owner);
        self.final_has_an_end(
            node,
            span,
            &format!("EMIT FINAL of {} needs inputs that end, or a bound of time", joining.words),
            "write EMIT CHANGES; or bound the join, as in b.ts BETWEEN a.ts - INTERVAL '5' MINUTE AND a.ts + INTERVAL '5' MINUTE",
        )?;
        let kind = joining.kind;
        let relation = relation_of(node, &kind, &columns, &left.relation, &right.relation);
        let relation = Relation { timeless: Some(span), ..relation };
        Some(self.with_shared(relation, &kind, &joining.shared, owner))
    }

    /// Warns of what is kept for ever, and of a table that is written as a stream.
    fn warn_of_state(&mut self, joining: &Joining<'_>, keys: &[JoinKey], right: &Relation, with_table: bool) {
        let of_tables = [&joining.left, &joining.right].map(|side| self.is_of_tables(side.node));
        let ends = [&joining.left, &joining.right].map(|side| self.is_bounded(side.node));
        if ends == [true; 2] || of_tables == [true; 2] {
            return;
        }
        let (left, other) = (called(&joining.left, Side::Left), called(&joining.right, Side::Right));
        let mut told = |place, message: String, help: &str| {
            self.diagnostics.push(Diagnostic::warning(codes::KEPT_STATE, place, message).help(help.to_owned()));
        };
        if of_tables[0] && !with_table {
            return told(
                joining.span,
                format!(
                    "every row of {other} is kept as long as the job runs, so that changes of the table {left} reach it"
                ),
                "a stream with a table behind it looks each row up once: write FROM stream JOIN table",
            );
        }
        if self.query.properties.state_ttl.is_some() {
            return;
        }
        if keys.is_empty() {
            return told(
                joining.span,
                format!("every row of {left} meets every row of {other}, and all are kept as long as the job runs"),
                "write the equality of a column of each side; 'state.ttl' = '1d' lets go what was not touched for a day",
            );
        }
        if let Some(place) = joining.one_sided {
            return told(
                place,
                "the times are bounded on one side only, so that every row is kept as long as the job runs".to_owned(),
                "add the other bound, as in b.ts BETWEEN a.ts - INTERVAL '5' MINUTE AND a.ts + INTERVAL '5' MINUTE; then rows go when the watermark has passed them",
            );
        }
        let by_key = |key: &JoinKey| matches!(&key.right, datafusion_expr::Expr::Column(column) if right.identity.iter().any(|name| name == column.name()));
        let like_table = matches!(joining.kind, JoinKind::Inner | JoinKind::Left)
            && !right.identity.is_empty()
            && keys.iter().any(by_key);
        if like_table && !of_tables[1] {
            return told(
                joining.span,
                format!(
                    "this stream–stream join should be a stream–table join: {other} has one row for each key, and every row of both sides is kept as long as the job runs"
                ),
                "CREATE TABLE instead of CREATE STREAM for that side: then each row of the stream is looked up when it comes, and nothing else is kept",
            );
        }
        told(
            joining.span,
            format!("every row of {left} and of {other} is kept as long as the job runs"),
            "bound the join by time, as in b.ts BETWEEN a.ts - INTERVAL '5' MINUTE AND a.ts + INTERVAL '5' MINUTE, or WITHIN 5m; 'state.ttl' = '1d' lets go what was not touched for a day",
        );
    }
}
