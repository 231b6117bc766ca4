//! Rows a second through joins with a table of a million rows, on one core. Prints one JSON object a line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "../tests/it/support/mod.rs"]
mod support;

#[allow(dead_code, reason = "it shares the measuring")]
mod shared;

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::{col, lit};
use shared::{ROWS, drain, report};
use tokio::runtime::Builder;
use velo_core::clock::Stopwatch;
use velo_core::lookup::{IndexId, TableWriter};
use velo_core::{Batch, schema as hidden};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{InputId, LookupJoin, LookupSpec, Operator, Outbox};
use velo_exec::testing::Random;
use velo_plan::plan::{JoinColumn, JoinKind, LookupJoin as Plan, Side, TableColumn, TableId};
use velo_tables::{StoreSpec, Table, table};

const BATCHES: usize = 256;
const KEYS: i64 = 1_000_000;
/// The best of so many runs counts.
const RUNS: usize = 3;

fn left() -> SchemaRef {
    hidden::with_event_time(&Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("amount", DataType::Int64, false),
    ]))
}

fn right() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("r_id", DataType::Int64, false),
        Field::new("r_name", DataType::Utf8, true),
        Field::new("r_limit", DataType::Int64, true),
    ]))
}

/// A million rows, in any order of their keys.
fn filled() -> Arc<Table> {
    let (table, mut writer) = table(StoreSpec {
        name: "customers".to_owned(),
        schema: right(),
        key: vec![0],
        indexes: vec![vec![0]],
        null_keys: false,
        keeps_versions: false,
        counters: Arc::default(),
        budget: None,
    })
    .unwrap();
    let ids: Vec<i64> = (0..KEYS).map(|n| n * 611_953 % KEYS).collect();
    for ids in ids.chunks(ROWS) {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(ids.to_vec())),
            Arc::new(ids.iter().map(|id| Some(format!("customer {id}"))).collect::<StringArray>()),
            Arc::new(ids.iter().map(|id| id % 1_000).collect::<Int64Array>()),
        ];
        writer.apply(&Batch::new(RecordBatch::try_new(right(), columns).unwrap())).unwrap();
    }
    Builder::new_current_thread().build().unwrap().block_on(writer.finish()).unwrap();
    table
}

/// Rows with keys below this, all equally frequent.
fn batches(keys: i64) -> Vec<Batch> {
    let mut random = Random::new(1);
    let mut batch = || {
        let ids = (0..ROWS).map(|_| random.between(0, keys)).collect::<Int64Array>();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ids.clone()),
            Arc::new(ids),
            Arc::new(TimestampMicrosecondArray::from_iter_values(0..ROWS as i64)),
        ];
        Batch::new(RecordBatch::try_new(left(), columns).unwrap())
    };
    (0..BATCHES).map(|_| batch()).collect()
}

fn operator(table: &Arc<Table>, kind: &JoinKind, with_condition: bool) -> LookupJoin {
    let column = |side, field: &Arc<Field>| JoinColumn { side, field: Arc::clone(field) };
    let visible = hidden::visible(&left());
    let mut columns: Vec<_> = visible.fields().iter().map(|field| column(Side::Left, field)).collect();
    if !matches!(kind, JoinKind::Semi) {
        columns.extend(right().fields()[1..].iter().map(|field| column(Side::Right, field)));
    }
    let fields = columns.iter().map(|column| Arc::clone(&column.field)).collect::<Vec<_>>();
    let of_table = right();
    let table_columns =
        of_table.fields().iter().enumerate().map(|(column, field)| TableColumn { column, field: Arc::clone(field) });
    let join = Plan {
        table: TableId(0),
        kind: kind.clone(),
        keys: vec![col("id")],
        index: Some(IndexId(0)),
        others: None,
        condition: with_condition.then(|| col("r_limit").gt(lit(500_i64))),
        table_columns: table_columns.collect(),
        columns,
        as_of: false,
        missing: None,
        late: LateStrategy::Drop,
    };
    let spec = LookupSpec {
        join,
        table: table.clone(),
        key_names: vec!["r_id".to_owned()],
        member: None,
        settled: true,
        loaded: true,
        retracts: false,
        ttl: None,
        shared_by: vec![],
        input: left(),
        output: hidden::with_event_time(&Schema::new(fields)),
        statement: "result".to_owned(),
    };
    LookupJoin::new(spec).unwrap()
}

fn run(name: &str, batches: &[Batch], make: impl Fn() -> LookupJoin) {
    let (mut best, mut results) = (f64::MAX, 0);
    for _ in 0..RUNS {
        let (mut operator, mut out) = (make(), Outbox::new());
        results = 0;
        let watch = Stopwatch::start();
        for batch in batches {
            let flow = operator.on_batch(InputId(0), batch.clone(), &mut out).unwrap();
            results += drain(&mut operator, &mut out, flow);
        }
        best = best.min(watch.elapsed().as_secs_f64());
    }
    report(name, batches.len() * ROWS, results, best);
}

fn main() {
    // `cargo test --all-targets` starts it too, and wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let table = filled();
    let (all, half) = (batches(KEYS), batches(2 * KEYS));
    run("lookup join, 1 million rows, two columns", &all, || operator(&table, &JoinKind::Inner, false));
    run("LEFT lookup join, half of the rows missing", &half, || operator(&table, &JoinKind::Left, false));
    run("lookup join with a condition", &all, || operator(&table, &JoinKind::Inner, true));
    run("SEMI lookup join, half of the rows missing", &half, || operator(&table, &JoinKind::Semi, false));
}
