//! The ASOF join: each left row with the right row that is nearest to it by event time.
//!
//! A left row waits until the right side's watermark is past the times that decide which row is nearest, and holds the
//! watermark back meanwhile. Right rows are kept by key in the order of their times, as long as a left row can need them. A
//! right row that is taken back is valid from its time until the change's: an update until the new row's, so that both are
//! there as of their times.

mod state;

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{BinaryArray, BooleanArray};
use arrow_schema::{DataType, SchemaRef};
use velo_core::{Batch, RowKind, RowKinds, Watermark, schema};
use velo_eventtime::LateStrategy;
use velo_eventtime::late::for_row;
use velo_plan::plan::{AsOfDirection, AsOfJoin as Plan};

use super::as_of_result::{Decided, Results};
use super::grouping::times_of;
use super::late_rows::LateRows;
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::aggregate::RowOrder;
use crate::checkpoint::{StateReader, StateWriter};
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::join::{
    Choice, FOREVER, JoinColumns, JoinKeys, JoinSpec, KeptRows, LEFT, NO_KEY, Nearest, RIGHT, RowRef, ShownRows,
    TimedRows, Version, Versions, check_kinds,
};
use crate::lookup::MissingCounters;
use crate::state::{KeyTable, is_sparse, keep};
use crate::window::LateCounters;
use crate::window::late::Measure;

/// What late rows are late for.
const TARGET: &str = "an ASOF join";
/// The number of a row that nothing has to take back.
const NO_ROW: u32 = KeyTable::DEAD;

/// Joins rows with the nearest by time.
pub struct AsOfJoin {
    nearest: Nearest,
    late: LateRows,
    keys: JoinKeys,
    results: Results,
    /// Left rows that wait, each with its place among the waiting.
    left: TimedRows,
    waiting: Vec<Waiting>,
    free: Vec<u32>,
    /// Right rows, with their keys; behind the columns that are kept their values, where nothing else orders them.
    right: TimedRows,
    by_key: Vec<OfKey>,
    /// With so many keys those that are not needed are looked for.
    check_keys: usize,
    /// Waiting rows that the watermark has passed, by the time that decides them; and by their own.
    deciding: BinaryHeap<Reverse<(i64, u32, u32)>>,
    open: BinaryHeap<Reverse<(i64, u32, u32)>>,
    open_rows: usize,
    /// Whether the rows are among those to be decided that only the end decides.
    ends: bool,
    /// Whole left rows, and whole right rows, where they can be taken back.
    shown: Option<ShownRows>,
    identities: Option<KeyTable>,
    inputs: [SchemaRef; 2],
    versions: usize,
    watermarks: [Watermark; 2],
    merged: Watermark,
    forwarded: Watermark,
    decided: Decided,
    ids: Vec<u32>,
    disordered: Vec<(u32, Version)>,
}

/// A key's right rows, and its left rows that are open, in the order of their times.
#[derive(Debug, Default)]
struct OfKey {
    versions: Versions,
    open: Vec<u32>,
    /// Left rows that wait.
    waits: u32,
}

impl OfKey {
    fn is_idle(&self) -> bool {
        self.waits == 0 && self.versions.is_empty()
    }
}

/// A left row that waits.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    row: RowRef,
    time: i64,
    key: u32,
    /// The number of the whole row.
    id: u32,
    /// What the right watermark must pass, once it has passed the row itself.
    limit: i64,
    open: bool,
    /// Tells rows apart that wait at this place one after the other.
    serial: u32,
}

impl AsOfJoin {
    /// The operator of a node.
    pub fn new(spec: &JoinSpec<Plan>) -> Result<Self> {
        let join = &spec.join.join;
        let keys = join.keys.iter().map(|key| (&key.left, &key.right));
        let columns = JoinColumns::new(join, &spec.left, &spec.right, spec.output.clone(), &spec.statement)?;
        let of_left = columns.types(LEFT).to_vec();
        // The order of the values stands before the event time, which is the last.
        let mut of_right = columns.types(RIGHT).to_vec();
        of_right.insert(of_right.len().saturating_sub(1), DataType::Binary);
        let types = schema::visible(&spec.right);
        let types = types.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        let [of_lefts, of_rights] = spec.retracts;
        let timed = |input| schema::event_time_index(input).is_some();
        if !timed(&spec.left) || !timed(&spec.right) {
            return Err(ExecError::Internal("an ASOF join without an event time".to_owned()));
        }
        Ok(Self {
            nearest: Nearest {
                direction: spec.join.direction,
                inclusive: spec.join.inclusive,
                // A row that was not replaced for so long is forgotten.
                back: spec.ttl.map(|ttl| ttl.after.micros() - 1).into_iter().chain(spec.join.tolerance).min(),
                ahead: spec.join.tolerance,
            },
            late: LateRows::new(spec.join.late, &spec.statement),
            keys: JoinKeys::new(keys, &spec.left, &spec.right, &spec.statement)?,
            results: Results::new(spec, columns)?,
            left: TimedRows::new(of_left),
            waiting: Vec::new(),
            free: Vec::new(),
            right: TimedRows::new(of_right),
            by_key: Vec::new(),
            check_keys: 1_024,
            deciding: BinaryHeap::new(),
            open: BinaryHeap::new(),
            open_rows: 0,
            ends: false,
            shown: of_lefts.then(|| ShownRows::new(&spec.left, spec.output.clone())).transpose()?,
            identities: of_rights.then(|| KeyTable::new(&types)).transpose()?,
            inputs: [spec.left.clone(), spec.right.clone()],
            versions: 0,
            watermarks: [Watermark::NONE; 2],
            merged: Watermark::NONE,
            forwarded: Watermark::NONE,
            decided: Decided::default(),
            ids: Vec::new(),
            disordered: Vec::new(),
        })
    }

    /// How many right rows are kept.
    pub fn versions(&self) -> usize {
        self.versions
    }

    fn watermark(&self, side: usize) -> Watermark {
        self.watermarks[side].max(self.merged)
    }

    /// Left rows wait from now on, or are taken back.
    fn take_left(&mut self, batch: &Batch, out: &mut Outbox) -> Result<()> {
        let mut keys = std::mem::take(&mut self.ids);
        self.keys.number(LEFT, batch, &mut keys)?;
        self.by_key.resize_with(self.keys.len(), OfKey::default);
        let times = times_of(batch)?;
        let mut numbers = Vec::new();
        if let Some(shown) = &mut self.shown {
            shown.number(batch, times, &mut numbers)?;
        }
        let kinds = batch.kinds.as_ref().map(RowKinds::as_slice);
        let retracts = |row: usize| kinds.is_some_and(|kinds| kinds[row].retracts());
        let columns = self.results.columns.keep(LEFT, batch);
        // Every row waits, if only until it is asked the first time.
        let chunk = self.left.push(columns, vec![NO_KEY; batch.rows()]);
        let mut taken_back = Vec::new();
        for (row, (key, time)) in keys.iter().zip(times).enumerate() {
            let at = RowRef { chunk, row: row as u32 };
            let id = numbers.get(row).copied().unwrap_or(NO_ROW);
            if retracts(row) {
                let wrong = || ExecError::Internal("an ASOF join got a retraction of a left row".to_owned());
                taken_back.extend(self.shown.as_mut().ok_or_else(wrong)?.take_back(id));
                self.left.rows.release(at);
                continue;
            }
            if let Some(shown) = &mut self.shown {
                shown.waits(id);
            }
            self.wait(at, *time, *key, id);
        }
        self.ids = keys;
        if let (Some(shown), false) = (&mut self.shown, taken_back.is_empty()) {
            out.batch(shown.deletes(&taken_back)?);
        }
        Ok(())
    }

    /// A left row that is kept waits from now on.
    fn wait(&mut self, row: RowRef, time: i64, key: u32, id: u32) {
        if let Some(of_key) = self.by_key.get_mut(key as usize) {
            of_key.waits += 1;
        }
        let new = Waiting { row, time, key, id, limit: i64::MAX, open: false, serial: 0 };
        let number = match self.free.pop() {
            Some(number) => {
                let place = &mut self.waiting[number as usize];
                *place = Waiting { serial: place.serial.wrapping_add(1), ..new };
                number
            }
            None => {
                self.waiting.push(new);
                self.waiting.len() as u32 - 1
            }
        };
        self.left.rows.set_owner(row, number);
    }

    /// Right rows become versions, or are taken back.
    fn take_right(&mut self, batch: &Batch) -> Result<()> {
        let mut keys = std::mem::take(&mut self.ids);
        self.keys.number(RIGHT, batch, &mut keys)?;
        self.by_key.resize_with(self.keys.len(), OfKey::default);
        let mut identities = Vec::new();
        if let Some(table) = &mut self.identities {
            let visible = schema::visible(batch.columns.schema_ref()).fields().len();
            table.intern(&batch.columns.columns()[..visible], batch.rows(), &mut identities)?;
        }
        let times = times_of(batch)?;
        let rows = (0..batch.rows() as u32).collect::<Vec<_>>();
        let order = RowOrder::of(batch, true)?.columns(&rows);
        let [places, positions] = [1, 2].map(|at| order[at].as_primitive::<UInt64Type>().values().clone());
        let mut columns = self.results.columns.keep(RIGHT, batch);
        columns.insert(columns.len() - 1, Arc::clone(&order[3]));
        let chunk = self.right.push(columns, keys.clone());
        let kinds = batch.kinds.as_ref().map(RowKinds::as_slice);
        let passed = self.watermark(RIGHT).0;
        for (row, (key, time)) in keys.iter().zip(times).enumerate() {
            let at = RowRef { chunk, row: row as u32 };
            let kind = kinds.map_or(RowKind::Insert, |kinds| kinds[row]);
            let Some(of_key) = self.by_key.get_mut(*key as usize) else {
                self.right.rows.release(at);
                continue;
            };
            let identity = identities.get(row).copied().unwrap_or(NO_ROW);
            if kind.retracts() {
                // An update is there until the new row is.
                let until = change_time(times, kinds.unwrap_or_default(), row).max(passed);
                if let Some(gone) = of_key.versions.take_back(identity, *time, until) {
                    self.right.rows.release(gone);
                    self.versions -= 1;
                }
                self.right.rows.release(at);
                continue;
            }
            let place = (places[row], positions[row]);
            let version = Version { time: *time, place, row: at, until: FOREVER, identity };
            self.versions += 1;
            if self.identities.is_some() {
                let rows = &self.right.rows;
                of_key.versions.insert(version, |left, right| by_values(rows, left, right));
            } else {
                self.disordered.push((*key, version));
            }
            self.come_near(*key, *time);
        }
        let rows = &self.right.rows;
        self.disordered.sort_by(|(left_key, left), (right_key, right)| {
            let order = (left_key, left.time, left.place).cmp(&(right_key, right.time, right.place));
            order.then_with(|| by_values(rows, left.row, right.row))
        });
        for of_key in self.disordered.chunk_by(|left, right| left.0 == right.0) {
            let versions = &mut self.by_key[of_key[0].0 as usize].versions;
            versions.merge(of_key.iter().map(|(_, version)| *version), |left, right| by_values(rows, left, right));
        }
        self.disordered.clear();
        self.ids = keys;
        Ok(())
    }

    /// A right row of this time can decide open rows that had to look farther.
    fn come_near(&mut self, key: u32, time: i64) {
        let open = &self.by_key[key as usize].open;
        let first = if self.nearest.inclusive { time } else { time.saturating_sub(1) };
        let before = open.partition_point(|number| self.waiting[*number as usize].time <= first);
        // Of rows that are open the earlier ones never look farther.
        for number in open[..before].iter().rev() {
            let waiting = &mut self.waiting[*number as usize];
            if waiting.limit <= time {
                break;
            }
            waiting.limit = time;
            self.deciding.push(Reverse((time, *number, waiting.serial)));
        }
    }

    /// Decides rows as far as the right watermark tells, until there are enough of them; whether that is all.
    fn decide(&mut self) -> bool {
        let right = self.watermark(RIGHT).0;
        while self.decided.len() < OUTPUT_ROWS {
            let Some((row, number)) = self.left.pass(right) else { break };
            if number == NO_KEY || self.waiting[number as usize].open {
                continue;
            }
            debug_assert_eq!(self.waiting[number as usize].row, row, "a waiting row is where it is said to be");
            self.ask(number, right);
        }
        if self.decided.len() >= OUTPUT_ROWS {
            return false;
        }
        if right == i64::MAX && !std::mem::replace(&mut self.ends, true) {
            let open = self.waiting.iter().enumerate().filter(|(_, waiting)| waiting.open && waiting.limit == i64::MAX);
            self.deciding.extend(open.map(|(number, waiting)| Reverse((i64::MAX, number as u32, waiting.serial))));
        }
        while let Some(Reverse((limit, number, serial))) = self.deciding.peek().copied()
            && (limit < right || right == i64::MAX)
        {
            if self.decided.len() >= OUTPUT_ROWS {
                return false;
            }
            self.deciding.pop();
            let waiting = self.waiting[number as usize];
            if waiting.serial == serial && waiting.open && waiting.limit == limit {
                self.ask(number, right);
            }
        }
        true
    }

    /// Asks for the partner of a waiting row.
    fn ask(&mut self, number: u32, right: i64) {
        let Waiting { row, time, key, id, open, serial, .. } = self.waiting[number as usize];
        let choice = match self.by_key.get(key as usize) {
            Some(of_key) => of_key.versions.choose(time, self.nearest, right),
            None => Choice::Is(None),
        };
        match choice {
            Choice::Is(partner) => {
                if let Some(of_key) = self.by_key.get_mut(key as usize) {
                    of_key.waits -= 1;
                    if open {
                        self.open_rows -= 1;
                        let waiting = &self.waiting;
                        let from = of_key.open.partition_point(|other| waiting[*other as usize].time < time);
                        let at = of_key.open[from..].iter().position(|other| *other == number);
                        at.map(|at| of_key.open.remove(from + at));
                    }
                }
                // Stale entries elsewhere do not find it.
                self.waiting[number as usize].open = false;
                self.waiting[number as usize].serial = serial.wrapping_add(1);
                self.free.push(number);
                self.decided.push(row, partner, id);
            }
            Choice::Waits(limit) => {
                let waiting = &mut self.waiting[number as usize];
                (waiting.limit, waiting.open) = (limit, true);
                if limit < i64::MAX {
                    self.deciding.push(Reverse((limit, number, serial)));
                }
                if !open {
                    self.open_rows += 1;
                    self.open.push(Reverse((time, number, serial)));
                    let of_key = &mut self.by_key[key as usize];
                    let waiting = &self.waiting;
                    let at = of_key.open.partition_point(|other| waiting[*other as usize].time <= time);
                    of_key.open.insert(at, number);
                }
            }
        }
    }

    /// Gives the rows that are decided.
    fn flush(&mut self, out: &mut Outbox) -> Result<()> {
        if self.decided.len() == 0 {
            return Ok(());
        }
        let mut kept = vec![true; self.decided.len()];
        if let Some(shown) = &mut self.shown {
            for (kept, id) in kept.iter_mut().zip(&self.decided.numbers) {
                *kept = shown.decide(*id);
            }
        }
        let made = self.results.make([&self.left.rows, &self.right.rows], &self.decided, |at| kept[at])?;
        if let Some(shown) = &mut self.shown {
            if let Some(batch) = &made.batch {
                shown.shown(&made.numbers, batch.columns.columns().to_vec());
            }
            made.left_out.iter().for_each(|id| shown.left_out(*id));
        }
        for row in &self.decided.pairs.sides[LEFT] {
            self.left.rows.release(*row);
        }
        self.decided.clear();
        if let Some(batch) = made.batch {
            out.batch(batch);
        }
        Ok(())
    }

    /// The time of the oldest row that waits.
    fn oldest(&mut self) -> i64 {
        while let Some(Reverse((_, number, serial))) = self.open.peek().copied()
            && self.waiting[number as usize].serial != serial
        {
            self.open.pop();
        }
        // One that waits for long leaves many behind it that do not.
        if self.open.len() > 2 * self.open_rows + 1_024 {
            let waiting = &self.waiting;
            self.open.retain(|Reverse((_, number, serial))| waiting[*number as usize].serial == *serial);
        }
        let open = self.open.peek().map_or(i64::MAX, |Reverse((time, ..))| *time);
        self.left.earliest().unwrap_or(i64::MAX).min(open)
    }

    fn drive(&mut self, out: &mut Outbox) -> Result<Flow> {
        loop {
            if out.is_full() {
                return Ok(Flow::More);
            }
            let done = self.decide();
            self.flush(out)?;
            if done {
                break;
            }
        }
        self.evict();
        self.compact()?;
        let promised = Watermark(self.oldest()).min(self.merged);
        if promised > self.forwarded {
            self.forwarded = promised;
            out.watermark(promised);
        }
        Ok(Flow::Done)
    }

    /// Drops right rows that no left row can need any more.
    fn evict(&mut self) {
        let needed = self.oldest().min(self.watermark(LEFT).0);
        let limit = match (self.nearest.direction, self.nearest.back) {
            (AsOfDirection::Forward, _) | (_, None) => needed,
            (_, Some(back)) => needed.saturating_sub(back),
        };
        let is_over = self.watermark(LEFT) == Watermark::END && needed == i64::MAX;
        let (rows, versions) = (&mut self.right.rows, &mut self.versions);
        if is_over {
            // No left row comes any more, and none waits.
            self.by_key.iter_mut().filter(|_| *versions > 0).for_each(|of_key| {
                of_key.versions.clear().for_each(|row| rows.release(row));
            });
            *versions = 0;
        }
        while let Some((_, key)) = self.right.pass(limit) {
            let rows = &mut self.right.rows;
            self.by_key[key as usize].versions.evict(needed, self.nearest, |row| {
                rows.release(row);
                *versions -= 1;
            });
        }
    }

    /// Gives back the memory of rows and keys that are gone.
    fn compact(&mut self) -> Result<()> {
        let waiting = &mut self.waiting;
        self.left.compact(|moved| {
            if let Some(waiting) = waiting.get_mut(moved.owner as usize) {
                waiting.row = moved.to;
            }
        })?;
        let mut moved = Vec::new();
        self.right.compact(|row| moved.push(row))?;
        for row in moved {
            let time = self.right.rows.time(row.to);
            self.by_key[row.owner as usize].versions.moved(time, row.from, row.to);
        }
        if let Some(shown) = &mut self.shown
            && let Some(numbers) = shown.pass(self.watermarks[LEFT].max(self.merged).0)?
        {
            for waiting in self.waiting.iter_mut().filter(|waiting| waiting.id != NO_ROW) {
                waiting.id = numbers.get(waiting.id as usize).copied().unwrap_or(NO_ROW);
            }
        }
        if let Some(table) = self.identities.as_mut().filter(|table| is_sparse(self.versions, table.len())) {
            let mut stays = vec![false; table.len()];
            let versions = self.by_key.iter_mut().map(|of_key| &mut of_key.versions);
            versions.flat_map(Versions::identities_mut).for_each(|identity| stays[*identity as usize] = true);
            let numbers = table.retain(&stays);
            let versions = self.by_key.iter_mut().map(|of_key| &mut of_key.versions);
            let identities = versions.flat_map(Versions::identities_mut);
            identities.for_each(|identity| *identity = numbers[*identity as usize]);
        }
        if self.by_key.len() >= self.check_keys {
            self.forget_keys();
        }
        Ok(())
    }

    fn forget_keys(&mut self) {
        let stays = self.by_key.iter().map(|of_key| !of_key.is_idle()).collect::<Vec<_>>();
        let alive = stays.iter().filter(|stays| **stays).count();
        self.check_keys = (2 * alive).max(1_024);
        if !is_sparse(alive, self.by_key.len()) {
            self.check_keys = self.by_key.len() * 2;
            return;
        }
        let numbers = self.keys.retain(&stays);
        keep(&mut self.by_key, &stays);
        let renumber = |key: &mut u32| *key = numbers.get(*key as usize).copied().unwrap_or(NO_KEY);
        self.waiting.iter_mut().for_each(|waiting| renumber(&mut waiting.key));
        self.right.rows.owners_mut().for_each(|(_, key)| renumber(key));
    }

    /// The right rows that are on time. A change is measured by when it takes effect: an update with its new row, and a row that
    /// is only taken back never by the operator's watermark.
    fn on_time(&self, batch: Batch, out: &mut Outbox) -> Result<Batch> {
        let watermark = self.watermark(RIGHT);
        let Some(kinds) = &batch.kinds else { return self.late.leave_out(batch, watermark, TARGET, for_row, out) };
        let times = times_of(&batch)?;
        let (measure, alone) = (Measure::new(&batch, watermark), Measure::new(&batch, Watermark::NONE));
        let kinds = kinds.as_slice();
        let is_late = |row: usize| match kinds[row] {
            RowKind::UpdateBefore if kinds.get(row + 1) == Some(&RowKind::UpdateAfter) => {
                for_row(times[row + 1], measure.of(row + 1, times[row + 1])).is_late()
            }
            kind if kind.retracts() => for_row(times[row], alone.of(row, times[row])).is_late(),
            _ => for_row(times[row], measure.of(row, times[row])).is_late(),
        };
        let kept = (0..batch.rows()).map(|row| !is_late(row)).collect::<Vec<_>>();
        let late = kept.iter().filter(|kept| !**kept).count() as u64;
        if late == 0 {
            return Ok(batch);
        }
        self.late.counters.add(late, late);
        if self.late.policy == LateStrategy::DeadLetter {
            for (row, _) in kept.iter().enumerate().filter(|(_, kept)| !**kept) {
                let watermark = measure.of(row, times[row]);
                out.dead_letter(self.late.letter(&batch, row, times[row], TARGET, watermark)?);
            }
        }
        Ok(batch.filter(&BooleanArray::from(kept))?)
    }
}

/// When a change takes effect.
fn change_time(times: &[i64], kinds: &[RowKind], row: usize) -> i64 {
    let is_update = kinds[row] == RowKind::UpdateBefore && kinds.get(row + 1) == Some(&RowKind::UpdateAfter);
    if is_update { times[row].max(times[row + 1]) } else { times[row] }
}

/// Which of two right rows comes first by its values.
fn by_values(rows: &KeptRows, left: RowRef, right: RowRef) -> Ordering {
    let array = |row: RowRef| -> Option<&BinaryArray> { rows.last_but_one(row.chunk)?.as_binary_opt() };
    let [of_left, of_right] = [left, right].map(array);
    match (of_left, of_right) {
        (Some(of_left), Some(of_right)) => of_left.value(left.row as usize).cmp(of_right.value(right.row as usize)),
        _ => Ordering::Equal,
    }
}

impl Operator for AsOfJoin {
    fn memory(&self) -> usize {
        let of_keys = self.by_key.iter().map(|of| of.versions.memory() + of.open.capacity() * 4).sum::<usize>();
        let heaps = (self.deciding.capacity() + self.open.capacity()) * 16;
        let shown = self.shown.as_ref().map_or(0, ShownRows::memory);
        let identities = self.identities.as_ref().map_or(0, KeyTable::memory);
        let waiting = self.waiting.capacity() * size_of::<Waiting>();
        let tables = self.keys.memory() + self.by_key.capacity() * size_of::<OfKey>() + shown + identities;
        of_keys + heaps + waiting + tables + self.left.memory() + self.right.memory()
    }

    fn held(&self) -> u64 {
        self.left.rows.len() as u64
    }

    fn missing(&self) -> Option<Arc<MissingCounters>> {
        self.results.counters()
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        Some(Arc::clone(&self.late.counters))
    }

    fn on_batch(&mut self, input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        check_kinds(&batch, [self.shown.is_some(), self.identities.is_some()][input.0.min(RIGHT)])?;
        if input.0 == LEFT {
            let batch = self.late.leave_out(batch, self.watermark(LEFT), TARGET, for_row, out)?;
            if !batch.is_empty() {
                self.take_left(&batch, out)?;
            }
        } else {
            let batch = self.on_time(batch, out)?;
            if !batch.is_empty() {
                self.take_right(&batch)?;
            }
        }
        self.drive(out)
    }

    fn check(&self, input: InputId, batch: &Batch) -> Result<()> {
        self.keys.evaluate(input.0.min(RIGHT), batch).map(drop)
    }

    fn give_up(&mut self, errors: &Arc<ComputeErrors>) {
        self.results.columns.give_up(errors);
    }

    fn on_input_watermark(&mut self, input: InputId, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        let side = input.0.min(RIGHT);
        self.watermarks[side] = self.watermarks[side].max(watermark);
        self.drive(out)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.merged = self.merged.max(watermark);
        self.drive(out)
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.save_rows(state)
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.load_rows(state)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.drive(out)
    }
}
