//! By which columns rows are exchanged for a node, and what else follows from how it goes by key.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion_expr::Expr;
use velo_core::duration::Span;
use velo_plan::plan::{Emission, Node, NodeKind, Over, Plan, WindowKind};

use super::shared_by::exchanged_keys;
use super::stage::Step;
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;
use crate::operator::{shared_keys, shared_partition};
use crate::spill::KeysOf;

/// How the changes of a node are held together: for how long, the columns by which there is one row at a time, and whether the
/// rows of these have one event time.
pub(super) fn held_together(node: &Node) -> Result<Option<(Span, Vec<usize>, bool)>> {
    Ok(match &node.kind {
        NodeKind::Aggregate {
            keys, aggregates, window, emission: Emission { interval: Some(interval), .. }, ..
        } => {
            let bounds = keys.len() + aggregates.len();
            let bounds = bounds..bounds + if window.is_some() { 2 } else { 0 };
            Some((*interval, (0..keys.len()).chain(bounds).collect(), window.is_some()))
        }
        NodeKind::TopN(top) => match top.emission.interval {
            Some(interval) => {
                let several = || ExecError::Internal("a Top-N of several rows is not held together".to_owned());
                let names = top.row_key().ok_or_else(several)?.into_iter();
                let key = names.map(|name| node.schema.index_of(name)).collect::<Result<_, _>>()?;
                Some((interval, key, top.per_window))
            }
            None => None,
        },
        _ => None,
    })
}

/// Whether the states of an aggregate are exchanged, by all its keys, and not its rows.
pub(super) fn in_steps(plan: &Plan, node: &Node) -> bool {
    let NodeKind::Aggregate { window, emission, .. } = &node.kind else { return false };
    let changing = emission.changes() || !plan.nodes[node.inputs[0].0].changes.is_append();
    !changing
        && match window.as_ref().map(|window| window.kind) {
            None => node.bounded,
            Some(WindowKind::Session { .. }) => false,
            Some(_) => true,
        }
}

/// The places of the input's columns by which rows can be exchanged for a node, so that each key is in one task; none where
/// there are no such columns.
pub(super) fn exchanged_by(plan: &Plan, node: &Node) -> Result<Option<Vec<usize>>> {
    Ok(match &node.kind {
        NodeKind::Aggregate { keys, sets, .. } => {
            // Of grouping sets the keys that all of them have.
            columns_of(plan, node, shared_keys(keys.len(), sets).into_iter().map(|at| &keys[at].expr))
        }
        NodeKind::Over(over) => over_columns(plan, node, over),
        NodeKind::TopN(top) => columns_of(plan, node, top.partition_by.iter()),
        NodeKind::MatchRecognize(matching) => columns_of(plan, node, matching.partition_by.iter().map(|key| &key.expr)),
        NodeKind::SetOperation { .. } => Some((0..node.schema.fields().len()).collect()),
        NodeKind::DistinctOn { keys, .. } => columns_of(plan, node, keys.iter()),
        NodeKind::LatestByKey(key) => {
            let input = &plan.nodes[node.inputs[0].0].schema;
            Some(key.iter().map(|name| input.index_of(name)).collect::<Result<_, _>>()?)
        }
        _ => None,
    })
}

/// The places of expressions in the input of a node, where all of them are columns of it and there are some.
fn columns_of<'a>(plan: &Plan, node: &Node, exprs: impl Iterator<Item = &'a Expr>) -> Option<Vec<usize>> {
    columns_in(&plan.nodes[node.inputs[0].0].schema, exprs)
}

/// The same in the columns of any schema.
pub(super) fn columns_in<'a>(input: &SchemaRef, exprs: impl Iterator<Item = &'a Expr>) -> Option<Vec<usize>> {
    let place = |expr: &Expr| match expr {
        Expr::Column(column) => input.index_of(column.name()).ok(),
        _ => None,
    };
    exprs.map(place).collect::<Option<Vec<_>>>().filter(|places| !places.is_empty())
}

/// The places of the columns that all windows are partitioned by.
fn over_columns(plan: &Plan, node: &Node, over: &Over) -> Option<Vec<usize>> {
    let input = &plan.nodes[node.inputs[0].0].schema;
    Some(shared_partition(over, input)).filter(|columns| !columns.is_empty())
}

/// By which keys of each of its inputs the operator of a step saves what it keeps, where that can be shared out among shards.
pub(super) fn spilled_by(plan: &Plan, step: &Step) -> Result<Option<Vec<KeysOf>>> {
    let node = &plan.nodes[step.node().0];
    Ok(match (&node.kind, step) {
        // The keys stand first in the states that are exchanged.
        (NodeKind::Aggregate { keys, .. }, Step::Final(_)) => Some(vec![KeysOf::Places((0..keys.len()).collect())]),
        (NodeKind::Aggregate { keys, sets, .. }, Step::Whole(_)) => {
            let shared = shared_keys(keys.len(), sets);
            // The states of grouping sets that are exchanged go by all keys, of which a row has several.
            if shared.is_empty() || (!sets.is_empty() && in_steps(plan, node)) {
                return Ok(None);
            }
            let input = &plan.nodes[node.inputs[0].0].schema;
            // Rows whose key fails are given up by the operator itself, and counted there.
            let nobody = step.gives_up(plan).map(|_| Arc::default());
            let compile = |at: usize| {
                let mut key = Evaluator::new(&keys[at].expr, input, &node.owner)?;
                nobody.iter().for_each(|nobody| key.give_up(nobody));
                Ok(key)
            };
            Some(vec![KeysOf::Exprs(shared.into_iter().map(compile).collect::<Result<_>>()?)])
        }
        (
            NodeKind::AsOfJoin(_) | NodeKind::ChangelogJoin(_) | NodeKind::IntervalJoin(_) | NodeKind::WindowJoin(_),
            Step::Whole(_),
        ) => {
            let (&[left, right], Some(join)) = (node.inputs.as_slice(), node.kind.join()) else { return Ok(None) };
            let (left, right) = (&plan.nodes[left.0].schema, &plan.nodes[right.0].schema);
            let of_left = columns_in(left, exchanged_keys(join).map(|key| &key.left));
            let of_right = columns_in(right, exchanged_keys(join).map(|key| &key.right));
            of_left.zip(of_right).map(|(left, right)| vec![KeysOf::Places(left), KeysOf::Places(right)])
        }
        (_, Step::Whole(_)) => exchanged_by(plan, node)?.map(|places| vec![KeysOf::Places(places)]),
        _ => None,
    })
}
