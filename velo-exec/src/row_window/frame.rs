//! Calls over a frame: two bounds that only move forward over the rows of each partition.
//!
//! A row is decided as soon as the last row of its frame is known: at once where the frame ends at the current row or before,
//! when enough rows have come where it counts following ones, when the watermark has passed where it goes by time, else at
//! the partition's end. A partition keeps the rows from the start of the oldest undecided frame on, and none that no frame
//! will see again.

use std::collections::VecDeque;

use arrow_array::{ArrayRef, RecordBatch};
use velo_plan::plan::{FrameUnits, RowFrame};

use super::results::{ResultColumn, Results, RowRef};
use super::saved::{lists, make_room, read_wide, wide};
use super::value::Value;
use super::{Call, Rows, Undecided, Waiting};
use crate::checkpoint::columns::{Columns, Saved};
use crate::error::Result;

/// What is computed over a frame.
pub(super) trait Function: Send {
    /// What a row gives.
    type In: Default + Send;
    /// What is kept of the rows in the frame.
    type State: Default + Send;
    type Out: Value;

    /// What each row of a chunk gives.
    fn read(&self, columns: &RecordBatch) -> Result<Vec<Self::In>>;

    /// The row behind the last one comes into the frame. Rows are numbered from 0 within their partition.
    fn add(&self, state: &mut Self::State, row: u64, value: &Self::In) -> Result<()>;

    /// The first row leaves the frame.
    fn remove(&self, state: &mut Self::State, row: u64, value: &Self::In) -> Result<()>;

    /// The result for the current row.
    fn result(&self, state: &mut Self::State, view: &View<'_, Self::In>) -> Result<Option<Self::Out>>;

    /// Whether the result needs the current row itself.
    fn keeps_current(&self) -> bool {
        false
    }

    /// What rows give as columns of a checkpoint, always as many.
    fn save_values(&self, values: &[&Self::In]) -> Result<Vec<ArrayRef>>;

    /// The same back, of so many rows.
    fn load_values(&self, columns: &[ArrayRef], rows: usize, saved: &Saved<'_>) -> Result<Vec<Self::In>>;

    /// What is kept of frames as columns of a checkpoint, a row each; the frames go on with it.
    fn save_states(&self, states: &mut [Self::State], into: &mut Columns) -> Result<()>;

    /// The same back.
    fn load_states(&self, saved: &Saved<'_>) -> Result<Vec<Self::State>>;
}

/// The rows of a frame. Where the frame begins with the partition, rows that were added are gone.
pub(super) struct View<'a, T> {
    ring: &'a VecDeque<T>,
    base: u64,
    pub(super) from: u64,
    pub(super) to: u64,
    current: u64,
}

impl<T> View<'_, T> {
    pub(super) fn get(&self, row: u64) -> Option<&T> {
        row.checked_sub(self.base).and_then(|at| self.ring.get(at as usize))
    }

    pub(super) fn current(&self) -> Option<&T> {
        self.get(self.current)
    }
}

/// One partition.
struct Partition<F: Function> {
    /// What the rows from `base` on give.
    ring: VecDeque<F::In>,
    base: u64,
    /// Where the rows from `positions_base` on stand, where distances are not counted in rows.
    positions: VecDeque<i128>,
    positions_base: u64,
    /// The rows that are not decided, from `current` on.
    pending: VecDeque<RowRef>,
    current: u64,
    next: u64,
    from: u64,
    to: u64,
    state: F::State,
}

impl<F: Function> Default for Partition<F> {
    fn default() -> Self {
        Self {
            ring: VecDeque::new(),
            base: 0,
            positions: VecDeque::new(),
            positions_base: 0,
            pending: VecDeque::new(),
            current: 0,
            next: 0,
            from: 0,
            to: 0,
            state: F::State::default(),
        }
    }
}

/// `at + distance` among the rows of a partition.
fn row_at(at: u64, distance: i128) -> u64 {
    u64::try_from((i128::from(at)).saturating_add(distance).max(0)).unwrap_or(u64::MAX)
}

/// A distance from a position; what is out of range is not confused with the places of nulls, which are the ends.
fn position_at(position: i128, distance: i128) -> i128 {
    if position == i128::MIN || position == i128::MAX {
        return position;
    }
    position.saturating_add(distance).clamp(i128::MIN + 1, i128::MAX - 1)
}

impl<F: Function> Partition<F> {
    fn position(&self, row: u64) -> i128 {
        row.checked_sub(self.positions_base)
            .and_then(|at| self.positions.get(at as usize))
            .copied()
            .unwrap_or(i128::MAX)
    }

    /// Moves the frame to `[from, to)` and gives the result of the current row, which is then decided.
    #[inline(always)]
    fn step(&mut self, function: &F, frame: &RowFrame, from: u64, to: u64) -> Result<Option<F::Out>> {
        let (from, to) = (from.max(self.from), to.max(self.to));
        while self.from < from {
            if self.from < self.to {
                // What leaves has been added, so it is in the ring.
                let value = self.from.checked_sub(self.base).and_then(|at| self.ring.get(at as usize));
                if let Some(value) = value {
                    function.remove(&mut self.state, self.from, value)?;
                }
                self.from += 1;
            } else {
                self.from = from;
            }
        }
        self.to = self.to.max(self.from.min(to));
        while self.to < to {
            let value = self.to.checked_sub(self.base).and_then(|at| self.ring.get(at as usize));
            if let Some(value) = value {
                function.add(&mut self.state, self.to, value)?;
            }
            self.to += 1;
        }
        let view = View {
            ring: &self.ring,
            base: self.base,
            from: self.from,
            to: self.to.max(self.from),
            current: self.current,
        };
        let result = function.result(&mut self.state, &view)?;
        self.current += 1;
        // A frame that begins with the partition takes no row out again.
        let mut needed = if frame.start.is_none() { self.to } else { self.from };
        if function.keeps_current() {
            needed = needed.min(self.current);
        }
        while self.base < needed && !self.ring.is_empty() {
            self.ring.pop_front();
            self.base += 1;
        }
        Ok(result)
    }

    /// Where the frame of the current row begins and ends; none where its end is not known yet.
    ///
    /// `known`: all rows at positions below it are there.
    fn bounds(&self, frame: &RowFrame, known: i128) -> Option<(u64, u64)> {
        let finished = known == i128::MAX;
        if frame.units == FrameUnits::Rows {
            let to = match frame.end {
                None if finished => self.next,
                None => return None,
                Some(end) => {
                    let to = row_at(self.current, end.saturating_add(1));
                    if to > self.next && !finished {
                        return None;
                    }
                    to.min(self.next)
                }
            };
            let from = frame.start.map_or(0, |start| row_at(self.current, start).min(self.next));
            return Some((from, to));
        }
        let here = self.position(self.current);
        let to = match frame.end {
            None if finished => self.next,
            None => return None,
            Some(end) => {
                let last = position_at(here, end);
                if last >= known && !finished {
                    return None;
                }
                let mut to = self.to.max(self.positions_base);
                while to < self.next && self.position(to) <= last {
                    to += 1;
                }
                to
            }
        };
        let from = match frame.start {
            None => 0,
            Some(start) => {
                let first = position_at(here, start);
                let mut from = self.from.max(self.positions_base);
                while from < self.next && self.position(from) < first {
                    from += 1;
                }
                from
            }
        };
        Some((from, to))
    }

    fn trim_positions(&mut self, frame: &RowFrame) {
        let mut needed = self.to.min(self.current);
        if frame.start.is_some() {
            needed = needed.min(self.from);
        }
        while self.positions_base < needed && !self.positions.is_empty() {
            self.positions.pop_front();
            self.positions_base += 1;
        }
    }
}

/// A call over a frame.
pub(super) struct FrameCall<F: Function> {
    function: F,
    frame: RowFrame,
    partitions: Vec<Partition<F>>,
    results: Results<F::Out>,
    /// Partitions that got rows since the last settling.
    touched: Vec<u32>,
    /// Rows whose frame ends at a later time, in the order of their times.
    waiting: VecDeque<(i128, u32)>,
    watermark: i128,
}

impl<F: Function> FrameCall<F> {
    pub(super) fn new(function: F, frame: RowFrame, codec: <F::Out as Value>::Codec) -> Self {
        Self {
            function,
            frame,
            partitions: Vec::new(),
            results: Results::new(codec),
            touched: Vec::new(),
            waiting: VecDeque::new(),
            watermark: i128::MIN,
        }
    }

    /// Whether the frame of a row is known as soon as the row is.
    fn at_once(&self) -> bool {
        self.frame.units == FrameUnits::Rows && self.frame.end.is_some_and(|end| end <= 0)
    }

    fn decide(&mut self, key: u32, known: i128, decided: &mut Vec<RowRef>) -> Result<()> {
        let partition = &mut self.partitions[key as usize];
        let delayed = is_delayed(&self.frame);
        while let Some(at) = partition.pending.front().copied() {
            let Some((from, to)) = partition.bounds(&self.frame, known) else { break };
            let result = partition.step(&self.function, &self.frame, from, to)?;
            self.results.set(at, result);
            if delayed {
                decided.push(at);
            }
            partition.pending.pop_front();
        }
        if self.frame.units != FrameUnits::Rows {
            partition.trim_positions(&self.frame);
        }
        Ok(())
    }

    /// Up to where the rows of a partition are known.
    fn known(&self, key: u32) -> i128 {
        match self.frame.units {
            FrameUnits::Rows => 0,
            FrameUnits::Time => self.watermark,
            // All rows that are equal in ORDER BY come together.
            FrameUnits::Peers => {
                let partition = &self.partitions[key as usize];
                partition.positions.back().map_or(0, |last| last + 1)
            }
            // Only where partitions are whole, which then end.
            FrameUnits::Value => i128::MIN,
        }
    }
}

/// Whether rows can be decided after the release that they came in.
pub(super) fn is_delayed(frame: &RowFrame) -> bool {
    frame.units == FrameUnits::Value || frame.end.is_none_or(|end| end > 0)
}

impl<F: Function> Call for FrameCall<F> {
    fn is_delayed(&self) -> bool {
        is_delayed(&self.frame)
    }

    fn push(&mut self, rows: &Rows<'_>, decided: &mut Vec<RowRef>) -> Result<()> {
        self.results.begin(rows.chunk, rows.len());
        let mut values = self.function.read(rows.columns)?;
        if self.partitions.len() < rows.partitions {
            self.partitions.resize_with(rows.partitions, Partition::default);
        }
        let positions = match self.frame.units {
            FrameUnits::Rows => None,
            FrameUnits::Time => Some(rows.times),
            FrameUnits::Peers => rows.peers,
            FrameUnits::Value => rows.values,
        };
        let at_once = self.at_once();
        for place in 0..rows.len() {
            let row = rows.row(place);
            let key = rows.keys[row];
            if rows.begins(row) {
                self.end_partition(key, decided)?;
            }
            let at = RowRef { chunk: rows.chunk, row: row as u32 };
            let partition = &mut self.partitions[key as usize];
            partition.ring.push_back(std::mem::take(&mut values[row]));
            partition.next += 1;
            if at_once {
                let to = self.frame.end.map_or(0, |end| row_at(partition.current, end.saturating_add(1)));
                let from = self.frame.start.map_or(0, |start| row_at(partition.current, start));
                let result = partition.step(&self.function, &self.frame, from, to)?;
                self.results.set(at, result);
                continue;
            }
            if let Some(positions) = positions {
                if self.frame.units == FrameUnits::Time && self.frame.end.is_some_and(|end| end > 0) {
                    self.waiting.push_back((positions[row], key));
                }
                partition.positions.push_back(positions[row]);
            }
            partition.pending.push_back(at);
            match positions {
                None => self.decide(key, 0, decided)?,
                Some(_) => self.touched.push(key),
            }
        }
        Ok(())
    }

    fn settle(&mut self, watermark: i64, decided: &mut Vec<RowRef>) -> Result<()> {
        self.watermark = i128::from(watermark);
        let mut touched = std::mem::take(&mut self.touched);
        while let Some((time, key)) = self.waiting.front().copied()
            && time.saturating_add(self.frame.end.unwrap_or(0)) < self.watermark
        {
            touched.push(key);
            self.waiting.pop_front();
        }
        for key in touched.drain(..) {
            self.decide(key, self.known(key), decided)?;
        }
        self.touched = touched;
        Ok(())
    }

    fn end_partition(&mut self, key: u32, decided: &mut Vec<RowRef>) -> Result<()> {
        if (key as usize) < self.partitions.len() {
            self.decide(key, i128::MAX, decided)?;
            self.partitions[key as usize] = Partition::default();
        }
        Ok(())
    }

    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn clear(&mut self) {
        self.waiting.clear();
        self.touched.clear();
        self.partitions.clear();
    }

    fn renumber(&mut self, numbers: &[u32], partitions: usize) {
        super::renumber(&mut self.partitions, numbers, partitions);
        for key in self.touched.iter_mut().chain(self.waiting.iter_mut().map(|(_, key)| key)) {
            *key = numbers.get(*key as usize).copied().unwrap_or(*key);
        }
    }

    fn results(&mut self) -> &mut dyn ResultColumn {
        &mut self.results
    }

    fn save(&mut self, keys: &[u32]) -> Result<Columns> {
        let none = Partition::default();
        let of = |key: &u32| self.partitions.get(*key as usize).unwrap_or(&none);
        let partitions = keys.iter().map(of).collect::<Vec<_>>();
        let mut saved = Columns::default();
        saved.counts("base", partitions.iter().map(|partition| partition.base));
        saved.counts("current", partitions.iter().map(|partition| partition.current));
        saved.counts("next", partitions.iter().map(|partition| partition.next));
        saved.counts("from", partitions.iter().map(|partition| partition.from));
        saved.counts("to", partitions.iter().map(|partition| partition.to));
        let lengths = partitions.iter().map(|partition| partition.ring.len()).collect::<Vec<_>>();
        let values = partitions.iter().flat_map(|partition| &partition.ring).collect::<Vec<_>>();
        for (at, column) in self.function.save_values(&values)?.into_iter().enumerate() {
            saved.lists(format!("value{at}"), &lengths, column)?;
        }
        if self.frame.units != FrameUnits::Rows {
            let lengths = partitions.iter().map(|partition| partition.positions.len()).collect::<Vec<_>>();
            let positions = partitions.iter().flat_map(|partition| partition.positions.iter().copied());
            saved.lists("positions", &lengths, wide(positions))?;
        }
        let take = |key: &u32| {
            let partition = self.partitions.get_mut(*key as usize);
            partition.map(|partition| std::mem::take(&mut partition.state)).unwrap_or_default()
        };
        let mut states = keys.iter().map(take).collect::<Vec<_>>();
        let done = self.function.save_states(&mut states, &mut saved);
        for (key, state) in keys.iter().zip(states) {
            if let Some(partition) = self.partitions.get_mut(*key as usize) {
                partition.state = state;
            }
        }
        done.map(|()| saved)
    }

    fn undecided(&self) -> Result<Undecided> {
        let mut undecided = Undecided::default();
        for (key, partition) in self.partitions.iter().enumerate() {
            for (at, number) in partition.pending.iter().zip(partition.current..) {
                undecided.push(*at, key, number);
            }
        }
        Ok(undecided)
    }

    fn load(&mut self, keys: &[u32], saved: &Saved<'_>) -> Result<()> {
        let (base, current, next) = (saved.counts("base")?, saved.counts("current")?, saved.counts("next")?);
        let (from, to) = (saved.counts("from")?, saved.counts("to")?);
        let wrong = || saved.damaged("a frame has rows that its partition has not");
        let length = |row: usize| next[row].checked_sub(base[row]).and_then(|length| usize::try_from(length).ok());
        let lengths = (0..keys.len()).map(length).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        let width = self.function.save_values(&[])?.len();
        let columns = lists(saved, "value", width, &lengths)?;
        let values = self.function.load_values(&columns, lengths.iter().sum(), saved)?;
        let mut values = values.into_iter();
        let positions = match self.frame.units {
            FrameUnits::Rows => None,
            _ => Some(saved.lists("positions")?),
        };
        let all = positions.as_ref().map(|positions| read_wide(&positions.values, saved)).transpose()?;
        let states = self.function.load_states(saved)?;
        make_room(&mut self.partitions, keys);
        for (row, (key, state)) in keys.iter().zip(states).enumerate() {
            if [current[row], from[row], to[row]].iter().any(|at| *at > next[row]) {
                return Err(wrong());
            }
            let mut partition = Partition {
                ring: values.by_ref().take(lengths[row]).collect(),
                base: base[row],
                current: current[row],
                next: next[row],
                from: from[row],
                to: to[row],
                state,
                ..Partition::default()
            };
            if let (Some(positions), Some(all)) = (&positions, all) {
                partition.positions = all[positions.range(row)].iter().copied().collect();
                let count = partition.positions.len() as u64;
                partition.positions_base = next[row].checked_sub(count).ok_or_else(wrong)?;
            }
            self.partitions[*key as usize] = partition;
        }
        Ok(())
    }

    fn wait(&mut self, rows: &[Waiting], saved: &Saved<'_>) -> Result<()> {
        let later = self.frame.units == FrameUnits::Time && self.frame.end.is_some_and(|end| end > 0);
        for row in rows {
            let partition = self.partitions.get_mut(row.key as usize);
            let next = |partition: &Partition<F>| partition.current.checked_add(partition.pending.len() as u64);
            let Some(partition) = partition.filter(|partition| next(partition) == Some(row.number)) else {
                return Err(saved.damaged("rows that wait are not those that their partition lacks"));
            };
            partition.pending.push_back(row.at);
            if later {
                self.waiting.push_back((partition.position(row.number), row.key));
            }
        }
        self.waiting.make_contiguous().sort_by_key(|(time, _)| *time);
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let whole = |partition: &Partition<F>| partition.next - partition.current == partition.pending.len() as u64;
        self.partitions.iter().all(whole)
    }

    fn memory(&self) -> usize {
        let kept = |partition: &Partition<F>| {
            size_of::<Partition<F>>()
                + partition.ring.capacity() * size_of::<F::In>()
                + partition.positions.capacity() * size_of::<i128>()
                + partition.pending.capacity() * size_of::<RowRef>()
        };
        self.partitions.iter().map(kept).sum()
    }
}
