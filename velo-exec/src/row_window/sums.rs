//! COUNT, SUM and AVG over a frame: a running total that rows come into and go out of.
//!
//! Integers and decimals are exact. Of floats the rounding errors are summed beside them, and the total is made anew when as
//! many rows have left as there are in the frame, so that errors do not grow with the stream.

use arrow_array::RecordBatch;
use arrow_buffer::i256;
use arrow_schema::DataType;
use velo_core::decimal::{POWERS, power_i256};

use super::frame::{Function, View};
use super::value::Value;
use crate::aggregate::{FloatTotal, fits, mean, wide_fits, wide_mean};
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
}
