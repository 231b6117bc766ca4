//! What multiplies, combines and cuts sets of rows equals a computation by brute force: grouping sets and UNNEST over random
//! rows, in any batches.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, col, lit};
use support::sim::{Mode, random_partitions, run, stamp};
use support::{Row, SECOND, library_calls, many_calls, naive, spec, window};
use velo_core::{Batch, Watermark, schema as hidden, types};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{GroupSpec, Unnest};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{GroupingSet, Output, Unnest as UnnestSpec, UnnestItem, UnnestOf, WindowKind};

/// The sets (key), () and () once more.
fn grouping_sets() -> Vec<GroupingSet> {
    [(true, 0), (false, 1), (false, 3)].map(|(key, number)| GroupingSet { keys: vec![key], number }).into()
}

/// The query grouped by the sets.
fn in_sets(mut spec: GroupSpec) -> GroupSpec {
    let set = Arc::new(Field::new("$set", DataType::Int64, false));
    spec.keys.push(Output { expr: Expr::Literal(ScalarValue::Int64(Some(0)), None), field: Arc::clone(&set) });
    let mut fields = spec.output.fields().to_vec();
    fields.insert(1, set);
    spec.output = Arc::new(Schema::new(fields));
    spec.sets = grouping_sets();
    spec
}

/// The rows as one of the sets has them: the key says which set it is of.
fn of_set(input: &[Vec<Row>], set: &GroupingSet) -> Vec<Vec<Row>> {
    let key = |row: &Row| row.key.clone().filter(|_| set.keys[0]).unwrap_or_else(|| "null".to_owned());
    let row = |row: &Row| Row { key: Some(format!("{}/{}", set.number, key(row))), ..row.clone() };
    input.iter().map(|rows| rows.iter().map(row).collect()).collect()
}

/// Key and number of the set as one cell.
fn joined(found: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let join = |row: Vec<String>| [&[format!("{}/{}", row[1], row[0])], &row[2..]].concat();
    found.into_iter().map(join).collect()
}

fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.sort_by(|left, right| {
        (left.first(), &left[left.len() - 2..]).cmp(&(right.first(), &right[right.len() - 2..]))
    });
    rows
}

#[test]
fn grouping_sets_of_windows() {
    for seed in 0..6 {
        for window in [window("tumbling", 10, 0, 0), window("sliding", 10, 4, 1), window("cumulate", 12, 3, 2)] {
            for late in [LateStrategy::Drop, LateStrategy::IncludeInNextWindow] {
                let mut random = Random::new(seed);
                let mut input = random_partitions(&mut random, 2, 60, 10, true);
                stamp(&mut input, 10 * SECOND);
                let calls = if seed % 3 == 0 { library_calls() } else { many_calls() };
                let spec = GroupSpec { late, ..in_sets(spec(&["key"], calls, Some(window.clone()))) };
                let expected = grouping_sets().into_iter().flat_map(|set| {
                    naive::results(&spec.aggregates, &naive::windowed(&window, &of_set(&input, &set), late))
                });
                let expected = sorted(expected.collect());
                for batch in [1, 7, 8_192] {
                    for two_steps in [false, true] {
                        let mode = Mode { batch, two_steps, seed };
                        let found = joined(run(&spec, &input, 10 * SECOND, mode));
                        naive::assert_equal(found, &expected, &format!("{window}, seed {seed}, {mode:?}"));
                    }
                }
            }
        }
    }
}

#[test]
fn grouping_sets_of_sessions() {
    for seed in 20..26 {
        let mut random = Random::new(seed);
        let mut input = random_partitions(&mut random, 1, 80, 5, false);
        stamp(&mut input, 5 * SECOND);
        let window = window("session", 2, 0, 0);
        let WindowKind::Session { gap } = window.kind else { panic!("a session") };
        let spec = in_sets(spec(&["key"], many_calls(), Some(window)));
        let expected = grouping_sets()
            .into_iter()
            .flat_map(|set| naive::results(&spec.aggregates, &naive::chains(gap.0, &of_set(&input, &set))));
        let expected = sorted(expected.collect());
        for batch in [1, 7, 8_192] {
            let mode = Mode { batch, two_steps: false, seed };
            let found = joined(run(&spec, &input, 5 * SECOND, mode));
            naive::assert_equal(found, &expected, &format!("seed {seed}, {mode:?}"));
        }
    }
}

/// What comes of groups without a window, with two cells behind the results, which the comparison wants.
fn padded(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.iter_mut().for_each(|row| row.extend([String::new(), String::new()]));
    rows
}

fn without_windows(spec: &GroupSpec, input: &[Vec<Row>]) -> Vec<Vec<String>> {
    let mut groups = BTreeMap::new();
    for row in input.iter().flatten() {
        groups.entry((0, 0, row.key.clone())).or_insert_with(Vec::new).push(row.clone());
    }
    let mut rows = naive::results(&spec.aggregates, &groups);
    rows.iter_mut().for_each(|row| row.truncate(row.len() - 2));
    padded(rows)
}

#[test]
fn grouping_sets_without_a_window() {
    for seed in 40..44 {
        let mut random = Random::new(seed);
        let mut input = random_partitions(&mut random, 2, 100, 10, true);
        stamp(&mut input, 0);
        for calls in [many_calls(), library_calls()] {
            let spec = in_sets(spec(&["key"], calls, None));
            let expected =
                grouping_sets().iter().flat_map(|set| without_windows(&spec, &of_set(&input, set))).collect();
            let expected = sorted(expected);
            for batch in [1, 64, 8_192] {
                let found = padded(joined(run(&spec, &input, 0, Mode { batch, two_steps: false, seed })));
                naive::assert_equal(found, &expected, &format!("seed {seed}, batch {batch}"));
            }
        }
    }
}

#[test]
fn the_empty_set_of_no_rows_has_a_row() {
    let spec = in_sets(spec(&["key"], support::Calls::new().count_all(), None));
    let found = run(&spec, &[vec![]], 0, Mode { batch: 1, two_steps: false, seed: 0 });
    assert_eq!(found, [["null", "1", "0"], ["null", "3", "0"]]);
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
    for seed in 0..20 {
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
