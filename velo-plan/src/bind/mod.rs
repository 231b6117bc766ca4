//! Names and types: a syntax tree bound to what it means.

mod call;
mod distinct_on;
mod expr;
mod from;
mod group;
mod grouping_sets;
mod lateral;
mod literal;
mod operator;
mod over;
mod predicate;
mod query;
mod row_window;
mod scope;
mod select;
mod set_operation;
mod show;
mod sink;
mod source;
mod special;
mod time_part;
mod time_window;
mod timers;
mod types;
mod user_function;
mod values;

pub use expr::{ExprBinder, Typed};
pub use row_window::RowWindows;
pub use scope::{Scope, ScopeColumn};
pub(crate) use select::{WINDOW_END, WINDOW_START, WINDOW_TIME};
pub(crate) use timers::{Timers, forgotten_at_once};
pub use types::field_of;
