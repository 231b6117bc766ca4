//! GROUP BY without a window over bounded, append-only rows: one result per key at the end.

use std::sync::Arc;

use arrow_array::{RecordBatch, TimestampMicrosecondArray};
use arrow_schema::SchemaRef;
use velo_core::{Batch, Watermark, schema};

use super::grouping::{GroupSpec, Grouping};
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::aggregate::{AggregatePlan, AggregateSet, Groups};
use crate::error::Result;
use crate::state::KeyTable;

/// All rows in, then one row per key; without keys exactly one row, also where no row came.
pub struct GroupAggregate {
    grouping: Grouping,
    output: SchemaRef,
    keys: KeyTable,
    set: AggregateSet,
    /// Rows that went in.
    rows: u64,
    /// By key: the latest event time that went in.
    times: Vec<i64>,
    written: usize,
    ids: Vec<u32>,
}

impl GroupAggregate {
    /// The operator of an aggregate node without a window.
    pub fn new(spec: &GroupSpec, input: &SchemaRef) -> Result<Self> {
        let plan = AggregatePlan::new(&spec.aggregates, input, Groups::Together, &spec.statement)?;
        let grouping = Grouping::new(spec, Arc::clone(&plan), input)?;
        Ok(Self {
            output: Arc::clone(&spec.output),
            keys: KeyTable::new(grouping.key_types())?,
            set: AggregateSet::new(&plan)?,
            rows: 0,
            times: Vec::new(),
            written: 0,
            ids: Vec::new(),
            grouping,
        })
    }

    /// Bytes of memory of its state.
    pub fn memory(&self) -> usize {
        self.keys.memory() + self.set.memory() + self.times.capacity() * size_of::<i64>()
    }
}

impl Operator for GroupAggregate {
    fn held(&self) -> u64 {
        self.rows
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, _out: &mut Outbox) -> Result<Flow> {
        if batch.is_empty() {
            return Ok(Flow::Done);
        }
        self.rows += batch.rows() as u64;
        let evaluated = self.grouping.evaluate(&batch)?;
        self.grouping.each_set(&evaluated.keys, batch.rows(), |keys| {
            self.keys.intern(keys, batch.rows(), &mut self.ids)?;
            self.set.update(&self.ids, self.keys.len(), &evaluated.inputs, &evaluated.order)?;
            if let Some(times) = batch.event_times() {
                self.times.resize(self.keys.len(), i64::MIN);
                for (id, time) in self.ids.iter().zip(times.values()) {
                    let latest = &mut self.times[*id as usize];
                    *latest = (*latest).max(*time);
                }
            }
            Ok(())
        })?;
        Ok(Flow::Done)
    }

    /// Nothing is forwarded before the results: they carry times that lie behind.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        if self.set.is_empty() {
            for key in self.grouping.totals() {
                self.keys.intern(&key, 1, &mut self.ids)?;
                self.set.grow(self.keys.len())?;
            }
        }
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        let groups = self.set.len();
        while self.written < groups {
            if out.is_full() {
                return Ok(Flow::More);
            }
            let to = groups.min(self.written + OUTPUT_ROWS);
            let ids = (self.written as u32..to as u32).collect::<Vec<_>>();
            let mut columns = self.keys.keys(&ids)?;
            columns.extend(self.set.evaluate(&ids, true)?);
            if schema::event_time_index(&self.output).is_some() {
                // A result without rows has no time of its own.
                let latest = ids.iter().map(|id| self.times.get(*id as usize).copied().unwrap_or(0));
                columns.push(Arc::new(TimestampMicrosecondArray::from_iter_values(latest)));
            }
            self.written = to;
            out.batch(Batch::new(RecordBatch::try_new(Arc::clone(&self.output), columns)?));
        }
        out.watermark(Watermark::END);
        Ok(Flow::Done)
    }
}
