//! SQL text of the Velo dialect to a spanned syntax tree and back.

pub mod ast;
pub mod span;
