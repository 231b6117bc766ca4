//! Functions of DOUBLE: an argument outside of a function's domain and a result outside of DOUBLE's range are errors, as in
//! PostgreSQL, not NaN and infinity.

use std::sync::Arc;

use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array};
use arrow_schema::DataType;
use datafusion_common::Result;
use datafusion_expr::ScalarUDF;

use super::own::{Inputs, failed, is_number, own};

/// A function of one number.
type OfOne = fn(f64) -> f64;

/// Each by its name; what it is called in messages is the name.
const OF_ONE: &[(&str, OfOne)] = &[
    ("sqrt", f64::sqrt),
    ("cbrt", f64::cbrt),
    ("exp", f64::exp),
    ("ln", f64::ln),
    ("log10", f64::log10),
    ("log2", f64::log2),
    ("sin", f64::sin),
    ("cos", f64::cos),
    ("tan", f64::tan),
    ("cot", |x| 1.0 / x.tan()),
    ("asin", f64::asin),
    ("acos", f64::acos),
    ("atan", f64::atan),
    ("sinh", f64::sinh),
    ("cosh", f64::cosh),
    ("tanh", f64::tanh),
    ("asinh", f64::asinh),
    ("acosh", f64::acosh),
    ("atanh", f64::atanh),
    ("degrees", f64::to_degrees),
    ("radians", f64::to_radians),
];

/// All of them.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    let mut all: Vec<_> =
        OF_ONE.iter().map(|(name, f)| own(name, one_double, move |inputs| of_one(inputs, name, *f))).collect();
    all.push(own("power", two_doubles, |inputs| of_two(inputs, "power", power)));
    all.push(own("atan2", two_doubles, |inputs| of_two(inputs, "atan2", f64::atan2)));
    all.push(own(
        "log",
        |given| if given.len() == 1 { one_double(given) } else { two_doubles(given) },
        |inputs| match inputs.len() {
            1 => of_one(inputs, "log", f64::log10),
            _ => of_two(inputs, "log", |base, x| x.ln() / base.ln()),
        },
    ));
    all.push(own(
        "width_bucket",
        |given| {
            let taken = vec![DataType::Float64, DataType::Float64, DataType::Float64, DataType::Int64];
            (given.len() == 4 && given.iter().all(is_number)).then_some((taken, DataType::Int32))
        },
        width_bucket,
    ));
    all.push(own("factorial", one_integer, factorial));
    all
}

fn one_double(given: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    matches!(given, [one] if is_number(one)).then(|| (vec![DataType::Float64], DataType::Float64))
}

fn two_doubles(given: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    matches!(given, [one, other] if is_number(one) && is_number(other))
        .then(|| (vec![DataType::Float64; 2], DataType::Float64))
}

fn one_integer(given: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    matches!(given, [one] if one.is_integer() || one.is_null()).then(|| (vec![DataType::Int64], DataType::Int64))
}

/// What a result that is no number, of arguments that are, means.
fn refuse(name: &str, result: f64, of: &str) -> Result<f64> {
    let name = name.to_uppercase();
    if result.is_nan() {
        failed(format!("{name} is not defined for {of}"))
    } else {
        failed(format!("{name} of {of} is out of range"))
    }
}

fn of_one(inputs: &Inputs<'_>, name: &str, f: fn(f64) -> f64) -> Result<ArrayRef> {
    let values = inputs.values::<Float64Type>(0)?;
    let computed = (0..inputs.rows).map(|row| {
        let Some(value) = values.at(row) else { return Ok(None) };
        let result = f(value);
        if result.is_finite() || !value.is_finite() {
            return Ok(Some(result));
        }
        refuse(name, result, &value.to_string()).map(Some)
    });
    Ok(Arc::new(computed.collect::<Result<Float64Array>>()?))
}

fn of_two(inputs: &Inputs<'_>, name: &str, f: fn(f64, f64) -> f64) -> Result<ArrayRef> {
    let (left, right) = (inputs.values::<Float64Type>(0)?, inputs.values::<Float64Type>(1)?);
    let computed = (0..inputs.rows).map(|row| {
        let (Some(left), Some(right)) = (left.at(row), right.at(row)) else { return Ok(None) };
        let result = f(left, right);
        if result.is_finite() || !left.is_finite() || !right.is_finite() {
            return Ok(Some(result));
        }
        refuse(name, result, &format!("{left} and {right}")).map(Some)
    });
    Ok(Arc::new(computed.collect::<Result<Float64Array>>()?))
}

fn power(base: f64, exponent: f64) -> f64 {
    base.powf(exponent)
}

fn width_bucket(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let (x, low, high) =
        (inputs.values::<Float64Type>(0)?, inputs.values::<Float64Type>(1)?, inputs.values::<Float64Type>(2)?);
    let count = inputs.values::<Int64Type>(3)?;
    let computed = (0..inputs.rows).map(|row| {
        let (Some(x), Some(low), Some(high), Some(count)) = (x.at(row), low.at(row), high.at(row), count.at(row))
        else {
            return Ok(None);
        };
        if count <= 0 || low == high || !low.is_finite() || !high.is_finite() || x.is_nan() {
            return failed("WIDTH_BUCKET needs at least one bucket between two different finite bounds");
        }
        let share = (x - low) / (high - low);
        let bucket = if share < 0.0 {
            0.0
        } else if share >= 1.0 {
            count as f64 + 1.0
        } else {
            (share * count as f64).floor() + 1.0
        };
        Ok(Some(bucket as i32))
    });
    Ok(Arc::new(computed.collect::<Result<Int32Array>>()?))
}

fn factorial(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let values = inputs.values::<Int64Type>(0)?;
    let computed = (0..inputs.rows).map(|row| match values.at(row) {
        None => Ok(None),
        Some(value) if value < 0 => failed(format!("FACTORIAL is not defined for {value}")),
        Some(value) => match (1..=value).try_fold(1_i64, i64::checked_mul) {
            Some(product) => Ok(Some(product)),
            None => failed(format!("FACTORIAL of {value} is out of the range of BIGINT")),
        },
    });
    Ok(Arc::new(computed.collect::<Result<Int64Array>>()?))
}
