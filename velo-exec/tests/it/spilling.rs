//! Operators whose state does not fit into the memory that there is: what comes out is what would have come with enough of it, they
//! stay within the bound, and a checkpoint in the middle is one like any other.

use std::sync::Arc;

use crate::interval_join::made;
use crate::support::changelog::{Folded, emission};
use crate::support::joins::{self, Way};
use crate::support::over::{aggregated, frame, numbered, spec as over_spec, window as over_window};
use crate::support::sim::{stamp, turns};
use crate::support::{Calls, Kind, Row, SECOND, batch, cells, many_calls, schema, spec, window};
use arrow_schema::DataType;
use datafusion_expr::col;
use velo_core::Watermark;
use velo_exec::checkpoint::Share;
use velo_exec::operator::{GroupSpec, Operator, Over, Sort, aggregate};
use velo_exec::spill::{KeysOf, MemoryPool, MemoryUse, Spilling};
use velo_exec::testing::{Harness, Random};
use velo_plan::plan::{FrameUnits, JoinKind, OverOrder, SortKey};

/// Makes an operator.
type Make = Arc<dyn Fn() -> Box<dyn Operator> + Send + Sync>;

/// Rows of two partitions with so many keys, in ascending time but for some seconds.
fn rows(seed: u64, count: usize, keys: u64) -> Vec<Vec<Row>> {
    let mut random = Random::new(seed);
    let mut partitions = vec![Vec::new(), Vec::new()];
    for at in 0..count {
        let time = (at as i64 * 10_000) - random.below(3_000_000) as i64;
        let row =
            Row::at(&format!("a key with the number {}", random.below(keys)), time, &random.below(900).to_string());
        partitions[random.below(2) as usize].push(row);
    }
    stamp(&mut partitions, 2 * SECOND);
    partitions
}

fn spilling(make: &Make, pool: &Arc<MemoryPool>) -> Spilling {
    let make = Arc::clone(make);
    let keys = vec![KeysOf::Places(vec![0]), KeysOf::Places(vec![0])];
    Spilling::new(Box::new(move || Ok(make())), keys, MemoryUse::new(pool, "s")).unwrap()
}

/// What comes out, folded, and how often something went to disk; at some turns others go on, as so many tasks as that says.
fn run(
    make: &Make,
    partitions: &[Vec<Row>],
    pool: impl Fn() -> Arc<MemoryPool>,
    limit: Option<usize>,
    restarts: Option<&mut Random>,
) -> (Vec<Vec<String>>, u64, u64) {
    let (mut folded, mut spilled, mut now) = (Folded::default(), 0, 0);
    let mut the_pool = pool();
    let mut all = Harness::new(spilling(make, &the_pool));
    let mut restarts = restarts;
    for (number, turn) in turns(partitions, 2 * SECOND, 500, 3).into_iter().enumerate() {
        all.batch(batch(turn.rows)).unwrap();
        all.watermark(turn.watermark).unwrap();
        // Now and then what lies on disk has its turn.
        now += 100_000;
        all.clock(now).unwrap();
        if let Some(limit) = limit {
            assert!(the_pool.used() <= limit, "{} of {limit} bytes at turn {number}", the_pool.used());
        }
        if let Some(random) = &mut restarts
            && random.below(12) == 0
        {
            let saved = all.save_all().unwrap();
            folded.add(&all.take_batches(), 1, "before a restart");
            spilled += all.operator.spilled();
            the_pool = pool();
            all = Harness::new(spilling(make, &the_pool));
            all.clock(now).unwrap();
            all.load(saved, Share::WHOLE).unwrap();
        }
        folded.add(&all.take_batches(), 1, "spilling");
    }
    all.end().unwrap();
    folded.add(&all.take_batches(), 1, "spilling");
    assert_eq!((all.forwarded(), all.timer()), (Watermark::END, None));
    let late = all.operator.late().map_or(0, |late| late.rows());
    (folded.rows(), late, spilled + all.operator.spilled())
}

fn queries() -> Vec<(&'static str, Make)> {
    let group = |spec: GroupSpec| -> Make { Arc::new(move || aggregate(&spec, &schema()).unwrap()) };
    let calls = || Calls::new().count_all().add(Kind::Sum, "quantity").add(Kind::Max, "price").add(Kind::Min, "note");
    let mut changes = spec(&["key"], calls(), None);
    changes.emission = emission(true, false, None);
    let mut corrected = spec(&["key"], calls(), Some(window("tumbling", 20, 0, 0)));
    corrected.emission = emission(true, false, Some(2));
    let running = Calls::new().add(Kind::Sum, "quantity").add(Kind::Max, "price");
    let frame = frame(FrameUnits::Rows, -3, 0);
    let calls_over = numbered(running.0.iter().map(aggregated).collect());
    let over = over_spec(OverOrder::EventTime, vec![over_window(&["key"], frame)], calls_over);
    vec![
        ("bounded groups", group(spec(&["key"], many_calls(), None))),
        ("changing groups", group(changes)),
        ("windows", group(spec(&["key"], calls(), Some(window("tumbling", 20, 0, 0))))),
        ("corrected windows", group(corrected)),
        ("sessions", group(spec(&["key"], calls(), Some(window("session", 5, 0, 0))))),
        ("row windows", Arc::new(move || Box::new(Over::new(&over, &schema()).unwrap()))),
    ]
}

#[test]
fn the_same_comes_out_of_little_memory() {
    let partitions = rows(7, 20_000, 6_000);
    for (name, make) in queries() {
        let (expected, late, none) = run(&make, &partitions, MemoryPool::unbounded, None, None);
        assert_eq!(none, 0);
        assert!(expected.len() > 1_000, "{name}");
        for limit in [1 << 20, 2 << 20] {
            let (found, found_late, spilled) =
                run(&make, &partitions, || MemoryPool::bounded(limit, None), Some(limit), None);
            assert!(spilled > 32 || limit > 1 << 20, "{name}: {spilled} at {limit}");
            assert_eq!((found.len(), found_late), (expected.len(), late), "{name} at {limit}");
            assert!(found == expected, "{name} at {limit}");
        }
    }
}

#[test]
fn restarts_in_little_memory_lose_nothing() {
    let partitions = rows(8, 10_000, 3_000);
    for (name, make) in queries() {
        let (expected, late, _) = run(&make, &partitions, MemoryPool::unbounded, None, None);
        for seed in 0..3 {
            let mut random = Random::new(seed);
            let pool = || if seed == 0 { MemoryPool::forced() } else { MemoryPool::bounded(1 << 20, None) };
            let (found, found_late, spilled) = run(&make, &partitions, pool, None, Some(&mut random));
            assert!(spilled > 0, "{name}");
            assert_eq!((found.len(), found_late), (expected.len(), late), "{name}, seed {seed}");
            assert!(found == expected, "{name}, seed {seed}");
        }
    }
}

#[test]
fn joins_in_little_memory() {
    let (left, right) = (rows(9, 8_000, 1_500), rows(10, 8_000, 1_500));
    let sides = [left, right];
    let make = || made(JoinKind::Left, false, -60, 60);
    let way = || Way { bound: 2 * SECOND, size: 300, seed: 4 };
    let mut plain = Harness::new(make());
    joins::feed(&mut plain, &sides, joins::side_batch, way(), |_| {});
    let mut expected = joins::texts(&plain.take_batches());
    expected.sort();
    for pool in [MemoryPool::forced(), MemoryPool::bounded(1 << 20, None)] {
        let boxed: Make = Arc::new(move || Box::new(make()));
        let mut harness = Harness::new(spilling(&boxed, &pool));
        joins::feed(&mut harness, &sides, joins::side_batch, way(), |_| {});
        assert!(harness.operator.spilled() > 32);
        let mut found = joins::texts(&harness.take_batches());
        found.sort();
        assert_eq!(found.len(), expected.len());
        assert!(found == expected);
    }
}

/// One key has more rows than fit: there is nothing to cut.
#[test]
fn a_key_that_does_not_fit_is_an_error() {
    let list = DataType::new_list(DataType::Utf8, true);
    let spec = spec(&["key"], Calls::new().library("array_agg", &["note"], list), None);
    let make: Make = Arc::new(move || aggregate(&spec, &schema()).unwrap());
    let pool = MemoryPool::bounded(1 << 20, None);
    let mut harness = Harness::new(spilling(&make, &pool));
    let rows = (0..100_000).map(|at| Row::at("one", at, "a note that is long enough")).collect::<Vec<_>>();
    let fed = rows.chunks(5_000).try_for_each(|rows| harness.batch(batch(rows)));
    let error = fed.and_then(|()| harness.end()).unwrap_err().to_string();
    assert!(error.contains("max.memory.mb") && error.contains("s: "), "{error}");
}

#[test]
fn a_folder_that_is_none_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let pool = MemoryPool::bounded(1 << 20, Some(file.path()));
    let (_, make) = queries().remove(0);
    let mut harness = Harness::new(spilling(&make, &pool));
    let partitions = rows(7, 20_000, 6_000);
    let rows = partitions.concat();
    let error = rows.chunks(1_000).try_for_each(|rows| harness.batch(batch(rows))).unwrap_err().to_string();
    assert!(error.contains("spill.dir") && error.contains(&file.path().display().to_string()), "{error}");
}

/// Rows that are sorted with and without enough memory for them come in the same order, equal ones as they came, also where others
/// go on in the middle.
#[test]
fn sorted_rows_in_little_memory() {
    let keys = [("key", true, false), ("quantity", false, true)];
    let keys = keys.map(|(name, descending, nulls_first)| SortKey { expr: col(name), descending, nulls_first });
    let make = |pool: &Arc<MemoryPool>| {
        let mut sort = Sort::new(&keys, schema(), "s").unwrap();
        assert!(sort.bound(MemoryUse::new(pool, "s")).is_none());
        Harness::new(sort)
    };
    let mut random = Random::new(11);
    let mut rows = rows(11, 20_000, 40).concat();
    for row in &mut rows {
        row.quantity = Some(random.below(5) as i64).filter(|quantity| *quantity > 0);
        row.key = row.key.take().filter(|_| random.below(50) > 0);
    }
    let run = |limit: Option<usize>, restarts: bool| {
        let pool = || limit.map_or_else(MemoryPool::unbounded, |limit| MemoryPool::bounded(limit, None));
        let mut the_pool = pool();
        let mut sort = make(&the_pool);
        for (number, rows) in rows.chunks(700).enumerate() {
            sort.batch(batch(rows)).unwrap();
            assert!(limit.is_none_or(|limit| the_pool.used() < limit));
            if restarts && number % 9 == 8 {
                let saved = sort.save().unwrap();
                the_pool = pool();
                sort = make(&the_pool);
                sort.load(vec![saved], Share::WHOLE).unwrap();
            }
        }
        sort.end().unwrap();
        assert_eq!(the_pool.used(), 0);
        sort.take_batches().iter().flat_map(|batch| cells(&batch.columns)).collect::<Vec<_>>()
    };
    let expected = run(None, false);
    assert_eq!(expected.len(), 20_000);
    for limit in [1 << 20, 8 << 20] {
        for restarts in [false, true] {
            assert!(run(Some(limit), restarts) == expected, "{limit} {restarts}");
        }
    }
}
