//! Input, plans and a naive computation for the tests of aggregates.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "each test uses some of it")]

pub mod changelog;
pub mod events;
pub mod group_tasks;
pub mod joins;
pub mod lookups;
pub mod naive;
pub mod over;
pub mod patterns;
pub mod restarts;
pub mod sim;
pub mod tasks;

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::{Expr, col, lit};
use velo_core::duration::Span;
use velo_core::place::{Origin, Positions, Resource};
use velo_core::{Batch, decimal, schema as hidden, types};
use velo_eventtime::LateStrategy;
use velo_exec::operator::GroupSpec;
use velo_plan::plan::{AggregateCall, AggregateKind, Emission, Output, SortKey, WindowKind, WindowSpec};

pub use velo_plan::plan::AggregateKind as Kind;

pub const SECOND: i64 = 1_000_000;

/// key STRING, price DECIMAL(18,4), quantity BIGINT, weight DOUBLE, note STRING, flag BOOLEAN, and the event time.
pub fn schema() -> SchemaRef {
    hidden::with_event_time(&Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("price", types::decimal(18, 4), true),
        Field::new("quantity", DataType::Int64, true),
        Field::new("weight", DataType::Float64, true),
        Field::new("note", DataType::Utf8, true),
        Field::new("flag", DataType::Boolean, true),
    ]))
}

/// The visible cells of a batch as text.
pub fn cells(columns: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::new().with_null("null").with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"));
    let visible = columns.schema_ref().fields().iter().zip(columns.columns());
    let visible = visible.filter(|(field, _)| field.name() != hidden::EVENT_TIME);
    let formatters = visible.map(|(_, column)| ArrayFormatter::try_new(column.as_ref(), &options).unwrap());
    let formatters = formatters.collect::<Vec<_>>();
    (0..columns.num_rows()).map(|row| formatters.iter().map(|column| column.value(row).to_string()).collect()).collect()
}

/// One row of input.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub key: Option<String>,
    pub time: i64,
    pub price: Option<i128>,
    pub quantity: Option<i64>,
    pub note: Option<String>,
    pub flag: Option<bool>,
    pub partition: u32,
    pub position: u64,
    /// How far its time is behind its partition's watermark.
    pub late_by: i64,
}

impl Row {
    pub fn at(key: &str, time: i64, price: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            time,
            price: decimal::parse_i128(price.as_bytes(), 18, 4).ok(),
            quantity: Some(1),
            note: Some(price.to_owned()),
            flag: Some(true),
            partition: 0,
            position: 0,
            late_by: 0,
        }
    }

    pub fn weight(&self) -> Option<f64> {
        self.price.map(|price| price as f64 / 3.0)
    }
}

/// Rows of one partition as a batch.
pub fn batch(rows: &[Row]) -> Batch {
    let array = |array: ArrayRef| array;
    let columns = vec![
        array(Arc::new(rows.iter().map(|row| row.key.clone()).collect::<StringArray>())),
        array(Arc::new(
            rows.iter().map(|row| row.price).collect::<Decimal128Array>().with_precision_and_scale(18, 4).unwrap(),
        )),
        array(Arc::new(rows.iter().map(|row| row.quantity).collect::<Int64Array>())),
        array(Arc::new(rows.iter().map(Row::weight).collect::<Float64Array>())),
        array(Arc::new(rows.iter().map(|row| row.note.clone()).collect::<StringArray>())),
        array(Arc::new(rows.iter().map(|row| row.flag).collect::<BooleanArray>())),
        array(Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.time)))),
    ];
    let mut batch = Batch::new(RecordBatch::try_new(schema(), columns).unwrap());
    let positions = rows.iter().map(|row| row.position).collect::<Vec<_>>();
    batch.origin = Some(Origin {
        source: 0,
        partition: rows.first().map_or(0, |row| row.partition),
        base: 0,
        resource: Resource::Rows("input".into()),
        positions: Positions::Each(positions.into()),
    });
    if rows.iter().any(|row| row.late_by > 0) {
        batch.late_by = Some(Int64Array::from_iter_values(rows.iter().map(|row| row.late_by)));
    }
    batch
}

/// Rows of one partition by key, time in seconds, and price (also the note; an empty one is null).
pub fn rows_at(rows: &[(&str, f64, &str)]) -> Batch {
    let rows = rows.iter().enumerate().map(|(position, (key, time, price))| Row {
        position: position as u64,
        ..Row::at(key, (time * 1e6).round() as i64, price)
    });
    batch(&rows.collect::<Vec<_>>())
}

/// Aggregates of a plan.
#[derive(Debug, Clone, Default)]
pub struct Calls(pub Vec<AggregateCall>);

fn type_of(column: &str) -> DataType {
    schema().field_with_name(column).unwrap().data_type().clone()
}

impl Calls {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn count_all(self) -> Self {
        self.with(AggregateKind::Count, &[], DataType::Int64)
    }

    /// One of ours over one column.
    pub fn add(self, kind: AggregateKind, column: &str) -> Self {
        let argument = type_of(column);
        let output = match (&kind, &argument) {
            (AggregateKind::Count, _) => DataType::Int64,
            (AggregateKind::Sum, DataType::Decimal128(_, scale)) => types::decimal(38, *scale),
            (AggregateKind::Avg, DataType::Decimal128(_, scale)) => types::decimal(38, (*scale).max(16)),
            (AggregateKind::Avg, DataType::Int64) => types::decimal(38, 16),
            _ => argument.clone(),
        };
        self.with(kind, &[column], output)
    }

    pub fn with(mut self, kind: AggregateKind, columns: &[&str], output: DataType) -> Self {
        let name = match &kind {
            AggregateKind::Library(function) => function.name().to_owned(),
            other => format!("{other:?}"),
        };
        let text = format!("{name}({})", columns.join(", "));
        self.0.push(AggregateCall {
            kind,
            arguments: columns.iter().map(|column| col(*column)).collect(),
            argument_types: columns.iter().map(|column| type_of(column)).collect(),
            distinct: false,
            filter: None,
            order_by: Vec::new(),
            output: Arc::new(Field::new(format!("a{}", self.0.len()), output, true)),
            text,
        });
        self
    }

    /// One of the library's over columns.
    pub fn library(self, name: &str, columns: &[&str], output: DataType) -> Self {
        let functions = velo_plan::functions::Functions::new();
        self.with(AggregateKind::Library(Arc::clone(functions.aggregate(name).unwrap())), columns, output)
    }

    /// Changes the last call.
    pub fn last(mut self, change: impl FnOnce(&mut AggregateCall)) -> Self {
        change(self.0.last_mut().unwrap());
        self
    }

    pub fn distinct(self) -> Self {
        self.last(|call| call.distinct = true)
    }

    pub fn filter(self, filter: Expr) -> Self {
        self.last(|call| call.filter = Some(filter))
    }
}

/// A window by name; lengths in seconds: size and advance, size and step, or gap.
pub fn window(kind: &str, size: i64, other: i64, offset: i64) -> WindowSpec {
    let span = |seconds: i64| Span(seconds * SECOND);
    let kind = match kind {
        "tumbling" => WindowKind::Tumbling { size: span(size) },
        "sliding" => WindowKind::Sliding { size: span(size), advance: span(other) },
        "cumulate" => WindowKind::Cumulate { size: span(size), step: span(other) },
        "session" => WindowKind::Session { gap: span(size) },
        other => panic!("{other}"),
    };
    WindowSpec { kind, offset: span(offset), zone: None }
}

pub fn spec(keys: &[&str], calls: Calls, window: Option<WindowSpec>) -> GroupSpec {
    let keys = keys
        .iter()
        .map(|key| Output { expr: col(*key), field: Arc::new(Field::new(*key, type_of(key), true)) })
        .collect::<Vec<_>>();
    let mut fields = keys.iter().map(|key| Arc::clone(&key.field)).collect::<Vec<_>>();
    fields.extend(calls.0.iter().map(|call| Arc::clone(&call.output)));
    if window.is_some() {
        fields.push(Arc::new(Field::new("window_start", types::TIMESTAMP, false)));
        fields.push(Arc::new(Field::new("window_end", types::TIMESTAMP, false)));
    }
    GroupSpec {
        keys,
        sets: Vec::new(),
        aggregates: calls.0,
        window,
        late: LateStrategy::Drop,
        emission: Emission::default(),
        ttl: None,
        retracts: false,
        output: hidden::with_event_time(&Schema::new(fields)),
        statement: "result".to_owned(),
    }
}

/// `quantity > 0`.
pub fn positive() -> Expr {
    col("quantity").gt(lit(0_i64))
}

/// All of ours, and some of the library's.
pub fn many_calls() -> Calls {
    Calls::new()
        .count_all()
        .add(Kind::Count, "note")
        .add(Kind::Sum, "price")
        .add(Kind::Avg, "price")
        .add(Kind::Count, "price")
        .add(Kind::Sum, "quantity")
        .add(Kind::Avg, "quantity")
        .add(Kind::Sum, "weight")
        .add(Kind::Avg, "weight")
        .add(Kind::Min, "price")
        .add(Kind::Max, "quantity")
        .add(Kind::Min, "weight")
        .add(Kind::Min, "note")
        .add(Kind::Max, "note")
        .add(Kind::First, "price")
        .add(Kind::Last, "price")
        .add(Kind::First, "note")
        .add(Kind::Last, "note")
        .add(Kind::Last, "flag")
        .add(Kind::BoolAnd, "flag")
        .add(Kind::BoolOr, "flag")
        .with(Kind::ArgMin, &["note", "quantity"], DataType::Utf8)
        .with(Kind::ArgMax, &["price", "quantity"], types::decimal(18, 4))
        .add(Kind::Count, "quantity")
        .distinct()
        .add(Kind::Sum, "quantity")
        .distinct()
        .add(Kind::Count, "note")
        .distinct()
        .add(Kind::Sum, "price")
        .filter(positive())
        .add(Kind::Last, "note")
        .filter(positive())
        .count_all()
        .filter(positive())
}

/// Aggregates that go through the adapter.
pub fn library_calls() -> Calls {
    let calls = Calls::new()
        .library("array_agg", &["quantity"], types::array(DataType::Int64))
        .library("array_agg", &["quantity"], types::array(DataType::Int64))
        .distinct()
        .library("stddev", &["weight"], DataType::Float64)
        .library("stddev", &["weight"], DataType::Float64)
        .filter(positive())
        .library("median", &["weight"], DataType::Float64)
        .library("string_agg", &["note"], DataType::Utf8);
    calls.last(|call| {
        call.arguments.push(lit("|"));
        call.argument_types.push(DataType::Utf8);
        call.order_by = vec![SortKey { expr: col("price"), descending: true, nulls_first: false }];
    })
}
