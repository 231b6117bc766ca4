//! MATCH_RECOGNIZE goes on after a restart as if there had been none: the same matches and watermarks, also of searches that are
//! open, and with other numbers of tasks.

use crate::match_recognize::{input, query};
use crate::match_steps::simple;
use crate::support::patterns::{Condition, Measure, Query, Value, plan};
use crate::support::restarts::{Input, Out, damage, rescaled, run, saved, sorted};
use crate::support::sim::stamp;
use crate::support::{Row, SECOND, batch, schema};
use velo_core::Watermark;
use velo_exec::operator::{MatchRecognize, Operator};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{MatchSkip, RowPattern};

/// Whether a query fails on some rows, as one does that goes back to the row where its match began.
fn fails(query: &Query, partitions: &[Vec<Row>]) -> bool {
    let mut harness = Harness::new(MatchRecognize::new(&plan(query), &schema()).unwrap());
    partitions.iter().any(|rows| harness.batch(batch(rows)).is_err()) || harness.end().is_err()
}

/// Matches of one time have no order among keys.
fn in_order(mut all: Vec<Out>) -> Vec<Out> {
    all.iter_mut().for_each(|(rows, _)| rows.sort());
    all
}

fn check(seeds: std::ops::Range<u64>, deep: bool, far: bool) {
    let mut compared = 0;
    for seed in seeds {
        let mut random = Random::new(seed + 1);
        let disorder = random.between(0, 10);
        let mut partitions = input(&mut random, 24, disorder, far);
        stamp(&mut partitions, disorder * SECOND);
        for number in 0..6 {
            let query = query(&mut random, deep);
            if fails(&query, &partitions) {
                continue;
            }
            compared += 1;
            let make = || MatchRecognize::new(&plan(&query), &schema()).unwrap();
            for size in [1, 5] {
                let input = Input { partitions: &partitions, bound: disorder * SECOND, size, seed };
                let wanted = in_order(run(&make, input, None));
                let context = format!("seed {seed}, query {number}, batches of {size}\n{query:#?}");
                assert_eq!(in_order(run(&make, input, Some(&mut Random::new(seed)))), wanted, "{context}");
                let wanted = sorted(wanted);
                for tasks in [[1, 3, 2], [2, 3, 1]] {
                    assert_eq!(rescaled(&make, input, &tasks), wanted, "{tasks:?}, {context}");
                }
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn conditions_on_rows_and_their_neighbours() {
    check(0..40, false, false);
}

#[test]
fn conditions_on_the_match_so_far() {
    check(100..150, true, false);
}

#[test]
fn late_rows_are_left_out() {
    check(200..225, true, true);
}

/// A+ B over running sums of floats, whose last digits tell whether they were summed in one go.
#[test]
fn a_long_search_with_sums_goes_on() {
    let again = RowPattern::Repeat { pattern: Box::new(RowPattern::Variable(0)), min: 1, max: None, greedy: true };
    let mut query = simple(RowPattern::Sequence(vec![again, RowPattern::Variable(1)]), Some(100_000));
    query.conditions[0].push(Condition { left: Value::Sum(1), op: "<=", right: Value::Is(100_000) });
    query.conditions[1] = vec![Condition { left: Value::Count(1), op: ">=", right: Value::Is(3_000) }];
    query.skip = MatchSkip::PastLastRow;
    query.measures.push(Measure::Value(Value::Sum(1)));
    let mut harnesses = [(); 2].map(|()| Harness::new(MatchRecognize::new(&plan(&query), &schema()).unwrap()));
    for part in 0..40 {
        let rows = (0..100).map(|at| Row {
            quantity: Some(1 + at as i64 % 9),
            position: part * 100 + at,
            ..Row::at("x", (part * 100 + at) as i64 * SECOND, "1")
        });
        let rows = batch(&rows.collect::<Vec<_>>());
        for harness in &mut harnesses {
            harness.batch(rows.clone()).unwrap();
            harness.watermark(Watermark((part as i64 * 100 + 100) * SECOND)).unwrap();
        }
        if part % 10 == 3 {
            harnesses[1].restart(MatchRecognize::new(&plan(&query), &schema()).unwrap()).unwrap();
        }
        assert_eq!(harnesses[1].operator.held(), harnesses[0].operator.held());
        assert_eq!(harnesses[1].forwarded(), harnesses[0].forwarded());
    }
    let [one, other] = harnesses.map(|mut harness| {
        harness.end().unwrap();
        harness.take_rows()
    });
    assert!(!one.is_empty());
    assert_eq!(one, other);
}

#[test]
fn a_damaged_state_is_an_error() {
    for seed in 300..306 {
        let mut random = Random::new(seed);
        let mut partitions = input(&mut random, 24, 5, false);
        stamp(&mut partitions, 5 * SECOND);
        let query = query(&mut random, true);
        if fails(&query, &partitions) {
            continue;
        }
        let make = || MatchRecognize::new(&plan(&query), &schema()).unwrap();
        let input = Input { partitions: &partitions, bound: 5 * SECOND, size: 5, seed };
        damage(&make, &saved(&make, input));
    }
}
