//! The kind of a row in a changelog.

use arrow_array::{BooleanArray, UInt32Array};

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

    /// The kinds of the rows for which `mask` is true.
    pub fn filter(&self, mask: &BooleanArray) -> Self {
        Self(self.0.iter().zip(mask.iter()).filter(|(_, keep)| *keep == Some(true)).map(|(kind, _)| *kind).collect())
    }

    /// The kinds of the rows at `indices`.
    pub fn take(&self, indices: &UInt32Array) -> Self {
        Self(indices.values().iter().map(|index| self.0[*index as usize]).collect())
    }

    /// `length` kinds from `offset` on.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self(self.0[offset..offset + length].to_vec())
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
