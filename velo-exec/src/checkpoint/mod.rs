//! What a checkpoint holds, and how it is made and read: state by key group, files on a store, a manifest that names them.

mod counts;
pub mod rows;
pub mod state;

pub(crate) use counts::{load_counts, save_counts};
pub use state::{OperatorState, Reached, Share, StateReader, StateWriter};
