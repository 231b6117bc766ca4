//! What pairs of kept rows become: whether they meet the condition, and the columns that come out.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Schema, SchemaRef};
use velo_core::batch::columns_of;
use velo_core::{Batch, schema};
use velo_plan::plan::{Join, JoinKind, Side};

use super::kept::{KeptRows, RowRef};
use super::{LEFT, RIGHT};
use crate::compute_errors::ComputeErrors;
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;

/// Kept rows of the left and the right side.
pub(crate) type Stores<'a> = [&'a KeptRows; 2];

/// Pairs of rows; one of the two may be none.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    pub(crate) sides: [Vec<RowRef>; 2],
}

impl Pairs {
    pub(crate) fn len(&self) -> usize {
        self.sides[LEFT].len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A pair of a row of `side` and one of the other side.
    #[inline]
    pub(crate) fn push(&mut self, side: usize, own: RowRef, other: RowRef) {
        self.sides[side].push(own);
        self.sides[1 - side].push(other);
    }

    pub(crate) fn clear(&mut self) {
        self.sides.iter_mut().for_each(Vec::clear);
    }
}

/// Which columns of the inputs are kept, and what is made of those of a pair.
#[derive(Debug)]
pub(crate) struct JoinColumns {
    /// By side: the places in the input of the columns that are kept, the event time last.
    kept: [Vec<usize>; 2],
    names: [Vec<String>; 2],
    types: [Vec<DataType>; 2],
    /// By output column: its side, and its place among the kept ones.
    output: Vec<(usize, usize)>,
    /// What comes out.
    pub(crate) schema: SchemaRef,
    condition: Option<Condition>,
}

#[derive(Debug)]
struct Condition {
    evaluator: Evaluator,
    columns: Vec<(usize, usize)>,
    schema: SchemaRef,
}

impl JoinColumns {
    /// The columns of a join of `left` and `right` that gives `output`.
    pub(crate) fn new(
        join: &Join,
        left: &SchemaRef,
        right: &SchemaRef,
        output: SchemaRef,
        statement: &str,
    ) -> Result<Self> {
        let inputs = [left, right];
        let mut kept = [Vec::new(), Vec::new()];
        let mut keep = |side: usize, name: &str| -> Result<(usize, usize)> {
            let at = inputs[side].index_of(name)?;
            let known = kept[side].iter().position(|known| *known == at);
            Ok((
                side,
                known.unwrap_or_else(|| {
                    kept[side].push(at);
                    kept[side].len() - 1
                }),
            ))
        };
        let side = |side: Side| if side == Side::Left { LEFT } else { RIGHT };
        let columns = join.columns.iter().map(|column| keep(side(column.side), column.field.name()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let condition = match &join.condition {
            Some(condition) => {
                let used: HashSet<&str> = condition.column_refs().into_iter().map(|column| column.name()).collect();
                let (mut fields, mut places) = (Vec::new(), Vec::new());
                for (side, input) in inputs.iter().enumerate() {
                    for field in input.fields().iter().filter(|field| used.contains(field.name().as_str())) {
                        places.push(keep(side, field.name())?);
                        fields.push(Arc::clone(field));
                    }
                }
                let schema = Arc::new(Schema::new(fields));
                Some(Condition { evaluator: Evaluator::new(condition, &schema, statement)?, columns: places, schema })
            }
            None => None,
        };
        for (side, input) in inputs.iter().enumerate() {
            kept[side].extend(schema::event_time_index(input));
        }
        let types = [LEFT, RIGHT].map(|side| {
            let of = |at: &usize| inputs[side].field(*at).data_type().clone();
            kept[side].iter().map(of).collect::<Vec<_>>()
        });
        let names = [LEFT, RIGHT].map(|side| {
            let of = |at: &usize| inputs[side].field(*at).name().clone();
            kept[side].iter().map(of).collect::<Vec<_>>()
        });
        let expected = columns.len()
            + usize::from(matches!(join.kind, JoinKind::Mark(_)))
            + usize::from(schema::event_time_index(&output).is_some());
        if expected != output.fields().len() {
            return Err(ExecError::Internal(format!("a join gives {expected} columns, not those of {output}")));
        }
        Ok(Self { kept, names, types, output: columns, schema: output, condition })
    }

    /// The names in the input of the columns that are kept of a side.
    pub(crate) fn names(&self, side: usize) -> &[String] {
        &self.names[side]
    }

    /// The types of the columns that are kept of a side.
    pub(crate) fn types(&self, side: usize) -> &[DataType] {
        &self.types[side]
    }

    /// The places in the input of the columns that are kept of a side, the event time last.
    pub(crate) fn places(&self, side: usize) -> &[usize] {
        &self.kept[side]
    }

    /// The columns of a batch that are kept.
    pub(crate) fn keep(&self, side: usize, batch: &Batch) -> Vec<ArrayRef> {
        self.kept[side].iter().map(|at| Arc::clone(batch.columns.column(*at))).collect()
    }

    /// A pair on which the condition fails is given up: it does not meet it.
    pub(crate) fn give_up(&mut self, errors: &Arc<ComputeErrors>) {
        self.condition.iter_mut().for_each(|condition| condition.evaluator.give_up(errors));
    }

    /// Whether there is a condition.
    pub(crate) fn has_condition(&self) -> bool {
        self.condition.is_some()
    }

    /// Which pairs meet the condition; none: all.
    pub(crate) fn accepted(&self, stores: Stores<'_>, pairs: &Pairs) -> Result<Option<BooleanArray>> {
        let Some(condition) = &self.condition else { return Ok(None) };
        let columns = columns_of_pairs(stores, pairs, &condition.columns)?;
        let batch = Batch::new(columns_of(&condition.schema, columns, pairs.len())?);
        condition.evaluator.condition(&batch).map(Some)
    }

    /// The columns of pairs that come out, without a mark and the event time.
    pub(crate) fn columns(&self, stores: Stores<'_>, pairs: &Pairs) -> Result<Vec<ArrayRef>> {
        columns_of_pairs(stores, pairs, &self.output)
    }

    /// Pairs as rows that come out at these times.
    pub(crate) fn batch(&self, stores: Stores<'_>, pairs: &Pairs, times: impl Iterator<Item = i64>) -> Result<Batch> {
        let mut columns = self.columns(stores, pairs)?;
        if schema::event_time_index(&self.schema).is_some() {
            columns.push(Arc::new(TimestampMicrosecondArray::from_iter_values(times)));
        }
        Ok(Batch::new(columns_of(&self.schema, columns, pairs.len())?))
    }
}

fn columns_of_pairs(stores: Stores<'_>, pairs: &Pairs, columns: &[(usize, usize)]) -> Result<Vec<ArrayRef>> {
    let picked = [LEFT, RIGHT].map(|side| {
        let used = columns.iter().any(|(of, _)| *of == side);
        used.then(|| stores[side].pick(pairs.sides[side].iter().copied()))
    });
    let column = |(side, at): &(usize, usize)| match &picked[*side] {
        Some(picked) => stores[*side].column(picked, *at),
        None => Err(ExecError::Internal("a column of no side".to_owned())),
    };
    columns.iter().map(column).collect()
}

/// The rows of a mask; a null is no.
pub(crate) fn is_true(mask: Option<&BooleanArray>, row: usize) -> bool {
    use arrow_array::Array;
    mask.is_none_or(|mask| mask.is_valid(row) && mask.value(row))
}
