//! What every grouped operator does first: the keys and the aggregates' inputs over a batch.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, new_null_array};
use arrow_schema::{DataType, SchemaRef};
use velo_core::Batch;
use velo_eventtime::LateStrategy;
use velo_plan::plan::{AggregateCall, Emission, GroupingSet, Output, StateTtl, WindowKind, WindowSpec};

use super::{GroupAggregate, GroupChanges, Operator, SessionAggregate, SessionRevisions, WindowAggregate};
use crate::aggregate::{AggregatePlan, Inputs, RowOrder, SavedKeys};
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;

/// What a grouped operator is made from: a plan's aggregate node.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// The grouping keys.
    pub keys: Vec<Output>,
    /// The sets of keys by which every row is grouped; none: by all keys once.
    pub sets: Vec<GroupingSet>,
    /// The aggregates.
    pub aggregates: Vec<AggregateCall>,
    /// The window.
    pub window: Option<WindowSpec>,
    /// What happens to rows that are late for all their windows.
    pub late: LateStrategy,
    /// When results come.
    pub emission: Emission,
    /// For how long a group without a window is kept that is not touched.
    pub ttl: Option<StateTtl>,
    /// Whether rows of the input can be taken back.
    pub retracts: bool,
    /// What comes out: keys, aggregates, the window's start and end where there is one, and the event time.
    pub output: SchemaRef,
    /// The stream, table or view whose statement it is, for errors and dead letters.
    pub statement: String,
}

impl GroupSpec {
    /// The keys of what is exchanged by all of them: the states that the first of two steps sends.
    pub(super) fn saved_by_all_keys(&self) -> SavedKeys {
        let fields = self.keys.iter().map(|key| Arc::clone(&key.field)).collect();
        SavedKeys { fields, exchanged: (0..self.keys.len()).collect() }
    }

    /// The keys of what is made of rows, which are exchanged by those that all sets have.
    pub(super) fn saved_by_shared_keys(&self) -> SavedKeys {
        SavedKeys { exchanged: shared_keys(self.keys.len(), &self.sets), ..self.saved_by_all_keys() }
    }
}

/// Of so many keys the places of those that all grouping sets have, so that rows can be exchanged by them; without sets of all.
pub(crate) fn shared_keys(keys: usize, sets: &[GroupingSet]) -> Vec<usize> {
    (0..keys).filter(|at| sets.iter().all(|set| set.keys.get(*at) == Some(&true))).collect()
}

/// The operator that does all of an aggregate node; `input` is the schema of its input.
pub fn aggregate(spec: &GroupSpec, input: &SchemaRef) -> Result<Box<dyn Operator>> {
    let session = matches!(spec.window.as_ref().map(|window| window.kind), Some(WindowKind::Session { .. }));
    if session && (spec.retracts || spec.emission.changes()) {
        return Ok(Box::new(SessionRevisions::new(spec, input)?));
    }
    if spec.retracts || spec.emission.changes() {
        return Ok(Box::new(GroupChanges::new(spec, input)?));
    }
    Ok(match spec.window.as_ref().map(|window| window.kind) {
        None => Box::new(GroupAggregate::new(spec, input)?),
        Some(WindowKind::Session { .. }) => Box::new(SessionAggregate::new(spec, input)?),
        Some(_) => Box::new(WindowAggregate::new(spec, input)?),
    })
}

/// Compiled keys and inputs.
pub(crate) struct Grouping {
    keys: Vec<Evaluator>,
    key_types: Vec<DataType>,
    sets: Vec<GroupingSet>,
    inputs: Vec<Evaluator>,
    statement: String,
    pub(crate) plan: Arc<AggregatePlan>,
}

/// Keys, inputs and order of a batch's rows.
pub(crate) struct Evaluated {
    pub(crate) keys: Vec<ArrayRef>,
    pub(crate) inputs: Inputs,
    pub(crate) order: RowOrder,
}

impl Grouping {
    pub(crate) fn new(spec: &GroupSpec, plan: Arc<AggregatePlan>, input: &SchemaRef) -> Result<Self> {
        let compile = |expression| Evaluator::new(expression, input, &spec.statement);
        let keys = spec.keys.iter().map(|key| compile(&key.expr)).collect::<Result<_>>()?;
        let key_types = spec.keys.iter().map(|key| key.field.data_type().clone()).collect();
        let inputs = plan.expressions().iter().map(compile).collect::<Result<_>>()?;
        Ok(Self { keys, key_types, sets: spec.sets.clone(), inputs, statement: spec.statement.clone(), plan })
    }

    /// An error of a window gets the name of its statement.
    pub(crate) fn named(&self, error: ExecError) -> ExecError {
        match error {
            ExecError::Compute { message, place, .. } => {
                ExecError::Compute { statement: self.statement.clone(), message, place }
            }
            other => other,
        }
    }

    pub(crate) fn key_types(&self) -> &[DataType] {
        &self.key_types
    }

    /// Hands the keys of `rows` rows to `take`: once, or once per grouping set, with NULL for those that it lacks.
    pub(crate) fn each_set(
        &self,
        keys: &[ArrayRef],
        rows: usize,
        mut take: impl FnMut(&[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        self.in_sets(keys, rows).iter().try_for_each(|keys| take(keys))
    }

    /// The keys of `rows` rows, as [`Self::each_set`] hands them out.
    pub(crate) fn in_sets(&self, keys: &[ArrayRef], rows: usize) -> Vec<Vec<ArrayRef>> {
        if self.sets.is_empty() {
            return vec![keys.to_vec()];
        }
        let nulls = self.key_types.iter().map(|data_type| new_null_array(data_type, rows)).collect::<Vec<_>>();
        let of_set = |set: &GroupingSet| {
            let own = keys.iter().zip(&nulls).zip(&set.keys);
            let own = own.map(|((key, null), counts)| Arc::clone(if *counts { key } else { null }));
            let number: ArrayRef = Arc::new(Int64Array::from_value(set.number, rows));
            own.chain([number]).collect()
        };
        self.sets.iter().map(of_set).collect()
    }

    /// The keys of the groups that are there without any row: that of no keys, and those of the empty grouping sets.
    pub(crate) fn totals(&self) -> Vec<Vec<ArrayRef>> {
        if self.sets.is_empty() {
            return if self.keys.is_empty() { vec![vec![]] } else { vec![] };
        }
        let empty = self.sets.iter().filter(|set| !set.keys.contains(&true));
        let key = |set: &GroupingSet| {
            let nulls = self.key_types.iter().take(set.keys.len()).map(|data_type| new_null_array(data_type, 1));
            let number: ArrayRef = Arc::new(Int64Array::from_value(set.number, 1));
            nulls.chain([number]).collect()
        };
        empty.map(key).collect()
    }

    /// How often each row is counted.
    pub(crate) fn times_counted(&self) -> u64 {
        self.sets.len().max(1) as u64
    }

    /// Computes keys and inputs, to see whether that fails.
    pub(crate) fn check(&self, batch: &Batch) -> Result<()> {
        self.keys.iter().chain(&self.inputs).try_for_each(|expression| expression.evaluate(batch).map(drop))
    }

    pub(crate) fn evaluate(&self, batch: &Batch) -> Result<Evaluated> {
        if batch.kinds.as_ref().is_some_and(|kinds| kinds.as_slice().iter().any(|kind| kind.retracts())) {
            return Err(ExecError::Internal("an append-only aggregate got a retraction".to_owned()));
        }
        self.evaluate_changes(batch)
    }

    /// As [`Self::evaluate`], for rows of all kinds.
    pub(crate) fn evaluate_changes(&self, batch: &Batch) -> Result<Evaluated> {
        let all = |expressions: &[Evaluator]| {
            expressions.iter().map(|expression| expression.evaluate(batch)).collect::<Result<Vec<_>>>()
        };
        let keys = all(&self.keys)?;
        for (key, planned) in keys.iter().zip(&self.key_types) {
            if key.data_type() != planned {
                return Err(ExecError::Internal(format!("a key is {} and was planned as {planned}", key.data_type())));
            }
        }
        Ok(Evaluated {
            keys,
            inputs: Inputs { arrays: all(&self.inputs)? },
            order: RowOrder::of(batch, self.plan.ordered())?,
        })
    }
}

/// The event times of a batch whose stream must have one.
pub(crate) fn times_of(batch: &Batch) -> Result<&[i64]> {
    let times = batch
        .event_times()
        .ok_or_else(|| ExecError::Internal("a time window over rows without an event time".to_owned()))?;
    if times.null_count() > 0 {
        return Err(ExecError::Internal("a row without its event time".to_owned()));
    }
    Ok(times.values())
}
