//! A function of ours as one of the library's: which types it takes, what it gives, and its kernel over columns.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, StringArray};
use arrow_schema::DataType;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use velo_core::types;

/// What the arguments are converted to and what comes out; `None` where a function does not take such arguments.
pub type Types = dyn Fn(&[DataType]) -> Option<(Vec<DataType>, DataType)> + Send + Sync;

/// Computes a column.
pub type Kernel = dyn Fn(&Inputs<'_>) -> Result<ArrayRef> + Send + Sync;

/// One function.
pub struct Own {
    name: &'static str,
    types: Box<Types>,
    run: Box<Kernel>,
    signature: Signature,
}

/// A function that gives the same for the same arguments.
pub fn own(
    name: &'static str,
    types: impl Fn(&[DataType]) -> Option<(Vec<DataType>, DataType)> + Send + Sync + 'static,
    run: impl Fn(&Inputs<'_>) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Own { name, types: Box::new(types), run: Box::new(run), signature }))
}

/// A function that may give something else every time.
pub fn volatile(
    name: &'static str,
    types: impl Fn(&[DataType]) -> Option<(Vec<DataType>, DataType)> + Send + Sync + 'static,
    run: impl Fn(&Inputs<'_>) -> Result<ArrayRef> + Send + Sync + 'static,
) -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Volatile);
    Arc::new(ScalarUDF::new_from_impl(Own { name, types: Box::new(types), run: Box::new(run), signature }))
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Own {}

impl Hash for Own {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Own {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match (self.types)(given) {
            Some((taken, _)) => Ok(taken),
            None => Err(DataFusionError::Plan(format!("{} does not take these arguments", self.name))),
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match (self.types)(given) {
            Some((_, result)) => Ok(result),
            None => Err(DataFusionError::Plan(format!("{} does not take these arguments", self.name))),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_))) && !args.args.is_empty();
        let rows = if scalar { 1 } else { args.number_rows };
        let values = args.args.iter().map(|value| match value {
            ColumnarValue::Array(array) => Ok((Arc::clone(array), false)),
            ColumnarValue::Scalar(scalar) => Ok((scalar.to_array()?, true)),
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        let array = (self.run)(&Inputs { values, rows, result: args.return_field.data_type() })?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}

/// The arguments of one call: columns, and constants as columns of one row.
pub struct Inputs<'a> {
    values: Vec<(ArrayRef, bool)>,
    /// How many rows come out.
    pub rows: usize,
    /// What comes out.
    pub result: &'a DataType,
}

impl Inputs<'_> {
    /// How many arguments there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// An argument's column, and whether it is a constant.
    pub fn column(&self, at: usize) -> Result<(&ArrayRef, bool)> {
        let found = self.values.get(at).map(|(array, scalar)| (array, *scalar));
        found.ok_or_else(|| DataFusionError::Internal(format!("there is no argument {at}")))
    }

    /// An argument as a column of all rows.
    pub fn full(&self, at: usize) -> Result<ArrayRef> {
        let (array, scalar) = self.column(at)?;
        if !scalar {
            return Ok(Arc::clone(array));
        }
        Ok(arrow_select::take::take(array, &arrow_array::UInt32Array::from(vec![0; self.rows]), None)?)
    }

    /// An argument that is text.
    pub fn text(&self, at: usize) -> Result<Texts<'_>> {
        let (array, scalar) = self.column(at)?;
        let array = array.as_string_opt::<i32>();
        array
            .map(|array| Texts { array, scalar })
            .ok_or_else(|| DataFusionError::Internal(format!("argument {at} is no text")))
    }

    /// An argument of this type.
    pub fn values<T: ArrowPrimitiveType>(&self, at: usize) -> Result<Values<'_, T>> {
        let (array, scalar) = self.column(at)?;
        let array = array.as_primitive_opt::<T>();
        array
            .map(|array| Values { array, scalar })
            .ok_or_else(|| DataFusionError::Internal(format!("argument {at} is no {}", T::DATA_TYPE)))
    }
}

/// Texts by row.
#[derive(Clone, Copy)]
pub struct Texts<'a> {
    array: &'a StringArray,
    scalar: bool,
}

impl<'a> Texts<'a> {
    /// The text of a row.
    #[inline]
    pub fn at(&self, row: usize) -> Option<&'a str> {
        let row = if self.scalar { 0 } else { row };
        self.array.is_valid(row).then(|| self.array.value(row))
    }
}

/// Values by row.
pub struct Values<'a, T: ArrowPrimitiveType> {
    array: &'a PrimitiveArray<T>,
    scalar: bool,
}

// Derived, they would ask the same of the type.
impl<T: ArrowPrimitiveType> Clone for Values<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ArrowPrimitiveType> Copy for Values<'_, T> {}

impl<T: ArrowPrimitiveType> Values<'_, T> {
    /// The value of a row.
    #[inline]
    pub fn at(&self, row: usize) -> Option<T::Native> {
        let row = if self.scalar { 0 } else { row };
        self.array.is_valid(row).then(|| self.array.value(row))
    }
}

/// A failure that a user can do something about.
pub fn failed<T>(message: impl Into<String>) -> Result<T> {
    Err(DataFusionError::Execution(message.into()))
}

/// What is read once and used for many rows: a pattern, a unit, a path. Of texts it keeps the last one.
pub struct Kept<V> {
    last: Option<(String, V)>,
}

impl<V> Kept<V> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { last: None }
    }

    /// What `text` means.
    pub fn of(&mut self, text: &str, read: impl FnOnce(&str) -> Result<V>) -> Result<&mut V> {
        if self.last.as_ref().is_none_or(|(known, _)| known != text) {
            self.last = Some((text.to_owned(), read(text)?));
        }
        match &mut self.last {
            Some((_, value)) => Ok(value),
            None => Err(DataFusionError::Internal("nothing was kept".to_owned())),
        }
    }
}

/// Whether this can be a text.
pub fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
}

/// Whether this can be a number.
pub fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || data_type.is_null()
}

/// Whether this can be a point in time.
pub fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Null) || is_text(data_type)
}

/// The type in which a time is computed: nanoseconds stay, everything else counts in microseconds.
pub fn time_type(data_type: &DataType) -> DataType {
    if *data_type == types::TIMESTAMP_NANOS { types::TIMESTAMP_NANOS } else { types::TIMESTAMP }
}
