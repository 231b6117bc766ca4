//! States of a GROUP BY that are not of the statement, or are damaged: they are refused, and nothing panics.

use std::sync::Arc;

use crate::restarts_groups::{is_session, windows};
use crate::support;
use crate::support::changelog::emission;
use crate::support::sim::{random_partitions, stamp};
use crate::support::{Calls, SECOND, many_calls, spec, window};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::DataType;
use velo_core::{Batch, Watermark};
use velo_exec::checkpoint::{OperatorState, Share};
use velo_exec::operator::GroupSpec;
use velo_exec::testing::Random;

/// Queries of every operator, each with what it has saved in the middle of its input.
fn saved_states() -> Vec<(GroupSpec, OperatorState)> {
    let mut all = Vec::new();
    for window in windows().into_iter().map(Some).chain([None]) {
        for (early, retracts) in [(false, false), (true, false), (true, true)] {
            let query = spec(&["key"], many_calls(), window.clone());
            let query = GroupSpec { emission: emission(early, false, None), retracts, ..query };
            let mut harness = support::changelog::harness(&query);
            let mut input = random_partitions(&mut Random::new(3), 1, 60, 4, true);
            stamp(&mut input, 4 * SECOND);
            let mut highest = i64::MIN;
            for rows in input[0].chunks(20) {
                harness.batch(Batch { origin: None, ..support::batch(rows) }).unwrap();
                highest = rows.iter().map(|row| row.time).max().unwrap().max(highest);
                harness.watermark(Watermark(highest - 4 * SECOND)).unwrap();
            }
            let saved = harness.save().unwrap();
            assert!(!saved.tables.is_empty());
            all.push((query, saved));
        }
    }
    all
}

fn load(query: &GroupSpec, saved: OperatorState) -> Result<(), String> {
    support::changelog::harness(query).load(vec![saved], Share::WHOLE).map_err(|error| error.to_string())
}

/// The state of another statement is refused.
#[test]
fn a_foreign_state_is_refused() {
    for (query, saved) in saved_states() {
        load(&query, saved.clone()).unwrap();
        // One aggregate less.
        let other = spec(&["key"], Calls::new().count_all(), query.window.clone());
        let other = GroupSpec { emission: query.emission, retracts: query.retracts, ..other };
        let error = load(&other, saved.clone()).unwrap_err();
        assert!(error.contains("cannot be used"), "{error}");
        // A key of another type.
        let other = spec(&["quantity"], many_calls(), query.window.clone());
        let other = GroupSpec { emission: query.emission, retracts: query.retracts, ..other };
        let error = load(&other, saved.clone()).unwrap_err();
        assert!(error.contains("cannot be used"), "{error}");
        // Other windows.
        if query.window.as_ref().is_some_and(|window| !is_session(window)) {
            let other = GroupSpec { window: Some(window("tumbling", 11, 0, 4)), ..query.clone() };
            let error = load(&other, saved).unwrap_err();
            assert!(error.contains("cannot be used"), "{error}");
        }
    }
}

/// Whatever stands in a state, reading it is no panic.
#[test]
fn a_damaged_state_is_an_error() {
    for (query, saved) in saved_states() {
        for (name, batches) in &saved.tables {
            let first = batches[0].here().unwrap().unwrap();
            let columns = first.num_columns();
            for at in 0..columns {
                let change = |with: &dyn Fn(&RecordBatch) -> RecordBatch| {
                    let mut damaged = saved.clone();
                    let batches = damaged.tables.get_mut(name).unwrap();
                    *batches = batches.iter().map(|rows| with(&rows.here().unwrap().unwrap()).into()).collect();
                    load(&query, damaged)
                };
                let without = |batch: &RecordBatch| {
                    batch.project(&(0..columns).filter(|column| *column != at).collect::<Vec<_>>()).unwrap()
                };
                if at + 1 < columns && name != "late" && name != "held" {
                    let error = change(&without).unwrap_err();
                    assert!(error.contains("cannot be used"), "{name}: {error}");
                }
                let field = first.schema().field(at).clone();
                if field.name().starts_with("$state") {
                    continue;
                }
                for value in [i64::MIN, -1, 1, i64::MAX] {
                    let replaced = |batch: &RecordBatch| {
                        let column: ArrayRef = match field.data_type() {
                            DataType::Int64 => Arc::new(Int64Array::from_value(value, batch.num_rows())),
                            DataType::Timestamp(..) => {
                                Arc::new(TimestampMicrosecondArray::from_value(value, batch.num_rows()))
                            }
                            _ => return batch.clone(),
                        };
                        let mut columns = batch.columns().to_vec();
                        columns[at] = column;
                        RecordBatch::try_new(batch.schema(), columns).unwrap()
                    };
                    if let Err(error) = change(&replaced) {
                        assert!(error.contains("cannot be used"), "{name}: {error}");
                    }
                }
            }
        }
    }
}
