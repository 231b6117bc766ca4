//! Tables, against naive computations over all rows at once.

mod store;
