//! Counters of an operator as one row of a table.
//!
//! A value is read by each of the tasks that there are later; what has no key is the first one's alone. So a counter that stands
//! in a row goes on in one task, with the sum of all, and nothing is counted twice.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{ArrayRef, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};

use super::state::{StateReader, StateWriter, damaged};
use crate::error::Result;

/// Saves counters under their names; those that have counted nothing are not worth a row.
pub(crate) fn save_counts(state: &mut StateWriter, table: &str, counts: &[(&str, u64)]) -> Result<()> {
    if counts.iter().all(|(_, count)| *count == 0) {
        return Ok(());
    }
    let fields = counts.iter().map(|(name, _)| Field::new(*name, DataType::UInt64, false)).collect::<Vec<_>>();
    let columns = counts.iter().map(|(_, count)| Arc::new(UInt64Array::from(vec![*count])) as ArrayRef).collect();
    state.rows(table, RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?);
    Ok(())
}

/// The sums of the counters that the tasks of an operator have saved, for the first of those that there are now; 0 for the others.
pub(crate) fn load_counts<const N: usize>(state: &mut StateReader, table: &str, names: [&str; N]) -> Result<[u64; N]> {
    let mut sums = [0_u64; N];
    for rows in state.rows(table)? {
        for (sum, name) in sums.iter_mut().zip(names) {
            let column = rows.column_by_name(name).and_then(|column| column.as_primitive_opt::<UInt64Type>());
            let column = column.ok_or_else(|| damaged(table, &format!("it has no counter '{name}'")))?;
            *sum = column.values().iter().fold(*sum, |sum, count| sum.saturating_add(*count));
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Reached, Share};

    #[test]
    fn the_first_task_goes_on_with_the_sum() {
        let saved = [(2, 0), (0, 0), (3, 7)].map(|(rows, windows)| {
            let mut state = StateWriter::new();
            save_counts(&mut state, "late", &[("rows", rows), ("windows", windows)]).unwrap();
            state.finish(Reached::default()).unwrap().remove(0)
        });
        let read = |task: usize| {
            let mut state = StateReader::new(saved.to_vec(), Share { task, tasks: 2 });
            load_counts(&mut state, "late", ["rows", "windows"]).unwrap()
        };
        assert_eq!((read(0), read(1)), ([5, 7], [0, 0]));
        let mut state = StateReader::new(saved.to_vec(), Share::WHOLE);
        assert!(load_counts(&mut state, "late", ["others"]).is_err());
    }
}
