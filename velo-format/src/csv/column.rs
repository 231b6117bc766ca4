//! One column over the rows of a block.

use std::sync::Arc;

use arrow_schema::Field;

use super::fast::Fast;
use super::properties::Dialect;
use super::scan::{Rows, unquote};
use crate::error::{ValueError, show};
use crate::value::{Column, Values};

/// The fields of a block's rows.
pub(super) struct Fields<'a> {
    pub bytes: &'a [u8],
    pub rows: &'a Rows,
    pub dialect: &'a Dialect,
    /// Whether a field can be quoted.
    pub quotes: bool,
    /// Whether all of `bytes` is UTF-8.
    pub utf8: bool,
}

/// A value that cannot be in its column.
#[derive(Debug)]
pub(super) struct Failure {
    /// The row of the block.
    pub row: usize,
    /// The column, by its place among the wanted ones.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Appends field `place` of each row to `column`, which is number `at` of the wanted ones; where it cannot, a NULL and a
/// failure.
pub(super) fn fill(column: &mut Column, fields: &Fields<'_>, place: usize, at: usize, failures: &mut Vec<Failure>) {
    let mut slow = Slow { fields, field: Arc::clone(column.field()), at, scratch: Vec::new(), failures };
    let mut fast = Fast::new(fields, place);
    let mut row = 0;
    while row < fields.rows.len() {
        // The common forms of the common types, up to a row that has another.
        row = fast.run(column, row);
        if row < fields.rows.len() {
            slow.push(column, row, fields.rows.field(fields.bytes, row, place));
            row += 1;
        }
    }
}

/// Appends values of any form.
struct Slow<'a> {
    fields: &'a Fields<'a>,
    field: Arc<Field>,
    at: usize,
    scratch: Vec<u8>,
    failures: &'a mut Vec<Failure>,
}

impl Slow<'_> {
    fn push(&mut self, column: &mut Column, row: usize, text: &[u8]) {
        let dialect = self.fields.dialect;
        let quote = dialect.quote.filter(|quote| self.fields.quotes && text.first() == Some(quote));
        let mut scratch = std::mem::take(&mut self.scratch);
        let value = match quote {
            Some(quote) => Some(unquote(text, quote, dialect.escape, &mut scratch)),
            None if text.is_empty() || dialect.nulls.iter().any(|null| null == text) => None,
            None => Some(text),
        };
        match value {
            Some(value) if !self.fields.utf8 && std::str::from_utf8(value).is_err() => {
                self.fail(
                    column,
                    row,
                    format!("{} is not UTF-8; set csv.encoding to the file's encoding", show(value)),
                );
            }
            Some(value) => match push(column, value) {
                Ok(Pushed::Value) => {}
                Ok(Pushed::Nothing) => self.null(column, row),
                Err(error) => {
                    let message = error.message(value, &self.field);
                    self.fail(column, row, message);
                }
            },
            None => self.null(column, row),
        }
        self.scratch = scratch;
    }

    fn null(&mut self, column: &mut Column, row: usize) {
        if self.field.is_nullable() {
            column.push_null();
        } else {
            let message = ValueError::Null.message(b"", &self.field);
            self.fail(column, row, message);
        }
    }

    #[cold]
    fn fail(&mut self, column: &mut Column, row: usize, message: String) {
        column.push_null();
        self.failures.push(Failure { row, column: self.at, message });
    }
}

enum Pushed {
    Value,
    /// The text is empty or blank, which is NULL in a column that is no text.
    Nothing,
}

/// Appends a value; in a column that is no text, blanks around it are no part of it.
fn push(column: &mut Column, text: &[u8]) -> Result<Pushed, ValueError> {
    if let Values::Text { kind, .. } = &column.values
        && *kind != crate::value::TextKind::Json
    {
        return column.push_text(text).map(|()| Pushed::Value);
    }
    let trimmed = text.trim_ascii();
    if trimmed.is_empty() {
        // `""` is no bytes.
        if text.is_empty() && matches!(column.values, Values::Binary { .. }) {
            return column.push_text(text).map(|()| Pushed::Value);
        }
        return Ok(Pushed::Nothing);
    }
    if let Values::Boolean(values) = &mut column.values {
        values.push(truth(trimmed).ok_or(ValueError::Syntax)?);
        return Ok(Pushed::Value);
    }
    column.push_text(trimmed).map(|()| Pushed::Value)
}

/// `true` and `false` as databases write them.
fn truth(text: &[u8]) -> Option<bool> {
    match text {
        b"t" | b"T" | b"1" => Some(true),
        b"f" | b"F" | b"0" => Some(false),
        _ if text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"yes") => Some(true),
        _ if text.eq_ignore_ascii_case(b"false") || text.eq_ignore_ascii_case(b"no") => Some(false),
        _ => None,
    }
}
