//! The rows of one group, each with how often it is there, in order.

use std::collections::BTreeMap;

/// Up to so many different rows a sorted list is quicker than a tree.
const SMALL: usize = 64;

/// Rows in a comparable form, with counts. A row may be taken before it comes: its count is then negative, and it is not there.
#[derive(Debug)]
pub(super) enum Bag {
    Small(Vec<(Box<[u8]>, i64)>),
    Large(BTreeMap<Box<[u8]>, i64>),
}

impl Default for Bag {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

impl Bag {
    /// Changes how often `row` is there; returns by how much the number of different rows changes.
    pub(super) fn add(&mut self, row: &[u8], by: i64) -> i64 {
        let change = |before: i64, after: i64| i64::from(after > 0) - i64::from(before > 0);
        match self {
            Self::Small(rows) => match rows.binary_search_by(|(known, _)| known.as_ref().cmp(row)) {
                Ok(at) => {
                    let before = rows[at].1;
                    rows[at].1 += by;
                    if rows[at].1 == 0 {
                        rows.remove(at);
                    }
                    change(before, before + by)
                }
                Err(at) => {
                    rows.insert(at, (row.into(), by));
                    if rows.len() > SMALL {
                        *self = Self::Large(std::mem::take(rows).into_iter().collect());
                    }
                    change(0, by)
                }
            },
            Self::Large(rows) => {
                let Some(count) = rows.get_mut(row) else {
                    rows.insert(row.into(), by);
                    return change(0, by);
                };
                let before = *count;
                *count += by;
                if *count == 0 {
                    rows.remove(row);
                    // Far below the limit, so that a group at the limit does not change its form with every row.
                    if rows.len() < SMALL / 4 {
                        *self = Self::Small(std::mem::take(rows).into_iter().collect());
                    }
                }
                change(before, before + by)
            }
        }
    }

    /// The first row.
    pub(super) fn first(&self) -> Option<&[u8]> {
        match self {
            Self::Small(rows) => rows.iter().find(|(_, count)| *count > 0).map(|(row, _)| row.as_ref()),
            Self::Large(rows) => rows.iter().find(|(_, count)| **count > 0).map(|(row, _)| row.as_ref()),
        }
    }

    /// The last row.
    pub(super) fn last(&self) -> Option<&[u8]> {
        match self {
            Self::Small(rows) => rows.iter().rfind(|(_, count)| *count > 0).map(|(row, _)| row.as_ref()),
            Self::Large(rows) => rows.iter().rfind(|(_, count)| **count > 0).map(|(row, _)| row.as_ref()),
        }
    }

    /// Calls `visit` with every row that was added or taken, in order, and its count.
    pub(super) fn each<'a>(&'a self, mut visit: impl FnMut(&'a [u8], i64)) {
        match self {
            Self::Small(rows) => rows.iter().for_each(|(row, count)| visit(row, *count)),
            Self::Large(rows) => rows.iter().for_each(|(row, count)| visit(row, *count)),
        }
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        let of = |row: &[u8]| row.len() + size_of::<(Box<[u8]>, i64)>();
        match self {
            Self::Small(rows) => rows.iter().map(|(row, _)| of(row)).sum(),
            Self::Large(rows) => rows.keys().map(|row| of(row)).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_and_go() {
        let mut bag = Bag::default();
        assert_eq!(bag.add(b"b", 1), 1);
        assert_eq!(bag.add(b"b", 1), 0);
        assert_eq!(bag.add(b"a", -1), 0, "taken before it came");
        assert_eq!((bag.first(), bag.last()), (Some(&b"b"[..]), Some(&b"b"[..])));
        assert_eq!(bag.add(b"a", 1), 0, "and now it has come");
        assert_eq!(bag.add(b"b", -2), -1);
        assert_eq!((bag.first(), bag.memory()), (None, 0));
        // The same in its large form.
        for row in 0..200_u8 {
            assert_eq!(bag.add(&[row], 1), 1);
        }
        assert!(matches!(bag, Bag::Large(_)));
        for row in (3..200_u8).rev() {
            assert_eq!(bag.last(), Some(&[row][..]));
            assert_eq!(bag.add(&[row], -1), -1);
        }
        assert!(matches!(bag, Bag::Small(_)));
        let mut rows = Vec::new();
        bag.each(|row, count| rows.push((row[0], count)));
        assert_eq!(rows, [(0, 1), (1, 1), (2, 1)]);
    }
}
