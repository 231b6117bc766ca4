//! What the benches of operators share: trades, and the time that an operator takes for them.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use velo_core::clock::Stopwatch;
use velo_core::place::{Origin, Positions, Resource};
use velo_core::{Batch, Watermark};
use velo_exec::operator::{Element, Flow, InputId, Operator, Outbox};
use velo_exec::testing::Random;

use crate::support;

/// Rows in a batch.
pub const ROWS: usize = 8_192;
/// The best of so many runs counts.
pub const RUNS: usize = 9;

/// `count` batches of trades over `keys` symbols, `per_second` rows a second. All columns but the time come from `distinct`
/// different batches: few of them stay in the caches, as a batch does that was just decoded.
pub fn trades(count: usize, distinct: usize, keys: u64, per_second: i64) -> Vec<Batch> {
    let mut random = Random::new(42);
    let names = (0..keys).map(|key| format!("SYM{key:05}")).collect::<Vec<_>>();
    let mut columns = |_| -> Vec<ArrayRef> {
        let symbols = StringArray::from_iter_values((0..ROWS).map(|_| &names[random.below(keys) as usize]));
        let prices = (0..ROWS).map(|_| i128::from(random.between(1, 10_000_000))).collect::<Vec<_>>();
        vec![
            Arc::new(symbols),
            Arc::new(Decimal128Array::from_iter_values(prices).with_precision_and_scale(18, 4).unwrap()),
            Arc::new(Int64Array::from_value(1, ROWS)),
            Arc::new(Float64Array::from_value(1.0, ROWS)),
            Arc::new(StringArray::from(vec!["note"; ROWS])),
            Arc::new(BooleanArray::from(vec![true; ROWS])),
        ]
    };
    let sets = (0..distinct).map(&mut columns).collect::<Vec<_>>();
    let batch = |number: usize| {
        let first = (number * ROWS) as i64;
        let times = (0..ROWS as i64).map(|row| (first + row) * 1_000_000 / per_second);
        let mut columns = sets[number % distinct].clone();
        columns.push(Arc::new(TimestampMicrosecondArray::from_iter_values(times)));
        let mut batch = Batch::new(RecordBatch::try_new(support::schema(), columns).unwrap());
        batch.origin = Some(Origin {
            source: 0,
            partition: 0,
            base: 0,
            resource: Resource::Rows("trades".into()),
            positions: Positions::Consecutive { first: first as u64 },
        });
        batch
    };
    (0..count).map(batch).collect()
}

/// Drives an operator with the watermark `behind` microseconds behind each batch's last row.
pub fn run(name: &str, batches: &[Batch], behind: i64, make: impl Fn() -> Box<dyn Operator>) {
    let mut best = f64::MAX;
    let mut results = 0;
    for _ in 0..RUNS {
        let mut operator = make();
        let mut out = Outbox::new();
        results = 0;
        let watch = Stopwatch::start();
        for batch in batches {
            let last = *batch.event_times().unwrap().values().last().unwrap();
            operator.on_batch(InputId(0), batch.clone(), &mut out).unwrap();
            let flow = operator.on_watermark(Watermark(last - behind), &mut out).unwrap();
            results += drain(operator.as_mut(), &mut out, flow);
        }
        best = best.min(watch.elapsed().as_secs_f64());
    }
    report(name, batches.len() * ROWS, results, best);
}

/// Takes everything out that comes of an element; how many rows that are.
pub fn drain(operator: &mut dyn Operator, out: &mut Outbox, mut flow: Flow) -> usize {
    let mut rows = 0;
    loop {
        while let Some(element) = out.pop() {
            if let Element::Batch(batch) = element {
                rows += batch.rows();
            }
        }
        if flow == Flow::Done {
            return rows;
        }
        flow = operator.resume(out).unwrap();
    }
}

/// Prints what came of `rows` rows in the best run.
pub fn report(name: &str, rows: usize, results: usize, best: f64) {
    println!(
        r#"{{"bench":"{name}","rows":{rows},"results":{results},"seconds":{best:.4},"million_rows_a_second":{:.1},"ns_a_row":{:.2}}}"#,
        rows as f64 / best / 1e6,
        best * 1e9 / rows as f64
    );
}
