//! A streaming plan as a running dataflow: operators, windows, state, watermarks.

pub mod error;
pub mod operator;

pub use error::{ExecError, Result};
