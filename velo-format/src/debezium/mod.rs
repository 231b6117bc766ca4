//! Debezium's JSON: envelopes that say what happened to a row, as changes of rows.
//!
//! A record is an envelope, bare or as `{"schema":…,"payload":…}`. Its images of the row are read by the JSON decoder.
//!
//! | `op` | rows |
//! |---|---|
//! | `c`, `r` | `+I` of `after` |
//! | `u` | `-U` of `before`, `+U` of `after`, in one batch |
//! | `d` | `-D` of `before` |
//! | a record or payload that is null (a tombstone) | none |
//! | `t` (TRUNCATE), `m` (a message of the application), others | an error |
//!
//! How a value is read goes by the type of the column, and where the record brings its schema, by that too:
//!
//! | column | value |
//! |---|---|
//! | DATE | a number is days since 1970 |
//! | TIMESTAMP, TIME | a number is of the unit that the schema says, else that of `timestamp.format`, else an error; text is ISO 8601 |
//! | DECIMAL | a number or its text; base64 where the schema says so (`decimal.handling.mode` = `precise`) |
//! | JSON | the content of the string |
//! | all others | as in [`crate::json`] |
//!
//! A value that the database did not send (`__debezium_unavailable_value`) is an error where a column needs it.

mod decode;
mod encode;
mod envelope;
mod infer;
mod schema;

pub use decode::DebeziumDecoder;
pub(crate) use decode::{AROUND, hole_in, not_read};
pub use encode::DebeziumEncoder;
pub(crate) use encode::{Change, changes_of};
pub use infer::infer_debezium;

/// Stands where PostgreSQL did not send a large value that had not changed.
pub(crate) const UNAVAILABLE: &[u8] = b"__debezium_unavailable_value";
/// The same in a column of bytes.
const UNAVAILABLE_BASE64: &[u8] = b"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
