//! A changelog folded until the watermark has passed its rows: what comes out are the rows that are there, once, in time.

use std::collections::BTreeMap;

use crate::support;
use crate::support::changelog::{changes, late_changelog};
use crate::support::{Row, SECOND, schema};
use velo_core::{Batch, RowKind, RowKinds, Watermark};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{FoldByTime, Operator};
use velo_exec::testing::{Harness, Random};

fn harness(late: LateStrategy) -> Harness<FoldByTime> {
    Harness::new(FoldByTime::new(schema(), late, "result").unwrap())
}

/// The rows that are left of those that did not come late, by time.
fn naive(log: &[(RowKind, Row)]) -> Vec<(i64, Vec<String>)> {
    let mut counts: BTreeMap<(i64, Vec<String>), i64> = BTreeMap::new();
    for (kind, row) in log.iter().filter(|(_, row)| row.late_by <= 0) {
        let cells = support::cells(&support::batch(std::slice::from_ref(row)).columns).remove(0);
        *counts.entry((row.time, cells)).or_default() += if kind.retracts() { -1 } else { 1 };
    }
    counts.into_iter().flat_map(|(row, count)| std::iter::repeat_n(row, count.max(0) as usize)).collect()
}

fn taken(harness: &mut Harness<FoldByTime>) -> Vec<(i64, Vec<String>)> {
    let mut rows = Vec::new();
    for batch in harness.take_batches() {
        assert!(batch.kinds.is_none() && batch.late_by.is_none());
        let times = batch.event_times().unwrap().values().to_vec();
        rows.extend(times.into_iter().zip(support::cells(&batch.columns)));
    }
    assert!(rows.is_sorted_by_key(|(time, _)| *time), "rows come in the order of their times");
    rows
}

#[test]
fn rows_come_when_they_no_longer_change() {
    for seed in 0..12 {
        let mut random = Random::new(7_000 + seed);
        let disorder = random.between(0, 15);
        let log = late_changelog(&mut random, 150, disorder, true, seed % 2 == 0);
        for size in [1, 2, 9, 8_192] {
            let (mut harness, mut found, mut highest) = (harness(LateStrategy::Drop), Vec::new(), i64::MIN);
            for (at, part) in log.chunks(size).enumerate() {
                harness.batch(changes(part)).unwrap();
                assert!(harness.take_batches().is_empty(), "rows wait for the watermark");
                highest = part.iter().map(|(_, row)| row.time).max().unwrap().max(highest);
                let watermark = highest - disorder * SECOND;
                harness.watermark(Watermark(watermark)).unwrap();
                found.extend(taken(&mut harness));
                if at % 10 == 0 {
                    // What comes later changes nothing that has come.
                    let mut passed = naive(&log);
                    passed.retain(|(time, _)| *time < watermark);
                    found.sort();
                    assert!(found == passed, "seed {seed}, batches of {size}, at {at}");
                }
            }
            harness.end().unwrap();
            found.extend(taken(&mut harness));
            found.sort();
            assert!(found == naive(&log), "seed {seed}, batches of {size}");
            let late = log.iter().filter(|(_, row)| row.late_by > 0).count() as u64;
            assert_eq!(harness.operator.late().unwrap().rows(), late, "seed {seed}, batches of {size}");
            assert_eq!(harness.operator.held(), 0);
        }
    }
}

#[test]
fn a_late_change_goes_to_the_dead_letters_and_what_has_passed_is_forgotten() {
    let mut harness = harness(LateStrategy::DeadLetter);
    let row = |kind, time: i64| {
        let batch = support::batch(&[Row::at("a", time * SECOND, "1")]);
        Batch { kinds: Some(RowKinds::new(vec![kind])), origin: None, ..batch }
    };
    harness.batch(row(RowKind::Insert, 1)).unwrap();
    harness.watermark(Watermark(5 * SECOND)).unwrap();
    harness.batch(row(RowKind::Delete, 1)).unwrap();
    assert_eq!(harness.take_dead_letters().len(), 1);
    for time in 5..5_000 {
        harness.batch(row(RowKind::Insert, time)).unwrap();
        harness.watermark(Watermark((time + 1) * SECOND)).unwrap();
    }
    assert_eq!(taken(&mut harness).len(), 4_996);
    assert!(harness.operator.memory() < 700_000, "{}", harness.operator.memory());
}
