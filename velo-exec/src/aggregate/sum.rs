//! COUNT, SUM and AVG of one argument: one column keeps what all three need.
//!
//! Sums are exact and do not depend on the order of rows: integers and decimals are summed in 128 bits with the carries kept
//! beside them (wider decimals in 256 bits), and what does not fit the result's type is found when the result is read. Floats
//! are in `floats.rs`.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow_array::builder::{Decimal128Builder, Decimal256Builder, Float64Builder, Int64Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, Decimal128Array, Decimal256Array, Int64Array};
use arrow_buffer::i256;
use arrow_schema::DataType;
use velo_core::decimal::{POWERS, divide_i256, power_i256};
use velo_core::types::sql_name;

use super::column::{Answer, Call, Column, Rows, each, state_column};
use super::floats::floats;
use super::values::wrong_type;
use crate::error::{ExecError, Result};

/// A column for sum, mean and count of an argument of this type. `changing`: rows can be taken back.
pub(super) fn sum(data_type: &DataType, text: &str, changing: bool) -> Result<Box<dyn Column>> {
    Ok(match data_type {
        DataType::Int8 => Box::new(Exact::<Int8Type, false>::new(data_type)),
        DataType::Int16 => Box::new(Exact::<Int16Type, false>::new(data_type)),
        DataType::Int32 => Box::new(Exact::<Int32Type, false>::new(data_type)),
        DataType::Int64 => Box::new(Exact::<Int64Type, false>::new(data_type)),
        DataType::UInt8 => Box::new(Exact::<UInt8Type, false>::new(data_type)),
        DataType::UInt16 => Box::new(Exact::<UInt16Type, false>::new(data_type)),
        DataType::UInt32 => Box::new(Exact::<UInt32Type, false>::new(data_type)),
        DataType::UInt64 => Box::new(Exact::<UInt64Type, false>::new(data_type)),
        // 19 digits times as many rows as a counter holds stay below 2^127.
        DataType::Decimal128(..=19, _) => Box::new(Exact::<Decimal128Type, false>::new(data_type)),
        DataType::Decimal128(..) => Box::new(Exact::<Decimal128Type, true>::new(data_type)),
        DataType::Decimal256(..) => Box::new(Wide { data_type: data_type.clone(), totals: Vec::new() }),
        DataType::Float32 => floats::<Float32Type>(changing),
        DataType::Float64 => floats::<Float64Type>(changing),
        other => return Err(ExecError::Internal(format!("{text} over {} was planned", sql_name(other)))),
    })
}

/// The scale of an argument.
fn scale_of(data_type: &DataType) -> i8 {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale,
        _ => 0,
    }
}

/// By how many digits a mean's scale is larger than its argument's.
fn more_digits(argument: &DataType, call: &Call) -> Result<u8> {
    let more = i16::from(scale_of(&call.output)) - i16::from(scale_of(argument));
    u8::try_from(more).map_err(|_| ExecError::Internal(format!("{} has fewer digits than its argument", call.text)))
}

/// `total / count` with `digits` more digits, rounded half away from zero; none where that does not fit.
pub(crate) fn mean(total: i128, count: i64, digits: u8) -> Option<i128> {
    let count = i128::from(count);
    let factor = POWERS.get(usize::from(digits))?;
    let (whole, rest) = (total / count, total % count);
    // The rest is below the count, which is below 2^63.
    let scaled = rest.checked_mul(*factor)?;
    let (part, left) = (scaled / count, scaled % count);
    let up = left.unsigned_abs() >= count.unsigned_abs() - left.unsigned_abs();
    let rounded = if up && left != 0 { part + left.signum() } else { part };
    whole.checked_mul(*factor)?.checked_add(rounded)
}

/// As [`mean`], in 256 bits.
pub(crate) fn wide_mean(total: i256, count: i64, digits: u8) -> Option<i256> {
    let count = i256::from_i128(i128::from(count));
    let factor = power_i256(digits);
    let (whole, rest) = (total.checked_div(count)?, total.checked_rem(count)?);
    let part = divide_i256(rest.checked_mul(factor)?, count)?;
    whole.checked_mul(factor)?.checked_add(part)
}

/// Whether a value has at most `precision` digits.
pub(crate) fn fits(value: i128, precision: u8) -> bool {
    POWERS.get(usize::from(precision)).is_some_and(|limit| value > -limit && value < *limit)
}

pub(crate) fn wide_fits(value: i256, precision: u8) -> bool {
    let limit = power_i256(precision);
    value < limit && value > limit.wrapping_neg()
}

/// What the exact sum of a type is made from.
trait Exactly: ArrowPrimitiveType {
    fn widen(value: Self::Native) -> i128;
}

macro_rules! exactly {
    ($($t:ty),*) => {$(
        impl Exactly for $t {
            #[inline(always)]
            fn widen(value: Self::Native) -> i128 {
                i128::from(value)
            }
        }
    )*};
}

exactly!(Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type, Decimal128Type);

/// A sum and how many values are in it: side by side, because both change with each row.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    sum: i128,
    count: i64,
}

/// Integers and decimals of up to 38 digits. `CARRY`: a sum can leave 128 bits on its way.
struct Exact<T, const CARRY: bool> {
    data_type: DataType,
    totals: Vec<Total>,
    /// By group: how often the sum went over the top of 128 bits, less how often under the bottom. Almost always empty.
    carries: HashMap<u32, i64>,
    of: PhantomData<fn() -> T>,
}

impl<T: Exactly, const CARRY: bool> Exact<T, CARRY> {
    fn new(data_type: &DataType) -> Self {
        Self { data_type: data_type.clone(), totals: Vec::new(), carries: HashMap::new(), of: PhantomData }
    }

    #[inline(always)]
    fn add(totals: &mut [Total], carries: &mut HashMap<u32, i64>, group: u32, sum: i128, count: i64) {
        let total = &mut totals[group as usize];
        total.count += count;
        if CARRY {
            let (added, over) = total.sum.overflowing_add(sum);
            total.sum = added;
            if over {
                carry(carries, group, if sum < 0 { -1 } else { 1 });
            }
        } else {
            total.sum = total.sum.wrapping_add(sum);
        }
    }

    fn carry_of(&self, group: u32) -> i64 {
        if CARRY && !self.carries.is_empty() { self.carries.get(&group).copied().unwrap_or(0) } else { 0 }
    }

    /// The sum in 256 bits, carries included.
    fn wide(&self, group: u32) -> i256 {
        let carry = i256::from_i128(i128::from(self.carry_of(group)));
        // A carry is below 2^63, so nothing is shifted out.
        (carry << 128_u8).wrapping_add(i256::from_i128(self.totals[group as usize].sum))
    }

    /// The sum, where it needs no carry.
    fn narrow(&self, group: u32) -> Option<i128> {
        (self.carry_of(group) == 0).then(|| self.totals[group as usize].sum)
    }

    fn average(&self, group: u32, digits: u8) -> Option<i128> {
        let count = self.totals[group as usize].count;
        match self.narrow(group) {
            Some(sum) => mean(sum, count, digits),
            None => wide_mean(self.wide(group), count, digits)?.to_i128(),
        }
    }
}

#[cold]
fn carry(carries: &mut HashMap<u32, i64>, group: u32, by: i64) {
    *carries.entry(group).or_insert(0) += by;
}

impl<T: Exactly, const CARRY: bool> Exact<T, CARRY> {
    /// Adds rows, or takes them: a value of 128 bits is at most 38 digits, so its negative fits too.
    #[inline(always)]
    fn change<const TAKE: bool>(&mut self, rows: &Rows<'_>) -> Result<()> {
        let argument = rows.only()?;
        let array = argument.as_primitive_opt::<T>().ok_or_else(|| wrong_type(argument, &self.data_type))?;
        self.totals.resize(rows.total, Total::default());
        let (totals, carries) = (self.totals.as_mut_slice(), &mut self.carries);
        let values = &array.values()[..rows.groups.len()];
        each(rows.groups, rows.valid(argument).as_ref(), |row, group| {
            let value = T::widen(values[row]);
            if TAKE {
                Self::add(totals, carries, group, value.wrapping_neg(), -1);
            } else {
                Self::add(totals, carries, group, value, 1);
            }
        });
        Ok(())
    }
}

impl<T: Exactly, const CARRY: bool> Column for Exact<T, CARRY> {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.change::<false>(rows)
    }

    fn retract(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.change::<true>(rows)
    }

    fn state_types(&self) -> Vec<DataType> {
        let mut types = vec![DataType::Int64, DataType::Decimal128(38, scale_of(&self.data_type))];
        if CARRY {
            types.push(DataType::Int64);
        }
        types
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        let totals = || groups.iter().map(|group| self.totals[*group as usize]);
        let sums = Decimal128Array::from_iter_values(totals().map(|total| total.sum));
        let mut state: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(totals().map(|total| total.count))),
            Arc::new(sums.with_data_type(DataType::Decimal128(38, scale_of(&self.data_type)))),
        ];
        if CARRY {
            state.push(Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| self.carry_of(*group)))));
        }
        Ok(state)
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        let counts = state_column::<Int64Array>(state, 0)?.values();
        let sums = state_column::<Decimal128Array>(state, 1)?.values();
        self.totals.resize(total, Total::default());
        for (row, group) in groups.iter().enumerate() {
            Self::add(&mut self.totals, &mut self.carries, *group, sums[row], counts[row]);
        }
        if CARRY {
            let carries = state_column::<Int64Array>(state, 2)?.values();
            for (row, group) in groups.iter().enumerate().filter(|(row, _)| carries[*row] != 0) {
                carry(&mut self.carries, *group, carries[row]);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32], call: &Call, _last: bool) -> Result<ArrayRef> {
        let count = |group: &u32| self.totals[*group as usize].count;
        Ok(match (call.answer, &call.output) {
            (Answer::Count, _) => Arc::new(Int64Array::from_iter_values(groups.iter().map(count))),
            (Answer::Sum, DataType::Int64) => {
                let mut builder = Int64Builder::with_capacity(groups.len());
                for group in groups {
                    match count(group) {
                        0 => builder.append_null(),
                        _ => {
                            let sum = self.narrow(*group).and_then(|sum| i64::try_from(sum).ok());
                            builder.append_value(sum.ok_or_else(|| call.overflow())?);
                        }
                    }
                }
                Arc::new(builder.finish())
            }
            (Answer::Sum | Answer::Avg, DataType::Decimal128(precision, _)) => {
                let digits = more_digits(&self.data_type, call)?;
                let mut builder = Decimal128Builder::with_capacity(groups.len()).with_data_type(call.output.clone());
                for group in groups {
                    if count(group) == 0 {
                        builder.append_null();
                        continue;
                    }
                    let value = match call.answer {
                        Answer::Avg => self.average(*group, digits),
                        _ => self.narrow(*group).and_then(|sum| sum.checked_mul(*POWERS.get(usize::from(digits))?)),
                    };
                    builder
                        .append_value(value.filter(|value| fits(*value, *precision)).ok_or_else(|| call.overflow())?);
                }
                Arc::new(builder.finish())
            }
            (Answer::Sum | Answer::Avg, DataType::Decimal256(precision, _)) => {
                let digits = more_digits(&self.data_type, call)?;
                let mut builder = Decimal256Builder::with_capacity(groups.len()).with_data_type(call.output.clone());
                for group in groups {
                    if count(group) == 0 {
                        builder.append_null();
                        continue;
                    }
                    let value = wide_answer(self.wide(*group), count(group), digits, *precision, call)?;
                    builder.append_value(value);
                }
                Arc::new(builder.finish())
            }
            (Answer::Sum | Answer::Avg, DataType::Float64) => {
                let scale = f64::from(scale_of(&self.data_type));
                let mut builder = Float64Builder::with_capacity(groups.len());
                for group in groups {
                    let sum = self.totals[*group as usize].sum as f64 / 10_f64.powf(scale);
                    let value = if call.answer == Answer::Avg { sum / count(group) as f64 } else { sum };
                    builder.append_option((count(group) > 0).then_some(value));
                }
                Arc::new(builder.finish())
            }
            _ => return Err(unplanned(call)),
        })
    }

    fn memory(&self) -> usize {
        self.totals.capacity() * size_of::<Total>() + self.carries.capacity() * 24
    }
}

fn wide_answer(sum: i256, count: i64, digits: u8, precision: u8, call: &Call) -> Result<i256> {
    let value = match call.answer {
        Answer::Avg => wide_mean(sum, count, digits),
        _ => sum.checked_mul(power_i256(digits)),
    };
    value.filter(|value| wide_fits(*value, precision)).ok_or_else(|| call.overflow())
}

fn unplanned(call: &Call) -> ExecError {
    ExecError::Internal(format!("{} was planned as {}", call.text, sql_name(&call.output)))
}

/// Decimals of more than 38 digits. A sum on its way can go over 76 digits up to five times that before 256 bits end; what
/// goes further is an overflow there and then.
#[derive(Debug)]
struct Wide {
    data_type: DataType,
    totals: Vec<(i256, i64)>,
}

impl Wide {
    fn add(&mut self, group: u32, sum: i256, count: i64) -> Result<()> {
        let total = &mut self.totals[group as usize];
        total.0 = total.0.checked_add(sum).ok_or_else(|| ExecError::Compute {
            statement: String::new(),
            message: format!("a sum over {} has more than 76 digits", sql_name(&self.data_type)),
            place: None,
        })?;
        total.1 += count;
        Ok(())
    }
}

impl Wide {
    fn change(&mut self, rows: &Rows<'_>, take: bool) -> Result<()> {
        let argument = rows.only()?;
        let array =
            argument.as_primitive_opt::<Decimal256Type>().ok_or_else(|| wrong_type(argument, &self.data_type))?;
        self.totals.resize(rows.total, (i256::ZERO, 0));
        let mut result = Ok(());
        each(rows.groups, rows.valid(argument).as_ref(), |row, group| {
            if result.is_ok() {
                let value = array.value(row);
                result = if take { self.add(group, value.wrapping_neg(), -1) } else { self.add(group, value, 1) };
            }
        });
        result
    }
}

impl Column for Wide {
    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.change(rows, false)
    }

    fn retract(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.change(rows, true)
    }

    fn state_types(&self) -> Vec<DataType> {
        vec![DataType::Int64, DataType::Decimal256(76, scale_of(&self.data_type))]
    }

    fn state(&mut self, groups: &[u32], _last: bool) -> Result<Vec<ArrayRef>> {
        let totals = || groups.iter().map(|group| self.totals[*group as usize]);
        let sums = Decimal256Array::from_iter_values(totals().map(|total| total.0));
        Ok(vec![
            Arc::new(Int64Array::from_iter_values(totals().map(|total| total.1))),
            Arc::new(sums.with_data_type(DataType::Decimal256(76, scale_of(&self.data_type)))),
        ])
    }

    fn merge(&mut self, groups: &[u32], total: usize, state: &[ArrayRef]) -> Result<()> {
        let counts = state_column::<Int64Array>(state, 0)?.values();
        let sums = state_column::<Decimal256Array>(state, 1)?.values();
        self.totals.resize(total, (i256::ZERO, 0));
        for (row, group) in groups.iter().enumerate() {
            self.add(*group, sums[row], counts[row])?;
        }
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32], call: &Call, _last: bool) -> Result<ArrayRef> {
        match (call.answer, &call.output) {
            (Answer::Count, _) => {
                Ok(Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| self.totals[*group as usize].1))))
            }
            (_, DataType::Decimal256(precision, _)) => {
                let digits = more_digits(&self.data_type, call)?;
                let mut builder = Decimal256Builder::with_capacity(groups.len()).with_data_type(call.output.clone());
                for group in groups {
                    let (sum, count) = self.totals[*group as usize];
                    if count == 0 {
                        builder.append_null();
                    } else {
                        builder.append_value(wide_answer(sum, count, digits, *precision, call)?);
                    }
                }
                Ok(Arc::new(builder.finish()))
            }
            _ => Err(unplanned(call)),
        }
    }

    fn memory(&self) -> usize {
        self.totals.capacity() * size_of::<(i256, i64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_round_half_away_from_zero() {
        assert_eq!(mean(3, 2, 0), Some(2));
        assert_eq!(mean(-3, 2, 0), Some(-2));
        assert_eq!(mean(3, 2, 4), Some(15_000));
        assert_eq!(mean(2, 3, 4), Some(6_667));
        assert_eq!(mean(-2, 3, 4), Some(-6_667));
        assert_eq!(mean(1, 3, 4), Some(3_333));
        assert_eq!(mean(i128::MAX, 1, 1), None);
        for (total, count, digits) in
            [(7, 9, 16), (-7, 9, 16), (i128::MAX, 3, 0), (i128::MIN, i64::MAX, 16), (5, 10, 0)]
        {
            let wide = wide_mean(i256::from_i128(total), count, digits).and_then(i256::to_i128);
            assert_eq!(mean(total, count, digits), wide, "{total} / {count}");
        }
    }
}
