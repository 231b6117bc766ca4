//! ASOF joins equal a search for the nearest row by brute force.

use datafusion_common::ScalarValue;
use velo_core::duration::Span;
use velo_core::{Batch, RowKind, Watermark};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{AsOfJoin, JoinSpec, Operator};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{AsOfDirection, AsOfJoin as Plan, JoinKind, Missing, MissingStrategy, StateTtl};

use crate::support::changelog::{Folded, changes};
use crate::support::joins::{
    Way, condition, feed, join, meets, on_time, pair, random_sides, renamed, same_key, side_batch, spec, texts,
};
use crate::support::{Row, SECOND, batch};

pub const DIRECTIONS: [AsOfDirection; 3] = [AsOfDirection::Backward, AsOfDirection::Forward, AsOfDirection::Nearest];

pub fn plan(kind: JoinKind, direction: AsOfDirection) -> Plan {
    Plan {
        join: join(kind, None),
        direction,
        inclusive: true,
        tolerance: None,
        missing: None,
        late: LateStrategy::Drop,
    }
}

fn operator(plan: &Plan, retracts: [bool; 2]) -> Harness<AsOfJoin> {
    Harness::new(made(plan, retracts))
}

pub fn made(plan: &Plan, retracts: [bool; 2]) -> AsOfJoin {
    let spec = JoinSpec { retracts, ..spec(plan.clone(), &plan.join) };
    AsOfJoin::new(&spec).unwrap()
}

/// The row that is nearest to a left one.
fn nearest<'a>(plan: &Plan, left: &Row, right: &'a [Row]) -> Option<&'a Row> {
    let reach = plan.tolerance.unwrap_or(i64::MAX);
    let near = right.iter().filter(|row| {
        same_key(left, row) && (row.time - left.time).abs() <= reach && (plan.inclusive || row.time != left.time)
    });
    let near = near.collect::<Vec<_>>();
    let order = |row: &&&Row| (row.time, row.partition, row.position);
    let earlier = near.iter().filter(|row| row.time <= left.time).max_by_key(order);
    let first = near.iter().filter(|row| row.time >= left.time).map(|row| row.time).min();
    let later = near.iter().filter(|row| Some(row.time) == first).max_by_key(order);
    match (plan.direction, earlier, later) {
        (AsOfDirection::Backward, earlier, _) => earlier.copied(),
        (AsOfDirection::Forward, _, later) => later.copied(),
        (AsOfDirection::Nearest, Some(earlier), Some(later)) => {
            let later_is_nearer = later.time - left.time < left.time - earlier.time;
            Some(if later_is_nearer { later } else { earlier })
        }
        (AsOfDirection::Nearest, earlier, later) => earlier.or(later).copied(),
    }
}

pub fn naive(plan: &Plan, left: &[Row], right: &[Row]) -> Vec<Vec<String>> {
    let row = |left: &Row| {
        // The condition is asked of the nearest row alone.
        let found = nearest(plan, left, right).filter(|found| plan.join.condition.is_none() || meets(left, found));
        (found.is_some() || plan.join.kind == JoinKind::Left).then(|| pair(Some(left), found, left.time))
    };
    let mut rows = left.iter().filter_map(row).collect::<Vec<_>>();
    rows.sort();
    rows
}

#[test]
fn equal_the_nearest_row_by_brute_force() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let disorder = random.between(0, 12);
        let rows = 1 + random.below(150) as usize;
        let sides = random_sides(&mut random, rows, disorder);
        let (left, right) = (on_time(&sides[0]), on_time(&sides[1]));
        let inclusive = random.below(2) == 0;
        let tolerance = (random.below(2) == 0).then(|| random.between(0, 20) * SECOND);
        for direction in DIRECTIONS {
            for (kind, with_condition) in [(JoinKind::Inner, false), (JoinKind::Left, false), (JoinKind::Left, true)] {
                let join = join(kind.clone(), with_condition.then(condition));
                let plan = Plan { join, inclusive, tolerance, ..plan(kind.clone(), direction) };
                let expected = naive(&plan, &left, &right);
                for size in [1, 2, 8_192] {
                    let mut harness = operator(&plan, [false; 2]);
                    let mut found = Vec::new();
                    let way = Way { bound: disorder * SECOND, size, seed: seed * 3 + size as u64 };
                    feed(&mut harness, &sides, side_batch, way, |harness| {
                        found.extend(texts(&harness.take_batches()));
                    });
                    found.sort();
                    let context = format!("{direction:?} {kind:?} {inclusive} {tolerance:?}, size {size}, seed {seed}");
                    assert_eq!(found, expected, "{context}");
                    assert_eq!((harness.operator.held(), harness.operator.versions()), (0, 0), "{context}");
                    assert_eq!(harness.forwarded(), Watermark::END);
                }
            }
        }
    }
}

/// Left rows that come and go, with watermarks that make none of them late, fold to the join of those that are left.
#[test]
fn left_rows_that_are_taken_back() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut log: Vec<(RowKind, Row)> = Vec::new();
        let mut live: Vec<Row> = Vec::new();
        let row = |random: &mut Random, position: usize| Row {
            quantity: Some(random.below(2) as i64),
            position: position as u64,
            ..Row::at(["a", "b"][random.below(2) as usize], (position as i64 / 3 + random.between(0, 6)) * SECOND, "1")
        };
        for position in 0..80 {
            let at = live.len().saturating_sub(1 + random.below(4) as usize);
            if random.below(3) == 0 && !live.is_empty() {
                log.push((RowKind::Delete, live.remove(at)));
            } else {
                live.push(row(&mut random, position));
                log.push((RowKind::Insert, live.last().unwrap().clone()));
            }
        }
        let right = (0..80).map(|position| row(&mut random, position)).collect::<Vec<_>>();
        let after = |times: &mut dyn Iterator<Item = i64>| Watermark(times.min().unwrap_or(i64::MAX));
        for direction in DIRECTIONS {
            let plan = plan(JoinKind::Left, direction);
            let mut expected = naive(&plan, &live, &right);
            expected.iter_mut().for_each(|row| drop(row.pop()));
            for size in [1, 3, 80] {
                let (mut harness, mut folded) = (operator(&plan, [true, false]), Folded::default());
                let mut next = [0, 0];
                let context = format!("{direction:?}, size {size}, seed {seed}");
                while next[0] < log.len() || next[1] < right.len() {
                    let side = random.below(2) as usize;
                    let length = [log.len(), right.len()][side];
                    let to = length.min(next[side] + size);
                    if to == next[side] {
                        continue;
                    }
                    let batch = match side {
                        0 => changes(&log[next[0]..to]),
                        _ => side_batch(1, &right[next[1]..to]),
                    };
                    harness.batch_at(side, batch).unwrap();
                    next[side] = to;
                    let watermark = match side {
                        0 => after(&mut log[to..].iter().map(|(_, row)| row.time)),
                        _ => after(&mut right[to..].iter().map(|row| row.time)),
                    };
                    harness.input_watermark(side, watermark).unwrap();
                    folded.add(&harness.take_batches(), 0, &context);
                }
                harness.end().unwrap();
                folded.add(&harness.take_batches(), 0, &context);
                let mut found = folded.rows();
                found.sort();
                expected.sort();
                assert_eq!(found, expected, "{context}");
                assert_eq!(harness.operator.held(), 0, "{context}");
            }
        }
    }
}

fn at(key: &str, time: i64, note: &str) -> Row {
    Row::at(key, time * SECOND, note)
}

#[test]
fn a_row_waits_for_the_right_watermark_and_holds_its_own_back() {
    let plan = plan(JoinKind::Left, AsOfDirection::Backward);
    let mut harness = operator(&plan, [false; 2]);
    harness.batch_at(0, side_batch(0, &[at("k", 10, "l"), at("k", 20, "m")])).unwrap();
    harness.input_watermark(0, Watermark(30 * SECOND)).unwrap();
    harness.batch_at(1, side_batch(1, &[at("k", 9, "old")])).unwrap();
    harness.input_watermark(1, Watermark(10 * SECOND)).unwrap();
    harness.watermark(Watermark(10 * SECOND)).unwrap();
    assert!(harness.take_rows().is_empty(), "a row at 10 seconds can still come");
    harness.batch_at(1, side_batch(1, &[at("k", 10, "new")])).unwrap();
    harness.input_watermark(1, Watermark(11 * SECOND)).unwrap();
    assert_eq!(harness.take_rows(), ["k, 1, l, k, 1, new"]);
    harness.input_watermark(1, Watermark(40 * SECOND)).unwrap();
    harness.watermark(Watermark(30 * SECOND)).unwrap();
    assert_eq!(harness.take_rows(), ["k, 1, m, k, 1, new"]);
    assert_eq!(harness.forwarded(), Watermark(30 * SECOND));
    assert_eq!(harness.operator.versions(), 1, "of the right rows the newest stays");

    let mut forward = operator(&self::plan(JoinKind::Left, AsOfDirection::Forward), [false; 2]);
    forward.batch_at(0, side_batch(0, &[at("k", 10, "l")])).unwrap();
    forward.watermark(Watermark(50 * SECOND)).unwrap();
    assert_eq!(forward.forwarded(), Watermark(10 * SECOND), "it waits for its partner");
    forward.batch_at(1, side_batch(1, &[at("k", 60, "r")])).unwrap();
    forward.watermark(Watermark(60 * SECOND)).unwrap();
    assert!(forward.take_rows().is_empty(), "another row at 60 seconds can still come");
    forward.watermark(Watermark(61 * SECOND)).unwrap();
    assert_eq!(forward.take_rows(), ["k, 1, l, k, 1, r"]);
    assert_eq!(forward.forwarded(), Watermark(61 * SECOND));
}

/// Rows without a place are ordered by their values, whichever comes first.
#[test]
fn equal_times_are_ordered_by_place_and_else_by_values() {
    for direction in DIRECTIONS {
        for turned in [false, true] {
            let mut harness = operator(&plan(JoinKind::Inner, direction), [false; 2]);
            let mut notes = ["1", "2"];
            if turned {
                notes.reverse();
            }
            for note in notes {
                let batch = side_batch(1, &[at("k", 5, note)]);
                harness.batch_at(1, Batch { origin: None, ..batch }).unwrap();
            }
            harness.batch_at(0, side_batch(0, &[at("k", 5, "l")])).unwrap();
            harness.end().unwrap();
            assert_eq!(harness.take_rows(), ["k, 1, l, k, 1, 2"], "{direction:?}");
        }
    }
}

/// An update of the right side is a version: what was before is there until then, whenever the change comes.
#[test]
fn right_rows_that_change_are_there_as_of_their_times() {
    let change = |kind: RowKind, time: i64, note: &str| (kind, at("k", time, note));
    let plan = plan(JoinKind::Left, AsOfDirection::Backward);
    let lefts = [at("k", 5, "a"), at("k", 15, "b"), at("k", 25, "c"), at("k", 35, "d")];
    for early in [false, true] {
        let mut harness = operator(&plan, [false, true]);
        if early {
            harness.batch_at(0, side_batch(0, &lefts)).unwrap();
        }
        let log = [
            change(RowKind::Insert, 1, "one"),
            change(RowKind::UpdateBefore, 1, "one"),
            change(RowKind::UpdateAfter, 10, "ten"),
            change(RowKind::Insert, 20, "wrong"),
            change(RowKind::Delete, 20, "wrong"),
            change(RowKind::Delete, 30, "ten"),
        ];
        harness.batch_at(1, renamed(1, changes(&log))).unwrap();
        if !early {
            harness.batch_at(0, side_batch(0, &lefts)).unwrap();
        }
        harness.end().unwrap();
        let mut rows = harness.take_rows();
        rows.sort();
        assert_eq!(
            rows,
            ["k, 1, a, k, 1, one", "k, 1, b, k, 1, ten", "k, 1, c, k, 1, ten", "k, 1, d, null, null, null"]
        );
        assert_eq!(harness.operator.versions(), 0);
    }
}

pub fn with_missing(kind: JoinKind, strategy: MissingStrategy, then: MissingStrategy) -> Plan {
    let defaults = vec![("r_note".to_owned(), ScalarValue::Utf8(Some("none".to_owned())))];
    let missing = Missing { strategy, then, defaults, retries: 0, delay: Span(0) };
    let join = join(kind.clone(), Some(condition()));
    Plan { join, missing: Some(missing), ..plan(kind, AsOfDirection::Backward) }
}

/// BC-20: a row that fails the condition is not missing, and a condition removes no left row. BC-13: a NULL key is missing.
#[test]
fn what_is_missing_meets_the_strategy() {
    use MissingStrategy::{EmitWithNulls, FailFast, SkipRecord, UseDefaults, WaitAndRetry};
    let run = |plan: &Plan| {
        let mut harness = operator(plan, [false; 2]);
        harness.batch_at(1, side_batch(1, &[Row { quantity: Some(5), ..at("k", 1, "gold") }])).unwrap();
        let left = [
            Row { quantity: Some(9), ..at("k", 2, "fails") },
            Row { quantity: Some(1), ..at("k", 2, "meets") },
            Row { quantity: Some(1), ..at("other", 2, "missing") },
            Row { key: None, quantity: Some(1), ..at("", 2, "null") },
        ];
        harness.batch_at(0, batch(&left)).unwrap();
        let missing = harness.operator.missing().unwrap();
        harness.end().map(|()| (harness.take_rows(), [missing.skipped(), missing.filled()]))
    };
    let (fails, meets) = ("k, 9, fails, null, null, null".to_owned(), "k, 1, meets, k, 5, gold".to_owned());
    let (missing, null) = ("other, 1, missing, null, null, ", "null, 1, null, null, null, ");
    let with = |value: &str| [format!("{missing}{value}"), format!("{null}{value}")];
    for (kind, first) in [(JoinKind::Left, vec![fails, meets.clone()]), (JoinKind::Inner, vec![meets])] {
        let strategy = |strategy, then| run(&with_missing(kind.clone(), strategy, then)).unwrap();
        let all = |value: &str| first.iter().cloned().chain(with(value)).collect::<Vec<_>>();
        assert_eq!(strategy(UseDefaults, FailFast), (all("none"), [0, 2]));
        assert_eq!(strategy(EmitWithNulls, FailFast), (all("null"), [0, 2]));
        assert_eq!(strategy(SkipRecord, FailFast), (first.clone(), [2, 0]));
        assert_eq!(strategy(WaitAndRetry, SkipRecord), (first.clone(), [2, 0]));
        for plan in [with_missing(kind.clone(), FailFast, SkipRecord), with_missing(kind, WaitAndRetry, FailFast)] {
            let error = run(&plan).unwrap_err().to_string();
            assert!(error.contains(r#"no row for {"key":"other","quantity":1,"note":"missing"} as of"#), "{error}");
        }
    }
}

/// Under `state.ttl` a right row that nothing replaces is forgotten, also where the watermark is not so far.
#[test]
fn state_ttl_forgets_right_rows() {
    let ttl = Some(StateTtl { after: Span(10 * SECOND), by_clock: false });
    let plan = plan(JoinKind::Left, AsOfDirection::Backward);
    let mut harness = Harness::new(AsOfJoin::new(&JoinSpec { ttl, ..spec(plan.clone(), &plan.join) }).unwrap());
    harness.batch_at(1, side_batch(1, &[at("k", 0, "old"), at("j", 0, "old")])).unwrap();
    harness.batch_at(0, side_batch(0, &[at("k", 9, "in time"), at("k", 10, "not")])).unwrap();
    harness.watermark(Watermark(11 * SECOND)).unwrap();
    assert_eq!(harness.take_rows(), ["k, 1, in time, k, 1, old", "k, 1, not, null, null, null"]);
    assert_eq!(harness.operator.versions(), 0);
}

/// What is kept follows the watermarks, also where one row waits for ever.
#[test]
fn state_goes_with_the_watermarks() {
    for direction in DIRECTIONS {
        let plan = Plan { tolerance: Some(30 * SECOND), ..plan(JoinKind::Inner, direction) };
        let mut harness = operator(&plan, [false; 2]);
        let mut most = [0, 0];
        for second in 0..2_000_i64 {
            for side in [1, 0] {
                let row = |n: i64| Row::at(&format!("key {}", second * 7 + n), second * SECOND + n, "1");
                harness.batch_at(side, side_batch(side, &(0..20).map(row).collect::<Vec<_>>())).unwrap();
                harness.input_watermark(side, Watermark(second * SECOND)).unwrap();
            }
            harness.watermark(Watermark(second * SECOND)).unwrap();
            harness.take_batches();
            let most = &mut most[usize::from(second >= 700)];
            *most = harness.operator.memory().max(*most);
        }
        assert!(most[1] < most[0] + most[0] / 2, "{direction:?}: {most:?} bytes in 700 seconds and in the others");
        harness.end().unwrap();
        assert_eq!((harness.operator.held(), harness.operator.versions()), (0, 0));
    }
}
