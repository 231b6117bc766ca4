//! State by key: which key group a key belongs to, and keys as dense numbers.

pub mod key_group;
mod keyed;
mod words;

pub use key_group::{KEY_GROUPS, KeyGrouper};
pub use keyed::KeyTable;
