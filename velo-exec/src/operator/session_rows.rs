//! The rows of sessions: their keys, results, bounds and event times.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::SchemaRef;
use velo_core::{Batch, RowKind, schema};

use super::Outbox;
use crate::changes::rows_of_both;
use crate::error::Result;
use crate::state::KeyTable;
use crate::window::session::Ended;

/// Sessions that have ended, with the `results` of their groups.
pub(super) fn ended_rows(
    ended: &[Ended],
    keys: &KeyTable,
    results: Vec<ArrayRef>,
    output: &SchemaRef,
) -> Result<RecordBatch> {
    let numbers = ended.iter().map(|session| session.key).collect::<Vec<_>>();
    let bounds = ended.iter().map(|session| (session.start, session.end)).collect::<Vec<_>>();
    rows(keys, &numbers, results, &bounds, output)
}

fn rows(
    keys: &KeyTable,
    numbers: &[u32],
    results: Vec<ArrayRef>,
    bounds: &[(i64, i64)],
    output: &SchemaRef,
) -> Result<RecordBatch> {
    let mut columns = keys.keys(numbers)?;
    columns.extend(results);
    let times = |of: fn(&(i64, i64)) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(bounds.iter().map(of)))
    };
    columns.extend([times(|bounds| bounds.0), times(|bounds| bounds.1)]);
    if schema::event_time_index(output).is_some() {
        columns.push(times(|bounds| bounds.1 - 1));
    }
    Ok(RecordBatch::try_new(Arc::clone(output), columns)?)
}

/// Rows of a changelog of sessions on their way out.
#[derive(Debug, Default)]
pub(super) struct ChangedRows {
    kinds: Vec<RowKind>,
    keys: Vec<u32>,
    /// Places in the results before, then after.
    results: Vec<u32>,
    bounds: Vec<(i64, i64)>,
}

impl ChangedRows {
    /// A row of a key, with a place in the results before and, counting on, in those after.
    pub(super) fn push(&mut self, kind: RowKind, key: u32, result: u32, bounds: (i64, i64)) {
        self.kinds.push(kind);
        self.keys.push(key);
        self.results.push(result);
        self.bounds.push(bounds);
    }

    /// Puts others behind these.
    pub(super) fn append(&mut self, others: Self) {
        self.kinds.extend(others.kinds);
        self.keys.extend(others.keys);
        self.results.extend(others.results);
        self.bounds.extend(others.bounds);
    }

    /// Emits the rows, if there are any.
    pub(super) fn write(
        self,
        keys: &KeyTable,
        (before, after): (&[ArrayRef], &[ArrayRef]),
        output: &SchemaRef,
        out: &mut Outbox,
    ) -> Result<()> {
        if self.kinds.is_empty() {
            return Ok(());
        }
        let results = rows_of_both(before, after, self.results)?;
        let columns = rows(keys, &self.keys, results, &self.bounds, output)?;
        out.batch(Batch::changes(columns, self.kinds));
        Ok(())
    }
}
