//! ORDER BY over a finished input: everything is held, ordered at the end, and given in batches. Where memory is short, what is
//! held goes to disk in its order now and then, and at the end all of that is merged.

mod runs;

use std::sync::Arc;

use arrow_array::{ArrayRef, UInt32Array};
use arrow_ord::sort::{SortColumn, SortOptions, lexsort_to_indices};
use arrow_row::{RowConverter, SortField};
use arrow_schema::SchemaRef;
use velo_core::{Batch, Watermark};
use velo_plan::plan::SortKey;

use self::runs::{Merge, Runs};
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::rows::{pack, unpack};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::expr::Evaluator;
use crate::spill::{MemoryUse, SpillTables};

/// Rows of a batch that comes out.
const BATCH_ROWS: usize = 8_192;

/// The table of the rows that came, in that order.
const ROWS: &str = "rows";

/// A run takes so many hundredths of the bound for memory: to sort it takes as much twice again.
const RUN: usize = 20;

/// Orders rows.
#[derive(Debug)]
pub struct Sort {
    keys: Vec<(Evaluator, SortOptions)>,
    schema: SchemaRef,
    held: Vec<Batch>,
    giving: Giving,
    /// What lies on disk, and where it is told how much does not.
    runs: Runs,
    memory: Option<MemoryUse>,
}

/// The rows that are given, once the input has ended.
#[derive(Debug)]
enum Giving {
    Nothing,
    /// All rows, their order, and the next place in that.
    Held(Batch, UInt32Array, usize),
    Merged(Merge),
}

impl Sort {
    /// Orders rows of `schema` by `keys`; equal ones keep the order in which they came.
    pub fn new(keys: &[SortKey], schema: SchemaRef, owner: &str) -> Result<Self> {
        let keys = keys
            .iter()
            .map(|key| {
                let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
                Ok((Evaluator::new(&key.expr, &schema, owner)?, options))
            })
            .collect::<Result<_>>()?;
        Ok(Self { keys, schema, held: Vec::new(), giving: Giving::Nothing, runs: Runs::default(), memory: None })
    }

    /// What is held, its keys, and its order.
    fn ordered(&mut self) -> Result<(Batch, Vec<ArrayRef>, UInt32Array)> {
        let all = Batch::concat(&self.schema, &std::mem::take(&mut self.held))?;
        let keys = self.keys.iter().map(|(key, _)| key.evaluate(&all)).collect::<Result<Vec<_>>>()?;
        let by_key = keys.iter().zip(&self.keys);
        let column = |(values, (_, options)): (&ArrayRef, &(Evaluator, SortOptions))| SortColumn {
            values: Arc::clone(values),
            options: Some(*options),
        };
        // The place of a row is the last key, so that equal rows keep their order.
        let places = Arc::new(UInt32Array::from_iter_values(0..all.rows() as u32));
        let last = SortColumn { values: places, options: None };
        let order = lexsort_to_indices(&by_key.map(column).chain([last]).collect::<Vec<_>>(), None)?;
        Ok((all, keys, order))
    }

    /// Puts what is held on disk, in its order.
    fn spill(&mut self) -> Result<()> {
        let Some(pool) = self.memory.as_ref().map(|memory| Arc::clone(memory.pool())) else { return Ok(()) };
        if !self.held.is_empty() {
            let (all, keys, order) = self.ordered()?;
            let field = |(values, (_, options)): (&ArrayRef, &(Evaluator, SortOptions))| {
                SortField::new_with_options(values.data_type().clone(), *options)
            };
            let converter = RowConverter::new(keys.iter().zip(&self.keys).map(field).collect())?;
            self.runs.write(&pool, &all, &order, &converter.convert_columns(&keys)?)?;
        }
        self.tell(0);
        Ok(())
    }

    fn tell(&mut self, bytes: usize) {
        self.memory.iter_mut().for_each(|memory| memory.set(bytes));
    }

    /// So many rows have come: they go to disk where memory is short.
    fn hold(&mut self, batch: Batch) -> Result<()> {
        let rows = batch.rows();
        self.held.push(batch);
        let Some(memory) = &mut self.memory else { return Ok(()) };
        if memory.sees(rows) {
            memory.set(self.held.iter().map(Batch::memory).sum());
            if memory.is_to_spill() || memory.used() > memory.pool().part(RUN) {
                self.spill()?;
            }
        }
        Ok(())
    }
}

impl Operator for Sort {
    fn memory(&self) -> usize {
        let given = match &self.giving {
            Giving::Nothing => 0,
            Giving::Held(all, order, _) => all.memory() + order.len() * size_of::<u32>(),
            Giving::Merged(merge) => merge.memory(),
        };
        given + self.held.iter().map(Batch::memory).sum::<usize>()
    }

    fn bound(&mut self, memory: MemoryUse) -> Option<MemoryUse> {
        self.memory = Some(memory);
        None
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, _out: &mut Outbox) -> Result<Flow> {
        self.hold(batch)?;
        Ok(Flow::Done)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.keys.iter().try_for_each(|(key, _)| key.evaluate(batch).map(drop))
    }

    /// Nothing has come out yet, so no watermark but the last can be told.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        if !self.runs.is_empty() {
            self.spill()?;
            let merge = std::mem::take(&mut self.runs).merge()?;
            self.tell(merge.memory());
            self.giving = Giving::Merged(merge);
        } else if !self.held.is_empty() {
            let (all, _, order) = self.ordered()?;
            self.giving = Giving::Held(all, order, 0);
        }
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        loop {
            if out.is_full() {
                return Ok(Flow::More);
            }
            match &mut self.giving {
                Giving::Held(all, order, next) if *next < order.len() => {
                    let rows = BATCH_ROWS.min(order.len() - *next);
                    out.batch(all.take(&order.slice(*next, rows))?);
                    *next += rows;
                }
                Giving::Merged(merge) => {
                    let batches = merge.next(BATCH_ROWS, &self.schema)?;
                    if batches.is_empty() {
                        break;
                    }
                    batches.into_iter().for_each(|batch| out.batch(batch));
                }
                _ => break,
            }
        }
        self.giving = Giving::Nothing;
        self.tell(0);
        Ok(Flow::Done)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        if !self.runs.is_empty() {
            // Of equal rows those of an earlier run came first, so that their order is that of the runs.
            if let Some(memory) = &self.memory {
                state.spill(SpillTables::whole(memory.pool()));
            }
            self.runs.each(|rows| {
                state.rows(ROWS, rows);
                Ok(())
            })?;
        }
        if !self.held.is_empty() {
            // As at the end: where there are several batches, the places of rows have no part in it.
            let all = Batch::concat(&self.schema, &std::mem::take(&mut self.held))?;
            state.rows(ROWS, pack(&all)?);
            self.held.push(all);
        }
        Ok(())
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        let schema = Arc::clone(&self.schema);
        state.each(ROWS, |saved| unpack(&saved, &schema)?.into_iter().try_for_each(|batch| self.hold(batch)))
    }
}
