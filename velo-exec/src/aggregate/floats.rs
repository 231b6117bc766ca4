//! COUNT, SUM and AVG of floats: the rounding errors are summed beside the sum (Neumaier, "Rundungsfehleranalyse einiger
//! Verfahren zur Summation endlicher Summen", 1974), so that the order of rows shows in the last digit at most.
//!
//! Rows that only come have a plain total. Where they can be taken back, what is no finite number is counted beside it: an
//! infinity that went into a sum does not come out again.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow_array::builder::Float64Builder;
use arrow_array::cast::AsArray;
use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{ArrayRef, Float64Array, Int64Array};
use arrow_schema::DataType;

use super::column::{Answer, Call, Column, Rows, each, state_column};
use super::values::wrong_type;
use crate::error::{ExecError, Result};

/// A column for floats of this type.
pub(super) fn floats<T: ArrowPrimitiveType>(changing: bool) -> Box<dyn Column>
where
    f64: From<T::Native>,
{
    match changing {
        true => Box::new(Floats::<T, FloatTotal>::default()),
        false => Box::new(Floats::<T, Compensated>::default()),
    }
}

/// A sum and its rounding errors.
#[derive(Debug, Clone, Copy, Default)]
struct Compensated {
    sum: f64,
    error: f64,
    count: i64,
}

impl Compensated {
    #[inline(always)]
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.error += if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
    }
}

/// A total that values also leave.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FloatTotal {
    /// The finite values; the count is that of all.
    finite: Compensated,
    infinite: i64,
    negative_infinite: i64,
    not_numbers: i64,
}

impl FloatTotal {
    /// Takes a value in, or out again where `by` is -1.
    pub(crate) fn change(&mut self, value: f64, by: i64) {
        self.finite.count += by;
        if value.is_nan() {
            self.not_numbers += by;
        } else if value == f64::INFINITY {
            self.infinite += by;
        } else if value == f64::NEG_INFINITY {
            self.negative_infinite += by;
        } else {
            self.finite.add(if by < 0 { -value } else { value });
        }
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> i64 {
        self.finite.count
    }

    /// Whether finite values had no finite sum on the way: what leaves does not mend that.
    pub(crate) fn is_overflown(&self) -> bool {
        !self.finite.sum.is_finite()
    }

    /// All that it is, for a checkpoint: the sum of what is finite and its rounding errors; how many values there are, how many
    /// are infinite, negative infinite, and no numbers.
    pub(crate) fn saved(&self) -> ([f64; 2], [i64; 4]) {
        let finite = &self.finite;
        let counts = [finite.count, self.infinite, self.negative_infinite, self.not_numbers];
        ([finite.sum, finite.error], counts)
    }

    /// A total from what [`FloatTotal::saved`] gave.
    pub(crate) fn of_saved([sum, error]: [f64; 2], counts: [i64; 4]) -> Self {
        let [count, infinite, negative_infinite, not_numbers] = counts;
        Self { finite: Compensated { sum, error, count }, infinite, negative_infinite, not_numbers }
    }

    /// Their sum.
    pub(crate) fn total(&self) -> f64 {
        if self.not_numbers > 0 || (self.infinite > 0 && self.negative_infinite > 0) {
            f64::NAN
        } else if self.infinite > 0 {
            f64::INFINITY
        } else if self.negative_infinite > 0 {
            f64::NEG_INFINITY
        } else {
            self.finite.total()
        }
    }
}

/// How the values of a group are summed.
trait Sum: Copy + Default + Send {
    /// The types of its state behind count, sum and error.
    const MORE: usize;

    /// Takes a value in.
    fn add(&mut self, value: f64);

    /// Takes a value out.
    fn take(&mut self, value: f64) -> Result<()>;

    /// Takes another total in.
    fn merge(&mut self, parts: &Compensated, more: impl Fn(usize) -> i64);

    /// The sum of what is finite, and the count of all.
    fn parts(&self) -> &Compensated;

    /// What is behind that in its state.
    fn more(&self, at: usize) -> i64;

    /// The sum of all.
    fn total(&self) -> f64;
}

impl Sum for Compensated {
    const MORE: usize = 0;

    #[inline(always)]
    fn add(&mut self, value: f64) {
        Self::add(self, value);
        self.count += 1;
    }

    fn take(&mut self, _: f64) -> Result<()> {
        Err(ExecError::Internal("a sum over rows that only come was told to take one back".to_owned()))
    }

    fn merge(&mut self, parts: &Compensated, _: impl Fn(usize) -> i64) {
        Self::add(self, parts.sum);
        self.error += parts.error;
        self.count += parts.count;
    }

    fn parts(&self) -> &Compensated {
        self
    }

    fn more(&self, _: usize) -> i64 {
        0
    }

    fn total(&self) -> f64 {
        // With an infinity or NaN in the sum its error is no number, and means nothing.
        if self.sum.is_finite() { self.sum + self.error } else { self.sum }
    }
}

impl Sum for FloatTotal {
    const MORE: usize = 3;

    #[inline(always)]
    fn add(&mut self, value: f64) {
        self.change(value, 1);
    }

    #[inline(always)]
    fn take(&mut self, value: f64) -> Result<()> {
        self.change(value, -1);
        if self.count() == 0 {
            // What rounding left must not be there when the group begins again.
            *self = Self::default();
        }
        Ok(())
    }

    fn merge(&mut self, parts: &Compensated, more: impl Fn(usize) -> i64) {
        Sum::merge(&mut self.finite, parts, |_| 0);
        self.infinite += more(0);
        self.negative_infinite += more(1);
        self.not_numbers += more(2);
    }

    fn parts(&self) -> &Compensated {
        &self.finite
    }

    fn more(&self, at: usize) -> i64 {
        [self.infinite, self.negative_infinite, self.not_numbers][at]
    }

    fn total(&self) -> f64 {
        Self::total(self)
    }
}

struct Floats<T, S> {
    totals: Vec<S>,
    of: PhantomData<fn() -> T>,
}

impl<T, S> Default for Floats<T, S> {
    fn default() -> Self {
        Self { totals: Vec::new(), of: PhantomData }
    }
}

impl<T: ArrowPrimitiveType, S: Sum> Floats<T, S>
where
    f64: From<T::Native>,
{
    #[inline(always)]
    fn change(&mut self, rows: &Rows<'_>, mut change: impl FnMut(&mut S, f64)) -> Result<()> {
        let argument = rows.only()?;
        let array = argument.as_primitive_opt::<T>().ok_or_else(|| wrong_type(argument, &T::DATA_TYPE))?;
        self.totals.resize(rows.total, S::default());
        let totals = self.totals.as_mut_slice();
        let values = &array.values()[..rows.groups.len()];
        each(rows.groups, rows.valid(argument).as_ref(), |row, group| {
            change(&mut totals[group as usize], f64::from(values[row]));
        });
        Ok(())
    }
}

impl<T: ArrowPrimitiveType, S: Sum> Column for Floats<T, S>
where
    f64: From<T::Native>,
{
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.change(rows, |total, value| total.add(value))
    }

    fn retract(&mut self, rows: &Rows<'_>) -> Result<()> {
        let mut taken = Ok(());
        self.change(rows, |total, value| {
            if taken.is_ok() {
                taken = total.take(value);
            }
        })?;
        taken
    }

    fn state_types(&self) -> Vec<DataType> {
        let mut types = vec![DataType::Int64, DataType::Float64, DataType::Float64];
        types.extend(std::iter::repeat_n(DataType::Int64, S::MORE));
        types
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        let totals = || groups.iter().map(|group| &self.totals[*group as usize]);
        let mut state: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(totals().map(|total| total.parts().count))),
            Arc::new(Float64Array::from_iter_values(totals().map(|total| total.parts().sum))),
            Arc::new(Float64Array::from_iter_values(totals().map(|total| total.parts().error))),
        ];
        for at in 0..S::MORE {
            state.push(Arc::new(Int64Array::from_iter_values(totals().map(|total| total.more(at)))));
        }
        Ok(state)
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        let counts = state_column::<Int64Array>(state, 0)?.values();
        let sums = state_column::<Float64Array>(state, 1)?.values();
        let errors = state_column::<Float64Array>(state, 2)?.values();
        let more = (0..S::MORE).map(|at| state_column::<Int64Array>(state, 3 + at)).collect::<Result<Vec<_>>>()?;
        self.totals.resize(total, S::default());
        for (row, group) in groups.iter().enumerate() {
            let parts = Compensated { sum: sums[row], error: errors[row], count: counts[row] };
            self.totals[*group as usize].merge(&parts, |at| more[at].value(row));
        }
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32], call: &Call, _last: bool) -> Result<ArrayRef> {
        let totals = groups.iter().map(|group| &self.totals[*group as usize]);
        if call.answer == Answer::Count {
            return Ok(Arc::new(Int64Array::from_iter_values(totals.map(|total| total.parts().count))));
        }
        let mut builder = Float64Builder::with_capacity(groups.len());
        for total in totals {
            let count = total.parts().count;
            let value = if call.answer == Answer::Avg { total.total() / count as f64 } else { total.total() };
            builder.append_option((count > 0).then_some(value));
        }
        Ok(Arc::new(builder.finish()))
    }

    fn memory(&self) -> usize {
        self.totals.capacity() * size_of::<S>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<S: Sum>(values: &[f64]) -> S {
        let mut total = S::default();
        values.iter().for_each(|value| total.add(*value));
        total
    }

    #[test]
    fn infinities_stay() {
        assert_eq!(of::<Compensated>(&[f64::INFINITY, 1.0]).total(), f64::INFINITY);
        assert!(of::<Compensated>(&[f64::INFINITY, 1.0, f64::NEG_INFINITY]).total().is_nan());
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        for odd in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let mut total = of::<FloatTotal>(&[1.5, odd, 2.0]);
            assert!(!total.total().is_finite());
            total.take(odd).unwrap();
            assert_eq!((total.total(), total.count()), (3.5, 2), "{odd}");
        }
        let mut merged = of::<FloatTotal>(&[f64::INFINITY, 1.0]);
        let other = of::<FloatTotal>(&[f64::NEG_INFINITY, 2.0]);
        Sum::merge(&mut merged, other.parts(), |at| other.more(at));
        assert!(merged.total().is_nan());
        merged.take(f64::INFINITY).unwrap();
        assert_eq!(merged.total(), f64::NEG_INFINITY);
        merged.take(f64::NEG_INFINITY).unwrap();
        assert_eq!(merged.total(), 3.0);
    }
}
