//! Results that change: what a changelog folds to equals a computation by brute force over the rows that are left, and nothing
//! is taken back that was not there.

use std::collections::BTreeMap;

use crate::support::changelog::{Folded, changelog, changes, emission, fold, harness};
use crate::support::sim::{Boxed, random_partitions, stamp};
use crate::support::{Calls, Kind, Row, SECOND, batch, cells, library_calls, many_calls, naive, rows_at, spec, window};
use velo_core::{Batch, RowKind, RowKinds, Watermark};
use velo_eventtime::LateStrategy;
use velo_exec::operator::GroupSpec;
use velo_exec::testing::{Harness, Random};

#[test]
fn early_and_corrected_windows() {
    for seed in 0..4 {
        for window in [window("tumbling", 10, 0, 0), window("sliding", 10, 4, 1), window("cumulate", 12, 3, 2)] {
            let mut random = Random::new(seed);
            let disorder = random.between(0, 20);
            let calls = if seed % 4 == 3 { library_calls() } else { many_calls() };
            let partitions = 1 + random.below(3) as usize;
            let mut input = random_partitions(&mut random, partitions, 60, disorder, true);
            let bound = disorder * SECOND;
            stamp(&mut input, bound);
            for (allowed, early, per_record) in [
                (None, true, false),
                (None, true, true),
                (Some(0), false, false),
                (Some(15), false, false),
                (Some(1_000), true, false),
            ] {
                let late = if allowed.is_some() { LateStrategy::UpdatePrevious } else { LateStrategy::Drop };
                let query = GroupSpec {
                    emission: emission(early, per_record, allowed),
                    late,
                    ..spec(&["key"], calls.clone(), Some(window.clone()))
                };
                // A row that can still correct its window counts as if it had come earlier by so much.
                let mut counted = input.clone();
                for row in counted.iter_mut().flatten() {
                    row.late_by = (row.late_by - allowed.unwrap_or(0) * SECOND).max(0);
                }
                let expected =
                    naive::results(&query.aggregates, &naive::windowed(&window, &counted, LateStrategy::Drop));
                for size in [1, 7, 8_192] {
                    let context =
                        format!("{window}, seed {seed}, allowed {allowed:?}, early {early}, batches of {size}");
                    let found = fold(&query, &input, bound, size, seed + size as u64, &context);
                    naive::assert_equal(found, &expected, &context);
                }
            }
        }
    }
}

#[test]
fn rows_taken_back() {
    for seed in 0..6 {
        let mut random = Random::new(1_000 + seed);
        let (log, live) = changelog(&mut random, 120);
        for calls in [many_calls(), library_calls()] {
            for window in [None, Some(window("tumbling", 10, 0, 0)), Some(window("sliding", 10, 5, 0))] {
                for (early, per_record) in [(false, false), (true, false), (true, true)] {
                    let query = GroupSpec {
                        emission: emission(early, per_record, None),
                        retracts: true,
                        ..spec(&["key"], calls.clone(), window.clone())
                    };
                    let mut expected = match &window {
                        Some(window) => naive::results(
                            &query.aggregates,
                            &naive::windowed(window, std::slice::from_ref(&live), LateStrategy::Drop),
                        ),
                        None => {
                            let mut groups = BTreeMap::new();
                            for row in &live {
                                groups.entry((0, 0, row.key.clone())).or_insert_with(Vec::new).push(row.clone());
                            }
                            naive::results(&query.aggregates, &groups)
                        }
                    };
                    for size in [1, 2, 9, 8_192] {
                        let context = format!("{window:?}, seed {seed}, early {early} {per_record}, batches of {size}");
                        let (mut harness, mut folded) = (harness(&query), Folded::default());
                        for part in log.chunks(size) {
                            harness.batch(changes(part)).unwrap();
                            folded.add(&harness.take_batches(), 1, &context);
                        }
                        harness.end().unwrap();
                        folded.add(&harness.take_batches(), 1, &context);
                        let mut found = folded.rows();
                        if window.is_none() {
                            // The comparison wants two cells behind the results.
                            found.iter_mut().for_each(|row| row.extend([String::new(), String::new()]));
                            for row in &mut expected {
                                row.truncate(row.len() - 2);
                                row.extend([String::new(), String::new()]);
                            }
                        }
                        naive::assert_equal(found, &expected, &context);
                    }
                }
            }
        }
    }
}

/// Early results of sessions fold to the sessions.
#[test]
fn early_sessions() {
    for seed in 0..10 {
        for (gap, per_record) in [(1, false), (3, false), (3, true), (9, false)] {
            let mut random = Random::new(2_000 + seed);
            let calls = if seed % 4 == 0 { library_calls() } else { many_calls() };
            let disorder = random.between(0, 20);
            let mut input = random_partitions(&mut random, 1, 120, disorder, true);
            let bound = disorder * SECOND;
            stamp(&mut input, bound);
            let window = window("session", gap, 0, 0);
            let query =
                GroupSpec { emission: emission(true, per_record, None), ..spec(&["key"], calls, Some(window.clone())) };
            let expected = naive::results(&query.aggregates, &naive::sessions(gap * SECOND, &input[0]));
            for size in [1, 2, 7, 8_192] {
                let context = format!("{window}, seed {seed}, per record {per_record}, batches of {size}");
                naive::assert_equal(fold(&query, &input, bound, size, seed, &context), &expected, &context);
            }
        }
    }
}

/// BC-08: a record between two sessions joins them, and both results are taken back.
#[test]
fn bc_08_a_bridging_row_takes_back_two_sessions() {
    let query = GroupSpec {
        emission: emission(true, true, None),
        ..spec(&["key"], Calls::new().count_all(), Some(window("session", 10, 0, 0)))
    };
    let mut harness = harness(&query);
    harness.batch(rows_at(&[("a", 0.0, "1"), ("a", 15.0, "1"), ("a", 8.0, "1")])).unwrap();
    let at = |second: u32| format!("1970-01-01T00:00:{second:02}");
    assert_eq!(
        shown(&mut harness),
        [
            format!("+I a 1 {} {}", at(0), at(10)),
            format!("+I a 1 {} {}", at(15), at(25)),
            format!("-D a 1 {} {}", at(15), at(25)),
            format!("-D a 1 {} {}", at(0), at(10)),
            format!("+I a 3 {} {}", at(0), at(25)),
        ]
    );
}

/// What comes out after each batch, as text with its kinds.
fn shown(harness: &mut Harness<Boxed>) -> Vec<String> {
    let rows = harness.take_batches().into_iter().flat_map(|batch| {
        let kinds = batch.kinds.clone();
        let kind = move |at: usize| kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[at]);
        cells(&batch.columns)
            .into_iter()
            .enumerate()
            .map(move |(at, row)| format!("{} {}", kind(at).symbol(), row.join(" ")))
    });
    rows.collect()
}

fn change(kind: RowKind, key: &str, quantity: i64) -> Batch {
    let row = Row { quantity: Some(quantity), ..Row::at(key, quantity * SECOND, "1") };
    Batch { kinds: Some(RowKinds::new(vec![kind])), origin: None, ..batch(&[row]) }
}

/// BC-22: the extreme that was deleted does not stay, and a group that begins again begins anew.
#[test]
fn bc_22_a_group_that_was_emptied() {
    use RowKind::{Delete, Insert};
    let calls = || Calls::new().add(Kind::Max, "quantity").count_all();
    let query = GroupSpec { emission: emission(true, false, None), retracts: true, ..spec(&["key"], calls(), None) };
    let steps = [(Insert, 10), (Insert, 7), (Delete, 10), (Delete, 7), (Insert, 3)];
    let mut by_key = harness(&query);
    let seen = steps.map(|(kind, quantity)| {
        by_key.batch(change(kind, "a", quantity)).unwrap();
        shown(&mut by_key).join(", ")
    });
    assert_eq!(seen, ["+I a 10 1", "-U a 10 1, +U a 10 2", "-U a 10 2, +U a 7 1", "-D a 7 1", "+I a 3 1"]);
    // Without keys the row stays.
    let query = GroupSpec { emission: emission(true, false, None), retracts: true, ..spec(&[], calls(), None) };
    let mut whole = harness(&query);
    let seen = steps.map(|(kind, quantity)| {
        whole.batch(change(kind, "a", quantity)).unwrap();
        shown(&mut whole).join(", ")
    });
    assert_eq!(seen, ["+I 10 1", "-U 10 1, +U 10 2", "-U 10 2, +U 7 1", "-U 7 1, +U null 0", "-U null 0, +U 3 1"]);
}

/// BC-34 with its retraction: a sum that is taken back keeps every digit.
#[test]
fn bc_34_an_exact_sum_taken_back() {
    let query = GroupSpec {
        emission: emission(true, false, None),
        retracts: true,
        ..spec(&["key"], Calls::new().add(Kind::Sum, "price").add(Kind::Avg, "price"), None)
    };
    let price = "99999999999999.9999";
    let mut harness = harness(&query);
    for kind in [RowKind::Insert, RowKind::Insert, RowKind::Insert, RowKind::Delete] {
        let rows = Batch { kinds: Some(RowKinds::new(vec![kind])), origin: None, ..rows_at(&[("a", 1.0, price)]) };
        harness.batch(rows).unwrap();
    }
    let last = shown(&mut harness).pop().unwrap();
    assert_eq!(last, "+U a 199999999999999.9998 99999999999999.9999000000000000");
}

/// Early results of a window, one for each record, and none when it closes; a late record corrects a window that was shown.
#[test]
fn early_results_and_a_correction() {
    let early = GroupSpec {
        emission: emission(true, true, None),
        ..spec(&["key"], Calls::new().count_all(), Some(window("tumbling", 10, 0, 0)))
    };
    let mut harness_early = harness(&early);
    harness_early.batch(rows_at(&[("a", 1.0, "1"), ("a", 2.0, "1"), ("b", 3.0, "1")])).unwrap();
    let start = "1970-01-01T00:00:00 1970-01-01T00:00:10";
    assert_eq!(
        shown(&mut harness_early),
        [format!("+I a 1 {start}"), format!("-U a 1 {start}"), format!("+U a 2 {start}"), format!("+I b 1 {start}")]
    );
    harness_early.watermark(Watermark(20 * SECOND)).unwrap();
    assert_eq!(shown(&mut harness_early), [""; 0], "a window that was shown closes without a word");

    // Without a key there is one group per window.
    let whole = GroupSpec {
        emission: emission(true, false, None),
        ..spec(&[], Calls::new().count_all(), Some(window("tumbling", 10, 0, 0)))
    };
    let mut harness_whole = harness(&whole);
    harness_whole.batch(rows_at(&[("a", 1.0, "1"), ("a", 12.0, "1"), ("b", 3.0, "1")])).unwrap();
    assert_eq!(
        shown(&mut harness_whole),
        [format!("+I 2 {start}"), "+I 1 1970-01-01T00:00:10 1970-01-01T00:00:20".to_owned()]
    );

    let corrected = GroupSpec {
        emission: emission(false, false, Some(10)),
        late: LateStrategy::UpdatePrevious,
        ..spec(&["key"], Calls::new().count_all(), Some(window("tumbling", 10, 0, 0)))
    };
    let mut harness_late = harness(&corrected);
    harness_late.batch(rows_at(&[("a", 1.0, "1")])).unwrap();
    harness_late.watermark(Watermark(12 * SECOND)).unwrap();
    assert_eq!(shown(&mut harness_late), [format!("+I a 1 {start}")]);
    assert_eq!(harness_late.forwarded(), Watermark(2 * SECOND), "a correction may carry the time of its window");
    harness_late.batch(rows_at(&[("a", 2.0, "1"), ("b", 3.0, "1")])).unwrap();
    assert_eq!(
        shown(&mut harness_late),
        [format!("-U a 1 {start}"), format!("+U a 2 {start}"), format!("+I b 1 {start}")]
    );
    harness_late.watermark(Watermark(20 * SECOND)).unwrap();
    harness_late.batch(rows_at(&[("a", 3.0, "1")])).unwrap();
    assert_eq!(shown(&mut harness_late), [""; 0], "too late, and counted");
}
