//! Speed of the formats.
fn main() {}
