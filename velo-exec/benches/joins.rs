//! Rows a second through joins of two streams, on one core. Prints one JSON object a line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a program that measures")]

#[path = "../tests/it/support/mod.rs"]
mod support;

#[allow(dead_code, reason = "it shares the input")]
mod shared;

use shared::{ROWS, drain, report, trades};
use support::SECOND;
use support::joins::{join, renamed, spec};
use velo_core::clock::Stopwatch;
use velo_core::{Batch, Watermark};
use velo_eventtime::LateStrategy;
use velo_exec::operator::{AsOfJoin, ChangelogJoin, InputId, IntervalJoin, Operator, Outbox};
use velo_plan::plan::{
    AsOfDirection, AsOfJoin as AsOfPlan, ChangelogJoin as ChangelogPlan, IntervalJoin as IntervalPlan, JoinKind,
};

/// The best of so many runs counts.
const RUNS: usize = 3;

/// Drives a join with batches of both sides by turns, the watermarks `behind` microseconds behind each batch's last row.
fn run(name: &str, sides: &[Vec<Batch>; 2], behind: i64, make: impl Fn() -> Box<dyn Operator>) {
    let mut best = f64::MAX;
    let mut results = 0;
    for _ in 0..RUNS {
        let mut operator = make();
        let mut out = Outbox::new();
        results = 0;
        let watch = Stopwatch::start();
        for (left, right) in sides[0].iter().zip(&sides[1]) {
            for (side, batch) in [left, right].into_iter().enumerate() {
                let last = *batch.event_times().unwrap().values().last().unwrap();
                let flow = operator.on_batch(InputId(side), batch.clone(), &mut out).unwrap();
                results += drain(operator.as_mut(), &mut out, flow);
                let flow = operator.on_input_watermark(InputId(side), Watermark(last - behind), &mut out).unwrap();
                results += drain(operator.as_mut(), &mut out, flow);
            }
            let last = *left.event_times().unwrap().values().last().unwrap();
            let flow = operator.on_watermark(Watermark(last - behind), &mut out).unwrap();
            results += drain(operator.as_mut(), &mut out, flow);
        }
        best = best.min(watch.elapsed().as_secs_f64());
    }
    report(name, sides.iter().map(Vec::len).sum::<usize>() * ROWS, results, best);
}

/// The same trades on both sides, of so many keys and a million rows a second.
fn sides(batches: usize, distinct: usize, keys: u64) -> [Vec<Batch>; 2] {
    let left = trades(batches, distinct, keys, 1_000_000);
    // The other side's symbols come in another order.
    let turned = trades(batches + 1, distinct, keys, 1_000_000);
    let right = turned[1..].iter().zip(&left).map(|(turned, left)| {
        let mut columns = turned.columns.columns().to_vec();
        *columns.last_mut().unwrap() = left.columns.columns().last().unwrap().clone();
        let columns = arrow_array::RecordBatch::try_new(support::schema(), columns).unwrap();
        renamed(1, left.with_columns(columns))
    });
    let right = right.collect();
    [left, right]
}

fn interval(kind: JoinKind, span: i64) -> impl Fn() -> Box<dyn Operator> {
    let join = join(kind, None);
    let plan =
        IntervalPlan { join: join.clone(), lower: -span, upper: span, held_back: span, late: LateStrategy::Drop };
    let spec = spec(plan, &join);
    move || Box::new(IntervalJoin::new(&spec).unwrap())
}

fn main() {
    // `cargo test --all-targets` starts it too, and wants no figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let behind = SECOND / 100;
    let hot = sides(122, 61, 100);
    run("interval join, 100 hot keys, a pair a row", &hot, behind, interval(JoinKind::Inner, 50));
    run("interval join, 100 hot keys, 20 pairs a row", &hot, behind, interval(JoinKind::Inner, 1_000));
    let many = sides(122, 122, 100_000);
    run("interval join, 100,000 keys", &many, behind, interval(JoinKind::Inner, SECOND / 20));
    run("LEFT interval join, 100,000 keys", &many, behind, interval(JoinKind::Left, SECOND / 20));
    let wide = sides(244, 244, 1_000_000);
    run("interval join, 1 million keys, wide bounds", &wide, behind, interval(JoinKind::Inner, SECOND / 2));
    run("FULL interval join, 1 million keys, wide bounds", &wide, behind, interval(JoinKind::Full, SECOND / 2));
    let kind = JoinKind::Left;
    let join = join(kind, None);
    let plan = AsOfPlan {
        join: join.clone(),
        direction: AsOfDirection::Backward,
        inclusive: true,
        tolerance: None,
        missing: None,
        late: LateStrategy::Drop,
    };
    let of = spec(plan, &join);
    run("ASOF join, 100,000 keys", &many, behind, || Box::new(AsOfJoin::new(&of).unwrap()));
    let of = spec(ChangelogPlan { join: join.clone() }, &join);
    run("changelog join, 1 million keys", &sides(61, 61, 1_000_000), behind, || {
        Box::new(ChangelogJoin::new(&of).unwrap())
    });
}
