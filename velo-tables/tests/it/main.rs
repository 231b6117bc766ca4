//! Tables through their public face, against naive computations over all rows at once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics with the reason")]

mod loading;
mod store;
