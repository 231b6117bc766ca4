//! The sink that prints each row as a line: `bars> +I IBM 104.2500`.

use std::io::{self, Write};
use std::sync::Arc;

use async_trait::async_trait;
use velo_core::connector::{Capabilities, Connector, DirectSink, Sink, SinkBinding, SinkRequest, SourceBinding};
use velo_core::properties::{Options, Properties, PropertyError, PropertySpec};
use velo_core::table_text::cell_text;
use velo_core::{Batch, ConnectorError, Result, RowKind};

use crate::properties::{PrintProperties, PrintTo};

/// The connector `print`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PrintConnector;

/// Notes that a connector cannot be read.
pub(crate) fn only_a_sink(options: &mut Options, name: &str) {
    options.error(PropertyError {
        key: "connector".to_owned(),
        origin: None,
        message: format!("'{name}' can be written and not read"),
        help: Some("for made-up rows, read from 'datagen' or 'nexmark'".to_owned()),
    });
}

/// Notes that a connector cannot be written.
pub(crate) fn only_a_source(options: &mut Options, name: &str) {
    options.error(PropertyError {
        key: "connector".to_owned(),
        origin: None,
        message: format!("'{name}' can be read and not written"),
        help: Some("to see rows, write them to 'print'; to drop them, to 'blackhole'".to_owned()),
    });
}

impl Connector for PrintConnector {
    fn name(&self) -> &'static str {
        "print"
    }

    fn summary(&self) -> &'static str {
        "Prints each row as a line on standard output, or on standard error"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { sink: true, changelog: true, ..Capabilities::default() }
    }

    fn source_properties(&self) -> Vec<&'static PropertySpec> {
        Vec::new()
    }

    fn sink_properties(&self) -> Vec<&'static PropertySpec> {
        PrintProperties::SPECS.iter().collect()
    }

    fn bind_source(&self, options: &mut Options) -> Option<Arc<dyn SourceBinding>> {
        only_a_sink(options, self.name());
        None
    }

    fn bind_sink(&self, options: &mut Options) -> Option<Arc<dyn SinkBinding>> {
        let before = options.has_errors();
        let properties = PrintProperties::read(options);
        (before || !options.has_errors()).then(|| Arc::new(Printing(properties)) as Arc<dyn SinkBinding>)
    }
}

#[derive(Debug)]
struct Printing(PrintProperties);

#[async_trait]
impl SinkBinding for Printing {
    fn describe(&self) -> String {
        match self.0.to {
            PrintTo::Stdout => "print on standard output".to_owned(),
            PrintTo::Stderr => "print on standard error".to_owned(),
        }
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let identifier = self.0.identifier.clone().unwrap_or(request.name);
        let prefix = if identifier.is_empty() { identifier } else { format!("{identifier}> ") };
        Ok(Box::new(PrintSink { prefix, to: self.0.to }))
    }
}

struct PrintSink {
    prefix: String,
    to: PrintTo,
}

/// The rows of `batch` as lines: the kind, and the values as scenarios write them.
fn lines(prefix: &str, batch: &Batch) -> String {
    let mut out = String::new();
    for row in 0..batch.rows() {
        let kind = batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]);
        out.push_str(prefix);
        out.push_str(kind.symbol());
        for column in batch.columns.columns() {
            out.push(' ');
            // A line break in a value would end the line.
            out.push_str(&cell_text(column.as_ref(), row).replace('\n', "\\n").replace('\r', "\\r"));
        }
        out.push('\n');
    }
    out
}

#[async_trait]
impl DirectSink for PrintSink {
    async fn show(&mut self, batch: Batch) -> Result<()> {
        let text = lines(&self.prefix, &batch);
        let (written, what) = match self.to {
            PrintTo::Stdout => {
                let mut out = io::stdout().lock();
                (out.write_all(text.as_bytes()).and_then(|()| out.flush()), "standard output")
            }
            PrintTo::Stderr => (io::stderr().lock().write_all(text.as_bytes()), "standard error"),
        };
        written.map_err(|error| ConnectorError::from_io(error, "printing", what))
    }

    async fn hand_on(&mut self) -> Result<()> {
        let (flushed, what) = match self.to {
            PrintTo::Stdout => (io::stdout().flush(), "standard output"),
            PrintTo::Stderr => (io::stderr().flush(), "standard error"),
        };
        flushed.map_err(|error| ConnectorError::from_io(error, "printing", what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_row() {
        let batch =
            velo_testkit::table!("k:STRING v:DECIMAL(10,2)\n+I a 1.50\n-U \"two words\" NULL\n+U \"\" 2\n").batch();
        assert_eq!(lines("t> ", &batch), "t> +I a 1.50\nt> -U \"two words\" NULL\nt> +U \"\" 2.00\n");
    }
}
