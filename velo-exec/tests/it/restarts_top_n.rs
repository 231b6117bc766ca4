//! A Top-N goes on behind a restart as if there had been none, change by change, and in other tasks.

use std::sync::Arc;

use crate::support::changelog::{changelog, changes};
use crate::support::events::{
    Event, goes_on, goes_on_in_other_tasks, misses_what_is_lost, refuses_what_is_damaged, saved,
};
use crate::support::sim::{Turn, random_partitions, stamp, turns};
use crate::support::{Row, SECOND, batch, schema};
use arrow_schema::{DataType, Field, Schema};
use datafusion_expr::{Expr, col, lit};
use velo_core::duration::Span;
use velo_core::schema as hidden;
use velo_eventtime::LateStrategy;
use velo_exec::operator::{TopN, TopNSpec};
use velo_exec::testing::Random;
use velo_plan::plan::{Emission, SortKey, StateTtl, TopN as Plan};

fn key(expr: Expr, descending: bool, nulls_first: bool) -> SortKey {
    SortKey { expr, descending, nulls_first }
}

fn orders() -> [Vec<SortKey>; 4] {
    [
        vec![key(col("quantity"), true, true)],
        vec![key(col("flag"), true, false), key(col("price"), false, false)],
        vec![key(col("quantity") * lit(-1_i64), false, true)],
        // The latest first, also of equal ones.
        vec![key(col(hidden::EVENT_TIME), true, true)],
    ]
}

fn spec(order: &[SortKey], limit: u64, rank: bool) -> TopNSpec {
    let mut fields = hidden::visible(&schema()).fields().to_vec();
    let rank = rank.then(|| Arc::new(Field::new("rn", DataType::Int64, false)));
    fields.extend(rank.clone());
    TopNSpec {
        top: Plan {
            partition_by: vec![col("key")],
            order_by: order.to_vec(),
            limit: Some(limit),
            rank,
            per_window: false,
            emission: Emission { early: true, ..Emission::default() },
            late: None,
        },
        retracts: false,
        ttl: None,
        output: hidden::with_event_time(&Schema::new(fields)),
        statement: "result".to_owned(),
    }
}

fn make(spec: &TopNSpec) -> impl Fn() -> TopN {
    let spec = spec.clone();
    move || TopN::new(&spec, &schema()).unwrap()
}

/// Rows in batches with the watermarks and the clock behind them.
fn arriving(partitions: &[Vec<Row>], bound: i64, size: usize, seed: u64) -> Vec<Event> {
    let turns = turns(partitions, bound, size, seed).into_iter().enumerate();
    let events = turns.flat_map(|(at, Turn { rows, watermark, .. })| {
        [Event::Batch(batch(rows)), Event::Watermark(watermark.0), Event::Clock(at as i64)]
    });
    events.collect()
}

const LIMITS: [(u64, bool); 4] = [(1, false), (2, true), (3, false), (0, false)];

#[test]
fn rows_that_only_come() {
    for seed in 0..3 {
        let mut random = Random::new(seed);
        let disorder = random.between(0, 20);
        let mut input = random_partitions(&mut random, 2, 70, disorder, true);
        stamp(&mut input, disorder * SECOND);
        for (order, (limit, rank)) in orders().iter().flat_map(|order| LIMITS.map(|limit| (order, limit))) {
            for (early, per_record) in [(true, false), (true, true), (false, false)] {
                let mut query = spec(order, limit, rank);
                query.top.emission = Emission { early, per_record, ..Emission::default() };
                let size = [1, 9, 8_192][seed as usize % 3];
                let context = format!("seed {seed}, {}, {per_record}, batches of {size}", query.top);
                let mut events = arriving(&input, disorder * SECOND, size, seed);
                // Of some rows it is not known where they came from.
                for event in events.iter_mut().step_by(6) {
                    if let Event::Batch(batch) = event {
                        batch.origin = None;
                    }
                }
                goes_on(&make(&query), &events, false, seed, &context);
                goes_on_in_other_tasks(&make(&query), &events, &[0], seed, &context);
            }
        }
        refuses_what_is_damaged(&make(&spec(&orders()[0], 2, true)), &arriving(&input, 0, 9, seed));
        misses_what_is_lost(&make(&spec(&orders()[0], 2, true)), &arriving(&input, 0, 9, seed));
    }
}

/// Partitions whose time is over, by the watermark and by the clock; and rows that come late.
#[test]
fn forgotten_partitions_and_late_rows() {
    for seed in 0..4 {
        let mut random = Random::new(70 + seed);
        let disorder = random.between(0, 3);
        let mut input = random_partitions(&mut random, 2, 80, disorder, seed % 2 == 0);
        stamp(&mut input, disorder * SECOND);
        for ttl in [None, Some((random.between(1, 12) * SECOND, false)), Some((random.between(2, 9), true))] {
            let ttl = ttl.map(|(after, by_clock)| StateTtl { after: Span(after), by_clock });
            for (order, (limit, rank)) in [(0, (1, false)), (3, (2, true)), (1, (3, false))] {
                let mut query = TopNSpec { ttl, ..spec(&orders()[order], limit, rank) };
                query.top.late = Some(LateStrategy::DeadLetter);
                query.top.emission.per_record = seed == 3;
                for size in [1, 7, 8_192] {
                    let context = format!("seed {seed}, {}, {ttl:?}, batches of {size}", query.top);
                    let events = arriving(&input, disorder * SECOND, size, seed);
                    goes_on(&make(&query), &events, false, seed, &context);
                    goes_on_in_other_tasks(&make(&query), &events, &[0], seed, &context);
                }
            }
        }
    }
}

#[test]
fn rows_of_windows() {
    for seed in 0..4 {
        let mut random = Random::new(80 + seed);
        let mut input = random_partitions(&mut random, 2, 80, 0, false);
        for row in input.iter_mut().flatten() {
            row.time = (row.time.div_euclid(10 * SECOND) + 1) * 10 * SECOND - 1;
        }
        stamp(&mut input, 0);
        for order in &orders()[..3] {
            for (limit, rank, early) in [(1, false, false), (3, true, false), (2, true, true)] {
                let mut query = spec(order, limit, rank);
                query.top.partition_by.push(col(hidden::EVENT_TIME));
                query.top.per_window = true;
                query.top.emission.early = early;
                for size in [1, 7, 8_192] {
                    let context = format!("seed {seed}, {}, batches of {size}", query.top);
                    let events = arriving(&input, 0, size, seed);
                    goes_on(&make(&query), &events, false, seed, &context);
                    goes_on_in_other_tasks(&make(&query), &events, &[0, 6], seed, &context);
                }
            }
        }
    }
}

#[test]
fn rows_taken_back() {
    for seed in 0..4 {
        let (log, _) = changelog(&mut Random::new(200 + seed), 150);
        for (order, (limit, rank)) in orders().iter().flat_map(|order| LIMITS.map(|limit| (order, limit))) {
            for per_record in [false, true] {
                let mut query = TopNSpec { retracts: true, ..spec(order, limit, rank) };
                query.top.emission.per_record = per_record;
                let size = [1, 9, 8_192][seed as usize % 3];
                let context = format!("seed {seed}, {}, {per_record}, batches of {size}", query.top);
                let events = log.chunks(size).map(|part| Event::Batch(changes(part))).collect::<Vec<_>>();
                goes_on(&make(&query), &events, false, seed, &context);
                goes_on_in_other_tasks(&make(&query), &events, &[0], seed, &context);
            }
        }
    }
}

/// One task has partitions by expressions, and the only partition where there are none.
#[test]
fn partitions_that_are_no_columns() {
    let mut input = random_partitions(&mut Random::new(9), 2, 80, 5, true);
    stamp(&mut input, 5 * SECOND);
    for by in [vec![], vec![col("quantity") * lit(2_i64), col("flag")]] {
        let mut query = spec(&orders()[0], 2, true);
        query.top.partition_by = by;
        for size in [1, 9] {
            let events = arriving(&input, 5 * SECOND, size, 9);
            goes_on(&make(&query), &events, false, 9, &query.top.to_string());
        }
    }
}

/// A state of another query: its partitions hold more rows than are shown.
#[test]
fn more_rows_than_are_shown_are_refused() {
    let input = random_partitions(&mut Random::new(9), 1, 80, 5, false);
    let state = saved(&make(&spec(&orders()[0], 5, false)), &arriving(&input, 0, 9, 9));
    let mut harness = velo_exec::testing::Harness::new(make(&spec(&orders()[0], 2, false))());
    assert!(harness.load(vec![state], velo_exec::checkpoint::Share::WHOLE).is_err());
}
