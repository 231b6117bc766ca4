//! A plan as tasks: which operators are fused, and where rows are exchanged.

mod lower;
mod made_anew;
mod names;
mod shared_by;

pub use lower::{Awaited, Destination, Stage, StageInput, StageKind, Stages, lower};
pub use names::{Names, loaded};
