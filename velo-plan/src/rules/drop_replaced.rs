//! Nodes in whose place others stand do not run, unless something still reads them.

use crate::plan::{NodeId, Plan};

/// Takes out those of `replaced` that nothing reads.
pub(super) fn run(plan: &mut Plan, mut replaced: Vec<NodeId>) {
    let mut readers = vec![0_usize; plan.nodes.len()];
    for input in plan.nodes.iter().flat_map(|node| &node.inputs) {
        readers[input.0] += 1;
    }
    replaced.sort_unstable();
    replaced.dedup();
    let mut gone = vec![false; plan.nodes.len()];
    // Consumers stand behind their inputs.
    for NodeId(at) in replaced.into_iter().rev() {
        if readers[at] > 0 {
            continue;
        }
        gone[at] = true;
        plan.nodes[at].inputs.iter().for_each(|input| readers[input.0] -= 1);
    }
    if !gone.contains(&true) {
        return;
    }
    let mut next = 0;
    let numbers: Vec<usize> = gone
        .iter()
        .map(|gone| {
            let number = next;
            next += usize::from(!gone);
            number
        })
        .collect();
    let mut stays = gone.iter().map(|gone| !gone);
    plan.nodes.retain(|_| stays.next().unwrap_or(true));
    for input in plan.nodes.iter_mut().flat_map(|node| &mut node.inputs) {
        *input = NodeId(numbers[input.0]);
    }
}
