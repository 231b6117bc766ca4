//! JSON: records as lines or as the elements of one array, straight into columns and back.
//!
//! What is a JSON text is decided by RFC 8259, in full: grammar, escapes with surrogate pairs, no control characters in
//! strings, valid UTF-8, nothing behind the value; nesting deeper than 128 is refused. A line holds one object.
//!
//! | JSON | column |
//! |---|---|
//! | number | numbers exactly; STRING its own text; times only where `timestamp.format` is an epoch |
//! | string | STRING its content; all other types by [`crate::value`], so that a number in quotes is a number |
//! | `true`, `false` | BOOLEAN; STRING its text |
//! | `null`, field missing | NULL; an error where the column is NOT NULL |
//! | object | STRUCT, MAP; JSON its own text |
//! | array | ARRAY; JSON its own text |
//!
//! Anything else is a conflict, which makes the record a bad one. Field names: an exact match wins over one that differs in case
//! only, and a field that one column names exactly serves no other. The same field twice (or two that match no column
//! exactly and one by case) is an error where a column needs it. Fields without a column are checked for syntax alone; every
//! occurrence at the top level of one that the schema lacks is counted.

pub(crate) mod cursor;
pub(crate) mod decode;
pub(crate) mod elements;
mod encode;
mod escape;
mod fast;
mod options;
pub(crate) mod plan;
pub(crate) mod read;
mod template;
mod write;

pub use decode::JsonDecoder;
pub use elements::Layout;
pub use encode::{JsonEncodeOptions, JsonEncoder, row_text};
pub use options::JsonDecodeOptions;

pub(crate) use escape::push_string;
pub(crate) use read::{check, push_json};

/// The largest depth of arrays and objects within each other.
pub const DEPTH_LIMIT: usize = 128;
