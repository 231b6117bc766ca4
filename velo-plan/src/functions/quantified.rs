//! `x op ANY (array)` and `x op ALL (array)`, with SQL's three values.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow_ord::cmp;
use arrow_schema::DataType;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::ScalarUDF;

use super::own::{Inputs, own};

/// The comparisons by the names of their functions.
pub const COMPARISONS: &[(&str, &str, &str)] = &[
    ("=", "any_equal", "all_equal"),
    ("<>", "any_unequal", "all_unequal"),
    ("<", "any_less", "all_less"),
    ("<=", "any_at_most", "all_at_most"),
    (">", "any_greater", "all_greater"),
    (">=", "any_at_least", "all_at_least"),
];

/// The function of a comparison; the value and the elements have one type already.
pub fn function(op: &str, all: bool) -> Option<Arc<ScalarUDF>> {
    let (op, any_name, all_name) = COMPARISONS.iter().copied().find(|(known, ..)| *known == op)?;
    let types = |given: &[DataType]| match given {
        [_, DataType::List(_)] => Some((given.to_vec(), DataType::Boolean)),
        _ => None,
    };
    Some(own(if all { all_name } else { any_name }, types, move |inputs| quantified(inputs, op, all)))
}

fn quantified(inputs: &Inputs<'_>, op: &str, all: bool) -> Result<ArrayRef> {
    let (values, lists) = (inputs.full(0)?, inputs.full(1)?);
    let lists = lists.as_list_opt::<i32>().ok_or_else(|| DataFusionError::Internal("ANY needs an array".to_owned()))?;
    // Every element beside the value of its row, all in one comparison.
    let offsets = lists.value_offsets();
    let (first, last) = (offsets[0], offsets[lists.len()]);
    let elements = lists.values().slice(first as usize, (last - first) as usize);
    let rows: UInt32Array =
        (0..lists.len()).flat_map(|row| (offsets[row]..offsets[row + 1]).map(move |_| row as u32)).collect();
    let beside = arrow_select::take::take(&values, &rows, None)?;
    let compared: BooleanArray = match op {
        "=" => cmp::eq(&beside, &elements)?,
        "<>" => cmp::neq(&beside, &elements)?,
        "<" => cmp::lt(&beside, &elements)?,
        "<=" => cmp::lt_eq(&beside, &elements)?,
        ">" => cmp::gt(&beside, &elements)?,
        _ => cmp::gt_eq(&beside, &elements)?,
    };
    let answers = (0..lists.len()).map(|row| {
        if lists.is_null(row) {
            return None;
        }
        let (from, to) = ((offsets[row] - first) as usize, (offsets[row + 1] - first) as usize);
        // One that decides does so whatever is unknown.
        let mut answer = Some(all);
        for at in from..to {
            if compared.is_null(at) {
                answer = None;
            } else if compared.value(at) != all {
                return Some(!all);
            }
        }
        answer
    });
    Ok(Arc::new(answers.collect::<BooleanArray>()))
}
