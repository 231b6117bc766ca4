//! Operators over rows go on behind a restart as if there had been none, and those that share keys also in other tasks.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::support::changelog::{self, changes, late_changelog};
use crate::support::events::{
    Event, goes_on, goes_on_in_other_tasks, goes_on_in_other_tasks_untimed, misses_what_is_lost,
    refuses_what_is_damaged, saved, told,
};
use crate::support::sim::{Boxed, Turn, random_partitions, stamp, turns};
use crate::support::{Calls, Kind, Row, SECOND, batch, positive, schema, spec, window};
use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::{col, lit};
use velo_core::duration::Span;
use velo_core::{Batch, RowKind, Watermark, schema as hidden, types};
use velo_eventtime::LateStrategy;
use velo_exec::checkpoint::Share;
use velo_exec::operator::{
    DistinctOn, Element, EmitInterval, FilterProject, Fold, FoldByTime, IdleClose, LatestByKey, Limit, SetOperation,
    Sort, Unnest, WindowAssign, WindowLimit, aggregate,
};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{
    Emission, Output, SetKind, SortKey, StateTtl, Unnest as UnnestSpec, UnnestItem, UnnestOf, WindowSpec,
};

/// The rows of partitions in any turn, with the watermarks behind them.
fn arriving(partitions: &[Vec<Row>], bound: i64, size: usize, seed: u64) -> Vec<Event> {
    let turns = turns(partitions, bound, size, seed).into_iter();
    turns.flat_map(|Turn { rows, watermark, .. }| [Event::Batch(batch(rows)), Event::Watermark(watermark.0)]).collect()
}

/// A changelog in batches, with the clock and the watermark behind each; `disorder` in seconds.
fn changing(log: &[(RowKind, Row)], size: usize, disorder: i64) -> Vec<Event> {
    let mut highest = i64::MIN;
    let events = log.chunks(size).enumerate().flat_map(|(at, part)| {
        highest = part.iter().map(|(_, row)| row.time).fold(highest, i64::max);
        let watermark = Event::Watermark(highest - disorder * SECOND);
        [Event::Batch(changes(part)), watermark, Event::Clock(at as i64)]
    });
    events.collect()
}

#[test]
fn fold() {
    for seed in 0..4 {
        let (log, _) = changelog::changelog(&mut Random::new(seed), 120);
        let make = || Fold::new(schema()).unwrap();
        for size in [1, 9, 8_192] {
            goes_on(&make, &changing(&log, size, 0), false, seed, &format!("seed {seed}, batches of {size}"));
        }
        refuses_what_is_damaged(&make, &changing(&log, 9, 0));
        misses_what_is_lost(&make, &changing(&log, 9, 0));
    }
}

#[test]
fn fold_by_time() {
    for seed in 0..6 {
        let mut random = Random::new(40 + seed);
        let disorder = random.between(0, 15);
        let log = late_changelog(&mut random, 120, disorder, true, seed % 2 == 0);
        let alone = || FoldByTime::new(schema(), LateStrategy::DeadLetter, "result").unwrap();
        let shared = || alone().shared_by(Some(vec![0]));
        for size in [1, 9, 8_192] {
            let (events, context) = (changing(&log, size, disorder), format!("seed {seed}, batches of {size}"));
            goes_on(&alone, &events, false, seed, &context);
            goes_on(&shared, &events, false, seed, &context);
            // An update is in one task, so its row keeps its key.
            goes_on_in_other_tasks(&shared, &events, &[0], seed, &context);
        }
        refuses_what_is_damaged(&shared, &changing(&log[..20], 20, disorder));
        misses_what_is_lost(&shared, &changing(&log, 20, disorder));
    }
}

fn sided_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Utf8, true),
        Field::new("$right", DataType::Boolean, false),
    ]))
}

/// Rows of two sides that come and go, some before they came.
fn sided(random: &mut Random, count: usize, size: usize) -> Vec<Event> {
    let mut events = Vec::new();
    let mut clock = 0;
    for _ in 0..count.div_ceil(size) {
        let mut value = |limit| (random.below(5) != 0).then(|| random.between(0, limit));
        let rows = (0..size).map(|_| (value(6), value(2), value(3), value(4))).collect::<Vec<_>>();
        let rows = rows.iter();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.clone().map(|row| row.0).collect::<Int64Array>()),
            Arc::new(rows.clone().map(|row| row.1.map(|b| b.to_string())).collect::<StringArray>()),
            Arc::new(rows.clone().map(|row| Some(row.2 == Some(1))).collect::<BooleanArray>()),
        ];
        let kind = |taken: Option<i64>| if taken == Some(0) { RowKind::Delete } else { RowKind::Insert };
        let columns = RecordBatch::try_new(sided_schema(), columns).unwrap();
        events.push(Event::Batch(Batch::changes(columns, rows.map(|row| kind(row.3)).collect())));
        clock += random.between(0, 4);
        events.push(Event::Clock(clock));
    }
    events
}

#[test]
fn set_operations() {
    let output: SchemaRef = Arc::new(sided_schema().project(&[0, 1]).unwrap());
    for (kind, all) in
        [(SetKind::Except, true), (SetKind::Except, false), (SetKind::Intersect, true), (SetKind::Intersect, false)]
    {
        for (early, per_record) in [(false, false), (true, false), (true, true)] {
            for ttl in [None, Some(StateTtl { after: Span(9), by_clock: true })] {
                let emission = Emission { early, per_record, ..Emission::default() };
                let make = || SetOperation::new(kind, all, emission, ttl, Arc::clone(&output)).unwrap();
                for (seed, size) in [(0, 1), (1, 7), (2, 60)] {
                    let events = sided(&mut Random::new(300 + seed), 60, size);
                    let context = format!("{kind:?}, all {all}, {emission:?}, {ttl:?}, batches of {size}");
                    goes_on(&make, &events, false, seed, &context);
                    goes_on_in_other_tasks(&make, &events, &[0, 1], seed, &context);
                }
                refuses_what_is_damaged(&make, &sided(&mut Random::new(7), 30, 30));
                misses_what_is_lost(&make, &sided(&mut Random::new(7), 60, 5));
            }
        }
    }
}

fn by_quantity() -> Vec<SortKey> {
    vec![SortKey { expr: col("quantity"), descending: true, nulls_first: true }]
}

#[test]
fn distinct_on() {
    for seed in 0..6 {
        let mut input = random_partitions(&mut Random::new(seed), 2, 90, 10, true);
        stamp(&mut input, 0);
        let make = || DistinctOn::new(&[col("key")], &by_quantity(), schema(), "test").unwrap();
        for size in [1, 7, 8_192] {
            let mut events = arriving(&input, 0, size, seed);
            // Of some rows it is not known where they came from.
            for event in events.iter_mut().step_by(if seed % 2 == 0 { 4 } else { 1_000 }) {
                if let Event::Batch(batch) = event {
                    batch.origin = None;
                }
            }
            let context = format!("seed {seed}, batches of {size}");
            goes_on(&make, &events, false, seed, &context);
            goes_on_in_other_tasks(&make, &events, &[0], seed, &context);
        }
        refuses_what_is_damaged(&make, &arriving(&input, 0, 9, seed));
        misses_what_is_lost(&make, &arriving(&input, 0, 9, seed));
    }
}

#[test]
fn latest_by_key() {
    let keys = [vec!["key".to_owned()], vec!["flag".to_owned(), "key".to_owned()]];
    for seed in 0..4 {
        let disorder = seed as i64 * 2;
        let log = late_changelog(&mut Random::new(500 + seed), 120, disorder, true, false);
        for (key, places) in keys.iter().zip([vec![0], vec![5, 0]]) {
            for ttl in [None, Some((6 * SECOND, false)), Some((5, true))] {
                let ttl = ttl.map(|(after, by_clock)| StateTtl { after: Span(after), by_clock });
                let make = || LatestByKey::new(key, ttl, schema()).unwrap();
                for size in [1, 8, 8_192] {
                    let context = format!("seed {seed}, by {key:?}, {ttl:?}, batches of {size}");
                    let events = changing(&log, size, disorder);
                    goes_on(&make, &events, false, seed, &context);
                    goes_on_in_other_tasks(&make, &events, &places, seed, &context);
                }
                refuses_what_is_damaged(&make, &changing(&log, 8, disorder));
                misses_what_is_lost(&make, &changing(&log, 8, disorder));
            }
        }
    }
}

#[test]
fn sort_and_limit() {
    for seed in 0..4 {
        let mut input = random_partitions(&mut Random::new(seed), 2, 60, 10, true);
        stamp(&mut input, 0);
        let sort = || Sort::new(&by_quantity(), schema(), "test").unwrap();
        for size in [1, 7, 60, 8_192] {
            let events = arriving(&input, 0, size, seed);
            let context = format!("seed {seed}, batches of {size}");
            goes_on(&sort, &events, false, seed, &context);
            // Of one batch the places are known behind it too.
            goes_on(&sort, &events[..2], false, seed, &context);
            for (skip, count) in [(0, Some(50)), (30, None), (30, Some(30)), (500, Some(1))] {
                goes_on(&|| Limit::new(skip, count), &events, false, seed, &context);
            }
        }
        refuses_what_is_damaged(&sort, &arriving(&input, 0, 9, seed));
        misses_what_is_lost(&sort, &arriving(&input, 0, 9, seed));
        misses_what_is_lost(&|| Limit::new(30, Some(30)), &arriving(&input, 0, 9, seed));
        refuses_what_is_damaged(&|| Limit::new(1, Some(2)), &[]);
    }
}

#[test]
fn the_first_rows_of_each_window() {
    for seed in 0..4 {
        let mut input = random_partitions(&mut Random::new(seed), 2, 90, 0, false);
        for row in input.iter_mut().flatten() {
            row.time = (row.time.div_euclid(10 * SECOND) + 1) * 10 * SECOND - 1;
        }
        stamp(&mut input, 0);
        // Rows of a window come together, and before the watermark.
        input.iter_mut().for_each(|rows| rows.retain(|row| row.late_by <= 0));
        for (skip, count) in [(0, Some(3)), (2, Some(4)), (1, None), (0, Some(0))] {
            let make = || WindowLimit::new(&by_quantity(), skip, count, schema(), "test").unwrap();
            for size in [1, 7, 8_192] {
                let events = arriving(&input, 0, size, seed);
                goes_on(&make, &events, false, seed, &format!("seed {seed}, {skip}, {count:?}, batches of {size}"));
            }
            refuses_what_is_damaged(&make, &arriving(&input, 0, 9, seed)[..7]);
        }
    }
}

#[test]
fn rows_in_their_windows() {
    for (seed, kind) in ["tumbling", "sliding", "cumulate"].into_iter().enumerate() {
        let seed = seed as u64;
        let mut input = random_partitions(&mut Random::new(seed), 2, 90, 5, true);
        stamp(&mut input, 5 * SECOND);
        let bound = |name: &str| Arc::new(Field::new(name, types::TIMESTAMP, false));
        let mut fields = hidden::visible(&schema()).fields().to_vec();
        fields.extend(["window_start", "window_end", "window_time"].map(bound));
        let output = hidden::with_event_time(&Schema::new(fields));
        let windows: WindowSpec = window(kind, 10, 5, 0);
        let make = || WindowAssign::new(&windows, Arc::clone(&output)).unwrap();
        for size in [1, 7, 8_192] {
            let (events, context) = (arriving(&input, 5 * SECOND, size, seed), format!("{kind}, batches of {size}"));
            goes_on(&make, &events, false, seed, &context);
            goes_on_in_other_tasks(&make, &events, &[0], seed, &context);
            let late = told(&make, &events, &BTreeSet::new()).pop().unwrap();
            assert!(!late[0].starts_with("Some((0"), "{context}");
        }
        refuses_what_is_damaged(&make, &arriving(&input, 0, 9, seed));
        misses_what_is_lost(&make, &arriving(&input, 0, 9, seed));
    }
}

/// What goes by the row has nothing to save.
#[test]
fn filters_projections_and_elements() {
    let input = random_partitions(&mut Random::new(3), 2, 40, 5, true);
    let mut events = arriving(&input, 0, 7, 3);
    // They pass what comes, also where it is late.
    events.retain(|event| matches!(event, Event::Batch(_)));
    let filter = || FilterProject::filter(&positive(), &schema(), "test").unwrap();
    let outputs = ["note", "key"]
        .map(|name| Output { expr: col(name), field: Arc::new(schema().field_with_name(name).unwrap().clone()) });
    let fields = outputs.iter().map(|output| Arc::clone(&output.field)).collect::<Vec<_>>();
    let output = hidden::with_event_time(&Schema::new(fields.clone()));
    let project = || FilterProject::project(&outputs, &schema(), Arc::clone(&output), "test").unwrap();
    let series = UnnestOf::Series { start: lit(1_i64), stop: col("quantity"), step: lit(1_i64) };
    let number = Arc::new(Field::new("n", DataType::Int64, true));
    let items = vec![UnnestItem { of: series, fields: vec![Arc::clone(&number)] }];
    let unnested = UnnestSpec { items, ordinality: None, outer: true };
    let output_of_unnest = hidden::with_event_time(&Schema::new([fields, vec![number]].concat()));
    let unnest = || Unnest::new(&unnested, &schema(), Arc::clone(&output_of_unnest), "test").unwrap();
    goes_on(&filter, &events, false, 0, "filter");
    goes_on(&project, &events, false, 0, "project");
    goes_on(&unnest, &events, false, 0, "unnest");
    let nothing = |state: velo_exec::checkpoint::OperatorState| state.tables.is_empty() && state.values.is_empty();
    assert!(nothing(saved(&filter, &events)) && nothing(saved(&project, &events)) && nothing(saved(&unnest, &events)));
}

#[test]
fn quiet_windows() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let kind = ["tumbling", "sliding", "session"][random.below(3) as usize];
        let windows = window(kind, 10, 4, 0);
        let after = random.between(1, 300);
        let make = || IdleClose::new(Span(after), &windows).unwrap();
        let (mut events, mut clock) = (Vec::new(), 0);
        for step in 0..40 {
            let rows = (0..random.below(3)).map(|_| Row::at("a", (step + random.between(0, 25)) * SECOND, "1"));
            events.push(Event::Batch(batch(&rows.collect::<Vec<_>>())));
            if random.below(4) == 0 {
                events.push(Event::Watermark((step - 10) * SECOND));
            }
            if random.below(3) == 0 {
                events.push(Event::Idle);
            }
            clock += random.between(0, after);
            events.push(Event::Clock(clock));
        }
        goes_on(&make, &events, false, seed, &format!("seed {seed}, {kind} quiet for {after}"));
        refuses_what_is_damaged(&make, &events);
    }
}

/// Nothing can come while the job does not run, so a window is not quiet for that.
#[test]
fn a_pause_of_the_job_closes_no_window() {
    let make = || IdleClose::new(Span(10), &window("tumbling", 60, 0, 0)).unwrap();
    let rows = Event::Batch(batch(&[Row::at("a", SECOND, "1")]));
    let state = saved(&make, &[Event::Clock(100), rows, Event::Clock(104)]);
    let mut harness = Harness::new(make());
    harness.clock(5_000).unwrap();
    harness.load(vec![state], Share::WHOLE).unwrap();
    assert_eq!(harness.timer(), Some(5_006));
    harness.clock(5_005).unwrap();
    assert!(harness.take().is_empty());
    harness.clock(5_006).unwrap();
    assert!(matches!(harness.take().as_slice(), [Element::Watermark(Watermark(time))] if *time == 60 * SECOND));
}

#[test]
fn changes_held_for_an_interval() {
    for seed in 0..16 {
        let mut random = Random::new(seed);
        let windowed = seed % 2 == 0;
        let window = windowed.then(|| window(if seed % 4 == 0 { "tumbling" } else { "sliding" }, 10, 5, 0));
        let calls = Calls::new().count_all().add(Kind::Sum, "quantity");
        let query = velo_exec::operator::GroupSpec {
            emission: Emission { early: true, ..Emission::default() },
            retracts: true,
            ..spec(&["key"], calls, window)
        };
        let mut key = vec![0];
        key.extend(windowed.then_some([3, 4]).into_iter().flatten());
        let interval = random.between(2, 12);
        let make = || {
            let held = EmitInterval::new(Span(interval), key.clone(), windowed, query.output.clone()).unwrap();
            held.shared_by(Some(vec![0]))
        };
        let (log, _) = changelog::changelog(&mut random, 100);
        let mut source = Harness::new(Boxed(aggregate(&query, &schema()).unwrap()));
        let (mut events, mut clock, mut rest) = (Vec::new(), 0, log.as_slice());
        while !rest.is_empty() {
            let (now, later) = rest.split_at((1 + random.below(6) as usize).min(rest.len()));
            rest = later;
            source.batch(changes(now)).unwrap();
            if windowed && random.below(3) == 0 {
                // Rows are taken back of windows that must still be open.
                let open = later.iter().map(|(_, row)| row.time).min().unwrap_or(0);
                source.watermark(Watermark(open)).unwrap();
            }
            for element in source.take() {
                match element {
                    Element::Batch(batch) => events.push(Event::Batch(batch)),
                    Element::Watermark(time) => events.push(Event::Watermark(time.0)),
                    _ => {}
                }
            }
            if random.below(8) == 0 {
                events.push(Event::Idle);
            }
            clock += random.between(0, interval);
            events.push(Event::Clock(clock));
        }
        // Among keys there is no order.
        let context = format!("seed {seed}, windowed {windowed}, interval {interval}");
        goes_on(&make, &events, true, seed, &context);
        goes_on_in_other_tasks_untimed(&make, &events, &[0], seed, &context);
        refuses_what_is_damaged(&make, &events[..events.len() / 2]);
        if seed < 4 {
            misses_what_is_lost(&make, &events);
        }
    }
}
