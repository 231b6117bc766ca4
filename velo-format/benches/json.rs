//! Records per second.
fn main() {}
