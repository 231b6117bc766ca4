//! Every other aggregate over a frame: where rows only come into it its state goes on, else it is computed anew for each row
//! from the values that the frame holds.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{DataType, Schema};
use datafusion_common::ScalarValue;
use velo_plan::plan::AggregateCall;

use super::frame::{Function, View};
use super::results::{ResultColumn, Results, RowRef};
use super::value::Value;
use crate::aggregate::{AggregatePlan, AggregateSet, Groups, Inputs, RowOrder};
use crate::checkpoint::columns::{Columns, Saved};
use crate::error::{ExecError, Result};

/// An aggregate that is not one of the others here.
pub(super) struct Library {
    plan: Arc<AggregatePlan>,
    /// Where the values of the plan's expressions are.
    values: Vec<Source>,
    types: Vec<DataType>,
    /// Whether rows leave the frame.
    moves: bool,
}

/// Where a value comes from.
enum Source {
    Column(usize),
    /// The same for all rows.
    Constant(ScalarValue),
}

impl Library {
    /// `call`'s arguments are columns of `input` or constants.
    pub(super) fn new(call: &AggregateCall, input: &Schema, moves: bool, statement: &str) -> Result<Self> {
        let plan = AggregatePlan::new(std::slice::from_ref(call), input, Groups::OneByOne, statement)?;
        let source = |expression: &datafusion_expr::Expr| match expression {
            datafusion_expr::Expr::Column(column) => Ok(Source::Column(input.index_of(column.name())?)),
            datafusion_expr::Expr::Literal(value, _) => Ok(Source::Constant(value.clone())),
            other => Err(ExecError::Internal(format!("{other} is not computed before its row window"))),
        };
        let values = plan.expressions().iter().map(source).collect::<Result<Vec<_>>>()?;
        let type_of = |source: &Source| match source {
            Source::Column(at) => input.field(*at).data_type().clone(),
            Source::Constant(value) => value.data_type(),
        };
        let types = values.iter().map(type_of).collect();
        Ok(Self { plan, values, types, moves })
    }

    fn update(&self, set: &mut AggregateSet, rows: &[&Arc<[ScalarValue]>]) -> Result<()> {
        let array = |at: usize, data_type: &DataType| -> Result<ArrayRef> {
            if rows.is_empty() {
                return Ok(arrow_array::new_empty_array(data_type));
            }
            Ok(ScalarValue::iter_to_array(rows.iter().map(|row| row[at].clone()))?)
        };
        let arrays =
            self.types.iter().enumerate().map(|(at, data_type)| array(at, data_type)).collect::<Result<_>>()?;
        // The rows are in their order.
        set.update(&vec![0; rows.len()], 1, &Inputs { arrays }, &RowOrder::none(rows.len()))
    }

    fn answer(set: &mut AggregateSet, last: bool) -> Result<Option<ScalarValue>> {
        let results = set.evaluate(&[0], last)?;
        let result = results.first().ok_or_else(|| ExecError::Internal("an aggregate without a result".to_owned()))?;
        Ok(Some(ScalarValue::try_from_array(result, 0)?))
    }
}

impl Function for Library {
    type In = Arc<[ScalarValue]>;
    type State = Option<AggregateSet>;
    type Out = ScalarValue;

    fn read(&self, columns: &RecordBatch) -> Result<Vec<Arc<[ScalarValue]>>> {
        let row = |row: usize| -> Result<Arc<[ScalarValue]>> {
            let values = self.values.iter().map(|source| match source {
                Source::Column(at) => ScalarValue::try_from_array(columns.column(*at), row),
                Source::Constant(value) => Ok(value.clone()),
            });
            Ok(values.collect::<Result<Vec<_>, _>>()?.into())
        };
        (0..columns.num_rows()).map(row).collect()
    }

    fn add(&self, state: &mut Option<AggregateSet>, _row: u64, value: &Arc<[ScalarValue]>) -> Result<()> {
        if self.moves {
            return Ok(());
        }
        let set = match state {
            Some(set) => set,
            None => state.insert(AggregateSet::new(&self.plan)?),
        };
        self.update(set, &[value])
    }

    fn remove(&self, _state: &mut Option<AggregateSet>, _row: u64, _value: &Arc<[ScalarValue]>) -> Result<()> {
        Ok(())
    }

    fn result(
        &self,
        state: &mut Option<AggregateSet>,
        view: &View<'_, Arc<[ScalarValue]>>,
    ) -> Result<Option<ScalarValue>> {
        if let Some(set) = state {
            return Self::answer(set, false);
        }
        let mut set = AggregateSet::new(&self.plan)?;
        let rows: Vec<&Arc<[ScalarValue]>> = match self.moves {
            true => (view.from..view.to).filter_map(|row| view.get(row)).collect(),
            false => Vec::new(),
        };
        set.grow(1)?;
        self.update(&mut set, &rows)?;
        Self::answer(&mut set, true)
    }

    fn save_values(&self, values: &[&Arc<[ScalarValue]>]) -> Result<Vec<ArrayRef>> {
        let column = |(at, data_type): (usize, &DataType)| -> Result<ArrayRef> {
            if values.is_empty() {
                return Ok(arrow_array::new_empty_array(data_type));
            }
            Ok(ScalarValue::iter_to_array(values.iter().map(|row| row[at].clone()))?)
        };
        self.types.iter().enumerate().map(column).collect()
    }

    fn load_values(&self, columns: &[ArrayRef], rows: usize, saved: &Saved<'_>) -> Result<Vec<Arc<[ScalarValue]>>> {
        if !columns.iter().zip(&self.types).all(|(column, wanted)| column.data_type().equals_datatype(wanted)) {
            return Err(saved.damaged("the values of rows have another type"));
        }
        let row = |row: usize| -> Result<Arc<[ScalarValue]>> {
            let values = columns.iter().map(|column| ScalarValue::try_from_array(column, row));
            Ok(values.collect::<Result<Vec<_>, _>>()?.into())
        };
        (0..rows).map(row).collect()
    }

    fn save_states(&self, states: &mut [Option<AggregateSet>], into: &mut Columns) -> Result<()> {
        if self.moves {
            return Ok(());
        }
        into.add("begun", Arc::new(states.iter().map(|state| Some(state.is_some())).collect::<BooleanArray>()));
        let mut parts = Vec::with_capacity(states.len());
        let mut fresh = AggregateSet::new(&self.plan)?;
        fresh.grow(1)?;
        for state in states {
            parts.push(state.as_mut().unwrap_or(&mut fresh).state(&[0], false)?);
        }
        for (at, field) in self.plan.state_fields()?.iter().enumerate() {
            let column = parts.iter().filter_map(|part| part.get(at)).map(AsRef::as_ref).collect::<Vec<_>>();
            into.add(
                format!("state{at}"),
                match column.is_empty() {
                    true => arrow_array::new_empty_array(field.data_type()),
                    false => arrow_select::concat::concat(&column)?,
                },
            );
        }
        Ok(())
    }

    fn load_states(&self, saved: &Saved<'_>) -> Result<Vec<Option<AggregateSet>>> {
        if self.moves {
            return Ok((0..saved.rows()).map(|_| None).collect());
        }
        let begun = saved.column("begun")?.as_boolean_opt();
        let begun = begun.ok_or_else(|| saved.damaged("whether aggregates have begun is no boolean"))?;
        let fields = self.plan.state_fields()?;
        let mut columns = Vec::with_capacity(fields.len());
        for (at, field) in fields.iter().enumerate() {
            let column = saved.column(&format!("state{at}"))?;
            if !column.data_type().equals_datatype(field.data_type()) {
                return Err(saved.damaged("the state of an aggregate has another type"));
            }
            columns.push(column);
        }
        let state = |row: usize| -> Result<Option<AggregateSet>> {
            if !begun.value(row) {
                return Ok(None);
            }
            let mut set = AggregateSet::new(&self.plan)?;
            let own = columns.iter().map(|column| column.slice(row, 1)).collect::<Vec<_>>();
            set.merge(&[0], 1, &own)?;
            Ok(Some(set))
        };
        (0..saved.rows()).map(state).collect()
    }
}

impl Value for ScalarValue {
    type Codec = DataType;

    fn codec(data_type: &DataType) -> Result<DataType> {
        Ok(data_type.clone())
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.partial_cmp(other).unwrap_or(Ordering::Equal)
    }

    fn read(_codec: &DataType, column: &ArrayRef) -> Result<Vec<Option<Self>>> {
        (0..column.len()).map(|row| Ok(Some(ScalarValue::try_from_array(column, row)?))).collect()
    }

    fn write(codec: &DataType, values: Vec<Option<Self>>) -> Result<ArrayRef> {
        if values.is_empty() {
            return Ok(arrow_array::new_empty_array(codec));
        }
        let null = ScalarValue::try_from(codec)?;
        Ok(ScalarValue::iter_to_array(values.into_iter().map(|value| value.unwrap_or_else(|| null.clone())))?)
    }
}

/// Results of any type.
pub(crate) struct Scalars(Results<ScalarValue>);

impl Scalars {
    pub(crate) fn new(data_type: DataType) -> Self {
        Self(Results::new(data_type))
    }

    /// A new chunk of so many rows.
    pub(crate) fn begin(&mut self, chunk: u64, rows: usize) {
        self.0.begin(chunk, rows);
    }

    /// The first value of an array is a row's result.
    pub(crate) fn set(&mut self, at: RowRef, value: &ArrayRef) -> Result<()> {
        self.0.set(at, Some(ScalarValue::try_from_array(value, 0)?));
        Ok(())
    }

    pub(crate) fn column(&mut self) -> &mut dyn ResultColumn {
        &mut self.0
    }
}
