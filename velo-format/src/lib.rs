//! Bytes to Arrow batches and back: JSON, CSV, Parquet, Avro, Protocol buffers and Debezium envelopes, exact and with places.
//!
//! A [`framing::Framer`] cuts a growing buffer into chunks of whole records; a decoder ([`json::JsonDecoder`], the CSV one)
//! turns a chunk into batches, record errors and places; an [`encode::Encoder`] writes batches. Values go through
//! [`value::Column`], which builds one Arrow column from text, so that a decimal, a time or a number in quotes means the same
//! in every format. Records that stand one by one, such as the values of messages, are read and written by
//! [`records::RecordFormat`]. [`properties::FormatProperties`] are the keys that connectors read for all of this.

pub mod avro;
pub mod csv;
pub mod debezium;
pub mod decode;
pub mod encode;
pub mod error;
pub mod framing;
pub mod fuzz;
pub mod infer;
pub mod json;
pub mod parquet;
pub mod properties;
pub mod protobuf;
pub mod records;
pub mod system;
pub mod value;

pub use debezium::DebeziumDecoder;
pub use decode::{RecordAssembler, append_columns};
pub use encode::Encoder;
pub use framing::{Cut, Framer};
pub use json::{JsonDecodeOptions, JsonDecoder, JsonEncodeOptions, JsonEncoder};
pub use properties::{DecimalFormat, Format, FormatProperties, JsonLayout};
pub use value::{Column, TimestampFormat, ValueError};
