//! Windows over random rows equal a computation by brute force: any batch size, any interleaving of partitions, one step or
//! two, with rows that come late.

use crate::support::sim::{Mode, random_partitions, run, stamp};
use crate::support::{Calls, SECOND, library_calls, many_calls, naive, spec, window};
use velo_eventtime::LateStrategy;
use velo_exec::testing::Random;
use velo_plan::plan::{WindowKind, WindowSpec};

fn windows() -> Vec<WindowSpec> {
    vec![
        window("tumbling", 10, 0, 0),
        window("tumbling", 7, 0, -3),
        window("sliding", 10, 5, 0),
        window("sliding", 10, 4, 1),
        window("sliding", 30, 1, 0),
        window("sliding", 3, 5, 0),
        window("cumulate", 12, 3, 2),
    ]
}

fn check(calls: &Calls, seed: u64, rows: usize, late: LateStrategy, far: bool) {
    for window in windows() {
        let mut random = Random::new(seed);
        let (partitions, disorder) = (1 + random.below(3) as usize, random.between(0, 20));
        let mut input = random_partitions(&mut random, partitions, rows, disorder, far);
        let bound = disorder * SECOND;
        stamp(&mut input, bound);
        let spec = velo_exec::operator::GroupSpec { late, ..spec(&["key"], calls.clone(), Some(window.clone())) };
        let expected = naive::results(&spec.aggregates, &naive::windowed(&window, &input, late));
        for batch in [1, 2, 7, 8_192] {
            for two_steps in [false, true] {
                let mode = Mode { batch, two_steps, seed: seed + batch as u64 };
                let context = format!("{window}, seed {seed}, {mode:?}, {partitions} partitions");
                naive::assert_equal(run(&spec, &input, bound, mode), &expected, &context);
            }
        }
    }
}

#[test]
fn ours_on_time() {
    for seed in 0..5 {
        check(&many_calls(), seed, 100, LateStrategy::Drop, false);
    }
}

#[test]
fn ours_with_late_rows() {
    for seed in 100..106 {
        check(&many_calls(), seed, 100, LateStrategy::Drop, true);
    }
}

#[test]
fn late_rows_in_the_next_window() {
    for seed in 200..205 {
        check(&many_calls(), seed, 100, LateStrategy::IncludeInNextWindow, true);
    }
}

#[test]
fn the_librarys_aggregates() {
    for seed in 300..304 {
        check(&library_calls(), seed, 80, LateStrategy::Drop, true);
    }
}

#[test]
fn sessions() {
    for seed in 400..420 {
        for gap in [1, 3, 9] {
            let mut random = Random::new(seed);
            let (calls, partitions) =
                if seed % 4 == 0 { (library_calls(), 1) } else { (many_calls(), 1 + seed as usize % 2 * 2) };
            let disorder = random.between(0, 20);
            let far = partitions == 1;
            let mut input = random_partitions(&mut random, partitions, 150, disorder, far);
            let bound = disorder * SECOND;
            stamp(&mut input, bound);
            let window = window("session", gap, 0, 0);
            let WindowKind::Session { gap } = window.kind else { panic!("a session") };
            let spec = spec(&["key"], calls, Some(window.clone()));
            // With several partitions no row is behind its watermark, and chains of all rows are the sessions.
            let groups = if far { naive::sessions(gap.0, &input[0]) } else { naive::chains(gap.0, &input) };
            let expected = naive::results(&spec.aggregates, &groups);
            for batch in [1, 2, 7, 8_192] {
                let mode = Mode { batch, two_steps: false, seed };
                naive::assert_equal(
                    run(&spec, &input, bound, mode),
                    &expected,
                    &format!("{window}, seed {seed}, {mode:?}"),
                );
            }
        }
    }
}

#[test]
fn without_a_window() {
    for seed in 500..504 {
        let mut random = Random::new(seed);
        let mut input = random_partitions(&mut random, 2, 200, 10, true);
        stamp(&mut input, 0);
        for calls in [many_calls(), library_calls()] {
            let spec = spec(&["key"], calls, None);
            let mut groups = std::collections::BTreeMap::new();
            for row in input.iter().flatten() {
                groups.entry((0, 0, row.key.clone())).or_insert_with(Vec::new).push(row.clone());
            }
            let mut expected = naive::results(&spec.aggregates, &groups);
            expected.iter_mut().for_each(|row| row.truncate(row.len() - 2));
            for batch in [1, 64, 8_192] {
                let mut found = run(&spec, &input, 0, Mode { batch, two_steps: false, seed });
                found.sort();
                for row in &mut found {
                    // The comparison wants two cells behind the results.
                    row.extend([String::new(), String::new()]);
                }
                let expected = expected
                    .iter()
                    .map(|row| [row.as_slice(), &[String::new(), String::new()]].concat())
                    .collect::<Vec<_>>();
                naive::assert_equal(found, &expected, &format!("seed {seed}, batch {batch}"));
            }
        }
    }
}
