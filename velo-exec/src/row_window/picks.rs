//! Values of single rows: LAG, LEAD, FIRST_VALUE, LAST_VALUE and NTH_VALUE.

use std::collections::VecDeque;

use arrow_array::{ArrayRef, RecordBatch};

use super::frame::{Function, View};
use super::results::{ResultColumn, Results, RowRef};
use super::saved::{make_room, only, read, read_numbered, write, write_numbered};
use super::sums::Argument;
use super::value::Value;
use super::{Call, Rows, Undecided, Waiting};
use crate::checkpoint::columns::{Columns, Saved};
use crate::error::Result;

/// A value, and what stands in for it where its row is not there.
pub(super) type WithDefault<V> = (Option<V>, Option<V>);

fn read_both<V: Value>(
    argument: &Argument,
    default: Option<usize>,
    codec: &V::Codec,
    columns: &RecordBatch,
) -> Result<Vec<WithDefault<V>>> {
    let values = argument.read::<V>(codec, columns)?;
    Ok(match default {
        None => values.into_iter().map(|value| (value, None)).collect(),
        Some(at) => values.into_iter().zip(V::read(codec, columns.column(at))?).collect(),
    })
}

/// Values, and what stands in for them where a call says so.
fn write_both<V: Value>(default: Option<usize>, codec: &V::Codec, values: &[&WithDefault<V>]) -> Result<Vec<ArrayRef>> {
    let mut columns = vec![write::<V>(codec, values.iter().map(|(value, _)| value.as_ref()))?];
    if default.is_some() {
        columns.push(write::<V>(codec, values.iter().map(|(_, default)| default.as_ref()))?);
    }
    Ok(columns)
}

/// What [`write_both`] wrote.
fn read_back<V: Value>(codec: &V::Codec, columns: &[ArrayRef], saved: &Saved<'_>) -> Result<Vec<WithDefault<V>>> {
    let values = read::<V>(codec, only(columns, saved)?, saved)?;
    Ok(match columns.get(1) {
        None => values.into_iter().map(|value| (value, None)).collect(),
        Some(defaults) => values.into_iter().zip(read::<V>(codec, defaults, saved)?).collect(),
    })
}

/// LAG and LEAD: the frame is the one row that is asked for.
pub(super) struct Shift<V: Value> {
    pub(super) argument: Argument,
    pub(super) default: Option<usize>,
    pub(super) codec: V::Codec,
}

impl<V: Value> Function for Shift<V> {
    type In = WithDefault<V>;
    type State = ();
    type Out = V;

    fn read(&self, columns: &RecordBatch) -> Result<Vec<WithDefault<V>>> {
        read_both(&self.argument, self.default, &self.codec, columns)
    }

    fn add(&self, _state: &mut (), _row: u64, _value: &WithDefault<V>) -> Result<()> {
        Ok(())
    }

    fn remove(&self, _state: &mut (), _row: u64, _value: &WithDefault<V>) -> Result<()> {
        Ok(())
    }

    fn result(&self, _state: &mut (), view: &View<'_, WithDefault<V>>) -> Result<Option<V>> {
        if view.from < view.to {
            return Ok(view.get(view.from).and_then(|(value, _)| value.clone()));
        }
        Ok(view.current().and_then(|(_, default)| default.clone()))
    }

    fn keeps_current(&self) -> bool {
        self.default.is_some()
    }

    fn save_values(&self, values: &[&WithDefault<V>]) -> Result<Vec<ArrayRef>> {
        write_both(self.default, &self.codec, values)
    }

    fn load_values(&self, columns: &[ArrayRef], _rows: usize, saved: &Saved<'_>) -> Result<Vec<WithDefault<V>>> {
        read_back(&self.codec, columns, saved)
    }

    fn save_states(&self, _states: &mut [()], _into: &mut Columns) -> Result<()> {
        Ok(())
    }

    fn load_states(&self, saved: &Saved<'_>) -> Result<Vec<()>> {
        Ok(vec![(); saved.rows()])
    }
}

/// LAG over the rows whose value is not null: the frame is all rows before the current one, of which the last few are kept.
pub(super) struct LagKnown<V: Value> {
    pub(super) argument: Argument,
    pub(super) default: Option<usize>,
    pub(super) codec: V::Codec,
    pub(super) back: usize,
}

impl<V: Value> Function for LagKnown<V> {
    type In = WithDefault<V>;
    type State = VecDeque<V>;
    type Out = V;

    fn read(&self, columns: &RecordBatch) -> Result<Vec<WithDefault<V>>> {
        read_both(&self.argument, self.default, &self.codec, columns)
    }

    fn add(&self, state: &mut VecDeque<V>, _row: u64, value: &WithDefault<V>) -> Result<()> {
        if let Some(value) = &value.0 {
            if state.len() == self.back {
                state.pop_front();
            }
            state.push_back(value.clone());
        }
        Ok(())
    }

    fn remove(&self, _state: &mut VecDeque<V>, _row: u64, _value: &WithDefault<V>) -> Result<()> {
        Ok(())
    }

    fn result(&self, state: &mut VecDeque<V>, view: &View<'_, WithDefault<V>>) -> Result<Option<V>> {
        if state.len() == self.back {
            return Ok(state.front().cloned());
        }
        Ok(view.current().and_then(|(_, default)| default.clone()))
    }

    fn keeps_current(&self) -> bool {
        self.default.is_some()
    }

    fn save_values(&self, values: &[&WithDefault<V>]) -> Result<Vec<ArrayRef>> {
        write_both(self.default, &self.codec, values)
    }

    fn load_values(&self, columns: &[ArrayRef], _rows: usize, saved: &Saved<'_>) -> Result<Vec<WithDefault<V>>> {
        read_back(&self.codec, columns, saved)
    }

    fn save_states(&self, states: &mut [VecDeque<V>], into: &mut Columns) -> Result<()> {
        let lengths = states.iter().map(VecDeque::len).collect::<Vec<_>>();
        into.lists("kept", &lengths, write::<V>(&self.codec, states.iter().flatten().map(Some))?)
    }

    fn load_states(&self, saved: &Saved<'_>) -> Result<Vec<VecDeque<V>>> {
        let lists = saved.lists("kept")?;
        let mut all = read::<V>(&self.codec, &lists.values, saved)?.into_iter();
        Ok((0..saved.rows()).map(|row| all.by_ref().take(lists.length(row)).flatten().collect()).collect())
    }
}

/// FIRST_VALUE, NTH_VALUE and LAST_VALUE.
pub(super) struct Pick<V: Value> {
    pub(super) argument: Argument,
    pub(super) codec: V::Codec,
    /// The number of the row in the frame, from 1; none: the last.
    pub(super) nth: Option<u64>,
    /// Whether rows leave the frame.
    pub(super) moves: bool,
    /// Whether rows without a value are passed over.
    pub(super) known: bool,
}

/// The rows of the frame that can be the one, with their values.
type Picked<V> = (VecDeque<(u64, Option<V>)>, u64);

impl<V: Value> Function for Pick<V> {
    type In = Option<V>;
    type State = Picked<V>;
    type Out = V;

    fn read(&self, columns: &RecordBatch) -> Result<Vec<Option<V>>> {
        self.argument.read::<V>(&self.codec, columns)
    }

    fn add(&self, (rows, seen): &mut Picked<V>, row: u64, value: &Option<V>) -> Result<()> {
        if self.known && value.is_none() {
            return Ok(());
        }
        *seen += 1;
        match self.nth {
            // The last one of the frame is never gone before those in front of it.
            None => {
                rows.clear();
                rows.push_back((row, value.clone()));
            }
            Some(_) if self.moves => rows.push_back((row, value.clone())),
            Some(nth) => {
                if *seen == nth {
                    rows.push_back((row, value.clone()));
                }
            }
        }
        Ok(())
    }

    fn remove(&self, (rows, _): &mut Picked<V>, row: u64, _value: &Option<V>) -> Result<()> {
        while rows.front().is_some_and(|(first, _)| *first <= row) {
            rows.pop_front();
        }
        Ok(())
    }

    fn result(&self, (rows, _): &mut Picked<V>, _view: &View<'_, Option<V>>) -> Result<Option<V>> {
        let picked = match self.nth {
            None => rows.back(),
            Some(nth) if self.moves => usize::try_from(nth - 1).ok().and_then(|at| rows.get(at)),
            Some(_) => rows.front(),
        };
        Ok(picked.and_then(|(_, value)| value.clone()))
    }

    fn save_values(&self, values: &[&Option<V>]) -> Result<Vec<ArrayRef>> {
        Ok(vec![write::<V>(&self.codec, values.iter().map(|value| value.as_ref()))?])
    }

    fn load_values(&self, columns: &[ArrayRef], _rows: usize, saved: &Saved<'_>) -> Result<Vec<Option<V>>> {
        read::<V>(&self.codec, only(columns, saved)?, saved)
    }

    fn save_states(&self, states: &mut [Picked<V>], into: &mut Columns) -> Result<()> {
        into.counts("seen", states.iter().map(|(_, seen)| *seen));
        let kept = || states.iter().flat_map(|(rows, _)| rows).map(|(row, value)| (*row, value.as_ref()));
        write_numbered::<V, _>(&self.codec, states.iter().map(|(rows, _)| rows.len()), kept, into)
    }

    fn load_states(&self, saved: &Saved<'_>) -> Result<Vec<Picked<V>>> {
        let seen = saved.counts("seen")?.iter().copied();
        Ok(read_numbered::<V>(&self.codec, saved)?.into_iter().zip(seen).collect())
    }
}

/// LEAD over the rows whose value is not null: a row is decided when enough of them have come behind it.
pub(super) struct LeadKnown<V: Value> {
    argument: Argument,
    default: Option<usize>,
    codec: V::Codec,
    ahead: usize,
    partitions: Vec<Ahead<V>>,
    results: Results<V>,
}

struct Ahead<V> {
    /// Undecided rows, each with the number of values that came before it and itself.
    rows: VecDeque<(RowRef, u64, Option<V>)>,
    /// How many values have come in all.
    seen: u64,
}

impl<V> Default for Ahead<V> {
    fn default() -> Self {
        Self { rows: VecDeque::new(), seen: 0 }
    }
}

impl<V: Value> LeadKnown<V> {
    pub(super) fn new(argument: Argument, default: Option<usize>, codecs: (V::Codec, V::Codec), ahead: usize) -> Self {
        Self { argument, default, codec: codecs.0, ahead, partitions: Vec::new(), results: Results::new(codecs.1) }
    }
}

impl<V: Value> Call for LeadKnown<V> {
    fn is_delayed(&self) -> bool {
        true
    }

    fn push(&mut self, rows: &Rows<'_>, decided: &mut Vec<RowRef>) -> Result<()> {
        self.results.begin(rows.chunk, rows.len());
        let mut values = read_both::<V>(&self.argument, self.default, &self.codec, rows.columns)?;
        if self.partitions.len() < rows.partitions {
            self.partitions.resize_with(rows.partitions, Ahead::default);
        }
        for place in 0..rows.len() {
            let row = rows.row(place);
            let key = rows.keys[row];
            if rows.begins(row) {
                self.end_partition(key, decided)?;
            }
            let partition = &mut self.partitions[key as usize];
            let (value, default) = std::mem::take(&mut values[row]);
            if let Some(value) = value {
                partition.seen += 1;
                // A row is decided by the value that comes as the last of the `ahead` ones behind it.
                while let Some((at, before, _)) = partition.rows.front()
                    && partition.seen >= before + self.ahead as u64
                {
                    self.results.set(*at, Some(value.clone()));
                    decided.push(*at);
                    partition.rows.pop_front();
                }
            }
            let at = RowRef { chunk: rows.chunk, row: row as u32 };
            partition.rows.push_back((at, partition.seen, default));
        }
        Ok(())
    }

    fn end_partition(&mut self, key: u32, decided: &mut Vec<RowRef>) -> Result<()> {
        if let Some(partition) = self.partitions.get_mut(key as usize) {
            for (at, _, default) in std::mem::take(partition).rows {
                self.results.set(at, default);
                decided.push(at);
            }
        }
        Ok(())
    }

    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    fn clear(&mut self) {
        self.partitions.clear();
    }

    fn renumber(&mut self, numbers: &[u32], partitions: usize) {
        super::renumber(&mut self.partitions, numbers, partitions);
    }

    fn results(&mut self) -> &mut dyn ResultColumn {
        &mut self.results
    }

    fn save(&mut self, keys: &[u32]) -> Result<Columns> {
        let seen = |key: &u32| self.partitions.get(*key as usize).map_or(0, |partition| partition.seen);
        let mut saved = Columns::default();
        saved.counts("seen", keys.iter().map(seen));
        Ok(saved)
    }

    fn undecided(&self) -> Result<Undecided> {
        let mut undecided = Undecided::default();
        for (key, partition) in self.partitions.iter().enumerate() {
            for ((at, ..), number) in partition.rows.iter().zip(0..) {
                undecided.push(*at, key, number);
            }
        }
        let rows = || self.partitions.iter().flat_map(|partition| &partition.rows);
        undecided.columns.counts("before", rows().map(|(_, before, _)| *before));
        let defaults = write::<V>(&self.codec, rows().map(|(.., default)| default.as_ref()))?;
        undecided.columns.add("default", defaults);
        Ok(undecided)
    }

    fn load(&mut self, keys: &[u32], saved: &Saved<'_>) -> Result<()> {
        make_room(&mut self.partitions, keys);
        for (key, seen) in keys.iter().zip(saved.counts("seen")?) {
            self.partitions[*key as usize] = Ahead { seen: *seen, ..Ahead::default() };
        }
        Ok(())
    }

    fn wait(&mut self, rows: &[Waiting], saved: &Saved<'_>) -> Result<()> {
        let before = saved.counts("before")?;
        let mut defaults = read::<V>(&self.codec, saved.column("default")?, saved)?;
        for row in rows {
            let partition = self.partitions.get_mut(row.key as usize);
            let Some(partition) = partition.filter(|partition| partition.rows.len() as u64 == row.number) else {
                return Err(saved.damaged("rows that wait are not those that their partition lacks"));
            };
            partition.rows.push_back((row.at, before[row.place], std::mem::take(&mut defaults[row.place])));
        }
        Ok(())
    }

    fn memory(&self) -> usize {
        let kept = |waiting: &Ahead<V>| waiting.rows.capacity() * size_of::<(RowRef, u64, Option<V>)>();
        self.partitions.iter().map(kept).sum()
    }
}
