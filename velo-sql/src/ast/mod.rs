//! The syntax tree: what a script says, without what it means.
//!
//! Closed enums and plain structs. Whatever a planner can complain about has a [`Span`](crate::Span); spans take no part in
//! comparison, so two trees are equal when they say the same.

pub mod annotation;
pub mod create;
pub mod expr;
pub mod from;
pub mod ident;
pub mod literal;
pub mod options;
pub mod select;
pub mod statement;
pub mod types;
pub mod visit;
pub mod window;

pub use annotation::*;
pub use create::*;
pub use expr::*;
pub use from::*;
pub use ident::*;
pub use literal::*;
pub use options::*;
pub use select::*;
pub use statement::*;
pub use types::*;
pub use window::*;
