//! What tests of several Velo crates share.
