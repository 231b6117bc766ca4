//! Interval joins equal pairs by brute force.

use velo_core::Watermark;
use velo_eventtime::LateStrategy;
use velo_exec::operator::{IntervalJoin, Operator};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{IntervalJoin as Plan, JoinKind};

use crate::support::joins::{
    Way, condition, feed, join, later, meets, naive, on_time, random_sides, same_key, side_batch, spec, texts,
};
use crate::support::{Row, SECOND};

pub const KINDS: [JoinKind; 6] =
    [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::Semi, JoinKind::Anti];

fn operator(kind: JoinKind, with_condition: bool, lower: i64, upper: i64) -> Harness<IntervalJoin> {
    Harness::new(made(kind, with_condition, lower, upper))
}

pub fn made(kind: JoinKind, with_condition: bool, lower: i64, upper: i64) -> IntervalJoin {
    let join = join(kind, with_condition.then(condition));
    let plan = Plan {
        join: join.clone(),
        lower: lower * SECOND,
        upper: upper * SECOND,
        held_back: upper.max(-lower).max(0) * SECOND,
        late: LateStrategy::Drop,
    };
    IntervalJoin::new(&spec(plan, &join)).unwrap()
}

#[test]
fn equal_pairs_by_brute_force() {
    for seed in 0..24 {
        let mut random = Random::new(seed);
        let disorder = random.between(0, 12);
        let rows = 1 + random.below(120) as usize;
        let sides = random_sides(&mut random, rows, disorder);
        let (left, right) = (on_time(&sides[0]), on_time(&sides[1]));
        let lower = random.between(-30, 20);
        let upper = lower + random.between(0, 40);
        for kind in KINDS {
            for with_condition in [false, true] {
                let close = |left: &Row, right: &Row| {
                    let apart = right.time - left.time;
                    (lower * SECOND..=upper * SECOND).contains(&apart)
                };
                let partners = |left: &Row, right: &Row| {
                    same_key(left, right) && close(left, right) && (!with_condition || meets(left, right))
                };
                let expected = naive(&kind, &left, &right, partners, later);
                for size in [1, 2, 8_192] {
                    let mut harness = operator(kind.clone(), with_condition, lower, upper);
                    let mut found = Vec::new();
                    let way = Way { bound: disorder * SECOND, size, seed: seed * 7 + size as u64 };
                    feed(&mut harness, &sides, side_batch, way, |harness| {
                        found.extend(texts(&harness.take_batches()));
                    });
                    found.sort();
                    assert_eq!(found, expected, "{kind:?} {lower}..{upper}, size {size}, seed {seed}");
                    assert_eq!(velo_exec::operator::Operator::held(&harness.operator), 0);
                    assert_eq!(harness.forwarded(), Watermark::END);
                }
            }
        }
    }
}

/// A few hot keys with pairs by the hundred thousand come in batches of no more than 8,192 rows.
#[test]
fn many_pairs_come_piece_by_piece() {
    let rows = |count: usize| -> Vec<Row> {
        let row = |at: usize| Row { position: at as u64, ..Row::at("hot", at as i64, "1") };
        (0..count).map(row).collect()
    };
    for (kind, expected) in [(JoinKind::Inner, 400_000), (JoinKind::Semi, 2_000), (JoinKind::Full, 400_000)] {
        let mut harness = operator(kind.clone(), true, -10, 10);
        harness.batch_at(0, side_batch(0, &rows(2_000))).unwrap();
        harness.batch_at(1, side_batch(1, &rows(200))).unwrap();
        harness.end().unwrap();
        let batches = harness.take_batches();
        assert!(harness.fullest() <= 6, "about a full outbox");
        assert!(batches.iter().all(|batch| batch.rows() <= 8_192));
        assert_eq!(batches.iter().map(velo_core::Batch::rows).sum::<usize>(), expected, "{kind:?}");
    }
}

/// State follows the watermark, also where each batch has a row of a far future.
#[test]
fn state_goes_with_the_watermark() {
    let mut harness = operator(JoinKind::Full, false, -5, 5);
    let mut most = 0;
    for second in 0..3_000_i64 {
        for side in [0, 1] {
            let row = |at: i64| Row::at(&format!("key {}", second * 20 + at), second * SECOND + at, "1");
            let mut rows = (0..20).map(row).collect::<Vec<_>>();
            rows[7].time += 600 * SECOND;
            harness.batch_at(side, side_batch(side, &rows)).unwrap();
            harness.input_watermark(side, Watermark(second * SECOND)).unwrap();
        }
        harness.watermark(Watermark(second * SECOND)).unwrap();
        harness.take_batches();
        if second == 1_000 {
            most = harness.operator.memory();
        }
    }
    let memory = harness.operator.memory();
    assert!(memory < most + most / 2, "{most} bytes after 1,000 seconds, {memory} after 3,000");
    harness.end().unwrap();
    assert_eq!(velo_exec::operator::Operator::held(&harness.operator), 0);
}

/// Rows by key, time in seconds, and note.
fn at(side: usize, rows: &[(&str, i64, &str)]) -> velo_core::Batch {
    let row = |(position, (key, time, note)): (usize, &(&str, i64, &str))| Row {
        position: position as u64,
        note: Some((*note).to_owned()),
        ..Row::at(key, time * SECOND, "1")
    };
    side_batch(side, &rows.iter().enumerate().map(row).collect::<Vec<_>>())
}

fn shown(harness: &mut Harness<IntervalJoin>) -> Vec<String> {
    harness.take_rows()
}

#[test]
fn bc_14_a_row_is_padded_once_no_partner_can_come() {
    let mut harness = operator(JoinKind::Left, false, 0, 10);
    harness.batch_at(0, at(0, &[("1", 0, "o"), ("2", 5, "o")])).unwrap();
    assert!(shown(&mut harness).is_empty());
    harness.batch_at(1, at(1, &[("1", 3, "p")])).unwrap();
    assert_eq!(shown(&mut harness), ["1, 1, o, 1, 1, p"]);
    harness.batch_at(1, at(1, &[("9", 40, "p")])).unwrap();
    harness.input_watermark(1, Watermark(15 * SECOND)).unwrap();
    assert!(shown(&mut harness).is_empty(), "a partner at 15 seconds can still come");
    harness.input_watermark(1, Watermark(15 * SECOND + 1)).unwrap();
    assert_eq!(shown(&mut harness), ["2, 1, o, null, null, null"]);
    harness.batch_at(0, at(0, &[("9", 40, "o")])).unwrap();
    assert_eq!(shown(&mut harness), ["9, 1, o, 9, 1, p"]);
    harness.end().unwrap();
    assert!(shown(&mut harness).is_empty());
}

#[test]
fn bc_16_padded_rows_are_not_behind_the_watermark() {
    let mut harness = operator(JoinKind::Left, false, -5, 5);
    harness.batch_at(0, at(0, &[("1", 1, "o"), ("2", 9, "o")])).unwrap();
    harness.watermark(Watermark(6 * SECOND)).unwrap();
    assert_eq!(harness.forwarded(), Watermark(SECOND));
    // The harness fails where a row comes out behind what was forwarded.
    harness.watermark(Watermark(6 * SECOND + 1)).unwrap();
    assert_eq!(shown(&mut harness), ["1, 1, o, null, null, null"]);
    harness.batch_at(1, at(1, &[("2", 9, "p")])).unwrap();
    harness.batch_at(0, at(0, &[("3", 30, "o")])).unwrap();
    harness.batch_at(1, at(1, &[("3", 30, "p")])).unwrap();
    harness.end().unwrap();
    assert_eq!(shown(&mut harness), ["2, 1, o, 2, 1, p", "3, 1, o, 3, 1, p"]);
}

#[test]
fn bc_13_a_null_key_matches_nothing_and_does_not_disappear() {
    for (kind, expected) in [(JoinKind::Inner, vec![]), (JoinKind::Left, vec!["null, 1, a, null, null, null"])] {
        let mut harness = operator(kind, false, -5, 5);
        for (side, note) in [(0, "a"), (1, "b")] {
            let row = Row { key: None, note: Some(note.to_owned()), ..Row::at("", 0, "1") };
            harness.batch_at(side, side_batch(side, &[row])).unwrap();
        }
        harness.end().unwrap();
        assert_eq!(shown(&mut harness), expected);
    }
}

#[test]
fn late_rows_are_counted_and_go_to_the_dead_letters() {
    let join = join(JoinKind::Left, None);
    let plan = Plan { join: join.clone(), lower: 0, upper: 0, held_back: 0, late: LateStrategy::DeadLetter };
    let mut harness = Harness::new(IntervalJoin::new(&spec(plan, &join)).unwrap());
    harness.input_watermark(0, Watermark(3 * SECOND)).unwrap();
    harness.batch_at(0, at(0, &[("1", 2, "late"), ("1", 3, "not")])).unwrap();
    // The other side has a watermark of its own.
    harness.batch_at(1, at(1, &[("1", 3, "p")])).unwrap();
    let letters = harness.take_dead_letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].error.contains("came late for an interval join"), "{}", letters[0].error);
    assert_eq!(shown(&mut harness), ["1, 1, not, 1, 1, p"]);
    let counters = velo_exec::operator::Operator::late(&harness.operator).unwrap();
    assert_eq!(counters.rows(), 1);
}
