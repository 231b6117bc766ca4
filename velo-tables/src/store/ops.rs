//! What changed between two versions, by positions; and the same as rows with kinds, for those who follow a table.

use std::sync::Arc;

use velo_core::batch::{Batch, columns_of};
use velo_core::error::Result;
use velo_core::lookup::TableRow;
use velo_core::row_kind::RowKind;

use crate::store::index::failed;
use crate::store::segments::Segments;
use crate::store::state::{SCAN_ROWS, State};

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// Rows came at the positions from the first up to the second.
    Added(u64, u64),
    /// The second took the place of the first.
    Replaced(u64, u64),
    /// The first went; the second is the delete, or [`TableRow::NONE`].
    Removed(u64, u64),
}

/// Changes in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ops(Vec<Op>);

impl Ops {
    /// A row came.
    pub(crate) fn added(&mut self, position: u64) {
        self.added_all(position, position + 1);
    }

    /// Rows came at neighbouring positions.
    pub(crate) fn added_all(&mut self, from: u64, to: u64) {
        match self.0.last_mut() {
            Some(Op::Added(_, end)) if *end == from => *end = to,
            _ if from < to => self.0.push(Op::Added(from, to)),
            _ => {}
        }
    }

    /// A row took the place of another.
    pub(crate) fn replaced(&mut self, old: u64, new: u64) {
        self.0.push(Op::Replaced(old, new));
    }

    /// A row went.
    pub(crate) fn removed(&mut self, old: u64, by: u64) {
        self.0.push(Op::Removed(old, by));
    }

    /// Whether nothing changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Changes that can be read as rows: whose columns are still there.
#[derive(Debug, Clone)]
pub(crate) struct Delta {
    segments: Segments,
    event_time: Option<usize>,
    ops: Arc<Ops>,
    /// The next change, and how many of its rows have been given.
    at: usize,
    given: u64,
}

impl Delta {
    /// The changes `ops` of `state`, which still has all rows that they name.
    pub(crate) fn new(state: &State, ops: Ops) -> Self {
        let ops = Arc::new(ops);
        Self { segments: state.segments.clone(), event_time: state.shape.event_time, ops, at: 0, given: 0 }
    }

    /// Every version that is kept, by event time, as changes from nothing.
    pub(crate) fn of_versions(state: &State) -> Self {
        let mut all = Vec::new();
        for history in state.histories.iter().flat_map(|histories| histories.iter()) {
            let mut before = None;
            for version in history {
                let op = match (before, version.gone()) {
                    (None, false) => Some(Op::Added(version.position(), version.position() + 1)),
                    (Some(old), false) => Some(Op::Replaced(old, version.position())),
                    (Some(old), true) => Some(Op::Removed(old, version.position())),
                    (None, true) => None,
                };
                all.extend(op.map(|op| (version.time, version.position(), op)));
                before = (!version.gone()).then(|| version.position());
            }
        }
        all.sort_unstable_by_key(|(time, position, _)| (*time, *position));
        Self::new(state, Ops(all.into_iter().map(|(_, _, op)| op).collect()))
    }

    /// The next of them as rows: an update in both halves, a delete with the values of the row that went and the event time of the
    /// delete itself. Nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Batch>> {
        let (mut positions, mut kinds) = (Vec::new(), Vec::new());
        // Where the event time is that of another row.
        let mut times = Vec::new();
        while positions.len() < SCAN_ROWS {
            let Some(op) = self.ops.0.get(self.at) else { break };
            match *op {
                Op::Added(from, to) => {
                    let from = from + self.given;
                    let upto = to.min(from + (SCAN_ROWS - positions.len()) as u64);
                    positions.extend(from..upto);
                    kinds.resize(positions.len(), RowKind::Insert);
                    if upto < to {
                        self.given += upto - from;
                        break;
                    }
                    self.given = 0;
                }
                Op::Replaced(old, new) => {
                    positions.extend([old, new]);
                    kinds.extend([RowKind::UpdateBefore, RowKind::UpdateAfter]);
                }
                Op::Removed(old, by) => {
                    if by != TableRow::NONE.0 {
                        times.push((positions.len(), by));
                    }
                    positions.push(old);
                    kinds.push(RowKind::Delete);
                }
            }
            self.at += 1;
        }
        if positions.is_empty() {
            return Ok(None);
        }
        let mut rows = self.segments.rows(&positions).map_err(failed)?;
        if let Some(column) = self.event_time.filter(|_| !times.is_empty()) {
            for (at, by) in times {
                positions[at] = by;
            }
            let addresses: Vec<_> = positions.iter().map(|position| Some(self.segments.address(*position))).collect();
            let mut columns = rows.columns().to_vec();
            columns[column] = self.segments.gather(column, &addresses).map_err(failed)?;
            rows = columns_of(&Arc::clone(rows.schema_ref()), columns, positions.len()).map_err(failed)?;
        }
        Ok(Some(Batch::changes(rows, kinds)))
    }
}
