//! CSV: files to columns and back.
//!
//! [`CsvFramer`] cuts a file into chunks of whole records and reads its [`Header`]; [`CsvDecoder`] turns a chunk into batches;
//! [`CsvEncoder`] writes batches. [`Transcoder`] comes before all of it where a file is not UTF-8.
//!
//! A chunk is decoded in two steps: the scanner notes where the fields of some thousand rows are, and then each column that is
//! wanted is built over all these rows, so that the inner loops know their type and columns that nobody wants cost nothing.
//!
//! | text | is |
//! |---|---|
//! | an empty unquoted field, or one of `csv.null` | NULL |
//! | `""` | the empty string; NULL in a column that is neither text nor BYTES |
//! | ` 12`, ` 2024-01-31T10:00:00Z` | blanks around what is no text are left out; text keeps them |
//! | a quote inside an unquoted field | text |
//! | a blank line, a comment | nothing |
//! | too few or too many fields, text behind a closing quote, a quote never closed, invalid UTF-8 | a bad record, with its line |

mod column;
mod cut;
mod decode;
mod encode;
mod fast;
mod framing;
mod header;
mod properties;
mod sample;
mod scan;
mod separators;
mod transcode;

pub use cut::{Cutter, RecordCut};
pub use decode::{CsvDecodeOptions, CsvDecoder};
pub use encode::{CsvEncodeOptions, CsvEncoder};
pub use framing::CsvFramer;
pub use header::{Header, HeaderError, Preamble};
pub use properties::{CsvProperties, Dialect, FileEncoding, NullTexts, OptionalChar};
pub(crate) use sample::SampleReader;
pub use transcode::{TranscodeError, Transcoder};
