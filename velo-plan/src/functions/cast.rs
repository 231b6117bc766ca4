//! CAST and TRY_CAST by the rules of Velo: numbers are rounded half away from zero, times are floored, what does not fit is an
//! error (NULL under TRY_CAST).

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Decimal256Type, Float32Type, Float64Type, TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow_array::{
    Array, ArrayRef, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array, StringArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow_buffer::i256;
use arrow_cast::CastOptions;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use velo_core::decimal::{self, DecimalError};
use velo_core::types;

/// Converts to one type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct CastFunction {
    to: DataType,
    lenient: bool,
    signature: Signature,
}

impl CastFunction {
    /// `CAST(expr AS to)`, or `TRY_CAST` where `lenient`.
    pub fn call(expr: Expr, to: DataType, lenient: bool) -> Expr {
        let function = Self { to, lenient, signature: Signature::any(1, Volatility::Immutable) };
        Expr::ScalarFunction(datafusion_expr::expr::ScalarFunction::new_udf(
            Arc::new(ScalarUDF::new_from_impl(function)),
            vec![expr],
        ))
    }
}

impl ScalarUDFImpl for CastFunction {
    fn name(&self) -> &str {
        if self.lenient { "try_cast" } else { "cast" }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        let argument = args.first().map(ToString::to_string).unwrap_or_default();
        let name = if self.lenient { "TRY_CAST" } else { "CAST" };
        Ok(format!("{name}({argument} AS {})", types::sql_name(&self.to)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.first() {
            Some(ColumnarValue::Array(array)) => Ok(ColumnarValue::Array(cast(array, &self.to, self.lenient)?)),
            Some(ColumnarValue::Scalar(scalar)) => {
                let array = cast(&scalar.to_array()?, &self.to, self.lenient)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            None => Err(DataFusionError::Internal("CAST takes one argument".to_owned())),
        }
    }
}

/// Whether a value of type `from` can be converted to `to` at all.
pub fn can_cast(from: &DataType, to: &DataType) -> bool {
    // The library makes a list of one element of any value, which nobody means.
    if to.is_nested() && !from.is_nested() && *from != DataType::Null {
        return false;
    }
    from == to || is_text(from) || arrow_cast::can_cast_types(from, to)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn failure(array: &dyn Array, row: usize, to: &DataType, why: &str) -> DataFusionError {
    let options = FormatOptions::default();
    let value = ArrayFormatter::try_new(array, &options)
        .map(|formatter| formatter.value(row).to_string())
        .unwrap_or_else(|_| "a value".to_owned());
    let quoted = if is_text(array.data_type()) { format!("'{value}'") } else { value };
    DataFusionError::Execution(format!("{quoted} cannot be converted to {}: {why}", types::sql_name(to)))
}

/// Converts a column.
pub fn cast(array: &ArrayRef, to: &DataType, lenient: bool) -> Result<ArrayRef> {
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    match (from, to) {
        (_, DataType::Decimal128(..) | DataType::Decimal256(..)) if is_text(from) => {
            text_to_decimal(array, to, lenient)
        }
        (_, DataType::Timestamp(..) | DataType::Date32) if is_text(from) => text_to_time(array, to, lenient),
        (_, to) if is_text(from) && to.is_integer() => text_to_integer(array, to, lenient),
        (DataType::Decimal128(..) | DataType::Decimal256(..), to) if to.is_integer() => {
            let whole = round_decimal(array, 0, lenient)?;
            strict(&whole, to, lenient)
        }
        (
            DataType::Decimal128(..) | DataType::Decimal256(..),
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale),
        ) => {
            let rounded = round_decimal(array, *scale, lenient)?;
            strict(&rounded, to, lenient)
        }
        (DataType::Float32 | DataType::Float64, to) if to.is_integer() => {
            let rounded: Float64Array = floats(array)?.unary(f64::round);
            strict(&(Arc::new(rounded) as ArrayRef), to, lenient)
        }
        (DataType::Float32 | DataType::Float64, DataType::Decimal128(..) | DataType::Decimal256(..)) => {
            float_to_decimal(array, to, lenient)
        }
        (DataType::Timestamp(TimeUnit::Nanosecond, _), DataType::Timestamp(TimeUnit::Microsecond, None)) => {
            let floored: TimestampMicrosecondArray =
                array.as_primitive::<TimestampNanosecondType>().unary(|nanos| nanos.div_euclid(1_000));
            Ok(Arc::new(floored))
        }
        (DataType::Timestamp(TimeUnit::Microsecond, _), DataType::Date32) => {
            let days =
                array.as_primitive::<TimestampMicrosecondType>().unary::<_, arrow_array::types::Date32Type>(|micros| {
                    micros.div_euclid(velo_core::time::MICROS_PER_DAY) as i32
                });
            Ok(Arc::new(days))
        }
        (DataType::Boolean, to) if is_text(to) => {
            let text: arrow_array::StringArray =
                array.as_boolean().iter().map(|value| value.map(|v| if v { "true" } else { "false" })).collect();
            Ok(Arc::new(text))
        }
        (DataType::Timestamp(..), to) if is_text(to) => time_to_text(array),
        (DataType::Float32, to) if is_text(to) => {
            let texts = array.as_primitive::<Float32Type>().iter();
            let texts: StringArray = texts.map(|v| v.map(|v| float_text(&format!("{v:e}"), 6))).collect();
            Ok(arrow_cast::cast(&texts, to)?)
        }
        (DataType::Float64, to) if is_text(to) => {
            let texts = array.as_primitive::<Float64Type>().iter();
            let texts: StringArray = texts.map(|v| v.map(|v| float_text(&format!("{v:e}"), 15))).collect();
            Ok(arrow_cast::cast(&texts, to)?)
        }
        (DataType::Float64, DataType::Float32) => narrow(array, lenient),
        _ => strict(array, to, lenient),
    }
}

/// The library's conversion, whose failures are errors unless `lenient`.
fn strict(array: &ArrayRef, to: &DataType, lenient: bool) -> Result<ArrayRef> {
    let options = CastOptions { safe: lenient, ..Default::default() };
    arrow_cast::cast_with_options(array, to, &options).map_err(|error| {
        // The library does not say which value it was: find the first that becomes null when failures are forgiven.
        let forgiving = CastOptions { safe: true, ..Default::default() };
        if let Ok(forgiven) = arrow_cast::cast_with_options(array, to, &forgiving)
            && let Some(row) = (0..array.len()).find(|row| array.is_valid(*row) && forgiven.is_null(*row))
        {
            return failure(
                array,
                row,
                to,
                if array.data_type().is_numeric() { "it is out of range" } else { "it is no such value" },
            );
        }
        DataFusionError::ArrowError(Box::new(error), None)
    })
}

fn floats(array: &ArrayRef) -> Result<Float64Array> {
    Ok(match array.data_type() {
        DataType::Float32 => array.as_primitive::<Float32Type>().unary(f64::from),
        _ => array.as_primitive::<Float64Type>().clone(),
    })
}

fn texts(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(arrow_cast::cast(array, &DataType::Utf8)?)
}

fn text_to_decimal(array: &ArrayRef, to: &DataType, lenient: bool) -> Result<ArrayRef> {
    let text = texts(array)?;
    let text = text.as_string::<i32>();
    let parse =
        |row: usize| -> Result<Option<&[u8]>> { Ok(text.is_valid(row).then(|| text.value(row).trim().as_bytes())) };
    let wrong = |row: usize, error: DecimalError| match error {
        DecimalError::Syntax => failure(array, row, to, "it is no number"),
        DecimalError::Overflow => failure(array, row, to, "it has too many digits"),
    };
    match to {
        DataType::Decimal128(precision, scale) => {
            let mut values: Vec<Option<i128>> = Vec::with_capacity(text.len());
            for row in 0..text.len() {
                values.push(match parse(row)? {
                    None => None,
                    Some(bytes) => match decimal::parse_i128(bytes, *precision, *scale) {
                        Ok(value) => Some(value),
                        Err(_) if lenient => None,
                        Err(error) => return Err(wrong(row, error)),
                    },
                });
            }
            Ok(Arc::new(Decimal128Array::from(values).with_precision_and_scale(*precision, *scale)?))
        }
        DataType::Decimal256(precision, scale) => {
            let mut values: Vec<Option<i256>> = Vec::with_capacity(text.len());
            for row in 0..text.len() {
                values.push(match parse(row)? {
                    None => None,
                    Some(bytes) => match decimal::parse_i256(bytes, *precision, *scale) {
                        Ok(value) => Some(value),
                        Err(_) if lenient => None,
                        Err(error) => return Err(wrong(row, error)),
                    },
                });
            }
            Ok(Arc::new(Decimal256Array::from(values).with_precision_and_scale(*precision, *scale)?))
        }
        other => Err(DataFusionError::Internal(format!("{other} is no decimal"))),
    }
}

fn text_to_integer(array: &ArrayRef, to: &DataType, lenient: bool) -> Result<ArrayRef> {
    let text = texts(array)?;
    let trimmed: arrow_array::StringArray =
        text.as_string::<i32>().iter().map(|value| value.map(|v| v.trim())).collect();
    strict(&(Arc::new(trimmed) as ArrayRef), to, lenient)
}

fn text_to_time(array: &ArrayRef, to: &DataType, lenient: bool) -> Result<ArrayRef> {
    let text = texts(array)?;
    let text = text.as_string::<i32>();
    let mut values: Vec<Option<i64>> = Vec::with_capacity(text.len());
    for row in 0..text.len() {
        if text.is_null(row) {
            values.push(None);
            continue;
        }
        let value = text.value(row).trim();
        let parsed = match to {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                velo_eventtime::parse_timestamp_nanos(value, chrono_tz::UTC)
            }
            DataType::Date32 => velo_eventtime::parse_date(value).map(i64::from).or_else(|error| {
                velo_eventtime::parse_timestamp(value, chrono_tz::UTC)
                    .map(|micros| micros.div_euclid(velo_core::time::MICROS_PER_DAY))
                    .map_err(|_| error)
            }),
            _ => velo_eventtime::parse_timestamp(value, chrono_tz::UTC),
        };
        match parsed {
            Ok(value) => values.push(Some(value)),
            Err(_) if lenient => values.push(None),
            Err(why) => return Err(failure(array, row, to, &format!("it {why}"))),
        }
    }
    Ok(match to {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Arc::new(TimestampNanosecondArray::from(values)),
        DataType::Date32 => Arc::new(values.into_iter().map(|days| days.map(|d| d as i32)).collect::<Date32Array>()),
        _ => Arc::new(TimestampMicrosecondArray::from(values)),
    })
}

fn time_to_text(array: &ArrayRef) -> Result<ArrayRef> {
    let mut builder = arrow_array::builder::StringBuilder::with_capacity(array.len(), array.len() * 24);
    let mut out = Vec::with_capacity(32);
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        out.clear();
        match array.data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => velo_core::time::push_iso8601_nanos(
                &mut out,
                array.as_primitive::<TimestampNanosecondType>().value(row),
            ),
            _ => {
                let micros = arrow_cast::cast(&array.slice(row, 1), &types::TIMESTAMP)?;
                velo_core::time::push_iso8601(&mut out, micros.as_primitive::<TimestampMicrosecondType>().value(0));
            }
        }
        builder.append_value(String::from_utf8_lossy(&out));
    }
    Ok(Arc::new(builder.finish()))
}

/// A decimal column at another scale, rounded half away from zero; the precision is the largest there is.
fn round_decimal(array: &ArrayRef, scale: i8, _lenient: bool) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Decimal128(_, from) if *from > scale => {
            let digits = u32::from(from.abs_diff(scale));
            let rounded: Decimal128Array =
                array.as_primitive::<Decimal128Type>().unary(|value| decimal::round_i128(value, digits));
            Ok(Arc::new(rounded.with_precision_and_scale(types::DECIMAL128_DIGITS, scale)?))
        }
        DataType::Decimal256(_, from) if *from > scale => {
            let divisor = decimal::power_i256(from.abs_diff(scale));
            let rounded: Decimal256Array = array
                .as_primitive::<Decimal256Type>()
                .unary(|value| decimal::divide_i256(value, divisor).unwrap_or(i256::ZERO));
            Ok(Arc::new(rounded.with_precision_and_scale(types::DECIMAL_DIGITS, scale)?))
        }
        _ => Ok(Arc::clone(array)),
    }
}

/// A float in PostgreSQL's spelling: its shortest digits, with an exponent where it is small or has more than `most` digits.
fn float_text(scientific: &str, most: i32) -> String {
    let (sign, plain) = scientific.strip_prefix('-').map_or(("", scientific), |rest| ("-", rest));
    let Some((mantissa, exponent)) = plain.split_once('e') else {
        return if plain == "inf" { format!("{sign}Infinity") } else { plain.to_owned() };
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if exponent < -4 || exponent >= most {
        let mark = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{mark}{:02}", exponent.abs());
    }
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

/// DOUBLE to REAL: a finite value does not become infinite.
fn narrow(array: &ArrayRef, lenient: bool) -> Result<ArrayRef> {
    let wide = array.as_primitive::<Float64Type>();
    let values = wide.iter().enumerate().map(|(row, value)| {
        let Some(value) = value else { return Ok(None) };
        match value as f32 {
            narrow if narrow.is_finite() || !value.is_finite() => Ok(Some(narrow)),
            _ if lenient => Ok(None),
            _ => Err(failure(array, row, &DataType::Float32, "it is out of range")),
        }
    });
    Ok(Arc::new(values.collect::<Result<Float32Array>>()?))
}

/// A binary float counts as the shortest decimal text that reads back as it.
fn float_to_decimal(array: &ArrayRef, to: &DataType, lenient: bool) -> Result<ArrayRef> {
    let text: arrow_array::StringArray = match array.data_type() {
        DataType::Float32 => array.as_primitive::<Float32Type>().iter().map(|v| v.map(|v| v.to_string())).collect(),
        _ => array.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| v.to_string())).collect(),
    };
    text_to_decimal(&(Arc::new(text) as ArrayRef), to, lenient)
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;

    use super::*;

    fn text_of(array: ArrayRef, to: &DataType) -> Result<String> {
        let out = cast(&array, to, false)?;
        Ok(arrow_cast::display::array_value_to_string(&out, 0)?)
    }

    #[test]
    fn numbers_are_rounded_half_away() {
        let dec = |value: i128, scale: i8| -> ArrayRef {
            Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(10, scale).unwrap())
        };
        assert_eq!(text_of(dec(15, 1), &DataType::Int64).unwrap(), "2");
        assert_eq!(text_of(dec(-25, 1), &DataType::Int64).unwrap(), "-3");
        assert_eq!(text_of(dec(12345, 3), &types::decimal(6, 2)).unwrap(), "12.35");
        assert_eq!(text_of(Arc::new(Float64Array::from(vec![2.5])), &DataType::Int32).unwrap(), "3");
        assert_eq!(text_of(Arc::new(Float64Array::from(vec![0.1])), &types::decimal(6, 2)).unwrap(), "0.10");
        assert_eq!(text_of(Arc::new(StringArray::from(vec!["12.34567"])), &types::decimal(10, 4)).unwrap(), "12.3457");
    }

    #[test]
    fn floats_are_written_as_postgresql_does() {
        let text = |value: f64| float_text(&format!("{value:e}"), 15);
        let cases = [
            (1.0, "1"),
            (-0.5, "-0.5"),
            (1e20, "1e+20"),
            (1e-7, "1e-07"),
            (0.0001, "0.0001"),
            (123_456.75, "123456.75"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(value), expected);
        }
        assert_eq!(text(f64::NEG_INFINITY), "-Infinity");
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_shows_the_value() {
        let error = text_of(Arc::new(Int64Array::from(vec![300])), &DataType::Int8).unwrap_err().to_string();
        assert!(error.contains("300") && error.contains("TINYINT"), "{error}");
        let error = text_of(Arc::new(StringArray::from(vec!["abc"])), &DataType::Int64).unwrap_err().to_string();
        assert!(error.contains("'abc'"), "{error}");
        let array: ArrayRef = Arc::new(StringArray::from(vec!["abc"]));
        assert!(cast(&array, &DataType::Int64, true).unwrap().is_null(0));
    }
}
