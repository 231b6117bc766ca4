//! Operators, elements in and text out; each stateful one equals a computation by brute force.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

mod aggregates;
mod as_of_join;
mod changelog_join;
mod changes;
mod damaged_groups;
mod equalities;
mod fold_by_time;
mod grouping_sets;
mod interval_join;
mod lookup_join;
mod lookup_waiting;
mod match_recognize;
mod match_steps;
mod over;
mod over_cases;
mod restarts_groups;
mod restarts_joins;
mod restarts_lookups;
mod restarts_match;
mod restarts_over;
mod restarts_rows;
mod restarts_tables;
mod restarts_top_n;
mod session_revisions;
mod sets;
mod spilling;
mod timers;
mod top_n;
mod window_join;
mod windows;
