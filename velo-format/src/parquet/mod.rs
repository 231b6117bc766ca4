//! Parquet: row groups of a file into columns, and back.
//!
//! The footer says which columns there are; only those that are needed are read, a row group at a time. Types are exact:
//!
//! | in the file | column |
//! |---|---|
//! | BOOLEAN, integers of 8 to 64 bits, signed or not, FLOAT, DOUBLE | the same; FLOAT16 is REAL |
//! | DECIMAL of any form | DECIMAL |
//! | STRING, ENUM; JSON; other bytes, UUID | STRING; JSON; BYTES |
//! | DATE; TIME | DATE; TIME, nanoseconds floored |
//! | TIMESTAMP in milliseconds or microseconds, INT96 | TIMESTAMP; INT96 is floored |
//! | TIMESTAMP in nanoseconds | TIMESTAMP(9) |
//! | LIST, MAP, groups | ARRAY, MAP, STRUCT |
//!
//! A declared column may be wider than that of the file: a larger integer or DECIMAL, DOUBLE for REAL and for integers that it
//! holds exactly, STRING for bytes that are UTF-8, JSON for a STRING, TIMESTAMP for TIMESTAMP(9) (floored) and the other way
//! round, a STRUCT of some of the fields. Anything else is an error that names every column that differs.

mod convert;
mod decode;
mod encode;
mod footer;
mod join;
mod project;
mod types;

use velo_core::error::{ConnectorError, ErrorKind};

pub use decode::{ParquetDecoder, RowGroup};
pub use encode::{ParquetCompression, ParquetEncoder};
pub use footer::Footer;
pub use join::join;
pub use project::Projection;

/// What the library says about a file that it cannot read.
#[cold]
fn unreadable(error: &parquet::errors::ParquetError) -> ConnectorError {
    use parquet::errors::ParquetError;
    let text = match error {
        ParquetError::General(text) | ParquetError::EOF(text) | ParquetError::ArrowError(text) => text.clone(),
        ParquetError::NYI(text) => format!("it uses what is not supported: {text}"),
        other => other.to_string(),
    };
    let made = ConnectorError::new(ErrorKind::Decode, "reading Parquet", text.trim_end_matches('.'));
    match error {
        _ if error.to_string().contains("Disabled feature") => {
            made.advise("write the file with zstd, snappy, gzip, lz4 or no compression")
        }
        ParquetError::NYI(_) => made.advise("write the file with zstd, snappy, gzip, lz4 or no compression"),
        _ => made.advise("check that it is a Parquet file and that it was written to its end"),
    }
}
