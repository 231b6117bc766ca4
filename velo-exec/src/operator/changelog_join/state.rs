//! What a join of changing inputs saves: the rows of both sides, each with how often it is there and how many partners it has.
//!
//! Of a side whose rows can be taken back all columns are saved, because a retraction names all of them; of another one those
//! that the join needs.

use std::sync::Arc;

use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array};
use velo_core::Batch;
use velo_core::batch::columns_of;

use super::{ChangelogJoin, Outbox};
use crate::checkpoint::sequence::{PIECE, SavedColumns, StateColumns};
use crate::checkpoint::state::damaged;
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;
use crate::join::{Held, JoinKeys, KEY, NO_KEY, Numbers, RowRef, SIDES};
use crate::state::{KeyTable, Ttl};

impl ChangelogJoin {
    pub(super) fn save_rows(&self, state: &mut StateWriter) -> Result<()> {
        for (side, table) in SIDES.into_iter().enumerate() {
            let own = &self.sides[side];
            for numbers in own.alive().chunks(PIECE) {
                let kept = own.kept(numbers)?;
                let whole = own.whole(numbers, &self.inputs[side], &kept, self.columns.places(side))?;
                let (keys, whole) = match whole {
                    Some(columns) => {
                        let batch = columns_of(&self.inputs[side], columns, numbers.len())?;
                        (self.keys.evaluate(side, &Batch::new(batch.clone()))?, Some(batch))
                    }
                    None => (self.known_keys(side, numbers)?, None),
                };
                let counts = |of: fn(&Held) -> i64| -> ArrayRef {
                    Arc::new(Int64Array::from_iter_values(numbers.iter().map(|number| of(own.get(*number)))))
                };
                let mut columns = StateColumns::new();
                columns.push_numbered(KEY, &keys);
                columns.push("_count", counts(|held| held.count));
                columns.push("_partners", counts(|held| held.matches));
                columns.push("_unknown", counts(|held| held.unknown));
                if let Some(ttl) = &own.ttl {
                    columns.push("_touched", Arc::new(ttl.saved(numbers)));
                }
                match &whole {
                    Some(whole) => columns.push_batch(whole),
                    None => columns.push_named(self.columns.names(side), &kept),
                }
                state.keyed(table, &self.others(&keys), &columns.finish(numbers.len())?)?;
            }
        }
        Ok(())
    }

    pub(super) fn load_rows(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        self.forwarded = state.watermark();
        for (side, table) in SIDES.into_iter().enumerate() {
            for batch in state.rows(table)? {
                self.load_side(side, SavedColumns::of(table, &batch))?;
            }
            if let Some(next) = self.sides[side].ttl.as_ref().and_then(Ttl::next) {
                out.timer_at(next);
            }
        }
        Ok(())
    }

    fn load_side(&mut self, side: usize, mut saved: SavedColumns<'_>) -> Result<()> {
        let rows = saved.rows();
        let keys = saved.columns(self.keys.types())?;
        let [counts, partners, unknown] =
            [saved.numbers::<Int64Type>()?, saved.numbers::<Int64Type>()?, saved.numbers::<Int64Type>()?];
        let touched = self.sides[side].ttl.is_some().then(|| saved.numbers::<Int64Type>()).transpose()?;
        let mut identities = Vec::new();
        let kept = if self.retracts[side] {
            let batch = Batch::new(saved.batch(&self.inputs[side])?);
            self.sides[side].identify(&batch, &mut identities)?;
            self.columns.keep(side, &batch)
        } else {
            saved.columns(self.columns.types(side))?
        };
        saved.end()?;
        let counted = |count: &i64| *count > 0 || (*count < 0 && self.retracts[side]);
        if !counts.values().iter().all(counted) {
            return Err(damaged(SIDES[side], "a row is there no time"));
        }
        let (mut of_keys, mut of_groups) = (Vec::new(), Vec::new());
        self.keys.number_columns(&keys, rows, &mut of_keys)?;
        let others = self.others(&keys);
        match &mut self.groups {
            Some(groups) => groups.number_columns(&others, rows, &mut of_groups)?,
            None => of_groups.resize(rows, NO_KEY),
        }
        let sizes = (self.keys.len(), self.groups.as_ref().map_or(0, JoinKeys::len));
        self.sides.iter_mut().for_each(|side| side.resize(sizes.0, sizes.1));
        identities.resize(rows, KeyTable::DEAD);
        let own = &mut self.sides[side];
        let chunk = own.rows.push(kept, vec![NO_KEY; rows]);
        let mut held = Vec::with_capacity(rows);
        for row in 0..rows {
            let numbers = Numbers { key: of_keys[row], group: of_groups[row], identity: identities[row] };
            if own.of_identity(numbers.identity).is_some() {
                return Err(damaged(SIDES[side], "a row is there twice"));
            }
            let number = own.insert(RowRef { chunk, row: row as u32 }, numbers, counts.value(row))?;
            let new = own.get_mut(number);
            (new.matches, new.unknown) = (partners.value(row), unknown.value(row));
            held.push(number);
        }
        if let (Some(ttl), Some(touched)) = (&mut own.ttl, touched) {
            ttl.restore(&held, touched);
        }
        Ok(())
    }

    /// The key columns of rows of which not all columns are known. A row that matches nothing has NULLs, but for the keys that
    /// tell where it may be a member.
    fn known_keys(&self, side: usize, numbers: &[u32]) -> Result<Vec<ArrayRef>> {
        let own = &self.sides[side];
        let ids = numbers.iter().map(|number| own.get(*number).key).collect::<Vec<_>>();
        let mut keys = self.keys.columns(&ids)?;
        if let (Some(groups), Some(member)) = (&self.groups, self.member) {
            let ids = numbers.iter().map(|number| own.get(*number).group).collect::<Vec<_>>();
            let others = groups.columns(&ids)?;
            for (key, other) in
                keys.iter_mut().enumerate().filter(|(at, _)| *at != member).map(|(_, key)| key).zip(others)
            {
                *key = other;
            }
        }
        Ok(keys)
    }

    /// The keys by which rows are exchanged: a member that is NULL meets rows with any value.
    fn others(&self, keys: &[ArrayRef]) -> Vec<ArrayRef> {
        let others = keys.iter().enumerate().filter(|(at, _)| Some(*at) != self.member);
        others.map(|(_, key)| Arc::clone(key)).collect()
    }
}
