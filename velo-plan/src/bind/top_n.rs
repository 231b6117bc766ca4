//! Top-N: a ROW_NUMBER of which a condition keeps the first rows alone.
//!
//! Over input that does not end, a row that comes can move all others, unless the order is that of event time. So the node of such
//! a ROW_NUMBER waits for a condition that cuts it, in QUALIFY or around the query, however many projections and conditions lie
//! between. Where none comes, the script has the mistake that the ROW_NUMBER alone would be.

use std::sync::Arc;

use datafusion_common::ScalarValue;
use datafusion_expr::utils::split_conjunction_owned;
use datafusion_expr::{Between, BinaryExpr, Expr, Operator};
use velo_core::schema;
use velo_sql::ast::EmitMode;
use velo_sql::{Diagnostic, Span};

use super::over::TimeColumns;
use super::row_window::{BoundOver, output};
use super::select::identity;
use crate::catalog::{ChangesPer, Ranked, Relation};
use crate::codes;
use crate::plan::{Emission, NodeId, NodeKind, OverFunction, OverOrder, SortKey, TopN};
use crate::planner::Planner;
use crate::rules::fold_constants::fold;
use crate::rules::with_results;

/// A ROW_NUMBER that only a cut can make run.
pub(crate) struct Uncut {
    node: NodeId,
    /// What is wrong with it where nothing cuts it.
    mistake: Diagnostic,
    /// Something has cut it, or its mistake was told.
    settled: bool,
}

/// The node that numbers rows, and the nodes from the condition down to it.
struct Found {
    node: NodeId,
    /// The column of the number there.
    column: String,
    path: Vec<NodeId>,
}

impl Planner<'_> {
    /// The place of the call that has no end without a cut: a ROW_NUMBER in an order of its own, or over rows that change.
    pub(super) fn needs_cut(&self, input: &Relation, calls: &[BoundOver], changing: bool) -> Option<usize> {
        let time = TimeColumns::of(input);
        let needs = |call: &BoundOver| {
            let window = &call.window;
            let alone = call.function == OverFunction::RowNumber && window.buffer.is_none();
            let by_time = window.order_by.first().is_some_and(|key| !key.descending && time.is_time(&key.typed.expr));
            let ordered = by_time || (!changing && is_per_window(input, call, &time));
            alone && !window.order_by.is_empty() && !(ordered || self.is_bounded(input.node))
        };
        calls.iter().position(needs)
    }

    /// The relation with the number of each row behind its columns, which a condition has to cut. `mistake` is what is wrong
    /// without one; `sources`: the rows are those of sources, and can come late.
    pub(super) fn uncut(
        &mut self,
        input: Relation,
        (call, at): (&BoundOver, usize),
        mistake: Diagnostic,
        sources: bool,
        owner: &str,
    ) -> Option<Relation> {
        let time = TimeColumns::of(&input);
        let by_time = call.window.order_by.first().is_some_and(|key| time.is_time(&key.typed.expr));
        // What is taken back has the time of a row that came before, and is not late.
        let (late, letters) = match by_time && sources && self.changes(input.node).is_append() {
            true => self.late_rows(&input, call.span).map(|(late, letters)| (Some(late), letters))?,
            false => (None, None),
        };
        let rank = output(call, at);
        let top = TopN {
            partition_by: call.window.partition_by.iter().map(|typed| typed.expr.clone()).collect(),
            order_by: call
                .window
                .order_by
                .iter()
                .map(|key| SortKey {
                    expr: key.typed.expr.clone(),
                    descending: key.descending,
                    nulls_first: key.nulls_first,
                })
                .collect(),
            limit: None,
            rank: Some(Arc::clone(&rank)),
            per_window: is_per_window(&input, call, &time),
            emission: Emission { early: true, ..Emission::default() },
            late,
        };
        let schema = with_results(&self.plan.nodes[input.node.0].schema, vec![rank]);
        let node = self.node(NodeKind::TopN(top), vec![input.node], schema, owner);
        self.plan.nodes[node.0].dead_letters = letters;
        self.uncut.push(Uncut { node, mistake, settled: false });
        Some(Relation { node, ..input })
    }

    /// Whether rows come from a ROW_NUMBER that nothing cuts; that is told.
    pub(super) fn is_uncut(&mut self, node: NodeId) -> bool {
        let mut found = false;
        for node in self.plan.upstream(node) {
            if let Some(uncut) = self.uncut.iter_mut().find(|uncut| uncut.node == node) {
                found = true;
                let told = self.diagnostics.contains(&uncut.mistake);
                if !told {
                    self.diagnostics.push(uncut.mistake.clone());
                }
                uncut.settled = true;
            }
        }
        found
    }

    /// Those that nothing reads are mistakes too. Behind another mistake it is not known what would have cut them.
    pub(crate) fn settle_uncut(&mut self) {
        if !self.diagnostics.iter().any(Diagnostic::is_error) {
            let left = self.uncut.iter().filter(|uncut| !uncut.settled);
            self.diagnostics.extend(left.map(|uncut| uncut.mistake.clone()));
        }
    }

    /// Rows of a Top-N that change take back others of any time, so that no watermark says when a time window is complete.
    pub(super) fn has_watermark(&mut self, input: &Relation, span: Span) -> Option<()> {
        let mut nodes = vec![input.node];
        while let Some(node) = nodes.pop().map(|node| &self.plan.nodes[node.0]) {
            match &node.kind {
                NodeKind::TopN(top) if top.emission.early && !top.per_window && !node.bounded => {
                    self.error(
                        Diagnostic::error(
                            codes::WINDOW,
                            span,
                            "the rows of a Top-N can change as long as the input goes on, so that no window over them is complete",
                        )
                        .help("take the first rows of each window: PARTITION BY window_start, window_end over a windowed query"),
                    );
                    return None;
                }
                NodeKind::Filter(_)
                | NodeKind::Project(_)
                | NodeKind::Union
                | NodeKind::Unnest(_)
                | NodeKind::LookupJoin(_) => {
                    nodes.extend(&node.inputs);
                }
                _ => {}
            }
        }
        Some(())
    }

    /// Nothing waits for a cut in the nodes from `first` on any more.
    pub(super) fn forget_uncut(&mut self, first: usize) {
        self.uncut.retain(|uncut| uncut.node.0 < first);
    }

    /// The relation cut down to the rows that a condition keeps of a ROW_NUMBER, and what is left of the condition.
    pub(super) fn cut(&mut self, relation: Relation, condition: Expr, span: Span) -> Option<(Relation, Option<Expr>)> {
        let conjuncts = split_conjunction_owned(condition.clone());
        let bounds: Vec<_> = conjuncts.iter().map(rank_bound).collect();
        let found = bounds.iter().flatten().find_map(|bound| {
            let found = self.find_rank(relation.node, &bound.column)?;
            Some((bound.column.clone(), found))
        });
        let Some((column, found)) = found else { return Some((relation, Some(condition))) };
        let of_rank = || bounds.iter().flatten().filter(|bound| bound.column == column);
        let limit = of_rank().map(|bound| bound.highest).min().unwrap_or(0);
        let keeps = |(_, bound): &(Expr, Option<RankBound>)| {
            !bound.as_ref().is_some_and(|bound| bound.column == column && bound.lowest <= 1)
        };
        let rest = conjuncts.into_iter().zip(bounds.clone()).filter(keeps).map(|(conjunct, _)| conjunct);
        let rest = rest.reduce(Expr::and);
        let mut relation = self.with_top(relation, &column, &found, u64::try_from(limit).unwrap_or(0), span)?;
        if rest.as_ref().is_some_and(|rest| rest.column_refs().iter().any(|read| read.name() == column)) {
            relation.ranked = None;
        }
        Some((relation, rest))
    }

    /// The node that numbers its rows in what is a column of `node`.
    fn find_rank(&self, mut node: NodeId, column: &str) -> Option<Found> {
        let (mut column, mut path) = (column, Vec::new());
        loop {
            match &self.plan.nodes[node.0].kind {
                NodeKind::Filter(_) => {}
                NodeKind::Project(outputs) => {
                    let output = outputs.iter().find(|output| output.field.name() == column)?;
                    let Expr::Column(same) = &output.expr else { return None };
                    column = same.name();
                }
                NodeKind::TopN(top) => {
                    let rank = top.rank.as_ref()?;
                    return (rank.name() == column).then(|| Found { node, column: column.to_owned(), path });
                }
                // By event time the number is known as soon as the row comes out.
                NodeKind::Over(over) if [OverOrder::Window, OverOrder::End].contains(&over.order) => {
                    let call = over.calls.iter().find(|call| call.output.name() == column)?;
                    return (call.function == OverFunction::RowNumber).then(|| Found {
                        node,
                        column: column.to_owned(),
                        path,
                    });
                }
                _ => return None,
            }
            path.push(node);
            node = self.plan.nodes[node.0].inputs[0];
        }
    }

    /// A Top-N in the place of a ROW_NUMBER, with what lies above it.
    fn with_top(
        &mut self,
        relation: Relation,
        column: &str,
        found: &Found,
        limit: u64,
        span: Span,
    ) -> Option<Relation> {
        let (mut top, input) = self.top(found, limit)?;
        let early = top.emission.early;
        let old = self.plan.nodes[found.node.0].clone();
        if early {
            top.emission.interval = self.top_interval(&top, span, "a Top-N of several rows")?;
        }
        if early && !top.per_window && !old.bounded {
            if self.query.emit == Some(EmitMode::Final) {
                self.error(
                    Diagnostic::error(
                        codes::UNBOUNDED,
                        span,
                        "EMIT FINAL of a Top-N needs an input that ends, and this one does not",
                    )
                    .help("PARTITION BY a time window, or write EMIT CHANGES"),
                );
                return None;
            }
            let append = self.changes(input).is_append();
            if !append || !top.partition_by.is_empty() {
                let what = if append { "the top of every partition" } else { "every row" };
                self.kept_for_ever(&relation, span, what);
            }
        }
        let name = |expr: &Expr| match expr {
            Expr::Column(column) if column.name() != schema::EVENT_TIME => Some(column.name().to_owned()),
            _ => None,
        };
        let whole = top.partition_by.is_empty();
        let mut partition = top.partition_by.iter().map(name).collect::<Option<Vec<_>>>().unwrap_or_default();
        let rank = top.rank.iter().cloned().collect();
        let output = with_results(&self.plan.nodes[input.0].schema, rank);
        let mut node = self.node(NodeKind::TopN(top), vec![input], output, &old.owner);
        self.plan.nodes[node.0].dead_letters = old.dead_letters;
        // Of the statement whose expressions they are.
        self.plan.nodes[node.0].on_compute_error = old.on_compute_error;
        self.plan.nodes[node.0].parallelism = old.parallelism.or(self.query.properties.parallelism);
        for above in found.path.iter().rev() {
            let above = self.plan.nodes[above.0].clone();
            if let NodeKind::Project(outputs) = &above.kind {
                partition = identity(&partition, outputs);
            }
            let schema = match above.kind {
                NodeKind::Filter(_) => Arc::clone(&self.plan.nodes[node.0].schema),
                _ => above.schema,
            };
            node = self.node(above.kind, vec![node], schema, &above.owner);
            self.plan.nodes[node.0].parallelism = above.parallelism;
            self.plan.nodes[node.0].on_compute_error = above.on_compute_error;
        }
        if let Some(uncut) = self.uncut.iter_mut().find(|uncut| uncut.node == found.node) {
            uncut.settled = true;
        }
        let relation = Relation { node, ..relation };
        if !early {
            return Some(relation);
        }
        // Rows that change are known by their partition and place, or, where nothing reads that, by what they were known by
        // before: of each partition, since changes of several can come in any order.
        let known = whole || !partition.is_empty();
        let mut rows = if known { relation.identity.clone() } else { Vec::new() };
        if !rows.is_empty() {
            rows.extend(partition.iter().filter(|name| !relation.identity.contains(name)).cloned());
        }
        Some(if limit == 1 && !partition.is_empty() {
            Relation { identity: partition, ranked: None, ..relation }
        } else {
            let ranked = if known { partition.into_iter().chain([column.to_owned()]).collect() } else { Vec::new() };
            let without = Ranked { column: column.to_owned(), identity: rows };
            Relation { identity: ranked, ranked: Some(without), ..relation }
        })
    }

    /// What the Top-N is, and over which rows.
    fn top(&mut self, found: &Found, limit: u64) -> Option<(TopN, NodeId)> {
        let node = self.plan.nodes[found.node.0].clone();
        let input = *node.inputs.first()?;
        let per_record = self.query.properties.changes_per == ChangesPer::Record;
        match node.kind {
            NodeKind::TopN(top) => {
                let emission = Emission { per_record: top.emission.early && per_record, ..top.emission };
                let limit = top.limit.map_or(limit, |known| known.min(limit));
                Some((TopN { limit: Some(limit), emission, ..top }, input))
            }
            NodeKind::Over(mut over) => {
                let at = over.calls.iter().position(|call| *call.output.name() == found.column)?;
                let call = over.calls.remove(at);
                let window = over.windows.get(call.window)?.clone();
                let alone = over.calls.is_empty();
                // What was folded for the end can also be told as it comes.
                let early = alone && over.order == OverOrder::End && self.query.emit == Some(EmitMode::Changes);
                let per_window = over.order == OverOrder::Window;
                let input = if alone {
                    match self.plan.nodes[input.0].kind {
                        NodeKind::Fold if early => *self.plan.nodes[input.0].inputs.first()?,
                        _ => input,
                    }
                } else {
                    // The other functions see all rows.
                    over.drop_unused_windows();
                    let results = over.calls.iter().map(|call| Arc::clone(&call.output)).collect();
                    let output = with_results(&self.plan.nodes[input.0].schema, results);
                    self.node(NodeKind::Over(over), vec![input], output, &node.owner)
                };
                let top = TopN {
                    partition_by: window.partition_by,
                    order_by: window.order_by,
                    limit: Some(limit),
                    rank: Some(call.output),
                    per_window,
                    emission: Emission { early, per_record: early && per_record, ..Emission::default() },
                    late: None,
                };
                Some((top, input))
            }
            _ => None,
        }
    }
}

/// What a condition says about one column: between which numbers it is.
#[derive(Debug, Clone)]
struct RankBound {
    column: String,
    lowest: i64,
    highest: i64,
}

/// The bound that a condition is, if it has an upper one.
fn rank_bound(condition: &Expr) -> Option<RankBound> {
    let bound = |column: &Expr, lowest: i64, highest: i64| match column {
        Expr::Column(column) => Some(RankBound { column: column.name().to_owned(), lowest, highest }),
        _ => None,
    };
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, op, number) = match (number(left), number(right)) {
                (None, Some(number)) => (left, *op, number),
                (Some(number), None) => (right, op.swap()?, number),
                _ => return None,
            };
            match op {
                Operator::Eq => bound(column, number, number),
                Operator::Lt => bound(column, 1, number.checked_sub(1)?),
                Operator::LtEq => bound(column, 1, number),
                _ => None,
            }
        }
        Expr::Between(Between { expr, negated: false, low, high }) => bound(expr, number(low)?, number(high)?),
        _ => None,
    }
}

/// A whole number that does not depend on rows.
fn number(expr: &Expr) -> Option<i64> {
    let mut expr = expr.clone();
    fold(&mut expr);
    match expr {
        Expr::Literal(ScalarValue::Int64(number), _) => number,
        Expr::Literal(ScalarValue::Int32(number), _) => number.map(i64::from),
        _ => None,
    }
}

/// Whether all rows of a partition are of one time window.
fn is_per_window(input: &Relation, call: &BoundOver, time: &TimeColumns) -> bool {
    !input.window_columns.is_empty() && call.window.partition_by.iter().any(|key| time.is_time(&key.expr))
}
