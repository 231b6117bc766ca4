//! How many rows came late, in a checkpoint: the first task takes up what all had counted.

use std::sync::Arc;

use arrow_array::RecordBatch;

use super::columns::{Columns, Saved};
use super::{StateReader, StateWriter};
use crate::error::Result;
use crate::window::LateCounters;

const TABLE: &str = "late";

/// Puts counters into a checkpoint: as a row that is nobody's, so that one task alone gets them back.
pub(crate) fn save_late(counters: &Arc<LateCounters>, state: &mut StateWriter) -> Result<()> {
    if counters.rows() > 0 || counters.windows() > 0 {
        let mut columns = Columns::default();
        columns.counts("rows", std::iter::once(counters.rows()));
        columns.counts("windows", std::iter::once(counters.windows()));
        state.rows(TABLE, columns.batch(1)?);
    }
    Ok(())
}

/// Takes them up again.
pub(crate) fn load_late(counters: &Arc<LateCounters>, state: &mut StateReader) -> Result<()> {
    let sum = |batch: &RecordBatch, name: &str| -> Result<u64> {
        Ok(Saved::new(TABLE, batch).counts(name)?.iter().fold(0, |sum, count| sum.saturating_add(*count)))
    };
    for batch in state.rows(TABLE)? {
        counters.add(sum(&batch, "rows")?, sum(&batch, "windows")?);
    }
    Ok(())
}
