//! MIN, MAX, BOOL_AND and BOOL_OR over a frame: the values that can still become the extreme, in their order.

use std::cmp::Ordering;
use std::collections::VecDeque;

use arrow_array::{ArrayRef, RecordBatch};

use super::frame::{Function, View};
use super::saved::{only, read, read_numbered, write, write_numbered};
use super::sums::Argument;
use super::value::Value;
use crate::checkpoint::columns::{Columns, Saved};
use crate::error::Result;

/// The smallest or the largest value.
pub(super) struct Extreme<V: Value> {
    pub(super) argument: Argument,
    pub(super) codec: V::Codec,
    /// How a value compares to one that it makes useless.
    pub(super) wanted: Ordering,
    /// Whether rows leave the frame: else the best value is enough.
    pub(super) moves: bool,
}

// The front is the extreme; behind it are the best of the rows that came later, each with its row.
impl<V: Value> Function for Extreme<V> {
    type In = Option<V>;
    type State = VecDeque<(u64, V)>;
    type Out = V;

    fn read(&self, columns: &RecordBatch) -> Result<Vec<Option<V>>> {
        self.argument.read::<V>(&self.codec, columns)
    }

    #[inline(always)]
    fn add(&self, state: &mut VecDeque<(u64, V)>, row: u64, value: &Option<V>) -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        if !self.moves {
            if state.front().is_none_or(|(_, best)| value.compare(best) == self.wanted) {
                state.clear();
                state.push_back((row, value.clone()));
            }
            return Ok(());
        }
        while state.back().is_some_and(|(_, kept)| {
            let order = value.compare(kept);
            order == self.wanted || order == Ordering::Equal
        }) {
            state.pop_back();
        }
        state.push_back((row, value.clone()));
        Ok(())
    }

    #[inline(always)]
    fn remove(&self, state: &mut VecDeque<(u64, V)>, row: u64, _value: &Option<V>) -> Result<()> {
        if state.front().is_some_and(|(first, _)| *first <= row) {
            state.pop_front();
        }
        Ok(())
    }

    fn result(&self, state: &mut VecDeque<(u64, V)>, _view: &View<'_, Option<V>>) -> Result<Option<V>> {
        Ok(state.front().map(|(_, value)| value.clone()))
    }

    fn save_values(&self, values: &[&Option<V>]) -> Result<Vec<ArrayRef>> {
        Ok(vec![write::<V>(&self.codec, values.iter().map(|value| value.as_ref()))?])
    }

    fn load_values(&self, columns: &[ArrayRef], _rows: usize, saved: &Saved<'_>) -> Result<Vec<Option<V>>> {
        read::<V>(&self.codec, only(columns, saved)?, saved)
    }

    fn save_states(&self, states: &mut [VecDeque<(u64, V)>], into: &mut Columns) -> Result<()> {
        let kept = || states.iter().flatten().map(|(row, value)| (*row, Some(value)));
        write_numbered::<V, _>(&self.codec, states.iter().map(VecDeque::len), kept, into)
    }

    fn load_states(&self, saved: &Saved<'_>) -> Result<Vec<VecDeque<(u64, V)>>> {
        let states = read_numbered::<V>(&self.codec, saved)?;
        let known = |kept: VecDeque<(u64, Option<V>)>| kept.into_iter().filter_map(|(row, value)| Some((row, value?)));
        Ok(states.into_iter().map(|kept| known(kept).collect()).collect())
    }
}
