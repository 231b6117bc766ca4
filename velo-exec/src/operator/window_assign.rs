//! A windowing table function without a GROUP BY: every row once per window that it belongs to, with the window's start, end and
//! time behind its columns.
//!
//! A row is dropped from the windows that it is late for, as an aggregate over them would do.

use std::sync::Arc;

use arrow_array::{ArrayRef, TimestampMicrosecondArray, UInt32Array};
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::{Batch, Watermark, schema};
use velo_plan::plan::WindowSpec;

use super::{Flow, InputId, Operator, Outbox};
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
        out.batch(Batch { late_by: None, ..taken.with_columns(columns_of(&self.output, columns, rows)?) });
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
}
