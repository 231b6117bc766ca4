//! Times as texts of any layout and back: TO_CHAR, DATE_FORMAT, TO_TIMESTAMP, FROM_UNIXTIME and their like.
//!
//! A layout is written as chrono does (`%Y-%m-%d`), as Java does (`yyyy-MM-dd`) or as PostgreSQL does (`YYYY-MM-DD`).

use std::sync::Arc;

use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{ArrayRef, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow_schema::DataType;
use datafusion_common::Result;
use datafusion_expr::ScalarUDF;
use velo_core::time::{MICROS_PER_DAY, MICROS_PER_SECOND};
use velo_core::{Clock, types};
use velo_eventtime::{Format, TimestampParser, Zone};

use super::calendar::Times;
use super::own::{Inputs, Kept, failed, is_number, is_text, is_time, own, time_type};
use super::time_layout::Layout;

fn text_of(given: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    matches!(given, [time, layout] if is_time(time) && is_text(layout))
        .then(|| (vec![time_type(&given[0]), DataType::Utf8], DataType::Utf8))
}

/// All of them; UNIX_TIMESTAMP() goes by `clock`.
pub fn functions(clock: &Clock) -> Vec<Arc<ScalarUDF>> {
    vec![
        own("to_char", text_of, |inputs| to_text(inputs, 0, 1)),
        own("date_format", text_of, |inputs| to_text(inputs, 0, 1)),
        own(
            "to_timestamp",
            |given| match given {
                [number] if number.is_integer() => Some((vec![DataType::Int64], types::TIMESTAMP)),
                [number] if is_number(number) => {
                    Some((vec![types::decimal(types::DECIMAL128_DIGITS, 6)], types::TIMESTAMP))
                }
                [number, precision] if number.is_integer() && precision.is_integer() => {
                    Some((vec![DataType::Int64; 2], types::TIMESTAMP))
                }
                [text] if is_text(text) || is_time(text) => Some((vec![types::TIMESTAMP], types::TIMESTAMP)),
                [text, layout] if is_text(text) && is_text(layout) => Some((vec![DataType::Utf8; 2], types::TIMESTAMP)),
                _ => None,
            },
            to_timestamp,
        ),
        own(
            "to_date",
            |given| match given {
                [time] if is_time(time) => Some((vec![DataType::Date32], DataType::Date32)),
                [text, layout] if is_text(text) && is_text(layout) => Some((vec![DataType::Utf8; 2], DataType::Date32)),
                _ => None,
            },
            |inputs| {
                if inputs.len() == 1 {
                    return inputs.full(0);
                }
                let days = read(inputs)?
                    .into_iter()
                    .map(|micros| micros.and_then(|micros| i32::try_from(micros.div_euclid(MICROS_PER_DAY)).ok()));
                Ok(Arc::new(days.collect::<Date32Array>()))
            },
        ),
        own(
            "from_unixtime",
            |given| match given {
                [seconds] if is_number(seconds) => {
                    Some((vec![types::decimal(types::DECIMAL128_DIGITS, 6)], types::TIMESTAMP))
                }
                [seconds, layout] if is_number(seconds) && is_text(layout) => {
                    Some((vec![types::decimal(types::DECIMAL128_DIGITS, 6), DataType::Utf8], DataType::Utf8))
                }
                _ => None,
            },
            from_unixtime,
        ),
        unix_timestamp(clock.clone()),
        own(
            "dayname",
            |given| matches!(given, [time] if is_time(time)).then(|| (vec![time_type(&given[0])], DataType::Utf8)),
            |inputs| named(inputs, "FMDay"),
        ),
        own(
            "monthname",
            |given| matches!(given, [time] if is_time(time)).then(|| (vec![time_type(&given[0])], DataType::Utf8)),
            |inputs| named(inputs, "FMMonth"),
        ),
        own(
            "convert_tz",
            |given| match given {
                [time, from, to] if is_time(time) && is_text(from) && is_text(to) => {
                    Some((vec![types::TIMESTAMP, DataType::Utf8, DataType::Utf8], types::TIMESTAMP))
                }
                _ => None,
            },
            |inputs| in_zone(inputs, Some(1), 2),
        ),
        own(
            "at_time_zone",
            |given| match given {
                [time, zone] if is_time(time) && is_text(zone) => {
                    Some((vec![types::TIMESTAMP, DataType::Utf8], types::TIMESTAMP))
                }
                _ => None,
            },
            |inputs| in_zone(inputs, None, 1),
        ),
    ]
}

fn layout(text: &str) -> Result<Layout> {
    Layout::read(text).or_else(failed)
}

fn to_text(inputs: &Inputs<'_>, time: usize, text: usize) -> Result<ArrayRef> {
    let (moments, layouts) = (Times::of(inputs, time)?, inputs.text(text)?);
    let (mut kept, mut out) = (Kept::new(), String::with_capacity(32));
    let mut builder = arrow_array::builder::StringBuilder::with_capacity(inputs.rows, inputs.rows * 24);
    for row in 0..inputs.rows {
        let (Some(micros), Some(text)) = (moments.at(row), layouts.at(row)) else {
            builder.append_null();
            continue;
        };
        out.clear();
        kept.of(text, layout)?.write(&mut out, micros);
        builder.append_value(&out);
    }
    Ok(Arc::new(builder.finish()))
}

fn named(inputs: &Inputs<'_>, text: &str) -> Result<ArrayRef> {
    let (moments, layout) = (Times::of(inputs, 0)?, layout(text)?);
    let names = (0..inputs.rows).map(|row| {
        moments.at(row).map(|micros| {
            let mut out = String::new();
            layout.write(&mut out, micros);
            out
        })
    });
    Ok(Arc::new(names.collect::<StringArray>()))
}

/// Reads the texts of the first argument by the layouts of the second.
fn read(inputs: &Inputs<'_>) -> Result<Vec<Option<i64>>> {
    let (texts, layouts) = (inputs.text(0)?, inputs.text(1)?);
    let mut kept = Kept::new();
    let parser = |text: &str| {
        let chrono = Layout::read(text).map(|layout| layout.chrono());
        let format = chrono.and_then(|chrono| Format::parse(&chrono));
        format.map(|format| TimestampParser::new(format, Zone::UTC)).or_else(failed)
    };
    (0..inputs.rows)
        .map(|row| {
            let (Some(text), Some(layout)) = (texts.at(row), layouts.at(row)) else { return Ok(None) };
            match kept.of(layout, parser)?.micros(text) {
                Ok(micros) => Ok(Some(micros)),
                Err(why) => failed(format!("'{text}' is no time of the layout '{layout}': it {why}")),
            }
        })
        .collect()
}

fn to_timestamp(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    if inputs.len() == 1 {
        return match inputs.column(0)?.0.data_type() {
            DataType::Int64 => {
                let values = inputs.values::<Int64Type>(0)?;
                let micros = (0..inputs.rows).map(|row| {
                    let micros = |value: i64| micros_of(i128::from(value) * i128::from(MICROS_PER_SECOND));
                    values.at(row).map(micros).transpose()
                });
                Ok(Arc::new(micros.collect::<Result<TimestampMicrosecondArray>>()?))
            }
            DataType::Decimal128(..) => seconds(inputs),
            _ => inputs.full(0),
        };
    }
    if inputs.column(0)?.0.data_type().is_integer() {
        // As TO_TIMESTAMP_LTZ of Flink: 0 for seconds, 3 for milliseconds, 6 for microseconds.
        let (values, precisions) = (inputs.values::<Int64Type>(0)?, inputs.values::<Int64Type>(1)?);
        let computed = (0..inputs.rows).map(|row| {
            let (Some(value), Some(precision)) = (values.at(row), precisions.at(row)) else { return Ok(None) };
            let micros = match precision {
                0 => value.checked_mul(MICROS_PER_SECOND),
                3 => value.checked_mul(1_000),
                6 => Some(value),
                9 => Some(value.div_euclid(1_000)),
                _ => return failed("the precision is 0 for seconds, 3 for milli-, 6 for micro- or 9 for nanoseconds"),
            };
            micros
                .map_or_else(|| failed(format!("{value} is out of the range of TIMESTAMP")), |micros| Ok(Some(micros)))
        });
        return Ok(Arc::new(computed.collect::<Result<TimestampMicrosecondArray>>()?));
    }
    Ok(Arc::new(TimestampMicrosecondArray::from(read(inputs)?)))
}

fn micros_of(seconds: i128) -> Result<i64> {
    i64::try_from(seconds).or_else(|_| failed("the seconds are out of the range of TIMESTAMP"))
}

fn seconds(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let values = inputs.values::<Decimal128Type>(0)?;
    let computed = (0..inputs.rows).map(|row| values.at(row).map(micros_of).transpose());
    Ok(Arc::new(computed.collect::<Result<TimestampMicrosecondArray>>()?))
}

fn from_unixtime(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    if inputs.len() == 1 {
        return seconds(inputs);
    }
    let (values, layouts) = (inputs.values::<Decimal128Type>(0)?, inputs.text(1)?);
    let mut kept = Kept::new();
    let computed = (0..inputs.rows).map(|row| {
        let (Some(value), Some(text)) = (values.at(row), layouts.at(row)) else { return Ok(None) };
        let mut out = String::new();
        kept.of(text, layout)?.write(&mut out, micros_of(value)?);
        Ok(Some(out))
    });
    Ok(Arc::new(computed.collect::<Result<StringArray>>()?))
}

fn unix_timestamp(clock: Clock) -> Arc<ScalarUDF> {
    super::own::volatile(
        "unix_timestamp",
        |given| match given {
            [] => Some((vec![], DataType::Int64)),
            [time] if is_time(time) => Some((vec![time_type(time)], DataType::Int64)),
            [text, layout] if is_text(text) && is_text(layout) => Some((vec![DataType::Utf8; 2], DataType::Int64)),
            _ => None,
        },
        move |inputs| {
            let values: Vec<Option<i64>> = match inputs.len() {
                0 => vec![Some(clock.wall()); inputs.rows],
                1 => {
                    let moments = Times::of(inputs, 0)?;
                    (0..inputs.rows).map(|row| moments.at(row)).collect()
                }
                _ => read(inputs)?,
            };
            let seconds = values.into_iter().map(|micros| micros.map(|micros| micros.div_euclid(MICROS_PER_SECOND)));
            Ok(Arc::new(seconds.collect::<Int64Array>()))
        },
    )
}

/// What the clocks of a zone show at a time; with `from`, the time is what the clocks of that zone show.
fn in_zone(inputs: &Inputs<'_>, from: Option<usize>, to: usize) -> Result<ArrayRef> {
    let moments = Times::of(inputs, 0)?;
    let from = from.map(|at| inputs.text(at)).transpose()?;
    let to = inputs.text(to)?;
    let (mut from_zone, mut to_zone) = (Kept::new(), Kept::new());
    let read = |text: &str| text.parse::<Zone>().or_else(failed);
    let parser = |text: &str| read(text).map(|zone| TimestampParser::new(Format::Iso8601, zone));
    let computed = (0..inputs.rows).map(|row| {
        let (Some(mut micros), Some(to)) = (moments.at(row), to.at(row)) else { return Ok(None) };
        if let Some(from) = &from {
            let Some(from) = from.at(row) else { return Ok(None) };
            let local = velo_core::time::iso8601(micros);
            let local = local.trim_end_matches('Z');
            micros = match from_zone.of(from, parser)?.micros(local) {
                Ok(micros) => micros,
                Err(why) => return failed(format!("{local} in {from} {why}")),
            };
        }
        Ok(Some(super::time_layout::local(micros, to_zone.of(to, read)?.0)))
    });
    Ok(Arc::new(computed.collect::<Result<TimestampMicrosecondArray>>()?))
}
