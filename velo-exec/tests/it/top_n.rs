//! Top-N over random rows equals a computation by brute force: over rows that only come and over changelogs, with and without the
//! rank, with ties and nulls, in batches of any size; and nothing is taken back that was not there.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support::sim::{Turn, random_partitions, stamp, turns};
use crate::support::{Row, SECOND, batch, cells, rows_at, schema};
use arrow_schema::{DataType, Field, Schema};
use datafusion_expr::{Expr, col};
use velo_core::duration::Span;
use velo_core::{Batch, RowKind, RowKinds, Watermark, schema as hidden};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{Operator, TopN, TopNSpec};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{Emission, SortKey, StateTtl, TopN as Plan};

/// An order, and how two rows compare in it.
#[derive(Clone)]
struct Order {
    keys: Vec<SortKey>,
    compare: fn(&Row, &Row) -> Ordering,
    /// The latest first, also of equal ones.
    latest: bool,
}

fn key(column: &str, descending: bool, nulls_first: bool) -> SortKey {
    SortKey { expr: col(column), descending, nulls_first }
}

fn time() -> Expr {
    col(hidden::EVENT_TIME)
}

/// Nulls count as larger than any value.
fn larger<T: Ord>(left: Option<T>, right: Option<T>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => left.cmp(&right),
        (left, right) => left.is_none().cmp(&right.is_none()),
    }
}

fn orders() -> Vec<Order> {
    vec![
        Order {
            keys: vec![key("quantity", true, true)],
            compare: |left, right| larger(right.quantity, left.quantity),
            latest: false,
        },
        Order {
            keys: vec![key("quantity", false, true)],
            compare: |left, right| left.quantity.cmp(&right.quantity),
            latest: false,
        },
        Order {
            keys: vec![key("flag", true, false), key("price", false, false)],
            compare: |left, right| {
                let flag = match (left.flag, right.flag) {
                    (Some(left), Some(right)) => right.cmp(&left),
                    (left, right) => left.is_none().cmp(&right.is_none()),
                };
                flag.then_with(|| larger(left.price, right.price))
            },
            latest: false,
        },
        newest(),
    ]
}

fn newest() -> Order {
    let keys = vec![SortKey { expr: time(), descending: true, nulls_first: true }];
    Order { keys, compare: |left, right| right.time.cmp(&left.time), latest: true }
}

/// Equal rows by time, partition and position.
fn by_place(left: &Row, right: &Row) -> Ordering {
    (left.time, left.partition, left.position).cmp(&(right.time, right.partition, right.position))
}

/// Equal rows by their values.
fn by_values(left: &Row, right: &Row) -> Ordering {
    let values = |row: &Row| (row.key.clone(), row.price, row.quantity, row.note.clone(), row.flag);
    values(left).cmp(&values(right))
}

fn spec(order: &Order, limit: u64, rank: bool) -> TopNSpec {
    let mut fields = hidden::visible(&schema()).fields().to_vec();
    let rank = rank.then(|| Arc::new(Field::new("rn", DataType::Int64, false)));
    fields.extend(rank.clone());
    TopNSpec {
        top: Plan {
            partition_by: vec![col("key")],
            order_by: order.keys.clone(),
            limit: Some(limit),
            rank,
            per_window: false,
            emission: Emission { early: true, ..Emission::default() },
            late: None,
        },
        retracts: false,
        ttl: None,
        output: hidden::with_event_time(&Schema::new(fields)),
        statement: "result".to_owned(),
    }
}

fn harness(spec: &TopNSpec) -> Harness<TopN> {
    Harness::new(TopN::new(spec, &schema()).unwrap())
}

/// The first rows of each partition as cells, sorted.
fn naive(
    rows: &[Row],
    order: &Order,
    ties: fn(&Row, &Row) -> Ordering,
    partition: fn(&Row) -> (Option<String>, i64),
    limit: u64,
    rank: bool,
) -> Vec<Vec<String>> {
    let mut partitions: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    rows.iter().for_each(|row| partitions.entry(partition(row)).or_default().push(row));
    let mut expected = Vec::new();
    for mut rows in partitions.into_values() {
        let tie = |left, right| if order.latest { ties(right, left) } else { ties(left, right) };
        rows.sort_by(|left, right| (order.compare)(left, right).then_with(|| tie(left, right)));
        for (at, row) in rows.into_iter().take(limit as usize).enumerate() {
            let mut cells = cells(&batch(std::slice::from_ref(row)).columns).remove(0);
            if rank {
                cells.push((at + 1).to_string());
            }
            expected.push(cells);
        }
    }
    expected.sort();
    expected
}

fn of_key(row: &Row) -> (Option<String>, i64) {
    (row.key.clone(), 0)
}

/// The changes of batches as text, each with its kind.
fn changes_of(batches: &[Batch]) -> Vec<(RowKind, Vec<String>)> {
    let of = |batch: &Batch| {
        let kinds = batch.kinds.as_ref().map(|kinds| kinds.as_slice().to_vec());
        let kinds = kinds.unwrap_or_else(|| vec![RowKind::Insert; batch.rows()]);
        kinds.into_iter().zip(cells(&batch.columns)).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

/// What changes fold to, sorted; each is possible, and an update stays in its partition and place.
fn folded(changes: &[(RowKind, Vec<String>)], rank: bool, context: &str) -> Vec<Vec<String>> {
    let mut counts: BTreeMap<&Vec<String>, i64> = BTreeMap::new();
    for (at, (kind, row)) in changes.iter().enumerate() {
        if *kind == RowKind::UpdateBefore {
            let (next, after) = &changes[at + 1];
            let place = |row: &Vec<String>| (row[0].clone(), rank.then(|| row.last().cloned()));
            assert_eq!((*next, place(after)), (RowKind::UpdateAfter, place(row)), "{context}");
            assert_ne!(row, after, "an update that changes nothing: {context}");
        }
        let count = counts.entry(row).or_default();
        *count += if kind.retracts() { -1 } else { 1 };
        assert!(*count >= 0, "{} {row:?} was not there: {context}", kind.symbol());
    }
    counts.into_iter().flat_map(|(row, count)| std::iter::repeat_n(row.clone(), count as usize)).collect()
}

/// Hands partitions in, in batches, and gives what comes out.
fn run(spec: &TopNSpec, partitions: &[Vec<Row>], bound: i64, size: usize, seed: u64) -> Vec<Batch> {
    let mut harness = harness(spec);
    for Turn { rows, watermark, .. } in turns(partitions, bound, size, seed) {
        harness.batch(batch(rows)).unwrap();
        harness.watermark(watermark).unwrap();
    }
    harness.end().unwrap();
    harness.take_batches()
}

#[test]
fn rows_that_only_come() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let disorder = random.between(0, 20);
        let partitions = 1 + random.below(3) as usize;
        let mut input = random_partitions(&mut random, partitions, 150, disorder, true);
        stamp(&mut input, disorder * SECOND);
        let rows = input.concat();
        for order in orders() {
            for (limit, rank) in [(1, false), (1, true), (2, false), (2, true), (5, false), (5, true), (0, false)] {
                for early in [true, false] {
                    let mut query = spec(&order, limit, rank);
                    query.top.emission.early = early;
                    let expected = naive(&rows, &order, by_place, of_key, limit, rank);
                    for size in [1, 7, 8_192] {
                        let context = format!("seed {seed}, {}, batches of {size}", query.top);
                        let changes = changes_of(&run(&query, &input, disorder * SECOND, size, seed + size as u64));
                        assert!(early || changes.iter().all(|(kind, _)| *kind == RowKind::Insert), "{context}");
                        assert_eq!(folded(&changes, rank, &context), expected, "{context}");
                    }
                }
            }
        }
    }
}

/// With `state.ttl` a partition begins anew with a row that comes so long or more behind the last one, however batches are cut;
/// what was shown before stays.
#[test]
fn forgotten_partitions() {
    let order = orders().remove(0);
    for seed in 0..8 {
        let mut random = Random::new(70 + seed);
        let (ttl, disorder) = (random.between(1, 12), random.between(0, 3));
        let mut rows = random_partitions(&mut random, 1, 150, disorder, false).remove(0);
        // Each stretch of a partition in which it is not forgotten is one of its own.
        let mut last: BTreeMap<Option<String>, (i64, i64)> = BTreeMap::new();
        let mut stretches = Vec::new();
        for (position, row) in rows.iter_mut().enumerate() {
            row.position = position as u64;
            let (touched, stretch) = last.entry(row.key.clone()).or_insert((row.time, 0));
            *stretch += i64::from(row.time >= *touched + ttl * SECOND);
            *touched = row.time.max(*touched);
            stretches.push(*stretch);
        }
        for (limit, rank) in [(1, false), (2, true), (3, false)] {
            let mut expected = Vec::new();
            for stretch in 0..=stretches.iter().copied().max().unwrap() {
                let own =
                    rows.iter().filter(|row| stretches[row.position as usize] == stretch).cloned().collect::<Vec<_>>();
                expected.extend(naive(&own, &order, by_place, of_key, limit, rank));
            }
            expected.sort();
            let ttl = Some(StateTtl { after: Span(ttl * SECOND), by_clock: false });
            for (size, per_record) in [(1, false), (7, false), (8_192, false), (8_192, true)] {
                let mut query = TopNSpec { ttl, ..spec(&order, limit, rank) };
                query.top.emission.per_record = per_record;
                let context = format!("seed {seed}, {}, batches of {size}", query.top);
                let changes = changes_of(&run(&query, std::slice::from_ref(&rows), disorder * SECOND, size, seed));
                assert_eq!(folded(&changes, rank, &context), expected, "{context}");
            }
        }
    }
}

/// Many partitions that come once do not pile up, and go by the clock also while no rows come.
#[test]
fn forgotten_partitions_leave_no_memory_behind() {
    for by_clock in [false, true] {
        let ttl = Some(StateTtl { after: Span(10 * SECOND), by_clock });
        let mut harness = harness(&TopNSpec { ttl, ..spec(&orders()[0], 2, false) });
        let mut most = 0;
        for step in 0..300_i64 {
            let rows = (0..100).map(|n| Row::at(&format!("{step} {n}"), step * SECOND, "1"));
            harness.batch(batch(&rows.collect::<Vec<_>>())).unwrap();
            harness.watermark(Watermark(step * SECOND)).unwrap();
            harness.clock(step * SECOND).unwrap();
            if step == 100 {
                most = harness.operator.memory();
            }
        }
        let memory = harness.operator.memory();
        assert!(memory <= most + most / 4, "{memory} after {most}");
    }
}

/// By event time, rows that are behind the watermark of their partition do not count.
#[test]
fn the_newest_rows_without_late_ones() {
    let order = newest();
    for seed in 0..6 {
        let mut random = Random::new(50 + seed);
        let mut input = random_partitions(&mut random, 2, 150, 5, true);
        stamp(&mut input, 5 * SECOND);
        let on_time = input.concat().into_iter().filter(|row| row.late_by <= 0).collect::<Vec<_>>();
        assert!(on_time.len() < 300);
        let mut query = spec(&order, 3, false);
        query.top.late = Some(LateStrategy::Drop);
        for size in [1, 7, 8_192] {
            let context = format!("seed {seed}, batches of {size}");
            let changes = changes_of(&run(&query, &input, 5 * SECOND, size, seed));
            assert_eq!(
                folded(&changes, false, &context),
                naive(&on_time, &order, by_place, of_key, 3, false),
                "{context}"
            );
        }
    }
}

/// Rows of one window have its time; they come when the watermark has passed it, and then go.
#[test]
fn rows_of_windows() {
    fn of_window(row: &Row) -> (Option<String>, i64) {
        (row.key.clone(), row.time)
    }
    for seed in 0..6 {
        let mut random = Random::new(80 + seed);
        let mut input = random_partitions(&mut random, 2, 150, 0, false);
        for row in input.iter_mut().flatten() {
            row.time = (row.time.div_euclid(10 * SECOND) + 1) * 10 * SECOND - 1;
        }
        stamp(&mut input, 0);
        for order in &orders()[..3] {
            for (limit, rank, early) in [(1, false, false), (3, true, false), (3, false, false), (2, true, true)] {
                let mut query = spec(order, limit, rank);
                query.top.partition_by.push(time());
                query.top.per_window = true;
                query.top.emission.early = early;
                let expected = naive(&input.concat(), order, by_place, of_window, limit, rank);
                for size in [1, 7, 8_192] {
                    let context = format!("seed {seed}, {}, batches of {size}", query.top);
                    let changes = changes_of(&run(&query, &input, 0, size, seed));
                    assert!(early || changes.iter().all(|(kind, _)| *kind == RowKind::Insert), "{context}");
                    assert_eq!(folded(&changes, false, &context), expected, "{context}");
                }
            }
        }
    }
}

/// A changelog over rows, and the rows that are left; equal rows can be there more than once.
fn changelog(random: &mut Random, changes: usize) -> (Vec<(RowKind, Row)>, Vec<Row>) {
    let mut fresh = random_partitions(random, 1, changes * 2, 0, false).remove(0).into_iter();
    let (mut log, mut live): (Vec<(RowKind, Row)>, Vec<Row>) = (Vec::new(), Vec::new());
    while log.len() < changes {
        let at = random.below(live.len().max(1) as u64) as usize;
        match random.below(8) {
            3 | 4 if !live.is_empty() => log.push((RowKind::Delete, live.swap_remove(at))),
            5 | 6 if !live.is_empty() => {
                let after = fresh.next().unwrap();
                log.push((RowKind::UpdateBefore, std::mem::replace(&mut live[at], after.clone())));
                log.push((RowKind::UpdateAfter, after));
            }
            7 if !live.is_empty() => {
                live.push(live[at].clone());
                log.push((RowKind::Insert, live[at].clone()));
            }
            _ => {
                live.push(fresh.next().unwrap());
                log.push((RowKind::Insert, live.last().unwrap().clone()));
            }
        }
    }
    // At times nothing is left of a key.
    if random.below(2) == 0 {
        let gone = live.first().and_then(|row| row.key.clone());
        log.extend(live.iter().filter(|row| row.key == gone).map(|row| (RowKind::Delete, row.clone())));
        live.retain(|row| row.key != gone);
    }
    (log, live)
}

fn changes(log: &[(RowKind, Row)]) -> Batch {
    let rows = log.iter().map(|(_, row)| row.clone()).collect::<Vec<_>>();
    let kinds = RowKinds::new(log.iter().map(|(kind, _)| *kind).collect()).slice(0, rows.len());
    Batch { kinds: Some(kinds), origin: None, ..batch(&rows) }
}

#[test]
fn rows_taken_back() {
    for seed in 0..6 {
        let mut random = Random::new(200 + seed);
        let (log, live) = changelog(&mut random, 300);
        for order in orders() {
            for (limit, rank) in [(1, false), (1, true), (2, false), (2, true), (5, false), (5, true)] {
                for per_record in [false, true] {
                    let mut query = TopNSpec { retracts: true, ..spec(&order, limit, rank) };
                    query.top.emission.per_record = per_record;
                    let expected = naive(&live, &order, by_values, of_key, limit, rank);
                    let mut whole: Option<Vec<_>> = None;
                    for size in [1, 2, 9, 8_192] {
                        let context = format!("seed {seed}, {}, batches of {size}", query.top);
                        let mut harness = harness(&query);
                        log.chunks(size).for_each(|part| harness.batch(changes(part)).unwrap());
                        harness.end().unwrap();
                        let told = changes_of(&harness.take_batches());
                        assert_eq!(folded(&told, rank, &context), expected, "{context}");
                        // One step for each row does not depend on batches.
                        if per_record {
                            assert_eq!(*whole.get_or_insert_with(|| told.clone()), told, "{context}");
                        }
                    }
                }
            }
        }
    }
}

/// Of rows that only come, no more is kept than can be among the first.
#[test]
fn memory_is_bounded_by_what_is_kept() {
    let mut harness = harness(&spec(&orders()[0], 2, false));
    for seed in 0..60 {
        let rows = random_partitions(&mut Random::new(seed), 1, 5_000, 3, false).remove(0);
        harness.batch(batch(&rows)).unwrap();
        harness.take_batches();
    }
    assert!(harness.operator.memory() < 1 << 22, "{}", harness.operator.memory());
    // Ever newer rows push the others out.
    let mut harness = self::harness(&spec(&orders()[3], 2, true));
    for part in 0..60 {
        let rows = (0..5_000).map(|at| Row::at("a", (part * 5_000 + at) * SECOND, "1.5")).collect::<Vec<_>>();
        harness.batch(batch(&rows)).unwrap();
        harness.take_batches();
    }
    assert!(harness.operator.memory() < 1 << 22, "{}", harness.operator.memory());
}

/// BC-23: a row that goes beyond the limit is forgotten.
#[test]
fn bc_23_a_row_outside_the_top_is_deleted() {
    let order = Order {
        keys: vec![key("price", true, true)],
        compare: |left, right| larger(right.price, left.price),
        latest: false,
    };
    let mut query = TopNSpec { retracts: true, ..spec(&order, 2, false) };
    query.top.partition_by.clear();
    let row = |kind: RowKind, name: &str, price: &str| Batch {
        kinds: Some(RowKinds::new(vec![kind])),
        origin: None,
        ..rows_at(&[(name, 1.0, price)])
    };
    let mut harness = harness(&query);
    for (name, price) in [("o1", "100"), ("o2", "90"), ("o3", "90"), ("o4", "80"), ("o5", "80")] {
        harness.batch(row(RowKind::Insert, name, price)).unwrap();
    }
    for (name, price) in [("o4", "80"), ("o1", "100"), ("o2", "90")] {
        harness.batch(row(RowKind::Delete, name, price)).unwrap();
    }
    let told = changes_of(&harness.take_batches());
    let told = told.iter().map(|(kind, row)| format!("{} {}", kind.symbol(), row[0])).collect::<Vec<_>>();
    assert_eq!(told, ["+I o1", "+I o2", "-D o1", "+I o3", "-D o2", "+I o5"]);
}
