//! How many late rows an operator met, in a checkpoint.

use std::sync::Arc;

use arrow_array::types::UInt64Type;
use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};

use super::beside::values;
use super::state::{StateReader, StateWriter, damaged};
use crate::error::Result;
use crate::window::LateCounters;

const LATE: &str = "late";

/// A row without a key, which the first of the tasks that run later takes up: so what several counted is counted once.
pub(crate) fn save_late(state: &mut StateWriter, late: &LateCounters) -> Result<()> {
    let fields = ["rows", "windows"].map(|name| Field::new(name, DataType::UInt64, false));
    let count = |count: u64| Arc::new(UInt64Array::from(vec![count]));
    let columns = vec![count(late.rows()) as _, count(late.windows()) as _];
    state.rows(LATE, RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns)?);
    Ok(())
}

/// Goes on counting from there.
pub(crate) fn load_late(state: &mut StateReader, late: &LateCounters) -> Result<()> {
    for saved in state.rows(LATE)? {
        let [rows, windows] = saved.columns() else { return Err(damaged(LATE, "it has another number of columns")) };
        let sum = |column| Ok::<u64, crate::ExecError>(values::<UInt64Type>(LATE, column)?.iter().sum());
        late.add(sum(rows)?, sum(windows)?);
    }
    Ok(())
}
