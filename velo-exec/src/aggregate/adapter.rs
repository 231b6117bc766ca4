//! Aggregates of the library, behind the same interface as ours.
//!
//! The library's grouped accumulators give their state away when they are asked for it. So it is kept as arrays until rows come
//! again, and only then merged back; a group that is read for the last time costs nothing extra. Where groups come and go one
//! by one (sessions), and for aggregates that the library has no grouped form of, there is one accumulator per group.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, Field, Schema, SortOptions};
use datafusion_common::ScalarValue;
use datafusion_expr::{Accumulator, AggregateUDF, EmitTo, Expr, GroupsAccumulator};
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::{Column as ColumnExpr, Literal};
use datafusion_physical_expr::{PhysicalExpr, PhysicalSortExpr};
use velo_plan::plan::AggregateCall;

use super::column::{Call, Column, Rows};
use crate::error::{ExecError, Result};

/// Functions whose result depends on the order in which rows go in.
const ORDERED: &[&str] = &["array_agg", "string_agg", "nth_value", "first_value", "last_value", "any_value"];

/// Whether rows must go into this function in order.
pub(super) fn is_ordered(function: &AggregateUDF, call: &AggregateCall) -> bool {
    ORDERED.contains(&function.name()) || !(call.order_by.is_empty() || function.supports_within_group_clause())
}

/// The function with its arguments as columns of the inputs, and its constant ones as constants.
pub(super) fn function_of(function: &Arc<AggregateUDF>, call: &AggregateCall) -> Result<Arc<AggregateFunctionExpr>> {
    let field = |at: usize, data_type: &DataType| Field::new(format!("v{at}"), data_type.clone(), true);
    let fields = call.argument_types.iter().enumerate().map(|(at, data_type)| field(at, data_type));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let argument = |(at, argument): (usize, &Expr)| -> Arc<dyn PhysicalExpr> {
        match argument {
            Expr::Literal(value, _) => Arc::new(Literal::new(value.clone())),
            _ => Arc::new(ColumnExpr::new(&format!("v{at}"), at)),
        }
    };
    let arguments = call.arguments.iter().enumerate().map(argument).collect::<Vec<_>>();
    let mut builder =
        AggregateExprBuilder::new(Arc::clone(function), arguments.clone()).schema(schema).alias(&call.text);
    if function.supports_within_group_clause() {
        // WITHIN GROUP (ORDER BY x) is the first argument; what counts of the clause is its direction.
        let sort = call.order_by.iter().zip(arguments).map(|(key, argument)| PhysicalSortExpr {
            expr: argument,
            options: SortOptions { descending: key.descending, nulls_first: key.nulls_first },
        });
        builder = builder.order_by(sort.collect());
    }
    Ok(Arc::new(builder.build()?))
}

/// A column for a function that does not go by the order of rows. `single`: groups come and go one by one.
pub(super) fn library(function: Arc<AggregateFunctionExpr>, types: &[DataType], single: bool) -> Box<dyn Column> {
    if single || !function.groups_accumulator_supported() {
        return Box::new(Single { function, groups: Vec::new() });
    }
    Box::new(Grouped { function, types: types.to_vec(), state: State::Empty, total: 0, indices: Vec::new() })
}

/// Where the state of a grouped accumulator is.
enum State {
    /// There is none.
    Empty,
    /// In the accumulator.
    Live(Box<dyn GroupsAccumulator>),
    /// Taken out, one row per group.
    Taken(Vec<ArrayRef>),
    /// The results were read for the last time.
    Results(ArrayRef),
}

/// The library's grouped form.
struct Grouped {
    function: Arc<AggregateFunctionExpr>,
    /// Of the arguments.
    types: Vec<DataType>,
    state: State,
    total: usize,
    indices: Vec<usize>,
}

impl Grouped {
    /// The accumulator, with everything in it.
    fn live(&mut self) -> Result<&mut Box<dyn GroupsAccumulator>> {
        if !matches!(self.state, State::Live(_)) {
            let mut accumulator = self.function.create_groups_accumulator()?;
            match std::mem::replace(&mut self.state, State::Empty) {
                State::Taken(state) => restore(&mut accumulator, &state)?,
                State::Results(_) => return Err(ExecError::Internal("rows after the last result".to_owned())),
                State::Empty | State::Live(_) => {}
            }
            self.state = State::Live(accumulator);
        }
        match &mut self.state {
            State::Live(accumulator) => Ok(accumulator),
            _ => Err(ExecError::Internal("an accumulator is gone".to_owned())),
        }
    }

    /// Makes the accumulator know of all groups; the library only does with rows.
    fn cover(&mut self) -> Result<()> {
        let total = self.total;
        let values = self.types.iter().map(arrow_array::new_empty_array).collect::<Vec<_>>();
        self.live()?.update_batch(&values, &[], None, total)?;
        Ok(())
    }

    /// The state of all groups.
    fn taken(&mut self) -> Result<&[ArrayRef]> {
        if !matches!(self.state, State::Taken(_)) {
            self.cover()?;
            let state = self.live()?.state(EmitTo::All)?;
            self.state = State::Taken(state);
        }
        match &self.state {
            State::Taken(state) => Ok(state),
            _ => Err(ExecError::Internal("a state is gone".to_owned())),
        }
    }
}

fn restore(accumulator: &mut Box<dyn GroupsAccumulator>, state: &[ArrayRef]) -> Result<()> {
    let groups = state.first().map_or(0, |column| column.len());
    let indices = (0..groups).collect::<Vec<_>>();
    Ok(accumulator.merge_batch(state, &indices, groups)?)
}

fn taken_at(array: &ArrayRef, groups: &[u32]) -> Result<ArrayRef> {
    Ok(arrow_select::take::take(array, &UInt32Array::from(groups.to_vec()), None)?)
}

impl Column for Grouped {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.total = self.total.max(rows.total);
        let mut indices = std::mem::take(&mut self.indices);
        indices.clear();
        indices.extend(rows.groups.iter().map(|group| *group as usize));
        let filter = rows.mask.clone().map(|mask| BooleanArray::new(mask, None));
        let total = self.total;
        self.live()?.update_batch(rows.args, &indices, filter.as_ref(), total)?;
        self.indices = indices;
        Ok(())
    }

    fn state_types(&self) -> Vec<DataType> {
        state_types(&self.function)
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        self.taken()?.iter().map(|column| taken_at(column, groups)).collect()
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        self.total = self.total.max(total);
        let indices = groups.iter().map(|group| *group as usize).collect::<Vec<_>>();
        let total = self.total;
        Ok(self.live()?.merge_batch(state, &indices, total)?)
    }

    fn evaluate(&mut self, groups: &[u32], _call: &Call, last: bool) -> Result<ArrayRef> {
        if let State::Results(results) = &self.state {
            return taken_at(results, groups);
        }
        if last {
            self.cover()?;
            let results = self.live()?.evaluate(EmitTo::All)?;
            let part = taken_at(&results, groups);
            self.state = State::Results(results);
            return part;
        }
        let mut copy = self.function.create_groups_accumulator()?;
        restore(&mut copy, self.taken()?)?;
        taken_at(&copy.evaluate(EmitTo::All)?, groups)
    }

    fn memory(&self) -> usize {
        match &self.state {
            State::Empty => 0,
            State::Live(accumulator) => accumulator.size(),
            State::Taken(state) => state.iter().map(|column| column.get_array_memory_size()).sum(),
            State::Results(results) => results.get_array_memory_size(),
        }
    }
}

fn state_types(function: &AggregateFunctionExpr) -> Vec<DataType> {
    // It failed when the plan was made, if it fails.
    let fields = function.state_fields().unwrap_or_default();
    fields.iter().map(|field| field.data_type().clone()).collect()
}

/// One accumulator per group.
struct Single {
    function: Arc<AggregateFunctionExpr>,
    groups: Vec<Option<Box<dyn Accumulator>>>,
}

impl Single {
    /// Feeds rows group by group: they are brought together once, then cut.
    fn feed(
        &mut self,
        groups: &[u32],
        mask: Option<&BooleanBuffer>,
        values: &[ArrayRef],
        mut take: impl FnMut(&mut Box<dyn Accumulator>, &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        let mut rows = match mask {
            Some(mask) => mask.set_indices().map(|row| row as u32).collect::<Vec<_>>(),
            None => (0..groups.len() as u32).collect(),
        };
        rows.sort_by_key(|row| groups[*row as usize]);
        let order = UInt32Array::from(rows);
        let sorted = values.iter().map(|value| arrow_select::take::take(value, &order, None));
        let sorted = sorted.collect::<Result<Vec<_>, _>>()?;
        let mut from = 0;
        for run in order.values().chunk_by(|left, right| groups[*left as usize] == groups[*right as usize]) {
            let part = sorted.iter().map(|value| value.slice(from, run.len())).collect::<Vec<_>>();
            from += run.len();
            let slot = &mut self.groups[groups[run[0] as usize] as usize];
            let accumulator = match slot {
                Some(accumulator) => accumulator,
                None => slot.insert(self.function.create_accumulator()?),
            };
            take(accumulator, &part)?;
        }
        Ok(())
    }

    fn grow(&mut self, total: usize) {
        let total = total.max(self.groups.len());
        self.groups.resize_with(total, || None);
    }

    /// The state of one group, which keeps it unless `last`.
    fn state_of(&mut self, group: u32, last: bool) -> Result<Vec<ScalarValue>> {
        let slot = &mut self.groups[group as usize];
        let mut accumulator = match slot.take() {
            Some(accumulator) => accumulator,
            None => return Ok(self.function.create_accumulator()?.state()?),
        };
        let state = accumulator.state()?;
        if !last {
            // The state is gone from the accumulator; a new one takes it in again.
            let mut again = self.function.create_accumulator()?;
            let columns = state.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>, _>>()?;
            again.merge_batch(&columns)?;
            *slot = Some(again);
        }
        Ok(state)
    }
}

impl Column for Single {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.grow(rows.total);
        self.feed(rows.groups, rows.mask.as_ref(), rows.args, |accumulator, part| Ok(accumulator.update_batch(part)?))
    }

    fn state_types(&self) -> Vec<DataType> {
        state_types(&self.function)
    }

    fn state(&mut self, groups: &[u32], last: bool) -> Result<Vec<ArrayRef>> {
        let types = self.state_types();
        let mut columns = vec![Vec::with_capacity(groups.len()); types.len()];
        for group in groups {
            for (column, value) in columns.iter_mut().zip(self.state_of(*group, last)?) {
                column.push(value);
            }
        }
        let columns = columns.into_iter().zip(types);
        columns.map(|(values, data_type)| array_of(values, &data_type)).collect()
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        self.grow(total);
        self.feed(groups, None, state, |accumulator, part| Ok(accumulator.merge_batch(part)?))
    }

    fn evaluate(&mut self, groups: &[u32], call: &Call, last: bool) -> Result<ArrayRef> {
        let mut results = Vec::with_capacity(groups.len());
        for group in groups {
            let state = if last { None } else { Some(self.state_of(*group, false)?) };
            let result = match state {
                None => match self.groups[*group as usize].take() {
                    Some(mut accumulator) => accumulator.evaluate()?,
                    None => self.function.create_accumulator()?.evaluate()?,
                },
                Some(state) => {
                    let mut copy = self.function.create_accumulator()?;
                    let columns = state.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>, _>>()?;
                    copy.merge_batch(&columns)?;
                    copy.evaluate()?
                }
            };
            results.push(result);
        }
        array_of(results, self.function.field().data_type())
            .map_err(|error| call.error(format!("{} has no result: {error}", call.text)))
    }

    fn memory(&self) -> usize {
        let used = self.groups.iter().flatten().map(|accumulator| accumulator.size()).sum::<usize>();
        used + self.groups.capacity() * size_of::<Option<Box<dyn Accumulator>>>()
    }
}

/// Values as an array, which may be empty.
pub(super) fn array_of(values: Vec<ScalarValue>, data_type: &DataType) -> Result<ArrayRef> {
    if values.is_empty() {
        return Ok(arrow_array::new_empty_array(data_type));
    }
    Ok(ScalarValue::iter_to_array(values)?)
}
