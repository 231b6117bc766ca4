//! What is written about a column, with its type, becomes the rule that its values follow; what is impossible is an error.

use arrow_schema::{DataType, Field, TimeUnit};
use velo_core::decimal;
use velo_core::duration::Span;
use velo_core::properties::PropertyError;
use velo_core::time::MICROS_PER_DAY;
use velo_core::types::sql_name_of;
use velo_eventtime::{Zone, parse_date, parse_timestamp, parse_timestamp_nanos};

use super::given::Given;
use crate::properties::Kind;

/// A batch of such texts is below the 2 GiB that a column of texts holds.
const LONGEST_TEXT: usize = 100_000;

/// Flink's length of a random text.
const TEXT_LENGTH: usize = 100;
/// The most digits of a made-up number.
const DIGITS: u8 = 38;
/// A walk over fractions goes by thousandths of its longest step.
pub(super) const FINE_STEPS: u64 = 1_000;

/// How the values of a column come about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    /// Whole numbers of a type's unit: integers, decimals, times and dates.
    Whole(Whole),
    /// Fractions.
    Float(Float),
    /// Texts.
    Text(Text),
    /// Truths: one of these, with their weights.
    Truth(Choice<bool>),
}

/// Whole numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Whole {
    Sequence {
        start: i128,
        step: i128,
    },
    Range {
        min: i128,
        max: i128,
    },
    Choice(Choice<i128>),
    Walk {
        start: i128,
        step: u64,
        min: Option<i128>,
        max: Option<i128>,
    },
    /// The row's time, in units of so many microseconds (over) or nanoseconds (times).
    Time {
        over: i64,
        times: i64,
    },
}

/// Fractions.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Float {
    Sequence { start: f64, step: f64 },
    Range { min: f64, max: f64 },
    Choice(Choice<f64>),
    Walk { start: f64, step: f64, min: Option<f64>, max: Option<f64> },
}

/// Texts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Text {
    Sequence { start: i128, step: i128 },
    Random { length: usize },
    Choice(Choice<String>),
}

/// Values, each with the sum of the weights up to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice<T> {
    pub(super) values: Vec<T>,
    pub(super) ends: Vec<u64>,
}

impl<T> Choice<T> {
    /// The sum of all weights.
    pub(super) fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The value at a place below the sum of all weights.
    pub(super) fn at(&self, place: u64) -> &T {
        &self.values[self.ends.partition_point(|end| *end <= place)]
    }
}

/// How the values of a whole type are written and limited.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Integer { min: i128, max: i128 },
    Decimal { precision: u8, scale: i8 },
    Micros,
    Nanos,
    Days,
}

impl Unit {
    fn of(data_type: &DataType) -> Option<Self> {
        let signed = |bits: u32| Self::Integer { min: -(1_i128 << (bits - 1)), max: (1_i128 << (bits - 1)) - 1 };
        let unsigned = |bits: u32| Self::Integer { min: 0, max: (1_i128 << bits) - 1 };
        Some(match data_type {
            DataType::Int8 => signed(8),
            DataType::Int16 => signed(16),
            DataType::Int32 => signed(32),
            DataType::Int64 => signed(64),
            DataType::UInt8 => unsigned(8),
            DataType::UInt16 => unsigned(16),
            DataType::UInt32 => unsigned(32),
            DataType::UInt64 => unsigned(64),
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                Self::Decimal { precision: *precision.min(&DIGITS), scale: *scale }
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Micros,
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Self::Nanos,
            DataType::Date32 => Self::Days,
            _ => return None,
        })
    }

    /// The smallest and the largest value.
    fn limits(self) -> (i128, i128) {
        match self {
            Self::Integer { min, max } => (min, max),
            Self::Decimal { precision, .. } => {
                let max = 10_i128.pow(u32::from(precision)) - 1;
                (-max, max)
            }
            // The year 0 to the year 9999.
            Self::Micros => (-62_167_219_200_000_000, 253_402_300_799_999_999),
            Self::Nanos => (i128::from(i64::MIN), i128::from(i64::MAX)),
            Self::Days => (-719_528, 2_932_896),
        }
    }

    fn value(self, text: &str) -> Result<i128, String> {
        let found = match self {
            Self::Integer { .. } => {
                text.replace('_', "").parse().map_err(|_| format!("'{text}' is no whole number"))?
            }
            Self::Decimal { scale, .. } => decimal::parse_i128(text.as_bytes(), DIGITS, scale)
                .map_err(|_| format!("'{text}' is no number of {DIGITS} digits at most"))?,
            Self::Micros => {
                let micros = parse_timestamp(text, Zone::UTC);
                micros.map_err(|_| format!("'{text}' is no time such as 2024-01-31T10:00:00Z"))?.into()
            }
            Self::Nanos => {
                let nanos = parse_timestamp_nanos(text, Zone::UTC);
                nanos.map_err(|_| format!("'{text}' is no time such as 2024-01-31T10:00:00Z"))?.into()
            }
            Self::Days => parse_date(text).map_err(|_| format!("'{text}' is no date such as 2024-01-31"))?.into(),
        };
        let (min, max) = self.limits();
        if (min..=max).contains(&found) {
            Ok(found)
        } else {
            Err(format!("'{text}' is beyond what the column's type holds"))
        }
    }

    fn step(self, text: &str) -> Result<i128, String> {
        let micros = |text: &str| text.parse::<Span>().map(|span| i128::from(span.0));
        match self {
            Self::Integer { .. } | Self::Decimal { .. } => self.value(text),
            Self::Micros => micros(text),
            Self::Nanos => micros(text).map(|micros| micros * 1_000),
            Self::Days => {
                let (micros, day) = (micros(text)?, i128::from(MICROS_PER_DAY));
                if micros % day == 0 { Ok(micros / day) } else { Err(format!("'{text}' is not whole days")) }
            }
        }
    }

    /// The step where none is said: 1, or a second.
    fn one(self) -> Result<i128, String> {
        Ok(match self {
            Self::Integer { .. } | Self::Days => 1,
            Self::Decimal { .. } => {
                self.value("1").map_err(|_| "1 does not fit in the column: say its step".to_owned())?
            }
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        })
    }
}

/// A rule, and how many rows it has where a sequence ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Compiled {
    pub(super) rule: Rule,
    pub(super) rows: Option<u64>,
}

type Compiling<T> = Result<T, Box<PropertyError>>;

/// The rule of `field`.
pub(super) fn compile(field: &Field, given: &Given) -> Compiling<Compiled> {
    let properties = &given.properties;
    let is_time = matches!(field.data_type(), DataType::Timestamp(..));
    let kind = properties.kind.unwrap_or(match &properties.values {
        Some(_) => Kind::Choice,
        None if is_time && properties.min.is_none() && properties.max.is_none() => Kind::Time,
        None => Kind::Range,
    });
    let is_text = *field.data_type() == DataType::Utf8;
    let fitting: &[&str] = match kind {
        Kind::Sequence => &["start", "end", "step"],
        Kind::Range if is_text => &["length"],
        Kind::Range => &["min", "max"],
        Kind::Choice => &["values", "weights"],
        Kind::Walk => &["start", "step", "min", "max"],
        Kind::Time => &[],
    };
    if let Some(other) = given.said().find(|what| !["kind", "null.rate"].contains(what) && !fitting.contains(what)) {
        let message = format!("it says nothing for a column of the kind {}", name(kind));
        let fits = match fitting {
            [] => "leave it out".to_owned(),
            fitting => format!("there are {}", fitting.join(", ")),
        };
        let help = if properties.kind.is_none() {
            format!("say the column's kind: 'fields.{}.kind'", given.name)
        } else {
            fits
        };
        return Err(Box::new(given.error(other, &message, Some(help))));
    }
    if properties.null_rate.is_some_and(|rate| rate.0 > 0.0) && !field.is_nullable() {
        let help = "leave NOT NULL out, or the share of NULLs".to_owned();
        return Err(Box::new(given.error("null.rate", "the column is declared NOT NULL", Some(help))));
    }
    let (rule, rows) = match (field.data_type(), Unit::of(field.data_type())) {
        (DataType::Int64, Some(_)) if kind == Kind::Time => (Rule::Whole(Whole::Time { over: 1_000, times: 1 }), None),
        (_, Some(unit)) => {
            let (whole, rows) = whole(kind, unit, field, given)?;
            (Rule::Whole(whole), rows)
        }
        (DataType::Float32 | DataType::Float64, _) => {
            let (float, rows) = float(kind, field, given)?;
            (Rule::Float(float), rows)
        }
        (DataType::Utf8, _) => {
            let (text, rows) = text(kind, field, given)?;
            (Rule::Text(text), rows)
        }
        (DataType::Boolean, _) => (Rule::Truth(truth(kind, field, given)?), None),
        _ => {
            let message = format!("datagen makes no {}, as '{}' is declared", sql_name_of(field), field.name());
            let help = "leave the column out, or compute it: name type AS expression".to_owned();
            return Err(Box::new(given.error("kind", &message, Some(help))));
        }
    };
    Ok(Compiled { rule, rows })
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Sequence => "sequence",
        Kind::Range => "range",
        Kind::Choice => "choice",
        Kind::Walk => "walk",
        Kind::Time => "time",
    }
}

/// The kind does not go with the type.
fn unfit(kind: Kind, field: &Field, given: &Given, others: &str) -> Box<PropertyError> {
    let message = format!("a {} column cannot be of the kind {}", sql_name_of(field), name(kind));
    Box::new(given.error("kind", &message, Some(format!("it can be of the kind {others}"))))
}

/// Reads one of the things said.
fn read<T>(
    given: &Given,
    what: &'static str,
    text: Option<&str>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Compiling<Option<T>> {
    text.map(|text| parse(text.trim()).map_err(|message| Box::new(given.error(what, &message, None)))).transpose()
}

fn whole(kind: Kind, unit: Unit, field: &Field, given: &Given) -> Compiling<(Whole, Option<u64>)> {
    let properties = &given.properties;
    let value = |what, text: &Option<String>| read(given, what, text.as_deref(), |text| unit.value(text));
    let (least, largest) = unit.limits();
    match kind {
        Kind::Sequence => {
            let (start, step, rows) = sequence(unit, given)?;
            Ok((Whole::Sequence { start, step }, rows))
        }
        Kind::Range => {
            let (min, max) = (value("min", &properties.min)?, value("max", &properties.max)?);
            let (min, max) = (min.unwrap_or(least), max.unwrap_or(largest));
            ordered(given, min <= max)?;
            Ok((Whole::Range { min, max }, None))
        }
        Kind::Choice => Ok((Whole::Choice(choice(given, |text| unit.value(text))?), None)),
        Kind::Walk => {
            let (min, max) = (value("min", &properties.min)?, value("max", &properties.max)?);
            ordered(given, min.zip(max).is_none_or(|(min, max)| min <= max))?;
            let middle = match (min, max) {
                (Some(min), Some(max)) => min / 2 + max / 2 + (min % 2 + max % 2) / 2,
                (Some(end), None) | (None, Some(end)) => end,
                (None, None) => 0,
            };
            let start = value("start", &properties.start)?.unwrap_or(middle);
            within(given, min.is_none_or(|min| min <= start) && max.is_none_or(|max| start <= max))?;
            let step = step(unit, given)?;
            // Sums of steps must not overflow before the rows end.
            let Some(step) = u64::try_from(step).ok().filter(|step| (1..=1 << 40).contains(step)) else {
                return Err(Box::new(given.error("step", "it must be more than 0, and not huge", None)));
            };
            // Without limits of its own a walk turns where the type ends.
            Ok((Whole::Walk { start, step, min: min.or(Some(least)), max: max.or(Some(largest)) }, None))
        }
        Kind::Time => match field.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Ok((Whole::Time { over: 1, times: 1_000 }, None)),
            DataType::Timestamp(..) => Ok((Whole::Time { over: 1, times: 1 }, None)),
            DataType::Date32 => Ok((Whole::Time { over: MICROS_PER_DAY, times: 1 }, None)),
            _ => Err(unfit(kind, field, given, "sequence, range, choice or walk")),
        },
    }
}

fn step(unit: Unit, given: &Given) -> Compiling<i128> {
    match read(given, "step", given.properties.step.as_deref(), |text| unit.step(text))? {
        Some(step) => Ok(step),
        None => unit.one().map_err(|message| Box::new(given.error("step", &message, None))),
    }
}

fn sequence(unit: Unit, given: &Given) -> Compiling<(i128, i128, Option<u64>)> {
    let properties = &given.properties;
    let value = |what, text: &Option<String>| read(given, what, text.as_deref(), |text| unit.value(text));
    let start = value("start", &properties.start)?.unwrap_or(0);
    let step = step(unit, given)?;
    let end = value("end", &properties.end)?;
    if step == 0 {
        return Err(Box::new(given.error("step", "a sequence must go on", None)));
    }
    let rows = end.map(|end| {
        let steps = end.saturating_sub(start) / step;
        if end != start && (end > start) == (step < 0) {
            let help = "see its start and step".to_owned();
            return Err(Box::new(given.error("end", "the sequence does not lead there", Some(help))));
        }
        Ok(u64::try_from(steps).unwrap_or(u64::MAX).saturating_add(1))
    });
    Ok((start, step, rows.transpose()?))
}

fn ordered(given: &Given, fine: bool) -> Compiling<()> {
    if fine {
        return Ok(());
    }
    let help = "exchange them".to_owned();
    Err(Box::new(given.error("min", "it is more than the largest value", Some(help))))
}

fn within(given: &Given, fine: bool) -> Compiling<()> {
    if fine {
        return Ok(());
    }
    Err(Box::new(given.error("start", "it is not between the smallest and the largest value", None)))
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| format!("'{text}' is no number"))
}

fn float(kind: Kind, field: &Field, given: &Given) -> Compiling<(Float, Option<u64>)> {
    let properties = &given.properties;
    let value = |what, text: &Option<String>| read(given, what, text.as_deref(), number);
    let largest = if *field.data_type() == DataType::Float32 { f64::from(f32::MAX) } else { f64::MAX };
    let step = value("step", &properties.step)?.unwrap_or(1.0);
    match kind {
        Kind::Sequence => {
            let (start, end) = (value("start", &properties.start)?.unwrap_or(0.0), value("end", &properties.end)?);
            if step == 0.0 {
                return Err(Box::new(given.error("step", "a sequence must go on", None)));
            }
            let rows = end.map(|end| (end - start) / step);
            if rows.is_some_and(|rows| rows < 0.0) {
                let help = "see its start and step".to_owned();
                return Err(Box::new(given.error("end", "the sequence does not lead there", Some(help))));
            }
            // A hair's breadth of rounding leaves out no row.
            let rows = rows.map(|rows| ((rows + 1e-9).floor() as u64).saturating_add(1));
            Ok((Float::Sequence { start, step }, rows))
        }
        Kind::Range => {
            let (min, max) = (value("min", &properties.min)?, value("max", &properties.max)?);
            let (min, max) = (min.unwrap_or(-largest), max.unwrap_or(largest));
            ordered(given, min <= max)?;
            Ok((Float::Range { min, max }, None))
        }
        Kind::Choice => Ok((Float::Choice(choice(given, number)?), None)),
        Kind::Walk => {
            let (min, max) = (value("min", &properties.min)?, value("max", &properties.max)?);
            ordered(given, min.zip(max).is_none_or(|(min, max)| min <= max))?;
            let middle = match (min, max) {
                (Some(min), Some(max)) => min + (max - min) / 2.0,
                (Some(end), None) | (None, Some(end)) => end,
                (None, None) => 0.0,
            };
            let start = value("start", &properties.start)?.unwrap_or(middle);
            within(given, min.is_none_or(|min| min <= start) && max.is_none_or(|max| start <= max))?;
            if step <= 0.0 {
                return Err(Box::new(given.error("step", "it must be more than 0", None)));
            }
            Ok((Float::Walk { start, step, min, max }, None))
        }
        Kind::Time => Err(unfit(kind, field, given, "sequence, range, choice or walk")),
    }
}

fn text(kind: Kind, field: &Field, given: &Given) -> Compiling<(Text, Option<u64>)> {
    match kind {
        Kind::Sequence => {
            let unit = Unit::Integer { min: i128::from(i64::MIN), max: i128::from(i64::MAX) };
            let (start, step, rows) = sequence(unit, given)?;
            Ok((Text::Sequence { start, step }, rows))
        }
        Kind::Range => {
            let length = given.properties.length.unwrap_or(TEXT_LENGTH);
            if length > LONGEST_TEXT {
                let message = format!("a text has {LONGEST_TEXT} characters at most");
                return Err(Box::new(given.error("length", &message, None)));
            }
            Ok((Text::Random { length }, None))
        }
        Kind::Choice => Ok((Text::Choice(choice(given, |text| Ok(text.to_owned()))?), None)),
        Kind::Walk | Kind::Time => Err(unfit(kind, field, given, "sequence, range or choice")),
    }
}

fn truth(kind: Kind, field: &Field, given: &Given) -> Compiling<Choice<bool>> {
    match kind {
        Kind::Range => Ok(Choice { values: vec![false, true], ends: vec![1, 2] }),
        Kind::Choice => choice(given, |text| match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("'{text}' is neither true nor false")),
        }),
        _ => Err(unfit(kind, field, given, "range or choice")),
    }
}

fn choice<T>(given: &Given, parse: impl Fn(&str) -> Result<T, String>) -> Compiling<Choice<T>> {
    let Some(values) = given.properties.values.as_deref() else {
        let help = format!("'fields.{}.values' = 'A, B, C'", given.name);
        let message = format!("the values that '{}' is chosen from are missing", given.name);
        return Err(Box::new(given.error("values", &message, Some(help))));
    };
    let values = values.split(',').map(|text| parse(text.trim())).collect::<Result<Vec<T>, _>>();
    let values = values.map_err(|message| Box::new(given.error("values", &message, None)))?;
    let weights = match given.properties.weights.as_deref() {
        None => vec![1; values.len()],
        Some(text) => {
            let wrong = |text: &str| format!("'{text}' is no weight: a whole number, 0 or more");
            let weights = text.split(',').map(|text| text.trim().parse::<u32>().map_err(|_| wrong(text.trim())));
            let weights = weights.map(|weight| weight.map(u64::from)).collect::<Result<Vec<u64>, _>>();
            weights.map_err(|message| Box::new(given.error("weights", &message, None)))?
        }
    };
    if weights.len() != values.len() {
        let message = format!("there are {} weights for {} values", weights.len(), values.len());
        return Err(Box::new(given.error("weights", &message, Some("write one for each value".to_owned()))));
    }
    let ends: Vec<u64> = weights
        .iter()
        .scan(0_u64, |sum, weight| {
            *sum += weight;
            Some(*sum)
        })
        .collect();
    let choice = Choice { values, ends };
    if choice.total() == 0 {
        return Err(Box::new(given.error("weights", "one of them must be more than 0", None)));
    }
    Ok(choice)
}
