//! WHERE and SELECT over rows: a condition, then computed columns; the event time passes.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::{Batch, schema};
use velo_plan::plan::Output;

use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::expr::Evaluator;

/// Filters rows, or computes columns.
#[derive(Debug)]
pub struct FilterProject {
    condition: Option<Evaluator>,
    projection: Option<(Vec<Evaluator>, SchemaRef)>,
}

impl FilterProject {
    /// Keeps the rows for which `condition` is true.
    pub fn filter(condition: &datafusion_expr::Expr, input: &SchemaRef, owner: &str) -> Result<Self> {
        Ok(Self { condition: Some(Evaluator::new(condition, input, owner)?), projection: None })
    }

    /// Computes `outputs`; `output` is the schema they have, the hidden event time included.
    pub fn project(outputs: &[Output], input: &SchemaRef, output: SchemaRef, owner: &str) -> Result<Self> {
        let evaluators =
            outputs.iter().map(|output| Evaluator::new(&output.expr, input, owner)).collect::<Result<Vec<_>>>()?;
        Ok(Self { condition: None, projection: Some((evaluators, output)) })
    }
}

impl Operator for FilterProject {
    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        let batch = match &self.condition {
            Some(condition) => batch.filter(&condition.condition(&batch)?)?,
            None => batch,
        };
        if batch.is_empty() {
            return Ok(Flow::Done);
        }
        let Some((evaluators, output)) = &self.projection else {
            out.batch(batch);
            return Ok(Flow::Done);
        };
        let mut columns = evaluators.iter().map(|evaluator| evaluator.evaluate(&batch)).collect::<Result<Vec<_>>>()?;
        // The projection gives another event time itself where it has as many columns as come out.
        if columns.len() < output.fields().len()
            && schema::event_time_index(output).is_some()
            && let Some(at) = schema::event_time_index(batch.columns.schema_ref())
        {
            columns.push(Arc::clone(batch.columns.column(at)));
        }
        out.batch(batch.with_columns(columns_of(output, columns, batch.rows())?));
        Ok(Flow::Done)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        let outputs = self.projection.iter().flat_map(|(outputs, _)| outputs);
        self.condition.iter().chain(outputs).try_for_each(|one| one.evaluate(batch).map(drop))
    }

    fn fails_first(&self) -> bool {
        true
    }

    /// It keeps nothing.
    fn save(&mut self, _state: &mut StateWriter) -> Result<()> {
        Ok(())
    }

    fn load(&mut self, _state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        Ok(())
    }
}
