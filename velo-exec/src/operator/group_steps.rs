//! GROUP BY without a window over bounded, append-only rows, in two steps: [`GroupPartial`] runs where the rows are and sends the
//! states of its groups, [`GroupFinal`] has them exchanged by key and merges them. Both give what
//! [`super::GroupAggregate`] gives in one.
//!
//! The first step holds few groups at a time: where there are many keys it sends what it has and begins again, so that the work of
//! merging is shared by the tasks of the second. Where nearly every row has a key of its own, looking it up twice would only
//! cost: from then on each row is sent as a group of its own.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{Field, Schema, SchemaRef};
use velo_core::{Batch, Watermark, schema};

use super::group_store::GroupStore;
use super::grouping::{Evaluated, GroupSpec, Grouping};
use super::{Flow, InputId, Operator, Outbox};
use crate::aggregate::{AggregatePlan, AggregateSet, Groups, SavedKeys};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};

/// The most groups that the first step holds before it sends them: what lies in the processor's caches.
const PARTIAL_GROUPS: usize = 1 << 16;

/// Rows to a group at least, so that grouping them before they are sent is worth it.
const SCATTERED: u64 = 2;

/// The columns between the two steps: keys, states, and the latest event time.
fn state_schema(spec: &GroupSpec, plan: &AggregatePlan) -> Result<SchemaRef> {
    let mut fields = spec.keys.iter().map(|key| Arc::clone(&key.field)).collect::<Vec<_>>();
    fields.extend(plan.state_fields()?);
    fields.push(Arc::new(Field::new("$latest", schema::EVENT_TIME_TYPE, false)));
    Ok(Arc::new(Schema::new(fields)))
}

/// The first of two steps: rows in, states of groups out.
///
/// At a barrier it hands on what it holds, and so it saves nothing. Whether a row has come before decides no more than whether it
/// sends the states of groups without rows at the end, which change nothing where there are rows.
pub struct GroupPartial {
    grouping: Grouping,
    store: GroupStore,
    schema: SchemaRef,
    limit: usize,
    /// Nearly every row has a key of its own.
    scattered: bool,
    /// What is held is being sent.
    sending: bool,
    ended: bool,
    /// Whether a row has come.
    rows: u64,
}

impl GroupPartial {
    /// The first step of an aggregate node without a window.
    pub fn new(spec: &GroupSpec, input: &SchemaRef) -> Result<Self> {
        let plan = AggregatePlan::new(&spec.aggregates, input, Groups::Together, &spec.statement)?;
        let grouping = Grouping::new(spec, Arc::clone(&plan), input)?;
        Ok(Self {
            store: GroupStore::new(&plan, grouping.key_types())?,
            schema: state_schema(spec, &plan)?,
            grouping,
            limit: PARTIAL_GROUPS,
            scattered: false,
            sending: false,
            ended: false,
            rows: 0,
        })
    }

    /// Sends its groups when there are this many.
    pub fn with_limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Each row as the state of a group of its own.
    fn send_rows(&mut self, batch: &Batch, evaluated: &Evaluated, out: &mut Outbox) -> Result<Flow> {
        let ids = (0..batch.rows() as u32).collect::<Vec<_>>();
        let times: ArrayRef = match batch.event_times() {
            Some(times) => Arc::new(times.clone()),
            None => Arc::new(TimestampMicrosecondArray::from_value(i64::MIN, ids.len())),
        };
        let mut set = AggregateSet::new(&self.grouping.plan)?;
        set.update(&ids, ids.len(), &evaluated.inputs, &evaluated.order)?;
        let state = set.state(&ids, false)?;
        self.grouping.each_set(&evaluated.keys, ids.len(), |keys| {
            let columns = [keys, state.as_slice(), std::slice::from_ref(&times)].concat();
            out.batch(Batch::new(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
            Ok(())
        })?;
        Ok(Flow::Done)
    }
}

impl Operator for GroupPartial {
    fn memory(&self) -> usize {
        self.store.memory()
    }

    /// Rows whose groups have not been sent.
    fn held(&self) -> u64 {
        self.store.rows()
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        if batch.is_empty() {
            return Ok(Flow::Done);
        }
        let evaluated = self.grouping.evaluate(&batch)?;
        self.rows += batch.rows() as u64;
        if self.scattered {
            return self.send_rows(&batch, &evaluated, out);
        }
        self.store.take(&self.grouping, &batch, &evaluated)?;
        if self.store.len() >= self.limit {
            self.sending = true;
            let rows = self.store.rows() * self.grouping.times_counted();
            self.scattered = rows < SCATTERED * self.store.len() as u64;
        }
        self.resume(out)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        self.grouping.check(batch)
    }

    fn fails_first(&self) -> bool {
        true
    }

    /// States carry no event time.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        if self.rows == 0 {
            self.store.add_totals(&self.grouping)?;
        }
        (self.sending, self.ended) = (true, true);
        self.resume(out)
    }

    fn on_barrier(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.sending = !self.ended;
        self.resume(out)
    }

    fn save(&mut self, _state: &mut StateWriter) -> Result<()> {
        match self.store.len() {
            0 => Ok(()),
            _ => Err(ExecError::Internal("groups that were not handed on at a barrier".to_owned())),
        }
    }

    fn load(&mut self, _state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        Ok(())
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        if !self.sending {
            return Ok(Flow::Done);
        }
        if self.store.write_states(&self.schema, out)? == Flow::More {
            return Ok(Flow::More);
        }
        self.store.clear()?;
        self.sending = false;
        if self.ended {
            out.watermark(Watermark::END);
        }
        Ok(Flow::Done)
    }
}

/// The second of two steps: states of groups in, one result per key out when the input has ended. Its state is of one form with
/// that of [`super::GroupAggregate`].
pub struct GroupFinal {
    store: GroupStore,
    saved: SavedKeys,
    keys: usize,
    output: SchemaRef,
}

impl GroupFinal {
    /// The second step of an aggregate node without a window; `input` is the schema of the node's input, not of the states.
    pub fn new(spec: &GroupSpec, input: &SchemaRef) -> Result<Self> {
        let plan = AggregatePlan::new(&spec.aggregates, input, Groups::Together, &spec.statement)?;
        let key_types = spec.keys.iter().map(|key| key.field.data_type().clone()).collect::<Vec<_>>();
        Ok(Self {
            store: GroupStore::new(&plan, &key_types)?,
            saved: spec.saved_by_all_keys(),
            keys: key_types.len(),
            output: Arc::clone(&spec.output),
        })
    }
}

impl Operator for GroupFinal {
    fn speaks_at_end(&self) -> bool {
        true
    }

    fn memory(&self) -> usize {
        self.store.memory()
    }

    fn on_batch(&mut self, _input: InputId, batch: Batch, _out: &mut Outbox) -> Result<Flow> {
        let wrong = || ExecError::Internal("states of groups with other columns".to_owned());
        let (keys, rest) = batch.columns.columns().split_at_checked(self.keys).ok_or_else(wrong)?;
        let [state @ .., times] = rest else { return Err(wrong()) };
        let times = times.as_any().downcast_ref::<TimestampMicrosecondArray>().ok_or_else(wrong)?;
        self.store.merge(keys, state, times.values())?;
        Ok(Flow::Done)
    }

    /// Nothing is forwarded before the results: they carry times that lie behind.
    fn on_watermark(&mut self, _watermark: Watermark, _out: &mut Outbox) -> Result<Flow> {
        Ok(Flow::Done)
    }

    fn on_end(&mut self, out: &mut Outbox) -> Result<Flow> {
        self.resume(out)
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
