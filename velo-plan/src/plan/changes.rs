//! Whether the rows of a node can change after they came.

use super::join::JoinKind;
use super::node::{NodeId, NodeKind, Plan, SetKind};
use super::window::WindowKind;

/// What can happen to rows that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Changes {
    /// Nothing: rows only come.
    #[default]
    Append,
    /// A row is replaced by another one of its key, and never just gone.
    Updates,
    /// A row can be gone, or give its place to one of another key.
    Deletes,
}

impl Changes {
    /// What comes out of a node, given what goes in; `changelog`: a source gives changes itself.
    pub fn of(kind: &NodeKind, inputs: impl IntoIterator<Item = Self>, changelog: bool) -> Self {
        let input = inputs.into_iter().max().unwrap_or_default();
        match kind {
            NodeKind::Source(_) => {
                if changelog {
                    Self::Deletes
                } else {
                    Self::Append
                }
            }
            // It lets one half of an update through, and not the other.
            NodeKind::Filter(_) if input == Self::Updates => Self::Deletes,
            // A row that is replaced can have other elements than before, also fewer.
            NodeKind::Unnest(_) if input == Self::Updates => Self::Deletes,
            NodeKind::Aggregate { emission, .. } if !emission.changes() => Self::Append,
            // A session that grows or joins another takes back what was said of it.
            NodeKind::Aggregate { window: Some(window), .. } if matches!(window.kind, WindowKind::Session { .. }) => {
                Self::Deletes
            }
            // Of distinct rows of which none goes, none goes.
            NodeKind::Aggregate { aggregates, .. } if input == Self::Append && aggregates.is_empty() => Self::Append,
            NodeKind::Aggregate { .. } => {
                input.max(Self::Updates).max(if input == Self::Append { input } else { Self::Deletes })
            }
            NodeKind::TopN(top) if !top.emission.early => Self::Append,
            // Of rows that only come, one takes the place of another, and no place is given up.
            NodeKind::TopN(top) if input == Self::Append && (top.rank.is_some() || top.limit == Some(1)) => {
                Self::Updates
            }
            NodeKind::TopN(_) => Self::Deletes,
            NodeKind::Fold | NodeKind::FoldByTime(_) => Self::Append,
            NodeKind::SetOperation { emission, .. } if !emission.early => Self::Append,
            // What both sides have of rows that only come only comes; of a difference the right side can take a row away.
            NodeKind::SetOperation { kind: SetKind::Intersect, .. } if input == Self::Append => Self::Append,
            NodeKind::SetOperation { .. } => Self::Deletes,
            NodeKind::LatestByKey(_) => Self::Deletes,
            // Pairs are made and unmade as single rows.
            NodeKind::LookupJoin(_) | NodeKind::AsOfJoin(_) if input == Self::Updates => Self::Deletes,
            NodeKind::IntervalJoin(_) | NodeKind::WindowJoin(_) => Self::Append,
            NodeKind::ChangelogJoin(join)
                if input == Self::Append && matches!(join.join.kind, JoinKind::Inner | JoinKind::Semi) =>
            {
                Self::Append
            }
            NodeKind::ChangelogJoin(_) => Self::Deletes,
            _ => input,
        }
    }

    /// The same of a node of a plan whose inputs are known.
    pub(crate) fn within(plan: &Plan, kind: &NodeKind, inputs: &[NodeId]) -> Self {
        if let NodeKind::TableScan(scan) = kind {
            return plan.table_changes(scan.table);
        }
        let changelog = matches!(kind, NodeKind::Source(id) if plan.sources[id.0].changelog);
        Self::of(kind, inputs.iter().map(|input| plan.nodes[input.0].changes), changelog)
    }

    /// Whether rows only come.
    pub fn is_append(self) -> bool {
        self == Self::Append
    }

    /// The kinds of rows that there can be, as EXPLAIN shows them.
    pub fn symbols(self) -> &'static str {
        match self {
            Self::Append => "+I",
            Self::Updates => "+I -U +U",
            Self::Deletes => "+I -U +U -D",
        }
    }
}
