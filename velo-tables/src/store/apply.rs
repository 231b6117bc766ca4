//! How changes go into a table: under a key a row replaces another, without one a retraction takes an equal row back.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::NullBuffer;
use velo_core::batch::Batch;
use velo_core::error::{ConnectorError, ErrorKind, Result};
use velo_core::lookup::TableRow;
use velo_core::row_kind::RowKind;
use velo_core::types::sql_name;

use crate::store::index::{CHUNK, failed, nulls_of};
use crate::store::ops::Ops;
use crate::store::state::State;
use crate::store::versions::Due;

/// What was counted while rows went in.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Plain inserts that replaced a row under the same key.
    pub(crate) replaced: u64,
    /// Retractions that found nothing.
    pub(crate) absent: u64,
}

/// What becomes of a saved row of a table that keeps its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restored {
    /// It is a delete.
    pub(crate) gone: bool,
    /// It is the row that stands under its key.
    pub(crate) stands: bool,
    /// It is a version of its key that was not forgotten.
    pub(crate) listed: bool,
}

/// Which of the hashes are there more than once: only their rows can meet another row of the same batch.
fn repeated(hashes: &[u64]) -> Vec<bool> {
    const FREE: u32 = u32::MAX;
    let mut repeated = vec![false; hashes.len()];
    let slots = (2 * hashes.len()).next_power_of_two();
    let mut first = vec![FREE; slots];
    for (row, hash) in hashes.iter().enumerate() {
        let mut at = *hash as usize % slots;
        loop {
            match first[at] {
                FREE => {
                    first[at] = row as u32;
                    break;
                }
                other if hashes[other as usize] == *hash => {
                    repeated[other as usize] = true;
                    repeated[row] = true;
                    break;
                }
                _ => at = (at + 1) % slots,
            }
        }
    }
    repeated
}

impl State {
    /// Takes the changes of a batch, and notes what they did.
    ///
    /// # Errors
    ///
    /// Where the batch has other columns, or a row has a NULL in a key that has none; nothing of the batch has gone in then.
    pub(crate) fn apply(&mut self, batch: &Batch, ops: &mut Ops, tally: &mut Tally, due: &mut Due) -> Result<()> {
        self.may_take(batch)?;
        if self.shape.key.is_empty() {
            return self.apply_without_key(batch, ops, tally);
        }
        let applied = match &batch.kinds {
            // The row that goes is known by its key.
            Some(kinds) if kinds.as_slice().contains(&RowKind::UpdateBefore) => {
                let stays = kinds.as_slice().iter().map(|kind| Some(*kind != RowKind::UpdateBefore));
                let mask: BooleanArray = stays.collect();
                let columns = arrow_select::filter::filter_record_batch(&batch.columns, &mask).map_err(failed)?;
                let kept = kinds.as_slice().iter().copied().filter(|kind| *kind != RowKind::UpdateBefore).collect();
                let origin = batch.origin.as_ref().map(|origin| origin.filter(&mask)).transpose().map_err(failed)?;
                &Batch { origin, ..Batch::changes(columns, kept) }
            }
            _ => batch,
        };
        self.apply_by_key(applied, None, ops, tally, due)
    }

    /// Takes saved rows of a table that keeps its versions.
    pub(crate) fn restore(&mut self, batch: &Batch, restored: &[Restored], due: &mut Due) -> Result<()> {
        self.check(batch)?;
        let (mut ops, mut tally) = (Ops::default(), Tally::default());
        self.apply_by_key(batch, Some(restored), &mut ops, &mut tally, due)
    }

    /// Refuses rows of other columns, and rows for which there is no position left.
    pub(crate) fn may_take(&self, batch: &Batch) -> Result<()> {
        self.check(batch)?;
        self.have_room(batch.rows())
    }

    fn check(&self, batch: &Batch) -> Result<()> {
        let (given, own) = (batch.columns.schema_ref(), &self.shape.schema);
        let name = &self.shape.name;
        let wrong = |message: String| Err(ConnectorError::new(ErrorKind::Configuration, "writing a table", message));
        if given.fields().len() != own.fields().len() {
            let (given, own) = (given.fields().len(), own.fields().len());
            return wrong(format!("rows of {given} columns for table `{name}`, which has {own}"));
        }
        for (given, own) in given.fields().iter().zip(own.fields()) {
            if given.data_type() != own.data_type() {
                let (given, column, own) = (sql_name(given.data_type()), own.name(), sql_name(own.data_type()));
                return wrong(format!("a {given} for column `{column}` of table `{name}`, which is {own}"));
            }
        }
        Ok(())
    }

    fn apply_by_key(
        &mut self,
        batch: &Batch,
        restored: Option<&[Restored]>,
        ops: &mut Ops,
        tally: &mut Tally,
        due: &mut Due,
    ) -> Result<()> {
        let rows = &batch.columns;
        let keys = Arc::clone(&self.indexes[0].keys);
        let (columns, nulls) = self.key_of(batch)?;
        let sought = keys.keys(&columns)?;
        let mut found = Vec::new();
        self.indexes[0].find_last(&self.segments, &sought, &mut found)?;
        let fresh = self.segments.end();
        self.segments.push(rows).map_err(failed)?;
        let mut removed = Vec::new();
        let repeated = repeated(&sought.hashes);
        for (row, hash) in sought.hashes.iter().enumerate() {
            if row % CHUNK == 0 {
                self.indexes[0].touch_to_change(&sought.hashes[row..sought.hashes.len().min(row + CHUNK)]);
            }
            let position = fresh + row as u64;
            let kind = match restored {
                None => batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[row]),
                Some(restored) if restored[row].stands => RowKind::Insert,
                Some(_) => {
                    self.dead.set(position);
                    continue;
                }
            };
            let found = found[row].is_some().then_some(found[row].0);
            let null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            let current = match repeated[row] {
                true => self.indexes[0].current(&self.segments, *hash, position, found, fresh)?,
                false => found,
            };
            match (kind.retracts(), current) {
                (false, Some(old)) => {
                    self.indexes[0].replace(*hash, old, position);
                    tally.replaced += u64::from(kind == RowKind::Insert);
                    ops.replaced(old, position);
                }
                (false, None) => {
                    self.indexes[0].insert_new(*hash, position);
                    self.indexes[0].nulls += u64::from(null);
                    self.rows += 1;
                    ops.added(position);
                }
                (true, Some(old)) => {
                    self.indexes[0].take(*hash, old);
                    self.indexes[0].nulls -= u64::from(null);
                    self.rows -= 1;
                    self.dead.set(position);
                    ops.removed(old, position);
                }
                (true, None) => {
                    tally.absent += 1;
                    self.dead.set(position);
                }
            }
            if let Some(old) = current {
                self.dead.set(old);
                if old < fresh {
                    removed.push(old);
                }
            }
        }
        if self.indexes.len() > 1 {
            let added: Vec<u64> = (fresh..self.segments.end()).filter(|position| !self.dead.has(*position)).collect();
            self.index(&added)?;
            self.unindex(&removed)?;
        }
        let Some(histories) = &mut self.histories else { return Ok(()) };
        let times = self.shape.event_time.and_then(|at| rows.column(at).as_any().downcast_ref());
        let Some(times): Option<&arrow_array::TimestampMicrosecondArray> = times else { return Ok(()) };
        for (row, hash) in sought.hashes.iter().enumerate() {
            let position = fresh + row as u64;
            let gone = match restored {
                None => batch.kinds.as_ref().is_some_and(|kinds| kinds.as_slice()[row].retracts()),
                Some(restored) if restored[row].listed => restored[row].gone,
                Some(_) => {
                    self.unlisted.set(position);
                    continue;
                }
            };
            let version = (times.value(row), gone);
            if let Some(replaced) = histories.insert(&self.segments, *hash, position, version, due)? {
                self.unlisted.set(replaced);
            }
        }
        Ok(())
    }

    /// The key's columns of rows, and which rows have a NULL there.
    ///
    /// # Errors
    ///
    /// Where one has, and the key may have none.
    pub(crate) fn key_of(&self, batch: &Batch) -> Result<(Vec<ArrayRef>, Option<NullBuffer>)> {
        let columns = self.indexes[0].keys.of(&batch.columns);
        let nulls = nulls_of(&columns);
        let null = nulls.as_ref().and_then(|nulls| (0..nulls.len()).find(|row| nulls.is_null(*row)));
        match null.filter(|_| !self.shape.null_keys) {
            Some(row) => Err(self.null_key(batch, &columns, row)),
            None => Ok((columns, nulls)),
        }
    }

    /// What is said of the first row with a NULL in the key.
    fn null_key(&self, batch: &Batch, columns: &[ArrayRef], row: usize) -> ConnectorError {
        let null = self.shape.key.iter().zip(columns).find(|(_, column)| column.is_null(row));
        let column = null.map_or("", |(at, _)| self.shape.schema.field(*at).name());
        let name = &self.shape.name;
        let message = format!("a row for table `{name}` has NULL in column `{column}` of its primary key");
        let error = ConnectorError::new(ErrorKind::Decode, "writing a table", message)
            .advise(format!("filter such rows (WHERE {column} IS NOT NULL), or choose another key"));
        match &batch.origin {
            Some(origin) => error.at(origin.place(row)),
            None => error,
        }
    }

    fn apply_without_key(&mut self, batch: &Batch, ops: &mut Ops, tally: &mut Tally) -> Result<()> {
        let fresh = self.segments.end();
        let rows = batch.rows() as u64;
        let Some(kinds) = batch.kinds.as_ref().filter(|kinds| kinds.as_slice().iter().any(|kind| kind.retracts()))
        else {
            self.segments.push(&batch.columns).map_err(failed)?;
            let added: Vec<u64> = (fresh..fresh + rows).collect();
            self.index(&added)?;
            self.rows += rows;
            ops.added_all(fresh, fresh + rows);
            return Ok(());
        };
        self.need_whole()?;
        self.segments.push(&batch.columns).map_err(failed)?;
        let visible = self.shape.whole.of(&batch.columns);
        let sought = self.shape.whole.keys(&visible)?;
        let Some(mut whole) = self.whole.take() else { return Ok(()) };
        whole.touch(&sought.hashes);
        let mut removed = Vec::new();
        // What the `-U` before this row took.
        let mut before = None;
        for (row, (hash, kind)) in sought.hashes.iter().zip(kinds.as_slice()).enumerate() {
            let position = fresh + row as u64;
            if !kind.retracts() {
                whole.insert(&self.segments, *hash, position)?;
                self.rows += 1;
                match before.take() {
                    Some(old) if *kind == RowKind::UpdateAfter => ops.replaced(old, position),
                    Some(old) => {
                        ops.removed(old, TableRow::NONE.0);
                        ops.added(position);
                    }
                    None => ops.added(position),
                }
                continue;
            }
            if let Some(old) = before.take() {
                ops.removed(old, TableRow::NONE.0);
            }
            self.dead.set(position);
            let Some(old) = whole.first_same(&self.segments, *hash, (&self.segments, position))? else {
                tally.absent += 1;
                continue;
            };
            whole.remove(&self.segments, *hash, old)?;
            self.dead.set(old);
            self.rows -= 1;
            if old < fresh {
                removed.push(old);
            }
            match kind {
                RowKind::UpdateBefore => before = Some(old),
                _ => ops.removed(old, position),
            }
        }
        if let Some(old) = before {
            ops.removed(old, TableRow::NONE.0);
        }
        // The index by all columns has seen them already.
        let added: Vec<u64> = (fresh..fresh + rows).filter(|position| !self.dead.has(*position)).collect();
        self.index(&added)?;
        self.unindex(&removed)?;
        self.whole = Some(whole);
        Ok(())
    }

    /// Takes these rows away, which stand. They were not there when the table was loaded again.
    pub(crate) fn take_away(&mut self, positions: &[u64], ops: &mut Ops) -> Result<()> {
        self.unindex(positions)?;
        for position in positions {
            self.dead.set(*position);
            self.rows -= 1;
            ops.removed(*position, TableRow::NONE.0);
        }
        Ok(())
    }
}
