//! Rows as an aligned table, printed while they come.
//!
//! The first rows decide the widths: a bounded query of a few rows is aligned as a whole, and one of millions is printed
//! without being held.

use arrow_schema::{DataType, SchemaRef};
use velo_core::table_text::value_text;
use velo_core::{Batch, Result};

/// Rows that decide the widths.
const SAMPLE: usize = 1_000;

/// A table that is being printed.
pub struct Table {
    schema: SchemaRef,
    waiting: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
    rows: u64,
}

impl Table {
    /// An empty table.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, waiting: Vec::new(), widths: None, rows: 0 }
    }

    /// Adds rows.
    pub fn add(&mut self, batch: &Batch) -> Result<()> {
        for row in 0..batch.rows() {
            let cells = batch.columns.columns().iter().map(|column| {
                // Line breaks and tabs would break the table.
                value_text(column.as_ref(), row).unwrap_or_default().replace(['\n', '\r', '\t'], " ")
            });
            self.waiting.push(cells.collect());
        }
        self.rows += batch.rows() as u64;
        Ok(())
    }

    /// The text of the rows that wait, if there are enough to know the widths, or all of them at the `end`.
    pub fn take(&mut self, end: bool) -> String {
        if self.waiting.is_empty() || (self.widths.is_none() && !end && self.waiting.len() < SAMPLE) {
            return String::new();
        }
        let mut out = String::new();
        let first = self.widths.is_none();
        let names: Vec<String> = self.schema.fields().iter().map(|field| field.name().clone()).collect();
        let widths = self.widths.get_or_insert_with(|| {
            let mut widths: Vec<usize> = names.iter().map(|name| name.chars().count()).collect();
            for cells in &self.waiting {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = (*width).max(cell.chars().count());
                }
            }
            widths
        });
        if first {
            line(&mut out, &names, widths, &self.schema);
            let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
            out.push_str(&rule.join("──"));
            out.push('\n');
        }
        for cells in self.waiting.drain(..) {
            line(&mut out, &cells, widths, &self.schema);
        }
        out
    }

    /// The line below the table.
    pub fn footer(&self) -> String {
        match self.rows {
            0 => "no rows\n".to_owned(),
            1 => "1 row\n".to_owned(),
            rows => format!("{rows} rows\n"),
        }
    }
}

fn line(out: &mut String, cells: &[String], widths: &[usize], schema: &SchemaRef) {
    let mut text = String::new();
    for (at, ((cell, width), field)) in cells.iter().zip(widths).zip(schema.fields()).enumerate() {
        if at > 0 {
            text.push_str("  ");
        }
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
        if right_aligned(field.data_type()) {
            text.push_str(&padding);
            text.push_str(cell);
        } else {
            text.push_str(cell);
            text.push_str(&padding);
        }
    }
    out.push_str(text.trim_end());
    out.push('\n');
}

fn right_aligned(data_type: &DataType) -> bool {
    data_type.is_numeric()
}
