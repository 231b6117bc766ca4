//! MEASURES: matches that were found become rows.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow_schema::{Schema, SchemaRef};
use velo_core::Batch;
use velo_core::batch::columns_of;
use velo_plan::plan::{MatchRecognize, MatchValue, VariableSet};

use super::context::MatchAggregates;
use super::{At, Kept, Partition, Store};
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;
use crate::state::KeyTable;

/// A match.
pub(crate) struct Found<'a> {
    /// The number of its partition.
    pub(crate) key: u32,
    pub(crate) partition: &'a Partition,
    /// The number of its first row.
    pub(crate) start: u64,
    /// The variables of its rows; at least one.
    pub(crate) labels: &'a [u8],
}

impl Found<'_> {
    /// The row of some variables: the `nth` of them from the first, or from the last.
    pub(crate) fn pick(&self, of: VariableSet, from_last: bool, nth: u32) -> Option<u64> {
        let counts = |(_, label): &(usize, &u8)| of.contains(usize::from(**label));
        let mut rows = self.labels.iter().enumerate().filter(counts);
        let picked = if from_last { rows.nth_back(nth as usize) } else { rows.nth(nth as usize) };
        picked.map(|(row, _)| self.start + row as u64)
    }
}

/// A value of a match.
enum Value {
    Row { of: VariableSet, from_last: bool, nth: u32, offset: i32, column: usize, rows: Vec<Option<At>> },
    Aggregate(usize),
    Classifier,
    MatchNumber,
}

/// Matches that are not rows yet.
pub(crate) struct Matches {
    names: Vec<String>,
    values: Vec<Value>,
    /// The columns of the measures' expressions.
    schema: SchemaRef,
    measures: Vec<Evaluator>,
    /// Who is told of matches on which one of them fails.
    errors: Option<Arc<ComputeErrors>>,
    aggregates: Option<MatchAggregates>,
    output: SchemaRef,
    keys: Vec<u32>,
    times: Vec<i64>,
    numbers: Vec<i64>,
    last: Vec<u8>,
    /// Rows that go into aggregates: the match, the row, what it is, its time and its number in the partition.
    groups: Vec<u32>,
    rows: Vec<Option<At>>,
    labels: Vec<u8>,
    row_times: Vec<i64>,
    places: Vec<u64>,
}

impl Matches {
    /// `output` is the partition's columns, the measures, and the event time.
    pub(crate) fn new(plan: &MatchRecognize, output: SchemaRef, kept: &mut Kept<'_>, statement: &str) -> Result<Self> {
        let mut calls = Vec::new();
        let mut values = Vec::new();
        let mut fields = Vec::new();
        let read = |name: &str| {
            let mut refs = plan.measures.iter().flat_map(|measure| measure.expr.column_refs());
            refs.any(|column| column.name() == name)
        };
        for column in plan.columns.iter().filter(|column| read(column.field.name())) {
            fields.push(Arc::clone(&column.field));
            values.push(match &column.value {
                MatchValue::Row { of, from_last, nth, offset, expr } => Value::Row {
                    of: *of,
                    from_last: *from_last,
                    nth: *nth,
                    offset: *offset,
                    column: kept.place(expr)?,
                    rows: Vec::new(),
                },
                MatchValue::Aggregate { of, call } => {
                    calls.push((*of, call.as_ref().clone()));
                    Value::Aggregate(calls.len() - 1)
                }
                MatchValue::Classifier => Value::Classifier,
                MatchValue::MatchNumber => Value::MatchNumber,
            });
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let measures = plan.measures.iter().map(|measure| Evaluator::new(&measure.expr, &schema, statement));
        Ok(Self {
            names: plan.variables.iter().map(|variable| variable.name.clone()).collect(),
            values,
            measures: measures.collect::<Result<_>>()?,
            errors: None,
            schema,
            aggregates: kept.aggregates(calls)?,
            output,
            keys: Vec::new(),
            times: Vec::new(),
            numbers: Vec::new(),
            last: Vec::new(),
            groups: Vec::new(),
            rows: Vec::new(),
            labels: Vec::new(),
            row_times: Vec::new(),
            places: Vec::new(),
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Takes a match, whose rows must stay readable up to [`Self::take`].
    pub(crate) fn push(&mut self, found: &Found<'_>) {
        let group = self.keys.len() as u32;
        let end = found.start + found.labels.len().saturating_sub(1) as u64;
        self.keys.push(found.key);
        self.times.push(found.partition.row(end).map_or(i64::MIN, |row| row.time));
        self.numbers.push(found.partition.matches);
        self.last.push(found.labels.last().copied().unwrap_or(0));
        for value in &mut self.values {
            if let Value::Row { of, from_last, nth, offset, rows, .. } = value {
                let picked = found.pick(*of, *from_last, *nth);
                rows.push(picked.and_then(|row| found.partition.beside(row, *offset)));
            }
        }
        if self.aggregates.is_some() {
            for (at, label) in found.labels.iter().enumerate() {
                let number = found.start + at as u64;
                let Some(row) = found.partition.row(number) else { continue };
                self.groups.push(group);
                self.rows.push(Some(row.at));
                self.labels.push(*label);
                self.row_times.push(row.time);
                self.places.push(number);
            }
        }
    }

    /// The matches as rows, in the order of their event times.
    pub(crate) fn take(&mut self, store: &mut Store, table: &KeyTable) -> Result<Option<Batch>> {
        let count = self.keys.len();
        if count == 0 {
            return Ok(None);
        }
        let mut results = Vec::new();
        if let Some(aggregates) = &self.aggregates {
            let mut set = aggregates.set()?;
            let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(std::mem::take(&mut self.row_times)));
            let places = std::mem::take(&mut self.places);
            let (inputs, order) = aggregates.inputs(store, &self.rows, &self.labels, times, places)?;
            set.update(&self.groups, count, &inputs, &order)?;
            let groups = (0..count as u32).collect::<Vec<_>>();
            results = set.evaluate(&groups, true)?;
        }
        let mut columns = Vec::with_capacity(self.values.len());
        for value in &mut self.values {
            columns.push(match value {
                Value::Row { column, rows, .. } => {
                    let gathered = store.gather(*column, rows)?;
                    rows.clear();
                    gathered
                }
                Value::Aggregate(at) => results
                    .get(*at)
                    .cloned()
                    .ok_or_else(|| ExecError::Internal("fewer aggregates than measures ask for".to_owned()))?,
                Value::Classifier => {
                    let names = self.last.iter().map(|variable| self.names.get(usize::from(*variable)));
                    Arc::new(StringArray::from_iter(names))
                }
                Value::MatchNumber => Arc::new(Int64Array::from(self.numbers.clone())),
            });
        }
        let inner = Batch::new(columns_of(&self.schema, columns, count)?);
        let batch = self.measured(&inner, &table.keys(&self.keys)?)?;
        let batch = match batch {
            Some(batch) if !self.times.is_sorted() => {
                let times = batch.event_times().map(|times| times.values().to_vec()).unwrap_or_default();
                let mut order = (0..batch.rows() as u32).collect::<Vec<_>>();
                order.sort_by_key(|row| times[*row as usize]);
                Some(batch.take(&UInt32Array::from(order))?)
            }
            batch => batch,
        };
        self.keys.clear();
        self.times.clear();
        self.numbers.clear();
        self.last.clear();
        self.groups.clear();
        self.rows.clear();
        self.labels.clear();
        Ok(batch)
    }

    /// The keys, measures and times of matches; those on which a measure fails are left out where they are given up.
    fn measured(&self, inner: &Batch, keys: &[ArrayRef]) -> Result<Option<Batch>> {
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(self.times.clone()));
        let of = |from: usize, piece: &Batch| {
            let rows = piece.rows();
            let mut columns = keys.iter().map(|key| key.slice(from, rows)).collect::<Vec<_>>();
            for measure in &self.measures {
                columns.push(measure.evaluate(piece)?);
            }
            columns.push(times.slice(from, rows));
            Ok(Batch::new(columns_of(&self.output, columns, rows)?))
        };
        let errors = match (of(0, inner), &self.errors) {
            (Err(ExecError::Row { .. }), Some(errors)) => errors,
            (batch, _) => return batch.map(Some),
        };
        let mut pieces = Vec::new();
        errors.in_pieces(inner, |from, piece| {
            pieces.push(of(from, piece)?);
            Ok(())
        })?;
        Ok(if pieces.is_empty() { None } else { Some(Batch::concat(&self.output, &pieces)?) })
    }

    /// Matches on which a measure fails are given up.
    pub(crate) fn give_up(&mut self, errors: &Arc<ComputeErrors>) {
        self.errors = Some(Arc::clone(errors));
    }
}
