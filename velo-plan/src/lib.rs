//! A syntax tree as a checked, typed streaming plan.
