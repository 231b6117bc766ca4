//! What a checkpoint holds, and how it is made and read: state by key group, files on a store, a manifest that names them.

pub(crate) mod columns;
pub(crate) mod late;
pub mod rows;
pub mod state;

pub use state::{OperatorState, Reached, Share, StateReader, StateWriter};
