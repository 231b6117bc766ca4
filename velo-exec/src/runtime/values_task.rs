//! The task of rows that stand in the script: computes them in batches and drives them through the operators fused to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_expr::Expr;
use velo_core::batch::columns_of;
use velo_core::place::{Origin, Positions, Resource};
use velo_core::{Batch, Watermark};
use velo_plan::plan::{Node, NodeId, NodeKind};

use super::{Chain, JobOptions, JobProgress, Outputs, Stop, StopRequest};
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
    chain: Chain,
    outputs: Outputs,
    stop: Stop,
    given: Arc<AtomicU64>,
    held: Arc<AtomicU64>,
}

impl ValuesTask {
    /// The task of a node of values.
    pub fn new(
        node: &Node,
        chain: Chain,
        outputs: Outputs,
        id: NodeId,
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
            chain,
            outputs,
            stop: options.stop.clone(),
            given: progress.nodes.get(id.0).cloned().unwrap_or_default(),
            held: Arc::clone(&progress.held),
        })
    }

    /// Runs to the last row.
    pub async fn run(mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        for (at, rows) in rows.chunks(self.batch_rows).enumerate() {
            let mut batch = Batch::new(compute(rows, &self.schema, &self.owner)?);
            batch.origin = Some(Origin {
                source: self.ordinal,
                partition: 0,
                base: 0,
                resource: Resource::Rows("VALUES".into()),
                positions: Positions::Consecutive { first: (at * self.batch_rows + 1) as u64 },
            });
            self.given.fetch_add(batch.rows() as u64, Ordering::Relaxed);
            if self.drive(Element::Batch(batch)).await? == StopRequest::Stop {
                self.held.fetch_add(self.chain.held(), Ordering::Relaxed);
                return self.outputs.send(Element::Stop).await;
            }
        }
        self.finish(Element::Watermark(Watermark::END)).await?;
        self.finish(Element::End).await
    }

    /// Drives rows through, unless a stop is asked for: few rows can become very many.
    async fn drive(&mut self, element: Element) -> Result<StopRequest> {
        let stop = self.stop.clone();
        let asked = stop.asked();
        tokio::pin!(asked);
        let mut finishing = false;
        self.chain.offer(InputId(0), element)?;
        while let Some(element) = self.chain.take()? {
            self.outputs.send(element).await?;
            self.outputs.dead_letters(self.chain.take_dead_letters()).await?;
            tokio::task::yield_now().await;
            tokio::select! {
                biased;
                // The rows end by themselves, so only a stop changes anything.
                request = &mut asked, if !finishing => match request {
                    StopRequest::Finish => finishing = true,
                    request => return Ok(request),
                },
                () = std::future::ready(()) => {}
            }
        }
        Ok(StopRequest::Run)
    }

    async fn finish(&mut self, element: Element) -> Result<()> {
        self.chain.offer(InputId(0), element)?;
        while let Some(element) = self.chain.take()? {
            self.outputs.send(element).await?;
        }
        self.outputs.dead_letters(self.chain.take_dead_letters()).await
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
    let cells = cells.map(|cell| Evaluator::new(cell, &none, owner)?.evaluate(&row)).collect::<Result<Vec<_>>>()?;
    let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
    Ok(arrow_select::concat::concat(&cells)?)
}
