//! Expressions of the plan as evaluators over batches, and the place of the row that fails one.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::Expr;
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use velo_core::Batch;

use crate::error::{ExecError, Result};

/// An expression that can be evaluated over batches of one schema.
#[derive(Debug, Clone)]
pub struct Evaluator {
    kind: Kind,
    /// The stream, table or view that computes it, for errors.
    owner: Arc<str>,
}

#[derive(Debug, Clone)]
enum Kind {
    /// A column as it is, which most of a projection is.
    Column(usize),
    Computed(Arc<dyn PhysicalExpr>),
}

impl Evaluator {
    /// Prepares `expr` for batches of `schema`.
    pub fn new(expr: &Expr, schema: &SchemaRef, owner: &str) -> Result<Self> {
        let owner = Arc::from(owner);
        if let Expr::Column(column) = expr
            && let Ok(at) = schema.index_of(column.name())
        {
            return Ok(Self { kind: Kind::Column(at), owner });
        }
        let df_schema = DFSchema::try_from(Arc::clone(schema))?;
        let physical =
            create_physical_expr(expr, &df_schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
        Ok(Self { kind: Kind::Computed(physical), owner })
    }

    /// One value per row.
    pub fn evaluate(&self, batch: &Batch) -> Result<ArrayRef> {
        match &self.kind {
            Kind::Column(at) => Ok(Arc::clone(batch.columns.column(*at))),
            Kind::Computed(physical) => match compute(physical, &batch.columns) {
                Ok(values) => Ok(values),
                Err(error) => Err(self.failure(physical, batch, error)),
            },
        }
    }

    /// The type of its values over batches of `schema`.
    pub fn data_type(&self, schema: &SchemaRef) -> Result<DataType> {
        match &self.kind {
            Kind::Column(at) => Ok(schema.field(*at).data_type().clone()),
            Kind::Computed(physical) => Ok(physical.data_type(schema)?),
        }
    }

    /// A condition: rows for which it is true; null counts as false.
    pub fn condition(&self, batch: &Batch) -> Result<BooleanArray> {
        let values = self.evaluate(batch)?;
        values
            .as_boolean_opt()
            .cloned()
            .ok_or_else(|| ExecError::Internal(format!("a condition gave {}", values.data_type())))
    }

    /// The error with the first row that it happens on: a batch fails as a whole, so its rows are tried one by one.
    fn failure(&self, physical: &Arc<dyn PhysicalExpr>, batch: &Batch, error: DataFusionError) -> ExecError {
        let first = (0..batch.rows()).find_map(|row| {
            let one = batch.columns.slice(row, 1);
            compute(physical, &one).err().map(|error| (row, error))
        });
        let (place, error) = match first {
            Some((row, error)) => (batch.origin.as_ref().map(|origin| origin.place(row)), error),
            None => (None, error),
        };
        ExecError::Compute { statement: self.owner.to_string(), message: message_of(&error), place }
    }
}

fn compute(physical: &Arc<dyn PhysicalExpr>, columns: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
    physical.evaluate(columns)?.into_array(columns.num_rows())
}

/// The library's message without its classification, which says nothing to the user.
fn message_of(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Execution(message) => message.clone(),
        DataFusionError::ArrowError(error, _) => error.to_string(),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => message_of(inner),
        other => other.to_string(),
    }
}
