//! The values of a rule as a column.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, StringArray};
use arrow_buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer, i256};
use arrow_schema::{DataType, Field, TimeUnit};
use velo_core::error::ErrorKind;
use velo_core::types::sql_name_of;
use velo_core::{ConnectorError, Result};

use super::rule::{Choice, FINE_STEPS, Float, Rule, Text, Whole};
use super::simulated::Simulated;
use crate::random::{Bits, below, unit};

/// Makes one column.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    pub(super) field: Field,
    rule: Rule,
    bits: Bits,
    /// NULL where other bits are below it.
    null_below: u64,
    null_bits: Bits,
}

impl Maker {
    /// Makes `field` by `rule`.
    pub(super) fn new(field: Field, rule: Rule, seed: u64, null_rate: f64) -> Self {
        let bits = Bits::new(seed, field.name());
        let null_bits = Bits::new(seed, &format!("{} is null", field.name()));
        let null_below = if null_rate >= 1.0 { u64::MAX } else { (null_rate * u64::MAX as f64) as u64 };
        Self { field, rule, bits, null_below, null_bits }
    }

    /// Whether each value goes on from the one before.
    pub(super) fn walks(&self) -> bool {
        matches!(self.rule, Rule::Whole(Whole::Walk { .. }) | Rule::Float(Float::Walk { .. }))
    }

    /// The sum of the steps of `numbers`.
    pub(super) fn steps(&self, numbers: Range<u64>) -> i64 {
        let longest = match &self.rule {
            Rule::Whole(Whole::Walk { step, .. }) => *step,
            Rule::Float(Float::Walk { .. }) => FINE_STEPS,
            _ => return 0,
        };
        numbers.fold(0_i64, |sum, number| sum.wrapping_add(step(self.bits, longest, number)))
    }

    fn nulls(&self, numbers: &Range<u64>) -> Option<NullBuffer> {
        (self.null_below > 0).then(|| {
            let rows = (numbers.end - numbers.start) as usize;
            let valid = |row: usize| self.null_bits.of(numbers.start + row as u64) >= self.null_below;
            NullBuffer::new(BooleanBuffer::collect_bool(rows, valid))
        })
    }

    /// The values of `numbers`; `sum` is that of all steps before them.
    pub(super) fn column(&self, numbers: Range<u64>, sum: i64, times: &Simulated) -> Result<ArrayRef> {
        let nulls = self.nulls(&numbers);
        match &self.rule {
            Rule::Whole(whole) => self.whole(self.wholes(whole, numbers.clone(), sum, times), &numbers, nulls),
            Rule::Float(float) => {
                let values = self.floats(float, numbers, sum);
                Ok(match self.field.data_type() {
                    DataType::Float32 => {
                        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
                        Arc::new(PrimitiveArray::<Float32Type>::new(ScalarBuffer::from(values), nulls))
                    }
                    _ => Arc::new(PrimitiveArray::<Float64Type>::new(ScalarBuffer::from(values), nulls)),
                })
            }
            Rule::Text(text) => self.texts(text, numbers, nulls),
            Rule::Truth(choice) => {
                let (from, rows) = (numbers.start, (numbers.end - numbers.start) as usize);
                let total = choice.total();
                let value = |row: usize| *choice.at(below(self.bits.of(from + row as u64), total));
                Ok(Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(rows, value), nulls)))
            }
        }
    }

    fn wholes(&self, rule: &Whole, numbers: Range<u64>, sum: i64, times: &Simulated) -> Vec<i128> {
        let bits = self.bits;
        match rule {
            Whole::Sequence { start, step } => {
                numbers.map(|number| start.saturating_add(i128::from(number).saturating_mul(*step))).collect()
            }
            Whole::Range { min, max } => {
                match max.checked_sub(*min).and_then(|span| u64::try_from(span).ok()?.checked_add(1)) {
                    Some(count) => numbers.map(|number| min + i128::from(below(bits.of(number), count))).collect(),
                    None => numbers.map(|number| wide(bits, number, *min, *max)).collect(),
                }
            }
            Whole::Choice(choice) => chosen(choice, bits, numbers).copied().collect(),
            Whole::Walk { start, step: longest, min, max } => {
                let mut sum = sum;
                let walked = numbers.map(|number| {
                    let at = start.saturating_add(i128::from(sum));
                    sum = sum.wrapping_add(step(bits, *longest, number));
                    turned(at, *min, *max)
                });
                walked.collect()
            }
            Whole::Time { over, times: factor } => {
                numbers.map(|number| i128::from(times.at(number).div_euclid(*over)) * i128::from(*factor)).collect()
            }
        }
    }

    fn whole(&self, values: Vec<i128>, numbers: &Range<u64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        match self.field.data_type() {
            DataType::Int8 => self.fitted::<Int8Type>(values, numbers, nulls),
            DataType::Int16 => self.fitted::<Int16Type>(values, numbers, nulls),
            DataType::Int32 => self.fitted::<Int32Type>(values, numbers, nulls),
            DataType::Int64 => self.fitted::<Int64Type>(values, numbers, nulls),
            DataType::UInt8 => self.fitted::<UInt8Type>(values, numbers, nulls),
            DataType::UInt16 => self.fitted::<UInt16Type>(values, numbers, nulls),
            DataType::UInt32 => self.fitted::<UInt32Type>(values, numbers, nulls),
            DataType::UInt64 => self.fitted::<UInt64Type>(values, numbers, nulls),
            DataType::Date32 => self.fitted::<Date32Type>(values, numbers, nulls),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                self.fitted::<TimestampNanosecondType>(values, numbers, nulls)
            }
            DataType::Timestamp(..) => self.fitted::<TimestampMicrosecondType>(values, numbers, nulls),
            DataType::Decimal256(..) => {
                self.fit(&values, numbers)?;
                let values: Vec<i256> = values.into_iter().map(i256::from_i128).collect();
                let column = PrimitiveArray::<Decimal256Type>::new(ScalarBuffer::from(values), nulls);
                Ok(Arc::new(column.with_data_type(self.field.data_type().clone())))
            }
            _ => {
                self.fit(&values, numbers)?;
                let column = PrimitiveArray::<Decimal128Type>::new(ScalarBuffer::from(values), nulls);
                Ok(Arc::new(column.with_data_type(self.field.data_type().clone())))
            }
        }
    }

    /// A sequence of decimals may have left its type.
    fn fit(&self, values: &[i128], numbers: &Range<u64>) -> Result<()> {
        let digits = match self.field.data_type() {
            DataType::Decimal128(precision, _) | DataType::Decimal256(precision, _) => u32::from(*precision).min(38),
            _ => return Ok(()),
        };
        let limit = 10_u128.pow(digits);
        match values.iter().position(|value| value.unsigned_abs() >= limit) {
            Some(row) => Err(self.beyond(numbers.start + row as u64)),
            None => Ok(()),
        }
    }

    fn fitted<T>(&self, values: Vec<i128>, numbers: &Range<u64>, nulls: Option<NullBuffer>) -> Result<ArrayRef>
    where
        T: ArrowPrimitiveType,
        T::Native: TryFrom<i128>,
    {
        let mut fitted: Vec<T::Native> = Vec::with_capacity(values.len());
        for value in values {
            match T::Native::try_from(value) {
                Ok(value) => fitted.push(value),
                Err(_) => return Err(self.beyond(numbers.start + fitted.len() as u64)),
            }
        }
        Ok(Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(fitted), nulls)))
    }

    fn beyond(&self, number: u64) -> ConnectorError {
        let (name, declared) = (self.field.name(), sql_name_of(&self.field));
        let message = format!("the value of '{name}' in row {} is more than {declared} holds", number + 1);
        ConnectorError::new(ErrorKind::Configuration, "making rows", message).advise(format!(
            "let it end: 'fields.{name}.end', or let the rows end: 'number.of.rows'; or declare a larger type"
        ))
    }

    fn floats(&self, rule: &Float, numbers: Range<u64>, sum: i64) -> Vec<f64> {
        let bits = self.bits;
        match rule {
            Float::Sequence { start, step } => numbers.map(|number| start + number as f64 * step).collect(),
            Float::Range { min, max } => numbers
                .map(|number| {
                    let share = unit(bits.of(number));
                    // In this form no difference of two huge numbers overflows.
                    (min * (1.0 - share) + max * share).clamp(*min, *max)
                })
                .collect(),
            Float::Choice(choice) => chosen(choice, bits, numbers).copied().collect(),
            Float::Walk { start, step: longest, min, max } => {
                let mut sum = sum;
                let walked = numbers.map(|number| {
                    let at = start + sum as f64 * (longest / FINE_STEPS as f64);
                    sum = sum.wrapping_add(step(bits, FINE_STEPS, number));
                    turned_float(at, *min, *max)
                });
                walked.collect()
            }
        }
    }

    fn texts(&self, rule: &Text, numbers: Range<u64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let rows = (numbers.end - numbers.start) as usize;
        let mut bytes: Vec<u8> = Vec::new();
        let mut ends: Vec<i32> = Vec::with_capacity(rows + 1);
        ends.push(0);
        for number in numbers {
            match rule {
                Text::Sequence { start, step } => {
                    let value = start.saturating_add(i128::from(number).saturating_mul(*step));
                    bytes.extend_from_slice(value.to_string().as_bytes());
                }
                Text::Choice(choice) => {
                    let place = below(self.bits.of(number), choice.total());
                    bytes.extend_from_slice(choice.at(place).as_bytes());
                }
                Text::Random { length } => {
                    let mut draws = self.bits.draws(number);
                    for at in (0..*length).step_by(16) {
                        let mut bits = draws.bits();
                        for _ in at..(*length).min(at + 16) {
                            bytes.push(b"0123456789abcdef"[(bits & 15) as usize]);
                            bits >>= 4;
                        }
                    }
                }
            }
            let end = i32::try_from(bytes.len()).map_err(|_| {
                let message = format!("the texts of '{}' are too long to be rows of one batch", self.field.name());
                ConnectorError::new(ErrorKind::Configuration, "making rows", message)
                    .advise(format!("set a smaller 'fields.{}.length'", self.field.name()))
            })?;
            ends.push(end);
        }
        let made = StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(ends)), bytes.into(), nulls);
        let made = made.map_err(|error| ConnectorError::new(ErrorKind::Decode, "making rows", error.to_string()))?;
        Ok(Arc::new(made))
    }
}

fn chosen<T>(choice: &Choice<T>, bits: Bits, numbers: Range<u64>) -> impl Iterator<Item = &T> {
    let total = choice.total();
    numbers.map(move |number| choice.at(below(bits.of(number), total)))
}

/// Up or down by `longest` at most.
#[inline]
fn step(bits: Bits, longest: u64, number: u64) -> i64 {
    below(bits.of(number), 2 * longest + 1) as i64 - longest as i64
}

/// A number of a range that needs more than 64 bits.
fn wide(bits: Bits, number: u64, min: i128, max: i128) -> i128 {
    let mut draws = bits.draws(number);
    let random = (u128::from(draws.bits()) << 64) | u128::from(draws.bits());
    match max.wrapping_sub(min).cast_unsigned().checked_add(1) {
        Some(count) => min.wrapping_add((random % count).cast_signed()),
        None => random.cast_signed(),
    }
}

/// `at`, turned back at the limits like a ball at two walls.
fn turned(at: i128, min: Option<i128>, max: Option<i128>) -> i128 {
    match (min, max) {
        (Some(min), Some(max)) if min < max => {
            if (min..=max).contains(&at) {
                return at;
            }
            // Where a type is as wide as the numbers are, no walk comes to its end.
            let Some(there_and_back) = max.checked_sub(min).and_then(|way| way.checked_mul(2)) else {
                return at.clamp(min, max);
            };
            let way = at.saturating_sub(min).rem_euclid(there_and_back);
            min + way.min(there_and_back - way)
        }
        (Some(min), Some(_)) => min,
        (Some(min), None) if at < min => min.saturating_add(min.saturating_sub(at)),
        (None, Some(max)) if at > max => max.saturating_sub(at.saturating_sub(max)),
        _ => at,
    }
}

/// As [`turned`], for fractions.
fn turned_float(at: f64, min: Option<f64>, max: Option<f64>) -> f64 {
    match (min, max) {
        (Some(min), Some(max)) if min < max => {
            if (min..=max).contains(&at) {
                return at;
            }
            let there_and_back = (max - min) * 2.0;
            let way = (at - min).rem_euclid(there_and_back);
            (min + way.min(there_and_back - way)).clamp(min, max)
        }
        (Some(min), Some(_)) => min,
        (Some(min), None) if at < min => min + (min - at),
        (None, Some(max)) if at > max => max - (at - max),
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_turn_at_their_limits() {
        let turns: Vec<i128> = (-3..10).map(|at| turned(at, Some(0), Some(3))).collect();
        assert_eq!(turns, [3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3]);
        assert_eq!((turned(-2, Some(0), None), turned(5, None, Some(3)), turned(9, Some(4), Some(4))), (2, 1, 4));
        assert!((turned_float(3.5, Some(0.0), Some(3.0)) - 2.5).abs() < 1e-12);
    }

    #[test]
    fn wide_ranges_stay_within() {
        let bits = Bits::new(0, "wide");
        let limit = 10_i128.pow(38) - 1;
        for number in 0..1_000 {
            assert!((-limit..=limit).contains(&wide(bits, number, -limit, limit)));
            wide(bits, number, i128::MIN, i128::MAX);
        }
    }

    #[test]
    fn what_does_not_fit_says_which_row() {
        let field = Field::new("n", DataType::Int8, true);
        let maker = Maker::new(field, Rule::Whole(Whole::Sequence { start: 120, step: 1 }), 0, 0.0);
        let times = Simulated::default();
        assert!(maker.column(0..8, 0, &times).is_ok());
        let error = maker.column(0..9, 0, &times).unwrap_err();
        assert_eq!(error.message, "the value of 'n' in row 9 is more than TINYINT holds");
        assert_eq!(times.at(0), 0);
    }
}
