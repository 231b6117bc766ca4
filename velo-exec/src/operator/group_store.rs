//! The groups of a GROUP BY without a window over bounded, append-only rows, in one step or in two.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, SchemaRef};
use velo_core::{Batch, Watermark, schema};

use super::grouping::{Evaluated, Grouping};
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, Outbox};
use crate::aggregate::{AggregatePlan, AggregateSet, GroupTable, SAVED_ROWS, SavedKeys};
use crate::ahead::ahead;
use crate::checkpoint::{StateReader, StateWriter, load_counts, save_counts};
use crate::error::Result;
use crate::state::{KeyTable, valid};

/// Keys, their aggregates, and the latest event time of their rows.
pub(super) struct GroupStore {
    plan: Arc<AggregatePlan>,
    keys: KeyTable,
    set: AggregateSet,
    times: Vec<i64>,
    ids: Vec<u32>,
    /// Rows that went in.
    rows: u64,
    /// Groups that were written.
    written: usize,
    /// All results have been written: nothing of the groups is left to say.
    ended: bool,
}

/// The table of the groups, and that of how many rows went in.
const GROUPS: &str = "groups";
const HELD: &str = "held";

impl GroupStore {
    pub(super) fn new(plan: &Arc<AggregatePlan>, key_types: &[DataType]) -> Result<Self> {
        Ok(Self {
            plan: Arc::clone(plan),
            keys: KeyTable::new(key_types)?,
            set: AggregateSet::new(plan)?,
            times: Vec::new(),
            ids: Vec::new(),
            rows: 0,
            written: 0,
            ended: false,
        })
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.set.len()
    }

    /// How many rows went in since it was empty.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes the rows of a batch.
    pub(super) fn take(&mut self, grouping: &Grouping, batch: &Batch, evaluated: &Evaluated) -> Result<()> {
        self.rows += batch.rows() as u64;
        grouping.each_set(&evaluated.keys, batch.rows(), |keys| {
            self.keys.intern(keys, batch.rows(), &mut self.ids)?;
            self.set.update(&self.ids, self.keys.len(), &evaluated.inputs, &evaluated.order)?;
            if let Some(times) = batch.event_times() {
                see(&mut self.times, self.keys.len(), &self.ids, times.values().iter().copied());
            }
            Ok(())
        })
    }

    /// Takes states of groups.
    pub(super) fn merge(&mut self, keys: &[ArrayRef], state: &[ArrayRef], times: &[i64]) -> Result<()> {
        self.keys.intern(keys, times.len(), &mut self.ids)?;
        self.set.merge(&self.ids, self.keys.len(), state)?;
        see(&mut self.times, self.keys.len(), &self.ids, times.iter().copied());
        Ok(())
    }

    /// Makes the groups that are there without rows.
    pub(super) fn add_totals(&mut self, grouping: &Grouping) -> Result<()> {
        for key in grouping.totals() {
            self.keys.intern(&key, 1, &mut self.ids)?;
            self.set.grow(self.keys.len())?;
        }
        Ok(())
    }

    /// Numbers of the groups that are written next; none: all are.
    fn next(&mut self) -> Vec<u32> {
        let to = self.len().min(self.written + OUTPUT_ROWS);
        let ids = (self.written as u32..to as u32).collect();
        self.written = to;
        ids
    }

    /// The groups' times; one without rows has none of its own, but `none`.
    fn times(&self, ids: &[u32], none: i64) -> ArrayRef {
        let of = |id: &u32| self.times.get(*id as usize).copied().filter(|time| *time != i64::MIN).unwrap_or(none);
        Arc::new(TimestampMicrosecondArray::from_iter_values(ids.iter().map(of)))
    }

    /// Writes the states of all groups, as columns of `schema`: keys, states, and the latest time.
    pub(super) fn write_states(&mut self, schema: &SchemaRef, out: &mut Outbox) -> Result<Flow> {
        while self.written < self.len() {
            if out.is_full() {
                return Ok(Flow::More);
            }
            let ids = self.next();
            let mut columns = self.keys.keys(&ids)?;
            columns.extend(self.set.state(&ids, true)?);
            columns.push(self.times(&ids, i64::MIN));
            out.batch(Batch::new(RecordBatch::try_new(Arc::clone(schema), columns)?));
        }
        Ok(Flow::Done)
    }

    /// Writes the results of all groups and the end.
    pub(super) fn write_results(&mut self, output: &SchemaRef, out: &mut Outbox) -> Result<Flow> {
        while self.written < self.len() {
            if out.is_full() {
                return Ok(Flow::More);
            }
            let ids = self.next();
            let mut columns = self.keys.keys(&ids)?;
            columns.extend(self.set.evaluate(&ids, true)?);
            if schema::event_time_index(output).is_some() {
                columns.push(self.times(&ids, 0));
            }
            out.batch(Batch::new(RecordBatch::try_new(Arc::clone(output), columns)?));
        }
        self.ended = true;
        out.watermark(Watermark::END);
        Ok(Flow::Done)
    }

    /// Whether all results have been written.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    fn table<'a>(&self, saved: &'a SavedKeys) -> Result<GroupTable<'a>> {
        GroupTable::new(GROUPS, saved, &[("$latest", schema::EVENT_TIME_TYPE)], &self.plan)
    }

    /// Puts all groups into a checkpoint, as the table `groups`: keys, the latest event time, and the states of the aggregates. Of
    /// groups whose results have been written nothing is saved.
    pub(super) fn save(&mut self, saved: &SavedKeys, state: &mut StateWriter) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let table = self.table(saved)?;
        for from in (0..self.len()).step_by(SAVED_ROWS) {
            let ids = (from as u32..self.len().min(from + SAVED_ROWS) as u32).collect::<Vec<_>>();
            let times = ids.iter().map(|id| self.times.get(*id as usize).copied().unwrap_or(i64::MIN));
            let times = times.collect::<Vec<_>>();
            let some = valid(ids.len(), |at| times[at] != i64::MIN);
            let times = TimestampMicrosecondArray::try_new(times.into(), some)?;
            let states = self.set.state(&ids, false)?;
            table.write(state, ids.len(), self.keys.keys(&ids)?, vec![Arc::new(times)], states)?;
        }
        save_counts(state, HELD, &[("rows", self.rows)])
    }

    /// Takes up what was saved.
    pub(super) fn load(&mut self, saved: &SavedKeys, state: &mut StateReader) -> Result<()> {
        self.ended = state.reached().ended;
        let all = self.table(saved)?.read(state);
        let about = all.about();
        self.keys.reserve(about);
        let Self { keys, set, times, .. } = self;
        let numbered = all.map(|groups| {
            let (groups, mut ids) = (groups?, Vec::new());
            keys.intern(&groups.keys, groups.rows, &mut ids)?;
            Ok((groups, ids, keys.len()))
        });
        // The numbers of the next groups are found while these are filled.
        ahead(about, numbered, |(groups, ids, total)| {
            set.merge(&ids, total, &groups.states)?;
            let latest = groups.times(0)?.iter().map(|time| time.unwrap_or(i64::MIN));
            see(times, total, &ids, latest);
            Ok(())
        })?;
        let [rows] = load_counts(state, HELD, ["rows"])?;
        self.rows += rows;
        Ok(())
    }

    /// Forgets all groups.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.keys.clear();
        self.set = AggregateSet::new(&self.plan)?;
        self.times.clear();
        self.rows = 0;
        self.written = 0;
        Ok(())
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.keys.memory() + self.set.memory() + self.times.capacity() * size_of::<i64>()
    }
}

/// The latest time of each row's group, which `ids` names; there are `total` groups now.
fn see(latest: &mut Vec<i64>, total: usize, ids: &[u32], times: impl Iterator<Item = i64>) {
    latest.resize(total, i64::MIN);
    for (id, time) in ids.iter().zip(times) {
        let latest = &mut latest[*id as usize];
        *latest = (*latest).max(time);
    }
}
