//! The vocabulary of Velo.
