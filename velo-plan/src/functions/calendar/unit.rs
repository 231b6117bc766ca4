//! What times are rounded to and counted in.

use datafusion_common::Result;
use velo_core::time::{MICROS_PER_DAY, civil_from_days, days_from_civil, days_in_month};

use super::super::own::failed;
use super::{FIRST_MONDAY, HOUR, MINUTE, SECOND};

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

    pub(super) fn read(text: &str) -> Result<Self> {
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
    pub(super) fn crossed(self, from: i64, to: i64) -> i64 {
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
