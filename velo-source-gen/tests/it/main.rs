//! Tests of the crate through its public face.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics with the reason")]

mod conformance;
mod datagen;
mod nexmark;
mod pace;
mod reading;
