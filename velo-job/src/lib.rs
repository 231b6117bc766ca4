//! A SQL script as a running job: text to plan, plan to tasks, tasks to an end.
//!
//! A program that embeds Velo gives [`Script::plan`] a text and a [`PlanContext`], and [`Script::run`] the sinks of the
//! statements that have none of their own. [`scenario`] runs scripts against rows that stand beside them, as tests.

pub mod scenario;
mod script;

pub use script::{RunOptions, Script};
pub use velo_exec::runtime::{JobProgress, Stop};
pub use velo_plan::{PlanContext, PlannedScript};
