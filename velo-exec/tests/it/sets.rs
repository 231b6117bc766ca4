//! What multiplies, combines and cuts sets of rows equals a computation by brute force over random rows, in any batches: UNNEST,
//! EXCEPT and INTERSECT, DISTINCT ON, the first rows of each window.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::support;
use crate::support::changelog::Folded;
use crate::support::sim::{random_partitions, stamp};
use crate::support::{Row, SECOND};
use arrow_array::builder::{Int64Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::{col, lit};
use velo_core::duration::Span;
use velo_core::{Batch, RowKind, Watermark, schema as hidden, types};
use velo_exec::operator::{DistinctOn, Operator, SetOperation, Unnest, WindowLimit};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{Emission, SetKind, SortKey, StateTtl, Unnest as UnnestSpec, UnnestItem, UnnestOf};

/// Rows for EXCEPT and INTERSECT: two columns, and the side.
type Sided = (Option<i64>, Option<i64>, bool);

fn sided_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Utf8, true),
        Field::new("$right", DataType::Boolean, false),
    ]))
}

fn sided_batch(rows: &[(RowKind, Sided)]) -> Batch {
    let rows = rows.iter();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.clone().map(|(_, (a, _, _))| *a).collect::<Int64Array>()),
        Arc::new(rows.clone().map(|(_, (_, b, _))| b.map(|b| b.to_string())).collect::<StringArray>()),
        Arc::new(rows.clone().map(|(_, (_, _, right))| Some(*right)).collect::<BooleanArray>()),
    ];
    let kinds = rows.map(|(kind, _)| *kind).collect();
    Batch::changes(RecordBatch::try_new(sided_schema(), columns).unwrap(), kinds)
}

/// Random rows, of which some are taken back where `changing`.
fn sided_rows(random: &mut Random, count: usize, changing: bool) -> Vec<(RowKind, Sided)> {
    let (mut log, mut live): (Vec<(RowKind, Sided)>, Vec<Sided>) = (Vec::new(), Vec::new());
    let value = |random: &mut Random| (random.below(5) != 0).then(|| random.between(0, 4));
    while log.len() < count {
        let row = (value(random), value(random), random.below(2) == 0);
        let at = random.below(live.len().max(1) as u64) as usize;
        match random.below(5) {
            3 if changing && !live.is_empty() => log.push((RowKind::Delete, live.swap_remove(at))),
            4 if changing && !live.is_empty() => {
                log.push((RowKind::UpdateBefore, std::mem::replace(&mut live[at], row)));
                log.push((RowKind::UpdateAfter, row));
            }
            _ => {
                live.push(row);
                log.push((RowKind::Insert, row));
            }
        }
    }
    log
}

/// What stays of the rows, by brute force.
fn combined(kind: SetKind, all: bool, log: &[(RowKind, Sided)]) -> Vec<Vec<String>> {
    let mut counts: BTreeMap<_, (i64, i64)> = BTreeMap::new();
    for (kind, (a, b, right)) in log {
        let count = counts.entry((*a, *b)).or_default();
        *(if *right { &mut count.1 } else { &mut count.0 }) += if kind.retracts() { -1 } else { 1 };
    }
    let stays = |(left, right): (i64, i64)| match (kind, all) {
        (SetKind::Except, true) => (left - right).max(0),
        (SetKind::Except, false) => i64::from(left > 0 && right == 0),
        (SetKind::Intersect, true) => left.min(right),
        (SetKind::Intersect, false) => i64::from(left > 0 && right > 0),
    };
    let text = |value: Option<i64>| value.map_or_else(|| "null".to_owned(), |value| value.to_string());
    let rows = counts.iter();
    let mut rows: Vec<_> = rows
        .flat_map(|((a, b), count)| std::iter::repeat_n(vec![text(*a), text(*b)], stays(*count) as usize))
        .collect();
    rows.sort();
    rows
}

const SET_KINDS: [(SetKind, bool); 4] =
    [(SetKind::Except, true), (SetKind::Except, false), (SetKind::Intersect, true), (SetKind::Intersect, false)];

fn set_operation(kind: SetKind, all: bool, emission: Emission) -> Harness<SetOperation> {
    let output = Arc::new(sided_schema().project(&[0, 1]).unwrap());
    Harness::new(SetOperation::new(kind, all, emission, None, output).unwrap())
}

/// A row that did not come for so long is on neither side any more, and begins anew; what was shown of it stays.
#[test]
fn forgotten_rows() {
    let output = Arc::new(sided_schema().project(&[0, 1]).unwrap());
    let ttl = Some(StateTtl { after: Span(10), by_clock: true });
    let early = Emission { early: true, ..Emission::default() };
    let mut harness = Harness::new(SetOperation::new(SetKind::Except, false, early, ttl, output).unwrap());
    let mut come = |clock: i64, right: bool| {
        harness.clock(clock).unwrap();
        harness.batch(sided_batch(&[(RowKind::Insert, (Some(1), Some(2), right))])).unwrap();
        let batches = harness.take_batches();
        let kinds = |batch: &Batch| {
            let inserts = || vec![RowKind::Insert; batch.rows()];
            batch.kinds.as_ref().map_or_else(inserts, |kinds| kinds.as_slice().to_vec())
        };
        batches.iter().flat_map(kinds).collect::<Vec<_>>()
    };
    assert_eq!(come(0, false), [RowKind::Insert]);
    assert_eq!(come(9, true), [RowKind::Delete]);
    assert_eq!(come(18, false), [], "the right side still has it");
    assert_eq!(come(28, false), [RowKind::Insert], "both sides are forgotten");
    assert_eq!(come(38, true), [], "and once more");
}

#[test]
fn except_and_intersect() {
    for seed in 0..20 {
        for changing in [false, true] {
            let log = sided_rows(&mut Random::new(seed), 150, changing);
            for (kind, all) in SET_KINDS {
                let expected = combined(kind, all, &log);
                for size in [1, 7, 8_192] {
                    let mut harness = set_operation(kind, all, Emission::default());
                    for rows in log.chunks(size) {
                        harness.batch(sided_batch(rows)).unwrap();
                        assert!(harness.take_batches().is_empty(), "nothing comes before the end");
                    }
                    harness.end().unwrap();
                    let mut found: Vec<_> =
                        harness.take_batches().iter().flat_map(|batch| support::cells(&batch.columns)).collect();
                    found.sort();
                    assert!(found == expected, "{kind:?}, all {all}, seed {seed}, changing {changing}, batch {size}");
                }
            }
        }
    }
}

/// What has come out folds to the rows that stay, after every batch; of rows that only come an INTERSECT takes nothing back.
#[test]
fn except_and_intersect_as_changelogs() {
    for seed in 0..12 {
        for changing in [false, true] {
            let log = sided_rows(&mut Random::new(100 + seed), 90, changing);
            for ((kind, all), per_record) in SET_KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
                for size in [1, 7, 8_192] {
                    let context = format!("{kind:?}, all {all}, seed {seed}, changing {changing}, batch {size}");
                    let emission = Emission { early: true, per_record, ..Emission::default() };
                    let (mut harness, mut folded) = (set_operation(kind, all, emission), Folded::default());
                    for (at, rows) in log.chunks(size).enumerate() {
                        harness.batch(sided_batch(rows)).unwrap();
                        let batches = harness.take_batches();
                        let appends = kind == SetKind::Intersect && !changing;
                        assert!(!appends || batches.iter().all(|batch| batch.kinds.is_none()), "{context}");
                        folded.add(&batches, 2, &context);
                        let so_far = &log[..log.len().min((at + 1) * size)];
                        assert!(folded.clone().rows() == combined(kind, all, so_far), "{context}");
                    }
                    harness.end().unwrap();
                    assert!(harness.take_batches().is_empty(), "everything was said: {context}");
                    assert_eq!(harness.forwarded(), Watermark::END);
                }
            }
        }
    }
}

/// How many changes there are of one row is its net difference in a batch, or one for each record.
#[test]
fn except_per_batch_and_per_record() {
    let row = |kind, right| (kind, (Some(1), Some(2), right));
    let log = [row(RowKind::Insert, false), row(RowKind::Insert, true), row(RowKind::Delete, true)];
    let symbols = |per_record: bool| {
        let mut harness =
            set_operation(SetKind::Except, false, Emission { early: true, per_record, ..Emission::default() });
        harness.batch(sided_batch(&log)).unwrap();
        let batches = harness.take_batches();
        let kinds = batches.iter().flat_map(|batch| match &batch.kinds {
            Some(kinds) => kinds.as_slice().to_vec(),
            None => vec![RowKind::Insert; batch.rows()],
        });
        kinds.map(RowKind::symbol).collect::<Vec<_>>()
    };
    assert_eq!(symbols(false), ["+I"]);
    assert_eq!(symbols(true), ["+I", "-D", "+I"]);
}

/// Rows that are on neither side any more are forgotten.
#[test]
fn except_forgets_rows_that_are_gone() {
    let mut harness = set_operation(SetKind::Except, true, Emission { early: true, ..Emission::default() });
    let change = |kind, a: i64, right| sided_batch(&[(kind, (Some(a), None, right))]);
    let mut folded = Folded::default();
    for a in 0..5_000 {
        harness.batch(change(RowKind::Insert, a, a % 2 == 0)).unwrap();
        harness.batch(change(RowKind::Delete, a, a % 2 == 0)).unwrap();
        folded.add(&harness.take_batches(), 2, "forgets");
    }
    assert_eq!(folded.rows(), [[""; 0]; 0]);
    assert!(harness.operator.memory() < 200_000, "{}", harness.operator.memory());
}

/// Quantity first, the largest first; nulls before all.
fn by_quantity() -> Vec<SortKey> {
    vec![SortKey { expr: col("quantity"), descending: true, nulls_first: true }]
}

fn quantity_order(row: &Row) -> (bool, std::cmp::Reverse<Option<i64>>) {
    (row.quantity.is_some(), std::cmp::Reverse(row.quantity))
}

#[test]
fn distinct_on() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut input = random_partitions(&mut random, 2, 120, 10, true);
        stamp(&mut input, 0);
        let mut firsts: BTreeMap<Option<String>, Row> = BTreeMap::new();
        let rank = |row: &Row| (quantity_order(row), row.time, row.partition, row.position);
        for row in input.iter().flatten() {
            let first = firsts.entry(row.key.clone()).or_insert_with(|| row.clone());
            if rank(row) < rank(first) {
                *first = row.clone();
            }
        }
        let mut expected: Vec<_> = firsts
            .values()
            .flat_map(|row| support::cells(&support::batch(std::slice::from_ref(row)).columns))
            .collect();
        expected.sort();
        for batch in [1, 7, 8_192] {
            let operator = DistinctOn::new(&[col("key")], &by_quantity(), support::schema(), "test").unwrap();
            let mut harness = Harness::new(operator);
            for rows in input.iter().rev().flat_map(|rows| rows.chunks(batch)) {
                harness.batch(support::batch(rows)).unwrap();
            }
            harness.end().unwrap();
            let mut found: Vec<_> =
                harness.take_batches().iter().flat_map(|batch| support::cells(&batch.columns)).collect();
            found.sort();
            assert!(found == expected, "seed {seed}, batch {batch}");
        }
    }
}

#[test]
fn the_first_rows_of_each_window() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        // Windows one after the other, each with rows of one time.
        let mut rows = Vec::new();
        for window in 0..8 {
            let many = if window == 3 { 20_000 } else { random.below(30) as usize };
            let mut of_window = random_partitions(&mut random, 1, many, 0, false).remove(0);
            of_window.iter_mut().for_each(|row| row.time = (window + 1) * SECOND - 1);
            rows.push(of_window);
        }
        for (skip, count) in [(0, Some(3)), (2, Some(4)), (0, None), (1, None), (0, Some(0))] {
            let expected: Vec<_> = rows
                .iter()
                .map(|rows| {
                    let mut rows = rows.clone();
                    rows.sort_by_key(quantity_order);
                    let quantities = rows.iter().map(|row| row.quantity).skip(skip as usize);
                    quantities.take(count.unwrap_or(u64::MAX) as usize).collect::<Vec<_>>()
                })
                .collect();
            for batch in [7, 8_192] {
                let operator = WindowLimit::new(&by_quantity(), skip, count, support::schema(), "test").unwrap();
                let mut harness = Harness::new(operator);
                for (window, (rows, expected)) in rows.iter().zip(&expected).enumerate() {
                    for rows in rows.chunks(batch) {
                        harness.batch(support::batch(rows)).unwrap();
                    }
                    assert!(harness.take_batches().is_empty(), "nothing comes before the watermark");
                    harness.watermark(Watermark((window as i64 + 1) * SECOND)).unwrap();
                    let found: Vec<_> = harness
                        .take_batches()
                        .iter()
                        .flat_map(|batch| {
                            batch.columns.column(2).as_primitive::<Int64Type>().iter().collect::<Vec<_>>()
                        })
                        .collect();
                    assert!(found == *expected, "seed {seed}, window {window}, batch {batch}, {skip}, {count:?}");
                }
                harness.end().unwrap();
                assert!(harness.take_batches().is_empty());
            }
        }
    }
}

/// One row for UNNEST: a list, a map, and how long a series is.
#[derive(Debug, Clone)]
struct Nested {
    id: i64,
    list: Option<Vec<Option<i64>>>,
    map: Option<Vec<(String, Option<i64>)>>,
    count: Option<i64>,
}

fn nested_schema() -> SchemaRef {
    hidden::with_event_time(&Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("list", types::array(DataType::Int64), true),
        Field::new("map", types::map(DataType::Utf8, DataType::Int64), true),
        Field::new("count", DataType::Int64, true),
    ]))
}

fn nested_batch(rows: &[Nested]) -> Batch {
    let mut lists = ListBuilder::new(Int64Builder::new());
    let names = arrow_array::builder::MapFieldNames {
        entry: "entries".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), Int64Builder::new());
    for row in rows {
        match &row.list {
            Some(list) => lists.append_value(list.iter().copied()),
            None => lists.append_null(),
        }
        for (key, value) in row.map.iter().flatten() {
            maps.keys().append_value(key);
            maps.values().append_option(*value);
        }
        maps.append(row.map.is_some()).unwrap();
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>()),
        Arc::new(lists.finish()),
        Arc::new(maps.finish()),
        Arc::new(rows.iter().map(|row| row.count).collect::<Int64Array>()),
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.id))),
    ];
    Batch::new(RecordBatch::try_new(nested_schema(), columns).unwrap())
}

fn random_nested(random: &mut Random) -> Nested {
    let some = |random: &mut Random| random.below(5) != 0;
    let length = |random: &mut Random| if random.below(50) == 0 { 9_000 } else { random.below(4) };
    let value = |random: &mut Random| some(random).then(|| random.between(0, 100));
    Nested {
        id: random.between(0, 1_000),
        list: some(random).then(|| (0..length(random)).map(|_| value(random)).collect()),
        map: some(random).then(|| (0..random.below(4)).map(|key| (format!("k{key}"), value(random))).collect()),
        count: some(random).then(|| length(random) as i64),
    }
}

#[test]
fn unnest() {
    for seed in 0..8 {
        for outer in [false, true] {
            let mut random = Random::new(seed);
            let rows = (0..60).map(|_| random_nested(&mut random)).collect::<Vec<_>>();
            let found = |batch: usize| unnested(&rows, outer, batch);
            let expected = naively_unnested(&rows, outer);
            for batch in [1, 7, 8_192] {
                assert!(found(batch) == expected, "seed {seed}, outer {outer}, batch {batch}");
            }
        }
    }
}

fn unnested(rows: &[Nested], outer: bool, batch: usize) -> Vec<Vec<String>> {
    let field = |name: &str, data_type: DataType| Arc::new(Field::new(name, data_type, true));
    let series = UnnestOf::Series { start: lit(1_i64), stop: col("count"), step: lit(1_i64) };
    let items = vec![
        UnnestItem { of: UnnestOf::Collection(col("list")), fields: vec![field("element", DataType::Int64)] },
        UnnestItem {
            of: UnnestOf::Collection(col("map")),
            fields: vec![field("key", DataType::Utf8), field("value", DataType::Int64)],
        },
        UnnestItem { of: series, fields: vec![field("n", DataType::Int32)] },
    ];
    let spec = UnnestSpec { items, ordinality: Some(field("at", DataType::Int64)), outer };
    // The list, the map and the count go no further.
    let output = hidden::with_event_time(&Schema::new(vec![
        field("id", DataType::Int64),
        field("element", DataType::Int64),
        field("key", DataType::Utf8),
        field("value", DataType::Int64),
        field("n", DataType::Int32),
        field("at", DataType::Int64),
    ]));
    let mut harness = Harness::new(Unnest::new(&spec, &nested_schema(), output, "test").unwrap());
    for rows in rows.chunks(batch) {
        harness.batch(nested_batch(rows)).unwrap();
        harness.watermark(Watermark::NONE).unwrap();
    }
    harness.end().unwrap();
    let batches = harness.take_batches();
    assert!(batches.iter().all(|batch| batch.rows() <= 8_192));
    batches.iter().flat_map(|batch| support::cells(&batch.columns)).collect()
}

fn naively_unnested(rows: &[Nested], outer: bool) -> Vec<Vec<String>> {
    let text = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
    let mut all = Vec::new();
    for row in rows {
        let (list, map) = (row.list.clone().unwrap_or_default(), row.map.clone().unwrap_or_default());
        let count = row.count.unwrap_or(0);
        let length = list.len().max(map.len()).max(count as usize);
        for at in 0..length.max(usize::from(outer)) {
            let number = |value: Option<i64>| text(value.map(|value| value.to_string()));
            all.push(vec![
                row.id.to_string(),
                number(list.get(at).copied().flatten()),
                text(map.get(at).map(|(key, _)| key.clone())),
                number(map.get(at).and_then(|(_, value)| *value)),
                number(((at as i64) < count).then_some(at as i64 + 1)),
                number((at < length).then_some(at as i64 + 1)),
            ]);
        }
    }
    all
}
