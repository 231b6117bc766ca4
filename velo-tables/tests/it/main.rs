//! Tables, against naive computations over all rows at once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod store;
