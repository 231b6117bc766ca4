//! A projection below a join that gives its input as it is goes out: the names that it made different are not read.

use datafusion_expr::Expr;

use super::drop_unread;
use crate::plan::{NodeId, NodeKind, Plan};
use crate::planner::Roots;

/// Takes such projections out.
pub(super) fn run(plan: &mut Plan, roots: Roots) {
    let mut found = false;
    for at in 0..plan.nodes.len() {
        if plan.nodes[at].kind.join().is_none() {
            continue;
        }
        for input in 0..plan.nodes[at].inputs.len() {
            let id = plan.nodes[at].inputs[input];
            if let Some(below) = gives_its_input(plan, id) {
                plan.nodes[at].inputs[input] = below;
                found = true;
            }
        }
    }
    if found {
        drop_unread::run(plan, roots);
    }
}

/// The input of a projection that changes nothing.
fn gives_its_input(plan: &Plan, id: NodeId) -> Option<NodeId> {
    let node = &plan.nodes[id.0];
    let NodeKind::Project(outputs) = &node.kind else { return None };
    let same = |expr: &Expr, name: &str| matches!(expr, Expr::Column(column) if column.name() == name);
    let below = *node.inputs.first()?;
    let unchanged = outputs.iter().all(|output| same(&output.expr, output.field.name()));
    (unchanged && node.schema == plan.nodes[below.0].schema).then_some(below)
}
