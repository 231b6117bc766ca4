//! Rows a second through Top-N, on one core. Prints one JSON object a line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "../tests/it/support/mod.rs"]
mod support;

mod shared;

use std::sync::Arc;

use arrow_array::TimestampMicrosecondArray;
use arrow_schema::Schema;
use datafusion_expr::col;
use shared::{run, trades};
use support::SECOND;
use velo_core::batch::columns_of;
use velo_core::{Batch, schema};
use velo_exec::operator::{Operator, TopN, TopNSpec};
use velo_plan::plan::{Emission, SortKey, TopN as Plan};

fn spec(limit: u64, per_window: bool, per_record: bool) -> TopNSpec {
    let mut partition_by = vec![col("key")];
    if per_window {
        partition_by.push(col(schema::EVENT_TIME));
    }
    TopNSpec {
        top: Plan {
            partition_by,
            order_by: vec![SortKey { expr: col("price"), descending: true, nulls_first: false }],
            limit: Some(limit),
            rank: None,
            per_window,
            emission: Emission { early: !per_window, per_record, ..Emission::default() },
            late: None,
        },
        retracts: false,
        ttl: None,
        output: schema::with_event_time(&Schema::new(schema::visible(&support::schema()).fields().to_vec())),
        statement: "result".to_owned(),
    }
}

/// The rows as a window of ten seconds gives them: with the time of its end.
fn in_windows(batches: &[Batch]) -> Vec<Batch> {
    let window = |batch: &Batch| {
        let times = batch.event_times().unwrap().values().iter();
        let ends = times.map(|time| time.div_euclid(10 * SECOND) * 10 * SECOND + 10 * SECOND - 1);
        let mut columns = batch.columns.columns().to_vec();
        *columns.last_mut().unwrap() = Arc::new(TimestampMicrosecondArray::from_iter_values(ends));
        batch.with_columns(columns_of(&support::schema(), columns, batch.rows()).unwrap())
    };
    batches.iter().map(window).collect()
}

fn main() {
    // `cargo test --all-targets` starts it too, and wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let of = |spec: TopNSpec| move || -> Box<dyn Operator> { Box::new(TopN::new(&spec, &support::schema()).unwrap()) };
    let batches = trades(300, 8, 1_000, 100_000);
    let windowed = in_windows(&batches);
    run("Top-10 of each 10 s window, 1,000 keys", &windowed, 10 * SECOND, of(spec(10, true, false)));
    run("Top-10, changes per batch, 1,000 keys", &batches, 0, of(spec(10, false, false)));
    run("Top-1, changes per record, 1,000 keys", &batches, 0, of(spec(1, false, true)));
    let many = trades(300, 300, 1_000_000, 100_000);
    run("Top-10, changes per batch, 1,000,000 keys", &many, 0, of(spec(10, false, false)));
}
