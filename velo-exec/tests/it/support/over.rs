//! Row windows for tests: nodes of a plan over the rows that all tests here have.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use datafusion_expr::{Expr, col};
use velo_core::schema as hidden;
use velo_eventtime::LateStrategy;
use velo_exec::operator::OverSpec;
use velo_plan::plan::{
    AggregateCall, FrameUnits, Over as Plan, OverCall, OverFunction, OverOrder, RowFrame, RowWindow,
};

use super::schema;

pub fn frame(units: FrameUnits, start: impl Into<Option<i64>>, end: impl Into<Option<i64>>) -> RowFrame {
    RowFrame { units, start: start.into().map(i128::from), end: end.into().map(i128::from) }
}

pub fn window(keys: &[&str], frame: RowFrame) -> RowWindow {
    RowWindow { partition_by: keys.iter().map(|key| col(*key)).collect(), order_by: vec![], frame, buffer: None }
}

pub fn spec(order: OverOrder, windows: Vec<RowWindow>, calls: Vec<OverCall>) -> OverSpec {
    let mut fields = hidden::visible(&schema()).fields().to_vec();
    fields.extend(calls.iter().map(|call| Arc::clone(&call.output)));
    OverSpec {
        over: Plan { order, windows, calls, late: LateStrategy::Drop },
        output: hidden::with_event_time(&Schema::new(fields)),
        statement: "result".to_owned(),
    }
}

pub fn call(function: OverFunction, arguments: Vec<Expr>, output: DataType) -> OverCall {
    let argument_types = arguments
        .iter()
        .map(|argument| match argument {
            Expr::Column(column) => schema().field_with_name(column.name()).unwrap().data_type().clone(),
            Expr::Literal(value, _) => value.data_type(),
            other => panic!("{other}"),
        })
        .collect();
    let text = format!("{function:?}");
    let output = Arc::new(Field::new("result", output, true));
    OverCall { window: 0, function, arguments, argument_types, ignore_nulls: false, output, text }
}

pub fn aggregated(call: &AggregateCall) -> OverCall {
    OverCall {
        window: 0,
        arguments: call.arguments.clone(),
        argument_types: call.argument_types.clone(),
        ignore_nulls: false,
        output: Arc::clone(&call.output),
        text: call.text.clone(),
        function: OverFunction::Aggregate(Box::new(call.clone())),
    }
}

pub fn numbered(calls: Vec<OverCall>) -> Vec<OverCall> {
    let name = |(at, call): (usize, OverCall)| OverCall {
        output: Arc::new(call.output.as_ref().clone().with_name(format!("r{at}"))),
        ..call
    };
    calls.into_iter().enumerate().map(name).collect()
}
