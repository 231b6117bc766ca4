//! Constants, as they are written.

/// Constants.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `NULL`.
    Null,
    /// `TRUE`, `FALSE`.
    Boolean(bool),
    /// A number without sign as it is written (`1`, `1.50`, `1e6`), so that decimals stay exact.
    Number(String),
    /// `'…'`, without quotes and with its escapes undone.
    String(String),
    /// `X'0aff'`: the hexadecimal digits.
    Bytes(String),
    /// `INTERVAL '1' MINUTE`, `INTERVAL '1 day 2 hours'`, `1m`.
    Interval(Interval),
    /// `DATE '…'`, `TIME '…'`, `TIMESTAMP '…'`.
    Time {
        /// Which of the three.
        kind: TimeLiteralKind,
        /// The text in quotes, unchecked.
        text: String,
    },
}

/// The word before a time in quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLiteralKind {
    /// `DATE`.
    Date,
    /// `TIME`.
    Time,
    /// `TIMESTAMP`.
    Timestamp,
}

/// A length of time as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// A minus sign before the whole.
    pub negative: bool,
    /// Amounts with their units, in the order of the script; at least one.
    pub parts: Vec<IntervalPart>,
    /// Whether it is a bare duration (`1m`, `1h30m`) and not `INTERVAL …`.
    pub bare: bool,
}

/// One amount of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntervalPart {
    /// Digits, with a sign and a fraction where they are written.
    pub amount: String,
    /// Of what.
    pub unit: IntervalUnit,
}

/// Units of intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalUnit {
    /// `ns`.
    Nanosecond,
    /// MICROSECOND.
    Microsecond,
    /// MILLISECOND.
    Millisecond,
    /// SECOND.
    Second,
    /// MINUTE.
    Minute,
    /// HOUR.
    Hour,
    /// DAY.
    Day,
    /// WEEK.
    Week,
    /// MONTH.
    Month,
    /// QUARTER.
    Quarter,
    /// YEAR.
    Year,
}
