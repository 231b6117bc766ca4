//! Two finished sides joined at once: the right rows by key, the left ones one after the other.

use velo_plan::plan::JoinKind;

use super::kept::{KeptRows, RowRef};
use super::keys::NO_KEY;
use super::pairs::{JoinColumns, Pairs, is_true};
use super::{LEFT, RIGHT};
use crate::error::{ExecError, Result};

/// What becomes of rows with and without a partner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gives {
    /// Pairs.
    pub(crate) pairs: bool,
    /// Left rows with a partner, once.
    pub(crate) semi: bool,
    /// Rows of each side without a partner.
    pub(crate) alone: [bool; 2],
}

impl Gives {
    /// What a kind of join gives, but for the tests of sub-queries.
    pub(crate) fn new(kind: &JoinKind) -> Result<Self> {
        let (pairs, semi, alone) = match kind {
            JoinKind::Inner => (true, false, [false, false]),
            JoinKind::Left => (true, false, [true, false]),
            JoinKind::Right => (true, false, [false, true]),
            JoinKind::Full => (true, false, [true, true]),
            JoinKind::Semi => (false, true, [false, false]),
            JoinKind::Anti => (false, false, [true, false]),
            JoinKind::Mark(_) | JoinKind::Single => {
                return Err(ExecError::Internal("a join by time for a sub-query's test".to_owned()));
            }
        };
        Ok(Self { pairs, semi, alone })
    }

    /// Whether it matters if a row of this side has had a partner.
    pub(crate) fn marks(&self, side: usize) -> bool {
        self.alone[side] || (side == LEFT && !self.pairs)
    }
}

/// Two sides on their way.
#[derive(Debug)]
pub(crate) struct HashJoin {
    pub(crate) stores: [KeptRows; 2],
    /// The rows of each side, and the keys of the left ones.
    rows: [Vec<RowRef>; 2],
    keys: Vec<u32>,
    /// The right rows by key: where those of each begin, and all of them.
    starts: Vec<u32>,
    by_key: Vec<u32>,
    /// The next left row, and how many of its candidates have been asked.
    left: usize,
    seen: usize,
    /// The next row of each side that may be alone.
    alone: [usize; 2],
    candidates: Pairs,
}

impl HashJoin {
    /// Joins rows of both sides, each with its key's number; there are so many keys.
    pub(crate) fn new(stores: [KeptRows; 2], rows: [Vec<RowRef>; 2], numbers: [Vec<u32>; 2], keys: usize) -> Self {
        let [left, right] = numbers;
        let mut starts = vec![0_u32; keys + 1];
        for key in right.iter().filter(|key| **key != NO_KEY) {
            starts[*key as usize + 1] += 1;
        }
        for key in 0..keys {
            starts[key + 1] += starts[key];
        }
        let mut by_key = vec![0; starts[keys] as usize];
        let mut next = starts.clone();
        for (row, key) in right.iter().enumerate().filter(|(_, key)| **key != NO_KEY) {
            let place = &mut next[*key as usize];
            by_key[*place as usize] = row as u32;
            *place += 1;
        }
        let candidates = Pairs::default();
        Self { stores, rows, keys: left, starts, by_key, left: 0, seen: 0, alone: [0; 2], candidates }
    }

    /// The next pairs, into `pairs`, until there are `limit` of them; false when all have come.
    pub(crate) fn next(
        &mut self,
        gives: Gives,
        columns: &JoinColumns,
        pairs: &mut Pairs,
        limit: usize,
    ) -> Result<bool> {
        while self.left < self.keys.len() {
            if pairs.len() >= limit {
                return Ok(true);
            }
            self.find(gives, columns, limit);
            self.settle(gives, columns, pairs)?;
        }
        for side in [LEFT, RIGHT] {
            while gives.alone[side] && self.alone[side] < self.rows[side].len() {
                if pairs.len() >= limit {
                    return Ok(true);
                }
                let row = self.rows[side][self.alone[side]];
                if !self.stores[side].is_marked(row) {
                    pairs.push(side, row, RowRef::NONE);
                }
                self.alone[side] += 1;
            }
        }
        Ok(false)
    }

    fn find(&mut self, gives: Gives, columns: &JoinColumns, limit: usize) {
        while self.left < self.keys.len() && self.candidates.len() < limit {
            let (row, key) = (self.rows[LEFT][self.left], self.keys[self.left]);
            if key != NO_KEY && (gives.pairs || !self.stores[LEFT].is_marked(row)) {
                let of_key = self.starts[key as usize] as usize..self.starts[key as usize + 1] as usize;
                let partners = &self.by_key[of_key];
                // One is enough where it only matters whether there is one.
                let partners =
                    if gives.pairs || columns.has_condition() { partners } else { &partners[..partners.len().min(1)] };
                let rest = &partners[self.seen.min(partners.len())..];
                let count = rest.len().min(limit - self.candidates.len());
                for right in &rest[..count] {
                    self.candidates.push(LEFT, row, self.rows[RIGHT][*right as usize]);
                }
                if count < rest.len() {
                    self.seen += count;
                    return;
                }
            }
            self.left += 1;
            self.seen = 0;
        }
    }

    fn settle(&mut self, gives: Gives, columns: &JoinColumns, pairs: &mut Pairs) -> Result<()> {
        let accepted = columns.accepted([&self.stores[LEFT], &self.stores[RIGHT]], &self.candidates)?;
        for at in 0..self.candidates.len() {
            if !is_true(accepted.as_ref(), at) {
                continue;
            }
            let [left, right] = [LEFT, RIGHT].map(|side| self.candidates.sides[side][at]);
            let is_first = gives.marks(LEFT) && self.stores[LEFT].mark(left);
            if gives.marks(RIGHT) {
                self.stores[RIGHT].mark(right);
            }
            if gives.pairs {
                pairs.push(LEFT, left, right);
            } else if gives.semi && is_first {
                pairs.push(LEFT, left, RowRef::NONE);
            }
        }
        self.candidates.clear();
        Ok(())
    }
}
