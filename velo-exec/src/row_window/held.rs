//! Rows that wait for the watermark, and come out in the order of event time, source, partition and position.
//!
//! Each batch is ordered when it comes, so that a release takes the beginning of each without a copy and merges these runs.

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use velo_core::place::Positions;
use velo_core::{Batch, Watermark};

use crate::aggregate::RowOrder;
use crate::checkpoint::rows::{pack, unpack};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;

/// Rows in wait.
pub(crate) struct Held {
    schema: SchemaRef,
    batches: Vec<Ordered>,
    rows: usize,
}

/// A batch in order, of which the rows from `next` on are still there.
struct Ordered {
    batch: Batch,
    next: usize,
}

impl Ordered {
    fn left(&self) -> usize {
        self.batch.rows() - self.next
    }

    /// How many of the rows are below a watermark.
    fn below(&self, watermark: Watermark) -> usize {
        match self.batch.event_times() {
            _ if watermark == Watermark::END => self.left(),
            Some(times) => times.values()[self.next..].partition_point(|time| *time < watermark.0),
            None => 0,
        }
    }
}

/// What rows are ordered by, but for the values of those without an origin.
type Key = (i64, u64, u64);

fn keys(batch: &Batch, into: &mut Vec<Key>) {
    let time = |row: usize| batch.event_times().map_or(0, |times| times.values()[row]);
    match &batch.origin {
        None => into.extend((0..batch.rows()).map(|row| (time(row), u64::MAX, 0))),
        Some(origin) => {
            let place = (u64::from(origin.source) << 32) | u64::from(origin.partition);
            into.extend((0..batch.rows()).map(|row| (time(row), place, origin.order(row))));
        }
    }
}

impl Held {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema, batches: Vec::new(), rows: 0 }
    }

    /// The number of rows in wait.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.batches.iter().map(|ordered| ordered.batch.memory()).sum()
    }

    /// Takes rows in.
    pub(crate) fn push(&mut self, batch: Batch) -> Result<()> {
        self.rows += batch.rows();
        let consecutive =
            batch.origin.as_ref().is_none_or(|origin| matches!(origin.positions, Positions::Consecutive { .. }));
        let sorted = consecutive && batch.event_times().is_none_or(|times| times.values().is_sorted());
        let batch = if sorted { batch } else { in_order(batch)? };
        self.batches.push(Ordered { batch, next: 0 });
        Ok(())
    }

    /// Takes the rows below a watermark out, in order.
    pub(crate) fn release(&mut self, watermark: Watermark) -> Result<Option<Batch>> {
        let mut runs = Vec::new();
        for ordered in &mut self.batches {
            let count = ordered.below(watermark);
            if count > 0 {
                runs.push(ordered.batch.slice(ordered.next, count));
                ordered.next += count;
            }
        }
        self.batches.retain(|ordered| ordered.left() > 0);
        let Some(first) = runs.first() else { return Ok(None) };
        self.rows -= runs.iter().map(Batch::rows).sum::<usize>();
        let by_values = runs.iter().any(|run| run.origin.is_none());
        if let ([only], false) = (runs.as_slice(), by_values) {
            return Ok(Some(only.clone()));
        }
        let mut all = Vec::with_capacity(runs.iter().map(Batch::rows).sum());
        runs.iter().for_each(|run| keys(run, &mut all));
        let merged = if runs.len() == 1 { first.clone() } else { Batch::concat(&self.schema, &runs)? };
        let merged = Batch { origin: None, ..merged };
        let mut order = (0..all.len() as u32).collect::<Vec<_>>();
        if !all.is_sorted() {
            // The runs are in order, which this sort makes use of.
            order.sort_by_key(|row| all[*row as usize]);
        }
        if by_values {
            by_value(&merged, &all, &mut order)?;
        }
        if order.is_sorted() {
            return Ok(Some(merged));
        }
        Ok(Some(merged.take(&UInt32Array::from(order))?))
    }
}

/// How many rows are saved together.
const TOGETHER: usize = 8_192;

impl Held {
    /// Puts the rows in wait into a checkpoint, in the order in which they came; `keys` are the places of the columns by which
    /// they are exchanged.
    pub(crate) fn save(&self, table: &str, keys: &[usize], state: &mut StateWriter) -> Result<()> {
        let mut together = Vec::new();
        let mut rows = 0;
        for ordered in &self.batches {
            together.push(pack(&ordered.batch.slice(ordered.next, ordered.left()))?);
            rows += ordered.left();
            if rows >= TOGETHER {
                save_packed(table, keys, &std::mem::take(&mut together), state)?;
                rows = 0;
            }
        }
        save_packed(table, keys, &together, state)
    }

    /// Takes up what [`Self::save`] put there.
    pub(crate) fn load(&mut self, table: &str, state: &mut StateReader) -> Result<()> {
        for packed in state.rows(table)? {
            for batch in unpack(&packed, &self.schema)? {
                self.push(batch)?;
            }
        }
        Ok(())
    }
}

fn save_packed(table: &str, keys: &[usize], packed: &[RecordBatch], state: &mut StateWriter) -> Result<()> {
    let Some(first) = packed.first() else { return Ok(()) };
    let rows = arrow_select::concat::concat_batches(first.schema_ref(), packed)?;
    let keys = keys.iter().map(|at| std::sync::Arc::clone(rows.column(*at))).collect::<Vec<_>>();
    state.keyed(table, &keys, &rows)
}

/// Rows of one partition in the order of time and position.
fn in_order(batch: Batch) -> Result<Batch> {
    let mut all = Vec::with_capacity(batch.rows());
    keys(&batch, &mut all);
    if all.is_sorted() {
        return Ok(batch);
    }
    let mut order = (0..all.len() as u32).collect::<Vec<_>>();
    order.sort_by_key(|row| all[*row as usize]);
    Ok(batch.take(&UInt32Array::from(order))?)
}

/// Orders rows that have nothing but their values to tell which comes first.
fn by_value(batch: &Batch, keys: &[Key], order: &mut [u32]) -> Result<()> {
    let tied = |left: &u32, right: &u32| keys[*left as usize] == keys[*right as usize];
    if !order.windows(2).any(|pair| tied(&pair[0], &pair[1])) {
        return Ok(());
    }
    let values = RowOrder::of(batch, true)?;
    for ties in order.chunk_by_mut(tied) {
        ties.sort_by(|left, right| values.value(*left as usize).cmp(values.value(*right as usize)));
    }
    Ok(())
}
