//! By which columns the rows of a node are shared out among its tasks: what an operator keeps that joins the stage of its input
//! goes with them, so that it is found again by the task that gets the rows of the same values.

use datafusion_expr::Expr;
use velo_core::schema;
use velo_plan::plan::{Join, JoinKey, JoinKind, LookupJoin, Missing, Node, NodeId, NodeKind, Plan, Side};

use super::lower::exchanged_by;
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

/// The places of the columns of a node's only input by which its rows come to the node, where it joins the stage of its input.
/// None: it runs as one task, or these columns are not there any more.
pub(super) fn shared_by(plan: &Plan, node: &Node) -> Result<Option<Vec<usize>>> {
    let input = node.inputs[0];
    let readers = plan.nodes.iter().flat_map(|node| &node.inputs).filter(|of| **of == input).count();
    if readers > 1 {
        return Ok(None);
    }
    let places = out_of(plan, input)?;
    let time = schema::event_time_index(&plan.nodes[input.0].schema);
    // A row is taken back at another time than its own.
    Ok(places.filter(|places| !places.iter().any(|place| Some(*place) == time)))
}

/// The same of the columns that come out of a node.
fn out_of(plan: &Plan, id: NodeId) -> Result<Option<Vec<usize>>> {
    let node = &plan.nodes[id.0];
    Ok(match &node.kind {
        NodeKind::Filter(_)
        | NodeKind::Project(_)
        | NodeKind::Window(_)
        | NodeKind::Unnest(_)
        | NodeKind::LookupJoin(_)
        | NodeKind::FoldByTime(_) => shared_by(plan, node)?.and_then(|places| carried(plan, node, &places)),
        NodeKind::Over(_) | NodeKind::TopN(_) | NodeKind::DistinctOn { .. } | NodeKind::LatestByKey(_) => {
            exchanged_by(plan, node)?.and_then(|places| carried(plan, node, &places))
        }
        NodeKind::SetOperation { .. } => exchanged_by(plan, node)?,
        NodeKind::MatchRecognize(matching) => {
            let keys = matching.partition_by.iter().map(|key| node.schema.index_of(key.field.name()).ok());
            exchanged_by(plan, node)?.and_then(|_| keys.collect())
        }
        NodeKind::Aggregate { keys, sets, .. } => {
            // The keys come first. Of grouping sets those that all have are never left out.
            let shared = |at: &usize| sets.iter().all(|set| set.keys.get(*at) == Some(&true));
            let shared = (0..keys.len()).filter(shared).collect::<Vec<_>>();
            exchanged_by(plan, node)?.map(|_| shared).or_else(|| Some((0..keys.len()).collect()))
        }
        kind => kind.join().and_then(|join| {
            let place = |side: Side, key: &JoinKey| {
                let expr = if side == Side::Left { &key.left } else { &key.right };
                let name = name_of(expr)?;
                join.columns.iter().position(|column| column.side == side && column.field.name() == name)
            };
            // A row without a partner has only its own side's key.
            let place = |key: &JoinKey| match join.kind {
                JoinKind::Full => None,
                JoinKind::Right => place(Side::Right, key),
                JoinKind::Inner => place(Side::Left, key).or_else(|| place(Side::Right, key)),
                _ => place(Side::Left, key),
            };
            exchanged_keys(join).map(place).collect()
        }),
    }
    .filter(|places: &Vec<usize>| !places.is_empty()))
}

/// Where columns of a node's input come out of it; none where one of them does not.
fn carried(plan: &Plan, node: &Node, places: &[usize]) -> Option<Vec<usize>> {
    let input = &plan.nodes[node.inputs[0].0].schema;
    let place = |place: &usize| {
        let name = input.field(*place).name();
        match &node.kind {
            NodeKind::Project(outputs) => outputs.iter().position(|output| name_of(&output.expr) == Some(name)),
            NodeKind::LookupJoin(join) => {
                let is =
                    |column: &velo_plan::plan::JoinColumn| column.side == Side::Left && column.field.name() == name;
                join.columns.iter().position(is)
            }
            _ => node.schema.index_of(name).ok(),
        }
    };
    places.iter().map(place).collect()
}

fn name_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(column.name()),
        _ => None,
    }
}
