//! DEFINE: which variables a row can be.
//!
//! A condition is a conjunction. The parts that name the row and its neighbours alone are computed once for all rows; the others
//! depend on the rows that a thread has taken, and are computed for each thread that a row passes the first for.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{Field, Schema, SchemaRef};
use datafusion_expr::Expr;
use velo_core::Batch;
use velo_core::batch::columns_of;
use velo_plan::plan::{AggregateCall, MatchColumn, MatchRecognize, MatchValue, VariableSet};

use super::context::{Anchor, NO_GROUP, NO_ROW, Running, truths};
use super::{At, Context, Kept, Partition, Program, Request, Store};
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;

/// A value of the tested row or a neighbour: how many rows behind it, and the kept column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beside {
    pub(crate) offset: i32,
    pub(crate) column: usize,
}

/// What a row must be for a variable by itself, for all variables.
pub(crate) struct Tests {
    /// The columns of `schema`.
    pub(crate) columns: Vec<Beside>,
    schema: SchemaRef,
    /// By variable.
    conditions: Vec<Vec<Evaluator>>,
}

/// The conditions of all variables.
pub(crate) struct Conditions {
    pub(crate) context: Context,
    /// By variable: what depends on the rows before.
    asked: Vec<Option<Asked>>,
    running: Option<Running>,
    /// By variable, see [`MatchAggregates::classes`].
    classes: Vec<u8>,
    /// By place of the pattern: what the conditions that can still come ask for.
    relevant: Vec<Relevant>,
    simple: bool,
    memo: bool,
}

/// What tells threads of one place apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relevant {
    pub(crate) anchors: Vec<usize>,
    pub(crate) aggregates: bool,
}

impl Relevant {
    pub(crate) fn is_nothing(&self) -> bool {
        self.anchors.is_empty() && !self.aggregates
    }
}

/// The part of a condition that depends on the rows before.
struct Asked {
    columns: Vec<AskedValue>,
    schema: SchemaRef,
    conditions: Vec<Evaluator>,
}

#[derive(Debug, Clone, Copy)]
enum AskedValue {
    /// Of the tested row, or of an anchor, or of a row beside it.
    Row {
        anchor: Option<usize>,
        beside: Beside,
    },
    /// The aggregate of this number.
    Aggregate(usize),
    MatchNumber,
}

/// Whether a value is of the row that is tested as a variable, or of a row beside it.
fn is_physical(value: &MatchValue, variable: usize) -> Option<i32> {
    match value {
        MatchValue::Row { of, from_last: true, nth: 0, offset, .. } if of.contains(variable) => Some(*offset),
        _ => None,
    }
}

fn named<'a>(plan: &'a MatchRecognize, expr: &Expr) -> Result<Vec<&'a MatchColumn>> {
    let mut found: Vec<&MatchColumn> = Vec::new();
    for read in expr.column_refs() {
        let column = plan.columns.iter().find(|column| column.field.name() == read.name());
        let column =
            column.ok_or_else(|| ExecError::Internal(format!("a pattern without the column {}", read.name())))?;
        if !found.iter().any(|known| known.field == column.field) {
            found.push(column);
        }
    }
    // The library's order is that of its hashes.
    found.sort_by(|left, right| left.field.name().cmp(right.field.name()));
    Ok(found)
}

impl Tests {
    pub(crate) fn new(plan: &MatchRecognize, kept: &mut Kept<'_>, statement: &str) -> Result<Self> {
        let mut columns = Vec::new();
        let mut fields: Vec<Arc<Field>> = Vec::new();
        let mut own = Vec::with_capacity(plan.variables.len());
        for (variable, defined) in plan.variables.iter().enumerate() {
            let mut conditions = Vec::new();
            for condition in &defined.conditions {
                let read = named(plan, condition)?;
                if read.iter().any(|column| is_physical(&column.value, variable).is_none()) {
                    continue;
                }
                for column in read {
                    if let MatchValue::Row { offset, expr, .. } = &column.value
                        && !fields.contains(&column.field)
                    {
                        columns.push(Beside { offset: *offset, column: kept.place(expr)? });
                        fields.push(Arc::clone(&column.field));
                    }
                }
                conditions.push(condition);
            }
            own.push(conditions);
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let compile = |condition: &&Expr| Evaluator::new(condition, &schema, statement);
        let conditions = own.iter().map(|all| all.iter().map(compile).collect()).collect::<Result<_>>()?;
        Ok(Self { columns, schema, conditions })
    }

    /// Of each row the variables that it can be, as bits.
    pub(crate) fn of(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<Vec<u64>> {
        let batch = Batch::new(columns_of(&self.schema, columns, rows)?);
        let mut holds = vec![u64::MAX; rows];
        for (variable, conditions) in self.conditions.iter().enumerate() {
            for condition in conditions {
                let Ok(values) = condition.strictly(&batch) else {
                    Self::where_the_others_hold(condition, &batch, &mut holds, variable)?;
                    continue;
                };
                let values = truths(&values).ok_or_else(no_condition)?;
                for (row, holds) in holds.iter_mut().enumerate() {
                    *holds &= !(u64::from(!values.value(row)) << variable);
                }
            }
        }
        Ok(holds)
    }

    /// A row on which one of these conditions fails is given up as what it would be by it.
    pub(crate) fn give_up(&mut self, errors: &Arc<ComputeErrors>) {
        self.conditions.iter_mut().flatten().for_each(|condition| condition.give_up(errors));
    }

    /// A condition that fails on some row may be guarded by one before it, as in `x <> 0 AND 1 / x > y`.
    fn where_the_others_hold(condition: &Evaluator, batch: &Batch, holds: &mut [u64], variable: usize) -> Result<()> {
        let rows = (0..holds.len() as u32).filter(|row| holds[*row as usize] & (1 << variable) != 0);
        let rows = rows.collect::<Vec<_>>();
        let values = condition.evaluate(&batch.take(&UInt32Array::from(rows.clone()))?)?;
        let values = truths(&values).ok_or_else(no_condition)?;
        for (place, row) in rows.into_iter().enumerate() {
            if !values.value(place) {
                holds[row as usize] &= !(1 << variable);
            }
        }
        Ok(())
    }
}

fn no_condition() -> ExecError {
    ExecError::Internal("a DEFINE that is no condition".to_owned())
}

impl Conditions {
    pub(crate) fn new(plan: &MatchRecognize, program: &Program, kept: &mut Kept<'_>, statement: &str) -> Result<Self> {
        let mut context = Context::default();
        let mut calls: Vec<(&str, VariableSet, AggregateCall)> = Vec::new();
        let mut asked = Vec::with_capacity(plan.variables.len());
        let mut by_variable = vec![Relevant::default(); plan.variables.len()];
        for (variable, defined) in plan.variables.iter().enumerate() {
            let relevant = &mut by_variable[variable];
            let mut columns = Vec::new();
            let mut fields: Vec<Arc<Field>> = Vec::new();
            let mut conditions = Vec::new();
            for condition in &defined.conditions {
                let read = named(plan, condition)?;
                if read.iter().all(|column| is_physical(&column.value, variable).is_some()) {
                    continue;
                }
                conditions.push(condition);
                for column in read {
                    if fields.contains(&column.field) {
                        continue;
                    }
                    fields.push(Arc::clone(&column.field));
                    columns.push(match &column.value {
                        MatchValue::Row { of, from_last, nth, offset, expr } => {
                            let beside = Beside { offset: *offset, column: kept.place(expr)? };
                            let anchor = match is_physical(&column.value, variable) {
                                Some(_) => None,
                                None => {
                                    let anchor = Anchor { of: *of, from_last: *from_last, nth: *nth };
                                    let at = context.anchor(anchor);
                                    if !relevant.anchors.contains(&at) {
                                        relevant.anchors.push(at);
                                    }
                                    Some(at)
                                }
                            };
                            AskedValue::Row { anchor, beside }
                        }
                        MatchValue::Aggregate { of, call } => {
                            relevant.aggregates = true;
                            let name = column.field.name().as_str();
                            let at = calls.iter().position(|(known, ..)| *known == name).unwrap_or_else(|| {
                                calls.push((name, *of, call.as_ref().clone()));
                                calls.len() - 1
                            });
                            AskedValue::Aggregate(at)
                        }
                        MatchValue::MatchNumber => AskedValue::MatchNumber,
                        MatchValue::Classifier => {
                            return Err(ExecError::Internal("CLASSIFIER() in DEFINE is a constant".to_owned()));
                        }
                    });
                }
            }
            let schema: SchemaRef = Arc::new(Schema::new(fields));
            let compile = |condition: &&Expr| Evaluator::new(condition, &schema, statement);
            let conditions = conditions.iter().map(compile).collect::<Result<Vec<_>>>()?;
            asked.push((!conditions.is_empty()).then_some(Asked { columns, schema, conditions }));
        }
        let aggregates = kept.aggregates(calls.into_iter().map(|(_, of, call)| (of, call)).collect())?;
        let classes = aggregates.as_ref().map(|aggregates| aggregates.classes(plan.variables.len()));
        let running = aggregates.map(Running::new).transpose()?;
        let simple = running.is_none() && asked.iter().all(Option::is_none);
        let relevant = |place: usize| {
            let mut found = Relevant::default();
            let reached = program.reachable(place);
            for (place, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
                let own = &by_variable[usize::from(program.variables[place])];
                found.aggregates |= own.aggregates;
                for anchor in &own.anchors {
                    if !found.anchors.contains(anchor) {
                        found.anchors.push(*anchor);
                    }
                }
            }
            found
        };
        let relevant = match simple {
            true => vec![Relevant::default(); program.places()],
            false => (0..program.places()).map(relevant).collect(),
        };
        Ok(Self {
            context,
            classes: classes.unwrap_or_else(|| vec![0; asked.len()]),
            asked,
            running,
            relevant,
            simple,
            memo: simple && program.places() <= 64,
        })
    }

    /// Whether a row and its neighbours decide what it can be.
    pub(crate) fn is_simple(&self) -> bool {
        self.simple
    }

    /// Whether what came to nothing in one search comes to nothing in another.
    pub(crate) fn remembers_failures(&self) -> bool {
        self.memo
    }

    /// Whether a row as this variable has to be asked about.
    pub(crate) fn asks(&self, variable: u8) -> bool {
        self.running.is_some() || self.asked[usize::from(variable)].is_some()
    }

    pub(crate) fn class(&self, variable: u8) -> u8 {
        self.classes[usize::from(variable)]
    }

    pub(crate) fn relevant(&self, place: u32) -> &Relevant {
        &self.relevant[place as usize]
    }

    /// Whether each request's condition holds, and the state of its aggregates. `slots` is what each remembers.
    pub(crate) fn answer(
        &mut self,
        store: &mut Store,
        partitions: &[Partition],
        requests: &[Request],
        slots: &[u32],
    ) -> Result<Vec<(bool, u32)>> {
        let mut answers = vec![(true, NO_GROUP); requests.len()];
        let mut results = Vec::new();
        if let Some(running) = &mut self.running {
            let from: u32;
            (results, from) = running.extend(store, requests)?;
            for (at, answer) in answers.iter_mut().enumerate() {
                answer.1 = from + at as u32;
            }
        }
        let width = self.context.slots();
        for (variable, asked) in self.asked.iter().enumerate() {
            let Some(asked) = asked else { continue };
            let own = (0..requests.len()).filter(|at| usize::from(requests[*at].variable) == variable);
            let own = own.map(|at| at as u32).collect::<Vec<_>>();
            if own.is_empty() {
                continue;
            }
            let mut columns = Vec::with_capacity(asked.columns.len());
            for column in &asked.columns {
                let requests = || own.iter().map(|at| (*at as usize, &requests[*at as usize]));
                columns.push(match column {
                    AskedValue::Row { anchor, beside } => {
                        let row = |(at, request): (usize, &Request)| -> Option<At> {
                            let number = match anchor {
                                None => request.row,
                                Some(anchor) => {
                                    let own = &slots[at * width..(at + 1) * width];
                                    let row = self.context.named(own, *anchor);
                                    request.start + u64::from((row != NO_ROW).then_some(row)?)
                                }
                            };
                            partitions.get(request.partition as usize)?.beside(number, beside.offset)
                        };
                        let rows = requests().map(row).collect::<Vec<_>>();
                        store.gather(beside.column, &rows)?
                    }
                    AskedValue::Aggregate(at) => {
                        let result = results.get(*at).ok_or_else(|| {
                            ExecError::Internal("fewer aggregates than conditions ask for".to_owned())
                        })?;
                        let rows = UInt32Array::from(own.clone());
                        arrow_select::take::take(result, &rows, None)?
                    }
                    AskedValue::MatchNumber => {
                        Arc::new(Int64Array::from_iter_values(requests().map(|(_, request)| request.number)))
                    }
                });
            }
            let batch: RecordBatch = columns_of(&asked.schema, columns, own.len())?;
            let batch = Batch::new(batch);
            for condition in &asked.conditions {
                let values = truths(&condition.evaluate(&batch)?).ok_or_else(no_condition)?;
                for (place, at) in own.iter().enumerate() {
                    answers[*at as usize].0 &= values.value(place);
                }
            }
        }
        Ok(answers)
    }

    /// The state of aggregates, where it is worth while to drop what nobody needs.
    pub(crate) fn crowded(&mut self) -> Option<&mut Running> {
        self.running.as_mut().filter(|running| running.is_full())
    }

    pub(crate) fn memory(&self) -> usize {
        self.running.as_ref().map_or(0, Running::memory)
    }
}
