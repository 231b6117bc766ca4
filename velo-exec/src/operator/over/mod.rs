//! OVER: each row once, with what its calls make of the rows around it.
//!
//! Rows that go by event time are held until the watermark has passed them, so that disorder does not show. A row whose calls
//! need rows behind it waits for them, and the watermark with it. Rows lose their origin here, since rows of several partitions
//! come out in one order; those that go by arrival keep it.

mod buffer;
mod state;
mod window;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use arrow_schema::{Field, FieldRef, Schema, SchemaRef};
use datafusion_common::DFSchema;
use datafusion_expr::{Expr, ExprSchemable};
use velo_core::batch::columns_of;
use velo_core::{Batch, Watermark, schema};
use velo_eventtime::late::for_row;
use velo_plan::plan::{Over as Plan, OverFunction, OverOrder};

use super::late_rows::LateRows;
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;
use crate::row_window::held::Held;
use crate::row_window::{Call, Places, RowRef, make};
use crate::window::LateCounters;
use buffer::{OverBuffer, needs_order};
use window::Window;

/// What the operator is made from: a plan's node.
#[derive(Debug, Clone)]
pub struct OverSpec {
    /// The windows and calls.
    pub over: Plan,
    /// What comes out: the input's columns, the calls' results, and the event time.
    pub output: SchemaRef,
    /// The stream, table or view whose statement it is, for errors and dead letters.
    pub statement: String,
}

/// Row windows.
pub struct Over {
    order: OverOrder,
    late: LateRows,
    /// What the windows need that is no column of the input, computed when rows come.
    computed: Vec<Evaluator>,
    /// The input's columns, what is computed, and the event time.
    inner: SchemaRef,
    output: SchemaRef,
    /// The number of the input's visible columns.
    visible: usize,
    /// The inner columns by which rows are exchanged.
    exchanged: Vec<usize>,
    windows: Vec<Window>,
    /// The calls, each with its window.
    calls: Vec<(usize, Box<dyn Call>)>,
    held: Held,
    next_chunk: u64,
    chunks: BTreeMap<u64, Chunk>,
    decided: Vec<RowRef>,
    watermark: Watermark,
    /// What can come out, and then the watermark.
    ready: VecDeque<Batch>,
    forward: Option<Watermark>,
    ended: bool,
}

/// Rows of one release that have not all come out.
struct Chunk {
    /// The rows that are still there, with the results of calls that are not delayed.
    rows: Batch,
    /// Which rows of the release these are, ascending.
    numbers: Vec<u32>,
    /// By row of the release: how many calls have not decided it.
    missing: Vec<u16>,
    /// The rows that do not come out because a buffer was not full.
    unfilled: Option<BooleanArray>,
    /// How many rows have not come out.
    live: usize,
    /// The earliest event time among them.
    oldest: i64,
}

/// The input's columns, and what has to be computed beside them.
struct Columns<'a> {
    input: &'a SchemaRef,
    statement: &'a str,
    df_schema: DFSchema,
    visible: usize,
    computed: Vec<(Expr, Evaluator, FieldRef)>,
}

/// The columns that all windows are partitioned by.
fn shared(over: &Plan) -> impl Iterator<Item = &Expr> {
    let first = over.windows.first().map(|window| window.partition_by.as_slice()).unwrap_or_default();
    let columns = first.iter().filter(|key| matches!(key, Expr::Column(_)));
    columns.filter(|key| over.windows.iter().all(|window| window.partition_by.contains(key)))
}

/// Their places in the input: the columns by which rows can be exchanged.
pub(crate) fn shared_partition(over: &Plan, input: &Schema) -> Vec<usize> {
    let place = |key: &Expr| match key {
        Expr::Column(column) => input.index_of(column.name()).ok(),
        _ => None,
    };
    shared(over).filter_map(place).collect()
}

impl Columns<'_> {
    /// The place of an expression among the inner columns.
    fn place(&mut self, expr: &Expr) -> Result<usize> {
        if let Expr::Column(column) = expr {
            let at = self.input.index_of(column.name())?;
            if at < self.visible {
                return Ok(at);
            }
        }
        if let Some(at) = self.computed.iter().position(|(known, ..)| known == expr) {
            return Ok(self.visible + at);
        }
        let evaluator = Evaluator::new(expr, self.input, self.statement)?;
        let name = format!("$over_input{}", self.computed.len());
        let field = Field::new(name, expr.get_type(&self.df_schema)?, true);
        self.computed.push((expr.clone(), evaluator, Arc::new(field)));
        Ok(self.visible + self.computed.len() - 1)
    }
}

impl Over {
    /// The operator of a node of row windows; `input` is the schema of its input.
    pub fn new(spec: &OverSpec, input: &SchemaRef) -> Result<Self> {
        let over = &spec.over;
        let visible = schema::visible(input).fields().len();
        let df_schema = DFSchema::try_from(Arc::clone(input))?;
        let mut columns = Columns { input, statement: &spec.statement, df_schema, visible, computed: Vec::new() };
        let mut windows = Vec::new();
        let mut places = Vec::new();
        for (at, window) in over.windows.iter().enumerate() {
            let calls = || over.calls.iter().filter(|call| call.window == at);
            let decides = window.buffer.is_some_and(|buffer| buffer.when_full);
            if calls().next().is_none() && !decides {
                // Nothing reads what it computes.
                windows.push(None);
                continue;
            }
            let keys = window.partition_by.iter().map(|key| columns.place(key)).collect::<Result<Vec<_>>>()?;
            let order = window.order_by.iter().map(|key| Ok((columns.place(&key.expr)?, key.clone())));
            windows.push(Some((keys, order.collect::<Result<Vec<_>>>()?)));
        }
        let exchanged = shared(over).map(|key| columns.place(key)).collect::<Result<Vec<_>>>()?;
        for call in &over.calls {
            let arguments = call.arguments.iter().map(|argument| columns.place(argument)).collect::<Result<_>>()?;
            let filter = match &call.function {
                OverFunction::Aggregate(aggregate) => aggregate.filter.as_ref(),
                _ => None,
            };
            let filter = filter.map(|filter| columns.place(filter)).transpose()?;
            places.push(Places { arguments, filter });
        }
        let mut fields = schema::visible(input).fields().to_vec();
        fields.extend(columns.computed.iter().map(|(.., field)| Arc::clone(field)));
        let inner = Arc::new(Schema::new(fields));
        let inner = match schema::event_time_index(input) {
            Some(_) => schema::with_event_time(&inner),
            None => inner,
        };
        let mut made = Vec::new();
        let mut number = vec![0; over.windows.len()];
        let mut orders = vec![Vec::new(); over.windows.len()];
        for (at, (planned, compiled)) in over.windows.iter().zip(windows).enumerate() {
            let Some((keys, order)) = compiled else { continue };
            number[at] = made.len();
            let calls = over.calls.iter().filter(|call| call.window == at && !needs_order(planned, call));
            // The order within a buffer is a matter of its calls.
            let own_order = if planned.buffer.is_some() { Vec::new() } else { order.clone() };
            orders[at] = order;
            let window = Window::new(planned, &calls.collect::<Vec<_>>(), keys, own_order, over.order, &inner)?;
            // Windows that differ in their frames alone are one here.
            match made.iter_mut().position(|known: &mut Window| known.join(&window)) {
                Some(known) => number[at] = known,
                None => made.push(window),
            }
        }
        let calls = over.calls.iter().zip(&places).map(|(call, places)| {
            let window = over
                .windows
                .get(call.window)
                .ok_or_else(|| ExecError::Internal(format!("{} has no window", call.text)))?;
            let made = if needs_order(window, call) {
                Box::new(OverBuffer::new(call, window, &orders[call.window], places, &inner, &spec.statement)?)
            } else {
                make(call, window, places, &inner, &spec.statement)?
            };
            Ok((number[call.window], made))
        });
        Ok(Self {
            order: over.order,
            late: LateRows::new(over.late, &spec.statement),
            calls: calls.collect::<Result<_>>()?,
            computed: columns.computed.into_iter().map(|(_, evaluator, _)| evaluator).collect(),
            held: Held::new(Arc::clone(&inner)),
            inner,
            output: Arc::clone(&spec.output),
            visible,
            exchanged,
            windows: made,
            next_chunk: 0,
            chunks: BTreeMap::new(),
            decided: Vec::new(),
            watermark: Watermark::NONE,
            ready: VecDeque::new(),
            forward: None,
            ended: false,
        })
    }

    /// The batch with what the windows need beside its columns.
    fn with_computed(&self, batch: &Batch) -> Result<Batch> {
        let mut columns: Vec<ArrayRef> = batch.columns.columns()[..self.visible].to_vec();
        for evaluator in &self.computed {
            columns.push(evaluator.evaluate(batch)?);
        }
        columns.extend(batch.columns.columns()[self.visible..].iter().cloned());
        Ok(batch.with_columns(columns_of(&self.inner, columns, batch.rows())?))
    }

    /// Rows in their order go through the calls.
    fn release(&mut self, rows: Option<Batch>, now: i64) -> Result<()> {
        let chunk = self.next_chunk;
        self.next_chunk += 1;
        let mut decided = std::mem::take(&mut self.decided);
        let mut unfilled = None;
        if let Some(rows) = &rows {
            for window in &mut self.windows {
                window.take(rows, chunk, now)?;
                unfilled = both(unfilled, window.unfilled());
            }
            for (window, call) in &mut self.calls {
                call.push(&self.windows[*window].rows(chunk, &rows.columns), &mut decided)?;
            }
        }
        for (_, call) in &mut self.calls {
            call.settle(self.watermark.0, &mut decided)?;
        }
        let over = self.watermark == Watermark::END || self.ended;
        if over || self.order == OverOrder::Window {
            for (_, call) in &mut self.calls {
                call.end(None, &mut decided)?;
            }
            self.windows.iter_mut().for_each(Window::clear);
        }
        for at in 0..self.windows.len() {
            let gone = self.windows[at].expired(self.watermark, now);
            if gone.is_empty() {
                continue;
            }
            let numbers = self.windows[at].forget(&gone);
            for (_, call) in self.calls.iter_mut().filter(|(window, _)| *window == at) {
                call.end(Some(&gone), &mut decided)?;
                if let Some((numbers, partitions)) = &numbers {
                    call.renumber(numbers, *partitions);
                }
            }
        }
        if let Some(rows) = rows {
            self.results(rows, chunk, unfilled)?;
        }
        self.come_out(&mut decided)?;
        self.decided = decided;
        Ok(())
    }

    /// The rows of a release with the results that are there: they come out, or wait for the other calls.
    fn results(&mut self, rows: Batch, chunk: u64, unfilled: Option<BooleanArray>) -> Result<()> {
        let delayed = self.calls.iter().filter(|(_, call)| call.is_delayed()).count();
        let mut columns = rows.columns.columns()[..self.visible].to_vec();
        for (_, call) in self.calls.iter_mut().filter(|(_, call)| !call.is_delayed()) {
            columns.push(call.results().whole()?);
        }
        let time = schema::event_time_index(rows.columns.schema_ref()).map(|at| Arc::clone(rows.columns.column(at)));
        columns.extend(time);
        if delayed == 0 {
            let count = rows.rows();
            let mut batch = rows.with_columns(columns_of(&self.output, columns, count)?);
            if let Some(unfilled) = unfilled {
                batch = batch.filter(&inverted(&unfilled))?;
            }
            self.ready.push_back(batch);
            return Ok(());
        }
        let partial = self.partial();
        let count = rows.rows();
        let missing = vec![u16::try_from(delayed).unwrap_or(u16::MAX); count];
        let rows = rows.with_columns(columns_of(&partial, columns, count)?);
        let mut waiting =
            Chunk { rows, numbers: (0..count as u32).collect(), missing, unfilled, live: count, oldest: i64::MIN };
        waiting.oldest = waiting.earliest();
        self.chunks.insert(chunk, waiting);
        Ok(())
    }

    /// The columns of rows that wait: those that come out without the results of calls that are delayed.
    fn partial(&self) -> SchemaRef {
        let delayed = |at: usize| {
            let call = at.checked_sub(self.visible).and_then(|call| self.calls.get(call));
            call.is_some_and(|(_, call)| call.is_delayed())
        };
        let fields = self.output.fields().iter().enumerate().filter(|(at, _)| !delayed(*at));
        let fields = fields.map(|(_, field)| Arc::new(field.as_ref().clone().with_nullable(true)));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Rows that all calls have decided come out.
    fn come_out(&mut self, decided: &mut Vec<RowRef>) -> Result<()> {
        let mut ready: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for at in decided.drain(..) {
            if let Some(chunk) = self.chunks.get_mut(&at.chunk) {
                let missing = &mut chunk.missing[at.row as usize];
                *missing -= 1;
                if *missing == 0 {
                    ready.entry(at.chunk).or_default().push(at.row);
                }
            }
        }
        for (number, mut rows) in ready {
            rows.sort_unstable();
            let Some(chunk) = self.chunks.get_mut(&number) else { continue };
            chunk.live -= rows.len();
            let shown = match &chunk.unfilled {
                Some(unfilled) => rows.iter().copied().filter(|row| !unfilled.value(*row as usize)).collect(),
                None => rows,
            };
            if !shown.is_empty() {
                let batch = Self::complete(&mut self.calls, &self.output, self.visible, chunk, number, &shown)?;
                self.ready.push_back(batch);
            }
            if chunk.live == 0 {
                self.chunks.remove(&number);
                delayed(&mut self.calls).for_each(|call| call.results().keep(number, &[]));
            } else {
                if chunk.live * 4 < chunk.numbers.len() {
                    let left = chunk.compact()?;
                    delayed(&mut self.calls).for_each(|call| call.results().keep(number, &left));
                }
                chunk.oldest = chunk.earliest();
            }
        }
        Ok(())
    }

    fn complete(
        calls: &mut [(usize, Box<dyn Call>)],
        output: &SchemaRef,
        visible: usize,
        chunk: &Chunk,
        number: u64,
        rows: &[u32],
    ) -> Result<Batch> {
        let taken = chunk.rows.take(&chunk.places(rows))?;
        let mut columns = taken.columns.columns()[..visible].to_vec();
        let mut known = taken.columns.columns()[visible..].iter();
        for (_, call) in calls {
            if call.is_delayed() {
                columns.push(call.results().pick(number, rows)?);
            } else {
                columns.extend(known.next().cloned());
            }
        }
        columns.extend(known.cloned());
        Ok(taken.with_columns(columns_of(output, columns, rows.len())?))
    }

    /// Up to where no row of this operator comes out any more.
    fn promised(&self) -> Watermark {
        let oldest = self.chunks.values().map(|chunk| chunk.oldest).min().unwrap_or(i64::MAX);
        self.watermark.min(Watermark(oldest))
    }

    fn drive(&mut self, out: &mut Outbox) -> Flow {
        while let Some(batch) = self.ready.front_mut() {
            if out.is_full() {
                return Flow::More;
            }
            if batch.rows() > OUTPUT_ROWS {
                out.batch(batch.slice(0, OUTPUT_ROWS));
                *batch = batch.slice(OUTPUT_ROWS, batch.rows() - OUTPUT_ROWS);
            } else {
                out.batch(batch.clone());
                self.ready.pop_front();
            }
        }
        if let Some(watermark) = self.forward.take() {
            out.watermark(watermark);
        }
        Flow::Done
    }

    /// All rows that are held come out.
    fn finish(&mut self, now: i64) -> Result<()> {
        let rows = self.held.release(Watermark::END)?;
        self.release(rows.map(|rows| Batch { origin: None, ..rows }), now)
    }

    /// Asks to be called when a buffer could expire by the clock.
    fn ask(&self, out: &mut Outbox) {
        if let Some(at) = self.windows.iter().filter_map(Window::expires_at).min() {
            out.timer_at(at);
        }
    }
}

/// The calls whose results wait in their chunks.
fn delayed(calls: &mut [(usize, Box<dyn Call>)]) -> impl Iterator<Item = &mut Box<dyn Call>> {
    calls.iter_mut().map(|(_, call)| call).filter(|call| call.is_delayed())
}

/// Where a mask is not true.
fn inverted(mask: &BooleanArray) -> BooleanArray {
    BooleanArray::new(!mask.values(), None)
}

/// Rows of which one or the other says so.
fn both(left: Option<BooleanArray>, right: Option<BooleanArray>) -> Option<BooleanArray> {
    match (left, right) {
        (Some(left), Some(right)) => Some(BooleanArray::new(left.values() | right.values(), None)),
        (left, right) => left.or(right),
    }
}

impl Chunk {
    /// Where rows of the release lie now.
    fn places(&self, rows: &[u32]) -> UInt32Array {
        if self.numbers.len() == self.missing.len() {
            return UInt32Array::from(rows.to_vec());
        }
        rows.iter().filter_map(|row| self.numbers.binary_search(row).ok()).map(|place| Some(place as u32)).collect()
    }

    /// The rows that have not come out.
    fn left(&self) -> Vec<u32> {
        self.numbers.iter().copied().filter(|row| self.missing[*row as usize] > 0).collect()
    }

    /// Forgets the rows that have come out; gives the others.
    fn compact(&mut self) -> Result<Vec<u32>> {
        let left = self.left();
        self.rows = self.rows.take(&self.places(&left))?;
        self.numbers.clone_from(&left);
        Ok(left)
    }

    /// The earliest event time of the rows that are still to come; late source rows, which are only passed on, hold nothing up.
    fn earliest(&self) -> i64 {
        let Some(times) = self.rows.event_times() else { return i64::MAX };
        let late = |place: usize| self.rows.late_by.as_ref().is_some_and(|late_by| late_by.value(place) > 0);
        let waits =
            |(place, row): (usize, &u32)| (self.missing[*row as usize] > 0 && !late(place)).then(|| times.value(place));
        self.numbers.iter().enumerate().filter_map(waits).min().unwrap_or(i64::MAX)
    }
}

impl Operator for Over {
    fn memory(&self) -> usize {
        let calls = self.calls.iter().map(|(_, call)| call.memory()).sum::<usize>();
        let windows = self.windows.iter().map(Window::memory).sum::<usize>();
        let chunks =
            self.chunks.values().map(|chunk| chunk.rows.memory() + chunk.missing.capacity() * 2).sum::<usize>();
        self.held.memory() + calls + windows + chunks
    }

    fn held(&self) -> u64 {
        (self.held.rows() + self.chunks.values().map(|chunk| chunk.live).sum::<usize>()) as u64
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        (self.order == OverOrder::EventTime).then(|| Arc::clone(&self.late.counters))
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        if batch.kinds.as_ref().is_some_and(|kinds| kinds.as_slice().iter().any(|kind| kind.retracts())) {
            return Err(ExecError::Internal("a row window over append-only rows got a retraction".to_owned()));
        }
        let batch = match self.order {
            OverOrder::EventTime => {
                let on_time = self.late.leave_out(batch, self.watermark, "a row window", for_row, out)?;
                Batch { late_by: None, ..on_time }
            }
            _ => batch,
        };
        if batch.is_empty() {
            return Ok(Flow::Done);
        }
        let batch = self.with_computed(&batch)?;
        if self.order == OverOrder::Arrival {
            self.release(Some(batch), out.now())?;
            self.ask(out);
            return Ok(self.drive(out));
        }
        self.held.push(batch)?;
        Ok(Flow::Done)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.computed.iter().try_for_each(|one| one.evaluate(batch).map(drop))
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.watermark = self.watermark.max(watermark);
        match self.order {
            // Nothing has come out yet, so no watermark but the last can be told.
            OverOrder::End if self.watermark != Watermark::END => return Ok(Flow::Done),
            _ => {}
        }
        let rows = self.held.release(self.watermark)?;
        self.release(rows.map(|rows| Batch { origin: None, ..rows }), out.now())?;
        self.forward = Some(self.promised());
        Ok(self.drive(out))
    }

    /// Buffers that expired by the clock are emptied, also while no rows come.
    fn on_timer(&mut self, now: i64, out: &mut Outbox) -> Result<Flow> {
        self.release(None, now)?;
        self.ask(out);
        Ok(self.drive(out))
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        // A stream without an event time has no last watermark.
        if !self.ended && self.watermark != Watermark::END {
            self.ended = true;
            self.finish(out.now())?;
        }
        Ok(self.drive(out))
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.save_all(state)
    }

    fn load(&mut self, state: &mut StateReader, out: &mut Outbox) -> Result<()> {
        self.load_all(state)?;
        self.ask(out);
        Ok(())
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        Ok(self.drive(out))
    }
}
