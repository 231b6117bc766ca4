//! What OVER puts into a checkpoint: the rows in wait for the watermark, what its windows and calls know of partitions, and the
//! rows that calls have not all decided.
//!
//! A partition is a row of its window's table, with what each call keeps of it. A row that waits is one of the table `waiting`,
//! with the key of its partition and its place in that for each call that has not decided it, and the results of those that
//! have.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, UInt64Array};
use arrow_schema::Schema;
use arrow_select::concat::{concat, concat_batches};
use arrow_select::take::take;
use velo_core::batch::columns_of;
use velo_core::schema;

use super::{Chunk, Over};
use crate::checkpoint::columns::{Columns, Saved};
use crate::checkpoint::rows::{pack, unpack};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::operator::window_aggregate::OUTPUT_ROWS;
use crate::row_window::{RowRef, Undecided, Waiting};

const HELD: &str = "held";
const WAITING: &str = "waiting";
/// The first column behind the rows that wait: whether a row does not come out because a buffer was not full.
const UNFILLED: &str = "$unfilled";

/// What a call has not decided of the rows that wait.
struct OfCall {
    number: usize,
    window: usize,
    undecided: Undecided,
    /// By row that waits: where it is among the undecided ones.
    places: Vec<Option<u32>>,
}

/// The rows of a release that wait.
struct Left {
    chunk: u64,
    /// How many rows of earlier releases there are.
    before: usize,
    rows: Vec<u32>,
}

impl Over {
    /// Puts all that is kept into a checkpoint.
    pub(super) fn save_all(&mut self, state: &mut StateWriter) -> Result<()> {
        self.late.counters.save(state)?;
        self.held.save(HELD, &self.exchanged, state)?;
        for at in 0..self.windows.len() {
            self.save_window(at, state)?;
        }
        self.save_waiting(state)
    }

    fn save_window(&mut self, at: usize, state: &mut StateWriter) -> Result<()> {
        let window = &self.windows[at];
        let exchanged = window.places(&self.exchanged)?;
        for partitions in window.alive().chunks(OUTPUT_ROWS) {
            let mut columns = window.save(partitions)?;
            for (number, (_, call)) in self.calls.iter_mut().enumerate().filter(|(_, (window, _))| *window == at) {
                columns.append(&of_call(number), call.save(partitions)?);
            }
            let keys = window.keys(partitions)?;
            let keys = exchanged.iter().map(|place| Arc::clone(&keys[*place])).collect::<Vec<_>>();
            state.keyed(&of_window(at), &keys, &columns.batch(partitions.len())?)?;
        }
        Ok(())
    }

    fn save_waiting(&mut self, state: &mut StateWriter) -> Result<()> {
        let mut before = 0;
        let left = self.chunks.iter().map(|(number, chunk)| {
            let left = Left { chunk: *number, before, rows: chunk.left() };
            before += left.rows.len();
            left
        });
        let left = left.collect::<Vec<_>>();
        let calls = self.undecided(&left, before)?;
        let mut from = 0;
        while from < left.len() {
            let enough = |to: &usize| left[*to].before - left[from].before >= OUTPUT_ROWS;
            let to = (from + 1..left.len()).find(enough).unwrap_or(left.len());
            self.save_together(&left[from..to], &calls, state)?;
            from = to;
        }
        Ok(())
    }

    /// What each call that is delayed has not decided of the rows that wait.
    fn undecided(&self, left: &[Left], rows: usize) -> Result<Vec<OfCall>> {
        let by_chunk = left.iter().map(|left| (left.chunk, left)).collect::<BTreeMap<_, _>>();
        let mut calls = Vec::new();
        for (number, (window, call)) in self.calls.iter().enumerate().filter(|(_, (_, call))| call.is_delayed()) {
            let undecided = call.undecided()?;
            let mut places = vec![None; rows];
            for (at, row) in undecided.rows.iter().enumerate() {
                let place = by_chunk.get(&row.at.chunk).and_then(|left| {
                    let own = left.rows.binary_search(&row.at.row).ok()?;
                    Some(left.before + own)
                });
                let gone = || ExecError::Internal("a call waits for a row that has come out".to_owned());
                places[place.ok_or_else(gone)?] = Some(at as u32);
            }
            calls.push(OfCall { number, window: *window, undecided, places });
        }
        Ok(calls)
    }

    /// Saves the rows of some releases.
    fn save_together(&mut self, left: &[Left], calls: &[OfCall], state: &mut StateWriter) -> Result<()> {
        let chunks = left.iter().filter_map(|left| Some((left, self.chunks.get(&left.chunk)?)));
        let mut packed = Vec::with_capacity(left.len());
        let mut unfilled = Vec::new();
        for (left, chunk) in chunks.clone() {
            packed.push(pack(&chunk.rows.take(&chunk.places(&left.rows))?)?);
            let unfilled_of = |row: &u32| chunk.unfilled.as_ref().map(|unfilled| unfilled.value(*row as usize));
            unfilled.extend(left.rows.iter().map(unfilled_of));
        }
        let (Some(first), Some(first_left)) = (packed.first(), left.first()) else { return Ok(()) };
        let rows = concat_batches(first.schema_ref(), &packed)?;
        let range = first_left.before..first_left.before + rows.num_rows();
        let mut beside = Columns::default();
        beside.add(UNFILLED, Arc::new(BooleanArray::from(unfilled)));
        for window in 0..self.windows.len() {
            let of = calls.iter().filter(|call| call.window == window).collect::<Vec<_>>();
            for (at, key) in self.keys_of(window, &of, range.clone())?.into_iter().enumerate() {
                beside.add(key_of(window, at), key);
            }
        }
        for call in calls {
            let places = &call.places[range.clone()];
            let numbers = places.iter().map(|place| place.map(|place| call.undecided.rows[place as usize].number));
            let mut own = Columns::default();
            own.add("number", Arc::new(numbers.collect::<UInt64Array>()));
            own.append("", call.undecided.columns.take(&UInt32Array::from(places.to_vec()))?);
            let results = self.calls[call.number].1.results();
            let results = left.iter().map(|left| results.known(left.chunk, &left.rows)).collect::<Result<Vec<_>>>()?;
            own.add("result", concat(&results.iter().map(AsRef::as_ref).collect::<Vec<_>>())?);
            beside.append(&of_call(call.number), own);
        }
        let keys = self.exchanged.iter().map(|at| match *at < self.visible {
            true => Some(Arc::clone(rows.column(*at))),
            // What is no column that can be seen is the event time.
            false => rows.column_by_name(schema::EVENT_TIME).cloned(),
        });
        let keys = keys.collect::<Option<Vec<_>>>();
        let keys = keys.ok_or_else(|| ExecError::Internal("rows that wait have no event time".to_owned()))?;
        let beside = beside.batch(rows.num_rows())?;
        let fields = rows.schema_ref().fields().iter().chain(beside.schema_ref().fields()).cloned();
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let columns = rows.columns().iter().chain(beside.columns()).cloned().collect();
        state.keyed(WAITING, &keys, &columns_of(&schema, columns, rows.num_rows())?)
    }

    /// The keys of the partitions of rows that wait in a window; NULL where none of its calls waits for the row.
    fn keys_of(&self, window: usize, calls: &[&OfCall], rows: std::ops::Range<usize>) -> Result<Vec<ArrayRef>> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let partition = |row: usize| {
            let mut undecided = calls.iter().filter_map(|call| Some((call, call.places[row]?)));
            undecided.next().map(|(call, place)| call.undecided.rows[place as usize].key)
        };
        let mut partitions = Vec::new();
        let places = rows.map(|row| {
            partitions.push(partition(row)?);
            Some(partitions.len() as u32 - 1)
        });
        let places = places.collect::<UInt32Array>();
        let keys = self.windows[window].keys(&partitions)?;
        keys.iter().map(|key| Ok(take(key, &places, None)?)).collect()
    }

    /// Takes up what [`Self::save_all`] put there.
    pub(super) fn load_all(&mut self, state: &mut StateReader) -> Result<()> {
        self.watermark = state.watermark();
        self.late.counters.load(state)?;
        self.held.load(HELD, state)?;
        for at in 0..self.windows.len() {
            let table = of_window(at);
            for batch in state.rows(&table)? {
                let saved = Saved::new(&table, &batch);
                let partitions = self.windows[at].load(&saved)?;
                for (number, (_, call)) in self.calls.iter_mut().enumerate().filter(|(_, (window, _))| *window == at) {
                    call.load(&partitions, &saved.within(&of_call(number)))?;
                }
            }
        }
        for batch in state.rows(WAITING)? {
            self.load_waiting(&batch)?;
        }
        match self.calls.iter().all(|(_, call)| call.is_whole()) {
            true => Ok(()),
            false => Err(crate::checkpoint::state::damaged(WAITING, "rows that a window waits to decide are missing")),
        }
    }

    fn load_waiting(&mut self, batch: &RecordBatch) -> Result<()> {
        let saved = Saved::new(WAITING, batch);
        let width = batch.schema_ref().fields().iter().rposition(|field| field.name() == UNFILLED);
        let width = width.ok_or_else(|| saved.damaged("what is known of them is missing"))?;
        let unfilled = batch.column(width).as_boolean_opt();
        let unfilled = unfilled.ok_or_else(|| saved.damaged("whether buffers were full is no boolean"))?;
        let packed = batch.project(&(0..width).collect::<Vec<_>>())?;
        let first = self.next_chunk;
        let mut refs = Vec::with_capacity(batch.num_rows());
        for rows in unpack(&packed, &self.partial())? {
            let (chunk, live, from) = (self.next_chunk, rows.rows(), refs.len());
            self.next_chunk += 1;
            refs.extend((0..live as u32).map(|row| RowRef { chunk, row }));
            let unfilled = unfilled.slice(from, live);
            let unfilled = (unfilled.null_count() == 0).then_some(unfilled);
            let (numbers, missing) = ((0..live as u32).collect(), vec![0; live]);
            self.chunks.insert(chunk, Chunk { rows, numbers, missing, unfilled, live, oldest: i64::MAX });
        }
        for number in 0..self.calls.len() {
            if self.calls[number].1.is_delayed() {
                self.load_undecided(number, &saved, &refs)?;
            }
        }
        for chunk in self.chunks.range_mut(first..).map(|(_, chunk)| chunk) {
            if chunk.missing.contains(&0) {
                return Err(saved.damaged("a row waits for no call"));
            }
            chunk.oldest = chunk.earliest();
        }
        Ok(())
    }

    /// Gives a call the rows that it has not decided, and the results of the others.
    fn load_undecided(&mut self, number: usize, saved: &Saved<'_>, refs: &[RowRef]) -> Result<()> {
        let (window, call) = &mut self.calls[number];
        let own = saved.within(&of_call(number));
        let numbers = own.typed::<UInt64Type>("number")?;
        let rows = (0..refs.len()).filter(|row| numbers.is_valid(*row)).collect::<Vec<_>>();
        let places = rows.iter().map(|row| *row as u32).collect::<UInt32Array>();
        let of = &mut self.windows[*window];
        let keys = (0..of.key_count()).map(|at| Ok(take(saved.column(&key_of(*window, at))?, &places, None)?));
        let keys = of.find(&keys.collect::<Result<Vec<_>>>()?, rows.len())?;
        let keys = keys.ok_or_else(|| saved.damaged("the partition of a row is missing"))?;
        let wait =
            |(row, key): (&usize, u32)| Waiting { at: refs[*row], key, number: numbers.value(*row), place: *row };
        let mut waiting = rows.iter().zip(keys).map(wait).collect::<Vec<_>>();
        waiting.sort_by_key(|row| row.number);
        call.wait(&waiting, &own)?;
        for row in &waiting {
            if let Some(chunk) = self.chunks.get_mut(&row.at.chunk) {
                chunk.missing[row.at.row as usize] += 1;
            }
        }
        let known = own.column("result")?;
        let mut from = 0;
        for rows in refs.chunk_by(|left, right| left.chunk == right.chunk) {
            call.results().restore(rows[0].chunk, &known.slice(from, rows.len()))?;
            from += rows.len();
        }
        Ok(())
    }
}

/// The table of a window's partitions.
fn of_window(at: usize) -> String {
    format!("window{at}")
}

/// What stands in front of the names of a call's columns.
fn of_call(number: usize) -> String {
    format!("call{number}_")
}

/// The name of a key column of a window beside the rows that wait.
fn key_of(window: usize, at: usize) -> String {
    format!("window{window}_key{at}")
}
