//! Grouping sets, and groups in two steps, equal a computation by brute force over random rows, in any batches; where results
//! change, what they fold to does.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support;
use crate::support::changelog::{Folded, changelog, changes, emission, fold};
use crate::support::sim::{Boxed, Mode, random_partitions, run, stamp};
use crate::support::{Row, SECOND, library_calls, many_calls, naive, spec, window};
use arrow_schema::{DataType, Field, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::Expr;
use velo_eventtime::LateStrategy;
use velo_exec::operator::{GroupFinal, GroupPartial, GroupSpec, aggregate};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{GroupingSet, Output, WindowKind};

/// The sets (key), () and () once more.
fn grouping_sets() -> Vec<GroupingSet> {
    [(true, 0), (false, 1), (false, 3)].map(|(key, number)| GroupingSet { keys: vec![key], number }).into()
}

/// The query grouped by the sets.
fn in_sets(mut spec: GroupSpec) -> GroupSpec {
    let set = Arc::new(Field::new("$set", DataType::Int64, false));
    spec.keys.push(Output { expr: Expr::Literal(ScalarValue::Int64(Some(0)), None), field: Arc::clone(&set) });
    let mut fields = spec.output.fields().to_vec();
    fields.insert(1, set);
    spec.output = Arc::new(Schema::new(fields));
    spec.sets = grouping_sets();
    spec
}

/// The rows as one of the sets has them: the key says which set it is of.
fn of_set(input: &[Vec<Row>], set: &GroupingSet) -> Vec<Vec<Row>> {
    let key = |row: &Row| row.key.clone().filter(|_| set.keys[0]).unwrap_or_else(|| "null".to_owned());
    let row = |row: &Row| Row { key: Some(format!("{}/{}", set.number, key(row))), ..row.clone() };
    input.iter().map(|rows| rows.iter().map(row).collect()).collect()
}

/// Key and number of the set as one cell.
fn joined(found: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let join = |row: Vec<String>| [&[format!("{}/{}", row[1], row[0])], &row[2..]].concat();
    found.into_iter().map(join).collect()
}

fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.sort_by(|left, right| {
        (left.first(), &left[left.len() - 2..]).cmp(&(right.first(), &right[right.len() - 2..]))
    });
    rows
}

#[test]
fn grouping_sets_of_windows() {
    for seed in 0..4 {
        for window in [window("tumbling", 10, 0, 0), window("sliding", 10, 4, 1), window("cumulate", 12, 3, 2)] {
            for late in [LateStrategy::Drop, LateStrategy::IncludeInNextWindow] {
                let mut random = Random::new(seed);
                let mut input = random_partitions(&mut random, 2, 60, 10, true);
                stamp(&mut input, 10 * SECOND);
                let calls = if seed % 3 == 0 { library_calls() } else { many_calls() };
                let spec = GroupSpec { late, ..in_sets(spec(&["key"], calls, Some(window.clone()))) };
                let expected = grouping_sets().into_iter().flat_map(|set| {
                    naive::results(&spec.aggregates, &naive::windowed(&window, &of_set(&input, &set), late))
                });
                let expected = sorted(expected.collect());
                for batch in [1, 7, 8_192] {
                    for two_steps in [false, true] {
                        let mode = Mode { batch, two_steps, seed };
                        let found = joined(run(&spec, &input, 10 * SECOND, mode));
                        naive::assert_equal(found, &expected, &format!("{window}, seed {seed}, {mode:?}"));
                    }
                }
            }
        }
    }
}

#[test]
fn grouping_sets_of_sessions() {
    for seed in 20..26 {
        let mut random = Random::new(seed);
        let mut input = random_partitions(&mut random, 1, 80, 5, false);
        stamp(&mut input, 5 * SECOND);
        let window = window("session", 2, 0, 0);
        let WindowKind::Session { gap } = window.kind else { panic!("a session") };
        let spec = in_sets(spec(&["key"], many_calls(), Some(window)));
        let expected = grouping_sets()
            .into_iter()
            .flat_map(|set| naive::results(&spec.aggregates, &naive::chains(gap.0, &of_set(&input, &set))));
        let expected = sorted(expected.collect());
        for batch in [1, 7, 8_192] {
            let mode = Mode { batch, two_steps: false, seed };
            let found = joined(run(&spec, &input, 5 * SECOND, mode));
            naive::assert_equal(found, &expected, &format!("seed {seed}, {mode:?}"));
        }
    }
}

/// What comes of groups without a window, with two cells behind the results, which the comparison wants.
fn padded(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.iter_mut().for_each(|row| row.extend([String::new(), String::new()]));
    rows
}

fn without_windows(spec: &GroupSpec, input: &[Vec<Row>]) -> Vec<Vec<String>> {
    let mut groups = BTreeMap::new();
    for row in input.iter().flatten() {
        groups.entry((0, 0, row.key.clone())).or_insert_with(Vec::new).push(row.clone());
    }
    let mut rows = naive::results(&spec.aggregates, &groups);
    rows.iter_mut().for_each(|row| row.truncate(row.len() - 2));
    padded(rows)
}

#[test]
fn grouping_sets_without_a_window() {
    for seed in 40..44 {
        let mut random = Random::new(seed);
        let mut input = random_partitions(&mut random, 2, 100, 10, true);
        stamp(&mut input, 0);
        for calls in [many_calls(), library_calls()] {
            let spec = in_sets(spec(&["key"], calls, None));
            let expected =
                grouping_sets().iter().flat_map(|set| without_windows(&spec, &of_set(&input, set))).collect();
            let expected = sorted(expected);
            for batch in [1, 64, 8_192] {
                let found = padded(joined(run(&spec, &input, 0, Mode { batch, two_steps: false, seed })));
                naive::assert_equal(found, &expected, &format!("seed {seed}, batch {batch}"));
            }
        }
    }
}

#[test]
fn groups_in_two_steps() {
    for seed in 60..63 {
        let mut random = Random::new(seed);
        let mut input = random_partitions(&mut random, 3, 70, 10, true);
        stamp(&mut input, 0);
        for calls in [many_calls(), library_calls()] {
            for (keys, sets) in [(vec!["key"], false), (vec!["key"], true), (vec!["key", "quantity", "note"], false)] {
                let mut spec = spec(&keys, calls.clone(), None);
                if sets {
                    spec = in_sets(spec);
                }
                let one = run(&spec, &input, 0, Mode { batch: 64, two_steps: false, seed });
                for batch in [1, 7, 64] {
                    // A limit of one group makes every batch a state of its own, and then every row.
                    for limit in [1, 5, 1_000] {
                        let two = in_two_steps(&spec, &input, batch, limit);
                        assert_rows(
                            &two,
                            &one,
                            &format!("{keys:?}, sets {sets}, seed {seed}, batch {batch}, limit {limit}"),
                        );
                    }
                }
            }
        }
    }
}

/// The same rows, but for the last digits of floats.
fn assert_rows(found: &[Vec<String>], expected: &[Vec<String>], context: &str) {
    assert_eq!(found.len(), expected.len(), "{context}");
    let close = |left: &str, right: &str| {
        let numbers = left.parse::<f64>().ok().zip(right.parse::<f64>().ok());
        numbers.is_some_and(|(left, right)| (left - right).abs() <= 1e-9 * right.abs().max(1.0))
    };
    for (row, wanted) in found.iter().zip(expected) {
        let equal = row.len() == wanted.len()
            && row.iter().zip(wanted).all(|(cell, wanted)| cell == wanted || close(cell, wanted));
        assert!(equal, "{context}\n   found {row:?}\nexpected {wanted:?}");
    }
}

fn in_two_steps(spec: &GroupSpec, input: &[Vec<Row>], batch: usize, limit: usize) -> Vec<Vec<String>> {
    let partial = || Harness::new(GroupPartial::new(spec, &support::schema()).unwrap().with_limit(limit));
    let mut last = Harness::new(GroupFinal::new(spec, &support::schema()).unwrap());
    for rows in input {
        let mut partial = partial();
        for rows in rows.chunks(batch) {
            partial.batch(support::batch(rows)).unwrap();
        }
        partial.end().unwrap();
        for states in partial.take_batches() {
            last.batch(states).unwrap();
        }
    }
    last.end().unwrap();
    let mut rows: Vec<_> = last.take_batches().iter().flat_map(|batch| support::cells(&batch.columns)).collect();
    rows.sort();
    rows
}

#[test]
fn a_total_of_no_rows_in_two_steps() {
    let spec = in_sets(spec(&["key"], support::Calls::new().count_all(), None));
    assert_eq!(in_two_steps(&spec, &[vec![], vec![]], 1, 10), [["null", "1", "0"], ["null", "3", "0"]]);
}

#[test]
fn the_empty_set_of_no_rows_has_a_row() {
    let spec = in_sets(spec(&["key"], support::Calls::new().count_all(), None));
    let found = run(&spec, &[vec![]], 0, Mode { batch: 1, two_steps: false, seed: 0 });
    assert_eq!(found, [["null", "1", "0"], ["null", "3", "0"]]);
}

/// What groups in sets are over rows that are all there.
fn expected_in_sets(spec: &GroupSpec, rows: &[Vec<Row>]) -> Vec<Vec<String>> {
    let of_sets = grouping_sets().into_iter().flat_map(|set| {
        let rows = of_set(rows, &set);
        match &spec.window {
            None => without_windows(spec, &rows),
            Some(window) => match window.kind {
                WindowKind::Session { gap } => naive::results(&spec.aggregates, &naive::chains(gap.0, &rows)),
                _ => naive::results(&spec.aggregates, &naive::windowed(window, &rows, LateStrategy::Drop)),
            },
        }
    });
    sorted(of_sets.collect())
}

#[test]
fn early_and_corrected_grouping_sets() {
    for seed in 0..3 {
        for window in [window("tumbling", 10, 0, 0), window("sliding", 10, 4, 1), window("session", 3, 0, 0)] {
            let is_session = matches!(window.kind, WindowKind::Session { .. });
            let mut random = Random::new(seed);
            let mut input = random_partitions(&mut random, 2, 50, 10, !is_session);
            let bound = 10 * SECOND;
            stamp(&mut input, bound);
            let calls = if seed == 0 { library_calls() } else { many_calls() };
            for (early, per_record, allowed) in [(true, false, None), (true, true, None), (false, false, Some(1_000))] {
                if is_session && allowed.is_some() {
                    continue;
                }
                let late = if allowed.is_some() { LateStrategy::UpdatePrevious } else { LateStrategy::Drop };
                let spec = in_sets(spec(&["key"], calls.clone(), Some(window.clone())));
                let spec = GroupSpec { emission: emission(early, per_record, allowed), late, ..spec };
                let mut counted = input.clone();
                for row in counted.iter_mut().flatten() {
                    row.late_by = (row.late_by - allowed.unwrap_or(0) * SECOND).max(0);
                }
                let expected = expected_in_sets(&spec, &counted);
                for size in [1, 7, 8_192] {
                    let context = format!("{window}, seed {seed}, early {early}, {per_record}, batches of {size}");
                    let found = joined(fold(&spec, &input, bound, size, seed, &context));
                    naive::assert_equal(found, &expected, &context);
                }
            }
        }
    }
}

#[test]
fn grouping_sets_of_rows_taken_back() {
    for seed in 0..4 {
        let (log, live) = changelog(&mut Random::new(3_000 + seed), 90);
        for window in [None, Some(window("tumbling", 10, 0, 0)), Some(window("sliding", 10, 5, 0))] {
            for (early, per_record) in [(false, false), (true, false), (true, true)] {
                let query = in_sets(spec(&["key"], many_calls(), window.clone()));
                let query = GroupSpec { emission: emission(early, per_record, None), retracts: true, ..query };
                let expected = expected_in_sets(&query, std::slice::from_ref(&live));
                for size in [1, 9, 8_192] {
                    let context = format!("{window:?}, seed {seed}, early {early} {per_record}, batches of {size}");
                    let operator = aggregate(&query, &support::schema()).unwrap();
                    let (mut harness, mut folded) = (Harness::new(Boxed(operator)), Folded::default());
                    for part in log.chunks(size) {
                        harness.batch(changes(part)).unwrap();
                        folded.add(&harness.take_batches(), 2, &context);
                    }
                    harness.end().unwrap();
                    folded.add(&harness.take_batches(), 2, &context);
                    let found = joined(folded.rows());
                    let found = if window.is_none() { padded(found) } else { found };
                    naive::assert_equal(found, &expected, &context);
                }
            }
        }
    }
}

/// The row of no rows is there at the end, also where all others would have come early, and comes once.
#[test]
fn totals_of_changes() {
    let query = in_sets(spec(&["key"], support::Calls::new().count_all(), None));
    let query = GroupSpec { emission: emission(true, false, None), retracts: true, ..query };
    let run = |log: &[(velo_core::RowKind, Row)]| {
        let mut harness = Harness::new(Boxed(aggregate(&query, &support::schema()).unwrap()));
        let mut folded = Folded::default();
        if !log.is_empty() {
            harness.batch(changes(log)).unwrap();
        }
        harness.end().unwrap();
        folded.add(&harness.take_batches(), 2, "totals");
        folded.rows()
    };
    assert_eq!(run(&[]), [["null", "1", "0"], ["null", "3", "0"]]);
    let row = Row::at("a", 5, "1");
    let (come, gone) = ((velo_core::RowKind::Insert, row.clone()), (velo_core::RowKind::Delete, row));
    assert_eq!(run(std::slice::from_ref(&come)), [["a", "0", "1"], ["null", "1", "1"], ["null", "3", "1"]]);
    assert_eq!(run(&[come, gone]), [["null", "1", "0"], ["null", "3", "0"]]);
}
