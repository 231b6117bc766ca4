//! The latest row under each key of a sink, where rows of several keys of the query meet under one of the sink's.
//!
//! All rows that are there lie under their key in the order in which they came. The last one shows; when it goes, the one below
//! is uncovered. So changes of different rows may come in any order, and the sink never loses a row that is still there.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::{Batch, RowKind, RowKinds, Watermark, schema};
use velo_plan::plan::StateTtl;

use super::row_table::RowTable;
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::beside::{PIECE, apart, numbers, pieces, with_beside};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::state::{KeyTable, Ttl, is_sparse, keep};

/// The table of the rows that are there, in the order in which they lie under their keys.
const ROWS: &str = "rows";
/// The table of keys, with when each was touched last; where keys are forgotten.
const KEYS: &str = "keys";

/// Rows under the keys of a sink.
pub struct LatestByKey {
    key: Vec<usize>,
    key_schema: SchemaRef,
    keys: KeyTable,
    /// By key: the rows that are there, the one that shows last.
    under: Vec<Vec<u32>>,
    rows: RowTable,
    /// By row: how often it is there.
    counts: Vec<u32>,
    /// Rows that are there.
    alive: usize,
    /// Keys under which a row is.
    used: usize,
    /// Which keys are forgotten, with what lies under them.
    ttl: Option<Ttl>,
    ids: Vec<u32>,
    key_ids: Vec<u32>,
}

impl LatestByKey {
    /// The operator over rows of `schema`, by the columns of `key`; `ttl` says when those of a key are forgotten.
    pub fn new(key: &[String], ttl: Option<StateTtl>, schema: SchemaRef) -> Result<Self> {
        let visible = schema::visible(&schema);
        let place = |name: &String| {
            visible.index_of(name).map_err(|_| ExecError::Internal(format!("a key without its column '{name}'")))
        };
        let key = key.iter().map(place).collect::<Result<Vec<_>>>()?;
        let key_types: Vec<_> = key.iter().map(|at| visible.field(*at).data_type().clone()).collect();
        Ok(Self {
            key_schema: Arc::new(visible.project(&key)?),
            keys: KeyTable::new(&key_types)?,
            key,
            under: Vec::new(),
            rows: RowTable::new(schema)?,
            counts: Vec::new(),
            alive: 0,
            used: 0,
            ttl: ttl.map(Ttl::new),
            ids: Vec::new(),
            key_ids: Vec::new(),
        })
    }

    /// The columns of the key.
    fn key_of(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.key.iter().map(|at| Arc::clone(rows.column(*at))).collect()
    }

    fn apply(&mut self, key: u32, row: u32, taken: bool) {
        let (under, count) = (&mut self.under[key as usize], &mut self.counts[row as usize]);
        let was_used = !under.is_empty();
        if !taken {
            under.push(row);
            self.alive += usize::from(*count == 0);
            *count += 1;
        } else if let Some(at) = under.iter().rposition(|known| *known == row) {
            // A row that never came cannot go, and is no mistake of this sink.
            under.remove(at);
            *count -= 1;
            self.alive -= usize::from(*count == 0);
        }
        self.used = self.used + usize::from(!under.is_empty()) - usize::from(was_used);
    }

    /// Nothing is left under a key; what shows of it stays.
    fn forget(&mut self, key: u32) {
        let under = std::mem::take(&mut self.under[key as usize]);
        self.used -= usize::from(!under.is_empty());
        for row in under {
            let count = &mut self.counts[row as usize];
            *count -= 1;
            self.alive -= usize::from(*count == 0);
        }
        if let Some(ttl) = &mut self.ttl {
            ttl.forget(key);
        }
    }

    /// A row of this time comes to a key, which begins anew if it is over.
    fn touch(&mut self, key: u32, time: i64) {
        if self.ttl.as_ref().is_some_and(|ttl| ttl.is_over(key, time)) {
            self.forget(key);
        }
        if let Some(ttl) = &mut self.ttl {
            ttl.touch(key, time);
        }
    }

    /// Forgets the keys whose time is over at `time`, and asks to be called when the next could be.
    fn expire(&mut self, time: i64, out: &mut Outbox) {
        out.expired(&mut self.ttl, time).into_iter().for_each(|key| self.forget(key));
        self.compact();
    }

    fn changes(&mut self, batch: &Batch, now: i64) -> (Vec<RowKind>, Vec<u32>) {
        let kinds = batch.kinds.as_ref().map(RowKinds::as_slice);
        let kind = |row: usize| kinds.map_or(RowKind::Insert, |kinds| kinds[row]);
        let (mut out_kinds, mut out_rows) = (Vec::new(), Vec::new());
        let times = self.ttl.as_ref().map(|ttl| ttl.times(batch, now));
        let (ids, key_ids) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.key_ids));
        let mut row = 0;
        while row < ids.len() {
            let key = key_ids[row];
            // Both halves of an update that stays under its key are one change.
            let pair = kind(row) == RowKind::UpdateBefore && key_ids.get(row + 1) == Some(&key);
            if let Some(times) = &times {
                self.touch(key, times(row + usize::from(pair)));
            }
            let before = self.under[key as usize].last().copied();
            self.apply(key, ids[row], kind(row).retracts());
            row += 1;
            if pair {
                self.apply(key, ids[row], false);
                row += 1;
            }
            let mut tell = |kind: RowKind, row: u32| {
                out_kinds.push(kind);
                out_rows.push(row);
            };
            match (before, self.under[key as usize].last().copied()) {
                (None, Some(after)) => tell(RowKind::Insert, after),
                (Some(before), None) => tell(RowKind::Delete, before),
                (Some(before), Some(after)) if before != after => {
                    tell(RowKind::UpdateBefore, before);
                    tell(RowKind::UpdateAfter, after);
                }
                _ => {}
            }
        }
        (self.ids, self.key_ids) = (ids, key_ids);
        (out_kinds, out_rows)
    }

    /// Forgets rows that are gone, once they are many.
    fn compact(&mut self) {
        if is_sparse(self.used, self.keys.len()) {
            let stays: Vec<bool> = self.under.iter().map(|rows| !rows.is_empty()).collect();
            let numbers = self.keys.retain(&stays);
            self.under.retain(|rows| !rows.is_empty());
            if let Some(ttl) = &mut self.ttl {
                ttl.renumber(&numbers);
            }
        }
        if !is_sparse(self.alive, self.counts.len()) {
            return;
        }
        let stays: Vec<bool> = self.counts.iter().map(|count| *count > 0).collect();
        let new = self.rows.retain(&stays);
        // Every row under a key is there, so it has a new number.
        self.under.iter_mut().flatten().for_each(|row| *row = new[*row as usize]);
        keep(&mut self.counts, &stays);
    }
}

impl Operator for LatestByKey {
    fn memory(&self) -> usize {
        let under: usize = self.under.iter().map(|rows| rows.capacity() * size_of::<u32>()).sum();
        let ttl = self.ttl.as_ref().map_or(0, Ttl::memory);
        self.keys.memory() + self.rows.memory() + under + self.counts.capacity() * size_of::<u32>() + ttl
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        self.rows.intern(&batch, &mut self.ids)?;
        self.keys.intern(&self.key_of(&batch.columns), batch.rows(), &mut self.key_ids)?;
        self.counts.resize(self.rows.len(), 0);
        self.under.resize_with(self.keys.len(), Vec::new);
        let (kinds, rows) = self.changes(&batch, out.now());
        if !rows.is_empty() {
            out.batch(Batch::changes(self.rows.rows(&rows)?, kinds));
        }
        match self.ttl.as_ref().and_then(|ttl| ttl.clock(out.now())) {
            Some(now) => self.expire(now, out),
            None => self.compact(),
        }
        Ok(Flow::Done)
    }

    /// Keys whose time is over by the clock go, also while no rows come.
    fn on_timer(&mut self, now: i64, out: &mut Outbox) -> Result<Flow> {
        self.expire(now, out);
        Ok(Flow::Done)
    }

    /// A row that is uncovered carries a time that may lie behind, so nothing is forwarded but the end.
    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        if watermark == Watermark::END {
            out.watermark(watermark);
        } else if let Some(time) = self.ttl.as_ref().and_then(|ttl| ttl.watermark(watermark)) {
            self.expire(time, out);
        }
        Ok(Flow::Done)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        let under = self.under.iter().flatten().copied().collect::<Vec<_>>();
        for rows in under.chunks(PIECE) {
            let rows = self.rows.rows(rows)?;
            state.keyed(ROWS, &self.key_of(&rows), &rows)?;
        }
        let Some(ttl) = &self.ttl else { return Ok(()) };
        for ids in pieces(self.keys.len()) {
            let keys = columns_of(&self.key_schema, self.keys.keys(&ids)?, ids.len())?;
            let saved = with_beside(&keys, [("_touched", Arc::new(ttl.saved(&ids)) as _)])?;
            state.keyed(KEYS, keys.columns(), &saved)?;
        }
        Ok(())
    }

    fn load(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        for saved in state.rows(ROWS)? {
            let (rows, []) = apart(ROWS, &saved, self.rows.schema())?;
            let (keys, rows) = (self.key_of(&rows), Batch::new(rows));
            self.rows.intern(&rows, &mut self.ids)?;
            self.keys.intern(&keys, rows.rows(), &mut self.key_ids)?;
            self.counts.resize(self.rows.len(), 0);
            self.under.resize_with(self.keys.len(), Vec::new);
            let (ids, key_ids) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.key_ids));
            ids.iter().zip(&key_ids).for_each(|(row, key)| self.apply(*key, *row, false));
            (self.ids, self.key_ids) = (ids, key_ids);
        }
        for saved in state.rows(KEYS)? {
            let (keys, [touched]) = apart(KEYS, &saved, &self.key_schema)?;
            self.keys.intern(keys.columns(), keys.num_rows(), &mut self.key_ids)?;
            self.under.resize_with(self.keys.len(), Vec::new);
            if let Some(ttl) = &mut self.ttl {
                ttl.restore_all(&self.key_ids, numbers(KEYS, touched)?);
            }
        }
        self.ttl.as_ref().and_then(Ttl::next).into_iter().for_each(|next| out.timer_at(next));
        Ok(())
    }
}
