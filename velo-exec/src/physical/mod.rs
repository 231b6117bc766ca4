//! A plan as tasks: which operators are fused, and where rows are exchanged.

mod lower;
mod shared;

pub use lower::{Awaited, Destination, Stage, StageInput, StageKind, Stages, lower};
