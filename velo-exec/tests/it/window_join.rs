//! Joins of windows equal joins of the rows of each window by brute force.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{Field, Schema, SchemaRef};
use velo_core::{Batch, RowKind, RowKinds, Watermark, schema as hidden, types};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{JoinSpec, Operator, WindowJoin};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{JoinKind, WindowJoin as Plan};

use crate::support::joins::{
    Way, condition, feed, join, meets, naive, on_time, random_sides, right_schema, same_key, side_batch, spec, texts,
};
use crate::support::{Row, SECOND, schema};

const SIZE: i64 = 10 * SECOND;

fn end(row: &Row) -> i64 {
    row.time.div_euclid(SIZE) * SIZE + SIZE
}

/// The columns of a side with the bounds of the window.
fn windowed(side: usize) -> SchemaRef {
    let visible = hidden::visible(&if side == 0 { schema() } else { right_schema() });
    let mut fields = visible.fields().to_vec();
    for name in ["window_start", "window_end"] {
        let name = if side == 0 { name.to_owned() } else { format!("r_{name}") };
        fields.push(Arc::new(Field::new(name, types::TIMESTAMP, false)));
    }
    hidden::with_event_time(&Schema::new(fields))
}

/// Rows as they come behind a windowing function.
pub fn window_batch(side: usize, rows: &[Row]) -> Batch {
    let plain = side_batch(side, rows);
    let mut columns = plain.columns.columns().to_vec();
    columns.pop();
    let mut times = |of: &dyn Fn(&Row) -> i64| {
        columns.push(Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(of))) as ArrayRef);
    };
    times(&|row| end(row) - SIZE);
    times(&end);
    times(&|row| end(row) - 1);
    Batch { late_by: None, ..plain.with_columns(RecordBatch::try_new(windowed(side), columns).unwrap()) }
}

fn operator(kind: JoinKind, with_condition: bool, late: LateStrategy, retracts: bool) -> Harness<WindowJoin> {
    Harness::new(made(kind, with_condition, late, retracts))
}

pub fn made(kind: JoinKind, with_condition: bool, late: LateStrategy, retracts: bool) -> WindowJoin {
    let join = join(kind, with_condition.then(condition));
    let names = |prefix: &str| [format!("{prefix}window_start"), format!("{prefix}window_end")];
    let plan = Plan { join: join.clone(), left_window: names(""), right_window: names("r_"), late };
    let spec = JoinSpec { left: windowed(0), right: windowed(1), retracts: [retracts; 2], ..spec(plan, &join) };
    WindowJoin::new(&spec).unwrap()
}

#[test]
fn equal_joins_of_each_window_by_brute_force() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let disorder = random.between(0, 12);
        let rows = 1 + random.below(120) as usize;
        let mut sides = random_sides(&mut random, rows, disorder);
        // A late row is left out when it is given its window.
        for partition in sides.iter_mut().flatten() {
            partition.retain(|row| row.late_by <= 0);
        }
        let (left, right) = (on_time(&sides[0]), on_time(&sides[1]));
        for kind in [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::Semi, JoinKind::Anti] {
            for with_condition in [false, true] {
                let partners = |left: &Row, right: &Row| {
                    same_key(left, right) && end(left) == end(right) && (!with_condition || meets(left, right))
                };
                let time = |left: Option<&Row>, right: Option<&Row>| end(left.or(right).unwrap()) - 1;
                let mut expected = naive(&kind, &left, &right, partners, time);
                if matches!(kind, JoinKind::Semi | JoinKind::Anti) {
                    // Left rows come out at the time of their window.
                    for row in &mut expected {
                        let time = row.pop().unwrap().parse::<i64>().unwrap();
                        row.push((time.div_euclid(SIZE) * SIZE + SIZE - 1).to_string());
                    }
                    expected.sort();
                }
                for size in [1, 2, 8_192] {
                    let mut harness = operator(kind.clone(), with_condition, LateStrategy::Drop, false);
                    let mut found = Vec::new();
                    let way = Way { bound: disorder * SECOND, size, seed: seed * 5 + size as u64 };
                    feed(&mut harness, &sides, window_batch, way, |harness| {
                        found.extend(texts(&harness.take_batches()));
                    });
                    found.sort();
                    assert_eq!(found, expected, "{kind:?}, size {size}, seed {seed}");
                    assert_eq!((harness.operator.held(), harness.operator.memory()), (0, 0));
                }
            }
        }
    }
}

#[test]
fn a_window_comes_out_when_the_watermark_has_passed_its_end() {
    let mut harness = operator(JoinKind::Full, false, LateStrategy::DeadLetter, false);
    harness.batch_at(0, window_batch(0, &[Row::at("a", 3 * SECOND, "l"), Row::at("b", 12 * SECOND, "l")])).unwrap();
    harness.batch_at(1, window_batch(1, &[Row::at("a", 9 * SECOND, "r")])).unwrap();
    harness.watermark(Watermark(10 * SECOND - 1)).unwrap();
    assert!(harness.take_rows().is_empty());
    harness.watermark(Watermark(10 * SECOND)).unwrap();
    assert_eq!(harness.take_rows(), ["a, 1, l, a, 1, r"]);
    assert_eq!(harness.operator.held(), 1);
    harness.batch_at(1, window_batch(1, &[Row::at("a", 9 * SECOND, "late")])).unwrap();
    let letters = harness.take_dead_letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].error.contains("came late for window [1970-01-01T00:00:00Z"), "{}", letters[0].error);
    assert_eq!(harness.operator.late().unwrap().rows(), 1);
    harness.end().unwrap();
    assert_eq!(harness.take_rows(), ["b, 1, l, null, null, null"]);
}

#[test]
fn rows_that_are_taken_back_in_time_are_not_there() {
    let mut harness = operator(JoinKind::Left, false, LateStrategy::Drop, true);
    let change = |side: usize, kind: RowKind, note: &str| {
        let batch = window_batch(side, &[Row::at("a", SECOND, note)]);
        Batch { kinds: Some(RowKinds::new(vec![kind])), ..batch }
    };
    for (side, kind, note) in [
        (0, RowKind::Insert, "gone"),
        (1, RowKind::Delete, "early"),
        (0, RowKind::Insert, "twice"),
        (0, RowKind::Insert, "twice"),
        (0, RowKind::Delete, "gone"),
        (1, RowKind::Insert, "early"),
        (0, RowKind::Delete, "twice"),
    ] {
        harness.batch_at(side, change(side, kind, note)).unwrap();
    }
    harness.end().unwrap();
    let batches = harness.take_batches();
    assert!(batches.iter().all(|batch| batch.kinds.is_none()));
    assert_eq!(texts(&batches), [["a", "1", "twice", "null", "null", "null", "9999999"]]);
}

#[test]
fn many_pairs_come_piece_by_piece() {
    let rows = |count: i64| (0..count).map(|at| Row::at("hot", at, "1")).collect::<Vec<_>>();
    for (kind, expected) in [(JoinKind::Full, 600_000), (JoinKind::Semi, 3_000), (JoinKind::Anti, 0)] {
        let mut harness = operator(kind, true, LateStrategy::Drop, false);
        harness.batch_at(0, window_batch(0, &rows(3_000))).unwrap();
        harness.batch_at(1, window_batch(1, &rows(200))).unwrap();
        harness.end().unwrap();
        let batches = harness.take_batches();
        assert!(harness.fullest() <= 6, "about a full outbox");
        assert!(batches.iter().all(|batch| batch.rows() <= 8_192));
        assert_eq!(batches.iter().map(Batch::rows).sum::<usize>(), expected);
    }
}
