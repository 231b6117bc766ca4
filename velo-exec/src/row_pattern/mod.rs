//! Row patterns: which rows of a partition are a match.
//!
//! A [`Program`] is a pattern whose repetitions are written out: places for one row each, and behind each the places that can
//! come next, the preferred first. A [`Run`] looks for the match that begins at one row. It keeps a thread for each place that
//! it could be at, in the order of preference, and takes every row once; so what is tried does not grow with the number of
//! ways through the pattern. Threads differ only by what conditions that are still to come will ask of their rows: two of one
//! place for which that is the same are one. A match is certain when no thread is left that is preferred to it.
//!
//! [`Conditions`] say what a row can be. What depends on the row and its neighbours alone is computed for many rows at once,
//! before any run sees them; what depends on the match so far is computed for the threads of all partitions together.

mod conditions;
mod context;
mod kept;
mod matches;
mod partition;
mod program;
mod run;
mod store;

pub(crate) use conditions::{Conditions, Tests};
pub(crate) use context::{Context, Request};
pub(crate) use kept::Kept;
pub(crate) use matches::{Found, Matches};
pub(crate) use partition::{Partition, Row};
pub(crate) use program::Program;
pub(crate) use run::{MOST_THREADS, Run, Scratch};
pub(crate) use store::{At, Store};
