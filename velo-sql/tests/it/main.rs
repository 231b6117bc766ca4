//! Tests over whole scripts: golden reports and printed forms, the formatter, limits, random input.

#[cfg(test)]
mod bad;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod good;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod script;
