//! Calls over a row buffer with an order of its own: each row sees the rows that the buffer holds, in that order.
//!
//! The buffer is small and its rows move, so it is a partition of its own for each row, and computed as such.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use velo_core::Batch;
use velo_core::batch::columns_of;
use velo_plan::plan::{OverCall, OverFunction, OverOrder, RowWindow, SortKey};

use super::window::Window;
use crate::checkpoint::columns::{Columns, Saved};
use crate::error::{ExecError, Result};
use crate::row_window::{Call, Places, ResultColumn, RowRef, Rows, Scalars, make};

/// Whether a call needs its buffer in order, and not only the rows that came last.
pub(super) fn needs_order(window: &RowWindow, call: &OverCall) -> bool {
    use OverFunction::{CumeDist, DenseRank, Ntile, PercentRank, Rank};
    let ranks = matches!(call.function, Rank | DenseRank | PercentRank | CumeDist | Ntile(_));
    window.buffer.is_some() && (ranks || !window.order_by.is_empty())
}

/// A call over buffers in order.
pub(super) struct OverBuffer {
    rows: usize,
    inner: Box<dyn Call>,
    window: Window,
    /// The columns that it needs, as places in the chunks, and alone.
    columns: Vec<usize>,
    schema: SchemaRef,
    /// What each partition's buffer holds.
    buffers: Vec<Option<RecordBatch>>,
    chunk: u64,
    results: Scalars,
}

impl OverBuffer {
    /// The call; `order` and `places` are columns of `input`.
    pub(super) fn new(
        call: &OverCall,
        window: &RowWindow,
        order: &[(usize, SortKey)],
        places: &Places,
        input: &Schema,
        statement: &str,
    ) -> Result<Self> {
        let buffer = window.buffer.ok_or_else(|| ExecError::Internal("a buffer without its size".to_owned()))?;
        let alone = RowWindow { partition_by: Vec::new(), buffer: None, ..window.clone() };
        let mut columns = Vec::new();
        let mut place = |at: usize| {
            columns.iter().position(|known| *known == at).unwrap_or_else(|| {
                columns.push(at);
                columns.len() - 1
            })
        };
        let order = order.iter().map(|(at, key)| (place(*at), key.clone())).collect();
        let places = Places {
            arguments: places.arguments.iter().map(|at| place(*at)).collect(),
            filter: places.filter.map(&mut place),
        };
        let schema = Arc::new(input.project(&columns)?);
        Ok(Self {
            rows: usize::try_from(buffer.rows).unwrap_or(usize::MAX),
            inner: make(call, &alone, &places, &schema, statement)?,
            window: Window::new(&alone, &[call], Vec::new(), order, OverOrder::End, &schema)?,
            columns,
            schema,
            buffers: Vec::new(),
            chunk: 0,
            results: Scalars::new(call.output.data_type().clone()),
        })
    }

    /// The result for the last row of a buffer.
    fn result(&mut self, buffer: RecordBatch) -> Result<ArrayRef> {
        let (chunk, last) = (self.chunk, buffer.num_rows() as u32 - 1);
        self.chunk += 1;
        let mut decided = Vec::new();
        let rows = Batch::new(buffer);
        // It has no buffer of its own that could expire.
        self.window.take(&rows, chunk, i64::MIN)?;
        self.inner.push(&self.window.rows(chunk, &rows.columns), &mut decided)?;
        self.inner.settle(i64::MIN, &mut decided)?;
        self.inner.end(None, &mut decided)?;
        self.window.clear();
        let result = self.inner.results().pick(chunk, &[last])?;
        self.inner.results().keep(chunk, &[]);
        Ok(result)
    }
}

impl Call for OverBuffer {
    fn is_delayed(&self) -> bool {
        false
    }

    fn push(&mut self, rows: &Rows<'_>, _decided: &mut Vec<RowRef>) -> Result<()> {
        self.results.begin(rows.chunk, rows.len());
        if self.buffers.len() < rows.partitions {
            self.buffers.resize(rows.partitions, None);
        }
        let needed = self.columns.iter().map(|at| Arc::clone(rows.columns.column(*at))).collect();
        let needed = columns_of(&self.schema, needed, rows.len())?;
        for row in 0..rows.len() {
            let slot = &mut self.buffers[rows.keys[row] as usize];
            let new = needed.slice(row, 1);
            let buffer = match slot.take().filter(|_| !rows.begins(row)) {
                Some(held) => {
                    let over = (held.num_rows() + 1).saturating_sub(self.rows);
                    let held = held.slice(over, held.num_rows() - over);
                    concat_batches(&self.schema, [&held, &new])?
                }
                // A copy, so that one row does not keep the whole chunk.
                None => concat_batches(&self.schema, [&needed.slice(0, 0), &new])?,
            };
            *slot = Some(buffer.clone());
            let result = self.result(buffer)?;
            self.results.set(RowRef { chunk: rows.chunk, row: row as u32 }, &result)?;
        }
        Ok(())
    }

    fn end_partition(&mut self, key: u32, _decided: &mut Vec<RowRef>) -> Result<()> {
        if let Some(buffer) = self.buffers.get_mut(key as usize) {
            *buffer = None;
        }
        Ok(())
    }

    fn partitions(&self) -> usize {
        self.buffers.len()
    }

    fn clear(&mut self) {
        self.buffers.clear();
    }

    fn renumber(&mut self, numbers: &[u32], partitions: usize) {
        crate::row_window::renumber(&mut self.buffers, numbers, partitions);
    }

    fn results(&mut self) -> &mut dyn ResultColumn {
        self.results.column()
    }

    fn save(&mut self, keys: &[u32]) -> Result<Columns> {
        let of = |key: &u32| self.buffers.get(*key as usize).and_then(Option::as_ref);
        let lengths = keys.iter().map(|key| of(key).map_or(0, RecordBatch::num_rows)).collect::<Vec<_>>();
        let held = concat_batches(&self.schema, keys.iter().filter_map(of))?;
        let mut saved = Columns::default();
        saved.counts("rows", lengths.iter().map(|length| *length as u64));
        for (at, column) in held.columns().iter().enumerate() {
            saved.lists(format!("held{at}"), &lengths, Arc::clone(column))?;
        }
        Ok(saved)
    }

    fn load(&mut self, keys: &[u32], saved: &Saved<'_>) -> Result<()> {
        let rows = saved.counts("rows")?;
        let lists = (0..self.columns.len()).map(|at| saved.lists(&format!("held{at}"))).collect::<Result<Vec<_>>>()?;
        let values = lists.iter().map(|lists| Arc::clone(&lists.values)).collect();
        let total = rows.iter().try_fold(0_usize, |total, rows| total.checked_add(usize::try_from(*rows).ok()?));
        let held = total.and_then(|total| columns_of(&self.schema, values, total).ok());
        let held = held.ok_or_else(|| saved.damaged("what buffers hold has another form"))?;
        let most = keys.iter().max().map_or(0, |most| *most as usize + 1);
        self.buffers.resize(self.buffers.len().max(most), None);
        let mut from = 0;
        for (row, key) in keys.iter().enumerate() {
            // They are no more in all than there are rows.
            let length = rows[row] as usize;
            if lists.iter().any(|lists| lists.length(row) != length) {
                return Err(saved.damaged("what buffers hold has other lengths"));
            }
            if length > 0 {
                // A copy, so that one buffer does not keep those of all.
                let own = [&held.slice(0, 0), &held.slice(from, length)];
                self.buffers[*key as usize] = Some(concat_batches(&self.schema, own)?);
            }
            from += length;
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        self.buffers.iter().flatten().map(RecordBatch::get_array_memory_size).sum()
    }
}
