//! Time windows: which slices and windows a time belongs to, the state of open windows, and what fires when.
//!
//! Every window is made of slices that do not overlap ([`assign`]). A row goes into one slice, also where it belongs to six
//! hundred windows; a window that fires merges its slices ([`sliding`]). What a slice cannot tell, a row that is late for
//! some of its windows and not for others, goes to the windows themselves ([`store`]).

pub mod assign;
mod fire;
mod id_map;
pub(crate) mod late;
pub(crate) mod revised_sessions;
mod saved;
pub(crate) mod session;
mod slice;
mod sliding;
mod store;

pub use assign::{Run, Runs, Windows};
pub use late::LateCounters;
pub use slice::SliceState;
pub use store::{Fired, SealedStates, WindowStore};
