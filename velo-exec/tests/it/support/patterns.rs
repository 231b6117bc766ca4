//! Row patterns for tests: queries over the quantities of the rows that all tests here have.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use datafusion_expr::{Expr, col, lit};
use velo_core::duration::Span;
use velo_core::schema as hidden;
use velo_eventtime::LateStrategy;
use velo_exec::operator::MatchSpec;
use velo_plan::plan::{
    MatchColumn, MatchRecognize as Plan, MatchSkip, MatchValue, MatchVariable, Output, RowPattern, VariableSet,
};

use super::{Calls, Kind};

/// What a condition compares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// The quantity of a row: of which variables, from the last or the first, how far from there, and how far beside that.
    Row(u64, bool, u32, i32),
    Sum(u64),
    Count(u64),
    Min(u64),
    Number,
    Is(i64),
}

#[derive(Debug, Clone, Copy)]
pub struct Condition {
    pub left: Value,
    pub op: &'static str,
    pub right: Value,
}

/// One query.
#[derive(Debug, Clone)]
pub struct Query {
    pub pattern: RowPattern,
    /// By variable: a conjunction.
    pub conditions: Vec<Vec<Condition>>,
    pub skip: MatchSkip,
    pub within: Option<i64>,
    pub measures: Vec<Measure>,
}

#[derive(Debug, Clone, Copy)]
pub enum Measure {
    Note(u64, bool, u32, i32),
    Value(Value),
    Classifier,
}

pub const NAMES: [&str; 4] = ["A", "B", "C", "D"];

/// The query as a plan.
pub fn plan(query: &Query) -> MatchSpec {
    let mut columns: Vec<MatchColumn> = Vec::new();
    let mut column = |value: MatchValue, data_type: DataType| {
        let known = columns.iter().find(|known| known.value == value).map(|known| known.field.name().clone());
        let name = known.unwrap_or_else(|| {
            let name = format!("$match{}", columns.len());
            columns.push(MatchColumn { field: Arc::new(Field::new(&name, data_type, true)), value });
            name
        });
        Expr::Column(datafusion_common::Column::new_unqualified(name))
    };
    let row = |of: u64, from_last: bool, nth: u32, offset: i32, expr: Expr| MatchValue::Row {
        of: VariableSet(of),
        from_last,
        nth,
        offset,
        expr,
    };
    let aggregate = |of: u64, calls: Calls| MatchValue::Aggregate {
        of: VariableSet(of),
        call: Box::new(calls.0.into_iter().next().unwrap()),
    };
    let mut expr = |value: Value| match value {
        Value::Row(of, last, nth, beside) => column(row(of, last, nth, beside, col("quantity")), DataType::Int64),
        Value::Sum(of) => column(aggregate(of, Calls::new().add(Kind::Sum, "quantity")), DataType::Int64),
        Value::Count(of) => column(aggregate(of, Calls::new().count_all()), DataType::Int64),
        Value::Min(of) => column(aggregate(of, Calls::new().add(Kind::Min, "quantity")), DataType::Int64),
        Value::Number => column(MatchValue::MatchNumber, DataType::Int64),
        Value::Is(value) => lit(value),
    };
    let mut variables = Vec::new();
    for (name, conditions) in NAMES.iter().zip(&query.conditions) {
        let conditions = conditions.iter().map(|condition| {
            let (left, right) = (expr(condition.left), expr(condition.right));
            match condition.op {
                "<" => left.lt(right),
                "<=" => left.lt_eq(right),
                ">" => left.gt(right),
                ">=" => left.gt_eq(right),
                _ => left.eq(right),
            }
        });
        variables.push(MatchVariable {
            name: (*name).to_owned(),
            conditions: conditions.collect(),
            text: String::new(),
        });
    }
    let mut measures = Vec::new();
    for (at, measure) in query.measures.iter().enumerate() {
        let (expr, data_type) = match measure {
            Measure::Value(value) => (expr(*value), DataType::Int64),
            Measure::Note(..) | Measure::Classifier => (lit(0_i64), DataType::Utf8),
        };
        measures.push(Output { expr, field: Arc::new(Field::new(format!("m{at}"), data_type, true)) });
    }
    for (output, measure) in measures.iter_mut().zip(&query.measures) {
        match measure {
            Measure::Note(of, last, nth, beside) => {
                output.expr = column(row(*of, *last, *nth, *beside, col("note")), DataType::Utf8);
            }
            Measure::Classifier => output.expr = column(MatchValue::Classifier, DataType::Utf8),
            Measure::Value(_) => {}
        }
    }
    let key = Output { expr: col("key"), field: Arc::new(Field::new("key", DataType::Utf8, true)) };
    let fields = std::iter::once(&key).chain(&measures).map(|output| Arc::clone(&output.field));
    let output = hidden::with_event_time(&Schema::new(fields.collect::<Vec<_>>()));
    let matching = Plan {
        partition_by: vec![key],
        order_by: vec![],
        variables,
        pattern: query.pattern.clone(),
        omit_empty: true,
        after_match: query.skip,
        within: query.within.map(Span),
        columns,
        measure_texts: measures.iter().map(|_| String::new()).collect(),
        measures,
        late: LateStrategy::Drop,
    };
    MatchSpec { matching, output, statement: "result".to_owned() }
}
