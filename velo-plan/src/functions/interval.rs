//! Arithmetic of times and intervals: differences in days and time of day, multiples, and what goes with a TIME.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, Datum, Decimal128Array, IntervalMonthDayNanoArray, PrimitiveArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_buffer::IntervalMonthDayNano;
use arrow_schema::{DataType, TimeUnit};
use datafusion_common::Result;
use datafusion_expr::{Expr, ScalarUDF};
use velo_core::time::{MICROS_PER_DAY, civil_from_days, days_in_month};
use velo_core::types;

use super::arithmetic::Arithmetic;
use super::own::{Inputs, failed, is_number, own, time_type};

const NANOS_PER_DAY: i64 = 1_000 * MICROS_PER_DAY;
const DAYS_PER_MONTH: i64 = 30;

/// What the operands of an operator are converted to, and the result, where one is a time of day or an interval is counted.
pub fn signature(op: Arithmetic, left: &DataType, right: &DataType) -> Option<(DataType, DataType, DataType)> {
    use DataType::{Date32, Float64, Interval, Time64};
    let sum = matches!(op, Arithmetic::Add | Arithmetic::Subtract);
    Some(match (left, right) {
        (Interval(_), number) if number.is_numeric() && matches!(op, Arithmetic::Multiply | Arithmetic::Divide) => {
            (types::INTERVAL, Float64, types::INTERVAL)
        }
        (number, Interval(_)) if number.is_numeric() && op == Arithmetic::Multiply => {
            (Float64, types::INTERVAL, types::INTERVAL)
        }
        (Time64(_), Interval(_)) if sum => (types::TIME, types::INTERVAL, types::TIME),
        (Interval(_), Time64(_)) if op == Arithmetic::Add => (types::INTERVAL, types::TIME, types::TIME),
        (Time64(_), Time64(_)) if op == Arithmetic::Subtract => (types::TIME, types::TIME, types::INTERVAL),
        (Date32, Time64(_)) if op == Arithmetic::Add => (Date32, types::TIME, types::TIMESTAMP),
        (Time64(_), Date32) if op == Arithmetic::Add => (types::TIME, Date32, types::TIMESTAMP),
        _ => return None,
    })
}

/// Computes an operator of [`signature`], or the difference of two times; `None` where it is another one.
pub fn apply(op: Arithmetic, left: &dyn Datum, right: &dyn Datum) -> Option<Result<ArrayRef>> {
    use DataType::{Date32, Float64, Interval, Time64, Timestamp};
    let (left_type, right_type) = (left.get().0.data_type(), right.get().0.data_type());
    Some(match (left_type, right_type) {
        (Timestamp(TimeUnit::Nanosecond, _), Timestamp(TimeUnit::Nanosecond, _)) if op == Arithmetic::Subtract => {
            pairs::<TimestampNanosecondType, TimestampNanosecondType, _>(left, right, |a, b| between(a, b, 1))
                .map(intervals)
        }
        (Timestamp(..), Timestamp(..)) if op == Arithmetic::Subtract => {
            pairs::<TimestampMicrosecondType, TimestampMicrosecondType, _>(left, right, |a, b| between(a, b, 1_000))
                .map(intervals)
        }
        (Interval(_), Float64) if op == Arithmetic::Divide => {
            pairs::<IntervalMonthDayNanoType, Float64Type, _>(left, right, |interval, by| {
                if by == 0.0 { failed("division by zero in '/'") } else { times(interval, 1.0 / by, Some(by)) }
            })
            .map(intervals)
        }
        (Interval(_), Float64) => {
            pairs::<IntervalMonthDayNanoType, Float64Type, _>(left, right, |interval, by| times(interval, by, None))
                .map(intervals)
        }
        (Float64, Interval(_)) => {
            pairs::<Float64Type, IntervalMonthDayNanoType, _>(left, right, |by, interval| times(interval, by, None))
                .map(intervals)
        }
        (Time64(_), Interval(_)) => {
            let sign = if op == Arithmetic::Add { 1 } else { -1 };
            pairs::<Time64MicrosecondType, IntervalMonthDayNanoType, _>(left, right, |time, by| {
                Ok(shifted(time, by, sign))
            })
            .map(times_of_day)
        }
        (Interval(_), Time64(_)) => {
            pairs::<IntervalMonthDayNanoType, Time64MicrosecondType, _>(left, right, |by, time| {
                Ok(shifted(time, by, 1))
            })
            .map(times_of_day)
        }
        (Time64(_), Time64(_)) => pairs::<Time64MicrosecondType, Time64MicrosecondType, _>(left, right, |a, b| {
            Ok(IntervalMonthDayNano::new(0, 0, (a - b) * 1_000))
        })
        .map(intervals),
        (Date32, Time64(_)) => pairs::<Date32Type, Time64MicrosecondType, _>(left, right, |date, time| {
            Ok(i64::from(date) * MICROS_PER_DAY + time)
        })
        .map(timestamps),
        (Time64(_), Date32) => pairs::<Time64MicrosecondType, Date32Type, _>(left, right, |time, date| {
            Ok(i64::from(date) * MICROS_PER_DAY + time)
        })
        .map(timestamps),
        _ => return None,
    })
}

fn intervals(values: Vec<Option<IntervalMonthDayNano>>) -> ArrayRef {
    Arc::new(IntervalMonthDayNanoArray::from(values))
}

fn times_of_day(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Time64MicrosecondArray::from(values))
}

fn timestamps(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values))
}

/// Each row of two operands, either of which may be a constant.
fn pairs<L: ArrowPrimitiveType, R: ArrowPrimitiveType, V>(
    left: &dyn Datum,
    right: &dyn Datum,
    f: impl Fn(L::Native, R::Native) -> Result<V>,
) -> Result<Vec<Option<V>>> {
    let ((left, left_scalar), (right, right_scalar)) = (left.get(), right.get());
    let rows = if left_scalar { right.len() } else { left.len() };
    let (left, right): (&PrimitiveArray<L>, &PrimitiveArray<R>) = (left.as_primitive(), right.as_primitive());
    (0..rows)
        .map(|row| {
            let (l, r) = (if left_scalar { 0 } else { row }, if right_scalar { 0 } else { row });
            if left.is_null(l) || right.is_null(r) { Ok(None) } else { f(left.value(l), right.value(r)).map(Some) }
        })
        .collect()
}

/// The days and the rest between two times that count in units of so many nanoseconds.
fn between(left: i64, right: i64, unit: i64) -> Result<IntervalMonthDayNano> {
    let Some(units) = left.checked_sub(right) else { return failed("overflow in '-': the times are too far apart") };
    let per_day = NANOS_PER_DAY / unit;
    match i32::try_from(units / per_day) {
        Ok(days) => Ok(IntervalMonthDayNano::new(0, days, units % per_day * unit)),
        Err(_) => failed("overflow in '-': the times are too far apart"),
    }
}

/// An interval a number of times: what is left of a month becomes days, what is left of a day becomes time.
fn times(interval: IntervalMonthDayNano, factor: f64, divisor: Option<f64>) -> Result<IntervalMonthDayNano> {
    let scaled = |value: f64| divisor.map_or(value * factor, |divisor| value / divisor);
    let months = scaled(f64::from(interval.months));
    let days = scaled(f64::from(interval.days));
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    let month_days = rounded((months - months.trunc()) * DAYS_PER_MONTH as f64);
    let rest = rounded(days - days.trunc()) + rounded(month_days - month_days.trunc());
    let (carried, rest) = (rest.trunc(), rest - rest.trunc());
    let days = days.trunc() + month_days.trunc() + carried;
    let micros = (scaled(interval.nanoseconds as f64 / 1_000.0) + rest * MICROS_PER_DAY as f64).round();
    let fits = |value: f64| value.is_finite() && value.abs() < f64::from(i32::MAX);
    if !fits(months) || !fits(days) || !micros.is_finite() || micros.abs() >= (i64::MAX / 1_000) as f64 {
        return failed("overflow: the interval is out of range");
    }
    Ok(IntervalMonthDayNano::new(months.trunc() as i32, days as i32, micros as i64 * 1_000))
}

/// A time of day that much later; only hours and less count, and it goes round at midnight.
fn shifted(time: i64, by: IntervalMonthDayNano, sign: i64) -> i64 {
    (time + sign * (by.nanoseconds / 1_000 % MICROS_PER_DAY)).rem_euclid(MICROS_PER_DAY)
}

/// An interval as a number by which it is compared: microseconds, a month having 30 days and a day 24 hours.
pub fn length(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * i128::from(DAYS_PER_MONTH) + i128::from(interval.days);
    days * i128::from(MICROS_PER_DAY) + i128::from(interval.nanoseconds / 1_000)
}

/// The interval as its [`length`], for comparisons.
pub fn length_of(interval: Expr) -> Expr {
    Expr::ScalarFunction(datafusion_expr::expr::ScalarFunction::new_udf(length_function(), vec![interval]))
}

fn length_function() -> Arc<ScalarUDF> {
    own(
        "interval_length",
        |given| (given.len() == 1).then(|| (vec![types::INTERVAL], types::decimal(types::DECIMAL128_DIGITS, 0))),
        |inputs| {
            let values = inputs.values::<IntervalMonthDayNanoType>(0)?;
            let lengths: Decimal128Array = (0..inputs.rows).map(|row| values.at(row).map(length)).collect();
            Ok(Arc::new(lengths.with_precision_and_scale(types::DECIMAL128_DIGITS, 0)?))
        },
    )
}

/// Functions that make or change intervals.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let one = |given: &[DataType]| {
        matches!(given, [DataType::Interval(_) | DataType::Null]).then(|| (vec![types::INTERVAL], types::INTERVAL))
    };
    vec![
        own("justify_days", one, |inputs| justified(inputs, true, false)),
        own("justify_hours", one, |inputs| justified(inputs, false, true)),
        own("justify_interval", one, |inputs| justified(inputs, true, true)),
        own(
            "make_interval",
            |given| {
                let numbers = (1..=7).contains(&given.len()) && given.iter().all(is_number);
                let mut taken = vec![DataType::Int64; given.len()];
                if let Some(seconds) = taken.get_mut(6) {
                    *seconds = types::decimal(types::DECIMAL128_DIGITS, 6);
                }
                numbers.then_some((taken, types::INTERVAL))
            },
            make_interval,
        ),
        own(
            "age",
            |given| {
                let taken: Vec<DataType> = given.iter().map(|_| types::TIMESTAMP).collect();
                (given.len() == 2
                    && given.iter().all(|given| super::own::is_time(given) && time_type(given) == types::TIMESTAMP))
                .then_some((taken, types::INTERVAL))
            },
            age,
        ),
    ]
}

fn justified(inputs: &Inputs<'_>, days: bool, hours: bool) -> Result<ArrayRef> {
    let values = inputs.values::<IntervalMonthDayNanoType>(0)?;
    let computed = (0..inputs.rows).map(|row| {
        let interval = values.at(row)?;
        let (mut months, mut whole, mut nanos) =
            (i64::from(interval.months), i64::from(interval.days), interval.nanoseconds);
        if hours {
            whole += nanos / NANOS_PER_DAY;
            nanos %= NANOS_PER_DAY;
            // Both parts have one sign.
            if whole > 0 && nanos < 0 {
                (whole, nanos) = (whole - 1, nanos + NANOS_PER_DAY);
            } else if whole < 0 && nanos > 0 {
                (whole, nanos) = (whole + 1, nanos - NANOS_PER_DAY);
            }
        }
        if days {
            months += whole / DAYS_PER_MONTH;
            whole %= DAYS_PER_MONTH;
            if months > 0 && whole < 0 {
                (months, whole) = (months - 1, whole + DAYS_PER_MONTH);
            } else if months < 0 && whole > 0 {
                (months, whole) = (months + 1, whole - DAYS_PER_MONTH);
            }
        }
        Some(IntervalMonthDayNano::new(months as i32, whole as i32, nanos))
    });
    Ok(Arc::new(computed.collect::<IntervalMonthDayNanoArray>()))
}

/// Years, months, weeks, days, hours, minutes, seconds; those that are left out are 0.
fn make_interval(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let whole = (0..inputs.len().min(6)).map(|at| inputs.values::<Int64Type>(at)).collect::<Result<Vec<_>>>()?;
    let seconds = if inputs.len() > 6 { Some(inputs.values::<Decimal128Type>(6)?) } else { None };
    let mut values = Vec::with_capacity(inputs.rows);
    for row in 0..inputs.rows {
        let mut parts = [0_i64; 6];
        let mut null = false;
        for (part, column) in parts.iter_mut().zip(&whole) {
            match column.at(row) {
                Some(value) => *part = value,
                None => null = true,
            }
        }
        let micros = seconds.as_ref().map_or(Some(0), |seconds| seconds.at(row));
        let (Some(micros), false) = (micros, null) else {
            values.push(None);
            continue;
        };
        let [years, months, weeks, days, hours, minutes] = parts.map(i128::from);
        let nanos = (hours * 3_600_000_000 + minutes * 60_000_000 + micros) * 1_000;
        let made = i32::try_from(years * 12 + months)
            .ok()
            .zip(i32::try_from(weeks * 7 + days).ok())
            .zip(i64::try_from(nanos).ok());
        let Some(((months, days), nanos)) = made else { return failed("MAKE_INTERVAL: the interval is out of range") };
        values.push(Some(IntervalMonthDayNano::new(months, days, nanos)));
    }
    Ok(Arc::new(IntervalMonthDayNanoArray::from(values)))
}

/// Years, months and days between two times as one counts them on a calendar, as PostgreSQL does.
fn age(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let (later, earlier) =
        (inputs.values::<TimestampMicrosecondType>(0)?, inputs.values::<TimestampMicrosecondType>(1)?);
    let computed = (0..inputs.rows).map(|row| {
        let (one, other) = (later.at(row)?, earlier.at(row)?);
        Some(if one >= other { calendar(one, other) } else { negated(calendar(other, one)) })
    });
    Ok(Arc::new(computed.collect::<IntervalMonthDayNanoArray>()))
}

fn negated(interval: IntervalMonthDayNano) -> IntervalMonthDayNano {
    IntervalMonthDayNano::new(-interval.months, -interval.days, -interval.nanoseconds)
}

fn calendar(later: i64, earlier: i64) -> IntervalMonthDayNano {
    let (y1, m1, d1) = civil_from_days(later.div_euclid(MICROS_PER_DAY));
    let (y2, m2, d2) = civil_from_days(earlier.div_euclid(MICROS_PER_DAY));
    let mut micros = later.rem_euclid(MICROS_PER_DAY) - earlier.rem_euclid(MICROS_PER_DAY);
    let mut days = i64::from(d1) - i64::from(d2);
    let mut months = (y1 - y2) * 12 + i64::from(m1) - i64::from(m2);
    if micros < 0 {
        (micros, days) = (micros + MICROS_PER_DAY, days - 1);
    }
    if days < 0 {
        // The days that are missing are those of the earlier month.
        (days, months) = (days + i64::from(days_in_month(y2, m2)), months - 1);
    }
    IntervalMonthDayNano::new(months as i32, days as i32, micros * 1_000)
}
