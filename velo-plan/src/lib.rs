//! A syntax tree as a checked, typed streaming plan.
//!
//! [`plan`] is the result; nothing here runs anything.

pub mod functions;
pub mod plan;
