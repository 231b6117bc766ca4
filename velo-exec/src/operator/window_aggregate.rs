//! GROUP BY with tumbling, sliding and cumulating windows over append-only rows.
//!
//! Where rows need no exchange, [`WindowAggregate`] does it in one step. Where they do, [`WindowPartial`] runs in the task of
//! each source and sends the states of slices, [`WindowFinal`] merges and fires them: far fewer rows are exchanged. Both share
//! the store, the treatment of late rows and the output, so that the two ways cannot differ.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int8Array, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use velo_core::{Batch, Watermark, schema};
use velo_eventtime::LateStrategy;

use super::grouping::{GroupSpec, Grouping, times_of};
use super::late_rows::{LateRows, window_named};
use super::{Flow, InputId, Operator, Outbox};
use crate::aggregate::{AggregatePlan, Groups, SavedKeys};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::window::late::divide;
use crate::window::{Fired, LateCounters, SealedStates, SliceState, WindowStore, Windows};

/// Rows in an output batch.
pub(super) const OUTPUT_ROWS: usize = 8_192;

/// Rows into slices, the late ones to their policy.
struct Intake {
    grouping: Grouping,
    late: LateRows,
    /// The operator's own.
    watermark: Watermark,
}

impl Intake {
    fn new(spec: &GroupSpec, plan: Arc<AggregatePlan>, input: &SchemaRef) -> Result<Self> {
        Ok(Self {
            grouping: Grouping::new(spec, plan, input)?,
            late: LateRows::new(spec.late, &spec.statement),
            watermark: Watermark::NONE,
        })
    }

    fn take(&mut self, store: &mut WindowStore, batch: &Batch, out: &mut Outbox) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let times = times_of(batch)?;
        let mut lateness =
            divide(store.windows(), batch, times, self.watermark).map_err(|error| self.grouping.named(error))?;
        let Some(on_time) = lateness.on_time.take() else { return self.add(store, batch) };
        self.late.counters.add(lateness.all.len() as u64, lateness.missed);
        self.add(store, &batch.filter(&on_time)?)?;
        for late in &lateness.all {
            match self.late.policy {
                LateStrategy::DeadLetter => {
                    let (row, window) = (late.row as usize, window_named(store.windows().bounds(late.end)));
                    out.dead_letter(self.late.letter(batch, row, times[row], window, late.watermark)?);
                }
                LateStrategy::IncludeInNextWindow => {
                    // After the end of the input there is no next window, and the row is only counted.
                    if let Some(end) = store.windows().end_after(late.watermark.0) {
                        lateness.some.entry(end).or_default().push(late.row);
                    }
                }
                LateStrategy::Drop | LateStrategy::UpdatePrevious => {}
            }
        }
        self.add_to_windows(store, batch, &mut lateness.some)
    }

    fn add(&mut self, store: &mut WindowStore, batch: &Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let evaluated = self.grouping.evaluate(batch)?;
        let times = times_of(batch)?;
        self.grouping
            .each_set(&evaluated.keys, times.len(), |keys| store.add(keys, times, &evaluated.inputs, &evaluated.order))
            .map_err(|error| self.grouping.named(error))
    }

    fn add_to_windows(
        &mut self,
        store: &mut WindowStore,
        batch: &Batch,
        ends: &mut BTreeMap<i64, Vec<u32>>,
    ) -> Result<()> {
        if ends.is_empty() {
            return Ok(());
        }
        // Expressions are computed only over rows that count, so that a dropped one cannot fail.
        let mut rows = ends.values().flatten().copied().collect::<Vec<_>>();
        rows.sort_unstable();
        rows.dedup();
        for row in ends.values_mut().flatten() {
            // Every row is in `rows`, so the search finds it.
            *row = rows.binary_search(row).unwrap_or_default() as u32;
        }
        for rows in ends.values_mut() {
            rows.sort_unstable();
        }
        let counted = batch.take(&UInt32Array::from(rows))?;
        let evaluated = self.grouping.evaluate(&counted)?;
        self.grouping.each_set(&evaluated.keys, counted.rows(), |keys| {
            store.add_to_windows(ends, keys, counted.rows(), &evaluated.inputs, &evaluated.order)
        })
    }
}

/// Fired windows into batches: windows of few keys share one, windows of many are cut.
struct Output {
    schema: SchemaRef,
    pieces: Vec<RecordBatch>,
    rows: usize,
    /// The window that is being written, and its next group.
    firing: Option<(Fired, usize)>,
}

impl Output {
    fn new(schema: SchemaRef) -> Self {
        Self { schema, pieces: Vec::new(), rows: 0, firing: None }
    }

    fn flush(&mut self, out: &mut Outbox) -> Result<()> {
        if !self.pieces.is_empty() {
            let columns = match self.pieces.as_slice() {
                [only] => only.clone(),
                several => arrow_select::concat::concat_batches(&self.schema, several)?,
            };
            out.batch(Batch::new(columns));
            self.pieces.clear();
            self.rows = 0;
        }
        Ok(())
    }

    /// Fires all windows that the watermark has passed, then forwards it; stops when the outbox is full.
    fn drive(&mut self, store: &mut WindowStore, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        loop {
            if let Some((fired, next)) = &mut self.firing {
                let groups = fired.state.keys().len();
                while *next < groups {
                    if out.is_full() {
                        return Ok(Flow::More);
                    }
                    let to = groups.min(*next + OUTPUT_ROWS - self.rows);
                    let piece = piece(&self.schema, store, fired, *next..to)?;
                    *next = to;
                    self.rows += piece.num_rows();
                    self.pieces.push(piece);
                    if self.rows >= OUTPUT_ROWS {
                        // Not `flush`, which would borrow the window that is being written.
                        let columns = arrow_select::concat::concat_batches(&self.schema, &self.pieces)?;
                        out.batch(Batch::new(columns));
                        self.pieces.clear();
                        self.rows = 0;
                    }
                }
                self.firing = None;
            }
            let Some(fired) = store.fire_next(watermark)? else { break };
            self.firing = Some((fired, 0));
        }
        self.flush(out)?;
        store.collect_keys();
        out.watermark(watermark);
        Ok(Flow::Done)
    }
}

/// The rows of some groups of a window: keys, aggregates, start, end, and the event time where the schema has one.
fn piece(
    schema: &SchemaRef,
    store: &WindowStore,
    fired: &mut Fired,
    groups: std::ops::Range<usize>,
) -> Result<RecordBatch> {
    let rows = groups.len();
    let mut columns = store.keys().keys(&fired.state.keys()[groups.clone()])?;
    let ids = groups.map(|group| group as u32).collect::<Vec<_>>();
    columns.extend(fired.state.set().evaluate(&ids, true)?);
    let constant = |value: i64| Arc::new(TimestampMicrosecondArray::from_value(value, rows)) as ArrayRef;
    columns.extend([constant(fired.start), constant(fired.end)]);
    if schema::event_time_index(schema).is_some() {
        columns.push(constant(fired.end - 1));
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn windows_of(spec: &GroupSpec) -> Result<Windows> {
    let window = spec.window.as_ref();
    Windows::new(window.ok_or_else(|| ExecError::Internal("a window operator without a window".to_owned()))?)
}

/// Windows in one step: rows in, results out.
///
/// Its state and that of [`WindowFinal`] are of one form: the tables of [`WindowStore`] and the counters of late rows. So a job
/// can go on with another parallelism, which has one step where there were two, or two where there was one.
pub struct WindowAggregate {
    intake: Intake,
    store: WindowStore,
    output: Output,
    saved: SavedKeys,
}

impl WindowAggregate {
    /// The operator of an aggregate node with a window that is no session.
    pub fn new(spec: &GroupSpec, input: &SchemaRef) -> Result<Self> {
        let plan = AggregatePlan::new(&spec.aggregates, input, Groups::Together, &spec.statement)?;
        let intake = Intake::new(spec, Arc::clone(&plan), input)?;
        let store = WindowStore::new(windows_of(spec)?, intake.grouping.key_types(), &plan)?;
        let output = Output::new(Arc::clone(&spec.output));
        Ok(Self { intake, store, output, saved: spec.saved_by_all_keys() })
    }
}

impl Operator for WindowAggregate {
    fn memory(&self) -> usize {
        self.store.memory()
    }

    fn held(&self) -> u64 {
        self.store.held() / self.intake.grouping.times_counted()
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        Some(Arc::clone(&self.intake.late.counters))
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.intake.grouping.check(batch)
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        self.intake.take(&mut self.store, &batch, out)?;
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.intake.watermark = self.intake.watermark.max(watermark);
        self.resume(out)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.store.save(&self.saved, state)?;
        self.intake.late.counters.save(state)
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.intake.watermark = state.watermark();
        self.store.load(&self.saved, state)?;
        self.intake.late.counters.load(state)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.output.drive(&mut self.store, self.intake.watermark, out)
    }
}

/// The columns between the two steps: keys, number, whether it is a window, rows, states, and the time at which it was due.
fn state_schema(spec: &GroupSpec, plan: &AggregatePlan) -> Result<SchemaRef> {
    let mut fields = spec.keys.iter().map(|key| Arc::clone(&key.field)).collect::<Vec<_>>();
    fields.push(Arc::new(Field::new("$slice", DataType::Int64, false)));
    fields.push(Arc::new(Field::new("$is_window", DataType::Int8, false)));
    fields.push(Arc::new(Field::new("$rows", DataType::Int64, false)));
    fields.extend(plan.state_fields()?);
    fields.push(Arc::new(schema::event_time_field()));
    Ok(Arc::new(Schema::new(fields)))
}

/// A slice that is being written.
struct Sealing {
    number: i64,
    window: bool,
    due: i64,
    state: SliceState,
    next: usize,
}

/// The first of two steps: rows in, states of slices out.
///
/// At a barrier it hands on what it holds, as the states of slices that are not over yet; more can come of the same slices behind
/// it. So it saves no rows, and only the second step is shared out anew under another parallelism.
pub struct WindowPartial {
    intake: Intake,
    store: WindowStore,
    schema: SchemaRef,
    sealing: Option<Sealing>,
    /// Everything is sent, whatever the watermark.
    flushing: bool,
}

impl WindowPartial {
    /// The first step of an aggregate node with a window that is no session.
    pub fn new(spec: &GroupSpec, input: &SchemaRef) -> Result<Self> {
        let plan = AggregatePlan::new(&spec.aggregates, input, Groups::Together, &spec.statement)?;
        let intake = Intake::new(spec, Arc::clone(&plan), input)?;
        let store = WindowStore::new(windows_of(spec)?, intake.grouping.key_types(), &plan)?;
        Ok(Self { intake, store, schema: state_schema(spec, &plan)?, sealing: None, flushing: false })
    }

    /// The columns between the two steps; the keys come first.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn piece(&mut self, sealing: &mut Sealing) -> Result<RecordBatch> {
        let groups = sealing.next..sealing.state.keys().len().min(sealing.next + OUTPUT_ROWS);
        let rows = groups.len();
        let mut columns = self.store.keys().keys(&sealing.state.keys()[groups.clone()])?;
        let mut counts = vec![0; rows];
        if groups.start == 0 && rows > 0 {
            counts[0] = i64::try_from(sealing.state.rows()).unwrap_or(i64::MAX);
        }
        columns.push(Arc::new(Int64Array::from_value(sealing.number, rows)));
        columns.push(Arc::new(Int8Array::from_value(i8::from(sealing.window), rows)));
        columns.push(Arc::new(Int64Array::from(counts)));
        sealing.next = groups.end;
        let ids = groups.map(|group| group as u32).collect::<Vec<_>>();
        columns.extend(sealing.state.set().state(&ids, true)?);
        columns.push(Arc::new(TimestampMicrosecondArray::from_value(sealing.due - 1, rows)));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

impl Operator for WindowPartial {
    fn memory(&self) -> usize {
        self.store.memory()
    }

    fn held(&self) -> u64 {
        self.store.held() / self.intake.grouping.times_counted()
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        Some(Arc::clone(&self.intake.late.counters))
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.intake.grouping.check(batch)
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        self.intake.take(&mut self.store, &batch, out)?;
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.intake.watermark = self.intake.watermark.max(watermark);
        self.resume(out)
    }

    /// While this task is idle the second step's watermark goes on without it, so it must have everything.
    fn on_idle(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.flushing = true;
        self.resume(out)
    }

    fn on_barrier(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.flushing = true;
        self.resume(out)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        if self.store.held() > 0 {
            return Err(ExecError::Internal("slices that were not handed on at a barrier".to_owned()));
        }
        self.intake.late.counters.save(state)
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.intake.watermark = state.watermark();
        self.intake.late.counters.load(state)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        let until = if self.flushing { Watermark::END } else { self.intake.watermark };
        loop {
            if let Some(mut sealing) = self.sealing.take() {
                while sealing.next < sealing.state.keys().len() {
                    if out.is_full() {
                        self.sealing = Some(sealing);
                        return Ok(Flow::More);
                    }
                    let piece = self.piece(&mut sealing)?;
                    out.batch(Batch::new(piece));
                }
            }
            let Some((number, window, state, due)) = self.store.seal_next(until)? else { break };
            self.sealing = Some(Sealing { number, window, due, state, next: 0 });
        }
        self.store.collect_keys();
        if !std::mem::take(&mut self.flushing) {
            out.watermark(self.intake.watermark);
        }
        Ok(Flow::Done)
    }
}

/// The second of two steps: states of slices in, results out. Its state is of one form with that of [`WindowAggregate`].
pub struct WindowFinal {
    store: WindowStore,
    output: Output,
    saved: SavedKeys,
    keys: usize,
    /// How often each row is counted.
    sets: u64,
    late: LateStrategy,
    counters: Arc<LateCounters>,
    watermark: Watermark,
}

impl WindowFinal {
    /// The second step of an aggregate node with a window that is no session; `input` is the schema of the node's input, not
    /// of the states.
    pub fn new(spec: &GroupSpec, input: &SchemaRef) -> Result<Self> {
        let plan = AggregatePlan::new(&spec.aggregates, input, Groups::Together, &spec.statement)?;
        let key_types = spec.keys.iter().map(|key| key.field.data_type().clone()).collect::<Vec<_>>();
        Ok(Self {
            store: WindowStore::new(windows_of(spec)?, &key_types, &plan)?,
            output: Output::new(Arc::clone(&spec.output)),
            saved: spec.saved_by_all_keys(),
            keys: key_types.len(),
            sets: spec.sets.len().max(1) as u64,
            late: spec.late,
            counters: Arc::default(),
            watermark: Watermark::NONE,
        })
    }
}

impl Operator for WindowFinal {
    fn memory(&self) -> usize {
        self.store.memory()
    }

    fn held(&self) -> u64 {
        self.store.held() / self.sets
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        Some(Arc::clone(&self.counters))
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, _out: &mut Outbox) -> Result<Flow> {
        let columns = batch.columns.columns();
        let wrong = || ExecError::Internal("states of slices with other columns".to_owned());
        let (keys, rest) = columns.split_at_checked(self.keys).ok_or_else(wrong)?;
        let [slices, windows, rows, state @ .., _due] = rest else { return Err(wrong()) };
        let sealed = SealedStates {
            keys,
            slices: slices.as_any().downcast_ref().ok_or_else(wrong)?,
            windows: windows.as_any().downcast_ref().ok_or_else(wrong)?,
            rows: rows.as_any().downcast_ref().ok_or_else(wrong)?,
            state,
        };
        let late = self.store.add_states(&sealed, self.late == LateStrategy::IncludeInNextWindow)?;
        self.counters.add(late / self.sets, 0);
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.watermark = self.watermark.max(watermark);
        self.resume(out)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.store.save(&self.saved, state)?;
        self.counters.save(state)
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.watermark = state.watermark();
        self.store.load(&self.saved, state)?;
        self.counters.load(state)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.output.drive(&mut self.store, self.watermark, out)
    }
}
