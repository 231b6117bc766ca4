//! Parts, units and steps of times: EXTRACT, DATE_TRUNC, DATE_BIN, TIMESTAMPADD, TIMESTAMPDIFF, DATEDIFF and their like.

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, IntervalMonthDayNanoArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow_buffer::IntervalMonthDayNano;
use arrow_schema::DataType;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::ScalarUDF;
use velo_core::time::{MICROS_PER_DAY, civil_from_days, days_from_civil, days_in_month};
use velo_core::types;

use super::own::{Inputs, Kept, Values, failed, is_text, is_time, own, time_type};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// The Monday before 1970-01-01, as days.
const FIRST_MONDAY: i64 = -3;

/// What times are rounded to and counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// So many microseconds.
    Fixed(i64),
    /// Seven days from Monday on.
    Week,
    /// So many months.
    Months(i64),
}

impl Unit {
    /// The unit of this name, in the singular or plural and in the spellings of other systems.
    pub fn of(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let name = lower.strip_prefix("sql_tsi_").unwrap_or(&lower);
        Some(match name.strip_suffix('s').filter(|rest| rest.len() > 2 || *rest == "d").unwrap_or(name) {
            "microsecond" | "us" => Self::Fixed(1),
            "millisecond" | "ms" => Self::Fixed(1_000),
            "second" | "sec" => Self::Fixed(SECOND),
            "minute" | "min" | "mi" => Self::Fixed(MINUTE),
            "hour" | "hh" | "hr" => Self::Fixed(HOUR),
            "day" | "dd" => Self::Fixed(MICROS_PER_DAY),
            "week" | "wk" => Self::Week,
            "month" | "mon" | "mm" => Self::Months(1),
            "quarter" | "qtr" => Self::Months(3),
            "year" | "yy" | "yyyy" => Self::Months(12),
            "decade" => Self::Months(120),
            "century" | "centurie" => Self::Months(1_200),
            "millennium" | "millennia" => Self::Months(12_000),
            _ => return None,
        })
    }

    fn read(text: &str) -> Result<Self> {
        match Self::of(text) {
            Some(unit) => Ok(unit),
            None => failed(format!("'{text}' is no unit of time: write year, month, day, hour, minute or second")),
        }
    }

    /// The beginning of the unit that a time (microseconds) lies in.
    pub fn floor(self, micros: i64) -> i64 {
        match self {
            Self::Fixed(length) => micros - micros.rem_euclid(length),
            Self::Week => {
                let days = micros.div_euclid(MICROS_PER_DAY);
                (days - (days - FIRST_MONDAY).rem_euclid(7)) * MICROS_PER_DAY
            }
            Self::Months(count) => {
                let (year, month, _) = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
                // Centuries and millennia begin with a year 1, decades with a year 0.
                let first = if count >= 1_200 { 12 } else { 0 };
                let months = year * 12 + i64::from(month) - 1 - first;
                first_of_month(months - months.rem_euclid(count) + first)
            }
        }
    }

    /// A time so many units later.
    pub fn add(self, micros: i64, count: i64) -> Option<i64> {
        match self {
            Self::Fixed(length) => micros.checked_add(length.checked_mul(count)?),
            Self::Week => micros.checked_add((7 * MICROS_PER_DAY).checked_mul(count)?),
            Self::Months(months) => {
                let (year, month, day) = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
                let months = months.checked_mul(count)?.checked_add(year * 12 + i64::from(month) - 1)?;
                // A year of six digits is far beyond what microseconds can count.
                if months.abs() > 12 * 400_000 {
                    return None;
                }
                let (year, month) = (months.div_euclid(12), months.rem_euclid(12) as u32 + 1);
                let days = days_from_civil(year, month, day.min(days_in_month(year, month)));
                days.checked_mul(MICROS_PER_DAY)?.checked_add(micros.rem_euclid(MICROS_PER_DAY))
            }
        }
    }

    /// How many whole units lie between two times; negative where the second is the earlier one.
    pub fn between(self, from: i64, to: i64) -> i64 {
        match self {
            Self::Fixed(length) => (to / length - from / length) + whole_rest(from, to, length),
            Self::Week => Self::Fixed(MICROS_PER_DAY).between(from, to) / 7,
            Self::Months(count) => {
                let month_of = |micros: i64| {
                    let (year, month, _) = civil_from_days(micros.div_euclid(MICROS_PER_DAY));
                    year * 12 + i64::from(month)
                };
                let mut months = month_of(to) - month_of(from);
                let reached = Self::Months(1).add(from, months).unwrap_or(to);
                if months > 0 && reached > to {
                    months -= 1;
                } else if months < 0 && reached < to {
                    months += 1;
                }
                months / count
            }
        }
    }

    /// How many beginnings of a unit lie between two times.
    fn crossed(self, from: i64, to: i64) -> i64 {
        let (from, to) = (self.floor(from), self.floor(to));
        self.between(from, to)
    }
}

/// What the fractions of a unit at either end add to the difference of the whole ones, without an overflow in between.
fn whole_rest(from: i64, to: i64, length: i64) -> i64 {
    let rest = to % length - from % length;
    let whole = to / length - from / length;
    if whole > 0 && rest < 0 {
        -1
    } else if whole < 0 && rest > 0 {
        1
    } else {
        rest / length
    }
}

fn first_of_month(months: i64) -> i64 {
    days_from_civil(months.div_euclid(12), months.rem_euclid(12) as u32 + 1, 1) * MICROS_PER_DAY
}

/// What EXTRACT takes out of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The year.
    Year,
    /// The year of the ISO week.
    IsoYear,
    /// 1 to 4.
    Quarter,
    /// 1 to 12.
    Month,
    /// The ISO week, 1 to 53.
    Week,
    /// The day of the month.
    Day,
    /// The day of the year, from 1.
    DayOfYear,
    /// The day of the week; Sunday is 0.
    DayOfWeek,
    /// The day of the week; Sunday is 1.
    WeekdayFromOne,
    /// The day of the week; Monday is 1.
    IsoDayOfWeek,
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
    /// The second with its fraction.
    Second,
    /// The second as milliseconds.
    Millisecond,
    /// The second as microseconds.
    Microsecond,
    /// The second as nanoseconds.
    Nanosecond,
    /// Seconds since 1970-01-01T00:00:00Z, or of the interval.
    Epoch,
    /// Years by ten.
    Decade,
    /// From 1.
    Century,
    /// From 1.
    Millennium,
}

/// Every part by its names, the first of which is the usual one, and the name of the function that takes it out.
pub const PARTS: &[(&[&str], Part, &str)] = &[
    (&["year", "years"], Part::Year, "extract_year"),
    (&["isoyear"], Part::IsoYear, "extract_isoyear"),
    (&["quarter", "qtr"], Part::Quarter, "extract_quarter"),
    (&["month", "months", "mon"], Part::Month, "extract_month"),
    (&["week", "weeks"], Part::Week, "extract_week"),
    (&["day", "days", "dayofmonth"], Part::Day, "extract_day"),
    (&["doy", "dayofyear"], Part::DayOfYear, "extract_doy"),
    (&["dow", "dayofweek"], Part::DayOfWeek, "extract_dow"),
    (&["isodow"], Part::IsoDayOfWeek, "extract_isodow"),
    (&["hour", "hours"], Part::Hour, "extract_hour"),
    (&["minute", "minutes", "min"], Part::Minute, "extract_minute"),
    (&["second", "seconds", "sec"], Part::Second, "extract_second"),
    (&["millisecond", "milliseconds", "ms"], Part::Millisecond, "extract_millisecond"),
    (&["microsecond", "microseconds", "us"], Part::Microsecond, "extract_microsecond"),
    (&["nanosecond", "nanoseconds", "ns"], Part::Nanosecond, "extract_nanosecond"),
    (&["epoch"], Part::Epoch, "extract_epoch"),
    (&["decade", "decades"], Part::Decade, "extract_decade"),
    (&["century", "centuries"], Part::Century, "extract_century"),
    (&["millennium", "millennia"], Part::Millennium, "extract_millennium"),
];

impl Part {
    /// The digits behind the point, where it has any.
    fn scale(self) -> Option<(u8, i8)> {
        match self {
            Self::Second => Some((8, 6)),
            Self::Millisecond => Some((8, 3)),
            Self::Epoch => Some((22, 6)),
            _ => None,
        }
    }

    fn result(self) -> DataType {
        self.scale().map_or(DataType::Int64, |(precision, scale)| types::decimal(precision, scale))
    }

    /// Of a time; those with a scale are without their point.
    fn of_time(self, micros: i64) -> i64 {
        let days = micros.div_euclid(MICROS_PER_DAY);
        let of_day = micros.rem_euclid(MICROS_PER_DAY);
        let year_and_month = || {
            let (year, month, _) = civil_from_days(days);
            (year, i64::from(month))
        };
        match self {
            Self::Year => year_and_month().0,
            Self::IsoYear => iso_week(days).0,
            Self::Quarter => (year_and_month().1 + 2) / 3,
            Self::Month => year_and_month().1,
            Self::Week => iso_week(days).1,
            Self::Day => i64::from(civil_from_days(days).2),
            Self::DayOfYear => days - days_from_civil(year_and_month().0, 1, 1) + 1,
            Self::DayOfWeek => (days + 4).rem_euclid(7),
            Self::WeekdayFromOne => (days + 4).rem_euclid(7) + 1,
            Self::IsoDayOfWeek => (days - FIRST_MONDAY).rem_euclid(7) + 1,
            Self::Hour => of_day / HOUR,
            Self::Minute => of_day / MINUTE % 60,
            Self::Second | Self::Millisecond | Self::Microsecond => of_day % MINUTE,
            Self::Nanosecond => of_day % MINUTE * 1_000,
            Self::Epoch => micros,
            Self::Decade => year_and_month().0.div_euclid(10),
            Self::Century => (year_and_month().0 - 1).div_euclid(100) + 1,
            Self::Millennium => (year_and_month().0 - 1).div_euclid(1_000) + 1,
        }
    }

    /// Of a time, in whole seconds where it counts those.
    pub fn value(self, micros: i64) -> i64 {
        let value = self.of_time(micros);
        if matches!(self, Self::Second | Self::Epoch) { value.div_euclid(SECOND) } else { value }
    }

    /// Of an interval; `None` for those that an interval does not have.
    fn of_interval(self, interval: IntervalMonthDayNano) -> Option<i64> {
        let (years, months) = (i64::from(interval.months / 12), i64::from(interval.months % 12));
        let micros = interval.nanoseconds / 1_000;
        Some(match self {
            Self::Year => years,
            Self::Quarter => months / 3 + 1,
            Self::Month => months,
            Self::Day => i64::from(interval.days),
            Self::Hour => micros / HOUR,
            Self::Minute => micros / MINUTE % 60,
            Self::Second | Self::Millisecond | Self::Microsecond => micros % MINUTE,
            Self::Nanosecond => interval.nanoseconds % (MINUTE * 1_000),
            // A year has 365.25 days, a month 30.
            Self::Epoch => {
                years * 31_557_600 * SECOND + (months * 30 + i64::from(interval.days)) * MICROS_PER_DAY + micros
            }
            Self::Decade => years / 10,
            Self::Century => years / 100,
            Self::Millennium => years / 1_000,
            _ => return None,
        })
    }

    /// Whether a value of this type has it.
    fn fits(self, data_type: &DataType) -> bool {
        match data_type {
            DataType::Interval(_) => self.of_interval(IntervalMonthDayNano::new(0, 0, 0)).is_some(),
            DataType::Time64(_) => matches!(
                self,
                Self::Hour
                    | Self::Minute
                    | Self::Second
                    | Self::Millisecond
                    | Self::Microsecond
                    | Self::Nanosecond
                    | Self::Epoch
            ),
            other => is_time(other),
        }
    }
}

/// The ISO year and week of a day.
fn iso_week(days: i64) -> (i64, i64) {
    // A week belongs to the year of its Thursday.
    let thursday = days - (days - FIRST_MONDAY).rem_euclid(7) + 3;
    let (year, ..) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

/// `EXTRACT(part FROM x)` for the part of this lower-case name; the type of the result depends on the part.
pub fn extract(part: &str) -> Option<Arc<ScalarUDF>> {
    let (_, part, name) = PARTS.iter().find(|(names, ..)| names.contains(&part))?;
    Some(extracted(name, *part, false))
}

fn extracted(name: &'static str, part: Part, whole: bool) -> Arc<ScalarUDF> {
    let types = move |given: &[DataType]| {
        let [time] = given else { return None };
        let taken = match time {
            DataType::Interval(_) => types::INTERVAL,
            DataType::Time64(_) => types::TIME,
            DataType::Date32 => DataType::Date32,
            other => time_type(other),
        };
        part.fits(time).then(|| (vec![taken], if whole { DataType::Int64 } else { part.result() }))
    };
    own(name, types, move |inputs| {
        let values: Vec<Option<i64>> = match inputs.column(0)?.0.data_type() {
            DataType::Interval(_) => {
                let values = inputs.values::<IntervalMonthDayNanoType>(0)?;
                (0..inputs.rows).map(|row| values.at(row).and_then(|interval| part.of_interval(interval))).collect()
            }
            DataType::Time64(_) => {
                let values = inputs.values::<Time64MicrosecondType>(0)?;
                (0..inputs.rows).map(|row| values.at(row).map(|time| part.of_time(time))).collect()
            }
            _ => {
                let times = Times::of(inputs, 0)?;
                (0..inputs.rows).map(|row| times.at(row).map(|time| part.of_time(time))).collect()
            }
        };
        Ok(match part.scale() {
            Some(_) if whole => {
                Arc::new(values.into_iter().map(|value| value.map(|v| v / SECOND)).collect::<Int64Array>())
            }
            None => Arc::new(Int64Array::from(values)),
            Some((precision, scale)) => {
                let values: Decimal128Array = values.into_iter().map(|value| value.map(i128::from)).collect();
                Arc::new(values.with_precision_and_scale(precision, scale)?)
            }
        })
    })
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        velo_eventtime::parse_timestamp(text, chrono_tz::UTC).unwrap()
    }

    #[test]
    fn whole_units_between_two_times() {
        let month = Unit::of("month").unwrap();
        let day = Unit::of("days").unwrap();
        assert_eq!(month.between(micros("2024-01-31"), micros("2024-02-29")), 1);
        assert_eq!(month.between(micros("2024-01-15"), micros("2024-02-14")), 0);
        assert_eq!(month.between(micros("2024-02-14"), micros("2024-01-15")), 0);
        assert_eq!(day.between(micros("1969-12-31 12:00:00"), micros("1970-01-01 11:00:00")), 0);
        assert_eq!(day.between(micros("1970-01-02"), micros("1969-12-31")), -2);
        assert_eq!(day.crossed(micros("1969-12-31 23:00:00"), micros("1970-01-01 01:00:00")), 1);
    }

    #[test]
    fn months_are_clamped() {
        let month = Unit::of("month").unwrap();
        assert_eq!(month.add(micros("2024-01-31"), 1), Some(micros("2024-02-29")));
        assert_eq!(month.add(micros("2024-03-31"), -1), Some(micros("2024-02-29")));
    }
}
