//! All functions: those of the library, and ours where it has none or other rules.

mod aggregates;
pub mod arithmetic;
pub(crate) mod calendar;
pub mod cast;
pub(crate) mod grouping;
pub(crate) mod interval;
pub(crate) mod json;
mod json_text;
mod math;
mod own;
pub(crate) mod pattern;
pub(crate) mod quantified;
mod reference;
mod registry;
mod text;
mod time;
mod time_layout;
mod time_text;

pub use reference::{Entry, Kind};
pub use registry::{Functions, UserFunction};
