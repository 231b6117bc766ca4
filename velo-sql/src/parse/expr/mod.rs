//! Expressions: one file per family; `precedence` is the way in.

mod access;
mod call;
mod case;
mod cast;
pub(crate) mod interval;
mod precedence;
mod predicate;
mod primary;
mod subquery;

pub(crate) use call::{call_args, order_by};
pub(crate) use precedence::{EXPRESSION, expr};
pub(crate) use subquery::{starts_query, subquery};
