//! Aggregates that the library lacks: PERCENTILE_DISC and JSON_OBJECTAGG.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, TypeSignature, Volatility};
use velo_core::{table_text, types};

/// All of them.
pub fn functions() -> Vec<Arc<AggregateUDF>> {
    vec![
        Arc::new(AggregateUDF::new_from_impl(PercentileDisc::new())),
        Arc::new(AggregateUDF::new_from_impl(JsonObjectAgg::new())),
    ]
}

/// A list of values as one state column.
fn list_state(name: &str, element: DataType) -> FieldRef {
    Arc::new(Field::new(name, types::array(element), true))
}

fn to_list(values: &[ScalarValue], element: &DataType) -> ScalarValue {
    ScalarValue::List(ScalarValue::new_list_nullable(values, element))
}

/// `PERCENTILE_DISC(value, fraction)`: the smallest value whose rank is at least the fraction of all.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PercentileDisc {
    signature: Signature,
}

impl PercentileDisc {
    fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for PercentileDisc {
    fn name(&self) -> &str {
        "percentile_disc"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types
            .first()
            .cloned()
            .ok_or_else(|| DataFusionError::Internal("PERCENTILE_DISC takes two arguments".to_owned()))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Ranked { values: Vec::new(), fraction: None, of: args.return_field.data_type().clone() }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![
            list_state("values", args.return_field.data_type().clone()),
            Arc::new(Field::new("fraction", DataType::Float64, true)),
        ])
    }
}

#[derive(Debug)]
struct Ranked {
    values: Vec<ScalarValue>,
    fraction: Option<f64>,
    of: DataType,
}

impl Accumulator for Ranked {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values, fractions] = values else {
            return Err(DataFusionError::Internal("PERCENTILE_DISC takes two arguments".to_owned()));
        };
        if self.fraction.is_none() && !fractions.is_empty() {
            let fractions = arrow_cast::cast(fractions, &DataType::Float64)?;
            let fraction = fractions.as_primitive::<arrow_array::types::Float64Type>().value(0);
            if fractions.is_null(0) || !(0.0..=1.0).contains(&fraction) {
                return Err(DataFusionError::Execution(
                    "the fraction of PERCENTILE_DISC is between 0 and 1".to_owned(),
                ));
            }
            self.fraction = Some(fraction);
        }
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            self.values.push(ScalarValue::try_from_array(values, row)?);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some(fraction) = self.fraction.filter(|_| !self.values.is_empty()) else {
            return ScalarValue::try_from(&self.of);
        };
        self.values.sort_by(|left, right| left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal));
        // A fraction of 0 means the first value too.
        let rank = (fraction * self.values.len() as f64).ceil().max(1.0) as usize;
        Ok(self.values[rank.min(self.values.len()) - 1].clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.iter().map(ScalarValue::size).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![to_list(&self.values, &self.of), ScalarValue::Float64(self.fraction)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [lists, fractions] = states else {
            return Err(DataFusionError::Internal("PERCENTILE_DISC has two states".to_owned()));
        };
        let fractions = fractions.as_primitive::<arrow_array::types::Float64Type>();
        for row in 0..lists.len() {
            if fractions.is_valid(row) {
                self.fraction = Some(fractions.value(row));
            }
            if lists.is_valid(row) {
                let values = lists.as_list::<i32>().value(row);
                for at in 0..values.len() {
                    self.values.push(ScalarValue::try_from_array(&values, at)?);
                }
            }
        }
        Ok(())
    }
}

/// `JSON_OBJECTAGG(key, value)`: a JSON object; of equal keys the last one counts, null keys are left out.
#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonObjectAgg {
    signature: Signature,
}

impl JsonObjectAgg {
    fn new() -> Self {
        Self { signature: Signature::one_of(vec![TypeSignature::Any(2)], Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for JsonObjectAgg {
    fn name(&self) -> &str {
        "json_objectagg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Object { members: serde_json::Map::new() }))
    }

    fn state_fields(&self, _: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new("object", DataType::Utf8, true))])
    }
}

#[derive(Debug)]
struct Object {
    members: serde_json::Map<String, serde_json::Value>,
}

impl Accumulator for Object {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [keys, values] = values else {
            return Err(DataFusionError::Internal("JSON_OBJECTAGG takes two arguments".to_owned()));
        };
        let keys = arrow_cast::cast(keys, &DataType::Utf8)?;
        let keys = keys.as_string::<i32>();
        for row in (0..keys.len()).filter(|row| keys.is_valid(*row)) {
            let value = json_value(values, row)?;
            // The place of a key is that of its last value, as in a JSON object that is written anew.
            self.members.shift_remove(keys.value(row));
            self.members.insert(keys.value(row).to_owned(), value);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.members.is_empty() {
            return Ok(ScalarValue::Utf8(None));
        }
        Ok(ScalarValue::Utf8(Some(serde_json::Value::Object(self.members.clone()).to_string())))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.members.keys().map(|key| key.len() + 64).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(objects) = states.first().map(|states| states.as_string::<i32>()) else { return Ok(()) };
        for row in (0..objects.len()).filter(|row| objects.is_valid(*row)) {
            let parsed = serde_json::from_str(objects.value(row));
            let members: serde_json::Map<String, serde_json::Value> =
                parsed.map_err(|error| DataFusionError::Internal(format!("a state of JSON_OBJECTAGG: {error}")))?;
            for (key, value) in members {
                self.members.shift_remove(&key);
                self.members.insert(key, value);
            }
        }
        Ok(())
    }
}

/// A value as JSON: numbers with their own digits, everything else as its text.
fn json_value(values: &ArrayRef, row: usize) -> Result<serde_json::Value> {
    let Some(text) = table_text::value_text(values.as_ref(), row) else { return Ok(serde_json::Value::Null) };
    Ok(match values.data_type() {
        DataType::Boolean => serde_json::Value::Bool(text == "true"),
        number if number.is_numeric() => match serde_json::from_str(&text) {
            Ok(number) => number,
            // NaN and the infinities are no JSON numbers.
            Err(_) => serde_json::Value::String(text),
        },
        _ => serde_json::Value::String(text),
    })
}
