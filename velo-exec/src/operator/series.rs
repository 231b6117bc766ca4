//! The values of `generate_series(start, stop, step)`, some at a time.

use arrow_array::builder::Int64Builder;
use arrow_buffer::IntervalMonthDayNano;
use chrono::{DateTime, Months};

use crate::error::{ExecError, Result};

/// What is left of a series.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// None: it has ended.
    next: Option<i64>,
    stop: i64,
    step: Step,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Numbers, and times by an interval of one length.
    Fixed(i128),
    /// Times by an interval with months, each of which has a length of its own.
    Calendar { months: i32, rest: i128, up: bool },
}

const DAY: i128 = 86_400_000_000;

impl Series {
    /// Whole numbers.
    pub(super) fn of_numbers(start: i64, stop: i64, step: i64, statement: &str) -> Result<Self> {
        if step == 0 {
            return Err(endless(statement));
        }
        Ok(Self { next: Some(start), stop, step: Step::Fixed(step.into()) }.begin())
    }

    /// Timestamps; a day has 24 hours, as they are in UTC, and months are added one after the other, as in PostgreSQL: the
    /// 31st of January, the 29th of February, the 29th of March.
    pub(super) fn of_times(start: i64, stop: i64, step: IntervalMonthDayNano, statement: &str) -> Result<Self> {
        if step.nanoseconds % 1_000 != 0 {
            return Err(ExecError::Row {
                statement: statement.to_owned(),
                message: "the step of a series of timestamps is no whole number of microseconds".to_owned(),
                place: None,
            });
        }
        let fixed = i128::from(step.days) * DAY + i128::from(step.nanoseconds / 1_000);
        let about = i128::from(step.months) * 30 * DAY + fixed;
        if about == 0 {
            return Err(endless(statement));
        }
        let step = match step.months {
            0 => Step::Fixed(fixed),
            months => Step::Calendar { months, rest: fixed, up: about > 0 },
        };
        Ok(Self { next: Some(start), stop, step }.begin())
    }

    fn begin(mut self) -> Self {
        self.next = self.next.filter(|start| self.is_within(*start));
        self
    }

    fn is_within(&self, value: i64) -> bool {
        let up = match self.step {
            Step::Fixed(step) => step > 0,
            Step::Calendar { up, .. } => up,
        };
        if up { value <= self.stop } else { value >= self.stop }
    }

    /// It has no more values.
    pub(super) fn end(&mut self) {
        self.next = None;
    }

    /// Up to `room` of its values.
    pub(super) fn give(&mut self, room: usize, into: &mut Int64Builder) -> usize {
        let mut given = 0;
        while given < room
            && let Some(value) = self.next
        {
            into.append_value(value);
            given += 1;
            let next = match self.step {
                Step::Fixed(step) => behind(value, step),
                // A step that leads back would never end.
                Step::Calendar { months, rest, up } => {
                    later(value, months, rest).filter(|next| if up { *next > value } else { *next < value })
                }
            };
            self.next = next.filter(|next| self.is_within(*next));
        }
        given
    }
}

/// None: that is behind the end of all numbers.
fn behind(value: i64, step: i128) -> Option<i64> {
    i64::try_from(i128::from(value) + step).ok()
}

fn later(time: i64, months: i32, rest: i128) -> Option<i64> {
    let time = DateTime::from_timestamp_micros(time)?;
    let by = Months::new(months.unsigned_abs());
    let time = if months < 0 { time.checked_sub_months(by) } else { time.checked_add_months(by) };
    behind(time?.timestamp_micros(), rest)
}

fn endless(statement: &str) -> ExecError {
    ExecError::Row {
        statement: statement.to_owned(),
        message: "a series whose step is zero never ends".to_owned(),
        place: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut series: Series, room: usize) -> Vec<i64> {
        let mut builder = Int64Builder::new();
        while series.give(room, &mut builder) == room {}
        builder.finish().values().to_vec()
    }

    #[test]
    fn numbers() {
        let numbers = |start, stop, step| all(Series::of_numbers(start, stop, step, "s").unwrap(), 2);
        assert_eq!(numbers(1, 5, 2), [1, 3, 5]);
        assert_eq!(numbers(5, 1, -2), [5, 3, 1]);
        assert_eq!(numbers(2, 1, 1), [0_i64; 0]);
        assert_eq!(numbers(i64::MAX - 1, i64::MAX, 1), [i64::MAX - 1, i64::MAX]);
        assert_eq!(numbers(i64::MIN, i64::MIN, -1), [i64::MIN]);
        assert!(Series::of_numbers(1, 2, 0, "s").is_err());
    }

    #[test]
    fn steps_beyond_all_times_give_the_first_value() {
        for (days, stop) in [(i32::MAX, i64::MAX), (i32::MIN, i64::MIN)] {
            let series = Series::of_times(1, stop, IntervalMonthDayNano::new(0, days, 0), "s").unwrap();
            assert_eq!(all(series, 3), [1]);
        }
    }

    #[test]
    fn months_are_added_one_after_the_other() {
        let january = 1_706_659_200_000_000; // 2024-01-31
        let april = 1_714_521_599_000_000; // 2024-04-30T23:59:59
        let month = IntervalMonthDayNano::new(1, 0, 0);
        let found = all(Series::of_times(january, april, month, "s").unwrap(), 10);
        let found = found.iter().map(|time| velo_core::time::iso8601(*time)).collect::<Vec<_>>();
        assert_eq!(
            found,
            ["2024-01-31T00:00:00Z", "2024-02-29T00:00:00Z", "2024-03-29T00:00:00Z", "2024-04-29T00:00:00Z"]
        );
    }
}
