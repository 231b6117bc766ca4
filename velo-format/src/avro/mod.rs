//! Avro: records in its binary encoding, by a schema file or by the schemas of a registry, into columns and back.
//!
//! The library of Arrow reads Avro too, but one bad record fails its whole batch, and a value becomes whatever type the schema
//! has; here a record is good or bad by itself, with the field that is wrong, and a value becomes exactly one of the declared
//! type or is refused. Which type becomes which column without declared ones: [`AvroSchema::columns`]; what else a declared
//! column may be: [`crate::value`], as text is in all formats.

mod columns;
mod cursor;
mod debezium;
mod decode;
mod encode;
mod envelope;
mod logical;
mod made;
mod plan;
mod read;
mod schema;
mod text;

pub use decode::{AvroDecodeOptions, AvroDecoder, AvroSource};
pub use encode::AvroEncoder;
pub use envelope::DebeziumAvroEncoder;
pub use made::{envelope_schema, schema_of_columns};
pub use schema::AvroSchema;

pub(crate) use debezium::row_columns;
