//! The kind of a row in a changelog.

use arrow_array::{Array, BooleanArray, UInt32Array};

/// What a row of a changelog does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RowKind {
    /// `+I`: a row is added.
    Insert = 0,
    /// `-U`: the row as it was before an update; directly before its `+U`.
    UpdateBefore = 1,
    /// `+U`: the row as it is after an update.
    UpdateAfter = 2,
    /// `-D`: a row is gone.
    Delete = 3,
}

impl RowKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Insert, Self::UpdateBefore, Self::UpdateAfter, Self::Delete];

    /// `+I`, `-U`, `+U` or `-D`.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Insert => "+I",
            Self::UpdateBefore => "-U",
            Self::UpdateAfter => "+U",
            Self::Delete => "-D",
        }
    }

    /// The kind that `symbol` names.
    pub fn from_symbol(symbol: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.symbol() == symbol)
    }

    /// Whether the row is taken away (`-U`, `-D`).
    pub fn retracts(self) -> bool {
        matches!(self, Self::UpdateBefore | Self::Delete)
    }
}

/// One kind per row of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowKinds(Vec<RowKind>);

impl RowKinds {
    /// One kind per row.
    pub fn new(kinds: Vec<RowKind>) -> Self {
        Self(kinds)
    }

    /// The kinds, one per row.
    pub fn as_slice(&self) -> &[RowKind] {
        &self.0
    }

    /// Whether all rows are inserts.
    pub fn all_inserts(&self) -> bool {
        self.0.iter().all(|kind| *kind == RowKind::Insert)
    }

    /// The kinds of the rows for which `mask` is true. An update of which only one half is let through is a delete or an insert.
    pub fn filter(&self, mask: &BooleanArray) -> Self {
        let kept = |row: usize| row < mask.len() && mask.is_valid(row) && mask.value(row);
        let kind = |(row, kind): (usize, &RowKind)| match kind {
            RowKind::UpdateBefore if !kept(row + 1) => RowKind::Delete,
            RowKind::UpdateAfter if !row.checked_sub(1).is_some_and(kept) => RowKind::Insert,
            other => *other,
        };
        Self(self.0.iter().enumerate().filter(|(row, _)| kept(*row)).map(kind).collect())
    }

    /// The kinds of the rows at `indices`. An update whose halves do not stay together is a delete and an insert.
    pub fn take(&self, indices: &UInt32Array) -> Self {
        let indices = indices.values();
        let kind = |(at, index): (usize, &u32)| match self.0[*index as usize] {
            RowKind::UpdateBefore if indices.get(at + 1) != Some(&(index + 1)) => RowKind::Delete,
            RowKind::UpdateAfter if at == 0 || indices[at - 1] + 1 != *index => RowKind::Insert,
            other => other,
        };
        Self(indices.iter().enumerate().map(kind).collect())
    }

    /// `length` kinds from `offset` on. An update that is cut in two is a delete and an insert.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        let mut part = self.0[offset..offset + length].to_vec();
        if let Some(first) = part.first_mut()
            && *first == RowKind::UpdateAfter
        {
            *first = RowKind::Insert;
        }
        if let Some(last) = part.last_mut()
            && *last == RowKind::UpdateBefore
        {
            *last = RowKind::Delete;
        }
        Self(part)
    }

    /// The same, with halves of updates that have no other half beside them as deletes and inserts.
    #[must_use]
    pub fn paired(&self) -> Self {
        let mut kinds = self.0.clone();
        let mut open = false;
        for row in 0..kinds.len() {
            open = match kinds[row] {
                RowKind::UpdateBefore if kinds.get(row + 1) == Some(&RowKind::UpdateAfter) => true,
                RowKind::UpdateBefore => {
                    kinds[row] = RowKind::Delete;
                    false
                }
                RowKind::UpdateAfter if !open => {
                    kinds[row] = RowKind::Insert;
                    false
                }
                _ => false,
            };
        }
        Self(kinds)
    }

    /// Updates as deletes and inserts.
    #[must_use]
    pub fn unpaired(&self) -> Self {
        let kind = |kind: &RowKind| if kind.retracts() { RowKind::Delete } else { RowKind::Insert };
        Self(self.0.iter().map(kind).collect())
    }

    /// The kinds of several batches; a batch without kinds gives inserts.
    pub fn concat<'a>(parts: impl Iterator<Item = (Option<&'a Self>, usize)>) -> Self {
        let mut all = Vec::new();
        for (kinds, rows) in parts {
            match kinds {
                Some(kinds) => all.extend_from_slice(&kinds.0),
                None => all.extend(std::iter::repeat_n(RowKind::Insert, rows)),
            }
        }
        Self(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(kinds: &RowKinds) -> String {
        kinds.as_slice().iter().map(|kind| kind.symbol()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pairs_stay_together_or_are_none() {
        let [insert, before, after, delete] = RowKind::ALL;
        let kinds = RowKinds::new(vec![insert, before, after, before, after, delete]);
        let filter = |mask: &[bool]| symbols(&kinds.filter(&BooleanArray::from(mask.to_vec())));
        assert_eq!(filter(&[true; 6]), "+I -U +U -U +U -D");
        assert_eq!(filter(&[false, true, false, true, true, false]), "-D -U +U");
        // The halves of two updates are no update.
        assert_eq!(filter(&[false, true, false, false, true, false]), "-D +I");
        let take = |rows: &[u32]| symbols(&kinds.take(&UInt32Array::from(rows.to_vec())));
        assert_eq!(take(&[3, 4, 1, 2, 0]), "-U +U -U +U +I");
        assert_eq!(take(&[1, 4]), "-D +I");
        assert_eq!(take(&[2, 1]), "+I -D");
        assert_eq!(symbols(&kinds.slice(2, 2)), "+I -D");
        assert_eq!(symbols(&kinds.slice(1, 4)), "-U +U -U +U");
        let torn = RowKinds::new(vec![after, before, before, after, after, before]);
        assert_eq!(symbols(&torn.paired()), "+I -D -U +U +I -D");
        assert_eq!(symbols(&kinds.unpaired()), "+I -D +I -D +I -D");
    }
}
