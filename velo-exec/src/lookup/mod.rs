//! Looking rows up in a table: candidates of a whole batch, which of them a row is joined with, and what comes out.
//!
//! `probe.rs` is pure: a batch and one version of the table in, pairs out. `missing.rs` counts rows that the table lacks and says
//! what becomes of them; `waiting.rs` keeps those that wait; `given.rs` remembers what was made of rows that can be taken back.

mod given;
mod missing;
mod probe;
mod waiting;

pub(crate) use given::{Given, Made};
pub use missing::MissingCounters;
pub(crate) use missing::{Fate, fate};
pub(crate) use probe::{Candidates, PAIRS, Pairs, Probe, ProbeSpec};
pub(crate) use waiting::{Held, Waiting};
