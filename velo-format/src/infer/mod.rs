//! The columns that the first records of an input have.
//!
//! Each column gets one type for the whole input, wide enough for all the values that were seen; all columns may hold NULL.
//!
//! | values seen | type |
//! |---|---|
//! | `true`, `false` | BOOLEAN |
//! | whole numbers | BIGINT; DECIMAL(38,0) or DECIMAL(76,0) where one has too many digits for it |
//! | numbers with a point | DECIMAL(38, s) with the most digits behind a point that were seen; up to 76 digits where 38 do not hold them |
//! | a number with an exponent, `NaN`, `Infinity` | DOUBLE |
//! | dates; times of day | DATE; TIME |
//! | dates with times (ISO 8601, or `timestamp.format` where that is a pattern), also among dates | TIMESTAMP |
//! | objects; arrays | STRUCT of all the fields seen; ARRAY |
//! | objects or arrays beside other values, objects without fields | JSON |
//! | any other text, a number with a leading zero or, if it is whole, a plus sign, a mixture | STRING |
//! | nothing but NULL | STRING |
//!
//! Money is DECIMAL, so a number with a point never becomes a binary float by itself. A later number with more digits behind
//! the point than the sample had is rounded to the column's; declare the column where that matters. In CSV a quoted number is a
//! number, for many programs quote all fields; in JSON text between quotes is never inferred to be a number, though a declared
//! numeric column reads it.

mod csv;
mod json;
mod shape;

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use velo_core::error::{ConnectorError, ErrorKind};

pub use csv::infer_csv;
pub use json::infer_json;

velo_core::properties! {
    /// How the columns of an input without declared ones are found.
    pub struct InferProperties {
        /// How many of the first records are looked at to find the columns and their types.
        "schema.infer.records" => records: usize = 1000,
    }
}

/// The first part of an input.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Its first bytes, as UTF-8.
    pub bytes: &'a [u8],
    /// Whether these are all. Else a record that the bytes cut in two is left out.
    pub complete: bool,
    /// How many records to look at.
    pub records: usize,
}

fn schema(shape: shape::Shape) -> SchemaRef {
    Arc::new(Schema::new(shape.into_fields()))
}

#[cold]
fn nothing_to_infer(why: &str) -> ConnectorError {
    ConnectorError::new(ErrorKind::Decode, "inferring the columns", why).advise("declare the columns in the statement")
}
