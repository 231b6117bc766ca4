//! Top-N: the first rows of each partition, as a changelog of what comes in and goes out, or once when a window closes or the
//! input ends.
//!
//! Of rows that only come, no more are kept than can be among the first. Where rows can be taken back, all are kept in their
//! order: one that goes lets the next one up, and one that was beyond the limit is forgotten when it goes. What was shown is
//! remembered only as long as a batch is being worked on.

mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray, UInt32Array};
use arrow_ord::sort::SortOptions;
use arrow_row::{Rows, SortField};
use arrow_schema::{DataType, SchemaRef};
use velo_core::batch::columns_of;
use velo_core::{Batch, RowKind, RowKinds, Watermark, schema};
use velo_eventtime::late::for_row;
use velo_plan::plan::{StateTtl, TopN as Plan};

use super::late_rows::LateRows;
use super::ranked_rows::{Ordered, RankedRows, Spot};
use super::row_rank::{RowRank, is_latest_first};
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::aggregate::{ORDER_TYPES, RowOrder};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;
use crate::state::{KeyTable, Ttl, is_sparse, keep};
use crate::window::LateCounters;

/// What the operator is made from: a plan's node.
#[derive(Debug, Clone)]
pub struct TopNSpec {
    /// The partitions, their order and the limit.
    pub top: Plan,
    /// Rows of the input can be taken back.
    pub retracts: bool,
    /// When a partition is forgotten that no row comes to; none: never.
    pub ttl: Option<StateTtl>,
    /// What comes out: the input's columns, the rank where something reads it, and the event time.
    pub output: SchemaRef,
    /// The stream, table or view whose statement it is, for errors and dead letters.
    pub statement: String,
}

/// The first rows of each partition.
pub struct TopN {
    by: Vec<Evaluator>,
    rank: RowRank,
    limit: usize,
    numbered: bool,
    early: bool,
    per_record: bool,
    per_window: bool,
    retracts: bool,
    input: SchemaRef,
    output: SchemaRef,
    late: Option<LateRows>,
    key_types: Vec<DataType>,
    keys: KeyTable,
    /// By key.
    partitions: Vec<Ordered>,
    /// Partitions with rows.
    alive: usize,
    /// Which partitions are forgotten.
    ttl: Option<Ttl>,
    rows: RankedRows,
    /// Partitions by the event time of their rows, where they are of one window.
    windows: BTreeMap<i64, Vec<u32>>,
    watermark: Watermark,
    touched: Touched,
    told: Told,
    /// What comes out once, and how much of it has.
    giving: Told,
    given: usize,
    /// What is told when that is out.
    forward: Option<Watermark>,
    ended: bool,
    ids: Vec<u32>,
}

/// Partitions whose first rows change, with what those were.
#[derive(Debug, Default)]
struct Touched {
    seen: Vec<bool>,
    /// Each with the end of its rows in `shown`.
    partitions: Vec<(u32, usize)>,
    shown: Vec<u32>,
    /// What they are now, of one partition.
    now: Vec<u32>,
    /// Rows that are kept no more, but can still have to be taken back.
    gone: Vec<u32>,
}

/// Changes of rows.
#[derive(Debug, Default)]
struct Told {
    kinds: Vec<RowKind>,
    rows: Vec<u32>,
    ranks: Vec<i64>,
}

impl Told {
    fn push(&mut self, kind: RowKind, row: u32, at: usize) {
        self.kinds.push(kind);
        self.rows.push(row);
        self.ranks.push(at as i64 + 1);
    }

    fn clear(&mut self) {
        self.kinds.clear();
        self.rows.clear();
        self.ranks.clear();
    }
}

impl TopN {
    /// The operator of a node; `input` is the schema of its input.
    pub fn new(spec: &TopNSpec, input: &SchemaRef) -> Result<Self> {
        let top = &spec.top;
        let by = top.partition_by.iter().map(|key| Evaluator::new(key, input, &spec.statement));
        let by = by.collect::<Result<Vec<_>>>()?;
        let key_types = by.iter().map(|key| key.data_type(input)).collect::<Result<Vec<_>>>()?;
        // A row that is taken back is found by its values alone, so these order equal ones.
        let latest_first = is_latest_first(&top.order_by);
        let options = SortOptions { descending: latest_first, nulls_first: !latest_first };
        let place = |data_type: &DataType| SortField::new_with_options(data_type.clone(), options);
        let ties: Vec<_> = if spec.retracts { vec![] } else { ORDER_TYPES[..PLACE].iter().map(place).collect() };
        let limit = top.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Self {
            keys: KeyTable::new(&key_types)?,
            key_types,
            by,
            rank: RowRank::new(&top.order_by, Some(&ties), input, &spec.statement)?,
            limit,
            numbered: top.rank.is_some(),
            early: top.emission.early,
            per_record: top.emission.per_record,
            per_window: top.per_window,
            retracts: spec.retracts,
            input: Arc::clone(input),
            output: Arc::clone(&spec.output),
            late: top.late.map(|policy| LateRows::new(policy, &spec.statement)),
            partitions: Vec::new(),
            alive: 0,
            ttl: spec.ttl.map(Ttl::new),
            rows: RankedRows::new(input, latest_first)?,
            windows: BTreeMap::new(),
            watermark: Watermark::NONE,
            touched: Touched::default(),
            told: Told::default(),
            giving: Told::default(),
            given: 0,
            forward: None,
            ended: false,
            ids: Vec::new(),
        })
    }

    fn keys_of(&self, batch: &Batch) -> Result<Vec<ArrayRef>> {
        self.by.iter().map(|key| key.evaluate(batch)).collect()
    }

    fn take(&mut self, batch: &Batch, out: &mut Outbox) -> Result<()> {
        let keys = self.keys_of(batch)?;
        let mut ids = std::mem::take(&mut self.ids);
        let known = self.keys.len();
        self.keys.intern(&keys, batch.rows(), &mut ids)?;
        self.partitions.resize_with(self.keys.len(), Ordered::default);
        self.touched.seen.resize(self.keys.len(), false);
        let times = batch.event_times();
        if self.per_window {
            let times = times.ok_or_else(|| ExecError::Internal("rows of windows without an event time".to_owned()))?;
            let mut next = known as u32;
            for (row, id) in ids.iter().enumerate() {
                // Partitions are numbered in the order in which their first rows come.
                if *id == next {
                    self.windows.entry(times.value(row)).or_default().push(*id);
                    next += 1;
                }
            }
        }
        let order: Vec<ArrayRef> = if self.retracts {
            vec![]
        } else {
            let all = (0..batch.rows() as u32).collect::<Vec<_>>();
            RowOrder::of(batch, false)?.columns(&all).into_iter().take(PLACE).collect()
        };
        let heads = self.rank.of(batch, &order)?;
        let chosen = self.candidates(&ids, &heads);
        if chosen.len() == batch.rows() {
            self.apply(batch, &ids, &heads, None, out.now())?;
        } else if !chosen.is_empty() {
            self.apply(batch, &ids, &heads, Some(&chosen), out.now())?;
        }
        self.ids = ids;
        self.settle();
        self.tell(out)
    }

    /// The rows that may be among the first of their partition.
    fn candidates(&self, ids: &[u32], heads: &Rows) -> Vec<u32> {
        let can = |row: &u32| {
            // Of those that can be forgotten, every row says that they are not.
            if self.retracts || self.ttl.is_some() {
                return true;
            }
            let partition = &self.partitions[ids[*row as usize] as usize];
            match partition.last() {
                Some(last) if partition.len() >= self.limit => {
                    heads.row(*row as usize).as_ref() <= self.rows.head(last)
                }
                _ => self.limit > 0,
            }
        };
        (0..ids.len() as u32).filter(can).collect()
    }

    fn apply(&mut self, batch: &Batch, ids: &[u32], heads: &Rows, chosen: Option<&[u32]>, now: i64) -> Result<()> {
        let values = match chosen {
            None => self.rows.encode(batch)?,
            Some(chosen) => self.rows.encode(&batch.take(&UInt32Array::from(chosen.to_vec()))?)?,
        };
        let kinds = batch.kinds.as_ref().map(RowKinds::as_slice);
        let times = batch.event_times();
        let touches = self.ttl.as_ref().map(|ttl| ttl.times(batch, now));
        for at in 0..chosen.map_or(batch.rows(), <[u32]>::len) {
            let row = chosen.map_or(at, |chosen| chosen[at] as usize);
            if let Some(touches) = &touches {
                self.come_to(ids[row], touches(row));
            }
            let value = values.as_ref().map(|values| values.row(at));
            let value = value.as_ref().map_or(&[][..], |value| value.as_ref());
            let kept = self.rows.push(heads.row(row).as_ref(), value, times.map_or(0, |times| times.value(row)));
            if kinds.is_some_and(|kinds| kinds[row].retracts()) {
                self.remove(ids[row], kept);
            } else {
                self.insert(ids[row], kept);
            }
            if self.per_record {
                self.settle();
            }
        }
        Ok(())
    }

    /// A row of this time comes to a partition, which begins anew if its time is over.
    fn come_to(&mut self, partition: u32, time: i64) {
        if self.ttl.as_ref().is_some_and(|ttl| ttl.is_over(partition, time)) {
            // What changed before is told, and then stays as it was shown.
            self.settle();
            self.forget(partition);
        }
        if let Some(ttl) = &mut self.ttl {
            ttl.touch(partition, time);
        }
    }

    /// Nothing is left of a partition; what was shown of it stays.
    fn forget(&mut self, partition: u32) {
        let ordered = std::mem::take(&mut self.partitions[partition as usize]);
        self.alive -= usize::from(!ordered.is_empty());
        self.touched.gone.extend(ordered.iter());
        if let Some(ttl) = &mut self.ttl {
            ttl.forget(partition);
        }
    }

    /// Forgets the partitions whose time is over at `time`, and asks to be called when the next could be.
    fn expire(&mut self, time: i64, out: &mut Outbox) -> Result<()> {
        out.expired(&mut self.ttl, time).into_iter().for_each(|partition| self.forget(partition));
        self.tell(out)?;
        self.compact();
        Ok(())
    }

    fn insert(&mut self, partition: u32, row: u32) {
        let ordered = &self.partitions[partition as usize];
        let spot = ordered.spot_for(row, &self.rows);
        let shows = ordered.is_within(spot, self.limit);
        if !shows && !self.retracts {
            self.rows.undo(row);
            return;
        }
        self.alive += usize::from(ordered.is_empty());
        self.touch(partition, shows);
        let ordered = &mut self.partitions[partition as usize];
        ordered.insert(spot, row);
        if !self.retracts && ordered.len() > self.limit {
            self.touched.gone.extend(ordered.pop());
        }
    }

    /// Takes out a row that is equal to this one. One that never came cannot go, and is no mistake of this operator.
    fn remove(&mut self, partition: u32, row: u32) {
        let found: Option<Spot> = self.partitions[partition as usize].find(row, &self.rows);
        self.rows.undo(row);
        let Some(spot) = found else { return };
        let shows = self.partitions[partition as usize].is_within(spot, self.limit);
        self.touch(partition, shows);
        let ordered = &mut self.partitions[partition as usize];
        self.touched.gone.push(ordered.remove(spot));
        self.alive -= usize::from(ordered.is_empty());
    }

    /// Remembers the first rows of a partition before they change.
    fn touch(&mut self, partition: u32, shows: bool) {
        if self.early && shows && !std::mem::replace(&mut self.touched.seen[partition as usize], true) {
            self.touched.shown.extend(self.partitions[partition as usize].iter().take(self.limit));
            self.touched.partitions.push((partition, self.touched.shown.len()));
        }
    }

    /// Compares the first rows of what was touched with what they were.
    fn settle(&mut self) {
        let mut from = 0;
        let mut partitions = std::mem::take(&mut self.touched.partitions);
        for (partition, to) in partitions.drain(..) {
            self.touched.seen[partition as usize] = false;
            self.touched.now.clear();
            self.touched.now.extend(self.partitions[partition as usize].iter().take(self.limit));
            let (before, now) = (&self.touched.shown[from..to], self.touched.now.as_slice());
            if self.numbered || self.limit == 1 {
                by_place(before, now, &self.rows, &mut self.told);
            } else {
                by_row(before, now, &self.rows, &mut self.told);
            }
            from = to;
        }
        self.touched.partitions = partitions;
        self.touched.shown.clear();
    }

    /// Emits what was found to have changed.
    fn tell(&mut self, out: &mut Outbox) -> Result<()> {
        let mut told = std::mem::take(&mut self.told);
        if !told.rows.is_empty() {
            let columns = self.columns(&told.rows, &told.ranks)?;
            out.batch(Batch::changes(columns, std::mem::take(&mut told.kinds)));
        }
        told.clear();
        self.told = told;
        for row in self.touched.gone.drain(..) {
            self.rows.forget(row);
        }
        self.rows.collect();
        Ok(())
    }

    /// Rows with their numbers and event times.
    fn columns(&self, rows: &[u32], ranks: &[i64]) -> Result<arrow_array::RecordBatch> {
        let mut columns = self.rows.columns(rows)?;
        if self.numbered {
            columns.push(Arc::new(Int64Array::from(ranks.to_vec())));
        }
        if schema::event_time_index(&self.output).is_some() {
            let times = rows.iter().map(|row| self.rows.time(*row));
            columns.push(Arc::new(TimestampMicrosecondArray::from_iter_values(times)));
        }
        Ok(columns_of(&self.output, columns, rows.len())?)
    }

    /// Takes the windows that the watermark has passed.
    fn passed(&mut self) -> Vec<u32> {
        let left = self.windows.split_off(&self.watermark.0);
        std::mem::replace(&mut self.windows, left).into_values().flatten().collect()
    }

    /// The rows of these partitions are given out, if nothing was told of them before, and then go.
    fn close(&mut self, partitions: &[u32]) {
        for partition in partitions {
            let ordered = std::mem::take(&mut self.partitions[*partition as usize]);
            self.alive -= usize::from(!ordered.is_empty());
            for (at, row) in ordered.iter().enumerate() {
                if self.early || at >= self.limit {
                    self.rows.forget(row);
                } else {
                    self.giving.push(RowKind::Insert, row, at);
                }
            }
        }
    }

    /// Forgets partitions without rows, once they are many.
    fn compact(&mut self) {
        if !is_sparse(self.alive, self.partitions.len()) {
            return;
        }
        let stays: Vec<bool> = self.partitions.iter().map(|ordered| !ordered.is_empty()).collect();
        let new = self.keys.retain(&stays);
        if let Some(ttl) = &mut self.ttl {
            ttl.renumber(&new);
        }
        keep(&mut self.partitions, &stays);
        self.touched.seen.truncate(self.partitions.len());
        for partitions in self.windows.values_mut() {
            partitions.iter_mut().for_each(|partition| *partition = new[*partition as usize]);
            partitions.retain(|partition| *partition != KeyTable::DEAD);
        }
    }
}

/// Of the order of equal rows, what is a matter of time and place; their values lie behind.
const PLACE: usize = 3;

/// The places of which the row is another one.
fn by_place(before: &[u32], now: &[u32], rows: &RankedRows, told: &mut Told) {
    for at in 0..before.len().max(now.len()) {
        match (before.get(at), now.get(at)) {
            (Some(old), Some(new)) if old == new || rows.values(*old) == rows.values(*new) => {}
            (Some(old), Some(new)) => {
                told.push(RowKind::UpdateBefore, *old, at);
                told.push(RowKind::UpdateAfter, *new, at);
            }
            (Some(old), None) => told.push(RowKind::Delete, *old, at),
            (None, Some(new)) => told.push(RowKind::Insert, *new, at),
            (None, None) => {}
        }
    }
}

/// The rows that are no more among the first, and those that are now. Both lists are in order.
fn by_row(before: &[u32], now: &[u32], rows: &RankedRows, told: &mut Told) {
    for (kind, those, others) in [(RowKind::Delete, before, now), (RowKind::Insert, now, before)] {
        let mut next = 0;
        for row in those {
            while others.get(next).is_some_and(|other| other != row && rows.key(*other) < rows.key(*row)) {
                next += 1;
            }
            match others.get(next) {
                Some(other) if other == row || rows.key(*other) == rows.key(*row) => next += 1,
                _ => told.push(kind, *row, 0),
            }
        }
    }
}

impl Operator for TopN {
    fn memory(&self) -> usize {
        let ttl = self.ttl.as_ref().map_or(0, Ttl::memory);
        self.keys.memory() + self.rows.memory() + self.partitions.iter().map(Ordered::memory).sum::<usize>() + ttl
    }

    fn held(&self) -> u64 {
        if self.early { 0 } else { self.partitions.iter().map(|ordered| ordered.len() as u64).sum() }
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        self.late.as_ref().map(|late| Arc::clone(&late.counters))
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        let batch = match &self.late {
            Some(late) => late.leave_out(batch, self.watermark, "a Top-N", for_row, out)?,
            None => batch,
        };
        if !batch.is_empty() {
            self.take(&batch, out)?;
            self.compact();
        }
        if let Some(now) = self.ttl.as_ref().and_then(|ttl| ttl.clock(out.now())) {
            self.expire(now, out)?;
        }
        Ok(Flow::Done)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.keys_of(batch)?;
        self.rank.check(batch)
    }

    /// Partitions whose time is over by the clock go, also while no rows come.
    fn on_timer(&mut self, now: i64, out: &mut Outbox) -> Result<Flow> {
        self.expire(now, out)?;
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.watermark = self.watermark.max(watermark);
        if let Some(time) = self.ttl.as_ref().and_then(|ttl| ttl.watermark(self.watermark)) {
            self.expire(time, out)?;
        }
        if self.per_window {
            // No row of these windows comes any more.
            let passed = self.passed();
            self.close(&passed);
            self.compact();
            self.forward = Some(self.watermark);
        }
        // What is taken back carries a time that lies behind, and what comes at the end too: nothing is forwarded before.
        self.resume(out)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        if !self.per_window && !self.ended {
            self.ended = true;
            if !self.early {
                let all = (0..self.partitions.len() as u32).collect::<Vec<_>>();
                self.close(&all);
            }
            self.forward = Some(Watermark::END);
        }
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        while self.given < self.giving.rows.len() {
            if out.is_full() {
                return Ok(Flow::More);
            }
            let to = self.giving.rows.len().min(self.given + OUTPUT_ROWS);
            let (rows, ranks) = (&self.giving.rows[self.given..to], &self.giving.ranks[self.given..to]);
            out.batch(Batch::new(self.columns(rows, ranks)?));
            self.given = to;
        }
        for row in std::mem::take(&mut self.giving).rows {
            self.rows.forget(row);
        }
        self.given = 0;
        self.rows.collect();
        if let Some(watermark) = self.forward.take() {
            out.watermark(watermark);
        }
        Ok(Flow::Done)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.save_state(state)
    }

    fn load(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        self.load_state(state, out)
    }
}
