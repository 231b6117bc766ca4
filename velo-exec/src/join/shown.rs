//! What became of rows of a changing left side: whether they wait, and what was shown of them, until the watermark says that
//! they cannot be taken back any more.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use std::sync::Arc;

use arrow_array::types::UInt64Type;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::filter::filter;
use velo_core::batch::columns_of;
use velo_core::{Batch, RowKind};

use super::kept::{KeptRows, RowRef};
use crate::checkpoint::sequence::{PIECE, SavedColumns, StateColumns};
use crate::checkpoint::state::damaged;
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::state::{KeyTable, is_sparse, keep};

/// Rows by their values and event time.
#[derive(Debug)]
pub(crate) struct ShownRows {
    input: SchemaRef,
    schema: SchemaRef,
    table: KeyTable,
    fates: Vec<Fate>,
    alive: usize,
    /// By event time: rows that can be taken back.
    open: BinaryHeap<Reverse<(i64, u32)>>,
    /// What was shown.
    rows: KeptRows,
}

/// The state tables of rows that can be taken back or wait, and of what was shown of them.
const FATES: &str = "left_fates";
const SHOWN: &str = "left_shown";

/// What became of a row that may have come several times.
#[derive(Debug, Default)]
struct Fate {
    /// How often it waits, and how often it was taken back before it was decided.
    waits: u64,
    cancelled: u64,
    /// What was shown each time, or nothing.
    shown: Vec<RowRef>,
    /// Whether it can be taken back.
    open: bool,
}

impl Fate {
    fn is_alive(&self) -> bool {
        self.open || self.waits > 0
    }
}

impl ShownRows {
    /// No rows yet of an input of these columns; what is shown of them has those of `schema`.
    pub(crate) fn new(input: &SchemaRef, schema: SchemaRef) -> Result<Self> {
        let types = input.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        let shown: Vec<DataType> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let (fates, open) = (Vec::new(), BinaryHeap::new());
        let (input, table) = (Arc::clone(input), KeyTable::new(&types)?);
        Ok(Self { input, schema, table, fates, alive: 0, open, rows: KeptRows::new(shown, None) })
    }

    /// The number of each row of a batch, into `ids`.
    pub(crate) fn number(&mut self, batch: &Batch, times: &[i64], ids: &mut Vec<u32>) -> Result<()> {
        self.table.intern(batch.columns.columns(), batch.rows(), ids)?;
        self.fates.resize_with(self.table.len(), Fate::default);
        for (id, time) in ids.iter().zip(times) {
            let fate = &mut self.fates[*id as usize];
            self.alive += usize::from(!fate.is_alive());
            if !std::mem::replace(&mut fate.open, true) {
                self.open.push(Reverse((*time, *id)));
            }
        }
        Ok(())
    }

    /// A row waits from now on.
    pub(crate) fn waits(&mut self, id: u32) {
        self.fates[id as usize].waits += 1;
    }

    /// A row is taken back. What was shown of it and has to be taken back too.
    pub(crate) fn take_back(&mut self, id: u32) -> Option<RowRef> {
        let fate = &mut self.fates[id as usize];
        if fate.waits > fate.cancelled {
            fate.cancelled += 1;
            return None;
        }
        match fate.shown.pop() {
            Some(shown) => Some(shown).filter(|shown| *shown != RowRef::NONE),
            None => {
                // It was taken before it came.
                fate.cancelled += 1;
                None
            }
        }
    }

    /// A row waits no more; whether it is shown, and not taken back before.
    pub(crate) fn decide(&mut self, id: u32) -> bool {
        let fate = &mut self.fates[id as usize];
        fate.waits -= 1;
        self.alive -= usize::from(!fate.is_alive());
        if fate.cancelled > 0 {
            fate.cancelled -= 1;
            return false;
        }
        true
    }

    /// Rows were shown.
    pub(crate) fn shown(&mut self, ids: &[u32], columns: Vec<ArrayRef>) {
        if ids.is_empty() {
            return;
        }
        let chunk = self.rows.push(columns, ids.to_vec());
        for (row, id) in ids.iter().enumerate() {
            let (fate, row) = (&mut self.fates[*id as usize], RowRef { chunk, row: row as u32 });
            if fate.open {
                fate.shown.push(row);
            } else {
                self.rows.release(row);
            }
        }
    }

    /// Nothing came out of a row.
    pub(crate) fn left_out(&mut self, id: u32) {
        let fate = &mut self.fates[id as usize];
        if fate.open {
            fate.shown.push(RowRef::NONE);
        }
    }

    /// What was shown is taken back.
    pub(crate) fn deletes(&mut self, rows: &[RowRef]) -> Result<Batch> {
        let picked = self.rows.pick(rows.iter().copied());
        let columns = (0..self.schema.fields().len()).map(|at| self.rows.column(&picked, at));
        let columns = columns_of(&self.schema, columns.collect::<Result<_>>()?, rows.len())?;
        rows.iter().for_each(|row| self.rows.release(*row));
        Ok(Batch::changes(columns, vec![RowKind::Delete; rows.len()]))
    }

    /// Rows behind the watermark cannot be taken back any more. The new numbers of rows, where they are others now.
    pub(crate) fn pass(&mut self, watermark: i64) -> Result<Option<Vec<u32>>> {
        while let Some(Reverse((time, id))) = self.open.peek().copied()
            && time < watermark
        {
            self.open.pop();
            let fate = &mut self.fates[id as usize];
            fate.open = false;
            for row in std::mem::take(&mut fate.shown) {
                self.rows.release(row);
            }
            self.alive -= usize::from(!fate.is_alive());
        }
        self.rows.collect();
        if self.rows.is_scattered() {
            let fates = &mut self.fates;
            self.rows.compact(|moved| {
                let shown = &mut fates[moved.owner as usize].shown;
                if let Some(row) = shown.iter_mut().find(|row| **row == moved.from) {
                    *row = moved.to;
                }
            })?;
        }
        if !is_sparse(self.alive, self.fates.len()) {
            return Ok(None);
        }
        let stays = self.fates.iter().map(Fate::is_alive).collect::<Vec<_>>();
        let numbers = self.table.retain(&stays);
        keep(&mut self.fates, &stays);
        let open = std::mem::take(&mut self.open).into_iter();
        self.open = open.map(|Reverse((time, id))| Reverse((time, numbers[id as usize]))).collect();
        self.rows.owners_mut().for_each(|(_, owner)| *owner = numbers[*owner as usize]);
        Ok(Some(numbers))
    }

    /// All columns of the rows with these numbers.
    pub(crate) fn whole(&self, ids: &[u32]) -> Result<RecordBatch> {
        Ok(columns_of(&self.input, self.table.keys(ids)?, ids.len())?)
    }

    /// The numbers of rows that wait.
    pub(crate) fn number_waiting(&mut self, batch: &RecordBatch, ids: &mut Vec<u32>) -> Result<()> {
        self.table.intern(batch.columns(), batch.num_rows(), ids)?;
        self.fates.resize_with(self.table.len(), Fate::default);
        for id in ids.iter() {
            self.alive += usize::from(!self.fates[*id as usize].is_alive());
            self.waits(*id);
        }
        Ok(())
    }

    /// Saves what became of rows, but for how often they wait: whoever has those that do saves them. `keys` gives the columns by
    /// which rows are exchanged.
    pub(crate) fn save(
        &self,
        state: &mut StateWriter,
        keys: impl Fn(&RecordBatch) -> Result<Vec<ArrayRef>>,
    ) -> Result<()> {
        let alive = |id: &u32| self.fates[*id as usize].is_alive();
        let alive = (0..self.fates.len() as u32).filter(alive).collect::<Vec<_>>();
        for ids in alive.chunks(PIECE) {
            let fates = || ids.iter().map(|id| &self.fates[*id as usize]);
            let whole = self.whole(ids)?;
            let mut columns = StateColumns::new();
            columns.push("_cancelled", Arc::new(UInt64Array::from_iter_values(fates().map(|fate| fate.cancelled))));
            columns.push("_open", Arc::new(fates().map(|fate| Some(fate.open)).collect::<BooleanArray>()));
            columns.push_batch(&whole);
            state.keyed(FATES, &keys(&whole)?, &columns.finish(ids.len())?)?;
        }
        let shown = alive.iter().flat_map(|id| self.fates[*id as usize].shown.iter().map(move |row| (*id, *row)));
        let (ids, rows): (Vec<u32>, Vec<RowRef>) = shown.unzip();
        for (ids, rows) in ids.chunks(PIECE).zip(rows.chunks(PIECE)) {
            let whole = self.whole(ids)?;
            let mut columns = StateColumns::new();
            let came_out = rows.iter().map(|row| Some(*row != RowRef::NONE)).collect::<BooleanArray>();
            columns.push("_came_out", Arc::new(came_out));
            columns.push_batch(&whole);
            for (field, column) in self.schema.fields().iter().zip(self.rows.columns(rows)?) {
                columns.push(format!("_shown_{}", field.name()), column);
            }
            state.keyed(SHOWN, &keys(&whole)?, &columns.finish(ids.len())?)?;
        }
        Ok(())
    }

    /// Takes up what [`Self::save`] saved. `times` gives the event times of rows.
    pub(crate) fn load(
        &mut self,
        state: &mut StateReader,
        times: impl Fn(&RecordBatch) -> Result<Vec<i64>>,
    ) -> Result<()> {
        let mut ids = Vec::new();
        for batch in state.rows(FATES)? {
            let mut saved = SavedColumns::of(FATES, &batch);
            let (cancelled, open) = (saved.numbers::<UInt64Type>()?, saved.flags()?);
            let whole = saved.batch(&self.input)?;
            saved.end()?;
            self.table.intern(whole.columns(), whole.num_rows(), &mut ids)?;
            self.fates.resize_with(self.table.len(), Fate::default);
            for (row, (id, time)) in ids.iter().zip(times(&whole)?).enumerate() {
                let fate = &mut self.fates[*id as usize];
                fate.cancelled = cancelled.value(row);
                if open.value(row) && !std::mem::replace(&mut fate.open, true) {
                    self.alive += 1;
                    self.open.push(Reverse((time, *id)));
                }
            }
        }
        let types = self.schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        for batch in state.rows(SHOWN)? {
            let mut saved = SavedColumns::of(SHOWN, &batch);
            let came_out = saved.flags()?;
            let whole = saved.batch(&self.input)?;
            let shown = saved.columns(&types)?;
            saved.end()?;
            self.table.intern(whole.columns(), whole.num_rows(), &mut ids)?;
            if ids.iter().any(|id| !self.fates.get(*id as usize).is_some_and(|fate| fate.open)) {
                return Err(damaged(SHOWN, "what was shown is of no row that can be taken back"));
            }
            let shown = shown.iter().map(|column| filter(column, came_out)).collect::<Result<Vec<_>, _>>()?;
            let some = ids.iter().zip(came_out.values()).filter(|(_, came_out)| *came_out).map(|(id, _)| *id);
            let chunk = self.rows.push(shown, some.collect());
            let mut next = 0;
            for (row, id) in ids.iter().enumerate() {
                let shown = &mut self.fates[*id as usize].shown;
                if came_out.value(row) {
                    shown.push(RowRef { chunk, row: next });
                    next += 1;
                } else {
                    shown.push(RowRef::NONE);
                }
            }
        }
        Ok(())
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.table.memory()
            + self.rows.memory()
            + self
                .fates
                .iter()
                .map(|fate| size_of::<Fate>() + fate.shown.capacity() * size_of::<RowRef>())
                .sum::<usize>()
    }
}
