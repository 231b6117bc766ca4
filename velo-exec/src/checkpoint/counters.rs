//! Counters in a checkpoint: a table of one row for each task, of which the first of the tasks that run later takes the sum.

use std::sync::Arc;

use arrow_array::UInt64Array;
use arrow_array::types::UInt64Type;

use super::columns::{SavedColumns, StateColumns};
use super::{StateReader, StateWriter};
use crate::error::Result;
use crate::lookup::{Fate, MissingCounters};
use crate::window::LateCounters;

const LATE: &str = "late";
const MISSING: &str = "missing";

/// How many late rows there were.
pub(crate) fn save_late(state: &mut StateWriter, counters: &LateCounters) -> Result<()> {
    save(state, LATE, [("rows", counters.rows()), ("windows", counters.windows())])
}

/// See [`save_late`].
pub(crate) fn load_late(state: &mut StateReader, counters: &LateCounters) -> Result<()> {
    let [rows, windows] = load(state, LATE)?;
    counters.add(rows, windows);
    Ok(())
}

/// How many rows a table lacked, but for those that wait.
pub(crate) fn save_missing(state: &mut StateWriter, counters: &MissingCounters) -> Result<()> {
    save(state, MISSING, [("skipped", counters.skipped()), ("filled", counters.filled())])
}

/// See [`save_missing`].
pub(crate) fn load_missing(state: &mut StateReader, counters: &MissingCounters) -> Result<()> {
    let [skipped, filled] = load(state, MISSING)?;
    counters.count(Fate::LeaveOut, skipped as usize);
    counters.count(Fate::Nulls, filled as usize);
    Ok(())
}

fn save<const N: usize>(state: &mut StateWriter, table: &str, counters: [(&str, u64); N]) -> Result<()> {
    if counters.iter().all(|(_, count)| *count == 0) {
        return Ok(());
    }
    let mut columns = StateColumns::new();
    for (name, count) in counters {
        columns.push(name, Arc::new(UInt64Array::from(vec![count])));
    }
    state.rows(table, columns.finish(1)?);
    Ok(())
}

fn load<const N: usize>(state: &mut StateReader, table: &str) -> Result<[u64; N]> {
    let mut sums = [0_u64; N];
    for batch in state.rows(table)? {
        let mut saved = SavedColumns::of(table, &batch);
        for sum in &mut sums {
            let counts = saved.numbers::<UInt64Type>()?;
            *sum = counts.values().iter().fold(*sum, |sum, count| sum.saturating_add(*count));
        }
        saved.end()?;
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Reached, Share};

    #[test]
    fn the_first_task_takes_the_sum() {
        let mut saved = Vec::new();
        for rows in [2, 3] {
            let counters = LateCounters::default();
            counters.add(rows, rows + 1);
            let mut state = StateWriter::new();
            save_late(&mut state, &counters).unwrap();
            saved.push(state.finish(Reached::default()));
        }
        for (task, expected) in [(0, (5, 7)), (1, (0, 0))] {
            let counters = LateCounters::default();
            load_late(&mut StateReader::new(saved.clone(), Share { task, tasks: 2 }), &counters).unwrap();
            assert_eq!((counters.rows(), counters.windows()), expected);
        }
    }
}
