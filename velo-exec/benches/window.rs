//! Rows a second through time windows, on one core. Prints one JSON object a line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "../tests/it/support/mod.rs"]
mod support;

mod shared;

use shared::{ROWS, RUNS, run, trades};
use support::{Calls, Kind, spec, window};
use velo_core::Batch;
use velo_core::clock::Stopwatch;
use velo_exec::operator::aggregate;
use velo_exec::state::KeyTable;

/// Keys to numbers alone.
fn keys(name: &str, batches: &[Batch]) {
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let mut table = KeyTable::new(&[arrow_schema::DataType::Utf8]).unwrap();
        let mut ids = Vec::new();
        let watch = Stopwatch::start();
        for batch in batches {
            table.intern(&batch.columns.columns()[..1], ROWS, &mut ids).unwrap();
        }
        best = best.min(watch.elapsed().as_secs_f64());
    }
    let rows = batches.len() * ROWS;
    println!(r#"{{"bench":"{name}","rows":{rows},"ns_a_row":{:.2}}}"#, best * 1e9 / rows as f64);
}

fn main() {
    // `cargo test --all-targets` starts it too, and wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let five = || {
        Calls::new()
            .count_all()
            .add(Kind::Sum, "price")
            .add(Kind::Avg, "price")
            .add(Kind::Min, "price")
            .add(Kind::Max, "price")
    };
    let schema = support::schema();
    let of = |calls: Calls, window| {
        let spec = spec(&["key"], calls, Some(window));
        let schema = schema.clone();
        move || aggregate(&spec, &schema).unwrap()
    };
    let minute = || window("tumbling", 60, 0, 0);
    let batches = trades(600, 8, 1_000, 10_000);
    keys("keys to numbers, 1,000 strings", &batches[..8]);
    run("tumbling 1m, 1,000 keys, COUNT", &batches, 0, of(Calls::new().count_all(), minute()));
    run("tumbling 1m, 1,000 keys, COUNT SUM AVG MIN MAX", &batches, 0, of(five(), minute()));
    let seven = five().add(Kind::First, "price").add(Kind::Last, "price");
    run("tumbling 1m, 1,000 keys, and FIRST LAST", &batches, 0, of(seven, minute()));
    // 65,536 different prices.
    let distinct = Calls::new().add(Kind::Count, "price").distinct();
    run("tumbling 1m, 1,000 keys, COUNT(DISTINCT)", &batches, 0, of(distinct, minute()));
    run("sliding 10m by 1s, 1,000 keys, COUNT SUM AVG MIN MAX", &batches, 0, of(five(), window("sliding", 600, 1, 0)));
    let many = trades(300, 300, 1_000_000, 10_000);
    keys("keys to numbers, 1,000,000 strings", &many);
    run("tumbling 1m, 1,000,000 keys, COUNT SUM AVG MIN MAX", &many, 0, of(five(), minute()));
}
