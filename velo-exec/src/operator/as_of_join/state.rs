//! What an ASOF join saves: the left rows that wait, the right rows that one can need, and what was shown of left rows that can
//! be taken back.
//!
//! What a waiting row looks at next is not saved: the same right rows and the same watermark say it again. Of a side whose rows
//! can be taken back all columns are saved, because a retraction names all of them.

use std::sync::Arc;

use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};
use velo_core::Batch;
use velo_core::batch::columns_of;

use super::{AsOfJoin, NO_ROW, OfKey, by_values};
use crate::checkpoint::sequence::{PIECE, SavedColumns, StateColumns};
use crate::checkpoint::state::damaged;
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::join::{KEY, LEFT, NO_KEY, RIGHT, RowRef, SIDES, Version, load_watermarks, save_watermarks};
use crate::operator::grouping::times_of;

impl AsOfJoin {
    pub(super) fn save_rows(&self, state: &mut StateWriter) -> Result<()> {
        save_watermarks(state, self.watermarks)?;
        self.late.counters.save(state)?;
        if let Some(counters) = self.results.counters() {
            counters.save(state)?;
        }
        self.save_left(state)?;
        self.save_right(state)
    }

    fn save_left(&self, state: &mut StateWriter) -> Result<()> {
        let table = SIDES[LEFT];
        let keys = |whole: &RecordBatch| self.keys.evaluate(LEFT, &Batch::new(whole.clone()));
        for rows in self.left.rows.live().chunks(PIECE) {
            let kept = self.left.rows.columns(rows)?;
            let waiting = rows.iter().map(|row| &self.waiting[self.left.rows.owner(*row) as usize]);
            let mut columns = StateColumns::new();
            let keys = match &self.shown {
                Some(shown) => {
                    let whole = shown.whole(&waiting.map(|waiting| waiting.id).collect::<Vec<_>>())?;
                    let whole = self.with_kept(LEFT, whole.columns().to_vec(), &kept)?;
                    columns.push_batch(&whole);
                    keys(&whole)?
                }
                None => {
                    let keys = self.keys.columns(&waiting.map(|waiting| waiting.key).collect::<Vec<_>>())?;
                    columns.push_numbered(KEY, &keys);
                    columns.push_named(self.results.columns.names(LEFT), &kept);
                    keys
                }
            };
            state.keyed(table, &keys, &columns.finish(rows.len())?)?;
        }
        self.shown.as_ref().map_or(Ok(()), |shown| shown.save(state, keys))
    }

    fn save_right(&self, state: &mut StateWriter) -> Result<()> {
        let all = self.by_key.iter().enumerate();
        let all = all.flat_map(|(key, of_key)| of_key.versions.all().iter().map(move |version| (key as u32, version)));
        let (keys, versions): (Vec<u32>, Vec<&Version>) = all.unzip();
        for (keys, versions) in keys.chunks(PIECE).zip(versions.chunks(PIECE)) {
            let mut kept = self.right.rows.columns(&versions.iter().map(|version| version.row).collect::<Vec<_>>())?;
            // The order of the values stands before the event time.
            let order = kept.remove(kept.len().saturating_sub(2));
            let keys = self.keys.columns(keys)?;
            let mut columns = StateColumns::new();
            columns.push_numbered(KEY, &keys);
            let numbers = |of: fn(&Version) -> u64| -> ArrayRef {
                Arc::new(UInt64Array::from_iter_values(versions.iter().map(|version| of(version))))
            };
            columns.push("_partition", numbers(|version| version.place.0));
            columns.push("_position", numbers(|version| version.place.1));
            columns.push("_order", order);
            let until = versions.iter().map(|version| version.until);
            columns.push("_until", Arc::new(Int64Array::from_iter_values(until)));
            match &self.identities {
                Some(identities) => {
                    let ids = versions.iter().map(|version| version.identity).collect::<Vec<_>>();
                    let mut whole = identities.keys(&ids)?;
                    whole.extend(kept.last().map(Arc::clone));
                    columns.push_batch(&self.with_kept(RIGHT, whole, &kept)?);
                }
                None => columns.push_named(self.results.columns.names(RIGHT), &kept),
            }
            state.keyed(SIDES[RIGHT], &keys, &columns.finish(versions.len())?)?;
        }
        Ok(())
    }

    /// All columns of rows of a side, with those that are kept as they came: the others are equal to them, and stand for them
    /// where they are only compared.
    fn with_kept(&self, side: usize, mut whole: Vec<ArrayRef>, kept: &[ArrayRef]) -> Result<RecordBatch> {
        for (place, column) in self.results.columns.places(side).iter().zip(kept) {
            whole[*place] = Arc::clone(column);
        }
        let rows = kept.first().map_or(0, |column| column.len());
        Ok(columns_of(&self.inputs[side], whole, rows)?)
    }

    pub(super) fn load_rows(&mut self, state: &mut StateReader) -> Result<()> {
        let reached = state.reached();
        (self.merged, self.forwarded) = (reached.told, reached.sent);
        self.watermarks = load_watermarks(state)?;
        self.late.counters.load(state)?;
        if let Some(counters) = self.results.counters() {
            counters.load(state)?;
        }
        if let Some(shown) = &mut self.shown {
            shown.load(state, |whole| Ok(times_of(&Batch::new(whole.clone()))?.to_vec()))?;
        }
        for batch in state.rows(SIDES[LEFT])? {
            self.load_left(SavedColumns::of(SIDES[LEFT], &batch))?;
        }
        for batch in state.rows(SIDES[RIGHT])? {
            self.load_right(SavedColumns::of(SIDES[RIGHT], &batch))?;
        }
        Ok(())
    }

    fn load_left(&mut self, mut saved: SavedColumns<'_>) -> Result<()> {
        let rows = saved.rows();
        let (mut keys, mut ids) = (Vec::new(), vec![NO_ROW; rows]);
        let kept = match &mut self.shown {
            Some(shown) => {
                let batch = Batch::new(saved.batch(&self.inputs[LEFT])?);
                shown.number_waiting(&batch.columns, &mut ids)?;
                self.keys.number(LEFT, &batch, &mut keys)?;
                self.results.columns.keep(LEFT, &batch)
            }
            None => {
                let of_keys = saved.columns(self.keys.types())?;
                self.keys.number_columns(&of_keys, rows, &mut keys)?;
                saved.columns(self.results.columns.types(LEFT))?
            }
        };
        saved.end()?;
        self.by_key.resize_with(self.keys.len(), OfKey::default);
        let chunk = self.left.push(kept, vec![NO_KEY; rows]);
        for row in 0..rows {
            let at = RowRef { chunk, row: row as u32 };
            self.wait(at, self.left.rows.time(at), keys[row], ids[row]);
        }
        Ok(())
    }

    fn load_right(&mut self, mut saved: SavedColumns<'_>) -> Result<()> {
        let rows = saved.rows();
        let of_keys = saved.columns(self.keys.types())?;
        let [partitions, positions] = [saved.numbers::<UInt64Type>()?, saved.numbers::<UInt64Type>()?];
        let order = saved.columns(&[arrow_schema::DataType::Binary])?;
        let until = saved.numbers::<Int64Type>()?;
        let mut identities = vec![NO_ROW; rows];
        let mut kept = match &mut self.identities {
            Some(table) => {
                let batch = Batch::new(saved.batch(&self.inputs[RIGHT])?);
                let visible = batch.columns.num_columns() - 1;
                table.intern(&batch.columns.columns()[..visible], rows, &mut identities)?;
                self.results.columns.keep(RIGHT, &batch)
            }
            None => saved.columns(self.results.columns.types(RIGHT))?,
        };
        saved.end()?;
        kept.splice(kept.len() - 1..kept.len() - 1, order);
        let mut keys = Vec::new();
        self.keys.number_columns(&of_keys, rows, &mut keys)?;
        if keys.contains(&NO_KEY) {
            return Err(damaged(SIDES[RIGHT], "a row has no key"));
        }
        self.by_key.resize_with(self.keys.len(), OfKey::default);
        let chunk = self.right.push(kept, keys.clone());
        for row in 0..rows {
            let at = RowRef { chunk, row: row as u32 };
            let version = Version {
                time: self.right.rows.time(at),
                place: (partitions.value(row), positions.value(row)),
                row: at,
                until: until.value(row),
                identity: identities[row],
            };
            let kept = &self.right.rows;
            self.by_key[keys[row] as usize].versions.insert(version, |left, right| by_values(kept, left, right));
            self.versions += 1;
        }
        Ok(())
    }
}
