//! Sealed slices as a binary tree, so that a window of 600 slices is merged from about nine nodes.
//!
//! A node of level l and number n covers slices `n·2^l .. (n+1)·2^l`. When all slices under a node are sealed, its two
//! children are merged into it and the left one is dropped: a window that begins under the left child's end begins at the
//! right child or later, and one that begins before takes the parent. Slices without rows have no node and cost nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::ArrayRef;

use super::slice::SliceState;
use crate::aggregate::AggregatePlan;
use crate::error::Result;

/// The state of a sealed slice, or of several merged: it does not change any more.
#[derive(Debug)]
pub(super) struct Node {
    /// Key numbers, one per row of the state.
    pub(super) keys: Vec<u32>,
    pub(super) state: Vec<ArrayRef>,
    pub(super) rows: u64,
}

/// The nodes, by level and number.
#[derive(Debug)]
pub(super) struct Tree {
    levels: Vec<BTreeMap<i64, Arc<Node>>>,
    /// By level: nodes whose parent is not there yet.
    orphans: Vec<BTreeSet<i64>>,
    /// All slices before this one are sealed.
    sealed_to: i64,
}

impl Tree {
    /// A tree for windows of at most `longest` slices: a node larger than a window would never be read.
    pub(super) fn new(longest: i64) -> Self {
        let levels = longest.max(1).ilog2() as usize + 1;
        Self {
            levels: (0..levels).map(|_| BTreeMap::new()).collect(),
            orphans: (0..levels).map(|_| BTreeSet::new()).collect(),
            sealed_to: i64::MIN,
        }
    }

    /// Adds a sealed slice; [`Self::seal_to`] follows.
    pub(super) fn insert(&mut self, slice: i64, node: Node) {
        self.levels[0].insert(slice, Arc::new(node));
        self.orphans[0].insert(slice);
    }

    /// All slices before `end` are sealed now: builds the nodes that are complete.
    pub(super) fn seal_to(&mut self, end: i64, keys: usize, plan: &Arc<AggregatePlan>) -> Result<()> {
        self.sealed_to = self.sealed_to.max(end);
        for level in 0..self.levels.len() - 1 {
            let width = 1_i64 << (level + 1);
            let orphans = std::mem::take(&mut self.orphans[level]);
            for child in orphans {
                let parent = child.div_euclid(2);
                let complete = parent.checked_add(1).and_then(|next| next.checked_mul(width));
                if complete.is_none_or(|end| end > self.sealed_to) {
                    self.orphans[level].insert(child);
                    continue;
                }
                if self.levels[level + 1].contains_key(&parent) {
                    // The other child has made it already.
                    continue;
                }
                let left = self.levels[level].remove(&(parent * 2));
                let right = self.levels[level].get(&(parent * 2 + 1));
                let node = match (left, right) {
                    (Some(left), Some(right)) => Arc::new(merged([left.as_ref(), right.as_ref()], keys, plan)?),
                    (Some(only), None) => only,
                    (None, Some(only)) => Arc::clone(only),
                    (None, None) => continue,
                };
                self.levels[level + 1].insert(parent, node);
                self.orphans[level + 1].insert(parent);
            }
        }
        Ok(())
    }

    /// The nodes that cover slices `from..to`, all of which are sealed.
    pub(super) fn cover(&self, from: i64, to: i64) -> Vec<Arc<Node>> {
        let mut nodes = Vec::new();
        let mut at = from;
        while at < to {
            let mut level = 0;
            while level + 1 < self.levels.len() {
                let width = 1_i64 << (level + 1);
                if at % width != 0 || at.checked_add(width).is_none_or(|end| end > to) {
                    break;
                }
                level += 1;
            }
            nodes.extend(self.levels[level].get(&(at >> level)).cloned());
            at += 1 << level;
        }
        nodes
    }

    /// Drops what no window that begins at `start` or later reads.
    pub(super) fn drop_before(&mut self, start: i64) {
        for (level, (nodes, orphans)) in self.levels.iter_mut().zip(&mut self.orphans).enumerate() {
            // The first node that begins at `start` or later.
            let first = start.div_euclid(1 << level) + i64::from(start.rem_euclid(1 << level) != 0);
            if nodes.first_key_value().is_some_and(|(number, _)| *number < first) {
                *nodes = nodes.split_off(&first);
            }
            if orphans.first().is_some_and(|number| *number < first) {
                // An orphan that no window reads alone can still be half of a parent that one reads only if that parent
                // begins before `start` too, and then none reads it either.
                *orphans = orphans.split_off(&first);
            }
        }
    }

    /// All nodes with their levels and numbers.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (usize, i64, &Arc<Node>)> {
        let levels = self.levels.iter().enumerate();
        levels.flat_map(|(level, nodes)| nodes.iter().map(move |(number, node)| (level, *number, node)))
    }

    /// How many levels there are.
    pub(super) fn height(&self) -> usize {
        self.levels.len()
    }

    /// Takes nodes of a tree that was saved, by level and number; no window that is to come begins before the slice `from`.
    pub(super) fn restore(&mut self, nodes: BTreeMap<(usize, i64), Node>, from: Option<i64>) {
        for ((level, number), node) in nodes {
            if let Some(nodes) = self.levels.get_mut(level) {
                nodes.insert(number, Arc::new(node));
            }
        }
        for level in 0..self.levels.len() - 1 {
            let (lower, upper) = (&self.levels[level], &self.levels[level + 1]);
            // A parent that begins before `from` is read no more, and need not be made.
            let orphan = |number: &i64| {
                let parent = number.div_euclid(2);
                !upper.contains_key(&parent) && from.is_some_and(|from| parent << (level + 1) >= from)
            };
            self.orphans[level] = lower.keys().copied().filter(orphan).collect();
        }
    }

    /// All nodes, for the numbers of keys that are still in use.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.levels.iter().flat_map(BTreeMap::values)
    }

    /// Changes the numbers of keys to those of a rebuilt key table.
    pub(super) fn renumber(&mut self, renumbered: &[u32]) {
        // A node that has taken its only child's place is there twice.
        let mut done: BTreeMap<*const Node, Arc<Node>> = BTreeMap::new();
        for nodes in &mut self.levels {
            for node in nodes.values_mut() {
                let new = done.entry(Arc::as_ptr(node)).or_insert_with(|| {
                    let keys = node.keys.iter().map(|key| renumbered[*key as usize]).collect();
                    Arc::new(Node { keys, state: node.state.clone(), rows: node.rows })
                });
                *node = Arc::clone(new);
            }
        }
    }

    pub(super) fn memory(&self) -> usize {
        let node = |node: &Arc<Node>| {
            node.keys.capacity() * 4 + node.state.iter().map(|column| column.get_array_memory_size()).sum::<usize>()
        };
        self.nodes().map(node).sum()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.levels.iter().map(BTreeMap::len).sum()
    }
}

fn merged(nodes: [&Node; 2], keys: usize, plan: &Arc<AggregatePlan>) -> Result<Node> {
    let mut slice = SliceState::new(plan)?;
    for node in nodes {
        slice.merge(&node.keys, keys, &node.state, node.rows)?;
    }
    let rows = slice.rows();
    let (keys, state) = slice.seal()?;
    Ok(Node { keys, state, rows })
}

#[cfg(test)]
mod tests {
    use arrow_schema::Schema;

    use super::*;
    use crate::aggregate::Groups;

    /// A window of 600 slices is read from few nodes, and few are kept.
    #[test]
    fn few_nodes_cover_a_window() {
        let plan = AggregatePlan::new(&[], &Schema::empty(), Groups::Together, "test").unwrap();
        let mut tree = Tree::new(600);
        let mut most = 0;
        for slice in 0..5_000 {
            // Every seventh slice has no rows.
            if slice % 7 != 0 {
                tree.insert(slice, Node { keys: vec![slice as u32], state: Vec::new(), rows: 1 });
            }
            let end = slice + 1;
            tree.seal_to(end, 5_000, &plan).unwrap();
            let start = end - 600;
            let nodes = tree.cover(start, end);
            let mut keys = nodes.iter().flat_map(|node| node.keys.clone()).collect::<Vec<_>>();
            keys.sort_unstable();
            let expected = (start.max(0)..end).filter(|slice| slice % 7 != 0).map(|slice| slice as u32);
            assert_eq!(keys, expected.collect::<Vec<_>>(), "{slice}");
            most = most.max(nodes.len());
            tree.drop_before(start + 1);
        }
        assert!(most <= 18, "{most}");
        assert!(tree.len() <= 620, "{}", tree.len());
    }
}
