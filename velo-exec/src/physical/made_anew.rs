//! Which stages of a job with checkpoints run anew at every start, and take no part in them.

use std::collections::BTreeMap;

use velo_plan::plan::{NodeKind, Plan, TableId};

use super::stage::{StageKind, Stages};

impl Stages {
    /// For each stage whether it runs anew at every start: it is connected with nothing but tables that cannot change once they are
    /// ready, as tables over connectors which end are loaded anew.
    ///
    /// A table that is given as rows to what goes on where it was is not made anew: these are told by their number, and made anew they could come in
    /// another order.
    pub fn made_anew(&self, plan: &Plan) -> Vec<bool> {
        let part = self.connected();
        let mut saved = vec![false; self.stages.len()];
        let mut makers: BTreeMap<TableId, usize> = BTreeMap::new();
        for (at, stage) in self.stages.iter().enumerate() {
            match stage.kind {
                StageKind::Table(table) => {
                    makers.insert(table, part[at]);
                    saved[part[at]] |= !plan.is_settled(table);
                }
                StageKind::Sink(_) => saved[part[at]] = true,
                _ => {}
            }
        }
        let scans: Vec<(usize, usize)> = self
            .stages
            .iter()
            .enumerate()
            .filter_map(|(at, stage)| {
                let StageKind::TableScan(node) = stage.kind else { return None };
                let NodeKind::TableScan(scan) = &plan.nodes[node.0].kind else { return None };
                Some((part[at], *makers.get(&scan.table)?))
            })
            .collect();
        // What makes a table may read others as rows.
        while let Some((_, maker)) = scans.iter().find(|(reads, maker)| saved[*reads] && !saved[*maker]) {
            saved[*maker] = true;
        }
        part.into_iter().map(|part| !saved[part]).collect()
    }

    /// For each stage one of those that it is connected with, in whatever direction: the same for all of these. Dead letters connect
    /// nothing.
    pub(super) fn connected(&self) -> Vec<usize> {
        let mut of: Vec<usize> = (0..self.stages.len()).collect();
        for (at, stage) in self.stages.iter().enumerate() {
            for destination in &stage.destinations {
                let (one, other) = (of[at], of[destination.input.stage]);
                of.iter_mut().filter(|part| **part == other).for_each(|part| *part = one);
            }
        }
        of
    }
}
