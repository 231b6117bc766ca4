//! `+ - * / %` with the result types of Velo: integers are checked, decimals are exact and rounded once, half away from zero.
//!
//! The library's operators wrap silently on overflow and truncate decimal quotients, so arithmetic is a function of ours; it
//! is bound with operands of the types that [`signature`] gives.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type, Float64Type};
use arrow_array::{Array, ArrayRef, Datum, Decimal128Array, Decimal256Array, Scalar};
use arrow_buffer::i256;
use arrow_schema::{ArrowError, DataType, TimeUnit};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use velo_core::{decimal, types};

use super::interval;

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}

impl Arithmetic {
    /// The operator as SQL writes it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// What an operator makes of two types: what the operands must be converted to, and the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArithmeticTypes {
    /// The left operand's type.
    pub left: DataType,
    /// The right operand's type.
    pub right: DataType,
    /// The result's type.
    pub result: DataType,
}

/// Why two types cannot be combined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeProblem {
    /// The operator has no meaning for them.
    NoOperator,
    /// A decimal product would have more fractional digits than a DECIMAL holds.
    Scale {
        /// The scale that it would have.
        scale: i32,
        /// The largest that there is.
        cap: u8,
    },
}

fn is_integer(data_type: &DataType) -> bool {
    data_type.is_integer()
}

/// Digits and scale that an integer or decimal counts with beside a decimal.
fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        DataType::UInt64 => Some((20, 0)),
        other if is_integer(other) => Some((19, 0)),
        _ => None,
    }
}

fn wider_integer(left: &DataType, right: &DataType) -> DataType {
    let rank = |data_type: &DataType| match data_type {
        DataType::Int8 => (1, true),
        DataType::UInt8 => (1, false),
        DataType::Int16 => (2, true),
        DataType::UInt16 => (2, false),
        DataType::Int32 => (3, true),
        DataType::UInt32 => (3, false),
        DataType::Int64 => (4, true),
        _ => (4, false),
    };
    let ((left_size, left_signed), (right_size, right_signed)) = (rank(left), rank(right));
    let size = if left_signed == right_signed {
        left_size.max(right_size)
    } else {
        // A signed type holds an unsigned one only if it is the wider.
        let (signed, unsigned) = if left_signed { (left_size, right_size) } else { (right_size, left_size) };
        signed.max(unsigned + 1)
    };
    match (size, left_signed || right_signed) {
        (1, true) => DataType::Int8,
        (1, false) => DataType::UInt8,
        (2, true) => DataType::Int16,
        (2, false) => DataType::UInt16,
        (3, true) => DataType::Int32,
        (3, false) => DataType::UInt32,
        (_, true) => DataType::Int64,
        (_, false) => DataType::UInt64,
    }
}

/// The types with which `left op right` is computed.
pub fn signature(
    op: Arithmetic,
    left: &DataType,
    right: &DataType,
) -> std::result::Result<ArithmeticTypes, TypeProblem> {
    use DataType::{Date32, Float32, Float64, Interval, Null, Timestamp};
    let same = |data_type: DataType| {
        Ok(ArithmeticTypes { left: data_type.clone(), right: data_type.clone(), result: data_type })
    };
    match (left, right) {
        (Null, Null) => same(DataType::Int64),
        (Null, other) | (other, Null) if other.is_numeric() => signature(op, other, other),
        (Timestamp(..), Interval(_)) | (Date32, Interval(_))
            if matches!(op, Arithmetic::Add | Arithmetic::Subtract) =>
        {
            // A date plus hours is a time of day, so a date counts as its midnight.
            let left = if *left == Date32 { types::TIMESTAMP } else { left.clone() };
            Ok(ArithmeticTypes { left: left.clone(), right: types::INTERVAL, result: left })
        }
        (Interval(_), Timestamp(..)) | (Interval(_), Date32) if op == Arithmetic::Add => {
            let right = if *right == Date32 { types::TIMESTAMP } else { right.clone() };
            Ok(ArithmeticTypes { left: types::INTERVAL, right: right.clone(), result: right })
        }
        (Timestamp(unit, _), Timestamp(..)) | (Timestamp(unit, _), Date32) if op == Arithmetic::Subtract => {
            let time = Timestamp(*unit, None);
            Ok(ArithmeticTypes { left: time.clone(), right: time, result: types::INTERVAL })
        }
        (Date32, Timestamp(unit, _)) if op == Arithmetic::Subtract => {
            let time = Timestamp(*unit, None);
            Ok(ArithmeticTypes { left: time.clone(), right: time, result: types::INTERVAL })
        }
        (Date32, Date32) if op == Arithmetic::Subtract => {
            Ok(ArithmeticTypes { left: Date32, right: Date32, result: DataType::Int64 })
        }
        (Date32, number) if is_integer(number) && matches!(op, Arithmetic::Add | Arithmetic::Subtract) => {
            Ok(ArithmeticTypes { left: Date32, right: DataType::Int64, result: Date32 })
        }
        _ if let Some((left, right, result)) = interval::signature(op, left, right) => {
            Ok(ArithmeticTypes { left, right, result })
        }
        (Interval(_), Interval(_)) if matches!(op, Arithmetic::Add | Arithmetic::Subtract) => same(types::INTERVAL),
        (Float32, Float32) => same(Float32),
        (Float32 | Float64, other) | (other, Float32 | Float64) if other.is_numeric() => same(Float64),
        _ if is_integer(left) && is_integer(right) => same(wider_integer(left, right)),
        _ => match (digits(left), digits(right)) {
            (Some(a), Some(b)) => decimal_signature(op, a, b),
            _ => Err(TypeProblem::NoOperator),
        },
    }
}

fn decimal_signature(
    op: Arithmetic,
    (p1, s1): (u8, i8),
    (p2, s2): (u8, i8),
) -> std::result::Result<ArithmeticTypes, TypeProblem> {
    let cap = if p1.max(p2) > types::DECIMAL128_DIGITS { types::DECIMAL_DIGITS } else { types::DECIMAL128_DIGITS };
    let capped = |precision: i32, scale: i8| types::decimal(precision.min(i32::from(cap)) as u8, scale);
    let whole = |p: u8, s: i8| i32::from(p) - i32::from(s);
    let result = match op {
        Arithmetic::Add | Arithmetic::Subtract => {
            let scale = s1.max(s2);
            capped(whole(p1, s1).max(whole(p2, s2)) + i32::from(scale) + 1, scale)
        }
        Arithmetic::Multiply => {
            let scale = i32::from(s1) + i32::from(s2);
            if scale > i32::from(cap) {
                return Err(TypeProblem::Scale { scale, cap });
            }
            capped(i32::from(p1) + i32::from(p2), scale as i8)
        }
        Arithmetic::Divide => types::decimal(cap, s1.max(s2).max(16)),
        Arithmetic::Remainder => {
            let scale = s1.max(s2);
            capped(whole(p1, s1).min(whole(p2, s2)).max(0) + i32::from(scale), scale)
        }
    };
    Ok(ArithmeticTypes { left: types::decimal(p1, s1), right: types::decimal(p2, s2), result })
}

/// One arithmetic operator over operands of fixed types.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ArithmeticFunction {
    op: Arithmetic,
    result: DataType,
    signature: Signature,
}

impl ArithmeticFunction {
    /// `left op right`, whose operands already have the types that [`signature`] gave.
    pub fn call(op: Arithmetic, result: DataType, left: Expr, right: Expr) -> Expr {
        let function = Self { op, result, signature: Signature::any(2, Volatility::Immutable) };
        Expr::ScalarFunction(datafusion_expr::expr::ScalarFunction::new_udf(
            Arc::new(ScalarUDF::new_from_impl(function)),
            vec![left, right],
        ))
    }

    /// The operator.
    pub fn operator(&self) -> Arithmetic {
        self.op
    }
}

impl fmt::Display for ArithmeticFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.symbol())
    }
}

impl ScalarUDFImpl for ArithmeticFunction {
    fn name(&self) -> &str {
        self.op.symbol()
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        let side = |at: usize| args.get(at).map(ToString::to_string).unwrap_or_default();
        // A sign is a difference from zero.
        if let (Self { op: Arithmetic::Subtract, .. }, Some(Expr::Literal(value, _))) = (self, args.first())
            && ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value)
        {
            return Ok(format!("-{}", side(1)));
        }
        Ok(format!("({} {} {})", side(0), self.op.symbol(), side(1)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = args.args.as_slice() else {
            return Err(DataFusionError::Internal(format!("{} takes two operands", self.op.symbol())));
        };
        let scalar = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
        let array = with_datum(left, |left| with_datum(right, |right| apply(self.op, &self.result, left, right)))?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

fn with_datum<T>(value: &ColumnarValue, f: impl FnOnce(&dyn Datum) -> Result<T>) -> Result<T> {
    match value {
        ColumnarValue::Array(array) => f(array),
        ColumnarValue::Scalar(scalar) => f(&Scalar::new(scalar.to_array()?)),
    }
}

fn apply(op: Arithmetic, result: &DataType, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
    let (left_type, right_type) = (left.get().0.data_type().clone(), right.get().0.data_type().clone());
    if let Some(computed) = interval::apply(op, left, right) {
        return computed;
    }
    match (&left_type, &right_type) {
        (DataType::Date32, DataType::Int64) => date_days(op, left, right),
        (DataType::Date32, DataType::Date32) => {
            let days = arrow_arith::numeric::sub(left, right).map_err(|e| overflow(op, e))?;
            Ok(arrow_cast::cast(&arrow_cast::cast(&days, &DataType::Duration(TimeUnit::Second))?, &DataType::Int64)
                .and_then(|seconds| {
                    arrow_arith::numeric::div(&seconds, &Scalar::new(arrow_array::Int64Array::from(vec![86_400])))
                })?)
        }
        _ if matches!(left_type, DataType::Decimal128(..) | DataType::Decimal256(..)) => {
            decimal_apply(op, result, left, right)
        }
        (DataType::Float32 | DataType::Float64, _) => float_apply(op, left, right),
        _ => native(op, left, right).map_err(|e| overflow(op, e)),
    }
}

/// Floats: a division by zero, and a result out of range of numbers that are not infinite, are errors.
fn float_apply(op: Arithmetic, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
    let array = native(op, left, right).map_err(|e| overflow(op, e))?;
    let wide = |array: &dyn Array| arrow_cast::cast(array, &DataType::Float64);
    let result = wide(array.as_ref())?;
    let result = result.as_primitive::<Float64Type>();
    if !result.iter().flatten().any(|value| !value.is_finite()) {
        return Ok(array);
    }
    let ((left, left_scalar), (right, right_scalar)) = (left.get(), right.get());
    let (left, right) = (wide(left)?, wide(right)?);
    let (left, right) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
    for (row, value) in result.iter().enumerate() {
        let (l, r) = (left.value(if left_scalar { 0 } else { row }), right.value(if right_scalar { 0 } else { row }));
        if value.is_none_or(|value| value.is_finite()) || l.is_nan() || r.is_nan() {
            continue;
        }
        if r == 0.0 && matches!(op, Arithmetic::Divide | Arithmetic::Remainder) {
            return Err(overflow(op, ArrowError::DivideByZero));
        }
        if l.is_finite() && r.is_finite() {
            return Err(overflow(
                op,
                ArrowError::ArithmeticOverflow(format!("{l} {} {r} is out of the range of DOUBLE", op.symbol())),
            ));
        }
    }
    Ok(array)
}

fn native(op: Arithmetic, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
    use arrow_arith::numeric;
    match op {
        Arithmetic::Add => numeric::add(left, right),
        Arithmetic::Subtract => numeric::sub(left, right),
        Arithmetic::Multiply => numeric::mul(left, right),
        Arithmetic::Divide => numeric::div(left, right),
        Arithmetic::Remainder => numeric::rem(left, right),
    }
}

fn overflow(op: Arithmetic, error: ArrowError) -> DataFusionError {
    match error {
        ArrowError::DivideByZero => DataFusionError::Execution(format!("division by zero in '{}'", op.symbol())),
        ArrowError::ArithmeticOverflow(what) => {
            DataFusionError::Execution(format!("overflow in '{}': {what}", op.symbol()))
        }
        other => DataFusionError::ArrowError(Box::new(other), None),
    }
}

fn date_days(op: Arithmetic, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
    let (dates, date_scalar) = left.get();
    let as_days = arrow_cast::cast(dates, &DataType::Int32).and_then(|d| arrow_cast::cast(&d, &DataType::Int64))?;
    let days = if date_scalar { native(op, &Scalar::new(as_days), right) } else { native(op, &as_days, right) }
        .map_err(|e| overflow(op, e))?;
    let strict = arrow_cast::CastOptions { safe: false, ..Default::default() };
    let narrow = arrow_cast::cast_with_options(&days, &DataType::Int32, &strict)?;
    Ok(arrow_cast::cast(&narrow, &DataType::Date32)?)
}

/// Decimal operators: the operands have their own precisions and scales, the result has `result`'s.
fn decimal_apply(op: Arithmetic, result: &DataType, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
    if let DataType::Decimal128(precision, scale) = result
        && op != Arithmetic::Divide
        && let (DataType::Decimal128(..), DataType::Decimal128(..)) =
            (left.get().0.data_type(), right.get().0.data_type())
    {
        let raw = native(op, left, right).map_err(|e| overflow(op, e))?;
        // The library keeps a digit more for a product; the digits are the same, so only the declared precision changes.
        let typed = raw.as_primitive::<Decimal128Type>().clone().with_precision_and_scale(*precision, *scale)?;
        if *precision == types::DECIMAL128_DIGITS {
            typed.validate_decimal_precision(*precision).map_err(|_| {
                DataFusionError::Execution(format!(
                    "overflow in '{}': the result has more than {precision} digits",
                    op.symbol()
                ))
            })?;
        }
        return Ok(Arc::new(typed));
    }
    wide_decimal(op, result, left, right)
}

/// The general case, in 256 bits.
fn wide_decimal(op: Arithmetic, result: &DataType, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
    let (precision, scale) = match result {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => (*precision, *scale),
        other => return Err(DataFusionError::Internal(format!("{other} is no decimal"))),
    };
    let ((left, left_scalar), (right, right_scalar)) = (left.get(), right.get());
    let (left, left_scale) = widen(left)?;
    let (right, right_scale) = widen(right)?;
    let rows = if left_scalar { right.len() } else { left.len() };
    let limit = decimal::power_i256(precision);
    let too_big = || {
        DataFusionError::Execution(format!(
            "overflow in '{}': the result has more than {precision} digits",
            op.symbol()
        ))
    };
    let mut values = Vec::with_capacity(rows);
    let mut valid = Vec::with_capacity(rows);
    for row in 0..rows {
        let (l, r) = (if left_scalar { 0 } else { row }, if right_scalar { 0 } else { row });
        if left.is_null(l) || right.is_null(r) {
            values.push(i256::ZERO);
            valid.push(false);
            continue;
        }
        let value =
            combine(op, (left.value(l), left_scale), (right.value(r), right_scale), scale)?.ok_or_else(too_big)?;
        if value.wrapping_abs() >= limit {
            return Err(too_big());
        }
        values.push(value);
        valid.push(true);
    }
    let nulls = Some(arrow_buffer::NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    if let DataType::Decimal128(..) = result {
        // The limit above is at most 10^38, which fits.
        let narrow: Vec<i128> = values.into_iter().map(|value| value.to_i128().unwrap_or(i128::MAX)).collect();
        return Ok(Arc::new(Decimal128Array::new(narrow.into(), nulls).with_precision_and_scale(precision, scale)?));
    }
    Ok(Arc::new(Decimal256Array::new(values.into(), nulls).with_precision_and_scale(precision, scale)?))
}

fn widen(array: &dyn Array) -> Result<(Decimal256Array, i8)> {
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let narrow = array.as_primitive::<Decimal128Type>();
            let values: Vec<i256> = narrow.values().iter().map(|value| i256::from_i128(*value)).collect();
            Ok((Decimal256Array::new(values.into(), narrow.nulls().cloned()), *scale))
        }
        DataType::Decimal256(_, scale) => Ok((array.as_primitive::<Decimal256Type>().clone(), *scale)),
        other => Err(DataFusionError::Internal(format!("{other} is no decimal"))),
    }
}

/// One result at `scale`; `None` is an overflow of 256 bits.
fn combine(op: Arithmetic, (left, s1): (i256, i8), (right, s2): (i256, i8), scale: i8) -> Result<Option<i256>> {
    let shift = |value: i256, by: i32| {
        if by >= 0 {
            value.checked_mul(decimal::power_i256(by.min(76) as u8))
        } else {
            decimal::divide_i256(value, decimal::power_i256((-by).min(76) as u8))
        }
    };
    let zero = || DataFusionError::Execution(format!("division by zero in '{}'", op.symbol()));
    let (s1, s2, scale) = (i32::from(s1), i32::from(s2), i32::from(scale));
    Ok(match op {
        Arithmetic::Add => shift(left, scale - s1).zip(shift(right, scale - s2)).and_then(|(a, b)| a.checked_add(b)),
        Arithmetic::Subtract => {
            shift(left, scale - s1).zip(shift(right, scale - s2)).and_then(|(a, b)| a.checked_sub(b))
        }
        Arithmetic::Multiply => left.checked_mul(right).and_then(|product| shift(product, scale - s1 - s2)),
        Arithmetic::Divide => {
            if right == i256::ZERO {
                return Err(zero());
            }
            // left/10^s1 divided by right/10^s2, in units of 10^-scale: left * 10^(scale - s1 + s2) / right, rounded once.
            let up = scale - s1 + s2;
            if up >= 0 {
                shift(left, up).and_then(|numerator| decimal::divide_i256(numerator, right))
            } else {
                shift(right, -up).and_then(|denominator| decimal::divide_i256(left, denominator))
            }
        }
        Arithmetic::Remainder => {
            if right == i256::ZERO {
                return Err(zero());
            }
            shift(left, scale - s1).zip(shift(right, scale - s2)).and_then(|(a, b)| a.checked_rem(b))
        }
    })
}

/// The arithmetic function behind a call, if it is one.
pub fn as_arithmetic(function: &ScalarUDF) -> Option<&ArithmeticFunction> {
    (function.inner().as_ref() as &dyn Any).downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(op: Arithmetic, left: DataType, right: DataType) -> DataType {
        signature(op, &left, &right).unwrap().result
    }

    #[test]
    fn result_types_are_those_of_the_specification() {
        let d = types::decimal;
        assert_eq!(types(Arithmetic::Add, d(18, 4), d(10, 2)), d(19, 4));
        assert_eq!(types(Arithmetic::Multiply, d(18, 4), d(18, 4)), d(36, 8));
        assert_eq!(types(Arithmetic::Multiply, d(18, 4), DataType::Int64), d(37, 4));
        assert_eq!(types(Arithmetic::Divide, d(18, 4), DataType::Int64), d(38, 16));
        assert_eq!(types(Arithmetic::Divide, d(40, 4), d(2, 0)), d(76, 16));
        assert_eq!(types(Arithmetic::Add, DataType::Int32, DataType::Int64), DataType::Int64);
        assert_eq!(types(Arithmetic::Add, DataType::Int64, DataType::Float32), DataType::Float64);
        assert!(signature(Arithmetic::Multiply, &d(38, 20), &d(38, 19)).is_err());
        assert!(signature(Arithmetic::Add, &DataType::Utf8, &DataType::Int64).is_err());
    }

    fn run(op: Arithmetic, left: (i128, u8, i8), right: (i128, u8, i8)) -> Result<String> {
        let array = |(value, precision, scale): (i128, u8, i8)| {
            Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap()
        };
        let (left, right) = (array(left), array(right));
        let result = signature(op, left.data_type(), right.data_type()).unwrap().result;
        let out = apply(op, &result, &left, &right)?;
        assert_eq!(out.data_type(), &result);
        Ok(arrow_cast::display::array_value_to_string(&out, 0).unwrap())
    }

    #[test]
    fn exact_and_rounded_once() {
        assert_eq!(run(Arithmetic::Divide, (2, 18, 4), (3, 10, 0)).unwrap(), "0.0000666666666667");
        assert_eq!(run(Arithmetic::Divide, (-2, 18, 4), (3, 10, 0)).unwrap(), "-0.0000666666666667");
        assert_eq!(run(Arithmetic::Multiply, (12345, 18, 4), (-3, 18, 4)).unwrap(), "-0.00037035");
        assert_eq!(run(Arithmetic::Remainder, (75, 4, 1), (2, 4, 0)).unwrap(), "1.5");
        assert!(run(Arithmetic::Divide, (1, 4, 0), (0, 4, 0)).unwrap_err().to_string().contains("division by zero"));
        let most = 10_i128.pow(38) - 1;
        assert!(run(Arithmetic::Add, (most, 38, 0), (1, 1, 0)).unwrap_err().to_string().contains("overflow"));
    }
}
