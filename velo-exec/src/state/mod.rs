//! State by key: which key group a key belongs to, keys as dense numbers, and what of them is forgotten.

pub mod key_group;
mod keyed;
mod ttl;
mod words;

use arrow_buffer::{BooleanBuffer, NullBuffer};

pub(crate) use key_group::shared_out;
pub use key_group::{KEY_GROUPS, KeyGrouper};
pub use keyed::KeyTable;
pub(crate) use ttl::Ttl;

/// Which of so many values of a column are there; none: all are.
pub(crate) fn valid(length: usize, is_there: impl FnMut(usize) -> bool) -> Option<NullBuffer> {
    let nulls = NullBuffer::new(BooleanBuffer::collect_bool(length, is_there));
    (nulls.null_count() > 0).then_some(nulls)
}

/// Whether it is worth while to number what is alive anew: of so many, at least half is dead.
pub(crate) fn is_sparse(alive: usize, all: usize) -> bool {
    const MANY: usize = 1_024;
    all >= MANY && alive * 2 <= all
}

/// Keeps the values for which `stays` is true, as [`KeyTable::retain`] keeps keys.
pub(crate) fn keep<T>(values: &mut Vec<T>, stays: &[bool]) {
    let mut stays = stays.iter();
    values.retain(|_| stays.next() == Some(&true));
}
