//! Reference tables: loaded in the order of their dependencies, and looked up by whole batches of keys.
