//! Streaming SQL from one binary.
fn main() {}
