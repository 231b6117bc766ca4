//! Tests of the crate from outside.

mod csv;
mod debezium;
mod infer;
mod json_encode;
mod json_framing;
mod json_shapes;
mod json_validity;
mod json_values;
mod parquet;
mod records;
