//! Values of single rows: LAG, LEAD, FIRST_VALUE, LAST_VALUE and NTH_VALUE.

use std::collections::VecDeque;

use arrow_array::RecordBatch;

use super::frame::{Function, View};
use super::results::{ResultColumn, Results, RowRef};
use super::sums::Argument;
use super::value::Value;
use super::{Call, Rows};
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
}

/// LEAD over the rows whose value is not null: a row is decided when enough of them have come behind it.
pub(super) struct LeadKnown<V: Value> {
    argument: Argument,
    default: Option<usize>,
    codec: V::Codec,
    ahead: usize,
    partitions: Vec<Waiting<V>>,
    results: Results<V>,
}

struct Waiting<V> {
    /// Undecided rows, each with the number of values that came before it and itself.
    rows: VecDeque<(RowRef, u64, Option<V>)>,
    /// How many values have come in all.
    seen: u64,
}

impl<V> Default for Waiting<V> {
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
            self.partitions.resize_with(rows.partitions, Waiting::default);
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

    fn memory(&self) -> usize {
        let kept = |waiting: &Waiting<V>| waiting.rows.capacity() * size_of::<(RowRef, u64, Option<V>)>();
        self.partitions.iter().map(kept).sum()
    }
}
