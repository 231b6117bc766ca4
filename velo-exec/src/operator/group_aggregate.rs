//! GROUP BY without a window over bounded, append-only rows: one result per key at the end.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use velo_core::{Batch, Watermark};

use super::group_store::GroupStore;
use super::grouping::{GroupSpec, Grouping};
use super::{Flow, InputId, Operator, Outbox};
use crate::aggregate::{AggregatePlan, Groups, SavedKeys};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::Result;

/// All rows in, then one row per key; without keys exactly one row, also where no row came.
///
/// Its state and that of [`super::GroupFinal`] are of one form, so that a job can go on with another parallelism, which has one
/// step where there were two, or two where there was one.
pub struct GroupAggregate {
    grouping: Grouping,
    store: GroupStore,
    saved: SavedKeys,
    output: SchemaRef,
}

impl GroupAggregate {
    /// The operator of an aggregate node without a window.
    pub fn new(spec: &GroupSpec, input: &SchemaRef) -> Result<Self> {
        let plan = AggregatePlan::new(&spec.aggregates, input, Groups::Together, &spec.statement)?;
        let grouping = Grouping::new(spec, Arc::clone(&plan), input)?;
        let store = GroupStore::new(&plan, grouping.key_types())?;
        Ok(Self { grouping, store, saved: spec.saved_by_all_keys(), output: Arc::clone(&spec.output) })
    }
}

impl Operator for GroupAggregate {
    fn speaks_at_end(&self) -> bool {
        true
    }

    fn memory(&self) -> usize {
        self.store.memory()
    }

    fn held(&self) -> u64 {
        self.store.rows()
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, _out: &mut Outbox) -> Result<Flow> {
        if !batch.is_empty() {
            let evaluated = self.grouping.evaluate(&batch)?;
            self.store.take(&self.grouping, &batch, &evaluated)?;
        }
        Ok(Flow::Done)
    }

    /// Nothing is forwarded before the results: they carry times that lie behind.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        if self.store.len() == 0 && !self.store.has_ended() {
            self.store.add_totals(&self.grouping)?;
        }
        self.resume(out)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.grouping.check(batch)
    }

    fn fails_first(&self) -> bool {
        true
    }

    fn save(&mut self, state: &mut StateWriter) -> Result<()> {
        self.store.save(&self.saved, state)
    }

    fn load(&mut self, state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        self.store.load(&self.saved, state)
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.store.write_results(&self.output, out)
    }
}
