//! Rows of a connector as rows of a table: event times, computed columns, and what all readers ask of them.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::connector::DecodeColumn;
use velo_core::{Batch, schema};
use velo_plan::plan::ConnectorFeed;

use super::timing::{Refused, Timing};
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;

/// What makes the rows of a table over a connector.
#[derive(Debug)]
pub struct TableRows {
    timing: Timing,
    outputs: Option<Vec<Evaluator>>,
    schema: SchemaRef,
}

impl TableRows {
    /// For a table called `name` with the columns of `schema`.
    pub fn new(feed: &ConnectorFeed, schema: &SchemaRef, name: &str) -> Result<Self> {
        let evaluator = |expr| Evaluator::new(expr, &feed.decoded, name);
        let outputs =
            feed.outputs.as_ref().map(|outputs| outputs.iter().map(|output| evaluator(&output.expr)).collect());
        Ok(Self {
            timing: Timing::new(&feed.source, &feed.decoded)?,
            outputs: outputs.transpose()?,
            schema: Arc::clone(schema),
        })
    }

    /// The columns that the connector decodes for it.
    pub fn columns(&self) -> &[DecodeColumn] {
        &self.timing.columns
    }

    /// The rows of the table that a decoded batch gives, and those that have no usable event time or kind; `read_at` is when it
    /// was read, by the clock.
    pub fn rows(&self, batch: Batch, read_at: i64) -> Result<(Batch, Vec<Refused>)> {
        let (batch, refused) = self.timing.rows(batch, read_at)?;
        let columns = match &self.outputs {
            None => batch.columns.columns().to_vec(),
            Some(outputs) => {
                let outputs = outputs.iter().map(|output| output.evaluate(&batch).map_err(ExecError::without_choice));
                let mut columns = outputs.collect::<Result<Vec<_>>>()?;
                if schema::event_time_index(&self.schema).is_some()
                    && let Some(at) = schema::event_time_index(batch.columns.schema_ref())
                {
                    columns.push(Arc::clone(batch.columns.column(at)));
                }
                columns
            }
        };
        let columns = columns_of(&self.schema, columns, batch.rows())?;
        Ok((batch.with_columns(columns), refused))
    }
}
