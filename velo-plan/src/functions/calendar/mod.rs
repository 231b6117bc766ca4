//! Parts, units and steps of times: EXTRACT, DATE_TRUNC, DATE_BIN, TIMESTAMPADD, TIMESTAMPDIFF, DATEDIFF and their like.

mod part;
mod unit;

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Int64Type, IntervalMonthDayNanoType, TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow_array::{
    ArrayRef, Date32Array, Int64Array, IntervalMonthDayNanoArray, Time64MicrosecondArray, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow_buffer::IntervalMonthDayNano;
use arrow_schema::DataType;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::ScalarUDF;
use velo_core::time::{MICROS_PER_DAY, civil_from_days, days_from_civil, days_in_month};
use velo_core::types;

pub use part::{PARTS, Part, extract};
pub use unit::Unit;

use part::extracted;

use super::own::{Inputs, Kept, Values, failed, is_text, is_time, own, time_type};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// The Monday before 1970-01-01, as days.
const FIRST_MONDAY: i64 = -3;

/// An argument that is a point in time, in microseconds.
pub enum Times<'a> {
    /// Microseconds.
    Micros(Values<'a, TimestampMicrosecondType>),
    /// Nanoseconds.
    Nanos(Values<'a, TimestampNanosecondType>),
    /// Days.
    Dates(Values<'a, Date32Type>),
}

impl<'a> Times<'a> {
    /// An argument.
    pub fn of(inputs: &'a Inputs<'_>, at: usize) -> Result<Self> {
        Ok(match inputs.column(at)?.0.data_type() {
            DataType::Date32 => Self::Dates(inputs.values(at)?),
            time if *time == types::TIMESTAMP_NANOS => Self::Nanos(inputs.values(at)?),
            _ => Self::Micros(inputs.values(at)?),
        })
    }

    /// The time of a row.
    #[inline]
    pub fn at(&self, row: usize) -> Option<i64> {
        match self {
            Self::Micros(values) => values.at(row),
            Self::Nanos(values) => values.at(row).map(|nanos| nanos.div_euclid(1_000)),
            Self::Dates(values) => values.at(row).map(|days| i64::from(days) * MICROS_PER_DAY),
        }
    }
}

/// Times of the type that the call gives.
fn times(inputs: &Inputs<'_>, values: Vec<Option<i64>>) -> Result<ArrayRef> {
    if *inputs.result == types::TIMESTAMP_NANOS {
        let nanos = values.into_iter().map(|micros| match micros.map(|micros| micros.checked_mul(1_000)) {
            None => Ok(None),
            Some(Some(nanos)) => Ok(Some(nanos)),
            Some(None) => failed("the time is out of the range of TIMESTAMP(9)"),
        });
        return Ok(Arc::new(nanos.collect::<Result<TimestampNanosecondArray>>()?));
    }
    Ok(Arc::new(TimestampMicrosecondArray::from(values)))
}

/// A unit and a time.
fn unit_and_time(given: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    match given {
        [unit, DataType::Interval(_)] if is_text(unit) => {
            Some((vec![DataType::Utf8, types::INTERVAL], types::INTERVAL))
        }
        [unit, time] if is_text(unit) && is_time(time) => {
            Some((vec![DataType::Utf8, time_type(time)], time_type(time)))
        }
        _ => None,
    }
}

/// All functions of this file.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let parts = [
        ("year", Part::Year),
        ("quarter", Part::Quarter),
        ("month", Part::Month),
        ("week", Part::Week),
        ("day", Part::Day),
        ("dayofyear", Part::DayOfYear),
        // As in MySQL and Flink, Sunday is 1.
        ("dayofweek", Part::WeekdayFromOne),
        ("hour", Part::Hour),
        ("minute", Part::Minute),
        ("second", Part::Second),
    ];
    let mut all: Vec<_> = parts.iter().map(|(name, part)| extracted(name, *part, true)).collect();
    all.extend([
        own("date_trunc", unit_and_time, truncate),
        own(
            "date_ceil",
            |given| unit_and_time(given).filter(|(_, result)| *result != types::INTERVAL),
            |inputs| {
                stepwise(inputs, |unit, micros| {
                    let floor = unit.floor(micros);
                    if floor == micros { Some(micros) } else { unit.add(floor, 1) }
                })
            },
        ),
        own("date_bin", bin_types, bin),
        own("timestampadd", add_types, add),
        own("timestampdiff", diff_types, |inputs| differences(inputs, Unit::between)),
        own("datediff", datediff_types, |inputs| match inputs.len() {
            2 => {
                let (to, from) = (Times::of(inputs, 0)?, Times::of(inputs, 1)?);
                let days = Unit::Fixed(MICROS_PER_DAY);
                let values = (0..inputs.rows).map(|row| Some(days.crossed(from.at(row)?, to.at(row)?)));
                Ok(Arc::new(values.collect::<Int64Array>()))
            }
            _ => differences(inputs, Unit::crossed),
        }),
        own(
            "last_day",
            |given| matches!(given, [time] if is_time(time)).then(|| (vec![DataType::Date32], DataType::Date32)),
            |inputs| {
                let dates = inputs.values::<Date32Type>(0)?;
                let last = (0..inputs.rows).map(|row| {
                    let (year, month, _) = civil_from_days(i64::from(dates.at(row)?));
                    i32::try_from(days_from_civil(year, month, days_in_month(year, month))).ok()
                });
                Ok(Arc::new(last.collect::<Date32Array>()))
            },
        ),
        own("make_timestamp", make_timestamp_types, make_timestamp),
        own(
            "make_time",
            |given| {
                let taken = vec![DataType::Int64, DataType::Int64, types::decimal(types::DECIMAL128_DIGITS, 6)];
                (given.len() == 3 && given.iter().all(super::own::is_number)).then_some((taken, types::TIME))
            },
            make_time,
        ),
    ]);
    all
}

fn stepwise(inputs: &Inputs<'_>, step: impl Fn(Unit, i64) -> Option<i64>) -> Result<ArrayRef> {
    let (units, moments) = (inputs.text(0)?, Times::of(inputs, 1)?);
    let mut unit = Kept::new();
    let computed = (0..inputs.rows).map(|row| {
        let (Some(name), Some(micros)) = (units.at(row), moments.at(row)) else { return Ok(None) };
        match step(*unit.of(name, Unit::read)?, micros) {
            Some(time) => Ok(Some(time)),
            None => failed("the time is out of range"),
        }
    });
    times(inputs, computed.collect::<Result<_>>()?)
}

fn truncate(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    if *inputs.result != types::INTERVAL {
        return stepwise(inputs, |unit, micros| Some(unit.floor(micros)));
    }
    let (units, intervals) = (inputs.text(0)?, inputs.values::<IntervalMonthDayNanoType>(1)?);
    let mut unit = Kept::new();
    let computed = (0..inputs.rows).map(|row| {
        let (Some(name), Some(interval)) = (units.at(row), intervals.at(row)) else { return Ok(None) };
        let IntervalMonthDayNano { months, days, nanoseconds } = interval;
        Ok(Some(match *unit.of(name, Unit::read)? {
            Unit::Fixed(MICROS_PER_DAY) => IntervalMonthDayNano::new(months, days, 0),
            Unit::Fixed(length) => {
                IntervalMonthDayNano::new(months, days, nanoseconds - nanoseconds % (length * 1_000))
            }
            Unit::Week => {
                return failed("an interval is not truncated to weeks: its months have no whole number of them");
            }
            Unit::Months(count) => IntervalMonthDayNano::new(months - months % count as i32, 0, 0),
        }))
    });
    Ok(Arc::new(computed.collect::<Result<IntervalMonthDayNanoArray>>()?))
}

fn bin_types(given: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    match given {
        [DataType::Interval(_), time, rest @ ..] if is_time(time) && rest.len() < 2 && rest.iter().all(is_time) => {
            let mut taken = vec![types::INTERVAL, time_type(time)];
            taken.extend(rest.iter().map(time_type));
            Some((taken, time_type(time)))
        }
        _ => None,
    }
}

fn bin(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let (strides, moments) = (inputs.values::<IntervalMonthDayNanoType>(0)?, Times::of(inputs, 1)?);
    let origins = if inputs.len() > 2 { Some(Times::of(inputs, 2)?) } else { None };
    let computed = (0..inputs.rows).map(|row| {
        let origin = match &origins {
            Some(origins) => origins.at(row),
            None => Some(0),
        };
        let (Some(stride), Some(micros), Some(origin)) = (strides.at(row), moments.at(row), origin) else {
            return Ok(None);
        };
        if stride.months != 0 {
            return failed("DATE_BIN takes days and less, because months differ in length: DATE_TRUNC takes months");
        }
        let length = i64::from(stride.days) * MICROS_PER_DAY + stride.nanoseconds / 1_000;
        if length <= 0 {
            return failed("DATE_BIN takes an interval longer than zero");
        }
        match micros.checked_sub(origin) {
            Some(distance) => Ok(Some(micros - distance.rem_euclid(length))),
            None => failed("DATE_BIN: the time is out of range"),
        }
    });
    times(inputs, computed.collect::<Result<_>>()?)
}

fn add_types(given: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    match given {
        [unit, count, time] if is_text(unit) && (count.is_integer() || count.is_null()) && is_time(time) => {
            Some((vec![DataType::Utf8, DataType::Int64, time_type(time)], time_type(time)))
        }
        _ => None,
    }
}

fn add(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let (units, counts, moments) = (inputs.text(0)?, inputs.values::<Int64Type>(1)?, Times::of(inputs, 2)?);
    let mut unit = Kept::new();
    let computed = (0..inputs.rows).map(|row| {
        let (Some(name), Some(count), Some(micros)) = (units.at(row), counts.at(row), moments.at(row)) else {
            return Ok(None);
        };
        match unit.of(name, Unit::read)?.add(micros, count) {
            Some(time) => Ok(Some(time)),
            None => failed("TIMESTAMPADD: the time is out of range"),
        }
    });
    times(inputs, computed.collect::<Result<_>>()?)
}

fn diff_types(given: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    match given {
        [unit, from, to] if is_text(unit) && is_time(from) && is_time(to) => {
            Some((vec![DataType::Utf8, types::TIMESTAMP, types::TIMESTAMP], DataType::Int64))
        }
        _ => None,
    }
}

fn datediff_types(given: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    match given {
        [to, from] if is_time(to) && is_time(from) => Some((vec![types::TIMESTAMP, types::TIMESTAMP], DataType::Int64)),
        _ => diff_types(given),
    }
}

fn differences(inputs: &Inputs<'_>, count: fn(Unit, i64, i64) -> i64) -> Result<ArrayRef> {
    let (units, from, to) = (inputs.text(0)?, Times::of(inputs, 1)?, Times::of(inputs, 2)?);
    let mut unit = Kept::new();
    let computed = (0..inputs.rows).map(|row| {
        let (Some(name), Some(from), Some(to)) = (units.at(row), from.at(row), to.at(row)) else { return Ok(None) };
        Ok::<_, DataFusionError>(Some(count(*unit.of(name, Unit::read)?, from, to)))
    });
    Ok(Arc::new(computed.collect::<Result<Int64Array>>()?))
}

fn make_timestamp_types(given: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    let numbers = given.len() == 6 && given.iter().all(super::own::is_number);
    let mut taken = vec![DataType::Int64; 5];
    taken.push(types::decimal(types::DECIMAL128_DIGITS, 6));
    numbers.then_some((taken, types::TIMESTAMP))
}

fn make_timestamp(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let whole = (0..5).map(|at| inputs.values::<Int64Type>(at)).collect::<Result<Vec<_>>>()?;
    let seconds = inputs.values::<Decimal128Type>(5)?;
    let computed = (0..inputs.rows).map(|row| {
        let parts: Option<Vec<i64>> = whole.iter().map(|column| column.at(row)).collect();
        let (Some(parts), Some(micros)) = (parts, seconds.at(row)) else { return Ok(None) };
        let [year, month, day, hour, minute] = parts.as_slice() else { return Ok(None) };
        let valid = (-200_000..=200_000).contains(year)
            && (1..=12).contains(month)
            && (1..=i64::from(days_in_month(*year, *month as u32))).contains(day)
            && (0..24).contains(hour)
            && (0..60).contains(minute)
            && (0..=i128::from(MINUTE)).contains(&micros);
        if !valid {
            return failed(format!("MAKE_TIMESTAMP: there is no time {year}-{month}-{day} {hour}:{minute}"));
        }
        let days = days_from_civil(*year, *month as u32, *day as u32);
        Ok(Some(days * MICROS_PER_DAY + hour * HOUR + minute * MINUTE + micros as i64))
    });
    times(inputs, computed.collect::<Result<_>>()?)
}

fn make_time(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let (hours, minutes) = (inputs.values::<Int64Type>(0)?, inputs.values::<Int64Type>(1)?);
    let seconds = inputs.values::<Decimal128Type>(2)?;
    let computed = (0..inputs.rows).map(|row| {
        let (Some(hour), Some(minute), Some(micros)) = (hours.at(row), minutes.at(row), seconds.at(row)) else {
            return Ok(None);
        };
        if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..i128::from(MINUTE)).contains(&micros) {
            return failed(format!("MAKE_TIME: there is no time {hour}:{minute}"));
        }
        Ok(Some(hour * HOUR + minute * MINUTE + micros as i64))
    });
    Ok(Arc::new(computed.collect::<Result<Time64MicrosecondArray>>()?))
}
