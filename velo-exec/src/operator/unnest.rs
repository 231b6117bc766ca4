//! UNNEST and GENERATE_SERIES: every row once per element, a batch at a time.
//!
//! Side by side, the lanes of a row each give as many elements as there is room for; the shorter ones are padded with nulls. So
//! a row of ten million elements, or a series of any length, is never held whole.

use std::sync::Arc;

use arrow_array::builder::{Int64Builder, UInt32Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, IntervalMonthDayNanoType, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int64Array, UInt32Array};
use arrow_buffer::IntervalMonthDayNano;
use arrow_schema::{DataType, SchemaRef};
use velo_core::batch::columns_of;
use velo_core::{Batch, RowKind, RowKinds, types};
use velo_plan::plan::{Unnest as Spec, UnnestItem, UnnestOf};

use super::series::Series;
use super::window_aggregate::OUTPUT_ROWS;
use super::{Flow, InputId, Operator, Outbox};
use crate::checkpoint::{StateReader, StateWriter};
use crate::error::{ExecError, Result};
use crate::expr::Evaluator;

/// Multiplies rows by their elements.
pub struct Unnest {
    items: Vec<Item>,
    outer: bool,
    statement: String,
    output: SchemaRef,
    /// Where each column of the output comes from.
    columns: Vec<Column>,
    /// The batch that is being taken apart.
    current: Option<Current>,
    /// A series ends when it has given as much as a batch.
    cut: bool,
}

struct Item {
    exprs: Vec<Evaluator>,
    /// The type of a series' values; none: a collection.
    series: Option<DataType>,
}

/// Where a column of the output comes from.
#[derive(Debug, Clone, Copy)]
enum Column {
    /// A column of the input.
    Input(usize),
    /// A column of an item's elements.
    Element { item: usize, part: usize },
    /// The element's number.
    Ordinality,
}

struct Current {
    batch: Batch,
    values: Vec<Values>,
    row: usize,
    /// The elements of the row that have been given.
    given: i64,
    lanes: Vec<Lane>,
}

/// The elements of one item over a batch.
enum Values {
    Collection {
        collection: ArrayRef,
        /// The elements as columns: one, a struct's fields, or a map's key and value.
        parts: Vec<ArrayRef>,
        /// Elements that are no struct although the type is one.
        whole: Option<ArrayRef>,
    },
    Numbers {
        start: ArrayRef,
        stop: ArrayRef,
        step: ArrayRef,
        data_type: DataType,
    },
    Times {
        start: ArrayRef,
        stop: ArrayRef,
        step: ArrayRef,
    },
}

/// What is left of one item's elements in the current row.
enum Lane {
    Elements { next: u32, end: u32 },
    Series(Series),
}

/// What an item gives to one output batch.
enum Taken {
    Elements(UInt32Builder),
    Series(Int64Builder),
}

impl Unnest {
    /// The operator of an unnest node; `output` are the columns that later nodes need.
    pub fn new(spec: &Spec, input: &SchemaRef, output: SchemaRef, statement: &str) -> Result<Self> {
        let items = spec
            .items
            .iter()
            .map(|item| {
                let exprs = item.exprs().into_iter().map(|expr| Evaluator::new(expr, input, statement));
                let series = matches!(item.of, UnnestOf::Series { .. }).then(|| item.fields.first());
                let series = series.flatten().map(|field| field.data_type().clone());
                Ok(Item { exprs: exprs.collect::<Result<_>>()?, series })
            })
            .collect::<Result<_>>()?;
        let columns =
            output.fields().iter().map(|field| source_of(spec, input, field.name())).collect::<Result<_>>()?;
        Ok(Self {
            items,
            outer: spec.outer,
            statement: statement.to_owned(),
            output,
            columns,
            current: None,
            cut: false,
        })
    }

    fn values(&self, item: &Item, batch: &Batch) -> Result<Values> {
        let mut evaluated = item.exprs.iter().map(|expr| expr.evaluate(batch)).collect::<Result<Vec<_>>>()?;
        let Some(data_type) = &item.series else {
            let collection = evaluated.pop().ok_or_else(|| ExecError::Internal("UNNEST of nothing".to_owned()))?;
            return collection_values(collection);
        };
        let [start, stop, step]: [ArrayRef; 3] = evaluated
            .try_into()
            .map_err(|_| ExecError::Internal("a series without start, stop and step".to_owned()))?;
        Ok(match data_type {
            DataType::Timestamp(..) => Values::Times { start, stop, step },
            other => Values::Numbers { start, stop, step, data_type: other.clone() },
        })
    }

    /// One output batch of the current one; none when it is done.
    fn next(&mut self) -> Result<Option<Batch>> {
        let Some(mut current) = self.current.take() else { return Ok(None) };
        let mut rows: Vec<u32> = Vec::with_capacity(OUTPUT_ROWS.min(4 * current.batch.rows().max(16)));
        let mut numbers = Int64Builder::new();
        let mut taken: Vec<Taken> = self
            .items
            .iter()
            .map(|item| match item.series {
                None => Taken::Elements(UInt32Builder::new()),
                Some(_) => Taken::Series(Int64Builder::new()),
            })
            .collect();
        let total = current.batch.rows();
        while current.row < total && rows.len() < OUTPUT_ROWS {
            if current.lanes.is_empty() {
                for values in &current.values {
                    current.lanes.push(lane(values, current.row, &self.statement)?);
                }
            }
            if self.cut && current.given >= OUTPUT_ROWS as i64 {
                current.lanes.iter_mut().for_each(Lane::cut);
            }
            let room = OUTPUT_ROWS - rows.len();
            let before = rows.len();
            let mut run = 0;
            for (lane, taken) in current.lanes.iter_mut().zip(&mut taken) {
                run = run.max(lane.give(room, taken));
            }
            if run == 0 && current.given == 0 && self.outer {
                run = 1;
                numbers.append_null();
            } else {
                numbers.extend((1..=run as i64).map(|number| Some(current.given + number)));
            }
            for taken in &mut taken {
                taken.pad(before + run);
            }
            rows.extend(std::iter::repeat_n(current.row as u32, run));
            current.given += run as i64;
            if run < room {
                current.row += 1;
                current.given = 0;
                current.lanes.clear();
            }
        }
        let done = current.row >= total;
        let batch = (!rows.is_empty()).then(|| self.assemble(&current, rows, taken, numbers)).transpose()?;
        if !done {
            self.current = Some(current);
        }
        Ok(batch)
    }

    fn assemble(
        &self,
        current: &Current,
        rows: Vec<u32>,
        taken: Vec<Taken>,
        mut numbers: Int64Builder,
    ) -> Result<Batch> {
        let count = rows.len();
        let rows = UInt32Array::from(rows);
        let input = current.batch.columns.columns();
        let numbers: ArrayRef = Arc::new(numbers.finish());
        let made = taken.into_iter().zip(&current.values).map(|(taken, values)| values.columns(taken));
        let made = made.collect::<Result<Vec<_>>>()?;
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            columns.push(match column {
                Column::Input(at) => arrow_select::take::take(&input[*at], &rows, None)?,
                Column::Element { item, part } => {
                    let found = made.get(*item).and_then(|parts| parts.get(*part)).cloned();
                    found.ok_or_else(|| ExecError::Internal("an element without its column".to_owned()))?
                }
                Column::Ordinality => Arc::clone(&numbers),
            });
        }
        let late_by =
            current.batch.late_by.as_ref().map(|late_by| {
                Int64Array::from_iter_values(rows.values().iter().map(|row| late_by.value(*row as usize)))
            });
        // Several rows come of one, so a pair of updates is none any more.
        let kinds = current.batch.kinds.as_ref().map(|kinds| {
            let kinds = kinds.take(&rows);
            let alone =
                kinds.as_slice().iter().map(|kind| if kind.retracts() { RowKind::Delete } else { RowKind::Insert });
            RowKinds::new(alone.collect())
        });
        Ok(Batch { columns: columns_of(&self.output, columns, count)?, kinds, origin: None, late_by })
    }
}

impl Operator for Unnest {
    fn on_batch(&mut self, _input: InputId, batch: Batch, out: &mut Outbox) -> Result<Flow> {
        let values = self.items.iter().map(|item| self.values(item, &batch)).collect::<Result<_>>()?;
        self.current = Some(Current { batch, values, row: 0, given: 0, lanes: Vec::with_capacity(self.items.len()) });
        self.resume(out)
    }

    fn check(&self, _input: InputId, batch: &Batch) -> Result<()> {
        for item in &self.items {
            let values = self.values(item, batch)?;
            // Whether elements are there is no question of an expression, but a series may have no end.
            if item.series.is_some() {
                (0..batch.rows()).try_for_each(|row| lane(&values, row, &self.statement).map(drop))?;
            }
        }
        Ok(())
    }

    fn cut(&mut self) {
        self.cut = true;
    }

    fn resume(&mut self, out: &mut Outbox) -> Result<Flow> {
        while self.current.is_some() {
            if out.is_full() {
                return Ok(Flow::More);
            }
            if let Some(batch) = self.next()? {
                out.batch(batch);
            }
        }
        Ok(Flow::Done)
    }

    /// It keeps a batch only as long as it has more to say of it. That a stop cuts series is no matter of those who go on.
    fn save(&mut self, _state: &mut StateWriter) -> Result<()> {
        Ok(())
    }

    fn load(&mut self, _state: &mut StateReader, _out: &mut Outbox) -> Result<()> {
        Ok(())
    }
}

fn source_of(spec: &Spec, input: &SchemaRef, name: &str) -> Result<Column> {
    if spec.ordinality.as_ref().is_some_and(|field| field.name() == name) {
        return Ok(Column::Ordinality);
    }
    let part = |item: &UnnestItem| item.fields.iter().position(|field| field.name() == name);
    if let Some((item, part)) = spec.items.iter().enumerate().find_map(|(at, item)| Some((at, part(item)?))) {
        return Ok(Column::Element { item, part });
    }
    Ok(Column::Input(input.index_of(name)?))
}

fn collection_values(collection: ArrayRef) -> Result<Values> {
    let (parts, whole) = match collection.data_type() {
        DataType::List(_) => {
            let elements = collection.as_list::<i32>().values();
            match elements.as_struct_opt() {
                Some(fields) => {
                    (fields.columns().to_vec(), Some(Arc::clone(elements)).filter(|all| all.null_count() > 0))
                }
                None => (vec![Arc::clone(elements)], None),
            }
        }
        DataType::Map(..) => (collection.as_map().entries().columns().to_vec(), None),
        other => return Err(ExecError::Internal(format!("UNNEST of {}", types::sql_name(other)))),
    };
    Ok(Values::Collection { collection, parts, whole })
}

/// The elements of one row.
fn lane(values: &Values, row: usize, statement: &str) -> Result<Lane> {
    Ok(match values {
        Values::Collection { collection, .. } if collection.is_null(row) => Lane::Elements { next: 0, end: 0 },
        Values::Collection { collection, .. } => {
            let offsets = match collection.as_list_opt::<i32>() {
                Some(list) => list.value_offsets(),
                None => collection.as_map().value_offsets(),
            };
            // Offsets of an array are never negative.
            Lane::Elements { next: offsets[row] as u32, end: offsets[row + 1] as u32 }
        }
        Values::Numbers { start, stop, step, .. } => {
            let number = |array: &ArrayRef| {
                let array = array.as_primitive_opt::<Int64Type>().filter(|array| array.is_valid(row));
                array.map(|array| array.value(row))
            };
            match (number(start), number(stop), number(step)) {
                (Some(start), Some(stop), Some(step)) => {
                    Lane::Series(Series::of_numbers(start, stop, step, statement)?)
                }
                _ => Lane::Elements { next: 0, end: 0 },
            }
        }
        Values::Times { start, stop, step } => {
            let time = |array: &ArrayRef| {
                let array = array.as_primitive_opt::<TimestampMicrosecondType>().filter(|array| array.is_valid(row));
                array.map(|array| array.value(row))
            };
            let step: Option<IntervalMonthDayNano> = step
                .as_primitive_opt::<IntervalMonthDayNanoType>()
                .filter(|step| step.is_valid(row))
                .map(|step| step.value(row));
            match (time(start), time(stop), step) {
                (Some(start), Some(stop), Some(step)) => Lane::Series(Series::of_times(start, stop, step, statement)?),
                _ => Lane::Elements { next: 0, end: 0 },
            }
        }
    })
}

impl Lane {
    /// Ends a series; elements that a row has all come.
    fn cut(&mut self) {
        if let Self::Series(series) = self {
            series.end();
        }
    }

    /// Up to `room` elements.
    fn give(&mut self, room: usize, taken: &mut Taken) -> usize {
        match (self, taken) {
            (Self::Elements { next, end }, Taken::Elements(builder)) => {
                let count = room.min((*end - *next) as usize);
                let to = *next + count as u32;
                builder.extend((*next..to).map(Some));
                *next = to;
                count
            }
            (Self::Series(series), Taken::Series(builder)) => series.give(room, builder),
            // A series of nulls has no elements.
            _ => 0,
        }
    }
}

impl Taken {
    fn pad(&mut self, to: usize) {
        match self {
            Self::Elements(builder) => builder.append_nulls(to - arrow_array::builder::ArrayBuilder::len(builder)),
            Self::Series(builder) => builder.append_nulls(to - arrow_array::builder::ArrayBuilder::len(builder)),
        }
    }
}

impl Values {
    fn columns(&self, taken: Taken) -> Result<Vec<ArrayRef>> {
        match (self, taken) {
            (Self::Collection { parts, whole, .. }, Taken::Elements(mut builder)) => {
                let mut indices = builder.finish();
                if let Some(whole) = whole {
                    // The fields of an element that is null are null.
                    let there = |index: &u32| whole.is_valid(*index as usize);
                    indices = indices.iter().map(|index| index.filter(there)).collect();
                }
                let take = |part: &ArrayRef| arrow_select::take::take(part, &indices, None);
                Ok(parts.iter().map(take).collect::<Result<_, _>>()?)
            }
            (Self::Numbers { data_type, .. }, Taken::Series(mut builder)) => {
                let numbers: ArrayRef = Arc::new(builder.finish());
                Ok(vec![if data_type == numbers.data_type() {
                    numbers
                } else {
                    arrow_cast::cast(&numbers, data_type)?
                }])
            }
            (Self::Times { .. }, Taken::Series(mut builder)) => {
                Ok(vec![arrow_cast::cast(&builder.finish(), &types::TIMESTAMP)?])
            }
            _ => Err(ExecError::Internal("elements of another kind".to_owned())),
        }
    }
}
