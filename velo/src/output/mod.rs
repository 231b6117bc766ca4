//! Results of SELECT on stdout: an aligned table for people, JSON lines or CSV for machines.

mod table;

use std::io::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use clap::ValueEnum;
use velo_core::connector::{ChangelogMode, DirectSink};
use velo_core::error::{ConnectorError, ErrorKind};
use velo_core::{Batch, Result, RowKind};
use velo_format::csv::{CsvEncodeOptions, CsvEncoder};
use velo_format::{Encoder, JsonEncodeOptions, JsonEncoder};
use velo_plan::Shown;
use velo_plan::plan::SinkNode;

use table::Table;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum OutputFormat {
    /// An aligned table.
    #[default]
    Table,
    /// One JSON object per line.
    Json,
    /// CSV with a header.
    Csv,
}

enum Printer {
    Table(Table),
    Encoded { encoder: Box<dyn Encoder>, begun: bool },
}

/// Prints the rows of one statement.
pub struct TerminalSink {
    printer: Printer,
    /// The columns with the kind of the row before them, where rows change.
    changes: Option<SchemaRef>,
}

impl TerminalSink {
    /// A sink for the rows of `sink`.
    pub fn new(sink: &SinkNode, format: OutputFormat) -> Result<Self> {
        let changes = (sink.mode == ChangelogMode::Full).then(|| with_kind(&sink.schema));
        let schema = changes.clone().unwrap_or_else(|| sink.schema.clone());
        let printer = match format {
            OutputFormat::Table => Printer::Table(Table::new(schema)),
            OutputFormat::Json => Printer::Encoded {
                encoder: Box::new(JsonEncoder::new(schema, JsonEncodeOptions::default())?),
                begun: false,
            },
            OutputFormat::Csv => Printer::Encoded {
                encoder: Box::new(CsvEncoder::new(schema, CsvEncodeOptions::default())?),
                begun: false,
            },
        };
        Ok(Self { printer, changes })
    }

    fn print(&mut self, end: bool) -> Result<()> {
        if let Printer::Table(table) = &mut self.printer {
            let text = table.take(end);
            return show(text.as_bytes());
        }
        Ok(())
    }
}

/// `_op` and the columns.
fn with_kind(schema: &SchemaRef) -> SchemaRef {
    let kind = Arc::new(Field::new("_op", DataType::Utf8, false));
    Arc::new(Schema::new(std::iter::once(kind).chain(schema.fields().iter().cloned()).collect::<Vec<_>>()))
}

/// The rows with their kinds as a column.
fn kinds_first(schema: &SchemaRef, batch: &Batch) -> Result<Batch> {
    let symbols: StringArray = match &batch.kinds {
        Some(kinds) => kinds.as_slice().iter().map(|kind| Some(kind.symbol())).collect(),
        None => std::iter::repeat_n(Some(RowKind::Insert.symbol()), batch.rows()).collect(),
    };
    let columns = std::iter::once(Arc::new(symbols) as ArrayRef).chain(batch.columns.columns().iter().cloned());
    let columns = RecordBatch::try_new(schema.clone(), columns.collect());
    let columns = columns.map_err(|error| ConnectorError::new(ErrorKind::Encode, "printing", error.to_string()))?;
    Ok(Batch::new(columns))
}

fn show(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) => Err(ConnectorError::from_io(error, "printing", "standard output")),
    }
}

#[async_trait]
impl DirectSink for TerminalSink {
    async fn show(&mut self, batch: Batch) -> Result<()> {
        let batch = match &self.changes {
            Some(schema) => kinds_first(schema, &batch)?,
            None => batch,
        };
        match &mut self.printer {
            Printer::Table(table) => table.add(&batch),
            Printer::Encoded { encoder, begun } => {
                let mut out = Vec::new();
                if !*begun {
                    encoder.header(&mut out);
                    *begun = true;
                }
                encoder.encode(&batch.columns, &mut out)?;
                show(&out)
            }
        }?;
        self.print(false)
    }

    async fn hand_on(&mut self) -> Result<()> {
        self.print(true)
    }

    async fn close(&mut self) -> Result<()> {
        self.print(true)?;
        match &mut self.printer {
            Printer::Table(table) => show(table.footer().as_bytes())?,
            Printer::Encoded { encoder, begun } => {
                let mut out = Vec::new();
                if !*begun {
                    encoder.header(&mut out);
                }
                encoder.footer(&mut out)?;
                show(&out)?;
            }
        }
        Ok(())
    }
}

/// Takes rows that are only counted: EXPLAIN ANALYZE.
pub struct Counted;

#[async_trait]
impl DirectSink for Counted {
    async fn show(&mut self, _: Batch) -> Result<()> {
        Ok(())
    }
}

/// What a statement that only tells has to say, aligned.
pub fn shown(shown: &Shown) -> String {
    let columns = shown.header.len().max(shown.rows.first().map_or(0, Vec::len));
    let mut widths = vec![0; columns];
    for row in shown.rows.iter().chain(std::iter::once(&shown.header)) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count()))))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    let mut out = String::new();
    if !shown.header.is_empty() {
        out.push_str(&line(&shown.header));
        let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        out.push_str(&format!("{}\n", rule.join("──")));
    }
    shown.rows.iter().for_each(|row| out.push_str(&line(row)));
    out
}
