//! What two programs wrote, compared row by row before any time counts.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Rows by the texts of their keys; the values by name.
type Rows = BTreeMap<Vec<String>, BTreeMap<String, String>>;

/// How far means may be apart, relative to their size: one side computes them in binary floats.
const TOLERANCE: f64 = 1e-9;

/// Compares two files of JSON lines with the same columns; `keys` tell rows apart, and `mean` is the one column that may differ in
/// its last digits. Returns the number of rows.
pub fn compare(ours: &Path, theirs: &Path, keys: &[&str]) -> Result<usize> {
    let (ours, theirs) = (read(ours, keys)?, read(theirs, keys)?);
    if ours.len() != theirs.len() {
        bail!("the results differ: {} rows and {} rows", ours.len(), theirs.len());
    }
    for (key, row) in &ours {
        let Some(other) = theirs.get(key) else { bail!("the results differ: only one has {}", key.join(", ")) };
        let same = row.len() == other.len()
            && row.iter().all(|(name, value)| other.get(name).is_some_and(|other| equal(name, value, other)));
        if !same {
            bail!("the results differ at {}: {row:?} and {other:?}", key.join(", "));
        }
    }
    Ok(ours.len())
}

fn read(path: &Path, keys: &[&str]) -> Result<Rows> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    rows(&text, keys).with_context(|| format!("in {}", path.display()))
}

fn rows(text: &str, keys: &[&str]) -> Result<Rows> {
    let mut rows = Rows::new();
    for line in text.lines() {
        let row: BTreeMap<String, Value> = serde_json::from_str(line).with_context(|| format!("no object: {line}"))?;
        let mut values: BTreeMap<String, String> = row.into_iter().map(|(name, value)| (name, plain(&value))).collect();
        let key = keys.iter().map(|key| values.remove(*key).unwrap_or_default()).collect();
        if rows.insert(key, values).is_some() {
            bail!("two rows of one key: {line}");
        }
    }
    Ok(rows)
}

/// A value's text, the same whether it is written as a number or in quotes, and without zeros that change nothing.
fn plain(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let is_decimal = text.contains('.') && text.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte));
    if is_decimal { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn equal(name: &str, one: &str, other: &str) -> bool {
    if one == other || name != "mean" {
        return one == other;
    }
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        let (one, other) = (rows(one, &["k"]).unwrap(), rows(other, &["k"]).unwrap());
        one.iter().all(|(key, row)| {
            other.get(key).is_some_and(|other| row.iter().all(|(name, value)| equal(name, value, &other[name])))
        })
    }

    #[test]
    fn numbers_are_equal_however_they_are_written() {
        assert!(same(r#"{"k":"a","total":10.5000}"#, r#"{"total":"10.5","k":"a"}"#));
        assert!(!same(r#"{"k":"a","total":10.5}"#, r#"{"k":"a","total":10.51}"#));
        assert!(!same(r#"{"k":"a","total":10.5}"#, r#"{"k":"b","total":10.5}"#));
        assert!(same(r#"{"k":"a","total":100}"#, r#"{"k":"a","total":100}"#));
        assert!(!same(r#"{"k":"a","total":100}"#, r#"{"k":"a","total":1}"#));
    }

    #[test]
    fn means_alone_may_differ_in_their_last_digits() {
        assert!(same(r#"{"k":1,"mean":0.3333333333333333}"#, r#"{"k":1,"mean":0.33333333333333331}"#));
        assert!(!same(r#"{"k":1,"mean":0.333}"#, r#"{"k":1,"mean":0.334}"#));
        assert!(!same(r#"{"k":1,"low":0.3333333333333333}"#, r#"{"k":1,"low":0.33333333333333331}"#));
    }

    #[test]
    fn a_key_comes_once() {
        assert!(rows("{\"k\":1}\n{\"k\":1}\n", &["k"]).is_err());
    }
}
