//! Rows that a test writes down.

use std::fmt;

use arrow_schema::SchemaRef;
use velo_core::Batch;
use velo_core::table_text;

/// Rows with their types, in batches.
#[derive(Debug, Clone)]
pub struct Table {
    /// The columns.
    pub schema: SchemaRef,
    /// The batches, as `---` lines cut them.
    pub batches: Vec<Batch>,
}

impl Table {
    /// Rows that bring their own types.
    ///
    /// # Panics
    ///
    /// Where the text is no table; the message names the line.
    pub fn untyped(text: &str) -> Self {
        match table_text::parse_untyped(text) {
            Ok((schema, batches)) => Self { schema, batches },
            Err(error) => panic!("{error}, in:\n{text}"),
        }
    }

    /// Rows of `schema`.
    ///
    /// # Panics
    ///
    /// Where the text does not fit the schema; the message names the line.
    pub fn typed(schema: &SchemaRef, text: &str) -> Self {
        match table_text::parse(text, schema) {
            Ok(batches) => Self { schema: SchemaRef::clone(schema), batches },
            Err(error) => panic!("{error}, in:\n{text}"),
        }
    }

    /// All rows as one batch.
    pub fn batch(&self) -> Batch {
        Batch::concat(&self.schema, &self.batches).expect("batches of one schema fit together")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&table_text::print(&self.batches))
    }
}

/// Rows as text: `table!("symbol price:DECIMAL(18,4)\n+I A 1.10")`, or `table!(schema, "+I A 1.10")` by a schema.
///
/// ```
/// let table = velo_testkit::table!("+I a 1\n-U a 1\n+U a 2");
/// assert_eq!(table.to_string(), "   c1 c2\n+I a  1\n-U a  1\n+U a  2\n");
/// ```
#[macro_export]
macro_rules! table {
    ($text:expr) => {
        $crate::Table::untyped($text)
    };
    ($schema:expr, $text:expr) => {
        $crate::Table::typed(&$schema, $text)
    };
}
