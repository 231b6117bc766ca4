//! Expressions of the plan as evaluators over batches, and the place of the row that fails one.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow_schema::{DataType, SchemaRef};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::Expr;
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use velo_core::Batch;

use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};

/// An expression that can be evaluated over batches of one schema.
#[derive(Debug, Clone)]
pub struct Evaluator {
    kind: Kind,
    /// The stream, table or view that computes it, for errors.
    owner: Arc<str>,
    /// Who is told of rows on which it fails, and that are NULL then.
    lenient: Option<Arc<ComputeErrors>>,
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
            return Ok(Self { kind: Kind::Column(at), owner, lenient: None });
        }
        let df_schema = DFSchema::try_from(Arc::clone(schema))?;
        let physical =
            create_physical_expr(expr, &df_schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())?;
        Ok(Self { kind: Kind::Computed(physical), owner, lenient: None })
    }

    /// Rows on which it fails are given up from now on: its value of them is NULL.
    pub(crate) fn give_up(&mut self, errors: &Arc<ComputeErrors>) {
        self.lenient = Some(Arc::clone(errors));
    }

    /// One value per row.
    pub fn evaluate(&self, batch: &Batch) -> Result<ArrayRef> {
        match (self.strictly(batch), &self.lenient) {
            (Err(ExecError::Row { .. }), Some(errors)) => self.without_bad_rows(batch, errors),
            (values, _) => values,
        }
    }

    fn without_bad_rows(&self, batch: &Batch, errors: &ComputeErrors) -> Result<ArrayRef> {
        let data_type = self.data_type(batch.columns.schema_ref())?;
        let (mut parts, mut next): (Vec<ArrayRef>, usize) = (Vec::new(), 0);
        errors.in_pieces(batch, |from, piece| {
            let values = self.strictly(piece)?;
            if from > next {
                parts.push(new_null_array(&data_type, from - next));
            }
            parts.push(values);
            next = from + piece.rows();
            Ok(())
        })?;
        if batch.rows() > next {
            parts.push(new_null_array(&data_type, batch.rows() - next));
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        Ok(arrow_select::concat::concat(&parts)?)
    }

    /// The same, and an error where it fails on some row.
    pub(crate) fn strictly(&self, batch: &Batch) -> Result<ArrayRef> {
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

    /// The error with the first row that it happens on: a batch fails as a whole, so its rows are searched.
    fn failure(&self, physical: &Arc<dyn PhysicalExpr>, batch: &Batch, error: DataFusionError) -> ExecError {
        let alone = |row: usize| compute(physical, &batch.columns.slice(row, 1)).err().map(|error| (row, error));
        if batch.is_empty() {
            return ExecError::Row { statement: self.owner.to_string(), message: message_of(&error), place: None };
        }
        // One by one where the halves do not tell: an operand that is skipped for some rows may be computed for these and others.
        let first = alone(first_by_halves(physical, &batch.columns)).or_else(|| (0..batch.rows()).find_map(alone));
        let (place, error) = match first {
            Some((row, error)) => (batch.origin.as_ref().map(|origin| origin.place(row)), error),
            None => (None, error),
        };
        ExecError::Row { statement: self.owner.to_string(), message: message_of(&error), place }
    }
}

/// The row before which a batch does not fail, where it has one that does.
fn first_by_halves(physical: &Arc<dyn PhysicalExpr>, columns: &RecordBatch) -> usize {
    let (mut from, mut rows) = (0, columns.num_rows());
    while rows > 1 {
        let half = rows / 2;
        if compute(physical, &columns.slice(from, half)).is_err() {
            rows = half;
        } else {
            from += half;
            rows -= half;
        }
    }
    from
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
