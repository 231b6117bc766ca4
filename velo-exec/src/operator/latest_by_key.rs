//! The latest row under each key of a sink, where rows of several keys of the query meet under one of the sink's.
//!
//! All rows that are there lie under their key in the order in which they came. The last one shows; when it goes, the one below
//! is uncovered. So changes of different rows may come in any order, and the sink never loses a row that is still there.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use velo_core::{Batch, RowKind, RowKinds, schema};

use super::row_table::RowTable;
use super::{Flow, InputId, Operator, Outbox};
use crate::error::{ExecError, Result};
use crate::state::{KeyTable, is_sparse, keep};

/// Rows under the keys of a sink.
pub struct LatestByKey {
    key: Vec<usize>,
    keys: KeyTable,
    /// By key: the rows that are there, the one that shows last.
    under: Vec<Vec<u32>>,
    rows: RowTable,
    /// By row: how often it is there.
    counts: Vec<u32>,
    /// Rows that are there.
    alive: usize,
    ids: Vec<u32>,
    key_ids: Vec<u32>,
}

impl LatestByKey {
    /// The operator over rows of `schema`, by the columns of `key`.
    pub fn new(key: &[String], schema: SchemaRef) -> Result<Self> {
        let visible = schema::visible(&schema);
        let place = |name: &String| {
            visible.index_of(name).map_err(|_| ExecError::Internal(format!("a key without its column '{name}'")))
        };
        let key = key.iter().map(place).collect::<Result<Vec<_>>>()?;
        let key_types: Vec<_> = key.iter().map(|at| visible.field(*at).data_type().clone()).collect();
        Ok(Self {
            keys: KeyTable::new(&key_types)?,
            key,
            under: Vec::new(),
            rows: RowTable::new(schema)?,
            counts: Vec::new(),
            alive: 0,
            ids: Vec::new(),
            key_ids: Vec::new(),
        })
    }

    /// Bytes of memory of its state.
    pub fn memory(&self) -> usize {
        let under: usize = self.under.iter().map(|rows| rows.capacity() * size_of::<u32>()).sum();
        self.keys.memory() + self.rows.memory() + under + self.counts.capacity() * size_of::<u32>()
    }

    fn apply(&mut self, key: u32, row: u32, taken: bool) {
        let (under, count) = (&mut self.under[key as usize], &mut self.counts[row as usize]);
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
    }

    fn changes(&mut self, batch: &Batch) -> (Vec<RowKind>, Vec<u32>) {
        let kinds = batch.kinds.as_ref().map(RowKinds::as_slice);
        let kind = |row: usize| kinds.map_or(RowKind::Insert, |kinds| kinds[row]);
        let (mut out_kinds, mut out_rows) = (Vec::new(), Vec::new());
        let (ids, key_ids) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.key_ids));
        let mut row = 0;
        while row < ids.len() {
            let key = key_ids[row];
            // Both halves of an update that stays under its key are one change.
            let pair = kind(row) == RowKind::UpdateBefore && key_ids.get(row + 1) == Some(&key);
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
    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        self.rows.intern(&batch, &mut self.ids)?;
        let keys: Vec<_> = self.key.iter().map(|at| Arc::clone(batch.columns.column(*at))).collect();
        self.keys.intern(&keys, batch.rows(), &mut self.key_ids)?;
        self.counts.resize(self.rows.len(), 0);
        self.under.resize_with(self.keys.len(), Vec::new);
        let (kinds, rows) = self.changes(&batch);
        if !rows.is_empty() {
            out.batch(Batch::changes(self.rows.rows(&rows)?, kinds));
        }
        self.compact();
        Ok(Flow::Done)
    }

    /// A row that is uncovered carries a time that may lie behind, so nothing is forwarded but the end.
    fn on_watermark(&mut self, watermark: velo_core::Watermark, out: &mut Outbox) -> Result<Flow> {
        if watermark == velo_core::Watermark::END {
            out.watermark(watermark);
        }
        Ok(Flow::Done)
    }
}
