//! Row windows, case by case: what waits for what, what comes late, and what a buffer forgets.

use std::sync::Arc;

use crate::support::over::{aggregated, call, frame, numbered, spec, window};
use crate::support::{Calls, Kind, Row, SECOND, batch, cells, schema};
use arrow_schema::DataType;
use datafusion_expr::col;
use velo_core::duration::Span;
use velo_core::{Batch, RowKind, RowKinds, Watermark, types};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{Element, Operator, Over};
use velo_exec::testing::Harness;
use velo_plan::plan::{FrameUnits, OverCall, OverFunction, OverOrder, RowBuffer, RowFrame, RowWindow};

fn at(key: &str, seconds: i64, price: &str) -> Row {
    Row { note: None, ..Row::at(key, seconds * SECOND, price) }
}

fn harness(order: OverOrder, window: RowWindow, calls: Vec<OverCall>) -> Harness<Over> {
    Harness::new(Over::new(&spec(order, vec![window], numbered(calls)), &schema()).unwrap())
}

/// Key, price and results of what came out.
fn came(harness: &mut Harness<Over>) -> Vec<String> {
    let rows = harness.take_batches().iter().flat_map(|batch| cells(&batch.columns)).collect::<Vec<_>>();
    rows.iter().map(|row| format!("{} {} {}", row[0], row[1], row[6..].join(" "))).collect()
}

fn lead() -> Vec<OverCall> {
    vec![call(OverFunction::Shift(1), vec![col("price")], types::decimal(18, 4))]
}

fn any_frame() -> RowFrame {
    frame(FrameUnits::Rows, None, 0)
}

#[test]
fn lead_holds_a_row_and_the_watermark_and_no_other_rows() {
    let mut harness = harness(OverOrder::EventTime, window(&["key"], any_frame()), lead());
    harness.batch(batch(&[at("a", 1, "1"), at("b", 2, "2"), at("b", 3, "3")])).unwrap();
    harness.watermark(Watermark(10 * SECOND)).unwrap();
    assert_eq!(came(&mut harness), ["b 2.0000 3.0000"]);
    assert_eq!(harness.forwarded(), Watermark(SECOND));
    assert_eq!(harness.operator.held(), 2);
    harness.batch(batch(&[at("a", 11, "4")])).unwrap();
    harness.watermark(Watermark(12 * SECOND)).unwrap();
    assert_eq!(came(&mut harness), ["a 1.0000 4.0000"]);
    assert_eq!(harness.forwarded(), Watermark(3 * SECOND));
    harness.end().unwrap();
    assert_eq!(came(&mut harness), ["b 3.0000 null", "a 4.0000 null"]);
    assert_eq!(harness.forwarded(), Watermark::END);
}

#[test]
fn a_row_at_the_watermark_waits_for_others_of_its_time() {
    let calls = vec![aggregated(&Calls::new().count_all().0[0])];
    let mut harness = harness(OverOrder::EventTime, window(&[], frame(FrameUnits::Peers, None, 0)), calls);
    harness.batch(batch(&[at("a", 1, "1"), at("a", 2, "2")])).unwrap();
    harness.watermark(Watermark(2 * SECOND)).unwrap();
    assert_eq!(came(&mut harness), ["a 1.0000 1"]);
    harness.batch(batch(&[at("b", 2, "3")])).unwrap();
    harness.watermark(Watermark(2 * SECOND + 1)).unwrap();
    assert_eq!(came(&mut harness), ["a 2.0000 3", "b 3.0000 3"]);
}

#[test]
fn a_range_ahead_waits_for_the_watermark() {
    let calls = vec![aggregated(&Calls::new().count_all().0[0])];
    let ahead = frame(FrameUnits::Time, 0, 5 * SECOND);
    let mut harness = harness(OverOrder::EventTime, window(&["key"], ahead), calls);
    harness.batch(batch(&[at("a", 1, "1"), at("a", 3, "2")])).unwrap();
    harness.watermark(Watermark(6 * SECOND)).unwrap();
    assert_eq!(came(&mut harness), Vec::<String>::new());
    assert_eq!(harness.forwarded(), Watermark(SECOND));
    // Another key's watermark is this one's too: nothing more can come within five seconds of the first.
    harness.watermark(Watermark(6 * SECOND + 1)).unwrap();
    assert_eq!(came(&mut harness), ["a 1.0000 2"]);
    assert_eq!(harness.forwarded(), Watermark(3 * SECOND));
}

#[test]
fn late_rows_are_counted_and_go_to_the_dead_letters() {
    let number = vec![call(OverFunction::RowNumber, vec![], DataType::Int64)];
    let mut spec = spec(OverOrder::EventTime, vec![window(&["key"], any_frame())], numbered(number));
    spec.over.late = LateStrategy::DeadLetter;
    let mut harness = Harness::new(Over::new(&spec, &schema()).unwrap());
    harness.batch(batch(&[at("a", 10, "1"), Row { late_by: 4 * SECOND, position: 1, ..at("a", 2, "2") }])).unwrap();
    harness.watermark(Watermark(6 * SECOND)).unwrap();
    // On time in its partition, and behind what the operator has let go.
    harness.batch(batch(&[Row { position: 2, ..at("a", 5, "3") }])).unwrap();
    let letters = harness.take_dead_letters();
    assert_eq!(letters.len(), 2);
    assert!(letters[0].error.contains("came late for a row window"), "{}", letters[0].error);
    assert_eq!(letters[0].place.as_ref().unwrap().to_string(), "input, row 1");
    assert_eq!(harness.operator.late().unwrap().rows(), 2);
    harness.end().unwrap();
    assert_eq!(came(&mut harness), ["a 1.0000 1"]);
}

#[test]
fn a_buffer_expires_by_event_time() {
    let expire = RowBuffer { rows: 10, when_full: false, expire: Some(Span(5 * SECOND)) };
    let buffered = RowWindow { buffer: Some(expire), ..window(&["key"], any_frame()) };
    for order in [OverOrder::EventTime, OverOrder::Arrival] {
        let mut calls = vec![aggregated(&Calls::new().count_all().0[0])];
        calls.extend(lead());
        let mut harness = harness(order, buffered.clone(), calls);
        harness.batch(batch(&[at("a", 0, "1"), at("a", 5, "2"), at("b", 6, "3")])).unwrap();
        harness.watermark(Watermark(10 * SECOND)).unwrap();
        assert_eq!(came(&mut harness), ["a 1.0000 1 2.0000"], "{order:?}");
        // The buffer of a is gone, so its last row waits for nothing.
        harness.watermark(Watermark(10 * SECOND + 1)).unwrap();
        assert_eq!(came(&mut harness), ["a 2.0000 2 null"], "{order:?}");
        harness.batch(batch(&[at("a", 11, "4"), at("b", 11, "5")])).unwrap();
        harness.end().unwrap();
        assert_eq!(came(&mut harness), ["b 3.0000 1 5.0000", "a 4.0000 1 null", "b 5.0000 2 null"], "{order:?}");
    }
}

#[test]
fn buffers_of_many_keys_that_are_gone_take_no_memory() {
    let expire = RowBuffer { rows: 10, when_full: false, expire: Some(Span(SECOND)) };
    let buffered = RowWindow { buffer: Some(expire), ..window(&["key"], any_frame()) };
    let mut operator =
        harness(OverOrder::EventTime, buffered, vec![aggregated(&Calls::new().add(Kind::Sum, "price").0[0])]);
    let mut most = 0;
    for second in 0..60 {
        let rows = (0..500).map(|key| Row { position: key, ..at(&format!("key {second} {key}"), second, "1") });
        operator.batch(batch(&rows.collect::<Vec<_>>())).unwrap();
        operator.watermark(Watermark(second * SECOND)).unwrap();
        most = most.max(operator.operator.memory());
    }
    operator.end().unwrap();
    assert_eq!(came(&mut operator).len(), 30_000);
    assert!(most < 3_000_000, "{most} bytes");
}

#[test]
fn rows_come_out_when_all_buffers_are_full() {
    let full = |rows| RowBuffer { rows, when_full: true, expire: None };
    let calls = vec![call(OverFunction::RowNumber, vec![], DataType::Int64)];
    let mut harness =
        harness(OverOrder::Arrival, RowWindow { buffer: Some(full(2)), ..window(&["key"], any_frame()) }, calls);
    harness.batch(batch(&[at("a", 0, "1"), at("b", 0, "2"), at("a", 0, "3"), at("a", 0, "4")])).unwrap();
    assert_eq!(came(&mut harness), ["a 3.0000 2", "a 4.0000 2"]);
}

#[test]
fn a_frame_keeps_no_more_than_it_needs() {
    let mut calls = vec![
        call(OverFunction::RowNumber, vec![], DataType::Int64),
        call(OverFunction::Shift(-1), vec![col("note")], DataType::Utf8),
        call(OverFunction::Nth(1), vec![col("note")], DataType::Utf8),
    ];
    calls.extend(Calls::new().add(Kind::Sum, "price").add(Kind::Max, "price").0.iter().map(aggregated));
    let mut operator = harness(OverOrder::EventTime, window(&["key"], any_frame()), calls);
    let mut after = Vec::new();
    for second in 0..300 {
        let rows = (0..100).map(|row| Row { position: row, note: Some("note".into()), ..at("a", second, "1") });
        operator.batch(batch(&rows.collect::<Vec<_>>())).unwrap();
        operator.watermark(Watermark(second * SECOND)).unwrap();
        operator.take();
        after.push(operator.operator.memory());
    }
    assert!(after[299] <= after[20] * 2, "{} after {}", after[299], after[20]);
}

#[test]
fn equal_times_of_several_partitions_go_by_source_partition_and_position() {
    let calls = vec![call(OverFunction::RowNumber, vec![], DataType::Int64)];
    let mut harness = harness(OverOrder::EventTime, window(&[], any_frame()), calls);
    let row = |partition, position, price: &str| Row { partition, position, ..at("a", 1, price) };
    harness.batch(batch(&[row(1, 0, "3"), row(1, 1, "4")])).unwrap();
    harness.batch(batch(&[row(0, 7, "2")])).unwrap();
    harness.batch(batch(&[row(0, 3, "1")])).unwrap();
    // Behind an aggregate there is no place, and the values of the row decide.
    let without = |price: &str| Batch { origin: None, ..batch(&[at("a", 1, price)]) };
    harness.batch(without("6")).unwrap();
    harness.batch(without("5")).unwrap();
    harness.end().unwrap();
    let expected = ["a 1.0000 1", "a 2.0000 2", "a 3.0000 3", "a 4.0000 4", "a 5.0000 5", "a 6.0000 6"];
    assert_eq!(came(&mut harness), expected);
}

#[test]
fn infinities_leave_a_sum_again() {
    let calls = vec![aggregated(&Calls::new().add(Kind::Sum, "weight").0[0])];
    let mut harness = harness(OverOrder::Arrival, window(&[], frame(FrameUnits::Rows, -1, 0)), calls);
    let weights = arrow_array::Float64Array::from(vec![
        1.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        2.0,
        f64::NAN,
        3.0,
        1e300,
        1.0,
        1.0,
    ]);
    let mut input = batch(&(0..9).map(|position| Row { position, ..at("a", 0, "1") }).collect::<Vec<_>>());
    let mut columns = input.columns.columns().to_vec();
    columns[3] = Arc::new(weights);
    input.columns = arrow_array::RecordBatch::try_new(schema(), columns).unwrap();
    harness.batch(input).unwrap();
    let results = came(&mut harness).iter().map(|row| row.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(results, ["1.0", "inf", "NaN", "-inf", "NaN", "NaN", "1e300", "1e300", "2.0"]);
}

#[test]
fn an_overflow_names_the_call() {
    let calls = vec![aggregated(&Calls::new().with(Kind::Sum, &["quantity"], DataType::Int64).0[0])];
    let mut harness = harness(OverOrder::Arrival, window(&[], any_frame()), calls);
    let row = |position| Row { quantity: Some(i64::MAX), position, ..at("a", 0, "1") };
    let error = harness.batch(batch(&[row(0), row(1)])).unwrap_err().to_string();
    assert_eq!(error, "result: Sum(quantity) does not fit in BIGINT");
}

#[test]
fn a_retraction_is_refused() {
    let mut harness = harness(OverOrder::EventTime, window(&["key"], any_frame()), lead());
    let kinds = Some(RowKinds::new(vec![RowKind::Delete]));
    let error = harness.batch(Batch { kinds, ..batch(&[at("a", 1, "1")]) }).unwrap_err().to_string();
    assert!(error.contains("got a retraction"), "{error}");
}

#[test]
fn large_releases_come_in_batches() {
    let calls = vec![call(OverFunction::RowNumber, vec![], DataType::Int64)];
    let mut harness = harness(OverOrder::EventTime, window(&["key"], any_frame()), calls);
    let rows = (0..20_000).map(|position| Row { position, ..at("a", 1, "1") }).collect::<Vec<_>>();
    harness.batch(batch(&rows)).unwrap();
    harness.end().unwrap();
    let sizes = harness.take().into_iter().filter_map(|element| match element {
        Element::Batch(batch) => Some(batch.rows()),
        _ => None,
    });
    assert_eq!(sizes.collect::<Vec<_>>(), [8_192, 8_192, 3_616]);
}
