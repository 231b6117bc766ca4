//! A windowing table function without a GROUP BY: every row once per window that it belongs to, with the window's start, end and
//! time behind its columns.
//!
//! A row is dropped from the windows that it is late for, as an aggregate over them would do.

use std::sync::Arc;

use arrow_array::{ArrayRef, TimestampMicrosecondArray, UInt32Array};
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::{Batch, RowKind, RowKinds, Watermark, schema};
use velo_plan::plan::WindowSpec;

use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::window::late::Measure;
use crate::window::{LateCounters, Windows};

/// Gives rows their windows.
#[derive(Debug)]
pub struct WindowAssign {
    windows: Windows,
    output: SchemaRef,
    watermark: Watermark,
    late: Arc<LateCounters>,
}

impl WindowAssign {
    /// Windows of `spec`, which is no session; `output` is the input's columns, start, end, time, and the event time.
    pub fn new(spec: &WindowSpec, output: SchemaRef) -> Result<Self> {
        Ok(Self { windows: Windows::new(spec)?, output, watermark: Watermark::NONE, late: Arc::default() })
    }
}

/// An update that moves a row to another window takes it from one and puts it into the other. `ends` tells windows apart for the
/// halves of an update, which differ in their times.
fn in_one_window(kinds: &RowKinds, ends: &[i64]) -> RowKinds {
    let kinds = kinds.as_slice().iter().enumerate().map(|(row, kind)| match kind {
        RowKind::UpdateBefore if ends.get(row + 1) != Some(&ends[row]) => RowKind::Delete,
        RowKind::UpdateAfter if row.checked_sub(1).map(|before| ends[before]) != Some(ends[row]) => RowKind::Insert,
        kind => *kind,
    });
    RowKinds::new(kinds.collect())
}

impl Operator for WindowAssign {
    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        let times =
            batch.event_times().ok_or_else(|| ExecError::Internal("a window without an event time".to_owned()))?;
        let measure = Measure::new(&batch, self.watermark);
        let (mut rows, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        let (mut late_rows, mut late_windows) = (0, 0);
        for (row, time) in times.values().iter().enumerate() {
            let closed = measure.of(row, *time).0;
            let slice = self.windows.slice_of(*time)?;
            self.windows.check(slice, *time)?;
            let (before, mut late) = (rows.len(), 0);
            for (start, end) in self.windows.ends(slice).filter_map(|end| self.windows.bounds(end)) {
                if end <= closed {
                    late += 1;
                    continue;
                }
                rows.push(row as u32);
                starts.push(start);
                ends.push(end);
            }
            late_windows += late;
            late_rows += u64::from(late > 0 && rows.len() == before);
        }
        self.late.add(late_rows, late_windows);
        let taken = batch.take(&UInt32Array::from(rows))?;
        let kinds = taken.kinds.as_ref().map(|kinds| in_one_window(kinds, &ends));
        let mut columns: Vec<ArrayRef> = taken.columns.columns().to_vec();
        // The rows' own event time gives way to the window's.
        if let Some(at) = schema::event_time_index(taken.columns.schema_ref()) {
            columns.truncate(at);
        }
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(ends.iter().map(|end| end - 1)));
        columns.push(Arc::new(TimestampMicrosecondArray::from(starts)));
        columns.push(Arc::new(TimestampMicrosecondArray::from(ends)));
        columns.push(Arc::clone(&times));
        columns.push(times);
        let rows = taken.rows();
        // What is left is on time for its window.
        out.batch(Batch { kinds, late_by: None, ..taken.with_columns(columns_of(&self.output, columns, rows)?) });
        Ok(Flow::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Outbox) -> Result<Flow> {
        self.watermark = self.watermark.max(watermark);
        out.watermark(watermark);
        Ok(Flow::Done)
    }

    fn late(&self) -> Option<Arc<LateCounters>> {
        Some(Arc::clone(&self.late))
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.late.save(state)
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.watermark = state.watermark();
        self.late.load(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_stays_one_in_its_window_alone() {
        let [insert, before, after, delete] = RowKind::ALL;
        let kinds = RowKinds::new(vec![before, after, insert, before, after, delete]);
        let told = in_one_window(&kinds, &[10, 10, 10, 10, 20, 20]);
        assert_eq!(told.as_slice(), [before, after, insert, delete, insert, delete]);
    }
}
