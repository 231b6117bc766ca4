//! A plan as tasks: which operators are fused, and where rows are exchanged.

mod chains;
mod exchange;
mod lower;
mod made_anew;
mod names;
mod operators;
mod shared_by;
mod stage;

pub use chains::ChainContext;
pub use lower::lower;
pub use names::{Names, loaded};
pub use stage::{Awaited, Destination, Stage, StageInput, StageKind, Stages};
