//! One window of an OVER: the partition and the order of each row, its peers, and the buffer that forgets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use arrow_ord::sort::{SortColumn, lexsort_to_indices};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{Schema, SortOptions};
use velo_core::{Batch, Watermark, schema};
use velo_plan::plan::{FrameUnits, OverCall, OverFunction, OverOrder, RowBuffer, RowWindow, SortKey};

use crate::checkpoint::columns::{Columns, Saved};
use crate::error::{ExecError, Result};
use crate::operator::row_rank::is_latest_first;
use crate::row_window::{Rows, order_values};
use crate::state::{KeyTable, is_sparse};

/// What the calls of a window ask it for.
#[derive(Debug, Clone, Copy, Default)]
struct Needs {
    peers: bool,
    times: bool,
    values: bool,
}

/// A window and what it knows of its partitions.
pub(super) struct Window {
    keys: Vec<usize>,
    order: Vec<(usize, SortKey)>,
    by_time: bool,
    needs: Needs,
    buffer: Option<RowBuffer>,
    /// Its buffer expires by the clock, for there is no event time.
    by_clock: bool,
    table: KeyTable,
    /// Compares rows by the order, where that is not by time alone.
    compare: Option<RowConverter>,
    /// By partition.
    partitions: Vec<Partition>,
    /// How many of them have expired and still have their number.
    dead: usize,
    /// When partitions could expire: when something happened in each for the last time, as far as was known.
    expiring: BinaryHeap<Reverse<(i64, u32)>>,
    /// Of the last release, by row.
    ids: Vec<u32>,
    permutation: Option<Vec<u32>>,
    peers: Vec<i128>,
    times: Vec<i128>,
    values: Vec<i128>,
    begins: Vec<bool>,
    unfilled: Vec<bool>,
}

/// What a window knows of a partition.
#[derive(Debug, Clone, Copy)]
struct Partition {
    /// The last row: its release and place.
    last: (u64, u32),
    /// Its number among the different values of ORDER BY.
    peer: i128,
    /// The time up to which something has happened.
    active: i64,
    rows: u64,
    /// Whether it stands among those that could expire.
    queued: bool,
    dead: bool,
}

impl Default for Partition {
    fn default() -> Self {
        Self { last: (u64::MAX, 0), peer: 0, active: i64::MIN, rows: 0, queued: false, dead: false }
    }
}

fn options(key: &SortKey) -> SortOptions {
    SortOptions { descending: key.descending, nulls_first: key.nulls_first }
}

impl Window {
    /// `planned` with its calls; keys and order are columns of `inner`.
    pub(super) fn new(
        planned: &RowWindow,
        calls: &[&OverCall],
        keys: Vec<usize>,
        order: Vec<(usize, SortKey)>,
        of_node: OverOrder,
        inner: &Schema,
    ) -> Result<Self> {
        let ranks = calls.iter().any(|call| {
            use OverFunction::{CumeDist, DenseRank, PercentRank, Rank};
            matches!(call.function, Rank | DenseRank | PercentRank | CumeDist)
        });
        let units = planned.frame.units;
        let needs = Needs {
            peers: ranks || (units == FrameUnits::Peers && !calls.is_empty()),
            times: units == FrameUnits::Time && !calls.is_empty(),
            values: units == FrameUnits::Value && !calls.is_empty(),
        };
        let types = keys.iter().map(|at| inner.field(*at).data_type().clone()).collect::<Vec<_>>();
        let fields = order
            .iter()
            .map(|(at, key)| SortField::new_with_options(inner.field(*at).data_type().clone(), options(key)));
        Ok(Self {
            table: KeyTable::new(&types)?,
            compare: if order.is_empty() { None } else { Some(RowConverter::new(fields.collect())?) },
            keys,
            order,
            by_time: of_node == OverOrder::EventTime,
            needs,
            buffer: planned.buffer,
            by_clock: schema::event_time_index(inner).is_none(),
            partitions: Vec::new(),
            dead: 0,
            expiring: BinaryHeap::new(),
            ids: Vec::new(),
            permutation: None,
            peers: Vec::new(),
            times: Vec::new(),
            values: Vec::new(),
            begins: Vec::new(),
            unfilled: Vec::new(),
        })
    }

    /// Takes over what another window is for, where the two differ in nothing but that.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        let same = self.keys == other.keys && self.order == other.order && self.buffer == other.buffer;
        if same {
            self.needs.peers |= other.needs.peers;
            self.needs.times |= other.needs.times;
            self.needs.values |= other.needs.values;
        }
        same
    }

    pub(super) fn memory(&self) -> usize {
        self.table.memory() + self.partitions.capacity() * size_of::<Partition>() + self.expiring.capacity() * 16
    }

    fn columns(&self, rows: &Batch, places: impl Iterator<Item = usize>) -> Vec<ArrayRef> {
        places.map(|at| std::sync::Arc::clone(rows.columns.column(at))).collect()
    }

    /// Takes a release; `now` is what the clock shows.
    pub(super) fn take(&mut self, rows: &Batch, chunk: u64, now: i64) -> Result<()> {
        let keys = self.columns(rows, self.keys.iter().copied());
        self.table.intern(&keys, rows.rows(), &mut self.ids)?;
        self.partitions.resize(self.table.len(), Partition::default());
        self.permutation = self.ordered(rows)?;
        let event_times = rows.event_times().map(|times| times.values());
        if self.needs.times {
            let times = event_times.ok_or_else(|| ExecError::Internal("a frame by time without times".to_owned()))?;
            self.times = times.iter().map(|time| i128::from(*time)).collect();
        }
        if self.needs.values {
            let (at, key) = self
                .order
                .first()
                .ok_or_else(|| ExecError::Internal("a frame of values without an order".to_owned()))?;
            self.values = order_values(rows.columns.column(*at), options(key))?;
        }
        if self.needs.peers {
            self.count_peers(rows, chunk)?;
        }
        match self.buffer {
            Some(buffer) => self.fill(rows, buffer, now),
            None => Ok(()),
        }
    }

    /// The rows in the order of the window, where that is not the one in which they are.
    fn ordered(&self, rows: &Batch) -> Result<Option<Vec<u32>>> {
        if self.order.is_empty() {
            return Ok(None);
        }
        let mut columns = Vec::with_capacity(self.order.len() + 2);
        if let Some(times) = rows.event_times().filter(|_| self.by_time) {
            columns.push(SortColumn { values: std::sync::Arc::new(times.clone()), options: None });
        }
        for (at, key) in &self.order {
            let values = std::sync::Arc::clone(rows.columns.column(*at));
            columns.push(SortColumn { values, options: Some(options(key)) });
        }
        let places = UInt32Array::from_iter_values(0..rows.rows() as u32);
        let latest_first = is_latest_first(self.order.iter().map(|(_, key)| key));
        let options = SortOptions { descending: latest_first, nulls_first: false };
        columns.push(SortColumn { values: std::sync::Arc::new(places), options: Some(options) });
        Ok(Some(lexsort_to_indices(&columns, None)?.values().to_vec()))
    }

    fn row(&self, place: usize) -> usize {
        self.permutation.as_ref().map_or(place, |order| order[place] as usize)
    }

    /// Numbers the different values of ORDER BY in each partition.
    fn count_peers(&mut self, rows: &Batch, chunk: u64) -> Result<()> {
        let order = self.columns(rows, self.order.iter().map(|(at, _)| *at));
        let encoded = self.compare.as_ref().map(|compare| compare.convert_columns(&order)).transpose()?;
        let times = rows.event_times().filter(|_| self.by_time).map(|times| times.values());
        self.peers.clear();
        self.peers.resize(rows.rows(), 0);
        for place in 0..rows.rows() {
            let row = self.row(place);
            let partition = &mut self.partitions[self.ids[row] as usize];
            let (release, last) = partition.last;
            let last = last as usize;
            // Rows of one time are released together; without an order all rows of a partition are peers.
            let ordered = times.is_some() || encoded.is_some();
            let same = if release == chunk {
                times.is_none_or(|times| times[row] == times[last])
                    && encoded.as_ref().is_none_or(|encoded| encoded.row(row) == encoded.row(last))
            } else {
                release != u64::MAX && !ordered
            };
            if !same {
                partition.peer += 1;
            }
            partition.last = (chunk, row as u32);
            self.peers[row] = partition.peer;
        }
        Ok(())
    }

    /// Rows come into the buffers of their partitions, which forget what was there when nothing has come for long.
    fn fill(&mut self, rows: &Batch, buffer: RowBuffer, clock: i64) -> Result<()> {
        let times = rows.event_times().map(|times| times.values());
        self.begins.clear();
        self.begins.resize(rows.rows(), false);
        self.unfilled.clear();
        self.unfilled.resize(rows.rows(), false);
        for place in 0..rows.rows() {
            let row = self.row(place);
            let key = self.ids[row];
            let partition = &mut self.partitions[key as usize];
            if std::mem::take(&mut partition.dead) {
                self.dead -= 1;
            }
            if let Some(expire) = buffer.expire {
                // What counts is the watermark at the row's place, or its time where that is ahead.
                let late_by = rows.late_by.as_ref().map_or(0, |late_by| late_by.value(row).max(0));
                let now = times.map_or(clock, |times| times[row].saturating_add(late_by));
                if partition.rows > 0 && now > partition.active.saturating_add(expire.micros()) {
                    self.begins[row] = true;
                    (partition.rows, partition.active) = (0, i64::MIN);
                }
                partition.active = partition.active.max(now);
                if !std::mem::replace(&mut partition.queued, true) {
                    self.expiring.push(Reverse((now, key)));
                }
            }
            partition.rows += 1;
            self.unfilled[row] = buffer.when_full && partition.rows < buffer.rows;
        }
        Ok(())
    }

    /// The rows of the last release as the calls see them.
    pub(super) fn rows<'a>(&'a self, chunk: u64, columns: &'a arrow_array::RecordBatch) -> Rows<'a> {
        Rows {
            chunk,
            columns,
            order: self.permutation.as_deref(),
            keys: &self.ids,
            partitions: self.table.len(),
            begins: (self.buffer.is_some_and(|buffer| buffer.expire.is_some())).then_some(&self.begins),
            times: &self.times,
            peers: self.needs.peers.then_some(&self.peers),
            values: self.needs.values.then_some(&self.values),
        }
    }

    /// The rows of the last release whose buffer was not full, where only full ones count.
    pub(super) fn unfilled(&self) -> Option<BooleanArray> {
        let counts = self.buffer.is_some_and(|buffer| buffer.when_full);
        counts.then(|| BooleanArray::from(self.unfilled.clone()))
    }

    /// Forgets all partitions.
    pub(super) fn clear(&mut self) {
        self.table.clear();
        self.partitions.clear();
        self.expiring.clear();
        self.dead = 0;
    }

    /// When a partition could expire next, where that goes by the clock.
    pub(super) fn expires_at(&self) -> Option<i64> {
        let expire = self.buffer.and_then(|buffer| buffer.expire).filter(|_| self.by_clock)?;
        self.expiring.peek().map(|Reverse((time, _))| time.saturating_add(expire.micros()).saturating_add(1))
    }

    /// The partitions for which nothing has come for so long that the watermark has passed it, or the clock where there is no
    /// event time.
    pub(super) fn expired(&mut self, watermark: Watermark, clock: i64) -> Vec<u32> {
        let mut gone = Vec::new();
        let Some(expire) = self.buffer.and_then(|buffer| buffer.expire) else { return gone };
        let now = if self.by_clock { clock } else { watermark.0 };
        while let Some(Reverse((time, key))) = self.expiring.peek().copied()
            && time.saturating_add(expire.micros()) < now
        {
            self.expiring.pop();
            let partition = &mut self.partitions[key as usize];
            if partition.active > time {
                self.expiring.push(Reverse((partition.active, key)));
            } else {
                partition.queued = false;
                gone.push(key);
            }
        }
        gone
    }

    /// Partitions that expired begin anew. Where most are gone, the others get new numbers, with how many there are.
    pub(super) fn forget(&mut self, gone: &[u32]) -> Option<(Vec<u32>, usize)> {
        for key in gone {
            self.partitions[*key as usize] = Partition { dead: true, ..Partition::default() };
        }
        self.dead += gone.len();
        if !is_sparse(self.partitions.len() - self.dead, self.partitions.len()) {
            return None;
        }
        let live = self.partitions.iter().map(|partition| !partition.dead).collect::<Vec<_>>();
        let numbers = self.table.retain(&live);
        self.partitions.retain(|partition| !partition.dead);
        let kept = std::mem::take(&mut self.expiring).into_iter().filter_map(|Reverse((time, key))| {
            let number = numbers[key as usize];
            (number != KeyTable::DEAD).then_some(Reverse((time, number)))
        });
        self.expiring = kept.collect();
        self.dead = 0;
        Some((numbers, self.partitions.len()))
    }

    /// The numbers of the partitions that have not expired.
    pub(super) fn alive(&self) -> Vec<u32> {
        let alive = self.partitions.iter().enumerate().filter(|(_, partition)| !partition.dead);
        alive.map(|(key, _)| key as u32).collect()
    }

    /// The key columns of partitions.
    pub(super) fn keys(&self, partitions: &[u32]) -> Result<Vec<ArrayRef>> {
        self.table.keys(partitions)
    }

    /// How many key columns there are.
    pub(super) fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Where columns of the chunks are among the keys.
    pub(super) fn places(&self, columns: &[usize]) -> Result<Vec<usize>> {
        let place = |column: &usize| {
            let found = self.keys.iter().position(|key| key == column);
            found.ok_or_else(|| ExecError::Internal("rows are exchanged by what is no key of their window".to_owned()))
        };
        columns.iter().map(place).collect()
    }

    /// What is known of partitions, for a checkpoint; between releases.
    pub(super) fn save(&self, partitions: &[u32]) -> Result<Columns> {
        let mut saved = Columns::default();
        for (at, key) in self.table.keys(partitions)?.into_iter().enumerate() {
            saved.add(format!("key{at}"), key);
        }
        let all = || partitions.iter().map(|key| &self.partitions[*key as usize]);
        // A partition has fewer rows than 64 bits count.
        saved.numbers("peer", all().map(|partition| partition.peer as i64));
        saved.counts("rows", all().map(|partition| partition.rows));
        saved.numbers("active", all().map(|partition| partition.active));
        Ok(saved)
    }

    /// Takes up partitions; the answer are the numbers that they have now.
    pub(super) fn load(&mut self, saved: &Saved<'_>) -> Result<Vec<u32>> {
        let keys = (0..self.keys.len()).map(|at| saved.column(&format!("key{at}")).cloned());
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let (peers, rows, active) = (saved.numbers("peer")?, saved.counts("rows")?, saved.numbers("active")?);
        let known = self.table.len();
        let mut ids = Vec::new();
        self.table.intern(&keys, saved.rows(), &mut ids).map_err(|error| saved.damaged(&error.to_string()))?;
        if self.table.len() != known + saved.rows() {
            return Err(saved.damaged("a partition is there twice"));
        }
        let expires = self.buffer.is_some_and(|buffer| buffer.expire.is_some());
        for (row, key) in ids.iter().enumerate() {
            // Rows of one time are released together, so that only whether there was a row still counts.
            let last = if peers[row] > 0 { (BEFORE, 0) } else { Partition::default().last };
            self.partitions.push(Partition {
                last,
                peer: i128::from(peers[row]),
                active: active[row],
                rows: rows[row],
                queued: expires,
                dead: false,
            });
            if expires {
                self.expiring.push(Reverse((active[row], *key)));
            }
        }
        Ok(ids)
    }

    /// The numbers of partitions that are there, by their keys.
    pub(super) fn find(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Option<Vec<u32>>> {
        let mut ids = Vec::new();
        self.table.intern(keys, rows, &mut ids)?;
        Ok((self.table.len() == self.partitions.len()).then_some(ids))
    }
}

/// Stands for a release before a checkpoint.
const BEFORE: u64 = u64::MAX - 1;
