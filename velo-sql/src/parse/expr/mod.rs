//! Expressions: operators by precedence, then what they combine.

mod call;
mod precedence;
mod predicate;
mod primary;
