//! OVER goes on after a restart as if there had been none: the same rows in the same order, to the last digit, and the same
//! watermarks, for every order of rows, frame and function, and with other numbers of tasks.

use std::sync::Arc;

use crate::over::{by_price, frames, input, own_calls, takes_frame};
use crate::support::over::{aggregated, call, frame, numbered, spec, window};
use crate::support::restarts::{Input, damage, rescaled, run, saved, sorted};
use crate::support::sim::stamp;
use crate::support::{Calls, Kind, SECOND, library_calls, many_calls, schema};
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use datafusion_expr::{col, lit};
use velo_core::duration::Span;
use velo_core::{Batch, schema as hidden, types};
use velo_exec::checkpoint::Chunk;
use velo_exec::operator::{Over, OverSpec};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{AggregateCall, FrameUnits, OverCall, OverFunction, OverOrder, RowBuffer, RowFrame, RowWindow};

fn check(spec: &OverSpec, input: Input<'_>, context: &str) {
    let make = || Over::new(spec, &schema()).unwrap();
    let wanted = run(&make, input, None);
    for seed in 0..2 {
        let found = run(&make, input, Some(&mut Random::new(input.seed + seed)));
        assert_eq!(found, wanted, "{context}");
    }
}

/// Calls of two windows, some of which wait for rows behind theirs.
fn of_two_windows(calls: &[AggregateCall]) -> Vec<OverCall> {
    let mut all = calls.iter().map(aggregated).collect::<Vec<_>>();
    all.extend(own_calls(false));
    all.push(OverCall { window: 1, ..call(OverFunction::RowNumber, vec![], DataType::Int64) });
    let lead = call(OverFunction::Shift(2), vec![col("price"), lit_price()], types::decimal(18, 4));
    all.push(OverCall { window: 1, ignore_nulls: true, ..lead });
    numbered(all)
}

fn lit_price() -> datafusion_expr::Expr {
    lit(datafusion_common::ScalarValue::Decimal128(Some(70_000), 18, 4))
}

fn two_windows(keys: &[&str], frame: RowFrame) -> Vec<RowWindow> {
    vec![window(keys, frame), window(&["key", "flag"], self::frame(FrameUnits::Rows, None, 0))]
}

#[test]
fn by_event_time() {
    for seed in 0..3 {
        let mut random = Random::new(seed);
        let disorder = random.between(0, 15);
        let mut partitions = input(&mut random, 60, disorder, seed > 0);
        stamp(&mut partitions, disorder * SECOND);
        for (number, frame) in frames(false, FrameUnits::Time).into_iter().enumerate() {
            let keys: &[&str] = if number % 3 == 2 { &[] } else { &["key"] };
            let spec = spec(OverOrder::EventTime, two_windows(keys, frame), of_two_windows(&many_calls().0));
            for size in [1, 7] {
                let input = Input { partitions: &partitions, bound: disorder * SECOND, size, seed };
                check(&spec, input, &format!("{frame}, seed {seed}, batches of {size}"));
            }
        }
    }
}

#[test]
fn the_librarys_aggregates() {
    let calls = library_calls().0.into_iter().filter(|call| call.order_by.is_empty()).collect::<Vec<_>>();
    for seed in 20..22 {
        let mut random = Random::new(seed);
        let mut partitions = input(&mut random, 40, 5, false);
        stamp(&mut partitions, 5 * SECOND);
        for frame in frames(false, FrameUnits::Time) {
            let spec = spec(OverOrder::EventTime, two_windows(&["key"], frame), of_two_windows(&calls));
            let input = Input { partitions: &partitions, bound: 5 * SECOND, size: 3, seed };
            check(&spec, input, &format!("{frame}, seed {seed}"));
        }
    }
}

#[test]
fn when_partitions_are_whole() {
    for seed in 30..32 {
        let mut random = Random::new(seed);
        let mut partitions = input(&mut random, 50, 10, true);
        for row in partitions.iter_mut().flatten() {
            row.time = row.time.div_euclid(10 * SECOND) * 10 * SECOND;
        }
        stamp(&mut partitions, 20 * SECOND);
        for frame in frames(true, FrameUnits::Value) {
            let mut calls = many_calls().0.iter().map(aggregated).collect::<Vec<_>>();
            calls.extend(own_calls(true));
            let calls = numbered(calls);
            let alone = RowWindow { order_by: by_price(), ..window(&["key"], frame) };
            let timed = RowWindow { partition_by: vec![col("key"), col(hidden::EVENT_TIME)], ..alone.clone() };
            for (order, window) in [(OverOrder::End, alone), (OverOrder::Window, timed)] {
                let spec = spec(order, vec![window], calls.clone());
                let input = Input { partitions: &partitions, bound: 20 * SECOND, size: 3, seed };
                check(&spec, input, &format!("{order:?}, {frame}, seed {seed}"));
            }
        }
    }
}

#[test]
fn in_buffers() {
    for seed in 50..54 {
        let mut random = Random::new(seed);
        let mut partitions = input(&mut random, 80, 10, false);
        partitions.truncate(1);
        stamp(&mut partitions, 10 * SECOND);
        let mut calls = many_calls().0.iter().map(aggregated).collect::<Vec<_>>();
        calls.extend(own_calls(false));
        let calls = numbered(calls);
        for (rows, given) in [(4, frame(FrameUnits::Rows, None, 0)), (6, frame(FrameUnits::Rows, -2, -1))] {
            for (when_full, expire) in [(false, None), (true, None), (false, Some(5)), (true, Some(20))] {
                let buffer = RowBuffer { rows, when_full, expire: expire.map(|expire| Span(expire * SECOND)) };
                for order_by in [Vec::new(), by_price()] {
                    let windows = vec![RowWindow { buffer: Some(buffer), order_by, ..window(&["key"], given) }];
                    for order in [OverOrder::Arrival, OverOrder::EventTime] {
                        let spec = spec(order, windows.clone(), calls.clone());
                        for size in [1, 7] {
                            let input = Input { partitions: &partitions, bound: 10 * SECOND, size, seed };
                            check(&spec, input, &format!("{order:?}, {windows:?}, seed {seed}, {size}"));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn in_buffers_with_an_order_of_their_own() {
    let mut random = Random::new(60);
    let mut partitions = input(&mut random, 60, 10, false);
    stamp(&mut partitions, 10 * SECOND);
    let buffer = RowBuffer { rows: 5, when_full: false, expire: Some(Span(20 * SECOND)) };
    let mut calls = own_calls(true).into_iter().filter(|call| call.function != OverFunction::RowNumber);
    let mut all = calls.by_ref().collect::<Vec<_>>();
    all.extend(Calls::new().add(Kind::Sum, "weight").add(Kind::Max, "quantity").count_all().0.iter().map(aggregated));
    let calls = numbered(all);
    for frame in [frame(FrameUnits::Rows, None, None), frame(FrameUnits::Value, -20_000, 0)] {
        let windows = vec![RowWindow { order_by: by_price(), buffer: Some(buffer), ..window(&["key"], frame) }];
        let spec = spec(OverOrder::Arrival, windows, calls.clone());
        for size in [1, 7] {
            let input = Input { partitions: &partitions, bound: 10 * SECOND, size, seed: 60 };
            check(&spec, input, &format!("{frame}, {size}"));
        }
    }
}

#[test]
fn other_numbers_of_tasks() {
    for seed in 70..74 {
        let mut random = Random::new(seed);
        let mut partitions = input(&mut random, 90, 8, seed % 2 == 0);
        stamp(&mut partitions, 8 * SECOND);
        for frame in frames(false, FrameUnits::Time) {
            let spec = spec(OverOrder::EventTime, two_windows(&["key"], frame), of_two_windows(&many_calls().0));
            let make = || Over::new(&spec, &schema()).unwrap();
            let input = Input { partitions: &partitions, bound: 8 * SECOND, size: 5, seed };
            let wanted = sorted(run(&make, input, None));
            for tasks in [[1, 3], [2, 1], [3, 2], [2, 3]] {
                assert_eq!(rescaled(&make, input, &tasks), wanted, "{frame}, seed {seed}, {tasks:?}");
            }
        }
        let alone = RowWindow { order_by: by_price(), ..window(&["key"], frame(FrameUnits::Value, -10_000, 0)) };
        let timed = RowWindow { partition_by: vec![col("key"), col(hidden::EVENT_TIME)], ..alone.clone() };
        for (order, window) in [(OverOrder::End, alone), (OverOrder::Window, timed)] {
            let spec = spec(order, vec![window], numbered(own_calls(true)));
            let input = Input { partitions: &partitions, bound: 8 * SECOND, size: 5, seed };
            let make = || Over::new(&spec, &schema()).unwrap();
            // Rows of several partitions with one time and price are all in one order.
            let wanted = sorted(run(&make, input, None));
            // By keys and times there are no keys of the tests' own: what is exchanged is both.
            let tasks: &[usize] = if order == OverOrder::End { &[3, 2, 1, 3] } else { &[1, 1] };
            assert_eq!(rescaled(&make, input, tasks), wanted, "{order:?}, seed {seed}");
        }
    }
}

#[test]
fn a_buffer_that_expires_by_the_clock_asks_for_its_timer_again() {
    let rows = |values: &[i64]| {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
        Batch::new(RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap())
    };
    let buffer = RowBuffer { rows: 3, when_full: false, expire: Some(Span(5 * SECOND)) };
    let windows = vec![RowWindow { buffer: Some(buffer), ..window(&[], frame(FrameUnits::Rows, None, 0)) }];
    let lead = call(OverFunction::Shift(1), vec![lit(7_i64)], DataType::Int64);
    let calls = numbered(vec![aggregated(&Calls::new().count_all().0[0]), lead]);
    let mut spec = spec(OverOrder::Arrival, windows, calls);
    let fields = [Field::new("v", DataType::Int64, true)];
    let fields = fields.into_iter().chain(spec.over.calls.iter().map(|call| call.output.as_ref().clone()));
    spec.output = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let make = || Over::new(&spec, &rows(&[]).schema()).unwrap();
    let mut harness = Harness::new(make());
    harness.clock(SECOND).unwrap();
    harness.batch(rows(&[1, 2])).unwrap();
    assert_eq!(harness.timer(), Some(6 * SECOND + 1));
    harness.restart(make()).unwrap();
    assert_eq!(harness.timer(), Some(6 * SECOND + 1));
    assert_eq!(harness.take_rows(), ["1, 1, 7"]);
    harness.clock(7 * SECOND).unwrap();
    assert_eq!(harness.take_rows(), ["2, 2, null"]);
    harness.restart(make()).unwrap();
    assert_eq!(harness.timer(), None);
    harness.batch(rows(&[3])).unwrap();
    harness.restart(make()).unwrap();
    harness.end().unwrap();
    assert_eq!(harness.take_rows(), ["3, 1, null"]);
}

#[test]
fn what_is_saved_does_not_grow_with_the_rows() {
    let mut calls = own_calls(false).into_iter().filter(|call| !takes_frame(call)).collect::<Vec<_>>();
    calls.retain(|call| !matches!(call.function, OverFunction::Shift(by) if by > 0));
    calls.extend(many_calls().0.iter().filter(|call| !call.distinct).map(aggregated));
    let windows = vec![window(&["key"], frame(FrameUnits::Rows, None, 0))];
    let spec = spec(OverOrder::EventTime, windows, numbered(calls));
    let make = || Over::new(&spec, &schema()).unwrap();
    let mut sizes = Vec::new();
    for rows in [100, 2_000] {
        let mut partitions = input(&mut Random::new(80), rows, 0, false);
        stamp(&mut partitions, 0);
        let input = Input { partitions: &partitions, bound: 0, size: 10, seed: 80 };
        let elements = |rows: &Chunk| {
            let rows = rows.here().unwrap().unwrap();
            let columns = rows.columns().iter();
            let lists = columns.filter_map(|column| column.as_any().downcast_ref::<arrow_array::ListArray>());
            lists.map(|lists| lists.values().len()).sum::<usize>()
        };
        sizes.push(saved(&make, input).tables.values().flatten().map(elements).sum::<usize>());
    }
    assert!(sizes[1] <= sizes[0] * 2, "{sizes:?}");
}

#[test]
fn a_damaged_state_is_an_error() {
    let mut partitions = input(&mut Random::new(90), 40, 8, true);
    stamp(&mut partitions, 8 * SECOND);
    let mut calls = of_two_windows(&many_calls().0);
    calls.extend(library_calls().0.iter().filter(|call| call.order_by.is_empty()).map(aggregated));
    let calls = numbered(calls);
    let buffer = RowBuffer { rows: 4, when_full: true, expire: Some(Span(30 * SECOND)) };
    let input = Input { partitions: &partitions, bound: 8 * SECOND, size: 5, seed: 90 };
    for frame in [frame(FrameUnits::Rows, None, 1), frame(FrameUnits::Time, -4 * SECOND, 3 * SECOND)] {
        let mut windows = two_windows(&["key"], frame);
        let spec = spec(OverOrder::EventTime, windows.clone(), calls.clone());
        let make = || Over::new(&spec, &schema()).unwrap();
        let state = saved(&make, input);
        damage(&make, &state);
        for table in ["waiting", "window0"] {
            let mut state = state.clone();
            state.tables.remove(table).unwrap();
            let error = Harness::new(make()).load(vec![state], velo_exec::checkpoint::Share::WHOLE).unwrap_err();
            assert!(error.to_string().contains("cannot be used"), "{error}");
        }
        windows[0].frame.end = Some(0);
        windows[0].frame.units = FrameUnits::Rows;
        windows[0].order_by = by_price();
        windows[0].buffer = Some(buffer);
        let spec = self::spec(OverOrder::EventTime, windows, calls.clone());
        let make = || Over::new(&spec, &schema()).unwrap();
        damage(&make, &saved(&make, input));
    }
}
