//! A syntax tree as a checked, typed streaming plan.
//!
//! [`plan`] is the result; nothing here runs anything.

pub mod bind;
pub mod catalog;
pub mod codes;
mod forward;
pub mod functions;
mod job_wide;
pub mod plan;
mod planner;
mod rules;
mod whole;

pub use catalog::{RecoveryProperties, RestartStrategy};
pub use velo_eventtime::OnError;

pub use planner::{Analyzed, Lookup, PlanContext, PlannedScript, Roots, Shown, plan_script};
