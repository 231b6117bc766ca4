//! DISTINCT ON: of each key the row that is first in the order, given when the input has ended.
//!
//! Equal rows are ordered by event time and place, without a place by their values, so that the answer does not depend on the
//! order in which they come. Only rows that are the first of their key so far are held.

use std::sync::Arc;

use arrow_array::types::UInt64Type;
use arrow_array::{ArrayRef, UInt32Array, UInt64Array};
use arrow_row::SortField;
use arrow_schema::{DataType, SchemaRef};
use datafusion_expr::Expr;
use velo_core::{Batch, Watermark};
use velo_plan::plan::SortKey;

use super::row_rank::RowRank;
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::aggregate::{ORDER_TYPES, RowOrder, columns_with_places};
use crate::checkpoint::beside::{values, with_beside};
use crate::checkpoint::rows::{pack, unpack};
use crate::checkpoint::state::damaged;
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;
use crate::state::KeyTable;

/// The table of first rows, with the places that they came from.
const FIRSTS: &str = "firsts";

/// Keeps the first row of each key.
pub struct DistinctOn {
    by: Vec<Evaluator>,
    key_types: Vec<DataType>,
    rank: RowRank,
    schema: SchemaRef,
    keys: KeyTable,
    /// By key: the rank of its first row, and where that lies.
    firsts: Vec<First>,
    held: Vec<Batch>,
    held_rows: usize,
    ids: Vec<u32>,
    /// What is left to give, the last first.
    giving: Option<Vec<Batch>>,
}

#[derive(Clone, Default)]
struct First {
    rank: Vec<u8>,
    /// None before the key's first row.
    at: Option<(u32, u32)>,
}

impl DistinctOn {
    /// The first row of each of `keys` by `order`.
    pub fn new(keys: &[Expr], order: &[SortKey], schema: SchemaRef, owner: &str) -> Result<Self> {
        let by = keys.iter().map(|key| Evaluator::new(key, &schema, owner)).collect::<Result<Vec<_>>>()?;
        let key_types = by.iter().map(|key| key.data_type(&schema)).collect::<Result<Vec<_>>>()?;
        let ties = ORDER_TYPES.map(SortField::new);
        Ok(Self {
            keys: KeyTable::new(&key_types)?,
            key_types,
            by,
            rank: RowRank::new(order, Some(&ties), &schema, owner)?,
            schema,
            firsts: Vec::new(),
            held: Vec::new(),
            held_rows: 0,
            ids: Vec::new(),
            giving: None,
        })
    }

    /// Holds nothing but the first rows.
    fn compact(&mut self) -> Result<()> {
        let places = self.firsts.iter().filter_map(|first| first.at);
        let places = places.map(|(batch, row)| (batch as usize, row as usize)).collect::<Vec<_>>();
        let held = self.held.iter().map(|batch| &batch.columns).collect::<Vec<_>>();
        let rows = Batch::new(arrow_select::interleave::interleave_record_batch(&held, &places)?);
        // Lateness goes with its row; the place of a row has been used.
        let late_by = self.held.iter().any(|batch| batch.late_by.is_some()).then(|| {
            let late =
                |(batch, row): &(usize, usize)| self.held[*batch].late_by.as_ref().map_or(0, |late| late.value(*row));
            arrow_array::Int64Array::from_iter_values(places.iter().map(late))
        });
        for (row, first) in self.firsts.iter_mut().filter(|first| first.at.is_some()).enumerate() {
            first.at = Some((0, row as u32));
        }
        self.held_rows = rows.rows();
        self.held = vec![Batch { late_by, ..rows }];
        Ok(())
    }

    fn keys_of(&self, batch: &Batch) -> Result<Vec<ArrayRef>> {
        self.by.iter().map(|key| key.evaluate(batch)).collect()
    }

    /// Takes rows; `order` are the columns that decide between equal ones.
    fn take(&mut self, batch: &Batch, order: &[ArrayRef]) -> Result<()> {
        let keys = self.keys_of(batch)?;
        if keys.iter().zip(&self.key_types).any(|(key, planned)| key.data_type() != planned) {
            return Err(ExecError::Internal("a key of DISTINCT ON has another type".to_owned()));
        }
        self.keys.intern(&keys, batch.rows(), &mut self.ids)?;
        self.firsts.resize_with(self.keys.len(), First::default);
        let rows = (0..batch.rows() as u32).collect::<Vec<_>>();
        let ranks = self.rank.of(batch, order)?;
        let number = self.held.len() as u32;
        for (row, id) in self.ids.iter().enumerate() {
            let (first, rank) = (&mut self.firsts[*id as usize], ranks.row(row));
            if first.at.is_none() || rank.as_ref() < first.rank.as_slice() {
                first.rank.clear();
                first.rank.extend_from_slice(rank.as_ref());
                first.at = Some((number, row as u32));
            }
        }
        // Of the batch only the rows stay that are first now.
        let is_first = |row: &u32| self.firsts[self.ids[*row as usize] as usize].at == Some((number, *row));
        let kept = rows.into_iter().filter(is_first).collect::<Vec<_>>();
        if kept.is_empty() {
            return Ok(());
        }
        for (place, row) in kept.iter().enumerate() {
            self.firsts[self.ids[*row as usize] as usize].at = Some((number, place as u32));
        }
        self.held_rows += kept.len();
        self.held.push(batch.take(&UInt32Array::from(kept))?);
        if self.held_rows > 2 * self.firsts.len() + OUTPUT_ROWS {
            self.compact()?;
        }
        Ok(())
    }
}

impl Operator for DistinctOn {
    fn memory(&self) -> usize {
        let held = self.held.iter().chain(self.giving.iter().flatten()).map(Batch::memory).sum::<usize>();
        let rank = self.firsts.first().map_or(0, |first| first.rank.capacity());
        held + self.keys.memory() + self.firsts.capacity() * (size_of::<First>() + rank)
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, _out: &mut Outbox) -> Result<Flow> {
        let rows = (0..batch.rows() as u32).collect::<Vec<_>>();
        self.take(&batch, &RowOrder::of(&batch, true)?.columns(&rows))?;
        Ok(Flow::Done)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.keys_of(batch)?;
        self.rank.check(batch)
    }

    /// Nothing has come out yet, so no watermark but the last can be told.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        if !self.held.is_empty() {
            self.compact()?;
        }
        let all = std::mem::take(&mut self.held);
        let pieces = all.iter().flat_map(|all| {
            let starts = (0..all.rows()).step_by(OUTPUT_ROWS);
            starts.map(|from| all.slice(from, OUTPUT_ROWS.min(all.rows() - from)))
        });
        let mut pieces = pieces.collect::<Vec<_>>();
        pieces.reverse();
        self.giving = Some(pieces);
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        while let Some(piece) = self.giving.as_mut().and_then(Vec::pop) {
            debug_assert_eq!(piece.schema(), Arc::clone(&self.schema), "rows pass as they are");
            out.batch(piece);
            if out.is_full() {
                return Ok(Flow::More);
            }
        }
        out.watermark(Watermark::END);
        Ok(Flow::Done)
    }

    /// Rows in the order in which their keys came first, which is the one in which they come out.
    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.compact()?;
        let ranks = self.firsts.iter().filter(|first| first.at.is_some()).map(|first| first.rank.as_slice());
        let ties = self.rank.ties_of(ranks)?;
        let [_, sources, positions, _] = ties.as_slice() else {
            return Err(ExecError::Internal("an order of other columns".to_owned()));
        };
        for held in &self.held {
            let places = [("_source_partition", Arc::clone(sources)), ("_position", Arc::clone(positions))];
            state.keyed(FIRSTS, &self.keys_of(held)?, &with_beside(&pack(held)?, places)?)?;
        }
        Ok(())
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        for saved in state.rows(FIRSTS)? {
            let wrong = || damaged(FIRSTS, "the places of its rows are missing");
            let width = saved.num_columns().checked_sub(2).ok_or_else(wrong)?;
            let place = |at: usize| {
                let place = values::<UInt64Type>(FIRSTS, saved.column(width + at))?;
                Ok::<_, ExecError>(UInt64Array::from(place.to_vec()))
            };
            let (sources, positions) = (place(0)?, place(1)?);
            let mut from = 0;
            for batch in unpack(&saved.project(&(0..width).collect::<Vec<_>>())?, &self.schema)? {
                let of = |places: &UInt64Array| places.slice(from, batch.rows());
                let order = columns_with_places(&batch, &of(&sources), &of(&positions))?;
                self.take(&batch, &order)?;
                from += batch.rows();
            }
        }
        Ok(())
    }
}
