//! The join of windows: pairs of rows of the same window, when the watermark has passed its end.
//!
//! Rows are held by window as they come, and joined at once when it closes; then all of them go. Rows that are taken back while
//! their window is open are not there when it closes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, BooleanArray, UInt32Array};
use arrow_schema::{DataType, SchemaRef};
use velo_core::{Batch, RowKinds, Watermark, schema};
use velo_eventtime::LateStrategy;
use velo_eventtime::late::for_window;
use velo_plan::plan::WindowJoin as Plan;

use super::late_rows::{LateRows, window_named};
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::rows::pack;
use crate::checkpoint::sequence::{PIECE, unpacked};
use crate::checkpoint::state::damaged;
use crate::checkpoint::{StateReader, StateWriter};
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::join::{
    Gives, HashJoin, JoinColumns, JoinKeys, JoinSpec, KeptRows, LEFT, Pairs, RIGHT, RowRef, SIDES, check_kinds,
};
use crate::state::KeyTable;
use crate::window::LateCounters;
use crate::window::late::Measure;

/// Joins windows.
pub struct WindowJoin {
    gives: Gives,
    late: LateRows,
    keys: JoinKeys,
    columns: JoinColumns,
    inputs: [SchemaRef; 2],
    /// Of each input the places of the window's start and end.
    bounds: [[usize; 2]; 2],
    retracts: [bool; 2],
    /// By end and start.
    windows: BTreeMap<(i64, i64), Window>,
    held: u64,
    watermark: Watermark,
    /// The window that is closing, with its end.
    closing: Option<(i64, HashJoin)>,
    pairs: Pairs,
    forward: Option<Watermark>,
}

/// The rows of a window.
#[derive(Debug, Default)]
struct Window {
    sides: [Side; 2],
}

#[derive(Debug, Default)]
struct Side {
    batches: Vec<Batch>,
    rows: u64,
    /// How many of the last batches are small.
    small: usize,
}

/// Rows of a batch by window.
#[derive(Debug, Default)]
struct ByWindow {
    all: BTreeMap<(i64, i64), Vec<u32>>,
    last: Option<((i64, i64), Vec<u32>)>,
}

impl ByWindow {
    /// A row of the window with this end and start.
    fn push(&mut self, window: (i64, i64), row: u32) {
        // Rows of one window mostly come together.
        match &mut self.last {
            Some((last, rows)) if *last == window => rows.push(row),
            _ => {
                let mut rows = self.all.remove(&window).unwrap_or_default();
                rows.push(row);
                self.all.extend(self.last.replace((window, rows)));
            }
        }
    }

    fn finish(mut self) -> BTreeMap<(i64, i64), Vec<u32>> {
        self.all.extend(self.last);
        self.all
    }
}

/// A batch of fewer rows is put together with others, once there are so many.
const SMALL: usize = 1_024;
const MANY: usize = 32;

impl Side {
    fn push(&mut self, batch: Batch) -> Result<()> {
        self.rows += batch.rows() as u64;
        self.small = if batch.rows() < SMALL { self.small + 1 } else { 0 };
        self.batches.push(batch);
        if self.small == MANY {
            let small = self.batches.split_off(self.batches.len() - MANY);
            let schema = small[0].schema();
            let whole = Batch::concat(&schema, &small)?;
            self.small = usize::from(whole.rows() < SMALL);
            self.batches.push(whole);
        }
        Ok(())
    }
}

impl WindowJoin {
    /// The operator of a node.
    pub fn new(spec: &JoinSpec<Plan>) -> Result<Self> {
        let join = &spec.join.join;
        let keys = join.keys.iter().map(|key| (&key.left, &key.right));
        let bounds = |names: &[String; 2], input: &SchemaRef| -> Result<[usize; 2]> {
            Ok([input.index_of(&names[0])?, input.index_of(&names[1])?])
        };
        Ok(Self {
            gives: Gives::new(&join.kind)?,
            late: LateRows::new(spec.join.late, &spec.statement),
            keys: JoinKeys::new(keys, &spec.left, &spec.right, &spec.statement)?,
            columns: JoinColumns::new(join, &spec.left, &spec.right, spec.output.clone(), &spec.statement)?,
            bounds: [bounds(&spec.join.left_window, &spec.left)?, bounds(&spec.join.right_window, &spec.right)?],
            inputs: [spec.left.clone(), spec.right.clone()],
            retracts: spec.retracts,
            windows: BTreeMap::new(),
            held: 0,
            watermark: Watermark::NONE,
            closing: None,
            pairs: Pairs::default(),
            forward: None,
        })
    }

    /// The starts and the ends of the windows of a batch's rows.
    fn bounds<'a>(&self, side: usize, batch: &'a Batch) -> Result<[&'a [i64]; 2]> {
        let bound = |which: usize| {
            let column = batch.columns.column(self.bounds[side][which]);
            let times = column.as_primitive_opt::<TimestampMicrosecondType>().filter(|times| times.null_count() == 0);
            times.ok_or_else(|| ExecError::Internal("a join of windows without their bounds".to_owned()))
        };
        Ok([bound(0)?.values(), bound(1)?.values()])
    }

    /// Puts the rows of a batch into their windows.
    fn insert(&mut self, side: usize, batch: &Batch, out: &mut Outbox) -> Result<()> {
        let [starts, ends] = self.bounds(side, batch)?;
        let measure = Measure::new(batch, self.watermark);
        let mut of_windows = ByWindow::default();
        let mut late = 0;
        for (row, (start, end)) in starts.iter().zip(ends).enumerate() {
            // A row of a window stands for its last time.
            let watermark = measure.of(row, end - 1);
            if for_window(*end, watermark).is_late() {
                late += 1;
                if self.late.policy == LateStrategy::DeadLetter {
                    let window = window_named(Some((*start, *end)));
                    out.dead_letter(self.late.letter(batch, row, end - 1, window, watermark)?);
                }
                continue;
            }
            of_windows.push((*end, *start), row as u32);
        }
        self.late.counters.add(late, late);
        self.hold(side, batch, of_windows)
    }

    /// Holds rows of a batch in these windows.
    fn hold(&mut self, side: usize, batch: &Batch, of_windows: ByWindow) -> Result<()> {
        for (window, rows) in of_windows.finish() {
            self.held += rows.len() as u64;
            let part = if rows.len() == batch.rows() { batch.clone() } else { batch.take(&UInt32Array::from(rows))? };
            let part = Batch { origin: None, late_by: None, ..part };
            self.windows.entry(window).or_default().sides[side].push(part)?;
        }
        Ok(())
    }

    /// Saves the rows of a side, those of many windows at once.
    fn save_side(&self, side: usize, state: &mut StateWriter) -> Result<()> {
        let mut batches = self.windows.values().flat_map(|window| &window.sides[side].batches).peekable();
        while batches.peek().is_some() {
            let (mut rows, mut some) = (0, Vec::new());
            while rows < PIECE
                && let Some(batch) = batches.next()
            {
                rows += batch.rows();
                some.push(batch.clone());
            }
            let batch = Batch::concat(&self.inputs[side], &some)?;
            state.keyed(SIDES[side], &self.keys.evaluate(side, &batch)?, &pack(&batch)?)?;
        }
        Ok(())
    }

    /// Begins to join the rows of a window.
    fn close(&mut self, window: Window) -> Result<HashJoin> {
        self.keys.clear();
        let mut stores = [LEFT, RIGHT].map(|side| KeptRows::new(self.columns.types(side).to_vec(), None));
        let (mut rows, mut numbers) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let mut ids = Vec::new();
        for (side, held) in window.sides.into_iter().enumerate() {
            self.held -= held.rows;
            let batches = if self.retracts[side] { left_over(&self.inputs[side], held.batches)? } else { held.batches };
            for batch in batches {
                self.keys.number(side, &batch, &mut ids)?;
                let chunk = stores[side].push(self.columns.keep(side, &batch), vec![0; batch.rows()]);
                rows[side].extend((0..batch.rows() as u32).map(|row| RowRef { chunk, row }));
                numbers[side].append(&mut ids);
            }
        }
        Ok(HashJoin::new(stores, rows, numbers, self.keys.len()))
    }

    fn drive(&mut self, out: &mut Outbox) -> Result<Flow> {
        loop {
            let Some((end, join)) = &mut self.closing else {
                match self.windows.first_entry() {
                    Some(entry) if entry.key().0 <= self.watermark.0 => {
                        let ((end, _), window) = entry.remove_entry();
                        self.closing = Some((end, self.close(window)?));
                        continue;
                    }
                    _ => break,
                }
            };
            if out.is_full() {
                return Ok(Flow::More);
            }
            let more = join.next(self.gives, &self.columns, &mut self.pairs, OUTPUT_ROWS)?;
            let stores = [&join.stores[LEFT], &join.stores[RIGHT]];
            let time = *end - 1;
            let all = self.columns.batch(stores, &self.pairs, std::iter::repeat_n(time, self.pairs.len()))?;
            for from in (0..all.rows()).step_by(OUTPUT_ROWS) {
                out.batch(all.slice(from, OUTPUT_ROWS.min(all.rows() - from)));
            }
            self.pairs.clear();
            if !more {
                self.closing = None;
            }
        }
        if let Some(watermark) = self.forward.take() {
            out.watermark(watermark);
        }
        Ok(Flow::Done)
    }
}

/// The rows of a changing side that are there in the end.
fn left_over(input: &SchemaRef, batches: Vec<Batch>) -> Result<Vec<Batch>> {
    let visible = schema::visible(input);
    let types: Vec<DataType> = visible.fields().iter().map(|field| field.data_type().clone()).collect();
    let (mut table, mut counts) = (KeyTable::new(&types)?, Vec::<i64>::new());
    let mut ids = Vec::new();
    let mut numbers = Vec::with_capacity(batches.len());
    let retracts = |batch: &Batch, row: usize| {
        let kinds = batch.kinds.as_ref().map(RowKinds::as_slice);
        kinds.is_some_and(|kinds| kinds[row].retracts())
    };
    for batch in &batches {
        table.intern(&batch.columns.columns()[..types.len()], batch.rows(), &mut ids)?;
        counts.resize(table.len(), 0);
        for (row, id) in ids.iter().enumerate() {
            counts[*id as usize] += if retracts(batch, row) { -1 } else { 1 };
        }
        numbers.push(std::mem::take(&mut ids));
    }
    let mut left = Vec::with_capacity(batches.len());
    for (batch, ids) in batches.iter().zip(numbers) {
        let stays = ids.iter().enumerate().map(|(row, id)| {
            let count = &mut counts[*id as usize];
            let stays = *count > 0 && !retracts(batch, row);
            *count -= i64::from(stays);
            stays
        });
        let stays = BooleanArray::from(stays.collect::<Vec<_>>());
        left.push(Batch { kinds: None, ..batch.filter(&stays)? });
    }
    left.retain(|batch| !batch.is_empty());
    Ok(left)
}

impl Operator for WindowJoin {
    fn memory(&self) -> usize {
        let sides = self.windows.values().flat_map(|window| &window.sides);
        sides.flat_map(|side| &side.batches).map(Batch::memory).sum()
    }

    fn held(&self) -> u64 {
        self.held
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        Some(Arc::clone(&self.late.counters))
    }

    fn on_batch(&mut self, input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        let side = input.0.min(RIGHT);
        check_kinds(&batch, self.retracts[side])?;
        self.insert(side, &batch, out)?;
        Ok(Flow::Done)
    }

    fn check(&self, input: InputId, batch: &Batch) -> Result<()> {
        self.keys.evaluate(input.0.min(RIGHT), batch).map(drop)
    }

    fn give_up(&mut self, errors: &Arc<ComputeErrors>) {
        self.columns.give_up(errors);
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.watermark = self.watermark.max(watermark);
        self.forward = Some(self.watermark);
        self.drive(out)
    }

    /// The rows of both sides with their kinds, those of a window in their order.
    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.late.counters.save(state)?;
        (0..SIDES.len()).try_for_each(|side| self.save_side(side, state))
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.watermark = state.watermark();
        self.late.counters.load(state)?;
        for (side, table) in SIDES.into_iter().enumerate() {
            for packed in state.rows(table)? {
                for batch in unpacked(table, &packed, &self.inputs[side])? {
                    check_kinds(&batch, self.retracts[side])
                        .map_err(|_| damaged(table, "a row is taken back where none can be"))?;
                    let [starts, ends] = self.bounds(side, &batch)?;
                    let mut of_windows = ByWindow::default();
                    for (row, (start, end)) in starts.iter().zip(ends).enumerate() {
                        of_windows.push((*end, *start), row as u32);
                    }
                    self.hold(side, &batch, of_windows)?;
                }
            }
        }
        Ok(())
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.drive(out)
    }
}
