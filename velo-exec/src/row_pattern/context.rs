//! What a thread remembers of the rows it has taken, for conditions that depend on them: rows that they name, and the state of
//! aggregates.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_common::Column;
use datafusion_expr::{BinaryExpr, Expr, Operator};
use velo_core::batch::columns_of;
use velo_core::place::{Positions, Resource};
use velo_core::{Batch, Origin, schema};
use velo_plan::plan::{AggregateCall, VariableSet};

use super::{At, Store};
use crate::aggregate::{AggregatePlan, AggregateSet, Groups, Inputs, RowOrder};
use crate::error::Result;
use crate::expr::Evaluator;

/// No row.
pub(crate) const NO_ROW: u32 = u32::MAX;
/// No state of aggregates: that of no row.
pub(crate) const NO_GROUP: u32 = u32::MAX;

/// A row of the match so far that a condition names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) of: VariableSet,
    pub(crate) from_last: bool,
    pub(crate) nth: u32,
}

/// A row that a thread could take, and the thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) partition: u32,
    /// The row's number in its partition, and the first row's of the match.
    pub(crate) row: u64,
    pub(crate) start: u64,
    pub(crate) time: i64,
    pub(crate) at: At,
    pub(crate) variable: u8,
    /// The number of the match.
    pub(crate) number: i64,
    /// The state of the aggregates before the row.
    pub(crate) group: u32,
}

/// What all threads remember.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) anchors: Vec<Anchor>,
    /// Where the rows of each anchor lie among a thread's slots.
    places: Vec<usize>,
    slots: usize,
}

impl Context {
    /// The place of an anchor, which may be there already.
    pub(crate) fn anchor(&mut self, anchor: Anchor) -> usize {
        if let Some(at) = self.anchors.iter().position(|known| *known == anchor) {
            return at;
        }
        self.anchors.push(anchor);
        self.places.push(self.slots);
        self.slots += anchor.nth as usize + 1;
        self.anchors.len() - 1
    }

    /// How many slots a thread has.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// Remembers a row of a variable; rows are counted from the match's first.
    pub(crate) fn remember(&self, slots: &mut [u32], variable: u8, row: u32) {
        for (anchor, from) in self.anchors.iter().zip(&self.places) {
            if !anchor.of.contains(usize::from(variable)) {
                continue;
            }
            let own = &mut slots[*from..=*from + anchor.nth as usize];
            if anchor.from_last {
                own.rotate_right(1);
                own[0] = row;
            } else if let Some(free) = own.iter_mut().find(|known| **known == NO_ROW) {
                *free = row;
            }
        }
    }

    /// The row of an anchor.
    pub(crate) fn named(&self, slots: &[u32], anchor: usize) -> u32 {
        slots[self.places[anchor] + self.anchors[anchor].nth as usize]
    }

    /// Whether two threads remember the same for an anchor, also of the rows that it will name.
    pub(crate) fn same(&self, left: &[u32], right: &[u32], anchor: usize) -> bool {
        let own = self.places[anchor]..=self.places[anchor] + self.anchors[anchor].nth as usize;
        left[own.clone()] == right[own]
    }
}

/// Aggregates over rows of matches: which expressions go in, and which rows count.
pub(crate) struct MatchAggregates {
    plan: Arc<AggregatePlan>,
    /// The columns of kept rows that they are computed over.
    columns: Vec<usize>,
    /// The variables whose rows count, each set once.
    pub(crate) sets: Vec<VariableSet>,
    inputs: Vec<Evaluator>,
    /// The kept columns, whether a row counts for each set, and the event time.
    schema: SchemaRef,
}

impl MatchAggregates {
    /// Variables by what their rows count for: those of equal numbers count for the same, those of 0 for nothing that tells
    /// threads apart.
    pub(crate) fn classes(&self, variables: usize) -> Vec<u8> {
        let membership = |variable: usize| self.sets.iter().map(|set| set.contains(variable)).collect::<Vec<_>>();
        let mut known = vec![vec![false; self.sets.len()]];
        let class = |variable: usize| {
            let own = membership(variable);
            let at = known.iter().position(|other| *other == own).unwrap_or_else(|| {
                known.push(own);
                known.len() - 1
            });
            // There are no more classes than variables and one.
            at as u8
        };
        (0..variables).map(class).collect()
    }

    /// `calls` have columns of `kept` as arguments.
    pub(crate) fn new(calls: &[(VariableSet, AggregateCall)], kept: &Schema, statement: &str) -> Result<Self> {
        let mut columns = Vec::new();
        let mut sets: Vec<VariableSet> = Vec::new();
        let mut planned = Vec::with_capacity(calls.len());
        for (of, call) in calls {
            let read = call.arguments.iter().chain(&call.filter).chain(call.order_by.iter().map(|key| &key.expr));
            for column in read.flat_map(Expr::column_refs) {
                let at = kept.index_of(column.name())?;
                if !columns.contains(&at) {
                    columns.push(at);
                }
            }
            let mut call = call.clone();
            if *of != VariableSet::ALL {
                let set = sets.iter().position(|known| known == of).unwrap_or_else(|| {
                    sets.push(*of);
                    sets.len() - 1
                });
                let counts = Expr::Column(Column::new_unqualified(format!("$match_in{set}")));
                call.filter = Some(match call.filter.take() {
                    Some(filter) => Expr::BinaryExpr(BinaryExpr {
                        left: Box::new(counts),
                        op: Operator::And,
                        right: Box::new(filter),
                    }),
                    None => counts,
                });
            }
            planned.push(call);
        }
        let mut fields = columns.iter().map(|at| kept.field(*at).clone()).collect::<Vec<_>>();
        fields.extend((0..sets.len()).map(|set| Field::new(format!("$match_in{set}"), DataType::Boolean, false)));
        let inner = schema::with_event_time(&Schema::new(fields));
        let plan = AggregatePlan::new(&planned, &inner, Groups::OneByOne, statement)?;
        let inputs = plan.expressions().iter().map(|expr| Evaluator::new(expr, &inner, statement));
        let inputs = inputs.collect::<Result<_>>()?;
        Ok(Self { plan, columns, sets, inputs, schema: inner })
    }

    pub(crate) fn set(&self) -> Result<AggregateSet> {
        AggregateSet::new(&self.plan)
    }

    /// The inputs of rows: `variables` are what they are, `places` their numbers in their partitions.
    pub(crate) fn inputs(
        &self,
        store: &mut Store,
        rows: &[Option<At>],
        variables: &[u8],
        times: ArrayRef,
        places: Vec<u64>,
    ) -> Result<(Inputs, RowOrder)> {
        let mut columns = self.columns.iter().map(|at| store.gather(*at, rows)).collect::<Result<Vec<_>>>()?;
        for set in &self.sets {
            let counts = variables.iter().map(|variable| set.contains(usize::from(*variable)));
            columns.push(Arc::new(BooleanArray::from(counts.collect::<Vec<_>>())));
        }
        columns.push(times);
        let batch = Batch::new(columns_of(&self.schema, columns, rows.len())?);
        let origin = Origin {
            source: 0,
            partition: 0,
            base: 0,
            resource: Resource::Rows(Arc::from("")),
            positions: Positions::Each(UInt64Array::from(places)),
        };
        let arrays = self.inputs.iter().map(|input| input.evaluate(&batch)).collect::<Result<_>>()?;
        let batch = Batch { origin: Some(origin), ..batch };
        Ok((Inputs { arrays }, RowOrder::of(&batch, self.plan.ordered())?))
    }
}

/// The state of aggregates of threads: what they are of the rows up to one, by group.
pub(crate) struct Running {
    aggregates: MatchAggregates,
    set: AggregateSet,
    groups: usize,
    /// How many groups there are to be before the dead ones are dropped.
    limit: usize,
}

/// The fewest groups among which the dead ones are looked for.
const FEWEST_GROUPS: usize = 4_096;

impl Running {
    pub(crate) fn new(aggregates: MatchAggregates) -> Result<Self> {
        let set = aggregates.set()?;
        Ok(Self { aggregates, set, groups: 0, limit: FEWEST_GROUPS })
    }

    /// The aggregates of each request's rows and its own, and the first of the groups in which their state is.
    pub(crate) fn extend(&mut self, store: &mut Store, requests: &[Request]) -> Result<(Vec<ArrayRef>, u32)> {
        let from = self.groups as u32;
        let total = self.groups + requests.len();
        let known = requests.iter().enumerate().filter(|(_, request)| request.group != NO_GROUP);
        let (own, parents): (Vec<u32>, Vec<u32>) = known.map(|(at, request)| (from + at as u32, request.group)).unzip();
        if own.is_empty() {
            self.set.grow(total)?;
        } else {
            let state = self.set.state(&parents, false)?;
            self.set.merge(&own, total, &state)?;
        }
        self.groups = total;
        let rows = requests.iter().map(|request| Some(request.at)).collect::<Vec<_>>();
        let variables = requests.iter().map(|request| request.variable).collect::<Vec<_>>();
        let times = requests.iter().map(|request| request.time);
        let times = Arc::new(arrow_array::TimestampMicrosecondArray::from_iter_values(times));
        let places = requests.iter().map(|request| request.row).collect();
        let (inputs, order) = self.aggregates.inputs(store, &rows, &variables, times, places)?;
        let groups = (from..total as u32).collect::<Vec<_>>();
        self.set.update(&groups, total, &inputs, &order)?;
        Ok((self.set.evaluate(&groups, false)?, from))
    }

    /// Whether there are so many groups that the dead ones are to be dropped.
    pub(crate) fn is_full(&self) -> bool {
        self.groups > self.limit
    }

    /// Keeps these groups alone, which are numbered anew in this order.
    pub(crate) fn keep(&mut self, groups: &[u32]) -> Result<()> {
        self.set.keep(groups)?;
        self.groups = groups.len();
        self.limit = FEWEST_GROUPS.max(groups.len() * 2);
        Ok(())
    }

    pub(crate) fn memory(&self) -> usize {
        self.set.memory()
    }
}

/// Which rows of a condition's values are true.
pub(crate) fn truths(values: &ArrayRef) -> Option<BooleanArray> {
    let values = values.as_boolean_opt()?;
    Some(match values.nulls() {
        Some(nulls) => BooleanArray::new(values.values() & nulls.inner(), None),
        None => values.clone(),
    })
}
