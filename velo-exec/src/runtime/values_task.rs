//! The task of rows that stand in the script: computes them in batches and drives them through the operators fused to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_expr::Expr;
use velo_core::Batch;
use velo_core::batch::columns_of;
use velo_core::place::{Origin, Positions, Resource};
use velo_plan::plan::{Node, NodeId, NodeKind};

use super::rows_given::RowsGiven;
use super::{Drive, JobOptions, JobProgress};
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;
use crate::operator::{Element, InputId};

/// Rows of a script as a source.
pub struct ValuesTask {
    rows: Vec<Vec<Expr>>,
    schema: SchemaRef,
    /// The statement that has them.
    owner: String,
    /// Their place among the sources in the order of equal times.
    ordinal: u32,
    batch_rows: usize,
    drive: Drive,
    given: Arc<AtomicU64>,
    rows_given: RowsGiven,
}

impl ValuesTask {
    /// The task of a node of values.
    pub fn new(
        node: &Node,
        drive: Drive,
        id: NodeId,
        rows_given: RowsGiven,
        options: &JobOptions,
        progress: &JobProgress,
    ) -> Result<Self> {
        let NodeKind::Values(rows) = &node.kind else {
            return Err(ExecError::Internal("values that are none".to_owned()));
        };
        Ok(Self {
            rows: rows.clone(),
            schema: Arc::clone(&node.schema),
            owner: node.owner.clone(),
            // Behind all sources, which are numbered from 0.
            ordinal: (1 << 31) + id.0 as u32,
            batch_rows: options.batch_rows.max(1),
            drive,
            given: progress.nodes.get(id.0).cloned().unwrap_or_default(),
            rows_given,
        })
    }

    /// Runs to the last row, once `open` says that the tables are ready; where it says that the job was stopped, no row is given.
    pub async fn run(mut self, open: impl Future<Output = Result<bool>>) -> Result<()> {
        let mut line = self.drive.line();
        if !self.rows_given.wait(open, &mut self.drive, &mut line).await? {
            return self.drive.stopped(Some(self.rows_given.state())).await;
        }
        self.drive.start().await?;
        let rows = std::mem::take(&mut self.rows);
        let first = self.rows_given.rows().min(rows.len());
        for (at, rows) in rows[first..].chunks(self.batch_rows).enumerate() {
            let mut batch = Batch::new(compute(rows, &self.schema, &self.owner)?);
            batch.origin = Some(Origin {
                source: self.ordinal,
                partition: 0,
                base: 0,
                resource: Resource::Rows("VALUES".into()),
                positions: Positions::Consecutive { first: (first + at * self.batch_rows + 1) as u64 },
            });
            self.given.fetch_add(batch.rows() as u64, Ordering::Relaxed);
            self.rows_given.add(batch.rows());
            self.drive.room().await?;
            self.drive.offer(InputId(0), Element::Batch(batch)).await?;
            self.drive.fire().await?;
            self.rows_given.barrier(&mut self.drive, &mut line).await?;
            // The rows end by themselves, so that only this request changes anything.
            if self.drive.is_stopping() {
                return self.drive.stopped(Some(self.rows_given.state())).await;
            }
        }
        self.rows_given.finish();
        self.drive.ended(Some(self.rows_given.state())).await
    }
}

fn compute(rows: &[Vec<Expr>], schema: &SchemaRef, owner: &str) -> Result<RecordBatch> {
    let columns = (0..schema.fields().len()).map(|column| {
        let literals = rows.iter().map(|row| match row.get(column) {
            Some(Expr::Literal(value, _)) => Some(value.clone()),
            _ => None,
        });
        match literals.collect::<Option<Vec<ScalarValue>>>() {
            Some(values) => Ok(ScalarValue::iter_to_array(values)?),
            None => computed(rows.iter().filter_map(|row| row.get(column)), owner),
        }
    });
    Ok(columns_of(schema, columns.collect::<Result<Vec<ArrayRef>>>()?, rows.len())?)
}

/// Values that are computed, each over a row of no columns.
fn computed<'a>(cells: impl Iterator<Item = &'a Expr>, owner: &str) -> Result<ArrayRef> {
    let none = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = Batch::new(RecordBatch::try_new_with_options(Arc::clone(&none), vec![], &options)?);
    let cells = cells.map(|cell| Evaluator::new(cell, &none, owner)?.evaluate(&row).map_err(ExecError::without_choice));
    let cells = cells.collect::<Result<Vec<_>>>()?;
    let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
    Ok(arrow_select::concat::concat(&cells)?)
}
