//! Functions of JSON: `->`, `->>`, JSON_VALUE, JSON_QUERY, JSON_EXTRACT, JSON_EXISTS and their like, and JSON made of values.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow_schema::DataType;
use datafusion_common::Result;
use datafusion_expr::{Expr, ScalarUDF};
use velo_core::{table_text, types};

use super::json_text::{self, Kind, Path};
use super::own::{Inputs, Kept, failed, is_text, own};

/// The functions whose result is JSON, so that a column of it has that type.
const JSON_RESULTS: &[&str] =
    &["json_get", "json_query", "json_extract", "parse_json", "to_json", "json_object", "json_array"];

/// Whether an expression gives JSON.
pub fn gives_json(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if JSON_RESULTS.contains(&call.func.name()))
}

fn texts_to(given: &[DataType], count: usize, result: DataType) -> Option<(Vec<DataType>, DataType)> {
    (given.len() == count && given.iter().all(is_text)).then(|| (vec![DataType::Utf8; count], result))
}

/// JSON, and a key or a place.
fn json_and_step(given: &[DataType]) -> Option<(Vec<DataType>, DataType)> {
    match given {
        [json, key] if is_text(json) && is_text(key) => Some((vec![DataType::Utf8; 2], DataType::Utf8)),
        [json, at] if is_text(json) && at.is_integer() => Some((vec![DataType::Utf8, DataType::Int64], DataType::Utf8)),
        _ => None,
    }
}

/// All of them.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    use DataType::{Boolean, Int64, Utf8};
    let path = |given: &[DataType]| texts_to(given, 2, Utf8);
    vec![
        own("json_get", json_and_step, |inputs| step(inputs, |text, _| Some(text.to_owned()))),
        own("json_get_text", json_and_step, |inputs| step(inputs, as_text)),
        own("json_value", path, |inputs| {
            found(inputs, |all| match all {
                [(text, kind)] if !matches!(kind, Kind::Object | Kind::Array) => as_text(text, *kind),
                _ => None,
            })
        }),
        own("json_query", path, |inputs| found(inputs, |all| json_of(all).filter(|text| text.starts_with(['{', '['])))),
        own("json_extract", path, |inputs| found(inputs, json_of)),
        own("json_extract_string", path, |inputs| {
            found(inputs, |all| match all {
                [(text, kind)] => as_text(text, *kind),
                _ => json_of(all),
            })
        }),
        own(
            "json_exists",
            |given| texts_to(given, 2, Boolean),
            |inputs| {
                let exists = search(inputs, |all| Some(!all.is_empty()))?;
                Ok(Arc::new(exists.into_iter().collect::<BooleanArray>()))
            },
        ),
        own(
            "json_array_length",
            |given| texts_to(given, 1, Int64),
            |inputs| {
                let lengths = each(inputs, |text, _| json_text::elements_of(text).map(|all| all.len() as i64))?;
                Ok(Arc::new(lengths.into_iter().collect::<Int64Array>()))
            },
        ),
        own(
            "json_typeof",
            |given| texts_to(given, 1, Utf8),
            |inputs| {
                let names = each(inputs, |_, kind| Some(kind.name()))?;
                Ok(Arc::new(names.into_iter().collect::<StringArray>()))
            },
        ),
        own("json_keys", |given| texts_to(given, 1, types::array(Utf8)), keys),
        own(
            "parse_json",
            |given| texts_to(given, 1, Utf8),
            |inputs| {
                let column = inputs.text(0)?;
                for text in (0..inputs.rows).filter_map(|row| column.at(row)) {
                    if json_text::value(text).is_none() {
                        return failed(format!("'{}' is not JSON", shortened(text)));
                    }
                }
                inputs.full(0)
            },
        ),
        // `kind` is one of IS JSON's: value, object, array, scalar.
        own(
            "is_json",
            |given| texts_to(given, 2, Boolean),
            |inputs| {
                let (column, kinds) = (inputs.text(0)?, inputs.text(1)?);
                let is = (0..inputs.rows).map(|row| {
                    let (text, wanted) = (column.at(row)?, kinds.at(row)?);
                    let kind = json_text::value(text).map(|(_, kind)| kind);
                    Some(match wanted {
                        "object" => kind == Some(Kind::Object),
                        "array" => kind == Some(Kind::Array),
                        "scalar" => kind.is_some_and(|kind| !matches!(kind, Kind::Object | Kind::Array)),
                        _ => kind.is_some(),
                    })
                });
                Ok(Arc::new(is.collect::<BooleanArray>()))
            },
        ),
        own(
            "to_json",
            |given| (given.len() == 1).then(|| (given.to_vec(), Utf8)),
            |inputs| {
                let column = inputs.full(0)?;
                let texts =
                    (0..inputs.rows).map(|row| (!column.is_null(row)).then(|| json_value(column.as_ref(), row)));
                Ok(Arc::new(texts.collect::<StringArray>()))
            },
        ),
        own(
            "json_object",
            |given| {
                let keys = given.len() % 2 == 0 && given.iter().step_by(2).all(is_text);
                let taken = given.iter().enumerate().map(|(at, given)| if at % 2 == 0 { Utf8 } else { given.clone() });
                keys.then(|| (taken.collect(), Utf8))
            },
            object,
        ),
        own(
            "json_array",
            |given| Some((given.to_vec(), Utf8)),
            |inputs| {
                let columns = (0..inputs.len()).map(|at| inputs.full(at)).collect::<Result<Vec<_>>>()?;
                let arrays = (0..inputs.rows).map(|row| {
                    let values: Vec<String> = columns.iter().map(|column| json_value(column.as_ref(), row)).collect();
                    Some(format!("[{}]", values.join(",")))
                });
                Ok(Arc::new(arrays.collect::<StringArray>()))
            },
        ),
    ]
}

fn shortened(text: &str) -> String {
    if text.chars().count() > 40 {
        format!("{}…", text.chars().take(40).collect::<String>())
    } else {
        text.to_owned()
    }
}

/// A value as text: a string without its quotes, and null as NULL.
fn as_text(text: &str, kind: Kind) -> Option<String> {
    match kind {
        Kind::Null => None,
        Kind::String => Some(json_text::unquoted(text)),
        _ => Some(text.to_owned()),
    }
}

/// What was found as JSON: several values as an array.
fn json_of(all: &[(&str, Kind)]) -> Option<String> {
    match all {
        [] => None,
        [(text, _)] => Some((*text).to_owned()),
        several => Some(format!("[{}]", several.iter().map(|(text, _)| *text).collect::<Vec<_>>().join(","))),
    }
}

/// Each value of the first argument that is JSON; what is none gives NULL.
fn each<V>(inputs: &Inputs<'_>, f: impl Fn(&str, Kind) -> Option<V>) -> Result<Vec<Option<V>>> {
    let column = inputs.text(0)?;
    Ok((0..inputs.rows)
        .map(|row| column.at(row).and_then(json_text::value).and_then(|(text, kind)| f(text, kind)))
        .collect())
}

/// `json -> key` and `json -> place`.
fn step(inputs: &Inputs<'_>, f: impl Fn(&str, Kind) -> Option<String>) -> Result<ArrayRef> {
    let column = inputs.text(0)?;
    let root = |row: usize| column.at(row).and_then(json_text::value).map(|(text, _)| text);
    let part = |found: Option<(&str, Kind)>| found.and_then(|(text, kind)| f(text, kind));
    let parts: StringArray = if *inputs.column(1)?.0.data_type() == DataType::Int64 {
        let places = inputs.values::<Int64Type>(1)?;
        let found = |row| root(row).zip(places.at(row)).and_then(|(text, at)| json_text::element(text, at));
        (0..inputs.rows).map(|row| part(found(row))).collect()
    } else {
        let keys = inputs.text(1)?;
        let found = |row| root(row).zip(keys.at(row)).and_then(|(text, key)| json_text::member(text, key));
        (0..inputs.rows).map(|row| part(found(row))).collect()
    };
    Ok(Arc::new(parts))
}

fn search<V>(inputs: &Inputs<'_>, f: impl Fn(&[(&str, Kind)]) -> Option<V>) -> Result<Vec<Option<V>>> {
    let (column, paths) = (inputs.text(0)?, inputs.text(1)?);
    let mut kept = Kept::new();
    (0..inputs.rows)
        .map(|row| {
            let (Some(text), Some(path)) = (column.at(row), paths.at(row)) else { return Ok(None) };
            let path = kept.of(path, |path| Path::read(path).or_else(failed))?;
            let found = json_text::value(text).map(|root| path.find(root)).unwrap_or_default();
            // A path with a wildcard gives an array, of however many values.
            if path.is_many() && found.len() == 1 {
                let array = format!("[{}]", found[0].0);
                return Ok(f(&[(&array, Kind::Array)]));
            }
            Ok(f(&found))
        })
        .collect()
}

fn found(inputs: &Inputs<'_>, f: impl Fn(&[(&str, Kind)]) -> Option<String>) -> Result<ArrayRef> {
    Ok(Arc::new(search(inputs, f)?.into_iter().collect::<StringArray>()))
}

fn keys(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let mut builder = ListBuilder::new(StringBuilder::new());
    if let DataType::List(field) = inputs.result {
        builder = builder.with_field(Arc::clone(field));
    }
    for found in each(inputs, |text, _| json_text::keys(text))? {
        match found {
            Some(keys) => {
                keys.iter().for_each(|key| builder.values().append_value(key));
                builder.append(true);
            }
            None => builder.append(false),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// `JSON_OBJECT(key, value, …)`: null keys are left out.
fn object(inputs: &Inputs<'_>) -> Result<ArrayRef> {
    let columns = (0..inputs.len()).map(|at| inputs.full(at)).collect::<Result<Vec<_>>>()?;
    let objects = (0..inputs.rows).map(|row| {
        let members = columns.chunks(2).filter_map(|pair| {
            let [key, value] = pair else { return None };
            let key = table_text::value_text(key.as_ref(), row)?;
            Some(format!("{}:{}", json_text::quoted(&key), json_value(value.as_ref(), row)))
        });
        Some(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
    });
    Ok(Arc::new(objects.collect::<StringArray>()))
}

/// A value as JSON: numbers with their own digits, arrays, maps and structs as such, everything else as its text.
fn json_value(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) || *column.data_type() == DataType::Null {
        return "null".to_owned();
    }
    let list = |items: ArrayRef| {
        let items: Vec<String> = (0..items.len()).map(|at| json_value(items.as_ref(), at)).collect();
        format!("[{}]", items.join(","))
    };
    match column.data_type() {
        DataType::List(_) => list(column.as_list::<i32>().value(row)),
        DataType::Struct(fields) => {
            let column = column.as_struct();
            let members = fields.iter().zip(column.columns()).map(|(field, value)| {
                format!("{}:{}", json_text::quoted(field.name()), json_value(value.as_ref(), row))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let members = (0..entries.len()).map(|at| {
                let key = table_text::value_text(keys.as_ref(), at).unwrap_or_default();
                format!("{}:{}", json_text::quoted(&key), json_value(values.as_ref(), at))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        data_type => {
            let text = table_text::value_text(column, row).unwrap_or_default();
            let bare = *data_type == DataType::Boolean
                || (data_type.is_numeric() && json_text::value(&text).is_some_and(|(_, kind)| kind == Kind::Number));
            if bare { text } else { json_text::quoted(&text) }
        }
    }
}
