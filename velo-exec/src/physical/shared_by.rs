//! By which of its columns the tasks of a node's stage share what comes out of it.
//!
//! A row and what takes it back come from the task that has their key. An operator that keeps rows of such a stage finds them
//! again after a restart with other tasks by the same columns, as far as these go with the rows.

use std::collections::BTreeSet;

use arrow_schema::{Schema, SchemaRef};
use datafusion_expr::Expr;
use velo_core::schema::{EVENT_TIME, event_time_index};
use velo_plan::plan::{Join, JoinKey, JoinKind, LookupJoin, Missing, Node, NodeId, NodeKind, Output, Plan};

use super::exchange::{columns_in, exchanged_by, in_steps};
use crate::error::Result;

/// Whether a look-up keeps rows: those that wait, or what was made of rows that can be taken back.
pub(super) fn keeps_rows(plan: &Plan, node: &Node, join: &LookupJoin) -> bool {
    let waits = join.missing.as_ref().is_some_and(Missing::waits);
    let retracts = !plan.nodes[node.inputs[0].0].changes.is_append();
    join.as_of || waits || (retracts && !plan.is_settled(join.table))
}

/// The equalities of a join by which rows are exchanged: a member that is NULL has to meet rows with any value.
pub(super) fn exchanged_keys(join: &Join) -> impl Iterator<Item = &JoinKey> + Clone {
    let member = match &join.kind {
        JoinKind::Mark(mark) => mark.membership,
        _ => None,
    };
    join.keys.iter().enumerate().filter(move |(at, _)| Some(*at) != member).map(|(_, key)| key)
}

/// The places, among the columns of a node's only input, of those by which its rows come to the node where that joins the stage of
/// its input; none where it runs as one task, or where a column of them is not there any more.
pub(super) fn shared_with_input(plan: &Plan, node: &Node) -> Result<Option<Vec<usize>>> {
    let input = node.inputs[0];
    let readers = plan.nodes.iter().flat_map(|node| &node.inputs).filter(|of| **of == input).count();
    if readers > 1 {
        return Ok(None);
    }
    let time = event_time_index(&plan.nodes[input.0].schema);
    // A row can be taken back at another time than its own.
    Ok(shared_by(plan, input)?.filter(|places| !places.iter().any(|place| Some(*place) == time)))
}

/// The places, among the columns that come out of a node, of those by which rows are exchanged for its stage, in their order; none
/// where there is one task, whatever the parallelism, or where a column of them is not there any more.
pub(super) fn shared_by(plan: &Plan, id: NodeId) -> Result<Option<Vec<usize>>> {
    let node = &plan.nodes[id.0];
    let Some(input) = node.inputs.first().copied() else { return Ok(None) };
    let from = &plan.nodes[input.0].schema;
    Ok(match &node.kind {
        NodeKind::Aggregate { keys, .. } if in_steps(plan, node) => Some((0..keys.len()).collect()),
        NodeKind::Aggregate { keys, sets, .. } => {
            let shared = |at: &usize| sets.iter().all(|set| set.keys.get(*at) == Some(&true));
            exchanged_by(plan, node)?.map(|_| (0..keys.len()).filter(shared).collect())
        }
        NodeKind::SetOperation { .. } => exchanged_by(plan, node)?,
        NodeKind::Over(_) | NodeKind::TopN(_) | NodeKind::DistinctOn { .. } | NodeKind::LatestByKey(_) => {
            named_alike(exchanged_by(plan, node)?, from, &node.schema, &BTreeSet::new())
        }
        NodeKind::MatchRecognize(matching) => {
            let keys = matching.partition_by.iter().map(|key| node.schema.index_of(key.field.name()).ok());
            exchanged_by(plan, node)?.and_then(|_| keys.collect())
        }
        NodeKind::AsOfJoin(_) | NodeKind::ChangelogJoin(_) | NodeKind::IntervalJoin(_) | NodeKind::WindowJoin(_) => {
            joined(plan, node)
        }
        NodeKind::Filter(_) | NodeKind::FoldByTime(_) | NodeKind::LookupJoin(_) => {
            named_alike(shared_with_input(plan, node)?, from, &node.schema, &BTreeSet::new())
        }
        NodeKind::Project(outputs) => projected(shared_with_input(plan, node)?, from, outputs, &node.schema),
        NodeKind::Window(_) => {
            named_alike(shared_with_input(plan, node)?, from, &node.schema, &BTreeSet::from([EVENT_TIME]))
        }
        NodeKind::Unnest(unnest) => {
            let made = unnest.items.iter().flat_map(|item| &item.fields).chain(&unnest.ordinality);
            let made = made.map(|field| field.name().as_str()).collect();
            named_alike(shared_with_input(plan, node)?, from, &node.schema, &made)
        }
        _ => None,
    }
    .filter(|places| !places.is_empty()))
}

/// The places of columns in `to` that pass under their name; one of `made` is another one there.
fn named_alike(
    columns: Option<Vec<usize>>,
    from: &SchemaRef,
    to: &Schema,
    made: &BTreeSet<&str>,
) -> Option<Vec<usize>> {
    let place = |at: usize| {
        let name = from.field(at).name().as_str();
        if made.contains(name) { None } else { to.index_of(name).ok() }
    };
    columns?.into_iter().map(place).collect()
}

fn projected(columns: Option<Vec<usize>>, from: &SchemaRef, outputs: &[Output], to: &Schema) -> Option<Vec<usize>> {
    let place = |at: usize| {
        let name = from.field(at).name().as_str();
        let is_it = |output: &Output| matches!(&output.expr, Expr::Column(column) if column.name() == name);
        match outputs.iter().find(|output| is_it(output)) {
            Some(output) => to.index_of(output.field.name()).ok(),
            // The event time passes, unless there is another one.
            None if name == EVENT_TIME && outputs.len() < to.fields().len() => to.index_of(name).ok(),
            None => None,
        }
    };
    columns?.into_iter().map(place).collect()
}

/// Of each pair of keys the column of a side that is never padded, or of either side of pairs alone.
fn joined(plan: &Plan, node: &Node) -> Option<Vec<usize>> {
    let (&[left, right], Some(join)) = (node.inputs.as_slice(), node.kind.join()) else { return None };
    let (left, right) = (&plan.nodes[left.0].schema, &plan.nodes[right.0].schema);
    let of_left = columns_in(left, exchanged_keys(join).map(|key| &key.left))?;
    let of_right = columns_in(right, exchanged_keys(join).map(|key| &key.right))?;
    // The event time of a joined row can be that of either side.
    let place = |side: &SchemaRef, at: usize| {
        let name = side.field(at).name();
        if name == EVENT_TIME { None } else { node.schema.index_of(name).ok() }
    };
    let place = |(of_left, of_right): (usize, usize)| match join.kind {
        JoinKind::Inner => place(left, of_left).or_else(|| place(right, of_right)),
        JoinKind::Right => place(right, of_right),
        JoinKind::Full => None,
        _ => place(left, of_left),
    };
    of_left.into_iter().zip(of_right).map(place).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{DataType, Field, Fields};
    use datafusion_expr::{col, lit};
    use velo_core::duration::Span;
    use velo_core::{schema, types};
    use velo_eventtime::LateStrategy;
    use velo_plan::plan::{
        ChangelogJoin, Changes, Emission, Join, JoinColumn, JoinKey, OnComputeError, Side, WindowKind, WindowSpec,
    };

    use super::*;
    use crate::physical::lower;

    fn field(name: &str) -> Arc<Field> {
        Arc::new(Field::new(name, DataType::Int64, true))
    }

    fn node(kind: NodeKind, inputs: &[usize], names: &[&str], changes: Changes) -> Node {
        let fields: Fields = names.iter().map(|name| field(name)).collect();
        Node {
            kind,
            inputs: inputs.iter().map(|input| NodeId(*input)).collect(),
            schema: schema::with_event_time(&Schema::new(fields)),
            bounded: false,
            changes,
            owner: "result".to_owned(),
            dead_letters: None,
            on_compute_error: OnComputeError::default(),
            parallelism: None,
            state_ttl: None,
            table_wait: None,
        }
    }

    fn output(expr: Expr, name: &str) -> Output {
        Output { expr, field: field(name) }
    }

    /// Windows by `a` and `b` whose results change, a projection of them, and their fold.
    fn folded_windows(outputs: &[(&str, &str)]) -> Plan {
        let mut windows = node(
            NodeKind::Aggregate {
                keys: ["a", "b"].map(|name| output(col(name), name)).to_vec(),
                sets: vec![],
                aggregates: vec![],
                window: Some(WindowSpec { kind: WindowKind::Tumbling { size: Span(10) }, offset: Span(0), zone: None }),
                late: LateStrategy::Drop,
                emission: Emission { early: true, ..Emission::default() },
            },
            &[0],
            &["a", "b"],
            Changes::Updates,
        );
        let bound = |name: &str| Arc::new(Field::new(name, types::TIMESTAMP, false));
        let fields = [field("a"), field("b"), bound("window_start"), bound("window_end")];
        windows.schema = schema::with_event_time(&Schema::new(fields.to_vec()));
        let names = outputs.iter().map(|(_, name)| *name).collect::<Vec<_>>();
        let outputs = outputs.iter().map(|(of, name)| output(col(*of), name)).collect();
        let nodes = vec![
            node(NodeKind::Values(vec![]), &[], &["a", "b"], Changes::Append),
            windows,
            node(NodeKind::Project(outputs), &[1], &names, Changes::Updates),
            node(NodeKind::Filter(lit(true)), &[2], &names, Changes::Deletes),
            node(NodeKind::FoldByTime(LateStrategy::Drop), &[3], &names, Changes::Append),
        ];
        Plan { nodes, ..Plan::default() }
    }

    fn tasks(plan: &Plan) -> Vec<usize> {
        lower(plan, 4).unwrap().stages.iter().map(|stage| stage.tasks).collect()
    }

    /// Rows are folded where the tasks find them again by the columns that they share; else in one task.
    #[test]
    fn a_fold_by_time_is_shared_by_columns_that_are_still_there() {
        let plan = folded_windows(&[("b", "x"), ("window_start", "b"), ("a", "y")]);
        assert_eq!(shared_by(&plan, NodeId(1)).unwrap(), Some(vec![0, 1]));
        assert_eq!(shared_by(&plan, NodeId(3)).unwrap(), Some(vec![2, 0]));
        assert_eq!(tasks(&plan), [1, 4]);
        let plan = folded_windows(&[("window_start", "b"), ("a", "a")]);
        assert_eq!(shared_by(&plan, NodeId(3)).unwrap(), None);
        assert_eq!(tasks(&plan), [1, 4, 1]);
    }

    /// Of a row that can be padded the other side's column counts.
    #[test]
    fn the_keys_of_a_join() {
        let of = |kind: JoinKind, columns: &[(Side, &str)]| {
            let keys = vec![JoinKey { left: col("a"), right: col("b") }];
            let names = columns.iter().map(|(_, name)| *name).collect::<Vec<_>>();
            let columns = columns.iter().map(|(side, name)| JoinColumn { side: *side, field: field(name) }).collect();
            let join = ChangelogJoin { join: Join { kind, keys, condition: None, columns } };
            let nodes = vec![
                node(NodeKind::Values(vec![]), &[], &["v", "a"], Changes::Append),
                node(NodeKind::Values(vec![]), &[], &["b"], Changes::Append),
                node(NodeKind::ChangelogJoin(Box::new(join)), &[0, 1], &names, Changes::Deletes),
            ];
            shared_by(&Plan { nodes, ..Plan::default() }, NodeId(2)).unwrap()
        };
        let both = [(Side::Left, "v"), (Side::Left, "a"), (Side::Right, "b")];
        assert_eq!(of(JoinKind::Inner, &both), Some(vec![1]));
        assert_eq!(of(JoinKind::Left, &both), Some(vec![1]));
        assert_eq!(of(JoinKind::Right, &both), Some(vec![2]));
        assert_eq!(of(JoinKind::Full, &both), None);
        let right = [(Side::Left, "v"), (Side::Right, "b")];
        assert_eq!(of(JoinKind::Inner, &right), Some(vec![1]));
        assert_eq!(of(JoinKind::Left, &right), None);
        assert_eq!(of(JoinKind::Semi, &[(Side::Left, "a")]), Some(vec![0]));
    }
}
