//! A streaming plan as a running dataflow: operators, windows, state, watermarks.

pub mod aggregate;
mod ahead;
mod changes;
pub mod checkpoint;
mod compute_errors;
pub mod error;
pub mod expr;
mod join;
mod lookup;
pub mod operator;
pub mod physical;
mod row_json;
mod row_pattern;
mod row_window;
pub mod runtime;
pub mod spill;
pub mod state;
pub mod testing;
pub mod window;

pub use compute_errors::ComputeErrors;
pub use error::{ExecError, Result};
pub use lookup::MissingCounters;
