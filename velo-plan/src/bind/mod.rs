//! Names and types: a syntax tree bound to what it means.

mod call;
mod expr;
mod literal;
mod predicate;
mod select;
mod source;
mod scope;
mod time_window;
mod types;

pub use expr::{ExprBinder, Typed};
pub use scope::{Scope, ScopeColumn};
pub use types::field_of;
