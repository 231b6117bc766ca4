//! What became of rows of a changing left side: whether they wait, and what was shown of them, until the watermark says that
//! they cannot be taken back any more.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, SchemaRef};
use velo_core::batch::columns_of;
use velo_core::{Batch, RowKind};

use super::kept::{KeptRows, RowRef};
use crate::error::Result;
use crate::state::{KeyTable, is_sparse, keep};

/// Rows by their values and event time.
#[derive(Debug)]
pub(crate) struct ShownRows {
    schema: SchemaRef,
    table: KeyTable,
    fates: Vec<Fate>,
    alive: usize,
    /// By event time: rows that can be taken back.
    open: BinaryHeap<Reverse<(i64, u32)>>,
    /// What was shown.
    rows: KeptRows,
}

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
        Ok(Self { schema, table: KeyTable::new(&types)?, fates, alive: 0, open, rows: KeptRows::new(shown, None) })
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
