//! Values that come with a type of their own (Avro, Protocol buffers) into columns: what fits where, exactly or not at all.
//!
//! | value | columns |
//! |---|---|
//! | truth value | BOOLEAN, STRING |
//! | whole number | numbers, STRING; times where `timestamp.format` is an epoch |
//! | binary float | DOUBLE, REAL, STRING; DECIMAL and whole numbers by its shortest text |
//! | text | all, by the rules of [`super`]; BYTES take its bytes, and JSON takes text that is JSON |
//! | bytes | BYTES; STRING where they are UTF-8 |
//! | decimal | DECIMAL (digits beyond the scale round half away from zero), STRING, DOUBLE, whole numbers |
//! | date | DATE, TIMESTAMP (its midnight), STRING; whole numbers take the days |
//! | time of day, timestamp | TIME or TIMESTAMP, floored, STRING; BIGINT takes the number as it was sent |
//! | interval | INTERVAL, STRING |

use arrow_buffer::{IntervalMonthDayNano, i256};
use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};
use velo_core::decimal;
use velo_core::time::MICROS_PER_DAY;
use velo_core::types;

use super::print::{PrintedDate, push_clock, push_decimal, push_f32, push_f64, push_i64, push_iso8601, push_u64};
use super::unscaled::{fitted, from_bytes};
use super::{Column, ValueError, ValueFormats, Values, interval, push_bytes};

/// What a value is, whatever its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Whole,
    Float,
    Text,
    Bytes,
    Decimal,
    Date,
    Time,
    Timestamp,
    Interval,
}

impl Kind {
    /// Whether a column can hold values of this kind; one of them may still not fit.
    pub(crate) fn fits(self, field: &Field, formats: &ValueFormats) -> bool {
        use DataType::{
            Binary, Boolean, Date32, Decimal128, Decimal256, Float32, Float64, Int8, Int16, Int32, Int64, Interval,
            Time64, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8,
        };
        let to = field.data_type();
        let whole = matches!(to, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64);
        let decimal = matches!(to, Decimal128(..) | Decimal256(..));
        let float = matches!(to, Float32 | Float64);
        if matches!(to, Utf8) {
            // A JSON column takes what is JSON as it stands.
            return !types::is_json(field) || matches!(self, Self::Boolean | Self::Whole | Self::Float | Self::Text);
        }
        match self {
            Self::Boolean => *to == Boolean,
            Self::Whole => whole || decimal || float || matches!(to, Timestamp(..)) && formats.timestamp.numbers(),
            Self::Float => whole || decimal || float,
            Self::Text => {
                matches!(to, Boolean | Binary | Date32 | Time64(_) | Timestamp(..) | Interval(_))
                    || whole
                    || decimal
                    || float
            }
            Self::Bytes => *to == Binary,
            Self::Decimal => decimal || whole || *to == Float64,
            Self::Date => matches!(to, Date32 | Timestamp(..) | Int32 | Int64),
            Self::Time => matches!(to, Time64(TimeUnit::Microsecond) | Int32 | Int64),
            Self::Timestamp => matches!(to, Timestamp(..) | Int64),
            Self::Interval => matches!(to, Interval(IntervalUnit::MonthDayNano)),
        }
    }
}

/// A value's text, for the rare columns whose type is reached through it alone.
struct Text(Vec<u8>);

impl Text {
    fn of(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut text = Vec::with_capacity(40);
        write(&mut text);
        Self(text)
    }
}

impl Column {
    /// Appends a whole number.
    #[inline]
    pub(crate) fn push_i64(&mut self, value: i64) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Int64(values) => values.push(value),
            Values::Int32(values) => values.push(value.try_into().map_err(|_| ValueError::OutOfRange)?),
            _ => return self.push_other_i64(value),
        }
        Ok(())
    }

    fn push_other_i64(&mut self, value: i64) -> Result<(), ValueError> {
        let out_of_range = |_| ValueError::OutOfRange;
        match &mut self.values {
            Values::Int8(values) => values.push(value.try_into().map_err(out_of_range)?),
            Values::Int16(values) => values.push(value.try_into().map_err(out_of_range)?),
            Values::UInt8(values) => values.push(value.try_into().map_err(out_of_range)?),
            Values::UInt16(values) => values.push(value.try_into().map_err(out_of_range)?),
            Values::UInt32(values) => values.push(value.try_into().map_err(out_of_range)?),
            Values::UInt64(values) => values.push(value.try_into().map_err(|_| ValueError::OutOfRange)?),
            // As the Avro specification promotes a long.
            Values::Float64(values) => values.push(value as f64),
            Values::Float32(values) => values.push(value as f32),
            Values::Decimal128 { .. } | Values::Decimal256 { .. } => return self.push_decimal(value.into(), 0),
            Values::Text { ends, bytes, .. } => {
                push_i64(bytes, value);
                ends.push(bytes.len() as i32);
            }
            // What numbers are in the other columns is known to their text.
            _ => return self.push_number(&Text::of(|out| push_i64(out, value)).0),
        }
        Ok(())
    }

    /// Appends a whole number that is not negative.
    #[inline]
    pub(crate) fn push_u64(&mut self, value: u64) -> Result<(), ValueError> {
        if let Ok(small) = i64::try_from(value) {
            return self.push_i64(small);
        }
        match &mut self.values {
            Values::UInt64(values) => values.push(value),
            Values::Float64(values) => values.push(value as f64),
            Values::Float32(values) => values.push(value as f32),
            Values::Decimal128 { .. } | Values::Decimal256 { .. } => return self.push_decimal(value.into(), 0),
            Values::Text { ends, bytes, .. } => {
                push_u64(bytes, value);
                ends.push(bytes.len() as i32);
            }
            _ => return self.push_number(&Text::of(|out| push_u64(out, value)).0),
        }
        Ok(())
    }

    /// Appends a binary float.
    #[inline]
    pub(crate) fn push_f64(&mut self, value: f64) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Float64(values) => values.push(value),
            Values::Float32(values) => {
                let small = value as f32;
                if small.is_infinite() && value.is_finite() {
                    return Err(ValueError::OutOfRange);
                }
                values.push(small);
            }
            _ => return self.push_float_text(&Text::of(|out| push_f64(out, value)).0, value.is_finite()),
        }
        Ok(())
    }

    /// Appends a binary float of the smaller kind.
    #[inline]
    pub(crate) fn push_f32(&mut self, value: f32) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Float32(values) => values.push(value),
            Values::Float64(values) => values.push(value.into()),
            _ => return self.push_float_text(&Text::of(|out| push_f32(out, value)).0, value.is_finite()),
        }
        Ok(())
    }

    fn push_float_text(&mut self, text: &[u8], finite: bool) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Text { kind, .. } if !finite && *kind != super::TextKind::Plain => Err(ValueError::Syntax),
            Values::Text { ends, bytes, .. } => {
                push_bytes(ends, bytes, text);
                Ok(())
            }
            _ => self.push_text(text),
        }
    }

    /// Appends text, which must be UTF-8.
    #[inline]
    pub(crate) fn push_utf8(&mut self, text: &[u8]) -> Result<(), ValueError> {
        if std::str::from_utf8(text).is_err() {
            return Err(ValueError::Encoding);
        }
        match &mut self.values {
            Values::Text { ends, bytes, kind: super::TextKind::Plain } => push_bytes(ends, bytes, text),
            Values::Binary { ends, bytes } => push_bytes(ends, bytes, text),
            _ => return self.push_text(text),
        }
        Ok(())
    }

    /// Appends bytes.
    #[inline]
    pub(crate) fn push_binary(&mut self, value: &[u8]) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Binary { ends, bytes } => push_bytes(ends, bytes, value),
            Values::Text { .. } => return self.push_utf8(value),
            _ => return Err(ValueError::Conflict),
        }
        Ok(())
    }

    /// Appends the text of a JSON value to a column of text, whose syntax the caller made.
    pub(crate) fn push_made_json(&mut self, text: &[u8]) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Text { ends, bytes, .. } => {
                push_bytes(ends, bytes, text);
                Ok(())
            }
            _ => Err(ValueError::Conflict),
        }
    }

    /// Appends `value` units of 10^-`sent`.
    #[inline]
    pub(crate) fn push_decimal(&mut self, value: i128, sent: i32) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Decimal128 { values, precision, scale } if i32::from(*scale) == sent => {
                if value.unsigned_abs() >= 10_u128.pow(u32::from((*precision).min(38))) {
                    return Err(ValueError::OutOfRange);
                }
                values.push(value);
                Ok(())
            }
            _ => self.push_wide_decimal(i256::from_i128(value), sent),
        }
    }

    fn push_wide_decimal(&mut self, value: i256, sent: i32) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Decimal128 { values, precision, scale } => {
                let fitted = fitted(value, sent, *precision, *scale)?;
                values.push(fitted.to_i128().ok_or(ValueError::OutOfRange)?);
                Ok(())
            }
            Values::Decimal256 { values, precision, scale } => {
                values.push(fitted(value, sent, *precision, *scale)?);
                Ok(())
            }
            _ => {
                let text = Text::of(|out| push_units(out, value, sent));
                self.push_text(&text.0)
            }
        }
    }

    /// Appends a decimal sent as a number of units of 10^-`sent`, big-endian in two's complement.
    #[inline]
    pub(crate) fn push_decimal_bytes(&mut self, bytes: &[u8], sent: i32) -> Result<(), ValueError> {
        if bytes.is_empty() {
            return Err(ValueError::Syntax);
        }
        if bytes.len() <= 16 {
            let mut wide = [if bytes[0] < 0x80 { 0 } else { 0xFF }; 16];
            wide[16 - bytes.len()..].copy_from_slice(bytes);
            return self.push_decimal(i128::from_be_bytes(wide), sent);
        }
        self.push_wide_decimal(from_bytes(bytes)?, sent)
    }

    /// Appends a time in units of 10^-`sent` seconds since 1970.
    #[inline]
    pub(crate) fn push_timestamp(&mut self, value: i64, sent: u8) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Timestamp { values, digits } => {
                let digits = *digits;
                values.push(if sent <= digits {
                    let factor = 10_i64.pow(u32::from(digits - sent));
                    value.checked_mul(factor).ok_or(ValueError::OutOfRange)?
                } else {
                    value.div_euclid(10_i64.pow(u32::from(sent - digits)))
                });
            }
            Values::Int64(values) => values.push(value),
            Values::Text { ends, bytes, .. } => {
                push_iso8601(bytes, value, sent, &mut PrintedDate::default());
                ends.push(bytes.len() as i32);
            }
            _ => return Err(ValueError::Conflict),
        }
        Ok(())
    }

    /// Appends a time of seconds and nanoseconds since 1970.
    pub(crate) fn push_seconds(&mut self, seconds: i64, nanos: i32) -> Result<(), ValueError> {
        let digits = match &self.values {
            Values::Timestamp { digits, .. } => *digits,
            Values::Text { .. } if nanos % 1_000 == 0 => 6,
            Values::Text { .. } => 9,
            _ => return Err(ValueError::Conflict),
        };
        let whole = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        let value = whole.div_euclid(10_i128.pow(u32::from(9 - digits)));
        self.push_timestamp(i64::try_from(value).map_err(|_| ValueError::OutOfRange)?, digits)
    }

    /// Appends days since 1970.
    pub(crate) fn push_date(&mut self, days: i64) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Date(values) => values.push(days.try_into().map_err(|_| ValueError::OutOfRange)?),
            Values::Timestamp { digits, .. } => {
                let micros = days.checked_mul(MICROS_PER_DAY).ok_or(ValueError::OutOfRange)?;
                let sent = if *digits == 9 { micros.checked_mul(1_000).ok_or(ValueError::OutOfRange)? } else { micros };
                let digits = *digits;
                return self.push_timestamp(sent, digits);
            }
            Values::Text { ends, bytes, .. } => {
                velo_core::time::push_date(bytes, days);
                ends.push(bytes.len() as i32);
            }
            _ => return self.push_i64(days),
        }
        Ok(())
    }

    /// Appends a time of day in units of 10^-`sent` seconds since midnight.
    pub(crate) fn push_time(&mut self, value: i64, sent: u8) -> Result<(), ValueError> {
        let second = 10_i64.pow(u32::from(sent));
        let in_day = (0..86_400 * second).contains(&value);
        match &mut self.values {
            Values::Time(_) | Values::Text { .. } if !in_day => return Err(ValueError::OutOfRange),
            Values::Time(values) => values.push(match sent {
                9 => value / 1_000,
                3 => value * 1_000,
                _ => value,
            }),
            Values::Text { ends, bytes, .. } => {
                push_clock(bytes, value / second, value % second * (1_000_000_000 / second));
                ends.push(bytes.len() as i32);
            }
            _ => return self.push_i64(value),
        }
        Ok(())
    }

    /// Appends an interval.
    pub(crate) fn push_interval(&mut self, value: IntervalMonthDayNano) -> Result<(), ValueError> {
        match &mut self.values {
            Values::Interval(values) => values.push(value),
            Values::Text { ends, bytes, .. } => {
                interval::print(value, bytes);
                ends.push(bytes.len() as i32);
            }
            _ => return Err(ValueError::Conflict),
        }
        Ok(())
    }

    /// Appends NULL where the column can hold it.
    #[inline]
    pub(crate) fn push_null_checked(&mut self) -> Result<(), ValueError> {
        if !self.field.is_nullable() {
            return Err(ValueError::Null);
        }
        self.push_null();
        Ok(())
    }
}

/// Columns that stand beside each other, wherever they are.
pub(crate) trait Columns {
    fn column(&mut self, at: usize) -> &mut Column;
}

impl Columns for [Column] {
    #[inline(always)]
    fn column(&mut self, at: usize) -> &mut Column {
        &mut self[at]
    }
}

impl Columns for Vec<Column> {
    #[inline(always)]
    fn column(&mut self, at: usize) -> &mut Column {
        &mut self[at]
    }
}

impl Columns for [&mut Column; 2] {
    #[inline(always)]
    fn column(&mut self, at: usize) -> &mut Column {
        self[at]
    }
}

/// Appends `value` units of 10^-`scale` as text.
pub(crate) fn push_units(out: &mut Vec<u8>, value: i256, scale: i32) {
    match (value.to_i128(), i8::try_from(scale)) {
        (Some(value), Ok(scale)) => push_decimal(out, value, scale),
        (None, Ok(scale)) => decimal::push_i256(out, value, scale),
        (_, Err(_)) => {
            decimal::push_i256(out, value, 0);
            out.extend_from_slice(format!("e{}", -i64::from(scale)).as_bytes());
        }
    }
}
