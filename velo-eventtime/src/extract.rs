//! A column of numbers, text or typed timestamps becomes event times.

use std::sync::Mutex;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, Decimal256Array, PrimitiveArray, TimestampMicrosecondArray};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, ScalarBuffer};
use arrow_schema::{DataType, TimeUnit};
use velo_core::Place;
use velo_core::types::sql_name;

use crate::error::{EventTimeError, EventTimeErrorKind, TimeError};
use crate::format::{EpochError, Format, TimestampParser, scale, scale_wide, scaled};
use crate::zone::Zone;

/// The furthest event time from 1970 in microseconds, before and after (146,138 years): the difference of two event times
/// then always fits in 64 bits, and no event time is one of the two special watermarks.
const FURTHEST: i64 = 1 << 62;

/// Reads the event times of one source's field. It can be shared by the threads that decode.
#[derive(Debug)]
pub struct Extractor {
    source: String,
    field: String,
    format: Format,
    zone: Zone,
    /// Parsers that are not in use, with the dates and offsets that they remember.
    parsers: Mutex<Vec<TimestampParser>>,
}

/// The times of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Extracted {
    /// Microseconds since 1970-01-01T00:00:00Z; null for the rows of `errors` and for no others.
    pub times: TimestampMicrosecondArray,
    /// The rows without a usable time, ascending.
    pub errors: Vec<(usize, EventTimeError)>,
}

impl Extractor {
    /// An extractor. `source` and `field` are for the errors; `zone` is for values without an offset.
    pub fn new(source: &str, field: &str, format: Format, zone: impl Into<Zone>) -> Self {
        Self {
            source: source.to_owned(),
            field: field.to_owned(),
            format,
            zone: zone.into(),
            parsers: Mutex::new(Vec::new()),
        }
    }

    /// The field, dotted, as errors and EXPLAIN show it.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The format.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The zone of values without an offset.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// The times of `column`: numbers, raw text (a number's digits or a string's content), or typed timestamps and dates,
    /// which are themselves whatever the format is. A null is a missing field. `place` says where a row is, `fields_present`
    /// which fields its record has; both are asked only for rows without a usable time.
    pub fn extract(
        &self,
        column: &dyn Array,
        place: &dyn Fn(usize) -> Place,
        fields_present: Option<&dyn Fn(usize) -> Vec<String>>,
    ) -> Extracted {
        let mut pass = Pass { extractor: self, place, fields_present, parser: self.parser(), errors: Vec::new() };
        let times = pass.column(column);
        let Pass { parser, errors, .. } = pass;
        if let Ok(mut parsers) = self.parsers.lock() {
            parsers.push(parser);
        }
        let nulls = (!errors.is_empty()).then(|| {
            let mut valid = BooleanBufferBuilder::new(times.len());
            valid.append_n(times.len(), true);
            for (row, _) in &errors {
                valid.set_bit(*row, false);
            }
            NullBuffer::new(valid.finish())
        });
        Extracted { times: TimestampMicrosecondArray::new(times, nulls), errors }
    }

    fn parser(&self) -> TimestampParser {
        let kept = self.parsers.lock().ok().and_then(|mut parsers| parsers.pop());
        kept.unwrap_or_else(|| TimestampParser::new(self.format.clone(), self.zone))
    }
}

/// One column on its way.
struct Pass<'a> {
    extractor: &'a Extractor,
    place: &'a dyn Fn(usize) -> Place,
    fields_present: Option<&'a dyn Fn(usize) -> Vec<String>>,
    parser: TimestampParser,
    errors: Vec<(usize, EventTimeError)>,
}

impl Pass<'_> {
    fn column(&mut self, column: &dyn Array) -> ScalarBuffer<i64> {
        match column.data_type() {
            DataType::Utf8 => self.text(column, column.as_string::<i32>().iter()),
            DataType::LargeUtf8 => self.text(column, column.as_string::<i64>().iter()),
            DataType::Utf8View => self.text(column, column.as_string_view().iter()),
            DataType::Int8 => self.integers(widen(column.as_primitive::<Int8Type>())),
            DataType::Int16 => self.integers(widen(column.as_primitive::<Int16Type>())),
            DataType::Int32 => self.integers(widen(column.as_primitive::<Int32Type>())),
            DataType::Int64 => self.integers(column.as_primitive::<Int64Type>().clone()),
            DataType::UInt8 => self.integers(widen(column.as_primitive::<UInt8Type>())),
            DataType::UInt16 => self.integers(widen(column.as_primitive::<UInt16Type>())),
            DataType::UInt32 => self.integers(widen(column.as_primitive::<UInt32Type>())),
            DataType::UInt64 => {
                let power = self.extractor.format.power();
                self.primitives(column.as_primitive::<UInt64Type>(), |parser, value| {
                    match (i64::try_from(value), power) {
                        (Ok(value), Some(power)) => scale(value, power).map_err(|_| TimeError::out_of_range()),
                        (Err(_), Some(power)) => {
                            scale_wide(i128::from(value), power).map_err(|_| TimeError::out_of_range())
                        }
                        (_, None) => number_as_text(parser, &value.to_string()),
                    }
                })
            }
            DataType::Float32 => {
                let power = self.extractor.format.power();
                self.primitives(column.as_primitive::<Float32Type>(), |_, value| {
                    float(f64::from(value), || value.to_string(), power)
                })
            }
            DataType::Float64 => {
                let power = self.extractor.format.power();
                self.primitives(column.as_primitive::<Float64Type>(), |_, value| {
                    float(value, || value.to_string(), power)
                })
            }
            DataType::Decimal32(_, scale) => {
                let (power, scale) = (self.extractor.format.power(), *scale);
                self.primitives(column.as_primitive::<Decimal32Type>(), |_, value| decimal(value.into(), scale, power))
            }
            DataType::Decimal64(_, scale) => {
                let (power, scale) = (self.extractor.format.power(), *scale);
                self.primitives(column.as_primitive::<Decimal64Type>(), |_, value| decimal(value.into(), scale, power))
            }
            DataType::Decimal128(_, scale) => {
                let (power, scale) = (self.extractor.format.power(), *scale);
                self.primitives(column.as_primitive::<Decimal128Type>(), |_, value| decimal(value, scale, power))
            }
            DataType::Decimal256(..) => self.wide_decimals(column.as_primitive()),
            DataType::Timestamp(unit, _) => match unit {
                TimeUnit::Second => {
                    self.scaled_column(&column.as_primitive::<TimestampSecondType>().reinterpret_cast(), 6)
                }
                TimeUnit::Millisecond => {
                    self.scaled_column(&column.as_primitive::<TimestampMillisecondType>().reinterpret_cast(), 3)
                }
                TimeUnit::Microsecond => {
                    self.scaled_column(&column.as_primitive::<TimestampMicrosecondType>().reinterpret_cast(), 0)
                }
                TimeUnit::Nanosecond => {
                    self.scaled_column(&column.as_primitive::<TimestampNanosecondType>().reinterpret_cast(), -3)
                }
            },
            DataType::Date32 => {
                self.primitives(column.as_primitive::<Date32Type>(), |parser, days| parser.midnight(i64::from(days)))
            }
            DataType::Date64 => self.primitives(column.as_primitive::<Date64Type>(), |parser, millis| {
                parser.midnight(millis.div_euclid(86_400_000))
            }),
            other => {
                let detail = format!("is of type {}", sql_name(other));
                for row in 0..column.len() {
                    if column.is_null(row) || *other == DataType::Null {
                        self.missing(row);
                    } else {
                        self.fail(row, String::new(), TimeError::mismatch(detail.clone()));
                    }
                }
                zeros(column.len())
            }
        }
    }

    fn text<'t>(&mut self, column: &dyn Array, values: impl Iterator<Item = Option<&'t str>>) -> ScalarBuffer<i64> {
        let mut times = Vec::with_capacity(column.len());
        for (row, value) in values.enumerate() {
            let time = match value {
                Some(text) => match self.parser.micros(text).and_then(within) {
                    Ok(time) => time,
                    Err(error) => {
                        self.fail(row, text.to_owned(), error);
                        0
                    }
                },
                None => {
                    self.missing(row);
                    0
                }
            };
            times.push(time);
        }
        times.into()
    }

    /// Integers in the format's unit.
    fn integers(&mut self, column: PrimitiveArray<Int64Type>) -> ScalarBuffer<i64> {
        match self.extractor.format.power() {
            Some(power) => self.scaled_column(&column, power),
            None => self.primitives(&column, |parser, value| number_as_text(parser, &value.to_string())),
        }
    }

    /// Integers times 10^power: all at once where none of them is out of range.
    fn scaled_column(&mut self, column: &PrimitiveArray<Int64Type>, power: i32) -> ScalarBuffer<i64> {
        let values = column.values();
        let (lowest, highest) =
            values.iter().fold((0, 0), |(low, high): (i64, i64), value| (low.min(*value), high.max(*value)));
        let fits = |value| scale(value, power).is_ok_and(|time| within(time).is_ok());
        if !(fits(lowest) && fits(highest)) {
            return self.primitives(column, |_, value| scale(value, power).map_err(|_| TimeError::out_of_range()));
        }
        if column.null_count() > 0 {
            for row in (0..column.len()).filter(|row| column.is_null(*row)) {
                self.missing(row);
            }
        }
        match (power, scale(1, power.abs())) {
            (0, _) => values.clone(),
            (1.., Ok(factor)) => values.iter().map(|value| value * factor).collect(),
            (_, Ok(divisor)) => values.iter().map(|value| value.div_euclid(divisor)).collect(),
            // There is no unit of so many powers.
            (_, Err(_)) => zeros(column.len()),
        }
    }

    /// One by one.
    fn primitives<T: ArrowPrimitiveType>(
        &mut self,
        column: &PrimitiveArray<T>,
        mut time: impl FnMut(&mut TimestampParser, T::Native) -> Result<i64, TimeError>,
    ) -> ScalarBuffer<i64>
    where
        T::Native: std::fmt::Display,
    {
        let mut times = Vec::with_capacity(column.len());
        for (row, value) in column.iter().enumerate() {
            let Some(value) = value else {
                self.missing(row);
                times.push(0);
                continue;
            };
            match time(&mut self.parser, value).and_then(within) {
                Ok(time) => times.push(time),
                Err(error) => {
                    let shown = match column.data_type() {
                        DataType::Decimal32(_, scale)
                        | DataType::Decimal64(_, scale)
                        | DataType::Decimal128(_, scale) => {
                            let unscaled = value.to_string().parse().unwrap_or(0);
                            velo_core::decimal::to_text_i128(unscaled, *scale)
                        }
                        _ => value.to_string(),
                    };
                    self.fail(row, shown, error);
                    times.push(0);
                }
            }
        }
        times.into()
    }

    fn wide_decimals(&mut self, column: &Decimal256Array) -> ScalarBuffer<i64> {
        let power = self.extractor.format.power();
        let mut times = Vec::with_capacity(column.len());
        for row in 0..column.len() {
            if column.is_null(row) {
                self.missing(row);
                times.push(0);
                continue;
            }
            let text = column.value_as_string(row);
            match decimal_text(&text, power).and_then(within) {
                Ok(time) => times.push(time),
                Err(error) => {
                    self.fail(row, text, error);
                    times.push(0);
                }
            }
        }
        times.into()
    }

    #[cold]
    fn missing(&mut self, row: usize) {
        let present = self.fields_present.map_or_else(Vec::new, |present| present(row));
        let error = EventTimeError {
            present,
            value: None,
            ..self.error(row, TimeError::new(EventTimeErrorKind::MissingField, "is null or missing"))
        };
        self.errors.push((row, error));
    }

    #[cold]
    fn fail(&mut self, row: usize, value: String, error: TimeError) {
        let error = EventTimeError { value: Some(value), ..self.error(row, error) };
        self.errors.push((row, error));
    }

    fn error(&self, row: usize, error: TimeError) -> EventTimeError {
        EventTimeError {
            kind: error.kind,
            source: self.extractor.source.clone(),
            field: self.extractor.field.clone(),
            value: None,
            detail: error.detail,
            expected: self.extractor.format.expected(),
            present: Vec::new(),
            place: Some((self.place)(row)),
        }
    }
}

#[inline]
fn within(time: i64) -> Result<i64, TimeError> {
    if (-FURTHEST..=FURTHEST).contains(&time) { Ok(time) } else { Err(TimeError::out_of_range()) }
}

fn zeros(length: usize) -> ScalarBuffer<i64> {
    vec![0; length].into()
}

fn widen<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>) -> PrimitiveArray<Int64Type>
where
    i64: From<T::Native>,
{
    column.unary(i64::from)
}

/// A number where text is expected: its digits may have the form of the pattern (`%Y%m%d`).
fn number_as_text(parser: &mut TimestampParser, text: &str) -> Result<i64, TimeError> {
    match parser.format() {
        Format::Pattern(_) => parser.micros(text),
        _ => Err(TimeError::mismatch("is a number")),
    }
}

/// A binary float by the shortest decimal digits that write it: 1704067200.123 means .123, not the nearest binary fraction.
fn float(value: f64, text: impl Fn() -> String, power: Option<i32>) -> Result<i64, TimeError> {
    let power = power.ok_or_else(|| TimeError::mismatch("is a number"))?;
    if !value.is_finite() {
        return Err(TimeError::invalid("is no finite number"));
    }
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return scale(value as i64, power).map_err(|_| TimeError::out_of_range());
    }
    decimal_text(&text(), Some(power))
}

fn decimal(value: i128, digits: i8, power: Option<i32>) -> Result<i64, TimeError> {
    let power = power.ok_or_else(|| TimeError::mismatch("is a number"))?;
    scale_wide(value, power - i32::from(digits)).map_err(|_| TimeError::out_of_range())
}

fn decimal_text(text: &str, power: Option<i32>) -> Result<i64, TimeError> {
    let power = power.ok_or_else(|| TimeError::mismatch("is a number"))?;
    scaled(text.as_bytes(), power).map_err(|error| match error {
        EpochError::Range => TimeError::out_of_range(),
        EpochError::Syntax => TimeError::syntax("is no number"),
    })
}
