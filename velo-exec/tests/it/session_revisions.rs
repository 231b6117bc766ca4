//! Sessions whose rows are taken back, or come after the session was told: what comes out folds to what brute force finds.

use crate::support;
use crate::support::changelog::{Folded, changes, emission, harness, late_changelog};
use crate::support::{Calls, Kind, Row, SECOND, library_calls, many_calls, naive, rows_at, spec, window};
use velo_core::{Batch, RowKind, RowKinds, Watermark};
use velo_eventtime::LateStrategy;
use velo_exec::operator::GroupSpec;
use velo_exec::testing::Random;

/// Runs a query over a changelog in batches, and compares what it folds to: at the end, and where results come early always.
fn check(query: &GroupSpec, gap: i64, allowed: i64, log: &[(RowKind, Row)], bound: i64, size: usize, context: &str) {
    let (mut harness, mut folded) = (harness(query), Folded::default());
    let expected = |log: &[(RowKind, Row)]| {
        naive::results(&query.aggregates, &naive::revised_sessions(gap * SECOND, allowed * SECOND, log))
    };
    let mut highest = i64::MIN;
    for (at, part) in log.chunks(size).enumerate() {
        let batch = changes(part);
        harness.batch(if query.retracts { batch } else { Batch { kinds: None, ..batch } }).unwrap();
        folded.add(&harness.take_batches(), 1, context);
        if query.emission.early && at % 5 == 0 {
            let so_far = &log[..log.len().min((at + 1) * size)];
            naive::assert_equal(folded.clone().rows(), &expected(so_far), &format!("{context}, at {at}"));
        }
        highest = part.iter().map(|(_, row)| row.time).max().unwrap().max(highest);
        harness.watermark(Watermark(highest - bound)).unwrap();
        let batches = harness.take_batches();
        assert!(batches.iter().all(|batch| batch.kinds.is_none()), "a watermark takes nothing back: {context}");
        folded.add(&batches, 1, context);
    }
    harness.end().unwrap();
    folded.add(&harness.take_batches(), 1, context);
    naive::assert_equal(folded.rows(), &expected(log), context);
}

#[test]
fn sessions_of_rows_taken_back() {
    for seed in 0..6 {
        for (gap, allowed) in [(2, None), (6, None), (3, Some(0)), (3, Some(1)), (4, Some(20))] {
            for (early, per_record) in [(false, false), (true, false), (true, true)] {
                let mut random = Random::new(5_000 + seed);
                let unique = seed % 3 != 0;
                // Where rows of one time cannot be told apart, aggregates do not go by their order.
                let calls = match (unique, seed % 4) {
                    (false, _) => Calls::new().count_all().add(Kind::Sum, "price").add(Kind::Min, "quantity"),
                    (true, 1) => library_calls(),
                    (true, _) => many_calls(),
                };
                let disorder = random.between(0, 12);
                let log = late_changelog(&mut random, 90, disorder, true, unique);
                let late = if allowed.is_some() { LateStrategy::UpdatePrevious } else { LateStrategy::Drop };
                let emission = emission(early, per_record, allowed);
                let query = spec(&["key"], calls, Some(window("session", gap, 0, 0)));
                let query = GroupSpec { emission, late, retracts: true, ..query };
                for size in [1, 2, 7, 8_192] {
                    let context = format!("gap {gap}, allowed {allowed:?}, seed {seed}, {early} {per_record}, {size}");
                    check(&query, gap, allowed.unwrap_or(0), &log, disorder * SECOND, size, &context);
                }
            }
        }
    }
}

#[test]
fn sessions_corrected_by_late_rows() {
    for seed in 0..6 {
        for (gap, allowed) in [(2, 2), (3, 0), (3, 15), (5, 1_000)] {
            for (early, per_record) in [(false, false), (true, false), (true, true)] {
                let mut random = Random::new(6_000 + seed);
                let calls = if seed % 4 == 0 { library_calls() } else { many_calls() };
                let disorder = random.between(0, 8);
                let log = late_changelog(&mut random, 100, disorder, false, true);
                let (late, emission) = (LateStrategy::UpdatePrevious, emission(early, per_record, Some(allowed)));
                let query = spec(&["key"], calls, Some(window("session", gap, 0, 0)));
                let query = GroupSpec { emission, late, ..query };
                for size in [1, 2, 7, 8_192] {
                    let context = format!("gap {gap}, allowed {allowed}, seed {seed}, {early} {per_record}, {size}");
                    check(&query, gap, allowed, &log, disorder * SECOND, size, &context);
                }
            }
        }
    }
}

/// What comes out, as text with its kinds.
fn shown(harness: &mut velo_exec::testing::Harness<support::sim::Boxed>) -> Vec<String> {
    let mut all = Vec::new();
    for batch in harness.take_batches() {
        for (at, row) in support::cells(&batch.columns).iter().enumerate() {
            let kind = batch.kinds.as_ref().map_or(RowKind::Insert, |kinds| kinds.as_slice()[at]);
            let seconds = |cell: &str| cell.trim_start_matches("1970-01-01T00:00:").to_owned();
            all.push(format!(
                "{} {}",
                kind.symbol(),
                row.iter().map(|cell| seconds(cell)).collect::<Vec<_>>().join(" ")
            ));
        }
    }
    all
}

fn counted(emission: velo_plan::plan::Emission, late: LateStrategy, retracts: bool) -> GroupSpec {
    let query = spec(&["key"], Calls::new().count_all(), Some(window("session", 5, 0, 0)));
    GroupSpec { emission, late, retracts, ..query }
}

/// A session that was told is taken back when a late row makes it longer, and told again when it has ended; two are joined.
#[test]
fn a_late_row_corrects_sessions() {
    let query = counted(emission(false, false, Some(10)), LateStrategy::UpdatePrevious, false);
    let mut harness = harness(&query);
    harness.batch(rows_at(&[("a", 0.0, "1"), ("a", 8.0, "1")])).unwrap();
    harness.watermark(Watermark(14 * SECOND)).unwrap();
    assert_eq!(shown(&mut harness), ["+I a 1 00 05", "+I a 1 08 13"]);
    assert_eq!(harness.forwarded(), Watermark(4 * SECOND), "a correction may carry the time of its session");
    harness.batch(rows_at(&[("a", 1.0, "1"), ("a", 1.0, "1")])).unwrap();
    assert_eq!(shown(&mut harness), ["-D a 1 00 05", "+I a 3 00 06"]);
    harness.batch(rows_at(&[("a", 0.5, "1")])).unwrap();
    assert_eq!(shown(&mut harness), ["-U a 3 00 06", "+U a 4 00 06"]);
    harness.batch(rows_at(&[("a", 4.0, "1")])).unwrap();
    assert_eq!(shown(&mut harness), ["-D a 1 08 13", "-D a 4 00 06", "+I a 6 00 13"]);
    // It has not ended any more: it is told when it has.
    harness.batch(rows_at(&[("a", 12.0, "1")])).unwrap();
    assert_eq!(shown(&mut harness), ["-D a 6 00 13"]);
    harness.watermark(Watermark(18 * SECOND)).unwrap();
    assert_eq!(shown(&mut harness), ["+I a 7 00 17"]);
    // At 27 the session can take nothing more, and a row of its last time comes too late.
    harness.watermark(Watermark(27 * SECOND)).unwrap();
    harness.batch(rows_at(&[("a", 12.0, "1")])).unwrap();
    harness.end().unwrap();
    assert_eq!(shown(&mut harness), [""; 0]);
}

/// A row that goes cuts its session in two, shortens it or ends it.
#[test]
fn a_row_that_goes_cuts_its_session() {
    let query = counted(emission(true, false, None), LateStrategy::Drop, true);
    let mut harness = harness(&query);
    let change = |kind: RowKind, at: &[f64]| {
        let rows = at.iter().map(|at| ("a", *at, "1")).collect::<Vec<_>>();
        Batch { kinds: Some(RowKinds::new(vec![kind; at.len()])), ..rows_at(&rows) }
    };
    harness.batch(change(RowKind::Insert, &[0.0, 4.0, 4.0, 8.0])).unwrap();
    assert_eq!(shown(&mut harness), ["+I a 4 00 13"]);
    harness.batch(change(RowKind::Delete, &[4.0])).unwrap();
    assert_eq!(shown(&mut harness), ["-U a 4 00 13", "+U a 3 00 13"]);
    harness.batch(change(RowKind::Delete, &[4.0])).unwrap();
    assert_eq!(shown(&mut harness), ["-D a 3 00 13", "+I a 1 00 05", "+I a 1 08 13"]);
    harness.batch(change(RowKind::Insert, &[5.0])).unwrap();
    assert_eq!(shown(&mut harness), ["-D a 1 08 13", "-D a 1 00 05", "+I a 3 00 13"]);
    harness.batch(change(RowKind::Delete, &[8.0])).unwrap();
    assert_eq!(shown(&mut harness), ["-D a 3 00 13", "+I a 2 00 10"]);
    // A row that never came does not go.
    harness.batch(change(RowKind::Delete, &[3.0])).unwrap();
    assert_eq!(shown(&mut harness), [""; 0]);
    harness.batch(change(RowKind::Delete, &[0.0, 5.0])).unwrap();
    assert_eq!(shown(&mut harness), ["-D a 2 00 10"]);
    harness.watermark(Watermark(20 * SECOND)).unwrap();
    assert_eq!(
        harness.forwarded(),
        Watermark(15 * SECOND - 1),
        "what is left of a session can have ended a gap before"
    );
    harness.end().unwrap();
    assert_eq!(shown(&mut harness), [""; 0]);
}

/// Sessions that are over are forgotten: numbers are given anew, and what comes out is as before.
#[test]
fn many_sessions_one_after_the_other() {
    let mut log = Vec::new();
    for at in 0..1_200 {
        let row = |seconds: i64| Row {
            position: log.len() as u64,
            ..Row::at(["a", "b", "c"][at as usize % 3], (at * 15 + seconds) * SECOND, &at.to_string())
        };
        let [first, middle, last] = [row(0), row(4), row(8)];
        // A row that goes cuts its session in two, and every fifth time comes again.
        let rows = [first, middle.clone(), last].map(|row| (RowKind::Insert, row));
        log.extend(rows);
        log.push((RowKind::Delete, middle.clone()));
        log.extend((at % 5 == 0).then_some((RowKind::Insert, middle)));
    }
    for (early, allowed, size) in [(false, None, 64), (false, Some(30), 7), (true, None, 4_096)] {
        let late = if allowed.is_some() { LateStrategy::UpdatePrevious } else { LateStrategy::Drop };
        let calls = Calls::new().count_all().add(Kind::Sum, "price").add(Kind::Max, "price");
        let query = spec(&["key"], calls, Some(window("session", 5, 0, 0)));
        let query = GroupSpec { emission: emission(early, false, allowed), late, retracts: true, ..query };
        let context = format!("early {early}, allowed {allowed:?}, batches of {size}");
        check(&query, 5, allowed.unwrap_or(0), &log, 60 * SECOND, size, &context);
    }
}
