//! Row windows over random rows equal a computation by brute force: every function over every frame, any batch size, any
//! interleaving of partitions, with rows that come late.

use std::collections::BTreeMap;

use crate::support::over::{aggregated, call, frame, numbered, spec, window};
use crate::support::sim::{Turn, random_partitions, stamp, turns};
use crate::support::{Calls, Kind, Row, SECOND, batch, cells, library_calls, many_calls, naive, schema};
use arrow_schema::DataType;
use datafusion_expr::{Expr, col, lit};
use velo_core::{decimal, schema as hidden, types};
use velo_exec::operator::{Operator, Over, OverSpec};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{
    AggregateCall, FrameUnits, OverCall, OverFunction, OverOrder, RowBuffer, RowFrame, RowWindow, SortKey,
};

/// Calls that do not look at the frame, or pick rows of it.
pub fn own_calls(whole: bool) -> Vec<OverCall> {
    let price = || types::decimal(18, 4);
    let default = || lit(datafusion_common::ScalarValue::Decimal128(Some(70_000), 18, 4));
    let mut calls = vec![
        call(OverFunction::RowNumber, vec![], DataType::Int64),
        call(OverFunction::Rank, vec![], DataType::Int64),
        call(OverFunction::DenseRank, vec![], DataType::Int64),
        call(OverFunction::Shift(-1), vec![col("price")], price()),
        call(OverFunction::Shift(-3), vec![col("price"), default()], price()),
        call(OverFunction::Shift(1), vec![col("note")], DataType::Utf8),
        call(OverFunction::Shift(2), vec![col("price"), default()], price()),
        call(OverFunction::Shift(0), vec![col("quantity")], DataType::Int64),
        call(OverFunction::Nth(1), vec![col("weight")], DataType::Float64),
        call(OverFunction::Nth(2), vec![col("quantity")], DataType::Int64),
        call(OverFunction::Last, vec![col("flag")], DataType::Boolean),
    ];
    let with_values =
        calls.iter().filter(|call| matches!(&call.function, OverFunction::Shift(by) if *by != 0) || takes_frame(call));
    let ignoring = with_values.cloned().map(|call| OverCall { ignore_nulls: true, ..call }).collect::<Vec<_>>();
    calls.extend(ignoring);
    if whole {
        calls.push(call(OverFunction::PercentRank, vec![], DataType::Float64));
        calls.push(call(OverFunction::CumeDist, vec![], DataType::Float64));
        calls.push(call(OverFunction::Ntile(3), vec![], DataType::Int64));
    }
    calls
}

pub fn takes_frame(call: &OverCall) -> bool {
    matches!(call.function, OverFunction::Nth(_) | OverFunction::Last)
}

fn cell(row: &Row, column: &str) -> String {
    let null = || "null".to_owned();
    match column {
        "key" => row.key.clone().unwrap_or_else(null),
        "price" => row.price.map_or_else(null, |price| decimal::to_text_i128(price, 4)),
        "quantity" => row.quantity.map_or_else(null, |quantity| quantity.to_string()),
        "weight" => row.weight().map_or_else(null, |weight| format!("~{weight}")),
        "note" => row.note.clone().unwrap_or_else(null),
        "flag" => row.flag.map_or_else(null, |flag| flag.to_string()),
        other => panic!("{other}"),
    }
}

/// What rows are ordered by in a window: a number whose equals are peers, and ties among them.
type Position = fn(&Row) -> i128;

/// The results of a call for the rows of a partition in order.
fn by_hand(call: &OverCall, frame: RowFrame, rows: &[Row], position: Position) -> Vec<String> {
    let positions = rows.iter().map(position).collect::<Vec<_>>();
    let mut peers = vec![0_i128; rows.len()];
    for at in 1..rows.len() {
        peers[at] = peers[at - 1] + i128::from(positions[at] != positions[at - 1]);
    }
    let column = call.arguments.first().map(|argument| match argument {
        Expr::Column(column) => column.name().to_owned(),
        other => panic!("{other}"),
    });
    let value = |row: usize| cell(&rows[row], column.as_deref().unwrap());
    let known = |row: &usize| !call.ignore_nulls || value(*row) != "null";
    let default = match call.arguments.get(1) {
        Some(_) => "7.0000".to_owned(),
        None => "null".to_owned(),
    };
    let result = |at: usize| -> String {
        let place = |row: usize| match frame.units {
            FrameUnits::Rows => row as i128,
            FrameUnits::Peers => peers[row],
            FrameUnits::Time | FrameUnits::Value => positions[row],
        };
        let within = |row: &usize| {
            let nulls = place(*row) == i128::MIN && place(at) == i128::MIN;
            if frame.units == FrameUnits::Value && nulls {
                // As in PostgreSQL, no distance leads from a null, and nulls are peers.
                return true;
            }
            let distance = place(*row).saturating_sub(place(at));
            frame.start.is_none_or(|start| distance >= start) && frame.end.is_none_or(|end| distance <= end)
        };
        let framed = || (0..rows.len()).filter(within);
        match &call.function {
            OverFunction::RowNumber => (at + 1).to_string(),
            OverFunction::Rank => ((0..at).filter(|row| peers[*row] < peers[at]).count() + 1).to_string(),
            OverFunction::DenseRank => (peers[at] + 1).to_string(),
            OverFunction::PercentRank => {
                let before = peers.iter().filter(|peer| **peer < peers[at]).count();
                format!("~{}", if rows.len() == 1 { 0.0 } else { before as f64 / (rows.len() - 1) as f64 })
            }
            OverFunction::CumeDist => {
                format!("~{}", peers.iter().filter(|peer| **peer <= peers[at]).count() as f64 / rows.len() as f64)
            }
            OverFunction::Ntile(parts) => {
                let parts = *parts as usize;
                let sizes = (0..parts).map(|part| rows.len() / parts + usize::from(part < rows.len() % parts));
                let mut end = 0;
                let part = sizes.take_while(|size| {
                    end += size;
                    end <= at
                });
                (part.count() + 1).to_string()
            }
            OverFunction::Shift(0) => value(at),
            OverFunction::Shift(by) if *by < 0 => {
                (0..at).rev().filter(known).nth(by.unsigned_abs() as usize - 1).map_or(default.clone(), value)
            }
            OverFunction::Shift(by) => {
                (at + 1..rows.len()).filter(known).nth(*by as usize - 1).map_or(default.clone(), value)
            }
            OverFunction::Nth(nth) => {
                framed().filter(known).nth(*nth as usize - 1).map_or_else(|| "null".to_owned(), value)
            }
            OverFunction::Last => framed().rfind(known).map_or_else(|| "null".to_owned(), value),
            OverFunction::Aggregate(call) => {
                let rows = framed().map(|row| rows[row].clone()).collect::<Vec<_>>();
                naive::aggregate(call, &rows)
            }
        }
    };
    (0..rows.len()).map(result).collect()
}

/// Rows with their results by hand, ordered by note, which tells all rows apart.
fn expected(
    calls: &[OverCall],
    windows: &[RowWindow],
    rows: &[Row],
    key: fn(&RowWindow, &Row) -> String,
    position: Position,
) -> Vec<Vec<String>> {
    let mut results: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for call in calls {
        let window = &windows[call.window];
        let mut partitions: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for row in rows {
            partitions.entry(key(window, row)).or_default().push(row.clone());
        }
        for rows in partitions.values() {
            for (row, result) in rows.iter().zip(by_hand(call, window.frame, rows, position)) {
                results.entry(row.note.clone().unwrap()).or_default().push(result);
            }
        }
    }
    let row = |row: &Row| {
        let columns = ["key", "price", "quantity", "weight", "note", "flag"];
        let mut cells = columns.iter().map(|column| cell(row, column)).collect::<Vec<_>>();
        cells.extend(results[row.note.as_ref().unwrap()].clone());
        cells
    };
    let mut all = rows.iter().map(row).collect::<Vec<_>>();
    all.sort_by(|left, right| left[4].cmp(&right[4]));
    all
}

fn assert_equal(mut found: Vec<Vec<String>>, expected: &[Vec<String>], context: &str) {
    found.sort_by(|left, right| left[4].cmp(&right[4]));
    assert_eq!(found.len(), expected.len(), "{context}");
    for (found, wanted) in found.iter().zip(expected) {
        assert_eq!(found.len(), wanted.len(), "{context}");
        for (at, (cell, wanted)) in found.iter().zip(wanted).enumerate() {
            let equal = match wanted.strip_prefix('~') {
                Some(number) => {
                    let number = number.parse::<f64>().unwrap();
                    cell.parse::<f64>().is_ok_and(|cell| (cell - number).abs() <= 1e-9 * number.abs().max(1.0))
                }
                None => cell == wanted,
            };
            assert!(equal, "{context}, column {at}\n   found {found:?}\nexpected {expected:?}", expected = wanted);
        }
    }
}

/// Runs an operator over stamped partitions, which come in any turn.
fn run(spec: &OverSpec, partitions: &[Vec<Row>], bound: i64, size: usize, seed: u64) -> Vec<Vec<String>> {
    let mut harness = Harness::new(Over::new(spec, &schema()).unwrap());
    for Turn { rows, watermark, .. } in turns(partitions, bound, size, seed) {
        harness.batch(batch(rows)).unwrap();
        harness.watermark(watermark).unwrap();
    }
    harness.end().unwrap();
    assert_eq!(harness.operator.held(), 0);
    harness.take_batches().iter().flat_map(|batch| cells(&batch.columns)).collect()
}

/// Rows that their notes tell apart.
pub fn input(random: &mut Random, rows: usize, disorder: i64, far: bool) -> Vec<Vec<Row>> {
    let mut partitions = random_partitions(random, 1 + random.clone().below(3) as usize, rows, disorder, far);
    for (number, rows) in partitions.iter_mut().enumerate() {
        for (position, row) in rows.iter_mut().enumerate() {
            row.note = Some(format!("{number}:{position:05}"));
        }
    }
    partitions
}

/// The rows that are not late, in the order of event time.
fn on_time(partitions: &[Vec<Row>]) -> Vec<Row> {
    let mut rows = partitions.iter().flatten().filter(|row| row.late_by <= 0).cloned().collect::<Vec<_>>();
    rows.sort_by_key(|row| (row.time, row.partition, row.position));
    rows
}

fn key_of(window: &RowWindow, row: &Row) -> String {
    let columns = window.partition_by.iter().filter_map(|key| match key {
        Expr::Column(column) if column.name() == hidden::EVENT_TIME => Some(row.time.to_string()),
        Expr::Column(column) => Some(cell(row, column.name())),
        _ => None,
    });
    columns.collect::<Vec<_>>().join("|")
}

pub fn frames(whole: bool, distances: FrameUnits) -> Vec<RowFrame> {
    use FrameUnits::{Peers, Rows};
    let second = if distances == FrameUnits::Time { SECOND } else { 10_000 };
    let mut all = vec![
        frame(Rows, None, 0),
        frame(Rows, -3, 0),
        frame(Rows, 0, 0),
        frame(Rows, -5, -2),
        frame(Rows, None, -2),
        frame(Rows, -2, 2),
        frame(Rows, 1, 3),
        frame(Rows, None, 1),
        frame(Peers, None, 0),
        frame(Peers, 0, 0),
        frame(Peers, -1, 1),
        frame(Peers, -2, -1),
        frame(distances, -4 * second, 0),
        frame(distances, -4 * second, 3 * second),
        frame(distances, None, -2 * second),
        frame(distances, second, 5 * second),
        frame(distances, 0, 2 * second),
    ];
    if whole {
        all.extend([
            frame(Rows, None, None),
            frame(Rows, -1, None),
            frame(Peers, 0, None),
            frame(distances, -second, None),
        ]);
    }
    all
}

fn check_by_time(calls: &[AggregateCall], seed: u64, rows: usize, far: bool, sizes: &[usize]) {
    let mut random = Random::new(seed);
    let disorder = random.between(0, 15);
    let mut partitions = input(&mut random, rows, disorder, far);
    let bound = disorder * SECOND;
    stamp(&mut partitions, bound);
    for (number, frame) in frames(false, FrameUnits::Time).into_iter().enumerate() {
        let keys: &[&str] = if number % 3 == 2 { &[] } else { &["key"] };
        let windows = vec![window(keys, frame), window(&["flag"], self::frame(FrameUnits::Rows, None, 0))];
        let mut all = calls.iter().map(aggregated).collect::<Vec<_>>();
        all.extend(own_calls(false));
        all.push(OverCall { window: 1, ..call(OverFunction::RowNumber, vec![], DataType::Int64) });
        let calls = numbered(all);
        let wanted = expected(&calls, &windows, &on_time(&partitions), key_of, |row| i128::from(row.time));
        for size in sizes {
            let spec = spec(OverOrder::EventTime, windows.clone(), calls.clone());
            let found = run(&spec, &partitions, bound, *size, seed + *size as u64);
            assert_equal(found, &wanted, &format!("{frame}, seed {seed}, batches of {size}"));
        }
    }
}

#[test]
fn by_event_time() {
    for seed in 0..4 {
        check_by_time(&many_calls().0, seed, 60, false, &[1, 2, 7, 8_192]);
    }
}

#[test]
fn by_event_time_with_late_rows() {
    for seed in 10..14 {
        check_by_time(&many_calls().0, seed, 60, true, &[1, 5, 8_192]);
    }
}

#[test]
fn the_librarys_aggregates() {
    for seed in 20..22 {
        let calls = library_calls().0.into_iter().filter(|call| call.order_by.is_empty()).collect::<Vec<_>>();
        check_by_time(&calls, seed, 40, false, &[3, 8_192]);
    }
}

fn price_down(row: &Row) -> i128 {
    // Nulls count as larger than any value, so the largest first has them first.
    row.price.map_or(i128::MIN, |price| -price)
}

pub fn by_price() -> Vec<SortKey> {
    vec![SortKey { expr: col("price"), descending: true, nulls_first: true }]
}

#[test]
fn in_any_order_at_the_end() {
    for seed in 30..33 {
        let mut random = Random::new(seed);
        let mut partitions = input(&mut random, 50, 10, true);
        stamp(&mut partitions, 0);
        for row in partitions.iter_mut().flatten() {
            // Equal prices, so that there are peers.
            row.price = row.price.map(|price| price / 20_000 * 10_000);
        }
        let mut rows = partitions.iter().flatten().cloned().collect::<Vec<_>>();
        rows.sort_by_key(|row| (price_down(row), row.time, row.partition, row.position));
        for frame in frames(true, FrameUnits::Value) {
            let windows = vec![RowWindow { order_by: by_price(), ..window(&["key"], frame) }];
            // What goes by the order of event time in the other computation is left out.
            let aggregates = many_calls()
                .0
                .into_iter()
                .filter(|call| !matches!(call.kind, Kind::First | Kind::Last | Kind::ArgMin | Kind::ArgMax));
            let mut calls = aggregates.map(|call| aggregated(&call)).collect::<Vec<_>>();
            calls.extend(own_calls(true));
            let calls = numbered(calls);
            let wanted = expected(&calls, &windows, &rows, key_of, price_down);
            for size in [3, 8_192] {
                let spec = spec(OverOrder::End, windows.clone(), calls.clone());
                assert_equal(run(&spec, &partitions, 0, size, seed), &wanted, &format!("{frame}, seed {seed}, {size}"));
            }
        }
    }
}

#[test]
fn in_any_order_within_one_time() {
    for seed in 40..43 {
        let mut random = Random::new(seed);
        let mut partitions = input(&mut random, 60, 4, false);
        for row in partitions.iter_mut().flatten() {
            row.time = row.time.div_euclid(10 * SECOND) * 10 * SECOND;
        }
        stamp(&mut partitions, 20 * SECOND);
        let mut rows = partitions.iter().flatten().cloned().collect::<Vec<_>>();
        rows.sort_by_key(|row| (price_down(row), row.time, row.partition, row.position));
        for frame in frames(true, FrameUnits::Value) {
            let windows = vec![RowWindow {
                partition_by: vec![col("flag"), col(hidden::EVENT_TIME)],
                order_by: by_price(),
                ..window(&[], frame)
            }];
            let calls = numbered(own_calls(true));
            let wanted = expected(&calls, &windows, &rows, key_of, price_down);
            for size in [1, 8_192] {
                let spec = spec(OverOrder::Window, windows.clone(), calls.clone());
                let found = run(&spec, &partitions, 20 * SECOND, size, seed);
                assert_equal(found, &wanted, &format!("{frame}, seed {seed}, {size}"));
            }
        }
    }
}

#[test]
fn by_arrival_in_a_buffer() {
    for seed in 50..54 {
        let mut random = Random::new(seed);
        let mut partitions = input(&mut random, 80, 10, false);
        partitions.truncate(1);
        stamp(&mut partitions, 10 * SECOND);
        let rows = partitions[0].clone();
        for (buffer, given) in [(4, frame(FrameUnits::Rows, None, 0)), (6, frame(FrameUnits::Rows, -2, -1))] {
            let held = RowBuffer { rows: buffer, when_full: false, expire: None };
            let windows = vec![RowWindow { buffer: Some(held), ..window(&["key"], given) }];
            let aggregates = many_calls()
                .0
                .into_iter()
                .filter(|call| !matches!(call.kind, Kind::First | Kind::Last | Kind::ArgMin | Kind::ArgMax));
            let mut calls = aggregates.map(|call| aggregated(&call)).collect::<Vec<_>>();
            calls.extend(own_calls(false).into_iter().filter(takes_frame));
            calls.push(call(OverFunction::Shift(-3), vec![col("price")], types::decimal(18, 4)));
            let calls = numbered(calls);
            let start = given.start.unwrap_or(i128::MIN).max(1 - i128::from(buffer));
            let inner = RowFrame { start: Some(start), ..given };
            let by_hand = vec![RowWindow { frame: inner, ..windows[0].clone() }];
            let wanted = expected(&calls, &by_hand, &rows, key_of, |row| i128::from(row.position));
            for size in [1, 7, 8_192] {
                let spec = spec(OverOrder::Arrival, windows.clone(), calls.clone());
                let found = run(&spec, &partitions, 10 * SECOND, size, seed);
                assert_equal(found, &wanted, &format!("buffer of {buffer}, seed {seed}, {size}"));
            }
        }
    }
}

#[test]
fn in_a_buffer_with_an_order_of_its_own() {
    for seed in 60..63 {
        let mut random = Random::new(seed);
        let mut partitions = input(&mut random, 40, 10, false);
        partitions.truncate(1);
        stamp(&mut partitions, 10 * SECOND);
        for row in &mut partitions[0] {
            row.price = row.price.map(|price| price / 20_000 * 10_000);
        }
        let rows = partitions[0].clone();
        let held = RowBuffer { rows: 5, when_full: false, expire: None };
        for frame in
            [frame(FrameUnits::Rows, None, None), frame(FrameUnits::Rows, -1, 1), frame(FrameUnits::Value, -20_000, 0)]
        {
            let alone = RowWindow { order_by: by_price(), ..window(&["key"], frame) };
            let mut calls = own_calls(true).into_iter().filter(|call| call.function != OverFunction::RowNumber);
            let mut all = calls.by_ref().collect::<Vec<_>>();
            let aggregates = Calls::new().add(Kind::Sum, "price").add(Kind::Max, "quantity").count_all();
            all.extend(aggregates.0.iter().map(aggregated));
            let calls = numbered(all);
            let mut wanted = Vec::new();
            for (at, row) in rows.iter().enumerate() {
                let mut buffer = rows[..=at].iter().filter(|other| other.key == row.key).cloned().collect::<Vec<_>>();
                buffer.drain(..buffer.len().saturating_sub(5));
                buffer.sort_by_key(price_down);
                let results = expected(&calls, std::slice::from_ref(&alone), &buffer, key_of, price_down);
                wanted.extend(results.into_iter().filter(|cells| Some(&cells[4]) == row.note.as_ref()));
            }
            let windows = vec![RowWindow { buffer: Some(held), ..alone.clone() }];
            for size in [1, 8_192] {
                let spec = spec(OverOrder::Arrival, windows.clone(), calls.clone());
                assert_equal(
                    run(&spec, &partitions, 10 * SECOND, size, seed),
                    &wanted,
                    &format!("{frame}, seed {seed}, {size}"),
                );
            }
        }
    }
}
