//! By which of its columns the tasks of a node's stage share what comes out of it.
//!
//! A row and what takes it back come from the task that has their key. An operator that keeps rows of such a stage finds them
//! again after a restart with other tasks by the same columns, as far as these go with the rows.

use std::collections::BTreeSet;

use arrow_schema::{Schema, SchemaRef};
use datafusion_expr::Expr;
use velo_core::schema::EVENT_TIME;
use velo_plan::plan::{JoinKind, Node, NodeId, NodeKind, Output, Plan};

use super::lower::{columns_in, exchanged_by};
use crate::error::Result;

/// The places, among the columns that come out of a node, of those by which rows are exchanged for its stage, in their order; none
/// where there is one task, whatever the parallelism, or where a column of them is not there any more.
pub(super) fn shared_by(plan: &Plan, id: NodeId) -> Result<Option<Vec<usize>>> {
    let node = &plan.nodes[id.0];
    let Some(input) = node.inputs.first().copied() else { return Ok(None) };
    let from = &plan.nodes[input.0].schema;
    Ok(match &node.kind {
        // Where results do not change, states are exchanged, by all keys.
        NodeKind::Aggregate { emission, .. } if !emission.changes() && plan.nodes[input.0].changes.is_append() => None,
        NodeKind::Aggregate { keys, sets, .. } => {
            let shared = |at: &usize| sets.iter().all(|set| set.keys.get(*at) == Some(&true));
            exchanged_by(plan, node)?.map(|_| (0..keys.len()).filter(shared).collect())
        }
        NodeKind::SetOperation { .. } => exchanged_by(plan, node)?,
        NodeKind::Over(_) | NodeKind::TopN(_) | NodeKind::DistinctOn { .. } | NodeKind::LatestByKey(_) => {
            named_alike(exchanged_by(plan, node)?, from, &node.schema, &BTreeSet::new())
        }
        NodeKind::AsOfJoin(_) | NodeKind::ChangelogJoin(_) => joined(plan, node),
        NodeKind::Filter(_) | NodeKind::FoldByTime(_) | NodeKind::LookupJoin(_) => {
            named_alike(shared_by(plan, input)?, from, &node.schema, &BTreeSet::new())
        }
        NodeKind::Project(outputs) => projected(shared_by(plan, input)?, from, outputs, &node.schema),
        NodeKind::Window(_) => named_alike(shared_by(plan, input)?, from, &node.schema, &BTreeSet::from([EVENT_TIME])),
        NodeKind::Unnest(unnest) => {
            let made = unnest.items.iter().flat_map(|item| &item.fields).chain(&unnest.ordinality);
            let made = made.map(|field| field.name().as_str()).collect();
            named_alike(shared_by(plan, input)?, from, &node.schema, &made)
        }
        _ => None,
    })
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
    let of_left = columns_in(left, join.keys.iter().map(|key| &key.left))?;
    let of_right = columns_in(right, join.keys.iter().map(|key| &key.right))?;
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
