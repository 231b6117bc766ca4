//! GROUP BY with session windows over rows that only come: results when sessions have ended.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow_schema::{DataType, SchemaRef};
use velo_core::types::TIMESTAMP;
use velo_core::{Batch, Watermark};
use velo_eventtime::late::for_session;
use velo_plan::plan::WindowKind;

use super::grouping::{GroupSpec, Grouping, times_of};
use super::late_rows::LateRows;
use super::session_rows::ended_rows;
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::aggregate::{AggregatePlan, AggregateSet, GroupTable, Groups, SAVED_ROWS, SavedKeys};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::state::KeyTable;
use crate::window::LateCounters;
use crate::window::late::Measure;
use crate::window::session::{Ended, Open, Sessions};

/// Sessions: rows in, one row per session out when the watermark has passed its end.
pub struct SessionAggregate {
    grouping: Grouping,
    output: SchemaRef,
    late: LateRows,
    gap: velo_core::duration::Span,
    watermark: Watermark,
    saved: SavedKeys,
    keys: KeyTable,
    sessions: Sessions,
    set: AggregateSet,
    /// Sessions that have ended, and how many of them are written.
    ended: Vec<Ended>,
    written: usize,
    ids: Vec<u32>,
    groups: Vec<u32>,
}

impl SessionAggregate {
    /// The operator of an aggregate node with a session window.
    pub fn new(spec: &GroupSpec, input: &SchemaRef) -> Result<Self> {
        let Some(WindowKind::Session { gap }) = spec.window.as_ref().map(|window| window.kind) else {
            return Err(ExecError::Internal("sessions without their gap".to_owned()));
        };
        let plan = AggregatePlan::new(&spec.aggregates, input, Groups::OneByOne, &spec.statement)?;
        let grouping = Grouping::new(spec, Arc::clone(&plan), input)?;
        Ok(Self {
            output: Arc::clone(&spec.output),
            late: LateRows::new(spec.late, &spec.statement),
            gap,
            watermark: Watermark::NONE,
            saved: spec.saved_by_shared_keys(),
            keys: KeyTable::new(grouping.key_types())?,
            sessions: Sessions::new(gap.micros()),
            set: AggregateSet::new(&plan)?,
            ended: Vec::new(),
            written: 0,
            ids: Vec::new(),
            groups: Vec::new(),
            grouping,
        })
    }

    /// The open sessions in a checkpoint: their first and last rows in time, and how many there are.
    fn table(&self) -> Result<GroupTable<'_>> {
        let beside = [("$start", TIMESTAMP), ("$last", TIMESTAMP), ("$rows", DataType::Int64)];
        GroupTable::new("sessions", &self.saved, &beside, &self.grouping.plan)
    }

    /// Takes rows that are on time.
    fn take(&mut self, batch: &Batch) -> Result<()> {
        let evaluated = self.grouping.evaluate(batch)?;
        let times = times_of(batch)?;
        let measure = Measure::new(batch, self.watermark);
        let measured = |row: usize| measure.of(row, times[row]);
        self.grouping.each_set(&evaluated.keys, times.len(), |keys| {
            self.keys.intern(keys, times.len(), &mut self.ids)?;
            let before = self.sessions.groups();
            self.sessions
                .place(&self.ids, times, measured, &mut self.groups)
                .map_err(|error| self.grouping.named(error))?;
            let (from, into) = self.sessions.take_merged(before);
            if !from.is_empty() {
                let state = self.set.state(&from, true)?;
                self.set.merge(&into, self.sessions.groups(), &state)?;
            }
            self.set.update(&self.groups, self.sessions.groups(), &evaluated.inputs, &evaluated.order)
        })
    }
}

impl Operator for SessionAggregate {
    fn memory(&self) -> usize {
        self.keys.memory() + self.sessions.memory() + self.set.memory()
    }

    fn held(&self) -> u64 {
        self.sessions.held() / self.grouping.times_counted()
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        Some(Arc::clone(&self.late.counters))
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        if batch.is_empty() {
            return Ok(Flow::Done);
        }
        let (gap, target) = (self.gap, format_args!("a session with a gap of {}", self.gap));
        let on_time = self.late.leave_out(batch, self.watermark, target, |time, wp| for_session(time, gap, wp), out)?;
        if !on_time.is_empty() {
            self.take(&on_time)?;
        }
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.watermark = self.watermark.max(watermark);
        self.ended = self.sessions.ended(self.watermark);
        self.written = 0;
        self.resume(out)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.grouping.check(batch)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        for open in self.sessions.open().chunks(SAVED_ROWS) {
            let groups = open.iter().map(|session| session.group).collect::<Vec<_>>();
            let states = self.set.state(&groups, false)?;
            let keys = self.keys.keys(&open.iter().map(|session| session.key).collect::<Vec<_>>())?;
            let times = |of: fn(&Open) -> i64| -> ArrayRef {
                Arc::new(TimestampMicrosecondArray::from_iter_values(open.iter().map(of)))
            };
            let rows = open.iter().map(|session| i64::try_from(session.rows).unwrap_or(i64::MAX));
            let rows = Arc::new(Int64Array::from_iter_values(rows));
            let beside = vec![times(|session| session.start), times(|session| session.last), rows];
            self.table()?.write(state, open.len(), keys, beside, states)?;
        }
        self.late.counters.save(state)
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.watermark = state.watermark();
        for saved in self.table()?.read(state) {
            let saved = saved?;
            let (starts, lasts, rows) = (saved.all_times(0)?, saved.all_times(1)?, saved.counts(2)?);
            self.keys.intern(&saved.keys, saved.rows, &mut self.ids)?;
            self.groups.clear();
            for (row, key) in self.ids.iter().enumerate() {
                let rows = rows.value(row).unsigned_abs();
                let group = self.sessions.restore(*key, starts.value(row), lasts.value(row), rows);
                self.groups.push(group.ok_or_else(|| saved.damaged("two sessions of one key overlap"))?);
            }
            self.set.merge(&self.groups, self.sessions.groups(), &saved.states)?;
        }
        self.late.counters.load(state)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        let ended = std::mem::take(&mut self.ended);
        while self.written < ended.len() {
            if out.is_full() {
                self.ended = ended;
                return Ok(Flow::More);
            }
            let to = ended.len().min(self.written + OUTPUT_ROWS);
            let piece = &ended[self.written..to];
            self.written = to;
            let groups = piece.iter().map(|session| session.group).collect::<Vec<_>>();
            let results = self.set.evaluate(&groups, true)?;
            out.batch(Batch::new(ended_rows(piece, &self.keys, results, &self.output)?));
        }
        if self.sessions.is_sparse() {
            let groups = self.sessions.compact(&mut self.keys);
            self.set.keep(&groups)?;
        }
        // A session that ends at W fires later, with an event time one microsecond before W.
        out.watermark(match self.watermark {
            Watermark::END | Watermark::NONE => self.watermark,
            Watermark(micros) => Watermark(micros - 1),
        });
        Ok(Flow::Done)
    }
}
