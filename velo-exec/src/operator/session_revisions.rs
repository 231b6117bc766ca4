//! GROUP BY with session windows whose results are revised: told early, over rows that can be taken back, or with late rows that
//! correct what was told.
//!
//! A session that was told and then grows, shrinks, joins another or is cut in two takes back what was said of it. Where results
//! come once it has ended, and it has not ended any more, the next result comes when it has.

mod state;

use std::sync::Arc;

use arrow_array::{ArrayRef, UInt32Array};
use arrow_schema::SchemaRef;
use velo_core::duration::Span;
use velo_core::{Batch, RowKind, RowKinds, Watermark};
use velo_eventtime::late::for_session;
use velo_plan::plan::WindowKind;

use super::grouping::{Evaluated, GroupSpec, Grouping, times_of};
use super::late_rows::LateRows;
use super::session_rows::{ChangedRows, ended_rows};
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::aggregate::{AggregatePlan, AggregateSet, Groups, SavedKeys};
use crate::changes::unchanged;
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::state::KeyTable;
use crate::window::LateCounters;
use crate::window::late::Measure;
use crate::window::revised_sessions::{Member, Placed, RevisedSessions, Revision};
use crate::window::session::Ended;

/// Sessions with results that are revised.
pub struct SessionRevisions {
    grouping: Grouping,
    output: SchemaRef,
    late: LateRows,
    gap: Span,
    /// How long after its end a session still takes rows.
    slack: Span,
    /// How far behind the watermark a row can come out.
    behind: i64,
    early: bool,
    per_record: bool,
    watermark: Watermark,
    saved: SavedKeys,
    keys: KeyTable,
    sessions: RevisedSessions,
    set: AggregateSet,
    /// The state of each slot, where rows can be taken back.
    slots: Option<AggregateSet>,
    /// Sessions that have passed, and how many of them are written.
    passed: Vec<Ended>,
    written: usize,
    ids: Vec<u32>,
}

impl SessionRevisions {
    /// The operator of an aggregate node with a session window whose results come early or are corrected, or whose input changes.
    pub fn new(spec: &GroupSpec, input: &SchemaRef) -> Result<Self> {
        let Some(WindowKind::Session { gap }) = spec.window.as_ref().map(|window| window.kind) else {
            return Err(ExecError::Internal("sessions without their gap".to_owned()));
        };
        let groups = if spec.retracts { Groups::Changing } else { Groups::OneByOne };
        let plan = AggregatePlan::new(&spec.aggregates, input, groups, &spec.statement)?;
        let grouping = Grouping::new(spec, Arc::clone(&plan), input)?;
        let allowed = spec.emission.corrected.unwrap_or_default().micros();
        // A session takes a row at its very end, and a correction while the watermark is less than `allowed` behind that.
        let slack = (allowed - 1).max(0);
        // Where a row goes, what lies before it can have ended as long before as the row itself could come late.
        let shrinks = if spec.retracts { gap.micros() } else { 0 };
        Ok(Self {
            output: Arc::clone(&spec.output),
            late: LateRows::new(spec.late, &spec.statement),
            gap,
            slack: Span(slack),
            behind: allowed.max(1).saturating_add(shrinks),
            early: spec.emission.early,
            per_record: spec.emission.per_record && spec.emission.early,
            watermark: Watermark::NONE,
            saved: spec.saved_by_shared_keys(),
            keys: KeyTable::new(grouping.key_types())?,
            sessions: RevisedSessions::new(gap.micros(), slack, spec.retracts),
            set: AggregateSet::new(&plan)?,
            slots: spec.retracts.then(|| AggregateSet::new(&plan)).transpose()?,
            passed: Vec::new(),
            written: 0,
            ids: Vec::new(),
            grouping,
        })
    }

    /// Takes rows that are not too late.
    fn take(&mut self, batch: &Batch, out: &mut Outbox) -> Result<()> {
        match self.per_record {
            true => (0..batch.rows()).try_for_each(|row| self.add(&batch.slice(row, 1), out)),
            false => self.add(batch, out),
        }
    }

    fn add(&mut self, batch: &Batch, out: &mut Outbox) -> Result<()> {
        // Rows that can be taken back are known by their values, so the order among equal times cannot go by their places.
        let placeless = Batch { origin: None, ..batch.clone() };
        let batch = if self.slots.is_some() { &placeless } else { batch };
        let evaluated = self.grouping.evaluate_changes(batch)?;
        let times = times_of(batch)?;
        let measure = Measure::new(batch, self.watermark);
        let kinds = batch.kinds.as_ref().map(RowKinds::as_slice);
        let taken = |row: usize| kinds.is_some_and(|kinds| kinds[row].retracts());
        for keys in self.grouping.in_sets(&evaluated.keys, times.len()) {
            self.keys.intern(&keys, times.len(), &mut self.ids)?;
            let measured = |row: usize| measure.of(row, times[row]);
            let placed = self.sessions.place(&self.ids, times, taken, measured);
            let revision = placed.map_err(|error| self.grouping.named(error))?;
            self.revise(&revision, &evaluated, taken, out)?;
        }
        Ok(())
    }

    /// Brings the states up to date, and tells what changed.
    fn revise(
        &mut self,
        revision: &Revision,
        evaluated: &Evaluated,
        taken: impl Fn(usize) -> bool,
        out: &mut Outbox,
    ) -> Result<()> {
        self.set.grow(self.sessions.groups())?;
        let there = revision.there().collect::<Vec<_>>();
        let mut shown = Vec::new();
        for (place, member) in there.iter().enumerate() {
            let bounds = self.sessions.session(*member).and_then(|session| session.shown);
            shown.extend(bounds.map(|bounds| (place as u32, bounds)));
        }
        let of_shown = shown.iter().map(|(place, _)| there[*place as usize].group);
        let known = of_shown.chain(revision.lost.iter().map(|(member, _)| member.group)).collect::<Vec<_>>();
        let before = self.set.evaluate(&known, false)?;
        let (from, into) = revision.merged();
        if !from.is_empty() {
            let state = self.set.state(&from, true)?;
            self.set.merge(&into, self.sessions.groups(), &state)?;
        }
        for take in [false, true] {
            self.change(revision, evaluated, |placed| taken(placed.row as usize) == take, take)?;
        }
        self.rebuild(revision, &there)?;
        self.tell(revision, &there, &shown, &before, out)
    }

    /// Adds the rows for which `which` holds to their sessions and slots, or takes them out.
    fn change(
        &mut self,
        revision: &Revision,
        evaluated: &Evaluated,
        which: impl Fn(&Placed) -> bool,
        take: bool,
    ) -> Result<()> {
        let change = |set: &mut AggregateSet, total: usize, of: &dyn Fn(&Placed) -> Option<u32>| -> Result<()> {
            let placed = revision.placed.iter().filter(|placed| which(placed));
            let (rows, groups): (Vec<u32>, Vec<u32>) =
                placed.filter_map(|placed| Some((placed.row, of(placed)?))).unzip();
            if rows.is_empty() {
                return Ok(());
            }
            let whole = rows.len() == evaluated.order.rows();
            let (inputs, order) = match whole {
                true => (evaluated.inputs.clone(), evaluated.order.clone()),
                false => {
                    let rows = UInt32Array::from(rows);
                    (evaluated.inputs.take(&rows)?, evaluated.order.take(&rows)?)
                }
            };
            if take {
                set.retract(&groups, total, &inputs, &order)
            } else {
                set.update(&groups, total, &inputs, &order)
            }
        };
        change(&mut self.set, self.sessions.groups(), &|placed| revision.group_of(placed))?;
        match &mut self.slots {
            Some(slots) => change(slots, self.sessions.slots(), &|placed| Some(placed.slot)),
            None => Ok(()),
        }
    }

    /// The state of sessions that were cut in two is that of their slots.
    fn rebuild(&mut self, revision: &Revision, there: &[Member]) -> Result<()> {
        let Some(slots) = &mut self.slots else { return Ok(()) };
        let (mut of, mut groups) = (Vec::new(), Vec::new());
        for member in there.iter().filter(|member| revision.is_rebuilt(member.group)) {
            let Some(session) = self.sessions.session(*member).copied() else { continue };
            of.extend(self.sessions.slots_of(member.key, &session));
            groups.resize(of.len(), member.group);
        }
        if of.is_empty() {
            return Ok(());
        }
        let state = slots.state(&of, false)?;
        self.set.merge(&groups, self.sessions.groups(), &state)
    }

    /// Emits what changed: first what is taken back, then what is. `before` has the results of sessions that were `shown` and
    /// are `there`, by place, and behind them of those that were lost.
    fn tell(
        &mut self,
        revision: &Revision,
        there: &[Member],
        shown: &[(u32, (i64, i64))],
        before: &[ArrayRef],
        out: &mut Outbox,
    ) -> Result<()> {
        let groups = there.iter().map(|member| member.group).collect::<Vec<_>>();
        let after = self.set.evaluate(&groups, false)?;
        let places = shown.iter().map(|(place, _)| *place).collect::<Vec<_>>();
        let same = unchanged(before, &after, &places)?;
        let offset = (shown.len() + revision.lost.len()) as u32;
        let (mut gone, mut come) = (ChangedRows::default(), ChangedRows::default());
        for (at, (member, bounds)) in revision.lost.iter().enumerate() {
            gone.push(RowKind::Delete, member.key, (shown.len() + at) as u32, *bounds);
        }
        let mut known = shown.iter().enumerate().peekable();
        for (place, member) in there.iter().enumerate() {
            let was = known.next_if(|(_, (shown, _))| *shown as usize == place).map(|(at, (_, was))| (at, *was));
            let watermark = self.watermark;
            let Some(session) = self.sessions.session(*member).copied() else { continue };
            let bounds = self.sessions.bounds(&session);
            let tells = self.early || bounds.1 < watermark.0;
            let new = offset + place as u32;
            match was {
                Some((at, was)) if tells && was == bounds => {
                    if !same.value(at) {
                        come.push(RowKind::UpdateBefore, member.key, at as u32, was);
                        come.push(RowKind::UpdateAfter, member.key, new, bounds);
                    }
                }
                was => {
                    if let Some((at, was)) = was {
                        gone.push(RowKind::Delete, member.key, at as u32, was);
                    }
                    if tells {
                        come.push(RowKind::Insert, member.key, new, bounds);
                    }
                }
            }
            if let Some(session) = self.sessions.session(*member) {
                session.shown = tells.then_some(bounds);
            }
        }
        there.iter().for_each(|member| self.sessions.schedule(member.key));
        gone.append(come);
        gone.write(&self.keys, (before, &after), &self.output, out)
    }
}

impl Operator for SessionRevisions {
    fn memory(&self) -> usize {
        let slots = self.slots.as_ref().map_or(0, AggregateSet::memory);
        self.keys.memory() + self.sessions.memory() + self.set.memory() + slots
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
        let target = format_args!("a session with a gap of {}", self.gap);
        let reach = Span(self.gap.micros().saturating_add(self.slack.micros()));
        let taken = self.late.leave_out(batch, self.watermark, target, |time, wp| for_session(time, reach, wp), out)?;
        if !taken.is_empty() {
            self.take(&taken, out)?;
        }
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.watermark = self.watermark.max(watermark);
        self.passed = self.sessions.pass(self.watermark);
        self.written = 0;
        self.resume(out)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.grouping.check(batch)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.save_sessions(state)?;
        self.save_slots(state)?;
        self.late.counters.save(state)
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.watermark = state.watermark();
        self.load_sessions(state)?;
        self.late.counters.load(state)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        let passed = std::mem::take(&mut self.passed);
        while self.written < passed.len() {
            if out.is_full() {
                self.passed = passed;
                return Ok(Flow::More);
            }
            let to = passed.len().min(self.written + OUTPUT_ROWS);
            let piece = &passed[self.written..to];
            self.written = to;
            let groups = piece.iter().map(|session| session.group).collect::<Vec<_>>();
            let results = self.set.evaluate(&groups, self.slack.micros() == 0)?;
            out.batch(Batch::new(ended_rows(piece, &self.keys, results, &self.output)?));
        }
        if self.sessions.is_sparse() {
            let (groups, slots) = self.sessions.compact(&mut self.keys);
            self.set.keep(&groups)?;
            if let Some(set) = &mut self.slots {
                set.keep(&slots)?;
            }
        }
        out.watermark(match self.watermark {
            Watermark::END | Watermark::NONE => self.watermark,
            Watermark(micros) => Watermark(micros.saturating_sub(self.behind)),
        });
        Ok(Flow::Done)
    }
}
