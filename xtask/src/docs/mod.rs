//! The documentation that a program can know: reference pages from the binary's own lists, and the output of every script in
//! the guide.

mod codes;
mod command;
mod page;
mod reference;
mod scripts;

pub use command::{Args, run};
