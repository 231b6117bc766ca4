//! Tests over whole scripts: golden reports and printed forms, the formatter, limits, random input.

mod bad;
mod fuzz;
mod golden;
mod good;
mod limits;
mod script;
