//! What EXTRACT takes out of times and intervals.

use std::sync::Arc;

use arrow_array::types::{IntervalMonthDayNanoType, Time64MicrosecondType};
use arrow_array::{Decimal128Array, Int64Array};
use arrow_buffer::IntervalMonthDayNano;
use arrow_schema::DataType;
use datafusion_expr::ScalarUDF;
use velo_core::time::{MICROS_PER_DAY, civil_from_days, days_from_civil};
use velo_core::types;

use super::super::own::{is_time, own, time_type};
use super::{FIRST_MONDAY, HOUR, MINUTE, SECOND, Times};

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
    pub(super) fn scale(self) -> Option<(u8, i8)> {
        match self {
            Self::Second => Some((8, 6)),
            Self::Millisecond => Some((8, 3)),
            Self::Epoch => Some((22, 6)),
            _ => None,
        }
    }

    pub(super) fn result(self) -> DataType {
        self.scale().map_or(DataType::Int64, |(precision, scale)| types::decimal(precision, scale))
    }

    /// Of a time; those with a scale are without their point.
    pub(super) fn of_time(self, micros: i64) -> i64 {
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
    pub(super) fn of_interval(self, interval: IntervalMonthDayNano) -> Option<i64> {
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
    pub(super) fn fits(self, data_type: &DataType) -> bool {
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

pub(super) fn extracted(name: &'static str, part: Part, whole: bool) -> Arc<ScalarUDF> {
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
