//! Rows a second through row windows, on one core. Prints one JSON object a line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "../tests/it/support/mod.rs"]
mod support;

mod shared;

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use datafusion_expr::col;
use shared::{run, trades};
use support::{Calls, Kind, SECOND};
use velo_core::{schema, types};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{Operator, Over, OverSpec};
use velo_plan::plan::{FrameUnits, Over as Plan, OverCall, OverFunction, OverOrder, RowFrame, RowWindow};

fn spec(frame: RowFrame, calls: Vec<OverCall>) -> OverSpec {
    let mut fields = schema::visible(&support::schema()).fields().to_vec();
    fields.extend(calls.iter().map(|call| Arc::clone(&call.output)));
    let window = RowWindow { partition_by: vec![col("key")], order_by: vec![], frame, buffer: None };
    OverSpec {
        over: Plan { order: OverOrder::EventTime, windows: vec![window], calls, late: LateStrategy::Drop },
        output: schema::with_event_time(&Schema::new(fields)),
        statement: "result".to_owned(),
    }
}

fn own(name: &str, function: OverFunction, arguments: &[&str], output: DataType) -> OverCall {
    OverCall {
        window: 0,
        function,
        arguments: arguments.iter().map(|argument| col(*argument)).collect(),
        argument_types: vec![types::decimal(18, 4); arguments.len()],
        ignore_nulls: false,
        output: Arc::new(Field::new(name, output, true)),
        text: name.to_owned(),
    }
}

fn aggregates(calls: Calls) -> Vec<OverCall> {
    calls.0.iter().map(support::over::aggregated).collect()
}

fn main() {
    // `cargo test --all-targets` starts it too, and wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let lag = || own("lag", OverFunction::Shift(-1), &["price"], types::decimal(18, 4));
    let number = || own("number", OverFunction::RowNumber, &[], DataType::Int64);
    let lead = || own("lead", OverFunction::Shift(1), &["price"], types::decimal(18, 4));
    let rows = |start: Option<i128>| RowFrame { units: FrameUnits::Rows, start, end: Some(0) };
    let of = |frame: RowFrame, calls: Vec<OverCall>| {
        let spec = spec(frame, calls);
        move || -> Box<dyn Operator> { Box::new(Over::new(&spec, &support::schema()).unwrap()) }
    };
    let with_lag = |calls: Calls| [vec![lag()], aggregates(calls)].concat();
    let mean = || Calls::new().add(Kind::Avg, "price");
    let batches = trades(300, 8, 1_000, 1_000_000);
    let behind = 2 * SECOND / 10;
    run("ROW_NUMBER, 1,000 keys", &batches, behind, of(rows(None), vec![number()]));
    run("LAG, 1,000 keys", &batches, behind, of(rows(None), vec![lag()]));
    run("LAG and AVG of 100 rows, 1,000 keys", &batches, behind, of(rows(Some(-99)), with_lag(mean())));
    let three = || Calls::new().add(Kind::Sum, "price").add(Kind::Max, "price");
    run("LAG, SUM and MAX of 100 rows, 1,000 keys", &batches, behind, of(rows(Some(-99)), with_lag(three())));
    let minute = RowFrame { units: FrameUnits::Time, start: Some(-i128::from(60 * SECOND)), end: Some(0) };
    run("AVG of a minute, 1,000 keys", &batches, behind, of(minute, aggregates(mean())));
    run("LEAD, 1,000 keys", &batches, behind, of(rows(None), vec![lead()]));
    let many = trades(150, 150, 100_000, 1_000_000);
    run("LAG and AVG of 100 rows, 100,000 keys", &many, behind, of(rows(Some(-99)), with_lag(mean())));
}
