//! What tests of several crates share. It is for development only and is never published.
//!
//! - [`table!`]: rows as text and back ([`velo_core::table_text`]);
//! - [`scripted`]: a source whose partitions give what a script says, in its order, and can be held at any step;
//! - [`loads`]: a table source whose loads give what a script says, at the times that it says, and fail where it says;
//! - [`drive`]: a manual clock that moves on whenever nothing else can;
//! - [`collecting`]: a sink that keeps what it gets, with commits;
//! - [`faults`]: a sink that fails at its n-th call;
//! - [`random`]: numbers from a seed;
//! - [`source_request`]: what a source is asked for;
//! - [`conformance`]: what every connector must do.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics with the reason; nothing here runs outside of tests"
)]

pub mod collecting;
pub mod conformance;
mod drive;
pub mod faults;
pub mod gate;
pub mod loads;
pub mod random;
mod request;
pub mod scripted;
mod table;

pub use drive::drive;
pub use gate::Gate;
pub use random::Random;
pub use request::source_request;
pub use table::Table;
