//! A windowing table function without a GROUP BY: every row once per window that it belongs to, with the window's start and
//! end behind its columns.

use std::sync::Arc;

use arrow_array::{ArrayRef, TimestampMicrosecondArray, UInt32Array};
use arrow_schema::SchemaRef;
use velo_core::batch::columns_of;
use velo_core::{Batch, schema};
use velo_plan::plan::WindowSpec;

use super::{Flow, InputId, Operator, Outbox};
use crate::error::{ExecError, Result};
use crate::window::Windows;

/// Gives rows their windows.
#[derive(Debug)]
pub struct WindowAssign {
    windows: Windows,
    output: SchemaRef,
}

impl WindowAssign {
    /// Windows of `spec`, which is no session; `output` is the input's columns, start, end, and the event time.
    pub fn new(spec: &WindowSpec, output: SchemaRef) -> Result<Self> {
        Ok(Self { windows: Windows::new(spec)?, output })
    }
}

impl Operator for WindowAssign {
    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        let times = batch.event_times().ok_or_else(|| ExecError::Internal("a window without an event time".to_owned()))?;
        let (mut rows, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for (row, time) in times.values().iter().enumerate() {
            let slice = self.windows.slice_of(*time)?;
            self.windows.check(slice, *time)?;
            for (start, end) in self.windows.ends(slice).filter_map(|end| self.windows.bounds(end)) {
                rows.push(row as u32);
                starts.push(start);
                ends.push(end);
            }
        }
        let taken = batch.take(&UInt32Array::from(rows))?;
        let mut columns: Vec<ArrayRef> = taken.columns.columns().to_vec();
        // The event time stays the last.
        let event_time = schema::event_time_index(taken.columns.schema_ref()).map(|at| columns.remove(at));
        columns.push(Arc::new(TimestampMicrosecondArray::from(starts)));
        columns.push(Arc::new(TimestampMicrosecondArray::from(ends)));
        columns.extend(event_time);
        let rows = taken.rows();
        out.batch(taken.with_columns(columns_of(&self.output, columns, rows)?));
        Ok(Flow::Done)
    }
}
