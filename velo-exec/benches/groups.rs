//! Rows a second through groups whose results change, on one core. Prints one JSON object a line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "../tests/it/support/mod.rs"]
mod support;

mod shared;

use shared::{run, trades};
use support::{Calls, Kind, spec, window};
use velo_exec::operator::{GroupSpec, aggregate};
use velo_plan::plan::{Emission, WindowSpec};

/// How results come: with each batch, or with each row.
fn early(calls: Calls, window: Option<WindowSpec>, per_record: bool) -> GroupSpec {
    GroupSpec { emission: Emission { early: true, per_record, ..Emission::default() }, ..spec(&["key"], calls, window) }
}

fn main() {
    // `cargo test --all-targets` starts it too, and wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let schema = support::schema();
    let two = || Calls::new().count_all().add(Kind::Sum, "price");
    let distinct = || Calls::new().add(Kind::Count, "price").distinct();
    let of = |calls: Calls, window, per_record| {
        let (spec, schema) = (early(calls, window, per_record), schema.clone());
        move || aggregate(&spec, &schema).unwrap()
    };
    let group = |calls: Calls, per_record: bool| of(calls, None, per_record);
    let windowed = |calls: Calls, per_record: bool| of(calls, Some(window("tumbling", 60, 0, 0)), per_record);
    for keys in [100, 1_000] {
        let batches = trades(300, 8, keys, 10_000);
        run(&format!("GROUP BY, {keys} keys, COUNT SUM"), &batches, 0, group(two(), false));
        run(&format!("GROUP BY, {keys} keys, COUNT SUM, per record"), &batches, 0, group(two(), true));
    }
    let batches = trades(300, 8, 1_000, 10_000);
    run("GROUP BY, 1000 keys, COUNT(DISTINCT)", &batches, 0, group(distinct(), false));
    run("tumbling 1m EMIT CHANGES, 1000 keys, COUNT SUM", &batches, 0, windowed(two(), false));
    run("tumbling 1m EMIT CHANGES, 1000 keys, COUNT SUM, per record", &batches, 0, windowed(two(), true));
    for (keys, count) in [(1_000_000, 300), (10_000_000, 2_500)] {
        let batches = trades(count, count, keys, 10_000);
        run(&format!("GROUP BY, {keys} keys, COUNT SUM"), &batches, 0, group(two(), false));
    }
}
