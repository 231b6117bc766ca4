//! Scenarios: Markdown that reads as documentation and runs as a test.
//!
//! Each `##` heading of a file begins a scenario, and each of its blocks is one of these:
//!
//! | block | what it holds |
//! |---|---|
//! | `sql` | the script, as a user runs it |
//! | `input NAME` | rows of the source NAME, typed by its declared columns; `---` ends a batch |
//! | `input NAME json` or `csv` | records as bytes, which go through the real decoder |
//! | `output NAME` | the rows that NAME gets or gives; without a NAME those of the next SELECT |
//! | `output NAME json` or `csv` | the lines that a file sink writes |
//! | `plan` | the plan, as EXPLAIN shows it |
//! | `error` | what `velo run` reports, word by word |
//! | `warning` | what planning warns of |
//! | `metrics` | counters of sources, sinks, tables and queries: `trades records=3 skipped=1`, `per_minute late=2`, `tiers missing=1` |
//!
//! A block stands in for the connector of its name, whatever the script says that is; everything else that the script says
//! (event time, watermark, late data, errors) is really applied. Blocks take `partition=N`, `file=PATH` (relative to the
//! scenario), `history` for what a source reads before what comes live, and, for outputs, `key=a,b`. Between rows of an input can stand `clock +60s` and `watermark 64000`, which waits
//! until the source's watermark is there.
//!
//! [`parse`] reads a file, [`modes`] says in how many ways its scenarios must give the same, [`run`] runs one of them in one
//! way, [`compare`] tells what differs, and [`suite`] does all of that for a folder.

mod broker;
pub mod compare;
mod inputs;
mod killed;
pub mod modes;
pub mod parse;
pub mod report;
pub mod run;
mod sink;
mod source;
mod stand_in;
pub mod suite;
mod temporary;
mod update;
mod wire;

pub use modes::{Batching, Called, Commits, FailingCall, Mode, Modes};
pub use parse::{Scenario, ScenarioFile};
pub use report::{Record, Report};
pub use run::{Failure, Runner, Verdict};
pub use suite::{Suite, SuiteOptions};
pub use update::Update;
