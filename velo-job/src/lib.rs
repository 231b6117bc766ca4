//! A SQL script as a running job: text to plan, plan to tasks, tasks to an end.
//!
//! A program that embeds Velo gives [`Script::plan`] a text and a [`PlanContext`], and [`Script::run`] the sinks of the
//! statements that have none of their own. [`scenario`] runs scripts against rows that stand beside them, as tests.

mod read_back;
mod recovery;
pub mod scenario;
mod script;
mod tables;
mod upgrade;

pub use read_back::read_back;
pub use recovery::{OnNote, Resume};
pub use script::{OnTables, RunOptions, Script};
pub use tables::TableOverview;
pub use upgrade::{Upgrade, upgrade};
pub use velo_exec::checkpoint::{Folder, OnCheckpoint};
pub use velo_exec::runtime::{JobProgress, Stop};
pub use velo_plan::{PlanContext, PlannedScript, Roots, Shown};
pub use velo_tables::{Events, TableCounts, TableEvent, TableState, TableStatus};
