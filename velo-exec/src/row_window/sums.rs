//! COUNT, SUM and AVG over a frame: a running total that rows come into and go out of.
//!
//! Integers and decimals are exact. Of floats the rounding errors are summed beside them, and the total is made anew when as
//! many rows have left as there are in the frame, so that errors do not grow with the stream.

use std::sync::Arc;

use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, RecordBatch};
use arrow_buffer::i256;
use arrow_schema::DataType;
use velo_core::decimal::{POWERS, power_i256};

use super::frame::{Function, View};
use super::saved::{WIDE, WIDER, only, read, read_wide, read_wider, wide, wider, write};
use super::value::Value;
use crate::aggregate::{FloatTotal, fits, mean, wide_fits, wide_mean};
use crate::checkpoint::columns::{Columns, Saved};
use crate::error::{ExecError, Result};

/// Which rows of a call count, and its argument.
#[derive(Debug, Clone)]
pub(super) struct Argument {
    /// The argument's column; none: rows themselves count.
    pub(super) column: Option<usize>,
    /// The column of FILTER.
    pub(super) filter: Option<usize>,
}

impl Argument {
    /// The argument's values; null where FILTER leaves the row out.
    pub(super) fn read<V: Value>(&self, codec: &V::Codec, columns: &RecordBatch) -> Result<Vec<Option<V>>> {
        let missing = || ExecError::Internal("a call without its argument".to_owned());
        let column = self.column.map(|at| columns.column(at)).ok_or_else(missing)?;
        let mut values = V::read(codec, column)?;
        if let Some(let_in) = self.let_in(columns)? {
            for (value, _) in values.iter_mut().zip(let_in).filter(|(_, let_in)| !let_in) {
                *value = None;
            }
        }
        Ok(values)
    }

    fn let_in(&self, columns: &RecordBatch) -> Result<Option<Vec<bool>>> {
        let Some(filter) = self.filter else { return Ok(None) };
        let values = <i64 as Value>::read(&DataType::Boolean, columns.column(filter))?;
        Ok(Some(values.into_iter().map(|value| value == Some(1)).collect()))
    }
}

/// What a sum is asked for, its type, and its name in errors.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) average: bool,
    pub(super) output: DataType,
    /// How many digits more than the argument the result has behind the point.
    pub(super) digits: u8,
    pub(super) text: String,
    pub(super) statement: String,
}

impl Answer {
    fn overflow(&self) -> ExecError {
        let output = velo_core::types::sql_name(&self.output);
        ExecError::Compute {
            statement: self.statement.clone(),
            message: format!("{} does not fit in {output}", self.text),
            place: None,
        }
    }

    fn precision(&self) -> u8 {
        match self.output {
            DataType::Decimal128(precision, _) | DataType::Decimal256(precision, _) => precision,
            _ => 0,
        }
    }
}

/// COUNT.
pub(super) struct Count(pub(super) Argument);

impl Function for Count {
    type In = bool;
    type State = i64;
    type Out = i64;

    fn read(&self, columns: &RecordBatch) -> Result<Vec<bool>> {
        let mut counts = match self.0.let_in(columns)? {
            Some(let_in) => let_in,
            None => vec![true; columns.num_rows()],
        };
        if let Some(nulls) = self.0.column.and_then(|at| columns.column(at).logical_nulls()) {
            counts.iter_mut().zip(&nulls).for_each(|(counts, valid)| *counts &= valid);
        }
        Ok(counts)
    }

    fn add(&self, state: &mut i64, _row: u64, counts: &bool) -> Result<()> {
        *state += i64::from(*counts);
        Ok(())
    }

    fn remove(&self, state: &mut i64, _row: u64, counts: &bool) -> Result<()> {
        *state -= i64::from(*counts);
        Ok(())
    }

    fn result(&self, state: &mut i64, _view: &View<'_, bool>) -> Result<Option<i64>> {
        Ok(Some(*state))
    }

    fn save_values(&self, values: &[&bool]) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(values.iter().map(|counts| Some(**counts)).collect::<BooleanArray>())])
    }

    fn load_values(&self, columns: &[ArrayRef], _rows: usize, saved: &Saved<'_>) -> Result<Vec<bool>> {
        let counts = read::<i64>(&DataType::Boolean, only(columns, saved)?, saved)?;
        Ok(counts.into_iter().map(|counts| counts == Some(1)).collect())
    }

    fn save_states(&self, states: &mut [i64], into: &mut Columns) -> Result<()> {
        into.numbers("count", states.iter().copied());
        Ok(())
    }

    fn load_states(&self, saved: &Saved<'_>) -> Result<Vec<i64>> {
        Ok(saved.numbers("count")?.to_vec())
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Total<T> {
    sum: T,
    count: i64,
}

/// SUM and AVG of integers and of decimals of up to 19 digits, which never leave 128 bits.
pub(super) struct Exact {
    pub(super) argument: Argument,
    pub(super) answer: Answer,
}

impl Function for Exact {
    type In = Option<i128>;
    type State = Total<i128>;
    type Out = i128;

    fn read(&self, columns: &RecordBatch) -> Result<Vec<Option<i128>>> {
        self.argument.read::<i128>(&DataType::Null, columns)
    }

    #[inline(always)]
    fn add(&self, state: &mut Total<i128>, _row: u64, value: &Option<i128>) -> Result<()> {
        if let Some(value) = value {
            state.sum = state.sum.wrapping_add(*value);
            state.count += 1;
        }
        Ok(())
    }

    #[inline(always)]
    fn remove(&self, state: &mut Total<i128>, _row: u64, value: &Option<i128>) -> Result<()> {
        if let Some(value) = value {
            state.sum = state.sum.wrapping_sub(*value);
            state.count -= 1;
        }
        Ok(())
    }

    fn result(&self, state: &mut Total<i128>, _view: &View<'_, Option<i128>>) -> Result<Option<i128>> {
        if state.count == 0 {
            return Ok(None);
        }
        let answer = &self.answer;
        let value = if answer.average {
            mean(state.sum, state.count, answer.digits)
        } else {
            POWERS.get(usize::from(answer.digits)).and_then(|factor| state.sum.checked_mul(*factor))
        };
        let fits = |value: &i128| match answer.output {
            DataType::Int64 => i64::try_from(*value).is_ok(),
            _ => fits(*value, answer.precision()),
        };
        Ok(Some(value.filter(fits).ok_or_else(|| answer.overflow())?))
    }

    fn save_values(&self, values: &[&Option<i128>]) -> Result<Vec<ArrayRef>> {
        Ok(vec![write::<i128>(&WIDE, values.iter().map(|value| value.as_ref()))?])
    }

    fn load_values(&self, columns: &[ArrayRef], _rows: usize, saved: &Saved<'_>) -> Result<Vec<Option<i128>>> {
        read::<i128>(&WIDE, only(columns, saved)?, saved)
    }

    fn save_states(&self, states: &mut [Total<i128>], into: &mut Columns) -> Result<()> {
        into.add("sum", wide(states.iter().map(|total| total.sum)));
        into.numbers("count", states.iter().map(|total| total.count));
        Ok(())
    }

    fn load_states(&self, saved: &Saved<'_>) -> Result<Vec<Total<i128>>> {
        let sums = read_wide(saved.column("sum")?, saved)?.iter();
        Ok(sums.zip(saved.numbers("count")?).map(|(sum, count)| Total { sum: *sum, count: *count }).collect())
    }
}

/// SUM and AVG of longer decimals, in 256 bits.
pub(super) struct Wide {
    pub(super) argument: Argument,
    pub(super) answer: Answer,
}

impl Function for Wide {
    type In = Option<i256>;
    type State = Total<i256>;
    type Out = i256;

    fn read(&self, columns: &RecordBatch) -> Result<Vec<Option<i256>>> {
        self.argument.read::<i256>(&DataType::Null, columns)
    }

    fn add(&self, state: &mut Total<i256>, _row: u64, value: &Option<i256>) -> Result<()> {
        if let Some(value) = value {
            state.sum = state.sum.checked_add(*value).ok_or_else(|| self.answer.overflow())?;
            state.count += 1;
        }
        Ok(())
    }

    fn remove(&self, state: &mut Total<i256>, _row: u64, value: &Option<i256>) -> Result<()> {
        if let Some(value) = value {
            state.sum = state.sum.checked_sub(*value).ok_or_else(|| self.answer.overflow())?;
            state.count -= 1;
        }
        Ok(())
    }

    fn result(&self, state: &mut Total<i256>, _view: &View<'_, Option<i256>>) -> Result<Option<i256>> {
        if state.count == 0 {
            return Ok(None);
        }
        let answer = &self.answer;
        let value = if answer.average {
            wide_mean(state.sum, state.count, answer.digits)
        } else {
            state.sum.checked_mul(power_i256(answer.digits))
        };
        Ok(Some(value.filter(|value| wide_fits(*value, answer.precision())).ok_or_else(|| answer.overflow())?))
    }

    fn save_values(&self, values: &[&Option<i256>]) -> Result<Vec<ArrayRef>> {
        Ok(vec![write::<i256>(&WIDER, values.iter().map(|value| value.as_ref()))?])
    }

    fn load_values(&self, columns: &[ArrayRef], _rows: usize, saved: &Saved<'_>) -> Result<Vec<Option<i256>>> {
        read::<i256>(&WIDER, only(columns, saved)?, saved)
    }

    fn save_states(&self, states: &mut [Total<i256>], into: &mut Columns) -> Result<()> {
        into.add("sum", wider(states.iter().map(|total| total.sum)));
        into.numbers("count", states.iter().map(|total| total.count));
        Ok(())
    }

    fn load_states(&self, saved: &Saved<'_>) -> Result<Vec<Total<i256>>> {
        let sums = read_wider(saved.column("sum")?, saved)?.iter();
        Ok(sums.zip(saved.numbers("count")?).map(|(sum, count)| Total { sum: *sum, count: *count }).collect())
    }
}

/// The floats of a frame, and how many have left it since they were summed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MovingTotal {
    total: FloatTotal,
    removed: u64,
}

/// SUM and AVG of floats.
pub(super) struct Floats {
    pub(super) argument: Argument,
    pub(super) average: bool,
}

impl Function for Floats {
    type In = Option<f64>;
    type State = MovingTotal;
    type Out = f64;

    fn read(&self, columns: &RecordBatch) -> Result<Vec<Option<f64>>> {
        self.argument.read::<f64>(&DataType::Null, columns)
    }

    fn add(&self, state: &mut MovingTotal, _row: u64, value: &Option<f64>) -> Result<()> {
        if let Some(value) = value {
            state.total.change(*value, 1);
        }
        Ok(())
    }

    fn remove(&self, state: &mut MovingTotal, _row: u64, value: &Option<f64>) -> Result<()> {
        if let Some(value) = value {
            state.total.change(*value, -1);
        }
        state.removed += 1;
        Ok(())
    }

    fn result(&self, state: &mut MovingTotal, view: &View<'_, Option<f64>>) -> Result<Option<f64>> {
        let overflown = state.removed > 0 && state.total.is_overflown();
        if overflown || state.removed > view.to - view.from {
            *state = MovingTotal::default();
            for value in (view.from..view.to).filter_map(|row| view.get(row)).flatten() {
                state.total.change(*value, 1);
            }
        }
        if state.total.count() == 0 {
            return Ok(None);
        }
        let total = state.total.total();
        Ok(Some(if self.average { total / state.total.count() as f64 } else { total }))
    }

    fn save_values(&self, values: &[&Option<f64>]) -> Result<Vec<ArrayRef>> {
        Ok(vec![write::<f64>(&DataType::Float64, values.iter().map(|value| value.as_ref()))?])
    }

    fn load_values(&self, columns: &[ArrayRef], _rows: usize, saved: &Saved<'_>) -> Result<Vec<Option<f64>>> {
        read::<f64>(&DataType::Float64, only(columns, saved)?, saved)
    }

    // The sum and its rounding errors as they are: summed again they would have other last digits.
    fn save_states(&self, states: &mut [MovingTotal], into: &mut Columns) -> Result<()> {
        let float = |at: usize| states.iter().map(move |state| state.total.saved().0[at]);
        into.add("sum", Arc::new(Float64Array::from_iter_values(float(0))));
        into.add("error", Arc::new(Float64Array::from_iter_values(float(1))));
        for (at, name) in COUNTS.iter().enumerate() {
            into.numbers(name, states.iter().map(|state| state.total.saved().1[at]));
        }
        into.counts("removed", states.iter().map(|state| state.removed));
        Ok(())
    }

    fn load_states(&self, saved: &Saved<'_>) -> Result<Vec<MovingTotal>> {
        let sums = saved.typed::<Float64Type>("sum")?.values();
        let errors = saved.typed::<Float64Type>("error")?.values();
        let counts = COUNTS.iter().map(|name| saved.numbers(name)).collect::<Result<Vec<_>>>()?;
        let removed = saved.counts("removed")?;
        let state = |row: usize| MovingTotal {
            total: FloatTotal::of_saved([sums[row], errors[row]], std::array::from_fn(|at| counts[at][row])),
            removed: removed[row],
        };
        Ok((0..saved.rows()).map(state).collect())
    }
}

/// The counts of a total of floats: of all, and of those that are no finite numbers.
const COUNTS: [&str; 4] = ["count", "infinite", "negative_infinite", "not_numbers"];
